"""waybill bucket: policies of every kind, their changes, and the end of a bucket."""

import pytest

from cluster import wait_for
from command_line import CommandLine

POLICY = {
    "--storage-class": "cold",
    "--cold-after": "90m",
    "--expire-after": "48h",
    "--max-versions": "7",
    "--version-retention": "1500ms",
    "--delete-retention": "24h",
    "--payload-deadline": "90s",
    "--on-failure": "revert",
    "--inline-max": "4KiB",
}
POLICY_FIELDS = ("inlineMaxBytes", "deleteRetention", "payloadDeadline", "onFailure")
STORAGE = {"storageClass": "STORAGE_CLASS_COLD", "coldAfter": "5400s", "expireAfter": "172800s", "maxVersions": 7,
           "versionRetention": "1.500s"}


@pytest.fixture(scope="module")
def waybill(cluster):
    return CommandLine(cluster)


def words(options):
    return [word for option in options.items() for word in option]


def without_output_fields(bucket):
    return {name: bucket[name] for name in ("storage", *POLICY_FIELDS)}


def test_a_bucket_is_created_with_its_whole_policy(waybill):
    made = waybill.json("bucket", "create", "whole", *words(POLICY))
    assert without_output_fields(made) == {
        "storage": STORAGE, "inlineMaxBytes": "4096", "deleteRetention": "86400s", "payloadDeadline": "90s",
        "onFailure": "ON_FAILURE_REVERT"}
    assert waybill.json("bucket", "get", "whole") == made
    shown = dict(line.rsplit("  ", 1) for line in waybill.good("bucket", "get", "whole").splitlines())
    shown = {name.strip(): value for name, value in shown.items()}
    shown = {name: shown[name] for name in ("storage class", "cold after", "expire after", "max versions",
                                            "version retention", "delete retention", "payload deadline",
                                            "on failure", "inline up to")}
    assert shown == {"storage class": "COLD", "cold after": "90m", "expire after": "48h", "max versions": "7",
                     "version retention": "1500ms", "delete retention": "24h", "payload deadline": "90s",
                     "on failure": "REVERT", "inline up to": "4.0 KiB"}


@pytest.mark.parametrize("option", POLICY)
def test_an_update_changes_one_field_and_leaves_the_others(waybill, option):
    name = "one" + option
    before = waybill.json("bucket", "create", name)
    whole = waybill.json("bucket", "get", "whole")
    after = waybill.json("bucket", "update", name, option, POLICY[option])
    assert after["version"] == "2"
    changed = {key for key in set(before["storage"]) | set(after["storage"])
               if before["storage"].get(key) != after["storage"].get(key)}
    changed |= {key for key in POLICY_FIELDS if before[key] != after[key]}
    assert len(changed) == 1, changed
    key = changed.pop()
    assert after["storage"].get(key, after.get(key)) == whole["storage"].get(key, whole.get(key))


def test_a_policy_goes_back_to_for_ever(waybill):
    waybill.good("bucket", "create", "ever", *words(POLICY))
    assert waybill.good("bucket", "update", "ever", "--expire-after", "0", "--max-versions", "0",
                        "--version-retention", "0") == "updated bucket ever  version 2\n"
    storage = waybill.json("bucket", "get", "ever")["storage"]
    assert storage == {"storageClass": "STORAGE_CLASS_COLD", "coldAfter": "5400s"}
    shown = waybill.good("bucket", "get", "ever")
    assert "expire after       never\n" in shown and "version retention  for ever\n" in shown


def test_an_update_is_kept_to(waybill):
    waybill.good("bucket", "create", "bounded", "--storage-class", "hot")
    waybill.good("bucket", "update", "bounded", "--max-versions", "2")
    for _ in range(4):
        waybill.good("put", "--no-payload", "bounded/key")
    assert [line.split()[0] for line in waybill.good("versions", "bounded/key").splitlines()] == ["4", "3"]


def test_updates_have_preconditions_and_reasons(waybill):
    waybill.good("bucket", "create", "checked")
    error = waybill.bad(4, "bucket", "update", "checked", "--max-versions", "2", "--if-version", "5")
    assert error["reason"] == "VERSION_MISMATCH" and "--if-version=1" in error["hint"]
    waybill.good("bucket", "update", "checked", "--max-versions", "2", "--if-version", "1", "--reason", "too many")
    assert waybill.bad(3, "bucket", "update", "never-there", "--max-versions", "2")["reason"] == "BUCKET_NOT_FOUND"
    assert waybill.bad(1, "bucket", "update", "checked", "--max-versions", "2000000000")["reason"] \
        == "BAD_MAX_VERSIONS"
    assert waybill.bad(2, "bucket", "update", "checked")["code"] == "USAGE"
    assert waybill.bad(2, "bucket", "update", "checked", "--cold-after", "soon")["code"] == "USAGE"


def test_only_an_empty_bucket_is_deleted(waybill):
    waybill.good("bucket", "create", "fleeting", "--delete-retention", "1ms")
    waybill.good("put", "--no-payload", "fleeting/key")
    error = waybill.bad(4, "bucket", "delete", "fleeting")
    assert error["reason"] == "BUCKET_NOT_EMPTY" and "ls --deleted" in error["hint"]
    waybill.good("rm", "fleeting/key")
    wait_for(lambda: not waybill.good("ls", "fleeting", "--deleted"), "the tombstone to go")
    assert waybill.bad(4, "bucket", "delete", "fleeting", "--if-version", "2")["reason"] == "VERSION_MISMATCH"
    assert waybill.good("bucket", "delete", "fleeting", "--if-version", "1") == "deleted bucket fleeting\n"
    assert waybill.bad(3, "bucket", "get", "fleeting")["reason"] == "BUCKET_NOT_FOUND"
    assert waybill.bad(3, "bucket", "delete", "fleeting")["reason"] == "BUCKET_NOT_FOUND"
    waybill.good("bucket", "create", "brief")
    assert waybill.json("bucket", "delete", "brief") == {}
