"""A model hub on loopback: as much of the Hugging Face Hub's HTTP interface as listing and fetching a revision takes."""

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


def _entry(root: Path, path: Path) -> dict[str, Any]:
    name = str(path.relative_to(root))
    if path.is_dir():
        return {"type": "directory", "path": name, "oid": "0" * 40, "size": 0}
    oid = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
    return {"type": "file", "path": name, "oid": oid, "size": path.stat().st_size}


def _handler(repo: str, root: Path) -> type[BaseHTTPRequestHandler]:
    class Hub(BaseHTTPRequestHandler):
        """Serves one repository with one revision."""

        def do_GET(self) -> None:
            url = urllib.parse.urlsplit(self.path)
            parts = urllib.parse.unquote(url.path).strip("/")
            if parts == f"api/models/{repo}/revision/{COMMIT}" or parts == f"api/models/{repo}":
                return self._json({"id": repo, "sha": COMMIT, "siblings": []})
            if parts.startswith(f"api/models/{repo}/tree/{COMMIT}"):
                below = root / parts.removeprefix(f"api/models/{repo}/tree/{COMMIT}").strip("/")
                deep = "recursive=true" in url.query.lower()
                found = sorted(below.rglob("*") if deep else below.iterdir()) if below.is_dir() else []
                return self._json([_entry(root, path) for path in found])
            path = root / parts.removeprefix(f"{repo}/resolve/{COMMIT}/")
            if parts.startswith(f"{repo}/resolve/{COMMIT}/") and path.is_file():
                return self._file(path)
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})

        do_HEAD = do_GET

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            wanted = body.get("paths", [])
            wanted = [wanted] if isinstance(wanted, str) else wanted
            self._json([_entry(root, root / name) for name in wanted if (root / name).exists()])

        def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
            self._answer(json.dumps(value).encode(), status, {"Content-Type": "application/json", **(headers or {})})

        def _file(self, path: Path) -> None:
            data, status, more = path.read_bytes(), 200, {}
            if span := self.headers.get("Range"):
                first, _, last = span.removeprefix("bytes=").partition("-")
                end = int(last) + 1 if last else len(data)
                status, more = 206, {"Content-Range": f"bytes {first}-{end - 1}/{len(data)}"}
                data = data[int(first) : end]
            tag = _entry(root, path)["oid"]
            self._answer(data, status, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes", **more})

        def _answer(self, data: bytes, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Hub


@contextlib.contextmanager
def hub(repo: str, folder: Path) -> Iterator[str]:
    """Address of a hub that holds a folder as `repo` at COMMIT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(repo, folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
