"""A disk that takes its time, or hangs for a while: what needs it waits, nothing else does, queues stay bounded, and
everything goes on afterwards. No test says how long something may take, only what must be over before what."""

import os
import threading

import grpc
import pytest

from acked_writes import Writers, check_acked, check_nothing_is_stuck, check_stream
from client import COLD, HOT, TIMEOUT, Client, Failure, failure_of, health_of, metadata, record_messages, tiers_of
from cluster import wait_for
from conftest_shared import run_cluster
from disk_shim import shims_of, skip_where_nothing_is_preloaded
from jetstream import JetStream

HANG_SECONDS = 60.0  # at most: the flush is set free as soon as all was looked at


@pytest.fixture
def slow():
    """(cluster, client, shim of metadata-svc, shim of object-svc), with a bucket and a stored object of each kind."""
    skip_where_nothing_is_preloaded()
    shims = []

    flags = ["--commit-queue", "64", "--commit-batch-records", "16", "--bucket-share-percent", "100", "--client-share-percent",
             "100"]
    for cluster in run_cluster(before_start=lambda cluster: shims.extend(shims_of(cluster)), metadata_flags=flags,
                               object_flags=["--ack-wait", "5s"]):
        client = Client(cluster)
        client.create_bucket("slow", HOT)
        client.create_bucket("slow-cold", COLD, cold_after=0)
        client.put("slow", "plain")
        client.upload("slow", "stored", b"stored" * 50000)
        client.upload("slow-cold", "cold", b"cold" * 50000)
        client.wait_state("slow", "stored", "STORED")
        client.wait_tiers("slow-cold", "cold", {"COLD"})
        yield (cluster, client, *shims)


def later(call, *arguments, **fields):
    """The thread that makes the call."""
    answers = []

    def make():
        try:
            answers.append(call(*arguments, **fields))
        except grpc.RpcError as error:
            answers.append(Failure(error))

    thread = threading.Thread(target=make)
    thread.answers = answers
    thread.start()
    return thread


def answer_of(thread):
    thread.join()
    answer = thread.answers[0]
    assert not isinstance(answer, Failure), (answer.code, answer.reason, answer.message)
    return answer


def put_request(number):
    return metadata.PutRecordRequest(bucket="slow", key=f"waits/{number}")


def test_reads_are_answered_while_a_flush_of_commits_hangs_and_the_queue_stays_bounded(slow):
    cluster, client, shim, _ = slow
    shim.aim(os.path.join(cluster.directory, "metadata", "records"))
    shim.set("sync", pause=HANG_SECONDS, times=1)
    first = later(client.put, "slow", "hangs")
    wait_for(lambda: shim.met("sync") == 1, "the flush to hang")
    calls = [client.metadata.PutRecord.future(put_request(number), timeout=TIMEOUT) for number in range(200)]
    for _ in range(20):
        assert client.get("slow", "plain").version == 1
        assert client.get("slow", "stored").size == 300000
    assert failure_of(client.get, "slow", "hangs").reason == "RECORD_NOT_FOUND", "what is not durable is not seen"
    assert health_of(cluster, cluster.metadata_port, "metadata.read") == "SERVING"
    assert client.read("slow", "stored")[0] == b"stored" * 50000
    assert sum(len(page) for page in client.list_pages("slow")) == 2
    refused = wait_for(lambda: [call for call in calls if call.done()], "what is too much to be refused")
    assert first.is_alive(), "the flush was over before it was looked at"
    shim.clear()
    for call in refused:
        failure = Failure(call.exception())
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "COMMIT_QUEUE_FULL")
        assert failure.retry_seconds > 0
    assert answer_of(first).version == 1
    kept = [number for number, call in enumerate(calls) if call.exception() is None]
    assert 64 <= len(kept) < 200
    assert all(client.get("slow", f"waits/{number}").version == 1 for number in kept)


def test_commits_go_on_while_a_flush_of_the_spool_hangs(slow):
    cluster, client, shim, _ = slow
    shim.aim(os.path.join(cluster.directory, "metadata", "spool"))
    shim.set("sync", pause=HANG_SECONDS, times=1)
    upload = later(client.upload, "slow", "hangs", b"spooled" * 20000)
    wait_for(lambda: shim.met("sync") == 1, "the flush to hang")
    for number in range(20):
        assert client.put("slow", f"commit/{number}").version == 1
        assert client.put("slow", f"inline/{number}", b"inline").version == 1
    assert upload.is_alive(), "the flush was over before it was looked at"
    shim.clear()
    assert answer_of(upload).version == 1
    client.wait_state("slow", "hangs", "STORED")


@pytest.mark.parametrize("place", ["volumes", "index", "cold"])
def test_commits_and_reads_go_on_while_a_flush_of_objects_hangs(slow, place):
    cluster, client, _, shim = slow
    bucket, kind = {"volumes": ("slow", "sync"), "index": ("slow", "write"), "cold": ("slow-cold", "sync")}[place]
    shim.aim(os.path.join(cluster.directory, "object", place))
    shim.set(kind, pause=HANG_SECONDS, times=1)
    client.upload(bucket, "hangs", b"moved" * 20000)
    wait_for(lambda: shim.met(kind) == 1, "the disk to hang")
    for number in range(20):
        assert client.put("slow", f"commit/{number}").version == 1
    assert client.read("slow", "stored")[0] == b"stored" * 50000
    assert client.read("slow-cold", "cold")[0] == b"cold" * 50000
    assert client.read(bucket, "hangs")[0] == b"moved" * 20000, "from the spool, or the tier that has it"
    assert client.get(bucket, "hangs").state != record_messages.RECORD_STATE_STORED or place == "cold"
    shim.clear()
    wanted = {"COLD"} if place == "cold" else {"HOT"}
    client.wait_tiers(bucket, "hangs", wanted)


def deliver_all_again(cluster):
    connection = JetStream(cluster.nats_port)
    assert connection.request("$JS.API.CONSUMER.DELETE.WAYBILL_CHANGES_0.waybill-object-svc").get("success")
    connection.close()


def test_an_event_that_comes_again_while_its_object_is_moved_waits_and_holds_up_no_other(slow):
    cluster, client, _, shim = slow

    def waits():
        return cluster.metric(cluster.object_admin_port, "waybill_object_failures_total", reason="ingest_wait")

    shim.aim(os.path.join(cluster.directory, "object", "cold"))
    shim.set("sync", pause=HANG_SECONDS, times=1)
    client.upload("slow-cold", "hangs", b"moved" * 20000)
    wait_for(lambda: shim.met("sync") == 1, "the move to hang")
    deliver_all_again(cluster)
    wait_for(waits, "the event to come again")
    wait_for(lambda: health_of(cluster, cluster.object_port, "object.ingest") == "SERVING", "the consumer to be made anew")
    seen = waits()

    def came_again():
        assert health_of(cluster, cluster.object_port, "object.ingest") == "SERVING", "one object is no outage"
        return waits() >= seen + 3

    wait_for(came_again, "it to come again and again")
    for number in range(5):
        client.put("slow", f"goes-on/{number}", b"stored meanwhile")
        client.wait_state("slow", f"goes-on/{number}", "STORED")
    assert tiers_of(client.get("slow-cold", "hangs")) == {"HOT"}, "the move was over before it was looked at"
    shim.clear()
    client.wait_tiers("slow-cold", "hangs", {"COLD"})
    check_nothing_is_stuck(client, ["slow", "slow-cold"])
    assert client.scrub() == []


def test_a_disk_that_is_slow_all_the_time_only_slows_things_down(slow):
    cluster, client, *shims = slow
    for shim in shims:
        shim.set("sync", pause=0.03)
        shim.set("write", pause=0.002)
        shim.set("read", pause=0.002)
    with Writers(cluster, "slow", "slow", passing=()) as writers:
        writers.wait_acked(60)
    writers.check()
    check_acked(client, "slow", writers.acked)
    check_nothing_is_stuck(client, ["slow"])
    check_stream(cluster, client)
    assert health_of(cluster, cluster.metadata_port, "metadata.write") == "SERVING"
    assert health_of(cluster, cluster.object_port, "object.ingest") == "SERVING"
