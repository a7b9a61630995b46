"""What the examiners of marks have in common: the one thing that an owner opened, whom a verifier trusts, and which answers are read.

One at a time, so that what was searched is counted: an owner with two lots, or two batches of canaries, has two looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from filiation.errors import FiliationError, MissingExtra
from filiation.evidence import Absent
from filiation.sources.marks import Marks
from filiation.sources.source import Source
from filiation.sources.transcripts import READ, plain_content
from filiation.strict_json import json_or_none

if TYPE_CHECKING:
    from filiation.lots import Lot

Settings = Mapping[str, bool | int | float | str]

TRUST_PARAMETERS: dict[str, bool | int | float | str] = {"keyid": "", "authorities": "", "chains": "", "commitments": 1}
"""What a verifier has from somewhere else than the owner: the fingerprint of the owner's key, SHA-256 fingerprints of root certificates of
time-stamping authorities and hashes of drand chains, both separated by commas; and how many commitments the owner has made, where that
is known to be more than the owner says."""

PURPOSES = {
    "order": "an order that could have been chosen afterwards shows nothing",
    "twins": "a choice between twins that could have been made afterwards shows nothing",
    "watermark": "a key that could have been chosen afterwards shows nothing",
}
"""Of each purpose of a lot, why nothing but a lot is taken."""


# ------------------------------------------------------------------------------------------------------- what was opened


def marks_of(source: Source, kind: str) -> Marks | Absent:
    """The one thing of this kind (a value of `sources.marks.KINDS`) that was opened; `Absent` where there is none, or more than one."""
    found = source.marks()
    if isinstance(found, Absent):
        return found
    suited = [marks for marks in found if marks.kind == kind]
    if not suited:
        return Absent(reason=f"no opened {kind} are among the marks")
    return suited[0] if len(suited) == 1 else _too_many(len(suited), kind)


def lot_among(source: Source, purpose: str, settings: Settings) -> Lot | Absent:
    """The one opened lot of this purpose, every check of it done under the trust in `settings` (TRUST_PARAMETERS).

    `Absent` where there is none, more than one, or where a check of the only ones there are does not hold: then nothing may be said.
    Raises UsageError where `settings` trust what is no fingerprint, MissingExtra without the libraries.
    """
    from filiation.lots import read_lot, trust_of

    found = source.marks()
    if isinstance(found, Absent):
        return found
    trust = trust_of(settings)
    opened, refused = [], []
    for marks in found:
        if marks.kind != "lot":
            continue
        try:
            opened.append(read_lot(marks.files, trust))
        except MissingExtra:
            raise
        except FiliationError as error:
            refused.append(error.message)
    suited = [lot for lot in opened if lot.purpose == purpose]
    if len(suited) == 1:
        return replace(suited[0], known=_known_of(suited[0].keyid, opened))
    if suited:
        return _too_many(len(suited), f"lots of the purpose {purpose!r}")
    if refused:
        return Absent(reason=f"an opened lot does not hold, and nothing may be said from it: {refused[0]}")
    return Absent(
        reason=f"no opened lot of the purpose {purpose!r} is among the marks, and {PURPOSES[purpose]}: "
        f"see 'filiation lot commit --purpose {purpose}'"
    )


def _known_of(keyid: str, opened: Sequence[Lot]) -> int:
    """How many lots of one owner there are by what was opened together."""
    from filiation.lots import to_be_paid_for

    return to_be_paid_for([lot for lot in opened if lot.keyid == keyid])


def commitments_of(lot: Lot, settings: Settings) -> int:
    """How many lots the owner has drawn: what the owner says in any that was opened, or what the verifier knows, whichever is more."""
    return max(lot.number, lot.known, int(settings.get("commitments", 1)))


def _too_many(number: int, what: str) -> Absent:
    return Absent(
        reason=f"{number} {what} are opened together: give one at a time, so that what was searched is counted"
    )


# ------------------------------------------------------------------------------------------------- what is said of a lot


def told_of(lot: Lot) -> dict[str, Any]:
    """What is recorded of an opened lot: who, when, which; no text of it."""
    return {
        "owner": lot.owner,
        "keyid": lot.keyid,
        "purpose": lot.purpose,
        "made": lot.made,
        "number": lot.number,
        "items": lot.items,
        "commitment_sha256": lot.commitment_sha256,
        "subject_sha256": lot.subject_sha256,
        "stamps": {name: time.isoformat() for name, time in sorted(lot.stamps.items())},
        "beacon": lot.beacon,
        "beacon_time": lot.beacon_time.isoformat(),
        "certificates": list(lot.certificates),
        "remarks": list(lot.remarks),
    }


def how_it_was_drawn(told: Mapping[str, Any], what: str) -> tuple[str, ...]:
    """From the record of a lot: what a figure rests on, with the certificates to be compared, and what rests on somebody's word."""
    stamps = ", ".join(f"{name} ({time})" for name, time in told["stamps"].items())
    return (
        f"{what} was drawn by lot number {told['number']} of {told['owner']} (commitment {told['commitment_sha256']}): from a secret "
        f"committed to before the stamps of {stamps}, and the beacon {told['beacon']}, public at {told['beacon_time']}.",
        f"Stamps and beacon rest on the certificates with the SHA-256 fingerprints {', '.join(told['certificates'])}.",
        *map(sentence, told["remarks"]),
    )


def sentence(text: str) -> str:
    """A remark as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


# --------------------------------------------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class Answers:
    """First answers to prompts whose text is known. `read`: everything that the suspect had before it when it answered.

    `further`: answers after the first to a prompt; `unknown`: answers to prompts whose text was not recorded. Neither is looked at.
    """

    read: tuple[tuple[str, ...], ...]
    texts: tuple[str, ...]
    further: int
    unknown: int


def answers_of(source: Source) -> Answers | Absent:
    """The recorded answers of a source, in the order of the prompts' digests; of two that are numbered alike the first by its text, and
    of two with one text the first by what it was an answer to: never by its place in a file."""
    transcript = source.transcript()
    if isinstance(transcript, Absent):
        return transcript
    read, texts, asked, further, unknown = [], [], set(), 0, 0
    columns = ("prompt_id", "sample", "text", "prompt", "parameters", "finish_reason")
    for identity, sample, text, prompt, parameters, finish in (
        transcript.frame.select(columns).sort(columns).iter_rows()
    ):
        if not text.strip() or finish == READ:
            continue
        if sample or identity in asked:
            further += 1
        elif not prompt:
            unknown += 1
        else:
            asked.add(identity)
            read.append(texts_read(prompt, parameters))
            texts.append(text)
    if not texts:
        return Absent(
            reason="no answers to prompts whose text is known were recorded: what stood in a prompt may carry the mark"
        )
    return Answers(tuple(read), tuple(texts), further, unknown)


def texts_read(prompt: str, parameters: str) -> tuple[str, ...]:
    """What stood in the parameters and the messages of a conversation, the last one last; the prompt alone where it is a plain text."""
    messages = json_or_none(prompt) if prompt.startswith("[") else None
    said = (
        [plain_content(message.get("content")) for message in messages]
        if isinstance(messages, list) and all(isinstance(message, dict) for message in messages)
        else [prompt]
    )
    return tuple(text for text in (*texts_told(parameters), *said) if text)


@lru_cache(maxsize=64)
def texts_told(parameters: str) -> tuple[str, ...]:
    """Every text among an answer's parameters, at any depth: a system prompt has several names ('system_message', 'instructions')."""
    left, found = [json_or_none(parameters)], []
    while left:
        value = left.pop()
        if isinstance(value, dict | list):
            left.extend(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, str) and value.strip():
            found.append(value)
    return tuple(sorted(found))
