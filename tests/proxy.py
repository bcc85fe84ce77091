"""A proxy in front of a real S3 server that breaks requests as real stores and networks do."""

import contextlib
import dataclasses
import http.client
import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

CODES = {"SlowDown": 503, "InternalError": 500, "ExpiredToken": 403}
KINDS = (*CODES, "reset", "lost_answer", "latency")
REFUSALS = {**CODES, "NotImplemented": 501}
HOP_BY_HOP = {"connection", "transfer-encoding", "keep-alive"}


@dataclasses.dataclass
class Fault:
    """What befalls the next `times` requests with this method, on paths that hold `part`.

    Kinds: an S3 error code of CODES; "reset" cuts the connection in the middle of the answer's body;
    "lost_answer" lets the store do the work and cuts before the answer; "latency" adds 2 s.
    """

    kind: str
    method: str
    part: str
    times: int
    struck: int = 0

    def strikes(self, method: str, path: str) -> bool:
        """Whether this request is struck; counts it."""
        hit = self.struck < self.times and method == self.method and self.part in path
        self.struck += hit
        return hit


class Proxy(ThreadingHTTPServer):
    """Forwards to 127.0.0.1:`target`, but for `faults`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, target: int) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.target = target
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self.create_only = "kept"  # "ignored": If-None-Match is not handed on; "refused": it is answered with 501
        self.requests: list[tuple[str, str, int]] = []
        self.away = False
        self._listen()

    def _listen(self) -> None:
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def end(self) -> None:
        """Refuse connections from now on."""
        self.shutdown()
        self.server_close()
        self.thread.join()

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """While the block runs, connections are refused, and those that stand are cut."""
        self.away = True
        self.end()
        yield
        self.away = False
        self.socket = socket.socket(self.address_family, self.socket_type)
        self.server_bind()
        self.server_activate()
        self._listen()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients are killed here."""

    def struck(self, method: str, path: str) -> str:
        """The kind of fault that befalls a request, "" for none."""
        with self.lock:
            return next((f.kind for f in self.faults if f.strikes(method, path)), "")


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Proxy

    def _serve(self) -> None:
        if self.server.away:
            self._cut()
            return
        kind = self.server.struck(self.command, self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if kind == "latency":
            time.sleep(2)
        if "If-None-Match" in self.headers and self.server.create_only == "refused":
            kind = "NotImplemented"
        if kind in REFUSALS:
            self._refuse(kind)
            return
        status, headers, data = self._forward(body)
        self.server.requests.append((self.command, self.path, status))
        if kind == "lost_answer" or self.server.away:
            self._cut()
            return
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP | {"content-length", "server", "date"}:
                self.send_header(name, value)
        length = next((v for n, v in headers if n.lower() == "content-length"), str(len(data)))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if kind == "reset" else data)
        if kind == "reset":
            self._cut()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP | {"expect"}}
        if "If-None-Match" in headers and self.server.create_only == "ignored":
            headers = self._signed(body)
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        found = answer.status, answer.getheaders(), answer.read()
        connection.close()
        return found

    def _signed(self, body: bytes) -> dict[str, str]:
        """Headers of the same request without its condition, which its signature covered."""
        request = AWSRequest(self.command, f"http://127.0.0.1:{self.server.target}{self.path}", data=body)
        keys = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        S3SigV4Auth(keys, "s3", os.environ["AWS_DEFAULT_REGION"]).add_auth(request)
        return dict(request.headers.items())

    def _refuse(self, code: str) -> None:
        data = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
        self.send_response(REFUSALS[code])
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.server.requests.append((self.command, self.path, REFUSALS[code]))

    def _cut(self) -> None:
        """Close at once, with a reset."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@contextlib.contextmanager
def proxied(port: int, target: int) -> Iterator[Proxy]:
    """A running proxy."""
    server = Proxy(port, target)
    try:
        yield server
    finally:
        server.end()
