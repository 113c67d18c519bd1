"""waybill ls: filters, prefixes and limits."""

import json

import pytest

from client import TIMEOUT, metadata
from command_line import CommandLine

KEYS = ["2023", "2023/a", "2024/a", "2024/b/c", "2024/b/d", "2024/b2", "25"]


@pytest.fixture(scope="module")
def waybill(cluster):
    run = CommandLine(cluster)
    run.good("bucket", "create", "shell", "--storage-class", "hot")
    for number, key in enumerate(KEYS):
        run.good("put", "-", f"shell/{key}", "--attr", f"number:int={number}", "--attr", f"parity={number % 2}",
                 "--content-type", "text/plain", input=b"x" * number)
    return run


def listed(waybill, *arguments):
    return waybill.good("ls", *arguments).splitlines()


@pytest.mark.parametrize("expression, keys", [
    ("attributes.number >= 5", KEYS[5:]),
    ('attributes.parity = "1" AND size < 4', [KEYS[1], KEYS[3]]),
    ('NOT (attributes.parity = "1" OR key = "25")', [KEYS[0], KEYS[2], KEYS[4]]),
    ("attributes.missing : *", []),
])
def test_a_filter_chooses_records(waybill, expression, keys):
    assert listed(waybill, "shell", "--filter", expression) == keys


def test_a_filter_and_a_prefix_both_hold(waybill):
    assert listed(waybill, "shell/2024/", "--filter", "attributes.number > 3") == ["2024/b/d", "2024/b2"]


def test_a_filter_that_cannot_be_understood_says_where(waybill):
    error = waybill.bad(1, "ls", "shell", "--filter", "size >")
    assert error["reason"] == "BAD_FILTER" and error["field"] == "filter", error


def test_a_delimiter_rolls_keys_up_in_their_order(waybill):
    assert listed(waybill, "shell", "--delimiter", "/") == ["2023", "2023/", "2024/", "25"]
    assert listed(waybill, "shell/2024/", "--delimiter", "/") == ["2024/a", "2024/b/", "2024/b2"]
    rows = [line.split() for line in listed(waybill, "shell/2024/", "--delimiter", "/", "-l")]
    assert [row[-1] for row in rows] == ["2024/a", "2024/b/", "2024/b2"]
    assert rows[1][0] == "PREFIX" and rows[0][1] == "2"
    page = waybill.json("ls", "shell/2024/", "--delimiter", "/")
    assert page["commonPrefixes"] == ["2024/b/"] and [record["key"] for record in page["records"]] \
        == ["2024/a", "2024/b2"]


def test_a_limit_counts_prefixes_and_a_token_goes_on(waybill):
    assert listed(waybill, "shell", "--delimiter", "/", "--limit", "3") == ["2023", "2023/", "2024/"]
    page = waybill.json("ls", "shell", "--delimiter", "/", "--limit", "3")
    assert listed(waybill, "shell", "--delimiter", "/", "--page-token", page["nextPageToken"]) == ["25"]
    error = waybill.bad(1, "ls", "shell", "--page-token", page["nextPageToken"])
    assert error["reason"] == "BAD_PAGE_TOKEN", "it belongs to another listing"


def test_small_pages_are_put_together(waybill):
    assert listed(waybill, "shell", "--page-size", "2") == KEYS
    assert listed(waybill, "shell", "--page-size", "2", "--limit", "5") == KEYS[:5]
    lines = waybill.good("ls", "shell", "--page-size", "3", "--json").splitlines()
    assert [len(json.loads(line)["records"]) for line in lines] == [3, 3, 1]


def test_tombstones_are_listed_on_request(waybill):
    waybill.good("put", "--no-payload", "shell/gone")
    waybill.good("rm", "shell/gone")
    assert listed(waybill, "shell/g") == []
    assert listed(waybill, "shell/g", "--deleted") == ["gone"]
    assert listed(waybill, "shell", "-d", "--filter", "state = DELETED") == ["gone"]


def test_a_thousand_are_listed_and_that_there_are_more_is_told(waybill, client):
    waybill.good("bucket", "create", "many")
    keys = [f"{number:04}" for number in range(1001)]
    for start in range(0, len(keys), 500):
        requests = [metadata.PutRecordRequest(bucket="many", key=key) for key in keys[start:start + 500]]
        results = client.metadata.BatchPutRecords(metadata.BatchPutRecordsRequest(requests=requests), timeout=TIMEOUT)
        assert all(result.code == 0 for result in results.results)
    done = waybill("ls", "many")
    assert done.stdout.decode().split() == keys[:1000]
    assert done.stderr == b"waybill: ls: there is more: --all lists all of it\n"
    done = waybill("ls", "many", "--all")
    assert done.stdout.decode().split() == keys and done.stderr == b""
    assert waybill("ls", "many", "--limit", "2").stderr == b"", "who sets a limit knows"
    assert listed(waybill, "many", "--filter", 'key = "1000"') == ["1000"], "the last of many records is found"
