"""One start-work-stop cycle: short enough for valgrind, wide enough to touch every room."""

import os

from client import COLD, Client, failure_of


def test_start_work_and_stop(own_cluster):
    client = Client(own_cluster)
    client.create_bucket("cycle", COLD, cold_after=0.5)
    data = os.urandom(3 << 20)
    client.put("cycle", "plain")
    client.put("cycle", "inline", b"inline")
    client.upload("cycle", "streamed", data)
    _, upload_id = client.announce("cycle", "announced")
    client.upload_announced(upload_id, data[:100000])
    assert failure_of(client.put, "cycle", "a//b").reason == "BAD_KEY"
    assert failure_of(client.upload, "cycle", "refused", b"x", if_version_match=5).reason == "VERSION_MISMATCH"
    for key in ("inline", "streamed", "announced"):
        client.wait_tiers("cycle", key, {"COLD"}, 60)
    assert client.read("cycle", "streamed")[0] == data
    assert client.read("cycle", "inline", read_offset=2)[0] == b"line"
    client.delete("cycle", "plain")
    assert sum(len(page) for page in client.list_pages("cycle", page_size=2)) == 3
    assert client.watch(client.revision())
    assert own_cluster.http(own_cluster.metadata_admin_port, "/metrics")[0] == 200
    assert own_cluster.http(own_cluster.object_admin_port, "/readyz")[0] == 200
