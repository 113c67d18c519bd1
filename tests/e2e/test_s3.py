"""The cold tier in an S3 bucket, against a real server."""

import hashlib
import os
import random
import time

import grpc
import pytest

from client import COLD, Client, tiers_of
from cluster import PATIENCE, wait_for
from conftest_shared import run_cluster
from s3_server import MISSING, SECRET_KEY, VERSITYGW, S3Server

pytestmark = pytest.mark.skipif(VERSITYGW is None, reason=MISSING)

MIB = 1 << 20


@pytest.fixture
def server():
    server = S3Server()
    server.process.start()
    yield server
    server.end()


@pytest.fixture
def pair(server):
    for cluster in run_cluster(allowed_errors=("start_failed",), object_flags=server.object_flags()):
        client = Client(cluster)
        client.create_bucket("long-term", COLD, cold_after=0.2)
        yield cluster, client
        assert SECRET_KEY not in cluster.object.log()


def object_path(key):
    return f"/waybill/test/long-term/{key}/%401"


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 5 * MIB + 1, 40 * MIB])
def test_an_object_goes_to_s3_and_comes_back(server, pair, size):
    cluster, client = pair
    data = random.Random(size).randbytes(size)
    client.upload("long-term", "some/object", data)
    client.wait_tiers("long-term", "some/object", {"COLD"}, seconds=60)
    assert client.read("long-term", "some/object")[0] == data
    for offset, length in [(0, 1), (size // 2, 1000), (max(size - 7, 0), 7), (5 * MIB - 3, 6), (MIB - 1, 2 * MIB)]:
        if length <= size - offset:
            got = client.read("long-term", "some/object", read_offset=offset, read_limit=length)[0]
            assert got == data[offset:offset + length], (offset, length)
    # Any S3 tool finds the same bytes and what is said of them.
    assert hashlib.sha256(server.request(object_path("some/object"))).digest() == hashlib.sha256(data).digest()
    head = server.request(object_path("some/object"), "--head").decode().lower()
    assert f"x-amz-meta-waybill-size: {size}\r" in head and "x-amz-meta-waybill-payload-id: " in head
    assert server.uploads() == 0
    assert os.listdir(os.path.join(cluster.directory, "object", "cold-uploads")) == []


def test_keys_of_all_kinds_keep_their_bytes(server, pair):
    _, client = pair
    keys = ["plain", "with space/and+plus", "50%/@1", "ünïcode/ключ", "a&b=c?d#e", "~tilde-_.!*'()"]
    for key in keys:
        client.upload("long-term", key, key.encode() * 10000)
    for key in keys:
        client.wait_tiers("long-term", key, {"COLD"}, seconds=60)
        assert client.read("long-term", key)[0] == key.encode() * 10000


@pytest.mark.parametrize("field, text, blamed", [("secret", "wrong", "s3_secret_key_file"),
                                                 ("access", "nobody", "s3_access_key_file"),
                                                 ("secret", "", "s3_secret_key_file")])
def test_wrong_credentials_end_the_start_and_name_their_key(server, pair, field, text, blamed):
    cluster, _ = pair
    assert cluster.object.stop() == 0
    server.write(field, text)
    cluster.object.start(wait=False)
    assert cluster.object.process.wait(timeout=60 * PATIENCE) != 0
    failure = [event for event in cluster.object.log_events() if event["event"] == "start_failed"][-1]
    assert failure["reason"] == "COLD_STORE_CREDENTIALS"
    assert failure["error"].startswith(blamed), failure


def test_reads_say_that_the_server_is_away_and_go_on_when_it_is_back(server, pair):
    _, client = pair
    client.upload("long-term", "away", b"bytes" * 100000)
    client.wait_tiers("long-term", "away", {"COLD"}, seconds=60)
    server.process.kill()
    with pytest.raises(grpc.RpcError) as failure:
        client.read("long-term", "away")
    assert failure.value.code() == grpc.StatusCode.UNAVAILABLE
    server.process.start()
    assert client.read("long-term", "away")[0] == b"bytes" * 100000


def kill_in_the_middle(server, client):
    """Kills the server once it holds parts of an upload that has not ended; returns key and bytes."""
    for attempt in range(10):
        key, data = f"big-{attempt}", os.urandom(48 * MIB)
        client.upload("long-term", key, data)
        until = time.monotonic() + 60
        while server.parts_in_progress() < 2 and "COLD" not in tiers(client, key) and time.monotonic() < until:
            time.sleep(0.001)
        server.process.kill()
        if server.parts_in_progress() >= 2:
            return key, data
        server.process.start()
        client.wait_tiers("long-term", key, {"COLD"}, seconds=60)
    raise AssertionError("no upload could be interrupted")


def tiers(client, key):
    return tiers_of(client.get("long-term", key))


def test_a_server_killed_in_the_middle_of_an_upload_keeps_no_orphan(server, pair):
    cluster, client = pair
    key, data = kill_in_the_middle(server, client)
    wait_for(lambda: "tier_move_failed" in cluster.object.log(), "the upload to fail", 60)
    server.process.start()
    client.wait_tiers("long-term", key, {"COLD"}, seconds=90)
    assert client.read("long-term", key)[0] == data
    assert server.uploads() == 0
    assert server.parts_in_progress() == 0


def test_a_replica_killed_in_the_middle_of_an_upload_clears_up_after_itself(server, pair):
    cluster, client = pair
    key, data = kill_in_the_middle(server, client)
    cluster.object.kill()
    server.process.start()
    assert server.uploads() >= 1
    cluster.object.start()
    client = Client(cluster)
    client.wait_tiers("long-term", key, {"COLD"}, seconds=90)
    assert client.read("long-term", key)[0] == data
    assert server.uploads() == 0
