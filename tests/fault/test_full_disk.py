"""A disk that is full, at every place where a service writes: the status is clear, nothing that was acknowledged is
lost, reads go on, and so does everything else as soon as there is room again, without a restart."""

import contextlib
import os

import grpc

from acked_writes import Writers, check_acked, check_nothing_is_stuck, check_stream
from client import COLD, HOT, TIMEOUT, Client, failure_of, health_of, objects
from cluster import wait_for
from command_line import CommandLine
from conftest_shared import run_cluster
from loop_disk import memory_disk

RESERVE = 32 << 20  # a test's own writes do not use it up
FULL = ("record_store_full", "hot_store_full")


@contextlib.contextmanager
def cluster_with(name, megabytes=64, metadata_flags=(), object_flags=()):
    """(cluster, client, disk) with the directory `name`, such as metadata/spool, on a small disk of its own."""
    def place(cluster):
        path = os.path.join(cluster.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.symlink(disk.place, path)

    with memory_disk(megabytes) as disk:
        metadata_flags = ["--data-reserve-bytes", str(RESERVE), "--leveldb-write-buffer-bytes", "1MiB", "--spool-segment-bytes",
                          "4MiB", *metadata_flags]
        object_flags = ["--hot-reserve-bytes", "8MiB", "--volume-bytes", "4MiB", "--ingest-retry-longest", "200ms",
                        "--cold-suspend-longest", "1s", "--recall-stay", "1h", *object_flags]
        for cluster in run_cluster(allowed_errors=FULL, before_start=place, metadata_flags=metadata_flags,
                                   object_flags=object_flags):
            client = Client(cluster)
            client.create_bucket("full", HOT)
            client.create_bucket("full-cold", COLD, cold_after=0)
            client.upload("full", "before", b"before" * 30000)
            client.wait_state("full", "before", "STORED")
            yield cluster, client, disk


def refusal(call, *arguments):
    failure = failure_of(call, *arguments)
    assert failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED and failure.retry_seconds > 0, failure.message
    return failure.reason


def takes(call, *arguments):
    """The answer, or None while there is no room."""
    try:
        return call(*arguments)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, error
        return None


def check_all(cluster, client, writers=None):
    if writers is not None:
        check_acked(client, "full", writers.acked)
    check_nothing_is_stuck(client, ["full", "full-cold"])
    check_stream(cluster, client)
    assert client.read("full", "before")[0] == b"before" * 30000
    assert not client.status().read_only
    for path in ("metadata.write", "metadata.read"):
        assert health_of(cluster, cluster.metadata_port, path) == "SERVING"
    wait_for(lambda: health_of(cluster, cluster.object_port, "object.ingest") == "SERVING", "objects to be stored again")
    assert client.scrub() == []


def test_a_full_disk_of_the_record_store_refuses_changes_and_takes_them_again():
    with cluster_with("metadata", 160) as (cluster, client, disk):
        with Writers(cluster, "full", "full", 4) as writers:
            writers.wait_acked(20)
            disk.fill(leave_bytes=RESERVE * 3 // 4)
            wait_for(lambda: takes(client.put, "full", "plain") is None, "changes to be refused")
            assert refusal(client.put, "full", "more") == "DISK_FULL"
            assert refusal(client.upload, "full", "more", b"more" * 1000) == "DISK_FULL"
            assert client.read("full", "before")[0] == b"before" * 30000
            wait_for(lambda: client.status().spool_payloads == 0, "reports to go on, so that the spool drains")
            disk.fill()
            assert refusal(client.put, "full", "more") == "DISK_FULL"
            assert client.get("full", "before").version == 1
            assert cluster.metric(cluster.metadata_admin_port, "waybill_record_store_free_bytes") < RESERVE
            disk.make_room()
            writers.wait_acked(20)
        writers.check()
        assert {reason for _, reason in writers.refusals} <= {"DISK_FULL", "SPOOL_FULL"}, writers.refusals
        check_all(cluster, client, writers)


def test_a_spool_leaves_room_for_the_records_on_the_same_disk():
    with cluster_with("metadata", 104, ["--spool-max-bytes", "1GiB"]) as (cluster, client, disk):
        assert cluster.object.stop() == 0
        count = 0
        while takes(client.upload, "full", f"fills/{count}", os.urandom(3 << 20)) is not None:
            count += 1
        assert 2 <= count < 20
        assert refusal(client.upload, "full", "more", os.urandom(3 << 20)) == "SPOOL_FULL"
        for number in range(50):
            assert client.put("full", f"inline/{number}", os.urandom(20000)).version == 1
        cluster.object.start()
        wait_for(lambda: takes(client.upload, "full", "more", os.urandom(3 << 20)), "room in the spool")
        check_all(cluster, client)


def test_a_full_disk_of_the_spool_refuses_uploads_and_not_commits():
    with cluster_with("metadata/spool", 24) as (cluster, client, disk):
        with Writers(cluster, "full", "full", 4) as writers:
            writers.wait_acked(20)
            disk.fill()
            assert cluster.object.stop() == 0
            count = 0
            while takes(client.upload, "full", f"fills/{count}", os.urandom(3 << 20)) is not None:
                count += 1
            assert refusal(client.upload, "full", "more", os.urandom(3 << 20)) == "SPOOL_FULL"
            assert client.put("full", "plain").version == 1
            assert client.put("full", "inline", b"inline").version == 1
            disk.make_room()
            assert wait_for(lambda: takes(client.upload, "full", "more", b"more" * 100000), "room in the spool")
            cluster.object.start()
            writers.wait_acked(20)
        writers.check()
        assert {reason for _, reason in writers.refusals} <= {"SPOOL_FULL"}, writers.refusals
        check_all(cluster, client, writers)


def check_objects_wait(cluster, client, disk, names):
    """While there is no room for objects, and after it."""
    disk.fill()
    for number in range(10):
        client.upload("full", f"waits/{number}", bytes([number]) * 300000)
        client.put("full", f"inline/{number}", bytes([number]) * 3000)
    wait_for(lambda: health_of(cluster, cluster.object_port, "object.ingest") == "NOT_SERVING", "the full disk to be met")
    assert client.read("full", "waits/3")[0] == bytes([3]) * 300000, "from the spool"
    assert client.read("full", "before")[0] == b"before" * 30000
    stalls = [event["reason"] for event in cluster.object.log_events() if event["event"] == "ingest_stalled"]
    assert stalls and set(stalls) <= set(names), stalls
    disk.make_room()
    for number in range(10):
        client.wait_state("full", f"waits/{number}", "STORED")
        client.wait_state("full", f"inline/{number}", "STORED")
        assert client.read("full", f"waits/{number}")[0] == bytes([number]) * 300000


def test_objects_wait_for_a_full_disk_of_hot_volumes():
    with cluster_with("object/volumes") as (cluster, client, disk):
        check_objects_wait(cluster, client, disk, ["HOT_STORE_FULL"])
        check_all(cluster, client)


def test_objects_wait_for_a_full_disk_without_a_reserve():
    with cluster_with("object/volumes", object_flags=["--hot-reserve-bytes", "0"]) as (cluster, client, disk):
        check_objects_wait(cluster, client, disk, ["DISK_FULL"])
        check_all(cluster, client)


def test_objects_stay_hot_while_the_cold_directory_is_full():
    with cluster_with("object/cold", 24) as (cluster, client, disk):
        disk.fill()
        for number in range(5):
            client.upload("full-cold", f"stays/{number}", bytes([number]) * 300000)
            client.wait_tiers("full-cold", f"stays/{number}", {"HOT"})
        failed = wait_for(lambda: [event["reason"] for event in cluster.object.log_events()
                                   if event["event"] == "tier_move_failed"], "a move to fail")
        assert set(failed) <= {"DISK_FULL", "COLD_STORE_SUSPENDED"} and "DISK_FULL" in failed
        move = objects.DemoteObjectRequest(bucket="full-cold", key="stays/1")
        failure = failure_of(client.objects.DemoteObject, move, timeout=TIMEOUT)
        assert failure.reason in ("DISK_FULL", "COLD_STORE_SUSPENDED"), failure.message
        assert client.read("full-cold", "stays/2")[0] == bytes([2]) * 300000
        assert not any(files for _, _, files in os.walk(os.path.join(disk.place, ".tmp"))), "copies that were given up"
        disk.make_room()
        for number in range(5):
            client.wait_tiers("full-cold", f"stays/{number}", {"COLD"})
            assert client.read("full-cold", f"stays/{number}")[0] == bytes([number]) * 300000
        check_all(cluster, client)


def test_moves_wait_for_a_full_disk_of_their_notes():
    with cluster_with("object/moves", 1) as (cluster, client, disk):
        disk.fill()
        client.upload("full-cold", "stays", b"stays" * 50000)
        wait_for(lambda: [event for event in cluster.object.log_events() if event["event"] == "tier_move_failed"
                          and event["reason"] == "DISK_FULL"], "a move to fail")
        assert client.read("full-cold", "stays")[0] == b"stays" * 50000
        disk.make_room()
        client.wait_tiers("full-cold", "stays", {"COLD"})
        check_all(cluster, client)


def test_output_on_a_full_disk_fails_clearly_and_leaves_nothing_half(own_cluster):
    client = Client(own_cluster)
    client.create_bucket("full", HOT)
    client.upload("full", "large", os.urandom(4 << 20))
    client.wait_state("full", "large", "STORED")
    with memory_disk(2) as disk:
        line = CommandLine(own_cluster)
        for command in (["snapshot", os.path.join(disk.place, "snapshot")],
                        ["get", "full/large", os.path.join(disk.place, "large")]):
            disk.fill()
            done = line(*command)
            assert done.returncode != 0 and b"No space left on device" in done.stderr, (command, done.stderr)
            assert os.listdir(disk.place) == ["ballast"], command
            disk.make_room()
