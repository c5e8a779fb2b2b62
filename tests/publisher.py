"""A web server on this machine that can misbehave: a fault a request, in turn, and none after the last."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Publisher:
    """What is published, how each request is answered, and what was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.content = bytes(range(256)) * 1_000
        self.etag: str | None = '"first"'
        self.faults: list[Fault] = []
        self.requests: list[dict[str, str]] = []
        self.closing = threading.Event()


Fault = Callable[["Answer"], None]


class Answer(BaseHTTPRequestHandler):
    """One request's answer: the next fault's, or an honest one."""

    publisher: Publisher

    def do_GET(self) -> None:
        self.publisher.requests.append(dict(self.headers))
        fault = self.publisher.faults.pop(0) if self.publisher.faults else honest
        fault(self)

    def log_message(self, *_: object) -> None:
        pass

    def say(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def send(self, content: bytes, length: int | None = None, **headers: object) -> None:
        """A whole file, or what claims to be one of `length` bytes."""
        if self.publisher.etag is not None:
            headers["ETag"] = self.publisher.etag
        self.say(200, Content_Length=len(content) if length is None else length, **headers)
        self.wfile.write(content)


def honest(answer: Answer) -> None:
    """The rest from where it was asked for, if it is still of the version that was asked for."""
    content, etag = answer.publisher.content, answer.publisher.etag
    asked = re.fullmatch(r"bytes=(\d+)-", answer.headers.get("Range", ""))
    if asked is None or answer.headers.get("If-Range", etag) != etag:
        answer.send(content)
    elif (start := int(asked[1])) >= len(content):
        answer.say(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
    else:
        place = f"bytes {start}-{len(content) - 1}/{len(content)}"
        answer.say(206, Content_Length=len(content) - start, Content_Range=place)
        answer.wfile.write(content[start:])


def half(answer: Answer) -> None:
    """Half of it, and the connection ends."""
    answer.send(answer.publisher.content[: len(answer.publisher.content) // 2], length=len(answer.publisher.content))


def stalled(answer: Answer) -> None:
    """Half of it, and then nothing for as long as the server is up."""
    half(answer)
    answer.wfile.flush()
    answer.publisher.closing.wait()


def without_range(answer: Answer) -> None:
    """All of it, whatever was asked for."""
    answer.send(answer.publisher.content)


def status(code: int, **headers: object) -> Fault:
    """Nothing but a status."""
    return lambda answer: answer.say(code, Content_Length=0, **headers)


@contextmanager
def serving() -> Iterator[Publisher]:
    """A publisher that is up."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: socket.socket, client_address: object) -> None:
            """A client that has hung up is no matter here."""

    handler = type("OurAnswer", (Answer,), {})
    with Server(("127.0.0.1", 0), handler) as server:
        publisher = Publisher(f"http://127.0.0.1:{server.server_port}/file")
        handler.publisher = publisher
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield publisher
        finally:
            publisher.closing.set()
            server.shutdown()
