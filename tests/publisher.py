"""A web server on this machine that can fail: each request takes the next fault, and later requests are answered."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Publisher:
    """The content of the one file, the faults to come, and the headers of the requests so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.content = bytes(range(256)) * 1_000
        self.faults: list[Fault] = []
        self.requests: list[dict[str, str]] = []
        self.closing = threading.Event()


Fault = Callable[["Answer"], None]


class Answer(BaseHTTPRequestHandler):
    """The answer to one request: the next fault, or the file."""

    publisher: Publisher

    def do_GET(self) -> None:
        self.publisher.requests.append(dict(self.headers))
        if self.publisher.faults:
            self.publisher.faults.pop(0)(self)
        else:
            self.send(self.publisher.content)

    def log_message(self, *_: object) -> None:
        pass

    def send(self, content: bytes, length: int | None = None) -> None:
        """Send `content` as a file of `length` bytes, which may be a lie."""
        self.send_status(200, Content_Length=len(content) if length is None else length)
        self.wfile.write(content)

    def send_status(self, status: int, **headers: object) -> None:
        """Send the status line and the headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


def half(answer: Answer) -> None:
    """Send half of the file and close the connection."""
    content = answer.publisher.content
    answer.send(content[: len(content) // 2], length=len(content))


def stalled(answer: Answer) -> None:
    """Send half of the file, and then nothing as long as the server runs."""
    half(answer)
    answer.wfile.flush()
    answer.publisher.closing.wait()


def status(code: int, **headers: object) -> Fault:
    """Return a fault that sends a status without content."""
    return lambda answer: answer.send_status(code, Content_Length=0, **headers)


@contextmanager
def serving() -> Iterator[Publisher]:
    """Run a publisher."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: socket.socket, client_address: object) -> None:
            """Ignore a client that closes the connection."""

    handler = type("PublisherAnswer", (Answer,), {})
    with Server(("127.0.0.1", 0), handler) as server:
        publisher = Publisher(f"http://127.0.0.1:{server.server_port}/file")
        handler.publisher = publisher
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield publisher
        finally:
            publisher.closing.set()
            server.shutdown()
