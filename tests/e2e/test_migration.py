"""The cold store moves to another place while reads and writes go on; `waybill migrate`."""

import json
import os
import shutil
import subprocess
import threading

import grpc
import pytest

from client import COLD, HOT_AND_COLD, TIMEOUT, Client, admin, again, failure_of, objects
from cluster import BUILD, wait_for
from conftest_shared import run_cluster
from damage import flip_cold, object_directory
from s3_server import MISSING, VERSITYGW, S3Server

WAYBILL = os.path.join(BUILD, "cli", "waybill")
SIZES = [0, 1, 65536, (1 << 20) + 17]


class Migrated:
    def __init__(self, cluster):
        self.cluster = cluster
        self.client = Client(cluster)
        self.contents = {}
        self.client.create_bucket("cold", COLD, cold_after=0)

    def store(self, prefix="object", sizes=tuple(SIZES)):
        for number, size in enumerate(sizes):
            key = f"{prefix}/{number}"
            self.contents[key] = os.urandom(size)
            self.client.upload("cold", key, self.contents[key])
        for number in range(len(sizes)):
            self.client.wait_cold("cold", f"{prefix}/{number}")

    def check(self):
        for key, content in self.contents.items():
            assert self.read(key) == (content, objects.READ_SOURCE_COLD), key

    def read(self, key):
        return again(self.client.read, "cold", key)[:2]

    def start(self, target, **fields):
        request = admin.StartMigrationRequest(tier="TIER_COLD", target=target, **fields)
        return again(self.client.object_admin.StartMigration, request, TIMEOUT)

    def get(self):
        return again(self.client.object_admin.GetMigration, admin.GetMigrationRequest(), TIMEOUT).migration

    def step(self, name):
        request = admin.ChangeMigrationRequest(step="MIGRATION_STEP_" + name)
        answer = again(self.client.object_admin.ChangeMigration, request, TIMEOUT)
        return admin.MigrationPhase.Name(answer.migration.phase)[len("MIGRATION_PHASE_"):]

    def wait_copied(self):
        def copied():
            migration = self.get()
            return migration if migration.phase == admin.MIGRATION_PHASE_COPIED else None

        return wait_for(copied, "the objects to be copied", 60)

    def waybill(self, *arguments):
        done = subprocess.run([WAYBILL, "migrate", *arguments], env=self.cluster.environment(), capture_output=True,
                              text=True, timeout=TIMEOUT * 4)
        assert "Sanitizer" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def migrated():
    for cluster in run_cluster(allowed_errors=("corrupt_copy", "copy_unreadable", "start_failed")):
        yield Migrated(cluster)


def objects_in(directory):
    """{path: bytes} of the objects, without their sidecars."""
    found = {}
    for folder, names, files in os.walk(directory):
        names[:] = [name for name in names if name != ".tmp"]
        for name in files:
            if name.startswith("@") and not name.endswith(".json"):
                with open(os.path.join(folder, name), "rb") as file:
                    found[os.path.relpath(os.path.join(folder, name), directory)] = file.read()
    return found


def test_the_whole_way_to_another_directory(migrated, tmp_path):
    old, new = os.path.join(object_directory(migrated.cluster), "cold"), str(tmp_path / "new")
    migrated.store("before")
    migrated.start("file://" + new)
    migrated.store("while-copying")
    migration = migrated.wait_copied()
    assert (migration.target, migration.failed_objects, migration.error_reason) == ("file://" + new, 0, "")
    assert objects_in(old) == objects_in(new) and len(objects_in(new)) == 8
    migrated.store("copied")
    migrated.check()
    assert migrated.step("SWITCH") == "SWITCHED"
    migrated.store("switched")
    migrated.check()
    assert objects_in(old) == objects_in(new) and len(objects_in(new)) == 16
    # The way back, and again.
    assert migrated.step("BACK") == "COPIED"
    os.rename(new, new + ".away")
    migrated.check()
    os.rename(new + ".away", new)
    assert migrated.step("SWITCH") == "SWITCHED"
    assert migrated.step("FINISH") == "FINISHED"
    shutil.rmtree(old)
    migrated.store("finished")
    migrated.check()
    assert not objects_in(old)
    # Over a restart, with the old configuration and then with the new one.
    assert migrated.cluster.object.stop() == 0
    migrated.cluster.object.start()
    migrated.check()
    assert any(line["event"] == "cold_store_moved" for line in migrated.cluster.object.log_events())
    assert migrated.cluster.object.stop() == 0
    migrated.cluster.object.command += ["--cold-dir", new]
    migrated.cluster.object.start()
    migrated.store("configured")
    migrated.check()
    assert failure_of(migrated.get).reason == "MIGRATION_NOT_FOUND"
    assert not os.path.exists(os.path.join(object_directory(migrated.cluster), "migration", "cold.json"))


def test_a_restart_goes_on_where_it_was(migrated, tmp_path):
    migrated.store("object", [100000] * 40)
    migrated.cluster.object.stop()
    migrated.cluster.object.command += ["--migration-bytes-per-second", "1MiB"]
    migrated.cluster.object.start()
    migrated.start("file://" + str(tmp_path / "new"))
    for copied in (5, 15, 25):
        wait_for(lambda: len(objects_in(tmp_path / "new")) >= copied, "some objects to be copied", 60)
        migrated.cluster.object.kill()
        migrated.cluster.object.start()
    migrated.wait_copied()
    assert len(objects_in(tmp_path / "new")) == 40
    migrated.cluster.object.kill()
    migrated.cluster.object.start()
    assert migrated.get().phase == admin.MIGRATION_PHASE_COPIED
    migrated.step("SWITCH")
    migrated.cluster.object.kill()
    shutil.rmtree(os.path.join(object_directory(migrated.cluster), "cold"))
    migrated.cluster.object.start()
    assert migrated.get().phase == admin.MIGRATION_PHASE_SWITCHED
    migrated.check()


def test_a_migration_can_be_given_up_and_begun_anew(migrated, tmp_path):
    migrated.store("object", [100000] * 20)
    migrated.cluster.object.stop()
    migrated.cluster.object.command += ["--migration-bytes-per-second", "100KiB"]
    migrated.cluster.object.start()
    migrated.start("file://" + str(tmp_path / "one"))
    wait_for(lambda: len(objects_in(tmp_path / "one")) >= 1, "an object to be copied")
    migrated.step("CANCEL")
    assert failure_of(migrated.step, "CANCEL").reason == "MIGRATION_NOT_FOUND"
    copied = len(objects_in(tmp_path / "one"))
    migrated.store("after", [10])
    assert len(objects_in(tmp_path / "one")) == copied < 20
    migrated.cluster.object.stop()
    migrated.cluster.object.command[-1] = "0"
    migrated.cluster.object.start()
    migrated.start("file://" + str(tmp_path / "two"))
    migrated.wait_copied()
    assert len(objects_in(tmp_path / "two")) == 21
    migrated.check()


def test_writes_and_reads_go_on_all_the_while(migrated, tmp_path):
    migrated.store("before", [70000] * 30)
    stop = threading.Event()
    failures = []

    def write(number):
        client = Client(migrated.cluster)
        count = 0
        while not stop.is_set():
            key, content = f"writer-{number}/{count}", os.urandom(count * 4099 % 200000)
            try:
                client.upload("cold", key, content)
                assert client.read("cold", key)[0] == content
                assert client.read("cold", "before/7")[0] == migrated.contents["before/7"]
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)
                return
            migrated.contents[key] = content
            count += 1

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    try:
        migrated.start("file://" + str(tmp_path / "new"))
        migrated.wait_copied()
        for step in ("SWITCH", "BACK", "SWITCH", "FINISH"):
            migrated.step(step)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert not failures, failures
    for key in migrated.contents:
        migrated.client.wait_cold("cold", key)
    shutil.rmtree(os.path.join(object_directory(migrated.cluster), "cold"))
    migrated.check()


def test_a_damaged_object_is_told_of_and_copied_once_it_is_mended(migrated, tmp_path):
    migrated.client.create_bucket("both", HOT_AND_COLD, cold_after=0)
    content = os.urandom(100000)
    migrated.client.upload("both", "damaged", content)
    migrated.client.wait_tiers("both", "damaged", {"HOT", "COLD"})
    flip_cold(migrated.cluster, content[50000:][:64])
    migrated.store("good")
    migrated.start("file://" + str(tmp_path / "new"))
    wait_for(lambda: migrated.get().failed_objects == 1, "the damaged object to be told of")
    migration = migrated.get()
    assert migration.phase == admin.MIGRATION_PHASE_COPYING
    assert migration.error_reason == "OBJECT_CORRUPT" and "damaged" in migration.error_message
    assert failure_of(migrated.step, "SWITCH").reason == "MIGRATION_PHASE"
    migrated.client.object_admin.StartScrub(admin.StartScrubRequest(repair=True), timeout=TIMEOUT)
    migrated.wait_copied()
    assert content in objects_in(tmp_path / "new").values()


@pytest.mark.skipif(VERSITYGW is None, reason=MISSING)
@pytest.mark.parametrize("way", ["to S3", "from S3"])
def test_between_a_directory_and_s3(way, tmp_path):
    server = S3Server()
    server.process.start()
    try:
        for cluster in run_cluster(object_flags=server.object_flags() if way == "from S3" else ()):
            migrated = Migrated(cluster)
            migrated.store("before", [0, 1, 100000, 17 << 20])
            target = "file://" + str(tmp_path / "new") if way == "from S3" else server.target()
            migrated.start(target)
            migrated.wait_copied()
            migrated.step("SWITCH")
            migrated.step("FINISH")
            if way == "from S3":
                server.process.kill()
            else:
                shutil.rmtree(os.path.join(object_directory(cluster), "cold"))
            migrated.store("after", [5])
            migrated.check()
            if way == "to S3":
                assert server.uploads() == 0
    finally:
        server.end()


def test_the_command_line(migrated, tmp_path):
    migrated.store()
    assert migrated.waybill("status")[0] == 3
    status, text = migrated.waybill("start", "file://" + str(tmp_path / "new"))
    assert status == 0 and text.startswith("replica-1: COPIED to file://"), text
    assert "copied   4 objects, 1.1 MiB" in text
    assert migrated.waybill("start", "file:///else")[0] == 4
    status, text = migrated.waybill("switch", "--json")
    assert status == 0 and json.loads(text)["phase"] == "MIGRATION_PHASE_SWITCHED"
    assert migrated.waybill("cancel")[0] == 4
    assert "COPIED" in migrated.waybill("back")[1]
    assert migrated.waybill("cancel") == (0, "")
    assert migrated.waybill("start", "--join", "--detach", "file://" + str(tmp_path / "new"))[0] == 0
    status, text = migrated.waybill("status", "--wait")
    assert status == 0 and "COPIED" in text
    assert "SWITCHED" in migrated.waybill("switch")[1]
    assert "FINISHED" in migrated.waybill("finish")[1]
    migrated.check()


@pytest.mark.parametrize("target", [
    "", "x", "file://", "file:///", "file:relative", "http://host/bucket", "s3+https://host", "s3+https://host/",
    "s3+https://user:pw@host/bucket", "s3+https://host/bucket?x=1", "s3+https://host/bucket?path_style=maybe",
    "s3+https://host/bucket?region", "file:///a#b", "file:///" + "x" * 2048,
])
def test_targets_that_are_none(cluster, client, target):
    request = admin.StartMigrationRequest(tier="TIER_COLD", target=target)
    failure = failure_of(client.object_admin.StartMigration, request, timeout=TIMEOUT)
    assert (failure.code, failure.reason, failure.field) == (
        grpc.StatusCode.INVALID_ARGUMENT, "BAD_TARGET", "target"), failure.message
    assert not os.path.exists(os.path.join(object_directory(cluster), "migration", "cold.json"))


def test_other_refusals(cluster, client, tmp_path):
    start = client.object_admin.StartMigration
    here = "file://" + os.path.join(object_directory(cluster), "cold")
    failure = failure_of(start, admin.StartMigrationRequest(tier="TIER_COLD", target=here), timeout=TIMEOUT)
    assert failure.reason == "BAD_TARGET"
    failure = failure_of(client.object_admin.GetMigration, admin.GetMigrationRequest(tier=9), timeout=TIMEOUT)
    assert (failure.reason, failure.field) == ("BAD_TIER", "tier")
    failure = failure_of(start, admin.StartMigrationRequest(target="file:///x"), timeout=TIMEOUT)
    assert (failure.reason, failure.field) == ("BAD_TIER", "tier")
    failure = failure_of(client.object_admin.ChangeMigration, admin.ChangeMigrationRequest(), timeout=TIMEOUT)
    assert (failure.reason, failure.field) == ("BAD_STEP", "step")
    (tmp_path / "file").write_text("no directory")
    failure = failure_of(start, admin.StartMigrationRequest(tier="TIER_COLD", target=f"file://{tmp_path}/file"),
                         timeout=TIMEOUT)
    assert failure.code == grpc.StatusCode.INTERNAL and "file" in failure.message
