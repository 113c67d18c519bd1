"""A store in this process that speaks the contract: correct, or broken in one chosen way, so
that the harness can be seen to find what it is there to find."""

import asyncio
import random

import grpc

from client import metadata, metadata_grpc
from contract import error_details_pb2, record_pb2, status_pb2
from record_model import (
    ABANDONED_PUT, BATCHED_PUT, DELETE, GET, LAPSE, NEVER_WRITTEN, PUT, RESTORE, UPDATE, VERSION_ABSENT, Operation, done, run)

ABORTED = grpc.StatusCode.ABORTED.value[0]


class FakeStore(metadata_grpc.MetadataServiceServicer):
    """Correct. Handlers give way to each other between their steps, as threads would."""

    def __init__(self, seed=1):
        self.chance = random.Random(seed)
        self.states = {}
        self.revision = 0
        self.revisions = {}  # key -> of its last change
        self.values = {}  # by key and version
        self.answers = {}  # by request id
        self.abandoned = []  # (key, value) that have not lapsed yet
        self.without_content = set()  # (key, version)
        self.lifetime = 0
        self.server = None
        self.target = None

    async def start(self):
        self.server = grpc.aio.server()
        metadata_grpc.add_MetadataServiceServicer_to_server(self, self.server)
        self.target = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        await self.server.start()
        return self

    async def stop(self):
        await self.server.stop(None)

    async def kill_and_restart(self):
        """Nobody who waits for an answer gets one."""
        self.lifetime += 1

    async def PutRecord(self, request, context):
        kind = ABANDONED_PUT if request.HasField("announced_payload") else PUT
        return await self.change(request, context, kind, metadata.PutRecordResponse)

    async def UpdateRecord(self, request, context):
        return await self.change(request, context, UPDATE, metadata.UpdateRecordResponse)

    async def RestoreRecord(self, request, context):
        return await self.change(request, context, RESTORE, metadata.RestoreRecordResponse)

    async def DeleteRecord(self, request, context):
        return await self.change(request, context, DELETE, metadata.DeleteRecordResponse)

    async def BatchPutRecords(self, request, context):
        lifetime = self.lifetime
        results = []
        for put in request.requests:
            await self.give_way()
            await self.abort_if_killed(context, lifetime)
            answer, revision = await self.commit_once(put, BATCHED_PUT)
            results.append(metadata.PutRecordResult(code=ABORTED, error_reason="VERSION_MISMATCH")
                           if answer[0] != "done" else
                           metadata.PutRecordResult(response={"record": self.record_of(put, answer, revision)}))
        return metadata.BatchPutRecordsResponse(results=results)

    async def GetRecord(self, request, context):
        lifetime = self.lifetime
        await self.give_way()
        answer, revision = self.read_version(request) if request.version else self.read(request.key)
        return await self.reply(context, lifetime, metadata.GetRecordResponse, request, GET, answer, revision)

    async def change(self, request, context, kind, response):
        lifetime = self.lifetime
        await self.give_way()
        await self.abort_if_killed(context, lifetime)
        answer, revision = await self.commit_once(request, kind)
        return await self.reply(context, lifetime, response, request, kind, answer, revision)

    async def commit_once(self, request, kind):
        if request.request_id in self.answers:
            return self.answers[request.request_id]
        result = await self.commit(request, kind)
        if request.request_id and result[0][0] == "done":
            self.answers[request.request_id] = result
        return result

    async def commit(self, request, kind):
        self.lapse_some()
        return self.apply(request, kind, self.state(request.key))

    def lapse_some(self):
        while self.abandoned and self.chance.random() < 0.3:
            self.lapse(*self.abandoned.pop(self.chance.randrange(len(self.abandoned))))

    def lapse(self, key, value):
        state = self.state(key)
        _, after = run(state, Operation(key, LAPSE, 0, None, value=value))
        if after is not state:
            self.keep(key, after)

    def keep(self, key, state):
        self.states[key] = state
        self.values[key, state.version] = state.value
        self.revision += 1
        self.revisions[key] = self.revision
        if state.awaits is not None:
            self.without_content.add((key, state.version))

    def state(self, key):
        return self.states.get(key, NEVER_WRITTEN)

    def apply(self, request, kind, state):
        answer, after = run(state, self.operation_of(request, kind))
        if answer[0] == "done":
            self.keep(request.key, after)
        if answer[0] == "done" and kind == ABANDONED_PUT:
            self.abandoned.append((request.key, after.value))
        return answer, self.revisions.get(request.key, 0)

    def operation_of(self, request, kind):
        condition = request.if_version_match if request.HasField("if_version_match") else None
        older = request.version if kind == RESTORE else None
        value = (self.values.get((request.key, older)) if kind == RESTORE else
                 None if kind == DELETE else request.attributes["value"].string_value)
        return Operation(request.key, kind, 0, 0, condition=condition, value=value, older=older)

    def read_version(self, request):
        value = self.values.get((request.key, request.version))
        return (VERSION_ABSENT if value is None else done(request.version, value)), 0

    def read(self, key):
        answer, _ = run(self.state(key), Operation(key, GET, 0, 0))
        return answer, self.revisions.get(key, 0)

    async def give_way(self):
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)

    async def reply(self, context, lifetime, response, request, kind, answer, revision):
        await self.give_way()
        await self.abort_if_killed(context, lifetime)
        if answer[0] != "done":
            await refuse(context, kind, answer)
        return response(record=self.record_of(request, answer, revision))

    def record_of(self, request, answer, revision):
        record = record_pb2.Record(bucket=request.bucket, key=request.key, version=answer[1], revision=revision)
        if (request.key, answer[1]) in self.without_content:
            record.state = record_pb2.RECORD_STATE_AWAITING_PAYLOAD
        if answer[2] is not None:
            record.attributes["value"].string_value = answer[2]
        return record

    async def abort_if_killed(self, context, lifetime):
        if lifetime != self.lifetime:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "killed")


async def refuse(context, kind, answer):
    code, reason, details = {
        "mismatch": (grpc.StatusCode.ABORTED, "VERSION_MISMATCH", lambda: {"current_version": str(answer[1])}),
        "absent": (grpc.StatusCode.NOT_FOUND, "RECORD_NOT_FOUND", dict),
        "deleted": (grpc.StatusCode.NOT_FOUND, "RECORD_DELETED",
                    lambda: {"version": str(answer[1])} if kind == GET else {}),
        "exists": (grpc.StatusCode.ALREADY_EXISTS, "RECORD_EXISTS", dict),
        "version absent": (grpc.StatusCode.NOT_FOUND, "VERSION_NOT_FOUND", dict),
    }[answer[0]]
    status = status_pb2.Status(code=code.value[0])
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="waybill", metadata=details()))
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    await context.abort(code, reason)


# ---- one defect each ----

class ChecksThenActs(FakeStore):
    """Two writers with the same precondition may both win."""

    async def commit(self, request, kind):
        state = self.state(request.key)
        await self.give_way()
        return self.apply(request, kind, state)


class ReadsStale(FakeStore):
    """Reads are of a copy that is brought up to date only now and then."""

    def __init__(self, seed=1):
        super().__init__(seed)
        self.copy = {}

    def read(self, key):
        if key not in self.copy or self.chance.random() < 0.5:
            self.copy[key] = super().read(key)
        return self.copy[key]


class ForgetsWhenKilled(FakeStore):
    """The last change of each key was acknowledged before it was durable."""

    def __init__(self, seed=1):
        super().__init__(seed)
        self.before = {}

    def apply(self, request, kind, state):
        self.before[request.key] = state
        return super().apply(request, kind, state)

    async def kill_and_restart(self):
        self.states.update(self.before)
        await super().kill_and_restart()


class ReusesVersions(FakeStore):
    """After a delete, versions count from 1 again."""

    def state(self, key):
        state = super().state(key)
        return state if state.lives else NEVER_WRITTEN


class ForgetsRequestIds(FakeStore):
    """A retry takes effect again."""

    async def commit_once(self, request, kind):
        return await self.commit(request, kind)


class TellsRevisionsOutOfOrder(FakeStore):
    """Every key by itself is right, but some of the shard's commits change places."""

    def apply(self, request, kind, state):
        answer, revision = super().apply(request, kind, state)
        if answer[0] == "done":
            self.revisions[request.key] = revision = revision ^ 63
        return answer, revision


class AppliesWhatItRefuses(FakeStore):
    """An operation that failed its precondition happens now and then all the same."""

    def apply(self, request, kind, state):
        answer, revision = super().apply(request, kind, state)
        if answer[0] == "mismatch" and self.chance.random() < 0.05:
            self.states[request.key] = state._replace(version=state.version + 1)
        return answer, revision


class RevertsPastANewerWrite(FakeStore):
    """What an abandoned put left is reverted although something was written since."""

    def lapse(self, key, value):
        state = self.state(key)
        if state.lives and state.awaits is None and self.values.get((key, state.version - 1)) == value:
            state = state._replace(awaits=value)
            self.states[key] = state
        super().lapse(key, value)


DEFECTS = [RevertsPastANewerWrite, ChecksThenActs, ReadsStale, ForgetsWhenKilled, ReusesVersions, ForgetsRequestIds, TellsRevisionsOutOfOrder,
           AppliesWhatItRefuses]
