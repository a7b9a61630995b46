"""Truth comes from how each tokenizer was made: real small training, and orders put together here."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.evidence import (
    Absent,
    Finding,
    Identity,
    Inconclusive,
    Null,
    Outcome,
    Relation,
    Relations,
    canonical,
)
from filiation.examiners import tokenizer as examiner
from filiation.examiners.examiner import Subject
from filiation.measures.token_order import Signature, order_by_function, sign
from filiation.report.wording import forbidden_words
from filiation.sources.open import open_source
from filiation.sources.tokenizers import TokenizerDefinition, tokenizer_from_json
from filiation.statistics.register import Calibration, empty, load
from tests.sources.small_tokenizers import extended, made_of, permuted_ids, trained, words

Open = Callable[[str, bytes], Subject]


@pytest.fixture
def subject(tmp_path: Path) -> Open:
    """Write a tokenizer.json, open it as a user would, and observe it."""

    def opened(name: str, data: bytes) -> Subject:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tokenizer.json").write_bytes(data)
        source = open_source(str(folder / "tokenizer.json"), name=name)
        observed = examiner.observe(source)
        assert not isinstance(observed, Absent)
        return Subject(source=source, observation=observed)

    return opened


def calibration() -> Calibration:
    return load("tokenizer")


def judged(relations: Relations, controls: tuple[Identity, ...] = ()) -> dict[str, Outcome]:
    outcomes = examiner.judge(relations, controls, calibration())
    assert [outcome.test for outcome in outcomes] == [test.id for test in examiner.TESTS]
    return {outcome.test.removeprefix("tokenizer."): outcome for outcome in outcomes}


def related(first: Subject, second: Subject) -> Relation:
    relation = examiner.relate(first, second, seed=0)
    assert isinstance(relation, Relation)
    return relation


def compared(
    first: TokenizerDefinition, second: TokenizerDefinition, public: tuple[Signature, ...] = ()
) -> dict[str, Outcome]:
    content = examiner.relate_definitions(first, second, public)
    pair = Relation(examiner="tokenizer", examiner_version="1", first="a", second="b", seed=0, content=content)
    return judged(Relations(pair=pair))


def finding(outcome: Outcome) -> Finding:
    assert isinstance(outcome, Finding), outcome.reason
    return outcome


def inconclusive(outcome: Outcome) -> Inconclusive:
    assert isinstance(outcome, Inconclusive)
    return outcome


# ---------------------------------------------------------------------------------------------- relations of known truth


def test_a_copy_with_permuted_ids_is_found_by_its_merges_and_not_by_its_ids(subject: Open) -> None:
    first = subject("reference", trained("bpe"))
    outcomes = judged(Relations(pair=related(first, subject("permuted", permuted_ids(trained("bpe"), 5)))))
    merges = finding(outcomes["merge-order"])
    assert merges.count == merges.opportunities > 900
    assert merges.log10_p < -150
    assert merges.log10_p == pytest.approx(merges.resolution_log10_p)
    assert finding(outcomes["token-ids"]).log10_p > -1
    assert finding(outcomes["part"]).log10_p < -12


def test_tokenizers_trained_on_other_text_are_not_accused(subject: Open) -> None:
    first, second = subject("reference", trained("bpe")), subject("stranger", trained("bpe", 1))
    for outcome in judged(Relations(pair=related(first, second))).values():
        assert finding(outcome).log10_p > -1
        assert finding(outcome).log10_e < 0


def test_unigram_copies_are_found_and_strangers_are_not(subject: Open) -> None:
    first = subject("reference", trained("unigram"))
    copy = judged(Relations(pair=related(first, subject("copy", trained("unigram")))))
    stranger = judged(Relations(pair=related(first, subject("stranger", trained("unigram", 1)))))
    assert finding(copy["merge-order"]).log10_p < -100
    assert finding(stranger["merge-order"]).log10_p > -1
    assert "not validated" in inconclusive(copy["part"]).reason


def test_an_extended_vocabulary_is_found(subject: Open) -> None:
    longer = extended(trained("bpe"), trained("bpe", 1))
    outcomes = judged(Relations(pair=related(subject("reference", trained("bpe")), subject("longer", longer))))
    assert finding(outcomes["merge-order"]).log10_p < -150


def test_training_on_the_same_text_by_the_same_recipe_is_what_the_relation_says(subject: Open) -> None:
    again = subject("again", trained("bpe", 0, 2500))
    outcome = judged(Relations(pair=related(subject("reference", trained("bpe")), again)))["merge-order"]
    assert finding(outcome).log10_p < -100
    assert "or trained on all but the same text by the same recipe" in outcome.relation_class


def test_a_part_taken_is_found_where_the_whole_shows_little() -> None:
    rng = np.random.default_rng(4)
    reference = words(40_000, 12)
    rest = reference[5000:]
    suspect = reference[:5000] + [rest[place] for place in rng.permutation(len(rest))]
    outcomes = compared(made_of(reference), made_of(suspect))
    assert finding(outcomes["merge-order"]).log10_p > -1
    part = finding(outcomes["part"])
    assert part.log10_p < -100
    assert part.multiplicity.searched == len(part.components) == 38
    assert part.multiplicity.log10_cost == pytest.approx(np.log10(38))
    assert "first 1/8" in part.reason
    assert {component.kind for component in part.components} == {"part"}


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_random_orders_are_never_accused(seed: int) -> None:
    reference = words(2000, 20)
    suspect = [reference[place] for place in np.random.default_rng(seed).permutation(2000)]
    for outcome in compared(made_of(reference), made_of(suspect)).values():
        if isinstance(outcome, Finding):
            assert outcome.log10_p > -3


def test_exchanging_the_roles_gives_the_same_figures(subject: Open) -> None:
    first, second = subject("a", trained("bpe")), subject("b", trained("bpe", 1))
    there, back = judged(Relations(pair=related(first, second))), judged(Relations(pair=related(second, first)))
    for name in ("merge-order", "token-ids", "part"):
        assert (finding(there[name]).count, there[name].log10_p) == (finding(back[name]).count, back[name].log10_p)  # type: ignore[union-attr]


# ------------------------------------------------------------------------------------------------- a common ancestor


@cache
def family(copied_tail: bool) -> tuple[TokenizerDefinition, TokenizerDefinition, tuple[Signature, ...]]:
    """Two tokenizers that extend one public tokenizer by the same 16,000 tokens, in the same order or in their own."""
    public = words(20_000, 31)
    known = set(public)
    tail = [word for word in words(17_000, 32) if word not in known][:16_000]
    order = range(16_000) if copied_tail else np.random.default_rng(6).permutation(16_000).tolist()
    first, second = made_of(public + tail), made_of(public + [tail[place] for place in order])
    ancestor = order_by_function(made_of(public))
    unrelated = order_by_function(made_of(words(20_000, 33)))
    return (
        first,
        second,
        (
            sign(ancestor, name="Public One", published="2020-05", source="made here"),
            sign(unrelated, name="Public Two", published="2019-01", source="made here"),
        ),
    )


def test_two_that_extend_one_public_tokenizer_are_explained_by_it() -> None:
    outcomes = compared(*family(copied_tail=False))
    whole = finding(outcomes["merge-order"])
    assert whole.log10_p < -200
    assert whole.conditional_on == (
        "not each taken from the public tokenizer Public One (public since 2020-05), whose order both follow",
    )
    assert [companion.name for companion in whole.companions] == ["a common public ancestor"]
    assert "Public One" in whole.companions[0].value
    beyond = finding(outcomes["beyond-public"])
    assert beyond.log10_p > -1
    assert 65 <= beyond.opportunities < 200


def test_what_was_taken_beyond_the_public_tokenizer_is_found() -> None:
    beyond = finding(compared(*family(copied_tail=True))["beyond-public"])
    assert beyond.count == beyond.opportunities
    assert beyond.log10_p < -12


def test_nothing_is_left_outside_a_public_tokenizer_that_both_use_as_it_is() -> None:
    public = made_of(words(20_000, 31))
    signature = sign(order_by_function(public), name="Public One", published="2020-05", source="made here")
    outcome = compared(public, public, (signature,))["beyond-public"]
    assert "both follow the order of Public One" in inconclusive(outcome).reason


def test_the_shipped_table_of_public_tokenizers_is_small_and_sound() -> None:
    table = examiner.public_tokenizers()
    assert len(table) >= 15
    assert len(canonical(msgspec.to_builtins(list(table)))) < 150_000
    assert {"cl100k (GPT-4)", "o200k (GPT-4o)", "GPT-2 (r50k)"} <= {signature.name for signature in table}
    for signature in table:
        hashes = signature.ordered()
        assert len(np.unique(hashes)) > 0.99 * len(hashes)
        assert abs(len(hashes) - signature.tokens / 64) < 6 * np.sqrt(signature.tokens / 64)
        assert signature.source


# --------------------------------------------------------------------------------------------------- not knowing, why


def test_a_kind_that_was_not_calibrated_is_inconclusive(subject: Open) -> None:
    data = trained("wordpiece", vocabulary=1000)
    outcomes = judged(Relations(pair=related(subject("a", data), subject("b", data))))
    for outcome in outcomes.values():
        assert inconclusive(outcome).reason == "not validated for wordpiece tokenizers"


def test_without_calibration_nothing_is_said(subject: Open) -> None:
    pair = related(subject("a", trained("bpe")), subject("b", trained("bpe")))
    for outcome in examiner.judge(Relations(pair=pair), (), empty("tokenizer")):
        assert isinstance(outcome, Inconclusive)


def test_too_few_shared_tokens_are_inconclusive_with_the_number() -> None:
    few = words(300, 41)
    outcomes = compared(made_of(few), made_of(few))
    assert "only 150 pairs" in inconclusive(outcomes["merge-order"]).reason


def test_a_tokenizer_without_any_order_is_inconclusive() -> None:
    nothing = json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}).encode()
    outcomes = compared(tokenizer_from_json(nothing, "a"), made_of(words(1000, 1)))
    assert all(isinstance(outcome, Inconclusive) for outcome in outcomes.values())


def test_alphabetical_orders_say_nothing_however_well_they_agree() -> None:
    alphabetical = sorted(words(3000, 42))
    outcomes = compared(made_of(alphabetical), made_of(alphabetical))
    assert "nobody had to learn" in inconclusive(outcomes["merge-order"]).reason


def test_a_source_without_tokenizer_passes_its_reason_on(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    observed = examiner.observe(open_source(str(tmp_path)))
    assert isinstance(observed, Absent)
    assert observed.reason


# -------------------------------------------------------------------------------------------------------- the record


def test_judging_from_the_stored_record_gives_the_same_bytes(subject: Open) -> None:
    pair = related(subject("a", trained("bpe")), subject("b", trained("bpe", 1)))
    stored = msgspec.json.decode(msgspec.json.encode(Relations(pair=pair)), type=Relations)
    first = examiner.judge(Relations(pair=pair), (), calibration())
    assert canonical(list(first)) == canonical(list(examiner.judge(stored, (), calibration())))


def test_relations_hold_integers_only(subject: Open) -> None:
    def floats(value: Any) -> list[float]:
        if isinstance(value, dict):
            return [found for item in value.values() for found in floats(item)]
        if isinstance(value, list):
            return [found for item in value for found in floats(item)]
        return [value] if isinstance(value, float) else []

    content = related(subject("a", trained("bpe")), subject("b", trained("bpe", 1))).content
    assert floats(content) == []
    assert 0 < len(content["order_plot"]["points"]) <= 1500


def test_a_control_that_both_follow_is_named_and_lineages_are_ranked(subject: Open) -> None:
    reference, suspect = subject("reference", trained("bpe")), subject("suspect", trained("bpe", 0, 2500))
    ancestor, stranger = subject("ancestor", trained("bpe", 0, 2800)), subject("stranger", trained("bpe", 1))
    controls = [ancestor, stranger]
    relations = Relations(
        pair=related(reference, suspect),
        reference_by_control=tuple(related(reference, control) for control in controls),
        control_by_suspect=tuple(related(control, suspect) for control in controls),
    )
    identities = tuple(Identity(name=control.observation.exhibit, format="tokenizer.json") for control in controls)
    outcome = finding(judged(relations, identities)["merge-order"])
    assert outcome.conditional_on == ("not each taken from the control ancestor, whose order both follow",)
    ranked = [companion for companion in outcome.companions if companion.null is Null.POPULATION]
    assert [companion.value for companion in ranked] == ["2 of 3"]
    assert outcome.lineages.controls == ("ancestor", "stranger")


def test_no_sentence_says_what_a_report_may_not(subject: Open) -> None:
    pair = related(subject("a", trained("bpe")), subject("b", trained("bpe", 1)))
    every = [*examiner.judge(Relations(pair=pair), (), calibration()), *compared(*family(copied_tail=False)).values()]
    text = " ".join([canonical(every).decode(), *examiner.LIMITATIONS, *examiner.ASSUMPTIONS, examiner.QUESTION])
    assert forbidden_words(text) == ()


def test_the_register_is_within_its_own_promise() -> None:
    for entry in calibration().entries:
        assert entry.chance in (0.65, 0.8)
        assert all(strangers.exceeding == 0 for strangers in entry.strangers)
        assert max(strangers.largest_share for strangers in entry.strangers) <= (0.5 + entry.chance) / 2
