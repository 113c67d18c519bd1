"""Uploads that break off go on where they stopped, and take effect once with the right bytes."""

import os
import random
import threading
import time
import uuid

import grpc
import pytest

from client import CHUNK, HOT, Client, failure_of, payloads, record_messages
from cluster import wait_for
from command_line import CommandLine
from conftest_shared import run_cluster
from cut_proxy import CutProxy

SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
Code = grpc.StatusCode


@pytest.fixture(scope="module", autouse=True)
def bucket(client):
    client.create_bucket("uploads", HOT)


def announced(upload_id, offset=0):
    return {"announced": payloads.AnnouncedUpload(upload_id=upload_id, write_offset=offset)}


def new_record(key, request_id, offset=0, **fields):
    return {"new_record": payloads.NewRecordUpload(
        bucket="uploads", key=key, request_id=request_id, write_offset=offset, **fields)}


def query(client, upload_id):
    return client.payloads.QueryUpload(payloads.QueryUploadRequest(upload_id=upload_id), timeout=30)


def upload(client, start, data, **finish):
    finish = payloads.FinishUpload(**finish)
    return client.payloads.UploadPayload(client.upload_messages(start, data, finish=finish), timeout=60).record


class Open:
    """An upload stream that stays open until it is told how to end."""

    def __init__(self, client, start, data):
        self.more = threading.Event()
        self.call = client.payloads.UploadPayload.future(self.messages(client, start, data), timeout=60)

    def messages(self, client, start, data):
        for message in client.upload_messages(start, data):
            if message.HasField("finish"):
                self.more.wait()
            yield message

    def finish(self):
        self.more.set()
        return self.call.result().record

    def cut(self):
        self.call.cancel()
        self.more.set()


GATHERED = 256 << 10  # bytes that the spool may hold back for a larger write


def open_and_wait(client, start, data, offset=0):
    """An upload of which these bytes have arrived; nothing else may be in the spool."""
    wait_for(lambda: client.status().spool_live_bytes == offset, "the spool to have nothing else")
    stream = Open(client, start, data)
    wait_for(lambda: client.status().spool_live_bytes > offset + len(data) - GATHERED or not data, "the bytes to arrive")
    return stream


def break_off(client, start, upload_id, data, offset=0):
    """Uploads these bytes and goes away; what the service has of the payload then."""
    open_and_wait(client, start, data, offset).cut()
    wait_for(lambda: query(client, upload_id).HasField("expire_time"), "the service to notice")
    return query(client, upload_id).persisted_size


@pytest.mark.parametrize("kind", ["announced", "streamed"])
def test_an_upload_goes_on_at_any_offset_after_each_break(client, kind):
    chance = random.Random(f"{SEED}/{kind}")
    print("seed", SEED)
    data = chance.randbytes(8 * CHUNK + 12345)
    key, request_id = f"broken-{kind}", str(uuid.UUID(int=chance.getrandbits(128), version=4))
    if kind == "announced":
        _, upload_id = client.announce("uploads", key, size=len(data))
        start = lambda offset: announced(upload_id, offset)
    else:
        upload_id = request_id
        start = lambda offset: new_record(key, request_id, offset, size=len(data))
    offset = 0
    for _ in range(3):
        end = offset + chance.randrange(GATHERED, 2 * CHUNK)
        arrived = break_off(client, start(offset), upload_id, data[offset:end], offset)
        assert offset < arrived <= end
        offset = arrived
    assert offset > 0
    answer = query(client, upload_id)
    assert not answer.complete and answer.expire_time.seconds > time.time()
    record = upload(client, start(offset), data[offset:])
    assert record.version == 1 and record.size == len(data)
    client.wait_state("uploads", key, "STORED")
    assert client.read("uploads", key)[0] == data


@pytest.mark.parametrize("kind", ["announced", "streamed"])
def test_who_did_not_get_the_answer_gets_the_same_again(client, kind):
    data, crc32c = b"123456789", 0xE3069283
    key, request_id = f"answer-{kind}", str(uuid.uuid4())
    upload_id = client.announce("uploads", key)[1] if kind == "announced" else request_id
    start = lambda offset: announced(upload_id, offset) if kind == "announced" else new_record(key, request_id, offset)
    first = upload(client, start(0), data, crc32c=crc32c)
    for wait in (False, True):
        if wait:
            client.wait_state("uploads", key, "STORED")
            wait_for(lambda: client.status().spool_payloads == 0, "the payload to leave the spool")
        answer = query(client, upload_id)
        assert answer.complete and answer.persisted_size == 9
        assert upload(client, start(9), b"", crc32c=crc32c) == first, "the same answer, whatever became of it since"
        assert upload(client, start(9), b"") == first
    failure = failure_of(upload, client, start(0), data)
    assert (failure.code, failure.reason, failure.metadata) == (
        Code.OUT_OF_RANGE, "WRONG_WRITE_OFFSET", {"write_offset": "9"})
    assert failure_of(upload, client, start(9), b"", crc32c=1).reason == "CHECKSUM_MISMATCH"
    assert failure_of(upload, client, start(9), b"more").reason == "SIZE_MISMATCH"
    assert client.get("uploads", key).version == 1


def test_another_request_under_the_same_id_is_refused(client):
    request_id = str(uuid.uuid4())
    upload(client, new_record("reused", request_id), b"once")
    failure = failure_of(upload, client, new_record("reused", request_id, 4, content_type="text/plain"), b"")
    assert (failure.code, failure.reason, failure.field) == (Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED", "request_id")


@pytest.mark.parametrize("offset", [0, 1, 2 * CHUNK - 1, 2 * CHUNK + 1, 1 << 62])
def test_a_wrong_offset_is_told_the_right_one_and_changes_nothing(client, offset):
    data = os.urandom(3 * CHUNK)
    _, upload_id = client.announce("uploads", f"offset-{offset}")
    assert break_off(client, announced(upload_id), upload_id, data[:2 * CHUNK]) == 2 * CHUNK
    failure = failure_of(upload, client, announced(upload_id, offset), data[2 * CHUNK:])
    assert (failure.code, failure.reason, failure.field) == (
        Code.OUT_OF_RANGE, "WRONG_WRITE_OFFSET", "announced.write_offset")
    assert failure.metadata == {"write_offset": str(2 * CHUNK)}
    upload(client, announced(upload_id, 2 * CHUNK), data[2 * CHUNK:])
    assert client.read("uploads", f"offset-{offset}")[0] == data


def test_of_many_uploaders_of_one_id_exactly_one_writes(client):
    data = os.urandom(CHUNK)
    _, upload_id = client.announce("uploads", "contended")
    streams = [Open(client, announced(upload_id), data) for _ in range(8)]
    wait_for(lambda: sum(stream.call.done() for stream in streams) == 7, "all but one to be refused")
    lost = [stream for stream in streams if stream.call.done()]
    for stream in lost:
        failure = failure_of(stream.finish)
        assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, "UPLOAD_IN_PROGRESS")
    winner = next(stream for stream in streams if stream not in lost)
    assert winner.finish().state == record_messages.RECORD_STATE_STAGED
    assert client.read("uploads", "contended")[0] == data


def test_a_payload_that_proves_wrong_is_sent_again_from_its_start(client):
    _, upload_id = client.announce("uploads", "wrong", size=4)
    assert failure_of(upload, client, announced(upload_id), b"abcd", crc32c=1).reason == "CHECKSUM_MISMATCH"
    assert query(client, upload_id).persisted_size == 0
    assert failure_of(upload, client, announced(upload_id), b"abc").reason == "SIZE_MISMATCH"
    assert query(client, upload_id).persisted_size == 3, "one that is short so far can be completed"
    assert upload(client, announced(upload_id, 3), b"d").size == 4


def test_a_cancelled_upload_gives_its_bytes_back_and_its_version_fails(client):
    data = os.urandom(2 * CHUNK)
    record, upload_id = client.announce("uploads", "cancelled")
    stream = open_and_wait(client, announced(upload_id), data)
    request = payloads.CancelUploadRequest(upload_id=upload_id, request_id=str(uuid.uuid4()), reason="changed my mind")
    answer = client.payloads.CancelUpload(request, timeout=30).record
    assert answer.state == record_messages.RECORD_STATE_FAILED and answer.version == record.version
    status = client.status()
    assert (status.spool_live_bytes, status.spool_payloads) == (0, 0)
    assert client.payloads.CancelUpload(request, timeout=30).record == answer, "the same request again"
    failure = failure_of(stream.finish)
    assert (failure.code, failure.reason) == (Code.ABORTED, "UPLOAD_GIVEN_UP")
    failure = failure_of(client.payloads.CancelUpload, payloads.CancelUploadRequest(upload_id=upload_id), timeout=30)
    assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, "PAYLOAD_NOT_AWAITED")
    failure = failure_of(upload, client, announced(upload_id), data)
    assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, "PAYLOAD_NOT_AWAITED")
    assert client.get("uploads", "cancelled").state == record_messages.RECORD_STATE_FAILED


def test_a_cancelled_upload_of_a_new_record_leaves_nothing(client):
    request_id = str(uuid.uuid4())
    break_off(client, new_record("never", request_id), request_id, os.urandom(CHUNK))
    client.payloads.CancelUpload(payloads.CancelUploadRequest(upload_id=request_id), timeout=30)
    failure = failure_of(query, client, request_id)
    assert (failure.code, failure.reason) == (Code.NOT_FOUND, "UPLOAD_NOT_FOUND")
    failure = failure_of(client.get, "uploads", "never")
    assert failure.reason == "RECORD_NOT_FOUND"


def test_an_upload_without_an_offset_is_not_kept(client):
    request_id = str(uuid.uuid4())
    start = {"new_record": payloads.NewRecordUpload(bucket="uploads", key="kept", request_id=request_id)}
    open_and_wait(client, start, os.urandom(CHUNK)).cut()
    wait_for(lambda: client.status().spool_payloads == 0, "the bytes to go")
    assert failure_of(query, client, request_id).reason == "UPLOAD_NOT_FOUND"


BAD = [
    (announced("x"), Code.INVALID_ARGUMENT, "BAD_UPLOAD_ID", "announced.upload_id"),
    (announced(str(uuid.uuid4()), -1), Code.INVALID_ARGUMENT, "BAD_RANGE", "announced.write_offset"),
    (announced(str(uuid.uuid4()), 5), Code.NOT_FOUND, "UPLOAD_NOT_FOUND", None),
    (new_record("bad", str(uuid.uuid4()), -1), Code.INVALID_ARGUMENT, "BAD_RANGE", "new_record.write_offset"),
    (new_record("bad", ""), Code.INVALID_ARGUMENT, "FIELD_REQUIRED", "new_record.request_id"),
    (new_record("bad", str(uuid.uuid4()), 5), Code.OUT_OF_RANGE, "WRONG_WRITE_OFFSET", "new_record.write_offset"),
    (new_record("bad", str(uuid.uuid4()), size=(5 << 40) + 1), Code.INVALID_ARGUMENT, "BAD_SIZE", "new_record.size"),
]


@pytest.mark.parametrize("start, code, reason, field", BAD)
def test_a_start_that_makes_no_sense_is_refused(client, start, code, reason, field):
    failure = failure_of(upload, client, start, b"")
    assert (failure.code, failure.reason, failure.field) == (code, reason, field)


@pytest.mark.parametrize("method, request_type", [
    ("QueryUpload", payloads.QueryUploadRequest), ("CancelUpload", payloads.CancelUploadRequest)])
def test_unknown_uploads_are_not_found(client, method, request_type):
    call = getattr(client.payloads, method)
    failure = failure_of(call, request_type(upload_id=str(uuid.uuid4())), timeout=30)
    assert failure.code == Code.NOT_FOUND
    failure = failure_of(call, request_type(upload_id="x"), timeout=30)
    assert (failure.code, failure.reason, failure.field) == (Code.INVALID_ARGUMENT, "BAD_UPLOAD_ID", "upload_id")


# ---- the command line over a connection that breaks ----


@pytest.fixture
def broken(cluster, request):
    """A command line whose first connections to the bulk port break."""
    proxy = CutProxy(cluster.bulk_port, request.param)
    line = CommandLine(cluster)
    line.environment["WAYBILL_BULK"] = f"127.0.0.1:{proxy.port}"
    line.proxy = proxy
    yield line
    proxy.close()


@pytest.mark.parametrize("broken", [[3_000_000, 2_500_000, 2_000_000]], indirect=True)
@pytest.mark.parametrize("kind", ["put", "upload"])
def test_the_command_line_goes_on_by_itself(client, broken, tmp_path, kind):
    data = os.urandom(8 << 20)
    file = tmp_path / "payload"
    file.write_bytes(data)
    key = f"cli-{kind}"
    if kind == "put":
        broken.good("put", file, f"uploads/{key}")
    else:
        upload_id = broken.good("put", "--announce=8MiB", f"uploads/{key}").strip()
        broken.good("upload", file, upload_id)
    assert broken.proxy.broken == 3
    assert client.get("uploads", key).version == 1
    assert client.read("uploads", key)[0] == data


@pytest.mark.parametrize("broken", [[3_000_000]], indirect=True)
def test_a_repeated_put_with_the_same_request_id_sends_only_what_is_missing(client, broken, tmp_path):
    data = os.urandom(8 << 20)
    file = tmp_path / "payload"
    file.write_bytes(data)
    request_id = str(uuid.uuid4())
    start = new_record("cli-again", request_id, size=len(data), content_type="text/plain")
    assert break_off(client, start, request_id, data[:6 << 20]) == 6 << 20
    # What is left fits before the connection would break.
    arguments = ("put", "--content-type=text/plain", f"--request-id={request_id}", file, "uploads/cli-again")
    first = broken.json(*arguments)
    assert broken.json(*arguments) == first, "and when it is done, nothing"
    assert broken.proxy.broken == 0
    assert client.read("uploads", "cli-again")[0] == data


def test_the_command_line_cancels_an_upload(cluster, client):
    line = CommandLine(cluster)
    upload_id = line.good("put", "--announce=unknown", "uploads/cli-cancel").strip()
    line.good("upload", "--cancel", "--reason=enough", upload_id)
    record = client.get("uploads", "cli-cancel")
    assert record.state == record_messages.RECORD_STATE_FAILED and "enough" in record.cause.reason
    assert line.bad(3, "upload", "--cancel", str(uuid.uuid4()))["code"] == "NOT_FOUND"


# ---- limits ----


def test_abandoned_uploads_go_after_their_time_also_when_they_stay_silent():
    for cluster in run_cluster(metadata_flags=["--upload-idle-timeout", "1s"]):
        client = Client(cluster)
        client.create_bucket("uploads", HOT)
        _, broken_id = client.announce("uploads", "broken")
        _, silent_id = client.announce("uploads", "silent")
        cut = Open(client, announced(broken_id), os.urandom(CHUNK))
        silent = Open(client, announced(silent_id), os.urandom(CHUNK))
        wait_for(lambda: client.status().spool_live_bytes == 2 * CHUNK, "the bytes to arrive")
        cut.cut()
        wait_for(lambda: client.status().spool_payloads == 0, "the bytes to go")
        failure = failure_of(silent.call.result)
        assert (failure.code, failure.reason) == (Code.DEADLINE_EXCEEDED, "CLIENT_SILENT")
        silent.more.set()
        assert query(client, broken_id).persisted_size == 0
        assert upload(client, announced(broken_id), b"late, but by its deadline").version == 1


def test_a_full_spool_refuses_uploads_and_commits_go_on_until_there_is_room():
    flags = ["--spool-max-bytes", "8MiB", "--spool-segment-bytes", "1MiB", "--bucket-share-percent", "100"]
    for cluster in run_cluster(metadata_flags=flags):
        client = Client(cluster)
        client.create_bucket("uploads", HOT)
        cluster.object.stop()
        data = os.urandom(3 << 20)
        client.upload("uploads", "first", data)
        request_id = str(uuid.uuid4())
        failure = failure_of(upload, client, new_record("second", request_id), data + data)
        assert (failure.code, failure.reason) == (Code.RESOURCE_EXHAUSTED, "SPOOL_FULL")
        assert failure.retry_seconds > 0
        arrived = query(client, request_id).persisted_size
        assert arrived >= 2 << 20, "what there was room for is kept"
        assert client.status().spool_live_bytes == len(data) + arrived <= 8 << 20
        client.put("uploads", "small")
        client.put("uploads", "inline", b"goes on")
        client.upload("uploads", "third", data)  # the one that waits makes room
        assert failure_of(query, client, request_id).reason == "UPLOAD_NOT_FOUND"
        failure = failure_of(client.upload, "uploads", "fourth", data)
        assert (failure.code, failure.reason) == (Code.RESOURCE_EXHAUSTED, "SPOOL_FULL")
        assert failure.retry_seconds > 0
        assert client.put("uploads", "small").version == 2
        cluster.object.start()
        for key in ("first", "third", "inline"):
            client.wait_state("uploads", key, "STORED")
        wait_for(lambda: client.status().spool_payloads == 0, "the spool to drain")
        client.upload("uploads", "fourth", data)
        client.wait_state("uploads", "fourth", "STORED")
        assert client.read("uploads", "fourth")[0] == data
