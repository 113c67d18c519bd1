"""What people who run it look at: health, metrics, status, configuration, stopping."""

import os
import subprocess

import grpc
import pytest

from client import HOT, TIMEOUT, Client, admin, health_of
from cluster import BUILD, wait_for
from contract import metadata_service_pb2


def test_health_has_a_name_per_path(cluster, client):
    wait_for(lambda: health_of(cluster, cluster.metadata_port, "events") == "SERVING", "events to flow")
    wait_for(lambda: health_of(cluster, cluster.object_port, "object.ingest") == "SERVING", "the stream to be read")
    for port, names in ((cluster.metadata_port, ["", "metadata.write", "metadata.read", "events"]),
                        (cluster.bulk_port, ["", "metadata.write"]),
                        (cluster.object_port, ["", "object.read", "object.ingest"])):
        for name in names:
            assert health_of(cluster, port, name) == "SERVING", name
    assert health_of(cluster, cluster.metadata_port, "no.such.path") is None


def test_the_admin_ports_answer(cluster):
    for port in (cluster.metadata_admin_port, cluster.object_admin_port):
        assert cluster.http(port, "/livez")[0] == 200
        assert cluster.http(port, "/readyz")[0] == 200
        assert cluster.http(port, "/")[0] == 200
        assert cluster.http(port, "/nothing")[0] == 404


def test_the_figures_move_with_the_work(cluster, client):
    client.create_bucket("figures", HOT)
    metadata_port, object_port = cluster.metadata_admin_port, cluster.object_admin_port
    before = {
        "flush": cluster.metric(metadata_port, "waybill_metadata_flush_seconds_count"),
        "commit": cluster.metric(metadata_port, "waybill_metadata_commit_seconds_count"),
        "batch": cluster.metric(metadata_port, "waybill_metadata_batch_records_sum"),
        "stored": cluster.metric(object_port, "waybill_object_commit_to_stored_seconds_count"),
        "written": cluster.metric(object_port, "waybill_object_bytes_total", tier="hot", direction="write"),
        "read": cluster.metric(object_port, "waybill_object_bytes_total", tier="hot", direction="read"),
    }
    for i in range(10):
        client.put("figures", f"k{i}", b"12345")
    for i in range(10):
        client.wait_state("figures", f"k{i}", "STORED")
    assert client.read("figures", "k0")[0] == b"12345"
    assert cluster.metric(metadata_port, "waybill_metadata_flush_seconds_count") > before["flush"]
    assert cluster.metric(metadata_port, "waybill_metadata_commit_seconds_count") >= before["commit"] + 10
    assert cluster.metric(metadata_port, "waybill_metadata_batch_records_sum") >= before["batch"] + 20
    wait_for(lambda: cluster.metric(object_port, "waybill_object_commit_to_stored_seconds_count")
             >= before["stored"] + 10, "the headline figure")
    assert cluster.metric(object_port, "waybill_object_bytes_total", tier="hot", direction="write") >= (
        before["written"] + 50)
    assert cluster.metric(object_port, "waybill_object_bytes_total", tier="hot", direction="read") >= before["read"] + 5
    wait_for(lambda: cluster.metric(metadata_port, "waybill_outbox_depth") == 0, "the outbox to drain")
    assert cluster.metric(metadata_port, "waybill_published_revision") > 0
    assert cluster.metric(metadata_port, "grpc_server_handled_total", grpc_method="PutRecord", grpc_code="OK") >= 10


def test_status_tells_of_both_services(client):
    status = client.admin.GetStatus(admin.GetStatusRequest(), timeout=TIMEOUT)
    assert status.version and status.start_time.seconds
    assert status.metadata.events_connected and not status.metadata.read_only
    assert status.metadata.shard == "0" and status.metadata.spool_limit_bytes > 0
    other = client.object_admin.GetStatus(admin.GetStatusRequest(), timeout=TIMEOUT)
    assert other.object.replica == "replica-1" and other.object.events_connected


@pytest.mark.parametrize("program, folder", [("waybill-metadata-svc", "metadata-svc"), ("waybill-object-svc", "object-svc")])
def test_check_config_says_what_holds_and_what_is_wrong(program, folder, tmp_path):
    binary = os.path.join(BUILD, folder, program)
    good = subprocess.run([binary, "--check-config", "--data-dir", str(tmp_path)], capture_output=True, text=True)
    assert good.returncode == 0 and str(tmp_path) in good.stdout
    file = tmp_path / "config.yaml"
    file.write_text("listen: 127.0.0.1:7070\nno_such_key: 1\n")
    bad = subprocess.run([binary, "--check-config", "--config", str(file)], capture_output=True, text=True)
    assert bad.returncode == 2 and "no_such_key" in bad.stderr and "config.yaml:2" in bad.stderr


def test_a_service_whose_port_is_taken_says_so_and_ends(cluster, tmp_path):
    binary = os.path.join(BUILD, "metadata-svc", "waybill-metadata-svc")
    second = subprocess.run(
        [binary, "--data-dir", str(tmp_path), "--listen", f"127.0.0.1:{cluster.metadata_port}", "--bulk-listen",
         "127.0.0.1:0", "--admin-listen", ""], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1 and "start_failed" in second.stderr


def test_calls_under_way_are_finished_when_a_service_stops(own_cluster):
    client = Client(own_cluster)
    client.create_bucket("drained")
    watch = client.metadata.WatchChanges(metadata_service_pb2.WatchChangesRequest(start_revision=1), timeout=TIMEOUT)
    assert next(watch).event.bucket.name == "drained"
    futures = [client.metadata.PutRecord.future(
        metadata_service_pb2.PutRecordRequest(bucket="drained", key=f"k{i}"), timeout=TIMEOUT) for i in range(200)]
    futures[0].result()
    assert own_cluster.metadata.stop() == 0
    outcomes = [future.exception() for future in futures]
    acked = {future.result().record.key for future, error in zip(futures, outcomes) if error is None}
    assert all(error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED) for error in outcomes if error)
    own_cluster.metadata.start()
    for key in acked:
        assert Client(own_cluster).get("drained", key).version == 1


