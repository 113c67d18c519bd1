"""Payloads and events that can never be stored, among good ones: the good ones are all stored, the
others are all given up, each with its cause, and nothing is tried for ever.

WAYBILL_POISON chooses how many events there are (default 300; 50000 on demand)."""

import glob
import json
import os
import re
import shutil
import subprocess
import uuid

import grpc
import pytest

from client import HOT, TIMEOUT, Client, failure_of, health_of
from cluster import wait_for
from command_line import CommandLine
from conftest_shared import run_cluster
from contract import admin_service_pb2 as admin, event_pb2, record_pb2
from jetstream import JetStream, last_revision

EVENTS = int(os.environ.get("WAYBILL_POISON", "300"))
PATIENT_SECONDS = 30 + EVENTS / 50
STREAM = "WAYBILL_CHANGES_0"
SUBJECT = "waybill.changes.0.poison.staged"


PENDING_MAX = 1000
# What nats-server says of a request for messages, and more of the kind.
LOOKALIKES = [b"NATS/1.0 100 Idle Heartbeat\r\n\r\n", b"NATS/1.0 404 No Messages\r\n\r\n",
              b"NATS/1.0 408 Request Timeout\r\n\r\n", b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
              b"NATS/1.0 503\r\n\r\n", b"NATS/1.0\r\nStatus: 404\r\n\r\n", b"NATS/1.0\r\nStatus: \r\n\r\n"]


@pytest.fixture
def fed():
    """A cluster whose object-svc is stopped, so that events can be laid out for it."""
    flags = ["--ingest-retry-longest", "500ms", "--ingest-pending-max", str(PENDING_MAX)]
    for cluster in run_cluster(allowed_errors=("bad_event", "events_fenced"), object_flags=flags):
        client = Client(cluster)
        client.create_bucket("poison", HOT)
        assert cluster.object.stop() == 0
        yield cluster, client


def payload_of(key):
    return f"<{key}>".encode() * 40


def spoil_spool(cluster, prefix):
    """Flips a bit of every payload in the spool whose key begins so; returns their keys."""
    spoiled = set()
    for path in glob.glob(os.path.join(cluster.directory, "metadata", "**", "segment-*"), recursive=True):
        with open(path, "r+b") as segment:
            for found in re.finditer(rb"<(%s[^>]*)>" % prefix.encode(), segment.read()):
                key = found.group(1).decode()
                if key not in spoiled:
                    segment.seek(found.start())
                    segment.write(b"[")
                    spoiled.add(key)
    return spoiled


def publish(cluster, bodies, headers=()):
    """As anybody who may write to the stream's subjects: bodies, and headers without any."""
    connection = JetStream(cluster.nats_port)
    before = connection.info(STREAM)["state"]["last_seq"]
    subject = SUBJECT.encode()
    for body in bodies:
        connection.socket.sendall(b"PUB %s %d\r\n%s\r\n" % (subject, len(body), body))
    for header in headers:
        connection.socket.sendall(b"HPUB %s %d %d\r\n%s\r\n" % (subject, len(header), len(header), header))
    count = len(bodies) + len(headers)
    wait_for(lambda: connection.info(STREAM)["state"]["last_seq"] == before + count, "the stream to take all")
    connection.close()


def garbage(count):
    """Events that cannot be understood, each in its own way."""
    staged = event_pb2.CHANGE_TYPE_STAGED
    record = record_pb2.Record(bucket="poison", key="k", payload_version=1, size=5, crc32c=1, payload_id="none")
    kinds = [os.urandom(200), event_pb2.ChangeEvent(type=staged).SerializeToString(), b"",
             event_pb2.ChangeEvent(type=staged, record=record).SerializeToString()]
    return [kinds[i % len(kinds)] for i in range(count)]


def nobodys_event():
    """Of a payload that there is not."""
    record = record_pb2.Record(bucket="poison", key="nobody", payload_version=1, size=5, crc32c=1,
                               payload_id=str(uuid.uuid4()))
    return event_pb2.ChangeEvent(type=event_pb2.CHANGE_TYPE_STAGED, record=record).SerializeToString()


def failed_payloads(service, page_size=1000):
    failed, token = [], ""
    while True:
        answer = service.ListFailedPayloads(admin.ListFailedPayloadsRequest(page_size=page_size, page_token=token),
                                            timeout=TIMEOUT, wait_for_ready=True)
        failed += answer.payloads
        token = answer.next_page_token
        if not token:
            return failed


def dead_letters(client, page_size=1000):
    return failed_payloads(client.object_admin, page_size)


def unanswered(cluster):
    """Events that the consumer has still to see or to answer."""
    connection = JetStream(cluster.nats_port)
    info = connection.request(f"$JS.API.CONSUMER.INFO.{STREAM}.waybill-object-svc")
    connection.close()
    return info.get("num_pending", -1) + info.get("num_ack_pending", -1)


def states(client, prefix):
    return [record_pb2.RecordState.Name(record.state)[len("RECORD_STATE_"):]
            for page in client.list_pages("poison", prefix=prefix, page_size=1000) for record in page]


def test_good_payloads_are_stored_and_poison_is_given_up_with_its_cause(fed):
    cluster, client = fed
    streamed, inline, spoiled, nonsense = EVENTS // 5, EVENTS // 5, EVENTS // 5, EVENTS * 2 // 5
    for i in range(streamed):
        for prefix in ("bad", "streamed"):
            client.upload("poison", f"{prefix}-{i:06}", payload_of(f"{prefix}-{i:06}"))
        client.put("poison", f"inline-{i:06}", payload_of(f"inline-{i:06}"))
    newest = client.revision()
    wait_for(lambda: last_revision(cluster.nats_port) >= newest, "the stream to catch up", PATIENT_SECONDS)
    assert len(spoil_spool(cluster, "bad")) == spoiled
    publish(cluster, garbage(nonsense) + [nobodys_event()])

    cluster.object.start()
    wait_for(lambda: unanswered(cluster) == 0, "every event to be answered", PATIENT_SECONDS)
    assert states(client, "streamed") == ["STORED"] * streamed
    assert states(client, "inline") == ["STORED"] * inline
    assert states(client, "bad") == ["FAILED"] * spoiled
    for i in range(0, streamed, max(1, streamed // 20)):
        assert client.read("poison", f"streamed-{i:06}")[0] == payload_of(f"streamed-{i:06}")
    failed = failed_payloads(client.admin)
    assert {payload.record.key for payload in failed} == {f"bad-{i:06}" for i in range(spoiled)}
    assert {(payload.error_reason, payload.attempts) for payload in failed} == {("PAYLOAD_CORRUPT", 3)}

    letters = dead_letters(client)
    assert len(letters) == nonsense
    assert {letter.error_reason for letter in letters} == {"BAD_EVENT", "BAD_RECORD"}
    assert {letter.dead_letter.event_subject for letter in letters} == {SUBJECT}
    assert len({letter.dead_letter.event_sequence for letter in letters}) == nonsense
    assert cluster.metric(cluster.object_admin_port, "waybill_dead_letters") == nonsense

    assert cluster.object.stop() == 0
    cluster.object.start()
    client = Client(cluster)
    assert [letter.dead_letter.id for letter in dead_letters(client, page_size=7)] == \
        [letter.dead_letter.id for letter in letters]
    request = admin.CancelPayloadRequest(payload_id=letters[0].dead_letter.id, reason="seen")
    client.object_admin.CancelPayload(request, timeout=TIMEOUT)
    assert [letter.dead_letter.id for letter in dead_letters(client)] == \
        [letter.dead_letter.id for letter in letters[1:]]
    failure = failure_of(client.object_admin.CancelPayload, request, timeout=TIMEOUT)
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "DEAD_LETTER_NOT_FOUND")
    assert unanswered(cluster) == 0, "nothing is delivered again"

    waybill = CommandLine(cluster)
    lines = waybill.good("failed", "list", "--all").splitlines()
    assert len(lines) == spoiled + nonsense - 1, "one list of both services"
    assert len([line for line in lines if "/bad-" in line and "retryable" in line]) == spoiled
    assert "BAD_" in lines[-1] and "letter" in lines[-1] and lines[-1].endswith(f"of {SUBJECT} at replica-1")
    last = lines[-1].split()[0]
    shown = waybill.good("failed", "show", last)
    assert f"dead letter      {last}\nreplica          replica-1\n" in shown and "why              BAD_" in shown
    assert waybill.good("failed", "cancel", last) == f"{last} dropped\n"
    assert waybill.bad(3, "failed", "cancel", last)["reason"] == "PAYLOAD_NOT_FOUND"
    assert waybill.bad(3, "failed", "show", last)["reason"] == "PAYLOAD_NOT_FOUND"
    pages = [json.loads(line) for line in waybill.good("failed", "list", "--json", "--limit", "2").splitlines()]
    assert [len(page["payloads"]) for page in pages] == [2, 2]
    rest = waybill.good("failed", "list", "--all", "--page-token", pages[-1]["nextPageToken"]).splitlines()
    assert len(rest) == nonsense - 4 and all("letter" in line for line in rest)


def test_messages_that_look_like_the_servers_word_hold_up_nothing_and_are_given_up(fed):
    """More of them than may be unanswered: if any were taken for nats-server's word on a request, and so answered
    by nobody, the payload behind them would wait for ever."""
    cluster, client = fed
    count = PENDING_MAX + 100
    publish(cluster, [], headers=[LOOKALIKES[i % len(LOOKALIKES)] for i in range(count)])
    client.put("poison", "good", payload_of("good"))
    cluster.object.start()
    client.wait_state("poison", "good", "STORED")
    wait_for(lambda: unanswered(cluster) == 0, "every event to be answered", PATIENT_SECONDS)
    letters = dead_letters(client)
    assert len(letters) == count
    assert {letter.error_reason for letter in letters} == {"BAD_EVENT"}
    assert client.read("poison", "good")[0] == payload_of("good")


@pytest.fixture
def small_disk(tmp_path):
    """A cluster whose hot volumes have 16 MiB, and which takes one payload at a time."""
    command = ["mount", "-t", "tmpfs", "-o", "size=16m", "waybill-test", str(tmp_path)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this user may not mount a file system")

    def use_disk(cluster):
        os.makedirs(os.path.join(cluster.directory, "object"))
        os.symlink(tmp_path, os.path.join(cluster.directory, "object", "volumes"))

    flags = ["--volume-bytes", "1MiB", "--hot-reserve-bytes", "4MiB", "--ingest-batch", "1"]
    try:
        yield from run_cluster(allowed_errors=["hot_store_full"], before_start=use_disk, object_flags=flags)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_payloads_that_find_no_room_hold_up_no_others(small_disk):
    """More of them than a batch, all waiting for another attempt, while others come and go."""
    cluster, client = small_disk, Client(small_disk)
    client.create_bucket("poison", HOT)
    large = os.urandom(20 << 20)
    for i in range(6):
        client.upload("poison", f"large-{i}", large)
    wait_for(lambda: cluster.metric(cluster.object_admin_port, "waybill_object_failures_total",
                                    reason="ingest_wait") >= 12, "the large ones to wait")
    for i in range(40):
        client.put("poison", f"small-{i:02}", b"small")
    for i in range(40):
        client.wait_state("poison", f"small-{i:02}", "STORED")
    assert states(client, "large") == ["STAGED"] * 6


def test_object_ingest_tells_whether_payloads_flow(fed):
    cluster, client = fed
    cluster.object.start()

    def ingest():
        return health_of(cluster, cluster.object_port, "object.ingest")

    wait_for(lambda: ingest() == "SERVING", "the ingester to find its stream")
    client.put("poison", "a", b"a")
    client.wait_state("poison", "a", "STORED")
    newest = client.revision()
    wait_for(lambda: last_revision(cluster.nats_port) >= newest, "the stream to catch up")
    cluster.metadata.kill()
    publish(cluster, [nobodys_event()])
    wait_for(lambda: ingest() == "NOT_SERVING", "the ingester to tell that metadata-svc is away")
    cluster.metadata.start()
    wait_for(lambda: ingest() == "SERVING", "the ingester to go on")
    cluster.nats.kill()
    wait_for(lambda: ingest() == "NOT_SERVING", "the ingester to tell that NATS is away")
    cluster.nats.start()
    wait_for(lambda: ingest() == "SERVING", "the ingester to be back")
    assert cluster.http(cluster.object_admin_port, "/livez")[0] == 200
    assert not cluster.metric(cluster.object_admin_port, "waybill_dead_letters")
