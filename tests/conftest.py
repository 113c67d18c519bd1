"""How the Python suites are shared out when several workers run them (pytest-xdist, --dist loadgroup).

Tests of a module that share something, such as a cluster, stay together and in their order, in one
worker. One with a cluster of its own may run anywhere. What takes longest begins first, so that no
worker is still at it when the others have nothing left."""

import signal

import pytest

# A shell that starts the tests in the background has them ignore it, and with them all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

LONG = ("fault", "linearizability")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes more than twenty seconds")
    config.addinivalue_line("markers", "kills: kills the services all the time; a killed one tells of no race")
    config.addinivalue_line("markers", "figures: measures the release build; not for builds with sanitizers")


def shares(item):
    """Whether it uses a fixture that outlives it; pytest's own ones have no place and do not count."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()  # pylint: disable=protected-access
    return any(definitions[-1].scope != "function" and definitions[-1].baseid for definitions in fixtures)


def mark_group(item):
    if shares(item):
        item.add_marker(pytest.mark.xdist_group(item.path.stem))


def group_of(item):
    """What stays together with it."""
    return item.path if item.get_closest_marker("xdist_group") else item.nodeid


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        mark_group(item)
    long = {group_of(item) for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: (group_of(item) not in long, item.path.parent.name not in LONG))
