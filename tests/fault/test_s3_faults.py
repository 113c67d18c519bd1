"""A cold store in S3 behind a network and a server that fail in every way: moves go on once it is
over, nothing is lost or left behind, and no wrong byte is returned."""

import os
import random
import threading
import time

import grpc
import pytest

import s3_proxy
from client import COLD, HOT_AND_COLD, Client, failure_of, objects, tiers_of
from cluster import PATIENCE, wait_for
from conftest_shared import run_cluster
from s3_proxy import S3Proxy
from s3_server import MISSING, VERSITYGW, S3Server

pytestmark = pytest.mark.skipif(VERSITYGW is None, reason=MISSING)

MIB = 1 << 20
LARGE = 12 * MIB + 5  # three parts
EXPECTED = ("corrupt_copy", "copy_unreadable", "copy_not_repaired")


class Stage:
    """One cluster before one S3 server, with the proxy between them."""

    def __init__(self, cluster, server, proxy):
        self.cluster, self.server, self.proxy = cluster, server, proxy
        self.notes = os.path.join(cluster.directory, "object", "cold-uploads")
        self.client = Client(cluster)
        self.client.create_bucket("cold", COLD, cold_after=0.3)
        self.client.create_bucket("both", HOT_AND_COLD, cold_after=0.3)

    def upload(self, key, size, bucket="cold"):
        data = random.Random(key).randbytes(size)
        self.client.upload(bucket, key, data)
        return data

    def stored(self, key, size, bucket="cold"):
        data = self.upload(key, size, bucket)
        self.client.wait_tiers(bucket, key, {"COLD"} if bucket == "cold" else {"HOT", "COLD"}, seconds=60)
        if bucket == "cold":  # the record says so before the hot bytes are given up
            wait_for(lambda: self.client.read(bucket, key)[1] == objects.READ_SOURCE_COLD, "the hot copy to be gone")
        return data

    def tiers(self, key, bucket="cold"):
        return tiers_of(self.client.get(bucket, key))

    def failure(self, key, bucket="cold", **fields):
        return failure_of(self.client.objects.ReadObject,
                          objects.ReadObjectRequest(bucket=bucket, key=key, **fields), timeout=60 * PATIENCE)

    def moves_failed(self, reason):
        return [event for event in self.cluster.object.log_events()
                if event["event"] == "tier_move_failed" and event["reason"] == reason]

    def expect_clean(self):
        """Nothing is left of uploads, at the server or in the notes of the replica."""
        wait_for(lambda: os.listdir(self.notes) == [], "the notes of uploads to go")
        assert self.server.uploads() == 0
        assert self.server.parts_in_progress() == 0


@pytest.fixture(scope="module")
def whole_stage():
    server = S3Server()
    server.process.start()
    proxy = S3Proxy(server.port)
    flags = [*server.object_flags(port=proxy.port), "--s3-stall-timeout", "1s"]
    try:
        for cluster in run_cluster(allowed_errors=EXPECTED, object_flags=flags):
            yield Stage(cluster, server, proxy)
            proxy.clear()
    finally:
        proxy.end()
        server.end()


@pytest.fixture
def stage(whole_stage):
    yield whole_stage
    whole_stage.proxy.clear()


STORMS = {
    "503 SlowDown with Retry-After": s3_proxy.status(503, "SlowDown", retry_after=1),
    "503 without a body": s3_proxy.status(503),
    "429": s3_proxy.status(429),
    "500": s3_proxy.status(500, "InternalError"),
    "requests cut": s3_proxy.cut_request,
    "answers lost": s3_proxy.lose_answer,
    "answers cut in mid-body": s3_proxy.cut_answer,
    "requests damaged": s3_proxy.flip_request,
}


@pytest.mark.parametrize("storm", [name for name in STORMS if name not in ("503 without a body", "429")])
def test_moves_go_on_after_a_storm_and_nothing_is_lost_or_left_behind(stage, storm):
    writes = stage.proxy.inject(STORMS[storm], lambda request: request.method in ("PUT", "POST", "DELETE"))
    data = stage.upload(f"{storm}/large", LARGE)
    little = stage.upload(f"{storm}/little", 1000)
    wait_for(lambda: writes.hits >= 4, "the storm to be felt", 60)
    assert stage.tiers(f"{storm}/large") == {"HOT"}, "given up before its cold copy was good"
    assert stage.client.read("cold", f"{storm}/large")[0] == data
    stage.proxy.clear()
    for key, expected in ((f"{storm}/large", data), (f"{storm}/little", little)):
        stage.client.wait_tiers("cold", key, {"COLD"}, seconds=60)
        assert stage.client.read("cold", key)[0] == expected
    stage.expect_clean()


def test_random_faults_lose_nothing(stage):
    """Every request may fail in any way."""
    for fault in (*STORMS.values(), s3_proxy.wrong_etag, s3_proxy.slow(0.2)):
        stage.proxy.inject(fault, probability=0.02)
    sizes = [0, 1, 1000, 300_000, 5 * MIB, 5 * MIB + 1, LARGE]
    stored = {f"random/{size}": stage.upload(f"random/{size}", size) for size in sizes}
    for key in stored:
        stage.client.wait_tiers("cold", key, {"COLD"}, seconds=90)
    stage.proxy.clear()
    for key, data in stored.items():
        assert stage.client.read("cold", key)[0] == data
    stage.cluster.object.stop()  # what could not be aborted in the storm is aborted at the start
    stage.cluster.object.start()
    stage.expect_clean()


def test_a_lie_about_what_was_stored_keeps_the_hot_copy(stage):
    """The bytes that come back are not those that were written."""
    lies = stage.proxy.inject(s3_proxy.flip_answer,
                              lambda request: request.method == "GET" and "range" in request.headers)
    data = stage.upload("lied-about", LARGE)
    wait_for(lambda: lies.hits >= 4, "the object to be read back")
    assert stage.tiers("lied-about") == {"HOT"}
    assert stage.client.read("cold", "lied-about")[0] == data
    stage.proxy.clear()
    stage.client.wait_tiers("cold", "lied-about", {"COLD"}, seconds=60)
    assert stage.client.read("cold", "lied-about")[0] == data


def test_a_wrong_etag_of_a_part_keeps_the_hot_copy(stage):
    wrong = stage.proxy.inject(s3_proxy.wrong_etag, lambda request: "partNumber" in request.path)
    data = stage.upload("etag", LARGE)
    wait_for(lambda: wrong.hits >= 4, "parts to be answered")
    assert stage.tiers("etag") == {"HOT"}
    stage.proxy.clear()
    stage.client.wait_tiers("cold", "etag", {"COLD"}, seconds=60)
    assert stage.client.read("cold", "etag")[0] == data
    stage.expect_clean()


def is_read_of(key):
    return lambda request: request.method == "GET" and f"/{key}/" in request.path


@pytest.mark.parametrize("fault", ["flip_answer", "cut_answer", "cut_request", "lose_answer"])
@pytest.mark.parametrize("size", [1000, LARGE])
def test_a_fault_that_passes_is_not_noticed_by_readers(stage, fault, size):
    key = f"passing-{fault}-{size}"
    data = stage.stored(key, size)
    for times in range(3):
        stage.proxy.clear()
        stage.proxy.inject(lambda request, forward: forward(request), is_read_of(key), times=times)
        injected = stage.proxy.inject(getattr(s3_proxy, fault), is_read_of(key), times=1)
        assert stage.client.read("cold", key)[0] == data
        assert injected.hits == 1 or size == 1000


@pytest.mark.parametrize("size", [1000, LARGE])
def test_bytes_that_are_always_wrong_are_never_returned(stage, size):
    key = f"wrong-{size}"
    data = stage.stored(key, size)
    stage.proxy.inject(s3_proxy.flip_answer, is_read_of(key))
    failure = stage.failure(key)
    assert (failure.code, failure.reason) == (grpc.StatusCode.DATA_LOSS, "OBJECT_CORRUPT")
    stage.proxy.clear()
    assert stage.client.read("cold", key)[0] == data


def test_a_read_goes_on_from_the_hot_copy_while_the_cold_store_lies(stage):
    data = stage.stored("lies-about-cold", LARGE, bucket="both")
    stage.proxy.inject(s3_proxy.flip_answer)
    assert stage.client.read("both", "lies-about-cold")[0] == data


@pytest.mark.parametrize("fault, code, reason", [
    (s3_proxy.cut_answer, grpc.StatusCode.UNAVAILABLE, "COLD_STORE_UNAVAILABLE"),
    (s3_proxy.status(500), grpc.StatusCode.UNAVAILABLE, "COLD_STORE_UNAVAILABLE"),
    (s3_proxy.status(503, "SlowDown", retry_after=30), grpc.StatusCode.RESOURCE_EXHAUSTED, "COLD_STORE_THROTTLED"),
    (s3_proxy.status(429, "TooManyRequests"), grpc.StatusCode.RESOURCE_EXHAUSTED, "COLD_STORE_THROTTLED"),
    (s3_proxy.status(403, "AccessDenied"), grpc.StatusCode.PERMISSION_DENIED, "COLD_STORE_ACCESS_DENIED"),
    (s3_proxy.status(403, "SignatureDoesNotMatch"), grpc.StatusCode.FAILED_PRECONDITION, "COLD_STORE_CREDENTIALS"),
    (s3_proxy.status(404, "NoSuchBucket"), grpc.StatusCode.FAILED_PRECONDITION, "COLD_STORE_BUCKET_MISSING"),
], ids=["cut answers", "500", "SlowDown", "429", "forbidden", "signature", "bucket"])
def test_a_read_says_what_is_wrong_with_the_cold_store(stage, fault, code, reason):
    key = f"reason-{reason}"
    data = stage.stored(key, 1000)
    stage.proxy.inject(fault)
    failure = stage.failure(key)
    assert (failure.code, failure.reason) == (code, reason), failure.message
    assert (failure.retry_seconds is not None) == (code == grpc.StatusCode.RESOURCE_EXHAUSTED)
    stage.proxy.clear()
    assert stage.client.read("cold", key)[0] == data


def test_a_large_read_has_several_ranges_under_way(stage):
    data = stage.stored("ahead", 20 * MIB)
    together = threading.Barrier(2)

    def wait_for_another(request, forward):
        together.wait(30 * PATIENCE)
        return forward(request)

    def is_far_in(request):
        start = request.headers.get("range", "bytes=0-").split("=")[1].split("-")[0]
        return is_read_of("ahead")(request) and int(start) >= 8 * MIB

    met = stage.proxy.inject(wait_for_another, is_far_in, times=2)
    assert stage.client.read("cold", "ahead")[0] == data
    assert met.hits == 2 and not together.broken


def test_a_server_that_hangs_is_left_within_bounds_and_used_again(stage):
    data = stage.stored("hanging", 1000)
    stage.proxy.inject(s3_proxy.hang())
    began = time.monotonic()
    failure = stage.failure("hanging")
    assert failure.code == grpc.StatusCode.UNAVAILABLE, failure.message
    assert time.monotonic() - began < 40 * PATIENCE
    stage.proxy.clear()
    assert stage.client.read("cold", "hanging")[0] == data


def test_a_refused_move_keeps_the_hot_copy_and_says_why(stage):
    stage.proxy.inject(s3_proxy.status(403, "AccessDenied"), lambda request: request.method == "PUT")
    data = stage.upload("refused", LARGE)
    wait_for(lambda: stage.moves_failed("COLD_STORE_ACCESS_DENIED"), "the move to be refused")
    assert stage.tiers("refused") == {"HOT"}
    stage.proxy.clear()
    stage.client.wait_tiers("cold", "refused", {"COLD"}, seconds=60)
    assert stage.client.read("cold", "refused")[0] == data
    stage.expect_clean()


def test_uploads_that_may_not_be_aborted_do_not_pile_up_notes(stage):
    """A server that lets uploads begin, but neither go on nor end: each try leaves one more there."""
    stage.proxy.inject(s3_proxy.status(403, "AccessDenied"), lambda request: request.method in ("PUT", "DELETE"))
    before = len(stage.moves_failed("COLD_STORE_ACCESS_DENIED"))
    stage.upload("denied", LARGE)
    wait_for(lambda: len(stage.moves_failed("COLD_STORE_ACCESS_DENIED")) >= before + 4, "the move to be refused")
    assert stage.server.uploads() > 1
    assert len(os.listdir(stage.notes)) <= 2, "one that was left, and one in hand"
    stage.proxy.clear()
    stage.client.wait_tiers("cold", "denied", {"COLD"}, seconds=60)
    stage.expect_clean()
