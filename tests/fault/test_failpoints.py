"""Both services die at each of their failpoints, before and after every step that makes something durable: what was
acknowledged is there with the right bytes, every version is settled, the stream has every commit once and in
order, and a scrub leaves nothing over.

The names come from the programs, so a new failpoint needs work here that reaches it. WAYBILL_FAILPOINTS=3
tries only every third. WAYBILL_PASSES=5 lets a service die at one of the first five passes; WAYBILL_SEED chooses which."""

import glob
import os
import shutil
import signal
import subprocess
import time

import grpc
import pytest
from google.protobuf import duration_pb2

from client import COLD, HOT, HOT_AND_COLD, TIMEOUT, admin, metadata, objects
from cluster import wait_for
from command_line import CommandLine
from conftest_shared import run_cluster
from damage import cold_file, flip_hot
from failpoints import CALL_SECONDS, EXPECTED_ERRORS, Trials, names_of, program_of
from jetstream import JetStream
from s3_server import MISSING, VERSITYGW, S3Server

pytestmark = pytest.mark.kills

SEED = os.environ.get("WAYBILL_SEED", "failpoints")
EVERY = int(os.environ.get("WAYBILL_FAILPOINTS", "1"))
METADATA, OBJECT = "metadata-svc", "object-svc"

# Which test reaches them, by how the names begin.
COMMITS = ("commit.", "record_log.", "publish.", "spool.append.", "spool.finish.", "spool.flush.", "spool.suspend.")
SEGMENTS = ("spool.header.", "spool.recycle.", "spool.release.", "spool.seal.", "spool.shrink.")
UPKEEP = ("timers.", "snapshot.")
TRIMS = ("change_log.", "drop_list.")
REBUILD = ("rebuild.", "restore.")
INGEST = ("ingest.note.", "ingest.commit.", "ingest.report.", "ingest.ack.", "index.", "volume.create.",
          "volume.unborn.", "volume.append.", "volume.flush.", "volume.cut.")
GARBAGE = ("compaction.", "dead_list.", "drop.", "volume.delete.", "volume.seal.")
MOVES = ("tier.", "cold_directory.", "read_times.", "recall_notes.")
S3 = ("cold_s3.",)
MIGRATION = ("migration.",)
DAMAGE = ("dead_letters.", "ingest.give_up.", "repair.", "scrub.")


def of(service, group):
    return [name for name in names_of(service) if name.startswith(group)][::EVERY]


def trials(**options):
    errors = (*EXPECTED_ERRORS, *options.pop("errors", ()))
    flags = ["--ack-wait", "1s", "--tier-interval", "50ms", *options.pop("object_flags", ())]
    for cluster in run_cluster(allowed_errors=errors, object_flags=flags, **options):
        yield Trials(cluster, SEED)


def test_every_failpoint_has_its_work():
    for service, groups in ((METADATA, (COMMITS, SEGMENTS, UPKEEP, TRIMS, REBUILD)),
                            (OBJECT, (INGEST, GARBAGE, MOVES, S3, MIGRATION, DAMAGE))):
        names = names_of(service)
        assert names
        for name in names:
            assert sum(name.startswith(group) for group in groups) == 1, name
        for start in (start for group in groups for start in group):
            assert any(name.startswith(start) for name in names), f"no failpoint begins with {start}"


def test_an_unknown_failpoint_is_refused_with_those_that_there_are():
    for service in (METADATA, OBJECT):
        done = subprocess.run([program_of(service), "--failpoint", "no.such.place"], capture_output=True, text=True,
                              timeout=TIMEOUT)
        assert done.returncode == 2
        assert "no.such.place" in done.stderr and all(name in done.stderr for name in names_of(service))


# ---- metadata-svc ----


def tear_log(one):
    """The power went while the last batch was written, which nobody was told of: its end is not there."""
    path = max(glob.glob(os.path.join(one.cluster.directory, "metadata", "records", "*.log")))
    with open(path, "r+b") as log:
        end = len(log.read().rstrip(b"\0"))
        log.seek(end - 1000)
        log.write(bytes(1000))


def test_commits_and_uploads():
    for one in trials(metadata_flags=["--upload-idle-timeout", "60s"]):
        one.create_bucket("hot", HOT)
        steps = (lambda: one.write("hot", 1000), lambda: one.write("hot", 150000),
                 lambda: one.break_off("hot", 90000), one.go_on_with_uploads)
        for name in of(METADATA, COMMITS):
            if name.startswith("record_log.cut."):
                one.let_die(one.cluster.metadata, "commit.write.after", [lambda: one.write("hot", 30000)])
                tear_log(one)
            one.die(one.cluster.metadata, name, steps)
        one.check()


def test_spool_segments():
    flags = ["--spool-segment-bytes", "256KiB", "--spool-max-bytes", "1536KiB"]
    for one in trials(metadata_flags=flags):
        one.create_bucket("hot", HOT)
        for name in of(METADATA, SEGMENTS):
            # Free segments of another size are given back.
            other = ["--spool-segment-bytes", "384KiB"] if name.startswith("spool.shrink.") else []
            one.die(one.cluster.metadata, name, [lambda: one.write("hot", 70000)], flags=other)
        one.check()


def put_expiring(one, count):
    """Records that are due at once, so many that a walk over the timers takes long."""
    request = metadata.BatchPutRecordsRequest()
    for _ in range(count):
        put = request.requests.add(bucket="brief", key=one.key())
        put.expire_time.FromNanoseconds(time.time_ns() + 200_000_000)
    one.client.metadata.BatchPutRecords(request, timeout=CALL_SECONDS)


def take_snapshot(one, path):
    """One that does not come to its end leaves no file."""
    one.client.status()  # the command has more patience with a service that is still starting
    done = CommandLine(one.cluster)("snapshot", path)
    assert (done.returncode == 0) == os.path.exists(path), done.stderr
    if done.returncode == 0:
        os.unlink(path)


def test_upkeep(tmp_path):
    for one in trials():
        one.create_bucket("hot", HOT)
        one.create_bucket("brief", HOT)
        for name in of(METADATA, UPKEEP):
            work = (lambda: take_snapshot(one, str(tmp_path / "snapshot")),
                    lambda: put_expiring(one, 400))[name.startswith("timers.")]
            one.die(one.cluster.metadata, name, [lambda: one.write("hot", 40000), work])
        one.check()


def test_trims():
    """Of what is older than a second; looked for every five."""
    flags = ["--change-log-retention", "1s", "--request-id-retention", "1s", "--object-drop-delay", "0s",
             "--object-drop-retention", "1s"]
    for one in trials(metadata_flags=flags, object_flags=["--tier-interval", "1h"]):
        one.create_bucket("hot", HOT, max_versions=1)
        for name in of(METADATA, TRIMS):
            for _ in range(3):
                one.write("hot", 1000, key="again")
                one.client.wait_state("hot", "again", "STORED")
            one.die(one.cluster.metadata, name, [lambda: one.write("hot", 1000), lambda: time.sleep(0.1)])
        # The replica does not come for what it is to drop, and is no longer told of it.
        wait_for(lambda: one.at_rest(), "the drops to be forgotten")
        assert {finding.kind for finding in one.scrub(quarantine=True)} == {admin.SCRUB_KIND_ORPHANED}
        one.check()


def test_rebuild():
    for one in trials(errors=("events_lost",)):
        one.create_bucket("hot", HOT)
        data_dir = os.path.join(one.cluster.directory, "metadata")
        names = of(METADATA, REBUILD)
        for name in names:
            for _ in range(5):
                one.write("hot", 50000)
            one.check_payloads()
            one.check_stream(holes=names.index(name))
            rebuild_with_a_death(one, name, data_dir)
            # The replica has to be registered again, for reads.
            one.wait_answers()
        one.check(holes=len(names))


def rebuild_with_a_death(one, name, data_dir):
    process = one.cluster.metadata
    process.stop()
    shutil.rmtree(os.path.join(data_dir, "records"))
    more = ["--rebuild", "--rebuild-from", f"127.0.0.1:{one.cluster.object_port}"]
    one.start_armed(process, name, 1, *more)
    wait_for(lambda: not process.running(), f"the rebuild to die at {name}")
    one.expect_death(process, name)
    if not os.path.isdir(os.path.join(data_dir, "records")):
        shutil.rmtree(os.path.join(data_dir, "restoring"))
        subprocess.run([*process.command, *more], check=True, capture_output=True, timeout=TIMEOUT)
    process.start()


# ---- object-svc ----


def before_a_start(one, name):
    """What the next start has to do something about."""
    index = os.path.join(one.cluster.directory, "object", "index")
    if name.startswith("volume.cut."):
        one.let_die(one.cluster.object, "volume.append.after", [lambda: one.write("hot", 3 << 20)], passes=2)
    elif name.startswith("volume.unborn."):
        one.let_die(one.cluster.object, "volume.create.before", [lambda: one.write("hot", 200000)])
    elif name.startswith("index.create."):
        one.cluster.object.kill()
        shutil.rmtree(index)
    elif name.startswith("index.set_aside."):
        one.cluster.object.kill()
        with open(os.path.join(index, "CURRENT"), "w") as current:
            current.write("nonsense")


def test_ingest_into_hot_volumes():
    for one in trials(object_flags=["--volume-bytes", "1MiB"]):
        one.create_bucket("hot", HOT)
        for name in of(OBJECT, INGEST):
            before_a_start(one, name)
            one.die(one.cluster.object, name, [lambda: one.write("hot", 1000), lambda: one.write("hot", 200000)])
        one.check()


def test_garbage_in_hot_volumes():
    flags = ["--volume-bytes", "1MiB", "--compaction-interval", "50ms", "--compaction-bytes-per-second", "0"]
    for one in trials(object_flags=flags, metadata_flags=["--object-drop-delay", "0s"]):
        one.create_bucket("hot", HOT, max_versions=1)
        keys = [f"again-{number}" for number in range(4)]
        # Some stay among many that do not, so that volumes are rewritten.
        steps = [lambda: one.write("hot", 3000),
                 *(lambda key=key: one.write("hot", 200000, key=key) for key in keys)]
        for name in of(OBJECT, GARBAGE):
            one.die(one.cluster.object, name, steps)
        one.check()


def move(one, call, request, keys):
    call(request(bucket="both", key=one.chance.choice(keys)), timeout=CALL_SECONDS)


def ask_to_stop(one):
    """The times of reads are kept then."""
    one.client.object_admin.GetStatus(admin.GetStatusRequest(), timeout=CALL_SECONDS)  # it is up
    one.cluster.object.process.send_signal(signal.SIGTERM)


def change_class(one, name):
    """What the bucket's objects have followed is noted."""
    bucket = one.client.metadata.GetBucket(metadata.GetBucketRequest(name=name), timeout=CALL_SECONDS).bucket
    bucket.storage.storage_class = HOT if bucket.storage.storage_class != HOT else HOT_AND_COLD
    request = metadata.UpdateBucketRequest(bucket=bucket)
    request.update_mask.paths.append("storage.storage_class")
    one.client.metadata.UpdateBucket(request, timeout=CALL_SECONDS)
    time.sleep(0.1)


def test_moves_between_the_tiers():
    flags = ["--recall-stay", "0s"]
    for one in trials(object_flags=flags, metadata_flags=["--object-drop-delay", "0s"]):
        one.create_bucket("cold", COLD, max_versions=1)
        one.create_bucket("both", HOT_AND_COLD, max_versions=1)
        keys = [f"moved-{number}" for number in range(4)]
        for key in keys:
            one.write("both", 100000, key=key)
        steps = (lambda: one.write("cold", 2000), lambda: one.write("cold", 100000, key="again"),
                 lambda: move(one, one.client.objects.DemoteObject, objects.DemoteObjectRequest, keys),
                 lambda: move(one, one.client.objects.PromoteObject, objects.PromoteObjectRequest, keys))
        special = {"read_times": lambda: ask_to_stop(one), "recall_notes": lambda: change_class(one, "both")}
        for name in of(OBJECT, MOVES):
            one.die(one.cluster.object, name, [*steps, special.get(name.split(".")[0], lambda: None)])
        one.check()


@pytest.mark.skipif(VERSITYGW is None, reason=MISSING)
def test_cold_store_in_s3():
    server = S3Server()
    server.process.start()
    try:
        for one in trials(object_flags=server.object_flags()):
            one.create_bucket("cold", COLD)
            for name in of(OBJECT, S3):
                if name.startswith("cold_s3.abort."):
                    # An upload that is left behind.
                    one.let_die(one.cluster.object, "cold_s3.part.after", [lambda: one.write("cold", 6 << 20)])
                one.die(one.cluster.object, name, [lambda: one.write("cold", 6 << 20), lambda: one.write("cold", 2000),
                                                   lambda: time.sleep(0.2)])
            one.check()
            notes = os.path.join(one.cluster.directory, "object", "cold-uploads")
            one.write("cold", 6 << 20)  # clears up what is left of the last death
            one.check_payloads()
            wait_for(lambda: os.listdir(notes) == [], "the notes of uploads to go")
            assert (server.uploads(), server.parts_in_progress()) == (0, 0)
    finally:
        server.end()


def migration_phase(one, tier):
    request = admin.GetMigrationRequest(tier=tier)
    try:
        return one.client.object_admin.GetMigration(request, timeout=CALL_SECONDS).migration.phase
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        return None


def turn_migration(one, tier, place):
    """The next step of one that is begun, and called off when all is copied."""
    phase = migration_phase(one, tier)
    if phase is None:
        request = admin.StartMigrationRequest(tier=tier, target=f"file://{place}-{one.key()}")
        one.client.object_admin.StartMigration(request, timeout=CALL_SECONDS)
    elif phase == admin.MIGRATION_PHASE_COPIED:
        request = admin.ChangeMigrationRequest(tier=tier, step="MIGRATION_STEP_CANCEL")
        one.client.object_admin.ChangeMigration(request, timeout=CALL_SECONDS)
    else:
        time.sleep(0.01)


def end_migration(one, tier, place):
    def ended():
        if migration_phase(one, tier) is None:
            return True
        turn_migration(one, tier, place)
        return False

    wait_for(ended, "the migration to end", 60)


@pytest.mark.parametrize("tier", ["TIER_COLD", "TIER_HOT"])
def test_migrations(tmp_path, tier):
    place = str(tmp_path / "place")
    flags = ["--volume-bytes", "1MiB", "--compaction-interval", "50ms"]
    for one in trials(object_flags=flags):
        one.create_bucket("hot", HOT)
        one.create_bucket("cold", COLD)
        steps = (lambda: one.write("hot", 20000), lambda: one.write("cold", 20000),
                 lambda: turn_migration(one, tier, place))
        for name in of(OBJECT, MIGRATION):
            if tier == "TIER_COLD" or not name.startswith("migration.copy."):
                one.die(one.cluster.object, name, steps)
        end_migration(one, tier, place)
        one.check()


# ---- what is damaged, or nobody's ----


def publish_garbage(one):
    connection = JetStream(one.cluster.nats_port)
    connection.socket.sendall(b"PUB waybill.changes.0.hot.staged 4\r\nhuh?\r\n")
    connection.info("WAYBILL_CHANGES_0")
    connection.close()


def letters(one):
    request = admin.ListFailedPayloadsRequest(page_size=10)
    return one.client.object_admin.ListFailedPayloads(request, timeout=CALL_SECONDS).payloads


def drop_letter(one):
    for letter in letters(one):
        request = admin.CancelPayloadRequest(payload_id=letter.dead_letter.id, reason="seen")
        one.client.object_admin.CancelPayload(request, timeout=CALL_SECONDS)


def test_dead_letters():
    for one in trials(errors=("bad_event", "events_fenced")):
        one.create_bucket("hot", HOT)
        for name in of(OBJECT, ("dead_letters.",)):
            work = publish_garbage if name.startswith("dead_letters.add.") else drop_letter
            publish_garbage(one)
            if name.startswith("dead_letters.create."):
                one.cluster.object.kill()
                shutil.rmtree(os.path.join(one.cluster.directory, "object", "dead-letters"))
            if name.startswith("dead_letters.drop."):
                wait_for(lambda: letters(one), "a dead letter")
            one.die(one.cluster.object, name, [lambda: one.write("hot", 100), lambda: work(one)])
            if name == "dead_letters.drop.after":
                ids = [letter.dead_letter.id for letter in letters(one)]
                assert len(set(ids)) == len(ids)
        one.check()


def spoil_spool(one, data):
    for path in glob.glob(os.path.join(one.cluster.directory, "metadata", "spool", "segment-*")):
        with open(path, "r+b") as segment:
            at = segment.read().find(data)
            if at >= 0:
                segment.seek(at)
                segment.write(bytes([data[0] ^ 1]))
                return
    raise AssertionError("the bytes are not in the spool")


def test_payloads_that_are_given_up():
    for one in trials(metadata_flags=["--failed-payload-retention", "100ms"]):
        one.create_bucket("hot", HOT)
        for name in of(OBJECT, ("ingest.give_up.",)):
            one.cluster.object.kill()
            key = one.write("hot", 50000)
            data, = one.acked.pop(("hot", key))
            spoil_spool(one, data[1000:2000])
            one.die(one.cluster.object, name, [lambda: one.write("hot", 100)])
            one.client.wait_state("hot", key, "FAILED")
        one.check()


def test_repairs_of_damaged_copies():
    errors = ("corrupt_copy", "copy_not_repaired")
    for one in trials(errors=errors):
        one.create_bucket("both", HOT_AND_COLD)
        for name in of(OBJECT, ("repair.",)):
            key = one.write("both", 200000)
            one.client.wait_tiers("both", key, {"HOT", "COLD"})
            data, = one.acked["both", key]
            flip_hot(one.cluster, data[100000:100100])
            one.die(one.cluster.object, name, [lambda: one.read("both", key)])
            wait_for(lambda: one.read("both", key) == (data, objects.READ_SOURCE_HOT), "the hot copy to be mended")
        one.check()


def test_copies_that_are_put_aside(tmp_path):
    for one in trials(metadata_flags=["--object-drop-delay", "0s"]):
        one.create_bucket("cold", COLD, delete_retention=duration_pb2.Duration(seconds=1))
        for name in of(OBJECT, ("scrub.",)):
            key = one.write("cold", 50000)
            version = one.client.wait_tiers("cold", key, {"COLD"}).version
            data, = one.acked.pop(("cold", key))
            # It is dropped with its record, and comes back as nobody's.
            folder = os.path.dirname(cold_file(one.cluster, data)[0])
            shutil.copytree(folder, tmp_path / key)
            one.client.delete("cold", key)
            wait_for(lambda: not os.path.exists(folder) and one.at_rest(), "the object to be dropped")
            shutil.copytree(tmp_path / key, folder)
            one.die(one.cluster.object, name, [lambda: one.scrub(quarantine=True)])
            one.scrub(quarantine=True)
            assert one.scrub() == []
            kept = os.path.join(one.cluster.directory, "object", "quarantine", "cold", key, f"@{version}")
            with open(kept, "rb") as file:
                assert file.read() == data
        one.check()
