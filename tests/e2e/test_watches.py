"""WatchChanges: filters, bookmarks, where a watch begins, how many there may be, and how one ends."""

import threading

import grpc
import pytest

from client import TIMEOUT, Client, Failure, failure_of, metadata
from cluster import PATIENCE, SLOWNESS, wait_for
from conftest_shared import run_cluster
from contract import event_pb2, record_pb2

STALL_MS = int(1000 * PATIENCE)
# Close to the most that a record may say of itself.
BALLAST = {"attributes": {"ballast": record_pb2.AttributeValue(string_value="x" * 30000)}}


@pytest.fixture(scope="module")
def cluster():
    yield from run_cluster(metadata_flags=["--max-watches", "400", "--watch-stall-timeout", f"{STALL_MS}ms",
                                           "--change-log-retention", "1s", "--request-id-retention", "1s",
                                           "--leveldb-cache-bytes", "1MiB",
                                           "--leveldb-write-buffer-bytes", "1MiB", "--record-cache-bytes", "1MiB"])


@pytest.fixture(scope="module", autouse=True)
def bucket(client):
    return client.create_bucket("watched")


def begin(client, **fields):
    """A watch that stands: its headers are there."""
    call = client.metadata.WatchChanges(metadata.WatchChangesRequest(**fields), timeout=TIMEOUT * 4)
    list(call.initial_metadata())
    return call


def events_until(call, revision):
    """The events up to that revision, which must be one that matches."""
    events = []
    for answer in call:
        if answer.HasField("event"):
            events.append(answer.event)
            if events[-1].revision >= revision:
                return events
    raise AssertionError("the watch ended")


def revisions(events):
    return [event.revision for event in events]


def end_of(call):
    """(the events that still come, the failure that ends the watch)"""
    events = []
    try:
        for answer in call:
            if answer.HasField("event"):
                events.append(answer.event)
    except grpc.RpcError as error:
        return events, Failure(error)
    raise AssertionError("the watch was to fail")


def commit(client, count, key="k", **fields):
    """Commits records in batches; the last revision."""
    done = 0
    while done < count:
        size = min(100, count - done)
        request = metadata.BatchPutRecordsRequest(requests=[
            metadata.PutRecordRequest(bucket="watched", key=f"{key}{done + i}", **fields) for i in range(size)])
        answer = client.metadata.BatchPutRecords(request, timeout=TIMEOUT)
        assert all(result.HasField("response") for result in answer.results), answer
        done += size
    return max(result.response.record.revision for result in answer.results)


def process_figure(cluster, name):
    """A line of /proc/<pid>/status, as a number."""
    with open(f"/proc/{cluster.metadata.process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name + ":"))


def test_filters_and_types_work_together(client):
    first = client.put("watched", "f/1").revision
    client.put("watched", "g/1")
    client.delete("watched", "f/1")
    last = client.delete("watched", "g/1").revision
    end = client.put("watched", "f/end").revision
    call = begin(client, start_revision=first, bucket="watched", key_prefix="f/")
    assert revisions(events_until(call, end)) == [first, first + 2, end]
    call.cancel()
    call = begin(client, start_revision=first, types=[event_pb2.CHANGE_TYPE_DELETED])
    assert revisions(events_until(call, last)) == [first + 2, last]
    call.cancel()


def test_bookmarks_come_on_time_and_tell_how_far_the_watch_is(client):
    call = begin(client, bucket="watched", key_prefix="never/", bookmark_interval={"nanos": 150000000})
    first = next(call).bookmark.revision
    last = client.put("watched", "ever").revision
    for answer in call:
        assert answer.HasField("bookmark"), "nothing else matches"
        if answer.bookmark.revision >= last:
            break
    assert first < last
    call.cancel()


def test_a_watch_from_now_begins_with_the_next_change(client):
    call = begin(client, bucket="watched")
    revision = client.put("watched", "now").revision
    assert revisions(events_until(call, revision)) == [revision]
    call.cancel()


def test_a_watch_goes_on_where_another_ended(client):
    before = client.revision()
    last = commit(client, 500)
    call = begin(client, start_revision=before + 1, bucket="watched")
    seen = []
    for answer in call:
        seen.append(answer.event.revision)
        if len(seen) == 123:
            break
    call.cancel()
    call = begin(client, start_revision=seen[-1] + 1, bucket="watched")
    seen += revisions(events_until(call, last))
    call.cancel()
    assert seen == list(range(before + 1, last + 1))


def test_hundreds_of_watches_share_a_few_threads(cluster, client):
    calls = [begin(client, start_revision=0, bucket="watched") for _ in range(50)]
    threads = process_figure(cluster, "Threads")
    before = client.revision()
    calls += [begin(client, start_revision=before - index if index % 2 else 0, bucket="watched") for index in range(250)]
    # Nobody else's watches: the gauge counts these.
    assert cluster.metric(cluster.metadata_admin_port, "waybill_watches") == 300
    sent = cluster.metric(cluster.metadata_admin_port, "waybill_watch_events_total")
    last = commit(client, 300)
    for call in calls:
        seen = revisions(events_until(call, last))
        assert seen[-300:] == list(range(before + 1, last + 1))
    assert process_figure(cluster, "Threads") <= threads + 2, "workers for reads may have come"
    assert cluster.metric(cluster.metadata_admin_port, "waybill_watch_events_total") - sent >= 300 * 300
    for call in calls:
        call.cancel()
    wait_for(lambda: cluster.metric(cluster.metadata_admin_port, "waybill_watches") == 0, "the watches to end")


def test_more_watches_than_a_clients_share_are_refused_until_one_ends_while_others_watch(cluster, client):
    calls = [begin(client) for _ in range(360)]  # of 400
    failure = failure_of(client.metadata.WatchChanges, metadata.WatchChangesRequest(), timeout=TIMEOUT)
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CLIENT_OVER_SHARE")
    assert failure.retry_seconds > 0
    assert client.put("watched", "beside").version >= 1, "other calls are not refused"
    others = [Client(cluster) for _ in range(5)]
    calls += [begin(other) for other in others]
    for call in calls:
        call.cancel()
    wait_for(lambda: cluster.metric(cluster.metadata_admin_port, "waybill_watches") == 0, "the watches to end")
    call = begin(client)
    revision = client.put("watched", "room").revision
    assert revisions(events_until(call, revision)) == [revision]
    call.cancel()


def test_a_trimmed_revision_is_out_of_range_with_the_oldest_one_to_ask_for(client):
    start = client.put("watched", "trimmed").revision

    def refused():
        client.put("watched", "later")  # the newest is never trimmed
        call = client.metadata.WatchChanges(metadata.WatchChangesRequest(start_revision=start), timeout=TIMEOUT)
        try:
            next(call)
        except grpc.RpcError as error:
            return Failure(error)
        call.cancel()
        return None

    def goes_on():
        """From what the refusal says, unless that too has been trimmed meanwhile: nothing stays for long here."""
        failure = wait_for(refused, "the change log to be trimmed", 60)
        assert (failure.code, failure.reason) == (grpc.StatusCode.OUT_OF_RANGE, "REVISION_TRIMMED")
        oldest = int(failure.metadata["oldest_revision"])
        assert oldest > start
        last = client.put("watched", "still").revision
        call = begin(client, start_revision=oldest)
        try:
            assert revisions(events_until(call, last))[-1] == last
        except grpc.RpcError as error:
            assert Failure(error).reason == "REVISION_TRIMMED"
            return False
        call.cancel()
        return True

    wait_for(goes_on, "a watch from the oldest revision", 60)


@pytest.fixture
def keeping_cluster():
    """One whose change log keeps everything, and whose caches are small."""
    yield from run_cluster(metadata_flags=["--watch-stall-timeout", f"{4 * STALL_MS}ms", "--leveldb-cache-bytes", "1MiB",
                                           "--leveldb-write-buffer-bytes", "1MiB", "--record-cache-bytes", "1MiB"])


def test_clients_that_do_not_read_are_cut_off_while_others_go_on_in_bounded_memory(keeping_cluster):
    cluster, client = keeping_cluster, Client(keeping_cluster)
    client.create_bucket("watched")
    reader = begin(Client(cluster), bucket="watched")
    first = client.revision() + 1
    seen = []

    def read():
        try:
            seen.extend(answer.event.revision for answer in reader if answer.HasField("event"))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.CANCELLED

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    rounds, size = (8, 1000) if SLOWNESS == 1 else (4, 100)
    last = commit(client, 2 * size, **BALLAST)  # buffers and caches fill up
    stalled = [begin(Client(cluster), bucket="watched") for _ in range(40)]
    before = process_figure(cluster, "RssAnon")
    most = 0
    for _ in range(rounds):
        last = commit(client, size, **BALLAST)
        wait_for(lambda: seen and seen[-1] == last, "the reader to have all", 60)
        most = max(most, process_figure(cluster, "RssAnon"))
    assert seen == list(range(first, last + 1))
    admin = cluster.metadata_admin_port
    wait_for(lambda: cluster.metric(admin, "waybill_watches_cut_off_total") == len(stalled), "all to be cut off", 60)
    if SLOWNESS == 1:
        assert most - before < 100 << 10, f"{most - before} KiB more for 240 MB of events"
    last = commit(client, 1, key="after")
    wait_for(lambda: seen[-1] == last, "the reader to go on")
    reader.cancel()
    reading.join()
    wait_for(lambda: cluster.metric(admin, "waybill_watches") == 0, "what was cut off to be let go of", 60)


def test_one_cut_off_that_reads_again_learns_where_to_go_on(keeping_cluster):
    client = Client(keeping_cluster)
    client.create_bucket("watched")
    call = begin(Client(keeping_cluster), start_revision=1, bucket="watched")
    last = commit(client, 1000, **BALLAST)
    admin = keeping_cluster.metadata_admin_port
    wait_for(lambda: keeping_cluster.metric(admin, "waybill_watches_cut_off_total") == 1, "it to be cut off", 60)
    events, failure = end_of(call)
    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "WATCH_TOO_SLOW")
    assert failure.retry_seconds > 0
    seen = revisions(events)
    assert failure.metadata["next_revision"] == str(seen[-1] + 1), "what was sent before came before"
    call = begin(client, start_revision=seen[-1] + 1, bucket="watched")
    seen += revisions(events_until(call, last))
    call.cancel()
    assert seen == list(range(1, last + 1))


def test_a_drain_ends_every_watch_at_once_and_with_the_reason(own_cluster):
    client = Client(own_cluster)
    client.create_bucket("watched")
    calls = [begin(Client(own_cluster) if index % 50 == 0 else client, start_revision=index % 2) for index in range(200)]
    assert own_cluster.metadata.stop() == 0
    for call in calls:
        _, failure = end_of(call)
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    stopped = [event for event in own_cluster.metadata.log_events() if event["event"] == "rpc_drain_cancels"]
    assert not stopped, "nobody had to be cancelled"
