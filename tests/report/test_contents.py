"""Contents: the record rearranged, and pictures that are drawn only from what they should be."""

from __future__ import annotations

import msgspec
import pytest

from filiation.evidence import Examination, Proposition, Relations
from filiation.report import contents as report_contents
from filiation.report.contents import contents
from filiation.report.html import html
from tests.report import sample


def with_pair_content(examination: Examination, examiner: str, **content) -> Examination:
    relations = examination.relations[examiner]
    pair = msgspec.structs.replace(relations.pair, content=relations.pair.content | content)
    changed = examination.relations | {examiner: msgspec.structs.replace(relations, pair=pair)}
    return msgspec.structs.replace(examination, relations=changed)


def test_every_outcome_is_told_exactly_once():
    examination = sample.examination()
    told = [section.outcome for part in contents(examination).propositions for section in part.outcomes]
    assert sorted(outcome.id for outcome in told) == sorted(outcome.id for outcome in examination.outcomes)


@pytest.mark.parametrize("examination", [sample.of_packs(), sample.files_and_answers()])
def test_every_outcome_is_told_once_or_folded(examination):
    told = contents(examination)
    apart = [section.outcome for part in told.propositions for section in part.outcomes]
    together = [outcome for fold in told.folded for outcome in fold.outcomes]
    assert sorted(o.id for o in [*apart, *together]) == sorted(o.id for o in examination.outcomes)
    assert all(outcome in told.not_examined for outcome in together)


def test_shared_reasons_are_folded_with_everybody_counted():
    folds = contents(sample.of_packs()).folded
    assert [(fold.reason, fold.parts, len(fold.outcomes)) for fold in folds] == [
        (sample.WITHOUT.strip(), ("configuration", "tokenizer", "weights"), 8),
        (sample.UNREAD, (), 3),
    ]
    # Of 'service' another test was examined, so that its test is named, and not the examiner.
    assert [fold.named for fold in folds] == [
        (("architecture.design-rarity", 1), ("tokenizer", 4), ("weights", 3)),
        (("verbatim", 2), ("service.samples", 1)),
    ]


def test_what_is_folded_has_no_proposition_left_over_and_a_reason_of_one_test_is_not_folded():
    told = contents(sample.of_packs())
    assert [part.proposition for part in told.propositions] == list(Proposition)[3:6]
    assert "teacher.vendor" in [section.outcome.test for section in told.propositions[0].outcomes]
    assert contents(sample.files_and_answers()).propositions == ()
    assert contents(sample.bare()).folded == ()


def test_two_inconclusive_outcomes_of_one_reason_are_not_folded():
    examination = sample.examination()
    inconclusive = examination.outcomes[-1]
    again = msgspec.structs.replace(inconclusive, id="again", test="weights.again")
    assert contents(msgspec.structs.replace(examination, outcomes=(inconclusive, again))).folded == ()


def test_controls_of_packs_are_counted_once_over_all_line_ups():
    told = contents(sample.recorded_answers())
    assert (told.pack_controls, told.packs) == (104, (sample.PACK,))
    assert sum(place.model.origin == "pack" for ranking in told.rankings for place in ranking.places) == 208
    assert (contents(sample.examination()).pack_controls, contents(sample.examination()).packs) == (0, ())


@pytest.mark.parametrize(
    ("examination", "silent"), [(sample.nothing_shared(), True), (sample.recorded_answers(), False)]
)
def test_a_line_up_of_one_score_ranks_nothing(examination, silent):
    section = contents(examination).propositions[0].outcomes[0]
    assert section.ranking.ranks_nothing is silent


def test_propositions_come_in_their_fixed_order():
    told = [
        [part.proposition for part in contents(examination).propositions]
        for examination in (sample.examination(), sample.recorded_answers())
    ]
    assert told == [list(Proposition)[:3], list(Proposition)[3:6]]


def test_a_line_up_is_read_wherever_its_examiner_put_it():
    outputs, guardrails, service = contents(sample.recorded_answers(score=1.5)).propositions
    for part in (outputs, guardrails):
        ranking = part.outcomes[0].ranking
        assert ranking.packs == (sample.PACK,)
        assert (len(ranking.places), len(ranking.lineages), ranking.left_out) == (142, 70, 1)
        assert [place.score for place in ranking.places] == sorted((p.score for p in ranking.places), reverse=True)
        assert ranking.places[[place.role for place in ranking.places].index("suspect")] == ranking.suspect
        assert part.outcomes[0].line_up is None
        assert not [c for c in part.outcomes[0].other_components if c.kind in ("suspect", "control")]
    finding = outputs.outcomes[0].outcome
    assert outputs.outcomes[0].ranking.above == finding.count > 0
    assert [len(outputs.outcomes[0].held_out), len(outputs.outcomes[0].beside)] == [4, 1]
    assert service.outcomes[0].ranking is None


def test_a_line_up_is_counted_as_its_finding_counts_it():
    """Undeclared lineages and two spellings of one: the picture says what the rank says."""
    examination = sample.recorded_answers(score=0.5, undeclared=True)
    section = contents(examination).propositions[0].outcomes[0]
    assert (section.ranking.above, len(section.ranking.lineages)) == (
        section.outcome.count,
        section.outcome.opportunities,
    )
    assert section.outcome.opportunities == 70
    assert any("no declared lineage" in limit for limit in section.outcome.limitations)


def test_the_places_named_are_the_first_and_the_suspects():
    ranking = contents(sample.recorded_answers(score=-9.0)).propositions[0].outcomes[0].ranking
    numbers = [number for number, _ in ranking.named]
    assert numbers == [*range(1, report_contents.MOST_PLACES + 1), 142]
    assert ranking.named[-1][1].role == "suspect"


@pytest.mark.parametrize(
    "broken",
    [{"entrants": 3}, {"entrants": []}, {"scores": [[1]]}, {"scores": [["a"] * 143]}, {"scores": []}, {"packs": 3},
     {"summary": {}}, {"entrants": [{"name": 1}] * 143}],
)  # fmt: skip
def test_a_line_up_that_is_not_what_it_should_be_is_left_out(broken):
    examination = with_pair_content(sample.recorded_answers(), "text_kinship", **broken)
    assert contents(examination).propositions[0].outcomes[0].ranking is None
    assert html(examination)


def test_every_conclusion_with_a_ratio_is_carried_by_exactly_one_finding():
    examination = sample.examination()
    carried = [section.conclusion for part in contents(examination).propositions for section in part.findings]
    with_ratio = [c for c in examination.conclusions if c.log10_likelihood_ratio is not None]
    assert [carried.count(conclusion) for conclusion in with_ratio] == [1] * len(with_ratio)


def test_a_merged_finding_does_not_carry_the_ratio_of_another():
    examination = sample.examination()
    merged = msgspec.structs.replace(
        examination.conclusions[2], merged_ids=("outcome-weights.index_coincidence", "outcome-weights.double_matching")
    )
    told = contents(msgspec.structs.replace(examination, conclusions=(merged,)))
    weights = next(part for part in told.propositions if part.proposition is Proposition.WEIGHTS)
    carrying = [section.outcome.test for section in weights.findings if section.conclusion is not None]
    assert carrying == ["weights.double_matching"]
    assert weights.findings[0].conclusion == merged
    assert weights.findings[1].entered == merged


def test_line_up_holds_suspect_and_controls_by_share():
    part = contents(sample.examination(related=True)).propositions[1]
    rows = part.findings[0].line_up.rows
    assert [row.role for row in rows] == ["suspect", "control", "control", "control"]
    assert [row.tally.share for row in rows] == sorted((row.tally.share for row in rows), reverse=True)


GOOD = {"first_layers": 2, "second_layers": 2, "counts": [[1, 0], [0, 1]], "opportunities": [[4, 4], [4, 4]]}


@pytest.mark.parametrize(
    "broken",
    [
        GOOD | {"counts": [[1, 0]]},
        GOOD | {"counts": [[9, 0], [0, 1]]},
        GOOD | {"counts": [[-1, 0], [0, 1]]},
        GOOD | {"counts": "many"},
        GOOD | {"first_layers": 10**9},
        GOOD | {"first_layers": 0, "counts": [], "opportunities": []},
        {"counts": [[1]]},
        [1, 2],
    ],
    ids=[
        "too few rows",
        "more than possible",
        "negative",
        "not a table",
        "absurd",
        "empty",
        "fields missing",
        "a list",
    ],
)
def test_a_map_that_is_not_what_it_should_be_is_left_out_and_said_to_be(broken):
    examination = with_pair_content(sample.examination(), "weights", layer_map=broken)
    weights = contents(examination).propositions[2]
    assert weights.layer_map is None
    assert any("layer_map" in remark for remark in weights.remarks)
    assert "layer_map could not be drawn" in html(examination)


def test_a_map_with_layers_that_had_no_opportunities_is_drawn():
    layers = GOOD | {"counts": [[0, 0], [0, 1]], "opportunities": [[0, 0], [4, 4]]}
    examination = with_pair_content(sample.examination(), "weights", layer_map=layers)
    assert contents(examination).propositions[2].layer_map is not None
    assert 'class="empty"' in html(examination)


def test_a_missing_map_is_no_remark():
    examination = with_pair_content(sample.examination(), "weights", layer_map=None)
    assert contents(examination).propositions[2].remarks == ()


@pytest.mark.parametrize("summary", [None, 3, {}, {"t": 3}, {"t": {"count": 5, "opportunities": 4}},
                                     {"t": {"count": 0, "opportunities": 0}}, {"t": {"count": "5"}}])  # fmt: skip
def test_a_summary_without_a_usable_tally_gives_no_line_up(summary):
    assert report_contents.tally({"summary": summary}, "t") is None


def test_order_plot_is_thinned_to_what_can_be_seen():
    points = [[n, n] for n in range(100_000)]
    examination = with_pair_content(sample.examination(), "tokenizer", order_plot={"points": points})
    plot = contents(examination).propositions[1].order_plot
    assert 1000 <= len(plot.thinned().points) <= report_contents.MOST_POINTS


def test_a_rank_among_lineages_draws_no_chance_on_the_axis_of_shares():
    examination = sample.examination()
    relation = examination.relations["weights"].pair
    summary = {"summary": {"architecture.population": {"count": 9, "opportunities": 13}}}
    pair = msgspec.structs.replace(relation, examiner="architecture", content=summary)
    changed = examination.relations | {"architecture": Relations(pair=pair)}
    design = contents(msgspec.structs.replace(examination, relations=changed)).propositions[0]
    assert design.findings[0].line_up.chance is None
    assert contents(examination).propositions[1].findings[0].line_up.chance == 0.65


@pytest.mark.parametrize("points", [[[-1, 2]], [[1]], [["a", "b"]], 5])
def test_an_order_plot_that_is_not_what_it_should_be_is_left_out_and_said_to_be(points):
    tokenizer = contents(
        with_pair_content(sample.examination(), "tokenizer", order_plot={"points": points})
    ).propositions[1]
    assert tokenizer.order_plot is None
    assert tokenizer.remarks


def test_vocabularies_that_share_no_token_have_no_order_plot_and_no_remark():
    tokenizer = contents(with_pair_content(sample.examination(), "tokenizer", order_plot={"points": []})).propositions[
        1
    ]
    assert (tokenizer.order_plot, tokenizer.remarks) == (None, ())
