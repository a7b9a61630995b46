"""Does the suspect give the reference's wrong answers more often than unrelated models do?

A right answer has one reason to be the same in two models; a wrong one, where many are possible, has a history. Models that
were trained apart err differently, most of all where the answer is free text; a model made from another, or served under
another name, errs as it does. How often unrelated models share an error is not known from theory (hard items have popular
wrong answers, and models of one strength share them), so the null is by population: the suspect is ranked among control lineages
that answered the same items, under the measure of `measures.shared_errors`.

Free-form items and multiple choice are two tests, each with a line-up of its own. Needed per answer: what was answered and what is
right (`answer` and `gold` of a transcript), for multiple choice also the number of options. An item on which one of the two
models stated nothing is no opportunity.

Controls are the models that the user gives and, where those do not suffice, the models of control packs, joined over the
items that both reference and suspect answered. A control that answered fewer than half of them is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np
import polars as pl

from filiation.errors import MalformedSource, UsageError
from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Companion,
    Effect,
    Identity,
    NotExamined,
    Null,
    Observation,
    Outcome,
    Proposition,
    Relation,
    Relations,
    Test,
    digest,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.line_up import (
    SCALE,
    Demands,
    Entrant,
    entrant_of,
    judge_line_up,
    left_out_components,
    line_up_content,
    observe_answers,
    related_matrix,
    suffices,
)
from filiation.examiners.outcomes import not_examined_of
from filiation.measures import shared_errors
from filiation.measures.shared_errors import (
    FEWEST_MODELS,
    NOT_ANSWERED,
    Codes,
    Packed,
    choice_code,
    free_form_code,
    kinship,
    normalised,
    position,
    same_recordings,
    shared,
    unpack,
)
from filiation.sources.packs import Pack, PackSource, packs
from filiation.sources.source import Source
from filiation.sources.transcripts import Transcript, prompt_id
from filiation.statistics.intervals import share_interval
from filiation.statistics.register import Calibration
from filiation.statistics.sequential import over_looks, parse_looks

NAME = "shared_errors"
VERSION = "1"
QUESTION = "Does the suspect give the reference's wrong answers more often than unrelated models do?"
NEEDS = (Access.TRANSCRIPT,)


def _test(kind: str, what: str) -> Test:
    return Test(
        id=f"shared_errors.{kind}",
        proposition=Proposition.OUTPUTS,
        alternative="trained without the reference, its outputs, or an ancestor of it",
        relation_class="one model, or a fine-tune or another version of it (the relations whose power is known; no students)",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.POPULATION,
        symmetric=False,
        formula=f"(k + 1) / (N + 1), rank among control lineages by rarity-weighted shared wrong {what} beyond the exchangeable "
        "multiset's expectation; model effects and abilities removed",
    )


TESTS = (_test("free-form", "answers"), _test("multiple-choice", "options, preferences for positions removed"))
FREE_FORM, CHOICE = (test.id for test in TESTS)
CLAIMS = ("same model", "fine-tune", "version")
ASSUMPTIONS = (
    "Without a common origin, the suspect is exchangeable with a model of each control lineage.",
    "Controls answered the same items, under comparable instructions, and their answers were extracted by the same rule.",
    "The right answers are right. A wrong key turns right answers into errors that good models share.",
    "Declared lineages and listed relations are right; an undeclared relative of the reference below the suspect makes p too small.",
)
LIMITATIONS = (
    "Errors show a common origin of answers, not how it came about: shared public training data, a contaminated benchmark and "
    "a shared teacher do the same.",
    "Strong models leave few errors to share: where there are few, standing low says little.",
    "Direction is not told.",
    "Calibrated on English questions: program outputs, competition mathematics, school arithmetic, and professional knowledge in "
    "multiple choice. Distillation was not among the known relations there.",
)
REFERENCES = (
    "Wollack 1997, A nominal response model approach for detecting answer copying (what per-item chances are, and assume)",
    "van der Linden and Sotaridona 2006, Detecting answer copying when the regular response process follows a known model",
    "Goel et al. 2025, Great models think alike and this undermines AI oversight (agreement beyond accuracy)",
    "Tukey 1977, Exploratory data analysis (effects by medians)",
    "Besag and Clifford 1989, Generalized Monte Carlo significance tests (rank p-values)",
)
PARAMETERS: dict[str, bool | int | float | str] = {"packs": "auto", "looks": "", "most_items": 20_000}
"""`packs`: 'auto', 'none', or names and folders. `looks`: numbers of items at which scores were looked at, as '100,200,400'.
`most_items`: of more, those with the smallest ids are taken."""

DEMANDS = Demands(prompts=50, lineages=19, labs=10, controls=30)
"""With fewer than 19 lineages no rank reaches 0.05; with fewer than 10 labs an interval over labs says nothing (docs page)."""

OPPORTUNITIES = 20
"""Items that both got wrong, and on which wrong answers differ between models: fewer leave a score that is all noise."""

ANSWERED = 0.5

NO_GOLD = (
    "no right answer ('gold') is recorded for what both models were asked: an error shows only where it is known what is right; "
    "import the answers again with the benchmark's right answers"
)


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Who the model is said to be, and a digest of what it answered."""
    if isinstance(source, PackSource) and source.pack.card.kind == "answers":
        version = source.pack.card.feature_version
        if version != shared_errors.VERSION:
            return Absent(reason=f"the control pack {source.pack.title} was made with version {version} of the measure")
    return observe_answers(NAME, VERSION, source, "answers")


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """The line-ups that consist of the two models and the control packs."""
    return line_up(first, second, (), seed, progress)


def line_up(
    reference: Subject, suspect: Subject, controls: Sequence[Subject], seed: int, progress: Progress = silent
) -> Relation | Absent:
    """Record one line-up for free-form items and one for multiple choice, as far as there are any.

    1. Find the items: what both models were asked, what is right, and which kind of question it is.
    2. Gather controls and packs over the items of one kind.
    3. Score all pairs, at every look.
    4. Find recordings of the reference or the suspect under another name: those and their relatives are no controls.
    """
    settings = {**PARAMETERS, **reference.parameters}
    _check_looks(str(settings["looks"]))
    if not any(_says_what_is_right(subject) for subject in (reference, suspect, *controls)):
        return Absent(reason=NO_GOLD)
    asked = packs("answers", str(settings["packs"]))
    known = [pack for pack in asked if pack.card.feature_version == shared_errors.VERSION]
    shelf = Shelf(tuple(known), tuple(_unpacked(pack) for pack in known))
    answered = [answers_of(subject) for subject in (reference, suspect, *controls)]
    items = common_items(answered, shelf)
    parts: dict[str, dict[str, Any]] = {}
    for test, choices in ((FREE_FORM, False), (CHOICE, True)):
        of_kind = [item for item in items if item.decided and (item.options > 0) is choices]
        of_kind = of_kind[: int(settings["most_items"])]
        reason = lacking(answered, items, of_kind, choices=choices)
        if reason:
            parts[test] = {"absent": reason}
            continue
        progress(f"{test}: comparing errors", 0.0)
        gathered = gather(reference, suspect, controls, answered, of_kind, shelf, automatic=settings["packs"] == "auto")
        parts[test] = _recorded(gathered, seed, test, str(settings["looks"]), choices=choices)
    if all("absent" in part for part in parts.values()):
        return Absent(reason="; ".join(dict.fromkeys(part["absent"] for part in parts.values())))
    progress("scored", 1.0)
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=reference.observation.exhibit,
        second=suspect.observation.exhibit,
        seed=seed,
        content={
            "tests": parts,
            "summary": {name: tally for part in parts.values() for name, tally in part.get("summary", {}).items()},
        },
    )


def _check_looks(looks: str) -> None:
    try:
        parse_looks(looks)
    except ValueError as error:
        raise UsageError(f"{NAME}.looks: {error}", advice="give numbers of items, as '100,200,400'") from error


@lru_cache(maxsize=8)
def _unpacked(pack: Pack) -> Packed:
    try:
        packed = unpack(pack.data.read_bytes())
        if packed.codes.shape != (len(pack.card.models), len(pack.card.prompts)):
            raise ValueError("its card speaks of other models or prompts than its data")
    except ValueError as error:
        raise MalformedSource(
            f"this is no control pack of answers: {error}", exhibit=str(pack.folder), advice="make it again"
        ) from error
    return packed


# ----------------------------------------------------------------------------------------------------- items and answers


@dataclass(frozen=True)
class Stated:
    """One recorded answer: `answer` and `gold` as recorded (None: not recorded), `options` 0 where none are recorded.

    `code`: of a model of a pack, what its answer was, right or wrong, is known without either.
    """

    answer: str | None
    gold: str | None
    options: int
    has_text: bool
    code: int | None = None

    @property
    def given(self) -> bool:
        return bool((self.answer or "").strip()) if self.code is None else self.code != NOT_ANSWERED


@dataclass(frozen=True)
class Answered:
    """A model's first answers by item. One row stands under its prompt's id and under the id of its item's name."""

    by_id: Mapping[str, Stated]
    ids: tuple[tuple[str, ...], ...]  # per row, the ids it stands under


@dataclass(frozen=True)
class Item:
    """One question that both models were asked. `gold` is '' where nobody recorded it; `options` is 0 for free-form answers.

    `decided`: it is known of both models whether they were right.
    """

    id: str
    gold: str
    options: int
    decided: bool


@dataclass(frozen=True)
class Shelf:
    """The packs that may join, and what they hold."""

    packs: tuple[Pack, ...]
    data: tuple[Packed, ...]

    def options(self) -> dict[str, int]:
        """Item id to its number of options, for every item of every pack."""
        return {
            prompt: int(options)
            for pack, packed in zip(self.packs, self.data, strict=True)
            for prompt, options in zip(pack.card.prompts, packed.options, strict=True)
        }


def answers_of(subject: Subject) -> Answered:
    """The first sample of every prompt: more samples would give more chances to coincide."""
    if isinstance(subject.source, PackSource):
        return _of_pack(subject.source)
    rows = _frame(subject).unique("prompt_id", keep="first", maintain_order=True)
    named = {item: _id_of(item) for item in rows["item"].unique() if item}
    by_id: dict[str, Stated] = {}
    ids = []
    for prompt, item, answer, gold, options, text in rows.select(
        "prompt_id", "item", "answer", "gold", "options", "text"
    ).iter_rows():
        stated = Stated(answer, gold, int(options or 0), bool(text))
        names = tuple(dict.fromkeys((named.get(item, prompt), prompt)))
        for name in names:
            by_id.setdefault(name, stated)
        ids.append(names)
    return Answered(by_id, tuple(ids))


def _frame(subject: Subject) -> pl.DataFrame:
    transcript = subject.source.transcript()
    assert isinstance(transcript, Transcript)
    return transcript.frame


def _of_pack(source: PackSource) -> Answered:
    card, packed = source.pack.card, _unpacked(source.pack)
    by_id = {
        name: Stated(None, None, options, has_text=False, code=code)
        for name, options, code in zip(
            card.prompts, packed.options.tolist(), packed.codes[source.position].tolist(), strict=True
        )
    }
    return Answered(by_id, tuple((name,) for name in card.prompts))


def _says_what_is_right(subject: Subject) -> bool:
    return isinstance(subject.source, PackSource) or bool(_frame(subject)["gold"].is_not_null().any())


@lru_cache(maxsize=100_000)
def _id_of(item: str) -> str:
    return prompt_id(item)


def common_items(answered: Sequence[Answered], shelf: Shelf) -> tuple[Item, ...]:
    """What reference and suspect were both asked, by id; right answers and options from whoever recorded them.

    An item whose right answer is recorded in two ways is left out.
    """
    packed = shelf.options()
    reference, suspect = answered[:2]
    found: dict[str, Item] = {}
    for names in reference.ids:
        both = [name for name in names if name in suspect.by_id]
        if not both:
            continue
        name = next((name for name in both if name in packed), both[0])
        rows = [each.by_id[name] for each in answered if name in each.by_id]
        options = max(packed.get(name, 0), *(row.options for row in rows))
        golds = {_gold(row.gold, options) for row in rows if row.gold is not None} - {""}
        gold = next(iter(golds)) if len(golds) == 1 else ""
        coded_already = all(row.code is not None for row in (reference.by_id[name], suspect.by_id[name]))
        found[name] = Item(name, gold, options, decided=bool(gold) or (coded_already and not golds))
    return tuple(found[name] for name in sorted(found))


@lru_cache(maxsize=100_000)
def _gold(gold: str, options: int) -> str:
    """The right answer in the form in which it is compared; '' where it is none."""
    if not options:
        return normalised(gold, gold) or ""
    at = position(gold)
    return "" if at is None else str(at)


def lacking(answered: Sequence[Answered], items: Sequence[Item], of_kind: Sequence[Item], *, choices: bool) -> str:
    """Why this kind of question cannot be examined, in words for whoever can supply what is missing; empty where it can."""
    if not items:
        return "the two models answered no prompt in common"
    if not any(item.decided for item in items):
        return NO_GOLD
    if not of_kind:
        return (
            "no multiple choice is among the questions with a right answer (the number of options is recorded for none)"
            if choices
            else "every question with a right answer is a multiple choice"
        )
    for each in answered[:2]:
        rows = [each.by_id[item.id] for item in of_kind]
        if not any(row.given for row in rows):
            return (
                "right answers are recorded, but no stated answer was extracted from the texts: import them with a filter, or with "
                "a column, that holds what was answered ('answer')"
                if any(row.has_text for row in rows)
                else "no answer is recorded to the questions with a right answer"
            )
    return ""


# ------------------------------------------------------------------------------------------------------------- line-ups


@dataclass(frozen=True)
class Gathered:
    """The models of a line-up, the items, and the codes of all answers, models x items."""

    entrants: tuple[Entrant, ...]
    items: tuple[str, ...]
    codes: Codes
    packs: tuple[Pack, ...]
    related: tuple[tuple[int, int], ...]
    left_out: tuple[tuple[str, str], ...]


def gather(
    reference: Subject,
    suspect: Subject,
    controls: Sequence[Subject],
    answered: Sequence[Answered],
    items: Sequence[Item],
    shelf: Shelf,
    *,
    automatic: bool,
) -> Gathered:
    """Who takes part: decided by who answered how many of the items, never by what was answered.

    With `automatic`, packs join where the user's own unrelated controls are fewer than DEMANDS.
    """
    entrants = [entrant_of(reference, "reference"), entrant_of(suspect, "suspect")]
    rows = [coded(each, items) for each in answered]
    taken, left_out = rows[:2], []
    for control, row in zip(controls, rows[2:], strict=True):
        entrant = entrant_of(control, "control")
        if enough := _answers_enough(row):
            entrants.append(entrant)
            taken.append(row)
        else:
            left_out.append((entrant.name, enough.told))
    joining: list[tuple[Pack, Packed]] = []
    if not (automatic and _suffice(entrants)):
        asked = {item.id for item in items}
        joining = [
            (pack, packed)
            for pack, packed in zip(shelf.packs, shelf.data, strict=True)
            if len(asked.intersection(pack.card.prompts)) >= DEMANDS.prompts
        ]
    members, related = _members(joining, items)
    first = len(entrants)
    given = {entrant.name.casefold() for entrant in entrants}
    place: dict[int, int] = {}
    for at, (entrant, row) in enumerate(members):
        # A model that the user brings stands in the line-up once: counted twice, its errors would pass for popular ones.
        if entrant.name.casefold() in given:
            left_out.append((entrant.name, "stands in the line-up already, under this name"))
        elif enough := _answers_enough(row):
            place[at] = first + len(place)
            entrants.append(entrant)
            taken.append(row)
        else:
            left_out.append((entrant.name, enough.told))
    return Gathered(
        entrants=tuple(entrants),
        items=tuple(item.id for item in items),
        codes=np.array(taken, dtype=np.int64),
        packs=tuple(pack for pack, _ in joining),
        related=tuple((place[one], place[other]) for one, other in related if one in place and other in place),
        left_out=tuple(left_out),
    )


@dataclass(frozen=True)
class Share:
    stated: int
    items: int

    def __bool__(self) -> bool:
        return self.stated >= ANSWERED * self.items

    @property
    def told(self) -> str:
        return f"answered {self.stated} of {self.items} items"


def _answers_enough(row: Codes) -> Share:
    return Share(int((row != NOT_ANSWERED).sum()), len(row))


def _suffice(entrants: Sequence[Entrant]) -> bool:
    """Whether the user's controls that are related to neither exhibit, by declaration, meet DEMANDS."""
    akin = related_matrix(entrants, ())
    own = [entrant for at, entrant in enumerate(entrants) if at >= 2 and not akin[0, at] and not akin[1, at]]
    return suffices(own, DEMANDS)


def coded(answered: Answered, items: Sequence[Item]) -> Codes:
    """The codes of one model's answers to the items."""
    row = np.full(len(items), NOT_ANSWERED, dtype=np.int64)
    for at, item in enumerate(items):
        stated = answered.by_id.get(item.id)
        if stated is None:
            continue
        if stated.code is not None:
            row[at] = stated.code
        elif item.gold:
            row[at] = (
                choice_code(stated.answer, item.gold, item.options)
                if item.options
                else free_form_code(stated.answer, item.gold, item.id)
            )
    return row


def _members(
    joining: Sequence[tuple[Pack, Packed]], items: Sequence[Item]
) -> tuple[list[tuple[Entrant, Codes]], set[tuple[int, int]]]:
    """The models of the packs, each once whatever the number of packs it stands in, with their codes and listed relations."""
    place = {item.id: at for at, item in enumerate(items)}
    members: dict[Entrant, Codes] = {}
    known: list[Entrant] = []
    related: set[tuple[int, int]] = set()
    for pack, packed in joining:
        target = np.array([place.get(name, -1) for name in pack.card.prompts], dtype=np.intp)
        inside = np.flatnonzero(target >= 0)
        at = []
        for model, codes in zip(pack.card.models, packed.codes, strict=True):
            entrant = Entrant(name=model.name, lineage=model.lineage, lab=model.lab, origin="pack")
            if entrant not in members:
                members[entrant] = np.full(len(items), NOT_ANSWERED, dtype=np.int64)
                known.append(entrant)
            row = members[entrant]
            row[target[inside]] = np.where(row[target[inside]] == NOT_ANSWERED, codes[inside], row[target[inside]])
            at.append(known.index(entrant))
        related |= {(min(at[i], at[j]), max(at[i], at[j])) for i, j, _ in pack.card.related}
    return [(entrant, members[entrant]) for entrant in known], related


def _recorded(gathered: Gathered, seed: int, test: str, looks: str, *, choices: bool) -> dict[str, Any]:
    place = {item: at for at, item in enumerate(gathered.items)}
    scores = over_looks(
        gathered.items,
        looks,
        seed,
        lambda ids: kinship(gathered.codes[:, [place[name] for name in ids]], choices=choices),
    )
    pairs = shared(gathered.codes)
    copies = same_recordings(gathered.codes)
    return line_up_content(
        gathered.entrants,
        scores,
        prompts=len(gathered.items),
        related=sorted({*gathered.related, *copies, *_inherited(gathered, copies)}),
        packs=[pack.title for pack in gathered.packs],
        seed=seed,
        test=test,
        detail={
            "features": shared_errors.VERSION,
            "looks": list(parse_looks(looks)),
            "both_wrong": round(float(pairs.both_wrong[0, 1])),
            "same": round(float(pairs.same[0, 1])),
            "expected": round(float(pairs.expected[0, 1]) * SCALE),
            "left_out": [list(entry) for entry in gathered.left_out],
            "same_recording": [list(pair) for pair in copies],
        },
    )


def _inherited(gathered: Gathered, copies: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Where a control is a recording of an exhibit, the control's relatives are the exhibit's."""
    if not copies:
        return set()
    matrix = related_matrix(gathered.entrants, gathered.related)
    return {
        (exhibit, int(other)) for exhibit, copy in copies for other in np.flatnonzero(matrix[copy]) if int(other) >= 2
    }


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """Rank the suspect among the control lineages, for free-form items and for multiple choice."""
    return tuple(_judged(test, relations, calibration) for test in TESTS)


def _judged(test: Test, relations: Relations, calibration: Calibration) -> Outcome:
    part = relations.pair.content["tests"][test.id]
    if "absent" in part:
        return not_examined_of(test, relations.pair, part["absent"], version=VERSION)
    detail = part["detail"]
    outcome = judge_line_up(
        test,
        Relations(pair=msgspec.structs.replace(relations.pair, content=part)),
        calibration,
        examiner_version=VERSION,
        demands=DEMANDS,
        effect=_effect(detail),
        assumptions=ASSUMPTIONS,
        limitations=LIMITATIONS,
        companions=(*_counts(detail), *_looks(detail)),
        components=left_out_components(
            part,
            "at least 95 % of its answers are those of {} wherever one of them erred: taken for a recording of it; it and its "
            "relatives are shown, not ranked",
        ),
        not_validated=_not_validated(part),
    )
    # Both tests stand in one record: that record is what they rest on.
    return (
        outcome
        if isinstance(outcome, NotExamined)
        else msgspec.structs.replace(outcome, observations=(digest(relations.pair),))
    )


def _not_validated(part: Mapping[str, Any]) -> str:
    detail = part["detail"]
    if detail["features"] != shared_errors.VERSION:
        return "not validated: the record was made with another version of the measure"
    if len(part["entrants"]) < FEWEST_MODELS:
        return (
            f"not validated: {len(part['entrants'])} models are present, and {FEWEST_MODELS} are needed before any effect of a "
            "model can be told apart from the pair; add controls that answered the same items, or a control pack"
        )
    if detail["both_wrong"] < OPPORTUNITIES:
        return (
            f"both models gave a wrong answer to only {detail['both_wrong']} items on which wrong answers differ; "
            f"{OPPORTUNITIES} are needed"
        )
    return ""


def _effect(detail: Mapping[str, Any]) -> Effect:
    """Shared wrong answers beyond the expected, as a share of the items both got wrong."""
    both = max(detail["both_wrong"], 1)
    expected = detail["expected"] / SCALE / both
    value = detail["same"] / both - expected
    low, high = share_interval(detail["same"], both) if detail["both_wrong"] else (0.0, 1.0)
    return Effect(
        name="same wrong answer, share beyond the expected; interval over items, a description only",
        value=round(value, 6),
        low=round(min(low - expected, value), 6),
        high=round(max(high - expected, value), 6),
    )


def _counts(detail: Mapping[str, Any]) -> tuple[Companion, ...]:
    return (
        Companion(
            null=Null.POPULATION,
            name="same wrong answers",
            value=f"{detail['same']} of {detail['both_wrong']} items that both got wrong; {detail['expected'] / SCALE:.1f} expected",
            note="expected if wrong answers were shuffled among the models that erred on an item; no chance is drawn from it, because "
            "unrelated models differ from it by more than its variance",
        ),
    )


def _looks(detail: Mapping[str, Any]) -> tuple[Companion, ...]:
    if not detail["looks"]:
        return ()
    return (
        Companion(
            null=Null.POPULATION,
            name="looks",
            value=f"{len(detail['looks'])}, after {', '.join(map(str, detail['looks']))} items",
            note="every pair, controls included, stands with the highest score of its whole path",
        ),
    )
