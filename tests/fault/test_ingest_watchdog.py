"""Whatever stops events or payloads from flowing, they flow again by themselves, and until then the
service says so."""

import contextlib
import signal

import pytest

from client import HOT, Client, health_of
from cluster import wait_for
from conftest_shared import run_cluster
from jetstream import JetStream, last_revision

STREAM = "WAYBILL_CHANGES_0"
CONSUMER = f"{STREAM}.waybill-object-svc"


@pytest.fixture
def flowing():
    for cluster in run_cluster(object_flags=["--liveness-patience", "2s"], allowed_errors=("events_fenced",)):
        client = Client(cluster)
        client.create_bucket("watched", HOT)
        check_flow(client, "first")
        yield cluster, client


def check_flow(client, name, count=5):
    for i in range(count):
        client.put("watched", f"{name}-{i}", f"{name} {i}".encode())
    for i in range(count):
        client.wait_state("watched", f"{name}-{i}", "STORED")


def ask(cluster, subject, body=None):
    connection = JetStream(cluster.nats_port)
    try:
        return connection.request(f"$JS.API.{subject}", body)
    finally:
        connection.close()


@contextlib.contextmanager
def stopped(process):
    """Not dead: it holds its connections, and answers nothing."""
    process.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.process.send_signal(signal.SIGCONT)


def ingest(cluster):
    return health_of(cluster, cluster.object_port, "object.ingest")


def test_a_nats_that_hangs_is_noticed_and_caught_up_with(flowing):
    cluster, client = flowing
    wait_for(lambda: ingest(cluster) == "SERVING", "the ingester to flow")
    with stopped(cluster.nats):
        client.put("watched", "meanwhile", b"commits go on")
        wait_for(lambda: ingest(cluster) == "NOT_SERVING", "the ingester to notice")
        assert cluster.http(cluster.object_admin_port, "/livez")[0] == 200, "a restart would not help"
    client.wait_state("watched", "meanwhile", "STORED")
    wait_for(lambda: ingest(cluster) == "SERVING", "the ingester to flow again")


def test_consumers_and_streams_that_go_away_under_a_backlog_come_again(flowing):
    cluster, client = flowing
    for round_number in range(3):
        name = f"round-{round_number}"
        for i in range(40):
            client.put("watched", f"{name}-{i}", name.encode())
        assert ask(cluster, f"CONSUMER.DELETE.{CONSUMER}").get("success")
        check_flow(client, f"{name}-after")
    assert ask(cluster, f"STREAM.DELETE.{STREAM}").get("success")
    check_flow(client, "without-stream")
    for round_number in range(3):
        for i in range(40):
            client.wait_state("watched", f"round-{round_number}-{i}", "STORED")


def test_a_consumer_that_somebody_spoils_is_taken_back(flowing):
    cluster, client = flowing
    config = {"durable_name": "waybill-object-svc", "ack_policy": "explicit", "deliver_policy": "all",
              "filter_subject": "waybill.changes.0.nobodys.staged"}
    assert ask(cluster, f"CONSUMER.DELETE.{CONSUMER}").get("success")
    answer = ask(cluster, f"CONSUMER.DURABLE.CREATE.{CONSUMER}", {"stream_name": STREAM, "config": config})
    assert "error" not in answer, answer
    check_flow(client, "after")


def test_an_ingester_that_hangs_is_told_of_by_livez(flowing):
    """Here in the middle of a pull from a metadata-svc that answers nothing; it gives that up later."""
    cluster, client = flowing
    assert cluster.object.stop() == 0
    client.put("watched", "stuck", b"bytes")
    newest = client.revision()
    wait_for(lambda: last_revision(cluster.nats_port) >= newest, "the stream to catch up")

    def livez():
        return cluster.http(cluster.object_admin_port, "/livez")

    with stopped(cluster.metadata):
        cluster.object.start()
        status, body = wait_for(lambda: livez() if livez()[0] == 503 else None, "livez to fail")
        assert "fail ingester" in body and "ok process" in body
    client.wait_state("watched", "stuck", "STORED")
    wait_for(lambda: livez()[0] == 200, "livez to hold again")
