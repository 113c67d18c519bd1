"""The waybill command as a person or a script runs it."""

import json
import os
import subprocess

from cluster import BUILD, PATIENCE

WAYBILL = os.path.join(BUILD, "cli", "waybill")


class CommandLine:
    """Runs of the command against one cluster."""

    def __init__(self, cluster):
        self.environment = cluster.environment()

    def __call__(self, *arguments, **options):
        """Any run; the caller looks at its status."""
        options.setdefault("timeout", 60 * PATIENCE)
        return subprocess.run([WAYBILL, *map(str, arguments)], env=self.environment, capture_output=True, **options)

    def good(self, *arguments, **options):
        """What a run prints that must succeed."""
        done = self(*arguments, **options)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.decode()

    def json(self, *arguments, **options):
        """The one document of a run that must succeed."""
        return json.loads(self.good(*arguments, "--json", **options))

    def bad(self, status, *arguments, **options):
        """The error of a run that must fail with this exit status."""
        done = self(*arguments, "--json", **options)
        assert done.returncode == status, (arguments, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stderr)["error"]
