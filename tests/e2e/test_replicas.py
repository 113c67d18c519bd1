"""Several object-svc replicas on one stream: they share the work, and each serves what any of them holds."""

import os

import grpc
import pytest

from client import (COLD, HOT, HOT_AND_COLD, TIMEOUT, Client, failure_of, metadata, objects, peer, record_messages,
                    report)
from contract import peer_service_pb2_grpc as peer_grpc
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


def test_replicas_are_still_known_after_a_restart_of_metadata_svc(trio, trio_client):
    trio.wait_peers()
    trio_client.create_bucket("kept", HOT)
    content = os.urandom(100000)
    trio_client.upload("kept", "key", content)
    home = number_of(trio_client.wait_state("kept", "key", "STORED"))
    trio.metadata.kill()
    trio.metadata.start()
    for replica in range(REPLICAS):
        assert trio_client.read("kept", "key", replica=replica)[0] == content
    known = wait_for(lambda: len(everyone(trio_client)) == REPLICAS and everyone(trio_client), "all to register again")
    assert known[f"replica-{home + 1}"] == f"127.0.0.1:{trio.object_ports[home]}"


def test_replicas_share_what_comes_back_to_hot(trio, trio_client):
    trio.wait_peers()
    trio_client.create_bucket("recalled", COLD, cold_after=0)
    keys = [f"object-{number}" for number in range(12)]
    for key in keys:
        trio_client.upload("recalled", key, os.urandom(70000))
    for key in keys:
        trio_client.wait_tiers("recalled", key, {"COLD"})
    trio_client.metadata.UpdateBucket(metadata.UpdateBucketRequest(
        bucket={"name": "recalled", "storage": {"storage_class": HOT}},
        update_mask={"paths": ["storage.storage_class"]}), timeout=TIMEOUT)
    for key in keys:
        trio_client.wait_tiers("recalled", key, {"HOT", "COLD"})
    homes = {replica_of(trio_client.get("recalled", key)) for key in keys}
    assert len(homes) > 1, homes
    assert all(len(trio_client.get("recalled", key).locations) == 2 for key in keys), "each by one of them"


def everyone(client):
    """The replicas that are there; asking takes a name, so one comes and leaves."""
    return client.register_replica("nobody", "", leaving=True)


def test_a_registration_is_checked(client):
    def refused(replica, **fields):
        failure = failure_of(client.reports.RegisterReplica,
                             report.RegisterReplicaRequest(replica=replica, **fields), timeout=TIMEOUT)
        assert failure.code == grpc.StatusCode.INVALID_ARGUMENT
        return failure.reason, failure.field

    good = report.Replica(name="r", address="host:1")
    assert refused(None) == ("BAD_REPLICA", "replica")
    assert refused(report.Replica(name="", address="host:1")) == ("BAD_REPLICA", "replica.name")
    assert refused(report.Replica(name="x" * 254, address="host:1")) == ("BAD_REPLICA", "replica.name")
    for address in ("", "host", "host:99999", "a b:1", "host:1" * 200):
        assert refused(report.Replica(name="r", address=address)) == ("BAD_ADDRESS", "replica.address")
    assert refused(good) == ("BAD_DURATION", "ttl")
    for ttl in ({"seconds": -1}, {"nanos": 99999999}, {"seconds": 3601}, {"seconds": 1 << 40}):
        assert refused(good, ttl=ttl) == ("BAD_DURATION", "ttl")
    assert "r" not in everyone(client)


def test_a_registration_ends_with_its_ttl_or_at_once(client):
    assert client.register_replica("short", "127.0.0.1:1", ttl=0.2)["short"] == "127.0.0.1:1"
    client.register_replica("long", "127.0.0.1:2", ttl=3600)
    wait_for(lambda: "short" not in everyone(client), "the registration to end")
    assert everyone(client)["long"] == "127.0.0.1:2"
    assert "long" not in client.register_replica("long", "", leaving=True)


def test_a_request_of_a_peer_is_checked(cluster, client):
    client.create_bucket("asked", HOT)
    client.put("asked", "key", b"0123456789")
    payload_id = client.wait_state("asked", "key", "STORED").payload_id
    peers = peer_grpc.PeerServiceStub(cluster.channel(cluster.object_port))

    def refused(**fields):
        failure = failure_of(peers.ReadHotObject, peer.ReadHotObjectRequest(**fields), timeout=TIMEOUT)
        return failure.code.name, failure.reason, failure.field

    assert refused() == ("INVALID_ARGUMENT", "BAD_PAYLOAD_ID", "payload_id")
    assert refused(payload_id="x" * 36) == ("INVALID_ARGUMENT", "BAD_PAYLOAD_ID", "payload_id")
    assert refused(payload_id=payload_id, read_offset=-1) == ("INVALID_ARGUMENT", "BAD_RANGE", "read_offset")
    assert refused(payload_id=payload_id, read_limit=-1) == ("INVALID_ARGUMENT", "BAD_RANGE", "read_limit")
    assert refused(payload_id=payload_id, read_offset=11)[:2] == ("OUT_OF_RANGE", "READ_PAST_END")
    assert refused(payload_id="00000000-0000-4000-8000-000000000000")[:2] == ("NOT_FOUND", "OBJECT_NOT_FOUND")
    answers = list(peers.ReadHotObject(peer.ReadHotObjectRequest(payload_id=payload_id, read_offset=10), timeout=TIMEOUT))
    assert answers[0].header.size == 10


def test_reads_of_peers_are_bounded_apart_from_those_of_clients():
    for cluster in run_cluster(object_flags=["--max-peer-streams", "1", "--max-streams", "1"]):
        client = Client(cluster)
        client.create_bucket("bounded", HOT)
        content = os.urandom(32 << 20)
        client.upload("bounded", "key", content)
        request = peer.ReadHotObjectRequest(payload_id=client.wait_state("bounded", "key", "STORED").payload_id)
        peers = peer_grpc.PeerServiceStub(cluster.channel(cluster.object_port))
        slow = peers.ReadHotObject(request, timeout=TIMEOUT)
        next(slow)  # it has begun, and flow control holds it
        failure = failure_of(peers.ReadHotObject, request, timeout=TIMEOUT)
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
        assert failure.retry_seconds > 0
        assert client.read("bounded", "key")[0] == content
        assert sum(len(answer.data) for answer in slow) == len(content)
        assert sum(len(answer.data) for answer in peers.ReadHotObject(request, timeout=TIMEOUT)) == len(content)
