"""Objects on their way between the tiers: on demand, by policy, by watermark, and out of both."""

import json
import os
import subprocess
import threading
import time

import grpc
import pytest

from google.protobuf import duration_pb2

from client import (
    COLD, HOT, HOT_AND_COLD, TIMEOUT, Client, Failure, admin, again, bucket_messages, failure_of, metadata, objects, record_messages,
    report, tiers_of)
from cluster import BUILD, wait_for
from conftest_shared import run_cluster
from damage import cold_file, flip_cold

SIZE = (3 << 20) + 4099
WAYBILL = os.path.join(BUILD, "cli", "waybill")


class Tiers(Client):
    """What a client does with tiers."""

    def create_bucket(self, name, storage_class=HOT, cold_after=3600.0, expire_after=0, **fields):
        policy = {name: fields.pop(name) for name in ("max_versions", "promote_after_reads", "overflow_to_cold") if name in fields}
        bucket = bucket_messages.Bucket(name=name, **fields)
        bucket.storage.CopyFrom(bucket_messages.StoragePolicy(
            storage_class=storage_class, cold_after=duration_pb2.Duration(seconds=int(cold_after)),
            expire_after=duration_pb2.Duration(seconds=expire_after), **policy))
        return self.metadata.CreateBucket(metadata.CreateBucketRequest(bucket=bucket), timeout=TIMEOUT).bucket

    def promote(self, bucket, key, replica=0, **fields):
        request = objects.PromoteObjectRequest(bucket=bucket, key=key, **fields)
        return self.replicas[replica].PromoteObject(request, timeout=TIMEOUT, wait_for_ready=True)

    def demote(self, bucket, key, replica=0, **fields):
        request = objects.DemoteObjectRequest(bucket=bucket, key=key, **fields)
        return self.replicas[replica].DemoteObject(request, timeout=TIMEOUT, wait_for_ready=True)

    def verify(self, bucket, key, replica=0, **fields):
        """{tier or (tier, replica): code}"""
        request = objects.VerifyObjectRequest(bucket=bucket, key=key, **fields)
        answer = self.replicas[replica].VerifyObject(request, timeout=TIMEOUT)
        return {(copy.location.tier, copy.location.replica): copy.code for copy in answer.copies}

    def store(self, bucket, key, tiers, size=SIZE):
        content = os.urandom(size)
        self.upload(bucket, key, content)
        if tiers == {"COLD"}:
            self.wait_cold(bucket, key)
        else:
            self.wait_tiers(bucket, key, tiers)
        return content

    def waybill(self, *arguments):
        """(exit status, standard output)"""
        done = subprocess.run([WAYBILL, *arguments], env=self.cluster.environment(), capture_output=True, text=True,
                              timeout=TIMEOUT * 4)
        assert "Sanitizer" not in done.stderr, done.stderr
        return done.returncode, done.stdout


@pytest.fixture(scope="module")
def tiers(cluster):
    client = Tiers(cluster)
    client.create_bucket("hot", HOT)
    client.create_bucket("both", HOT_AND_COLD, cold_after=0)
    client.create_bucket("cold", COLD, cold_after=0)
    return client


# ---- on demand ----

def test_an_object_goes_cold_and_comes_back_on_demand(tiers):
    content = tiers.store("hot", "a", {"HOT"})
    answer = tiers.demote("hot", "a")
    assert answer.done and tiers_of(answer.record) == {"COLD"}
    assert tiers.read("hot", "a")[:2] == (content, objects.READ_SOURCE_COLD)
    answer = tiers.promote("hot", "a")
    assert answer.done and tiers_of(answer.record) == {"HOT", "COLD"}
    assert tiers.read("hot", "a")[:2] == (content, objects.READ_SOURCE_HOT)
    events = [event for event in tiers.watch(tiers.revision(), bucket="hot") if event.record.key == "a"]
    assert [tiers_of(event.record) for event in events[-3:]] == [{"HOT"}, {"COLD"}, {"HOT", "COLD"}]


def test_what_is_where_it_is_to_be_is_done_at_once(tiers):
    tiers.store("both", "there", {"HOT", "COLD"})
    before = tiers.revision()
    assert tiers.promote("both", "there").done
    tiers.store("cold", "there", {"COLD"})
    before = tiers.revision()
    assert tiers.demote("cold", "there").done
    assert tiers.promote("both", "there", no_wait=True).done
    assert tiers.revision() == before


def test_whoever_does_not_wait_asks_until_it_is_done(tiers):
    content = tiers.store("cold", "asked", {"COLD"}, 20 << 20)
    answer = tiers.promote("cold", "asked", no_wait=True)
    assert not answer.done
    moved = []

    def done():
        answer = tiers.promote("cold", "asked", no_wait=True)
        moved.append(answer.moved_bytes)
        return answer.done

    wait_for(done, "the object to be promoted")
    assert all(0 <= count <= len(content) for count in moved)
    assert tiers.read("cold", "asked")[:2] == (content, objects.READ_SOURCE_HOT)


def test_a_version_that_shares_its_payload_is_moved_as_one(tiers):
    content = tiers.store("hot", "shared", {"HOT"})
    assert tiers.waybill("update", "hot/shared", "--set", "a=b")[0] == 0
    assert tiers.demote("hot", "shared", version=1).done
    assert [tiers_of(tiers.get("hot", "shared", version)) for version in (1, 2)] == [{"COLD"}, {"COLD"}]
    assert tiers.promote("hot", "shared").record.version == 2
    assert [tiers_of(tiers.get("hot", "shared", version)) for version in (1, 2)] == [{"HOT", "COLD"}] * 2
    assert tiers.read("hot", "shared", version=1)[0] == content


@pytest.mark.parametrize("call", ["promote", "demote", "verify"])
def test_bad_requests_are_refused(tiers, call):
    def refused(*arguments, **fields):
        failure = failure_of(getattr(tiers, call), *arguments, **fields)
        return failure.code, failure.reason, failure.field

    code = grpc.StatusCode
    assert refused("B", "key") == (code.INVALID_ARGUMENT, "BAD_BUCKET_NAME", "bucket")
    assert refused("hot", "a//b") == (code.INVALID_ARGUMENT, "BAD_KEY", "key")
    assert refused("hot", "a", version=-1) == (code.INVALID_ARGUMENT, "BAD_VERSION", "version")
    assert refused("hot", "none") == (code.NOT_FOUND, "RECORD_NOT_FOUND", None)
    tiers.put("hot", "no-bytes")
    tiers.announce("hot", "announced", size=5)
    if call != "verify":
        assert refused("hot", "no-bytes") == (code.FAILED_PRECONDITION, "NO_PAYLOAD", None)
        assert refused("hot", "announced", version=1) == (code.FAILED_PRECONDITION, "PAYLOAD_NOT_STORED", None)


def test_the_command_line_moves_objects(tiers):
    tiers.store("hot", "by-hand", {"HOT"})
    status, out = tiers.waybill("demote", "hot/by-hand")
    assert (status, out) == (0, "demoted hot/by-hand  version 1  in COLD\n")
    status, out = tiers.waybill("promote", "--json", "hot/by-hand")
    assert status == 0 and {place["tier"] for place in json.loads(out)["locations"]} == {"TIER_HOT", "TIER_COLD"}
    assert tiers.waybill("promote", "hot/none")[0] == 3
    assert tiers.waybill("demote", "--detach", "hot/by-hand")[0] == 0
    tiers.wait_tiers("hot", "by-hand", {"COLD"})


# ---- verification ----

def test_each_copy_is_read_and_told_of(own_cluster):
    client = Tiers(own_cluster)
    client.create_bucket("both", HOT_AND_COLD, cold_after=0)
    content = client.store("both", "seen", {"HOT", "COLD"})
    hot, cold = (1, "replica-1"), (2, "")
    assert client.verify("both", "seen") == {hot: 0, cold: 0}
    flip_cold(own_cluster, content[1 << 19:][:64])
    data_loss = grpc.StatusCode.DATA_LOSS.value[0]
    assert client.verify("both", "seen") == {hot: 0, cold: data_loss}
    wait_for(lambda: client.verify("both", "seen") == {hot: 0, cold: 0}, "the cold copy to be mended")
    path, _ = cold_file(own_cluster, content[:64])
    os.remove(path)
    assert client.verify("both", "seen") == {hot: 0, cold: grpc.StatusCode.NOT_FOUND.value[0]}


# ---- reads meanwhile ----

def test_reads_go_on_while_objects_move_back_and_forth(tiers):
    contents = {key: tiers.store("hot", key, {"HOT"}, size) for key, size in
                (("moving-small", 1000), ("moving", SIZE), ("moving-large", 9 << 20))}
    stop = threading.Event()
    failures, reads = [], []

    def read(key):
        client = Tiers(tiers.cluster)
        try:
            while not stop.is_set():
                data, source, _ = client.read("hot", key)
                assert data == contents[key]
                reads.append(source)
        except BaseException as failure:
            failures.append(failure)

    readers = [threading.Thread(target=read, args=(key,)) for key in contents]
    for reader in readers:
        reader.start()
    try:
        for _ in range(10):
            for key in contents:
                assert tiers_of(tiers.demote("hot", key).record) == {"COLD"}
            for key in contents:
                assert tiers_of(tiers.promote("hot", key).record) == {"HOT", "COLD"}
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert not failures, failures[0]
    assert {objects.READ_SOURCE_HOT, objects.READ_SOURCE_COLD} <= set(reads)


# ---- replicas ----

def test_a_demotion_takes_the_hot_copies_of_all_replicas():
    for cluster in run_cluster(replicas=2):
        client = Tiers(cluster)
        cluster.wait_peers()
        client.create_bucket("cold", COLD, cold_after=0)
        content = client.store("cold", "a", {"COLD"})
        assert client.promote("cold", "a").done
        holder = client.get("cold", "a").locations
        assert {place.replica for place in holder} == {"replica-1", ""}
        assert client.promote("cold", "a", replica=1).done, "hot somewhere is hot"
        assert client.read("cold", "a", replica=1)[:2] == (content, objects.READ_SOURCE_PEER)
        assert set(client.verify("cold", "a", replica=1).values()) == {0}
        answer = client.demote("cold", "a", replica=1)
        assert answer.done and tiers_of(answer.record) == {"COLD"}
        assert client.promote("cold", "a").done
        cluster.objects[0].kill()
        failure = failure_of(client.demote, "cold", "a", replica=1)
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OBJECT_ON_OTHER_REPLICA") or \
            failure.code == grpc.StatusCode.UNAVAILABLE
        assert client.read("cold", "a", replica=1)[0] == content
        cluster.objects[0].start()


# ---- policies ----

def test_a_promoted_copy_stays_for_a_while_in_a_bucket_of_cold_objects():
    for cluster in run_cluster(object_flags=["--recall-stay", "2s"]):
        client = Tiers(cluster)
        client.create_bucket("cold", COLD, cold_after=0)
        content = client.store("cold", "a", {"COLD"})
        assert tiers_of(client.promote("cold", "a").record) == {"HOT", "COLD"}
        client.wait_cold("cold", "a")
        assert client.read("cold", "a")[:2] == (content, objects.READ_SOURCE_COLD)


# ---- objects that no version needs any more ----

def object_files(cluster):
    """(hot objects, names of cold objects)"""
    status = Client(cluster).object_admin.GetStatus(admin.GetStatusRequest(), timeout=TIMEOUT).object
    cold = os.path.join(cluster.directory, "object", "cold")
    names = [os.path.relpath(os.path.join(path, name), cold) for path, _, names in os.walk(cold) for name in names
             if name.startswith("@") and not name.endswith(".json")]
    return status.hot_objects, sorted(names)


@pytest.fixture(scope="module")
def dropping():
    for cluster in run_cluster(metadata_flags=["--object-drop-delay", "0s"]):
        client = Tiers(cluster)
        yield client


def test_objects_of_versions_that_are_gone_leave_both_tiers(dropping):
    client, cluster = dropping, dropping.cluster
    day = duration_pb2.Duration(seconds=1)
    client.create_bucket("bounded", HOT_AND_COLD, cold_after=0, max_versions=2)
    client.create_bucket("deleted", HOT_AND_COLD, cold_after=0, delete_retention=day)
    client.create_bucket("expired", HOT_AND_COLD, cold_after=0, expire_after=1, delete_retention=day)
    last = {}
    for number in range(5):
        for bucket in ("bounded", "deleted"):
            last[bucket] = client.store(bucket, "key", {"HOT", "COLD"}, 1000 + number)
    client.store("expired", "key", {"HOT", "COLD"}, 1000)
    client.delete("deleted", "key")
    wait_for(lambda: object_files(cluster) == (2, ["bounded/key/@4", "bounded/key/@5"]), "the others to be dropped")
    assert client.read("bounded", "key")[0] == last["bounded"]
    assert len(client.read("bounded", "key", version=4)[0]) == 1003
    assert client.waybill("verify")[0] == 0
    assert cluster.metric(cluster.object_admin_port, "waybill_objects_dropped_total", tier="hot") == 9
    assert cluster.metric(cluster.object_admin_port, "waybill_objects_dropped_total", tier="cold") == 9


def test_an_object_that_a_kept_version_shares_is_not_dropped(dropping):
    client = dropping
    client.create_bucket("sharing", HOT_AND_COLD, cold_after=0, max_versions=1)
    content = client.store("sharing", "key", {"HOT", "COLD"}, 2000)
    for number in range(4):
        assert client.waybill("update", "sharing/key", "--set", f"number={number}")[0] == 0
    other = client.store("sharing", "other", {"HOT", "COLD"}, 500)
    client.store("sharing", "other", {"HOT", "COLD"}, 600)
    wait_for(lambda: "sharing/other/@1" not in object_files(client.cluster)[1], "the other's first version to go")
    assert other != content and client.read("sharing", "key")[:2] == (content, objects.READ_SOURCE_HOT)
    assert set(client.verify("sharing", "key").values()) == {0}
    assert client.waybill("verify", "sharing")[0] == 0


def wait_until_gone(client, bucket, key, version):
    """An old version goes soon after the newer ones are stored."""
    def gone():
        try:
            return client.get(bucket, key, version) is None
        except grpc.RpcError as error:
            assert Failure(error).reason == "VERSION_NOT_FOUND"
            return True

    wait_for(gone, f"version {version} of {bucket}/{key} to go")


def test_objects_are_kept_for_the_delay(tiers):
    """A snapshot that is younger finds them again."""
    tiers.create_bucket("delayed", HOT, max_versions=1)
    tiers.store("delayed", "key", {"HOT"}, 100)
    record = tiers.get("delayed", "key")
    tiers.store("delayed", "key", {"HOT"}, 200)
    wait_until_gone(tiers, "delayed", "key", 1)
    request = report.ListDropsRequest(tier=record_messages.TIER_HOT, replica="replica-1")
    assert list(tiers.reports.ListDrops(request, timeout=TIMEOUT).drops) == []
    assert tiers.report("replica-1", record, "STORED", "HOT") == "OBSOLETE"


@pytest.mark.parametrize("fields, reason, field", [
    ({}, "BAD_TIER", "tier"),
    ({"tier": 1}, "BAD_REPLICA", "replica"),
    ({"tier": 2, "replica": "a"}, "BAD_REPLICA", "replica"),
    ({"tier": 2, "page_size": -1}, "BAD_PAGE_SIZE", "page_size"),
    ({"tier": 2, "page_token": "x"}, "BAD_PAGE_TOKEN", "page_token"),
])
def test_bad_questions_for_drops_are_refused(tiers, fields, reason, field):
    failure = failure_of(tiers.reports.ListDrops, report.ListDropsRequest(**fields), timeout=TIMEOUT)
    assert (failure.code, failure.reason, failure.field) == (grpc.StatusCode.INVALID_ARGUMENT, reason, field)


def test_drops_are_told_in_pages_until_they_are_reported():
    for cluster in run_cluster(metadata_flags=["--object-drop-delay", "0s"], object_flags=["--tier-interval", "1h"]):
        client = Tiers(cluster)
        client.create_bucket("paged", HOT, max_versions=1)
        for number in range(6):
            client.upload("paged", "key", b"x" * number)
            client.wait_state("paged", "key", "STORED")
            if number > 0:
                wait_until_gone(client, "paged", "key", number)

        def page(token=""):
            return client.reports.ListDrops(report.ListDropsRequest(
                tier=record_messages.TIER_HOT, replica="replica-1", page_size=2, page_token=token), timeout=TIMEOUT)

        seen, token = [], ""
        while True:
            answer = page(token)
            seen += answer.drops
            token = answer.next_page_token
            if not token:
                break
        assert [drop.object.version for drop in seen] == [1, 2, 3, 4, 5]
        request = report.ReportObjectsRequest(replica="replica-1")
        for drop in seen[:3]:
            request.reports.add(bucket="paged", key="key", version=drop.object.version,
                                payload_id=drop.object.payload_id, outcome="OBJECT_OUTCOME_DROPPED", tier="TIER_HOT",
                                drop_due_time=drop.due_time)
        before = client.revision()
        client.reports.ReportObjects(request, timeout=TIMEOUT)
        assert [drop.object.version for drop in page().drops] == [4, 5]
        assert client.revision() == before


def test_what_a_replica_does_not_come_for_is_forgotten_and_found_by_a_scrub_once_it_is_back():
    flags = ["--object-drop-delay", "0s", "--object-drop-retention", "1s"]
    for cluster in run_cluster(metadata_flags=flags, object_flags=["--tier-interval", "1h"]):
        client = Tiers(cluster)
        client.create_bucket("away", HOT, max_versions=1)
        for content in (b"old", b"new"):
            client.upload("away", "key", content)
            client.wait_state("away", "key", "STORED")
        wait_until_gone(client, "away", "key", 1)
        cluster.object.stop()
        request = report.ListDropsRequest(tier=record_messages.TIER_HOT, replica="replica-1")
        wait_for(lambda: not client.reports.ListDrops(request, timeout=TIMEOUT).drops, "the replica to be given up")
        assert "drops_forgotten" in [event["event"] for event in cluster.metadata.log_events()]
        cluster.object.start()
        assert client.read("away", "key")[0] == b"new"
        status, text = client.waybill("verify")
        assert status != 0 and "1 orphaned" in text, text


# ---- promotion by reads ----

def test_what_is_read_often_from_cold_is_promoted():
    for cluster in run_cluster():
        client = Tiers(cluster)
        bucket = client.create_bucket("often", COLD, cold_after=0, promote_after_reads=3)
        assert bucket.storage.promote_after_reads == 3
        content = client.store("often", "a", {"COLD"})
        client.store("often", "b", {"COLD"})
        for _ in range(2):
            assert client.read("often", "a")[:2] == (content, objects.READ_SOURCE_COLD)
        assert tiers_of(client.get("often", "a")) == {"COLD"}
        client.read("often", "a")
        client.wait_tiers("often", "a", {"HOT", "COLD"})
        assert client.read("often", "a")[:2] == (content, objects.READ_SOURCE_HOT)
        assert tiers_of(client.get("often", "b")) == {"COLD"}


@pytest.mark.parametrize("reads", [-1, 1000001])
def test_a_bad_number_of_reads_is_refused(tiers, reads):
    failure = failure_of(tiers.create_bucket, "bad-reads", promote_after_reads=reads)
    assert (failure.code, failure.reason, failure.field) == (
        grpc.StatusCode.INVALID_ARGUMENT, "BAD_PROMOTE_AFTER_READS", "bucket.storage.promote_after_reads")


# ---- a policy that changes ----

def test_a_policy_that_changes_moves_the_objects_that_are_there():
    for cluster in run_cluster(object_flags=["--recall-stay", "0s"]):
        client = Tiers(cluster)
        client.create_bucket("changing", HOT)
        content = client.store("changing", "a", {"HOT"})
        assert client.waybill("bucket", "update", "changing", "--storage-class=hot-and-cold", "--cold-after=0s")[0] == 0
        client.wait_tiers("changing", "a", {"HOT", "COLD"})
        assert client.waybill("bucket", "update", "changing", "--storage-class=cold")[0] == 0
        client.wait_tiers("changing", "a", {"COLD"})
        cluster.object.kill()
        assert client.waybill("bucket", "update", "changing", "--storage-class=hot")[0] == 0
        cluster.object.start()
        client.wait_tiers("changing", "a", {"HOT", "COLD"})
        assert again(client.read, "changing", "a")[:2] == (content, objects.READ_SOURCE_HOT)
        client.demote("changing", "a")
        assert client.waybill("bucket", "update", "changing", "--storage-class=hot-and-cold", "--promote-after-reads=1")[0] == 0
        client.wait_tiers("changing", "a", {"HOT", "COLD"})
        client.demote("changing", "a")

        def promoted():
            assert client.read("changing", "a")[0] == content
            return tiers_of(client.get("changing", "a")) == {"HOT", "COLD"}

        wait_for(promoted, "the new policy to promote the object")


# ---- watermarks ----

def test_what_was_not_used_for_longest_leaves_a_hot_tier_that_is_too_full():
    size = 400 << 10
    flags = ["--hot-capacity-bytes", "4MiB", "--hot-high-watermark-percent", "80", "--hot-low-watermark-percent", "50",
             "--volume-bytes", "1MiB", "--compaction-interval", "50ms", "--compaction-bytes-per-second", "0"]
    for cluster in run_cluster(object_flags=flags):
        client = Tiers(cluster)
        client.create_bucket("pinned", HOT)
        client.create_bucket("may-go", HOT, overflow_to_cold=True)
        contents = {("pinned", "first"): client.store("pinned", "first", {"HOT"}, size)}
        for number in range(6):
            contents["may-go", str(number)] = client.store("may-go", str(number), {"HOT"}, size)
        stored = time.time()
        wait_for(lambda: time.time() > stored + 1, "the next second, since times of reads are whole ones")
        client.read("may-go", "0")
        contents["may-go", "6"] = client.store("may-go", "6", {"HOT"}, size)
        contents["may-go", "7"] = client.store("may-go", "7", {"HOT"}, size)
        for key in ("1", "2", "3"):
            client.wait_tiers("may-go", key, {"COLD"})
        assert tiers_of(client.get("may-go", "0")) == {"HOT"}, "it was read"
        assert tiers_of(client.get("pinned", "first")) == {"HOT"}, "its bucket does not let it go"
        wait_for(lambda: object_files(cluster)[0] <= 5, "hot to be below the low watermark")
        for (bucket, key), content in contents.items():
            assert client.read(bucket, key)[0] == content
        wait_for(lambda: client.object_admin.GetStatus(admin.GetStatusRequest(), timeout=TIMEOUT).object.hot_disk_bytes
                 < 4 << 20, "the compactor to give the garbage back")
