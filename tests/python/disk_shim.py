"""A disk that is slow or fails below one directory of a service, as the test says at each moment
(tests/support/disk_shim.c, preloaded into the service)."""

import contextlib
import errno
import mmap
import os
import struct

import pytest

from cluster import BUILD, SLOWNESS

LIBRARY = os.path.join(BUILD, "tests", "support", "disk_shim.so")
FAULT = struct.Struct("iiiii")  # pause_ms, error, times, met, permille
KINDS = ("write", "sync", "read", "open", "rename")
TRACE_AT = FAULT.size * len(KINDS)
BELOW_AT = TRACE_AT + 4
FOR_EVER = -1


def skip_where_nothing_is_preloaded():
    if SLOWNESS != 1:
        pytest.skip("a preloaded library and a sanitizer's or valgrind's own get in each other's way")


class DiskShim:
    """Preloaded into the process when that is started the next time."""

    def __init__(self, process, directory, below):
        self.path = os.path.join(directory, process.name + ".disk")
        with open(self.path, "w+b") as file:
            file.truncate(4096)
            self.memory = mmap.mmap(file.fileno(), 4096)
        self.aim(below)
        process.environment["LD_PRELOAD"] = LIBRARY
        process.environment["DISK_SHIM"] = self.path

    def aim(self, below):
        """Faults befall what lies in this directory."""
        name = os.path.realpath(below).encode() + b"\0"
        self.memory[BELOW_AT:BELOW_AT + len(name)] = name

    def set(self, kind, pause=0.0, error=0, times=FOR_EVER, permille=0):
        """The next so many calls take that much longer, or end with the error; or some of them, at random."""
        FAULT.pack_into(self.memory, FAULT.size * KINDS.index(kind), int(pause * 1000), error, times, 0, permille)

    def clear(self):
        """The disk is well again, at once."""
        for kind in KINDS:
            self.set(kind, times=0)

    def met(self, kind):
        """How many calls the fault befell since it was set."""
        return FAULT.unpack_from(self.memory, FAULT.size * KINDS.index(kind))[3]

    def trace(self, on=True):
        struct.pack_into("i", self.memory, TRACE_AT, int(on))

    def traced(self):
        """[(process id, kind, error, path)]"""
        with open(self.path + ".trace") as trace:
            return [(int(pid), kind, int(error), path) for pid, kind, error, path in
                    (line.rstrip("\n").split(" ", 3) for line in trace)]

    def check_no_retry(self):
        """After a flush that failed, its file was neither flushed nor written to again by the same process."""
        failed = set()
        for pid, kind, error, path in self.traced():
            if kind == "rename":
                failed.discard((pid, path))
                continue
            assert (pid, path) not in failed, f"a {kind} of {path} after a flush of it that failed"
            if kind == "sync" and error != 0:
                failed.add((pid, path))
        assert any(kind == "sync" and error != 0 for _, kind, error, _ in self.traced()), "no flush failed"


@contextlib.contextmanager
def failing(shim, kind, error=errno.EIO, times=FOR_EVER):
    shim.set(kind, error=error, times=times)
    try:
        yield shim
    finally:
        shim.clear()


def shims_of(cluster):
    """One below each service's directory: of metadata-svc, and of object-svc. To be called before they start."""
    return [DiskShim(process, cluster.directory, os.path.join(cluster.directory, name))
            for process, name in ((cluster.metadata, "metadata"), (cluster.object, "object"))]
