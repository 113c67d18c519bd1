"""That tests/bench/run-commit measures all it names; how fast things are is not tested."""

import json
import os
import shutil
import subprocess

import pytest

from cluster import BUILD, ROOT

RUN = [os.path.join(ROOT, "tests", "bench", "run-commit"), "--seconds", "0.5", "--rounds", "2"]
SEARCH = os.environ["PATH"] + ":/usr/sbin"


def run(directory, *options):
    environment = dict(os.environ, WAYBILL_BUILD=BUILD)
    done = subprocess.run([*RUN, "--directory", str(directory), *options], capture_output=True, text=True,
                          env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    assert os.listdir(directory) == [], "it cleans up"
    return done.stdout


def check_figures(document, names):
    assert list(document["figures"]) == names
    for name, figure in document["figures"].items():
        assert len(figure["rounds"]) == (1 if name in ("memory", "restart") else 2), name
        for field in ("rate", "p50_us", "p99_us", "calls"):
            assert name in ("memory", "restart") or figure[field] > 0, (name, field)


def test_the_commit_path_is_set_against_its_limits(tmp_path):
    document = json.loads(run(tmp_path, "--only", "commit,get", "--json"))
    check_figures(document, ["flush", "null 1", "commit 1", "get 64", "null 64", "commit 64", "commit 256", "null 256"])
    ratios = {ratio["name"]: ratio for ratio in document["ratios"]}
    assert list(ratios) == ["commit 1: p50", "commit 64: rate", "commit 64: p99", "commit 256: rate", "get 64: rate"]
    assert all(ratio["value"] > 0 and ratio["met"] in (True, False) for ratio in ratios.values())
    assert ratios["commit 64: rate"]["value"] < 1.5, "a commit cannot be much cheaper than a call without work"


@pytest.mark.parametrize("name, program", [("etcd", "etcd"), ("redis", "redis-benchmark")])
def test_a_peer_is_measured_or_named_as_missing(tmp_path, name, program):
    document = json.loads(run(tmp_path, "--only", name, "--json"))
    if shutil.which(program, path=SEARCH) is None:
        assert "not installed" in document["skipped"][name]
        check_figures(document, [])
    else:
        check_figures(document, ["waybill 64", f"{name} 64"])
        assert all(ratio["value"] > 0 for ratio in document["ratios"])


def test_a_large_store_is_set_against_a_small_one(tmp_path):
    document = json.loads(run(tmp_path, "--only", "scale", "--records", "20000", "--json"))
    check_figures(document, ["fill", *(f"{kind} {load} {size}" for size in ("small", "large") for load in (1, 64)
                                       for kind in ("get", "null", "commit")), "memory", "restart"])
    assert document["figures"]["memory"]["resident_mib"] > 1
    assert document["figures"]["restart"]["seconds"] > 0
    assert len(document["ratios"]) == 9


def test_the_table_has_a_line_for_each_figure_and_ratio(tmp_path):
    table = run(tmp_path, "--only", "get")
    for line in ("GetRecord from the cache, 64 outstanding", "null RPC, 64 outstanding", "get 64: rate / (null 64: rate)"):
        assert line in table
    assert "target >= 0.85" in table
