"""A snapshot taken while writers go on, restored, and a Waybill started on it."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import uuid

import grpc
import pytest

from client import COLD, TIMEOUT, Client, admin, admin_grpc, failure_of, objects, tiers_of
from cluster import BUILD, PATIENCE, Cluster, wait_for
from conftest_shared import check_logs
from jetstream import JetStream, last_revision

WAYBILL = os.path.join(BUILD, "cli", "waybill")
BIG = 3 << 20


def run_waybill(*arguments, environment=None, **options):
    options.setdefault("timeout", 120 * PATIENCE)
    return subprocess.run([WAYBILL, *map(str, arguments)], env=environment, capture_output=True, **options)


def good(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def request_id():
    return str(uuid.uuid4())


def bulk_admin(cluster):
    return admin_grpc.AdminServiceStub(cluster.channel(cluster.bulk_port))


def set_flag(process, flag, value):
    process.command[process.command.index(flag) + 1] = str(value)


def stop_all(cluster):
    statuses = cluster.stop()
    assert all(status == 0 for status in statuses.values()), statuses
    check_logs(cluster, ("events_fenced", "start_failed"))


@pytest.fixture
def new_cluster():
    """Makes a cluster that is not started yet; all end cleanly with the test."""
    made = []

    def make(**options):
        made.append(Cluster(tempfile.mkdtemp(prefix="waybill-test-"), **options))
        return made[-1]

    try:
        yield make
        for cluster in made:
            stop_all(cluster)
    finally:
        for cluster in made:
            for process in cluster.processes:
                process.kill()
            shutil.rmtree(cluster.directory, ignore_errors=True)


class Writers:
    """Put records until they are stopped; every answer is kept."""

    def __init__(self, client, count=3):
        self.client = client
        self.answers = []
        self.failure = None
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        try:
            for turn in itertools.count():
                if self.ended.is_set():
                    return
                # Keys are written again and again, so that versions grow.
                fields = {"request_id": request_id(), "content_type": f"writer/{number}-{turn}"}
                data = os.urandom(100) if turn % 2 else None
                self.answers.append(self.client.put("snap", f"writer/{number}/{turn % 7}", data, **fields))
        except Exception as error:  # seen by the test
            self.failure = error

    def wait_more(self, count):
        """Waits for so many answers more than there are now."""
        target = len(self.answers) + count
        wait_for(lambda: self.failure or len(self.answers) >= target, "the writers to go on")
        assert self.failure is None, self.failure

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        assert self.failure is None, self.failure


def newest_images(events):
    """{(bucket, key, version): the record as of the last of these events}"""
    images = {}
    for event in events:
        if event.HasField("record"):
            images[event.record.bucket, event.record.key, event.record.version] = event.record
    return images


def check_as_of(restored, events):
    """Every version of every key is what the events say, and there is nothing else."""
    images = newest_images(events)
    latest = {}
    for bucket, key, version in images:
        latest[bucket, key] = max(version, latest.get((bucket, key), 0))
    for (bucket, key, version), image in images.items():
        record = restored.get(bucket, key, version, show_deleted=True)
        assert (record.version, record.state, record.revision) == (version, image.state, image.revision)
        assert (record.payload_id, record.crc32c, record.size, record.content_type, dict(record.attributes)) == (
            image.payload_id, image.crc32c, image.size, image.content_type, dict(image.attributes))
        assert list(record.locations) == list(image.locations)
    listed = {record.key: record.version for page in restored.list_pages("snap", show_deleted=True) for record in page}
    assert listed == {key: version for (_, key), version in latest.items()}


def fill(client):
    """One of everything; returns {key: bytes} of what is STAGED, and a request to retry."""
    retry = request_id()
    client.create_bucket("snap")
    client.put("snap", "plain", content_type="text/plain")
    first = client.put("snap", "asked-once", b"first", request_id=retry)
    for turn in range(3):
        client.put("snap", "versions", b"version %d" % turn)
    client.put("snap", "gone", b"gone")
    client.delete("snap", "gone")
    client.announce("snap", "awaited", size=5)
    for key in ("versions", "asked-once"):
        client.wait_state("snap", key, "STORED")
    client.cluster.object.stop()
    staged = {"inline": os.urandom(1000), "small": os.urandom(10), "empty": b""}
    for key, data in staged.items():
        client.put("snap", key, data)
    for number in range(8):
        staged[f"big/{number}"] = os.urandom(BIG)
        client.upload("snap", f"big/{number}", staged[f"big/{number}"])
    _, upload_id = client.announce("snap", "announced")
    staged["announced"] = os.urandom(300000)
    client.upload_announced(upload_id, staged["announced"])
    return staged, (retry, first)


def take_slowly(cluster, path, meanwhile):
    """Takes a snapshot into a file; after its first message, and before the second is read, calls
    `meanwhile`. Returns (revision, summary)."""
    answers = bulk_admin(cluster).Snapshot(admin.SnapshotRequest(), timeout=TIMEOUT * 4)
    first = next(answers)
    meanwhile()
    summary = None
    with open(path, "wb") as file:
        for answer in itertools.chain([first], answers):
            file.write(answer.data)
            summary = answer.summary if answer.HasField("summary") else None
    assert summary.size == os.path.getsize(path)
    return first.revision, summary


def test_a_snapshot_under_writes_restores_to_its_revision(own_cluster, new_cluster, tmp_path):
    client = Client(own_cluster)
    staged, (retry, first) = fill(client)
    writers = Writers(client)
    writers.wait_more(50)

    def meanwhile():
        # The snapshot waits for its reader: commits do not wait for the snapshot.
        writers.wait_more(200)
        # What is stored and released now is still in the snapshot, bytes and all.
        own_cluster.object.start()
        for key in staged:
            client.wait_state("snap", key, "STORED")
        client.put("snap", "too-late")

    revision, summary = take_slowly(own_cluster, tmp_path / "snapshot", meanwhile)
    writers.stop()
    assert revision < client.get("snap", "too-late").revision
    assert summary.lost_payloads == 0
    assert summary.payload_bytes == 8 * BIG + 300000
    # The spool held them only as long as the snapshot needed them.
    wait_for(lambda: client.status().spool_payloads == 0, "the spool to let go")
    events = client.watch(revision)
    assert [event.revision for event in events] == list(range(1, revision + 1))

    # Everything else is lost: another JetStream, another object-svc.
    other = new_cluster()
    told = good(run_waybill("restore", tmp_path / "snapshot", os.path.join(other.directory, "metadata"), "--json"))
    assert int(told["revision"]) == revision
    assert told["summary"]["size"] == str(summary.size)
    other.nats.start()
    other.metadata.start()
    restored = Client(other)
    assert restored.revision() == revision
    assert restored.watch(revision) == events
    check_as_of(restored, events)
    assert failure_of(restored.get, "snap", "too-late").reason == "RECORD_NOT_FOUND"

    # A request that was answered before the snapshot has the same answer again.
    again = restored.put("snap", "asked-once", b"first", request_id=retry)
    assert (again.version, again.revision) == (first.version, first.revision)
    assert restored.revision() == revision
    assert failure_of(restored.put, "snap", "asked-once", b"other", request_id=retry).reason == "REQUEST_ID_REUSED"

    # What was STAGED then comes to its end now.
    other.object.start()
    for key, data in staged.items():
        restored.wait_state("snap", key, "STORED")
        assert restored.read("snap", key)[0] == data, key
    record = restored.put("snap", "versions", b"version 3")
    assert record.version == 4 and record.revision > revision
    wait_for(lambda: last_revision(other.nats_port) == restored.revision(), "the events to be published")


def read_once_reachable(client, bucket, key):
    """Object-svc tries a metadata-svc that was away again, but not at once."""
    def data():
        try:
            return client.read(bucket, key)[:1]
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            return None

    return wait_for(data, "object-svc to reach metadata-svc")[0]


def test_a_stream_that_is_ahead_fences_until_it_is_deleted(own_cluster, tmp_path):
    client = Client(own_cluster)
    client.create_bucket("snap")
    client.put("snap", "before", b"before")
    client.wait_state("snap", "before", "STORED")
    client.create_bucket("moves", COLD, cold_after=4 * PATIENCE)
    client.put("moves", "away", b"from hot to cold")
    client.wait_tiers("moves", "away", {"HOT"})
    own_cluster.object.stop()
    client.upload("snap", "waiting", b"waiting" * 100000)
    snapshot = tmp_path / "snapshot"
    revision = int(good(run_waybill("snapshot", snapshot, "--json", environment=own_cluster.environment()))["revision"])
    own_cluster.object.start()
    client.wait_state("snap", "waiting", "STORED")
    client.put("snap", "before", b"after the snapshot")
    client.wait_state("snap", "before", "STORED")
    client.wait_tiers("moves", "away", {"COLD"})
    ahead = client.revision()
    wait_for(lambda: last_revision(own_cluster.nats_port) == ahead, "the events to be published")

    # The disk of the records is lost, and the snapshot takes its place.
    own_cluster.metadata.stop()
    directory = os.path.join(own_cluster.directory, "restored")
    good(run_waybill("restore", snapshot, directory, "--spool-dir", tmp_path / "spool", "--json"))
    set_flag(own_cluster.metadata, "--data-dir", directory)
    own_cluster.metadata.command += ["--spool-dir", str(tmp_path / "spool")]
    own_cluster.metadata.start()
    fenced = wait_for(
        lambda: [event for event in own_cluster.metadata.log_events() if event.get("event") == "events_fenced"],
        "the publisher to be fenced")
    assert "docs/operations/backup.md" in fenced[-1]["hint"]
    # Records can be read and written, events wait.
    assert read_once_reachable(client, "snap", "before") == b"before"
    client.put("snap", "while-fenced", b"x")
    assert last_revision(own_cluster.nats_port) == ahead

    stream = JetStream(own_cluster.nats_port)
    assert stream.request("$JS.API.STREAM.DELETE.WAYBILL_CHANGES_0")["success"]
    stream.close()
    # The stream is filled anew from the change log, and object-svc follows it.
    client.wait_state("snap", "waiting", "STORED", seconds=60)
    client.wait_state("snap", "while-fenced", "STORED", seconds=60)
    assert client.read("snap", "waiting")[0] == b"waiting" * 100000
    assert client.read("snap", "before")[0] == b"before"
    assert tiers_of(client.get("moves", "away")) == {"HOT"}
    assert client.read("moves", "away")[:2] == (b"from hot to cold", objects.READ_SOURCE_COLD)
    again = client.put("snap", "before", b"another history")
    assert again.version == 2
    client.wait_state("snap", "before", "STORED")
    assert client.read("snap", "before")[0] == b"another history"
    wait_for(lambda: last_revision(own_cluster.nats_port) == client.revision(), "the events to be published")
    assert client.revision() > revision


def test_one_snapshot_at_a_time_and_none_is_left_behind(own_cluster, tmp_path):
    client = Client(own_cluster)
    client.create_bucket("snap")
    own_cluster.object.stop()
    for number in range(6):
        client.upload("snap", f"{number}", os.urandom(BIG))
    running = bulk_admin(own_cluster).Snapshot(admin.SnapshotRequest(), timeout=TIMEOUT)
    next(running)
    failure = failure_of(bulk_admin(own_cluster).Snapshot, admin.SnapshotRequest(), timeout=TIMEOUT)
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "SNAPSHOT_RUNNING")
    assert failure.retry_seconds > 0
    # Releases are held back for it; a client that goes away ends that.
    own_cluster.object.start()
    for number in range(6):
        client.wait_state("snap", f"{number}", "STORED")
    assert client.status().spool_payloads > 0
    running.cancel()
    wait_for(lambda: client.status().spool_payloads == 0, "the spool to let go")
    told = good(run_waybill("snapshot", tmp_path / "whole", "--json", environment=own_cluster.environment()))
    assert told["summary"].get("payloads", "0") == "0"


def test_a_full_spool_does_not_wait_for_a_snapshot(new_cluster, tmp_path):
    cluster = new_cluster(metadata_flags=["--spool-max-bytes", "32MiB", "--spool-segment-bytes", "4MiB", "--bucket-share-percent", "100"]).start()
    client = Client(cluster)
    client.create_bucket("snap")
    cluster.object.stop()
    for number in range(6):
        client.upload("snap", f"old/{number}", os.urandom(BIG))
    running = bulk_admin(cluster).Snapshot(admin.SnapshotRequest(), timeout=TIMEOUT * 2)
    next(running)
    cluster.object.start()
    for number in range(6):
        client.wait_state("snap", f"old/{number}", "STORED")
    for number in range(9):
        client.upload("snap", f"new/{number}", os.urandom(BIG))
        client.wait_state("snap", f"new/{number}", "STORED")
    failure = failure_of(lambda: running)
    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "SNAPSHOT_OVERTAKEN")
    good(run_waybill("snapshot", tmp_path / "again", "--json", environment=cluster.environment()))


def small_snapshot(cluster, path):
    client = Client(cluster)
    client.create_bucket("snap")
    cluster.object.stop()
    client.put("snap", "inline", b"inline")
    client.upload("snap", "spooled", b"spooled")
    done = run_waybill("snapshot", path, environment=cluster.environment())
    assert done.returncode == 0 and b"revision" in done.stdout, done
    assert os.listdir(path.parent) == [path.name]
    return path.read_bytes()


def test_a_damaged_file_is_refused_and_nothing_is_left(own_cluster, tmp_path):
    (tmp_path / "in").mkdir()
    whole = small_snapshot(own_cluster, tmp_path / "in" / "snapshot")
    damaged = tmp_path / "damaged"
    places = sorted({*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1})

    def refuse(data, *reasons):
        damaged.write_bytes(data)
        done = run_waybill("restore", damaged, tmp_path / "target", "--json")
        told = json.loads(done.stderr)["error"]
        assert (done.returncode, told["code"]) == (6, "DATA_LOSS"), told
        assert told["reason"] in reasons and told["message"], told
        assert not (tmp_path / "target").exists()

    for at in places:
        refuse(whole[:at], "SNAPSHOT_TRUNCATED")
        refuse(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:], "SNAPSHOT_CORRUPT", "NOT_A_SNAPSHOT",
               "SNAPSHOT_TRUNCATED")
    refuse(whole + b"x", "SNAPSHOT_CORRUPT")
    refuse(b"PK\x03\x04" + b"foreign" * 100, "NOT_A_SNAPSHOT")

    # From standard input to standard output and back; and only into what is empty.
    piped = run_waybill("snapshot", "-", environment=own_cluster.environment()).stdout
    assert good(run_waybill("restore", "-", tmp_path / "target", "--json", input=piped))["summary"]["payloads"] == "1"
    assert sorted(os.listdir(tmp_path / "target")) == ["records", "spool"]
    before = sorted(os.listdir(tmp_path / "target" / "records"))
    done = run_waybill("restore", tmp_path / "in" / "snapshot", tmp_path / "target", "--json")
    assert (done.returncode, json.loads(done.stderr)["error"]["reason"]) == (4, "DIRECTORY_NOT_EMPTY")
    assert sorted(os.listdir(tmp_path / "target" / "records")) == before


def start_restore(whole, target):
    """A restore that has read half of the file and waits for the rest."""
    restore = subprocess.Popen([WAYBILL, "restore", "-", str(target)], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    restore.stdin.write(whole[:len(whole) // 2])
    restore.stdin.flush()
    wait_for((target / "restoring" / "records" / "CURRENT").exists, "the restore to begin")
    return restore


def test_a_restore_that_is_ended_leaves_nothing_to_start_on(new_cluster, tmp_path):
    cluster = new_cluster().start()
    (tmp_path / "in").mkdir()
    whole = small_snapshot(cluster, tmp_path / "in" / "snapshot")
    target = tmp_path / "target"
    with start_restore(whole, target) as restore:
        restore.send_signal(signal.SIGINT)
        assert restore.wait(timeout=60 * PATIENCE) == 130
    assert not target.exists()

    with start_restore(whole, target) as restore:
        restore.kill()
    assert sorted(os.listdir(target)) == ["restoring", "spool"]
    again = run_waybill("restore", "-", target, "--json", input=whole)
    assert (again.returncode, json.loads(again.stderr)["error"]["reason"]) == (4, "RESTORE_UNFINISHED")
    cluster.metadata.stop()
    set_flag(cluster.metadata, "--data-dir", target)
    cluster.metadata.start(wait=False)
    assert cluster.metadata.process.wait(timeout=60 * PATIENCE) != 0
    assert "RESTORE_UNFINISHED" in cluster.metadata.log()
    assert not (target / "records").exists()
    shutil.rmtree(target / "restoring")
    shutil.rmtree(target / "spool" / "restoring")
    good(run_waybill("restore", "-", target, "--json", input=whole))
    cluster.metadata.start()
    assert Client(cluster).get("snap", "spooled").size == len(b"spooled")


@pytest.mark.parametrize("ended_by, status", [("SIGINT", 130), ("the service", 5)])
def test_a_snapshot_that_is_ended_leaves_no_file(new_cluster, tmp_path, ended_by, status):
    cluster = new_cluster(metadata_flags=["--snapshot-bytes-per-second", "64KiB"]).start()
    client = Client(cluster)
    client.create_bucket("snap")
    for number in range(20):
        client.put("snap", f"{number}", os.urandom(60000))
    with subprocess.Popen([WAYBILL, "snapshot", str(tmp_path / "backup")], env=cluster.environment(),
                          stderr=subprocess.PIPE) as snapshot:
        wait_for(lambda: any(path.stat().st_size > 0 for path in tmp_path.iterdir()), "the first bytes")
        assert [path.name[:8] for path in tmp_path.iterdir()] == [".backup."]
        if ended_by == "SIGINT":
            snapshot.send_signal(signal.SIGINT)
        else:
            cluster.metadata.kill()
        assert snapshot.wait(timeout=60 * PATIENCE) == status
    assert list(tmp_path.iterdir()) == []


def test_a_failed_snapshot_leaves_the_file_that_was_there(own_cluster, tmp_path):
    target = tmp_path / "backup"
    target.write_bytes(b"yesterday's")
    environment = dict(own_cluster.environment(), WAYBILL_BULK="127.0.0.1:1")
    assert run_waybill("snapshot", target, environment=environment).returncode == 5
    assert target.read_bytes() == b"yesterday's"
    assert os.listdir(tmp_path) == ["backup"]
