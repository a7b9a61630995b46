"""The case as a report needs it, and the reports themselves: written, bound by the ledger, made again to the same bytes."""

from __future__ import annotations

import importlib.util
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from filiation.case import amendments, comparison
from filiation.case.folder import REPORTS
from filiation.case.reading import CaseRead, ReadCheckpoint, moment, read_case
from filiation.case.records import (
    Admitted,
    Asked,
    Declarations,
    Drawn,
    Entry,
    Examined,
    Manifest,
    Plan,
    Reported,
    Revealed,
    Sealed,
    Verification,
)
from filiation.case.view import AnswersSideBySide, CaseView, CheckpointSummary, ExaminedModel, Stamp
from filiation.errors import MissingExtra, RecordError, SourceNotFound, UsageError
from filiation.evidence import Examination, digest
from filiation.proceedings.appendix import side_by_side, transcript_in
from filiation.proceedings.plan_file import unknown
from filiation.proceedings.program import made_with
from filiation.proceedings.sitting import Sitting
from filiation.report.case_contents import blanks


def case_view(
    path: str | Path | CaseRead,
    *,
    declarations: Declarations | None = None,
    up_to: int | None = None,
    verification: Verification | None = None,
) -> CaseView:
    """Everything a report tells of the case at `path`, as it stood after entry `up_to` (default: as it stands).

    Raises RecordError where something of it cannot be read.
    """
    case = path if isinstance(path, CaseRead) else read_case(Path(path))
    if case.header is None or not case.entries:
        raise RecordError(case.header_fault or "the ledger has no entries", exhibit=str(case.folder.path))
    entries = case.entries[:up_to]
    answers_another = case.opening is not None and case.opening.counter_to is not None
    compared = comparison.noted_in(entries) if answers_another else ""
    sealed = dict.fromkeys(entry.body.plan for entry in entries if isinstance(entry.body, Sealed))
    # A plan that cannot be read would turn the suspect into a foil: reading it again says why it cannot.
    plans = {name: case.plans.get(name) or case.record(name, Plan) for name in sealed}
    manifests = {e.body.exhibit: _manifest(case, e.body) for e in entries if isinstance(e.body, Admitted)}
    revealed = {c: x for e in entries if isinstance(e.body, Revealed) for c, x in e.body.exhibits.items()}
    return CaseView(
        header=case.header,
        entries=entries,
        head=digest(entries[-1]),
        plans=plans,
        manifests=manifests,
        drawn=amendments.draw_in_force(entries, plans),
        examined=_examined(case, entries, plans, revealed),
        declarations=declarations or Declarations(),
        checkpoints=tuple(_summary(each) for each in case.signed if each.number <= len(entries)),
        answers=_answers(case, entries, plans, manifests, revealed),
        verification=verification,
        comparison=case.record(compared, comparison.Comparison) if compared else None,
    )


def _manifest(case: CaseRead, body: Admitted) -> Manifest:
    """The manifest of an exhibit. Raises RecordError where it cannot be read, with the reason."""
    return case.manifests[body.manifest] if body.manifest in case.manifests else case.record(body.manifest, Manifest)


def _examined(
    case: CaseRead, entries: Sequence[Entry], plans: Mapping[str, Plan], revealed: Mapping[str, str]
) -> tuple[ExaminedModel, ...]:
    return tuple(
        ExaminedModel(
            subject=entry.body.subject,
            exhibit=revealed.get(
                entry.body.subject, "" if _is_code(entries, entry.body.subject) else entry.body.subject
            ),
            role=_role(entries, plans, revealed, entry.body),
            examination=case.record(entry.body.record, Examination),
            plan=entry.body.plan,
            entry=entry.sequence,
            exploratory=entry.body.exploratory,
            purpose=entry.body.purpose,
        )
        for entry in entries
        if isinstance(entry.body, Examined)
    )


def _is_code(entries: Sequence[Entry], name: str) -> bool:
    return any(name in entry.body.code_names for entry in entries if isinstance(entry.body, Drawn))


def _role(
    entries: Sequence[Entry], plans: Mapping[str, Plan], revealed: Mapping[str, str], body: Examined
) -> Literal["suspect", "foil", "unrevealed"]:
    """Whoever is not the suspect of a plan is a foil, as far as names are known."""
    if _is_code(entries, body.subject) and body.subject not in revealed:
        return "unrevealed"
    name = revealed.get(body.subject, body.subject)
    return "suspect" if name in {plan.suspect for plan in plans.values()} else "foil"


def _summary(checkpoint: ReadCheckpoint) -> CheckpointSummary:
    predicate = checkpoint.predicate
    assert predicate is not None  # a signed checkpoint has one
    times = [(stamp.authority, stamp.time) for stamp in checkpoint.stamps if stamp.time]
    return CheckpointSummary(
        sequence=checkpoint.number,
        head=checkpoint.head,
        time=predicate.time,
        stamps=tuple(Stamp(authority=authority, time=f"{time:%Y-%m-%dT%H:%M:%SZ}") for authority, time in times),
        unstamped=predicate.unstamped,
        closed=predicate.closed,
    )


def _answers(
    case: CaseRead,
    entries: Sequence[Entry],
    plans: Mapping[str, Plan],
    manifests: Mapping[str, Manifest],
    revealed: Mapping[str, str],
) -> tuple[AnswersSideBySide, ...]:
    """Side by side once it is revealed who is who, from answers that lie in the case."""
    plan = plans.get(amendments.plan_in_force(entries))
    if plan is None or plan.suspect not in revealed.values():
        return ()
    asked = {entry.body.exhibit: entry.body.transcript for entry in entries if isinstance(entry.body, Asked)}
    found = []
    for exhibit in (plan.reference, plan.suspect):
        parts = [each for name, each in manifests.items() if name == exhibit or name.startswith(f"{exhibit}/")]
        wanted = [asked.get(part.exhibit, "") for part in parts]
        wanted += [
            file.sha256 or "" for part in parts if part.kind == "transcript" and part.inside for file in part.files
        ]
        found.append(transcript_in(parts, asked, {sha256: case.data(sha256) for sha256 in wanted if sha256}))
    reference, suspect = found
    return side_by_side(reference, suspect) if reference and suspect else ()


# ------------------------------------------------------------------------------------------------------------ reports


@dataclass(frozen=True)
class WrittenReport:
    """The files of a report by name, with their digests; `missing` says why there is no PDF."""

    files: dict[str, str]
    draft: bool
    missing: str = ""


TO_FILL_IN = "'filiation case report CASE --example' prints the declarations to fill in"


def read_declarations(path: Path) -> Declarations:
    """The declarations in a TOML file. Raises SourceNotFound or UsageError, naming the fields there are."""
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "they are not UTF-8"
        raise SourceNotFound(f"the declarations cannot be read: {why}", exhibit=str(path), advice=TO_FILL_IN) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"this is not TOML: {error}",
            exhibit=str(path),
            advice='write name = "text", and long texts between """ and """',
        ) from error
    strange = set(tables) - set(Declarations.__struct_fields__)
    if strange:
        raise unknown("there is no declaration", strange, Declarations.__struct_fields__, exhibit=str(path))
    try:
        return msgspec.convert(tables, Declarations)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"every declaration is a text: {error}", exhibit=str(path), advice='put it in quotes: name = "text"'
        ) from error


def make_report(
    sitting: Sitting, declarations: Declarations, *, draft: bool = False, pdf: bool = True
) -> WrittenReport:
    """Render the case as it stands and bind the files by an entry. Raises UsageError where a required declaration is blank."""
    if not draft:
        _refuse_blanks(declarations)
    case = read_case(sitting.folder.path, sitting.progress)
    sitting.progress("laying out the report", 0.5)
    files, missing = _rendered(case_view(case, declarations=declarations), draft, pdf)
    name = f"report-{len(case.entries):06}"
    entry = Reported(
        files={f"{name}{end}": sitting.folder.write_report(f"{name}{end}", data) for end, data in files.items()},
        head=sitting.folder.head,
        made_with=made_with(),
        declarations=sitting.folder.put_record(declarations),
        draft=draft,
    )
    sitting.append(entry)
    return WrittenReport(files=entry.files, draft=draft, missing=missing)


def _refuse_blanks(declarations: Declarations) -> None:
    """Raise UsageError with what a person has to do, before anything is laid out."""
    missing = blanks(declarations)
    if missing:
        raise UsageError(
            f"a report is not built while required declarations are blank: {', '.join(missing)}",
            advice=f"{TO_FILL_IN}; give them with --declarations FILE.toml. --draft builds a report that is marked as a draft",
        )


def _rendered(view: CaseView, draft: bool, pdf: bool) -> tuple[dict[str, bytes], str]:
    """The report in each form that can be made here, by the end of its name."""
    from filiation.report import case_html, case_pdf

    files = {".html": case_html.render(view, draft=draft).encode()}
    if not pdf:
        return files, "not asked for"
    if importlib.util.find_spec("typst") is None:
        return files, 'a PDF needs typst: pip install "filiation[pdf]"'
    made = moment(view.entries[-1].time)
    assert made is not None  # the ledger holds whole seconds of UTC
    return {**files, ".pdf": case_pdf.render(view, draft=draft, made=made)}, ""


def report_again(path: Path) -> Callable[[Entry], dict[str, bytes]]:
    """For verification: a function that makes the files of a `report` entry again from the case at `path`.

    It leaves out what this program would lay out otherwise for no fault of the case: reports made with another source of it, and
    PDFs of another version of typst.
    """
    case = read_case(path)

    def again(entry: Entry) -> dict[str, bytes]:
        body = entry.body
        assert isinstance(body, Reported)
        if body.made_with != made_with():
            return {}
        stem = f"report-{entry.sequence - 1:06}"
        told = case.record(body.declarations, Declarations) if body.declarations else Declarations()
        view = case_view(case, declarations=told, up_to=entry.sequence - 1)
        files, _ = _rendered(view, body.draft, pdf=_laid_out_alike(path / REPORTS / f"{stem}.pdf"))
        return {f"{stem}{end}": data for end, data in files.items() if f"{stem}{end}" in body.files}

    return again


def _laid_out_alike(file: Path) -> bool:
    """Whether the typst installed here is the one that laid out a PDF."""
    from filiation.report import case_pdf

    try:
        return case_pdf.laid_out_by(file.read_bytes()) == case_pdf.layouter()
    except (OSError, MissingExtra):
        return False
