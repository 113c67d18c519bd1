"""Outages of a cold store that is a directory."""

import os


class UnwritableDirectory:
    """Nothing can be written into it, what is there can be read."""
    readable = True

    def __init__(self, cluster):
        self.writing = os.path.join(cluster.directory, "object", "cold", ".tmp")

    def begin(self):
        os.rename(self.writing, self.writing + ".away")

    def end(self):
        os.rename(self.writing + ".away", self.writing)
