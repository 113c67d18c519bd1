"""One client or one bucket that takes all it can get does not keep the others from their work."""

import statistics

import grpc
import pytest

from client import COLD, TIMEOUT, Client, failure_of, metadata, payloads
from cluster import wait_for
from conftest_shared import run_cluster
from contract import event_pb2

Code = grpc.StatusCode
QUEUE, BATCH = 10000, 512  # commits that may wait, and that share a flush
OBJECTS = 3000  # that wait of one bucket


def upload_start(bucket, key):
    return payloads.UploadPayloadRequest(new_record=payloads.NewRecordUpload(bucket=bucket, key=key))


class OpenUpload:
    """One that began and then sends nothing, until it is ended."""

    def __init__(self, client, bucket, key):
        self.ended = False
        self.call = client.payloads.UploadPayload.future(self.messages(bucket, key), timeout=TIMEOUT)

    def messages(self, bucket, key):
        yield upload_start(bucket, key)
        yield payloads.UploadPayloadRequest(chunk=payloads.PayloadChunk(data=b"a chunk"))
        wait_for(lambda: self.ended, "the upload to be ended", 60)

    def refusal(self):
        return failure_of(self.call.result)

    def end(self):
        self.ended = True
        self.call.cancel()


def batch_of(bucket, name, count=500, data=None):
    requests = [metadata.PutRecordRequest(bucket=bucket, key=f"{name}-{i}") for i in range(count)]
    for request in requests:
        if data is not None:
            request.inline_payload.data = data
    return metadata.BatchPutRecordsRequest(requests=requests)


def put_many(client, bucket, count, data):
    for number in range(count // 500):
        answer = client.metadata.BatchPutRecords(batch_of(bucket, f"key-{number}", data=data), timeout=TIMEOUT)
        assert all(result.code == 0 for result in answer.results)


def before_the_first_of(client, bucket, event_type, start_revision):
    """How many events of the type there were of other buckets before the first one of the bucket's."""
    request = metadata.WatchChangesRequest(start_revision=start_revision, types=[event_type])
    call = client.metadata.WatchChanges(request, timeout=TIMEOUT * 4)
    others = 0
    for answer in call:
        if answer.HasField("event"):
            if answer.event.record.bucket == bucket:
                call.cancel()
                return others
            others += 1
    raise AssertionError(f"no {event_type} event of {bucket}")


class CommitFlood:
    """A client that always has some thousand commits outstanding, until it is ended."""

    def __init__(self, client, bucket, calls=QUEUE // 400):
        self.client, self.bucket = client, bucket
        self.request = batch_of(bucket, "flood")
        self.over = False
        self.results = {}
        self.under_way = calls
        for _ in range(calls):
            self.begin()

    def begin(self):
        self.client.metadata.BatchPutRecords.future(self.request, timeout=TIMEOUT).add_done_callback(self.next)

    def next(self, call):
        for result in call.result().results:
            self.results[result.error_reason] = self.results.get(result.error_reason, 0) + 1
        if self.over:
            self.under_way -= 1
        else:
            self.begin()


@pytest.fixture(scope="module")
def cluster():
    flags = ["--commit-queue", str(QUEUE), "--max-streams", "20"]
    yield from run_cluster(metadata_flags=flags)


def test_a_flood_of_commits_refuses_the_one_who_floods_and_nobody_else(cluster, client):
    other = Client(cluster)
    client.create_bucket("flooded")
    client.create_bucket("quiet")
    flood = CommitFlood(client, "flooded")
    wait_for(lambda: flood.results.get("BUCKET_OVER_SHARE", 0) > BATCH, "the queue to be full", 60)
    revisions = [other.put("quiet", f"key-{i}").revision for i in range(20)]
    flood.over = True
    wait_for(lambda: flood.under_way == 0, "the flood to end", 60)
    assert set(flood.results) == {"", "BUCKET_OVER_SHARE"}, "the queue was never full for others"
    between = statistics.median(after - before for before, after in zip(revisions, revisions[1:]))
    assert between < 6 * BATCH, "a commit waits for a turn, not for all that was there before it"


def test_a_client_full_of_uploads_keeps_neither_others_from_theirs_nor_pulls_from_making_room(cluster, client):
    other = Client(cluster)
    client.create_bucket("filled")
    client.create_bucket("beside")
    uploads = []
    for i in range(20):  # one after the other: in another order the buckets' shares come first
        uploads.append(OpenUpload(client, "filled" if i < 15 else "beside", f"open-{i}"))
        wait_for(lambda: cluster.metric(cluster.metadata_admin_port, "waybill_uploads") == min(len(uploads), 18),
                 "the upload to be open")
    failure = wait_for(lambda: [upload for upload in uploads if upload.call.done()], "a refusal")[0].refusal()
    assert (failure.code, failure.reason) == (Code.RESOURCE_EXHAUSTED, "CLIENT_OVER_SHARE")
    assert failure.retry_seconds > 0 and failure.pushback_ms == failure.retry_seconds * 1000
    record = other.upload("beside", "mine", b"bytes" * 1000)
    assert record.version == 1
    other.wait_state("beside", "mine", "STORED")
    for upload in uploads:
        upload.end()


def test_a_bucket_full_of_uploads_leaves_some_to_other_buckets(cluster, client):
    others = [Client(cluster) for _ in range(3)]
    wait_for(lambda: cluster.metric(cluster.metadata_admin_port, "waybill_uploads") == 0, "no uploads to be left")
    client.create_bucket("crowded")
    client.create_bucket("empty")
    uploads = [OpenUpload(others[i % 3], "crowded", f"open-{i}") for i in range(15)]  # of 20
    wait_for(lambda: cluster.metric(cluster.metadata_admin_port, "waybill_uploads") == 15, "the uploads to be open")
    failure = failure_of(client.upload, "crowded", "more", b"x")
    assert (failure.code, failure.reason) == (Code.RESOURCE_EXHAUSTED, "BUCKET_OVER_SHARE")
    assert failure.metadata["bucket"] == "crowded"
    assert client.upload("empty", "one", b"x").version == 1
    for upload in uploads:
        upload.end()


def test_payloads_leave_the_end_of_the_outbox_to_metadata(tmp_path):
    for cluster in run_cluster(metadata_flags=["--outbox-max-events", "200"]):
        client = Client(cluster)
        client.create_bucket("outbox")
        wait_for(lambda: cluster.metric(cluster.metadata_admin_port, "waybill_outbox_depth") == 0, "the outbox to be empty")
        cluster.nats.kill()
        for i in range(150):
            client.put("outbox", f"inline-{i}", b"x")
        failure = failure_of(client.put, "outbox", "more", b"x")
        assert (failure.code, failure.reason) == (Code.RESOURCE_EXHAUSTED, "KEPT_FOR_METADATA")
        failure = failure_of(client.upload, "outbox", "more", b"x")
        assert failure.reason == "KEPT_FOR_METADATA"
        for i in range(50):
            client.put("outbox", f"plain-{i}")
        failure = failure_of(client.put, "outbox", "more")
        assert (failure.code, failure.reason) == (Code.RESOURCE_EXHAUSTED, "OUTBOX_FULL")
        cluster.nats.start()


def test_a_bucket_whose_payloads_fill_the_spool_leaves_room_for_others():
    flags = ["--spool-max-bytes", "16MiB", "--spool-segment-bytes", "1MiB"]
    for cluster in run_cluster(metadata_flags=flags):
        client = Client(cluster)
        client.create_bucket("heavy")
        client.create_bucket("light")
        assert cluster.object.stop() == 0
        data = b"payload" * 100000
        failure = None
        for i in range(40):
            try:
                client.upload("heavy", f"key-{i}", data)
            except grpc.RpcError:
                failure = failure_of(client.upload, "heavy", "more", data)
                break
        assert (failure.code, failure.reason) == (Code.RESOURCE_EXHAUSTED, "BUCKET_OVER_SHARE")
        assert failure.metadata["bucket"] == "heavy" and failure.retry_seconds > 0
        assert client.upload("light", "one", data).version == 1
        cluster.object.start()
        client.wait_state("light", "one", "STORED")
        wait_for(lambda: client.status().spool_payloads == 0, "the spool to drain", 60)
        assert client.upload("heavy", "more", data).version == 1


def test_the_first_object_of_a_bucket_is_stored_before_thousands_of_another_that_came_earlier(cluster, client):
    client.create_bucket("many")
    client.create_bucket("few")
    assert cluster.object.stop() == 0
    put_many(client, "many", OBJECTS, b"x" * 100)
    start = client.put("few", "one", b"bytes").revision
    cluster.object.start()
    client.wait_state("few", "one", "STORED", seconds=120)
    others = before_the_first_of(client, "few", event_pb2.CHANGE_TYPE_STORED, start)
    assert others < OBJECTS // 2
    wait_for(lambda: cluster.metric(cluster.object_admin_port, "waybill_objects_stored_total") > OBJECTS,
             "everything to be stored", 120)


def test_the_first_object_of_a_bucket_goes_cold_before_hundreds_of_another():
    for cluster in run_cluster(object_flags=["--tier-interval", "50ms"]):
        client = Client(cluster)
        client.create_bucket("a-many")
        client.create_bucket("b-few")
        put_many(client, "a-many", 500, b"x" * 100)
        start = client.put("b-few", "one", b"bytes").revision
        wait_for(lambda: cluster.metric(cluster.object_admin_port, "waybill_objects_stored_total") > 500,
                 "everything to be stored")
        assert cluster.object.stop() == 0
        for bucket in ("a-many", "b-few"):
            client.metadata.UpdateBucket(metadata.UpdateBucketRequest(
                bucket={"name": bucket, "storage": {"storage_class": COLD, "cold_after": {"nanos": 1000}}},
                update_mask={"paths": ["storage.storage_class", "storage.cold_after"]}), timeout=TIMEOUT)
        cluster.object.start()
        client.wait_tiers("b-few", "one", {"COLD"})
        assert before_the_first_of(client, "b-few", event_pb2.CHANGE_TYPE_TIERED, start) < 200
