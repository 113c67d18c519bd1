"""Whether there is an order of operations, each at one moment between its call and its
return, in which a model gives every answer that was seen: Wing & Gong's search with Lowe's
memoization, as in Porcupine.

The search walks over the calls and returns in the order of time. It takes a call whose answer
the model gives into the order and starts over with what is left; when it meets the return of
an operation that it has not taken, it goes back to its last choice. What was taken, as a set,
together with the state is remembered: getting there again by another order helps nobody.

An operation of unknown outcome has no return: it may be taken at any time after its call, or
never. The search is exponential in the worst case, so it has a budget of steps."""

import dataclasses

BUDGET = 5_000_000


class Undecided(Exception):
    """The budget is spent and neither an order nor its absence is found."""


class Entry:
    """A call or a return in the list that the search walks over."""

    __slots__ = ("operation", "bit", "before", "after", "answer")

    def __init__(self, operation, bit):
        self.operation = operation
        self.bit = bit
        self.before = self.after = None
        self.answer = None  # of a call: its return, if it has one

    def unlink(self):
        self.before.after = self.after
        if self.after is not None:
            self.after.before = self.before

    def relink(self):
        self.before.after = self
        if self.after is not None:
            self.after.before = self


def lift(call):
    call.unlink()
    if call.answer is not None:
        call.answer.unlink()


def unlift(call):
    if call.answer is not None:
        call.answer.relink()
    call.relink()


def entries_of(operations):
    """The head of the list. At the same moment calls come first: those overlap."""
    events = []
    for number, operation in enumerate(operations):
        call = Entry(operation, 1 << number)
        events.append((operation.called, 0, number, call))
        if operation.returned is not None:
            assert operation.called <= operation.returned, operation
            call.answer = Entry(operation, 0)
            events.append((operation.returned, 1, number, call.answer))
    events.sort(key=lambda event: event[:3])
    head = last = Entry(None, 0)
    for *_, entry in events:
        last.after, entry.before = entry, last
        last = entry
    return head


@dataclasses.dataclass(frozen=True)
class Verdict:
    linearizable: bool
    # An order of operations: the whole one, or else the longest that was found.
    order: tuple


def check(operations, step, initial, budget=BUDGET):
    """`operations` have `called` and `returned`, the latter None where the outcome is unknown.
    `step(state, operation)` is the state after the operation, or None where the model would
    not have answered as it was answered; states are compared and hashed."""
    head = entries_of(operations)
    missing = sum(operation.returned is not None for operation in operations)
    state, taken, chosen, longest = initial, 0, [], ()
    seen = {(0, initial)}
    entry = head.after
    while missing > 0:
        budget -= 1
        if budget < 0:
            raise Undecided()
        if entry.bit:
            after = step(state, entry.operation)
            if after is not None and (taken | entry.bit, after) not in seen:
                chosen.append((entry, state))
                state, taken = after, taken | entry.bit
                seen.add((taken, state))
                missing -= entry.answer is not None
                if len(chosen) > len(longest):
                    longest = tuple(call.operation for call, _ in chosen)
                lift(entry)
                entry = head.after
            else:
                entry = entry.after
        elif chosen:
            entry, state = chosen.pop()
            taken ^= entry.bit
            missing += entry.answer is not None
            unlift(entry)
            entry = entry.after
        else:
            return Verdict(False, longest)
    return Verdict(True, tuple(call.operation for call, _ in chosen))
