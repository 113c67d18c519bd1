"""The checker on histories that are known to be good or bad, and against one that simply
tries every order."""

import itertools
import random

import pytest

from checker import Undecided, check
from history import revision_violations, revisions_given_twice, smallest, violations
from record_model import (
    ABANDONED_PUT, ABSENT, BATCHED_PUT, DELETE, EXISTS, GET, GET_VERSION, LAPSE, NEVER_WRITTEN, PUT, RESTORE, UPDATE,
    VERSION_ABSENT, Operation, deleted, done, mismatch, run, step)


def op(kind, called, returned, answer=None, **fields):
    return Operation("k", kind, called, returned, answer, **fields)


def put(called, returned, value, answer=None, condition=None, **fields):
    if isinstance(answer, int):
        answer = done(answer, value)
    return op(PUT, called, returned, answer, value=value, condition=condition, **fields)


def get(called, returned, answer):
    return op(GET, called, returned, answer)


def delete(called, returned, answer=None, condition=None):
    return op(DELETE, called, returned, done(answer) if isinstance(answer, int) else answer, condition=condition)


def abandoned(called, returned, value, version):
    """And its end, at some time."""
    return [op(ABANDONED_PUT, called, returned, done(version, value), value=value), op(LAPSE, called, None, value=value)]


GOOD = {
    "an abandoned put goes back to what was there": [
        put(1, 2, "a", 1), *abandoned(3, 4, "b", 2), get(5, 6, done(2, "b")), get(7, 8, done(3, "a"))],
    "an abandoned put of a new key ends as a tombstone": [*abandoned(1, 2, "a", 1), get(3, 4, deleted(2))],
    "an abandoned put that was written over": [
        put(1, 2, "a", 1), *abandoned(3, 4, "b", 2), put(5, 6, "c", 3), get(7, 8, done(3, "c"))],
    "an update of an abandoned put shares its fate": [
        put(1, 2, "a", 1), *abandoned(3, 4, "b", 2), op(UPDATE, 5, 6, done(3, "c"), value="c"), get(7, 8, done(4, "a"))],
    "nothing": [],
    "one after the other": [
        put(1, 2, "a", 1), get(3, 4, done(1, "a")), put(5, 6, "b", 2, condition=1), delete(7, 8, 3, condition=2),
        get(9, 10, deleted(3)), delete(11, 12, deleted()), put(13, 14, "c", 4, condition=0)],
    "absent before the first put": [get(1, 2, ABSENT), delete(3, 4, ABSENT), put(5, 6, "a", 1, condition=0)],
    "a read during a put sees it or not": [
        put(1, 2, "a", 1), put(3, 10, "b", 2), get(4, 5, done(1, "a")), get(6, 7, done(2, "b"))],
    "puts at once take any order": [put(1, 10, "a", 2), put(1, 10, "b", 1), get(11, 12, done(2, "a"))],
    "one of two with the same precondition wins": [
        put(1, 2, "a", 1), put(3, 10, "b", 2, condition=1), put(3, 10, "c", mismatch(2), condition=1)],
    "a loser of two creates": [put(1, 10, "a", mismatch(1), condition=0), put(1, 10, "b", 1, condition=0)],
    "a tombstone counts as not there": [
        put(1, 2, "a", 1), delete(3, 4, 2), put(5, 6, "b", mismatch(0), condition=2), put(7, 8, "b", 3, condition=0)],
    "an unknown put that happened late": [
        put(1, None, "a"), get(3, 4, ABSENT), get(5, 6, done(1, "a"))],
    "an unknown put that never happened": [put(1, None, "a"), get(3, 4, ABSENT), put(5, 6, "b", 1)],
    "an unknown put whose version was hidden": [put(1, None, "a"), put(3, 4, "b", 2), get(5, 6, done(2, "b"))],
    "an unknown delete that happened": [put(1, 2, "a", 1), delete(3, None), get(5, 6, deleted(2))],
    "an unknown put whose precondition came true later": [
        put(1, None, "a", condition=1), put(2, 3, "b", 1), get(4, 5, done(2, "a"))],
    "updates, restores and batches": [
        op(UPDATE, 1, 2, ABSENT, value="a"), op(BATCHED_PUT, 3, 4, done(1, "a"), value="a", condition=0),
        op(BATCHED_PUT, 5, 6, mismatch(), value="b", condition=0), op(UPDATE, 7, 8, done(2, "c"), value="c", condition=1),
        op(RESTORE, 9, 10, done(3, "a"), older=1, value="a"), op(RESTORE, 11, 12, EXISTS, older=3, value="a"),
        delete(13, 14, 4), op(UPDATE, 15, 16, deleted(), value="d"),
        op(RESTORE, 17, 18, mismatch(0), older=2, value="c", condition=4),
        op(RESTORE, 19, 20, done(5, "c"), older=2, value="c", condition=0), get(21, 22, done(5, "c"))],
    "an older version is what it was": [
        put(1, 2, "a", 1), put(3, 4, "b", 2), op(GET_VERSION, 5, 6, done(1, "a"), older=1, value="a")],
    "touching times overlap": [put(1, 5, "a", 1), get(5, 6, ABSENT)],
}

BAD = {
    "an abandoned put that is reverted past a newer write": [
        put(1, 2, "a", 1), *abandoned(3, 4, "b", 2), put(5, 6, "c", 3), get(7, 8, done(4, "a"))],
    "an abandoned put that is reverted twice": [
        put(1, 2, "a", 1), *abandoned(3, 4, "b", 2), get(5, 6, done(3, "a")), get(7, 8, done(4, "a"))],
    "an abandoned put that ends as a tombstone over content": [
        put(1, 2, "a", 1), *abandoned(3, 4, "b", 2), get(5, 6, deleted(3))],
    "a stale read": [put(1, 2, "a", 1), put(3, 4, "b", 2), get(5, 6, done(1, "a"))],
    "a read that goes back": [
        put(1, 2, "a", 1), put(3, 20, "b", 2), get(4, 5, done(2, "b")), get(6, 7, done(1, "a"))],
    "a lost update": [put(1, 2, "a", 1), put(3, 4, "b", 2), put(5, 6, "c", 2)],
    "a put that is gone": [put(1, 2, "a", 1), get(3, 4, ABSENT)],
    "two winners of one precondition": [
        put(1, 2, "a", 1), put(3, 10, "b", 2, condition=1), put(3, 10, "c", 3, condition=1)],
    "two winners of one create": [put(1, 10, "a", 1, condition=0), put(1, 10, "b", 1, condition=0)],
    "no winner": [
        put(1, 2, "a", 1), put(3, 10, "b", mismatch(2), condition=1), put(3, 10, "c", mismatch(2), condition=1)],
    "a refusal though the precondition held": [put(1, 2, "a", 1), put(3, 4, "b", mismatch(1), condition=1)],
    "a refusal that tells another version": [put(1, 2, "a", 1), put(3, 4, "b", mismatch(2), condition=7)],
    "a value never written": [put(1, 2, "a", 1), get(3, 4, done(1, "x"))],
    "a value of another version": [put(1, 2, "a", 1), put(3, 4, "b", 2), get(5, 6, done(2, "a"))],
    "an effect before its call": [get(1, 2, done(1, "a")), put(3, 4, "a", 1)],
    "an unknown effect before its call": [get(1, 2, done(1, "a")), put(3, None, "a")],
    "a version used again after a delete": [put(1, 2, "a", 1), delete(3, 4, 2), put(5, 6, "b", 1, condition=0)],
    "a version left out": [put(1, 2, "a", 1), put(3, 4, "b", 3)],
    "a version left out with an unknown put too late": [put(1, 2, "a", 1), put(3, 4, "b", 3), put(5, None, "c")],
    "a refused put that happened": [
        put(1, 2, "a", 1), put(3, 4, "b", mismatch(1), condition=9), get(5, 6, done(2, "b"))],
    "a deleted record that is read": [put(1, 2, "a", 1), delete(3, 4, 2), get(5, 6, done(1, "a"))],
    "a delete of what is not there": [delete(1, 2, 1)],
    "a delete that two did": [put(1, 2, "a", 1), delete(3, 10, 2), delete(3, 10, 3)],
    "absent after it was deleted": [put(1, 2, "a", 1), delete(3, 4, 2), get(5, 6, ABSENT)],
    "an update of what is not there": [op(UPDATE, 1, 2, done(1, "a"), value="a")],
    "an update of what was deleted": [put(1, 2, "a", 1), delete(3, 4, 2), op(UPDATE, 5, 6, done(3, "b"), value="b")],
    "a put in a batch that wins against its precondition": [
        put(1, 2, "a", 1), op(BATCHED_PUT, 3, 4, done(2, "b"), value="b", condition=0)],
    "a put in a batch that loses though its precondition holds": [
        put(1, 2, "a", 1), op(BATCHED_PUT, 3, 4, mismatch(), value="b", condition=1)],
    "a restored version with another's value": [
        put(1, 2, "a", 1), put(3, 4, "b", 2), op(RESTORE, 5, 6, done(3, "b"), older=1, value="a")],
    "a restore of the version that is there": [put(1, 2, "a", 1), op(RESTORE, 3, 4, done(2, "a"), older=1, value="a")],
    "an older version that changed": [
        put(1, 2, "a", 1), put(3, 4, "b", 2), op(GET_VERSION, 5, 6, done(1, "b"), older=1, value="a")],
    "an older version that is gone": [
        put(1, 2, "a", 1), put(3, 4, "b", 2), op(GET_VERSION, 5, 6, VERSION_ABSENT, older=1, value="a")],
    "an unknown put that happened twice": [
        put(1, None, "a"), get(3, 4, done(1, "a")), put(5, 6, "b", 2), get(7, 8, done(3, "a"))],
    "an unknown put that a read saw and a later one did not": [
        put(1, None, "a"), get(3, 4, done(1, "a")), get(5, 6, ABSENT)],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_history_is_linearizable(name):
    verdict = check(GOOD[name], step, NEVER_WRITTEN)
    assert verdict.linearizable
    state = NEVER_WRITTEN
    for operation in verdict.order:
        state = step(state, operation)
        assert state is not None, "the order is no proof"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_found(name):
    assert not check(BAD[name], step, NEVER_WRITTEN).linearizable
    assert len(violations(BAD[name])) == 1


def some_order_explains(operations):
    """Every order of every choice of the unknown ones, as slow as it is plain."""
    known = [operation for operation in operations if operation.returned is not None]
    unknown = [operation for operation in operations if operation.returned is None]
    for count in range(len(unknown) + 1):
        for happened in itertools.combinations(unknown, count):
            for order in itertools.permutations(known + list(happened)):
                if explains(order):
                    return True
    return False


def explains(order):
    state = NEVER_WRITTEN
    for place, operation in enumerate(order):
        if any(later.returned is not None and later.returned < operation.called for later in order[place + 1:]):
            return False
        answer, state = run(state, operation)
        if operation.answer is not None and operation.answer != answer:
            return False
    return True


def random_history(chance, count):
    """Of a correct store, with times that overlap; then perhaps one answer is changed."""
    state, history = NEVER_WRITTEN, []
    for number in range(count):
        kind = chance.choice([PUT, PUT, GET, DELETE])
        condition = None if kind == GET else chance.choice([None, state.current(), state.current(), 0, 1])
        moment = 10 * number
        plan = op(kind, moment - chance.randrange(25), moment + chance.randrange(25),
                  condition=condition, value=f"v{number}" if kind == PUT else None)
        answer, after = run(state, plan)
        if chance.random() < 0.2 and kind != GET:
            history.append(plan.unknown())
            state = after if chance.random() < 0.5 else state
        else:
            history.append(op(kind, plan.called, plan.returned, answer, condition=condition, value=plan.value))
            state = after
    if chance.random() < 0.6:
        victim = chance.randrange(count)
        other = history[chance.randrange(count)]
        if history[victim].answer is not None and other.answer is not None:
            history[victim] = op(history[victim].kind, history[victim].called, history[victim].returned, other.answer,
                                 condition=history[victim].condition, value=history[victim].value)
    chance.shuffle(history)
    return history


def test_the_search_agrees_with_trying_every_order():
    chance = random.Random(7)
    verdicts = []
    for _ in range(5000):
        history = random_history(chance, chance.randrange(1, 7))
        verdicts.append(check(history, step, NEVER_WRITTEN).linearizable)
        assert verdicts[-1] == some_order_explains(history), [str(operation) for operation in history]
    assert 1000 < sum(verdicts) < 4500, "both kinds must be among them"


def test_long_histories_are_decided_quickly():
    """Hundreds of operations, many at once, within a small budget."""
    chance = random.Random(8)
    for _ in range(20):
        state, history = NEVER_WRITTEN, []
        for number in range(500):
            plan = put(10 * number - chance.randrange(40), 10 * number + chance.randrange(40), f"v{number}",
                       condition=chance.choice([None, state.current()]))
            answer, state = run(state, plan)
            history.append(plan.unknown() if number % 50 == 7 else put(
                plan.called, plan.returned, plan.value, answer, condition=plan.condition))
        assert check(history, step, NEVER_WRITTEN, budget=200_000).linearizable


def test_a_search_without_end_is_not_taken_for_an_answer():
    history = [put(0, None, f"v{number}") for number in range(30)] + [get(1, 2, done(15, "x"))]
    with pytest.raises(Undecided):
        check(history, step, NEVER_WRITTEN, budget=10_000)


def test_a_violation_is_shown_without_what_has_no_part_in_it():
    """Four clients, each of which waits for the others now and then."""
    chance = random.Random(9)
    state, history = NEVER_WRITTEN, []
    for number in range(200):
        start = 100 * (number // 4)
        plan = put(start + chance.randrange(20), start + 20 + chance.randrange(60), f"v{number}")
        answer, state = run(state, plan)
        history.append(plan.unknown() if number in (60, 120) else put(plan.called, plan.returned, plan.value, answer))
    stale = get(4600, 4601, done(141, "v140"))
    violation = smallest("k", history + [stale])
    assert stale in violation.operations and len(violation.operations) <= 8, str(violation)
    assert "v140" in str(violation) and not violation.from_start


@pytest.mark.parametrize("name", BAD)
def test_the_smallest_part_of_a_bad_history_is_bad(name):
    violation = smallest("k", BAD[name])
    assert not check(violation.operations, step, NEVER_WRITTEN).linearizable
    assert len(violation.operations) <= len(BAD[name])


def test_an_operation_is_the_same_after_it_was_written_down():
    for operation in GOOD["one after the other"] + GOOD["an unknown put that happened late"]:
        assert Operation.from_json(operation.to_json()) == operation


def test_revisions_must_follow_time():
    first, second = put(1, 2, "a", 1, revision=5), put(3, 4, "b", 2, revision=6)
    assert revision_violations([first, second]) == [] == revisions_given_twice([first, second])
    early = put(3, 4, "b", 2, revision=4)
    assert revision_violations([first, early]) == [(first, early)]
    at_once = put(2, 4, "b", 2, revision=4)
    assert revision_violations([first, at_once]) == []
    same = put(2, 4, "b", 2, revision=5)
    assert revisions_given_twice([first, same]) == [(first, same)]
