"""The README's first command, in a network namespace of its own: its ports are fixed, and
another Waybill may run on this machine."""

import os
import shutil
import subprocess

import pytest

from cluster import ROOT

QUICKSTART = os.path.join(ROOT, "deploy", "quickstart")


def namespace_is_allowed():
    return shutil.which("ip") and subprocess.run(
        ["unshare", "--net", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not namespace_is_allowed(), reason="network namespaces cannot be made here")
def test_the_quickstart_stores_files_and_stops_what_it_started(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "empty").write_bytes(b"")
    (folder / "one-byte").write_bytes(b"x")
    (folder / "with space").write_bytes(os.urandom(70000))
    data = tmp_path / "data"
    script = f"""
        ip link set lo up
        trap "'{QUICKSTART}' stop --data-dir '{data}'" EXIT
        '{QUICKSTART}' --data-dir '{data}' '{folder}' || exit 1
        '{QUICKSTART}' --data-dir '{data}' status
        '{QUICKSTART}' --data-dir '{data}' stop
        echo "after stop:"
        '{QUICKSTART}' --data-dir '{data}' status
    """
    done = subprocess.run(["unshare", "--net", "bash", "-c", script], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count("  equal\n") == 4
    order = [done.stdout.index(stage) for stage in ("STORED hot", "STORED cold")]
    assert order == sorted(order)
    before, after = done.stdout.split("after stop:")
    for name in ("nats-server", "metadata-svc", "object-svc"):
        assert f"{name} runs" in before and f"{name} does not run" in after


def test_an_unknown_option_is_refused():
    done = subprocess.run([QUICKSTART, "--no-such-option"], capture_output=True, text=True)
    assert done.returncode == 2 and "unknown option" in done.stderr
