"""kill -9 of object-svc through hundreds of compactions, and a disk that is full: every object that was
acknowledged is there with its bytes, none that was given up comes back, and no file is left over.

WAYBILL_COMPACTIONS and WAYBILL_SEED choose another length or repeat a run."""

import glob
import os
import random
import shutil
import subprocess
import threading
import time

import grpc
import pytest

from client import COLD, HOT, TIMEOUT, Client, admin, bucket_messages, metadata, record_messages, tiers_of
from cluster import PATIENCE, wait_for
from conftest_shared import run_cluster

pytestmark = pytest.mark.kills

COMPACTIONS = int(os.environ.get("WAYBILL_COMPACTIONS", "200"))
KILLS = max(4, COMPACTIONS * 15 // 200)  # at least
SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
WRITERS = 2
OVERWRITTEN_KEYS = 40
# Two of three objects leave the hot volumes, at different times.
BUCKETS = {"stays": (HOT, 3600.0), "goes": (COLD, 0.0), "goes-later": (COLD, 1.5)}

RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED,
           grpc.StatusCode.RESOURCE_EXHAUSTED)


def object_status(client):
    return client.object_admin.GetStatus(admin.GetStatusRequest(), timeout=TIMEOUT, wait_for_ready=True).object


def restart(cluster, client, between=None):
    """kill -9 and a start; the client's connection may have to be made anew."""
    cluster.object.kill()
    if between is not None:
        between()
    cluster.object.start()

    def answers():
        try:
            return object_status(client)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            return None

    wait_for(answers, "object-svc to answer")


def hot_files(cluster, pattern):
    return glob.glob(os.path.join(cluster.directory, "object", "volumes", pattern))


def compactions(cluster):
    """Of all lives of object-svc."""
    return cluster.object.log().count('"hot_volume_compacted"')


class Writers:
    """Threads that write new keys and overwrite others until they are stopped."""

    def __init__(self, client, seed):
        self.client = client
        self.acked = {}
        self.failure = None
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(random.Random(f"{seed}-{number}"), number))
                        for number in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def run(self, chance, number):
        try:
            count = 0
            while not self.stopping.is_set():
                count += 1
                bucket = chance.choice(list(BUCKETS))
                key = f"{number}/{chance.choice([count, chance.randrange(OVERWRITTEN_KEYS)])}"
                data = chance.randbytes(chance.choice([0, 300, 60000, 150000, 250000, 250000]))
                self.write(bucket, key, data)
        except BaseException as failure:  # the test thread raises it
            self.failure = failure

    def write(self, bucket, key, data):
        while True:
            try:
                put = self.client.upload if len(data) > 20000 else self.client.put
                record = put(bucket, key, data)
                self.acked[(bucket, key, record.version)] = data
                return
            except grpc.RpcError as error:
                assert error.code() in RETRIED, error
                time.sleep(0.02)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        assert self.failure is None, self.failure


@pytest.fixture
def small_volumes():
    for cluster in run_cluster(object_flags=[
            "--volume-bytes", "1MiB", "--compaction-interval", "10ms", "--compaction-garbage-percent", "30",
            "--compaction-bytes-per-second", "0", "--tier-interval", "50ms", "--ack-wait", "5s"]):
        yield cluster


def wait_settled(client, acked):
    """Waits until each object is where its bucket wants it."""
    left = list(acked)

    def unsettled(bucket, key, version):
        record = client.get(bucket, key, version)
        wanted = {"HOT"} if BUCKETS[bucket][0] == HOT else {"COLD"}
        return record.state != record_messages.RECORD_STATE_STORED or tiers_of(record) != wanted

    def settled():
        left[:] = [name for name in left if unsettled(*name)]
        return not left

    try:
        wait_for(settled, f"every object to be in its tier (seed {SEED})", 90)
    except AssertionError:
        print([client.get(*name) for name in left[:3]])
        raise


def check_reads(client, acked):
    for (bucket, key, version), data in acked.items():
        assert client.read(bucket, key, version=version)[0] == data, f"{bucket}/{key} version {version}, seed {SEED}"


@pytest.mark.long
def test_kills_during_compactions_lose_nothing_and_leave_nothing(small_volumes):
    cluster, client = small_volumes, Client(small_volumes)
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    for name, (storage_class, cold_after) in BUCKETS.items():
        client.create_bucket(name, storage_class, cold_after)
    writers = Writers(client, SEED)
    kills = 0
    until = time.monotonic() + 120 * PATIENCE
    while (compactions(cluster) < COMPACTIONS or kills < KILLS) and time.monotonic() < until and not writers.failure:
        time.sleep(chance.uniform(0.05, 1.2))
        restart(cluster, client)
        kills += 1
    writers.stop()
    print(f"{kills} kills, {compactions(cluster)} compactions, {len(writers.acked)} objects")
    assert compactions(cluster) >= COMPACTIONS and kills >= KILLS
    wait_settled(client, writers.acked)
    check_reads(client, writers.acked)
    check_volumes(cluster, client, writers.acked)

    # The index is lost: what left the hot volumes does not come back.
    restart(cluster, client, lambda: shutil.rmtree(os.path.join(cluster.directory, "object", "index")))
    check_reads(client, writers.acked)
    check_volumes(cluster, client, writers.acked)


def check_volumes(cluster, client, acked):
    """Garbage is bounded, each file is of a volume that is known, and what is hot should be."""
    hot = {key: data for key, data in acked.items() if BUCKETS[key[0]][0] == HOT}

    def compacted():
        status = object_status(client)
        return status if status.hot_garbage_bytes < 0.3 * status.hot_disk_bytes + (8 << 20) else None

    status = wait_for(compacted, "the garbage to go", 30)
    # A payload that was acknowledged to nobody, by a call that a kill cut short, may be there too.
    assert len(hot) <= status.hot_objects <= len(hot) + 4 * WRITERS, f"seed {SEED}"
    assert status.hot_bytes >= sum(len(data) for data in hot.values())
    assert status.hot_quarantined_volumes == 0
    wait_for(lambda: len(hot_files(cluster, "*.wbv")) == object_status(client).hot_volumes, "no volume to be left over")
    volumes = {os.path.basename(path)[:-len(".wbv")] for path in hot_files(cluster, "*.wbv")}
    assert {os.path.basename(path)[:-len(".dead")] for path in hot_files(cluster, "*.dead")} <= volumes


# ---- a full disk ----

SMALL_DISK = 48 << 20
OBJECT = 700_000
OBJECTS = 80  # more than the disk holds


@pytest.fixture
def small_disk(tmp_path):
    """A cluster whose hot volumes are on a file system of their own."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "waybill-test", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a file system")

    def use_disk(cluster):
        os.makedirs(os.path.join(cluster.directory, "object"))
        os.symlink(tmp_path, os.path.join(cluster.directory, "object", "volumes"))

    try:
        yield from run_cluster(
            allowed_errors=["hot_store_full"], before_start=use_disk,
            object_flags=["--volume-bytes", "4MiB", "--hot-reserve-bytes", "8MiB", "--compaction-interval", "50ms",
                          "--ack-wait", "5s"])
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_full_hot_disk_refuses_objects_and_goes_on_once_there_is_room(small_disk):
    cluster, client = small_disk, Client(small_disk)
    chance = random.Random(SEED)
    client.create_bucket("big", HOT, cold_after=0)
    content = {f"key-{number}": chance.randbytes(OBJECT) for number in range(OBJECTS)}
    for key, data in content.items():
        client.upload("big", key, data)
    status = wait_for(lambda: full_status(client), "the hot disk to be full", 60)
    assert status.hot_free_bytes >= 7 << 20, "the reserve is kept"
    assert status.hot_objects < OBJECTS
    for key, data in content.items():
        assert client.read("big", key)[0] == data  # hot, or still in the spool
    # Kills change nothing.
    restart(cluster, client)
    assert client.status().spool_payloads > 0
    # Now what is there may leave, and makes room for the rest.
    bucket = bucket_messages.Bucket(name="big")
    bucket.storage.storage_class = COLD
    request = metadata.UpdateBucketRequest(bucket=bucket)
    request.update_mask.paths.append("storage.storage_class")
    client.metadata.UpdateBucket(request, timeout=TIMEOUT)
    for key in content:
        client.wait_tiers("big", key, {"COLD"}, 120)
    for key, data in content.items():
        assert client.read("big", key)[0] == data
    wait_for(lambda: client.status().spool_payloads == 0, "the spool to drain", 60)
    wait_for(lambda: not object_status(client).hot_full, "the hot store to take objects again", 60)
    assert cluster.metric(cluster.object_admin_port, "waybill_hot_full") == 0


def full_status(client):
    status = object_status(client)
    return status if status.hot_full else None
