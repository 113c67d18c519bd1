"""The waybill command on records that exist: update, versions, undelete, expiry."""

import datetime
import uuid

import pytest

from cluster import wait_for
from command_line import CommandLine


@pytest.fixture(scope="module")
def waybill(cluster):
    run = CommandLine(cluster)
    run.good("bucket", "create", "shell", "--storage-class", "hot")
    return run


def put(waybill, key, data=b"the bytes", *options):
    return waybill.json("put", "-", f"shell/{key}", *options, input=data)["record"]


def test_update_changes_what_it_names_and_shares_the_payload(waybill):
    put(waybill, "tagged", b"the bytes", "--attr", "a=1", "--attr", "b=2", "--content-type", "text/plain")
    printed = waybill.good("update", "shell/tagged", "--set", "n:int=5", "--set", "a=x=y", "--unset", "b")
    assert printed.startswith("shell/tagged  version 2  ") and printed.endswith("  9 bytes\n")
    record = waybill.json("stat", "shell/tagged")
    assert record["attributes"] == {"a": {"stringValue": "x=y"}, "n": {"intValue": "5"}}
    assert record["contentType"] == "text/plain"
    assert waybill("get", "shell/tagged", "-").stdout == b"the bytes"

    record = waybill.json("update", "shell/tagged", "--content-type", "", "--unset-others", "--set", "only:bool=true",
                          "--reason", "tidy up")["record"]
    assert record["attributes"] == {"only": {"boolValue": True}} and "contentType" not in record
    assert record["cause"]["reason"] == "tidy up"
    assert waybill.json("stat", "shell/tagged", "--version", "1")["contentType"] == "text/plain"


def test_names_of_attributes_may_hold_dots_and_colons(waybill):
    put(waybill, "named")
    record = waybill.json("update", "shell/named", "--set", "a.b=1", "--set", "c:d:string=2")["record"]
    assert record["attributes"] == {"a.b": {"stringValue": "1"}, "c:d": {"stringValue": "2"}}
    record = waybill.json("update", "shell/named", "--unset", "a.b", "--unset", "c:d", "--unset", "never-there")["record"]
    assert "attributes" not in record


def test_update_has_preconditions_and_request_ids(waybill):
    put(waybill, "checked")
    error = waybill.bad(4, "update", "shell/checked", "--set", "a=1", "--if-version", "7")
    assert error["reason"] == "VERSION_MISMATCH" and "--if-version=1" in error["hint"]
    request_id = str(uuid.uuid4())
    for _ in range(2):
        record = waybill.json("update", "shell/checked", "--set", "a=1", "--request-id", request_id)["record"]
        assert record["version"] == "2"
    assert waybill.bad(3, "update", "shell/never-there", "--set", "a=1")["reason"] == "RECORD_NOT_FOUND"
    waybill.good("rm", "shell/checked")
    error = waybill.bad(3, "update", "shell/checked", "--set", "a=1")
    assert error["reason"] == "RECORD_DELETED" and "undelete" in error["hint"]


def test_update_takes_several_records_and_goes_on_after_a_failure(waybill):
    put(waybill, "several/1")
    put(waybill, "several/3")
    done = waybill("update", "shell/several/1", "shell/several/2", "shell/several/3", "--set", "seen:bool=true")
    assert done.returncode == 3 and b"several/2" in done.stderr
    assert [line.split()[:3] for line in done.stdout.decode().splitlines()] == [
        ["shell/several/1", "version", "2"], ["shell/several/3", "version", "2"]]


@pytest.mark.parametrize("options", [
    [],
    ["--set", "no-value"],
    ["--set", "n:int=x"],
    ["--set", "a=1", "--unset", "a"],
    ["--unset", "a=1"],
    ["--expire-time", "tomorrow"],
    ["--expire-time", "2030-02-30T00:00:00Z"],
    ["--expire-after", "0"],
    ["--expire-after", "1h", "--expire-time", "never"],
    ["--expire-after", "1h", "--request-id", str(uuid.uuid4())],
])
def test_an_update_that_makes_no_sense_is_wrong_usage(waybill, options):
    assert waybill.bad(2, "update", "shell/any", *options)["code"] == "USAGE"


def test_records_expire_when_they_are_told_to(waybill):
    soon = put(waybill, "soon", b"x", "--expire-after", "1500ms")
    created, expires = (datetime.datetime.fromisoformat(soon[name][:19]) for name in ("createTime", "expireTime"))
    assert datetime.timedelta(0) <= expires - created <= datetime.timedelta(seconds=3)
    put(waybill, "later", b"x" * 100000, "--expire-time", "2999-12-31T23:59:59+01:00")
    assert waybill.json("stat", "shell/later")["expireTime"] == "2999-12-31T22:59:59Z"
    assert "expires          2999-12-31T22:59:59Z" in waybill.good("stat", "shell/later")
    waybill.good("update", "shell/later", "--expire-time", "never")
    assert "expireTime" not in waybill.json("stat", "shell/later")
    wait_for(lambda: waybill.json("stat", "shell/soon")["state"] == "RECORD_STATE_DELETED", "the record to expire")
    assert waybill.good("versions", "shell/soon").splitlines()[0].endswith("  RETENTION")
    assert waybill.bad(1, "put", "--no-payload", "shell/past", "--expire-time", "1999-01-01T00:00:00Z")["reason"] \
        == "BAD_EXPIRE_TIME"
    assert waybill.bad(2, "put", "--no-payload", "shell/past", "--expire-time", "never")["code"] == "USAGE"


def test_versions_lists_the_history_newest_first(waybill):
    waybill.good("put", "--no-payload", "shell/history", "--reason", "first")
    put(waybill, "history", b"three")
    waybill.good("rm", "shell/history", "--reason", "gone")
    lines = [line.split() for line in waybill.good("versions", "shell/history").splitlines()]
    assert [(line[0], line[2], line[4:]) for line in lines] == [
        ("3", "-", ["gone"]), ("2", "5", []), ("1", "-", ["first"])]
    assert lines[0][1] == "DELETED"
    page = waybill.json("versions", "shell/history", "--limit", "2")
    assert [record["version"] for record in page["records"]] == ["3", "2"]
    page = waybill.json("versions", "shell/history", "--page-token", page["nextPageToken"])
    assert [record["version"] for record in page["records"]] == ["1"] and "nextPageToken" not in page
    assert waybill.bad(3, "versions", "shell/never-there")["reason"] == "RECORD_NOT_FOUND"


def test_undelete_brings_records_back(waybill):
    put(waybill, "back", b"precious", "--content-type", "text/plain")
    wait_for(lambda: waybill.json("stat", "shell/back")["state"] == "RECORD_STATE_STORED", "the object to be stored")
    waybill.good("rm", "shell/back")
    assert waybill.good("undelete", "shell/back") == "shell/back  version 3  STORED  8 bytes\n"
    assert waybill("get", "shell/back", "-").stdout == b"precious"
    assert waybill.json("stat", "shell/back")["contentType"] == "text/plain"
    error = waybill.bad(4, "undelete", "shell/back")
    assert error["reason"] == "RECORD_EXISTS" and "--version" in error["hint"]
    assert waybill.bad(3, "undelete", "shell/never-there")["reason"] == "RECORD_NOT_FOUND"


def test_undelete_with_a_version_goes_back_to_it(waybill):
    put(waybill, "rolled", b"one")
    put(waybill, "rolled", b"two")
    assert waybill.bad(4, "undelete", "shell/rolled", "--version", "1", "--if-version", "1")["reason"] \
        == "VERSION_MISMATCH"
    record = waybill.json("undelete", "shell/rolled", "--version", "1", "--if-version", "2")["record"]
    assert record["version"] == "3"
    assert waybill("get", "shell/rolled", "-").stdout == b"one"
    assert waybill.bad(3, "undelete", "shell/rolled", "--version", "9")["reason"] == "VERSION_NOT_FOUND"
    assert waybill.bad(2, "undelete", "shell/a", "shell/b", "--version", "1")["code"] == "USAGE"
