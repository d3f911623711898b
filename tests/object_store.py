"""A real S3 server on loopback, and a door before it that errs, waits or cuts answers short."""

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUCKET = "bucket"
LOOPBACK = "127.0.0.1"
_SOMEBODY = "AWS4-HMAC-SHA256 Credential=AKIAUSER/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


@contextmanager
def s3_server() -> Iterator[int]:
    """Port of moto's server, in a process of its own, with an empty bucket."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await_port(port, process)
        status, _ = request(port, "PUT", f"/{BUCKET}")
        assert status == 200
        yield port
    finally:
        process.kill()
        process.wait()


def request(port: int, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """Status and body of the server's answer."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20)
    connection.request(method, path, body, {"Authorization": _SOMEBODY})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return probe.getsockname()[1]


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None
        try:
            socket.create_connection((LOOPBACK, port), 0.2).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the S3 server did not start")


@dataclass
class Door:
    """Passes requests on to the server; what it does beside may be changed at any time."""

    port: int = 0
    status: int | None = None
    """Answer every request with this instead of passing it on."""
    seconds: float = 0.0
    """Wait so long before each answer."""
    cut: bool = False
    """End each answer with content in the middle of it."""
    concerns: Callable[[str, str], bool] = lambda method, path: True
    """Which requests the three above are for."""
    requests: list[str] = field(default_factory=list)


@contextmanager
def door_to(server: int) -> Iterator[Door]:
    """A door before the server at this port."""
    door = Door()
    http_server = ThreadingHTTPServer((LOOPBACK, 0), _handler(door, server))
    http_server.daemon_threads = True
    door.port = http_server.server_address[1]
    thread = threading.Thread(target=http_server.serve_forever, daemon=True)
    thread.start()
    try:
        yield door
    finally:
        http_server.shutdown()
        http_server.server_close()
        thread.join()


def _handler(door: Door, server: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self._body()
            door.requests.append(f"{self.command} {self.path}")
            disturbed = door.concerns(self.command, self.path)
            if disturbed:
                time.sleep(door.seconds)
            if disturbed and door.status:
                return self._answer(door.status, {}, b"")
            connection = http.client.HTTPConnection(LOOPBACK, server, timeout=60)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":  # answered here already
                    connection.putheader(name, value)
            connection.endheaders(body)
            found = connection.getresponse()
            content = found.read()
            headers = {k: v for k, v in found.getheaders() if k.lower() not in _OWN_HEADERS}
            if self.command == "HEAD":
                headers["Content-Length"] = found.getheader("Content-Length") or "0"
            self._answer(found.status, headers, content, cut=disturbed and door.cut)
            connection.close()

        def _body(self) -> bytes:
            """As it came, chunks included."""
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            lines = [self.rfile.readline()]
            while size := int(lines[-1].split(b";")[0], 16):
                lines += [self.rfile.read(size + 2), self.rfile.readline()]
            while lines[-1] != b"\r\n":
                lines.append(self.rfile.readline())
            return b"".join(lines)

        def _answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: bool = False) -> None:
            self.send_response_only(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.close_connection = cut
            with suppress(OSError):  # who waited too long is gone
                self.wfile.write(content[: len(content) // 2] if cut else content)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = pass_on

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    return Handler


_OWN_HEADERS = {"content-length", "transfer-encoding", "connection"}
