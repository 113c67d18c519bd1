"""A soak: all kinds of work at a moderate rate, with faults at random, while memory, file descriptors, disks and
queues are watched. In the end all is at rest, nothing is lost, and the services hold no more than in the beginning.

WAYBILL_SOAK_SECONDS chooses how long (default 300; 3600 is the hour of the release notes), WAYBILL_SEED repeats a run:

  WAYBILL_SOAK_SECONDS=3600 WAYBILL_SEED=... /usr/bin/python3 -m pytest -s tests/fault/test_soak.py"""

import os
import random
import shutil
import signal
import time

import grpc
import pytest

import s3_proxy
import s3_server
from aftermath import check_all
from client import Client, again
from cluster import wait_for
from conftest_shared import run_cluster
from cut_proxy import CutProxy
from s3_proxy import S3Proxy
from workload import PASSING, Load

SECONDS = float(os.environ.get("WAYBILL_SOAK_SECONDS", "300"))
SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
# Services are killed in this part of the time; in the rest they stay, so that what they gather shows.
BROKEN_PART = 0.6
MIB = 1 << 20
METADATA_FLAGS = [
    "--object-drop-delay", "0s", "--redrive-after", "10s", "--spool-segment-bytes", "8MiB", "--spool-max-bytes", "256MiB",
    "--record-cache-bytes", "1MiB", "--leveldb-cache-bytes", "2MiB", "--leveldb-write-buffer-bytes", "2MiB"]
OBJECT_FLAGS = [
    "--recall-stay", "0s", "--ack-wait", "3s", "--ingest-retry-longest", "2s", "--volume-bytes", "16MiB",
    "--s3-connect-timeout", "1s", "--s3-stall-timeout", "2s", "--cold-suspend-longest", "2s", "--peer-timeout", "1s"]
EXPECTED_ERRORS = ("corrupt_copy", "copy_unreadable", "copy_not_repaired", "events_fenced")
# What a service may hold more than before, or at all.
MEMORY_GROWTH_MAX = 48 * MIB
MEMORY_MAX = 512 * MIB
DESCRIPTORS_GROWTH_MAX = 24
DESCRIPTORS_MAX = 400
SPOOLED_MAX = 200
UNPUBLISHED_MAX = 5000
DISK_MAX = 1024 * MIB
DISK_PER_COMMIT_MAX = 8192  # in the change log and the stream, which keep all


def resident_bytes(process):
    with open(f"/proc/{process.process.pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS:"))


def descriptors(process):
    return len(os.listdir(f"/proc/{process.process.pid}/fd"))


def disk_bytes(directory):
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except FileNotFoundError:
                pass  # gone meanwhile
    return total


class Soak:
    def __init__(self, cluster, proxies, s3):
        self.cluster, self.proxies, self.s3 = cluster, proxies, s3
        self.client = Client(cluster)
        self.chance = random.Random(SEED)
        self.services = [cluster.metadata, *cluster.objects]
        self.highest = {}
        self.done = {}
        self.published = 0  # the newest revision that the stream ever had

    # ---- faults ----

    def pause(self, least, most):
        time.sleep(self.chance.uniform(least, most))

    def kill(self, *processes):
        for process in processes:
            process.kill()
        self.pause(0, 1)
        for process in processes:
            process.start()

    def kill_metadata(self):
        self.kill(self.cluster.metadata)

    def kill_a_replica(self):
        self.kill(self.chance.choice(self.cluster.objects))

    def kill_all_services(self):
        self.kill(*self.services)

    def restart_a_replica(self):
        process = self.chance.choice(self.cluster.objects)
        assert process.stop() == 0
        process.start()

    def kill_nats(self):
        self.kill(self.cluster.nats)

    def wipe_nats(self):
        self.cluster.nats.kill()
        shutil.rmtree(self.cluster.nats_directory)
        self.pause(0, 2)
        self.cluster.nats.start()

    def halt_nats(self):
        self.cluster.nats.process.send_signal(signal.SIGSTOP)
        try:
            self.pause(0.5, 3)
        finally:
            self.cluster.nats.process.send_signal(signal.SIGCONT)

    def break_connections(self):
        for proxy in self.chance.sample(self.proxies, self.chance.randrange(1, len(self.proxies) + 1)):
            proxy.cut_all()

    def trouble_s3(self):
        if self.s3 is None:
            return
        fault = self.chance.choice((
            s3_proxy.status(503, "SlowDown"), s3_proxy.status(500, "InternalError"), s3_proxy.cut_request,
            s3_proxy.lose_answer, s3_proxy.cut_answer, s3_proxy.slow(0.5), s3_proxy.hang(2)))
        self.s3.inject(fault, probability=self.chance.choice((0.3, 1.0)))
        self.pause(0.5, 4)
        self.s3.clear()

    def fault(self, kills):
        kinds = [self.kill_nats, self.wipe_nats, self.halt_nats, self.break_connections, self.break_connections,
                 self.trouble_s3, self.trouble_s3]
        if kills:
            kinds += [self.kill_metadata, self.kill_metadata, self.kill_a_replica, self.kill_a_replica,
                      self.kill_all_services, self.restart_a_replica]
        kind = self.chance.choice(kinds)
        self.done[kind.__name__] = self.done.get(kind.__name__, 0) + 1
        kind()

    # ---- what is held ----

    def holdings(self):
        return {process.name: (resident_bytes(process), descriptors(process)) for process in self.services}

    def sample(self):
        values = {}
        for name, (memory, open_files) in self.holdings().items():
            values[f"{name} memory"], values[f"{name} descriptors"] = memory, open_files
        try:
            status = self.client.status()
            values["spooled payloads"] = status.spool_payloads
            # After a wipe all that was published is published again, however much that is; at rest nothing is left.
            self.published = max(self.published, status.published_revision)
            values["unpublished"] = status.committed_revision - self.published
        except grpc.RpcError as error:
            assert error.code() in PASSING, error
        values["disk"] = disk_bytes(self.cluster.directory)
        for name, value in values.items():
            self.highest[name] = max(value, self.highest.get(name, 0))

    def run_until(self, until, load, kills):
        while time.monotonic() < until and load.failure is None:
            self.fault(kills)
            calm = min(time.monotonic() + self.chance.uniform(1, 6), until)
            while time.monotonic() < calm:
                time.sleep(min(1, max(0, calm - time.monotonic())))
                self.sample()

    def at_rest(self):
        """No change, no payload, no upload and no letter is in the services' hands."""
        metadata = self.cluster.metadata_admin_port
        depths = [self.cluster.metric(metadata, name) for name in (
            "waybill_outbox_depth", "waybill_spool_bytes", "waybill_commits_waiting", "waybill_broken_off_uploads")]
        depths += [self.cluster.metric(port, "waybill_dead_letters") for port in self.cluster.object_admin_ports]
        return not any(depths)

    def check_bounds(self, commits):
        for process in self.services:
            assert self.highest[f"{process.name} memory"] < MEMORY_MAX, self.highest
            assert self.highest[f"{process.name} descriptors"] < DESCRIPTORS_MAX, self.highest
        assert self.highest["spooled payloads"] < SPOOLED_MAX, self.highest
        assert self.highest["unpublished"] < UNPUBLISHED_MAX, self.highest
        assert self.highest["disk"] < DISK_MAX + commits * DISK_PER_COMMIT_MAX, self.highest

    def check_growth(self, before, after):
        for name, (memory, open_files) in after.items():
            memory_before, open_before = before[name]
            assert memory < memory_before + MEMORY_GROWTH_MAX, f"{name}: {memory_before} bytes, then {memory}"
            assert open_files <= open_before + DESCRIPTORS_GROWTH_MAX, f"{name}: {open_before} files, then {open_files}"


def run_soak():
    """Yields it, over proxies that can break what object-svc says to others."""
    bulk, small, nats = (CutProxy() for _ in range(3))
    server = s3_server.S3Server() if s3_server.VERSITYGW is not None else None
    flags = [*OBJECT_FLAGS, "--payload-target", f"127.0.0.1:{bulk.port}", "--metadata-target", f"127.0.0.1:{small.port}",
             "--nats-url", f"nats://127.0.0.1:{nats.port}"]
    s3 = None
    try:
        if server is not None:
            server.process.start()
            s3 = S3Proxy(server.port, SEED)
            flags += server.object_flags(s3.port)

        def aim(cluster):
            bulk.target, small.target, nats.target = cluster.bulk_port, cluster.metadata_port, cluster.nats_port

        for cluster in run_cluster(EXPECTED_ERRORS, aim, replicas=2, metadata_flags=METADATA_FLAGS, object_flags=flags):
            yield Soak(cluster, [bulk, small, nats], s3)
    finally:
        for part in (bulk, small, nats):
            part.close()
        if server is not None:
            if s3 is not None:
                s3.end()
            server.end()


@pytest.mark.long
@pytest.mark.figures
def test_a_soak_loses_nothing_and_gathers_nothing():
    print(f"to repeat it: WAYBILL_SEED={SEED} WAYBILL_SOAK_SECONDS={SECONDS:g}")
    for soak in run_soak():
        cluster = soak.cluster
        Load.create_buckets(soak.client)
        load = Load(cluster, SEED, workers=3, pause=0.15).start()
        begin = time.monotonic()
        soak.run_until(begin + SECONDS * BROKEN_PART, load, kills=True)
        load.wait_progress(60)
        # What services hold that run for some time under load, against the same at the end.
        soak.run_until(begin + SECONDS * (BROKEN_PART + 0.1), load, kills=False)
        before = soak.holdings()
        soak.run_until(begin + SECONDS, load, kills=False)
        load.wait_progress(60)
        after = soak.holdings()
        load.stop()
        print("faults:", soak.done, "\nload:", dict(load.counts), "\nhighest:", soak.highest)
        soak.check_growth(before, after)
        check_all(cluster, soak.client, load)
        soak.check_bounds(again(soak.client.revision))
        wait_for(soak.at_rest, "nothing to be under way or held", 60)
        soak.check_growth(before, soak.holdings())
