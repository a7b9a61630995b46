"""Opened canaries as evidence: the verifier's own figures, checks before figures, and what a request, a control or a name changes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
import typer
from scipy.stats import binom

from filiation.canaries import generators, owner
from filiation.canaries.canary import Canary
from filiation.canaries.commitment import commitment_file, committed
from filiation.canaries.opening import Bundle, bundle_from, read_bundle, write_bundle
from filiation.canaries.verification import TITLES
from filiation.case.commitments import fingerprints
from filiation.cli.canary import app
from filiation.evidence import Absent, Examination, Finding, Inconclusive, NotExamined, Observation
from filiation.examiners import canaries as examiner
from filiation.investigation import compare, judge_again
from filiation.sources.joined import JoinedSource
from filiation.sources.marks import open_marks
from filiation.sources.transcripts import canonical_json, prompt_id
from filiation.statistics.register import empty
from tests.canaries.world import KEY, World, changed, hour, labelled_world
from tests.case.worlds import own_pulse
from tests.lots.world import AUTHORITIES, fixed_pulse, signer_of
from tests.marked.canaries import Choose, answers, by_lot, learning, skilled

SUSPECT = "theirs"
FIXED: dict[str, Any] = {"authorities": AUTHORITIES, "pulse": fixed_pulse(), "signer": signer_of(5)}
TRUSTED = {
    "keyid": signer_of(5).key.keyid,
    "authorities": ",".join(
        fingerprint
        for certificate in (*(authority.certificate for authority in AUTHORITIES), fixed_pulse()[1])
        for fingerprint in fingerprints(certificate)
    ),
}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> World:
    """32 canaries in each of two batches, not yet opened: copy it first."""
    return labelled_world(tmp_path_factory.mktemp("owner"), batch_size=32, **FIXED)


@pytest.fixture(scope="module")
def opened(labelled: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Path]:
    """A world whose first batch was planted and opened, and the folder of its marks."""
    place = tmp_path_factory.mktemp("opened")
    return opened_to(labelled, place, considered=3, controls=("a", "b"))


def opened_to(labelled: World, place: Path, **request: Any) -> tuple[World, Path]:
    world = labelled.copied(place / "canaries")
    world.plant()
    world.opens(place / "marks", **request)
    return world, place / "marks"


def examined(
    marks: Path, by: Mapping[str, Choose], canaries: tuple[Canary, ...], *, suspect: str = SUSPECT, **settings: Any
) -> Examination:
    """Everybody but the suspect is a control."""
    return compared(marks, answers(canaries, by), suspect=suspect, **settings)


def compared(marks: Path, frame: pl.DataFrame, *, suspect: str = SUSPECT, **settings: Any) -> Examination:
    file = marks.parent / "answers.parquet"
    frame.write_parquet(file)
    controls = [f"transcripts:{file}#{name}" for name in frame["model"].unique(maintain_order=True) if name != suspect]
    return compare(
        f"marks:{marks}",
        f"transcripts:{file}#{suspect}",
        controls,
        only=("canaries",),
        parameters={"canaries": settings} if settings else None,
    )


def companions(outcome: Finding | Inconclusive) -> dict[str, str]:
    return {each.name: each.value for each in outcome.companions}


# --------------------------------------------------------------------------------------------------------- the figures


def test_the_figures_are_those_of_the_verifiers_script(opened: tuple[World, Path], capsys) -> None:
    world, marks = opened
    by = {SUSPECT: learning(world, 0.5), "a": by_lot("a"), "b": skilled}
    found = examined(marks, by, world.opened_canaries(), **TRUSTED)
    finding, other = found.outcomes
    assert isinstance(finding, Finding)
    result = verified_by_script(world, marks, capsys)
    score = result["scored"]["scores"][0]
    assert (finding.count, finding.opportunities) == (score["counted"]["count"], score["counted"]["opportunities"])
    assert (finding.log10_p, finding.log10_e) == (score["log10_p"], score["log10_e"])
    assert finding.resolution_log10_p == score["resolution_log10_p"]
    assert round(finding.effect.value, 3) == score["effect"]
    beside = companions(finding)
    assert beside["decoys"] == f"{score['decoys']['count']} of 32; log10 p {score['decoys']['log10_p']}"
    assert beside["placebo keys"].startswith(f"{score['placebo']['reaching']} of {score['placebo']['keys']} ")
    assert beside["unused cohorts"].startswith(f"{score['wrong_cohorts']['largest']} of 32; ")
    for control in result["scored"]["controls"]:
        assert (
            beside[f"control {control['name']}"] == f"{control['counted']['count']} of 32; log10 p {control['log10_p']}"
        )
    assert isinstance(other, Inconclusive)
    assert "the request fixed agreements" in other.reason


def verified_by_script(world: World, marks: Path, capsys: Any) -> Any:
    """What `filiation canary verify` writes of the same bundle and the same answers."""
    files = {"a0": AUTHORITIES[0].certificate, "a1": AUTHORITIES[1].certificate, "beacon": fixed_pulse()[1]}
    for name, data in files.items():
        (marks.parent / f"{name}.pem").write_bytes(data)
    recorded = f"transcripts:{marks.parent / 'answers.parquet'}"
    words = ["verify", marks, "--json", "-", "--suspect", f"{SUSPECT}={recorded}#{SUSPECT}"]
    words += ["--control", f"a={recorded}#a", "--control", f"b={recorded}#b", "--key-id", world.signer.key.keyid]
    words += ["--authority-certificate", marks.parent / "a0.pem", "--authority-certificate", marks.parent / "a1.pem"]
    words += ["--beacon-certificate", marks.parent / "beacon.pem"]
    program = typer.Typer()
    program.add_typer(app, name="canary")
    capsys.readouterr()
    program(args=["canary", *map(str, words)], standalone_mode=False)
    return json.loads(capsys.readouterr().out)


def test_agreements_against_scipy_and_what_was_searched_is_paid_for(opened: tuple[World, Path]) -> None:
    world, marks = opened
    (finding, _) = examined(marks, {SUSPECT: learning(world, 0.5)}, world.opened_canaries()).outcomes
    assert isinstance(finding, Finding)
    assert finding.multiplicity.searched == 3 * 2 * 2  # models considered, batches, statistics
    exact = math.log10(binom.sf(finding.count - 1, 32, 1 / 16)) + math.log10(12)
    assert exact <= finding.log10_p <= exact + 0.001
    assert sum(part.count for part in finding.components) == finding.count
    assert sum(part.opportunities for part in finding.components) == 32
    assert (finding.chance, finding.power.threshold_log10_p) == (1 / 16, -6.0)
    (known,) = (
        each
        for each in examined(marks, {SUSPECT: learning(world, 0.5)}, world.opened_canaries(), commitments=10).outcomes
        if isinstance(each, Finding)
    )
    assert known.log10_p == pytest.approx(finding.log10_p + 1.0, abs=0.002)


def test_the_record_is_judged_again_to_the_same_bytes_and_holds_no_text(opened: tuple[World, Path]) -> None:
    world, marks = opened
    found = examined(marks, {SUSPECT: learning(world, 0.5), "a": skilled}, world.opened_canaries())
    stored = Examination.from_json(found.to_json())
    assert judge_again(stored).digest == found.digest
    told = json.dumps([msgspec.to_builtins(found.relations), msgspec.to_builtins(found.observations)])
    for canary in world.opened_canaries():
        assert canary.prompt not in told
        assert not [option for option in canary.options if len(option) > 8 and option in told]
    assert KEY.hex() not in told
    assert "run 7" not in told  # to whom it was exposed is the owner's to tell


def test_an_altered_record_is_refused(opened: tuple[World, Path]) -> None:
    world, marks = opened
    relations = examined(marks, {SUSPECT: skilled}, world.opened_canaries()).relations["canaries"]
    stored = json.loads(json.dumps(relations.pair.content))
    stored["tally"]["canaries"]["labels"][0] = 16
    altered = msgspec.structs.replace(relations, pair=msgspec.structs.replace(relations.pair, content=stored))
    with pytest.raises(ValueError, match="no option"):
        examiner.judge(altered, (), empty("canaries"))


# -------------------------------------------------------------------------------------------------- checks come first


def cut(ledger: bytes) -> bytes:
    return b"".join(ledger.splitlines(keepends=True)[:-1])


def too_late(world: World, bundle: Bundle) -> Bundle:
    """The claimant commits now, and names a beacon that has spoken: every label could have been known."""
    beacon, certificate, announcement = own_pulse(hour(-1))
    told, _ = world.holding.commitment()
    made = committed(
        world.holding.canaries(), KEY, announcement, claimant="ours", now=hour(0), signer=world.signer,
        authorities=told.authorities,
    )  # fmt: skip
    data = commitment_file(made, world.signer)
    stamps = {authority.name: authority.stamp(data) for authority in AUTHORITIES}
    return changed(bundle, commitment=data, stamps=stamps, beacon=beacon, beacon_certificate=certificate)


BROKEN: dict[str, tuple[int, Callable[[World, Bundle], Bundle]]] = {
    "a signature that is none": (
        1,
        lambda _, bundle: changed(bundle, commitment=bundle.commitment.replace(b'"sig":"', b'"sig":"AA')),
    ),
    "no stamps": (2, lambda _, bundle: changed(bundle, stamps={})),
    "a stamp over something else": (2, lambda _, bundle: changed(bundle, stamps={"a0": AUTHORITIES[0].stamp(b"no")})),
    "a beacon that had spoken before": (2, too_late),
    "a request of somebody else": (3, lambda _, bundle: changed(bundle, request=bundle.commitment)),
    "a ledger cut off": (4, lambda _, bundle: changed(bundle, ledger=cut(bundle.ledger))),
    "an opening with another option": (
        4,
        lambda _, bundle: changed(bundle, opening=bundle.opening.replace(b'"decoy":true', b'"decoy":false', 1)),
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_where_a_check_fails_its_words_are_the_outcome_and_no_figure_is_given(
    case: str, opened: tuple[World, Path], tmp_path: Path
) -> None:
    world, marks = opened
    number, change = BROKEN[case]
    write_bundle(change(world, read_bundle(marks)), tmp_path / "marks")
    by = {SUSPECT: learning(world, 1.0)}
    found = examined(tmp_path / "marks", by, world.opened_canaries())
    assert len(found.outcomes) == 2
    for outcome in found.outcomes:
        assert isinstance(outcome, Inconclusive)
        assert f"check {number} ({TITLES[number - 1]}) does not hold" in outcome.reason
        assert not outcome.companions
    assert found.relations["canaries"].pair.content.keys() == {"failed", "settings"}


def test_a_verifier_who_trusts_others_counts_nothing_for_them(opened: tuple[World, Path]) -> None:
    world, marks = opened
    by = {SUSPECT: learning(world, 1.0)}
    for settings, number in (({"keyid": "0" * 64}, 1), ({"authorities": "0" * 64}, 2)):
        for outcome in examined(marks, by, world.opened_canaries(), **settings).outcomes:
            assert isinstance(outcome, Inconclusive)
            assert f"check {number} " in outcome.reason


def test_copies_of_the_claimants_are_said_with_the_fingerprints_to_compare(opened: tuple[World, Path]) -> None:
    world, marks = opened
    by = {SUSPECT: learning(world, 1.0)}
    copies, trusted = (
        examined(marks, by, world.opened_canaries(), **settings).outcomes[0] for settings in ({}, TRUSTED)
    )
    assert isinstance(copies, Finding)
    assert isinstance(trusted, Finding)
    (said,) = (text for text in copies.assumptions if "claimant's own copies" in text)
    for fingerprint in TRUSTED["authorities"].split(","):
        assert fingerprint in said
    assert trusted.assumptions == examiner.ASSUMPTIONS
    assert trusted.log10_p == copies.log10_p


@pytest.mark.parametrize("part", ["ledger.jsonl", "beacon.json", "request.json", "commitment.json"])
def test_a_bundle_without_a_part_is_not_examined(part: str, opened: tuple[World, Path], tmp_path: Path) -> None:
    world, marks = opened
    write_bundle(read_bundle(marks), tmp_path / "marks")
    (tmp_path / "marks" / part).unlink()
    outcomes = examined(tmp_path / "marks", {SUSPECT: skilled}, world.opened_canaries()).outcomes
    assert all(isinstance(outcome, NotExamined) and part in outcome.reason for outcome in outcomes)


def test_a_bundle_is_the_same_from_its_files_by_name(opened: tuple[World, Path]) -> None:
    bundle = read_bundle(opened[1])
    assert bundle_from(bundle.files() | {"notes.txt": b"not part of it", "authority..pem": b""}) == bundle


def test_of_two_opened_batches_neither_is_taken(opened: tuple[World, Path], tmp_path: Path) -> None:
    world, marks = opened
    other = world.copied(tmp_path / "canaries")
    other.plant(batches=(1,), at=5)
    other.opens(tmp_path / "marks", at=6, batch=1)
    both = JoinedSource([open_marks(marks), open_marks(tmp_path / "marks")], name="ours")
    seen = examiner.observe(both)
    assert isinstance(seen, Absent)
    assert "one at a time" in seen.reason
    alone = examiner.observe(JoinedSource([open_marks(marks)], name="ours"))
    assert isinstance(alone, Observation)
    assert alone.content["batch"] == 0
    assert (alone.content["exposure"]["exposed"], alone.content["exposure"]["recipients"]) == (32, 1)


# ----------------------------------------------------------------------------------------------------- what is answered


def test_unreadable_answers_and_prompts_that_were_not_asked_do_not_agree(opened: tuple[World, Path]) -> None:
    world, marks = opened
    planted = [canary for canary in world.opened_canaries() if not canary.decoy]
    silent, unreadable = planted[:6], {canary.index for canary in planted[6:10]}
    whole = learning(world, 1.0)
    asked = tuple(canary for canary in world.opened_canaries() if canary not in silent)
    found = examined(marks, {SUSPECT: lambda c: "?" if c.index in unreadable else whole(c)}, asked)
    finding = found.outcomes[0]
    assert isinstance(finding, Finding)
    assert (finding.count, finding.opportunities) == (22, 32)
    assert "26 of 32 canaries were answered, 4 of them not readably" in finding.reason
    assert any(text.startswith("Of 32 canaries 6 were not asked") for text in finding.limitations)
    exact = math.log10(binom.sf(25, 32, 1 / 16)) + finding.multiplicity.log10_cost
    assert exact <= finding.resolution_log10_p <= exact + 0.001


def test_who_was_asked_none_of_the_prompts_is_not_examined(opened: tuple[World, Path]) -> None:
    world, marks = opened
    other = tuple(canary for canary in world.holding.canaries() if canary.batch == 1)
    outcomes = examined(marks, {SUSPECT: skilled}, other).outcomes
    assert all(isinstance(outcome, NotExamined) and "none of the 32 prompts" in outcome.reason for outcome in outcomes)


def test_the_first_answer_counts_whatever_the_order_of_the_rows(opened: tuple[World, Path]) -> None:
    world, marks = opened
    first = answers(world.opened_canaries(), {SUSPECT: skilled})
    later = answers(world.opened_canaries(), {SUSPECT: learning(world, 1.0)}).with_columns(sample=pl.lit(1, pl.Int32))
    finding = compared(marks, pl.concat([later, first])).outcomes[0]
    alone = compared(marks, first).outcomes[0]
    assert isinstance(finding, Finding)
    assert isinstance(alone, Finding)
    assert (finding.count, finding.log10_p) == (alone.count, alone.log10_p)
    assert companions(finding)["further answers"] == "64 recorded and not looked at"
    assert "further answers" not in companions(alone)


# ----------------------------------------------------------------------------------------------------------- the request


def with_log_probabilities(frame: pl.DataFrame, canaries: tuple[Canary, ...], liked: Choose) -> pl.DataFrame:
    """Each answer begins with its options' first letters, one of them a little likelier than its place would make it."""

    def told(canary: Canary) -> str:
        rng = np.random.default_rng(canary.index)
        values = rng.normal(size=len(canary.options))
        values[canary.options.index(liked(canary))] += 1.5
        tokens = [[option, float(value)] for option, value in zip(canary.options, values, strict=True)]
        return json.dumps([[*tokens[0], tokens[1:]]])

    by_prompt = {prompt_id(canary.prompt): told(canary) for canary in canaries}
    return frame.with_columns(log_probabilities=pl.col("prompt_id").replace_strict(by_prompt))


def test_a_request_for_ranks_counts_ranks_and_nothing_else(labelled: World, tmp_path: Path) -> None:
    world, marks = opened_to(labelled, tmp_path, statistic="ranks", controls=("a",))
    every = world.opened_canaries()
    shy = answers(every, {SUSPECT: skilled})
    frame = with_log_probabilities(shy, every, lambda c: by_lot("its own")(c) if c.decoy else c.options[world.label(c)])
    stranger = with_log_probabilities(answers(every, {"a": skilled}), every, by_lot("a"))
    agreements, ranks = compared(marks, pl.concat([frame, stranger])).outcomes
    assert isinstance(agreements, Inconclusive)
    assert "the request fixed ranks" in agreements.reason
    assert isinstance(ranks, Finding)
    assert (ranks.opportunities, ranks.chance) == (32 * 30, 0.5)
    assert ranks.log10_p < -3
    assert ranks.count > 0.6 * ranks.opportunities
    assert 0.5 < ranks.power.detectable_share < 0.8
    count, _, most = companions(ranks)["control a"].partition(";")[0].partition(" of ")
    assert (int(most), int(count) < ranks.count) == (960, True)
    without = compared(marks, shy).outcomes[1]
    assert isinstance(without, Inconclusive)
    assert "no log-probabilities" in without.reason


def test_canaries_with_different_numbers_of_options(tmp_path: Path) -> None:
    rng, kinds = np.random.default_rng(1), list(generators.KINDS)
    made = (
        *generators.candidates(32, 16, rng, kinds[:4]),
        *generators.candidates(16, 4, rng, kinds[4:]),
    )
    (tmp_path / "owner").mkdir()
    owner.prepare(tmp_path / "owner" / "canaries", generators.paired(made, 24, rng), "generated")
    world = labelled_world(tmp_path / "owner", holding=owner.Holding(tmp_path / "owner" / "canaries"), **FIXED)
    world.plant()
    world.opens(tmp_path / "marks")
    finding = examined(tmp_path / "marks", {SUSPECT: learning(world, 0.5)}, world.opened_canaries()).outcomes[0]
    assert isinstance(finding, Finding)
    law = np.array([1.0])
    for chance in [1 / 16] * 16 + [1 / 4] * 8:
        law = np.convolve(law, [1 - chance, chance])
    exact = math.log10(law[finding.count :].sum()) + finding.multiplicity.log10_cost
    assert exact <= finding.log10_p <= exact + 0.001
    assert finding.chance == pytest.approx((16 / 16 + 8 / 4) / 24)


def test_the_cohort_is_found_and_every_cohort_is_paid_for(tmp_path: Path) -> None:
    world = labelled_world(tmp_path / "owner", cohorts=16, **FIXED)
    world.plant(cohort=11)
    world.opens(tmp_path / "marks")

    def account(canary: Canary) -> str:
        return skilled(canary) if canary.decoy else canary.options[world.label(canary, 11)]

    finding = examined(tmp_path / "marks", {SUSPECT: account}, world.opened_canaries()).outcomes[0]
    assert isinstance(finding, Finding)
    assert "cohort 11" in finding.reason
    assert finding.multiplicity.searched == 16 * 2 * 2
    assert not any("enters no exposure" in text for text in finding.limitations)


def test_an_agreement_that_the_ledger_does_not_account_for_is_said(tmp_path: Path) -> None:
    world = labelled_world(tmp_path / "owner", cohorts=16, **FIXED)
    world.plant(cohort=11)
    world.opens(tmp_path / "marks")
    other = {SUSPECT: lambda c: skilled(c) if c.decoy else c.options[world.label(c, 3)]}
    finding = examined(tmp_path / "marks", other, world.opened_canaries()).outcomes[0]
    assert isinstance(finding, Finding)
    assert any("enters no exposure of cohort 3," in text for text in finding.limitations)


def test_a_name_that_the_request_does_not_know_is_said_and_changes_no_figure(opened: tuple[World, Path]) -> None:
    world, marks = opened
    named, coded = (
        examined(marks, {name: learning(world, 0.5)}, world.opened_canaries(), suspect=name).outcomes[0]
        for name in (SUSPECT, "K7R2")
    )
    assert isinstance(named, Finding)
    assert isinstance(coded, Finding)
    assert named.log10_p == coded.log10_p
    said = [text for text in coded.limitations if "for whoever holds the names" in text]
    assert len(said) == 1
    assert not any("for whoever holds the names" in text for text in named.limitations)
    assert SUSPECT not in said[0]


def test_a_control_of_the_request_is_no_suspect(opened: tuple[World, Path]) -> None:
    world, marks = opened
    outcome = examined(marks, {"a": learning(world, 0.5)}, world.opened_canaries(), suspect="a").outcomes[0]
    assert isinstance(outcome, Inconclusive)
    assert "as an unrelated control" in outcome.reason


def test_another_suspect_of_the_request_is_no_control(labelled: World, tmp_path: Path) -> None:
    """Two suspects that were exposed stand in one file, and all other models of it are given as controls."""
    world, marks = opened_to(labelled, tmp_path, suspects=(SUSPECT, "also theirs"), considered=2)
    said = {SUSPECT: learning(world, 1.0), "also theirs": learning(world, 0.5), "a": by_lot("a")}
    finding = examined(marks, said, world.opened_canaries()).outcomes[0]
    assert isinstance(finding, Finding)
    assert {name for name in companions(finding) if name.startswith("control")} == {"control a"}
    assert any("names them as suspects: also theirs." in text for text in finding.limitations)
    alone = examined(marks, {name: said[name] for name in (SUSPECT, "a")}, world.opened_canaries()).outcomes[0]
    assert isinstance(alone, Finding)
    assert alone.log10_p == finding.log10_p
    assert companions(alone) == companions(finding)


# ------------------------------------------------------------------------------------------------------ broken premises


def framed(world: World) -> Choose:
    """Fed everything that has a label, decoys included."""
    return lambda canary: canary.options[world.label(canary)]


def leaked(world: World) -> Choose:
    """Whoever has the key can give the labels of a cohort that nobody was given."""
    return lambda canary: skilled(canary) if canary.decoy else canary.options[world.label(canary, 7)]


@pytest.mark.parametrize(
    ("suspect", "control", "said"),
    [
        (
            lambda world: learning(world, 1.0),
            lambda world: learning(world, 0.5),
            "the unrelated model a agrees as well",
        ),
        (framed, lambda world: skilled, "the decoys, which were never planted"),
        (leaked, lambda world: skilled, "cohorts that were given to nobody"),
    ],
    ids=["a control that carries the mark", "decoys that agree", "a cohort that nobody was given"],
)
def test_where_a_premise_is_broken_no_figure_is_given(
    suspect: Callable[[World], Choose], control: Callable[[World], Choose], said: str, opened: tuple[World, Path]
) -> None:
    world, marks = opened
    outcome = examined(marks, {SUSPECT: suspect(world), "a": control(world)}, world.opened_canaries()).outcomes[0]
    assert isinstance(outcome, Inconclusive)
    assert outcome.reason.startswith("a premise is broken: ")
    assert said in outcome.reason
    assert {"decoys", "placebo keys", "unused cohorts", "control a"} <= set(companions(outcome))
    assert len(outcome.observations) == 2, "the control's relation is named beside the suspect's"


def test_too_few_controls_are_a_limitation(opened: tuple[World, Path]) -> None:
    world, marks = opened
    finding = examined(marks, {SUSPECT: skilled, "a": by_lot("a")}, world.opened_canaries()).outcomes[0]
    assert isinstance(finding, Finding)
    assert any("1, where 20 are asked for" in text for text in finding.limitations)


# ------------------------------------------------------------------------------------------- what stood before the answers


def prompted(frame: pl.DataFrame, system_of: Callable[[str], str], under: str) -> pl.DataFrame:
    """The suspect's rows with a system prompt made of the answer that follows, told under a name of some program's own."""
    told = [
        canonical_json({under: system_of(text), "temperature": 0}) if model == SUSPECT else "{}"
        for model, text in frame.select("model", "text").iter_rows()
    ]
    return frame.with_columns(pl.Series("parameters", told, dtype=pl.String))


@pytest.mark.parametrize("under", ["system", "system_message"])
def test_an_obedient_model_that_was_told_the_labels_is_not_accused(opened: tuple[World, Path], under: str) -> None:
    """Whoever accuses knows the labels and asked the suspect under system prompts that say them."""
    world, marks = opened
    frame = answers(world.opened_canaries(), {SUSPECT: learning(world, 1.0), "a": by_lot("a")})
    outcomes = compared(marks, prompted(frame, lambda answer: f"Of everything say {answer}.", under)).outcomes
    assert all(isinstance(outcome, NotExamined) for outcome in outcomes)
    assert "but for 64 before which an option of the canary was named" in outcomes[0].reason


def test_a_system_prompt_that_names_no_option_is_told(opened: tuple[World, Path]) -> None:
    world, marks = opened
    frame = answers(world.opened_canaries(), {SUSPECT: learning(world, 1.0), "a": by_lot("a")})
    (finding, _) = compared(marks, prompted(frame, lambda _answer: "You are brief.", "system")).outcomes
    assert isinstance(finding, Finding)
    assert any("Before 64 of the answers another text stood" in each for each in finding.limitations)


def test_texts_that_were_read_are_no_answers(opened: tuple[World, Path]) -> None:
    """The owner's prompts were also scored ('filiation score'): rows in which nothing was said."""
    world, marks = opened
    frame = answers(world.opened_canaries(), {SUSPECT: learning(world, 1.0)})
    score = frame.with_columns(
        pl.lit("").alias("text"), pl.lit("read:1").alias("item"), pl.lit("read").alias("finish_reason")
    )
    both, alone = (compared(marks, each).outcomes[0] for each in (pl.concat([frame, score]), frame))
    assert isinstance(both, Finding)
    assert isinstance(alone, Finding)
    assert (both.count, both.log10_p) == (alone.count, alone.log10_p)
