"""A time-stamping authority on this machine, made with `openssl`: for tests and example cases, never for real ones.

    authority = LocalAuthority.made(folder)
    response = authority.stamp(data)                       # RFC 3161, DER
    with authority.serving() as address: ...               # over HTTP, as real authorities answer
    with authority.serving(fault="hang") as address: ...   # as they sometimes do not

Its clock is that of whoever runs it, and its key lies beside it: a stamp of it shows nothing to anybody else. What it is good for is
that every byte is made by another program than the one that checks it.

`openssl ts` knows no ed25519; keys are on the curve P-256. Certificates are valid between two fixed dates (`openssl ca`, because
`openssl req -x509` counts days from now), so that example cases can be checked for thirty years. Each reply is made in a
folder of its own with a random serial number: replies may be asked for by many threads and processes at once.
"""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from filiation.case.records import Authority

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2056, 1, 1, tzinfo=UTC)
POLICY = "1.3.6.1.4.1.32473.1"  # an arc that is set apart for examples (RFC 5612)
STAMPS_ONLY = "critical, timeStamping"

_CONFIGURATION = """\
[ca]
default_ca = authority

[authority]
dir = {folder}
database = {folder}/index.txt
new_certs_dir = {folder}/issued
rand_serial = yes
default_md = sha256
unique_subject = no
policy = names

[names]
commonName = supplied

[req]
distinguished_name = name
prompt = no

[name]
commonName = replaced on the command line

[root]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash

[between]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid

[stamping]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = {extended_key_usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""

_REPLY_CONFIGURATION = """\
[tsa]
default_tsa = answering

[answering]
dir = {folder}
serial = {serial}
crypto_device = builtin
signer_cert = {folder}/stamping.pem
certs = {folder}/chain.pem
signer_key = {folder}/stamping.key
signer_digest = sha256
default_policy = {policy}
digests = {accepting}
accuracy = secs:1
ordering = no
tsa_name = no
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def _openssl(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(map(str, arguments))}: {done.stderr.decode(errors='replace')}")
    return done.stdout


@dataclass(frozen=True)
class LocalAuthority:
    """An authority in a folder: a root certificate, perhaps one between, and the certificate that signs stamps."""

    folder: Path
    name: str = "local"

    @classmethod
    def made(
        cls,
        folder: Path,
        *,
        name: str = "local",
        between: bool = False,
        valid: tuple[datetime, datetime] = (BEGINNING, END),
        extended_key_usage: str = STAMPS_ONLY,
    ) -> LocalAuthority:
        """New keys and certificates in `folder`. `valid`: of the certificate that signs; the root is valid until `END`.

        `between` puts a certificate between the root and the one that signs, as real authorities do.
        """
        (folder / "issued").mkdir(parents=True)
        (folder / "index.txt").touch()
        configuration = _CONFIGURATION.format(folder=folder, extended_key_usage=extended_key_usage)
        (folder / "ca.cnf").write_text(configuration, encoding="utf-8")
        authority = cls(folder, name)
        authority._issue("root", "root", "", (min(valid[0], BEGINNING), END))
        if between:
            authority._issue("between", "between", "root", (min(valid[0], BEGINNING), END))
        authority._issue("stamping", "stamping", "between" if between else "root", valid)
        sent_along = (folder / "between.pem").read_bytes() if between else b""
        (folder / "chain.pem").write_bytes(sent_along)
        return authority

    @property
    def certificate(self) -> bytes:
        """The root certificate (PEM)."""
        return (self.folder / "root.pem").read_bytes()

    @property
    def authority(self) -> Authority:
        """As a case records it; with it, a LocalAuthority is a `Stamper` that needs no network."""
        return Authority(name=self.name, url="local:", certificate=hashlib.sha256(self.certificate).hexdigest())

    def stamp(self, data: bytes) -> bytes:
        """The response (DER) to a request for a stamp over the SHA-256 of `data`."""
        return self.answer(_query(hashlib.sha256(data).hexdigest()))

    def answer(self, query: bytes, accepting: str = "sha256") -> bytes:
        """The response (DER) to a request (DER); requests over other digests than `accepting` are refused in it."""
        with tempfile.TemporaryDirectory(prefix="stamping-") as work:
            at = Path(work)
            (at / "serial").write_text(secrets.token_hex(8).upper() + "\n", encoding="ascii")
            places = {"folder": self.folder, "serial": at / "serial"}
            configuration = _REPLY_CONFIGURATION.format(**places, policy=POLICY, accepting=accepting)
            (at / "tsa.cnf").write_text(configuration, encoding="utf-8")
            (at / "query").write_bytes(query)
            _openssl("ts", "-reply", "-config", at / "tsa.cnf", "-queryfile", at / "query", "-out", at / "reply")
            return (at / "reply").read_bytes()

    @contextmanager
    def serving(self, fault: str = "") -> Iterator[str]:
        """The authority's address, answering over HTTP. `fault`: one of `FAULTS`, or none."""
        answering = FAULTS[fault] if fault else _answers
        hanging_up = threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                with suppress(ConnectionError):  # whoever asked may have gone
                    answering(authority, self, query, hanging_up)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        authority = self
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/tsr"
        finally:
            hanging_up.set()
            server.shutdown()
            server.server_close()
            thread.join()

    def _issue(self, role: str, extensions: str, issuer: str, valid: tuple[datetime, datetime]) -> None:
        key, request = self.folder / f"{role}.key", self.folder / f"{role}.csr"
        configuration = ("-config", self.folder / "ca.cnf")
        subject = ("-subj", f"/CN={self.name} example authority ({role})")
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", key)
        _openssl("req", "-new", *configuration, "-key", key, *subject, "-out", request)
        signed_by = ("-cert", self.folder / f"{issuer}.pem") if issuer else ("-selfsign",)
        signing_key = ("-keyfile", self.folder / f"{issuer or role}.key")
        dates = ("-startdate", f"{valid[0]:%Y%m%d%H%M%SZ}", "-enddate", f"{valid[1]:%Y%m%d%H%M%SZ}")
        files = ("-in", request, "-out", self.folder / f"{role}.pem", "-notext", "-batch")
        _openssl("ca", *configuration, *signed_by, *signing_key, "-extensions", extensions, *dates, *files)


def _query(sha256: str) -> bytes:
    return _openssl("ts", "-query", "-digest", sha256, "-sha256", "-cert")


# ------------------------------------------------------------------------------------------------ how an authority answers

Answering = Callable[[LocalAuthority, BaseHTTPRequestHandler, bytes, threading.Event], None]


def _send(
    handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, kind: str = "application/timestamp-reply"
) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _digest_asked_for(query: bytes) -> str:
    return query.split(b"\x04\x20", 1)[1][:32].hex()  # OCTET STRING of 32 bytes: the imprint


def _answers(authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event) -> None:
    _send(handler, authority.answer(query))


def _refuses(authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event) -> None:
    _send(handler, authority.answer(query, accepting="sha512"))


def _hangs(authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event) -> None:
    over.wait()


def _drips(authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
    while not over.wait(0.05):
        handler.wfile.write(b"X-Patience: yes\r\n")


def _never_ends(
    authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event
) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/timestamp-reply")
    handler.end_headers()
    while not over.is_set():
        handler.wfile.write(bytes(65_536))


def _fails(authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event) -> None:
    _send(handler, b"out of order", status=500, kind="text/plain")


def _sends_a_page(
    authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event
) -> None:
    _send(handler, b"<html><body>Please log in.</body></html>", kind="text/html")


def _mislabels_a_page(
    authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event
) -> None:
    _send(handler, b"<html><body>Please log in.</body></html>")


def _cuts_off(authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event) -> None:
    _send(handler, authority.answer(query)[:-100])


def _hangs_up(authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event) -> None:
    handler.connection.close()


def _redirects(authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event) -> None:
    handler.send_response(302)
    handler.send_header("Location", "file:///etc/hostname")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


def _answers_an_earlier_request(
    authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event
) -> None:
    _send(handler, authority.answer(_query(_digest_asked_for(query))))


def _stamps_something_else(
    authority: LocalAuthority, handler: BaseHTTPRequestHandler, query: bytes, over: threading.Event
) -> None:
    asked_for = bytes.fromhex(_digest_asked_for(query))
    _send(handler, authority.answer(query.replace(asked_for, hashlib.sha256(asked_for).digest())))


FAULTS: dict[str, Answering] = {
    "refusal": _refuses,
    "hang": _hangs,
    "drip": _drips,
    "no end": _never_ends,
    "status 500": _fails,
    "page": _sends_a_page,
    "page labelled as a stamp": _mislabels_a_page,
    "cut off": _cuts_off,
    "hang up": _hangs_up,
    "redirect": _redirects,
    "wrong nonce": _answers_an_earlier_request,
    "wrong digest": _stamps_something_else,
}
"""What an authority may do instead of answering. Another authority's answer needs no fault: ask the wrong address."""
