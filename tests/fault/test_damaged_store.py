"""A damaged record store stops the service with a message that says what to do; repair tells what it keeps."""

import glob
import os
import re
import subprocess

import pytest

from client import Client
from cluster import BUILD
from conftest_shared import run_cluster


def records_of(cluster):
    return os.path.join(cluster.directory, "metadata", "records")


@pytest.fixture
def killed():
    """A cluster whose metadata-svc was killed, so that its last commits lie in LevelDB's log."""
    for cluster in run_cluster(allowed_errors=("start_failed", "events_fenced", "events_lost")):
        client = Client(cluster)
        client.create_bucket("records")
        for number in range(200):
            client.put("records", f"key-{number:03}", f"{number}".encode())
        client.wait_state("records", "key-199", "STORED")
        cluster.metadata.kill()
        yield cluster


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x40]))


def write_ahead_log(cluster):
    logs = glob.glob(os.path.join(records_of(cluster), "*.log"))
    return max(logs, key=written_bytes)


def written_bytes(log):
    """Without the zeros that lie ahead."""
    with open(log, "rb") as file:
        return len(file.read().rstrip(b"\0"))


def run_repair(cluster):
    return subprocess.run([os.path.join(BUILD, "metadata-svc", "waybill-metadata-svc"), "--data-dir",
                           os.path.join(cluster.directory, "metadata"), "--repair"], capture_output=True, text=True)


def test_a_damaged_log_stops_the_service_and_repair_keeps_what_was_before(killed):
    log = write_ahead_log(killed)
    flip(log, written_bytes(log) * 9 // 10)
    with pytest.raises(AssertionError, match="--repair"):
        killed.metadata.start()
    repaired = run_repair(killed)
    assert repaired.returncode == 0, repaired.stderr
    readable, damaged = map(int, re.search(r"records: (\d+) can be read, (\d+) cannot", repaired.stdout).groups())
    assert readable > 100 and damaged <= 1, repaired.stdout  # the flipped byte may be in a record
    killed.metadata.start()
    client = Client(killed)
    assert client.get("records", "key-000").version == 1
    assert client.revision() > 100


def test_a_lost_change_stops_the_service_and_repair_drops_what_was_below(killed):
    change = "6c" + "%016x" % 100  # the key of revision 100 in the change log
    subprocess.run([os.path.join(BUILD, "tests", "support", "leveldb_delete"), records_of(killed), change], check=True)
    with pytest.raises(AssertionError, match="CHANGE_LOG_GAP"):
        killed.metadata.start()
    repaired = run_repair(killed)
    assert repaired.returncode == 0 and "below a gap" in repaired.stdout, repaired.stdout + repaired.stderr
    killed.metadata.start()
    client = Client(killed)
    assert sum(len(page) for page in client.list_pages("records")) == 200
    assert client.put("records", "after").version == 1


def test_repair_of_a_store_in_use_is_refused(own_cluster):
    repaired = run_repair(own_cluster)
    assert repaired.returncode == 1 and "lock" in repaired.stderr.lower(), repaired.stderr
