"""What clients do, mixed at random by a seed, with a model of each key: what was acknowledged must be there,
whatever becomes of the services, the disks and the network meanwhile.

Each key has one writer, which asks with the same request_id until it gets an answer. So its model is exact:
a write took effect once or, where it was refused, not at all."""

import collections
import random
import threading
import time
import uuid

import grpc

from google.protobuf import field_mask_pb2

from client import CHUNK, COLD, HOT, HOT_AND_COLD, Client, Failure, metadata, objects, payloads
from cluster import PATIENCE, wait_for

Code = grpc.StatusCode
# What a caller may meet while something is away, and tries again.
PASSING = (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.CANCELLED, Code.RESOURCE_EXHAUSTED)
# ... and one who moves what others write again or what is not stored yet.
NOT_NOW = (Code.FAILED_PRECONDITION, Code.NOT_FOUND, Code.ABORTED)
BUCKETS = {"stays-hot": (HOT, 3600), "both": (HOT_AND_COLD, 0), "goes-cold": (COLD, 0)}
INLINE_SIZES = (0, 1, 100, 5000, 60000)
UPLOAD_SIZES = (0, 10, 70000, 300000, CHUNK, CHUNK + 17, 3 * CHUNK)
KINDS = {"put": 6, "inline": 5, "upload": 4, "announce": 2, "update": 3, "delete": 2, "lose_condition": 2, "get": 6,
         "read": 8, "list": 1, "promote": 1, "demote": 1}


def content(seed, size):
    return random.Random(seed).randbytes(size)


class Key:
    def __init__(self, bucket, name):
        self.bucket, self.name = bucket, name
        self.version = 0
        self.payload = None  # (seed, size) of the latest version's
        self.live = False

    def __str__(self):
        return f"{self.bucket}/{self.name} version {self.version}"

    def place(self):
        return {"bucket": self.bucket, "key": self.name}

    def data(self):
        return content(*self.payload)


class Worker:
    def __init__(self, load, number):
        self.load = load
        self.client = Client(load.cluster)
        self.chance = random.Random(f"{load.seed}-{number}")
        self.prefix = f"{number}/"
        self.keys = [Key(bucket, f"{self.prefix}{i}") for bucket in BUCKETS for i in range(load.keys)]
        self.steps = 0  # that came to their end
        self.doing = "nothing yet"
        self.thread = threading.Thread(target=self.run, name=f"worker-{number}")

    def run(self):
        try:
            while not self.load.stopping.is_set():
                kind = self.chance.choices(list(KINDS), KINDS.values())[0]
                key = self.chance.choice(self.keys)
                self.doing = f"{kind} of {key}"
                try:
                    getattr(self, kind)(key)
                    self.load.count(kind)
                except grpc.RpcError as error:
                    if error.code() not in PASSING:
                        raise
                    self.load.count("refused " + kind)
                self.steps += 1
                self.load.stopping.wait(self.chance.uniform(0, 2 * self.load.pause))
        except BaseException as failure:  # the test thread raises it
            self.load.fail(AssertionError(f"{self.doing}: {failure}"), failure)

    # ---- writes ----

    def until_answered(self, call, request):
        while True:
            try:
                return call(request, timeout=self.load.attempt_seconds, wait_for_ready=True)
            except grpc.RpcError as error:
                self.pass_over(error)

    def pass_over(self, error):
        """Waits until the next attempt makes sense."""
        if error.code() not in PASSING:
            raise error
        self.load.count("attempt without answer")
        if self.load.given_up.wait(0.05):
            raise AssertionError(f"never answered: {error}")

    def written(self, key, record, payload, live=True):
        key.version += 1
        key.payload, key.live = payload, live
        assert record.version == key.version, f"a write of {key} made version {record.version}"
        if payload is not None:
            assert record.size == payload[1], f"{key} has {record.size} bytes, {payload[1]} were sent"

    def fresh(self, sizes):
        return self.chance.getrandbits(64), self.chance.choice(sizes)

    def request(self, key, kind=metadata.PutRecordRequest, **fields):
        return kind(**key.place(), request_id=self.request_id(), **fields)

    def request_id(self):
        return str(uuid.UUID(int=self.chance.getrandbits(128), version=4))

    def put(self, key):
        request = self.request(key, content_type="text/plain", if_version_match=key.version if key.live else 0)
        self.written(key, self.until_answered(self.client.metadata.PutRecord, request).record, None)

    def inline(self, key):
        payload = self.fresh(INLINE_SIZES)
        request = self.request(key)
        request.inline_payload.data = content(*payload)
        self.written(key, self.until_answered(self.client.metadata.PutRecord, request).record, payload)

    def update(self, key):
        if not key.live:
            return
        request = self.request(key, metadata.UpdateRecordRequest, content_type=f"text/{key.version}",
                               update_mask=field_mask_pb2.FieldMask(paths=["content_type"]))
        self.written(key, self.until_answered(self.client.metadata.UpdateRecord, request).record, key.payload)

    def delete(self, key):
        if not key.live:
            return
        request = self.request(key, metadata.DeleteRecordRequest)
        self.written(key, self.until_answered(self.client.metadata.DeleteRecord, request).record, None, live=False)

    def lose_condition(self, key):
        request = self.request(key, if_version_match=key.version + 1)
        try:
            self.until_answered(self.client.metadata.PutRecord, request)
        except grpc.RpcError as error:
            assert error.code() == Code.ABORTED, error
            return
        raise AssertionError(f"a write of {key} on the condition of the next version took effect")

    def upload(self, key):
        payload, request_id = self.fresh(UPLOAD_SIZES), self.request_id()

        def start(offset):
            return {"new_record": payloads.NewRecordUpload(**key.place(), request_id=request_id, write_offset=offset)}

        self.written(key, self.send(start, request_id, content(*payload)), payload)

    def announce(self, key):
        payload = self.fresh(UPLOAD_SIZES)
        request = self.request(key)
        request.announced_payload.size = payload[1]
        upload_id = self.until_answered(self.client.metadata.PutRecord, request).upload_id

        def start(offset):
            return {"announced": payloads.AnnouncedUpload(upload_id=upload_id, write_offset=offset)}

        self.written(key, self.send(start, upload_id, content(*payload)), payload)

    def send(self, start, upload_id, data):
        """Goes on behind what has arrived, until it is told that all has."""
        offset = 0
        while True:
            try:
                return self.client.payloads.UploadPayload(
                    self.client.upload_messages(start(offset), data[offset:]),
                    timeout=self.load.attempt_seconds * 3, wait_for_ready=True).record
            except grpc.RpcError as error:
                failure = Failure(error)
                if failure.reason == "WRONG_WRITE_OFFSET":
                    offset = int(failure.metadata["write_offset"])
                    continue
                # The service still waits for the stream that we have given up.
                busy = failure.reason == "UPLOAD_IN_PROGRESS"
                self.pass_over(_Passing() if busy else error)
            offset = self.arrived(upload_id)

    def arrived(self, upload_id):
        try:
            return self.until_answered(
                self.client.payloads.QueryUpload, payloads.QueryUploadRequest(upload_id=upload_id)).persisted_size
        except grpc.RpcError as error:
            if error.code() != Code.NOT_FOUND:
                raise
            return 0

    # ---- reads: one try each ----

    def get(self, key):
        request = metadata.GetRecordRequest(**key.place())
        try:
            record = self.client.metadata.GetRecord(request, timeout=self.load.attempt_seconds).record
            assert key.live and record.version == key.version, f"{key} reads as version {record.version}"
        except grpc.RpcError as error:
            if error.code() != Code.NOT_FOUND or key.live:
                raise

    def read(self, key):
        if not key.live or key.payload is None:
            return
        data = key.data()
        offset = self.chance.choice((0, 0, self.chance.randrange(len(data) + 1)))
        limit = self.chance.choice((0, 0, self.chance.randrange(1, len(data) + 2)))
        end = offset + limit if limit > 0 else len(data)
        request = objects.ReadObjectRequest(**key.place(), read_offset=offset, read_limit=limit)
        answers = list(self.chance.choice(self.client.replicas).ReadObject(
            request, timeout=self.load.attempt_seconds * 3))
        assert answers[0].record.version == key.version, f"{key} reads as version {answers[0].record.version}"
        assert b"".join(answer.data for answer in answers) == data[offset:end], f"wrong bytes of {key}"

    def list(self, _):
        for bucket in BUCKETS:
            listed = {}
            token = ""
            while True:
                answer = self.client.metadata.ListRecords(metadata.ListRecordsRequest(
                    bucket=bucket, prefix=self.prefix, page_size=self.chance.choice((1, 7, 1000)), page_token=token),
                    timeout=self.load.attempt_seconds)
                listed.update((record.key, record.version) for record in answer.records)
                token = answer.next_page_token
                if not token:
                    break
            wanted = {key.name: key.version for key in self.keys if key.bucket == bucket and key.live}
            assert listed == wanted, f"a listing of {bucket} has {listed}, not {wanted}"

    # ---- moves ----

    def promote(self, key):
        self.move("PromoteObject", objects.PromoteObjectRequest(**key.place(), no_wait=True))

    def demote(self, key):
        self.move("DemoteObject", objects.DemoteObjectRequest(**key.place(), no_wait=True))

    def move(self, method, request):
        try:
            getattr(self.chance.choice(self.client.replicas), method)(request, timeout=self.load.attempt_seconds)
        except grpc.RpcError as error:
            if error.code() not in (*PASSING, *NOT_NOW):
                raise


class _Passing(grpc.RpcError):
    def code(self):
        return Code.UNAVAILABLE


class Watcher:
    """Sees every revision once and in order, over as many streams as it takes."""

    def __init__(self, load):
        self.load = load
        self.client = Client(load.cluster)
        self.seen = 0
        self.call = None
        self.thread = threading.Thread(target=self.run, name="watcher")

    def run(self):
        try:
            while not self.load.stopping.is_set():
                try:
                    self.watch()
                except grpc.RpcError as error:
                    if error.code() not in PASSING:
                        raise
                    self.load.stopping.wait(0.1)
        except BaseException as failure:  # the test thread raises it
            self.load.fail(failure)

    def watch(self):
        self.call = self.client.metadata.WatchChanges(
            metadata.WatchChangesRequest(start_revision=self.seen + 1), timeout=10 * self.load.attempt_seconds)
        for answer in self.call:
            if answer.HasField("event"):
                assert answer.event.revision == self.seen + 1, (
                    f"a watch got revision {answer.event.revision} behind {self.seen}")
                self.seen = answer.event.revision


class Load:
    """Runs until it is stopped; the first thing that no fault explains ends it, and `stop` raises that.
    `pause` is what a worker waits between two steps on average, in seconds."""

    def __init__(self, cluster, seed, workers=4, keys=8, pause=0.05, attempt_seconds=3):
        self.cluster, self.seed, self.keys, self.pause = cluster, seed, keys, pause
        self.attempt_seconds = attempt_seconds * PATIENCE
        self.stopping, self.given_up = threading.Event(), threading.Event()
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.failure = None
        self.workers = [Worker(self, number) for number in range(workers)]
        self.watcher = Watcher(self)

    @staticmethod
    def create_buckets(client):
        for name, (storage_class, cold_after) in BUCKETS.items():
            client.create_bucket(name, storage_class, cold_after, storage={"max_versions": 1})

    def start(self):
        for part in (*self.workers, self.watcher):
            part.thread.start()
        return self

    def count(self, what):
        with self.lock:
            self.counts[what] += 1

    def fail(self, failure, cause=None):
        with self.lock:
            if self.failure is None:
                failure.__cause__ = cause
                self.failure = failure
        self.stopping.set()

    def wait_progress(self, seconds):
        """Every worker ends what it is at, and one thing more."""
        before = [worker.steps for worker in self.workers]

        def gone_on():
            return self.failure or all(worker.steps > steps + 1 for worker, steps in zip(self.workers, before))

        wait_for(gone_on, f"all to go on; they do {[worker.doing for worker in self.workers]}", seconds)

    def stop(self, seconds=60):
        self.stopping.set()
        until = time.monotonic() + seconds * PATIENCE
        for worker in self.workers:
            worker.thread.join(max(0, until - time.monotonic()))
        self.given_up.set()
        if self.watcher.call is not None:
            self.watcher.call.cancel()
        for part in (*self.workers, self.watcher):
            if part.thread.ident is not None:
                part.thread.join()
        if self.failure is not None:
            raise self.failure

    def all_keys(self):
        return [key for worker in self.workers for key in worker.keys]
