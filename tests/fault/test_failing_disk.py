"""A disk that fails at a chosen call, or at random ones: the status is clear, what can go on goes on, no flush that
failed is tried again, and after a restart everything that was acknowledged is there.

WAYBILL_SEED repeats a run's writes."""

import errno
import os
import random
import time

import grpc
import pytest

from acked_writes import Writers, check_acked, check_nothing_is_stuck, check_stream
from client import COLD, HOT, TIMEOUT, Client, admin, failure_of, health_of, objects
from cluster import wait_for
from conftest_shared import run_cluster
from disk_shim import KINDS, failing, shims_of, skip_where_nothing_is_preloaded

SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
METADATA_ERRORS = ("record_store_failed", "spool_failed")
OBJECT_ERRORS = ("hot_volume_flush_failed", "hot_dead_list_failed", "hot_index_write_failed", "copy_unreadable",
                 "hot_volume_delete_failed", "copy_not_repaired", "corrupt_copy", "cold_directory_flush_failed")
FLAGS = {"metadata_flags": ["--spool-segment-bytes", "4MiB"],
         "object_flags": ["--volume-bytes", "8MiB", "--ack-wait", "2s", "--ingest-retry-longest", "500ms",
                          "--cold-suspend-longest", "1s", "--tier-interval", "50ms"]}


def begin(cluster):
    client = Client(cluster)
    client.create_bucket("failing", HOT)
    client.create_bucket("failing-cold", COLD, cold_after=0)
    client.upload("failing", "before", b"before" * 50000)
    client.put("failing", "inline", b"inline")
    client.upload("failing-cold", "cold", b"cold" * 50000)
    client.wait_state("failing", "before", "STORED")
    client.wait_state("failing", "inline", "STORED")
    client.wait_tiers("failing-cold", "cold", {"COLD"})
    return client


@pytest.fixture
def shimmed():
    """(cluster, client, shim of metadata-svc, shim of object-svc)"""
    skip_where_nothing_is_preloaded()
    shims = []

    for cluster in run_cluster(allowed_errors=METADATA_ERRORS + OBJECT_ERRORS,
                               before_start=lambda cluster: shims.extend(shims_of(cluster)), **FLAGS):
        client = begin(cluster)
        for shim in shims:
            shim.trace()
        yield (cluster, client, *shims)


def check_old(client):
    assert client.read("failing", "before")[0] == b"before" * 50000
    assert client.read("failing", "inline")[0] == b"inline"
    assert client.read("failing-cold", "cold")[0] == b"cold" * 50000


def restart(process):
    """Ends and starts it; a service with a failed disk ends cleanly, too."""
    assert process.stop() == 0
    process.start()


def check_all(cluster, acked):
    client = Client(cluster)
    check_acked(client, "failing", acked)
    check_nothing_is_stuck(client, ["failing", "failing-cold"])
    check_stream(cluster, client)
    check_old(client)
    assert client.scrub(repair=True) is not None
    assert client.scrub() == []


@pytest.mark.parametrize("kind, error", [("sync", errno.EIO), ("write", errno.EIO), ("write", errno.ENOSPC)])
def test_a_record_store_that_fails_is_read_only_until_a_restart(shimmed, kind, error):
    cluster, client, shim, _ = shimmed
    shim.aim(os.path.join(cluster.directory, "metadata", "records"))
    with Writers(cluster, "failing", SEED, passing=(UNAVAILABLE,)) as writers:
        writers.wait_acked()
        shim.set(kind, error=error, times=1)
        wait_for(lambda: writers.refusals, "a write to be refused")
        failure = failure_of(client.put, "failing", "more")
        assert (failure.code, failure.reason) == (UNAVAILABLE, "READ_ONLY")
        assert failure.retry_seconds > 0 and failure.pushback_ms == failure.retry_seconds * 1000
        assert failure_of(client.upload, "failing", "more", b"more").reason == "READ_ONLY"
    writers.check()
    assert {reason for _, reason in writers.refusals} == {"READ_ONLY"}, writers.refusals
    assert client.status().read_only
    assert health_of(cluster, cluster.metadata_port, "metadata.write") == "NOT_SERVING"
    assert health_of(cluster, cluster.metadata_port, "metadata.read") == "SERVING"
    assert cluster.http(cluster.metadata_admin_port, "/readyz")[0] == 503
    assert client.get("failing", "before").version == 1
    check_old(client)
    for key, (version, data) in list(writers.acked.items())[-20:]:
        if isinstance(data, bytes):
            assert client.read("failing", key, version=version)[0] == data, "before the restart, too"
    if kind == "sync":
        shim.check_no_retry()
    restart(cluster.metadata)
    check_all(cluster, writers.acked)


@pytest.mark.parametrize("kind", ["sync", "write"])
def test_a_spool_that_fails_takes_no_uploads_and_commits_go_on(shimmed, kind):
    cluster, client, shim, _ = shimmed
    shim.aim(os.path.join(cluster.directory, "metadata", "spool"))
    with Writers(cluster, "failing", SEED, passing=(UNAVAILABLE,)) as writers:
        writers.wait_acked()
        shim.set(kind, error=errno.EIO, times=1)
        wait_for(lambda: writers.refusals, "an upload to be refused")
        failure = failure_of(client.upload, "failing", "more", b"more")
        assert (failure.code, failure.reason) == (UNAVAILABLE, "SPOOL_READ_ONLY")
        assert failure.retry_seconds > 0 and failure.pushback_ms == failure.retry_seconds * 1000
        assert client.put("failing", "plain").version == 1
        assert client.put("failing", "more-inline", b"inline").version == 1
        writers.wait_acked()
    writers.check()
    assert {reason for _, reason in writers.refusals} == {"SPOOL_READ_ONLY"}, writers.refusals
    assert health_of(cluster, cluster.metadata_port, "metadata.write") == "SERVING"
    client.wait_state("failing", "more-inline", "STORED")
    if kind == "sync":
        shim.check_no_retry()
    restart(cluster.metadata)
    check_all(cluster, writers.acked)


@pytest.mark.parametrize("place, kind", [("volumes", "sync"), ("volumes", "write"), ("index", "write")])
def test_hot_storage_that_fails_holds_up_objects_and_nothing_else(shimmed, place, kind):
    cluster, client, _, shim = shimmed
    shim.aim(os.path.join(cluster.directory, "object", place))
    with Writers(cluster, "failing", SEED, passing=()) as writers:
        writers.wait_acked()
        shim.set(kind, error=errno.EIO, times=1)
        wait_for(lambda: shim.met(kind) == 1, "the disk to fail")
        writers.wait_acked()
        if (place, kind) != ("volumes", "write"):
            wait_for(lambda: health_of(cluster, cluster.object_port, "object.ingest") == "NOT_SERVING", "it to be told")
        check_old(client)
        assert client.upload("failing", "in-spool", b"in spool" * 1000).version == 1
        assert client.read("failing", "in-spool")[0] == b"in spool" * 1000
    writers.check()
    if (place, kind) == ("volumes", "write"):
        client.wait_state("failing", "in-spool", "STORED")
    else:
        if kind == "sync":
            shim.check_no_retry()
        restart(cluster.object)
    check_all(cluster, writers.acked)


@pytest.mark.parametrize("kind", ["write", "open", "rename"])
def test_a_cold_directory_that_fails_leaves_objects_hot_until_it_is_well(shimmed, kind):
    cluster, client, _, shim = shimmed
    shim.aim(os.path.join(cluster.directory, "object", "cold"))
    with failing(shim, kind):
        for number in range(5):
            client.upload("failing-cold", f"stays/{number}", bytes([number]) * 200000)
            client.wait_state("failing-cold", f"stays/{number}", "STORED")
        wait_for(lambda: shim.met(kind) > 0, "the disk to fail")
        if kind != "open":  # which reads need, too
            check_old(client)
        assert client.read("failing-cold", "stays/2")[0] == bytes([2]) * 200000
    for number in range(5):
        client.wait_tiers("failing-cold", f"stays/{number}", {"COLD"})
        assert client.read("failing-cold", f"stays/{number}")[0] == bytes([number]) * 200000
    check_all(cluster, {})


def test_a_cold_directory_whose_flush_fails_takes_nothing_until_a_restart(shimmed):
    cluster, client, _, shim = shimmed
    shim.aim(os.path.join(cluster.directory, "object", "cold"))
    shim.set("sync", error=errno.EIO, times=1)  # after that the disk is well
    client.upload("failing-cold", "stays", b"stays" * 50000)

    def refusals():
        return sum(event.get("reason") == "COLD_STORE_READ_ONLY" for event in cluster.object.log_events())

    wait_for(lambda: cluster.metric(cluster.object_admin_port, "waybill_cold_suspended", path="write") == 1, "it to be told")
    before = wait_for(refusals, "a move to be refused")
    assert shim.met("sync") == 1
    wait_for(lambda: refusals() > before, "it to be tried again")
    flushes = [error for _, kind, error, _ in shim.traced() if kind == "sync"]
    assert flushes[-1] == errno.EIO, "nothing is flushed after a flush that failed"

    def refused_move():
        request = objects.DemoteObjectRequest(bucket="failing-cold", key="stays")
        failure = failure_of(client.objects.DemoteObject, request, timeout=TIMEOUT)
        return failure if failure.reason != "OBJECT_MOVING" else None  # another try is under way

    failure = wait_for(refused_move, "a move that is asked for")
    assert failure.code == UNAVAILABLE and failure.reason in ("COLD_STORE_READ_ONLY", "COLD_STORE_SUSPENDED")
    assert "read-only" in failure.message
    status = client.object_admin.GetStatus(admin.GetStatusRequest(), timeout=TIMEOUT).object
    assert status.cold_writes_suspended and not status.cold_reads_suspended
    check_old(client)
    assert client.read("failing-cold", "stays")[:2] == (b"stays" * 50000, objects.READ_SOURCE_HOT)
    restart(cluster.object)
    client.wait_tiers("failing-cold", "stays", {"COLD"})
    check_all(cluster, {})


def test_reads_that_fail_say_so_and_go_on_when_the_disk_is_well(shimmed):
    cluster, client, _, shim = shimmed
    shim.aim(os.path.join(cluster.directory, "object"))
    with failing(shim, "read"):
        failure = failure_of(client.read, "failing", "before")
        assert failure.code != grpc.StatusCode.DATA_LOSS and failure.reason == "IO_ERROR", failure.message
        assert failure_of(client.read, "failing-cold", "cold").reason == "IO_ERROR"
    wait_for(lambda: cluster.metric(cluster.object_admin_port, "waybill_object_repairs_waiting") == 0, "nothing to mend")
    check_all(cluster, {})


# What a client may be told, by service; besides, while the service is started again, that it is away.
CLEAR = {(UNAVAILABLE, "READ_ONLY"), (UNAVAILABLE, "SPOOL_READ_ONLY"), (UNAVAILABLE, None),
         (grpc.StatusCode.RESOURCE_EXHAUSTED, "SPOOL_FULL"), (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL"),
         (grpc.StatusCode.INTERNAL, "RECORD_STORE_FAILED"), (grpc.StatusCode.INTERNAL, "IO_ERROR"),
         (grpc.StatusCode.CANCELLED, None)}


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["io-error", "no-space"])
@pytest.mark.parametrize("name", ["metadata", "object"])
def test_a_disk_that_fails_at_random_loses_nothing_that_was_acknowledged(shimmed, name, error):
    cluster, _, *shims = shimmed
    process, shim = getattr(cluster, name), shims[name == "object"]
    acked = {}
    chance = random.Random(f"{SEED}/{name}/{error}")
    print(f"seed {SEED}")
    for number in range(2):
        with Writers(cluster, "failing", f"{SEED}/{number}", 3, passing={code for code, _ in CLEAR}) as writers:
            writers.wait_acked(20)
            kinds = chance.sample(KINDS, 3)
            for kind in kinds:
                shim.set(kind, error=error, permille=20)
            wait_for(lambda: any(shim.met(kind) for kind in kinds), "the disk to fail")
            time.sleep(chance.uniform(0, 0.3))
            shim.clear()
            process.kill()
            process.start()
            writers.wait_acked(5)
        writers.check()
        assert set(writers.refusals) <= CLEAR, writers.refusals
        acked.update(writers.acked)
    check_all(cluster, acked)
