"""Lost metadata, made anew of the event stream and of what the objects say of themselves."""

import os
import re
import shutil
import subprocess

import grpc
import pytest


from client import COLD, HOT, HOT_AND_COLD, TIMEOUT, Client, failure_of, metadata, record_messages, tiers_of
from cluster import BUILD, PATIENCE, wait_for
from conftest_shared import run_cluster
from jetstream import JetStream

WAYBILL = os.path.join(BUILD, "cli", "waybill")
BIG = (2 << 20) + 4099
STREAM = "WAYBILL_CHANGES_0"
# What a consumer of the old events has to be told, and what an object-svc says while metadata-svc is away.
EXPECTED = ("events_lost",)
SKIPPED = 1000000


class Lost:
    def __init__(self, cluster):
        self.cluster = cluster
        self.client = Client(cluster)
        self.data_dir = os.path.join(cluster.directory, "metadata")
        self.contents = {}

    # ---- before ----

    def put(self, bucket, key, content, **fields):
        record = (self.client.put(bucket, key, content, **fields) if len(content) <= 65536
                  else self.client.upload(bucket, key, content, **fields))
        self.contents[bucket, key, record.version] = content
        return record

    def fill(self):
        """A mix of everything, stored and at rest."""
        client = self.client
        client.create_bucket("hot", HOT, inline_max_bytes=1000)
        client.create_bucket("both", HOT_AND_COLD, cold_after=0)
        client.create_bucket("cold", COLD, cold_after=0)
        client.create_bucket("empty", HOT)
        for bucket in ("hot", "both", "cold"):
            self.put(bucket, "inline/\u00e4 %40@", os.urandom(100), content_type="text/plain",
                     attributes=self.attributes())
            self.put(bucket, "big", os.urandom(BIG))
            self.put(bucket, "none", b"")
            for turn in range(3):
                self.put(bucket, "versions", b"version %d" % turn, content_type=f"turn/{turn}")
            client.wait_state(bucket, "versions", "STORED")
        # Not every version of a key that is written at once is stored before the next one.
        for bucket, key, version in self.contents:
            client.wait_state(bucket, key, "STORED", version)
        self.wait_tiers()
        client.metadata.UpdateRecord(metadata.UpdateRecordRequest(
            bucket="hot", key="big", content_type="changed/later"), timeout=TIMEOUT)
        client.put("hot", "no-bytes", content_type="only/metadata")
        self.put("both", "gone", b"deleted")
        client.wait_tiers("both", "gone", {"HOT", "COLD"})
        client.delete("both", "gone")

    def attributes(self):
        kinds = {"text": {"string_value": "\u20ac \"quoted\""}, "whole": {"int_value": -2 ** 63},
                 "real": {"double_value": 0.1}, "huge": {"double_value": float("inf")}, "no": {"bool_value": False},
                 "raw": {"bytes_value": b"\x00\x01\xff"}}
        values = {name: record_messages.AttributeValue(**kind) for name, kind in kinds.items()}
        values["when"] = record_messages.AttributeValue()
        values["when"].timestamp_value.FromNanoseconds(1700000000123456789)
        return values

    def wait_tiers(self):
        wanted = {"hot": {"HOT"}, "both": {"HOT", "COLD"}, "cold": {"COLD"}}
        for bucket, key, version in self.contents:
            wait_for(lambda: tiers_of(self.client.get(bucket, key, version)) == wanted[bucket],  # noqa: B023
                     f"{bucket}/{key} to be where it belongs")

    def versions(self):
        """{(bucket, key, version): record} of all that there is."""
        found = {}
        buckets = self.client.metadata.ListBuckets(metadata.ListBucketsRequest(), timeout=TIMEOUT).buckets
        for bucket in buckets:
            for page in self.client.list_pages(bucket.name, show_deleted=True):
                for head in page:
                    answer = self.client.metadata.ListRecordVersions(metadata.ListRecordVersionsRequest(
                        bucket=bucket.name, key=head.key, page_size=100), timeout=TIMEOUT)
                    found.update(((bucket.name, head.key, one.version), one) for one in answer.records)
        return found

    def buckets(self):
        buckets = self.client.metadata.ListBuckets(metadata.ListBucketsRequest(), timeout=TIMEOUT).buckets
        return {bucket.name: bucket for bucket in buckets}

    # ---- the loss, and the way back ----

    def lose_metadata(self):
        self.revision = self.client.revision()
        wait_for(lambda: self.cluster.metric(self.cluster.metadata_admin_port, "waybill_published_revision")
                 == self.revision, "everything to be published")
        self.cluster.metadata.kill()
        shutil.rmtree(self.data_dir)

    def rebuild(self, *flags, replicas=None):
        ports = self.cluster.object_ports if replicas is None else replicas
        done = subprocess.run(
            [*self.cluster.metadata.command, "--rebuild", "--rebuild-from",
             ",".join(f"127.0.0.1:{port}" for port in ports), *flags],
            capture_output=True, text=True, timeout=60 * PATIENCE)
        assert "Sanitizer" not in done.stderr and "runtime error:" not in done.stderr, done.stderr
        return done

    def come_back(self, *flags):
        done = self.rebuild(*flags)
        assert done.returncode == 0, done.stdout + done.stderr
        self.start_metadata()
        return done.stdout

    def start_metadata(self):
        """And connections that do not know of the one before."""
        self.cluster.metadata.start()
        self.cluster.wait_peers()
        self.client = Client(self.cluster)

    def read(self, bucket, key, version):
        """The bytes, or why there are none. Until the replicas have registered again they do not know each other."""
        def answer():
            try:
                return [self.client.read(bucket, key, version=version)[0]]
            except grpc.RpcError as error:
                return None if error.code() == grpc.StatusCode.UNAVAILABLE else [error.code()]

        # In a list, since no bytes are an answer, too.
        return wait_for(answer, f"{bucket}/{key} to be read")[0]

    def check_bytes(self, but=()):
        for (bucket, key, version), content in self.contents.items():
            if (bucket, key, version) not in but:
                assert self.read(bucket, key, version) == content, (bucket, key, version)

    def verify(self):
        """Every object is what a record says, and the other way round."""
        for number, port in enumerate(self.cluster.object_ports):
            environment = dict(self.cluster.environment(), WAYBILL_OBJECT=f"127.0.0.1:{port}")
            done = subprocess.run([WAYBILL, "verify"], env=environment, capture_output=True, text=True,
                                  timeout=60 * PATIENCE)
            assert done.returncode == 0, (number, done.stdout, done.stderr)

    def check_goes_on(self):
        """Commits, events and object path work, above all that was."""
        assert self.client.revision() > self.revision + SKIPPED / 2
        record = self.put("hot", "versions", b"after all")
        assert record.revision > self.revision + SKIPPED / 2
        self.client.wait_state("hot", "versions", "STORED")
        return record


@pytest.fixture
def lost():
    for cluster in run_cluster(allowed_errors=EXPECTED, replicas=2):
        # The spool has a disk of its own, as in production.
        set_spool(cluster)
        one = Lost(cluster)
        one.fill()
        yield one


def set_spool(cluster):
    cluster.metadata.stop()
    cluster.metadata.command += ["--spool-dir", os.path.join(cluster.directory, "spool")]
    cluster.metadata.start()


def places(record):
    return {(place.tier, place.replica) for place in record.locations}


def essence(record):
    """What a version is, whatever became of its revision."""
    return (record.version, record.state, record.serving_version, record.content_type, dict(record.attributes),
            record.size, record.crc32c, record.payload_id, record.payload_version, record.uid,
            record.create_time.ToMicroseconds(), record.update_time.ToMicroseconds(), places(record))


def stage_without_storing(lost):
    """Payloads that wait: one in the spool, one inline, one that a producer is to bring."""
    for process in lost.cluster.objects:
        process.stop()
    lost.put("hot", "staged", os.urandom(BIG))
    lost.client.put("hot", "inline-staged", b"lies in the record store")
    upload_id = lost.client.announce("hot", "announced")[1]
    return upload_id


def test_with_the_event_stream_all_is_as_it_was(lost):
    upload_id = stage_without_storing(lost)
    before, buckets = lost.versions(), lost.buckets()
    lost.lose_metadata()
    for process in lost.cluster.objects:
        process.start()
    told = lost.come_back()
    assert "1 versions have FAILED" in told and "hot/inline-staged" in told, told
    assert "payloads: 1 wait in the spool, 1 are awaited" in told, told
    assert "default policy" not in told and "known by their objects" not in told, told
    lost.client.wait_state("hot", "staged", "STORED")
    after = lost.versions()
    assert after.keys() == before.keys()
    changed = {"staged", "inline-staged"}
    for name, record in before.items():
        if name[1] not in changed:
            assert essence(after[name]) == essence(record), name
            assert after[name].revision == record.revision, name
    failed = after["hot", "inline-staged", 1]
    assert (failed.state, failed.serving_version) == (record_messages.RECORD_STATE_FAILED, 0)
    for name, bucket in lost.buckets().items():
        bucket.revision = buckets[name].revision
        assert bucket == buckets[name], name
    lost.client.upload_announced(upload_id, b"brought later")
    lost.client.wait_state("hot", "announced", "STORED")
    lost.check_bytes()
    lost.verify()
    assert lost.check_goes_on().version == 4
    assert failure_of(lost.client.get, "both", "gone").code == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("what", ["wiped", "purged"])
def test_without_its_events_what_the_objects_tell_is_there(lost, what):
    before = lost.versions()
    lost.lose_metadata()
    if what == "wiped":
        lost.cluster.nats.kill()
        shutil.rmtree(lost.cluster.nats_directory)
        lost.cluster.nats.start()
    else:
        stream = JetStream(lost.cluster.nats_port)
        last = stream.info(STREAM)["state"]["last_seq"]
        # All but the deletion, and the tier reports before it.
        stream.request(f"$JS.API.STREAM.PURGE.{STREAM}", {"seq": last})
        stream.close()
    told = lost.come_back()
    assert re.search(r"\d+ versions are known by their objects alone", told), told
    assert "buckets have the default policy" in told, told
    after = lost.versions()
    brought = {name: record for name, record in before.items() if record.payload_version == record.version}
    tombstones = {name for name in before if what == "purged" and name[1] == "gone"}
    assert after.keys() == brought.keys() | tombstones
    for name, record in brought.items():
        if name[1] != "gone":
            record.serving_version = after[name].serving_version
            assert essence(after[name]) == essence(record), name
    gone = after["both", "gone", 2 if what == "purged" else 1]
    assert gone.state == (record_messages.RECORD_STATE_DELETED if what == "purged"
                          else record_messages.RECORD_STATE_STORED)
    lost.check_bytes()
    lost.verify()
    assert lost.check_goes_on().version == 4
    # A key of which nothing is known gets no version that it may have had.
    assert lost.client.put("hot", "no-bytes").version > 3


def test_a_lost_disk_of_a_replica_is_told_of(lost):
    lost.lose_metadata()
    victim = lost.cluster.objects[1]
    victim.stop()
    homes = {}
    shutil.rmtree(os.path.join(lost.cluster.directory, "object-2"))
    victim.start()
    told = lost.come_back()
    after = lost.versions()
    for name, record in after.items():
        homes.setdefault(name[0], set()).update(replica for tier, replica in places(record) if replica)
    # What was hot there alone is missing, and stays known; what has a cold copy is read from there.
    missing = {name for name, record in after.items()
               if record.state == record_messages.RECORD_STATE_STORED and places(record) == {(1, "replica-2")}}
    found = re.search(r"(\d+) objects are missing", told)
    payloads = {after[name].payload_id for name in missing}
    assert int(found.group(1) if found else 0) == len(payloads), told
    lost.check_bytes(but=missing)
    for bucket, key, version in missing:
        assert lost.read(bucket, key, version) == grpc.StatusCode.DATA_LOSS, (bucket, key, version)
    assert all(name[0] == "hot" for name in missing)


def test_what_cannot_be_rebuilt_changes_nothing(lost):
    done = lost.rebuild()
    assert done.returncode == 1 and "DIRECTORY_NOT_EMPTY" in done.stderr, done.stderr
    lost.lose_metadata()
    lost.cluster.objects[1].stop()
    done = lost.rebuild()
    assert done.returncode == 1 and "UNAVAILABLE" not in done.stdout, done.stderr
    assert f"127.0.0.1:{lost.cluster.object_ports[1]}" in done.stderr, done.stderr
    assert not os.path.exists(lost.data_dir)
    done = lost.rebuild(replicas=[lost.cluster.object_ports[0]] * 2)
    assert done.returncode == 1 and "each replica once" in done.stderr, done.stderr
    lost.cluster.nats.kill()
    done = lost.rebuild()
    assert done.returncode == 1 and "EVENT_STREAM_FAILED" in done.stderr, done.stderr
    done = lost.rebuild("--rebuild-events", "ignored", replicas=[])
    assert done.returncode == 1 and "NOTHING_TO_REBUILD" in done.stderr, done.stderr
    lost.cluster.objects[1].start()
    done = lost.rebuild("--rebuild-events", "ignored")
    assert done.returncode == 0 and "event stream: not asked" in done.stdout, done.stderr
    lost.cluster.nats.start()
    lost.start_metadata()
    lost.check_bytes()
