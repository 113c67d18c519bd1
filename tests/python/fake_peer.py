"""A replica that lies: a PeerService that sends an object as a test tells it to."""

from concurrent import futures
import threading

import grpc

from contract import peer_service_pb2 as peer, peer_service_pb2_grpc as peer_grpc

BLOCK = 64 << 10


def make_crc32c_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_table = make_crc32c_table()


def crc32c(data):
    state = 0xFFFFFFFF
    for byte in data:
        state = (state >> 8) ^ _table[(state ^ byte) & 0xFF]
    return state ^ 0xFFFFFFFF


class FakePeer(peer_grpc.PeerServiceServicer):
    """Holds one object. `lie` is given each message before it is sent, as (number, message), and
    returns what is sent instead; it may also raise, or wait for `gone`."""

    def __init__(self, content, lie):
        self.content = content
        self.lie = lie
        self.calls = 0
        self.gone = threading.Event()
        blocks = [content[at:at + BLOCK] for at in range(0, len(content), BLOCK)]
        self.sums = b"".join(crc32c(block).to_bytes(4, "little") for block in blocks) if len(blocks) > 1 else b""
        self.crc32c = crc32c(content)
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        peer_grpc.add_PeerServiceServicer_to_server(self, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def stop(self):
        self.gone.set()
        self.server.stop(None).wait()

    def true_messages(self, request):
        begin = request.read_offset - request.read_offset % BLOCK
        yield peer.ReadHotObjectResponse(header=peer.HotObjectHeader(
            size=len(self.content), crc32c=self.crc32c, block_bytes=BLOCK, data_offset=begin))
        if self.sums:
            yield peer.ReadHotObjectResponse(block_sums=self.sums)
        for at in range(begin, len(self.content), BLOCK):
            yield peer.ReadHotObjectResponse(data=self.content[at:at + BLOCK])

    def ReadHotObject(self, request, context):
        self.calls += 1
        for number, message in enumerate(self.true_messages(request)):
            told = self.lie(number, message, context)
            if told is None:
                return
            yield told
