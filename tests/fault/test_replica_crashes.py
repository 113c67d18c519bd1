"""Replicas of object-svc that are killed, stopped and added while they store and are read from:
every acknowledged object ends up stored, once by its record, and every replica gives its bytes.

WAYBILL_REPLICA_SECONDS, WAYBILL_PUTS and WAYBILL_SEED choose another length or repeat a run."""

import os
import random
import threading
import time

import grpc
import pytest

from client import COLD, HOT, HOT_AND_COLD, Client, record_messages, tiers_of
from cluster import SLOWNESS, wait_for
from conftest_shared import run_cluster

SECONDS = float(os.environ.get("WAYBILL_REPLICA_SECONDS", "15"))
SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
REPLICAS = 3
OBJECTS = min(500, int(os.environ.get("WAYBILL_PUTS", "500")))
BUCKETS = {"hot": HOT, "both": HOT_AND_COLD, "cold": COLD}

# What a reader may meet while the replica that it asks, or the one with the object, is away.
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED)


class Load:
    """Writers and readers that go on until they are stopped; `failure` is what no fault explains."""

    def __init__(self, client, seed):
        self.client = client
        self.acked = {}
        self.reads = self.passing = 0
        self.failure = None
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        kinds = [self.write] * 3 + [self.read] * 3
        self.threads = [threading.Thread(target=self.run, args=(kind, random.Random(f"{seed}-{number}"), number))
                        for number, kind in enumerate(kinds)]
        for thread in self.threads:
            thread.start()

    def run(self, kind, chance, number):
        try:
            while not self.stopping.is_set():
                kind(chance, number)
        except BaseException as failure:  # the test thread raises it
            self.failure = failure

    def write(self, chance, number):
        bucket = chance.choice(list(BUCKETS))
        key = f"{number}/{len(self.acked)}-{chance.getrandbits(32)}"
        data = chance.randbytes(chance.choice([0, 100, 5000, 70000, 400000]))
        # metadata-svc is not disturbed, so no write may fail.
        if len(data) <= 5000:
            self.client.put(bucket, key, data)
        else:
            self.client.upload(bucket, key, data)
        with self.lock:
            self.acked[(bucket, key)] = data
        time.sleep(0.005)

    def read(self, chance, _):
        with self.lock:
            if not self.acked:
                return
            (bucket, key), data = chance.choice(list(self.acked.items()))
        self.reads += 1
        try:
            got, _, _ = self.client.read(bucket, key, replica=chance.randrange(len(self.client.replicas)))
            assert got == data, f"{bucket}/{key} has wrong bytes (seed {SEED})"
        except grpc.RpcError as error:
            assert error.code() in PASSING, error
            self.passing += 1

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        if self.failure is not None:
            raise self.failure


def read_if_there(client, bucket, key, replica, got):
    try:
        got.append(client.read(bucket, key, replica=replica)[0])
        return True
    except grpc.RpcError as error:
        assert error.code() in PASSING, (bucket, key, replica, error)
        return False


def check_all(cluster, client, acked):
    """Every object is STORED where its bucket wants it, in one replica at most, and readable through all."""
    wanted = {"hot": {"HOT"}, "both": {"HOT", "COLD"}, "cold": {"COLD"}}
    cluster.wait_peers()
    for (bucket, key), data in acked.items():
        record = client.wait_state(bucket, key, "STORED", seconds=60)
        assert len([place for place in record.locations if place.tier == record_messages.TIER_HOT]) <= 1
        for replica in range(len(client.replicas)):
            if cluster.objects[replica].running():
                got = []
                wait_for(lambda: read_if_there(client, bucket, key, replica, got), f"{bucket}/{key} to be read", 60)
                assert got == [data], (bucket, key, replica, SEED)
    for (bucket, key), _ in acked.items():
        wait_for(lambda: tiers_of(client.get(bucket, key)) == wanted[bucket], f"{bucket}/{key} to reach its tiers", 60)


@pytest.fixture
def several():
    for cluster in run_cluster(replicas=REPLICAS, object_flags=["--ack-wait", "2s", "--ingest-batch", "32"]):
        client = Client(cluster)
        for name, storage_class in BUCKETS.items():
            client.create_bucket(name, storage_class, cold_after=0.2)
        yield cluster, client


def test_each_object_is_stored_once_and_all_replicas_share_the_work(several):
    cluster, client = several
    cluster.wait_peers()
    load = Load(client, "share")
    wait_for(lambda: len(load.acked) >= OBJECTS or load.failure, "the objects to be written", 60)
    load.stop()
    assert load.passing == 0
    check_all(cluster, client, load.acked)
    stored = [cluster.metric(port, "waybill_objects_stored_total") for port in cluster.object_admin_ports]
    print("stored by each:", stored, "reads:", load.reads)
    assert sum(stored) == len(load.acked)
    assert all(count > 0 for count in stored), stored
    retries = [cluster.metric(port, "waybill_object_failures_total", reason="ingest_retry")
               for port in cluster.object_admin_ports]
    assert sum(retries) == 0


@pytest.mark.long
def test_kills_of_replicas_at_random_lose_nothing(several):
    cluster, client = several
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    load = Load(client, SEED)
    until = time.monotonic() + SECONDS
    kills = 0
    while time.monotonic() < until and load.failure is None:
        victims = chance.sample(cluster.objects, chance.choice([1, 1, 2, 3]))
        for process in victims:
            process.kill()
        time.sleep(chance.uniform(0, 0.5) * SLOWNESS)
        for process in victims:
            process.start(wait=False)
        kills += len(victims)
        time.sleep(chance.uniform(0.1, 1.0) * SLOWNESS)
    load.stop()
    for process in cluster.objects:
        process.wait_ready()
    print(f"{kills} kills, {len(load.acked)} objects, {load.reads} reads, {load.passing} of them unavailable")
    check_all(cluster, client, load.acked)


def test_replicas_come_and_go_under_load(several):
    cluster, client = several
    load = Load(client, f"{SEED}-come-and-go")
    cluster.add_replica()
    cluster.objects[3].start()
    load.client = client = Client(cluster)
    cluster.wait_peers()
    wait_for(lambda: cluster.metric(cluster.object_admin_ports[3], "waybill_objects_stored_total") > 0,
             "the new replica to take its share")
    assert cluster.objects[0].stop() == 0
    before = len(load.acked)
    wait_for(lambda: len(load.acked) > before + 20, "work to go on with one replica less")
    cluster.objects[0].start()
    load.stop()
    check_all(cluster, client, load.acked)
