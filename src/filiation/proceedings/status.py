"""Where a case stands and which step is due, read without changing anything."""

from __future__ import annotations

import shlex
from pathlib import Path

import msgspec

from filiation.case import amendments
from filiation.case.folder import CaseFolder
from filiation.case.records import Admitted, Drawn, Examined, Observed, Plan, Reported, Revealed, Sealed
from filiation.evidence import Record


class Status(Record, frozen=True, kw_only=True):
    """What has been done, in counts, and the command that is due next."""

    case: str
    title: str
    party: str
    keyid: str
    state: str  # 'open', 'closed' or 'interrupted'
    entries: int
    head: str
    exhibits: dict[str, str]  # name to role
    plan: str
    amendments: int
    code_names: tuple[str, ...]
    observed: int
    to_observe: int
    examined: tuple[str, ...]
    exploratory: int
    revealed: dict[str, str]
    reports: tuple[str, ...]
    drafts: tuple[str, ...]  # those of the reports that are drafts
    last_checkpoint: int
    stamps: tuple[str, ...]
    unstamped: str
    unsigned: int
    due: str  # the verb
    due_command: str  # the whole command, with words in capitals to be filled in


def status(path: str | Path) -> Status:
    """The status of the case at `path`. Raises UsageError where there is none, RecordError where it cannot be read."""
    folder = CaseFolder.open(Path(path))
    entries = folder.entries
    bodies = [entry.body for entry in entries]
    plans = {body.plan: folder.get_record(body.plan, Plan) for body in bodies if isinstance(body, Sealed)}
    digest = amendments.plan_in_force(entries)
    plan = plans.get(digest)
    drawn = amendments.draw_in_force(entries, plans)
    seen = {(body.exhibit, body.examiner, body.examiner_version) for body in bodies if isinstance(body, Observed)}
    wanted = _wanted(plan, drawn)
    examined = tuple(
        body.subject for body in bodies if isinstance(body, Examined) and not body.exploratory and body.plan == digest
    )
    revealed = {code: name for body in bodies if isinstance(body, Revealed) for code, name in body.exhibits.items()}
    signed = folder.last_checkpoint
    found = Status(
        case=folder.header.case,
        title=folder.header.title,
        party=folder.opened.party,
        keyid=folder.opened.key.keyid,
        state="interrupted" if folder.interrupted else "closed" if folder.closed else "open",
        entries=len(entries),
        head=folder.head,
        exhibits={body.exhibit: body.role for body in bodies if isinstance(body, Admitted)},
        plan=digest,
        amendments=max(0, sum(isinstance(body, Sealed) for body in bodies) - 1),
        code_names=drawn.code_names if drawn else (),
        observed=len(wanted & seen),
        to_observe=len(wanted),
        examined=examined,
        exploratory=sum(isinstance(body, Examined) and body.exploratory for body in bodies),
        revealed=revealed,
        reports=tuple(name for body in bodies if isinstance(body, Reported) for name in body.files),
        drafts=tuple(name for body in bodies if isinstance(body, Reported) and body.draft for name in body.files),
        last_checkpoint=signed.sequence if signed else 0,
        stamps=signed.predicate.stamps if signed else (),
        unstamped=signed.predicate.unstamped if signed else "",
        unsigned=len(folder.unsigned_entries()),
        due="",
        due_command="",
    )
    due = _due(found, plan)
    return msgspec.structs.replace(found, due=due, due_command=_command(due, str(path), found, plan))


def _wanted(plan: Plan | None, drawn: Drawn | None) -> set[tuple[str, str, str]]:
    """Exhibit or code name, examiner and version of every observation that the plan needs."""
    if plan is None or drawn is None:
        return set()
    names = (plan.reference, *(control.exhibit for control in plan.controls), *drawn.code_names)
    return {(name, examiner, plan.examiner_versions[examiner]) for name in names for examiner in plan.examiners}


def _due(found: Status, plan: Plan | None) -> str:
    """The verb that comes next in the straight course of a case; empty when it is closed."""
    if found.state == "closed":
        return ""
    if plan is None:
        return "plan" if "reference" in found.exhibits.values() else "admit"
    if _missing(found, plan):
        return "admit"
    if not found.code_names:
        return "draw"
    if set(found.code_names) <= set(found.revealed):
        return "close" if set(found.reports) - set(found.drafts) else "report"
    if found.observed < found.to_observe:
        return "observe"
    return "reveal" if set(found.code_names) <= set(found.examined) else "examine"


def _command(due: str, path: str, found: Status, plan: Plan | None) -> str:
    """The command that is due. Exhibits that the plan names, or that any plan will need, are due by name and role."""
    if not due:
        return ""
    return shlex.join(["filiation", "case", due, path, *_words(due, found, plan)])


def _words(due: str, found: Status, plan: Plan | None) -> list[str]:
    waits = plan is not None and plan.announcement.basis != "claimant"
    match due:
        case "admit":
            return _to_admit(found, plan)
        case "plan":
            return ["plan.toml"]
        case "draw":
            return ["--beacon", "FILE"] if waits else []
        case "report":
            return ["--declarations", "FILE.toml"]
        case _:
            return []


def _missing(found: Status, plan: Plan) -> list[tuple[str, str]]:
    """Name and role of what the plan needs and nobody has admitted; candidates are needed once they are drawn."""
    controls = [(control.exhibit, "control") for control in plan.controls]
    named = [(plan.suspect, "suspect"), (plan.reference, "reference"), *controls]
    return [(name, role) for name, role in named if name not in found.exhibits]


def _to_admit(found: Status, plan: Plan | None) -> list[str]:
    if plan:
        name, role = _missing(found, plan)[0]
        return ["LOCATION", "--as", name, "--role", role]
    return ["LOCATION", "--role", "reference"]
