"""What must hold once faults are over and all has come to rest."""

import collections

import grpc

from client import TIMEOUT, admin, again, record_messages, report
from cluster import wait_for
from contract import event_pb2
from jetstream import last_revision, read_stream
from workload import BUCKETS, PASSING, Code

SETTLED = (record_messages.RECORD_STATE_COMMITTED, record_messages.RECORD_STATE_STORED,
           record_messages.RECORD_STATE_DELETED)


def check_stream(cluster, client):
    """The stream holds contiguous revisions from the first to the newest, which it returns."""
    newest = client.revision()
    place = {"host": cluster.network.host("nats")}
    wait_for(lambda: last_revision(cluster.nats_port, **place) >= newest, "the stream to catch up", 60)
    messages = read_stream(cluster.nats_port, **place)
    events = [event_pb2.ChangeEvent.FromString(body) for _, _, body in messages]
    assert [event.revision for event in events] == list(range(1, len(events) + 1))
    for (subject, headers, _), event in zip(messages, events):
        kind = event_pb2.ChangeType.Name(event.type)[len("CHANGE_TYPE_"):].lower()
        bucket = event.record.bucket or event.bucket.name
        assert subject == f"waybill.changes.0.{bucket}.{kind}"
        assert headers["ce-id"] == headers["Nats-Msg-Id"] == f"0-{event.revision}"
        assert headers["ce-type"] == f"waybill.v1.{kind}" and headers["ce-specversion"] == "1.0"
    return events


def records(client, bucket):
    return [record for page in client.list_pages(bucket, page_size=500, show_deleted=True) for record in page]


def drops(cluster, client):
    places = [{"tier": record_messages.TIER_COLD}]
    places += [{"tier": record_messages.TIER_HOT, "replica": f"replica-{n}"} for n in range(1, len(cluster.objects) + 1)]
    return sum(len(client.reports.ListDrops(report.ListDropsRequest(**place), timeout=TIMEOUT).drops) for place in places)


def wait_rest(cluster, client, seconds=60):
    """Until nothing is in flight, in the spool or in the outbox, and no object waits to be removed."""
    def busy():
        unsettled = [f"{record.bucket}/{record.key} {record.version}: {record.state}"
                     for bucket in BUCKETS for record in records(client, bucket) if record.state not in SETTLED]
        status = client.status()
        depths = {"spooled": status.spool_payloads, "unpublished": status.committed_revision - status.published_revision,
                  "to drop": drops(cluster, client)}
        return unsettled[:5], depths

    last = [None]

    def at_rest():
        try:
            last[0] = busy()
        except grpc.RpcError as error:
            assert error.code() in PASSING, error
            return False
        return not last[0][0] and not any(last[0][1].values())

    try:
        wait_for(at_rest, "rest", seconds)
    except AssertionError as error:
        raise AssertionError(f"no rest: {last[0]}") from error


def check_records(client, load):
    """Each key is what its writer knows, with the right bytes."""
    for key in load.all_keys():
        try:
            record = client.get(key.bucket, key.name)
            assert key.live and record.version == key.version, f"{key} is version {record.version}"
        except grpc.RpcError as error:
            assert error.code() == Code.NOT_FOUND and not key.live, f"{key}: {error}"
            continue
        if key.payload is not None:
            for replica in range(len(client.replicas)):
                # A peer that was out of reach is asked again after a while.
                assert again(client.read, key.bucket, key.name, replica)[0] == key.data(), f"wrong bytes of {key}"


def check_scrubs(client):
    """Copies that no record tells of are all that a crash may leave, and a scrub mends those."""
    for replica in range(len(client.replicas)):
        found = client.scrub(replica, repair=True, hot_only=replica > 0)
        assert {finding.kind for finding in found} <= {admin.SCRUB_KIND_UNLISTED}, found
        assert client.scrub(replica, hot_only=replica > 0) == []


def check_all(cluster, client, load):
    wait_rest(cluster, client)
    check_records(client, load)
    events = check_stream(cluster, client)
    versions = collections.defaultdict(set)
    for event in events:
        versions[event.record.bucket, event.record.key].add(event.record.version)
    for key in load.all_keys():
        assert versions[key.bucket, key.name] == set(range(1, key.version + 1)), f"the stream lacks versions of {key}"
    assert load.watcher.seen <= len(events)
    check_scrubs(client)
