"""The network between any two parts is cut while all kinds of work go on: bytes are lost without a word, in one
direction or both, or connections are refused. Nothing acknowledged is lost, and all goes on by itself.

WAYBILL_SEED repeats a run, WAYBILL_CUT_SECONDS chooses how long a cut lasts (default 2)."""

import contextlib
import os
import random
import threading
import time

import grpc
import pytest

import network
import s3_server
from aftermath import check_all
from client import Client, Failure, again, payloads
from cluster import SLOWNESS, wait_for
from conftest_shared import run_cluster
from network import Network
from workload import Load

pytestmark = pytest.mark.skipif(network.MISSING is not None, reason=str(network.MISSING))

SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
CUT_SECONDS = float(os.environ.get("WAYBILL_CUT_SECONDS", "2"))
METADATA_FLAGS = ["--object-drop-delay", "0s", "--redrive-after", "5s"]
OBJECT_FLAGS = ["--recall-stay", "0s", "--ack-wait", "3s", "--ingest-retry-longest", "1s", "--s3-connect-timeout", "1s",
                "--s3-stall-timeout", "1s", "--cold-suspend-longest", "1s", "--peer-timeout", "1s"]


# (who connects, to whom, to which of its ports: all where there is none)
PAIRS = {
    "client-metadata": ("client", "metadata", None),
    "client-object": ("client", "object-1", None),
    "metadata-nats": ("metadata", "nats", None),
    "object-nats": ("object-1", "nats", None),
    "object-metadata-small": ("object-1", "metadata", "metadata_port"),
    "object-metadata-bulk": ("object-1", "metadata", "bulk_port"),
    "object-object": ("object-1", "object-2", None),
    "object-s3": ("object-1", "s3", None),
}
# Whether requests, and whether answers come through no more; refused rather than lost; for how long.
KINDS = {
    "lost": (True, True, False, CUT_SECONDS),
    "requests-lost": (True, False, False, CUT_SECONDS / 2),
    "answers-lost": (False, True, False, CUT_SECONDS / 2),
    "refused": (True, True, True, CUT_SECONDS / 2),
}


class Site:
    def __init__(self, net, cluster):
        self.net, self.cluster = net, cluster
        self.client = Client(cluster)
        Load.create_buckets(self.client)
        self.load = Load(cluster, SEED).start()
        self.load.wait_progress(30)

    def cut(self, pair, kind):
        source, sink, port = PAIRS[pair]
        requests, answers, refused, seconds = KINDS[kind]
        to_port, from_port = ((side, str(getattr(self.cluster, port))) if port else () for side in ("--dport", "--sport"))
        if requests:
            self.net.stop(source, sink, *to_port, reset=refused)
        if answers:
            self.net.stop(sink, source, *from_port, reset=refused)
        try:
            if pair != "client-metadata":
                assert self.client.put("both", f"{pair} {kind}", b"commits go on").version == 1
            wait_for(self.net.stopped, "something that does not come through", 20)
            time.sleep(seconds)
        finally:
            self.net.heal()

    def check(self):
        self.load.stop()
        print(f"seed {SEED}:", dict(self.load.counts))
        check_all(self.cluster, self.client, self.load)


@contextlib.contextmanager
def run_site():
    net = Network("nats", "metadata", "object-1", "object-2", "s3")
    server = s3_server.S3Server(network=net) if s3_server.VERSITYGW is not None else None
    try:
        flags = OBJECT_FLAGS
        if server is not None:
            server.process.start()
            flags = [*flags, *server.object_flags()]
        for cluster in run_cluster(replicas=2, network=net, metadata_flags=METADATA_FLAGS, object_flags=flags):
            yield Site(net, cluster)
    finally:
        if server is not None:
            server.end()
        net.end()


@pytest.mark.parametrize("pair", PAIRS if SLOWNESS == 1 else ["metadata-nats", "object-metadata-small", "object-s3"])
def test_a_network_that_is_cut_and_heals_loses_nothing_and_stops_nobody_for_long(pair):
    if pair == "object-s3" and s3_server.VERSITYGW is None:
        pytest.skip(s3_server.MISSING)
    with run_site() as site:
        for kind in random.Random(SEED).sample(list(KINDS), len(KINDS)):
            site.cut(pair, kind)
            begin = time.monotonic()
            site.load.wait_progress(2 * CUT_SECONDS + 5)
            print(f"{pair} {kind}: all go on after {time.monotonic() - begin:.1f} s")
        site.check()


def begin_upload(site, data):
    """(upload id, the call) of an upload of which a part has arrived, and that stays open."""
    client = Client(site.cluster)
    _, upload_id = client.announce("both", "begun", size=len(data))
    over = threading.Event()

    def messages():
        yield payloads.UploadPayloadRequest(announced=payloads.AnnouncedUpload(upload_id=upload_id))
        yield payloads.UploadPayloadRequest(chunk=payloads.PayloadChunk(data=data[:len(data) // 2]))
        over.wait(600)

    call = client.payloads.UploadPayload.future(messages())
    call.add_done_callback(lambda _: over.set())
    wait_for(lambda: site.client.status().spool_live_bytes > 0, "the bytes to arrive")
    return upload_id, call


@pytest.mark.long
def test_connections_that_go_silent_for_good_are_given_up_by_both_ends():
    data = os.urandom(1 << 20)
    with run_site() as site:
        upload_id, call = begin_upload(site, data)
        for place in site.net.places:
            site.net.forget(place)
        begin = time.monotonic()

        def passed():
            return f"after {time.monotonic() - begin:.1f} s"

        site.load.wait_progress(30)
        print("all go on", passed())
        client = Client(site.cluster)
        newest = again(client.revision)
        wait_for(lambda: again(client.status).published_revision >= newest, "changes to be published", 30)
        print("changes are published", passed())
        site.load.stop()

        def resumed():
            try:
                persisted = client.payloads.QueryUpload(payloads.QueryUploadRequest(upload_id=upload_id), timeout=5)
                return client.upload_announced(upload_id, data[persisted.persisted_size:], persisted.persisted_size)
            except grpc.RpcError as error:
                assert Failure(error).reason == "UPLOAD_IN_PROGRESS", error
                return None

        wait_for(resumed, "the upload that was begun to be let go of", 30)
        print("the upload goes on", passed())
        call.cancel()
        assert again(client.read, "both", "begun")[0] == data
        site.check()
        print("all is at rest", passed())
