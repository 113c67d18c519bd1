"""Parts that are away: commits and uploads go on, and what was missed is caught up with."""

import contextlib
import itertools
import os
import shutil
import socket
import threading

import grpc
import pytest

from aftermath import check_stream
from client import COLD, HOT, Client, failure_of, health_of
from cluster import wait_for
from conftest_shared import run_cluster
from jetstream import JetStream, last_revision


@pytest.fixture
def pair(own_cluster):
    client = Client(own_cluster)
    client.create_bucket("outage", HOT)
    return own_cluster, client


def write_some(client, name, count=30):
    for i in range(count):
        client.put("outage", f"{name}/inline-{i}", f"inline {i}".encode())
        client.upload("outage", f"{name}/streamed-{i}", f"streamed {i}".encode() * 10000)
        client.put("outage", f"{name}/plain-{i}")


def check_some(client, name, count=30):
    for i in range(count):
        client.wait_state("outage", f"{name}/inline-{i}", "STORED", seconds=60)
        client.wait_state("outage", f"{name}/streamed-{i}", "STORED", seconds=60)
        assert client.read("outage", f"{name}/inline-{i}")[0] == f"inline {i}".encode()
        assert client.read("outage", f"{name}/streamed-{i}")[0] == f"streamed {i}".encode() * 10000


def test_reads_go_on_while_metadata_svc_restarts(pair):
    cluster, client = pair
    client.put("outage", "read", b"the bytes")
    client.wait_state("outage", "read", "STORED")
    done = threading.Event()
    failures, reads = [], []

    def read_on():
        while not done.is_set():
            try:
                reads.append(client.read("outage", "read")[0])
            except grpc.RpcError as error:
                failures.append(error)

    reader = threading.Thread(target=read_on)
    reader.start()
    try:
        for _ in range(5):
            before = len(reads)
            cluster.metadata.kill()
            cluster.metadata.start()
            wait_for(lambda: len(reads) > before + 1, "reads after the restart")
    finally:
        done.set()
        reader.join()
    assert not failures, failures[0]
    assert set(reads) == {b"the bytes"}


def test_without_nats_commits_and_uploads_go_on_and_are_published_later(pair):
    cluster, client = pair
    write_some(client, "before")
    check_some(client, "before")
    cluster.nats.kill()
    write_some(client, "during")
    assert client.read("outage", "during/streamed-0")[0] == b"streamed 0" * 10000, "read from the spool"
    assert client.status().spool_payloads >= 30
    cluster.nats.start()
    check_some(client, "during")
    check_stream(cluster, client)
    wait_for(lambda: client.status().spool_payloads == 0, "the spool to drain")


def test_without_object_svc_commits_and_uploads_go_on_and_are_stored_later(pair):
    cluster, client = pair
    assert cluster.object.stop() == 0
    write_some(client, "during")
    cluster.object.start()
    check_some(client, "during")
    check_stream(cluster, client)


def test_services_may_start_before_nats():
    for cluster in run_cluster():
        cluster.stop()
        cluster.metadata.start()
        cluster.object.start()
        client = Client(cluster)
        client.create_bucket("outage", HOT)
        write_some(client, "early", 5)
        cluster.nats.start()
        check_some(client, "early", 5)
        check_stream(cluster, client)


@contextlib.contextmanager
def hanging_up(port):
    """A server at `port` that lets go of everybody in the middle of the handshake."""
    stopping = threading.Event()
    greetings = itertools.cycle([b"", b"INFO {}\r\n", b'INFO {"server_id":"x","version":"2.9.10","proto":1,"headers":true}\r\n'])

    def hang_up():
        while not stopping.is_set():
            try:
                with impostor.accept()[0] as connection:
                    connection.sendall(next(greetings))
            except OSError:
                pass  # nobody came, or it went away first

    with socket.create_server(("127.0.0.1", port)) as impostor:
        impostor.settimeout(0.1)
        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()


def test_a_nats_that_hangs_up_in_the_handshake_is_tried_again():
    for cluster in run_cluster():
        cluster.stop()
        with hanging_up(cluster.nats_port):
            cluster.metadata.start()
            cluster.object.start()
            client = Client(cluster)
            client.create_bucket("outage", HOT)
            write_some(client, "early", 5)
        cluster.nats.start()
        check_some(client, "early", 5)
        check_stream(cluster, client)


def test_a_wiped_nats_gets_every_revision_again_in_order(pair):
    cluster, client = pair
    write_some(client, "before")
    check_some(client, "before")
    check_stream(cluster, client)
    cluster.nats.kill()
    shutil.rmtree(cluster.nats_directory)
    write_some(client, "during", 5)
    cluster.nats.start()
    check_some(client, "during", 5)
    check_stream(cluster, client)
    write_some(client, "after", 5)
    check_some(client, "after", 5)


def test_a_wiped_nats_that_restarts_with_metadata_svc_down_is_filled_again(pair):
    cluster, client = pair
    write_some(client, "before", 5)
    check_some(client, "before", 5)
    assert cluster.metadata.stop() == 0
    cluster.nats.kill()
    shutil.rmtree(cluster.nats_directory)
    cluster.nats.start()
    cluster.metadata.start()
    check_stream(cluster, Client(cluster))
    write_some(client, "after", 5)
    check_some(client, "after", 5)


def test_a_deleted_consumer_is_made_again(pair):
    cluster, client = pair
    write_some(client, "before", 3)
    check_some(client, "before", 3)
    connection = JetStream(cluster.nats_port)
    assert connection.request("$JS.API.CONSUMER.DELETE.WAYBILL_CHANGES_0.waybill-object-svc").get("success")
    connection.close()
    write_some(client, "after", 3)
    check_some(client, "after", 3)


def test_a_second_writer_of_the_stream_is_noticed_and_nothing_is_published_over_it(pair):
    cluster, client = pair
    write_some(client, "before", 2)
    newest = client.revision()
    wait_for(lambda: last_revision(cluster.nats_port) >= newest, "the stream to catch up")
    connection = JetStream(cluster.nats_port)
    headers = b"NATS/1.0\r\nNats-Msg-Id: 0-99\r\n\r\n"
    connection.socket.sendall(
        b"HPUB waybill.changes.0.intruder.committed %d %d\r\n%s\r\n" % (len(headers), len(headers), headers))
    connection.info("WAYBILL_CHANGES_0")
    connection.close()
    client.put("outage", "after", b"x")
    wait_for(lambda: health_of(cluster, cluster.metadata_port, "events") == "NOT_SERVING", "the intruder to be noticed")
    assert client.put("outage", "still", b"commits go on").version == 1


def test_a_full_spool_refuses_uploads_and_not_commits():
    flags = ["--spool-max-bytes", "4MiB", "--spool-segment-bytes", "1MiB", "--bucket-share-percent", "100"]
    for cluster in run_cluster(metadata_flags=flags):
        client = Client(cluster)
        client.create_bucket("outage", HOT)
        assert cluster.object.stop() == 0
        failure = None
        for i in range(10):
            try:
                client.upload("outage", f"fill-{i}", os.urandom(700000))
            except grpc.RpcError:
                failure = failure_of(client.upload, "outage", "more", os.urandom(700000))
                break
        assert failure is not None, "4 MiB must not hold 7 MB"
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SPOOL_FULL")
        assert failure.retry_seconds > 0
        assert client.put("outage", "plain").version == 1
        assert client.put("outage", "inline", b"small").version == 1
        cluster.object.start()
        wait_for(lambda: client.status().spool_payloads == 0, "the spool to drain", 60)
        assert client.upload("outage", "more", os.urandom(700000)).version == 1


def test_a_restart_of_everything_keeps_everything(pair):
    cluster, client = pair
    client.create_bucket("kept-cold", COLD, cold_after=0.2)
    client.upload("kept-cold", "a", b"cold" * 50000)
    client.wait_tiers("kept-cold", "a", {"COLD"})
    client.upload("outage", "b", b"hot" * 50000)
    client.wait_state("outage", "b", "STORED")
    before = client.get("outage", "b")
    for process in (cluster.object, cluster.metadata):
        assert process.stop() == 0
    cluster.nats.kill()
    for process in cluster.processes:
        process.start()
    client = Client(cluster)
    assert client.get("outage", "b") == before
    assert client.read("outage", "b")[0] == b"hot" * 50000
    assert client.read("kept-cold", "a")[0] == b"cold" * 50000


def test_a_lost_object_index_is_rebuilt_from_the_volumes(pair):
    cluster, client = pair
    write_some(client, "before", 10)
    check_some(client, "before", 10)
    assert cluster.object.stop() == 0
    shutil.rmtree(os.path.join(cluster.directory, "object", "index"))
    cluster.object.start()
    check_some(client, "before", 10)


def test_a_flipped_byte_in_a_hot_volume_is_never_returned(pair):
    cluster, client = pair
    data = os.urandom(300000)
    client.upload("outage", "flipped", data)
    client.wait_state("outage", "flipped", "STORED")
    assert cluster.object.stop() == 0
    folder = os.path.join(cluster.directory, "object", "volumes")
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        with open(path, "r+b") as volume:
            at = volume.read().find(data[100000:100100])
            if at >= 0:
                volume.seek(at)
                volume.write(bytes([data[100000] ^ 1]))
                break
    else:
        raise AssertionError("the bytes are in no volume")
    cluster.object.start()
    failure = failure_of(client.read, "outage", "flipped")
    assert (failure.code, failure.reason) == (grpc.StatusCode.DATA_LOSS, "OBJECT_CORRUPT")
    assert client.read("outage", "flipped", read_offset=200000, read_limit=10)[0] == data[200000:200010]
