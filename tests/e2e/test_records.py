"""Versions, preconditions, request ids, listings, buckets, watches."""

import itertools
import threading
import uuid

import grpc
import pytest

from client import TIMEOUT, Client, failure_of, metadata, payloads
from contract import bucket_pb2, event_pb2, record_pb2


@pytest.fixture(scope="module", autouse=True)
def bucket(client):
    return client.create_bucket("records")


def test_versions_count_up_and_are_never_reused(client):
    assert [client.put("records", "v").version for _ in range(3)] == [1, 2, 3]
    tombstone = client.delete("records", "v")
    assert tombstone.version == 4 and tombstone.state == record_pb2.RECORD_STATE_DELETED
    assert client.put("records", "v").version == 5
    assert client.get("records", "v", version=2).version == 2


def test_a_deleted_record_is_not_found_but_shown_on_demand(client):
    client.put("records", "gone")
    client.delete("records", "gone")
    assert failure_of(client.get, "records", "gone").reason == "RECORD_DELETED"
    assert client.get("records", "gone", show_deleted=True).state == record_pb2.RECORD_STATE_DELETED
    failure = failure_of(client.delete, "records", "gone")
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "RECORD_DELETED")
    assert failure.metadata["version"] == "2"


def test_a_version_precondition_lets_one_writer_win(client):
    outcomes = []

    def write():
        own = Client(client.cluster)
        try:
            outcomes.append(own.put("records", "raced", if_version_match=0).version)
        except grpc.RpcError as error:
            outcomes.append(error.code())

    writers = [threading.Thread(target=write) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(map(str, outcomes)) == sorted(["1"] + [str(grpc.StatusCode.ABORTED)] * 7)


def test_a_version_mismatch_tells_the_current_version(client):
    client.put("records", "m")
    client.put("records", "m")
    failure = failure_of(client.put, "records", "m", if_version_match=1)
    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH")
    assert failure.metadata["current_version"] == "2"
    assert client.put("records", "m", if_version_match=2).version == 3
    assert failure_of(client.delete, "records", "m", if_version_match=2).reason == "VERSION_MISMATCH"


def test_the_same_request_again_gets_the_same_answer(client):
    request_id = str(uuid.uuid4())
    first = client.put("records", "once", b"data", request_id=request_id)
    again = client.put("records", "once", b"data", request_id=request_id)
    assert again == first and client.get("records", "once").version == 1
    failure = failure_of(client.put, "records", "once", b"other", request_id=request_id)
    assert (failure.code, failure.reason, failure.field) == (
        grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED", "request_id")


def encoded(fields, names):
    """The request with its attributes encoded in the order of the names."""
    request_class = type(fields)
    return fields.SerializeToString() + b"".join(
        request_class(attributes={name: record_pb2.AttributeValue(string_value=name * 3)}).SerializeToString()
        for name in names)


@pytest.mark.parametrize("method", ["PutRecord", "UpdateRecord"])
def test_a_request_is_the_same_with_its_attributes_in_another_order(client, cluster, method):
    """Encoders may give a map another order each time."""
    key = f"map-{method}"
    if method == "UpdateRecord":
        client.put("records", key)
    fields = getattr(metadata, method + "Request")(bucket="records", key=key, request_id=str(uuid.uuid4()))
    if method == "UpdateRecord":
        fields.update_mask.paths.append("attributes")
    call = cluster.channel(cluster.metadata_port).unary_unary(f"/waybill.v1.MetadataService/{method}")
    answers = {call(encoded(fields, names), timeout=TIMEOUT) for names in itertools.permutations("abc")}
    assert len(answers) == 1
    assert sorted(client.get("records", key).attributes) == ["a", "b", "c"]
    failure = failure_of(call, encoded(fields, "ab"), timeout=TIMEOUT)
    assert failure.reason == "REQUEST_ID_REUSED"


def test_an_upload_is_the_same_with_its_attributes_in_another_order(client, cluster):
    fields = payloads.NewRecordUpload(bucket="records", key="map-upload", request_id=str(uuid.uuid4()))
    call = cluster.channel(cluster.bulk_port).stream_unary("/waybill.v1.PayloadService/UploadPayload")
    answers = set()
    for names in itertools.permutations("abc"):
        start = encoded(fields, names)
        field = payloads.UploadPayloadRequest.DESCRIPTOR.fields_by_name["new_record"].number
        tagged = bytes([field << 3 | 2]) + bytes([len(start)]) + start
        assert payloads.UploadPayloadRequest.FromString(tagged).new_record.key == "map-upload" and len(start) < 128
        rest = [payloads.UploadPayloadRequest(chunk=payloads.PayloadChunk(data=b"data")),
                payloads.UploadPayloadRequest(finish=payloads.FinishUpload())]
        answers.add(call(iter([tagged] + [message.SerializeToString() for message in rest]), timeout=TIMEOUT))
    assert len(answers) == 1


def test_a_repeated_upload_takes_effect_once(client):
    request_id = str(uuid.uuid4())
    first = client.upload("records", "upload-once", b"z" * 100000, request_id=request_id)
    again = client.upload("records", "upload-once", b"z" * 100000, request_id=request_id)
    assert (again.version, again.payload_id) == (first.version, first.payload_id)
    failure = failure_of(client.upload, "records", "upload-once", b"y" * 100000, request_id=request_id)
    assert failure.reason == "REQUEST_ID_REUSED"


def test_validate_only_changes_nothing(client):
    before = client.revision()
    assert client.put("records", "checked", b"x", validate_only=True).version == 1
    after = client.revision()  # objects of other tests may become STORED meanwhile
    changes = client.watch(after, before + 1) if after > before else []
    assert "checked" not in [event.record.key for event in changes]
    assert failure_of(client.get, "records", "checked").code == grpc.StatusCode.NOT_FOUND


def test_listing_pages_through_every_key_once(client):
    client.create_bucket("listed")
    keys = sorted([f"a/{i:03}" for i in range(25)] + [f"b/{i}" for i in range(5)] + ["a", "grün"],
                  key=lambda key: key.encode())
    for key in keys:
        client.put("listed", key)
    client.delete("listed", "b/3")
    alive = [key for key in keys if key != "b/3"]
    pages = list(client.list_pages("listed", page_size=7))
    assert [len(page) for page in pages[:-1]] == [7] * (len(pages) - 1)
    assert [record.key for page in pages for record in page] == alive
    assert [record.key for page in client.list_pages("listed", prefix="a/", page_size=10) for record in page] == [
        key for key in keys if key.startswith("a/")]
    shown = [record.key for page in client.list_pages("listed", show_deleted=True) for record in page]
    assert shown == keys


def test_a_page_token_belongs_to_its_listing(client):
    for i in range(3):
        client.put("records", f"token/{i}")
    page = client.metadata.ListRecords(metadata.ListRecordsRequest(bucket="records", prefix="token/", page_size=1))
    for request in (
        metadata.ListRecordsRequest(bucket="records", prefix="other/", page_token=page.next_page_token),
        metadata.ListRecordsRequest(bucket="records", prefix="token/", page_token="00"),
        metadata.ListRecordsRequest(bucket="records", prefix="token/", page_token="not hexadecimal"),
    ):
        failure = failure_of(client.metadata.ListRecords, request)
        assert (failure.code, failure.reason, failure.field) == (
            grpc.StatusCode.INVALID_ARGUMENT, "BAD_PAGE_TOKEN", "page_token")


def test_buckets_are_created_listed_and_got(client):
    created = client.create_bucket("made", cold_after=90.5, inline_max_bytes=10)
    got = client.metadata.GetBucket(metadata.GetBucketRequest(name="made")).bucket
    assert got == created
    assert got.storage.cold_after.ToTimedelta().total_seconds() == 90.5 and got.inline_max_bytes == 10
    assert got.write_mode == bucket_pb2.WRITE_MODE_DECOUPLED
    names, token = [], ""
    while True:
        page = client.metadata.ListBuckets(metadata.ListBucketsRequest(page_size=1, page_token=token))
        names += [bucket.name for bucket in page.buckets]
        token = page.next_page_token
        if not token:
            break
    assert names == sorted(names) and {"made", "records"} <= set(names)
    assert failure_of(client.create_bucket, "made").code == grpc.StatusCode.ALREADY_EXISTS


def test_a_watch_sees_what_comes_and_only_what_it_asked_for(client):
    client.create_bucket("watched")
    start = client.revision() + 1
    for i in range(20):
        client.put("watched", f"x/{i}")
        client.put("watched", f"y/{i}")
        client.put("records", f"x/{i}")
    client.delete("watched", "x/3")
    last = client.revision()
    seen = client.watch(last, start, bucket="watched", key_prefix="x/")
    assert [event.record.key for event in seen] == [f"x/{i}" for i in range(20)] + ["x/3"]
    deleted = client.watch(last, start, types=[event_pb2.CHANGE_TYPE_DELETED])
    assert [event.record.key for event in deleted] == ["x/3"]


def test_a_watch_from_now_on_gets_the_next_change(client):
    call = client.metadata.WatchChanges(
        metadata.WatchChangesRequest(bucket="records", key_prefix="soon", bookmark_interval={"nanos": 200000000}),
        timeout=TIMEOUT)
    assert next(call).HasField("bookmark"), "the bookmark tells that the watch stands"
    client.put("records", "soon/1")
    event = next(answer for answer in call if answer.HasField("event")).event
    call.cancel()
    assert event.record.key == "soon/1" and event.cause.system == record_pb2.SYSTEM_CAUSE_CLIENT


def test_a_watch_from_the_future_is_out_of_range(client):
    failure = failure_of(
        client.metadata.WatchChanges, metadata.WatchChangesRequest(start_revision=10**9), timeout=TIMEOUT)
    assert (failure.code, failure.reason) == (grpc.StatusCode.OUT_OF_RANGE, "REVISION_IN_FUTURE")
