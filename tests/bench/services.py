"""nats-server and both services under the load of bench_object, with what they need for it."""

import contextlib
import os
import resource
import shutil
import signal
import threading

from bench import tool
from cluster import Cluster, wait_for

TOOL = "bench_object"
DRAIN_SECONDS = 120
SAMPLE_SECONDS = 0.02
TICKS = os.sysconf("SC_CLK_TCK")


class Services:
    def __init__(self, directory, metadata_flags=(), object_flags=()):
        os.makedirs(directory)
        self.cluster = Cluster(directory, metadata_flags, object_flags)
        self.next_payload = {}  # by size

    def __enter__(self):
        try:
            self.cluster.start()
            for port in (self.cluster.metadata_admin_port, self.cluster.object_admin_port):
                wait_for(lambda port=port: self.cluster.http(port, "/readyz")[0] == 200, "the services to be ready")
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        for process in (self.cluster.object, self.cluster.metadata, self.cluster.nats):
            process.kill()
        shutil.rmtree(self.cluster.directory, ignore_errors=True)

    def create_bucket(self, name, **options):
        tool(TOOL, "bucket", target=f"127.0.0.1:{self.cluster.metadata_port}", bucket=name, **options)

    def targets(self):
        return {"target": f"127.0.0.1:{self.cluster.metadata_port}", "bulk": f"127.0.0.1:{self.cluster.bulk_port}",
                "object": f"127.0.0.1:{self.cluster.object_port}"}

    def measure(self, what, streams, size, bucket="bench", **options):
        """A figure, with processor seconds per GB and the most memory of each service."""
        first = self.next_payload.get(size, 0)
        before, began = self.cpu_seconds(), client_seconds()
        with Memory(self.pids()) as memory:
            figure = tool(TOOL, what, streams=streams, bytes=size, bucket=bucket, first=first, **self.targets(),
                          **options)
        if what != "read":
            self.next_payload[size] = first + figure["started"]
        gigabytes = max(figure["started"], 1) * size / 1e9
        for name, seconds in self.cpu_seconds().items():
            figure[f"{name}_cpu"] = (seconds - before[name]) / gigabytes
        figure["client_cpu"] = (client_seconds() - began) / gigabytes
        figure.update({f"{name}_mib": peak for name, peak in memory.peaks.items()})
        return figure

    @contextlib.contextmanager
    def objects_halted(self):
        self.cluster.object.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.cluster.object.process.send_signal(signal.SIGCONT)

    def drain(self):
        """Waits until all that was uploaded is stored."""
        wait_for(lambda: self.cluster.metric(self.cluster.object_admin_port, "waybill_objects_stored_total")
                 >= sum(self.next_payload.values()), "the payloads to be stored", DRAIN_SECONDS)

    def pids(self):
        return {name: process.process.pid for name, process in (
            ("metadata", self.cluster.metadata), ("object", self.cluster.object), ("nats", self.cluster.nats))}

    def cpu_seconds(self):
        """What each process has had of the processors, threads that ended included."""
        seconds = {}
        for name, pid in self.pids().items():
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
            seconds[name] = (int(fields[11]) + int(fields[12])) / TICKS
        return seconds


def client_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Memory:
    """The most memory of their own that processes have meanwhile: what is not of files."""

    def __init__(self, pids):
        self.pids = pids
        self.peaks = dict.fromkeys(pids, 0)
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def watch(self):
        while True:
            last = self.ended.wait(SAMPLE_SECONDS)
            for name, pid in self.pids.items():
                self.peaks[name] = max(self.peaks[name], own_mib(pid))
            if last:
                return


def own_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return sum(int(line.split()[1]) for line in status if line.startswith(("RssAnon:", "RssShmem:"))) / 1024
