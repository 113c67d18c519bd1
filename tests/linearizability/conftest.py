import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))

from conftest_shared import pytest_runtest_makereport  # noqa: E402,F401
