"""What the records say of objects: CheckObjects and ListObjects, which a scrub compares with what it finds."""

import uuid

import grpc
import pytest

from client import COLD, TIMEOUT, failure_of, metadata, report
from cluster import wait_for
from contract import record_pb2

REPLICA = "replica-1"


def check(client, names, tier="HOT", replica=REPLICA):
    """The standing of each (bucket, key, version, payload id), and the versions that need them."""
    request = report.CheckObjectsRequest(tier="TIER_" + tier, replica=replica if tier == "HOT" else "")
    for bucket, key, version, payload_id in names:
        request.objects.add(bucket=bucket, key=key, version=version, payload_id=payload_id)
    checks = client.reports.CheckObjects(request, timeout=TIMEOUT).checks
    return [(report.ObjectStanding.Name(one.standing)[len("OBJECT_STANDING_"):],
             one.record.version if one.HasField("record") else 0) for one in checks]


def name_of(record):
    return record.bucket, record.key, record.payload_version, record.payload_id


def listed(client, tier="HOT", replica=REPLICA, **fields):
    request = report.ListObjectsRequest(tier="TIER_" + tier, replica=replica if tier == "HOT" else "", **fields)
    records = []
    while True:
        answer = client.reports.ListObjects(request, timeout=TIMEOUT)
        records += answer.records
        if not answer.next_page_token:
            return records
        request.page_token = answer.next_page_token


def update(client, bucket, key, content_type):
    return client.metadata.UpdateRecord(
        metadata.UpdateRecordRequest(bucket=bucket, key=key, content_type=content_type), timeout=TIMEOUT).record


def test_standing_of_objects(client):
    client.create_bucket("standing")
    client.put("standing", "key", b"first")
    first = client.wait_state("standing", "key", "STORED")
    other = (*name_of(first)[:3], str(uuid.uuid4()))
    unknown = ("standing", "none", 1, str(uuid.uuid4()))
    assert check(client, [name_of(first), other, unknown]) == [("EXPECTED", 1), ("OBSOLETE", 0), ("OBSOLETE", 0)]
    assert check(client, [name_of(first)], replica="another") == [("UNLISTED", 1)]
    assert check(client, [name_of(first)], tier="COLD") == [("UNLISTED", 1)]
    # By its name alone, as a listing of a store tells it.
    assert check(client, [(*name_of(first)[:3], ""), ("standing", "key", 7, "")]) == [("EXPECTED", 1), ("OBSOLETE", 0)]
    client.put("standing", "key", b"second")
    client.delete("standing", "key")
    assert check(client, [name_of(first)]) == [("EXPECTED", 1)]


def test_an_object_is_needed_as_long_as_one_version_shares_it(client):
    client.create_bucket("sharing", storage={"max_versions": 1})
    client.put("sharing", "key", b"bytes")
    first = client.wait_state("sharing", "key", "STORED")
    for kind in ("text/a", "text/b"):
        update(client, "sharing", "key", kind)
    assert failure_of(client.get, "sharing", "key", 1).code == grpc.StatusCode.NOT_FOUND
    assert check(client, [name_of(first)]) == [("EXPECTED", 3)]
    assert [record.version for record in listed(client, bucket="sharing")] == [3]
    client.put("sharing", "key", b"others")
    client.wait_state("sharing", "key", "STORED")
    wait_for(lambda: check(client, [name_of(first)]) == [("OBSOLETE", 0)], "the old version to go")


@pytest.mark.parametrize("page_size", [1, 3, 0])
def test_every_object_of_a_place_is_listed(client, page_size):
    bucket = f"listed-{page_size}"
    client.create_bucket(bucket)
    client.create_bucket(bucket + "-cold", COLD, cold_after=0.0)
    wanted = set()
    for key in ("a", "b/c", "\u00e4"):
        for content in (b"1", b"22", b"333"):
            client.put(bucket, key, content)
            record = client.wait_state(bucket, key, "STORED")
            wanted.add((key, record.version))
    client.delete(bucket, "a")
    client.put(bucket, "no-bytes")
    client.announce(bucket, "awaited")
    client.put(bucket + "-cold", "cold", b"cold")
    client.wait_tiers(bucket + "-cold", "cold", {"COLD"})
    found = [(record.key, record.version) for record in listed(client, bucket=bucket, page_size=page_size)]
    assert sorted(found) == sorted(wanted)
    everywhere = {(record.bucket, record.key, record.version) for record in listed(client, page_size=page_size)}
    assert {(bucket, *one) for one in wanted} <= everywhere
    assert not any(name == bucket + "-cold" for name, _, _ in everywhere)
    assert [record.key for record in listed(client, "COLD", bucket=bucket + "-cold")] == ["cold"]
    assert listed(client, replica="another") == []
    assert listed(client, bucket=bucket)[0].state == record_pb2.RECORD_STATE_STORED


@pytest.mark.parametrize("fields, reason, field", [
    ({"tier": 0}, "BAD_TIER", "tier"),
    ({"tier": 9, "replica": "r"}, "BAD_TIER", "tier"),
    ({"tier": "TIER_HOT"}, "BAD_REPLICA", "replica"),
    ({"tier": "TIER_COLD", "replica": "r"}, "BAD_REPLICA", "replica"),
])
def test_places_that_are_none(client, fields, reason, field):
    for call, request in ((client.reports.CheckObjects, report.CheckObjectsRequest),
                          (client.reports.ListObjects, report.ListObjectsRequest)):
        failure = failure_of(call, request(**fields), timeout=TIMEOUT)
        assert (failure.code, failure.reason, failure.field) == (grpc.StatusCode.INVALID_ARGUMENT, reason, field)


@pytest.mark.parametrize("name, reason", [
    (("X", "key", 1, ""), "BAD_BUCKET_NAME"),
    (("bucket", "", 1, ""), "BAD_KEY"),
    (("bucket", "key", 0, ""), "BAD_VERSION"),
    (("bucket", "key", 1, "x"), "BAD_PAYLOAD_ID"),
])
def test_names_that_are_none(client, name, reason):
    failure = failure_of(check, client, [name])
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


def test_bounds_and_tokens(client):
    failure = failure_of(check, client, [("bucket", "key", 1, "")] * 1001)
    assert (failure.reason, failure.field) == ("TOO_MANY_OBJECTS", "objects")
    failure = failure_of(listed, client, page_size=1001)
    assert (failure.reason, failure.field) == ("BAD_PAGE_SIZE", "page_size")
    failure = failure_of(listed, client, page_token="00")
    assert (failure.reason, failure.field) == ("BAD_PAGE_TOKEN", "page_token")
    failure = failure_of(listed, client, bucket="X")
    assert failure.reason == "BAD_BUCKET_NAME"
