"""Concurrent clients that do random operations and note what they saw."""

import asyncio
import collections
import dataclasses
import random
import time
import uuid

import grpc

from client import Failure, metadata, metadata_grpc
from cluster import CHANNEL_OPTIONS, PATIENCE
from record_model import ABSENT, DELETE, GET, PUT, Operation, deleted, done, mismatch

CLIENTS = 4  # of one history
KEYS = 3
OPERATIONS = 60  # of one client, and more until the last kill is over
RETRIED = 0.4  # of the writes have a request id and are sent until there is an answer
TIMEOUT = 30 * PATIENCE

# After these the operation may have happened, or may yet.
UNKNOWN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class Refused(Exception):
    """The operation had no effect, and says nothing of the key."""


def answer_of_failure(operation_kind, failure):
    """The answer that a refused call is, None when its outcome is unknown."""
    if failure.code in UNKNOWN:
        return None
    if failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        raise Refused(failure.reason)
    if failure.reason == "VERSION_MISMATCH":
        assert failure.code == grpc.StatusCode.ABORTED
        return mismatch(int(failure.metadata["current_version"]))
    assert failure.code == grpc.StatusCode.NOT_FOUND, (failure.code, failure.message)
    if failure.reason == "RECORD_NOT_FOUND":
        return ABSENT
    assert failure.reason == "RECORD_DELETED", failure.reason
    return deleted(int(failure.metadata["version"]) if operation_kind == GET else None)


def answer_of_record(operation_kind, record):
    return done(record.version, None if operation_kind == DELETE else record.attributes["value"].string_value)


class Round:
    """Several histories at once, on keys of their own, against one store that is killed
    meanwhile. `store` has a `target` and `kill_and_restart()`, a coroutine."""

    def __init__(self, store, bucket, name, histories, kills, chance):
        self.store = store
        self.bucket = bucket
        self.name = name
        self.histories = histories
        self.chance = chance
        self.operations = []
        self.outcomes = collections.Counter()
        self.calls = 0
        self.calls_changed = asyncio.Condition()
        total = histories * CLIENTS * OPERATIONS
        self.kill_after = sorted(int(total * chance.uniform(0.1, 0.8)) for _ in range(kills))
        self.kill_times = []  # (before, after) each
        self.kills_are_over = kills == 0

    async def run(self):
        clients = [HistoryClient(self, history, number)
                   for history in range(self.histories) for number in range(CLIENTS)]
        try:
            await asyncio.gather(self.kill_at_random(), *(client.run() for client in clients))
            # What is there in the end must come of what was done.
            await asyncio.gather(*(client.read_all() for client in clients))
        finally:
            for client in clients:
                await client.channel.close()
        return self.operations

    async def kill_at_random(self):
        for count in self.kill_after:
            async with self.calls_changed:
                await self.calls_changed.wait_for(lambda: self.calls >= count)
            before = time.monotonic_ns()
            await self.store.kill_and_restart()
            self.kill_times.append((before, time.monotonic_ns()))
        self.kills_are_over = True

    async def note(self, operation):
        self.operations.append(operation)
        self.outcomes["unknown" if operation.answer is None else operation.answer[0]] += 1
        await self.count_call()

    async def count_call(self):
        async with self.calls_changed:
            self.calls += 1
            self.calls_changed.notify_all()

    def key_prefix(self, history):
        return f"{self.name}/{history}/"

    def of_history(self, history):
        return [operation for operation in self.operations if operation.key.startswith(self.key_prefix(history))]


class HistoryClient:
    """One operation after the other, over a connection of its own."""

    def __init__(self, of_round, history, number):
        self.round = of_round
        self.chance = random.Random(of_round.chance.getrandbits(64))
        self.name = f"{history}.{number}"
        self.keys = [f"{of_round.key_prefix(history)}{key}" for key in range(KEYS)]
        self.channel = grpc.aio.insecure_channel(of_round.store.target, CHANNEL_OPTIONS)
        self.stub = metadata_grpc.MetadataServiceStub(self.channel)
        self.seen = dict.fromkeys(self.keys, 0)  # the current version, as far as it knows
        self.values = 0

    async def run(self):
        count = 0
        while count < OPERATIONS or not self.round.kills_are_over:
            await self.operate(self.chance.choice(self.keys))
            count += 1

    async def read_all(self):
        for key in self.keys:
            await self.operate(key, GET)

    async def operate(self, key, kind=None):
        kind = kind or self.chance.choices([PUT, GET, DELETE], [55, 33, 12])[0]
        condition = None if kind == GET else self.choose_condition(key)
        value = self.next_value() if kind == PUT else None
        retried = kind != GET and self.chance.random() < RETRIED
        send = self.prepare(key, kind, condition, value, retried)
        plan = Operation(key, kind, time.monotonic_ns(), None, condition=condition, value=value, client=self.name)
        operation = await self.attempt(plan, send, self.choose_timeout(0.15 if retried else 0.04))
        while retried and operation is not None and operation.answer is None:
            operation = await self.retry(plan, send)
        if operation is None or (kind == GET and operation.answer is None):
            self.round.outcomes["no effect"] += 1
            await self.round.count_call()
            return
        self.learn(operation)
        await self.round.note(operation)

    async def retry(self, plan, send):
        """With a request id. Success is the answer to one operation that began with the first
        attempt. A refusal is only this attempt's: an earlier one may still be on its way."""
        called = time.monotonic_ns()
        operation = await self.attempt(plan, send, self.choose_timeout(0.04))
        self.round.outcomes["retry"] += 1
        if operation is None or (operation.answer is not None and operation.answer[0] != "done"):
            await self.round.note(plan)
            return operation and dataclasses.replace(operation, called=called)
        return operation

    async def attempt(self, plan, send, timeout):
        """The plan with its answer, if any; None when it was refused."""
        try:
            record = (await send(timeout)).record
            answer, revision = answer_of_record(plan.kind, record), record.revision
        except grpc.RpcError as error:
            try:
                answer, revision = answer_of_failure(plan.kind, Failure(error)), 0
            except Refused:
                return None
        if answer is None:
            return plan
        return dataclasses.replace(plan, returned=time.monotonic_ns(), answer=answer, revision=revision)

    def prepare(self, key, kind, condition, value, retried):
        fields = {"bucket": self.round.bucket, "key": key}
        if kind == GET:
            call, request = self.stub.GetRecord, metadata.GetRecordRequest(**fields)
        else:
            if condition is not None:
                fields["if_version_match"] = condition
            if retried:
                fields["request_id"] = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
            if kind == DELETE:
                call, request = self.stub.DeleteRecord, metadata.DeleteRecordRequest(**fields)
            else:
                call, request = self.stub.PutRecord, metadata.PutRecordRequest(**fields)
                request.attributes["value"].string_value = value
                if self.chance.random() < 0.2:  # then there are also commits that are no client's
                    request.inline_payload.data = value.encode()
        return lambda timeout: call(request, timeout=timeout, wait_for_ready=True)

    def choose_timeout(self, too_short):
        """With that chance too short, so that the answer may be missed without a kill."""
        return self.chance.uniform(0.0005, 0.01) if self.chance.random() < too_short else TIMEOUT

    def choose_condition(self, key):
        seen = self.seen[key]
        return self.chance.choices([None, seen, 0, seen + 1, max(seen - 1, 0)], [30, 50, 8, 6, 6])[0]

    def next_value(self):
        self.values += 1
        return f"{self.name}-{self.values}"

    def learn(self, operation):
        kind = operation.answer and operation.answer[0]
        if kind == "done":
            self.seen[operation.key] = 0 if operation.kind == DELETE else operation.answer[1]
        elif kind == "mismatch":
            self.seen[operation.key] = operation.answer[1]
        elif kind in ("deleted", "absent"):
            self.seen[operation.key] = 0
