"""Scrubs: objects held to their records and records to their objects; `waybill verify`."""

import json
import os
import shutil
import subprocess
import threading

import grpc
import pytest

from client import COLD, HOT, HOT_AND_COLD, TIMEOUT, Client, admin, failure_of, objects, record_messages
from cluster import BUILD, wait_for
from conftest_shared import run_cluster
from damage import cold_file, flip_cold, flip_hot, object_directory

SIZE = (1 << 20) + 4099
EXPECTED = ("corrupt_copy", "copy_unreadable", "copy_not_repaired")
WAYBILL = os.path.join(BUILD, "cli", "waybill")


class Scrubbed:
    def __init__(self, cluster):
        self.cluster = cluster
        self.client = Client(cluster)

    def store(self, bucket, key, size=SIZE, tiers=None):
        content = os.urandom(size)
        self.client.upload(bucket, key, content)
        self.client.wait_tiers(bucket, key, tiers or ({"HOT", "COLD"} if bucket == "both" else {"HOT"}))
        return content

    def read(self, bucket, key):
        """Also right after a start: the connection may still be the old one."""
        def read():
            try:
                return self.client.read(bucket, key)[:2]
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.UNAVAILABLE, error
                return None

        return wait_for(read, "the object to be read")

    def start(self, **options):
        request = admin.StartScrubRequest(**options)

        def begin():
            try:
                return self.client.object_admin.StartScrub(request, timeout=TIMEOUT, wait_for_ready=True).scrub_id
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                return None

        return wait_for(begin, "a scrub to begin")

    def get(self, scrub_id="", **fields):
        request = admin.GetScrubRequest(scrub_id=scrub_id, **fields)
        return self.client.object_admin.GetScrub(request, timeout=TIMEOUT, wait_for_ready=True)

    def scrub(self, **options):
        """The end of a whole scrub."""
        scrub_id = self.start(**options)

        def over():
            answer = self.get(scrub_id)
            return answer if answer.done else None

        answer = wait_for(over, "the scrub to end", 60)
        assert answer.error_reason == "", answer
        assert answer.phase == admin.SCRUB_PHASE_DONE
        return answer

    def found(self, **options):
        return [(admin.ScrubKind.Name(one.kind)[len("SCRUB_KIND_"):],
                 record_messages.Tier.Name(one.tier)[len("TIER_"):], one.bucket, one.key, one.version,
                 admin.ScrubAction.Name(one.action)[len("SCRUB_ACTION_"):])
                for one in self.scrub(**options).findings]

    def verify(self, *arguments):
        """(exit status, standard output)"""
        done = subprocess.run([WAYBILL, "verify", *arguments], env=self.cluster.environment(), capture_output=True,
                              text=True, timeout=TIMEOUT * 4)
        assert "Sanitizer" not in done.stderr, done.stderr
        return done.returncode, done.stdout


@pytest.fixture
def scrubbed():
    for cluster in run_cluster(allowed_errors=EXPECTED):
        one = Scrubbed(cluster)
        one.client.create_bucket("both", HOT_AND_COLD, cold_after=0)
        one.client.create_bucket("hot", HOT)
        yield one


def test_good_objects_are_read_and_none_is_blamed(scrubbed):
    client = scrubbed.client
    client.create_bucket("cold", COLD, cold_after=0)
    total = 0
    for size in (0, 1, 65536, SIZE):
        scrubbed.store("hot", f"size-{size}", size)
        scrubbed.store("both", f"size-{size}", size)
        scrubbed.store("cold", f"size-{size}", size, {"COLD"})
        total += 4 * size
    client.put("hot", "no-bytes")
    client.put("hot", "size-1", b"another version")
    client.wait_state("hot", "size-1", "STORED")
    client.delete("hot", "size-0")
    answer = scrubbed.scrub()
    assert list(answer.findings) == []
    assert answer.bytes_checked == total + len(b"another version")
    assert answer.objects_checked == 2 * 17, "each object from its record, and from its store"
    assert answer.replica == "replica-1" and answer.HasField("end_time")
    assert scrubbed.scrub(bucket="cold").objects_checked == 2 * 4
    assert scrubbed.scrub(bucket="both", hot_only=True).objects_checked == 2 * 4
    assert scrubbed.verify("hot")[0] == 0


@pytest.mark.parametrize("tier", ["HOT", "COLD"])
def test_a_corrupt_copy_is_found_and_mended_when_asked(scrubbed, tier):
    content = scrubbed.store("both", "damaged")
    scrubbed.store("both", "good")
    (flip_hot if tier == "HOT" else flip_cold)(scrubbed.cluster, content[1 << 19:][:64])
    wrong = ("CORRUPT", tier, "both", "damaged", 1)
    assert scrubbed.found() == [(*wrong, "UNSPECIFIED")]
    assert scrubbed.found(bucket="hot") == []
    assert scrubbed.found(repair=True) == [(*wrong, "REPAIRED")]
    assert scrubbed.found() == []
    assert scrubbed.client.read("both", "damaged")[:2] == (content, objects.READ_SOURCE_HOT)
    port = scrubbed.cluster.object_admin_port
    assert scrubbed.cluster.metric(port, "waybill_scrub_errors_total", kind="corrupt") == 2


def test_what_has_no_other_copy_is_told_and_stays_as_it_is(scrubbed):
    content = scrubbed.store("hot", "only")
    flip_hot(scrubbed.cluster, content[1 << 19:][:64])
    assert scrubbed.found(repair=True, quarantine=True) == [("CORRUPT", "HOT", "hot", "only", 1, "FAILED")]
    failure = failure_of(scrubbed.client.read, "hot", "only")
    assert (failure.code, failure.reason) == (grpc.StatusCode.DATA_LOSS, "OBJECT_CORRUPT")
    assert len(scrubbed.client.get("hot", "only").locations) == 1


@pytest.mark.parametrize("what", ["bytes", "sidecar", "both", "sidecar damaged"])
def test_a_cold_copy_that_lost_a_part_is_written_anew(scrubbed, what):
    content = scrubbed.store("both", "lost")
    path, _ = cold_file(scrubbed.cluster, content[:64])
    if what in ("bytes", "both"):
        os.remove(path)
    if what in ("sidecar", "both"):
        os.remove(path + ".json")
    if what == "sidecar damaged":
        with open(path + ".json", "r+b") as file:
            file.truncate(20)
    found = scrubbed.found(repair=True)
    assert [one[1:] for one in found if one[-1] == "REPAIRED"] == [("COLD", "both", "lost", 1, "REPAIRED")]
    assert scrubbed.found() == []
    scrubbed.cluster.object.kill()
    shutil.rmtree(os.path.join(object_directory(scrubbed.cluster), "volumes"))
    shutil.rmtree(os.path.join(object_directory(scrubbed.cluster), "index"))
    scrubbed.cluster.object.start()
    assert scrubbed.read("both", "lost") == (content, objects.READ_SOURCE_COLD)


def test_lost_hot_volumes_are_found_and_filled_from_cold(scrubbed):
    content = scrubbed.store("both", "cold-too")
    scrubbed.store("hot", "lost")
    scrubbed.cluster.object.kill()
    shutil.rmtree(os.path.join(object_directory(scrubbed.cluster), "volumes"))
    shutil.rmtree(os.path.join(object_directory(scrubbed.cluster), "index"))
    scrubbed.cluster.object.start()
    found = scrubbed.found(repair=True)
    assert sorted(found) == [("MISSING", "HOT", "both", "cold-too", 1, "REPAIRED"),
                             ("MISSING", "HOT", "hot", "lost", 1, "FAILED")]
    assert scrubbed.read("both", "cold-too") == (content, objects.READ_SOURCE_HOT)
    assert scrubbed.found() == [("MISSING", "HOT", "hot", "lost", 1, "UNSPECIFIED")]


@pytest.mark.parametrize("tier", ["HOT", "COLD"])
def test_a_copy_that_the_record_does_not_tell_of_is_told(scrubbed, tier):
    scrubbed.store("both", "forgotten")
    record = scrubbed.client.get("both", "forgotten")
    assert scrubbed.client.report("replica-1", record, "DROPPED", tier) == "ACCEPTED"
    wrong = ("UNLISTED", tier, "both", "forgotten", 1)
    assert scrubbed.found() == [(*wrong, "UNSPECIFIED")]
    assert scrubbed.found(repair=True) == [(*wrong, "REPAIRED")]
    assert scrubbed.found() == []
    assert len(scrubbed.client.get("both", "forgotten").locations) == 2


def test_objects_that_nobody_needs_are_put_aside_when_asked(scrubbed, tmp_path):
    """Those of another Waybill: its stores get among ours."""
    contents = {}
    for other in run_cluster():
        foreign = Scrubbed(other)
        foreign.client.create_bucket("both", HOT_AND_COLD, cold_after=0)
        for key in ("a", "b/c"):
            contents[key] = foreign.store("both", key)
        other.stop()
        # Without its notes, by which a start looks after what it stored last.
        shutil.copytree(object_directory(other), tmp_path / "object", ignore=shutil.ignore_patterns("ingest-notes"))
    cluster = scrubbed.cluster
    assert cluster.object.stop() == 0
    shutil.rmtree(object_directory(cluster))
    shutil.copytree(tmp_path / "object", object_directory(cluster))
    cluster.object.start()
    wrong = [("ORPHANED", tier, "both", key, 1) for tier in ("COLD", "HOT") for key in ("a", "b/c")]
    assert sorted(scrubbed.found(repair=True)) == [(*one, "UNSPECIFIED") for one in wrong]
    assert sorted(scrubbed.found(quarantine=True)) == [(*one, "QUARANTINED") for one in wrong]
    assert scrubbed.found() == []
    for key, content in contents.items():
        with open(os.path.join(object_directory(cluster), "quarantine", "both", key, "@1"), "rb") as file:
            assert file.read() == content
    assert not any(name.startswith("@") for _, _, names in os.walk(os.path.join(object_directory(cluster), "cold"))
                   for name in names)


def test_nothing_is_blamed_while_work_goes_on(scrubbed):
    client = scrubbed.client
    client.create_bucket("cold", COLD, cold_after=0)
    scrubbed.store("hot", "first", 100)
    stop = threading.Event()
    written = []

    def write():
        while not stop.is_set():
            number = len(written)
            for bucket in ("both", "hot", "cold"):
                client.upload(bucket, f"key-{number % 7}", os.urandom(number * 977 % 70000))
            written.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        scrubs = 0
        while writer.is_alive() and (scrubs < 5 or len(written) <= 5):
            answer = scrubbed.scrub(repair=True, quarantine=True)
            assert list(answer.findings) == []
            assert answer.objects_checked > 0
            scrubs += 1
    finally:
        stop.set()
        writer.join()
    assert scrubs >= 5 and len(written) > 5


def test_findings_come_in_pages_and_the_last_scrubs_are_kept(scrubbed):
    for number in range(3):
        content = scrubbed.store("hot", f"key-{number}", 5000)
        flip_hot(scrubbed.cluster, content[:64])
    whole = scrubbed.scrub()
    assert len(whole.findings) == 3 and whole.corrupt == 3
    assert [one.key for one in scrubbed.get(first_finding=2).findings] == [whole.findings[2].key]
    assert list(scrubbed.get(first_finding=3).findings) == []
    ids = [whole.scrub_id] + [scrubbed.scrub(bucket="both").scrub_id for _ in range(4)]
    assert scrubbed.get().scrub_id == ids[-1]
    assert scrubbed.get(ids[1]).scrub_id == ids[1]
    failure = failure_of(scrubbed.get, ids[0])
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "SCRUB_NOT_FOUND")


def test_one_scrub_runs_at_a_time_and_a_drain_ends_it(scrubbed):
    scrubbed.store("hot", "slow", 1 << 21)
    scrub_id = scrubbed.start(bytes_per_second=1000)
    failure = failure_of(scrubbed.start)
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SCRUB_RUNNING")
    assert failure.metadata["scrub_id"] == scrub_id
    wait_for(lambda: scrubbed.get().bytes_checked > 0, "the scrub to read")
    assert not scrubbed.get().done
    assert scrubbed.cluster.object.stop() == 0


@pytest.mark.parametrize("call, fields, reason, field", [
    ("start", {"bucket": "X"}, "BAD_BUCKET_NAME", "bucket"),
    ("start", {"bytes_per_second": -1}, "BAD_SIZE", "bytes_per_second"),
    ("get", {"scrub_id": "x"}, "BAD_SCRUB_ID", "scrub_id"),
    ("get", {"first_finding": -1}, "BAD_RANGE", "first_finding"),
])
def test_refusals(client, cluster, call, fields, reason, field):
    failure = failure_of(getattr(Scrubbed(cluster), call), **fields)
    assert (failure.code, failure.reason, failure.field) == (grpc.StatusCode.INVALID_ARGUMENT, reason, field)


def test_verify_on_the_command_line(scrubbed):
    content = scrubbed.store("both", "damaged")
    status, text = scrubbed.verify()
    assert status == 0 and "0 corrupt, 0 missing, 0 orphaned, 0 unlisted" in text
    flip_hot(scrubbed.cluster, content[1 << 19:][:64])
    status, text = scrubbed.verify()
    lines = text.splitlines()
    assert status == 6 and len(lines) == 2, text
    assert lines[0].split()[:3] == ["CORRUPT", "HOT", "-"] and "both/damaged version 1: " in lines[0]
    assert lines[1].startswith("replica-1: 4 checks, ") and "1 corrupt, 0 missing" in lines[1]
    status, text = scrubbed.verify("--json", "both")
    finding, end = (json.loads(line) for line in text.splitlines())
    assert status == 6
    assert (finding["kind"], finding["key"], finding["version"]) == ("SCRUB_KIND_CORRUPT", "damaged", "1")
    assert end["corrupt"] == "1" and end["options"]["bucket"] == "both"
    status, text = scrubbed.verify("--repair", "--rate", "1GiB")
    assert status == 0 and text.split()[2] == "REPAIRED"
    assert scrubbed.verify() == (0, scrubbed.verify()[1])
    assert scrubbed.verify("--rate", "x")[0] == 2
    assert scrubbed.verify("X")[0] == 2
