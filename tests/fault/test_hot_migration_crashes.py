"""object-svc is killed again and again while its hot volumes move there and back, with work going on."""

import os
import random
import threading
import time

import grpc
import pytest

from client import HOT, Client, admin, again
from cluster import PATIENCE, wait_for
from conftest_shared import run_cluster

pytestmark = pytest.mark.kills

ROUNDS = int(os.environ.get("WAYBILL_ROUNDS", "1"))
KILLS = 2
FLAGS = ["--volume-bytes", "1MiB", "--compaction-interval", "100ms", "--compaction-bytes-per-second", "64MiB"]


def phase(client):
    try:
        request = admin.GetMigrationRequest(tier="TIER_HOT")
        return again(client.object_admin.GetMigration, request, 10 * PATIENCE).migration.phase
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND, error
        return admin.MIGRATION_PHASE_UNSPECIFIED


def ask(client, call, request, reached):
    """A step whose answer may have got lost."""
    try:
        again(call, request, 10 * PATIENCE)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    assert phase(client) in reached


def volumes_in(directory):
    return [name for name in os.listdir(directory) if name.startswith("volume-")]


@pytest.mark.long
def test_no_object_is_lost_by_kills_while_hot_volumes_move(tmp_path):
    for cluster in run_cluster(object_flags=FLAGS):
        client = Client(cluster)
        client.create_bucket("hot", HOT)
        chance = random.Random(11)
        old, new = os.path.join(cluster.directory, "object", "volumes"), str(tmp_path / "new")
        contents, failures, stop = {}, [], threading.Event()

        def write():
            while not stop.is_set() and len(contents) < 200 * ROUNDS:
                key, content = f"key-{len(contents)}", os.urandom(len(contents) * 4099 % 150000)
                try:
                    client.upload("hot", key, content)
                    contents[key] = content
                except Exception as error:  # pylint: disable=broad-except
                    failures.append(error)
                    return
                time.sleep(0.005)

        def kill_some():
            for _ in range(KILLS):
                time.sleep(chance.uniform(0, 0.3))
                cluster.object.kill()
                cluster.object.start()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(ROUNDS):
                request = admin.StartMigrationRequest(tier="TIER_HOT", target="file://" + new)
                ask(client, client.object_admin.StartMigration, request,
                    (admin.MIGRATION_PHASE_COPYING, admin.MIGRATION_PHASE_COPIED))
                kill_some()
                wait_for(lambda: phase(client) == admin.MIGRATION_PHASE_COPIED, "everything to be moved", 120)
                assert volumes_in(old) == []
                request = admin.ChangeMigrationRequest(tier="TIER_HOT", step="MIGRATION_STEP_CANCEL")
                ask(client, client.object_admin.ChangeMigration, request,
                    (admin.MIGRATION_PHASE_RETURNING, admin.MIGRATION_PHASE_UNSPECIFIED))
                kill_some()
                wait_for(lambda: phase(client) == admin.MIGRATION_PHASE_UNSPECIFIED, "everything to be back", 120)
                assert volumes_in(new) == []
        finally:
            stop.set()
            writer.join()
        assert not failures, failures
        assert len(contents) > 20
        for key, content in contents.items():
            client.wait_state("hot", key, "STORED", seconds=60)
            assert again(client.read, "hot", key)[0] == content, key
        scrub_id = again(client.object_admin.StartScrub, admin.StartScrubRequest(), 10 * PATIENCE).scrub_id
        request = admin.GetScrubRequest(scrub_id=scrub_id)
        wait_for(lambda: client.object_admin.GetScrub(request).done, "the scrub", 120)
        answer = client.object_admin.GetScrub(request)
        assert (list(answer.findings), answer.error_reason) == ([], "")
