"""That the benchmarks measure all they name; how fast things are is not tested.

The tests marked `figures` put a release build under test: what programs with sanitizers measure
says nothing, and that they run at all is shown by the others."""

import json
import os
import re
import shutil
import subprocess

import pytest

from cluster import BUILD, ROOT, SLOWNESS

BENCH = os.path.join(ROOT, "tests", "bench")
SEARCH = os.environ["PATH"] + ":/usr/sbin"

# Sanitized builds may store nothing within the short time that is measured here.
SLOW = SLOWNESS > 1
SECONDS, ROUNDS = ("0.3", 1) if SLOW else ("0.5", 2)


def run(directory, *options, program="run-commit"):
    environment = dict(os.environ, WAYBILL_BUILD=BUILD)
    command = [os.path.join(BENCH, program), "--seconds", SECONDS, "--rounds", str(ROUNDS)]
    done = subprocess.run([*command, "--directory", str(directory), *options], capture_output=True, text=True,
                          env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    assert os.listdir(directory) == [], "it cleans up"
    return done.stdout


def check_figures(document, names):
    assert list(document["figures"]) == names
    for name, figure in document["figures"].items():
        assert len(figure["rounds"]) == (1 if name in ("memory", "restart") else ROUNDS), name
        for field in ("rate", "p50_us", "p99_us", "calls"):
            assert name in ("memory", "restart") or figure[field] > 0, (name, field)


def test_the_commit_path_is_set_against_its_limits(tmp_path):
    document = json.loads(run(tmp_path, "--only", "commit,get", "--json"))
    check_figures(document, ["flush", "null 1", "commit 1", "get 64", "null 64", "commit 64", "commit 256", "null 256"])
    ratios = {ratio["name"]: ratio for ratio in document["ratios"]}
    assert list(ratios) == ["commit 1: p50", "commit 64: rate", "commit 64: p99", "commit 256: rate", "get 64: rate"]
    assert all(ratio["value"] > 0 and ratio["met"] in (True, False) for ratio in ratios.values())
    # Other tests run beside this one, so that a short round may be off by much.
    assert SLOW or ratios["commit 64: rate"]["value"] < 5, "a commit cannot be much cheaper than a call without work"


@pytest.mark.figures
@pytest.mark.parametrize("name, program", [("etcd", "etcd"), ("redis", "redis-benchmark")])
def test_a_peer_is_measured_or_named_as_missing(tmp_path, name, program):
    document = json.loads(run(tmp_path, "--only", name, "--json"))
    if shutil.which(program, path=SEARCH) is None:
        assert "not installed" in document["skipped"][name]
        check_figures(document, [])
    else:
        check_figures(document, ["waybill 64", f"{name} 64"])
        assert all(ratio["value"] > 0 for ratio in document["ratios"])


@pytest.mark.long
@pytest.mark.figures
def test_a_large_store_is_set_against_a_small_one(tmp_path):
    document = json.loads(run(tmp_path, "--only", "scale", "--records", "20000", "--json"))
    check_figures(document, ["fill", *(f"{kind} {load} {size}" for size in ("small", "large") for load in (1, 64)
                                       for kind in ("get", "null", "commit")), "memory", "restart"])
    assert document["figures"]["memory"]["resident_mib"] > 1
    assert document["figures"]["restart"]["seconds"] > 0
    assert len(document["ratios"]) == 9


@pytest.mark.figures
def test_the_table_has_a_line_for_each_figure_and_ratio(tmp_path):
    table = run(tmp_path, "--only", "get")
    for line in ("GetRecord from the cache, 64 outstanding", "null RPC, 64 outstanding", "get 64: rate / (null 64: rate)"):
        assert line in table
    assert "target >= 0.85" in table


def check_services(figure, moved):
    for service in ("metadata", "object", "nats"):
        assert figure[f"{service}_cpu"] >= 0 and figure[f"{service}_mib"] > 1
    assert figure["client_cpu"] > 0 and figure["started"] > 0 and figure[moved] > 0


@pytest.mark.long
@pytest.mark.figures
def test_the_object_path_is_set_against_its_limits(tmp_path):
    document = json.loads(run(tmp_path, "--json", program="run-object"))
    figures = document["figures"]
    uploads = ["upload 64 MiB x 4", "upload 64 KiB x 64"]
    assert set(figures) == {"disk", "loopback", *uploads, *(f"null-{name}" for name in uploads), "inline 64 KiB x 64",
                            "store 64 MiB x 4", "store 64 KiB x 64", "null-read 1 MiB x 16", "read 1 MiB x 16"}
    for name, figure in figures.items():
        assert len(figure["rounds"]) == ROUNDS and figure["mb_s"] > 0, name
        if not name.startswith(("null-", "disk", "loopback")):
            check_services(figure, "stored_mb_s" if name.startswith("store") else "mb_s")
    for store in ("store 64 MiB x 4", "store 64 KiB x 64"):
        assert figures[store]["stored_p99_us"] >= figures[store]["stored_p50_us"] > 0
    assert all(ratio["value"] > 0 for ratio in document["ratios"])
    targets = [ratio["name"] for ratio in document["ratios"] if ratio["met"] is not None]
    assert len(targets) == 11, "each of the figures has one, and the memory of both services in each section"


@pytest.mark.long
@pytest.mark.figures
def test_bulk_data_is_set_against_commits(tmp_path):
    table = run(tmp_path, program="run-mixed")
    for line in ("commit, 16 outstanding, alone", "commit, 16 outstanding, mixed", "null, 16 outstanding, mixed"):
        assert line in table
    assert re.search(r"p99 mixed / \(p99 alone\) +[0-9.]+ +target <= 3", table)
    moved = dict(re.findall(r"(\w+) (\d+)", table[table.index("meanwhile"):table.index("commit, 16 outstanding: p99")]))
    assert all(int(moved[name]) > 0 for name in ("uploaded", "stored", "read")), moved


@pytest.mark.figures
def test_the_table_of_the_object_path_has_its_lines(tmp_path):
    table = run(tmp_path, "--only", "read", program="run-object")
    assert "\nread 1 MiB x 16" in table and "target >= 0.4" in table


@pytest.mark.figures
def test_an_outage_of_the_cold_store_is_set_against_the_time_before(tmp_path):
    document = json.loads(run(tmp_path, "--minutes", "0.02", "--objects", "10", "--json", program="run-outage"))
    figures = document["figures"]
    assert list(figures) == ["before", "outage", "drain", "queue"]
    assert len(figures["before"]["rounds"]) == ROUNDS and len(figures["outage"]["rounds"]) > 1
    assert all(figures[name][field] > 0 for name in ("before", "outage", "drain") for field in ("rate", "p99_us"))
    queue = figures["queue"]
    assert queue["deepest"] > 0 and queue["moved"] > 0 and queue["arrived"] > 0
    assert queue["left"] < queue["deepest"] + 10, "it grows shorter"
    assert [ratio["value"] > 0 for ratio in document["ratios"]] == [True] * 3
    assert all(ratio["met"] in (True, False) for ratio in document["ratios"])
