"""Short words for the tests: what a client does with a cluster."""

import grpc

from google.protobuf import duration_pb2

from contract import (
    admin_service_pb2 as admin, admin_service_pb2_grpc as admin_grpc, bucket_pb2 as bucket_messages,
    error_details_pb2, metadata_service_pb2 as metadata, metadata_service_pb2_grpc as metadata_grpc,
    object_service_pb2 as objects, object_service_pb2_grpc as objects_grpc, payload_service_pb2 as payloads,
    payload_service_pb2_grpc as payloads_grpc, peer_service_pb2 as peer,
    record_pb2 as record_messages, report_service_pb2 as report, report_service_pb2_grpc as report_grpc,
    schema_service_pb2_grpc as schema_grpc, status_pb2)
from cluster import PATIENCE, wait_for

CHUNK = 1 << 20
HOT = bucket_messages.STORAGE_CLASS_HOT
HOT_AND_COLD = bucket_messages.STORAGE_CLASS_HOT_AND_COLD
COLD = bucket_messages.STORAGE_CLASS_COLD
TIMEOUT = 30 * PATIENCE


class Client:
    def __init__(self, cluster):
        self.cluster = cluster
        small = cluster.channel(cluster.metadata_port)
        bulk = cluster.channel(cluster.bulk_port)
        reads = [cluster.channel(port) for port in cluster.object_ports]
        self.metadata = metadata_grpc.MetadataServiceStub(small)
        self.reports = report_grpc.ReportServiceStub(small)
        self.schemas = schema_grpc.SchemaServiceStub(small)
        self.admin = admin_grpc.AdminServiceStub(small)
        self.payloads = payloads_grpc.PayloadServiceStub(bulk)
        self.replicas = [objects_grpc.ObjectServiceStub(channel) for channel in reads]
        self.objects = self.replicas[0]
        self.object_admins = [admin_grpc.AdminServiceStub(channel) for channel in reads]
        self.object_admin = self.object_admins[0]

    def create_bucket(self, name, storage_class=HOT, cold_after=3600.0, **fields):
        bucket = bucket_messages.Bucket(name=name, **fields)
        bucket.storage.storage_class = storage_class
        bucket.storage.cold_after.CopyFrom(
            duration_pb2.Duration(seconds=int(cold_after), nanos=int(cold_after % 1 * 1e9)))
        request = metadata.CreateBucketRequest(bucket=bucket)
        return self.metadata.CreateBucket(request, timeout=TIMEOUT, wait_for_ready=True).bucket

    def put(self, bucket, key, data=None, **fields):
        """A record of metadata only, or with the data inline."""
        request = metadata.PutRecordRequest(bucket=bucket, key=key, **fields)
        if data is not None:
            request.inline_payload.data = data
        return self.metadata.PutRecord(request, timeout=TIMEOUT).record

    def upload_messages(self, start, data, chunk=CHUNK, finish=None):
        yield payloads.UploadPayloadRequest(**start)
        for offset in range(0, len(data), chunk):
            yield payloads.UploadPayloadRequest(chunk=payloads.PayloadChunk(data=data[offset:offset + chunk]))
        yield payloads.UploadPayloadRequest(finish=finish or payloads.FinishUpload())

    def upload(self, bucket, key, data, chunk=CHUNK, **fields):
        start = {"new_record": payloads.NewRecordUpload(bucket=bucket, key=key, **fields)}
        return self.payloads.UploadPayload(self.upload_messages(start, data, chunk), timeout=TIMEOUT).record

    def announce(self, bucket, key, **payload):
        """(record, upload id)"""
        request = metadata.PutRecordRequest(bucket=bucket, key=key)
        request.announced_payload.SetInParent()
        for name, value in payload.items():
            setattr(request.announced_payload, name, value)
        answer = self.metadata.PutRecord(request, timeout=TIMEOUT)
        return answer.record, answer.upload_id

    def upload_announced(self, upload_id, data, write_offset=0):
        start = {"announced": payloads.AnnouncedUpload(upload_id=upload_id, write_offset=write_offset)}
        return self.payloads.UploadPayload(self.upload_messages(start, data), timeout=TIMEOUT).record

    def get(self, bucket, key, version=0, **fields):
        request = metadata.GetRecordRequest(bucket=bucket, key=key, version=version, **fields)
        return self.metadata.GetRecord(request, timeout=TIMEOUT, wait_for_ready=True).record

    def delete(self, bucket, key, **fields):
        return self.metadata.DeleteRecord(
            metadata.DeleteRecordRequest(bucket=bucket, key=key, **fields), timeout=TIMEOUT).record

    def list_pages(self, bucket, **fields):
        token = ""
        while True:
            answer = self.metadata.ListRecords(
                metadata.ListRecordsRequest(bucket=bucket, page_token=token, **fields), timeout=TIMEOUT)
            yield list(answer.records)
            token = answer.next_page_token
            if not token:
                return

    def read(self, bucket, key, replica=0, **fields):
        """(bytes, source, record); `replica` counts from 0."""
        data, source, record = [], None, None
        request = objects.ReadObjectRequest(bucket=bucket, key=key, **fields)
        for answer in self.replicas[replica].ReadObject(request, timeout=TIMEOUT * 4, wait_for_ready=True):
            if answer.HasField("record"):
                record, source = answer.record, answer.source
            data.append(answer.data)
        return b"".join(data), source, record

    def watch(self, until_revision, start_revision=1, **fields):
        """The events from one revision to another."""
        request = metadata.WatchChangesRequest(start_revision=start_revision, **fields)
        call = self.metadata.WatchChanges(request, timeout=TIMEOUT)
        events = []
        for answer in call:
            if answer.HasField("event"):
                events.append(answer.event)
                if answer.event.revision >= until_revision:
                    break
        call.cancel()
        return events

    def revision(self):
        return self.admin.GetStatus(admin.GetStatusRequest(), timeout=TIMEOUT).metadata.committed_revision

    def status(self):
        return self.admin.GetStatus(admin.GetStatusRequest(), timeout=TIMEOUT).metadata

    def scrub(self, replica=0, timeout=TIMEOUT, **options):
        """What a whole scrub found."""
        service = self.object_admins[replica]
        begun = service.StartScrub(admin.StartScrubRequest(**options), timeout=timeout, wait_for_ready=True).scrub_id

        def over():
            answer = service.GetScrub(admin.GetScrubRequest(scrub_id=begun), timeout=timeout)
            return answer if answer.done else None

        answer = wait_for(over, "the scrub to end", 60)
        assert answer.error_reason == "", answer
        return list(answer.findings)

    def register_replica(self, name, address, ttl=60.0, leaving=False):
        """The replicas that are there, {name: address}."""
        request = report.RegisterReplicaRequest(leaving=leaving)
        request.replica.name, request.replica.address = name, address
        request.ttl.CopyFrom(duration_pb2.Duration(seconds=int(ttl), nanos=int(ttl % 1 * 1e9)))
        answer = self.reports.RegisterReplica(request, timeout=TIMEOUT)
        return {replica.name: replica.address for replica in answer.replicas}

    def report(self, replica, record, outcome, tier="UNSPECIFIED", drop_tier="UNSPECIFIED", **fields):
        """Reports as that replica does; returns the verdict's name."""
        request = report.ReportObjectsRequest(replica=replica)
        request.reports.add(
            bucket=record.bucket, key=record.key, version=record.payload_version, payload_id=record.payload_id,
            outcome="OBJECT_OUTCOME_" + outcome, tier="TIER_" + tier, drop_tier="TIER_" + drop_tier, size=record.size,
            crc32c=record.crc32c, **fields)
        answer = self.reports.ReportObjects(request, timeout=TIMEOUT)
        return report.ReportVerdict.Name(answer.results[0].verdict)[len("REPORT_VERDICT_"):]

    def wait_state(self, bucket, key, state, version=0, seconds=30.0):
        wanted = record_messages.RecordState.Value("RECORD_STATE_" + state)

        def there():
            record = self.get(bucket, key, version)
            return record if record.state == wanted else None

        return wait_for(there, f"{bucket}/{key} to be {state}", seconds)

    def wait_tiers(self, bucket, key, tiers, seconds=30.0):
        """`tiers` as a set of "HOT" and "COLD"."""
        def there():
            record = self.get(bucket, key)
            return record if tiers_of(record) == tiers else None

        return wait_for(there, f"{bucket}/{key} to be in {tiers}", seconds)

    def wait_cold(self, bucket, key, seconds=30.0):
        """Until it is in the cold tier alone, and read from there: the hot copy goes once the record tells of the move."""
        record = self.wait_tiers(bucket, key, {"COLD"}, seconds)
        request = objects.StatObjectRequest(bucket=bucket, key=key)
        wait_for(lambda: all(replica.StatObject(request, timeout=TIMEOUT).source == objects.READ_SOURCE_COLD
                             for replica in self.replicas), f"the hot copy of {bucket}/{key} to be gone", seconds)
        return record


def tiers_of(record):
    return {record_messages.Tier.Name(place.tier)[len("TIER_"):] for place in record.locations}


def health_of(cluster, port, service):
    """SERVING, NOT_SERVING or None for a name that is not known; in the wire form, since the
    health protocol is not ours."""
    call = cluster.channel(port).unary_unary("/grpc.health.v1.Health/Check")
    try:
        answer = call(b"\x0a" + bytes([len(service)]) + service.encode(), timeout=TIMEOUT)
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND
        return None
    return {b"\x08\x01": "SERVING", b"\x08\x02": "NOT_SERVING"}[answer]


class Failure:
    """What a refused call said."""

    def __init__(self, error):
        self.code = error.code()
        self.message = error.details()
        self.reason = self.domain = self.field = None
        self.metadata = {}
        self.retry_seconds = None
        trailers = dict(tuple(error.trailing_metadata() or ()))
        self.pushback_ms = int(trailers["grpc-retry-pushback-ms"]) if "grpc-retry-pushback-ms" in trailers else None
        details = trailers.get("grpc-status-details-bin")
        if details is None:
            return
        for detail in status_pb2.Status.FromString(details).details:
            info = error_details_pb2.ErrorInfo()
            bad = error_details_pb2.BadRequest()
            retry = error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                self.reason, self.domain, self.metadata = info.reason, info.domain, dict(info.metadata)
            elif detail.Unpack(bad):
                self.field = bad.field_violations[0].field
            elif detail.Unpack(retry):
                self.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()


def again(call, *arguments):
    """Through restarts."""
    def answer():
        try:
            return call(*arguments)
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise
            return None

    return wait_for(answer, "an answer", 60)


def failure_of(call, *args, **kwargs):
    """The failure that a call must end in; streams are read to their end."""
    try:
        answer = call(*args, **kwargs)
        if hasattr(answer, "__next__"):
            for _ in answer:
                pass
    except grpc.RpcError as error:
        return Failure(error)
    raise AssertionError("the call was to be refused")
