"""Three ways to write, one pipeline: what goes in comes back byte for byte."""

import hashlib
import os

import pytest

from client import COLD, HOT, HOT_AND_COLD, objects, payloads, tiers_of
from contract import event_pb2, metadata_service_pb2, record_pb2
from cluster import wait_for

SIZES = [0, 1, 1000, 65536, 65537, 5 << 20]


@pytest.fixture(scope="module", autouse=True)
def buckets(client):
    client.create_bucket("hot-only", HOT)
    client.create_bucket("cold-soon", COLD, cold_after=0.5)
    client.create_bucket("both", HOT_AND_COLD, cold_after=0.5)


def test_a_record_without_payload_is_committed(client):
    record = client.put("hot-only", "plain", content_type="text/plain")
    assert record.state == record_pb2.RECORD_STATE_COMMITTED
    assert record.version == record.serving_version == 1
    assert not record.HasField("size") and not record.payload_id


@pytest.mark.parametrize("size", [size for size in SIZES if size <= 65536])
def test_an_inline_payload_comes_back(client, size):
    data = os.urandom(size)
    record = client.put("hot-only", f"inline-{size}", data)
    assert record.state == record_pb2.RECORD_STATE_STAGED and record.size == size
    assert client.read("hot-only", f"inline-{size}")[0] == data, "a writer reads its own write at once"
    client.wait_state("hot-only", f"inline-{size}", "STORED")
    read, source, _ = client.read("hot-only", f"inline-{size}")
    assert read == data and source == objects.READ_SOURCE_HOT


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk", [1 << 20, 70001])
def test_a_streamed_payload_comes_back(client, size, chunk):
    data = os.urandom(size)
    key = f"streamed-{size}-{chunk}"
    record = client.upload("hot-only", key, data, chunk=chunk, size=size)
    assert record.state == record_pb2.RECORD_STATE_STAGED and record.size == size
    assert client.read("hot-only", key)[0] == data
    client.wait_state("hot-only", key, "STORED")
    assert client.read("hot-only", key)[0] == data


def test_a_large_payload_comes_back(client):
    block = os.urandom(1 << 20)
    data = b"".join(bytes([i]) + block[1:] for i in range(200))
    record = client.upload("cold-soon", "large", data)
    assert record.size == len(data)
    digest = hashlib.sha256(data).digest()
    assert hashlib.sha256(client.read("cold-soon", "large")[0]).digest() == digest
    client.wait_tiers("cold-soon", "large", {"COLD"}, 120)
    assert hashlib.sha256(client.read("cold-soon", "large")[0]).digest() == digest


def test_checksums_go_with_the_bytes_all_the_way(client):
    data, crc32c, half = b"123456789", 0xE3069283, 0xF63AF4EE  # half: of the first four bytes
    digest = hashlib.sha256(data).digest()
    request = metadata_service_pb2.PutRecordRequest(bucket="hot-only", key="sum-inline")
    request.inline_payload.data, request.inline_payload.crc32c, request.inline_payload.sha256 = data, crc32c, digest
    assert client.metadata.PutRecord(request).record.crc32c == crc32c
    messages = [{"new_record": {"bucket": "hot-only", "key": "sum-streamed", "size": 9, "sha256": digest}},
                {"chunk": {"data": data[:4], "crc32c": half}}, {"chunk": {"data": data[4:]}},
                {"finish": {"crc32c": crc32c}}]
    answer = client.payloads.UploadPayload(payloads.UploadPayloadRequest(**message) for message in messages)
    assert answer.record.crc32c == crc32c
    for key in ("sum-inline", "sum-streamed"):
        client.wait_state("hot-only", key, "STORED")
        record = client.get("hot-only", key)
        assert (record.crc32c, record.sha256) == (crc32c, digest)
        chunks = [answer for answer in client.objects.ReadObject(
            objects.ReadObjectRequest(bucket="hot-only", key=key)) if answer.data]
        assert [(chunk.data, chunk.crc32c) for chunk in chunks] == [(data, crc32c)]


def test_a_stat_tells_where_a_read_would_read_from(client):
    client.put("cold-soon", "stat", b"somewhere")
    request = objects.StatObjectRequest(bucket="cold-soon", key="stat")
    assert client.objects.StatObject(request).record.size == 9
    client.wait_cold("cold-soon", "stat")
    answer = client.objects.StatObject(request)
    assert answer.source == objects.READ_SOURCE_COLD and tiers_of(answer.record) == {"COLD"}


def test_an_announced_payload_is_staged_when_it_arrives(client):
    data = os.urandom(300000)
    record, upload_id = client.announce("hot-only", "announced", size=len(data))
    assert record.state == record_pb2.RECORD_STATE_AWAITING_PAYLOAD and upload_id == record.payload_id
    assert record.serving_version == 0
    staged = client.upload_announced(upload_id, data)
    assert staged.version == 1 and staged.state == record_pb2.RECORD_STATE_STAGED
    client.wait_state("hot-only", "announced", "STORED")
    assert client.read("hot-only", "announced")[0] == data


def test_readers_keep_the_old_version_until_an_announced_one_arrives(client):
    client.put("hot-only", "next", b"old")
    _, upload_id = client.announce("hot-only", "next")
    latest = client.get("hot-only", "next")
    assert (latest.version, latest.serving_version) == (2, 1)
    assert client.read("hot-only", "next")[0] == b"old"
    client.upload_announced(upload_id, b"new")
    assert client.read("hot-only", "next")[0] == b"new"
    assert client.read("hot-only", "next", version=1)[0] == b"old"


def test_a_record_keeps_what_its_writer_said(client):
    request = metadata_service_pb2.PutRecordRequest(
        bucket="hot-only", key="described", content_type="image/jpeg", reason="import")
    request.attributes["s"].string_value = "grün"
    request.attributes["i"].int_value = -(2**63)
    request.attributes["d"].double_value = 0.25
    request.attributes["b"].bool_value = True
    request.attributes["t"].timestamp_value.FromJsonString("2024-02-29T12:34:56.789Z")
    request.attributes["r"].bytes_value = b"\0\xff"
    client.metadata.PutRecord(request)
    record = client.get("hot-only", "described")
    assert record.content_type == "image/jpeg" and record.cause.reason == "import"
    assert {name: value for name, value in record.attributes.items()} == dict(request.attributes.items())
    assert record.uid and record.create_time.seconds and record.update_time.seconds


RANGES = [(0, 0), (0, 1), (5, 10), (65535, 2), (65536, 65536), (299999, 1), (300000, 0), (0, 10**9), (-1, 0), (-70000, 3)]


@pytest.mark.parametrize("bucket, tiers", [("hot-only", {"HOT"}), ("cold-soon", {"COLD"})])
def test_ranges_of_stored_objects(client, bucket, tiers):
    data = os.urandom(300000)
    client.upload(bucket, "ranges", data)
    client.wait_tiers(bucket, "ranges", tiers)
    for offset, limit in RANGES:
        start = offset if offset >= 0 else len(data) + offset
        expected = data[start:start + limit] if limit else data[start:]
        assert client.read(bucket, "ranges", read_offset=offset, read_limit=limit)[0] == expected, (offset, limit)


def test_an_object_goes_hot_then_cold_and_its_payload_leaves_the_spool(client, cluster):
    client.upload("cold-soon", "moving", os.urandom(200000))
    client.wait_cold("cold-soon", "moving")
    _, source, record = client.read("cold-soon", "moving")
    assert source == objects.READ_SOURCE_COLD and record.store_time.seconds
    wait_for(lambda: client.status().spool_payloads == 0, "the spool to be empty")
    cold_file = os.path.join(cluster.directory, "object", "cold", "cold-soon", "moving", "@1")
    with open(cold_file, "rb") as plain:
        assert len(plain.read()) == 200000, "a cold object is a plain file"


def test_hot_and_cold_keeps_both_copies(client):
    client.put("both", "a", b"both")
    client.wait_tiers("both", "a", {"HOT", "COLD"})
    assert client.read("both", "a")[:2] == (b"both", objects.READ_SOURCE_HOT)


def test_the_change_stream_tells_the_whole_way_of_a_payload(client):
    client.upload("cold-soon", "story", b"x" * 100000)
    client.wait_tiers("cold-soon", "story", {"COLD"})
    last = client.revision()
    events = client.watch(last)
    assert [event.revision for event in events] == list(range(1, last + 1))
    story = [event for event in events if event.record.key == "story"]
    names = ["STAGED", "STORED", "TIERED"]
    assert [event_pb2.ChangeType.Name(event.type) for event in story] == ["CHANGE_TYPE_" + name for name in names]
    assert [tiers_of(event.record) for event in story] == [set(), {"HOT"}, {"COLD"}]
    assert [event.previous_revision for event in story[1:]] == [event.revision for event in story[:-1]]
