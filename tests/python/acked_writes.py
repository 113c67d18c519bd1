"""Writers that remember what was acknowledged, and what must then be true of it."""

import random
import threading
import time

import grpc

from client import Client, Failure, record_messages
from cluster import wait_for
from jetstream import last_revision, revisions_in

PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED,
           grpc.StatusCode.RESOURCE_EXHAUSTED)
DELETED = object()
KINDS = {"plain": None, "inline": (0, 1, 900, 30000), "streamed": (0, 10, 70000, 1200000), "deleted": (700,)}


class Writers:
    """Threads that write new keys until they are stopped: each once, whatever comes of it. `refusals` is what was
    answered instead, {(code, reason): how often}; codes besides `passing` end the writer and fail the test."""

    def __init__(self, cluster, bucket, seed, threads=4, passing=PASSING, kinds=tuple(KINDS)):
        self.cluster, self.bucket, self.passing, self.kinds = cluster, bucket, passing, kinds
        self.client = Client(cluster)
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.acked, self.refusals, self.failure = {}, {}, None
        self.threads = [threading.Thread(target=self.run, args=(number, random.Random(f"{seed}-{number}")))
                        for number in range(threads)]
        self.name = str(seed).replace("/", "-")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def run(self, number, chance):
        count = 0
        try:
            while not self.stopping.is_set():
                count += 1
                self.write(f"{self.name}/{number}/{count}", chance)
        except BaseException as failure:  # the test thread raises it
            self.failure = failure

    def write(self, key, chance):
        kind = chance.choice(self.kinds)
        data = None if kind == "plain" else chance.randbytes(chance.choice(KINDS[kind]))
        try:
            if kind == "streamed":
                version = self.client.upload(self.bucket, key, data).version
            else:
                version = self.client.put(self.bucket, key, data).version
            self.note(key, version, data)
            if kind == "deleted":
                self.forget(key)
                self.note(key, self.client.delete(self.bucket, key).version, DELETED)
        except grpc.RpcError as error:
            self.refused(error)

    def note(self, key, version, data):
        with self.lock:
            self.acked[key] = (version, data)

    def forget(self, key):
        """What comes of it is not known from now on."""
        with self.lock:
            del self.acked[key]

    def refused(self, error):
        failure = Failure(error)
        assert failure.code in self.passing, error
        with self.lock:
            case = (failure.code, failure.reason)
            self.refusals[case] = self.refusals.get(case, 0) + 1
        time.sleep(0.02)

    def wait_acked(self, more=30):
        """Until that many more are acknowledged."""
        before = len(self.acked)
        wait_for(lambda: len(self.acked) >= before + more or self.failure, "writes to be acknowledged", 60)
        self.check()

    def check(self):
        if self.failure is not None:
            raise self.failure


def has_arrived(client, bucket, key, version, data):
    """Whether it is where it ends, by its record; what was acknowledged must be there at once."""
    wanted = "COMMITTED" if data is None else "STORED"
    try:
        record = client.get(bucket, key, version)
    except grpc.RpcError as error:
        failure = Failure(error)
        deleted = failure.reason == "RECORD_DELETED"
        assert failure.code in PASSING or (deleted and data is DELETED), (
            f"{key} version {version} was acknowledged and is lost: {error}")
        return deleted
    assert data is not DELETED, f"{key}: its delete was acknowledged and is lost"
    return record.state == record_messages.RecordState.Value("RECORD_STATE_" + wanted)


def check_acked(client, bucket, acked, seconds=60):
    """All of it arrives, and what is read is what was written."""
    waiting = dict(acked)

    def all_have():
        while waiting:
            key, (version, data) = next(iter(waiting.items()))
            if not has_arrived(client, bucket, key, version, data):
                return False
            del waiting[key]
        return True

    try:
        wait_for(all_have, "what was acknowledged to arrive", seconds)
    except AssertionError as failure:
        key, (version, _) = next(iter(waiting.items()))
        raise AssertionError(f"{failure}: {client.get(bucket, key, version)}") from None
    for key, (version, data) in acked.items():
        if isinstance(data, bytes):
            assert client.read(bucket, key, version=version)[0] == data, key


def check_nothing_is_stuck(client, buckets):
    def in_flight():
        states = (record_messages.RECORD_STATE_STAGED, record_messages.RECORD_STATE_AWAITING_PAYLOAD)
        return [record.key for bucket in buckets for page in client.list_pages(bucket, page_size=1000)
                for record in page if record.state in states]

    wait_for(lambda: not in_flight(), "no version to be in flight", 60)
    wait_for(lambda: client.status().spool_payloads == 0, "the spool to drain", 60)


def check_stream(cluster, client):
    """The stream has every commit, once and in order."""
    newest = client.revision()
    wait_for(lambda: last_revision(cluster.nats_port) >= newest, "the outbox to drain", 60)
    revisions = revisions_in(cluster.nats_port)
    assert revisions == list(range(1, revisions[-1] + 1))
