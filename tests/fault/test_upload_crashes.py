"""kill -9 of metadata-svc in the middle of large uploads: each goes on by itself where it was, takes
effect once, and what is read has the right bytes.

WAYBILL_ROUNDS and WAYBILL_SEED choose another size or repeat a run."""

import hashlib
import os
import random
import subprocess
import time
import uuid

import grpc
import pytest

from client import HOT, Client, payloads
from cluster import PATIENCE, wait_for
from command_line import WAYBILL, CommandLine
from conftest_shared import run_cluster
from cut_proxy import CutProxy

ROUNDS = max(2, int(os.environ.get("WAYBILL_ROUNDS", "20")) // 10)
SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
UPLOADS = 3
SIZE = 12 << 20
SEGMENT = "4MiB"  # so that each spills over many


@pytest.fixture(scope="module")
def upload_cluster():
    flags = ["--spool-segment-bytes", SEGMENT, "--spool-max-bytes", "512MiB"]
    for cluster in run_cluster(metadata_flags=flags):
        client = Client(cluster)
        client.create_bucket("uploads", HOT)
        yield cluster, client


def make_file(path, chance):
    block = chance.randbytes(1 << 20)
    with open(path, "wb") as file:
        for number in range(SIZE >> 20):
            file.write(number.to_bytes(8, "little") + block[8:])
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def start_uploads(line, directory, chance, round_number):
    """{key: (process, digest)}; one of them is announced, the others make records of their own."""
    running = {}
    for number in range(UPLOADS):
        key = f"round-{round_number}/{number}"
        path = os.path.join(directory, f"{round_number}-{number}")
        digest = make_file(path, chance)
        arguments = ["put", path, f"uploads/{key}"]
        if number == 0:
            arguments = ["upload", path, line.good("put", "--announce=12MiB", f"uploads/{key}").strip()]
        running[key] = (subprocess.Popen([WAYBILL, *arguments], env=line.environment, stderr=subprocess.PIPE), digest)
    return running


def status(client):
    """None while the client has not noticed yet that there is a new service."""
    try:
        return client.status()
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        return None


def query(client, request):
    """None while the client has not noticed yet that there is a new service."""
    try:
        return client.payloads.QueryUpload(request, timeout=30)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNAVAILABLE, error
        return None


def kill_in_the_middle(cluster, client, chance, running):
    """Kills when a chosen number of bytes has come; returns how many uploads were under way."""
    until = client.status().spool_live_bytes + chance.randrange(UPLOADS * SIZE // 4, UPLOADS * SIZE // 3)
    wait_for(lambda: client.status().spool_live_bytes >= until or
             all(process.poll() is not None for process, _ in running.values()), "bytes to come", 30)
    alive = sum(process.poll() is None for process, _ in running.values())
    cluster.metadata.kill()
    time.sleep(chance.uniform(0, 0.2))
    cluster.metadata.start(wait=False)
    cluster.metadata.wait_ready()
    wait_for(lambda: status(client), "the service to answer")
    return alive


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_uploads_go_on_by_themselves_after_kills(upload_cluster, tmp_path, round_number):
    cluster, client = upload_cluster
    chance = random.Random(f"{SEED}/{round_number}")
    print(f"seed {SEED}, round {round_number}")
    line = CommandLine(cluster)
    slow = CutProxy(cluster.bulk_port, pause=0.001)  # so that there is a middle
    line.environment["WAYBILL_BULK"] = f"127.0.0.1:{slow.port}"
    running = start_uploads(line, tmp_path, chance, round_number)
    hit = sum(kill_in_the_middle(cluster, client, chance, running) for _ in range(3))
    for key, (process, digest) in running.items():
        errors = process.communicate(timeout=60 * PATIENCE)[1]
        assert process.returncode == 0, (key, errors)
        assert client.get("uploads", key).version == 1
        client.wait_state("uploads", key, "STORED", seconds=60)
        assert hashlib.sha256(client.read("uploads", key)[0]).hexdigest() == digest, f"{key} (seed {SEED})"
    slow.close()
    assert hit > 0, "no upload was under way when the service was killed"
    wait_for(lambda: client.status().spool_payloads == 0, "the spool to drain", 60)


def test_what_a_query_told_is_there_after_a_kill(upload_cluster):
    cluster, client = upload_cluster
    chance = random.Random(f"{SEED}/query")
    data = chance.randbytes(6 << 20)
    request_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    offset = 0
    while offset < len(data):
        end = min(offset + chance.randrange(1, 2 << 20), len(data))
        start = {"new_record": payloads.NewRecordUpload(
            bucket="uploads", key="told", request_id=request_id, size=len(data), write_offset=offset)}
        messages = list(client.upload_messages(start, data[offset:end]))
        call = client.payloads.UploadPayload.future(iter(messages[:-1]), timeout=30)
        assert call.exception() is not None, "the stream ends without a finish"
        request = payloads.QueryUploadRequest(upload_id=request_id)
        assert client.payloads.QueryUpload(request, timeout=30).persisted_size == end
        cluster.metadata.kill()
        cluster.metadata.start()
        assert wait_for(lambda: query(client, request), "the service to answer").persisted_size == end
        offset = end
    messages = [payloads.UploadPayloadRequest(new_record=payloads.NewRecordUpload(
        bucket="uploads", key="told", request_id=request_id, size=len(data), write_offset=offset))]
    messages.append(payloads.UploadPayloadRequest(finish=payloads.FinishUpload()))
    assert client.payloads.UploadPayload(iter(messages), timeout=30).record.version == 1
    client.wait_state("uploads", "told", "STORED")
    assert client.read("uploads", "told")[0] == data
