"""A connection that breaks: bytes go through up to a number, then both ends are cut off."""

import socket
import threading
import time


class CutProxy:
    """Passes connections on to a port of this machine. The first ones break, each when the client has sent as
    many bytes as `cuts` says for it; the later ones are left alone, until `cut_all`. `pause` is waited after
    every 64 KiB of the client's, in seconds. The port may be told later, as `target`."""

    def __init__(self, port=None, cuts=(), pause=0):
        self.target = port
        self.pause = pause
        self.cuts = list(cuts)
        self.broken = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                client.close()  # there is no service now
                continue
            self.sockets += [client, server]
            left = self.cuts.pop(0) if self.cuts else None
            threading.Thread(target=self.pass_on, args=(client, server, left, self.pause), daemon=True).start()
            threading.Thread(target=self.pass_on, args=(server, client, None, 0), daemon=True).start()

    def pass_on(self, source, sink, left, pause):
        try:
            while left is None or left > 0:
                data = source.recv(65536 if left is None else min(left, 65536))
                if not data:
                    break
                sink.sendall(data)
                left = None if left is None else left - len(data)
                time.sleep(pause)
        except OSError:
            pass
        self.broken += left == 0
        self.end(source, sink)

    @staticmethod
    def end(*ends):
        for end in ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut_all(self):
        """Those that there are; new ones are passed on again."""
        ends, self.sockets = self.sockets, []
        self.end(*ends)

    def close(self):
        self.listener.close()
        for end in self.sockets:
            end.close()
