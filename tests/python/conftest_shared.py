"""Fixtures that the Python suites share."""

import atexit
import os
import shutil
import tempfile

import pytest

from client import Client
from cluster import Cluster

_running = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows how the logs of its processes end."""
    report = (yield).get_result()
    if report.failed:
        for process in (process for cluster in _running for process in cluster.processes):
            report.sections.append((f"end of the log of {process.name}", process.log()[-3000:]))


@atexit.register
def kill_what_is_left():
    """Of tests that failed inside a cluster of their own."""
    for cluster in list(_running):
        end(cluster)


def end(cluster):
    for process in cluster.processes:
        process.kill()
    shutil.rmtree(cluster.directory, ignore_errors=True)
    if cluster in _running:
        _running.remove(cluster)


def check_logs(cluster, allowed=()):
    """No service may have logged an error that the test does not expect, nor a sanitizer's report."""
    for process in (cluster.metadata, *cluster.objects):
        if not os.path.exists(process.log_path):
            continue
        log = process.log()
        assert "Sanitizer" not in log and "runtime error:" not in log, log[-6000:]
        errors = [event for event in process.log_events()
                  if event.get("level") == "error" and event.get("event") not in allowed]
        assert not errors, errors[:5]


def run_cluster(allowed_errors=(), before_start=None, **options):
    """Yields a running cluster; in the end both services must stop cleanly."""
    directory = tempfile.mkdtemp(prefix="waybill-test-")
    cluster = Cluster(directory, **options)
    _running.append(cluster)
    try:
        if before_start is not None:
            before_start(cluster)
        yield cluster.start()
        statuses = cluster.stop()
        assert all(status == 0 for status in statuses.values()), (statuses, cluster.metadata.log()[-3000:],
                                                                  cluster.object.log()[-3000:])
        check_logs(cluster, allowed_errors)
    finally:
        end(cluster)


@pytest.fixture
def own_cluster():
    """A cluster of a test's own, which it may break."""
    yield from run_cluster(allowed_errors=("corrupt_copy", "copy_unreadable", "copy_not_repaired", "events_fenced"))


@pytest.fixture(scope="module")
def cluster():
    yield from run_cluster()


@pytest.fixture(scope="module")
def client(cluster):
    return Client(cluster)
