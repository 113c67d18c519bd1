"""kill -9 of either service at random moments through moves between the tiers and drops: no object lost, none
wrong, and nothing left over once the services have come to rest.

WAYBILL_MOVES and WAYBILL_SEED choose another length or repeat a run."""

import os
import random
import threading
import time

import grpc
import pytest

from client import (
    COLD, HOT, HOT_AND_COLD, TIMEOUT, Client, admin, objects, record_messages, report, tiers_of)
from cluster import PATIENCE, wait_for
from conftest_shared import run_cluster

pytestmark = pytest.mark.kills

MOVES = int(os.environ.get("WAYBILL_MOVES", str(60 * int(os.environ.get("WAYBILL_ROUNDS", "1")))))
SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
KEYS = 12
SIZES = (0, 300, 60000, 1 << 20, (2 << 20) + 17)
# Moved by hand, by the policy, and written again and again, so that objects are dropped.
BUCKETS = {"by-hand": (HOT, 3600), "policy": (COLD, 0), "both": (HOT_AND_COLD, 0)}
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
# The version is not stored yet, or another one took its place meanwhile.
NOT_NOW = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)


class Mover:
    """A thread that writes, promotes and demotes until it is stopped; what it knows is what was acknowledged."""

    def __init__(self, cluster, number):
        self.client = Client(cluster)
        self.chance = random.Random(f"{SEED}-{number}")
        self.prefix = f"{number}/"
        self.acked = {}
        self.moves = 0
        self.failure = None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step()
        except BaseException as failure:  # the test thread raises it
            self.failure = failure

    def step(self):
        bucket = self.chance.choice(list(BUCKETS))
        key = self.prefix + str(self.chance.randrange(KEYS))
        kind = self.chance.choice(("write", "promote", "demote", "promote", "demote", "read"))
        try:
            if kind == "write" or (bucket, key) not in self.acked:
                self.write(bucket, key)
            elif kind == "read":
                self.read(bucket, key)
            else:
                self.move(kind, bucket, key)
        except grpc.RpcError as error:
            assert error.code() in PASSING or (kind != "read" and error.code() in NOT_NOW), error
            time.sleep(0.02)

    def write(self, bucket, key):
        data = self.chance.randbytes(self.chance.choice(SIZES))
        before = self.acked.pop((bucket, key), None)
        try:
            self.client.upload(bucket, key, data)
            self.acked[bucket, key] = {data}
        except grpc.RpcError:
            # It may have been committed, or not.
            self.acked[bucket, key] = {data} | (before or {None})
            raise

    def read(self, bucket, key):
        if None not in self.acked[bucket, key]:
            assert self.client.read(bucket, key)[0] in self.acked[bucket, key], f"{bucket}/{key}, seed {SEED}"

    def move(self, kind, bucket, key):
        if kind == "promote":
            answer = self.client.objects.PromoteObject(
                objects.PromoteObjectRequest(bucket=bucket, key=key), timeout=TIMEOUT)
            assert answer.done
        else:
            answer = self.client.objects.DemoteObject(
                objects.DemoteObjectRequest(bucket=bucket, key=key), timeout=TIMEOUT)
            assert answer.done and tiers_of(answer.record) <= {"HOT", "COLD"}
        self.moves += 1

    def stop(self):
        self.stopping.set()
        self.thread.join()
        if self.failure is not None:
            raise self.failure


def rest(client):
    """Until nothing is staged and no drop is due."""
    def at_rest():
        try:
            due = [client.reports.ListDrops(report.ListDropsRequest(**place), timeout=TIMEOUT).drops for place in (
                {"tier": record_messages.TIER_HOT, "replica": "replica-1"}, {"tier": record_messages.TIER_COLD})]
            staged = [record for bucket in BUCKETS for page in client.list_pages(bucket, page_size=500)
                      for record in page if record.state == record_messages.RECORD_STATE_STAGED]
            return not staged and not any(due)
        except grpc.RpcError as error:
            assert error.code() in PASSING, error
            return False

    wait_for(at_rest, f"all to be stored and dropped (seed {SEED})", 60)


def create_buckets(client):
    for name, (storage_class, cold_after) in BUCKETS.items():
        client.create_bucket(name, storage_class, cold_after, storage={"max_versions": 1})


@pytest.mark.long
def test_kills_during_moves_lose_nothing_and_leave_nothing():
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    # A read from the spool is cut off by the end of metadata-svc.
    for cluster in run_cluster(allowed_errors=("copy_unreadable",), metadata_flags=["--object-drop-delay", "0s"],
                               object_flags=["--recall-stay", "0s", "--ack-wait", "2s", "--tier-interval", "50ms"]):
        client = Client(cluster)
        create_buckets(client)
        movers = [Mover(cluster, number) for number in range(2)]
        until = time.monotonic() + (20 + MOVES) * PATIENCE
        kills = 0
        while sum(mover.moves for mover in movers) < MOVES or kills < 6:
            assert time.monotonic() < until, f"only {[mover.moves for mover in movers]} moves, seed {SEED}"
            assert all(mover.thread.is_alive() for mover in movers), [mover.failure for mover in movers]
            time.sleep(chance.uniform(0.02, 0.5))
            victim = chance.choice((cluster.object, cluster.object, cluster.metadata))
            victim.kill()
            victim.start()
            kills += 1
        for mover in movers:
            mover.stop()
        print(f"{sum(mover.moves for mover in movers)} moves, {kills} kills")
        rest(client)
        for mover in movers:
            for (bucket, key), contents in mover.acked.items():
                if None not in contents:
                    assert client.read(bucket, key)[0] in contents, f"{bucket}/{key}, seed {SEED}"
        # Copies that no record tells of are all that a kill may leave, and a scrub mends those.
        found = client.scrub(repair=True)
        assert {finding.kind for finding in found} <= {admin.SCRUB_KIND_UNLISTED}, (found, SEED)
        assert client.scrub() == [], SEED
