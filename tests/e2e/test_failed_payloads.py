"""Payloads that were given up are listed with the reason, tried again while their bytes are there, and forgotten."""

import json
import uuid

import grpc
import pytest

from client import TIMEOUT, Client, admin, failure_of, metadata
from cluster import wait_for
from command_line import CommandLine
from conftest_shared import run_cluster
from contract import record_pb2

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def cluster():
    yield from run_cluster()


@pytest.fixture(scope="module")
def waybill(cluster):
    return CommandLine(cluster)


@pytest.fixture(scope="module")
def client(cluster):
    """object-svc does not run but where a test starts it."""
    client = Client(cluster)
    client.create_bucket("failed")
    client.create_bucket("other")
    cluster.object.stop()
    return client


def restart(cluster, client):
    cluster.metadata.stop()
    cluster.metadata.start()

    def answers():
        try:
            return client.revision()
        except grpc.RpcError as error:
            assert error.code() == Code.UNAVAILABLE
            return 0

    wait_for(answers, "the client to be connected again")


def fail(client, bucket, key, data=b"payload", streamed=True, reason="PAYLOAD_CORRUPT"):
    record = (client.upload if streamed else client.put)(bucket, key, data)
    verdict = client.report("replica-7", record, "FAILED", error_reason=reason, error_message="damaged", attempts=9)
    assert verdict == "ACCEPTED"
    return record.payload_id


def fail_announced(client, bucket, key):
    client.metadata.PutRecord(metadata.PutRecordRequest(
        bucket=bucket, key=key, announced_payload={}, payload_deadline={"nanos": 1_000_000}), timeout=TIMEOUT)
    return client.wait_state(bucket, key, "FAILED").payload_id


def listed(client, **fields):
    request = admin.ListFailedPayloadsRequest(**fields)
    payloads = []
    while True:
        page = client.admin.ListFailedPayloads(request, timeout=TIMEOUT)
        payloads.extend(page.payloads)
        if not page.next_page_token:
            return payloads
        assert len(page.payloads) == request.page_size
        request.page_token = page.next_page_token


def test_failed_payloads_are_listed_with_their_reason(client, waybill):
    ids = {fail(client, "failed", f"list/{n}") for n in range(5)} | {fail_announced(client, "failed", "list/never")}
    elsewhere = fail(client, "other", "list/0", streamed=False)
    by_id = {payload.record.payload_id: payload for payload in listed(client, bucket="failed", page_size=2)}
    assert set(by_id) == ids
    assert {payload.record.payload_id for payload in listed(client)} >= ids | {elsewhere}
    one = next(payload for payload in by_id.values() if payload.record.key == "list/3")
    assert (one.error_reason, one.error_message, one.attempts) == ("PAYLOAD_CORRUPT", "damaged", 9)
    assert one.retryable and one.record.state == record_pb2.RECORD_STATE_FAILED
    assert one.expire_time.seconds - one.fail_time.seconds == 7 * 24 * 3600
    never = next(payload for payload in by_id.values() if payload.record.key == "list/never")
    assert never.error_reason == "PAYLOAD_DEADLINE_MISSED" and not never.retryable
    done = waybill("failed", "list", "failed")
    assert done.returncode == 5, "object-svc's part is missing"
    lines = done.stdout.decode().splitlines()
    assert len(lines) == 6 and all("failed/list/" in line for line in lines)
    pages = [json.loads(line) for line in
             waybill("failed", "list", "--page-size", "4", "--all", "--json").stdout.splitlines() if b"payloads" in line]
    assert {payload["record"]["payloadId"] for page in pages for payload in page["payloads"]} >= ids | {elsewhere}
    shown = waybill.good("failed", "show", one.record.payload_id)
    assert "why              PAYLOAD_CORRUPT: damaged\n" in shown and "attempts         9\n" in shown
    assert waybill.json("failed", "show", elsewhere)["record"]["bucket"] == "other"


def test_a_retry_stores_what_is_still_there(cluster, client, waybill):
    streamed = fail(client, "failed", "retry/streamed", b"streamed")
    inline = fail(client, "failed", "retry/inline", b"inline", streamed=False)
    restart(cluster, client)
    assert waybill.json("failed", "retry", streamed, "--reason", "mended")["record"]["state"] == "RECORD_STATE_STAGED"
    record = client.get("failed", "retry/streamed")
    assert record.cause.system == record_pb2.SYSTEM_CAUSE_OPERATOR and record.cause.reason == "mended"
    assert waybill.good("failed", "retry", inline).endswith("STAGED  6 bytes\n")
    cluster.object.start()
    for key in ("streamed", "inline"):
        client.wait_state("failed", f"retry/{key}", "STORED")
        assert client.read("failed", f"retry/{key}")[0] == key.encode()
    cluster.object.stop()
    assert not {streamed, inline} & {payload.record.payload_id for payload in listed(client)}
    assert waybill.bad(3, "failed", "retry", streamed)["reason"] == "PAYLOAD_NOT_FOUND"


def test_a_whole_bucket_is_tried_again(client, waybill):
    client.create_bucket("whole")
    for n in range(3):
        fail(client, "whole", f"key-{n}")
    fail_announced(client, "whole", "never")
    assert len(waybill.good("failed", "retry", "--bucket", "whole").splitlines()) == 3
    assert [payload.record.key for payload in listed(client, bucket="whole")] == ["never"]
    assert waybill.bad(2, "failed", "retry")["code"] == "USAGE"


def test_a_cancel_gives_up_what_is_in_flight_and_forgets_what_failed(client, waybill):
    before = client.status().spool_payloads
    record = client.upload("failed", "cancel", b"unwanted")
    assert waybill.json("failed", "cancel", record.payload_id, "--reason", "wrong")["record"]["state"] == \
        "RECORD_STATE_FAILED"
    failed = listed(client, payload_id=record.payload_id)
    assert [payload.error_reason for payload in failed] == ["PAYLOAD_CANCELLED"]
    assert client.status().spool_payloads == before + 1
    waybill.good("failed", "cancel", record.payload_id)
    assert client.status().spool_payloads == before
    assert listed(client, payload_id=record.payload_id) == []
    assert client.get("failed", "cancel").state == record_pb2.RECORD_STATE_FAILED
    assert waybill.bad(5, "failed", "show", record.payload_id)["code"] == "UNAVAILABLE", "it may be a dead letter"


def test_a_request_id_takes_effect_once(client):
    payload_id = fail(client, "failed", "once", b"again")
    retry = admin.RetryPayloadRequest(payload_id=payload_id, request_id=str(uuid.uuid4()))
    first = client.admin.RetryPayload(retry, timeout=TIMEOUT)
    revision = client.revision()
    assert client.admin.RetryPayload(retry, timeout=TIMEOUT) == first and client.revision() == revision
    for _ in range(2):  # it fails, then it is forgotten
        cancel = admin.CancelPayloadRequest(payload_id=payload_id, request_id=str(uuid.uuid4()))
        first = client.admin.CancelPayload(cancel, timeout=TIMEOUT)
        revision = client.revision()
        assert client.admin.CancelPayload(cancel, timeout=TIMEOUT) == first and client.revision() == revision
        cancel.reason = "another"
        assert failure_of(client.admin.CancelPayload, cancel, timeout=TIMEOUT).reason == "REQUEST_ID_REUSED"
    assert listed(client, payload_id=payload_id) == []
    assert failure_of(client.admin.CancelPayload, admin.CancelPayloadRequest(payload_id=payload_id, request_id="x"),
                      timeout=TIMEOUT).reason == "BAD_REQUEST_ID"


def test_what_cannot_be_is_refused_and_changes_nothing(client):
    staged = client.put("failed", "staged", b"staged").payload_id
    never = fail_announced(client, "failed", "refused")
    revision = client.revision()
    for call, request, code, reason in [
        (client.admin.RetryPayload, admin.RetryPayloadRequest(payload_id=staged), Code.FAILED_PRECONDITION,
         "PAYLOAD_NOT_FAILED"),
        (client.admin.RetryPayload, admin.RetryPayloadRequest(payload_id=never), Code.FAILED_PRECONDITION,
         "PAYLOAD_NEVER_CAME"),
        (client.admin.RetryPayload, admin.RetryPayloadRequest(payload_id=str(uuid.uuid4())), Code.NOT_FOUND,
         "PAYLOAD_NOT_FOUND"),
        (client.admin.RetryPayload, admin.RetryPayloadRequest(payload_id="x"), Code.INVALID_ARGUMENT, "BAD_PAYLOAD_ID"),
        (client.admin.CancelPayload, admin.CancelPayloadRequest(payload_id=staged, reason="r" * 257),
         Code.INVALID_ARGUMENT, "REASON_TOO_LONG"),
        (client.admin.CancelPayload, admin.CancelPayloadRequest(), Code.INVALID_ARGUMENT, "BAD_PAYLOAD_ID"),
        (client.admin.ListFailedPayloads, admin.ListFailedPayloadsRequest(bucket="no-such"), Code.NOT_FOUND,
         "BUCKET_NOT_FOUND"),
        (client.admin.ListFailedPayloads, admin.ListFailedPayloadsRequest(page_size=1001), Code.INVALID_ARGUMENT,
         "BAD_PAGE_SIZE"),
        (client.admin.ListFailedPayloads, admin.ListFailedPayloadsRequest(page_token="6b"), Code.INVALID_ARGUMENT,
         "BAD_PAGE_TOKEN"),
    ]:
        failure = failure_of(call, request, timeout=TIMEOUT)
        assert (failure.code, failure.reason) == (code, reason), request
    assert client.revision() == revision


def test_bytes_are_released_when_their_time_is_over():
    for cluster in run_cluster(metadata_flags=["--failed-payload-retention", "500ms"]):
        client = Client(cluster)
        client.create_bucket("brief")
        cluster.object.stop()
        payload_id = fail(client, "brief", "a")
        wait_for(lambda: client.status().spool_payloads == 0, "the spool to let go")
        assert listed(client) == []
        assert failure_of(client.admin.RetryPayload, admin.RetryPayloadRequest(payload_id=payload_id)).reason == \
            "PAYLOAD_NOT_FOUND"
        assert client.get("brief", "a").cause.reason == "PAYLOAD_CORRUPT: damaged"
