"""A proxy before an S3 server that does to requests and answers what networks and servers do.

It forwards headers as they are, so that signatures stay true."""

import http.client
import http.server
import random
import socket
import socketserver
import sys
import threading
import time
from dataclasses import dataclass, field

from cluster import free_port, port_is_open, wait_for

HOP_BY_HOP = {"connection", "expect", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "date", "server"}


@dataclass
class Request:
    method: str
    path: str  # with its query
    headers: dict  # names in small letters
    body: bytes = field(repr=False)


@dataclass
class Answer:
    status: int
    headers: list
    body: bytes = field(repr=False)


class Cut(Exception):
    """The connection ends here."""


# ---- faults: each is called with the proxy's next step and what it is about ----


def status(code, name="", retry_after=None):
    """An answer of the proxy's own; the server hears nothing."""
    def fault(request, forward):
        body = f"<Error><Code>{name}</Code><Message>made up</Message></Error>".encode() if name else b""
        headers = [("Content-Type", "application/xml")]
        if retry_after is not None:
            headers.append(("Retry-After", str(retry_after)))
        return Answer(code, headers, b"" if request.method == "HEAD" else body)
    return fault


def cut_request(request, forward):
    """As if the connection had ended before the server had the whole request."""
    raise Cut


def lose_answer(request, forward):
    """The server does what it is asked, and nobody hears."""
    forward(request)
    raise Cut


def cut_answer(request, forward):
    """Half of the body, then the end; Content-Length is that of the whole."""
    answer = forward(request)
    length = len(answer.body)
    if length < 2:
        raise Cut
    headers = [(name, value) for name, value in answer.headers if name.lower() != "content-length"]
    return Answer(answer.status, headers + [("Content-Length", str(length))], answer.body[:length // 2])


def flip_answer(request, forward):
    answer = forward(request)
    if answer.status // 100 == 2 and answer.body:
        answer.body = flipped(answer.body)
    return answer


def flip_request(request, forward):
    """The server gets other bytes than were signed."""
    return forward(Request(request.method, request.path, request.headers, flipped(request.body)))


def wrong_etag(request, forward):
    answer = forward(request)
    answer.headers = [(name, '"00000000000000000000000000000000"' if name.lower() == "etag" else value)
                      for name, value in answer.headers]
    return answer


def hang(seconds=600):
    """No answer for that long, or until the faults are over."""
    def fault(request, forward):
        fault.over.wait(seconds)
        raise Cut
    fault.over = threading.Event()
    return fault


def slow(seconds):
    def fault(request, forward):
        time.sleep(seconds)
        return forward(request)
    return fault


def flipped(data):
    if not data:
        return data
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 0x20]) + data[at + 1:]


# ---- the proxy ----


@dataclass
class Injection:
    fault: object
    matches: object
    left: int  # how often it still happens
    probability: float
    hits: int = 0


class S3Proxy:
    def __init__(self, server_port, seed=1):
        self.server_port = server_port
        self.port = free_port()
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.injections = []
        self.requests = []  # (method, path, headers) of all
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self.server = _Server(("127.0.0.1", self.port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        wait_for(lambda: port_is_open(self.port), "the proxy to listen")

    def inject(self, fault, matches=lambda request: True, times=1 << 30, probability=1.0):
        """From now on, to requests that match; returns what counts them in `hits`."""
        injection = Injection(fault, matches, times, probability)
        with self.lock:
            self.injections.append(injection)
        return injection

    def clear(self):
        with self.lock:
            for injection in self.injections:
                over = getattr(injection.fault, "over", None)
                if over is not None:
                    over.set()
            self.injections = []

    def choose(self, request):
        with self.lock:
            self.requests.append((request.method, request.path, request.headers))
            for injection in self.injections:
                if injection.left > 0 and injection.matches(request) and self.random.random() < injection.probability:
                    injection.left -= 1
                    injection.hits += 1
                    return injection.fault
        return None

    def forward(self, request):
        connection = http.client.HTTPConnection("127.0.0.1", self.server_port, timeout=60)
        try:
            connection.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name not in HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.endheaders(request.body)
            answer = connection.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            return Answer(answer.status, headers, answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise Cut from error
        finally:
            connection.close()

    def end(self):
        self.clear()
        self.server.shutdown()
        self.server.server_close()


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # that is a client that goes away
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner = None

    def log_message(self, format, *args):
        pass

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        fault = self.owner.choose(request)
        try:
            answer = fault(request, self.owner.forward) if fault else self.owner.forward(request)
        except Cut:
            self.cut()
            return
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        lengths = [int(value) for name, value in answer.headers if name.lower() == "content-length"]
        if not lengths:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)
        if lengths and self.command != "HEAD" and lengths[0] > len(answer.body) and answer.status not in (204, 304):
            self.cut()

    def cut(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = serve
