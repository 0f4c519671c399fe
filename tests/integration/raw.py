"""A server that says what a test says, byte by byte if need be: for what no decent server would answer."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Wire:
    """One connection that was accepted: the server's end. ``number`` counts them from 0."""

    def __init__(self, server: "RawServer", connection: socket.socket, number: int) -> None:
        self.number = number
        self._server = server
        self._socket = connection
        self._rest = b""

    def request(self) -> bool:
        """Wait for a whole request, and keep it; False if the client has closed the connection."""
        while b"\r\n\r\n" not in self._rest:
            if not self._receive():
                return False
        head, _, body = self._rest.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
        self._rest = body
        while len(self._rest) < length:
            if not self._receive():
                return False
        self._server.requests.append(head + b"\r\n\r\n" + self._rest[:length])
        self._rest = self._rest[length:]
        return True

    def first_bytes(self) -> None:
        """Wait until the client has begun with a request."""
        while not self._rest and self._receive():
            pass

    def send(self, data: bytes, *, piece: int | None = None) -> None:
        """Send this, in pieces of so many bytes."""
        step = piece or max(1, len(data))
        for start in range(0, len(data), step):
            self._socket.sendall(data[start : start + step])

    def half_close(self) -> None:
        """Say that nothing more comes."""
        self._socket.shutdown(socket.SHUT_WR)

    def wait_for_the_end(self) -> None:
        """Wait until the client has closed the connection; what it sends till then is lost."""
        while self._receive():
            self._rest = b""

    def _receive(self) -> bool:
        received = self._socket.recv(65536)
        self._rest += received
        return bool(received)


class RawServer:
    """Listens on a free port of this machine, and serves each connection in a thread of its own.

    Args:
        serve: what happens on a connection; when it returns, the connection is closed.
        tls: what the connections are secured with, if they are.
    """

    def __init__(self, serve: Callable[[Wire], object], *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.accepted = 0
        self.most_open = 0
        self.closed = threading.Semaphore(0)  # released for each connection that has been closed
        self._serve, self._tls = serve, tls
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it is, by name: with TLS, that is what the certificate has to have."""
        return f"https://localhost:{self.port}/prod" if self._tls else f"http://127.0.0.1:{self.port}/prod"

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Have it run."""
        threads: list[threading.Thread] = []
        listening = threading.Thread(target=self._listen, args=(threads,))
        listening.start()
        try:
            yield self
        finally:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            listening.join()
            self._listener.close()
            with self._lock:
                for connection in self._open:
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()

    def _listen(self, threads: list[threading.Thread]) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                number, self.accepted = self.accepted, self.accepted + 1
                self._open.add(connection)
                self.most_open = max(self.most_open, len(self._open))
            thread = threading.Thread(target=self._run, args=(connection, number))
            threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket, number: int) -> None:
        plain = connection
        try:
            with suppress(OSError):  # the client has gone, or does not trust us
                if self._tls:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                self._serve(Wire(self, connection, number))
        finally:
            with self._lock:
                self._open.discard(plain)
            connection.close()
            self.closed.release()
