"""Histories of concurrent clients of metadata-svc, with kill -9 in the middle of each, are
linearizable; and the revisions of the shard follow them.

WAYBILL_HISTORIES and WAYBILL_SEED choose how many and which."""

import asyncio
import collections
import os
import random
import tempfile
import time

import pytest

from client import HOT, Client
from conftest_shared import run_cluster
from contract import bucket_pb2
from history import by_key, problems, save
from recorder import SHARES, Round

HISTORIES = int(os.environ.get("WAYBILL_HISTORIES", "200"))
SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))
AT_ONCE = 8  # histories that share their kills
ROUNDS = -(-HISTORIES // AT_ONCE)

_outcomes = collections.Counter()  # of all rounds


class KilledService:
    """metadata-svc as a store that can be killed."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.target = f"127.0.0.1:{cluster.metadata_port}"

    async def kill_and_restart(self):
        self.cluster.metadata.kill()
        await asyncio.get_running_loop().run_in_executor(None, self.cluster.metadata.start)


@pytest.fixture(scope="module")
def service():
    for cluster in run_cluster():
        Client(cluster).create_bucket("histories", HOT, on_failure=bucket_pb2.ON_FAILURE_REVERT)
        yield KilledService(cluster)


async def record(service, number):
    chance = random.Random(f"{SEED}/{number}")
    histories = min(AT_ONCE, HISTORIES - number * AT_ONCE)
    of_round = Round(service, "histories", f"{SEED}/{number}", histories, chance.choice([1, 1, 2]), chance)
    await of_round.run()
    return of_round


def overlapping(operations):
    """How many were under way together with another one of the same key."""
    count = 0
    for part in by_key(operations).values():
        part = sorted((operation for operation in part if operation.returned), key=lambda operation: operation.called)
        latest = 0
        for operation, after in zip(part, part[1:] + [None]):
            before = operation.called < latest
            latest = max(latest, operation.returned)
            count += before or (after is not None and after.called < operation.returned)
    return count


def check_that_it_was_a_trial(of_round):
    """Each history really had clients at once, both kinds of answers and a kill in its midst."""
    for history in range(of_round.histories):
        operations = of_round.of_history(history)
        answers = {operation.answer and operation.answer[0] for operation in operations}
        assert {"done", "mismatch"} <= answers, answers
        assert overlapping(operations) > len(operations) / 4, "hardly anything was at once"
        first = min(operation.called for operation in operations)
        last = max(operation.called for operation in operations)
        assert any(first < before and after < last for before, after in of_round.kill_times), "no kill in its midst"


@pytest.mark.parametrize("number", range(ROUNDS))
def test_histories_with_kills_are_linearizable(service, number):
    of_round = asyncio.run(record(service, number))
    check_that_it_was_a_trial(of_round)
    _outcomes.update(of_round.outcomes)
    _outcomes.update(operation.kind for operation in of_round.operations if operation.answer)
    found = problems(of_round.operations)
    if found:
        path = os.path.join(tempfile.gettempdir(), f"waybill-history-{SEED}-{number}.jsonl")
        save(of_round.operations, path)
        raise AssertionError(
            "\n".join(found) + f"\n\nseed {SEED}, round {number}; the history is in {path}\n"
            f"check it again: /usr/bin/python3 tests/linearizability/history.py {path}\n"
            f"record anew:    WAYBILL_SEED={SEED} WAYBILL_HISTORIES={HISTORIES} tests/run linearizability")


@pytest.mark.usefixtures("service")  # so that it comes after them, in the same process
def test_the_histories_had_outcomes_of_every_kind():
    print(dict(_outcomes))
    for outcome in ("done", "mismatch", "deleted", "absent", "exists", "unknown", "retry", "reverted"):
        assert _outcomes[outcome] > ROUNDS / 4, _outcomes
    for kind in SHARES:
        assert _outcomes[kind] > ROUNDS, _outcomes
