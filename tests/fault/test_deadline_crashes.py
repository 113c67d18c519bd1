"""kill -9 of metadata-svc while deadlines pass: each payload that nobody stores fails once, its key is compensated
once, and the change stream has every commit once and in order.

WAYBILL_ROUNDS, WAYBILL_PUTS and WAYBILL_SEED choose another size or repeat a run."""

import collections
import os
import random
import time

import grpc

from client import TIMEOUT, Client, metadata
from cluster import PATIENCE, wait_for
from conftest_shared import run_cluster
from contract import bucket_pb2, event_pb2, record_pb2
from jetstream import last_revision, read_stream

PAYLOADS = int(os.environ.get("WAYBILL_PUTS", "300"))
KILLS = int(os.environ.get("WAYBILL_ROUNDS", "6"))
SEED = int(os.environ.get("WAYBILL_SEED", str(int(time.time()))))

FAILED, REVERTED = event_pb2.CHANGE_TYPE_FAILED, event_pb2.CHANGE_TYPE_REVERTED


def write(client, chance, number):
    """One payload that nobody will store, with a deadline in the next seconds; returns its key."""
    bucket, key = chance.choice(["kept", "reverted"]), f"key-{number}"
    request = metadata.PutRecordRequest(bucket=bucket, key=key)
    request.payload_deadline.FromMilliseconds(chance.randrange(500, int(3000 * PATIENCE)))
    if chance.random() < 0.5:
        request.announced_payload.SetInParent()
    else:
        request.inline_payload.data = b"payload"
    client.metadata.PutRecord(request, timeout=TIMEOUT, wait_for_ready=True)
    return bucket, key


def all_failed(client, keys):
    """Whether every key has come to its end; a service that is just being started has not."""
    try:
        for bucket, key in keys:
            if client.get(bucket, key, version=1).state != record_pb2.RECORD_STATE_FAILED:
                return False
        return True
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED), error
        return False


def read_events(cluster):
    for _, _, body in read_stream(cluster.nats_port):
        yield event_pb2.ChangeEvent.FromString(body)


def test_each_payload_fails_once_through_kills():
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    for cluster in run_cluster(metadata_flags=["--redrive-after", "300ms"]):
        client = Client(cluster)
        client.create_bucket("kept")
        client.create_bucket("reverted", on_failure=bucket_pb2.ON_FAILURE_REVERT)
        cluster.object.kill()
        keys = [write(client, chance, number) for number in range(PAYLOADS)]
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.1, 0.6) * PATIENCE)  # at any moment, that is what is tried
            cluster.metadata.kill()
            cluster.metadata.start()
        wait_for(lambda: all_failed(client, keys), f"every payload to fail (seed {SEED})", 60)
        newest = client.revision()
        wait_for(lambda: last_revision(cluster.nats_port) >= newest, "the outbox to drain", 60)
        events = list(read_events(cluster))
        assert [event.revision for event in events] == list(range(1, len(events) + 1))
        told = collections.Counter((event.type, event.record.bucket, event.record.key) for event in events)
        for bucket, key in keys:
            assert told[FAILED, bucket, key] == 1, f"{bucket}/{key} (seed {SEED})"
            assert told[REVERTED, bucket, key] == (bucket == "reverted"), f"{bucket}/{key} (seed {SEED})"
            latest = client.get(bucket, key, show_deleted=True)
            assert latest.version == (2 if bucket == "reverted" else 1)
