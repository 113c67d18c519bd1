"""Several object-svc replicas on one stream: they share the work, and each serves what any of them holds."""

import os

import grpc
import pytest

from client import HOT, HOT_AND_COLD, Client, failure_of, objects, record_messages
from cluster import wait_for
from conftest_shared import run_cluster

REPLICAS = 3


def replica_of(record):
    """The name of the replica that has it hot."""
    return next(place.replica for place in record.locations if place.tier == record_messages.TIER_HOT)


def number_of(record):
    return int(replica_of(record).split("-")[-1]) - 1


@pytest.fixture
def trio():
    yield from run_cluster(replicas=REPLICAS)


@pytest.fixture
def trio_client(trio):
    return Client(trio)


def test_any_replica_serves_any_object(trio, trio_client):
    trio.wait_peers()
    trio_client.create_bucket("shared", HOT)
    sizes = [0, 1, 65535, 65536, 65537, 1 << 20, (3 << 20) + 7]
    data = {f"object-{size}": os.urandom(size) for size in sizes}
    for key, content in data.items():
        trio_client.upload("shared", key, content)
    for key, content in data.items():
        home = number_of(trio_client.wait_state("shared", key, "STORED"))
        for replica in range(REPLICAS):
            got, source, _ = trio_client.read("shared", key, replica=replica)
            assert got == content
            assert source == (objects.READ_SOURCE_HOT if replica == home else objects.READ_SOURCE_PEER)


def test_ranges_come_through_another_replica(trio, trio_client):
    trio.wait_peers()
    trio_client.create_bucket("ranges", HOT)
    content = os.urandom((5 << 20) + 123)
    trio_client.upload("ranges", "big", content)
    away = (number_of(trio_client.wait_state("ranges", "big", "STORED")) + 1) % REPLICAS
    for offset, limit in [(0, 1), (65535, 2), (65536, 65536), (1 << 20, 0), (len(content) - 1, 0), (len(content), 0),
                          (-10, 5), (1000000, 3000000), (4 << 20, 1 << 30)]:
        got, source, _ = trio_client.read("ranges", "big", replica=away, read_offset=offset, read_limit=limit)
        begin = len(content) + offset if offset < 0 else offset
        assert got == content[begin:begin + limit if limit else None], (offset, limit)
        assert source == objects.READ_SOURCE_PEER
    stat = trio_client.replicas[away].StatObject(objects.StatObjectRequest(bucket="ranges", key="big"), timeout=30)
    assert stat.source == objects.READ_SOURCE_PEER


def test_an_object_of_a_replica_that_is_away_is_unavailable_until_it_is_back(trio, trio_client):
    trio_client.create_bucket("away", HOT)
    content = os.urandom(100000)
    trio_client.upload("away", "key", content)
    home = number_of(trio_client.wait_state("away", "key", "STORED"))
    other = (home + 1) % REPLICAS
    assert trio.objects[home].stop() == 0
    failure = failure_of(trio_client.read, "away", "key", replica=other)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OBJECT_ON_OTHER_REPLICA")
    assert failure.metadata["replica"] == f"replica-{home + 1}"
    trio.objects[home].start()

    def read_again():
        try:
            return trio_client.read("away", "key", replica=other)
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAVAILABLE
            return None

    assert wait_for(read_again, "the replica to be found again")[:2] == (content, objects.READ_SOURCE_PEER)


def test_the_cold_copy_is_served_while_the_replica_with_the_hot_one_is_away(trio, trio_client):
    trio_client.create_bucket("both", HOT_AND_COLD, cold_after=0)
    content = os.urandom(300000)
    trio_client.upload("both", "key", content)
    home = number_of(trio_client.wait_tiers("both", "key", {"HOT", "COLD"}))
    trio.objects[home].kill()
    assert trio_client.read("both", "key", replica=(home + 1) % REPLICAS)[:2] == (content, objects.READ_SOURCE_COLD)
