"""What the files of an export are, and who did what and when: RO-Crate 1.2 (https://w3id.org/ro/crate/1.2).

Every file with its size and SHA-256, every exhibit with the digests of its files wherever they lie, and every entry of the
ledger as an action with its agent and its time. All of it is read off the case; what the case does not say, licence
included, is said to be unstated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import quote

import msgspec

from filiation.case.records import (
    Admitted,
    Asked,
    Body,
    Closed,
    Drawn,
    Entry,
    Examined,
    Manifest,
    Noted,
    Observed,
    Opened,
    Recovered,
    Reported,
    Revealed,
    Sealed,
)
from filiation.case.view import CaseView, CheckpointSummary

SPECIFICATION = "https://w3id.org/ro/crate/1.2"
LEDGER = "case/ledger.jsonl"

ENCODINGS = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".html": "text/html",
    ".pdf": "application/pdf",
    ".tsr": "application/timestamp-reply",
}

NAMES: dict[type, str] = {
    Opened: "the case was opened",
    Admitted: "an exhibit was admitted",
    Sealed: "a plan was sealed",
    Drawn: "seed, foils and code names were drawn",
    Observed: "an exhibit was observed",
    Asked: "an endpoint was asked",
    Examined: "a model of the line-up was examined",
    Revealed: "code names were revealed",
    Reported: "a report was made",
    Noted: "a remark was noted",
    Recovered: "an interrupted write was taken away",
    Closed: "the case was closed",
}

CREATE: tuple[type, ...] = (Opened, Admitted, Sealed, Drawn, Observed, Asked, Examined, Reported)
"""Entries that leave something new; the others change what is known of it."""

Entity = dict[str, Any]


class Payload(Protocol):
    """A file of the payload: its path relative to the root of the crate, its size in bytes, its SHA-256."""

    @property
    def path(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def sha256(self) -> str: ...


def metadata(view: CaseView, files: Sequence[Payload]) -> bytes:
    """`ro-crate-metadata.json` of a case whose files are `files`."""
    graph = [
        _descriptor(),
        _root(view),
        _case_folder(view, files),
        _pedigree(),
        _unstated_terms(),
        *_answered(view),
        *_files(view, files),
        *(_exhibit(manifest, {file.path for file in files}) for manifest in view.manifests.values()),
        *_agents(view.entries),
        *_software(view),
        *_actions(view, {file.path for file in files}),
    ]
    document = {"@context": f"{SPECIFICATION}/context", "@graph": graph}
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


# ------------------------------------------------------------------------------------------------------ the crate itself


def _to(identifier: str) -> Entity:
    return {"@id": identifier}


def _identifier(kind: str, name: str) -> str:
    return f"#{kind}-{quote(name, safe='')}"


def _descriptor() -> Entity:
    return {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "about": _to("./"),
        "conformsTo": _to(SPECIFICATION),
    }


def _root(view: CaseView) -> Entity:
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": view.header.title,
        "description": (
            "The case file of an examination of language models for shared origin: plan, exhibits by digest, ledger, "
            "records, reports. It can be checked offline with 'filiation case verify case'."
        ),
        "identifier": f"urn:filiation:case:{view.header.case}",
        "datePublished": view.entries[-1].time,
        "license": _to("#terms"),
        "hasPart": [_to("case/"), _to("pedigree.cdx.json")],
        "mentions": [_to(_action_identifier(entry)) for entry in view.entries],
        "about": [_to(_identifier("exhibit", name)) for name in view.manifests],
        "isBasedOn": [_to(other["@id"]) for other in _answered(view)],
    }
    return {key: value for key, value in root.items() if value}


def _answered(view: CaseView) -> list[Entity]:
    """The case that a counter-case answers."""
    opened = view.entries[0].body
    if not (isinstance(opened, Opened) and opened.counter_to):
        return []
    other = opened.counter_to
    return [
        {
            "@id": f"urn:filiation:case:{other.case}",
            "@type": "CreativeWork",
            "name": f"Case {other.case}, as it stood at entry {other.sequence}",
            "identifier": other.head,
        }
    ]


def _unstated_terms() -> Entity:
    return {
        "@id": "#terms",
        "@type": "CreativeWork",
        "name": "Terms of use not stated",
        "description": (
            "The case does not say under which terms its exhibits may be used. Whoever received it is bound by what they "
            "received it under."
        ),
    }


def _case_folder(view: CaseView, files: Sequence[Payload]) -> Entity:
    return {
        "@id": "case/",
        "@type": "Dataset",
        "name": f"Case {view.header.case}",
        "hasPart": [_to(quote(file.path)) for file in files],
    }


def _pedigree() -> Entity:
    return {
        "@id": "pedigree.cdx.json",
        "@type": "File",
        "name": "The models, with claimed and found lineage apart",
        "encodingFormat": "application/vnd.cyclonedx+json",
        "conformsTo": _to("https://cyclonedx.org/docs/1.6/json/"),
    }


# ---------------------------------------------------------------------------------------------------------------- files


def _files(view: CaseView, files: Sequence[Payload]) -> Iterator[Entity]:
    known = {**_object_names(view), **_checkpoint_names(view.checkpoints), **FIXED_NAMES}
    for file in files:
        last = file.path.rpartition("/")[2]
        yield {
            "@id": quote(file.path),
            "@type": "File",
            "name": known.get(file.path, known.get(last, last)),
            "contentSize": str(file.size),
            "sha256": file.sha256,
            "encodingFormat": _encoding(last),
        }


FIXED_NAMES = {"case/case.json": "Header of the case", LEDGER: "Ledger: every step, each entry hashing the one before"}


def _encoding(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return ENCODINGS.get(f"{dot}{ending}" if stem else "", "application/octet-stream")


def _checkpoint_names(checkpoints: Iterable[CheckpointSummary]) -> dict[str, str]:
    return {f"case/checkpoints/{point.sequence:06}.json": _checkpoint_name(point) for point in checkpoints}


def _checkpoint_name(point: CheckpointSummary) -> str:
    stamps = ", ".join(f"time-stamped by {stamp.authority} at {stamp.time}" for stamp in point.stamps)
    unstamped = f"not time-stamped{': ' + point.unstamped if point.unstamped else ''}"
    return f"Signed checkpoint of the ledger up to entry {point.sequence}, {stamps or unstamped}"


def _object_names(view: CaseView) -> dict[str, str]:
    """What objects are, by digest, as the ledger tells it."""
    names = dict.fromkeys(view.plans, "Plan")
    for manifest in view.manifests.values():
        names |= {file.sha256: f"{file.name}, of exhibit {manifest.exhibit}" for file in manifest.files if file.sha256}
    for entry in view.entries:
        names |= {digest: f"{what} (entry {entry.sequence})" for digest, what in _objects_of(entry.body)}
    return names


def _objects_of(body: Body) -> list[tuple[str, str]]:
    """The objects that an entry put into the case, each with what it is."""
    match body:
        case Opened():
            named = [(authority.certificate, f"Certificate of {authority.name}") for authority in body.authorities]
        case Admitted():
            named = [(body.manifest, f"Manifest of exhibit {body.exhibit}")]
        case Sealed():
            named = [(body.plan, "Plan")]
        case Drawn():
            named = [(body.beacon, "Beacon")]
        case Observed():
            named = [(body.observation, f"Observation of {body.exhibit} by {body.examiner}")]
        case Asked():
            named = [
                (body.recording, f"Recording of {body.exhibit}"),
                (body.transcript, f"Transcript of {body.exhibit}"),
            ]
        case Examined():
            named = [(body.record, f"Record of the examination of {body.subject}")]
        case Reported():
            named = [(body.declarations, "Declarations of a report")]
        case Noted():
            named = [(digest, "Object of a remark") for digest in body.objects]
        case _:
            named = []
    return [(digest, what) for digest, what in named if digest]


def _object_path(digest: str) -> str:
    return f"case/objects/{digest[:2]}/{digest}"


# ------------------------------------------------------------------------------------- exhibits, agents, software, steps


def _exhibit(manifest: Manifest, paths: set[str]) -> Entity:
    """An exhibit with its files: those inside by reference, those outside by digest."""
    inside = [_object_path(file.sha256) for file in manifest.files if file.sha256]
    return {
        "@id": _identifier("exhibit", manifest.exhibit),
        "@type": "CreativeWork",
        "name": manifest.exhibit,
        "additionalType": manifest.kind,
        "description": (
            f"{manifest.role}, {manifest.kind}, obtained by {manifest.obtained_by} at {manifest.obtained_at} "
            f"from {manifest.origin}. " + ("Its bytes lie in the case." if manifest.inside else OUTSIDE)
        ),
        "contentSize": str(sum(file.size for file in manifest.files)),
        "identifier": [f"sha256:{file.sha256} {file.name}" for file in manifest.files if file.sha256],
        "hasPart": [_to(quote(path)) for path in inside if path in paths],
    }


OUTSIDE = "Its bytes do not lie in the case: there are only its digests."


def _agents(entries: Sequence[Entry]) -> Iterator[Entity]:
    for name in dict.fromkeys(entry.actor for entry in entries):
        yield {
            "@id": _identifier("actor", name),
            "@type": "Person",
            "name": name,
            "description": "Named so in the ledger; nothing here says who that is.",
        }


def _software(view: CaseView) -> Iterator[Entity]:
    """What opened the case and what made its records, with the versions that can move a figure."""
    opened = view.entries[0].body
    if isinstance(opened, Opened):
        yield {"@id": "#software", "@type": "SoftwareApplication", "name": opened.software}
    made = {model.entry: model.examination.software for model in view.examined}
    for entry, software in made.items():
        libraries = ", ".join(f"{name} {version}" for name, version in sorted(software.libraries.items()))
        yield {
            "@id": f"#software-of-entry-{entry}",
            "@type": "SoftwareApplication",
            "name": software.name,
            "softwareVersion": software.version,
            "softwareRequirements": f"Python {software.python}, {libraries}",
        }


def _action_identifier(entry: Entry) -> str:
    return f"#entry-{entry.sequence}"


def _actions(view: CaseView, paths: set[str]) -> Iterator[Entity]:
    recorded = {model.entry for model in view.examined}
    known = set(view.manifests)
    for entry in view.entries:
        body = entry.body
        failed = isinstance(body, Observed) and bool(body.absent)
        instrument = f"#software-of-entry-{entry.sequence}" if entry.sequence in recorded else "#software"
        action = {
            "@id": _action_identifier(entry),
            "@type": "CreateAction" if isinstance(body, CREATE) else "UpdateAction",
            "name": f"Entry {entry.sequence}: {NAMES[type(body)]}",
            "description": _told(body),
            "agent": _to(_identifier("actor", entry.actor)),
            "endTime": entry.time,
            "instrument": _to(instrument),
            "object": _acted_upon(body, known),
            "result": _results(body, paths),
            "actionStatus": _to(f"http://schema.org/{'Failed' if failed else 'Completed'}ActionStatus"),
            "error": body.absent if isinstance(body, Observed) else "",
        }
        yield {key: value for key, value in action.items() if value}


def _acted_upon(body: Body, exhibits: set[str]) -> list[Entity]:
    """The exhibit that an entry names; a code name is none. Otherwise the ledger."""
    named = getattr(body, "exhibit", "")
    return [_to(_identifier("exhibit", named)) if named in exhibits else _to(LEDGER)]


def _results(body: Body, paths: set[str]) -> list[Entity]:
    results = [_object_path(digest) for digest, _ in _objects_of(body)]
    results += [f"case/reports/{name}" for name in (body.files if isinstance(body, Reported) else {})]
    return [_to(quote(path)) for path in results if path in paths]


def _told(body: Body) -> str:
    """What an entry says for itself in words, and what must not be overlooked in it."""
    match body:
        case Admitted():
            return f"{body.exhibit}, as {body.role}"
        case Sealed():
            return body.reason
        case Observed() | Examined():
            subject = body.exhibit if isinstance(body, Observed) else body.subject
            return f"{subject}, outside the plan (exploratory)" if body.exploratory else subject
        case Revealed():
            return "; ".join(f"{code} is {exhibit}" for code, exhibit in sorted(body.exhibits.items()))
        case Reported():
            return "draft" if body.draft else ""
        case Noted():
            return body.text
        case Recovered():
            return body.reason
        case Closed():
            return body.remark
        case _:
            return ""
