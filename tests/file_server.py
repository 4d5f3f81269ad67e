"""A real HTTP server on loopback that serves bytes, whole, in ranges, or badly."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class FileServer:
    """What is served, how it misbehaves, and what was asked of it."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    understands_ranges: bool = True
    announces_length: bool = True
    break_after: int | None = None  # bytes of one answer, then the connection drops
    ranges: list[str | None] = field(default_factory=list)  # asked for, one per request
    sent: int = 0  # bytes of content, altogether


@contextmanager
def serving() -> Iterator[FileServer]:
    """Serve `files` by path until the block ends."""
    state = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            content = state.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            start = 0
            if asked and state.understands_ranges:
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            else:
                self.send_response(200)
            if state.announces_length:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            body = content[start:]
            if state.break_after is not None:
                body = body[: state.break_after]
            state.sent += len(body)
            try:
                self.wfile.write(body)
            except ConnectionError:  # the client went away
                self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
