"""A cold store that is away: commits, storing and reads of hot objects go on, nobody asks it all the
time, and once it is back what waited goes cold.

WAYBILL_OUTAGE chooses how many objects are written meanwhile (default 150)."""

import contextlib
import os

import grpc
import pytest

import s3_server
from client import COLD, HOT, TIMEOUT, Client, admin, failure_of
from cluster import wait_for
from cold_outage import UnwritableDirectory
from conftest_shared import run_cluster

OBJECTS = int(os.environ.get("WAYBILL_OUTAGE", "150"))
PATIENT_SECONDS = 60 + OBJECTS / 20
ATTEMPTS_MAX = 40  # at a store that is away: the first failures, then one each pause


class StoppedServer:
    """An S3 server that is killed."""
    readable = False

    def __init__(self, server):
        self.server = server

    def begin(self):
        self.server.process.kill()

    def end(self):
        self.server.process.start()


@contextlib.contextmanager
def directory_outage():
    for cluster in run_cluster():
        yield cluster, UnwritableDirectory(cluster)


@contextlib.contextmanager
def s3_outage():
    if s3_server.VERSITYGW is None:
        pytest.skip(s3_server.MISSING)
    server = s3_server.S3Server()
    try:
        server.process.start()
        for cluster in run_cluster(object_flags=server.object_flags()):
            yield cluster, StoppedServer(server)
    finally:
        server.end()


def suspended(cluster, path):
    return cluster.metric(cluster.object_admin_port, "waybill_cold_suspended", path=path) == 1


def events_of(cluster, name, path):
    return [event for event in cluster.object.log_events() if event["event"] == name and event["path"] == path]


@pytest.mark.parametrize("kind", [directory_outage, s3_outage], ids=["directory", "s3"])
def test_an_outage_of_the_cold_store_holds_up_nothing_but_moves(kind):
    with kind() as (cluster, outage):
        client = Client(cluster)
        client.create_bucket("to-cold", COLD, cold_after=0.2)
        client.create_bucket("stays-hot", HOT)
        client.put("to-cold", "before", b"before the outage")
        client.wait_tiers("to-cold", "before", {"COLD"})
        outage.begin()
        for i in range(OBJECTS):
            client.put("to-cold", f"during-{i:05}", b"during %d" % i)
            client.upload("stays-hot", f"during-{i:05}", b"during %d" % i * 1000)
        for i in range(OBJECTS):
            client.wait_state("to-cold", f"during-{i:05}", "STORED")
            client.wait_state("stays-hot", f"during-{i:05}", "STORED")
            assert client.read("to-cold", f"during-{i:05}")[0] == b"during %d" % i
        wait_for(lambda: suspended(cluster, "write"), "writes to be suspended")
        status = client.object_admin.GetStatus(admin.GetStatusRequest(), timeout=TIMEOUT).object
        assert status.cold_writes_suspended and status.cold_error_reason
        if outage.readable:
            assert client.read("to-cold", "before")[0] == b"before the outage"
        else:
            wait_for(lambda: failure_of(client.read, "to-cold", "before").reason == "COLD_STORE_SUSPENDED",
                     "reads of cold objects to fail at once")
            failure = failure_of(client.read, "to-cold", "before")
            assert failure.code == grpc.StatusCode.UNAVAILABLE and failure.retry_seconds > 0
        tried = cluster.metric(cluster.object_admin_port, "waybill_object_failures_total", reason="tier_move")
        assert 0 < tried < ATTEMPTS_MAX

        outage.end()
        for i in range(OBJECTS):
            client.wait_tiers("to-cold", f"during-{i:05}", {"COLD"}, PATIENT_SECONDS)
        wait_for(lambda: client.status().spool_payloads == 0, "the spool to drain", PATIENT_SECONDS)
        assert not suspended(cluster, "write")
        for i in range(0, OBJECTS, 10):
            assert client.read("to-cold", f"during-{i:05}")[0] == b"during %d" % i
        assert client.read("to-cold", "before")[0] == b"before the outage"
        assert len(events_of(cluster, "cold_store_suspended", "write")) == 1, "an outage is told of once"
        assert len(events_of(cluster, "cold_store_back", "write")) == 1
