"""Thousands of watchers on one service while thousands of records are committed: each sees every
revision once and in order, and the service's memory stays within bounds.

WAYBILL_WATCHERS and WAYBILL_WATCH_RECORDS choose other numbers: what the service is made for are 5,000
watchers that see 10,000 commits each."""

import os
import re
import subprocess

import pytest

from cluster import BUILD, PATIENCE, SLOWNESS
from conftest_shared import run_cluster

WATCHERS = int(os.environ.get("WAYBILL_WATCHERS", "5000" if SLOWNESS == 1 else "200"))
RECORDS = int(os.environ.get("WAYBILL_WATCH_RECORDS", "2000" if SLOWNESS == 1 else "500"))
BENCH_WATCH = os.path.join(BUILD, "tests", "bench", "bench_watch")
# Five times what they take: a call of gRPC each, and what is sent to them.
SERVICE_MIB, WATCHER_KIB = 256, 100


@pytest.fixture
def cluster():
    yield from run_cluster()


@pytest.mark.long
def test_every_watcher_sees_every_revision_in_order_and_in_bounded_memory(cluster):
    service = cluster.metadata.process.pid
    done = subprocess.run(
        [BENCH_WATCH, "--target", f"127.0.0.1:{cluster.metadata_port}", "--pid", str(service), "--watchers",
         str(WATCHERS), "--records", str(RECORDS), "--idle", str(int(60 * PATIENCE))], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"\n{WATCHERS * RECORDS} events" in done.stdout, done.stdout
    assert f"{RECORDS} records committed" in done.stdout
    most_mib = int(re.search(r"at most (\d+) MiB", done.stdout).group(1))
    assert SLOWNESS > 1 or most_mib < SERVICE_MIB + WATCHERS * WATCHER_KIB / 1024, done.stdout
    assert not [event for event in cluster.metadata.log_events() if event["event"] == "watch_cut_off"]
    print(done.stdout)
