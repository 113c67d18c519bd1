"""The wall clock jumps by a day or a year, ahead and back, below running services: writes and reads go on, no version gets
stuck, the stream is complete and in order, and once the clock is right again all is as if nothing had been."""

import time

import pytest
from google.protobuf import duration_pb2

from acked_writes import Writers, check_acked, check_nothing_is_stuck, check_stream
from client import COLD, HOT, Client, health_of
from clock_shim import ClockShim
from cluster import wait_for
from conftest_shared import run_cluster

DAY = 86400
YEAR = 360 * DAY  # the longest deadline is a little longer
JUMPS = (DAY, 0, -DAY, 0, YEAR, 0, -YEAR, 0)


@pytest.mark.parametrize("names", [("metadata",), ("object",), ("metadata", "object")], ids="+".join)
def test_nothing_gets_stuck_or_lost_when_the_clock_jumps(names):
    clocks = []
    for cluster in run_cluster(
            before_start=lambda cluster: clocks.append(
                ClockShim(cluster.directory, *(getattr(cluster, name) for name in names))),
            object_flags=["--ack-wait", "2s", "--tier-interval", "50ms"]):
        client = Client(cluster)
        # What is in flight at the moment of a jump is not to fail by its deadline.
        client.create_bucket("jumps", HOT, payload_deadline=duration_pb2.Duration(seconds=365 * DAY))
        client.create_bucket("jumps-cold", COLD, cold_after=0)
        with Writers(cluster, "jumps", "jumps", 3, passing=(), kinds=("plain", "inline", "streamed")) as writers:
            for number, ahead in enumerate(JUMPS):
                clocks[0].set(ahead)
                writers.wait_acked(15)
                client.upload("jumps", f"large/{number}", bytes([number]) * 500000)
                client.wait_state("jumps", f"large/{number}", "STORED")
                assert client.read("jumps", f"large/{number}")[0] == bytes([number]) * 500000
                for port, path in ((cluster.metadata_port, "metadata.write"), (cluster.object_port, "object.ingest")):
                    wait_for(lambda: health_of(cluster, port, path) == "SERVING", f"{path} to be served")
        writers.check()
        assert not writers.refusals, writers.refusals
        check_acked(client, "jumps", writers.acked)
        check_nothing_is_stuck(client, ["jumps"])
        check_stream(cluster, client)
        record = client.put("jumps", "now", b"now")
        assert abs(record.create_time.seconds - time.time()) < 3600, "commits have the right time again"
        client.upload("jumps-cold", "now", b"cold" * 50000)
        client.wait_tiers("jumps-cold", "now", {"COLD"})
        assert client.scrub() == []
