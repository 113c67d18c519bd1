"""The little of NATS's client protocol that it takes to read a JetStream stream: tests see it
as any consumer does, not through our own code.

https://docs.nats.io/reference/reference-protocols/nats-protocol and .../nats_api_reference"""

import base64
import json
import socket


class JetStream:
    def __init__(self, port, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout=10)
        self.file = self.socket.makefile("rb")
        assert self.file.readline().startswith(b"INFO")
        self.socket.sendall(b'CONNECT {"verbose":false,"headers":true}\r\nSUB _REPLY.test 1\r\n')

    def close(self):
        self.file.close()
        self.socket.close()

    def request(self, subject, body=None):
        data = json.dumps(body).encode() if body is not None else b""
        self.socket.sendall(b"PUB %s _REPLY.test %d\r\n%s\r\n" % (subject.encode(), len(data), data))
        while True:
            line = self.file.readline()
            assert line, "the server hung up"
            if line.startswith(b"PING"):
                self.socket.sendall(b"PONG\r\n")
            elif line.startswith((b"MSG", b"HMSG")):
                payload = self.file.read(int(line.split()[-1]) + 2)[:-2]
                if line.startswith(b"HMSG"):
                    payload = payload[int(line.split()[-2]):]
                return json.loads(payload) if payload else {"error": {"description": "no responders"}}

    def info(self, stream):
        return self.request(f"$JS.API.STREAM.INFO.{stream}")

    def message(self, stream, sequence):
        """(subject, headers, body)"""
        answer = self.request(f"$JS.API.STREAM.MSG.GET.{stream}", {"seq": sequence})
        message = answer["message"]
        headers = {}
        for line in base64.b64decode(message.get("hdrs", "")).decode().split("\r\n")[1:]:
            name, colon, value = line.partition(":")
            if colon:
                headers[name] = value.strip()
        return message["subject"], headers, base64.b64decode(message.get("data", ""))


def read_stream(port, stream="WAYBILL_CHANGES_0", host="127.0.0.1"):
    """All messages of the stream, oldest first."""
    connection = JetStream(port, host)
    try:
        info = connection.info(stream)
        if "state" not in info:
            return []
        state = info["state"]
        return [connection.message(stream, sequence)
                for sequence in range(state["first_seq"], state["last_seq"] + 1)] if state["messages"] else []
    finally:
        connection.close()


def revisions_in(port):
    """Of all messages of the stream, oldest first; None of one that is no event of ours."""
    ids = [headers.get("Nats-Msg-Id") for _, headers, _ in read_stream(port)]
    return [int(name.split("-")[-1]) if name is not None else None for name in ids]


def last_revision(port, stream="WAYBILL_CHANGES_0", host="127.0.0.1"):
    """The revision of the stream's last message, 0 when there is none or no stream."""
    connection = JetStream(port, host)
    try:
        info = connection.info(stream)
        if "state" not in info or not info["state"]["messages"]:
            return 0
        return int(connection.message(stream, info["state"]["last_seq"])[1]["Nats-Msg-Id"].split("-")[-1])
    finally:
        connection.close()
