"""Opening and closing a case, and remarks between."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from filiation.case.checks_folder import unnamed_objects
from filiation.case.folder import CaseFolder
from filiation.case.reading import read_case
from filiation.case.records import Authority, Closed, CounterTo, Entry, Header, Noted, Opened
from filiation.errors import FiliationError, UsageError
from filiation.proceedings.admission import refuse_secret
from filiation.proceedings.asking import unfinished_recordings
from filiation.proceedings.program import SOFTWARE
from filiation.proceedings.sitting import Acting, Sitting
from filiation.report.wording import hold_to_wording

LARGEST_NOTE = 20_000
"""Letters of a remark."""


def open_case(
    path: str | Path,
    acting: Acting,
    *,
    title: str,
    case: str,
    party: str = "claimant",
    authorities: Mapping[str, str] | None = None,
    certificates: Mapping[str, bytes] | None = None,
    counter_to: CounterTo | None = None,
) -> Sitting:
    """Make a case folder and sign its first entry; let it go with `let_go`, or go on with `sitting`.

    `case`: 32 hexadecimal digits drawn at random. `authorities`: name to URL of time-stamping authorities, `certificates`: name to
    their root certificates (PEM). Raises UsageError where the folder exists, or an authority has no certificate.
    """
    named = [_authority(name, url, certificates or {}) for name, url in (authorities or {}).items()]
    hold_to_wording({"title": title, "party": party})
    header = Header(case=case, title=title)
    opened = Opened(
        case=case,
        title=title,
        party=party,
        key=acting.signer.key,
        software=SOFTWARE,
        authorities=tuple(authority for authority, _ in named),
        counter_to=counter_to,
    )
    folder = CaseFolder.create(
        path,
        header,
        opened,
        actor=acting.actor,
        now=acting.clock(),
        objects=tuple(certificate for _, certificate in named),
    )
    held = Sitting(folder, acting)
    try:
        held.sign()
    except FiliationError:
        held.let_go()
        raise
    return held


def _authority(name: str, url: str, certificates: Mapping[str, bytes]) -> tuple[Authority, bytes]:
    if name not in certificates:
        raise UsageError(
            f"the authority {name} has no certificate, so that its stamps could not be checked",
            advice=f"give --authority-certificate {name}=FILE.pem with its root certificate",
        )
    certificate = certificates[name]
    check_certificate(certificate, f"the certificate of {name}")
    if not url.startswith(("https://", "http://")):
        raise UsageError(
            f"the authority {name} is asked over HTTP, and {url!r} is no such address",
            advice=f"give --authority {name}=https://...",
        )
    return Authority(name=name, url=url, certificate=hashlib.sha256(certificate).hexdigest()), certificate


def check_certificate(certificate: bytes, what: str) -> None:
    """Raise UsageError unless these bytes are certificates in PEM."""
    from cryptography import x509

    try:
        x509.load_pem_x509_certificates(certificate)
    except ValueError as error:
        raise UsageError(
            f"{what} is not a certificate in PEM", advice="give the root certificate that the authority publishes"
        ) from error


def note(sitting: Sitting, text: str, files: Sequence[Path] = ()) -> Entry:
    """A remark, with files that are kept as objects. Raises UsageError on an empty remark."""
    if not text.strip() or len(text) > LARGEST_NOTE:
        raise UsageError(f"a remark has 1 to {LARGEST_NOTE} letters", advice="say what is to be remembered")
    for file in files:
        refuse_secret(file)
    return sitting.append(
        Noted(text=text, objects=tuple(sitting.folder.objects.put_file(file, sitting.progress) for file in files))
    )


def close(sitting: Sitting, remark: str = "") -> Entry:
    """Close the case: nothing is written after it. What interrupted commands left is kept with a remark first."""
    _keep_recordings(sitting)
    _name_leftovers(sitting)
    entry = sitting.append(Closed(remark=remark))
    sitting.sign(closed=True)
    return entry


def _keep_recordings(sitting: Sitting) -> None:
    """Answers of an endpoint that was never asked to the end belong to what was seen."""
    left = unfinished_recordings(sitting)
    if left:
        note(sitting, "recordings of endpoints that were not asked to the end", left)
    for path in left:
        path.unlink()


def _name_leftovers(sitting: Sitting) -> None:
    """An interrupted command may have stored what it did not come to record; a closed case has nothing unnamed."""
    left = unnamed_objects(read_case(sitting.folder.path, sitting.progress))
    if left:
        sitting.append(Noted(text="stored by a command that was interrupted, and not used", objects=left))
