"""Writers that race: of those with the same precondition exactly one wins, and one request_id
takes effect once, however often it is sent and whatever is killed meanwhile.

WAYBILL_RACES, WAYBILL_ROUNDS and WAYBILL_SEED choose another size or repeat a run."""

import asyncio
import os
import random
import time
import uuid

import grpc
import pytest

from client import HOT, Client, Failure, metadata, metadata_grpc, payloads, payloads_grpc
from cluster import CHANNEL_OPTIONS, PATIENCE, SLOWNESS
from conftest_shared import run_cluster

RACES = int(os.environ.get("WAYBILL_RACES", "10000" if SLOWNESS == 1 else "2000"))
ROUNDS = int(os.environ.get("WAYBILL_ROUNDS", "10"))
SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
TIMEOUT = 60 * PATIENCE

KEYS_AT_ONCE = 10
SENDERS = 8
IDS_AT_ONCE = 12


@pytest.fixture(scope="module")
def cluster():
    for cluster in run_cluster():
        Client(cluster).create_bucket("races", HOT)
        yield cluster


class Connections:
    """Of one racer each, to both ports."""

    def __init__(self, cluster, count):
        self.channels = [grpc.aio.insecure_channel(f"127.0.0.1:{port}", CHANNEL_OPTIONS)
                         for port in (cluster.metadata_port, cluster.bulk_port) for _ in range(count)]
        self.records = [metadata_grpc.MetadataServiceStub(channel) for channel in self.channels[:count]]
        self.payloads = [payloads_grpc.PayloadServiceStub(channel) for channel in self.channels[count:]]

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        for channel in self.channels:
            await channel.close()


async def outcome_of(call):
    """Its answer, or its failure."""
    try:
        return await call
    except grpc.RpcError as error:
        return Failure(error)


# ---- the same precondition ----

async def race(chance, stubs, key, current, deleting):
    """All writers at once on the version `current`, of which `deleting` delete. Returns what is
    current afterwards."""
    fields = {"bucket": "races", "key": key, "if_version_match": current}
    calls = {}
    for number in chance.sample(range(len(stubs)), len(stubs)):  # none is always the first
        stub = stubs[number]
        if number < deleting:
            calls[number] = stub.DeleteRecord(metadata.DeleteRecordRequest(**fields), timeout=TIMEOUT)
        else:
            calls[number] = stub.PutRecord(
                metadata.PutRecordRequest(content_type=f"text/racer-{number}", **fields), timeout=TIMEOUT)
    outcomes = await asyncio.gather(*(outcome_of(calls[number]) for number in range(len(stubs))))
    winners = [number for number, outcome in enumerate(outcomes) if not isinstance(outcome, Failure)]
    assert len(winners) == 1, (key, current, [getattr(outcome, "message", outcome) for outcome in outcomes])
    winner, record = winners[0], outcomes[winners[0]].record
    assert record.content_type == ("" if winner < deleting else f"text/racer-{winner}")
    after = 0 if winner < deleting else record.version
    for number, failure in enumerate(outcomes):
        if number == winner:
            continue
        if after == 0 and number < deleting:
            assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "RECORD_DELETED")
        else:
            assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH"), failure.message
            assert failure.metadata["current_version"] == str(after)
    return winner, after, record.version


async def race_on_one_key(stubs, key, races, winners):
    current, version = 0, 0
    chance = random.Random(f"{SEED}/{key}")
    for number in range(races):
        # Now and then some want to delete it; then the next race is one to create it.
        deleting = len(stubs) // 2 if current > 0 and number % 10 == 9 else 0
        winner, current, made = await race(chance, stubs, key, current, deleting)
        assert made == version + 1, f"{key} went from version {version} to {made}"
        version = made
        winners.add(winner)


@pytest.mark.parametrize("writers", [2, 4])
def test_of_writers_with_the_same_precondition_exactly_one_wins(cluster, writers):
    async def run():
        winners = set()
        async with Connections(cluster, writers) as connections:
            await asyncio.gather(*(
                race_on_one_key(connections.records, f"{writers}/{key}", RACES // KEYS_AT_ONCE, winners)
                for key in range(KEYS_AT_ONCE)))
        assert winners == set(range(writers)), "a race that always the same one wins is none"

    asyncio.run(run())


# ---- the same request id ----

class Sent:
    """One request that all senders send at once, until each has an answer."""

    KINDS = ["plain", "inline", "streamed", "delete"]

    def __init__(self, chance, key, kind):
        self.kind = kind
        self.key = key
        self.data = chance.randbytes(chance.randrange(1, 20000))
        self.request_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        self.version = 1  # that it is to make
        self.answers = []

    async def prepare(self, stub):
        if self.kind == "delete":  # needs something to delete
            put = metadata.PutRecordRequest(bucket="races", key=self.key)
            self.version += (await stub.PutRecord(put, timeout=TIMEOUT, wait_for_ready=True)).record.version

    def fields(self):
        return {"bucket": "races", "key": self.key, "request_id": self.request_id}

    def put(self, **more):
        request = metadata.PutRecordRequest(**self.fields(), **more)
        if self.kind == "inline":
            request.inline_payload.data = self.data
        return request

    def call(self, connections, sender):
        options = {"timeout": TIMEOUT, "wait_for_ready": True}
        stub = connections.records[sender]
        if self.kind == "delete":
            return stub.DeleteRecord(metadata.DeleteRecordRequest(**self.fields()), **options)
        if self.kind == "streamed":
            messages = [payloads.UploadPayloadRequest(new_record=payloads.NewRecordUpload(**self.fields())),
                        payloads.UploadPayloadRequest(chunk=payloads.PayloadChunk(data=self.data)),
                        payloads.UploadPayloadRequest(finish=payloads.FinishUpload())]
            return connections.payloads[sender].UploadPayload(messages, **options)
        return stub.PutRecord(self.put(), **options)

    async def send(self, connections, sender, answered):
        """Until there is an answer; a failure that leaves the outcome open is no answer."""
        retries = 0
        while True:
            outcome = await outcome_of(self.call(connections, sender))
            if not isinstance(outcome, Failure):
                self.answers.append(outcome.record)
                answered()
                return retries
            assert outcome.code == grpc.StatusCode.UNAVAILABLE, (self.kind, outcome.code, outcome.message)
            retries += 1

    async def check(self, stub):
        """One effect, one answer, and the id is taken."""
        first = self.answers[0]
        assert len(self.answers) == SENDERS
        assert all(answer == first for answer in self.answers), (self.kind, self.answers)
        assert first.version == self.version and bool(first.payload_id) == (self.kind in ("inline", "streamed"))
        latest = (await stub.GetRecord(metadata.GetRecordRequest(
            bucket="races", key=self.key, show_deleted=True), timeout=TIMEOUT)).record
        assert (latest.version, latest.payload_id, latest.uid) == (first.version, first.payload_id, first.uid)
        others = [stub.PutRecord(self.put(content_type="text/other"), timeout=TIMEOUT),
                  stub.CreateBucket(metadata.CreateBucketRequest(bucket={"name": "another"}, request_id=self.request_id),
                                    timeout=TIMEOUT)]
        if self.kind != "delete":
            others.append(stub.DeleteRecord(metadata.DeleteRecordRequest(**self.fields()), timeout=TIMEOUT))
        for failure in await asyncio.gather(*map(outcome_of, others)):
            assert isinstance(failure, Failure), (self.kind, failure)
            assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")


class KillAfter:
    """Kills and restarts metadata-svc when so many answers are there."""

    def __init__(self, cluster, count):
        self.cluster = cluster
        self.count = count
        self.answers = 0
        self.reached = asyncio.Event()

    def answered(self):
        self.answers += 1
        if self.answers == self.count:
            # At once: the others' calls are under way.
            self.cluster.metadata.kill()
            self.reached.set()

    async def run(self):
        await self.reached.wait()
        await asyncio.get_running_loop().run_in_executor(None, self.cluster.metadata.start)


async def send_through_a_kill(cluster, chance, round_number):
    """How often a request had to be sent again."""
    async with Connections(cluster, SENDERS) as connections:
        sent = [Sent(chance, f"once-{SEED}/{round_number}/{number}", Sent.KINDS[number % len(Sent.KINDS)])
                for number in range(IDS_AT_ONCE)]
        for request in sent:
            await request.prepare(connections.records[0])
        kill = KillAfter(cluster, chance.randrange(1, IDS_AT_ONCE * SENDERS * 3 // 4))
        sends = [request.send(connections, sender, kill.answered) for request in sent for sender in range(SENDERS)]
        chance.shuffle(sends)
        _, *retries = await asyncio.gather(kill.run(), *sends)
        for request in sent:
            await request.check(connections.records[0])
        return sum(retries)


def test_a_request_sent_many_times_at_once_takes_effect_once_across_kills(cluster):
    retries = 0
    for round_number in range(ROUNDS * 3):
        print(f"seed {SEED}, round {round_number}")
        chance = random.Random(f"{SEED}/{round_number}")
        retries += asyncio.run(send_through_a_kill(cluster, chance, round_number))
    print(f"{retries} retries")
    assert retries > ROUNDS * 3, "the kills hit nothing"
