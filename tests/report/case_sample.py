"""A sample case for reports: real comparisons of models of the small zoo, a ledger and a line-up made through the records.

The suspect is a laundered and fine-tuned copy of the reference; three foils are strangers of the same architecture, one of which
was trained on the same data in the same order, the innocent explanation. Nothing is made up but names, times and declarations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from filiation.case.drawing import code_names, commitment, draw_foils, examination_seed, seed
from filiation.case.records import (
    Admitted,
    Announcement,
    Authority,
    Body,
    Check,
    Closed,
    Declarations,
    Drawn,
    Entry,
    Examined,
    Failure,
    Header,
    LineUpPlan,
    Manifest,
    Noted,
    Observed,
    Opened,
    Plan,
    PlannedExhibit,
    PlannedProposition,
    PublicKey,
    Recovered,
    Revealed,
    Sealed,
    Stopping,
    Verification,
)
from filiation.case.view import AnswersSideBySide, CaseView, CheckpointSummary, ExaminedModel, Stamp
from filiation.evidence import Examination, FileRecord, digest
from filiation.investigation import compare
from studies.zoo import Zoo
from tests.report import sample, sample_constructed

REFERENCE, SUSPECT, CONTROL = "base-a", "laundered-tuned", "base-b"
POOL = ("base-c", "base-d", "long-c", "same-order", "base-other-shape")
LINEAGES = {name: name for name in ("base-c", "base-d", "same-order", "base-other-shape", "base-b", "base-a")} | {
    "long-c": "base-c"
}
SECRET = bytes(range(32))
EXAMINERS = ("architecture", "weights")
COMMON: dict[str, bool | int | float | str] = {
    "architecture": "llama",
    "parameters": 500_000,
    "tokenizer": "of the corpus",
}

FULL = Declarations(
    expert="Dr A. Example",
    qualifications="Twelve years of work on language models; no court has heard me before.",
    instructed_by="Solicitors of the claimant, by letter of 3 January 2026",
    questions_put="Whether the suspect's weights have an ancestor in common with the reference's.",
    materials_received="Two folders of weights on a disk, sealed; their digests are in the list of exhibits.",
    not_examined="The suspect's training logs, which were asked for and not given.",
    limits="The tests were calibrated on small models; the tolerance was not validated on real strangers of this size.",
    known_defects="None that moves a figure of this report.",
    interests="None.",
    other_opinions="An expert may hold that the number of stranger lineages is too small for any word.",
    statement="The opinions are my own, and my duty is to the court.",
    place_and_date="Basel, 1 March 2026",
)

ANSWERS = (
    AnswersSideBySide(
        prompt="Describe a lighthouse.",
        reference="A lighthouse stands where the land gives up.\nIts lamp turns all night, and nobody thanks it.",
        suspect="At the edge of the sea its lamp turns all night, and nobody thanks it. <b>Bold.</b>",
        shared=("lamp turns all night, and nobody thanks it.",),
    ),
)


def examinations(zoo: Zoo) -> dict[str, Examination]:
    """Suspect, candidates and one look outside the plan, each compared with the reference."""
    at = {name: zoo[name] for name in (REFERENCE, SUSPECT, CONTROL, *POOL)}
    return {
        name: compare(at[REFERENCE], at[name], [at[CONTROL]], only=EXAMINERS, seed=examination_seed("ab" * 32))
        for name in (SUSPECT, *POOL[:4])
    }


def plan(**changes: object) -> Plan:
    usual = Plan(
        case="c0" * 16,
        prepared_by="Dr A. Example",
        reference=REFERENCE,
        suspect=SUSPECT,
        controls=(PlannedExhibit(exhibit=CONTROL, lineage=CONTROL),),
        propositions=(
            PlannedProposition(
                proposition="weights",
                alternative="initialised and trained independently of each other",
                weights={
                    "weights.screen": 0.2, "weights.double-matching": 0.8, "weights.neuron-index": 1.0,
                    "weights.dimension-index": 1.0,
                },
            ),
            PlannedProposition(
                proposition="design", alternative="designed independently of each other",
                weights={"architecture.design-rarity": 1.0},
            ),
            PlannedProposition(proposition="tokenizer", alternative="trained on other text", weights={"tokenizer.merge-order": 1.0}),
        ),
        examiners=EXAMINERS,
        examiner_versions={"architecture": "1", "weights": "1"},
        calibration_digests={"architecture": digest("architecture"), "weights": digest("weights")},
        announcement=Announcement(basis="drand", chain="8990e7a9", round=4_100_233),
        line_up=LineUpPlan(
            pool=tuple(
                PlannedExhibit(
                    exhibit=name, lineage=LINEAGES[name],
                    attributes=COMMON | ({"parameters": 4_000_000} if name == "base-other-shape" else {}),
                )
                for name in POOL
            ),
            foils=3,
            matched_on=("architecture", "parameters", "tokenizer"),
            shares_explanation=("same-order",),
        ),
        stopping=Stopping(),
    )  # fmt: skip
    return msgspec.structs.replace(usual, **changes)


def manifest(name: str, role: str) -> Manifest:
    return Manifest(
        exhibit=name, role=role, kind="folder", location=f"models/{name}", origin=f"downloaded from example.org/{name}",
        obtained_by="Dr A. Example", obtained_at="2026-01-05T09:00:00Z", lineage=LINEAGES.get(name, ""),
        files=(FileRecord(name="model.safetensors", size=2_000_000, sha256=digest(name), basis="read"),),
        content_id=digest([name]), attributes=dict(COMMON),
    )  # fmt: skip


class Ledger:
    """Entries in a chain, an hour apart."""

    def __init__(self, header: Header) -> None:
        self.entries: list[Entry] = []
        self.head = digest(header)

    def add(self, body: Body, actor: str = "Dr A. Example") -> Entry:
        number = len(self.entries) + 1
        entry = Entry(
            sequence=number, previous=self.head, time=f"2026-01-{5 + number // 12:02}T{8 + number % 12:02}:00:00Z", actor=actor,
            body=body,
        )  # fmt: skip
        self.entries.append(entry)
        self.head = digest(entry)
        return entry


def view(
    found: Mapping[str, Examination],
    *,
    revealed: bool = True,
    declarations: Declarations = FULL,
    title: str = "Cumulus v. Nimbus",
    closed: bool = False,
    names: Mapping[str, str] | None = None,
    planned: Plan | None = None,
) -> CaseView:
    """The case as a view. `names` renames exhibits, for hostile ones."""
    called = dict(names or {})
    first = planned or plan()
    second = msgspec.structs.replace(first, remarks="the pool was widened")
    header = Header(case="c0" * 16, title=title)
    ledger = Ledger(header)
    key = PublicKey(keyid=digest("key"), public="ab" * 32)
    authority = Authority(name="Local Authority", url="http://127.0.0.1/", certificate=digest("certificate"))
    ledger.add(
        Opened(
            case=header.case,
            title=title,
            party="claimant",
            key=key,
            software="filiation 0.3.0",
            authorities=(authority,),
        )
    )
    roles = {REFERENCE: "reference", SUSPECT: "suspect", CONTROL: "control"} | dict.fromkeys(POOL, "candidate")
    manifests = {called.get(name, name): manifest(called.get(name, name), role) for name, role in roles.items()}
    ledger.add(Sealed(plan=digest(first)))
    for name, sheet in manifests.items():
        ledger.add(Admitted(exhibit=name, role=sheet.role, manifest=digest(sheet)))
    ledger.add(
        Sealed(plan=digest(second), replaces=digest(first), reason="one candidate could not be obtained",
               changes=("line_up.pool: one added", "remarks: added"))
    )  # fmt: skip
    drawn_seed = seed(digest(second), b"\x07" * 32)
    foils = draw_foils(second.line_up, COMMON, drawn_seed, (REFERENCE,))
    codes = {exhibit: code for code, exhibit in code_names((SUSPECT, *foils), SECRET).items()}
    ledger.add(
        Drawn(plan=digest(second), basis=first.announcement.basis, seed=drawn_seed, commitment=commitment(SECRET),
              code_names=tuple(sorted(codes.values())), foils=foils, beacon=digest("beacon"))
    )  # fmt: skip
    examined = []
    for exhibit in (SUSPECT, *foils):
        for examiner in EXAMINERS:
            ledger.add(
                Observed(
                    exhibit=codes[exhibit],
                    examiner=examiner,
                    examiner_version="1",
                    observation=digest([exhibit, examiner]),
                )
            )
        entry = ledger.add(
            Examined(
                subject=codes[exhibit],
                plan=digest(second),
                record=found[exhibit].digest,
                outcomes=digest(found[exhibit].outcomes),
            )
        )
        role = ("suspect" if exhibit == SUSPECT else "foil") if revealed else "unrevealed"
        examined.append(
            ExaminedModel(
                subject=codes[exhibit], exhibit=called.get(exhibit, exhibit) if revealed else "", role=role,
                examination=found[exhibit], plan=digest(second), entry=entry.sequence,
            )
        )  # fmt: skip
    purpose = "what the test says of a model that was not drawn"
    entry = ledger.add(
        Examined(subject="long-c", plan="", record=found["long-c"].digest, outcomes=digest(found["long-c"].outcomes),
                 exploratory=True, purpose=purpose)
    )  # fmt: skip
    examined.append(
        ExaminedModel(subject="long-c", exhibit="long-c", role="foil", examination=found["long-c"], plan="", entry=entry.sequence,
                      exploratory=True, purpose=purpose)
    )  # fmt: skip
    if revealed:
        ledger.add(
            Revealed(plan=digest(second), secret=SECRET.hex(), exhibits={code: name for name, code in codes.items()})
        )
    ledger.add(Noted(text="The other side was sent checkpoint 2."))
    ledger.add(Recovered(bytes_cut=41, sha256=digest("torn"), reason="the machine lost power"))
    if closed:
        ledger.add(Closed(remark="nothing more was asked"))
    return CaseView(
        header=header,
        entries=tuple(ledger.entries),
        head=ledger.head,
        plans={digest(first): first, digest(second): second},
        manifests=manifests,
        drawn=next(entry.body for entry in ledger.entries if isinstance(entry.body, Drawn)),
        examined=tuple(examined),
        declarations=declarations,
        checkpoints=(
            CheckpointSummary(sequence=2, head=digest(ledger.entries[1]), time="2026-01-05T11:00:00Z",
                              stamps=(Stamp("Local Authority", "2026-01-05T11:00:02Z"),)),
            CheckpointSummary(sequence=len(ledger.entries), head=ledger.head, time="2026-01-07T08:00:00Z",
                              unstamped="the authority could not be reached", closed=closed),
        ),
        answers=ANSWERS,
        verification=Verification(
            case=header.case, state=f"open at checkpoint {len(ledger.entries)}", head=ledger.head, entries=len(ledger.entries),
            keyid=key.keyid,
            checks=(
                Check(number=1, title="The ledger is one chain", looked_at=len(ledger.entries)),
                Check(number=2, title="Time-stamps are those of the authorities named", looked_at=1,
                      failures=(Failure(where="checkpoint 2", what="the stamp is of another authority",
                                        meaning="its time rests on the writer's clock alone"),)),
                Check(number=3, title="Reports are as they were written", looked_at=0, note="no report yet"),
            ),
            remarks=("one checkpoint has no time-stamp",),
        ),
    )  # fmt: skip


def without_line_up(found: Mapping[str, Examination]) -> CaseView:
    """The same case before anything was drawn or examined, without a plan's beacon."""
    whole = view(
        found, declarations=Declarations(), planned=plan(announcement=Announcement(basis="claimant", seed="0f" * 32))
    )
    return replace(
        whole, drawn=None, examined=(), checkpoints=(), entries=whole.entries[:2], answers=(), verification=None
    )


def of_answers() -> CaseView:
    """The same case of recorded answers (made up, `sample.recorded_answers`): tests by population, one foil that stands as high."""
    scores = {SUSPECT: 9.0, "same-order": 6.0} | dict.fromkeys(POOL[:3], -0.3)
    found = {name: sample.recorded_answers(score=score) for name, score in scores.items()}
    tests = (sample.KINSHIP, sample.REFUSING)
    planned = plan(
        propositions=tuple(
            PlannedProposition(proposition=test.proposition.value, alternative=test.alternative, weights={test.id: 1.0})
            for test in tests
        )
    )
    return view(found, planned=planned)


def of_marks() -> CaseView:
    """The same case of planted marks (made up, `sample_constructed`): every foil stands under the same lots, and none agrees."""
    counts = {SUSPECT: sample_constructed.COUNT, "same-order": 5, "base-c": 2, "base-d": 4, "long-c": 3}
    found = {name: sample_constructed.of_suspect(name, count) for name, count in counts.items()}
    outcomes = sample_constructed.examination().outcomes
    weights: dict[tuple[str, str], dict[str, float]] = {}
    for outcome in outcomes:
        group = weights.setdefault((outcome.proposition.value, outcome.alternative), {})
        group[outcome.test] = 1.0 if outcome.test != "canaries.ranks" else 0.0
    planned = plan(
        examiners=tuple(dict.fromkeys(outcome.examiner for outcome in outcomes)),
        propositions=tuple(
            PlannedProposition(proposition=proposition, alternative=alternative, weights=of_tests)
            for (proposition, alternative), of_tests in weights.items()
        ),
    )
    return view(found, planned=planned)
