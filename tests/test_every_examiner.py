"""Every examiner there is, shipped or added by entry point, on the bench (tests/bench.py); and wrong ones, which must fail."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import msgspec
import numpy as np
import pytest

from filiation import evidence
from filiation.errors import UsageError
from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Effect,
    Finding,
    Multiplicity,
    Null,
    Observation,
    Proposition,
    Relation,
    Relations,
    digest,
)
from filiation.examiners import canaries
from filiation.examiners.catalogue import REQUIRED, examiners
from filiation.examiners.examiner import Examiner
from filiation.examiners.line_up import Demands, entrant_of, judge_line_up, line_up_content, observe_transcript
from filiation.investigation import compare
from filiation.sources.families import Role, decoder_of
from studies.zoo import Zoo
from tests import bench as the
from tests import outside_examiner
from tests.exhibits import Exhibits
from tests.marked import STRANGERS
from tests.worlds import REWRAPPED, WORLDS, strangers

pytestmark = pytest.mark.xdist_group("bench")  # what was measured once serves all checks


@pytest.fixture(scope="module")
def bench(zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> the.Bench:
    return the.Bench(Exhibits(zoo, tmp_path_factory.mktemp("exhibits")))


def _name(value: object) -> str:
    return getattr(value, "NAME", None) or getattr(value, "__name__", None) or str(value)


@pytest.mark.parametrize("check", the.CHECKS, ids=_name)
@pytest.mark.parametrize("examiner", examiners(), ids=_name)
def test_every_examiner(examiner: Examiner, check: Callable[[Examiner, the.Bench], None], bench: the.Bench) -> None:
    check(examiner, bench)


@pytest.mark.parametrize(
    ("examiner", "claim"),
    [
        pytest.param(examiner, claim, id=f"{examiner.NAME}: {claim}")
        for examiner in examiners()
        for claim in examiner.CLAIMS
    ],
)
def test_what_an_examiner_claims_is_found(examiner: Examiner, claim: str, bench: the.Bench) -> None:
    the.check_claim(examiner, claim, bench)


# ---------------------------------------------------------------- canaries by ranks: a request fixes one statistic of the two


@pytest.fixture(scope="module")
def bench_by_ranks(bench: the.Bench) -> the.Bench:
    return the.Bench(bench.exhibits, {canaries.NAME: "canaries_by_ranks"})


@pytest.mark.parametrize("check", the.CHECKS, ids=_name)
def test_canaries_by_ranks(check: Callable[[Examiner, the.Bench], None], bench_by_ranks: the.Bench) -> None:
    check(canaries, bench_by_ranks)


@pytest.mark.parametrize("claim", canaries.CLAIMS)
def test_what_is_claimed_of_canaries_is_found_by_ranks(claim: str, bench_by_ranks: the.Bench) -> None:
    the.check_claim(canaries, claim, bench_by_ranks)


def test_by_ranks_every_stranger_gets_a_figure_and_the_relative_is_found(bench_by_ranks: the.Bench) -> None:
    seen = [the.findings(bench_by_ranks.of_world(canaries, world)) for world in strangers(canaries)]
    assert [[finding.test for finding in found] for found in seen] == [[canaries.RANKS.id]] * STRANGERS
    related = bench_by_ranks.outcomes(
        canaries, *(bench_by_ranks.place(canaries, name) for name in REWRAPPED[Access.MARKS][0])
    )
    assert [the.detected(finding) for finding in the.findings(related)] == [True]


# ------------------------------------------------------------------------------------------- examiners of other packages


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A distribution on the path that adds tests/outside_examiner.py by entry point."""
    information = tmp_path / "rows_of_others-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: rows-of-others\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[filiation.examiners]\nrows = tests.outside_examiner\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    examiners.cache_clear()
    yield
    examiners.cache_clear()


@pytest.mark.usefixtures("installed")
def test_an_examiner_added_by_entry_point_takes_part_and_keeps_to_the_bench(bench: the.Bench, zoo: Zoo) -> None:
    added = {examiner.NAME: examiner for examiner in examiners()}["rows"]
    the.check_everything(added, bench)
    found = compare(zoo["base-a"], zoo["base-a"], only=("rows",))
    assert [outcome.test for outcome in found.outcomes] == ["rows.equal"]
    assert the.detected(found.outcomes[0])  # type: ignore[arg-type]


@pytest.mark.usefixtures("installed")
def test_an_added_module_that_lacks_a_name_is_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(outside_examiner, "judge")
    with pytest.raises(UsageError, match="has no judge"):
        examiners()


def broken(**changes: Any) -> Any:
    """The outside examiner with some of its names replaced."""
    names = {name: getattr(outside_examiner, name) for name in REQUIRED}
    return SimpleNamespace(**(names | {"CALIBRATION": outside_examiner.CALIBRATION} | changes))


def finding_changed(**changes: Any) -> Callable[..., Any]:
    """`judge` with fields of its finding replaced; a callable gets the finding and gives the value."""

    def judge(relations: Relations, controls: Any, calibration: Any) -> Any:
        outcomes = outside_examiner.judge(relations, controls, calibration)
        return tuple(
            msgspec.structs.replace(outcome, **{k: v(outcome) if callable(v) else v for k, v in changes.items()})
            if isinstance(outcome, Finding)
            else outcome
            for outcome in outcomes
        )

    return judge


def _accuses_everyone(relations: Relations, controls: Any, calibration: Any) -> Any:
    content = relations.pair.content
    pair = msgspec.structs.replace(relations.pair, content=content | {"count": content["opportunities"]})
    return outside_examiner.judge(Relations(pair=pair), controls, calibration)


def _counts_padding(source: Any, progress: Any = None) -> Any:
    seen = outside_examiner.observe(source)
    decoder = decoder_of(source)
    rows = decoder.read(Role(layer=0, part="up"))
    dead = int((~np.any(rows != 0, axis=1)).sum())
    return msgspec.structs.replace(seen, content={"rows": seen.content["rows"] | ({"zeros": dead} if dead else {})})


def _counts_at_the_same_index(source: Any, progress: Any = None) -> Any:
    decoder = decoder_of(source)
    rows = decoder.read(Role(layer=0, part="up")).astype(ml_dtypes.bfloat16)
    numbered = {f"{number} {digest(row.view(np.uint16).tolist())}": 1 for number, row in enumerate(rows)}
    return Observation(examiner="rows", examiner_version="1", exhibit=source.name, content={"rows": numbered})


def _counts_tensor_names(source: Any, progress: Any = None) -> Any:
    seen = outside_examiner.observe(source)
    if isinstance(seen, Absent):
        return seen
    names = dict.fromkeys(sorted(source.tensors().names()), 1)
    return msgspec.structs.replace(seen, content={"rows": seen.content["rows"] | names})


def _sees_nothing_and_says_something(source: Any, progress: Any = None) -> Any:
    return Observation(examiner="rows", examiner_version="1", exhibit=source.name, content={"rows": {}})


def _needs_no_register(relations: Relations, controls: Any, calibration: Any) -> Any:
    return outside_examiner.judge(relations, controls, outside_examiner.CALIBRATION)


def _one_role_is_easier(first: Any, second: Any, seed: int, progress: Any = None) -> Any:
    related = outside_examiner.relate(first, second, seed)
    count = (
        related.content["count"] - (first.observation.exhibit < second.observation.exhibit) * related.content["count"]
    )
    return msgspec.structs.replace(related, content=related.content | {"count": count})


def _never_the_same(first: Any, second: Any, seed: int, progress: Any = None) -> Any:
    related = outside_examiner.relate(first, second, seed)
    return msgspec.structs.replace(related, content=related.content | {"at": time.perf_counter_ns()})


def _leans_on_controls(relations: Relations, controls: Any, calibration: Any) -> Any:
    eased = {"log10_p": -0.5} if controls else {"log10_p": -0.25}
    return finding_changed(**eased, resolution_log10_p=-400.0, log10_e=-1.0)(relations, controls, calibration)


BY_POPULATION = tuple(msgspec.structs.replace(test, null=Null.POPULATION) for test in outside_examiner.TESTS)
WRONG = {
    "accuses everyone": (the.check_strangers, broken(judge=_accuses_everyone)),
    "counts padding": (the.check_strangers, broken(observe=_counts_padding)),
    "has a judge that throws dice": (
        the.check_same_bytes,
        broken(judge=finding_changed(log10_p=lambda _: -random.SystemRandom().random())),
    ),
    "records the time": (the.check_same_bytes, broken(relate=_never_the_same)),
    "observes what is not there": (the.check_declines_without_access, broken(observe=_sees_nothing_and_says_something)),
    "needs no calibration": (the.check_does_not_guess, broken(judge=_needs_no_register)),
    "ranks the suspect among nobody": (
        the.check_does_not_guess,
        broken(TESTS=BY_POPULATION, judge=finding_changed(null=Null.POPULATION)),
    ),
    "leans on the controls": (the.check_controls_stand_beside, broken(judge=_leans_on_controls)),
    "reads the tensors' names": (the.check_wrappings, broken(observe=_counts_tensor_names)),
    "reads the rows' order": (the.check_wrappings, broken(observe=_counts_at_the_same_index)),
    "favours a role": (the.check_roles, broken(relate=_one_role_is_easier)),
    "promises more than its design can reach": (
        the.check_form,
        broken(judge=finding_changed(resolution_log10_p=lambda finding: finding.log10_p + 0.001)),
    ),
    "gives an e-value beyond 1/p": (
        the.check_form,
        broken(judge=finding_changed(log10_e=lambda finding: 1.0 - finding.log10_p)),
    ),
    "assumes nothing": (the.check_form, broken(judge=finding_changed(assumptions=()))),
    "gives no reason": (the.check_form, broken(judge=finding_changed(reason=" "))),
    "searches without paying": (
        the.check_form,
        broken(judge=finding_changed(multiplicity=Multiplicity(searched=9, rule="the best of nine"))),
    ),
    "cites another register": (the.check_form, broken(judge=finding_changed(calibration_digest="0" * 64))),
    "answers for another null": (the.check_form, broken(judge=finding_changed(null=Null.CONSTRUCTION))),
    "leaves a test out": (the.check_form, broken(TESTS=outside_examiner.TESTS * 2)),
}


# -- an examiner of recorded answers, and wrong ones


def line_up_examiner(
    *, twist: Callable[[Any, Any], None] = lambda scores, subjects: None, demands: Any = None, sample: int = 0
) -> Any:
    """Ranks by the share of prompts that two models answer with the same first sentence; `twist` spoils the scores."""

    def line_up(reference: Any, suspect: Any, controls: Any, seed: int, progress: Any = None) -> Any:
        subjects = (reference, suspect, *controls)
        texts = [subject.source.transcript().texts() for subject in subjects]
        common = sorted(set.intersection(*map(set, texts)))
        begun = np.array(
            [[digest(text[p][min(sample, len(text[p]) - 1)].strip()[:25]) for p in common] for text in texts]
        )
        scores = (begun[:, None, :] == begun[None, :, :]).mean(axis=2)
        twist(scores, subjects)
        entrants = [
            entrant_of(one, ("reference", "suspect")[at] if at < 2 else "control") for at, one in enumerate(subjects)
        ]
        content = line_up_content(entrants, scores, prompts=len(common), seed=seed, test="openings.rank")
        return Relation(
            examiner="openings",
            examiner_version="1",
            first=reference.observation.exhibit,
            second=suspect.observation.exhibit,
            seed=seed,
            content=content,
        )

    def judge(relations: Relations, controls: Any, calibration: Any) -> Any:
        return (
            judge_line_up(
                OPENINGS,
                relations,
                calibration,
                examiner_version="1",
                demands=demands or Demands(prompts=20, lineages=19, labs=10, controls=30),
                effect=Effect(name="share of first words", value=0.0, low=0.0, high=1.0),
                assumptions=("The suspect is exchangeable with a model of each control lineage.",),
                limitations=("An example.",),
            ),
        )

    return SimpleNamespace(
        NAME="openings",
        VERSION="1",
        QUESTION="Do the answers begin alike?",
        NEEDS=(Access.TRANSCRIPT,),
        TESTS=(OPENINGS,),
        CLAIMS=("same model",),
        ASSUMPTIONS=("exchangeable",),
        REFERENCES=("none: an example",),
        observe=lambda source, progress=None: observe_transcript("openings", "1", source),
        relate=lambda first, second, seed, progress=None: line_up(first, second, (), seed),
        line_up=line_up,
        judge=judge,
    )


OPENINGS = evidence.Test(
    id="openings.rank",
    proposition=Proposition.OUTPUTS,
    alternative="answers of its own",
    relation_class="common origin of the answers",
    characteristic=Characteristic.INDIVIDUAL,
    null=Null.POPULATION,
)


def test_a_line_up_keeps_to_the_bench(bench: the.Bench) -> None:
    the.check_everything(line_up_examiner(), the.Bench(bench.exhibits))


def _suspect_first(scores: Any, subjects: Any) -> None:
    scores[0, 1] = 2.0


def _long_names_first(scores: Any, subjects: Any) -> None:
    scores += [len(subject.source.name) for subject in subjects]


WRONG_LINE_UPS = {
    "measures the suspect in another way": (
        the.check_suspect_is_measured_like_a_control,
        line_up_examiner(twist=_suspect_first),
    ),
    "accuses everybody": (the.check_strangers, line_up_examiner(twist=_suspect_first)),
    "reads names": (the.check_wrappings, line_up_examiner(twist=_long_names_first)),
    "takes the last sample": (the.check_wrappings, line_up_examiner(sample=1)),
    "is content with eight controls": (
        the.check_too_few_controls_are_no_line_up,
        line_up_examiner(demands=Demands(prompts=1, lineages=1, labs=1, controls=1)),
    ),
}


@pytest.mark.parametrize("name", WRONG_LINE_UPS)
def test_a_wrong_line_up_fails_the_bench(name: str, bench: the.Bench) -> None:
    check, wrong = WRONG_LINE_UPS[name]
    with pytest.raises(AssertionError):
        check(wrong, the.Bench(bench.exhibits))


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_examiner_fails_the_bench(name: str, bench: the.Bench) -> None:
    check, wrong = WRONG[name]
    with pytest.raises(AssertionError):
        check(wrong, the.Bench(bench.exhibits))


@pytest.mark.parametrize("claim", ["fine-tune", "laundered", "merge", "no such relation"])
def test_an_examiner_that_claims_what_it_cannot_find_fails_the_bench(claim: str, bench: the.Bench) -> None:
    with pytest.raises(AssertionError, match=r"is not found|no world"):
        the.check_claim(broken(CLAIMS=(claim,)), claim, the.Bench(bench.exhibits))


def test_every_world_has_a_truth_that_somebody_is_held_to() -> None:
    claimed = {(examiner.NEEDS[0], claim) for examiner in examiners() for claim in (*examiner.CLAIMS, "stranger")}
    assert {(world.part, world.truth) for world in WORLDS} <= claimed, "a world that tests nothing"
