"""Programs that tests use and that are no Debian packages: tests/install-tools makes them."""

import os
import shutil

from cluster import ROOT

PLACES = (os.path.join(ROOT, "build", "tools"), "/opt/tools", os.path.expanduser("~/go/bin"))


def tool(name):
    """Its path, or None where it is not installed."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(PLACES))


def missing(name):
    """Why a test that needs it is skipped."""
    return f"{name} is not installed (it is no Debian package; tests/install-tools makes it where Go is)"
