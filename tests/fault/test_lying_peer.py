"""Another replica that lies, hangs or dies in the middle of a read: the client gets the right
bytes from the next copy, without an error; where there is no other copy, an error and no wrong byte."""

import os

import grpc
import pytest

from client import HOT, HOT_AND_COLD, Client, Failure, objects, peer, record_messages
from cluster import wait_for
from conftest_shared import run_cluster
from fake_peer import BLOCK, FakePeer, crc32c

BLOCKS = 40
SIZE = BLOCKS * BLOCK + 100
HEADER, SUMS, FIRST_DATA, MIDDLE = 0, 1, 2, 20  # numbers of messages


class LiedTo:
    """Two objects of which one replica knows that "liar" has them hot; one is also cold."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.client = Client(cluster)
        self.content = os.urandom(SIZE)
        self.client.create_bucket("with-cold", HOT_AND_COLD, cold_after=0)
        self.client.create_bucket("hot-alone", HOT)
        self.away = {"with-cold": self.move_to_liar("with-cold", {"HOT", "COLD"}),
                     "hot-alone": self.move_to_liar("hot-alone", {"HOT"})}

    def move_to_liar(self, bucket, tiers):
        """As if the liar had taken the hot copy over; returns the replica that never had it."""
        self.client.upload(bucket, "key", self.content)
        record = self.client.wait_tiers(bucket, "key", tiers)
        home = next(place.replica for place in record.locations if place.tier == record_messages.TIER_HOT)
        assert self.client.report("liar", record, "TIERED", "HOT") == "ACCEPTED"
        assert self.client.report(home, record, "DROPPED", "HOT") == "ACCEPTED"
        return 1 if home == "replica-1" else 0

    def know_liar(self, address):
        self.client.register_replica("liar", address)
        for number, port in enumerate(self.cluster.object_admin_ports):
            wait_for(lambda: self.cluster.metric(port, "waybill_peers") == 2, f"replica {number} to know the liar")

    def forget_liar(self):
        self.client.register_replica("liar", "127.0.0.1:1", leaving=True)
        for number, port in enumerate(self.cluster.object_admin_ports):
            wait_for(lambda: self.cluster.metric(port, "waybill_peers") == 1, f"replica {number} to forget the liar")

    def read(self, bucket, **fields):
        return self.client.read(bucket, "key", replica=self.away[bucket], **fields)


@pytest.fixture(scope="module")
def lied_to():
    for cluster in run_cluster(allowed_errors=("corrupt_copy",), replicas=2,
                               object_flags=["--peer-timeout", "500ms", "--peer-refresh", "100ms"]):
        yield LiedTo(cluster)


@pytest.fixture
def lie(lied_to):
    """Starts a peer that tells the lie given."""
    peers = []

    def start(told):
        peers.append(FakePeer(lied_to.content, told))
        lied_to.know_liar(peers[-1].address)
        return peers[-1]

    yield start
    for one in peers:
        one.stop()
    lied_to.forget_liar()


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:]


def truth(number, message, context):
    return message


def damaged_block(number, message, context):
    if number == MIDDLE:
        message.data = flipped(message.data, 777)
    return message


def other_bytes_with_sums_of_their_own(number, message, context):
    if number == SUMS:
        message.block_sums = crc32c(b"x" * BLOCK).to_bytes(4, "little") + message.block_sums[4:]
    if number == FIRST_DATA:
        message.data = b"x" * BLOCK
    return message


def ends_early(number, message, context):
    return message if number < MIDDLE else None


def ends_after_the_header(number, message, context):
    return message if number == HEADER else None


def block_cut_short(number, message, context):
    if number == MIDDLE:
        message.data = message.data[:-1]
    return message


def more_than_there_is(number, message, context):
    if number == BLOCKS + FIRST_DATA:
        message.data = message.data + b"x" * BLOCK
    return message


def empty_data(number, message, context):
    return peer.ReadHotObjectResponse(data=b"") if number == MIDDLE else message


def empty_message(number, message, context):
    return peer.ReadHotObjectResponse() if number == MIDDLE else message


def header_again(number, message, context):
    return peer.ReadHotObjectResponse(header=peer.HotObjectHeader(size=SIZE)) if number == MIDDLE else message


def no_header(number, message, context):
    return peer.ReadHotObjectResponse(data=b"x" * BLOCK)


def sums_again(number, message, context):
    return peer.ReadHotObjectResponse(block_sums=b"abcd" * 100) if number == FIRST_DATA else message


def sums_without_end(number, message, context):
    if number == SUMS:
        message.block_sums = message.block_sums * 100
    return message


def uneven_sums(number, message, context):
    if number == SUMS:
        message.block_sums = message.block_sums[:-1]
    return message


def header_with(**fields):
    def told(number, message, context):
        if number == HEADER:
            for name, value in fields.items():
                setattr(message.header, name, value)
        return message

    return told


def refusal(code, at=HEADER):
    def told(number, message, context):
        if number == at:
            context.abort(code, "as the test wants it")
        return message

    return told


class GivesItUp:
    """Has the object until the middle of the first read."""

    def __init__(self):
        self.gone = False

    def __call__(self, number, message, context):
        self.gone = self.gone or number == MIDDLE
        if self.gone:
            context.abort(grpc.StatusCode.NOT_FOUND, "it has moved")
        return message


LIES = {
    "damaged block": damaged_block,
    "other bytes with sums of their own": other_bytes_with_sums_of_their_own,
    "ends early": ends_early,
    "ends after the header": ends_after_the_header,
    "block cut short": block_cut_short,
    "more than there is": more_than_there_is,
    "empty data": empty_data,
    "empty message": empty_message,
    "header again": header_again,
    "no header": no_header,
    "sums again": sums_again,
    "sums without end": sums_without_end,
    "uneven sums": uneven_sums,
    "another size": header_with(size=SIZE - 1),
    "negative size": header_with(size=-1),
    "another CRC32C": header_with(crc32c=1),
    "blocks of one byte": header_with(block_bytes=1),
    "blocks of no bytes": header_with(block_bytes=0),
    "blocks of negative bytes": header_with(block_bytes=-65536),
    "other blocks": header_with(data_offset=BLOCK),
    "blocks before the object": header_with(data_offset=-BLOCK),
    "damaged, it says": refusal(grpc.StatusCode.DATA_LOSS, MIDDLE),
}

REFUSALS = {
    "not there": (refusal(grpc.StatusCode.NOT_FOUND), grpc.StatusCode.DATA_LOSS, "OBJECT_MISSING"),
    "not there any more": (GivesItUp(), grpc.StatusCode.DATA_LOSS, "OBJECT_MISSING"),
    "busy": (refusal(grpc.StatusCode.RESOURCE_EXHAUSTED), grpc.StatusCode.RESOURCE_EXHAUSTED, "PEER_BUSY"),
    "stopping": (refusal(grpc.StatusCode.UNAVAILABLE), grpc.StatusCode.UNAVAILABLE, "OBJECT_ON_OTHER_REPLICA"),
    "an old program": (refusal(grpc.StatusCode.UNIMPLEMENTED), grpc.StatusCode.UNAVAILABLE, "OBJECT_ON_OTHER_REPLICA"),
}


def read_until_failure(lied_to, bucket, **fields):
    """(bytes that came, the failure)"""
    data = b""
    try:
        request = objects.ReadObjectRequest(bucket=bucket, key="key", **fields)
        for answer in lied_to.client.replicas[lied_to.away[bucket]].ReadObject(request, timeout=60):
            data += answer.data
    except grpc.RpcError as error:
        return data, Failure(error)
    return data, None


def test_a_peer_that_tells_the_truth_is_read_from(lied_to, lie):
    one = lie(truth)
    for bucket in ("with-cold", "hot-alone"):
        assert lied_to.read(bucket)[:2] == (lied_to.content, objects.READ_SOURCE_PEER)
        assert lied_to.read(bucket, read_offset=BLOCK * 3 + 5, read_limit=BLOCK)[:2] == (
            lied_to.content[BLOCK * 3 + 5:BLOCK * 4 + 5], objects.READ_SOURCE_PEER)
    assert one.calls == 4


@pytest.mark.parametrize("name", LIES)
def test_no_lie_reaches_a_client(lied_to, lie, name):
    one = lie(LIES[name])
    port = lied_to.cluster.object_admin_ports[lied_to.away["with-cold"]]
    before = lied_to.cluster.metric(port, "waybill_object_bytes_total", tier="cold", direction="read")
    assert lied_to.read("with-cold")[0] == lied_to.content
    assert lied_to.cluster.metric(port, "waybill_object_bytes_total", tier="cold", direction="read") > before
    data, failure = read_until_failure(lied_to, "hot-alone")
    assert failure.code == grpc.StatusCode.DATA_LOSS
    assert data == lied_to.content[:len(data)] and len(data) < SIZE
    assert one.calls >= 2


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_leads_to_the_next_copy(lied_to, lie, name):
    told, code, reason = REFUSALS[name]
    lie(told)
    assert lied_to.read("with-cold")[0] == lied_to.content
    data, failure = read_until_failure(lied_to, "hot-alone")
    assert (failure.code, failure.reason) == (code, reason)
    assert data == lied_to.content[:len(data)]


@pytest.mark.parametrize("code", ["UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED"])
def test_a_call_that_breaks_off_is_made_again(lied_to, lie, code):
    """Each sends some blocks more. DEADLINE_EXCEEDED is what a reader gets whose own client was slow."""
    one = lie(refusal(grpc.StatusCode[code], MIDDLE))
    assert lied_to.read("hot-alone")[:2] == (lied_to.content, objects.READ_SOURCE_PEER)
    assert one.calls > 1


@pytest.mark.parametrize("at", [HEADER, SUMS, FIRST_DATA, MIDDLE])
def test_a_peer_that_hangs_is_left(lied_to, lie, at):
    def hang(number, message, context):
        if number == at:
            one.gone.wait()
            return None
        return message

    one = lie(hang)
    assert lied_to.read("with-cold")[0] == lied_to.content
    _, failure = read_until_failure(lied_to, "hot-alone")
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OBJECT_ON_OTHER_REPLICA")
    assert failure.metadata["replica"] == "liar"
    # Neither read waited for it twice.
    assert one.calls <= 2


def test_a_peer_that_moved_is_found_at_its_new_address(lied_to, lie):
    old = lie(truth)
    assert lied_to.read("hot-alone")[1] == objects.READ_SOURCE_PEER
    old.stop()
    new = lie(truth)

    def read_from_new():
        _, failure = read_until_failure(lied_to, "hot-alone")
        return failure is None

    wait_for(read_from_new, "the new address to be known")
    assert new.calls >= 1


def test_nobody_listens_at_the_address(lied_to):
    lied_to.know_liar("127.0.0.1:1")
    assert lied_to.read("with-cold")[:2] == (lied_to.content, objects.READ_SOURCE_COLD)
    _, failure = read_until_failure(lied_to, "hot-alone")
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OBJECT_ON_OTHER_REPLICA")
    lied_to.forget_liar()
