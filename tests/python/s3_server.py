"""A real S3 server of a test's own: versitygw over a temporary directory."""

import hashlib
import os
import shutil
import subprocess
import tempfile

from cluster import Loopback, Process, free_port
from tools import missing, tool

VERSITYGW = tool("versitygw")
MISSING = missing("versitygw")
BUCKET = "tier"
ACCESS_KEY = "testing-access"
SECRET_KEY = "testing-secret-that-no-log-may-show"


class S3Server:
    """`options` are versitygw's; `network` as a cluster's, where it has a place `s3`."""

    def __init__(self, *options, network=Loopback()):
        self.host = network.host("s3")
        self.directory = tempfile.mkdtemp(prefix="waybill-s3-")
        self.port = free_port()
        self.data = os.path.join(self.directory, "data")
        os.makedirs(os.path.join(self.data, BUCKET))
        self.write("access", ACCESS_KEY)
        self.write("secret", SECRET_KEY)
        self.process = Process(
            "versitygw",
            [*network.inside("s3"), VERSITYGW, "--access", ACCESS_KEY, "--secret", SECRET_KEY, "--port",
             f"{self.host}:{self.port}", *options, "posix", self.data],
            self.directory, [self.port], self.host)

    def write(self, name, text):
        with open(os.path.join(self.directory, name), "w") as out:
            out.write(text + "\n")

    def object_flags(self, port=None):
        """`port`: of a proxy."""
        return ["--cold-store", "s3", "--s3-endpoint", f"http://{self.host}:{port or self.port}", "--s3-bucket", BUCKET,
                "--s3-prefix", "waybill/test", "--s3-part-bytes", "5MiB",
                "--s3-access-key-file", os.path.join(self.directory, "access"),
                "--s3-secret-key-file", os.path.join(self.directory, "secret")]

    def target(self):
        """As a migration names it."""
        return (f"s3+http://{self.host}:{self.port}/{BUCKET}/waybill/test?region=us-east-1"
                f"&access_key_file={self.directory}/access&secret_key_file={self.directory}/secret")

    def request(self, path, *options):
        """The answer to a signed request; curl makes it, so that it is not our own code that is asked."""
        return subprocess.run(
            ["curl", "-sS", "--fail", "--path-as-is", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u",
             f"{ACCESS_KEY}:{SECRET_KEY}", "-H", "x-amz-content-sha256: " + hashlib.sha256(b"").hexdigest(), *options,
             f"http://{self.host}:{self.port}/{BUCKET}{path}"],
            check=True, capture_output=True).stdout

    def uploads(self):
        return self.request("?uploads=").count(b"<Upload>")

    def parts_in_progress(self):
        """Files of parts that the server holds for uploads that have not ended."""
        root = os.path.join(self.data, BUCKET, ".sgwtmp", "multipart")
        return sum(name.isdigit() for _, _, names in os.walk(root) for name in names)

    def end(self):
        self.process.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
