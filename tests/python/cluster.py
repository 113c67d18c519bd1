"""A Waybill on this machine: a nats-server and both services as real processes, on free
ports and below one temporary directory."""

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.request

import grpc

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("WAYBILL_BUILD", os.path.join(ROOT, "build", "release"))

# How much longer things may take: in builds with sanitizers, or on a machine that is busy.
PATIENCE = float(os.environ.get("WAYBILL_PATIENCE", "1"))


def slowness():
    """How much slower the build's programs are than the release's, about; 1 for that."""
    if "WAYBILL_WRAP" in os.environ:
        return 10
    path = os.path.join(BUILD, "CMakeCache.txt")
    if not os.path.exists(path):
        return 1
    with open(path) as cache:
        sanitizers = next((line for line in cache if line.startswith("WAYBILL_SANITIZE:")), "")
    return 3 if "thread" in sanitizers else 2 if "address" in sanitizers else 1


SLOWNESS = slowness()

NATS = next(
    (path for path in (os.environ.get("WAYBILL_NATS", ""), "/usr/sbin/nats-server", "/usr/bin/nats-server")
     if path and os.path.exists(path)),
    "nats-server",
)

CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 5000),  # which is how long an attempt may take
    ("grpc.max_reconnect_backoff_ms", 300),
    ("grpc.dns_min_time_between_resolutions_ms", 50),  # before which it does not try again, either
    ("grpc.max_receive_message_length", 16 << 20),
    ("grpc.use_local_subchannel_pool", 1),
]


_given_ports = set()
# Of tests that run at the same time in several workers, each has a part of the ports to itself.
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[len("gw"):])
_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_ports = range(10240 + _worker, 30240, max(_workers, _worker + 1))


def free_port():
    """Below the ports that the system gives to outgoing connections: one of those could take
    the port while a test has its program stopped, even a client that tries to reach it. No port
    is given twice: nobody listens yet on those that another part of the cluster was given."""
    while True:
        port = random.choice(_ports)
        if port in _given_ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                _given_ports.add(port)
                return port
            except OSError:
                pass  # taken


def wait_for(condition, what, seconds=30.0):
    """Waits until the condition gives something true, and returns that."""
    until = time.monotonic() + seconds * PATIENCE
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > until:
            raise AssertionError(f"timed out waiting for {what}")
        time.sleep(0.02)


def port_is_open(port, host="127.0.0.1"):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


class Process:
    """One program that a test started and that it alone ends."""

    def __init__(self, name, command, directory, ready_ports, host="127.0.0.1"):
        self.name = name
        self.host = host
        self.command = command
        self.log_path = os.path.join(directory, name + ".log")
        self.ready_ports = ready_ports
        self.environment = {}  # besides the tests' own
        self.process = None

    def start(self, wait=True):
        wrap = os.environ.get("WAYBILL_WRAP", "").split() if self.name != "nats" else []
        # What is meant for the tests, or for the command line, is no configuration.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
        environment.update(self.environment)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                wrap + self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0,
                env=environment)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log()[-4000:]}")
            return all(port_is_open(port, self.host) for port in self.ready_ports)

        wait_for(ready, f"{self.name} to listen")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """kill -9, as a crash."""
        if self.running():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self):
        """Asks it to end and returns its exit status."""
        if self.running():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=60 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop:\n{self.log()[-4000:]}") from None

    def log(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, "r", errors="replace") as log:
            return log.read()

    def log_events(self):
        """The JSON lines of its log."""
        events = []
        for line in self.log().splitlines():
            if line.startswith("{"):
                try:
                    events.append(json.loads(line))
                except ValueError:
                    pass  # cut short by a kill
        return events


class Loopback:
    """Where the parts of a cluster run: all at one address. network.Network has one for each."""

    channel_options = ()

    def host(self, _):
        return "127.0.0.1"

    def inside(self, _):
        """What a command begins with that runs there."""
        return []


class Cluster:
    """`replicas` is how many object-svc there are: `objects`, reading on `object_ports`."""

    def __init__(self, directory, metadata_flags=(), object_flags=(), replicas=1, network=None):
        self.directory = str(directory)
        self.network = network or Loopback()
        self.hosts = {}  # of ports
        self.nats_port = self.port_of("nats")
        self.metadata_port = self.port_of("metadata")
        self.bulk_port = self.port_of("metadata")
        self.metadata_admin_port = self.port_of("metadata")
        self.nats_directory = os.path.join(self.directory, "nats")
        self.nats_url = f"nats://{self.address(self.nats_port)}"
        self.nats = Process(
            "nats",
            [*self.network.inside("nats"), NATS, "--jetstream", "--store_dir", self.nats_directory, "--addr",
             self.network.host("nats"), "--port", str(self.nats_port)],
            self.directory, [self.nats_port], self.network.host("nats"))
        self.metadata = Process(
            "metadata-svc",
            [*self.network.inside("metadata"), os.path.join(BUILD, "metadata-svc", "waybill-metadata-svc"),
             "--data-dir", os.path.join(self.directory, "metadata"), "--nats-url", self.nats_url,
             "--listen", self.address(self.metadata_port), "--bulk-listen", self.address(self.bulk_port),
             "--admin-listen", self.address(self.metadata_admin_port), *metadata_flags],
            self.directory, [self.metadata_port, self.bulk_port, self.metadata_admin_port],
            self.network.host("metadata"))
        self.object_flags = object_flags
        self.objects, self.object_ports, self.object_admin_ports = [], [], []
        for _ in range(replicas):
            self.add_replica()
        self.object, self.object_port, self.object_admin_port = (
            self.objects[0], self.object_ports[0], self.object_admin_ports[0])
        self.processes = [self.nats, self.metadata, *self.objects]
        self.channels = []

    def port_of(self, place):
        """A free one for a part that runs there."""
        port = free_port()
        self.hosts[port] = self.network.host(place)
        return port

    def address(self, port):
        return f"{self.hosts.get(port, '127.0.0.1')}:{port}"

    def add_replica(self):
        """One more object-svc, not yet started; the cold directory is the first one's."""
        number = len(self.objects) + 1
        place = f"object-{number}"
        port, admin_port = self.port_of(place), self.port_of(place)
        data_dir = os.path.join(self.directory, "object" if number == 1 else f"object-{number}")
        shared = ["--cold-dir", os.path.join(self.directory, "object", "cold")] if number > 1 else []
        process = Process(
            "object-svc" if number == 1 else f"object-svc-{number}",
            [*self.network.inside(place), os.path.join(BUILD, "object-svc", "waybill-object-svc"),
             "--replica", f"replica-{number}", "--data-dir", data_dir, *shared, "--nats-url", self.nats_url,
             "--listen", self.address(port), "--admin-listen", self.address(admin_port),
             "--metadata-target", self.address(self.metadata_port),
             "--payload-target", self.address(self.bulk_port), "--policy-refresh", "500ms",
             "--tier-interval", "200ms", "--peer-refresh", f"{500 * SLOWNESS}ms", *self.object_flags],
            self.directory, [port, admin_port], self.network.host(place))
        self.objects.append(process)
        self.object_ports.append(port)
        self.object_admin_ports.append(admin_port)
        return process

    def wait_peers(self):
        """Until every replica that runs knows all others that do."""
        ports = [port for process, port in zip(self.objects, self.object_admin_ports) if process.running()]
        wait_for(lambda: all(self.metric(port, "waybill_peers") == len(ports) - 1 for port in ports),
                 "the replicas to know each other")

    def start(self):
        for process in self.processes:
            process.start()
        return self

    def stop(self):
        """Ends all that runs; returns {name: exit status} of the services that ran."""
        for channel in self.channels:
            channel.close()
        self.channels = []
        statuses = {}
        for process in (*self.objects, self.metadata):
            if process.running():
                statuses[process.name] = process.stop()
        self.nats.kill()
        return statuses

    def channel(self, port):
        channel = grpc.insecure_channel(self.address(port), [*CHANNEL_OPTIONS, *self.network.channel_options])
        self.channels.append(channel)
        return channel

    def environment(self):
        """For the waybill command."""
        return dict(
            os.environ,
            WAYBILL_METADATA=self.address(self.metadata_port),
            WAYBILL_BULK=self.address(self.bulk_port),
            WAYBILL_OBJECT=self.address(self.object_port),
        )

    def http(self, port, path):
        """(status, body) of the admin port."""
        try:
            with urllib.request.urlopen(f"http://{self.address(port)}{path}", timeout=10 * PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, port, name, **labels):
        """The value of one sample, 0 when it is not there."""
        _, body = self.http(port, "/metrics")
        for line in body.splitlines():
            if line.startswith("#") or not line.startswith(name):
                continue
            head, value = line.rsplit(" ", 1)
            if head.split("{")[0] == name and all(f'{key}="{text}"' in head for key, text in labels.items()):
                return float(value)
        return 0.0
