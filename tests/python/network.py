"""A network of a test's own: each part of a cluster in a network namespace, all at one bridge, so that what
goes from one to another can be lost or refused. The test itself is the `client`, outside.

Needs root, iproute2 and iptables; where they are not to be had, MISSING says why."""

import contextlib
import os
import random
import shutil
import subprocess

CLIENT = "client"


def run(*command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True, **options).stdout


def find_missing():
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "iptables", "ss"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    name = f"wbprobe{os.getpid()}"
    try:
        run("ip", "netns", "add", name)
        try:
            run("ip", "-n", name, "link", "add", "name", "bridge", "type", "bridge")
            run("ip", "-n", name, "link", "add", "name", "one", "type", "veth", "peer", "name", "other")
            for target in (["DROP"], ["REJECT", "--reject-with", "tcp-reset"]):
                run("ip", "netns", "exec", name, "iptables", "-w", "-A", "INPUT", "-p", "tcp", "-j", *target)
        finally:
            run("ip", "netns", "del", name)
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not allowed here: {error.stderr.strip()}"
    return None


MISSING = find_missing()


def free_subnet():
    """Of those that are set apart for tests of networks (RFC 2544)."""
    used = run("ip", "-4", "addr")
    while True:
        subnet = f"198.{random.choice((18, 19))}.{random.randrange(256)}"
        if subnet + "." not in used:
            return subnet


class Network:
    """`places` besides the client's; what runs there starts with `inside`."""

    # As any client should that a silent network must not hold up.
    channel_options = (
        ("grpc.keepalive_time_ms", 5000), ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.keepalive_permit_without_calls", 1), ("grpc.http2.max_pings_without_data", 0))

    def __init__(self, *places):
        self.name = f"wb{random.getrandbits(32):08x}"
        self.places = places
        self.subnet = free_subnet()
        self.hosts = {place: f"{self.subnet}.{number}" for number, place in enumerate((CLIENT, *places), 1)}
        try:
            self.make()
        except BaseException:
            self.end()
            raise

    def space(self, place):
        return f"{self.name}-{place}"

    def make(self):
        for place in (*self.places, "bridge"):
            run("ip", "netns", "add", self.space(place))
        bridge = self.space("bridge")
        run("ip", "-n", bridge, "-batch", "-", input="link add name bridge type bridge\nlink set bridge up\n")
        for number, place in enumerate((CLIENT, *self.places)):
            inside = [] if place == CLIENT else ["-n", self.space(place)]
            end = self.name if place == CLIENT else "net"
            run("ip", *inside, "-batch", "-", input=(
                f"link add name {end} type veth peer name port{number} netns {bridge}\n"
                f"addr add {self.hosts[place]}/24 dev {end}\nlink set {end} up\nlink set lo up\n"))
            run("ip", "-n", bridge, "-batch", "-", input=f"link set port{number} master bridge\nlink set port{number} up\n")

    def host(self, place):
        return self.hosts[place]

    def inside(self, place):
        return ["ip", "netns", "exec", self.space(place)]

    def rule(self, place, chain, *rule):
        run(*self.inside(place), "iptables", "-w", "-A", chain, *rule)

    def stop(self, source, sink, *match, reset=False):
        """What goes from one place to another is lost, without a word; or refused, which ends connections. At
        the client's end nothing is set up: what is sent to it is stopped where it comes from."""
        if sink == CLIENT:
            place, chain, match = source, "OUTPUT", ("-d", self.hosts[sink], "-p", "tcp", *match)
        else:
            place, chain, match = sink, "INPUT", ("-s", self.hosts[source], "-p", "tcp", *match)
        if not reset:
            self.rule(place, chain, *match, "-j", "DROP")
            return
        # The refusal itself has to come through.
        self.rule(place, chain, *match, "--tcp-flags", "RST", "RST", "-j", "ACCEPT")
        self.rule(place, chain, *match, "-j", "REJECT", "--reject-with", "tcp-reset")

    def forget(self, place):
        """All connections of a place are from now on as if the other end were gone without a word, for good;
        new ones work. As when a machine dies, or a firewall between loses its memory."""
        for line in run(*self.inside(place), "ss", "-tnH", "state", "established").splitlines():
            (here_host, here_port), (there_host, there_port) = (
                end.replace("[::ffff:", "").replace("]", "").rsplit(":", 1) for end in line.split()[2:4])
            if here_host != there_host:
                ends = ["-p", "tcp", "-s", there_host, "--sport", there_port, "--dport", here_port]
                self.rule(place, "INPUT", *ends, "-j", "DROP")
                ends = ["-p", "tcp", "-d", there_host, "--dport", there_port, "--sport", here_port]
                self.rule(place, "OUTPUT", *ends, "-j", "DROP")

    def stopped(self):
        """Packets that were lost or refused since it last healed."""
        return sum(int(line.split()[0]) for place in self.places
                   for line in run(*self.inside(place), "iptables", "-w", "-vnxL").splitlines()
                   if " DROP " in line or " REJECT " in line)

    def heal(self):
        for place in self.places:
            run(*self.inside(place), "iptables", "-w", "-F")

    def end(self):
        """When nothing runs there any more."""
        for place in (*self.places, "bridge"):
            with contextlib.suppress(subprocess.CalledProcessError):
                run("ip", "netns", "del", self.space(place))
