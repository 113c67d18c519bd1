"""The waybill command against real services, as a person or a script uses it."""

import hashlib
import json
import os
import subprocess

import pytest

from cluster import PATIENCE, wait_for
from command_line import WAYBILL, CommandLine


@pytest.fixture(scope="module")
def waybill(cluster):
    run = CommandLine(cluster)
    run.good("bucket", "create", "shell", "--storage-class", "cold", "--cold-after", "1s")
    return run


def good(done):
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 5 << 20])
def test_a_file_goes_in_and_comes_back(waybill, tmp_path, size):
    data = os.urandom(size)
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(data)
    good(waybill("put", source, f"shell/file-{size}", "--wait", "stored"))
    good(waybill("get", f"shell/file-{size}", target))
    assert target.read_bytes() == data


def test_standard_input_and_output_and_ranges(waybill):
    data = os.urandom(200000)
    good(waybill("put", "-", "shell/piped", input=data))
    assert waybill("get", "shell/piped", "-").stdout == data
    assert waybill("get", "shell/piped", "-", "--range", "100-199").stdout == data[100:200]


def test_several_files_go_below_a_prefix(waybill, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    good(waybill("put", tmp_path / "one", tmp_path / "two", "shell/many/"))
    listed = good(waybill("ls", "shell/many/"))
    assert listed.split() == ["many/one", "many/two"]


def test_an_object_goes_cold_and_can_still_be_got(waybill, tmp_path):
    source = tmp_path / "in"
    source.write_bytes(os.urandom(100000))
    good(waybill("put", source, "shell/cold"))

    def is_cold():
        record = json.loads(good(waybill("stat", "shell/cold", "--json")))
        places = record.get("record", record).get("locations", [])
        return [place["tier"] for place in places] == ["TIER_COLD"]

    wait_for(is_cold, "the object to go cold")
    got = waybill("get", "shell/cold", "-").stdout
    assert hashlib.sha256(got).digest() == hashlib.sha256(source.read_bytes()).digest()


def test_an_announced_payload_is_uploaded_later(waybill, tmp_path):
    source = tmp_path / "in"
    source.write_bytes(b"later" * 1000)
    announced = json.loads(good(waybill("put", "--announce", "5000", "shell/announced", "--json")))
    good(waybill("upload", source, announced["uploadId"]))
    assert waybill("get", "shell/announced", "-").stdout == source.read_bytes()


def test_stat_rm_and_exit_statuses(waybill):
    good(waybill("put", "-", "shell/doomed", input=b"x"))
    assert "doomed" in good(waybill("stat", "shell/doomed"))
    assert waybill("rm", "shell/doomed", "--if-version", "9").returncode == 4
    good(waybill("rm", "shell/doomed"))
    assert "DELETED" in good(waybill("stat", "shell/doomed"))
    assert waybill("stat", "shell/never-there").returncode == 3
    assert waybill("put", "-", "shell/a//b", input=b"x").returncode in (1, 2)
    assert waybill("no-such-command").returncode == 2
    failed = waybill("get", "shell/doomed", "-", "--json")
    assert failed.returncode == 3 and b"RECORD_DELETED" in failed.stderr


def test_watch_prints_each_change(waybill, cluster):
    good(waybill("put", "-", "shell/watched", input=b"x"))
    watch = subprocess.Popen([WAYBILL, "watch", "shell/watched", "--from", "1", "--json"], env=cluster.environment(),
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        event = json.loads(watch.stdout.readline())
        assert event.get("event", event)["record"]["key"] == "watched"
    finally:
        watch.send_signal(2)
        assert watch.wait(timeout=30 * PATIENCE) == 0
        watch.stdout.close()
        watch.stderr.close()


def test_status_and_buckets_as_json(waybill):
    status = good(waybill("status", "--json"))
    assert "committedRevision" in status and "replica-1" in status
    assert "shell" in good(waybill("bucket", "list", "--json"))
    assert json.loads(good(waybill("bucket", "get", "shell", "--json")))["name"] == "shell"


def test_a_service_that_is_away_is_exit_status_5(waybill, cluster):
    environment = dict(cluster.environment(), WAYBILL_METADATA="127.0.0.1:1")
    done = subprocess.run([WAYBILL, "stat", "shell/x"], env=environment, capture_output=True, timeout=120 * PATIENCE)
    assert done.returncode == 5
