"""Web servers on the loopback address: one that serves bytes and misbehaves as asked, and one that is the hub."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_COMMIT = "c" * 40


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip archive of these files."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return content.getvalue()


class Site:
    """What a server answers, and what it was asked.

    Attributes:
        files: path -> content.
        redirects: path -> address.
        cut: path -> after how many bytes of an answer the connection breaks off, once per entry of the list.
        statuses: path -> status of an error.
        ranges: whether parts of files are served.
        headers: path -> further headers of its answer.
        posts: path -> what answers the body of a POST with a json value.
        asked: (method, path, value of the header Range or None) of every request.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.redirects: dict[str, str] = {}
        self.cut: dict[str, list[int]] = {}
        self.statuses: dict[str, int] = {}
        self.ranges = True
        self.headers: dict[str, dict[str, str]] = {}
        self.posts: dict[str, Callable[[bytes], Any]] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.url = ""

    def headers_of(self, path: str) -> dict[str, str]:
        """Further headers of a file; the ETag tells versions apart."""
        return {"ETag": f'"{hashlib.sha256(self.files[path]).hexdigest()}"', **self.headers.get(path, {})}


@contextlib.contextmanager
def serve(files: dict[str, bytes]) -> Iterator[Site]:
    """A server of these files for the time of the block."""
    site = Site(files)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            site.asked.append((self.command, path, None))
            if path not in site.posts:
                return self.send(404, {}, b"no", True)
            self.send(200, {"Content-Type": "application/json"}, json.dumps(site.posts[path](body)).encode(), True)

        def answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            wanted = self.headers.get("Range")
            site.asked.append((self.command, path, wanted))
            if path in site.redirects:
                return self.send(302, {"Location": site.redirects[path]}, b"", with_body)
            if path in site.statuses or path not in site.files:
                return self.send(site.statuses.get(path, 404), {"X-Error-Code": "EntryNotFound"}, b"no", with_body)
            content, headers, status = site.files[path], site.headers_of(path), 200
            if wanted and site.ranges and self.headers.get("If-Range", headers["ETag"]) == headers["ETag"]:
                first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted).groups()
                first, last = int(first), min(int(last or len(content)), len(content) - 1)
                if first >= len(content):
                    return self.send(416, {"Content-Range": f"bytes */{len(content)}"}, b"", with_body)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
                content, status = content[first : last + 1], 206
            cuts = site.cut.get(path) if with_body else None
            return self.send(status, headers, content, with_body, cuts.pop(0) if cuts else None)

        def send(self, status: int, headers: dict, content: bytes, with_body: bool, cut: int | None = None) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content[:cut])
            if cut is not None:
                self.wfile.flush()
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def hub(repositories: dict[str, dict[str, bytes]], monkeypatch, cache) -> Iterator[Site]:
    """A hub with these repositories (`owner/name` or `datasets/owner/name`), which huggingface_hub asks in the block.

    Args:
        cache: folder of the client's cache.
    """
    files = {}
    for name, contents in repositories.items():
        files |= {f"/{name}/resolve/{at}/{file}": data for at in ("main", _COMMIT) for file, data in contents.items()}
        kind = "" if name.startswith("datasets/") else "models/"
        listed = [{"type": "file", "path": f, "oid": "0" * 40, "size": len(data)} for f, data in contents.items()]
        about = {"id": name.removeprefix("datasets/"), "sha": _COMMIT, "siblings": [{"rfilename": f} for f in contents]}
        files[f"/api/{kind}{name}/revision/main"] = json.dumps(about).encode()
        files[f"/api/{kind}{name}/tree/{_COMMIT}"] = json.dumps(listed).encode()
    with serve(files) as site:
        site.headers = {path: {"X-Repo-Commit": _COMMIT} for path in files}
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", site.url)
        template = site.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        yield site
