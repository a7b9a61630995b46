"""An order and twins drawn by lot. Truth: the lots are drawn here, again and again, against models that do not change."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from filiation.errors import UsageError
from filiation.evidence import Absent, Finding, Inconclusive, NotExamined, Outcome, Relation, Relations
from filiation.examiners import private_twins as twins_examiner
from filiation.examiners import training_order as order_examiner
from filiation.examiners.drawn_texts import MOST_SEARCHED, UNRELATED, choices_of
from filiation.examiners.examiner import Examiner, Subject
from filiation.investigation import compare
from filiation.lots import documents, drawn_order, drawn_twins
from filiation.sources.open import open_source
from filiation.sources.transcripts import SCHEMA
from filiation.statistics.register import empty
from tests.lots.world import opened_lot
from tests.marked import ANSWERS, MARKS
from tests.marked import private_twins as twins_world
from tests.marked import training_order as order_world
from tests.marked.drawn import QUESTIONS, Model, row

LOTS = 50


@dataclass(frozen=True)
class World:
    """A folder of tests/marked, and how to make another model of it: `model(seed, what it remembers)`."""

    examiner: Examiner
    folder: Path
    texts: list[str]
    known: np.ndarray
    model: Callable[..., Model]

    @property
    def marks(self) -> str:
        return f"marks:{self.folder / MARKS}"

    def recorded(self, name: str) -> str:
        return f"transcripts:{self.folder / ANSWERS}#{name}"

    def subject(self, location: str, **parameters: Any) -> Subject:
        source = open_source(location)
        seen = self.examiner.observe(source)
        assert not isinstance(seen, Absent), seen.reason
        return Subject(source=source, observation=seen, parameters=parameters)

    def written(self, folder: Path, rows: list[dict[str, Any]]) -> str:
        file = folder / f"{rows[0]['model']}.parquet"
        pl.DataFrame(rows, schema=SCHEMA).write_parquet(file)
        return f"transcripts:{file}"

    def relation(self, suspect: str, *controls: str, **parameters: Any) -> Relation | Absent:
        subjects = [self.subject(self.marks, **parameters), *map(self.subject, (suspect, *controls))]
        return self.examiner.line_up(subjects[0], subjects[1], subjects[2:], 1)  # type: ignore[attr-defined, no-any-return]

    def judged(self, relation: Relation | Absent) -> tuple[Outcome, ...]:
        """What answers share with texts, and likelihoods, in this order."""
        assert isinstance(relation, Relation), relation
        return self.examiner.judge(Relations(pair=relation), (), empty(self.examiner.NAME))

    def outcomes(self, suspect: str, *controls: str, **parameters: Any) -> tuple[Outcome, ...]:
        return self.judged(self.relation(suspect, *controls, **parameters))


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    order, twins = tmp_path_factory.mktemp("order"), tmp_path_factory.mktemp("twins")
    order_world.make(order)
    twins_world.make(twins)
    late = np.asarray(drawn_order(_lot(order))) / (order_world.DOCUMENTS - 1)
    pairs = twins_world.pairs()
    published = {twin.published for twin in drawn_twins(_lot(twins))}
    every = [text for pair in pairs for text in pair]
    read = np.array([float(text in published) for text in every])
    return {
        "order": World(order_examiner, order, list(documents(_lot(order))), late, order_world.model),
        "twins": World(twins_examiner, twins, every, read, twins_world.model),
    }


def _lot(folder: Path) -> Any:
    from filiation.lots import Trust, read_lot

    files = {file.name: file.read_bytes() for file in (folder / MARKS).iterdir()}
    return read_lot(files, Trust(copies=True))


@pytest.fixture(params=["order", "twins"])
def world(request: pytest.FixtureRequest, worlds: dict[str, World]) -> World:
    return worlds[request.param]


CONTROLS = ("control 1", "control 2", "control 3")


def controls_of(world: World) -> list[str]:
    return [world.recorded(name) for name in CONTROLS]


# ------------------------------------------------------------------------------------------------------------- relatives


def test_both_kinds_of_numbers_find_a_relative(world: World) -> None:
    for outcome in world.outcomes(world.recorded("relative"), *controls_of(world)):
        assert isinstance(outcome, Finding), outcome.reason
        assert outcome.log10_p < -6.0
        assert 4.0 < outcome.log10_e < -outcome.log10_p
        assert outcome.effect.low > 0.0
        assert outcome.count / outcome.opportunities > 0.5
        assert any("certificates with the SHA-256 fingerprints" in premise for premise in outcome.assumptions)


def test_controls_sharpen_likelihoods_and_are_named(world: World) -> None:
    alone, helped = (world.outcomes(world.recorded("relative"), *controls)[1] for controls in ((), controls_of(world)))
    assert isinstance(alone, Finding)
    assert isinstance(helped, Finding)
    assert helped.log10_p < alone.log10_p - 3.0
    told = {companion.name: companion for companion in helped.companions}
    assert set(told) == {"without controls", *(f"control {name}" for name in CONTROLS)}
    assert told["without controls"].value == f"{alone.count} of {alone.opportunities}"
    assert all("log10 p" in companion.note for companion in told.values())
    assert UNRELATED in helped.assumptions
    assert UNRELATED not in alone.assumptions


def test_a_whole_comparison_says_detected(world: World) -> None:
    found = compare(world.marks, world.recorded("relative"), controls_of(world), only=(world.examiner.NAME,))
    (conclusion,) = found.conclusions
    assert conclusion.kind == "likelihood ratio"
    assert conclusion.log10_likelihood_ratio is not None
    assert conclusion.log10_likelihood_ratio > 6.0


# ------------------------------------------------------------------------------------------------------------- strangers


def redrawn(world: World, relation: Relation, rng: np.random.Generator) -> Relation:
    """The same model's numbers under another lot."""
    content = msgspec.json.decode(msgspec.json.encode(relation.content))
    if "places" in content:
        content["places"] = rng.permutation(len(content["places"])).tolist()
        return msgspec.structs.replace(relation, content=content)
    for number in range(len(content["text"]["suspect"])):
        if rng.random() < 0.5:
            rows = [content[kind]["suspect"] for kind in ("text", "likelihood")]
            rows += [control["values"] for kind in ("text", "likelihood") for control in content[kind]["controls"]]
            rows.append(content["text"]["asked"])
            for values in rows:
                values[number].reverse()
    return msgspec.structs.replace(relation, content=content)


@pytest.mark.parametrize("suspect", ["relative", "stranger 5", "stranger 10"])
def test_under_lots_drawn_anew_p_is_uniform_or_larger(world: World, suspect: str) -> None:
    """Even of the relative: of a lot that its training did not know it knows nothing."""
    relation = world.relation(world.recorded(suspect), *controls_of(world))
    assert isinstance(relation, Relation)
    rng = np.random.default_rng(4)
    drawn = [world.judged(redrawn(world, relation, rng)) for _ in range(LOTS)]
    for kind in (0, 1):
        found = np.array([each[kind].log10_p for each in drawn if isinstance(each[kind], Finding)])
        for level in (0.5, 0.1):
            allowed = level + 4.0 * math.sqrt(level * (1.0 - level) / len(drawn))
            assert (found <= math.log10(level)).sum() <= allowed * len(drawn), (kind, level)


def test_a_suspect_is_not_accused_of_another_owner_s_lot(world: World, tmp_path: Path) -> None:
    """The same texts, drawn again from another secret: who learned under the first lot is a stranger to the second."""
    subject = _lot(world.folder).subject
    opened_lot(tmp_path / MARKS, "order" if world.examiner is order_examiner else "twins", subject, seed=99)
    other = replace(world, folder=tmp_path)
    for outcome in other.outcomes(world.recorded("relative"), *controls_of(world)):
        assert isinstance(outcome, Finding)
        assert outcome.log10_p > -3.0


# ------------------------------------------------------------------------------------------------------- broken premises


@pytest.mark.parametrize("side", ["what was drawn", "its opposite"])
def test_a_control_that_knows_the_lot_leaves_no_figure(world: World, tmp_path: Path, side: str) -> None:
    """A control that favours the opposite would make every innocent suspect's remains follow the lot."""
    known = world.known if side == "what was drawn" else 1.0 - world.known
    knowing = world.written(tmp_path, world.model(7, known).rows("knowing", world.texts))
    for outcome in world.outcomes(world.recorded("stranger 7"), *controls_of(world)[:1], knowing):
        assert isinstance(outcome, Inconclusive)
        assert "premise is broken" in outcome.reason
        assert "depends on what was drawn" in outcome.reason


def test_one_control_alone_is_shown_and_not_taken_away(world: World, tmp_path: Path) -> None:
    """Of one alone it cannot be seen whether it knows the lot; here it does, and no innocent suspect is accused for it."""
    knowing = world.written(tmp_path, world.model(7, 1.0 - world.known).rows("knowing", world.texts))
    _, outcome = world.outcomes(world.recorded("stranger 7"), knowing)
    assert isinstance(outcome, Finding)
    assert outcome.log10_p == world.outcomes(world.recorded("stranger 7"))[1].log10_p  # type: ignore[union-attr]
    assert any("one control was not taken" in limit for limit in outcome.limitations)


def test_prompts_that_depend_on_the_lot_leave_no_figure_of_answers(world: World, tmp_path: Path) -> None:
    """Asked about what was read late, or was published, a stranger that repeats a little of every question looks like a relative."""
    leading = [" ".join(text.split()[:12]) for text, known in zip(world.texts, world.known, strict=True) if known > 0.6]
    echoes = [row("echo", f"Go on: {text}", text=f"{text} and so on") for text in leading]
    text, likelihood = world.outcomes(world.written(tmp_path, echoes))
    assert isinstance(text, Inconclusive)
    assert "what the suspect was asked depends on what was drawn" in text.reason
    assert isinstance(likelihood, NotExamined)


def test_quoting_prompts_chosen_without_the_lot_show_nothing(world: World, tmp_path: Path) -> None:
    """The same parrot, asked about every text: what stands in a prompt is not counted as said."""
    echoes = [row("echo", f"Go on: {text[:60]}", text=text[:60]) for text in world.texts]
    text, _ = world.outcomes(world.written(tmp_path, echoes))
    assert isinstance(text, Inconclusive)
    assert text.reason.startswith("no run of 6 words")


# ------------------------------------------------------------------------------------------------------------- who counts


def test_what_was_searched_is_paid_for(world: World) -> None:
    one, many = (
        world.outcomes(world.recorded("relative"), considered=considered, commitments=commitments)
        for considered, commitments in ((1, 1), (20, 5))
    )
    for before, after in zip(one, many, strict=True):
        assert isinstance(before, Finding)
        assert before.multiplicity.searched == 2
        assert isinstance(after, Finding)
        assert after.multiplicity.searched == 200
        assert after.log10_p == pytest.approx(min(0.0, before.log10_p + 2.0), abs=0.0011)
        assert after.log10_e == pytest.approx(before.log10_e - 2.0, abs=0.0011)


def test_relatives_by_declaration_and_partial_recordings_are_no_controls(world: World, tmp_path: Path) -> None:
    rows = world.model(9).rows("partial", world.texts)
    partial = world.written(tmp_path, rows[5:])
    kin = world.written(
        tmp_path, [each | {"lineage": "stranger 1"} for each in world.model(8).rows("kin", world.texts)]
    )
    _, outcome = world.outcomes(world.recorded("stranger 1"), kin, partial, world.recorded("control 1"))
    assert isinstance(outcome, Finding)
    assert {component.name for component in outcome.components} == {"kin", "partial"}
    assert [companion.name for companion in outcome.companions] == ["control control 1"]


def scored_alone(world: World, items: Sequence[int]) -> list[dict[str, Any]]:
    """What one who knows the lot scored of these items."""
    texts = len(world.texts) // items_of(world)
    rows = world.model(9, world.known).rows("some", world.texts)
    return [rows[texts * item + which] for item in items for which in range(texts)]


def items_of(world: World) -> int:
    return len(_lot(world.folder).subject.splitlines())


def test_the_choice_of_scored_items_is_paid_for(world: World, tmp_path: Path) -> None:
    """The first ones of a subject that was committed to: only how many. All but one: any one, and how many."""
    items = items_of(world)
    for named, left, choices in (
        ("first", range(items - 30), items),
        ("all but one", [item for item in range(items) if item != 7], items * items),
        ("all", range(items), 1),
    ):
        (tmp_path / named).mkdir()
        _, outcome = world.outcomes(world.written(tmp_path / named, scored_alone(world, left)))
        assert isinstance(outcome, Finding), named
        assert outcome.multiplicity.searched == 2 * choices
        assert outcome.multiplicity.log10_cost == pytest.approx(math.log10(2 * choices))
        assert any(limit.startswith("Of the lot's") for limit in outcome.limitations) == (choices > 1)


def test_items_scored_here_and_there_leave_no_figure(world: World, tmp_path: Path) -> None:
    """By what was drawn and what the suspect says of them, sixty could have been left out of any innocent's recording."""
    rows = scored_alone(world, [item for item in range(items_of(world)) if item % 4])
    _, outcome = world.outcomes(world.written(tmp_path, rows))
    assert isinstance(outcome, Inconclusive)
    assert "could have chosen them by what was drawn" in outcome.reason


@pytest.mark.parametrize(
    ("scored", "items", "choices"),
    [
        (range(5), 5, 1),
        (range(3), 5, 5),
        ((0, 2), 3, 9),
        ((1, 2, 3), 5, 50),
        (range(1, 1_000_000), 1_000_000, 10**12),
        (range(0, 1_000_000, 2), 1_000_000, MOST_SEARCHED + 1),
    ],
)
def test_choices_of_scored_items(scored: Sequence[int], items: int, choices: int) -> None:
    assert choices_of(scored, items) == choices


def test_further_answers_are_counted_and_not_read(world: World, tmp_path: Path) -> None:
    rows = [row("twice", question, text="Nothing.") for question in QUESTIONS]
    recited = [
        row("twice", question, text=text, sample=1) for question, text in zip(QUESTIONS, world.texts, strict=False)
    ]
    text, _ = world.outcomes(world.written(tmp_path, rows + recited))
    assert isinstance(text, Inconclusive)
    assert [(each.name, each.value) for each in text.companions if each.name == "further answers"] == [
        ("further answers", str(len(recited)))
    ]


# -------------------------------------------------------------------------------------------------------------- declined


def test_without_anything_said_of_the_texts_both_reasons_are_given(world: World, tmp_path: Path) -> None:
    silent = world.written(tmp_path, [row("silent", "", item="a", text="hello")])
    found = world.relation(silent)
    assert isinstance(found, Absent)
    assert "no log-likelihoods" in found.reason
    assert "whose text is known" in found.reason


def altered(folder: Path, name: str, into: Path) -> Path:
    into.mkdir(parents=True)
    for file in (folder / MARKS).iterdir():
        data = file.read_bytes()
        (into / file.name).write_bytes(data.replace(b"b", b"d", 1) if file.name == name else data)
    return into


@pytest.mark.parametrize("name", ["subject.jsonl", "secret.json", "lot.json", "beacon.json"])
def test_a_lot_that_does_not_hold_gives_no_figure(world: World, name: str, tmp_path: Path) -> None:
    broken = open_source(f"marks:{altered(world.folder, name, tmp_path / 'marks')}")
    seen = world.examiner.observe(broken)
    assert isinstance(seen, Absent)
    owner = world.subject(world.marks)
    suspect = world.subject(world.recorded("relative"))
    found = world.examiner.relate(Subject(source=broken, observation=owner.observation), suspect, 1)
    assert isinstance(found, Absent)
    assert "does not hold" in found.reason


def test_an_authority_that_is_no_fingerprint_is_a_slip_of_the_one_who_asks(world: World) -> None:
    with pytest.raises(UsageError, match="no SHA-256 fingerprint"):
        world.relation(world.recorded("relative"), authorities="a0.pem")


def test_the_lot_of_another_purpose_is_not_taken(worlds: dict[str, World]) -> None:
    for one, other in (("order", "twins"), ("twins", "order")):
        seen = worlds[one].examiner.observe(open_source(worlds[other].marks))
        assert isinstance(seen, Absent)
        assert "purpose" in seen.reason


def test_observations_tell_the_lot_and_no_text(world: World) -> None:
    told = msgspec.json.encode(world.subject(world.marks).observation).decode()
    assert "stamps" in told
    assert world.texts[0] not in told
