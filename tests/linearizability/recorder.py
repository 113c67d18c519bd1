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
from contract import record_pb2
from record_model import (
    ABANDONED_PUT, ABSENT, BATCHED_PUT, DELETE, EXISTS, GET, GET_VERSION, LAPSE, PUT, READS, RESTORE, UPDATE,
    VERSION_ABSENT, Operation, deleted, done, mismatch)

CLIENTS = 4  # of one history
KEYS = 3
OPERATIONS = 60  # of one client, and more until the last kill is over
RETRIED = 0.4  # of the writes have a request id and are sent until there is an answer
TIMEOUT = 30 * PATIENCE

# Of a hundred operations.
SHARES = {PUT: 28, ABANDONED_PUT: 6, UPDATE: 10, BATCHED_PUT: 8, RESTORE: 6, DELETE: 12, GET: 25, GET_VERSION: 5}

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
    code, answer = {
        "VERSION_MISMATCH": (grpc.StatusCode.ABORTED, lambda: mismatch(int(failure.metadata["current_version"]))),
        "RECORD_NOT_FOUND": (grpc.StatusCode.NOT_FOUND, lambda: ABSENT),
        "RECORD_DELETED": (grpc.StatusCode.NOT_FOUND,
                           lambda: deleted(int(failure.metadata["version"]) if operation_kind == GET else None)),
        "VERSION_NOT_FOUND": (grpc.StatusCode.NOT_FOUND, lambda: VERSION_ABSENT),
        "RECORD_EXISTS": (grpc.StatusCode.ALREADY_EXISTS, lambda: EXISTS),
    }.get(failure.reason, (None, None))
    assert failure.code == code, (operation_kind, failure.code, failure.reason, failure.message)
    return answer()


def answer_of_result(result):
    """(answer, revision) of one request of a batch."""
    if result.code == 0:
        return answer_of_record(PUT, result.response.record), result.response.record.revision
    code = next(code for code in grpc.StatusCode if code.value[0] == result.code)
    if code in UNKNOWN:
        return None, 0
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        raise Refused(result.error_reason)
    assert (code, result.error_reason) == (grpc.StatusCode.ABORTED, "VERSION_MISMATCH"), result
    return mismatch(), 0


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
        self.known = {key: [] for key in self.keys}  # (version, value) it was told of
        self.without_content = set()  # (key, version): they wait for a payload, or did
        self.values = 0

    async def run(self):
        count = 0
        while count < OPERATIONS or not self.round.kills_are_over:
            await self.operate(self.choose_kind())
            count += 1

    async def read_all(self):
        for key in self.keys:
            await self.do(self.plan(GET, key))

    def choose_kind(self):
        return self.chance.choices(list(SHARES), SHARES.values())[0]

    async def operate(self, kind):
        if kind == BATCHED_PUT:
            keys = self.chance.choices(self.keys, k=self.chance.choice([1, 2, 3]))
            await self.do_batch([self.plan(kind, key) for key in keys])
        else:
            await self.do(self.plan(kind, self.chance.choice(self.keys)))

    def plan(self, kind, key):
        older = value = None
        known = [told for told in self.known[key] if kind != RESTORE or (key, told[0]) not in self.without_content]
        if kind in (RESTORE, GET_VERSION) and not known:
            kind = GET
        if kind in (RESTORE, GET_VERSION):
            older, value = self.chance.choice(known)
        elif kind in (PUT, ABANDONED_PUT, UPDATE, BATCHED_PUT):
            self.values += 1
            value = f"{self.name}-{self.values}"
        condition = None if kind in READS else self.choose_condition(key)
        return Operation(key, kind, 0, None, condition=condition, value=value, older=older, client=self.name)

    def choose_condition(self, key):
        seen = self.seen[key]
        return self.chance.choices([None, seen, 0, seen + 1, max(seen - 1, 0)], [30, 50, 8, 6, 6])[0]

    def choose_timeout(self, too_short):
        """With that chance too short, so that the answer may be missed without a kill."""
        return self.chance.uniform(0.0005, 0.01) if self.chance.random() < too_short else TIMEOUT

    async def do(self, plan):
        retried = plan.kind not in READS and self.chance.random() < RETRIED
        send = self.prepare(plan, retried)
        plan = dataclasses.replace(plan, called=time.monotonic_ns())
        if plan.kind == ABANDONED_PUT:
            self.round.operations.append(dataclasses.replace(plan, kind=LAPSE, condition=None))
        operation = await self.attempt(plan, send, self.choose_timeout(0.15 if retried else 0.04))
        while retried and operation is not None and operation.answer is None:
            operation = await self.retry(plan, send)
        await self.note(operation)

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
            self.look_at(plan, record)
            return answered(plan, answer_of_record(plan.kind, record), record.revision)
        except grpc.RpcError as error:
            try:
                return answered(plan, answer_of_failure(plan.kind, Failure(error)), 0)
            except Refused:
                return None

    def look_at(self, plan, record):
        if record.state in (record_pb2.RECORD_STATE_AWAITING_PAYLOAD, record_pb2.RECORD_STATE_FAILED):
            self.without_content.add((plan.key, record.version))
        if record.cause.system == record_pb2.SYSTEM_CAUSE_COMPENSATION:
            self.round.outcomes["reverted"] += 1

    async def do_batch(self, plans):
        request = metadata.BatchPutRecordsRequest(requests=[self.request_of(plan) for plan in plans])
        called = time.monotonic_ns()
        plans = [dataclasses.replace(plan, called=called) for plan in plans]
        try:
            answer = await self.stub.BatchPutRecords(request, timeout=self.choose_timeout(0.04), wait_for_ready=True)
        except grpc.RpcError as error:
            failure = Failure(error)
            assert failure.code in UNKNOWN + (grpc.StatusCode.RESOURCE_EXHAUSTED,), (failure.code, failure.message)
            for plan in plans:
                await self.note(plan if failure.code in UNKNOWN else None)
            return
        assert len(answer.results) == len(plans)
        for plan, result in zip(plans, answer.results):
            try:
                await self.note(answered(plan, *answer_of_result(result)))
            except Refused:
                await self.note(None)

    async def note(self, operation):
        if operation is None or (operation.kind in READS and operation.answer is None):
            self.round.outcomes["no effect"] += 1
            await self.round.count_call()
            return
        self.learn(operation)
        await self.round.note(operation)

    def learn(self, operation):
        answer = operation.answer or ("unknown",)
        if answer[0] in ("deleted", "absent") or (answer[0] == "done" and operation.kind == DELETE):
            self.seen[operation.key] = 0
        elif answer[0] == "done":
            self.known[operation.key].append(answer[1:])
            if operation.kind != GET_VERSION:
                self.seen[operation.key] = answer[1]
        elif answer[0] == "mismatch" and answer[1] is not None:
            self.seen[operation.key] = answer[1]

    def prepare(self, plan, retried):
        call = {
            PUT: self.stub.PutRecord, ABANDONED_PUT: self.stub.PutRecord, UPDATE: self.stub.UpdateRecord, RESTORE: self.stub.RestoreRecord,
            DELETE: self.stub.DeleteRecord, GET: self.stub.GetRecord, GET_VERSION: self.stub.GetRecord}[plan.kind]
        request = self.request_of(plan)
        if retried:
            request.request_id = str(uuid.UUID(int=self.chance.getrandbits(128), version=4))
        return lambda timeout: call(request, timeout=timeout, wait_for_ready=True)

    def request_of(self, plan):
        fields = {"bucket": self.round.bucket, "key": plan.key}
        if plan.condition is not None:
            fields["if_version_match"] = plan.condition
        if plan.kind == DELETE:
            return metadata.DeleteRecordRequest(**fields)
        if plan.kind == RESTORE:
            return metadata.RestoreRecordRequest(version=plan.older, **fields)
        if plan.kind in READS:
            return metadata.GetRecordRequest(version=plan.older, **fields)
        if plan.kind == UPDATE:
            request = metadata.UpdateRecordRequest(**fields)
            request.update_mask.paths.append("attributes.value")
        else:
            request = metadata.PutRecordRequest(**fields)
            if plan.kind == ABANDONED_PUT:
                request.announced_payload.SetInParent()
                request.payload_deadline.FromMilliseconds(self.chance.choice([1, 200]))
            elif self.chance.random() < 0.2:  # then there are also commits that are no client's
                request.inline_payload.data = plan.value.encode()
        request.attributes["value"].string_value = plan.value
        return request


def answered(plan, answer, revision):
    if answer is None:
        return plan
    return dataclasses.replace(plan, returned=time.monotonic_ns(), answer=answer, revision=revision)
