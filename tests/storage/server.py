"""A web server on loopback with what reading from a store needs: ETags, range requests, faults on demand."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


class Store(ThreadingHTTPServer):
    """Serves the files of a folder.

    Attributes:
        requests: method, path and range of each request, in order.
        short: paths whose content is cut off after half of it, although the header says otherwise; how often still.
        ranges: whether range requests are answered.
        versions: whether answers have an ETag.
    """

    daemon_threads = True

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder, self.requests, self.short, self.ranges = folder, [], {}, True
        self.versions = True
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def gets(self, path: str) -> list[str]:
        """Ranges of the GET requests for a path; empty for the whole."""
        return [part for method, name, part in self.requests if method == "GET" and name == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(with_content=False)

    def do_GET(self):
        self._answer(with_content=True)

    def _answer(self, *, with_content):
        server, path = self.server, unquote(self.path.partition("?")[0])
        part = self.headers.get("Range", "")
        server.requests.append((self.command, path, part))
        file = server.folder / path.lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        content = file.read_bytes()
        etag = hashlib.md5(content).hexdigest()
        code = 200
        if part and server.ranges:
            first, _, last = part.removeprefix("bytes=").partition("-")
            code, content = 206, content[int(first) : int(last) + 1 if last else None]
        self.send_response(code)
        self.send_header("Content-Length", str(len(content)))
        if server.versions:
            self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if with_content:
            if server.short.get(path, 0) > 0:
                server.short[path] -= 1
                content = content[: len(content) // 2]
                self.close_connection = True
            self.wfile.write(content)

    def log_message(self, *arguments):
        pass
