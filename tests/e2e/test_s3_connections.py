"""How object-svc reaches its S3 server: TLS, names of buckets in hosts, credentials of all kinds."""

import os

import pytest

import s3_proxy
import signature
from certificates import Authority
from client import COLD, Client
from cluster import PATIENCE, wait_for
from conftest_shared import run_cluster
from s3_proxy import S3Proxy
from s3_server import ACCESS_KEY, MISSING, SECRET_KEY, VERSITYGW, S3Server

pytestmark = pytest.mark.skipif(VERSITYGW is None, reason=MISSING)

MIB = 1 << 20


class Site:
    """A server, and a cluster that stores in it."""

    def __init__(self, server, cluster):
        self.server, self.cluster, self.client = server, cluster, Client(cluster)
        self.client.create_bucket("cold", COLD, cold_after=0.1)

    def cycle(self, key="some/key", size=6 * MIB):
        data = os.urandom(size)
        self.client.upload("cold", key, data)
        self.client.wait_tiers("cold", key, {"COLD"}, seconds=60)
        assert self.client.read("cold", key)[0] == data

    def failure_of_start(self):
        """What a new start ends with."""
        assert not self.cluster.object.running() or self.cluster.object.stop() == 0
        self.cluster.object.start(wait=False)
        assert self.cluster.object.process.wait(timeout=60 * PATIENCE) != 0
        return [event for event in self.cluster.object.log_events() if event["event"] == "start_failed"][-1]


def run_site(server, flags):
    server.process.start()
    try:
        for cluster in run_cluster(allowed_errors=("start_failed",), object_flags=flags):
            yield Site(server, cluster)
            assert SECRET_KEY not in cluster.object.log()
    finally:
        server.end()


def with_endpoint(flags, endpoint):
    at = flags.index("--s3-endpoint")
    return [*flags[:at + 1], endpoint, *flags[at + 2:]]


# ---- TLS ----


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "right")


@pytest.fixture
def secure(authority):
    certificate, key = authority.sign("server", "IP:127.0.0.1", "DNS:localhost")
    server = S3Server("--cert", certificate, "--key", key)
    flags = [*with_endpoint(server.object_flags(), f"https://127.0.0.1:{server.port}"), "--s3-ca-file", authority.path]
    yield from run_site(server, flags)


def test_a_server_is_trusted_by_the_authority_that_is_configured_and_no_other(secure, authority, tmp_path):
    secure.cycle()
    wrong = Authority(tmp_path, "wrong")
    for content in (open(wrong.path).read(), ""):
        with open(authority.path, "w") as out:
            out.write(content)
        failure = secure.failure_of_start()
        assert (failure["reason"], failure["code"]) == ("COLD_STORE_TLS", "FAILED_PRECONDITION")
        assert failure["error"].startswith("s3_ca_file: https://127.0.0.1"), failure


def test_a_certificate_of_another_host_is_refused(secure):
    """The name leads to the same server, and is none that the certificate is for."""
    at = secure.cluster.object.command.index("--s3-endpoint") + 1
    secure.cluster.object.command[at] = f"https://x.localhost:{secure.server.port}"
    failure = secure.failure_of_start()
    assert failure["reason"] == "COLD_STORE_TLS"
    assert "x.localhost" in failure["error"], failure


# ---- names of buckets in hosts ----


@pytest.fixture
def virtual():
    server = S3Server("--virtual-domain", "localhost")
    flags = [*with_endpoint(server.object_flags(), f"http://localhost:{server.port}"), "--s3-path-style=false"]
    yield from run_site(server, flags)


def test_the_bucket_may_be_named_in_the_host(virtual):
    virtual.cycle()
    virtual.cycle("ünïcode and%/@1", 100)
    assert os.path.exists(os.path.join(virtual.server.data, "tier", "waybill", "test", "cold", "some", "key", "@1"))


# ---- credentials ----


class TokenService:
    """A server that wants a session token, made of one that knows none: checks it, and takes it out."""

    def __init__(self):
        self.valid = "first-token"
        self.seen = []  # tokens

    def __call__(self, request, forward):
        token = request.headers.get("x-amz-security-token")
        self.seen.append(token)
        if "x-amz-security-token" not in signature.check(request, SECRET_KEY):
            return s3_proxy.status(403, "AccessDenied")(request, forward)
        if token != self.valid:
            return s3_proxy.status(400, "ExpiredToken")(request, forward)
        signature.drop_header(request, "x-amz-security-token", SECRET_KEY)
        return forward(request)


@pytest.fixture
def tokens():
    server = S3Server()
    proxy = S3Proxy(server.port)
    service = TokenService()
    proxy.inject(service)
    server.write("token", "first-token")
    flags = [*server.object_flags(port=proxy.port), "--s3-session-token-file", os.path.join(server.directory, "token")]
    for site in run_site(server, flags):
        site.service = service
        yield site
    proxy.end()


def test_a_session_token_is_sent_signed_and_may_be_exchanged_while_the_service_runs(tokens):
    tokens.cycle("with-the-first")
    assert set(tokens.service.seen) == {"first-token"}
    tokens.service.valid = "second-token"
    data = os.urandom(1000)
    tokens.client.upload("cold", "expired", data)
    wait_for(lambda: "s3_session_token_file" in tokens.cluster.object.log(), "the log to blame the token")
    tokens.server.write("token", "second-token")
    tokens.client.wait_tiers("cold", "expired", {"COLD"}, seconds=60)
    assert tokens.client.read("cold", "expired")[0] == data
    assert "first-token" not in tokens.cluster.object.log()


@pytest.fixture
def environment(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    server = S3Server()
    flags = server.object_flags()
    first = flags.index("--s3-access-key-file")
    second = flags.index("--s3-secret-key-file")
    yield from run_site(server, [flag for at, flag in enumerate(flags) if at not in (first, first + 1, second, second + 1)])


def test_credentials_may_come_from_the_environment(environment):
    environment.cycle(size=1000)
