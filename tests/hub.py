"""A model hub on loopback: as much of the Hugging Face Hub's interface as listing and fetching a revision takes."""

import contextlib
import hashlib
import json
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPO = "someone/tiny"


class Hub(ThreadingHTTPServer):
    """Serves a folder as REPO at COMMIT."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.folder = folder

    def entry(self, path: Path) -> dict[str, Any]:
        """A file or folder as the hub lists it."""
        name = str(path.relative_to(self.folder))
        if path.is_dir():
            return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
        oid = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
        return {"type": "file", "path": name, "oid": oid, "size": path.stat().st_size}


class Request(BaseHTTPRequestHandler):
    """One request."""

    server: Hub

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        name = urllib.parse.unquote(url.path).strip("/")
        tree, files = f"api/models/{REPO}/tree/{COMMIT}", f"{REPO}/resolve/{COMMIT}/"
        if name.startswith(tree):
            self._tree(name.removeprefix(tree).strip("/"), "recursive=true" in url.query.lower())
        elif name in (f"api/models/{REPO}", f"api/models/{REPO}/revision/{COMMIT}"):
            self._json({"id": REPO, "sha": COMMIT, "siblings": []})
        elif name.startswith(files) and (path := self.server.folder / name.removeprefix(files)).is_file():
            self._file(path)
        else:
            self._answer(b"{}", 404, {"X-Error-Code": "EntryNotFound"})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        """paths-info."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.headers["Content-Type"].startswith("application/json"):
            wanted = json.loads(body)["paths"]
        else:
            wanted = urllib.parse.parse_qs(body)["paths"]
        wanted = [wanted] if isinstance(wanted, str) else wanted
        found = [self.server.folder / name for name in wanted]
        self._json([self.server.entry(path) for path in found if path.exists()])

    def _tree(self, below: str, deep: bool) -> None:
        folder = self.server.folder / below
        self._json([self.server.entry(path) for path in sorted(folder.rglob("*") if deep else folder.iterdir())])

    def _json(self, value: Any) -> None:
        self._answer(json.dumps(value).encode(), 200, {"Content-Type": "application/json"})

    def _file(self, path: Path) -> None:
        data, status, more = path.read_bytes(), 200, {}
        if span := self.headers.get("Range"):
            first, _, last = span.removeprefix("bytes=").partition("-")
            end = int(last) + 1 if last else len(data)
            status, more = 206, {"Content-Range": f"bytes {first}-{end - 1}/{len(data)}"}
            data = data[int(first) : end]
        tag = {"ETag": f'"{self.server.entry(path)["oid"]}"', "X-Repo-Commit": COMMIT}
        self._answer(data, status, {**tag, "Accept-Ranges": "bytes", **more})

    def _answer(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def hub(folder: Path) -> Iterator[str]:
    """Address of a hub that holds a folder."""
    with Hub(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
