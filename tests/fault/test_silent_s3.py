"""SIGTERM while a cold store is being opened whose server accepts connections and never answers: at the start, at a
start that finds a migration, and in StartMigration."""

import json
import os
import select
import socket
import threading
import uuid

import grpc
import pytest

from client import COLD, Client, admin, failure_of
from cluster import PATIENCE, Cluster, wait_for
from conftest_shared import check_logs, run_cluster

# No request ends by itself before the test gives up on the stop.
PATIENT = ["--s3-stall-timeout", "10m"]


class SilentServer:
    """Hears requests, and answers none."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.target = f"s3+http://{self.endpoint}/tier"  # as a migration names it
        self.connections = []

    def heard(self):
        """Whether a request has come since the last time."""
        ready, _, _ = select.select([self.listener, *self.connections], [], [], 0)
        if self.listener in ready:
            self.connections.append(self.listener.accept()[0])
            return False
        return any(connection.recv(65536) for connection in ready)

    def wait_heard(self):
        wait_for(self.heard, "a request")

    def end(self):
        for connection in (self.listener, *self.connections):
            connection.close()


@pytest.fixture
def server():
    server = SilentServer()
    yield server
    server.end()


@pytest.fixture(autouse=True)
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing-access")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing-secret")


def remember_migration(cluster, target):
    """As a service leaves it that is stopped while it copies."""
    directory = os.path.join(cluster.directory, "object", "migration")
    os.makedirs(directory)
    with open(os.path.join(directory, "cold.json"), "w") as out:
        json.dump({"format": 1, "id": str(uuid.uuid4()), "phase": "copying", "target": target, "join_only": False,
                   "start_unix_us": 1}, out)


@pytest.mark.parametrize("place", ["configured", "of a migration"])
def test_sigterm_ends_a_start_that_a_silent_cold_store_keeps_waiting(server, tmp_path, place):
    silent = ["--cold-store", "s3", "--s3-endpoint", f"http://{server.endpoint}", "--s3-bucket", "tier"]
    cluster = Cluster(tmp_path, object_flags=[*(silent if place == "configured" else []), *PATIENT])
    if place != "configured":
        remember_migration(cluster, server.target)
    try:
        cluster.object.start(wait=False)
        server.wait_heard()
        assert cluster.object.stop() == 0
        assert [event["event"] for event in cluster.object.log_events()] == ["start_interrupted", "stopped"]
        check_logs(cluster)
    finally:
        cluster.object.kill()


def test_sigterm_ends_the_opening_of_a_migration_and_nothing_has_begun(server):
    for cluster in run_cluster(object_flags=[*PATIENT, "--drain-grace", "1s"]):
        client = Client(cluster)
        client.create_bucket("cold", COLD, cold_after=0)
        client.upload("cold", "key", b"moved" * 1000)
        client.wait_tiers("cold", "key", {"COLD"})
        request = admin.StartMigrationRequest(tier="TIER_COLD", target=server.target)
        failures = []
        starter = threading.Thread(target=lambda: failures.append(failure_of(
            client.object_admin.StartMigration, request, timeout=600)))
        starter.start()
        server.wait_heard()
        assert cluster.object.stop() == 0
        starter.join(60 * PATIENCE)
        assert [failure.code for failure in failures] == [grpc.StatusCode.UNAVAILABLE]
        assert not os.path.exists(os.path.join(cluster.directory, "object", "migration", "cold.json"))

        cluster.object.start()
        assert client.read("cold", "key")[0] == b"moved" * 1000
