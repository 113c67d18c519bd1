"""Power loss: the file system below a service is shut down in the middle of acknowledged writes, so that nothing that
was not flushed ever reaches the disk. After the restart what was acknowledged is there, ends STORED with the
right bytes, the stream is complete and in order, and a scrub finds nothing wrong.

WAYBILL_ROUNDS and WAYBILL_SEED choose another length or repeat a run."""

import os
import random
import signal
import time

import pytest

from acked_writes import Writers, check_acked, check_nothing_is_stuck, check_stream
from client import COLD, HOT, HOT_AND_COLD, Client, admin
from cluster import SLOWNESS, wait_for
from conftest_shared import run_cluster
from loop_disk import loop_disk

ROUNDS = max(2, int(os.environ.get("WAYBILL_ROUNDS", "20")) // 10)
SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
BUCKETS = {"hot": (HOT, 3600), "both": (HOT_AND_COLD, 0), "cold": (COLD, 0)}
METADATA_FLAGS = ["--spool-segment-bytes", "4MiB", "--spool-max-bytes", "128MiB", "--leveldb-write-buffer-bytes", "1MiB",
                  "--data-reserve-bytes", "16MiB"]
OBJECT_FLAGS = ["--hot-reserve-bytes", "16MiB", "--volume-bytes", "8MiB", "--ack-wait", "2s", "--tier-interval", "50ms"]


def put_on(disk, cluster, name):
    """The service's directory lies on that disk."""
    os.makedirs(os.path.join(disk.place, name))
    os.symlink(os.path.join(disk.place, name), os.path.join(cluster.directory, name))
    disk.sync()


def has_stopped(process):
    """Whether none of its threads runs any more; one that waits for the disk stops before it sees how that ends."""
    folder = f"/proc/{process.process.pid}/task"
    states = []
    for task in os.listdir(folder):
        with open(os.path.join(folder, task, "stat")) as status:
            states.append(status.read().rpartition(")")[2].split()[0])
    return set(states) <= {"T", "D"}


def lose_power(disk, process):
    """The service stops in the same moment as its disk. It must not go on without one: a flush that meets the shutdown
    may succeed on ext4 though its transaction was dropped, and power that is lost leaves nobody to acknowledge that."""
    process.process.send_signal(signal.SIGSTOP)
    wait_for(lambda: has_stopped(process), "all threads to stop")
    disk.lose_power()
    process.kill()
    disk.come_back()
    process.start()


def run_rounds(cluster, disk, process):
    client = Client(cluster)
    for name, (storage_class, cold_after) in BUCKETS.items():
        client.create_bucket(name, storage_class, cold_after)
    acked = {name: {} for name in BUCKETS}
    for number in range(ROUNDS):
        chance = random.Random(f"{SEED}/{number}")
        print(f"seed {SEED}, round {number}")
        with Writers(cluster, "hot", f"{SEED}/{number}", 2) as hot, Writers(
                cluster, "both", f"{SEED}/{number}", 1) as both, Writers(cluster, "cold", f"{SEED}/{number}", 1) as cold:
            every = (hot, both, cold)
            for writers in every:
                writers.wait_acked(10)
            time.sleep(chance.uniform(0, 0.7) * SLOWNESS)
            lose_power(disk, process)
            for writers in every:
                writers.wait_acked(2)
        for writers in every:
            writers.check()
            acked[writers.bucket].update(writers.acked)
    for name, writes in acked.items():
        check_acked(client, name, writes)
    check_nothing_is_stuck(client, BUCKETS)
    check_stream(cluster, client)
    # A copy that no record tells of yet is all that power loss may leave: the note of its move went with it.
    wait_for(lambda: {finding.kind for finding in client.scrub(repair=True)} <= {admin.SCRUB_KIND_UNLISTED},
             f"a scrub to find nothing wrong (seed {SEED})", 1)
    assert client.scrub() == [], SEED


# One file system is enough for a build with sanitizers.
KINDS = [pytest.param("ext4"), pytest.param("xfs", marks=pytest.mark.figures)]


@pytest.mark.parametrize("service", ["metadata", "object"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_acknowledged_and_stored_survives_power_loss(kind, service):
    with loop_disk(kind) as disk:
        for cluster in run_cluster(
                allowed_errors=("copy_unreadable",), before_start=lambda cluster: put_on(disk, cluster, service),
                metadata_flags=METADATA_FLAGS, object_flags=OBJECT_FLAGS):
            run_rounds(cluster, disk, getattr(cluster, service))
