"""kill -9 of any part at any moment: what was acknowledged is there afterwards, ends STORED
with the right bytes, and the change stream has every commit once and in order.

WAYBILL_PUTS, WAYBILL_ROUNDS and WAYBILL_SEED choose another size or repeat a run."""

import os
import random
import threading
import time
import uuid

import grpc
import pytest

from client import COLD, Client, record_messages, tiers_of
from cluster import SLOWNESS, wait_for
from conftest_shared import run_cluster
from jetstream import last_revision, revisions_in

PUTS = int(os.environ.get("WAYBILL_PUTS", "2000"))
ROUNDS = int(os.environ.get("WAYBILL_ROUNDS", "10"))
SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
WRITERS = 8
KILLS_MAX = 12  # per round, so that a round has an end on a slow machine

RETRIED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED,
           grpc.StatusCode.RESOURCE_EXHAUSTED)


def write_one(client, chance, key):
    """Writes until it is acknowledged; returns (version, bytes or None)."""
    kind = chance.choice(["inline", "streamed", "plain"])
    # Without a request id a retry may commit a second version; with one it must not.
    fields = {"request_id": str(uuid.UUID(int=chance.getrandbits(128), version=4))} if chance.random() < 0.5 else {}
    data = None
    if kind == "inline":
        data = chance.randbytes(chance.choice([0, 1, 100, 5000, 60000]))
    elif kind == "streamed":
        data = chance.randbytes(chance.choice([0, 10, 70000, 1500000]))
    while True:
        try:
            if kind == "streamed":
                record = client.upload("crashes", key, data, **fields)
            else:
                record = client.put("crashes", key, data, **fields)
            assert record.version == 1 or not fields, f"the request for {key} took effect twice"
            return record.version, data
        except grpc.RpcError as error:
            assert error.code() in RETRIED, error
            time.sleep(0.02)


class Writers:
    """Threads that share out a round's keys."""

    def __init__(self, client, seed, round_number):
        self.keys = iter(range(PUTS))
        self.lock = threading.Lock()
        self.acked = {}
        self.failure = None
        self.threads = [
            threading.Thread(target=self.run, args=(client, random.Random(f"{seed}-{n}"), round_number))
            for n in range(WRITERS)]

    def run(self, client, chance, round_number):
        try:
            while True:
                with self.lock:
                    number = next(self.keys, None)
                if number is None:
                    return
                key = f"round-{round_number}/{number}"
                version, data = write_one(client, chance, key)
                with self.lock:
                    self.acked[(key, version)] = data
        except BaseException as failure:  # the test thread raises it
            self.failure = failure

    def alive(self):
        return any(thread.is_alive() for thread in self.threads)


def kill_at_random(cluster, chance, writers):
    """Kills each part in turn, in an order that changes, while writers write."""
    kills, turn = 0, []
    while writers.alive() and kills < KILLS_MAX:
        time.sleep(chance.uniform(0.02, 0.4) * SLOWNESS)
        turn = turn or chance.sample(cluster.processes, len(cluster.processes))
        process = turn.pop()
        process.kill()
        time.sleep(chance.uniform(0, 0.2))
        process.start(wait=False)
        kills += 1
    for thread in writers.threads:
        thread.join()
    for process in cluster.processes:
        process.wait_ready()
    return kills


def has_arrived(client, key, version, data):
    wanted = record_messages.RECORD_STATE_COMMITTED if data is None else record_messages.RECORD_STATE_STORED
    try:
        return client.get("crashes", key, version).state == wanted
    except grpc.RpcError as error:
        assert error.code() in RETRIED, f"{key} version {version} was acknowledged and is lost: {error}"
        return False


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_acked_writes_survive_kills_of_any_part(crash_cluster, round_number):
    cluster, client = crash_cluster
    chance = random.Random(f"{SEED}/{round_number}")
    print(f"seed {SEED}, round {round_number}")
    writers = Writers(client, f"{SEED}/{round_number}", round_number)
    for thread in writers.threads:
        thread.start()
    kills = kill_at_random(cluster, chance, writers)
    assert writers.failure is None, writers.failure
    assert len(writers.acked) == PUTS and kills > 0
    for (key, version), data in writers.acked.items():
        wait_for(lambda: has_arrived(client, key, version, data), f"{key} to be stored (seed {SEED})", 60)
    for (key, version), data in writers.acked.items():
        if data is not None:
            assert client.read("crashes", key, version=version)[0] == data, f"{key} (seed {SEED})"


def test_the_stream_has_every_commit_once_and_in_order_after_the_crashes(crash_cluster):
    cluster, client = crash_cluster
    # Moves to the cold store may still be under way.
    newest = client.revision()
    wait_for(lambda: last_revision(cluster.nats_port) >= newest, "the outbox to drain", 60)
    revisions = revisions_in(cluster.nats_port)
    assert revisions == list(range(1, revisions[-1] + 1))


def test_every_payload_goes_cold_and_the_spool_drains_after_the_crashes(crash_cluster):
    _, client = crash_cluster

    def unfinished():
        return [record.key for page in client.list_pages("crashes", page_size=1000) for record in page
                if tiers_of(record) != ({"COLD"} if record.HasField("size") else set())]

    wait_for(lambda: not unfinished(), "every object to be in the cold store alone", 60)
    wait_for(lambda: client.status().spool_payloads == 0, "the spool to drain", 60)


@pytest.fixture(scope="module")
def crash_cluster():
    for cluster in run_cluster(object_flags=["--ack-wait", "5s"]):
        client = Client(cluster)
        client.create_bucket("crashes", COLD, cold_after=2)
        yield cluster, client
