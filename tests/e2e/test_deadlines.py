"""No version stays in flight for ever: what is not stored by its deadline fails, and readers get what the
bucket's policy promises; what was only forgotten is announced again."""

import grpc
import pytest

from client import TIMEOUT, Client, admin, failure_of, metadata
from cluster import wait_for
from conftest_shared import run_cluster
from contract import bucket_pb2, event_pb2, record_pb2
from jetstream import JetStream

REVERT = bucket_pb2.ON_FAILURE_REVERT
SOON = {"nanos": 300_000_000}


@pytest.fixture(scope="module")
def cluster():
    flags = ["--redrive-after", "500ms"]
    yield from run_cluster(metadata_flags=flags)


@pytest.fixture(scope="module")
def client(cluster):
    client = Client(cluster)
    client.create_bucket("kept")
    client.create_bucket("reverted", on_failure=REVERT)
    return client


@pytest.fixture
def without_object_svc(cluster):
    cluster.object.stop()
    yield cluster
    if not cluster.object.running():
        cluster.object.start()


def announce(client, bucket, key, deadline=SOON):
    request = metadata.PutRecordRequest(bucket=bucket, key=key, announced_payload={}, payload_deadline=deadline)
    return client.metadata.PutRecord(request, timeout=TIMEOUT)


def events_of(client, key):
    return [event for event in client.watch(client.revision()) if event.record.key == key]


def types_of(events):
    return [event_pb2.ChangeType.Name(event.type)[len("CHANGE_TYPE_"):] for event in events]


def test_a_payload_that_never_comes_fails_at_its_deadline(cluster, client):
    before = cluster.metric(cluster.metadata_admin_port, "waybill_payload_deadline_missed_total")
    answer = announce(client, "kept", "never")
    assert answer.record.HasField("payload_deadline")
    record = client.wait_state("kept", "never", "FAILED")
    assert (record.version, record.serving_version) == (1, 0)
    assert record.cause.system == record_pb2.SYSTEM_CAUSE_DEADLINE
    assert record.cause.reason.startswith("PAYLOAD_DEADLINE_MISSED: ")
    assert types_of(events_of(client, "never")) == ["COMMITTED", "FAILED"]
    assert cluster.metric(cluster.metadata_admin_port, "waybill_payload_deadline_missed_total") == before + 1
    failure = failure_of(client.upload_announced, answer.upload_id, b"too late")
    assert failure.code == grpc.StatusCode.FAILED_PRECONDITION


def test_readers_get_the_last_stored_version_of_a_kept_failure(client):
    client.put("kept", "fallback", b"good")
    client.wait_state("kept", "fallback", "STORED")
    announce(client, "kept", "fallback")
    assert client.read("kept", "fallback")[0] == b"good", "while the new one is awaited"
    record = client.wait_state("kept", "fallback", "FAILED")
    assert (record.version, record.serving_version) == (2, 1)
    data, _, served = client.read("kept", "fallback")
    assert data == b"good" and served.version == 1


def test_a_revert_is_a_new_version_with_the_last_stored_content(cluster, client):
    before = cluster.metric(cluster.metadata_admin_port, "waybill_compensations_total", on_failure="revert")
    client.put("reverted", "back", b"good", content_type="text/plain")
    client.wait_state("reverted", "back", "STORED")
    announce(client, "reverted", "back")
    record = client.wait_state("reverted", "back", "STORED")
    record = wait_for(lambda: (latest := client.get("reverted", "back")).version == 3 and latest, "the revert")
    assert record.state == record_pb2.RECORD_STATE_STORED and record.serving_version == 3
    assert record.content_type == "text/plain"
    assert record.cause.system == record_pb2.SYSTEM_CAUSE_COMPENSATION
    assert record.cause.reason == "version 2 failed; back to version 1"
    assert client.read("reverted", "back")[0] == b"good"
    assert client.get("reverted", "back", version=2).state == record_pb2.RECORD_STATE_FAILED
    assert types_of(events_of(client, "back")) == ["STAGED", "STORED", "COMMITTED", "FAILED", "REVERTED"]
    assert cluster.metric(
        cluster.metadata_admin_port, "waybill_compensations_total", on_failure="revert") == before + 1


def test_a_revert_of_the_only_version_is_a_tombstone(client):
    announce(client, "reverted", "only")
    wait_for(lambda: client.get("reverted", "only", show_deleted=True).version == 2, "the revert")
    assert failure_of(client.get, "reverted", "only").reason == "RECORD_DELETED"
    events = events_of(client, "only")
    assert types_of(events) == ["COMMITTED", "FAILED", "REVERTED"]
    assert events[-1].record.state == record_pb2.RECORD_STATE_DELETED


def test_a_bucket_gives_the_deadline_and_may_change_it(client):
    bucket = client.create_bucket("hasty")
    assert bucket.payload_deadline.seconds == 24 * 3600 and bucket.on_failure == bucket_pb2.ON_FAILURE_KEEP_FAILED
    client.metadata.UpdateBucket(metadata.UpdateBucketRequest(
        bucket={"name": "hasty", "payload_deadline": SOON, "on_failure": REVERT},
        update_mask={"paths": ["payload_deadline", "on_failure"]}), timeout=TIMEOUT)
    announce(client, "hasty", "a", deadline=None)
    wait_for(lambda: client.get("hasty", "a", show_deleted=True).state == record_pb2.RECORD_STATE_DELETED, "the revert")


def test_a_failure_that_object_svc_reports_is_kept_with_its_reason(without_object_svc, client):
    record = client.upload("kept", "poison", b"poison")
    told = {"error_reason": "PAYLOAD_CORRUPT", "error_message": "the disk lost it", "attempts": 7}
    assert client.report("replica-9", record, "FAILED", **told) == "ACCEPTED"
    failed = client.get("kept", "poison")
    assert failed.state == record_pb2.RECORD_STATE_FAILED
    assert failed.cause.actor == "replica-9" and failed.cause.reason == "PAYLOAD_CORRUPT: the disk lost it"
    assert client.report("replica-9", record, "FAILED", **told) == "OBSOLETE", "it failed already"
    assert client.report("replica-9", record, "STORED", "HOT") == "OBSOLETE", "it was given up"
    assert client.status().spool_payloads >= 1, "its bytes are kept for another try"
    without_object_svc.object.start()
    client.put("kept", "fine", b"fine")
    client.wait_state("kept", "fine", "STORED")
    assert client.get("kept", "poison").state == record_pb2.RECORD_STATE_FAILED


def test_a_payload_whose_event_was_lost_is_stored_without_an_operator(without_object_svc, client):
    staged = client.put("kept", "forgotten", b"forgotten")
    connection = JetStream(without_object_svc.nats_port)
    wait_for(lambda: client.status().published_revision >= staged.revision, "the event to be published")
    assert connection.request("$JS.API.STREAM.PURGE.WAYBILL_CHANGES_0")["success"]
    connection.close()
    without_object_svc.object.start()
    client.wait_state("kept", "forgotten", "STORED")
    assert client.read("kept", "forgotten")[0] == b"forgotten"
    events = events_of(client, "forgotten")
    assert types_of(events)[-1] == "STORED" and set(types_of(events)[:-1]) == {"STAGED"}
    assert events[1].record.cause.system == record_pb2.SYSTEM_CAUSE_REDRIVE
    assert {event.record.version for event in events} == {1}


def test_what_object_svc_did_not_store_in_time_is_stored_by_a_retry(without_object_svc, client):
    payloads = {
        client.upload("kept", "late/streamed", b"streamed", payload_deadline=SOON).payload_id: "streamed",
        client.put("kept", "late/inline", b"inline", payload_deadline=SOON).payload_id: "inline"}
    for name in payloads.values():
        record = client.wait_state("kept", f"late/{name}", "FAILED")
        assert record.cause.reason == "PAYLOAD_DEADLINE_MISSED: the payload was not stored by its deadline"
    # Its events come first: what was given up is not stored by them.
    without_object_svc.object.start()
    client.put("kept", "after", b"after")
    client.wait_state("kept", "after", "STORED")
    for payload_id, name in payloads.items():
        assert client.get("kept", f"late/{name}").state == record_pb2.RECORD_STATE_FAILED
        client.admin.RetryPayload(admin.RetryPayloadRequest(payload_id=payload_id), timeout=TIMEOUT)
        client.wait_state("kept", f"late/{name}", "STORED")
        assert client.read("kept", f"late/{name}")[0] == name.encode()
