"""What a correct store does with one key, and what its clients saw of it."""

import dataclasses
import json
import typing

PUT, GET, DELETE = "put", "get", "delete"
UPDATE = "update"  # of the value; there must be a record
BATCHED_PUT = "put in a batch"
RESTORE = "restore"  # of `older`, whose value the client knows
ABANDONED_PUT = "abandoned put"  # announces a payload that never comes
LAPSE = "lapse"  # nobody's call: what the abandoned put of `value` left is reverted, unless written over
GET_VERSION = "get version"  # `older`, likewise
READS = (GET, GET_VERSION)


class State(typing.NamedTuple):
    version: int  # of the last put or delete; 0 before the first
    lives: bool
    value: typing.Optional[str]
    settled: typing.Optional[str] = None  # what a lapse goes back to; None: a tombstone
    awaits: typing.Optional[str] = None  # the abandoned put whose payload the latest version waits for

    def current(self):
        """What if_version_match is compared with."""
        return self.version if self.lives else 0


NEVER_WRITTEN = State(0, False, None)


# The answers, as tuples.
def done(version, value=None):
    return "done", version, value


def mismatch(current_version=None):
    """Puts in a batch are not told the current version."""
    return "mismatch", current_version


def deleted(version=None):
    """Writes are not told the version."""
    return "deleted", version


ABSENT = ("absent",)
EXISTS = ("exists",)
VERSION_ABSENT = ("version absent",)


@dataclasses.dataclass(frozen=True)
class Operation:
    """One call of one client. Times are nanoseconds of one clock for all clients."""

    key: str
    kind: str
    called: int
    returned: typing.Optional[int]  # None: it may have taken effect, at any time since, or never
    answer: typing.Optional[tuple] = None  # None with `returned`
    condition: typing.Optional[int] = None
    value: typing.Optional[str] = None  # that the record is to have
    older: typing.Optional[int] = None
    revision: int = 0  # that the answer told
    client: str = ""

    def __str__(self):
        what = " ".join(str(part) for part in (self.kind, self.older, self.value) if part is not None)
        condition = "" if self.condition is None else f" if version {self.condition}"
        answer = "unknown" if self.answer is None else " ".join(str(part) for part in self.answer if part is not None)
        revision = f" (revision {self.revision})" if self.revision else ""
        return f"{what}{condition} -> {answer}{revision}"

    def unknown(self):
        """The same, had its client not heard the answer."""
        return dataclasses.replace(self, returned=None, answer=None, revision=0)

    def to_json(self):
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(line):
        fields = json.loads(line)
        if fields["answer"] is not None:
            fields["answer"] = tuple(fields["answer"])
        return Operation(**fields)


def run(state, operation):
    """(the answer that a correct store gives, the state after it)"""
    if operation.kind == LAPSE:
        return (), lapse(state, operation)
    return (read if operation.kind in READS else write)(state, operation)


def read(state, operation):
    if operation.kind == GET_VERSION:
        # What a version holds never changes, and the client was told of it.
        return done(operation.older, operation.value) if operation.older <= state.version else VERSION_ABSENT, state
    if state.lives:
        return done(state.version, state.value), state
    return deleted(state.version) if state.version > 0 else ABSENT, state


def write(state, operation):
    kind = operation.kind
    if kind in (DELETE, UPDATE) and not state.lives:
        return deleted() if state.version > 0 else ABSENT, state
    if kind == RESTORE and state.version == 0:
        return ABSENT, state
    if operation.condition is not None and operation.condition != state.current():
        return mismatch(None if kind == BATCHED_PUT else state.current()), state
    if kind == RESTORE and operation.older == state.current():
        return EXISTS, state
    if kind == RESTORE and operation.older > state.version:
        return VERSION_ABSENT, state
    version, value, settled = state.version + 1, operation.value, state.settled if state.lives else None
    if kind == DELETE:
        after = State(version, False, None)
    elif kind == ABANDONED_PUT:
        after = State(version, True, value, settled, awaits=value)
    elif kind == UPDATE and state.awaits is not None:  # it shares the payload
        after = State(version, True, value, settled, state.awaits)
    else:
        after = State(version, True, value, settled=value)
    return done(after.version, after.value), after


def lapse(state, operation):
    if state.awaits != operation.value:
        return state
    return State(state.version + 1, state.settled is not None, state.settled, state.settled)


def step(state, operation):
    """For the checker. An operation of unknown outcome that would change nothing need not be
    in the order at all."""
    answer, after = run(state, operation)
    if operation.answer is None:
        return None if after is state else after
    return after if answer == operation.answer else None
