"""One client or one bucket that takes all it can get does not keep the others from their work."""

import statistics

import grpc
import pytest

from client import TIMEOUT, Client, failure_of, metadata, payloads
from cluster import wait_for
from conftest_shared import run_cluster

Code = grpc.StatusCode
QUEUE, BATCH = 10000, 512  # commits that may wait, and that share a flush


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


def batch_of(bucket, name, count=500):
    requests = [metadata.PutRecordRequest(bucket=bucket, key=f"{name}-{i}") for i in range(count)]
    return metadata.BatchPutRecordsRequest(requests=requests)


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
    uploads = [OpenUpload(client, "filled" if i < 15 else "beside", f"open-{i}") for i in range(20)]
    wait_for(lambda: cluster.metric(cluster.metadata_admin_port, "waybill_uploads") == 18, "the uploads to be open")
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
