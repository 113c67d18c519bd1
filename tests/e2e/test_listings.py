"""Listings with prefix, delimiter and filter, stable under writes; batches."""

import threading

import grpc
import pytest

from client import TIMEOUT, Client, failure_of, metadata
from contract import record_pb2

BUCKET = "listings"
KEYS = ["a/1", "a/2", "a/b/1", "a/b/2", "a/b/3", "a/c/1", "a/d", "b/1", "z"]


@pytest.fixture(scope="module", autouse=True)
def bucket(client):
    made = client.create_bucket(BUCKET)
    for number, key in enumerate(KEYS):
        client.put(BUCKET, key, attributes={
            "number": record_pb2.AttributeValue(int_value=number),
            "parity": record_pb2.AttributeValue(string_value="even" if number % 2 == 0 else "odd"),
        }, content_type="text/plain" if number < 4 else "")
    return made


def list_all(client, **fields):
    """(keys, common prefixes) over all pages, and how many pages that took."""
    keys, prefixes, token, pages = [], [], "", 0
    while True:
        answer = client.metadata.ListRecords(
            metadata.ListRecordsRequest(bucket=BUCKET, page_token=token, **fields), timeout=TIMEOUT)
        keys += [record.key for record in answer.records]
        prefixes += answer.common_prefixes
        token, pages = answer.next_page_token, pages + 1
        if not token:
            return keys, prefixes, pages


def test_a_delimiter_rolls_keys_up(client):
    assert list_all(client, delimiter="/")[:2] == (["z"], ["a/", "b/"])
    assert list_all(client, delimiter="/", prefix="a/")[:2] == (["a/1", "a/2", "a/d"], ["a/b/", "a/c/"])
    assert list_all(client, delimiter="/", prefix="a/b")[:2] == ([], ["a/b/"])
    assert list_all(client, delimiter="/b/", prefix="a")[:2] == (["a/1", "a/2", "a/c/1", "a/d"], ["a/b/"])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pages_of_a_rolled_up_listing_hold_each_entry_once(client, size):
    keys, prefixes, pages = list_all(client, delimiter="/", prefix="a/", page_size=size)
    assert (keys, prefixes) == (["a/1", "a/2", "a/d"], ["a/b/", "a/c/"])
    assert pages >= 5 // size


def test_a_prefix_without_visible_records_is_not_shown(client):
    client.put(BUCKET, "hidden/1")
    client.delete(BUCKET, "hidden/1")
    assert "hidden/" not in list_all(client, delimiter="/")[1]
    assert "hidden/" in list_all(client, delimiter="/", show_deleted=True)[1]


@pytest.mark.parametrize("filter_, wanted", [
    ("attributes.number >= 7", ["b/1", "z"]),
    ('attributes.parity = "odd" AND attributes.number < 4', ["a/2", "a/b/2"]),
    ("attributes.number = 0 OR attributes.number = 8", ["a/1", "z"]),
    ("NOT attributes.parity:even", ["a/2", "a/b/2", "a/c/1", "b/1"]),
    ("content_type = text/* attributes.number > 1", ["a/b/1", "a/b/2"]),
    ("-(key = a/* OR key = b/*)", ["z"]),
    ("state = COMMITTED AND key = z", ["z"]),
    ("state = STORED", []),
    ("attributes:number AND version = 1 AND key >= b", ["b/1", "z"]),
    ("create_time < 2020-01-01T00:00:00Z", []),
    ("create_time > 2020-01-01T00:00:00Z AND key = z", ["z"]),
    ("attributes.missing = 1 OR attributes.missing != 1", []),
])
def test_a_filter_picks_records(client, filter_, wanted):
    assert list_all(client, filter=filter_)[0] == wanted
    assert list_all(client, filter=filter_, page_size=1)[0] == wanted


@pytest.mark.parametrize("filter_", ["state", "state =", "= x", "state = NONE", "a.b = 1", "key.part = 1", '"x" = 1',
                                     "(key = a", "key = a)", 'key = "a', "NOT", "key = a AND", "x" * 5000,
                                     "(" * 100 + "key = a" + ")" * 100])
def test_a_bad_filter_is_refused(client, filter_):
    failure = failure_of(list_all, client, filter=filter_)
    assert (failure.code, failure.reason, failure.field) == (
        grpc.StatusCode.INVALID_ARGUMENT, "BAD_FILTER", "filter"), failure.message


def test_a_token_serves_only_its_own_listing(client):
    answer = client.metadata.ListRecords(
        metadata.ListRecordsRequest(bucket=BUCKET, page_size=1, delimiter="/"), timeout=TIMEOUT)
    for fields in ({}, {"delimiter": "/", "prefix": "a"}, {"delimiter": "/", "filter": "version = 1"}):
        request = metadata.ListRecordsRequest(bucket=BUCKET, page_token=answer.next_page_token, **fields)
        assert failure_of(client.metadata.ListRecords, request, timeout=TIMEOUT).reason == "BAD_PAGE_TOKEN"


def test_a_listing_under_concurrent_writes_misses_nothing_that_stays(client):
    client.create_bucket("moving")
    stays = {f"stays-{number:03}" for number in range(200)}
    for key in stays:
        client.put("moving", key)
    stopping = threading.Event()

    def stir():
        own = Client(client.cluster)
        while not stopping.is_set():
            for number in range(20):
                own.put("moving", f"stays-{number * 10:03}-comes")
                own.delete("moving", f"stays-{number * 10:03}-comes")

    stirrer = threading.Thread(target=stir)
    stirrer.start()
    try:
        for _ in range(5):
            keys = [record.key for page in client.list_pages("moving", page_size=7) for record in page]
            assert keys == sorted(set(keys)) and stays <= set(keys)
    finally:
        stopping.set()
        stirrer.join()


def test_a_page_of_large_records_stays_below_a_message(client):
    client.create_bucket("large")
    big = {"big": record_pb2.AttributeValue(bytes_value=b"x" * 32000)}
    client.metadata.BatchPutRecords(metadata.BatchPutRecordsRequest(requests=[
        metadata.PutRecordRequest(bucket="large", key=f"{number:03}", attributes=big) for number in range(100)]),
        timeout=TIMEOUT)
    client.metadata.BatchPutRecords(metadata.BatchPutRecordsRequest(requests=[
        metadata.PutRecordRequest(bucket="large", key=f"{number:03}", attributes=big) for number in range(100, 200)]),
        timeout=TIMEOUT)
    pages = list(client.list_pages("large", page_size=1000))
    assert len(pages) > 1 and sum(map(len, pages)) == 200


def test_a_page_ends_where_hardly_any_record_matches(client):
    client.create_bucket("sparse")
    count = 10500
    for start in range(0, count, 500):
        client.metadata.BatchPutRecords(metadata.BatchPutRecordsRequest(requests=[
            metadata.PutRecordRequest(bucket="sparse", key=f"{number:06}")
            for number in range(start, start + 500)]), timeout=TIMEOUT)
    client.put("sparse", "last", attributes={"wanted": record_pb2.AttributeValue(bool_value=True)})
    pages = list(client.list_pages("sparse", filter="attributes.wanted = true"))
    assert [len(page) for page in pages] == [0, 1]


def test_each_request_of_a_batch_has_its_own_outcome(client):
    def put(key, **fields):
        return metadata.PutRecordRequest(bucket=BUCKET, key=key, **fields)

    requests = [put("batch-1"), put("a//b"), put("batch-1", if_version_match=1), put("batch-2", if_version_match=7),
                put("batch-3", inline_payload={"data": b"inline"}), put("batch-4", announced_payload={})]
    requests[3].bucket = "no-such-bucket"
    requests.append(put("batch-1", if_version_match=7))
    requests.append(put("\u00e9" * 511 + "//"))
    results = client.metadata.BatchPutRecords(
        metadata.BatchPutRecordsRequest(requests=requests), timeout=TIMEOUT).results
    assert [result.error_reason for result in results] == [
        "", "BAD_KEY", "", "BUCKET_NOT_FOUND", "", "", "VERSION_MISMATCH", "BAD_KEY"]
    assert [result.code for result in results] == [0, 3, 0, 5, 0, 0, 10, 3]
    assert [result.response.record.version for result in results] == [1, 0, 2, 0, 1, 1, 0, 0]
    assert results[1].error_field == "key" and not results[1].error_metadata
    assert dict(results[6].error_metadata) == {"current_version": "2"}
    assert results[5].response.upload_id
    client.wait_state(BUCKET, "batch-3", "STORED")
    answer = client.metadata.BatchGetRecords(metadata.BatchGetRecordsRequest(requests=[
        metadata.GetRecordRequest(bucket=BUCKET, key=key) for key in ("batch-3", "absent", "batch-1")]), timeout=TIMEOUT)
    assert [record.key for record in answer.records] == ["batch-3", "batch-1"]


def test_a_batch_shares_flushes(client):
    before = client.revision()
    requests = [metadata.PutRecordRequest(bucket=BUCKET, key=f"many-{number}") for number in range(500)]
    results = client.metadata.BatchPutRecords(
        metadata.BatchPutRecordsRequest(requests=requests), timeout=TIMEOUT).results
    assert all(result.code == 0 for result in results) and client.revision() >= before + 500
