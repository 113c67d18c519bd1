"""Certificates of a test's own, made by openssl."""

import os
import subprocess


class Authority:
    """Signs certificates; its own is `path`."""

    def __init__(self, directory, name):
        self.directory, self.name = str(directory), name
        self.path, self.key = self.file("pem"), self.file("key")
        openssl("req", "-x509", *NEW_KEY, "-keyout", self.key, "-out", self.path, "-days", "1", "-subj", f"/CN={name}",
                "-addext", "basicConstraints=critical,CA:TRUE")

    def file(self, kind):
        return os.path.join(self.directory, f"{self.name}.{kind}")

    def sign(self, server, *names):
        """(certificate, key) of a server of those names, as "DNS:localhost" or "IP:127.0.0.1"."""
        request, certificate, key, extensions = (
            os.path.join(self.directory, f"{server}.{kind}") for kind in ("csr", "pem", "key", "ext"))
        with open(extensions, "w") as out:
            out.write("subjectAltName=" + ",".join(names) + "\n")
        openssl("req", *NEW_KEY, "-keyout", key, "-out", request, "-subj", f"/CN={server}")
        openssl("x509", "-req", "-in", request, "-CA", self.path, "-CAkey", self.key, "-CAcreateserial", "-days", "1",
                "-extfile", extensions, "-out", certificate)
        return certificate, key


NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
