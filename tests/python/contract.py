"""Python code made from proto/ alone, with protoc and grpcio, as a client in any language
would have it."""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile

from cluster import ROOT

_generated = tempfile.mkdtemp(prefix="waybill-contract-")
atexit.register(shutil.rmtree, _generated, ignore_errors=True)


def _generate():
    proto = os.path.join(ROOT, "proto")
    files = [os.path.relpath(os.path.join(folder, name), proto)
             for folder, _, names in os.walk(proto) for name in names if name.endswith(".proto")]
    # google/rpc has packages of its own in Python; the names below are enough for the tests.
    subprocess.run(
        ["protoc", f"--proto_path={proto}", f"--python_out={_generated}", f"--grpc_out={_generated}",
         f"--plugin=protoc-gen-grpc={shutil.which('grpc_python_plugin')}", *files], check=True)
    sys.path.insert(0, _generated)


_generate()

# `google` is a namespace that protobuf's own package holds already: make ours part of it.
import google  # noqa: E402

google.__path__ = list(google.__path__) + [os.path.join(_generated, "google")]

from google.rpc import error_details_pb2, status_pb2  # noqa: E402,F401
from waybill.v1 import (  # noqa: E402,F401
    admin_service_pb2, admin_service_pb2_grpc, bucket_pb2, event_pb2, metadata_service_pb2,
    metadata_service_pb2_grpc, object_service_pb2, object_service_pb2_grpc, payload_service_pb2,
    payload_service_pb2_grpc, peer_service_pb2, peer_service_pb2_grpc, record_pb2, report_service_pb2, report_service_pb2_grpc, schema_service_pb2,
    schema_service_pb2_grpc)
