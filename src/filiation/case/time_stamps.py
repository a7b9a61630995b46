"""Time-stamps of authorities (RFC 3161): asked for over HTTP, and checked without any network.

A time-stamp is an authority's signed statement that it saw a SHA-256 digest at a time. What `check_stamp` holds a response against:

1. It is one DER value, with no byte after it, and its status is 'granted'.
2. It is about the SHA-256 of the data.
3. The authority's CMS signature holds over the digest, the time and the serial number.
4. One certificate in it belongs to that signature, its critical extended key usage is time-stamping, and it chains to the given
   root certificate. Certificates have to be valid at the time of the stamp, not today.

Not checked: whether a certificate was revoked (that needs the network, and the authority's own lists), and the authority's policy.

Bytes that no signature covers. Of the 255,000 single-byte changes of a response of 1,000 bytes (docs/decisions/0011) 2,164 are still
accepted. They lie in the version numbers of `SignedData` and `SignerInfo`, in the name of the signature algorithm (OpenSSL goes by the
digest and the key), and in the kind of text in which the issuer's name is written; besides, certificates may stand in any order, and
those that are sent along without being needed, such as the root, may say anything. None of it changes what was stamped, when, or by whom;
and the receipt of a checkpoint binds the files of its time-stamps byte for byte, so that in a case such a change is seen too.
"""

from __future__ import annotations

import hashlib
import queue
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.client import HTTPException
from typing import Any, Protocol

from filiation.case.records import Authority
from filiation.errors import MissingExtra, RecordError, SourceNotFound, UsageError

_LARGEST_RESPONSE = 1_000_000
_PIECE = 65_536
_SHA256 = "2.16.840.1.101.3.4.2.1"
_GRANTED = 0
_STATUS = ("granted", "granted with changes", "rejection", "waiting", "revocation warning", "revocation notification")
_OPENSSL_REASON = re.compile(r'data: "([^"]+)"')
_SEQUENCE, _CONTEXT_0 = 0x30, 0xA0


class Stamper(Protocol):
    """Somebody who stamps. `stamp` returns a response (DER) that was checked, or raises SourceNotFound with advice."""

    @property
    def authority(self) -> Authority: ...

    def stamp(self, data: bytes) -> bytes: ...


# ------------------------------------------------------------------------------------------------------------- checking


def check_stamp(response: bytes, data: bytes, certificate: bytes) -> datetime:
    """The time (UTC) at which the authority with this root certificate (PEM) saw `data`; RecordError saying what is wrong.

    `certificate` may hold certificates that lie between as well, for authorities that do not send them along.
    """
    decoded = _decoded(response)
    _check_status(decoded)
    _check_imprint(decoded, data)
    _check_one_signer(decoded)
    _check_signature(decoded, data, _certificates(certificate))
    return _time_of(decoded)


def _decoded(response: bytes) -> Any:
    library = _rfc3161_client()
    if len(response) > _LARGEST_RESPONSE:
        raise _refused(f"the time-stamp has {len(response)} bytes, more than any authority sends")
    ordered = _with_certificates_in_order(response)
    decoded = _guarded(lambda: library.decode_timestamp_response(ordered), "the file is no RFC 3161 response")
    if _guarded(decoded.as_bytes, "the file is no RFC 3161 response") != ordered:
        raise _refused("the time-stamp is not in the one form of DER")
    return decoded


def _check_status(decoded: Any) -> None:
    status = decoded.status
    if status != _GRANTED:
        name = _STATUS[status] if 0 <= status < len(_STATUS) else str(status)
        said = "; ".join(_guarded(lambda: decoded.status_string, "the status cannot be read"))
        raise _refused(f"the authority did not grant a stamp: {name}{', ' + said if said else ''}")


def _check_imprint(decoded: Any, data: bytes) -> None:
    imprint = _guarded(lambda: decoded.tst_info.message_imprint, "the response holds no time-stamp")
    if imprint.hash_algorithm.dotted_string != _SHA256:
        raise _refused("the time-stamp is not over a SHA-256 digest")
    if imprint.message != hashlib.sha256(data).digest():
        raise _refused("the time-stamp is for other data")


def _check_one_signer(decoded: Any) -> None:
    """Two certificates under one name and number would let the signature be checked with one, its purpose with the other."""
    from cryptography import x509

    def signers() -> list[Any]:
        (info,) = decoded.signed_data.signer_infos
        certificates = map(x509.load_der_x509_certificate, decoded.signed_data.certificates)
        return [one for one in certificates if (one.issuer, one.serial_number) == (info.issuer, info.serial_number)]

    if len(_guarded(signers, "the time-stamp's certificates cannot be read")) != 1:
        raise _refused("the time-stamp does not carry one certificate of whoever signed it")


def _check_signature(decoded: Any, data: bytes, certificates: list[Any]) -> None:
    library = _rfc3161_client()
    verifier = library.VerifierBuilder(roots=certificates).build()
    try:
        _guarded(lambda: verifier.verify(decoded, hashlib.sha256(data).digest()), "the time-stamp cannot be checked")
    except library.VerificationError as error:
        reason = _OPENSSL_REASON.search(str(error))
        raise _refused(
            f"the signature does not lead to the authority's root certificate: {reason[1] if reason else error}"
        ) from error


def _time_of(decoded: Any) -> datetime:
    time_of_stamp: datetime = _guarded(lambda: decoded.tst_info.gen_time, "the time cannot be read")
    return time_of_stamp.replace(tzinfo=UTC) if time_of_stamp.tzinfo is None else time_of_stamp.astimezone(UTC)


def _certificates(certificate: bytes) -> list[Any]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(certificate)
    except ValueError as error:
        raise RecordError(
            "the authority's certificate is not a certificate in PEM",
            advice="give the root certificate that the authority publishes",
        ) from error


def _guarded(read: Callable[[], Any], what: str) -> Any:
    """Whatever `rfc3161_client` stumbles over in foreign bytes is a RecordError; its own verdicts pass."""
    library = _rfc3161_client()
    try:
        return read()
    except library.VerificationError:
        raise
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # its Rust part panics with a class that is no Exception
        raise _refused(f"{what}: {error}") from error


def _refused(what: str) -> RecordError:
    return RecordError(what, advice="the file was altered or belongs elsewhere; ask for the one handed over before")


def _rfc3161_client() -> Any:
    try:
        import rfc3161_client
    except ImportError as error:
        raise MissingExtra(
            "time-stamps need the package rfc3161-client", advice='pip install "filiation[case]"'
        ) from error
    return rfc3161_client


# ------------------------------------------------------------------------------------------------ the order of certificates


def _with_certificates_in_order(response: bytes) -> bytes:
    """The response with its certificates in the order of DER, by their bytes.

    Authorities send them in the order of the chain (DigiCert does), which RFC 5652 allows (section 5.1: BER) and `rfc3161_client` 1.0.9
    refuses. No signature covers the order.
    """
    span = _span_of_certificates(response)
    if span is None:
        return response
    ordered = b"".join(sorted(response[start:end] for _, start, _, end in _values(response, *span)))
    return response[: span[0]] + ordered + response[span[1] :]


def _span_of_certificates(response: bytes) -> tuple[int, int] | None:
    """Where they lie: TimeStampResp > timeStampToken > content [0] > SignedData > certificates [0] (RFC 3161, RFC 5652)."""
    span = (0, len(response))
    for place, tag in ((0, _SEQUENCE), (1, _SEQUENCE), (1, _CONTEXT_0), (0, _SEQUENCE), (3, _CONTEXT_0)):
        values = tuple(_values(response, *span))
        if len(values) <= place or values[place][0] != tag:
            return None
        span = values[place][2:]
    return span


def _values(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The DER values between two places: tag, where it begins, where its content begins, and where it ends."""
    while start < end:
        content, length = start + 2, data[start + 1] if start + 1 < end else 0
        if length >= 0x80:
            content += length & 0x7F
            length = int.from_bytes(data[start + 2 : content])
        if content + length > end:
            raise _refused("the time-stamp is cut off, or its lengths do not add up")
        yield data[start], start, content, content + length
        start = content + length


# --------------------------------------------------------------------------------------------------------------- asking


class HttpStamper:
    """Asks an authority over HTTP (RFC 3161, section 3.4) and checks its answer before anybody uses it.

    `certificate`: the authority's root certificate (PEM). `timeout`: seconds, for the whole exchange. Redirects are not followed:
    the address that is recorded is the address that answered.
    """

    def __init__(self, authority: Authority, certificate: bytes, timeout: float = 20.0) -> None:
        if not authority.url.lower().startswith(("http://", "https://")):
            raise UsageError(
                f"{authority.url!r} is no address of a time-stamping authority",
                advice="give an address that begins with https:// or http://",
            )
        _certificates(certificate)
        self.authority = authority
        self._certificate = certificate
        self._timeout = timeout

    def stamp(self, data: bytes) -> bytes:
        """The response (DER). Raises SourceNotFound where none is had in time, or none that holds."""
        library = _rfc3161_client()
        request = library.TimestampRequestBuilder(data, library.HashAlgorithm.SHA256).build()
        response = self._in_time(request.as_bytes())
        try:
            check_stamp(response, data, self._certificate)
        except RecordError as error:
            raise self._failure(f"answered with a time-stamp that does not hold: {error.message}") from error
        if library.decode_timestamp_response(_with_certificates_in_order(response)).tst_info.nonce != request.nonce:
            raise self._failure("answered another request than this one: the nonce is not ours")
        return response

    def _in_time(self, request: bytes) -> bytes:
        """`_exchange`, given up after the timeout whatever it hangs on: timeouts of sockets start anew with every byte."""
        answers: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

        def exchange() -> None:
            try:
                answers.put(self._exchange(request, time.monotonic() + self._timeout))
            except Exception as error:
                answers.put(error)

        threading.Thread(target=exchange, name="time-stamp", daemon=True).start()
        try:
            answer = answers.get(timeout=self._timeout)
        except queue.Empty as error:
            raise self._failure(f"did not answer within {self._timeout:g} s") from error
        if isinstance(answer, Exception):
            raise self._translated(answer)
        return answer

    def _exchange(self, request: bytes, deadline: float) -> bytes:
        asked = urllib.request.Request(
            self.authority.url,
            request,
            {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"},
        )
        with _OPENER.open(asked, timeout=self._timeout) as reply:
            if reply.headers.get_content_type() != "application/timestamp-reply":
                raise self._failure(f"answered with {reply.headers.get_content_type()}, not with a time-stamp")
            body = bytearray()
            while piece := reply.read1(_PIECE):
                body += piece
                if len(body) > _LARGEST_RESPONSE:
                    raise self._failure(f"answered with more than {_LARGEST_RESPONSE} bytes")
                if time.monotonic() > deadline:
                    raise TimeoutError
            return bytes(body)

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, urllib.error.HTTPError):
            where = error.headers.get("Location", "") if 300 <= error.code < 400 else ""
            return self._failure(f"answered with status {error.code}{f', pointing to {where[:200]}' if where else ''}")
        if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
            return self._failure(f"did not answer within {self._timeout:g} s")
        if isinstance(error, OSError | HTTPException | ValueError):
            return self._failure(f"could not be asked: {getattr(error, 'reason', None) or error!r}")
        return error

    def _failure(self, what: str) -> SourceNotFound:
        return SourceNotFound(
            f"the time-stamping authority {self.authority.name} ({self.authority.url}) {what}",
            advice="the case goes on without its stamp and says so; ask again at the next checkpoint",
        )


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirects)
