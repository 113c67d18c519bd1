"""docs/errors.md lists the reasons that clients can meet, all of them and no others."""

import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# The rooms whose errors reach a client as they are.
ROOMS = ["metadata-svc/api", "metadata-svc/upload", "metadata-svc/commit", "metadata-svc/store", "metadata-svc/spool",
         "metadata-svc/snapshot", "metadata-svc/rebuild", "metadata-svc/watch", "object-svc/read", "object-svc/peer",
         "object-svc/cold/cold_object.c", "object-svc/cold/cold_directory_sync.c",
         "object-svc/cold/s3/s3_verdict.c", "object-svc/cold/s3/s3_credentials.c",
         "object-svc/scrub/scrubber.c", "object-svc/migrate", "object-svc/tier", "object-svc/hot/volume_space.c",
         "object-svc/hot/volume_store.c", "object-svc/api",
         "object-svc/cold/cold_breaker.h", "object-svc/cold/cold_breaker.c", "object-svc/ingest/dead_letters.c",
         "object-svc/ingest/dead_letter_codec.c",
         "common/base/names.c", "common/base/error.c", "common/base/bucket_share.c", "common/rpc"]

# Seen only by our own code: clients of a channel, start-up, or code paths of a broken program.
INTERNAL = {"UNKNOWN_CHANGE", "ADDRESS_IN_USE", "ADDRESS_UNAVAILABLE", "MALFORMED_RESPONSE", "NO_STATUS",
            "NO_THREADS", "SERVER_SILENT", "BAD_HEADER", "CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "UNKNOWN", "INTERNAL",
            "BAD_OPTION", "BAD_MAX_APPENDERS", "SPOOL_SEGMENT_TOO_SMALL", "OBJECT_NOT_FOUND", "MIGRATION_FILE_CORRUPT",
            "MIGRATION_NOT_FINISHED", "MIGRATION_STOPPED", "HANDLER_BROKEN", "BAD_ANSWER", "COMPRESSED_MESSAGE", "DEAD_LETTERS_FORMAT"}


def sources():
    for room in ROOMS:
        path = os.path.join(ROOT, room)
        if os.path.isfile(path):
            yield path
        else:
            for name in os.listdir(path):
                if name.endswith(".c"):
                    yield os.path.join(path, name)


def used_reasons():
    found = set()
    for path in sources():
        with open(path) as source:
            text = source.read()
        for call in re.findall(r"error_set(?:_field)?\([^;]*?;", text):
            found |= set(re.findall(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+|UNAVAILABLE)"', call))
        found |= set(re.findall(r'full \? "([A-Z_]+)" : "', text))
    return found


def documented_reasons():
    with open(os.path.join(ROOT, "docs", "errors.md")) as page:
        rows = [line for line in page if line.startswith("| `")]
    return {reason for row in rows for reason in re.findall(r"`([A-Z0-9_]+)`", row.split("|")[1])}


def test_every_reason_is_documented():
    assert used_reasons() - INTERNAL - documented_reasons() == set()


def test_every_documented_reason_is_used():
    text = "".join(open(path).read() for path in sources())
    assert {reason for reason in documented_reasons() if f'"{reason}"' not in text} == set()
