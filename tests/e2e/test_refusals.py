"""Bad input of any kind gets the right status, says which field and why, and changes nothing."""

import random
import socket
import uuid

import grpc
import pytest

from client import TIMEOUT, Client, admin, failure_of, metadata, objects, payloads
from contract import record_pb2, report_service_pb2, schema_service_pb2
from cluster import wait_for

Code = grpc.StatusCode


@pytest.fixture(scope="module", autouse=True)
def bucket(client):
    client.create_bucket("good-bucket", inline_max_bytes=1000)
    client.put("good-bucket", "there", b"there")
    client.wait_state("good-bucket", "there", "STORED")


def put(attributes=None, **fields):
    fields.setdefault("bucket", "good-bucket")
    fields.setdefault("key", "new")
    request = metadata.PutRecordRequest(**fields)
    for name, value in (attributes or {}).items():
        request.attributes[name].CopyFrom(record_pb2.AttributeValue(**value))
    return request


BAD_BUCKETS = ["", "ab", "a" * 64, "Upper", "under_score", "-front", "back-", "dot.dot", "grün"]
BAD_KEYS = ["", "k" * 1025, "/front", "back/", "a//b", ".", "a/../b", "a/.", "tab\there", "del\x7f", "c1\x85"]

PUTS = (
    [(put(bucket=name), Code.INVALID_ARGUMENT, "BAD_BUCKET_NAME", "bucket") for name in BAD_BUCKETS]
    + [(put(key=key), Code.INVALID_ARGUMENT, "BAD_KEY", "key") for key in BAD_KEYS]
    + [
        (put(bucket="no-such-bucket"), Code.NOT_FOUND, "BUCKET_NOT_FOUND", None),
        (put(request_id="not a uuid"), Code.INVALID_ARGUMENT, "BAD_REQUEST_ID", "request_id"),
        (put(request_id="00000000-0000-0000-0000-000000000000"), Code.INVALID_ARGUMENT, "BAD_REQUEST_ID", "request_id"),
        (put(reason="r" * 257), Code.INVALID_ARGUMENT, "REASON_TOO_LONG", "reason"),
        (put(if_version_match=-1), Code.INVALID_ARGUMENT, "BAD_VERSION", "if_version_match"),
        (put(if_version_match=7), Code.ABORTED, "VERSION_MISMATCH", None),
        (put(content_type="c" * 256), Code.INVALID_ARGUMENT, "CONTENT_TYPE_TOO_LONG", "content_type"),
        (put(content_type="te\nxt"), Code.INVALID_ARGUMENT, "BAD_CONTENT_TYPE", "content_type"),
        (put(attributes={"": {"int_value": 1}}), Code.INVALID_ARGUMENT, "BAD_ATTRIBUTE", "attributes"),
        (put(attributes={"n" * 129: {"int_value": 1}}), Code.INVALID_ARGUMENT, "BAD_ATTRIBUTE", "attributes"),
        (put(attributes={"none": {}}), Code.INVALID_ARGUMENT, "BAD_ATTRIBUTE", "attributes"),
        (put(attributes={"nan": {"double_value": float("nan")}}), Code.INVALID_ARGUMENT, "BAD_ATTRIBUTE", "attributes"),
        (put(attributes={f"a{i}": {"int_value": i} for i in range(65)}), Code.INVALID_ARGUMENT, "TOO_MANY_ATTRIBUTES",
         "attributes"),
        (put(attributes={"big": {"string_value": "x" * 33000}}), Code.INVALID_ARGUMENT, "DESCRIPTOR_TOO_LARGE",
         "attributes"),
        (put(inline_payload={"data": b"x" * 1001}), Code.INVALID_ARGUMENT, "INLINE_PAYLOAD_TOO_LARGE",
         "inline_payload.data"),
        (put(inline_payload={"data": b"x", "crc32c": 1}), Code.INVALID_ARGUMENT, "CHECKSUM_MISMATCH",
         "inline_payload.crc32c"),
        (put(inline_payload={"data": b"x", "sha256": b"short"}), Code.INVALID_ARGUMENT, "BAD_SHA256",
         "inline_payload.sha256"),
        (put(announced_payload={"size": -1}), Code.INVALID_ARGUMENT, "BAD_SIZE", "announced_payload.size"),
        (put(expire_time={"seconds": 1}), Code.INVALID_ARGUMENT, "BAD_EXPIRE_TIME", "expire_time"),
        (put(expire_time={"seconds": -1}), Code.INVALID_ARGUMENT, "BAD_TIME", "expire_time"),
        (put(schema_id="schema"), Code.UNIMPLEMENTED, "NOT_SERVED_YET", "schema_id"),
        (put(payload_deadline={"seconds": 1}), Code.INVALID_ARGUMENT, "PAYLOAD_REQUIRED", "payload_deadline"),
        (put(payload_deadline={"seconds": -1}, inline_payload={"data": b"x"}), Code.INVALID_ARGUMENT, "BAD_DURATION",
         "payload_deadline"),
        (put(payload_deadline={"seconds": 366 * 86400}, announced_payload={}), Code.INVALID_ARGUMENT, "BAD_DURATION",
         "payload_deadline"),
    ]
)


@pytest.mark.parametrize("request_, code, reason, field", PUTS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_bad_put_is_refused_and_changes_nothing(client, request_, code, reason, field):
    before = client.revision()
    failure = failure_of(client.metadata.PutRecord, request_, timeout=TIMEOUT)
    assert (failure.code, failure.reason, failure.domain) == (code, reason, "waybill"), failure.message
    assert failure.field == field
    assert client.revision() == before


def test_a_key_of_1024_bytes_and_a_bucket_of_63_are_fine(client):
    client.create_bucket("b" * 63)
    key = "k" * 200 + "/" + "ü" * 411 + "x"
    assert len(key.encode()) == 1024
    client.put("b" * 63, key, b"edge")
    client.wait_state("b" * 63, key, "STORED")
    assert client.read("b" * 63, key)[0] == b"edge"


OTHERS = [
    ("metadata.CreateBucket", metadata.CreateBucketRequest(), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", "bucket"),
    ("metadata.CreateBucket", metadata.CreateBucketRequest(bucket={"name": "X"}), Code.INVALID_ARGUMENT,
     "BAD_BUCKET_NAME", "bucket.name"),
    ("metadata.CreateBucket", metadata.CreateBucketRequest(bucket={"name": "good-bucket"}), Code.ALREADY_EXISTS,
     "BUCKET_EXISTS", None),
    ("metadata.CreateBucket", metadata.CreateBucketRequest(bucket={"name": "fine", "inline_max_bytes": 65537}),
     Code.INVALID_ARGUMENT, "BAD_INLINE_MAX_BYTES", "bucket.inline_max_bytes"),
    ("metadata.CreateBucket", metadata.CreateBucketRequest(bucket={"name": "fine", "write_mode": 2}),
     Code.UNIMPLEMENTED, "NOT_SERVED_YET", "bucket.write_mode"),
    ("metadata.CreateBucket", metadata.CreateBucketRequest(bucket={"name": "fine", "on_failure": 3}),
     Code.INVALID_ARGUMENT, "BAD_ON_FAILURE", "bucket.on_failure"),
    ("metadata.CreateBucket", metadata.CreateBucketRequest(
        bucket={"name": "fine", "payload_deadline": {"seconds": 366 * 86400}}), Code.INVALID_ARGUMENT, "BAD_DURATION",
     "bucket.payload_deadline"),
    ("metadata.GetBucket", metadata.GetBucketRequest(name="no-such-bucket"), Code.NOT_FOUND, "BUCKET_NOT_FOUND", None),
    ("metadata.GetRecord", metadata.GetRecordRequest(bucket="good-bucket", key="absent"), Code.NOT_FOUND,
     "RECORD_NOT_FOUND", None),
    ("metadata.GetRecord", metadata.GetRecordRequest(bucket="good-bucket", key="there", version=9), Code.NOT_FOUND,
     "VERSION_NOT_FOUND", None),
    ("metadata.GetRecord", metadata.GetRecordRequest(bucket="good-bucket", key="there", version=-1),
     Code.INVALID_ARGUMENT, "BAD_VERSION", "version"),
    ("metadata.DeleteRecord", metadata.DeleteRecordRequest(bucket="good-bucket", key="absent"), Code.NOT_FOUND,
     "RECORD_NOT_FOUND", None),
    ("metadata.ListRecords", metadata.ListRecordsRequest(bucket="good-bucket", page_size=1001), Code.INVALID_ARGUMENT,
     "BAD_PAGE_SIZE", "page_size"),
    ("metadata.ListRecords", metadata.ListRecordsRequest(bucket="good-bucket", delimiter="d" * 17),
     Code.INVALID_ARGUMENT, "BAD_DELIMITER", "delimiter"),
    ("metadata.ListRecords", metadata.ListRecordsRequest(bucket="good-bucket", filter="colour = red"),
     Code.INVALID_ARGUMENT, "BAD_FILTER", "filter"),
    ("metadata.ListRecords", metadata.ListRecordsRequest(bucket="good-bucket", page_token="6b"),
     Code.INVALID_ARGUMENT, "BAD_PAGE_TOKEN", "page_token"),
    ("metadata.ListRecordVersions", metadata.ListRecordVersionsRequest(bucket="good-bucket", key="absent"),
     Code.NOT_FOUND, "RECORD_NOT_FOUND", None),
    ("metadata.BatchPutRecords", metadata.BatchPutRecordsRequest(), Code.INVALID_ARGUMENT, "FIELD_REQUIRED",
     "requests"),
    ("metadata.BatchPutRecords", metadata.BatchPutRecordsRequest(requests=[put()] * 501), Code.INVALID_ARGUMENT,
     "BATCH_TOO_LARGE", "requests"),
    ("metadata.BatchGetRecords", metadata.BatchGetRecordsRequest(
        requests=[metadata.GetRecordRequest(bucket="good-bucket", key="a//b")]), Code.INVALID_ARGUMENT, "BAD_KEY", "key"),
    ("metadata.UpdateBucket", metadata.UpdateBucketRequest(bucket={"name": "good-bucket"}), Code.INVALID_ARGUMENT,
     "FIELD_REQUIRED", "update_mask"),
    ("metadata.UpdateBucket", metadata.UpdateBucketRequest(
        bucket={"name": "good-bucket"}, update_mask={"paths": ["name"]}), Code.INVALID_ARGUMENT, "BAD_UPDATE_MASK",
     "update_mask"),
    ("metadata.UpdateBucket", metadata.UpdateBucketRequest(
        bucket={"name": "no-such-bucket"}, update_mask={"paths": ["storage"]}), Code.NOT_FOUND, "BUCKET_NOT_FOUND", None),
    ("metadata.DeleteBucket", metadata.DeleteBucketRequest(name="good-bucket"), Code.FAILED_PRECONDITION,
     "BUCKET_NOT_EMPTY", None),
    ("metadata.CreateBucket", metadata.CreateBucketRequest(bucket={"name": "fine", "storage": {"max_versions": -1}}),
     Code.INVALID_ARGUMENT, "BAD_MAX_VERSIONS", "bucket.storage.max_versions"),
    ("metadata.CreateBucket", metadata.CreateBucketRequest(
        bucket={"name": "fine", "delete_retention": {"seconds": -1}}), Code.INVALID_ARGUMENT, "BAD_DURATION",
     "bucket.delete_retention"),
    ("metadata.WatchChanges", metadata.WatchChangesRequest(start_revision=-1), Code.INVALID_ARGUMENT, "BAD_REVISION",
     "start_revision"),
    ("metadata.UpdateRecord", metadata.UpdateRecordRequest(bucket="good-bucket", key="there"), Code.INVALID_ARGUMENT,
     "FIELD_REQUIRED", "update_mask"),
    ("metadata.UpdateRecord", metadata.UpdateRecordRequest(
        bucket="good-bucket", key="there", update_mask={"paths": ["state"]}), Code.INVALID_ARGUMENT, "BAD_UPDATE_MASK",
     "update_mask"),
    ("metadata.UpdateRecord", metadata.UpdateRecordRequest(
        bucket="good-bucket", key="absent", content_type="a/b"), Code.NOT_FOUND, "RECORD_NOT_FOUND", None),
    ("metadata.RestoreRecord", metadata.RestoreRecordRequest(bucket="good-bucket", key="there"), Code.ALREADY_EXISTS,
     "RECORD_EXISTS", None),
    ("metadata.RestoreRecord", metadata.RestoreRecordRequest(bucket="good-bucket", key="there", version=77),
     Code.NOT_FOUND, "VERSION_NOT_FOUND", None),
    ("metadata.RestoreRecord", metadata.RestoreRecordRequest(bucket="good-bucket", key="there", version=-1),
     Code.INVALID_ARGUMENT, "BAD_VERSION", "version"),
    ("schemas.GetSchema", schema_service_pb2.GetSchemaRequest(id="x"), Code.UNIMPLEMENTED, "NOT_SERVED_YET", None),
    ("object_admin.Drain", admin.DrainRequest(), Code.UNIMPLEMENTED, "NOT_SERVED_YET", None),
    ("objects.ReadObject", objects.ReadObjectRequest(bucket="good-bucket", key="absent"), Code.NOT_FOUND,
     "RECORD_NOT_FOUND", None),
    ("objects.ReadObject", objects.ReadObjectRequest(bucket="good-bucket", key="there", read_offset=6),
     Code.OUT_OF_RANGE, "READ_PAST_END", None),
    ("objects.ReadObject", objects.ReadObjectRequest(bucket="good-bucket", key="there", read_limit=-1),
     Code.INVALID_ARGUMENT, "BAD_RANGE", "read_limit"),
    ("objects.ReadObject", objects.ReadObjectRequest(bucket="good-bucket", key="there", if_version_match=2),
     Code.ABORTED, "VERSION_MISMATCH", None),
    ("objects.ReadObject", objects.ReadObjectRequest(bucket="BAD", key="there"), Code.INVALID_ARGUMENT,
     "BAD_BUCKET_NAME", "bucket"),
    ("objects.StatObject", objects.StatObjectRequest(bucket="good-bucket", key="a//b"), Code.INVALID_ARGUMENT,
     "BAD_KEY", "key"),
    ("reports.ReportObjects", report_service_pb2.ReportObjectsRequest(replica="r", reports=[
        {"bucket": "good-bucket", "key": "there", "version": 1, "payload_id": str(uuid.uuid4()), "outcome": 3,
         "attempts": -1}]), Code.INVALID_ARGUMENT, "BAD_ATTEMPTS", "reports.attempts"),
    ("reports.ReportObjects", report_service_pb2.ReportObjectsRequest(), Code.INVALID_ARGUMENT, "BAD_REPLICA",
     "replica"),
]


@pytest.mark.parametrize("method, request_, code, reason, field", OTHERS,
                         ids=lambda value: value if isinstance(value, str) else "")
def test_a_bad_call_is_refused_and_changes_nothing(client, method, request_, code, reason, field):
    before = client.revision()
    stub, name = method.split(".")
    failure = failure_of(getattr(getattr(client, stub), name), request_, timeout=TIMEOUT)
    assert (failure.code, failure.reason, failure.domain) == (code, reason, "waybill"), failure.message
    assert failure.field == field
    assert client.revision() == before


def upload(*messages):
    return iter([payloads.UploadPayloadRequest(**message) for message in messages])


def start(**fields):
    return {"new_record": payloads.NewRecordUpload(bucket="good-bucket", key="uploaded", **fields)}


UPLOADS = [
    ([{"chunk": {"data": b"x"}}], Code.INVALID_ARGUMENT, "UPLOAD_NOT_STARTED", "message"),
    ([start(), start()], Code.INVALID_ARGUMENT, "UPLOAD_STARTED_TWICE", "message"),
    ([start(), {"chunk": {"data": b"x", "crc32c": 1}}], Code.INVALID_ARGUMENT, "CHECKSUM_MISMATCH", "chunk.crc32c"),
    ([start(), {"chunk": {"data": b"x"}}, {"finish": {"crc32c": 1}}], Code.INVALID_ARGUMENT, "CHECKSUM_MISMATCH",
     "finish.crc32c"),
    ([start(), {"chunk": {"data": b"x" * (1 << 20) + b"y"}}], Code.INVALID_ARGUMENT, "CHUNK_TOO_LARGE", "chunk.data"),
    ([start(size=2), {"chunk": {"data": b"xyz"}}], Code.INVALID_ARGUMENT, "SIZE_MISMATCH", "chunk.data"),
    ([start(size=4), {"chunk": {"data": b"xyz"}}, {"finish": {}}], Code.INVALID_ARGUMENT, "SIZE_MISMATCH",
     "new_record.size"),
    ([start(), {"chunk": {"data": b"xyz"}}], Code.CANCELLED, "UPLOAD_ABORTED", None),
    ([start(if_version_match=3)], Code.ABORTED, "VERSION_MISMATCH", None),
    ([{"new_record": {"bucket": "no-such-bucket", "key": "k"}}], Code.NOT_FOUND, "BUCKET_NOT_FOUND", None),
    ([{"announced": {"upload_id": "x"}}], Code.INVALID_ARGUMENT, "BAD_UPLOAD_ID", "announced.upload_id"),
    ([{"announced": {"upload_id": str(uuid.uuid4())}}], Code.NOT_FOUND, "UPLOAD_NOT_FOUND", None),
]


@pytest.mark.parametrize("messages, code, reason, field", UPLOADS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_bad_upload_is_refused_and_changes_nothing(client, messages, code, reason, field):
    before = client.revision()
    failure = failure_of(client.payloads.UploadPayload, upload(*messages), timeout=TIMEOUT)
    assert (failure.code, failure.reason) == (code, reason), failure.message
    assert failure.field == field
    assert client.revision() == before
    wait_for(lambda: client.status().spool_payloads == 0, "the refused payload to leave the spool")


def test_an_upload_at_another_offset_is_told_the_right_one(client):
    _, upload_id = client.announce("good-bucket", "offset")
    failure = failure_of(client.upload_announced, upload_id, b"x", write_offset=5)
    assert (failure.code, failure.reason) == (Code.OUT_OF_RANGE, "WRONG_WRITE_OFFSET")
    assert failure.metadata["write_offset"] == "0"


def test_an_announced_payload_must_be_what_was_announced(client):
    _, upload_id = client.announce("good-bucket", "exact", size=3, crc32c=1)
    assert failure_of(client.upload_announced, upload_id, b"four").reason == "SIZE_MISMATCH"
    assert failure_of(client.upload_announced, upload_id, b"xyz").reason == "CHECKSUM_MISMATCH"
    assert client.get("good-bucket", "exact").serving_version == 0


def test_a_string_that_is_no_utf8_or_holds_a_nul_is_refused(client):
    channel = client.cluster.channel(client.cluster.metadata_port)
    call = channel.unary_unary("/waybill.v1.MetadataService/PutRecord")
    for key in (b"\xff\xfe", b"a\0b", b"\xed\xa0\x80"):
        body = b"\x0a\x0bgood-bucket" + b"\x12" + bytes([len(key)]) + key
        failure = failure_of(call, body, timeout=TIMEOUT)
        assert (failure.code, failure.reason) == (Code.INVALID_ARGUMENT, "BAD_UTF8"), key


def test_an_oversize_message_is_refused(client):
    failure = failure_of(client.metadata.PutRecord, put(inline_payload={"data": b"x" * (5 << 20)}), timeout=TIMEOUT)
    assert (failure.code, failure.reason) == (Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE")
    failure = failure_of(client.metadata.PutRecord, put(inline_payload={"data": b"x" * (40 << 20)}), timeout=TIMEOUT)
    assert failure.code == Code.RESOURCE_EXHAUSTED


def test_an_unknown_method_is_unimplemented(client):
    call = client.cluster.channel(client.cluster.metadata_port).unary_unary("/waybill.v1.MetadataService/NoSuchMethod")
    failure = failure_of(call, b"", timeout=TIMEOUT)
    assert (failure.code, failure.reason) == (Code.UNIMPLEMENTED, "UNKNOWN_METHOD")


METHODS = ["/waybill.v1.MetadataService/PutRecord", "/waybill.v1.MetadataService/CreateBucket",
           "/waybill.v1.MetadataService/ListRecords", "/waybill.v1.ReportService/ReportObjects"]


def test_random_bytes_as_requests_are_refused(client):
    chance = random.Random(7)
    before = client.revision()
    channel = client.cluster.channel(client.cluster.metadata_port)
    for i in range(400):
        call = channel.unary_unary(METHODS[i % len(METHODS)])
        failure = failure_of(call, chance.randbytes(chance.randrange(1, 200)), timeout=TIMEOUT)
        assert failure.code in (Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.UNIMPLEMENTED), failure.message
        assert failure.reason
    assert client.revision() == before


def test_random_bytes_on_every_port_do_no_harm(client, cluster):
    chance = random.Random(11)
    before = client.revision()
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    for port in (cluster.metadata_port, cluster.bulk_port, cluster.object_port, cluster.metadata_admin_port,
                 cluster.object_admin_port):
        for i in range(30):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                try:
                    connection.sendall((preface if i % 2 else b"") + chance.randbytes(chance.randrange(1, 5000)))
                    connection.settimeout(0.02)
                    connection.recv(1000)
                except OSError:
                    pass  # it hung up, or said nothing
    fresh = Client(cluster)
    fresh.put("good-bucket", "after-noise", b"fine")
    fresh.wait_state("good-bucket", "after-noise", "STORED")
    assert fresh.read("good-bucket", "after-noise")[0] == b"fine"
    assert [event.record.key for event in fresh.watch(before + 1, before + 1)] == ["after-noise"]
    assert cluster.http(cluster.metadata_admin_port, "/readyz")[0] == 200
    assert cluster.http(cluster.object_admin_port, "/readyz")[0] == 200
