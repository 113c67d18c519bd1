"""docs/operations/failpoints.md lists the failpoints that the sources have, each with the service that has it."""

import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def in_sources(service):
    found = []
    for directory, _, names in os.walk(os.path.join(ROOT, service)):
        for name in names:
            if name.endswith((".c", ".h")):
                with open(os.path.join(directory, name)) as source:
                    found += re.findall(r'FAILPOINT\("([^"]*)"\)', source.read())
    return found


def in_page(service):
    with open(os.path.join(ROOT, "docs", "operations", "failpoints.md")) as page:
        section = page.read().split(f"\n## {service}\n")[1].split("\n## ")[0]
    return [name for line in section.splitlines() if line.startswith("| `")
            for name in re.findall(r"`([^`]*)`", line.split("|")[1])]


def test_the_page_lists_all_failpoints_and_no_others():
    for service in ("metadata-svc", "object-svc"):
        names = in_page(service)
        assert sorted(set(names)) == sorted(names)
        assert sorted(set(in_sources(service))) == sorted(names)


def test_names_say_the_step_and_where_in_it():
    for service in ("metadata-svc", "object-svc"):
        for name in in_sources(service):
            assert re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+){1,2}", name), name
