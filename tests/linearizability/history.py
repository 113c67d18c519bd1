"""Histories of many keys: whether they are linearizable, and if not, the smallest part that
shows it. As a program: history.py FILE checks a history that a failed test left behind."""

import dataclasses
import sys

from checker import Undecided, check
from record_model import LAPSE, NEVER_WRITTEN, READS, Operation, State, step


def by_key(operations):
    """Linearizability is local: a history is linearizable if that of each key is."""
    keys = {}
    for operation in operations:
        keys.setdefault(operation.key, []).append(operation)
    return keys


@dataclasses.dataclass(frozen=True)
class Violation:
    key: str
    operations: list
    # Whether the key was never written before; otherwise no state at all could have come before.
    from_start: bool

    def __str__(self):
        first = min(operation.called for operation in self.operations)
        start = "from the start" if self.from_start else "whatever was there before"
        lines = [f"no order explains these {len(self.operations)} operations on {self.key}, {start} (times in µs):"]
        for operation in sorted(self.operations, key=lambda operation: operation.called):
            end = "   ...    " if operation.returned is None else f"{(operation.returned - first) / 1000:10.1f}"
            lines.append(f"  {(operation.called - first) / 1000:10.1f} - {end}  {operation.client:8} {operation}")
        return "\n".join(lines)


def violations(operations):
    """One for each key whose history is not linearizable."""
    return [smallest(key, part) for key, part in by_key(operations).items()
            if not check(part, step, NEVER_WRITTEN).linearizable]


# ---- making a violation small; every step only weakens what the history says ----

SHRINK_BUDGET = 20_000
SHORT = 40  # operations


def is_impossible(operations, states):
    """Whether no order explains the operations, from any of the states. Not sure is no."""
    try:
        return not any(check(operations, step, state, SHRINK_BUDGET).linearizable for state in states)
    except Undecided:
        return False


def until(operations, time):
    """What was known at `time`."""
    known = [operation for operation in operations if operation.returned is not None and operation.returned <= time]
    under_way = [operation.unknown() for operation in operations
                 if operation.called <= time and operation.kind not in READS
                 and (operation.returned is None or operation.returned > time)]
    return known + under_way


def since(operations, time):
    """What was still to be explained at `time`, when nothing was under way but the unknown."""
    return [operation for operation in operations if operation.returned is None or operation.returned > time]


def quiet_times(operations):
    """When every call had returned, except those that never did."""
    ends, latest = [], None
    for operation in sorted((operation for operation in operations if operation.returned is not None),
                            key=lambda operation: operation.called):
        if latest is not None and latest < operation.called:
            ends.append(latest)
        latest = operation.returned if latest is None else max(latest, operation.returned)
    return ends


def states_before(operations):
    """Every state that may have been at any time: of each version, alive by a put that got it or
    whose version is not known, or dead."""
    hidden = {operation.value for operation in operations if operation.value is not None and operation.answer is None}
    told = [operation.answer for operation in operations if operation.answer is not None]
    versions = {part for answer in told for part in answer[1:] if isinstance(part, int)}
    states = {State(version, False, None) for version in range(max(versions, default=0) + 2)}
    states |= {State(state.version, True, value) for state in states if state.version > 0 for value in hidden}
    return states | {State(answer[1], True, answer[2]) for answer in told if answer[0] == "done" and answer[2]}


def first_true(count, holds):
    """The least number for which `holds`, which is known of the last one and stays true."""
    low, high = 0, count - 1
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def without(operations, states):
    """Drops what changed nothing, and forgets the answers of the rest, as far as it stays
    impossible."""
    for operation in list(operations):
        others = [other for other in operations if other is not operation]
        changed = operation.kind not in READS and (operation.answer is None or operation.answer[0] == "done")
        if not changed:
            weaker = others
        elif operation.returned is not None:
            weaker = others + [operation.unknown()]
        else:
            continue
        if is_impossible(weaker, states):
            operations = weaker
    # What began after all answers cannot have had a part in them.
    last = max(operation.returned for operation in operations if operation.returned is not None)
    return [operation for operation in operations if operation.called <= last]


def smallest(key, operations):
    """The shortest beginning of the history that cannot be, without what is older than it needs."""
    start = [NEVER_WRITTEN]
    ends = sorted(operation.returned for operation in operations if operation.returned is not None)
    shown = until(operations, ends[first_true(len(ends), lambda n: is_impossible(until(operations, ends[n]), start))])
    if not is_impossible(shown, start):
        return Violation(key, operations, True)  # too large to be made smaller
    if any(operation.kind == LAPSE for operation in shown):
        # states_before knows nothing of what lapses, so the beginning stays: a long one as it is.
        return Violation(key, without(shown, start) if len(shown) <= SHORT else shown, True)
    states = states_before(operations)
    for cut in reversed(quiet_times(shown)):
        if is_impossible(since(shown, cut), states):
            return Violation(key, without(since(shown, cut), states), False)
    return Violation(key, without(shown, start), True)


# ---- the order of the shard ----

def revision_violations(operations):
    """Pairs where a revision was told, and a write that began only later got a lower one: the
    shard's commits are then not in one order that clients can see."""
    told = sorted((operation for operation in operations if operation.revision and operation.returned is not None),
                  key=lambda operation: operation.returned)
    writes = sorted((operation for operation in told if operation.kind not in READS), key=lambda operation: operation.called)
    found, newest, next_told = [], None, 0
    for write in writes:
        while next_told < len(told) and told[next_told].returned < write.called:
            if newest is None or told[next_told].revision > newest.revision:
                newest = told[next_told]
            next_told += 1
        if newest is not None and newest.revision >= write.revision:
            found.append((newest, write))
    return found


def revisions_given_twice(operations):
    seen, twice = {}, []
    for operation in operations:
        if operation.kind not in READS and operation.revision:
            other = seen.setdefault(operation.revision, operation)
            if other is not operation:
                twice.append((other, operation))
    return twice


# ---- all together ----

def problems(operations):
    """What is wrong with the history, for people; empty when nothing is."""
    found = [str(violation) for violation in violations(operations)]
    found += [f"a write that began after revision {told.revision} was told got revision {write.revision}:\n"
              f"  {told.key}: {told}\n  {write.key}: {write}" for told, write in revision_violations(operations)]
    found += [f"two writes got one revision:\n  {one.key}: {one}\n  {other.key}: {other}"
              for one, other in revisions_given_twice(operations)]
    return found


def save(operations, path):
    with open(path, "w") as out:
        out.writelines(operation.to_json() + "\n" for operation in operations)


def load(path):
    with open(path) as lines:
        return [Operation.from_json(line) for line in lines]


if __name__ == "__main__":
    found_in_file = problems(load(sys.argv[1]))
    print("\n".join(found_in_file) or "linearizable")
    sys.exit(bool(found_in_file))
