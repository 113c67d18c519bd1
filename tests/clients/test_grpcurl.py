"""grpcurl knows nothing of Waybill but what server reflection tells it."""

import base64
import json
import subprocess

import pytest

from cluster import wait_for
from tools import missing, tool

GRPCURL = tool("grpcurl")

pytestmark = pytest.mark.skipif(GRPCURL is None, reason=missing("grpcurl"))


@pytest.fixture(scope="module")
def grpcurl(cluster):
    def call(port, method=None, request=None, flags=()):
        command = [GRPCURL, "-plaintext", *flags]
        if request is not None:
            command += ["-d", request if isinstance(request, str) else json.dumps(request)]
        command += [f"127.0.0.1:{port}", *([method] if method else ["list"])]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout, done.stderr

    return call


def documents(text):
    """The JSON documents of a stream."""
    decoder, found = json.JSONDecoder(), []
    text = text.strip()
    while text:
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].strip()
    return found


def test_reflection_lists_the_services(grpcurl, cluster):
    for port, service in ((cluster.metadata_port, "waybill.v1.MetadataService"),
                          (cluster.bulk_port, "waybill.v1.PayloadService"),
                          (cluster.object_port, "waybill.v1.ObjectService")):
        status, out, _ = grpcurl(port)
        assert status == 0 and service in out.split() and "grpc.health.v1.Health" in out.split()


def test_create_put_get_list_watch_and_read_by_reflection_alone(grpcurl, cluster):
    service = "waybill.v1.MetadataService"
    status, out, err = grpcurl(cluster.metadata_port, f"{service}/CreateBucket", {"bucket": {"name": "reflected"}})
    assert status == 0, err
    data = base64.b64encode(b"hello").decode()
    status, out, err = grpcurl(cluster.metadata_port, f"{service}/PutRecord", {
        "bucket": "reflected", "key": "greeting", "attributes": {"n": {"intValue": 1}},
        "inlinePayload": {"data": data}})
    assert status == 0, err
    assert json.loads(out)["record"]["state"] == "RECORD_STATE_STAGED"

    def stored():
        _, answer, _ = grpcurl(cluster.metadata_port, f"{service}/GetRecord", {"bucket": "reflected", "key": "greeting"})
        return json.loads(answer)["record"]["state"] == "RECORD_STATE_STORED"

    wait_for(stored, "the record to be stored")
    status, out, _ = grpcurl(cluster.metadata_port, f"{service}/ListRecords", {"bucket": "reflected"})
    assert [record["key"] for record in json.loads(out)["records"]] == ["greeting"]
    _, out, _ = grpcurl(cluster.metadata_port, f"{service}/WatchChanges", {"startRevision": "1"}, ["-max-time", "2"])
    assert [int(item["event"]["revision"]) for item in documents(out)] == [1, 2, 3]
    status, out, err = grpcurl(cluster.object_port, "waybill.v1.ObjectService/ReadObject",
                               {"bucket": "reflected", "key": "greeting"})
    assert status == 0, err
    assert b"".join(base64.b64decode(part.get("data", "")) for part in documents(out)) == b"hello"


def test_uploading_by_reflection(grpcurl, cluster):
    messages = [{"newRecord": {"bucket": "reflected", "key": "uploaded"}},
                {"chunk": {"data": base64.b64encode(b"chunk").decode()}}, {"finish": {}}]
    status, out, err = grpcurl(cluster.bulk_port, "waybill.v1.PayloadService/UploadPayload",
                               " ".join(json.dumps(message) for message in messages))
    assert status == 0, err
    assert json.loads(out)["record"]["size"] == "5"


def test_errors_come_with_their_details(grpcurl, cluster):
    status, _, err = grpcurl(cluster.metadata_port, "waybill.v1.MetadataService/GetBucket", {"name": "NO"})
    assert status != 0 and "InvalidArgument" in err and "BAD_BUCKET_NAME" in err


def test_health_by_reflection(grpcurl, cluster):
    status, out, err = grpcurl(cluster.metadata_port, "grpc.health.v1.Health/Check", {"service": "metadata.write"})
    assert status == 0, err
    assert json.loads(out)["status"] == "SERVING"
