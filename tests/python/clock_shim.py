"""A wall clock of a service that jumps when the test says so (tests/support/clock_shim.c, preloaded into the service)."""

import mmap
import os
import struct

from cluster import BUILD
from disk_shim import skip_where_nothing_is_preloaded

LIBRARY = os.path.join(BUILD, "tests", "support", "clock_shim.so")


class ClockShim:
    """One clock for the processes, as on one machine; preloaded when they are started the next time."""

    def __init__(self, directory, *processes):
        skip_where_nothing_is_preloaded()
        path = os.path.join(directory, "clock")
        with open(path, "w+b") as file:
            file.truncate(4096)
            self.memory = mmap.mmap(file.fileno(), 4096)
        for process in processes:
            process.environment["LD_PRELOAD"] = LIBRARY
            process.environment["CLOCK_SHIM"] = path

    def set(self, ahead_seconds):
        struct.pack_into("q", self.memory, 0, int(ahead_seconds * 1e6))
