"""A model on a hub, pinned to one commit: headers and the tensors that are needed are fetched by byte range.

What is asked of the hub goes through `huggingface_hub` (endpoint, token, addresses, session); what comes back is checked
here, because a range that is answered by a page of HTML, by too few bytes or by the whole file must not become weights.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.errors import MalformedSource, MissingExtra, SourceError, SourceNotFound, UnsafeSource, UsageError
from filiation.evidence import Absent
from filiation.sources import gguf_file, safetensors_file
from filiation.sources.byte_ranges import ByteRanges, Bytes, ReadLog
from filiation.sources.folder import CONVERT, INDEX, PICKLE_SUFFIXES, SINGLE, check_against_index, shard_names
from filiation.sources.safetensors_file import SafetensorsTensors
from filiation.sources.source import TensorEntry, Tensors
from filiation.sources.stored import (
    SMALL_FILES,
    TOKENIZER_LIMIT,
    StoredFile,
    StoredSource,
    configuration_from,
    fp8_block,
    tokenizer_from,
)
from filiation.strict_json import CONFIGURATION_LIMIT

PARALLEL = 8
"""Requests under way at once."""

GAP = 1 << 16
"""Rows nearer to each other than this many bytes are fetched in one request: a request costs more than the bytes."""

HEAD = 1 << 18
"""Bytes fetched of each file at first; most headers fit."""

_SLOWEST = 10_000  # bytes per second below which a transfer is given up
_LONGEST_WAIT = 60.0  # seconds that a server's Retry-After is obeyed at most
_WHOLE_FILE_ACCEPTED = 1 << 22  # a server that ignores Range may send this much at most
_RETRIED = (408, 429, 500, 502, 503, 504)

_Found = TypeVar("_Found")


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How to talk to the hub. `timeout` in seconds for one answer to begin; waits double from `first_wait` seconds."""

    endpoint: str | None = None
    timeout: float = 30.0
    attempts: int = 5
    first_wait: float = 1.0
    sleep: Callable[[float], None] = time.sleep


class _Retry(Exception):
    """This attempt failed in a way that another may not; `wait` is what the server asked for, in seconds."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.wait = wait


def _huggingface_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtra(
            "reading from a hub needs the package huggingface_hub", advice='pip install "filiation[hub]"'
        ) from error
    return huggingface_hub


def _with_retries(attempt: Callable[[], _Found], what: str, exhibit: str, connection: Connection) -> _Found:
    wait = connection.first_wait
    problem = ""
    for attempts_left in range(connection.attempts - 1, -1, -1):
        try:
            return attempt()
        except _Retry as failed:
            problem = failed.problem
            if attempts_left:
                connection.sleep(min(wait if failed.wait is None else max(failed.wait, 0.0), _LONGEST_WAIT))
                wait *= 2
    raise SourceNotFound(
        f"{what} could not be fetched in {connection.attempts} attempts: {problem}",
        exhibit=exhibit,
        advice="try again later, or download the model and give its folder",
    )


def _transport_problem(error: BaseException, connection: Connection) -> _Retry:
    if "Timeout" in type(error).__name__:
        return _Retry(f"no answer within {connection.timeout:g} seconds")
    return _Retry(f"the connection failed ({type(error).__name__}: {str(error)[:120]})")


def _check_status(response: Any, what: str, exhibit: str) -> None:
    """Raises on any status that is no success: _Retry for a passing one, SourceNotFound for a lasting one."""
    status = response.status_code
    if status < 400:
        return
    if status in _RETRIED:
        raise _Retry(f"the server answered {status}", _retry_after(response.headers))
    code = str(response.headers.get("X-Error-Code", ""))
    if status in (401, 403):
        gated = "it is gated" if code == "GatedRepo" else "it is private, gated, or does not exist"
        raise SourceNotFound(
            f"the hub does not let us read {what} ({status}): {gated}",
            exhibit=exhibit,
            advice="ask for access on its page, then log in with `hf auth login` or set HF_TOKEN",
        )
    if status == 404:
        missing = "revision" if code == "RevisionNotFound" else "repository, revision or file"
        raise SourceNotFound(
            f"the hub has no such {missing}: {what}", exhibit=exhibit, advice="check organisation, name and revision"
        )
    raise SourceNotFound(f"the hub answered {status} when asked for {what}", exhibit=exhibit, advice="try again later")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        return float(headers["Retry-After"])
    except (KeyError, ValueError):
        return None


class RemoteFile:
    """One file of a pinned revision, by byte range. Every answer is held against what was asked for."""

    def __init__(self, url: str, size: int, *, name: str, exhibit: str, connection: Connection) -> None:
        self.url = url
        self.name = name
        self.exhibit = exhibit
        self.log = ReadLog()
        self._size = size
        self._connection = connection
        self._signed: str | None = None  # where the hub last redirected to: asked directly while it lasts
        self._head: bytes | None = None
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        return self._size

    def read(self, offset: int, size: int) -> Bytes:
        if offset < 0 or size < 0 or offset + size > self._size:
            raise MalformedSource(
                f"bytes {offset} to {offset + size} of {self.name} are not there: the file has {self._size} bytes",
                exhibit=self.exhibit,
                advice="the copy on the hub is truncated",
            )
        if size == 0:
            return np.empty(0, dtype=np.uint8)
        if offset + size <= HEAD:
            return np.frombuffer(self._first_bytes(), dtype=np.uint8)[offset : offset + size]
        return np.frombuffer(self._fetch(offset, size), dtype=np.uint8)

    def read_rows(self, offset: int, row_bytes: int, rows: NDArray[np.intp]) -> Bytes:
        made = np.empty((len(rows), row_bytes), dtype=np.uint8)
        order = np.argsort(rows, kind="stable")
        wanted = rows[order]
        breaks = np.flatnonzero(np.diff(wanted) * row_bytes > GAP + row_bytes) + 1

        def fetch(positions: NDArray[np.intp]) -> None:
            first, last = int(wanted[positions[0]]), int(wanted[positions[-1]])
            table = self.read(offset + first * row_bytes, (last - first + 1) * row_bytes).reshape(-1, row_bytes)
            made[order[positions]] = table[wanted[positions] - first]

        if len(rows):
            in_parallel(fetch, np.split(np.arange(len(rows)), breaks))
        return made

    def read_whole(self, limit: int) -> bytes:
        """All bytes of a small file. Raises MalformedSource above `limit`."""
        if self._size > limit:
            raise MalformedSource(
                f"{self.name} has {self._size} bytes; at most {limit} are read", exhibit=self.exhibit, advice="check it"
            )
        return self.read(0, self._size).tobytes()

    def _first_bytes(self) -> bytes:
        with self._lock:
            if self._head is None:
                self._head = self._fetch(0, min(HEAD, self._size))
            return self._head

    def _fetch(self, offset: int, size: int) -> bytes:
        what = f"bytes {offset} to {offset + size} of {self.name}"
        data = _with_retries(lambda: self._attempt(offset, size, what), what, self.exhibit, self._connection)
        self.log.add(offset, size)
        return data

    def _attempt(self, offset: int, size: int, what: str) -> bytes:
        hub = _huggingface_hub()
        signed = self._signed
        headers = {"Range": f"bytes={offset}-{offset + size - 1}", "Accept-Encoding": "identity"}
        if signed is None:  # the token is for the hub alone
            headers |= hub.utils.build_hf_headers(library_name="filiation")
        try:
            with hub.utils.get_session().stream(
                "GET", signed or self.url, headers=headers, timeout=self._connection.timeout
            ) as response:
                if signed is not None and response.status_code in (401, 403, 404, 410):
                    self._signed = None
                    raise _Retry("a signed address ran out", 0.0)
                _check_status(response, what, self.exhibit)
                self._check_range(response, offset, size, what)
                data = self._body(response, size, what)
                if response.history:
                    self._signed = str(response.url)
        except hub.errors.HTTPError as error:
            raise _transport_problem(error, self._connection) from error
        return data

    def _check_range(self, response: Any, offset: int, size: int, what: str) -> None:
        kind = str(response.headers.get("Content-Type", ""))
        if kind.startswith("text/html") and not self.name.endswith(".html"):
            raise SourceNotFound(
                f"the server answered with a page of HTML when asked for {what}",
                exhibit=self.exhibit,
                advice="a proxy or a log-in page stands between: check HF_ENDPOINT and the network",
            )
        if response.status_code == 206:
            told = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", str(response.headers.get("Content-Range", "")))
            if told is None or (int(told[1]), int(told[2])) != (offset, offset + size - 1):
                raise MalformedSource(
                    f"the server sent another range than {what}",
                    exhibit=self.exhibit,
                    advice="download the model instead",
                )
            if told[3] not in ("*", str(self._size)):
                raise MalformedSource(
                    f"{self.name} has {told[3]} bytes and the hub announced {self._size}",
                    exhibit=self.exhibit,
                    advice="give the revision as a commit",
                )
            return
        if not (response.status_code == 200 and offset == 0 and size == self._size <= _WHOLE_FILE_ACCEPTED):
            raise MalformedSource(
                f"the server ignores ranges: it answered {response.status_code} with the whole file when asked for {what}",
                exhibit=self.exhibit,
                advice="download the model and give its folder, or use a server that supports Range",
            )

    def _body(self, response: Any, size: int, what: str) -> bytes:
        deadline = time.monotonic() + self._connection.timeout + size / _SLOWEST
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > size:
                raise MalformedSource(
                    f"the server sent more than {what}", exhibit=self.exhibit, advice="download the model instead"
                )
            if time.monotonic() > deadline:
                raise _Retry(f"only {len(body)} bytes came in {self._connection.timeout + size / _SLOWEST:.0f} seconds")
        if len(body) != size:
            raise _Retry(f"only {len(body)} of {size} bytes came")
        return bytes(body)


def in_parallel(work: Callable[[Any], _Found], items: Iterable[Any]) -> list[_Found]:
    """`work` of each item, in order, several at once; the first error is raised."""
    items = list(items)
    if len(items) == 1:
        return [work(items[0])]
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(work, items))


class HubFile(msgspec.Struct, frozen=True, kw_only=True):
    """What the hub says of one file: size in bytes and, where it is kept by Git LFS, its SHA-256."""

    name: str
    size: int
    sha256: str | None = None


class HubSource(StoredSource):
    """`org/name` or `org/name@revision`. The revision is resolved to a commit once and stays pinned."""

    format = "hub"

    def __init__(
        self, location: str, *, name: str = "", lineage_id: str = "", connection: Connection | None = None
    ) -> None:
        self.repository, _, revision = location.partition("@")
        super().__init__(name=name or self.repository, location=location, lineage_id=lineage_id)
        self._connection = connection or Connection()
        self.commit, self._listing = self._list(revision or None)
        self._location = f"{self.repository}@{self.commit}"
        self._opened: dict[str, RemoteFile] = {}
        self._whole: dict[str, bytes] = {}
        self._refuse_pickle_only()

    # -------------------------------------------------------------------------------------------------------- listing

    def _list(self, revision: str | None) -> tuple[str, dict[str, HubFile]]:
        what = f"{self.repository}@{revision}" if revision else self.repository
        told = _with_retries(lambda: self._ask(revision, what), what, self.name, self._connection)
        commit = told.sha
        if not isinstance(commit, str) or not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", commit):
            raise MalformedSource(
                f"the hub did not tell the commit of {what}", exhibit=self.name, advice="check HF_ENDPOINT"
            )
        files = {}
        for sibling in told.siblings or ():
            if isinstance(sibling.size, int) and isinstance(sibling.rfilename, str):
                digest = sibling.lfs.sha256 if sibling.lfs is not None else None
                files[sibling.rfilename] = HubFile(name=sibling.rfilename, size=sibling.size, sha256=digest)
        return commit, files

    def _ask(self, revision: str | None, what: str) -> Any:
        hub = _huggingface_hub()
        api = hub.HfApi(endpoint=self._connection.endpoint, library_name="filiation")
        try:
            return api.model_info(
                self.repository, revision=revision, files_metadata=True, timeout=self._connection.timeout
            )
        except hub.errors.HfHubHTTPError as error:
            _check_status(error.response, what, self.name)
            raise
        except hub.errors.HTTPError as error:
            raise _transport_problem(error, self._connection) from error
        except hub.errors.HFValidationError as error:
            raise UsageError(
                f"{what!r} is no hub id: {str(error)[:160]}", exhibit=self.name, advice="write it as org/name@revision"
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SourceNotFound(
                f"what answered when asked for {what} is no hub: {str(error)[:80]}",
                exhibit=self.name,
                advice="a proxy or a log-in page stands between: check HF_ENDPOINT and the network",
            ) from error
        except ConnectionError as error:  # offline mode
            raise SourceNotFound(
                str(error)[:200], exhibit=self.name, advice="unset HF_HUB_OFFLINE, or give a folder"
            ) from error

    def _refuse_pickle_only(self) -> None:
        names = self._listing
        if any(name.endswith((".safetensors", ".gguf")) for name in names):
            return
        pickled = next((name for name in sorted(names) if name.endswith(PICKLE_SUFFIXES[:4]) and "/" not in name), None)
        if pickled is not None and pickled != "training_args.bin":
            raise UnsafeSource(
                f"the only weights there are a pickle file, {pickled}", exhibit=self.name, advice=CONVERT
            )

    def _file(self, name: str) -> RemoteFile:
        if name not in self._opened:
            url = _huggingface_hub().hf_hub_url(
                self.repository, name, revision=self.commit, endpoint=self._connection.endpoint
            )
            self._opened[name] = RemoteFile(
                url, self._listing[name].size, name=name, exhibit=self.name, connection=self._connection
            )
        return self._opened[name]

    def _small(self, name: str, limit: int) -> bytes:
        """A small file, read whole and held against the digest that the hub claims."""
        if name not in self._whole:
            data = self._file(name).read_whole(limit)
            claimed = self._listing[name].sha256
            if claimed is not None and hashlib.sha256(data).hexdigest() != claimed:
                raise MalformedSource(
                    f"{name} is not what the hub says it is (SHA-256 {claimed})",
                    exhibit=self.name,
                    advice="try again; if it stays so, a proxy changes what passes",
                )
            self._whole[name] = data
        return self._whole[name]

    # ---------------------------------------------------------------------------------------------------------- parts

    def _gguf(self) -> str | None:
        """The only GGUF file of a repository without safetensors; several are several models."""
        ggufs = [name for name in self._listing if name.endswith(".gguf")]
        if any(name.endswith(".safetensors") for name in self._listing) or not ggufs:
            return None
        if len(ggufs) > 1:
            raise UsageError(
                f"{self.repository} has {len(ggufs)} GGUF files",
                exhibit=self.name,
                advice=f"download one of them and give its path, for instance {sorted(ggufs)[0]}",
            )
        return ggufs[0]

    def _gguf_header(self, name: str) -> gguf_file.GgufHeader:
        return gguf_file.read_header(self._file(name), file=name, exhibit=self.name)

    def _read_configuration(self) -> Mapping[str, Any] | Absent:
        if "config.json" in self._listing:
            return configuration_from(self._small("config.json", CONFIGURATION_LIMIT), self.name)
        gguf = self._gguf()
        if gguf is not None:
            return gguf_file.configuration_of(self._gguf_header(gguf))
        return Absent(reason="the repository has no config.json")

    def _tokenizer_file(self) -> str | None:
        return next((name for name in ("tokenizer.json", "tokenizer.model") if name in self._listing), None)

    def tokenizer_bytes(self) -> bytes | None:
        name = self._tokenizer_file()
        return self._whole.get(name) if name is not None else None  # never fetched for the digest's sake

    def _read_tokenizer(self) -> Any:
        name = self._tokenizer_file()
        if name is not None:
            return tokenizer_from(name, self._small(name, TOKENIZER_LIMIT), self.name)
        gguf = self._gguf()
        if gguf is not None:
            from filiation.sources.tokenizers import tokenizer_from_gguf

            metadata = self._gguf_header(gguf).metadata
            if "tokenizer.ggml.tokens" in metadata:
                return tokenizer_from_gguf(metadata, self.name)
        return Absent(reason="the repository has no tokenizer.json and no tokenizer.model")

    def _open_tensors(self) -> Tensors | Absent:
        gguf = self._gguf()
        if gguf is not None:
            return gguf_file.GgufTensors(self._gguf_header(gguf), self._file(gguf), self.name)
        names, weight_map = self._weight_files()
        if not names:
            return Absent(reason="the repository has no safetensors weights")
        entries: dict[str, TensorEntry] = {}
        for header in in_parallel(self._header, names):
            safetensors_file.add_entries(entries, header, self.name)
        if weight_map is not None:
            check_against_index(weight_map, {name: entry.file for name, entry in entries.items()}, self.name)
        files: dict[str, ByteRanges] = {name: self._file(name) for name in names}
        return SafetensorsTensors(entries, files, self.name, fp8_block(self.configuration()))

    def _header(self, name: str) -> dict[str, TensorEntry]:
        return safetensors_file.read_header(self._file(name), file=name, exhibit=self.name)

    def _weight_files(self) -> tuple[list[str], dict[str, str] | None]:
        if SINGLE in self._listing:
            return [SINGLE], None
        if INDEX not in self._listing:
            return sorted(n for n in self._listing if n.endswith(".safetensors") and "/" not in n), None
        weight_map = shard_names(self._small(INDEX, CONFIGURATION_LIMIT), self.name)
        shards = sorted(set(weight_map.values()))
        for shard in shards:
            if shard not in self._listing:
                raise MalformedSource(
                    f"{INDEX} names {shard}, which is not there", exhibit=self.name, advice="give another revision"
                )
        return shards, weight_map

    def files(self) -> tuple[StoredFile, ...]:
        names = [name for name in SMALL_FILES if name in self._listing]
        try:
            gguf = self._gguf()
            names += [gguf] if gguf is not None else self._weight_files()[0]
        except SourceError:
            pass  # an identity is given of a contradictory repository too
        return tuple(self._stored(name) for name in names)

    def _stored(self, name: str) -> StoredFile:
        whole = self._whole.get(name)
        return StoredFile(
            name=name,
            ranges=self._file(name),
            claimed_sha256=self._listing[name].sha256,
            read_sha256=None if whole is None else hashlib.sha256(whole).hexdigest(),
        )
