"""What a correct store does with one key, and what its clients saw of it."""

import dataclasses
import json
import typing

PUT, GET, DELETE = "put", "get", "delete"


class State(typing.NamedTuple):
    version: int  # of the last put or delete; 0 before the first
    lives: bool
    value: typing.Optional[str]

    def current(self):
        """What if_version_match is compared with."""
        return self.version if self.lives else 0


NEVER_WRITTEN = State(0, False, None)


# The answers, as tuples.
def done(version, value=None):
    return "done", version, value


def mismatch(current_version):
    return "mismatch", current_version


def deleted(version=None):
    """Deletes are not told the version."""
    return "deleted", version


ABSENT = ("absent",)


@dataclasses.dataclass(frozen=True)
class Operation:
    """One call of one client. Times are nanoseconds of one clock for all clients."""

    key: str
    kind: str
    called: int
    returned: typing.Optional[int]  # None: it may have taken effect, at any time since, or never
    answer: typing.Optional[tuple] = None  # None with `returned`
    condition: typing.Optional[int] = None
    value: typing.Optional[str] = None  # what a put puts
    revision: int = 0  # that the answer told
    client: str = ""

    def __str__(self):
        what = self.kind if self.value is None else f"{self.kind} {self.value}"
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
    if operation.kind == GET:
        if state.lives:
            return done(state.version, state.value), state
        return deleted(state.version) if state.version > 0 else ABSENT, state
    if operation.kind == DELETE and not state.lives:
        return deleted() if state.version > 0 else ABSENT, state
    if operation.condition is not None and operation.condition != state.current():
        return mismatch(state.current()), state
    after = State(state.version + 1, operation.kind == PUT, operation.value)
    return done(after.version, after.value), after


def step(state, operation):
    """For the checker. An operation of unknown outcome that would change nothing need not be
    in the order at all."""
    answer, after = run(state, operation)
    if operation.answer is None:
        return None if after is state else after
    return after if answer == operation.answer else None
