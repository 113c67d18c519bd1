"""object-svc is killed again and again through whole migrations of the cold store, with work going on.

WAYBILL_ROUNDS chooses fewer migrations."""

import os
import random
import shutil
import threading
import time

import grpc
import pytest

from client import COLD, Client, admin, again
from cluster import PATIENCE, SLOWNESS, wait_for
from conftest_shared import run_cluster

pytestmark = pytest.mark.kills

ROUNDS = min(4, int(os.environ.get("WAYBILL_ROUNDS", "4")))
KILLS = 4


class Killer:
    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.random = random.Random(seed)

    def kill(self):
        self.cluster.object.kill()
        self.cluster.object.start()

    def kill_soon(self):
        time.sleep(self.random.uniform(0, 0.4 * SLOWNESS))
        self.kill()


def step(client, name, reached):
    """A step whose answer may have got lost."""
    request = admin.ChangeMigrationRequest(step="MIGRATION_STEP_" + name)
    try:
        again(client.object_admin.ChangeMigration, request, 10 * PATIENCE)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
    wait_for(lambda: phase(client) == reached, f"the migration to be {reached}")


def phase(client):
    return again(client.object_admin.GetMigration, admin.GetMigrationRequest(), 10 * PATIENCE).migration.phase


@pytest.mark.long
def test_no_object_is_lost_by_kills_through_migrations(tmp_path):
    for cluster in run_cluster(allowed_errors=("copy_unreadable",), object_flags=["--volume-bytes", "1MiB"]):
        client = Client(cluster)
        client.create_bucket("cold", COLD, cold_after=0)
        killer = Killer(cluster, 7)
        contents = {}
        stop = threading.Event()
        failures = []

        def write():
            number = 0
            while not stop.is_set():
                key, content = f"key-{number}", os.urandom(number * 4099 % 150000)
                try:
                    client.upload("cold", key, content)
                    contents[key] = content
                except Exception as error:  # pylint: disable=broad-except
                    failures.append(error)
                    return
                number += 1
                time.sleep(0.005)

        writer = threading.Thread(target=write)
        writer.start()
        places = [os.path.join(cluster.directory, "object", "cold")]
        try:
            for number in range(ROUNDS):
                new = str(tmp_path / f"place-{number}")
                request = admin.StartMigrationRequest(tier="TIER_COLD", target="file://" + new)
                again(client.object_admin.StartMigration, request, 10 * PATIENCE)
                for _ in range(KILLS):
                    killer.kill_soon()
                wait_for(lambda: phase(client) == admin.MIGRATION_PHASE_COPIED, "everything to be copied", 120)
                step(client, "SWITCH", admin.MIGRATION_PHASE_SWITCHED)
                killer.kill_soon()
                step(client, "BACK", admin.MIGRATION_PHASE_COPIED)
                killer.kill()
                step(client, "SWITCH", admin.MIGRATION_PHASE_SWITCHED)
                step(client, "FINISH", admin.MIGRATION_PHASE_FINISHED)
                killer.kill_soon()
                # The old place is gone, and the configuration names the new one.
                cluster.object.kill()
                shutil.rmtree(places[-1])
                places.append(new)
                cluster.object.command += ["--cold-dir", new]
                cluster.object.start()
        finally:
            stop.set()
            writer.join()
        assert not failures, failures
        assert len(contents) > 20
        for key, content in contents.items():
            client.wait_tiers("cold", key, {"COLD"}, seconds=60)
            assert again(client.read, "cold", key)[0] == content, key
        scrub_id = again(client.object_admin.StartScrub, admin.StartScrubRequest(), 10 * PATIENCE).scrub_id
        wait_for(lambda: client.object_admin.GetScrub(admin.GetScrubRequest(scrub_id=scrub_id)).done, "the scrub", 120)
        answer = client.object_admin.GetScrub(admin.GetScrubRequest(scrub_id=scrub_id))
        assert (list(answer.findings), answer.error_reason) == ([], "")
