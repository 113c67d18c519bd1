"""The hot volumes of a replica move to another directory while reads and writes go on; `waybill migrate --hot`."""

import os
import subprocess
import threading

import grpc
import pytest

from client import HOT, TIMEOUT, Client, admin, again, failure_of
from cluster import BUILD, wait_for
from conftest_shared import run_cluster
from damage import flip_hot

WAYBILL = os.path.join(BUILD, "cli", "waybill")
FLAGS = ["--volume-bytes", "1MiB", "--compaction-interval", "100ms"]


def volumes_in(directory):
    return {name for name in os.listdir(directory) if name.endswith((".wbv", ".dead"))} if os.path.isdir(directory) else set()


class Moving:
    def __init__(self, cluster):
        self.cluster = cluster
        self.client = Client(cluster)
        self.old = os.path.join(cluster.directory, "object", "volumes")
        self.new = os.path.join(cluster.directory, "other-disk", "volumes")
        self.contents = {}
        self.client.create_bucket("hot", HOT)

    def store(self, prefix, sizes=(0, 1, 70000, 300000, (1 << 20) + 17)):
        for number, size in enumerate(sizes):
            key = f"{prefix}/{number}"
            self.contents[key] = os.urandom(size)
            self.client.upload("hot", key, self.contents[key])
        for number in range(len(sizes)):
            self.client.wait_state("hot", f"{prefix}/{number}", "STORED")

    def check(self):
        for key, content in self.contents.items():
            assert again(self.client.read, "hot", key)[0] == content, key

    def start(self, target=None, **fields):
        request = admin.StartMigrationRequest(tier="TIER_HOT", target=target or "file://" + self.new, **fields)
        return again(self.client.object_admin.StartMigration, request, TIMEOUT)

    def get(self):
        request = admin.GetMigrationRequest(tier="TIER_HOT")
        return again(self.client.object_admin.GetMigration, request, TIMEOUT).migration

    def phase(self):
        try:
            return admin.MigrationPhase.Name(self.get().phase)[len("MIGRATION_PHASE_"):]
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
            return "NONE"

    def wait_phase(self, phase):
        wait_for(lambda: self.phase() == phase, f"the migration to be {phase}", 60)

    def step(self, name):
        request = admin.ChangeMigrationRequest(step="MIGRATION_STEP_" + name, tier="TIER_HOT")
        answer = again(self.client.object_admin.ChangeMigration, request, TIMEOUT)
        return admin.MigrationPhase.Name(answer.migration.phase)[len("MIGRATION_PHASE_"):]

    def restart(self, *flags):
        assert self.cluster.object.stop() == 0
        self.cluster.object.command += flags
        self.cluster.object.start()

    def waybill(self, *arguments):
        done = subprocess.run([WAYBILL, *arguments], env=self.cluster.environment(), capture_output=True, text=True,
                              timeout=TIMEOUT * 4)
        assert "Sanitizer" not in done.stderr, done.stderr
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def moving():
    for cluster in run_cluster(allowed_errors=("hot_object_damaged", "hot_volume_quarantined", "corrupt_copy",
                                               "copy_not_repaired", "start_failed"), object_flags=FLAGS):
        yield Moving(cluster)


def test_the_whole_way_to_another_directory(moving):
    moving.store("before")
    for number in (0, 2):
        moving.contents[f"before/{number}"] = b"another version"
        moving.client.put("hot", f"before/{number}", b"another version")
        moving.client.wait_state("hot", f"before/{number}", "STORED")
    assert len(volumes_in(moving.old)) >= 2
    moving.start()
    moving.store("while-moving")
    moving.check()
    moving.wait_phase("COPIED")
    assert volumes_in(moving.old) == set() and len(volumes_in(moving.new)) >= 2
    migration = moving.get()
    assert (migration.target, migration.remaining_objects, migration.failed_objects) == ("file://" + moving.new, 0, 0)
    assert migration.copied_objects >= 4
    moving.store("copied")
    moving.restart()
    assert moving.phase() == "COPIED"
    moving.check()
    assert moving.step("FINISH") == "FINISHED"
    moving.store("finished")
    moving.restart()
    moving.check()
    assert moving.phase() == "FINISHED"
    os.rename(moving.old, moving.old + ".gone")
    moving.restart("--hot-dir", moving.new)
    assert moving.phase() == "NONE"
    assert not os.path.exists(moving.old)
    moving.store("after")
    moving.check()
    assert moving.waybill("verify")[0] == 0


def test_there_is_a_way_back(moving):
    moving.store("before")
    moving.start()
    moving.store("while-moving")
    moving.wait_phase("COPIED")
    moving.store("copied")
    assert moving.step("CANCEL") == "RETURNING"
    moving.store("returning")
    moving.wait_phase("NONE")
    assert volumes_in(moving.new) == set() and len(volumes_in(moving.old)) >= 2
    moving.check()
    # And once more, to the same place.
    moving.start()
    moving.wait_phase("COPIED")
    assert moving.step("FINISH") == "FINISHED"
    moving.check()
    assert moving.waybill("verify")[0] == 0


def test_reads_and_writes_go_on_all_the_time(moving):
    moving.store("first")
    stop, failures = threading.Event(), []

    def work(call):
        try:
            while not stop.is_set():
                call()
        except Exception as error:  # seen below
            failures.append(error)

    written = {}

    def write():
        key = f"written/{len(written)}"
        content = os.urandom(len(written) * 4099 % 200000)
        moving.client.upload("hot", key, content)
        written[key] = content

    threads = [threading.Thread(target=work, args=(call,)) for call in (write, moving.check)]
    for thread in threads:
        thread.start()
    try:
        moving.start()
        moving.wait_phase("COPIED")
        moving.step("CANCEL")
        moving.wait_phase("NONE")
        moving.start()
        moving.wait_phase("COPIED")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures
    for key, content in written.items():
        moving.client.wait_state("hot", key, "STORED")
        assert moving.client.read("hot", key)[0] == content, key


def test_a_damaged_object_stays_where_it_is_and_holds_it_up(moving):
    moving.store("good")
    content = os.urandom(200000)
    moving.client.upload("hot", "bad", content)
    moving.client.wait_state("hot", "bad", "STORED")
    moving.cluster.object.stop()
    flip_hot(moving.cluster, content)
    moving.cluster.object.start()
    moving.start()
    wait_for(lambda: moving.get().failed_objects == 1 and moving.get().remaining_objects == 1,
             "all but the damaged object to be moved", 60)
    migration = moving.get()
    assert (migration.phase, migration.error_reason) == (admin.MIGRATION_PHASE_COPYING, "OBJECT_CORRUPT")
    assert len([name for name in volumes_in(moving.old) if name.endswith(".wbv")]) == 1
    moving.check()


def test_what_is_no_step_and_no_target_is_refused(moving):
    client = moving.client
    assert failure_of(moving.get).reason == "MIGRATION_NOT_FOUND"
    for target, reason in (("file:relative", "BAD_TARGET"), ("s3+https://host/bucket", "BAD_TARGET"),
                           ("file://" + moving.old, "BAD_TARGET"), ("file:///", "BAD_TARGET")):
        failure = failure_of(moving.start, target)
        assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason), target
    assert failure_of(moving.start, join_only=True).field == "join_only"
    os.makedirs(moving.new)
    with open(os.path.join(moving.new, "volume-0000000000000001.wbv"), "wb"):
        pass
    failure = failure_of(moving.start)
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TARGET_NOT_EMPTY")
    os.remove(os.path.join(moving.new, "volume-0000000000000001.wbv"))
    moving.store("object")
    status, text = moving.waybill("migrate", "start", "--hot", "file://" + moving.new)
    assert status == 0 and "COPIED" in text and "to move  0 objects" in text, text
    assert failure_of(moving.start).reason == "MIGRATION_RUNNING"
    failure = failure_of(moving.step, "SWITCH")
    assert (failure.reason, failure.metadata["phase"]) == ("MIGRATION_PHASE", "COPIED")
    # The cold store is moved by itself.
    failure = failure_of(client.object_admin.GetMigration, admin.GetMigrationRequest(), timeout=TIMEOUT)
    assert failure.reason == "MIGRATION_NOT_FOUND"
    status, text = moving.waybill("migrate", "status", "--hot", "--json")
    assert status == 0 and "TIER_HOT" in text, text
    status, text = moving.waybill("migrate", "finish", "--hot")
    assert status == 0 and "FINISHED" in text, text
    moving.check()
