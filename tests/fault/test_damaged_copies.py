"""Bytes flipped in hot volumes and cold objects: never returned, told of, and mended from a good copy."""

from concurrent import futures
import os

import grpc
import pytest

from client import COLD, HOT, HOT_AND_COLD, Client, failure_of, objects, record_messages
from cluster import wait_for
from conftest_shared import run_cluster
from damage import flip_cold, flip_hot, object_directory
from fake_peer import FakePeer

SIZE = (3 << 20) + 17
EXPECTED = ("corrupt_copy", "copy_not_repaired")


@pytest.fixture
def damaged():
    for cluster in run_cluster(allowed_errors=EXPECTED, replicas=2):
        yield Damaged(cluster)


class Damaged:
    """Writes objects and damages copies of them."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.client = Client(cluster)
        cluster.wait_peers()
        self.client.create_bucket("both", HOT_AND_COLD, cold_after=0)
        self.client.create_bucket("hot", HOT)

    def store(self, bucket, key="key", size=SIZE):
        """(content, number of the replica that has it hot)"""
        content = os.urandom(size)
        self.client.upload(bucket, key, content)
        record = self.client.wait_tiers(bucket, key, {"HOT", "COLD"} if bucket == "both" else {"HOT"})
        home = next(place.replica for place in record.locations if place.tier == record_messages.TIER_HOT)
        return content, int(home.split("-")[-1]) - 1

    def directory(self, replica):
        return object_directory(self.cluster, replica)

    def flip_hot(self, replica, piece, offset=0):
        flip_hot(self.cluster, piece, replica, offset)

    def flip_cold(self, piece):
        flip_cold(self.cluster, piece)

    def metric(self, replica, name, **labels):
        return self.cluster.metric(self.cluster.object_admin_ports[replica], name, **labels)

    def read_again(self, bucket, key, replica):
        """After a kill: the connection may still be the old one."""
        def read():
            try:
                return self.client.read(bucket, key, replica=replica)
            except grpc.RpcError as error:
                assert error.code() == grpc.StatusCode.UNAVAILABLE, error
                return None

        return wait_for(read, "the replica to be read from again")

    def wait_repaired(self, replica, tier):
        wait_for(lambda: self.metric(replica, "waybill_object_repairs_total", tier=tier, outcome="repaired") == 1,
                 f"the {tier} copy to be repaired")
        wait_for(lambda: self.metric(replica, "waybill_object_repairs_waiting") == 0, "no more repairs")

    def told(self, replica, event):
        return [line for line in self.cluster.objects[replica].log_events() if line.get("event") == event]


@pytest.mark.parametrize("where", ["first block", "middle", "last byte", "header"])
def test_a_damaged_hot_copy_is_read_from_cold_and_mended(damaged, where):
    content, home = damaged.store("both", f"damaged-{where}")
    away = 1 - home
    key = f"damaged-{where}"
    if where == "header":
        damaged.flip_hot(home, key.encode())
    else:
        at = {"first block": 5, "middle": SIZE // 2, "last byte": SIZE - 1}[where]
        damaged.flip_hot(home, content[at // 4096 * 4096:][:64], at % 4096 if at % 4096 < 64 else 17)
    assert damaged.client.read("both", key, replica=home)[0] == content
    assert damaged.metric(home, "waybill_object_corrupt_total", tier="hot") >= 1
    line = damaged.told(home, "corrupt_copy")[0]
    assert (line["bucket"], line["key"], line["version"], line["source"]) == ("both", key, 1, "hot")
    damaged.wait_repaired(home, "hot")
    assert damaged.client.read("both", key, replica=home)[:2] == (content, objects.READ_SOURCE_HOT)
    assert damaged.client.read("both", key, replica=away)[:2] == (content, objects.READ_SOURCE_PEER)
    # The record is as before, and the repair is durable.
    assert len(damaged.client.get("both", key).locations) == 2
    damaged.cluster.objects[home].kill()
    damaged.cluster.objects[home].start()
    assert damaged.read_again("both", key, home)[:2] == (content, objects.READ_SOURCE_HOT)
    assert damaged.metric(home, "waybill_object_corrupt_total", tier="hot") == 0


def test_a_copy_that_another_replica_finds_damaged_is_mended_where_it_is(damaged):
    content, home = damaged.store("both")
    damaged.flip_hot(home, content[1 << 20:][:64])
    assert damaged.client.read("both", "key", replica=1 - home)[0] == content
    assert damaged.metric(1 - home, "waybill_object_corrupt_total", tier="peer") == 1
    damaged.wait_repaired(home, "hot")
    assert damaged.client.read("both", "key", replica=1 - home)[:2] == (content, objects.READ_SOURCE_PEER)


def test_a_damaged_cold_copy_is_mended_from_another_replica(damaged):
    content, home = damaged.store("both")
    away = 1 - home
    damaged.flip_cold(content[1 << 20:][:64])
    damaged.cluster.objects[home].kill()
    # The hot copy may be good, so it is worth trying again later.
    failure = failure_of(damaged.client.read, "both", "key", replica=away, read_offset=1 << 20)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OBJECT_ON_OTHER_REPLICA")
    assert damaged.metric(away, "waybill_object_corrupt_total", tier="cold") == 1
    damaged.cluster.objects[home].start()
    damaged.wait_repaired(away, "cold")
    damaged.cluster.objects[home].kill()
    assert damaged.client.read("both", "key", replica=away)[:2] == (content, objects.READ_SOURCE_COLD)
    damaged.cluster.objects[home].start()


def test_a_hot_copy_that_cannot_be_moved_is_mended_from_the_spool(damaged):
    """It is the only one, but the spool keeps the payload until the cold copy is committed."""
    damaged.client.create_bucket("cold", COLD, cold_after=0)
    content = os.urandom(SIZE)
    in_the_way = os.path.join(damaged.directory(0), "cold", "cold")
    with open(in_the_way, "w"):
        pass
    damaged.client.upload("cold", "key", content)
    record = damaged.client.wait_state("cold", "key", "STORED")
    home = int(record.locations[0].replica.split("-")[-1]) - 1
    damaged.flip_hot(home, content[1 << 20:][:64])
    os.unlink(in_the_way)
    damaged.client.wait_cold("cold", "key", 60)
    assert damaged.metric(home, "waybill_object_repairs_total", tier="hot", outcome="repaired") == 1
    for replica in (home, 1 - home):
        assert damaged.client.read("cold", "key", replica=replica)[:2] == (content, objects.READ_SOURCE_COLD)
    wait_for(lambda: damaged.client.status().spool_payloads == 0, "the spool to let go")


def test_without_a_good_copy_the_read_fails_and_no_wrong_byte_comes(damaged):
    for bucket in ("hot", "both"):
        content, home = damaged.store(bucket)
        damaged.flip_hot(home, content[2 << 20:][:64])
        if bucket == "both":
            damaged.flip_cold(content[2 << 20:][:64])
        for replica in (home, 1 - home):
            data = b""
            with pytest.raises(grpc.RpcError) as failure:
                for answer in damaged.client.replicas[replica].ReadObject(
                        objects.ReadObjectRequest(bucket=bucket, key="key"), timeout=60):
                    data += answer.data
            assert failure.value.code() == grpc.StatusCode.DATA_LOSS
            assert data == content[:len(data)] and len(data) <= 2 << 20
            # Ranges before the damage are as good as ever.
            assert damaged.client.read(bucket, "key", replica=replica, read_limit=1 << 20)[0] == content[:1 << 20]
        wait_for(lambda: [line for line in damaged.told(home, "copy_not_repaired") if line["bucket"] == bucket],
                 "the failed repair to be told")


def test_a_damaged_hot_copy_is_mended_from_the_hot_copy_of_another_replica(damaged):
    content, home = damaged.store("hot")
    twin = FakePeer(content, lambda number, message, context: message)
    try:
        damaged.client.register_replica("twin", twin.address)
        wait_for(lambda: damaged.metric(home, "waybill_peers") == 2, "the twin to be known")
        assert damaged.client.report("twin", damaged.client.get("hot", "key"), "TIERED", "HOT") == "ACCEPTED"
        damaged.flip_hot(home, content[1 << 20:][:64])
        assert damaged.client.read("hot", "key", replica=home)[0] == content
        damaged.wait_repaired(home, "hot")
    finally:
        twin.stop()
    assert damaged.client.read("hot", "key", replica=home)[:2] == (content, objects.READ_SOURCE_HOT)


def test_many_reads_of_a_damaged_copy_are_one_repair(damaged):
    content, home = damaged.store("both")
    damaged.flip_hot(home, content[:64])
    with futures.ThreadPoolExecutor(8) as readers:
        for got in readers.map(lambda _: damaged.client.read("both", "key", replica=home)[0], range(40)):
            assert got == content
    damaged.wait_repaired(home, "hot")
