"""SIGTERM while requests to the cold store hang: the drain ends within its bound, and nothing is lost by it."""

import random
import threading

import grpc
import pytest

import s3_proxy
from client import COLD, Client, failure_of, objects
from cluster import PATIENCE, wait_for
from conftest_shared import run_cluster
from s3_proxy import S3Proxy
from s3_server import MISSING, VERSITYGW, S3Server

pytestmark = pytest.mark.skipif(VERSITYGW is None, reason=MISSING)

MIB = 1 << 20


@pytest.fixture
def proxy():
    server = S3Server()
    server.process.start()
    proxy = S3Proxy(server.port)
    proxy.server_of_flags = server
    yield proxy
    proxy.end()
    server.end()


@pytest.fixture
def cluster(proxy):
    # No timeout of a request ends before the test gives up on the drain.
    flags = [*proxy.server_of_flags.object_flags(port=proxy.port), "--s3-stall-timeout", "10m", "--drain-grace", "1s"]
    yield from run_cluster(allowed_errors=("copy_unreadable",), object_flags=flags)


def test_sigterm_ends_reads_and_moves_that_the_cold_store_lets_hang(cluster, proxy):
    client = Client(cluster)
    client.create_bucket("cold", COLD, cold_after=0.2)
    data = random.Random(1).randbytes(12 * MIB)
    client.upload("cold", "to-read", data)
    client.wait_tiers("cold", "to-read", {"COLD"}, seconds=60)
    wait_for(lambda: client.read("cold", "to-read", read_limit=1)[1] == objects.READ_SOURCE_COLD, "the hot copy to be gone")

    moves = proxy.inject(s3_proxy.hang(), lambda request: request.method in ("PUT", "POST"))
    client.upload("cold", "to-move", data)
    wait_for(lambda: moves.hits >= 1, "the move to hang")
    # The first bytes are there, what is read ahead of the reader hangs.
    reads = proxy.inject(s3_proxy.hang(), lambda request: request.method == "GET" and "range" in request.headers
                         and int(request.headers["range"].split("=")[1].split("-")[0]) >= 4 * MIB)
    failures = []
    reader = threading.Thread(target=lambda: failures.append(failure_of(
        client.objects.ReadObject, objects.ReadObjectRequest(bucket="cold", key="to-read"), timeout=600)))
    reader.start()
    wait_for(lambda: reads.hits >= 1, "the read to hang")

    assert cluster.object.stop() == 0
    reader.join(60 * PATIENCE)
    assert [failure.code for failure in failures] == [grpc.StatusCode.UNAVAILABLE]
    assert "drain_interrupts" in [event["event"] for event in cluster.object.log_events()]

    proxy.clear()
    cluster.object.start()
    client.wait_tiers("cold", "to-move", {"COLD"}, seconds=60)
    for key in ("to-read", "to-move"):
        assert client.read("cold", key)[0] == data
