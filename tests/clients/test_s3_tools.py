"""Whoever has an S3 tool and no Waybill finds the cold objects by readable names, with right bytes and what is
said of them (docs/operations/s3-tools.md)."""

import hashlib
import json
import os
import subprocess

import pytest

from client import COLD, TIMEOUT, Client, admin
from cluster import PATIENCE
from conftest_shared import run_cluster
from contract import record_pb2
from s3_server import ACCESS_KEY, BUCKET, MISSING, SECRET_KEY, VERSITYGW, S3Server
from tools import tool

RCLONE, AWS = tool("rclone"), tool("aws")

pytestmark = pytest.mark.skipif(VERSITYGW is None, reason=MISSING)

with_rclone = pytest.mark.skipif(RCLONE is None, reason="rclone is not installed (deploy/install-packages test)")
with_aws = pytest.mark.skipif(AWS is None, reason="the AWS command line is not installed (Debian's awscli, or pip)")

PREFIX = "waybill/test/photos"
LARGE = 7 << 20  # more than one part
CONTENTS = {
    "2024/beach.png": b"a small picture",
    "2024/grün & blau/100%.txt": b"a key that has to be escaped",
    "2024/empty": b"",
    "large.bin": os.urandom(LARGE),
}


def name_of(key, version=1):
    return key.replace("%", "%25") + f"/@{version}"


class Store:
    """An S3 bucket that object-svc filled, and the programs that look at it."""

    def __init__(self, server, records):
        self.server = server
        self.records = records
        endpoint = f"http://127.0.0.1:{server.port}"
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("AWS_", "RCLONE_", "WAYBILL_")) and not name.lower().endswith("_proxy")}
        self.environment.update({
            "HOME": server.directory,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "RCLONE_CONFIG_COLD_TYPE": "s3", "RCLONE_CONFIG_COLD_PROVIDER": "Other",
            "RCLONE_CONFIG_COLD_ENV_AUTH": "true", "RCLONE_CONFIG_COLD_ENDPOINT": endpoint,
            "RCLONE_CONFIG": os.path.join(server.directory, "rclone.conf"),
        })
        self.endpoint = endpoint

    def run(self, *command):
        done = subprocess.run(command, env=self.environment, capture_output=True, timeout=60 * PATIENCE)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def rclone(self, *arguments):
        return self.run(RCLONE, "--retries", "1", *arguments)

    def aws(self, service, *arguments):
        return self.run(AWS, "--endpoint-url", self.endpoint, "--output", "json", service, *arguments)


@pytest.fixture(scope="module")
def store():
    server = S3Server()
    server.process.start()
    for cluster in run_cluster(object_flags=server.object_flags()):
        client = Client(cluster)
        client.create_bucket("photos", COLD, cold_after=0)
        for key, content in CONTENTS.items():
            client.upload("photos", key, content, content_type="image/png",
                          attributes={"place": record_pb2.AttributeValue(string_value="Sylt")})
        records = {key: client.wait_tiers("photos", key, {"COLD"}) for key in CONTENTS}
        yield Store(server, records)
    server.end()


def check_metadata(metadata, record):
    """What an object says of its origin."""
    assert metadata["waybill-bucket"] == "photos"
    assert metadata["waybill-version"] == "1"
    assert metadata["waybill-payload-id"] == record.payload_id
    assert metadata["waybill-size"] == str(record.size)
    assert metadata["waybill-crc32c"] == f"{record.crc32c:08x}"
    assert int(metadata["waybill-store-unix-us"]) >= int(metadata["waybill-commit-unix-us"]) > 0


@with_rclone
def test_rclone_lists_readable_names_with_their_sizes(store):
    lines = store.rclone("ls", f"cold:{BUCKET}/{PREFIX}", "--exclude", "*.json").decode().splitlines()
    listed = {name: int(size) for size, name in (line.strip().split(" ", 1) for line in lines)}
    assert listed == {name_of(key): len(content) for key, content in CONTENTS.items()}
    assert store.rclone("lsf", f"cold:{BUCKET}/{PREFIX}").decode().splitlines() == ["2024/", "large.bin/"]


@with_rclone
@pytest.mark.parametrize("key", CONTENTS)
def test_rclone_reads_the_right_bytes(store, key):
    got = store.rclone("cat", f"cold:{BUCKET}/{PREFIX}/{name_of(key)}")
    assert hashlib.sha256(got).digest() == hashlib.sha256(CONTENTS[key]).digest()


@with_rclone
@pytest.mark.parametrize("key", CONTENTS)
def test_rclone_shows_where_an_object_is_from(store, key):
    listed, = json.loads(store.rclone("lsjson", "--metadata", f"cold:{BUCKET}/{PREFIX}/{name_of(key)}"))
    check_metadata(listed["Metadata"], store.records[key])
    assert listed["MimeType"] == "image/png"
    sidecar = json.loads(store.rclone("cat", f"cold:{BUCKET}/{PREFIX}/{name_of(key)}.json"))
    assert (sidecar["bucket"], sidecar["key"], sidecar["version"]) == ("photos", key, 1)
    assert "Sylt" in json.dumps(sidecar["descriptor"])


@with_rclone
def test_rclone_takes_a_whole_bucket_along(store, tmp_path):
    store.rclone("copy", f"cold:{BUCKET}/{PREFIX}", str(tmp_path), "--exclude", "*.json")
    for key, content in CONTENTS.items():
        assert (tmp_path / name_of(key)).read_bytes() == content


@with_rclone
def test_what_rclone_copies_is_a_cold_store_in_a_directory(store, tmp_path):
    store.rclone("copy", f"cold:{BUCKET}/waybill/test", str(tmp_path / "cold"))
    for cluster in run_cluster(object_flags=["--cold-dir", str(tmp_path / "cold")]):
        listed = Client(cluster).object_admin.ListStoredObjects(
            admin.ListStoredObjectsRequest(tier=record_pb2.TIER_COLD), timeout=TIMEOUT)
        found = {stored.record.key: stored for page in listed for stored in page.objects}
        assert sorted(found) == sorted(CONTENTS)
        for key, record in store.records.items():
            assert not found[key].damage and found[key].record.crc32c == record.crc32c


@with_aws
def test_aws_lists_readable_names(store):
    lines = store.aws("s3", "ls", "--recursive", f"s3://{BUCKET}/{PREFIX}/").decode().splitlines()
    listed = {line.split(None, 3)[3]: int(line.split(None, 3)[2]) for line in lines}
    for key, content in CONTENTS.items():
        assert listed.pop(f"{PREFIX}/{name_of(key)}") == len(content)
        assert listed.pop(f"{PREFIX}/{name_of(key)}.json") > 0
    assert not listed


@with_aws
@pytest.mark.parametrize("key", ["2024/grün & blau/100%.txt", "large.bin"])
def test_aws_reads_bytes_and_metadata(store, tmp_path, key):
    store.aws("s3", "cp", "--only-show-errors", f"s3://{BUCKET}/{PREFIX}/{name_of(key)}", str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == CONTENTS[key]
    head = json.loads(store.aws("s3api", "head-object", "--bucket", BUCKET, "--key", f"{PREFIX}/{name_of(key)}"))
    assert head["ContentLength"] == len(CONTENTS[key]) and head["ContentType"] == "image/png"
    check_metadata(head["Metadata"], store.records[key])
