"""The recorder and the checker together find every defect that a store was given, and none
in a store that has none."""

import asyncio
import dataclasses
import random

import pytest

from fake_store import DEFECTS, FakeStore
from history import by_key, load, problems, save, violations
from record_model import GET, LAPSE
from recorder import SHARES, Round

ROUNDS = 40  # within which a defect must show


async def record(store, seed, histories=3, kills=2):
    await store.start()
    try:
        of_round = Round(store, "fake", f"fake-{seed}", histories, kills, random.Random(seed))
        return await of_round.run(), of_round
    finally:
        await store.stop()


def record_correct(seed):
    return asyncio.run(record(FakeStore(seed), seed))


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_in_a_correct_store(seed):
    operations, of_round = record_correct(seed)
    assert problems(operations) == []
    for outcome in ("done", "mismatch", "deleted", "unknown", "retry"):
        assert of_round.outcomes[outcome] > 0, of_round.outcomes
    assert {operation.kind for operation in operations} == {*SHARES, LAPSE}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(defect):
    for seed in range(ROUNDS):
        operations, _ = asyncio.run(record(defect(seed), seed))
        found = problems(operations)
        if found:
            print(found[0])
            return
    raise AssertionError(f"not found in {ROUNDS} rounds: {defect.__doc__}")


def version_read(operation):
    return operation.answer[1] if len(operation.answer) > 1 else 0


def test_one_changed_answer_in_a_recorded_history_is_found():
    operations, _ = record_correct(11)
    changed = 0
    for part in by_key(operations).values():
        reads = [operation for operation in part if operation.kind == GET and operation.answer is not None]
        last = max(reads, key=lambda operation: operation.called)
        # What was over before the last read began. Beside it, an older answer may be right as well.
        known = max((version_read(read) for read in reads if read.returned < last.called), default=0)
        for answer in {read.answer for read in reads if version_read(read) < known}:
            history = [dataclasses.replace(last, answer=answer) if operation is last else operation
                       for operation in operations]
            found = violations(history)
            assert [violation.key for violation in found] == [last.key]
            changed += 1
    assert changed > 20


def test_a_history_that_was_saved_is_the_same(tmp_path):
    operations, _ = record_correct(12)
    save(operations, tmp_path / "history")
    assert load(tmp_path / "history") == operations
