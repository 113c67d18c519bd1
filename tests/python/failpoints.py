"""Lets services die at their failpoints while they work, and holds them to what they acknowledged before."""

import functools
import itertools
import os
import random
import signal
import subprocess
import time
import uuid

import grpc

from client import Client, admin, metadata, objects, payloads, record_messages, report
from cluster import BUILD, PATIENCE, SLOWNESS, wait_for
from jetstream import last_revision, revisions_in

# Passed once, or once in a while.
SELDOM = ("change_log.", "drop_list.", "record_log.", "publish.sync.", "spool.shrink.", "read_times.", "recall_notes.",
          "volume.cut.", "volume.unborn.", "index.create.", "index.set_aside.", "cold_s3.abort.", "dead_letters.",
          "ingest.give_up.", "repair.", "scrub.")
PASSES = int(os.environ.get("WAYBILL_PASSES", "1"))
# Of a service that is away, and of what another one, or a version that was overtaken, had to be asked for.
PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED,
           grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND,
           grpc.StatusCode.ABORTED)
CALL_SECONDS = 10 * PATIENCE
IN_FLIGHT = (record_messages.RECORD_STATE_AWAITING_PAYLOAD, record_messages.RECORD_STATE_STAGED)
# What the services log when they die so, and when one is away.
EXPECTED_ERRORS = ("failpoint_armed", "failpoint_reached", "copy_unreadable")


def program_of(service):
    return os.path.join(BUILD, service, f"waybill-{service}")


@functools.cache
def names_of(service):
    """The failpoints that its program has, as it tells them itself."""
    command = [program_of(service), "--list-failpoints"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


class Trials:
    """A cluster whose services die at failpoints, and what a client of it knows."""

    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.client = Client(cluster)
        print(f"seed {seed}")
        self.chance = random.Random(seed)
        self.number = itertools.count()
        self.acked = {}  # (bucket, key): what its newest version may hold; None for none
        self.broken_off = {}  # request id: (bucket, key, bytes) of announced uploads to go on with

    def create_bucket(self, name, storage_class, max_versions=0, **fields):
        self.client.create_bucket(name, storage_class, 0, storage={"max_versions": max_versions}, **fields)

    # ---- writes; what they raise is for the caller to pass over ----

    def key(self):
        return f"key-{next(self.number)}"

    def write(self, bucket, size, key=None, streamed=None, **fields):
        """A new version of a key; what was not acknowledged may be there or not."""
        key = key or self.key()
        data = self.chance.randbytes(size)
        before = self.acked.get((bucket, key), {None})
        self.acked[bucket, key] = {data} | before
        if streamed if streamed is not None else size > 32768:
            start = {"new_record": payloads.NewRecordUpload(bucket=bucket, key=key, **fields)}
            self.client.payloads.UploadPayload(self.client.upload_messages(start, data), timeout=CALL_SECONDS)
        else:
            request = metadata.PutRecordRequest(bucket=bucket, key=key, **fields)
            request.inline_payload.data = data
            self.client.metadata.PutRecord(request, timeout=CALL_SECONDS)
        self.acked[bucket, key] = {data}
        return key

    def announce(self, request_id):
        """The upload id; the same one, however often it is asked for."""
        bucket, key, data = self.broken_off[request_id]
        request = metadata.PutRecordRequest(bucket=bucket, key=key, request_id=request_id)
        request.announced_payload.size = len(data)
        return self.client.metadata.PutRecord(request, timeout=CALL_SECONDS).upload_id

    def break_off(self, bucket, size):
        """An announced upload whose stream ends in the middle."""
        request_id = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
        self.broken_off[request_id] = (bucket, self.key(), self.chance.randbytes(size))
        start = {"announced": payloads.AnnouncedUpload(upload_id=self.announce(request_id))}
        messages = list(self.client.upload_messages(start, self.broken_off[request_id][2][:size // 2]))[:-1]
        try:
            self.client.payloads.UploadPayload(iter(messages), timeout=CALL_SECONDS)
        except grpc.RpcError:
            pass  # it has no end, so it is refused in any case

    def go_on_with_uploads(self):
        """From where the service says that they broke off."""
        for request_id, (bucket, key, data) in list(self.broken_off.items()):
            upload_id = self.announce(request_id)
            request = payloads.QueryUploadRequest(upload_id=upload_id)
            # The bulk port's channel notices in its own time, too, that there is a new service.
            offset = self.client.payloads.QueryUpload(request, timeout=CALL_SECONDS, wait_for_ready=True).persisted_size
            start = {"announced": payloads.AnnouncedUpload(upload_id=upload_id, write_offset=offset)}
            self.client.payloads.UploadPayload(self.client.upload_messages(start, data[offset:]), timeout=CALL_SECONDS)
            self.acked[bucket, key] = {data}
            del self.broken_off[request_id]

    def read(self, bucket, key):
        """Does not wait for a service that is away."""
        request = objects.ReadObjectRequest(bucket=bucket, key=key)
        answers = list(self.client.objects.ReadObject(request, timeout=CALL_SECONDS))
        return b"".join(answer.data for answer in answers), answers[0].source

    # ---- deaths ----

    def start_armed(self, process, failpoint, passes=1, *flags):
        """Does not wait: the failpoint may be one of the start."""
        more = ["--failpoint", f"{failpoint}:{passes}", *flags]
        process.command += more
        self.log_from = len(process.log())
        process.start(wait=False)
        del process.command[-len(more):]

    def let_die(self, process, failpoint, steps, passes=0, flags=()):
        """Runs the service with the failpoint armed until it is dead, at its first pass or at one of the first
        PASSES. `steps` are the work that is to reach it, again and again."""
        passes = passes or (1 if failpoint.startswith(SELDOM) else self.chance.randint(1, PASSES))
        process.kill()
        self.start_armed(process, failpoint, passes, *flags)
        until = time.monotonic() + 15 * PATIENCE * SLOWNESS
        for step in itertools.cycle(steps):
            if not process.running():
                break
            assert time.monotonic() < until, f"{failpoint}:{passes} is not reached"
            try:
                step()
            except grpc.RpcError as error:
                assert error.code() in PASSING, (failpoint, error)
                time.sleep(0.01)
        self.expect_death(process, failpoint)

    def die(self, process, failpoint, steps, **options):
        """The same, and starts it again without."""
        self.let_die(process, failpoint, steps, **options)
        process.start()
        self.wait_answers()

    def expect_death(self, process, failpoint):
        log = process.log()[self.log_from:]
        assert process.process.wait() == -signal.SIGKILL, (failpoint, process.process.returncode, log[-3000:])
        assert f'"event":"failpoint_reached","failpoint":"{failpoint}"' in log, (failpoint, log[-3000:])

    def wait_answers(self):
        """The channels notice in their own time that there is a new service."""
        def answer():
            try:
                return all(service.GetStatus(admin.GetStatusRequest(), timeout=CALL_SECONDS)
                           for service in (self.client.admin, self.client.object_admin))
            except grpc.RpcError as error:
                assert error.code() in PASSING, error
                return False

        wait_for(answer, "both services to answer")

    # ---- promises ----

    def records(self):
        buckets = self.client.metadata.ListBuckets(metadata.ListBucketsRequest(), timeout=CALL_SECONDS).buckets
        return [record for bucket in buckets for page in self.client.list_pages(bucket.name, page_size=500)
                for record in page]

    def at_rest(self):
        """Nothing is in flight, and no copy has still to go."""
        places = ({"tier": record_messages.TIER_HOT, "replica": "replica-1"}, {"tier": record_messages.TIER_COLD})
        return (not any(record.state in IN_FLIGHT for record in self.records()) and
                not any(self.client.reports.ListDrops(report.ListDropsRequest(**place), timeout=CALL_SECONDS).drops
                        for place in places))

    def check_payloads(self):
        """Every version is settled, and what was acknowledged is there with the right bytes."""
        self.go_on_with_uploads()
        wait_for(self.at_rest, "every version to be stored or failed", 60)
        for (bucket, key), contents in self.acked.items():
            try:
                assert self.client.read(bucket, key)[0] in contents, f"{bucket}/{key} has other bytes"
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.NOT_FOUND and None in contents, (bucket, key, error)
        wait_for(lambda: self.client.status().spool_payloads == 0, "the spool to drain", 60)

    def scrub(self, **options):
        return self.client.scrub(timeout=CALL_SECONDS, **options)

    def check_stores(self):
        """Copies that no record tells of are all that a death may leave, and a scrub tells of those. One of a
        version that was written over while it was stored goes by itself, but a little later."""
        def left():
            return {finding.kind for finding in self.scrub()} - {admin.SCRUB_KIND_UNLISTED}

        wait_for(lambda: not left(), "copies that nobody wants to go", 60)
        self.scrub(repair=True)
        assert self.scrub() == []

    def check_stream(self, holes=0):
        """Each revision is in the stream once and in order; a rebuild leaves a hole."""
        newest = self.client.revision()
        wait_for(lambda: last_revision(self.cluster.nats_port) >= newest, "the outbox to drain", 60)
        revisions = [revision for revision in revisions_in(self.cluster.nats_port) if revision is not None]
        assert all(one < other for one, other in zip(revisions, revisions[1:]))
        found = sum(one + 1 < other for one, other in zip([0, *revisions], revisions))
        assert found == holes, f"{found} holes instead of {holes}"

    def check(self, holes=0):
        self.check_payloads()
        self.check_stores()
        self.check_stream(holes)
