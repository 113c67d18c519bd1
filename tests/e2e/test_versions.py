"""Updates that share a payload, restores, histories and what retention takes away."""

import time
import uuid

import grpc
import pytest

from client import COLD, TIMEOUT, again, failure_of, metadata
from cluster import wait_for
from contract import event_pb2, record_pb2

BUCKET = "versions"


@pytest.fixture(scope="module", autouse=True)
def bucket(client):
    return client.create_bucket(BUCKET)


def attribute(value):
    return record_pb2.AttributeValue(string_value=value)


def update(client, key, paths=(), **fields):
    request = metadata.UpdateRecordRequest(bucket=BUCKET, key=key, **fields)
    request.update_mask.paths.extend(paths)
    return client.metadata.UpdateRecord(request, timeout=TIMEOUT).record


def restore(client, key, version=0, bucket=BUCKET, **fields):
    request = metadata.RestoreRecordRequest(bucket=bucket, key=key, version=version, **fields)
    return client.metadata.RestoreRecord(request, timeout=TIMEOUT).record


def versions(client, key, bucket=BUCKET, **fields):
    request = metadata.ListRecordVersionsRequest(bucket=bucket, key=key, **fields)
    return [record.version for record in client.metadata.ListRecordVersions(request, timeout=TIMEOUT).records]


def test_an_update_makes_a_version_that_shares_the_payload(client):
    first = client.put(BUCKET, "shared", b"the bytes", content_type="text/plain", attributes={"a": attribute("1")})
    second = update(client, "shared", attributes={"b": attribute("2")}, paths=["attributes.b"])
    assert (second.version, second.payload_id, second.uid) == (2, first.payload_id, first.uid)
    assert {name: value.string_value for name, value in second.attributes.items()} == {"a": "1", "b": "2"}
    assert second.content_type == "text/plain"
    client.wait_state(BUCKET, "shared", "STORED")
    for version in (1, 2):
        stored = client.get(BUCKET, "shared", version=version)
        assert stored.state == record_pb2.RECORD_STATE_STORED and len(stored.locations) == 1, stored
        assert client.read(BUCKET, "shared", version=version)[0] == b"the bytes"
    third = update(client, "shared", paths=["attributes.a", "content_type"])
    assert list(third.attributes) == ["b"] and third.content_type == ""
    assert third.state == record_pb2.RECORD_STATE_STORED
    assert client.read(BUCKET, "shared")[0] == b"the bytes"
    fourth = update(client, "shared", attributes={"c": attribute("3")}, paths=["attributes"])
    assert list(fourth.attributes) == ["c"]
    fifth = update(client, "shared", content_type="a/b")  # no mask: what is set is meant
    assert (list(fifth.attributes), fifth.content_type) == (["c"], "a/b")


def test_versions_that_share_an_object_read_it_from_the_cold_store(client):
    client.create_bucket("shared-cold", storage_class=COLD, cold_after=0.0)
    client.put("shared-cold", "key", b"cold bytes")
    request = metadata.UpdateRecordRequest(bucket="shared-cold", key="key", content_type="text/plain")
    client.metadata.UpdateRecord(request, timeout=TIMEOUT)
    tiers = lambda: [location.tier for location in client.get("shared-cold", "key").locations]  # noqa: E731
    wait_for(lambda: tiers() == [record_pb2.TIER_COLD], "the object to be cold only")
    request.content_type = "text/html"
    client.metadata.UpdateRecord(request, timeout=TIMEOUT)
    client.delete("shared-cold", "key")
    restore(client, "key", bucket="shared-cold")
    for version in (1, 2, 3, 5):
        assert client.read("shared-cold", "key", version=version)[0] == b"cold bytes", version


def test_an_update_while_the_payload_is_announced_takes_the_upload(client):
    first, upload_id = client.announce(BUCKET, "early")
    second = update(client, "early", content_type="text/plain")
    assert second.state == record_pb2.RECORD_STATE_AWAITING_PAYLOAD and second.version == 2
    client.upload_announced(upload_id, b"late bytes")
    client.wait_state(BUCKET, "early", "STORED")
    assert client.get(BUCKET, "early").version == 2
    assert client.get(BUCKET, "early", version=1).state == record_pb2.RECORD_STATE_STORED
    assert client.read(BUCKET, "early")[0] == b"late bytes"
    assert first.payload_id == client.get(BUCKET, "early").payload_id


def test_an_update_has_preconditions_request_ids_and_limits(client):
    client.put(BUCKET, "checked")
    failure = failure_of(update, client, "checked", content_type="a/b", if_version_match=7)
    assert (failure.code, failure.metadata["current_version"]) == (grpc.StatusCode.ABORTED, "1")
    request_id = str(uuid.uuid4())
    first = update(client, "checked", content_type="a/b", request_id=request_id)
    assert update(client, "checked", content_type="a/b", request_id=request_id) == first
    assert update(client, "checked", content_type="c/d", validate_only=True).version == 3
    assert client.get(BUCKET, "checked").version == 2
    for number in range(64):
        update(client, "checked", attributes={f"n{number:02}": attribute("x")}, paths=[f"attributes.n{number:02}"])
    failure = failure_of(update, client, "checked", attributes={"more": attribute("x")}, paths=["attributes.more"])
    assert (failure.reason, failure.field) == ("TOO_MANY_ATTRIBUTES", "attributes")


def test_a_deleted_record_comes_back_with_its_bytes(client):
    first = client.put(BUCKET, "undeleted", b"precious", content_type="text/plain")
    client.wait_state(BUCKET, "undeleted", "STORED")
    client.delete(BUCKET, "undeleted")
    third = restore(client, "undeleted")
    assert (third.version, third.uid, third.content_type) == (3, first.uid, "text/plain")
    assert third.state == record_pb2.RECORD_STATE_STORED
    assert client.read(BUCKET, "undeleted")[0] == b"precious"
    assert failure_of(restore, client, "undeleted").code == grpc.StatusCode.ALREADY_EXISTS


def test_an_older_version_is_restored_over_a_newer_one(client):
    client.put(BUCKET, "back", b"one")
    client.put(BUCKET, "back", b"two")
    third = restore(client, "back", version=1, if_version_match=2)
    assert third.version == 3
    client.wait_state(BUCKET, "back", "STORED")
    assert client.read(BUCKET, "back")[0] == b"one"
    client.delete(BUCKET, "back")
    failure = failure_of(restore, client, "back", version=4)
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VERSION_HAS_NO_CONTENT")


def test_versions_are_listed_newest_first_and_in_pages(client):
    for _ in range(7):
        client.put(BUCKET, "history")
    client.delete(BUCKET, "history")
    assert versions(client, "history") == [8, 7, 6, 5, 4, 3, 2, 1]
    seen, token = [], ""
    while True:
        page = client.metadata.ListRecordVersions(
            metadata.ListRecordVersionsRequest(bucket=BUCKET, key="history", page_size=3, page_token=token),
            timeout=TIMEOUT)
        seen.append([record.version for record in page.records])
        token = page.next_page_token
        if not token:
            break
    assert seen == [[8, 7, 6], [5, 4, 3], [2, 1]]


def test_max_versions_bounds_the_history(client):
    client.create_bucket("bounded")
    request = metadata.UpdateBucketRequest(bucket={"name": "bounded", "storage": {"max_versions": 3}},
                                           update_mask={"paths": ["storage.max_versions"]})
    changed = client.metadata.UpdateBucket(request, timeout=TIMEOUT).bucket
    assert changed.storage.max_versions == 3 and changed.version == 2
    for _ in range(9):
        client.put("bounded", "key")
    assert versions(client, "key", bucket="bounded") == [9, 8, 7]
    assert failure_of(client.get, "bounded", "key", version=6).reason == "VERSION_NOT_FOUND"
    event = client.watch(changed.revision, start_revision=changed.revision)[0]
    assert event.type == event_pb2.CHANGE_TYPE_BUCKET_UPDATED and event.bucket.storage.max_versions == 3


def test_versions_past_their_retention_go(client):
    client.create_bucket("aging")
    request = metadata.UpdateBucketRequest(
        bucket={"name": "aging", "storage": {"version_retention": {"nanos": 300_000_000}}},
        update_mask={"paths": ["storage.version_retention"]})
    client.metadata.UpdateBucket(request, timeout=TIMEOUT)
    for _ in range(4):
        client.put("aging", "key")
    wait_for(lambda: versions(client, "key", bucket="aging") == [4], "older versions to go")


def test_an_expired_record_is_deleted_and_the_event_says_why(client):
    request = metadata.PutRecordRequest(bucket=BUCKET, key="mayfly")
    request.expire_time.FromMicroseconds(int((time.time() + 1) * 1e6))
    record = client.metadata.PutRecord(request, timeout=TIMEOUT).record
    assert record.expire_time == request.expire_time
    wait_for(lambda: client.get(BUCKET, "mayfly", show_deleted=True).state == record_pb2.RECORD_STATE_DELETED,
             "the record to expire")
    tombstone = client.get(BUCKET, "mayfly", show_deleted=True)
    assert tombstone.version == 2
    event = client.watch(tombstone.revision, start_revision=tombstone.revision)[0]
    assert event.type == event_pb2.CHANGE_TYPE_DELETED and event.cause.system == record_pb2.SYSTEM_CAUSE_RETENTION
    assert restore(client, "mayfly").expire_time.seconds == 0


def test_a_record_that_was_written_again_does_not_expire(client):
    request = metadata.PutRecordRequest(bucket=BUCKET, key="renewed")
    request.expire_time.FromMicroseconds(int((time.time() + 1) * 1e6))
    client.metadata.PutRecord(request, timeout=TIMEOUT)
    update(client, "renewed", paths=["expire_time"])
    other = metadata.PutRecordRequest(bucket=BUCKET, key="later")
    other.expire_time.FromMicroseconds(int((time.time() + 1.5) * 1e6))
    client.metadata.PutRecord(other, timeout=TIMEOUT)
    wait_for(lambda: client.get(BUCKET, "later", show_deleted=True).state == record_pb2.RECORD_STATE_DELETED,
             "the later one to expire")
    assert client.get(BUCKET, "renewed").version == 2


def test_a_bucket_expires_its_records(client):
    client.create_bucket("ttl", delete_retention={"seconds": 3600})
    client.metadata.UpdateBucket(metadata.UpdateBucketRequest(
        bucket={"name": "ttl", "storage": {"expire_after": {"seconds": 1}}},
        update_mask={"paths": ["storage.expire_after"]}), timeout=TIMEOUT)
    for number in range(50):
        client.put("ttl", f"key-{number}")
    wait_for(lambda: not any(client.list_pages("ttl")), "all to expire")


def test_records_that_are_there_follow_a_policy_that_changes(cluster, client):
    client.create_bucket("tightened")
    for number in range(30):
        for _ in range(4):
            client.put("tightened", f"key-{number}")
    own = metadata.PutRecordRequest(bucket="tightened", key="own")
    own.expire_time.FromMicroseconds(int((time.time() + 3600) * 1e6))
    assert client.metadata.PutRecord(own, timeout=TIMEOUT).record.expire_time_given

    def tighten(path, **storage):
        client.metadata.UpdateBucket(metadata.UpdateBucketRequest(
            bucket={"name": "tightened", "storage": storage},
            update_mask={"paths": [f"storage.{path}"]}), timeout=TIMEOUT)

    tighten("max_versions", max_versions=2)
    cluster.metadata.kill()
    cluster.metadata.start()
    again(client.get, "tightened", "own")
    wait_for(lambda: all(versions(client, f"key-{number}", bucket="tightened") == [4, 3] for number in range(30)),
             "older versions to go")
    tighten("expire_after", expire_after={"nanos": 1000})
    wait_for(lambda: [record.key for page in client.list_pages("tightened") for record in page] == ["own"],
             "the others to expire")


def test_a_purged_key_begins_above_its_old_versions(client):
    client.create_bucket("purged", delete_retention={"nanos": 100_000_000})
    for _ in range(3):
        client.put("purged", "key", b"bytes")
    client.wait_state("purged", "key", "STORED")
    client.delete("purged", "key")

    def gone():
        return failure_of(client.get, "purged", "key", show_deleted=True).reason == "RECORD_NOT_FOUND"

    def is_gone():
        try:
            return gone()
        except AssertionError:
            return False

    wait_for(is_gone, "the tombstone to be purged")
    assert failure_of(restore, client, "key", bucket="purged").reason == "RECORD_NOT_FOUND"
    assert client.put("purged", "key").version == 5
    assert failure_of(versions, client, "other", bucket="purged").reason == "RECORD_NOT_FOUND"


def test_an_empty_bucket_can_be_deleted_and_made_again(client):
    client.create_bucket("fleeting", delete_retention={"nanos": 1})
    client.put("fleeting", "key")
    delete = metadata.DeleteBucketRequest(name="fleeting")
    assert failure_of(client.metadata.DeleteBucket, delete, timeout=TIMEOUT).reason == "BUCKET_NOT_EMPTY"
    client.delete("fleeting", "key")

    def deleted():
        try:
            return client.metadata.DeleteBucket(delete, timeout=TIMEOUT) is not None
        except grpc.RpcError:
            return False

    wait_for(deleted, "the bucket to be empty")
    assert failure_of(client.put, "fleeting", "key").reason == "BUCKET_NOT_FOUND"
    again = client.create_bucket("fleeting")
    assert again.version == 1
    assert client.put("fleeting", "key").version == 3  # never a version that was there before
