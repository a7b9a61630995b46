"""A small hub on 127.0.0.1: the API and resolve paths that huggingface_hub asks for, Range support, and faults on demand."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "stranger/tiny"


class Hub:
    """What the server serves and how it misbehaves; also what it was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.endpoint = ""
        self.lfs = {file.name for file in folder.iterdir() if file.suffix in (".safetensors", ".gguf")}
        self.fault = ""
        self.faults_left = 0
        self.fault_on = ".safetensors"
        self.claimed: dict[str, str] = {}
        self.ranges: list[tuple[str, int, int]] = []
        self.asked: Counter[str] = Counter()
        self.authorised: list[str] = []
        self.redirects = False
        self._counting = threading.Lock()

    def misbehave(self, fault: str, times: int = 10**6, on: str = ".safetensors") -> None:
        self.fault, self.faults_left, self.fault_on = fault, times, on

    def takes_a_fault(self) -> bool:
        """Whether this request is answered badly. Counted before the answer leaves: the client may ask again at once."""
        with self._counting:
            if self.faults_left == 0:
                return False
            self.faults_left -= 1
            return True

    @property
    def bytes_sent(self) -> int:
        return sum(end - start for _, start, end in self.ranges)

    def siblings(self) -> list[dict[str, object]]:
        made: list[dict[str, object]] = []
        for file in sorted(self.folder.iterdir()):
            sibling: dict[str, object] = {"rfilename": file.name, "size": file.stat().st_size, "blobId": "0" * 40}
            if file.name in self.lfs or file.name in self.claimed:
                digest = self.claimed.get(file.name) or hashlib.sha256(file.read_bytes()).hexdigest()
                sibling["lfs"] = {"sha256": digest, "size": file.stat().st_size, "pointerSize": 134}
            made.append(sibling)
        return made


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked[path] += 1
            if self.headers.get("Authorization"):
                hub.authorised.append(path)
            if hub.fault_on in path and hub.takes_a_fault():
                self.misanswer(path)
                return
            if path.startswith("/api/models/"):
                self.api(path)
            elif path.startswith("/signed/"):
                self.file(path.removeprefix("/signed/"))
            else:
                self.resolve(path)

        def api(self, path: str) -> None:
            if path == f"/api/models/{REPOSITORY}/revision/gone":
                return self.answer(404, b"{}", X_Error_Code="RevisionNotFound")
            if path not in (
                f"/api/models/{REPOSITORY}",
                *(f"/api/models/{REPOSITORY}/revision/{r}" for r in REVISIONS),
            ):
                return self.answer(401, b"{}", X_Error_Code="RepoNotFound")
            told = {"id": REPOSITORY, "sha": COMMIT, "siblings": hub.siblings()}
            return self.answer(200, json.dumps(told).encode(), Content_Type="application/json")

        def resolve(self, path: str) -> None:
            start = f"/{REPOSITORY}/resolve/{COMMIT}/"
            if not path.startswith(start) or not (hub.folder / path.removeprefix(start)).is_file():
                return self.answer(404, b"", X_Error_Code="EntryNotFound")
            name = path.removeprefix(start)
            if hub.redirects and name in hub.lfs:
                return self.answer(302, b"", Location=f"/signed/{name}")
            return self.file(name)

        def file(self, name: str) -> None:
            data = (hub.folder / name).read_bytes()
            wanted = self.headers.get("Range")
            if wanted is None:
                return self.answer(200, data)
            first, last = (int(part) for part in wanted.removeprefix("bytes=").split("-"))
            hub.ranges.append((name, first, last + 1))
            return self.answer(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}")

        def misanswer(self, path: str) -> None:
            fault, name = hub.fault, path.rpartition("/")[2]
            if fault == "html":
                self.answer(200, b"<html>please log in</html>", Content_Type="text/html; charset=utf-8")
            elif fault == "hang":
                time.sleep(2)
                self.close_connection = True
            elif fault == "half a body":
                data = (hub.folder / name).read_bytes()
                first, last = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
                self.send_header("Content-Length", str(last + 1 - first))
                self.end_headers()
                self.wfile.write(data[first : (first + last) // 2])
                self.close_connection = True
            elif fault == "short but well-formed":
                data = (hub.folder / name).read_bytes()
                first, last = (int(part) for part in self.headers["Range"].removeprefix("bytes=").split("-"))
                body = data[first : (first + last) // 2]
                self.answer(206, body, Content_Range=f"bytes {first}-{last}/{len(data)}")
            elif fault == "another range":
                data = (hub.folder / name).read_bytes()
                self.answer(206, data[:8], Content_Range=f"bytes 0-7/{len(data)}")
            elif fault == "ignores Range":
                self.answer(200, (hub.folder / name).read_bytes())
            elif fault == "gated":
                self.answer(403, b"{}", X_Error_Code="GatedRepo")
            else:
                self.answer(int(fault), b"busy", Retry_After="3")

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up in the middle is what these tests are about."""


REVISIONS = ("main", COMMIT)


@contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    """Serve a folder as the repository stranger/tiny while the context lasts."""
    hub = Hub(folder)
    server = _Server(("127.0.0.1", 0), _handler(hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
