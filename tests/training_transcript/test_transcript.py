"""Transcripts of a small real training, honest and forged in every way named in docs/independence.md."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given as given_examples
from hypothesis import strategies as st

from filiation.case.ledger import entry_line
from filiation.errors import FiliationError, RecordError, UsageError
from filiation.training_transcript import chain, verification
from filiation.training_transcript.execution import Executed, deviation, re_execute, segments_of
from filiation.training_transcript.folder import LEDGER, TranscriptFolder, checkpoints
from filiation.training_transcript.records import Drawn, Entry, Noted, Plan, StateRecorded
from filiation.training_transcript.states import State, load, save
from filiation.training_transcript.verification import Given, Result, time_of_close, verify
from tests.training_transcript.world import (
    TEXT,
    Clock,
    Owner,
    SmallTrainer,
    copied,
    drawn,
    plan,
    trained,
)

pytestmark = pytest.mark.xdist_group("training transcript")  # what is made for all of them is made once

BEACONS = Path(__file__).parents[1] / "case" / "beacons"


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    return Owner.made(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def honest(owner: Owner, tmp_path_factory: pytest.TempPathFactory) -> TranscriptFolder:
    return owner.trains(tmp_path_factory.mktemp("runs") / "honest", plan(), *trained(plan(), {"text": TEXT}))


def given(
    folder: TranscriptFolder, owner: Owner, *, segments: int = 10, text: bytes = TEXT, noise: float = 0.0
) -> Given:
    draw = drawn(folder, segments)
    return Given(
        keyid=owner.signer.key.keyid,
        authorities=(owner.authority.certificate,),
        model={"table": load(folder.state_file(40))["weights/table"]},
        trainer=SmallTrainer(folder.plan, {"text": text}, noise),
        drawn=draw,
        drawn_again=lambda: drawn(folder, segments),
        state_at=lambda step: load(folder.state_file(step)),
    )


def failed(result: Result) -> set[int]:
    return {check.number for check in result.verification.checks if check.failures}


# --------------------------------------------------------------------------------------------------------------- honest


def test_an_honest_transcript_passes_with_the_same_bytes(honest: TranscriptFolder, owner: Owner) -> None:
    result = verify(honest, given(honest, owner))
    assert failed(result) == set()
    assert result.passed
    assert [one.identical for one in result.found.results] == [True] * 10


def test_only_the_drawn_segments_are_run(honest: TranscriptFolder, owner: Owner) -> None:
    wanted = given(honest, owner, segments=3)
    verify(honest, wanted)
    assert wanted.drawn is not None
    assert wanted.trainer.ran == [(4 * number, 4) for number in wanted.drawn.segments]  # type: ignore[union-attr]


def test_without_anything_given_nothing_is_said_to_have_passed(honest: TranscriptFolder) -> None:
    result = verify(honest, Given())
    assert failed(result) == set()
    assert not result.passed
    assert [check.number for check in result.verification.checks if not check.looked_at] == [5, 6, 7, 8, 9]
    assert any("own copies" in remark for remark in result.verification.remarks)


def test_a_model_saved_in_bfloat16_is_the_last_state_rounded(honest: TranscriptFolder, owner: Owner) -> None:
    import ml_dtypes

    wanted = given(honest, owner, segments=1)
    assert wanted.model is not None
    rounded = {"table": wanted.model["table"].astype(ml_dtypes.bfloat16)}
    assert failed(verify(honest, replace(wanted, model=rounded))) == set()


# --------------------------------------------------------------------------------------------------------------- forged


def stolen_start(owner: Owner, place: Path) -> TranscriptFolder:
    """Training goes on from a stranger's model, and the transcript says that it began with seed 1."""
    wanted, start = plan(), trained(plan(seed=99), {"text": TEXT})[0][-1]
    by = SmallTrainer(wanted, {"text": TEXT})
    states: list[State] = [{"weights/table": start["weights/table"]}]
    made: list[Executed] = []
    for first in range(0, 40, 4):
        made.append(by.run(states[-1], first, 4))
        states.append(made[-1].state)
    return owner.trains(place, wanted, states, made)


def spliced_start(owner: Owner, place: Path) -> TranscriptFolder:
    """The start is that of the seed; after three honest stretches the stolen model stands there instead."""
    wanted = plan()
    states, made = trained(wanted, {"text": TEXT})
    stolen = trained(plan(seed=99), {"text": TEXT})[0][-1]
    by = SmallTrainer(wanted, {"text": TEXT})
    states[4] = stolen
    for number in range(4, 10):
        made[number] = by.run(states[number], 4 * number, 4)
        states[number + 1] = made[number].state
    return owner.trains(place, wanted, states, made)


def interpolated(owner: Owner, place: Path) -> TranscriptFolder:
    """Nothing was trained: every state lies on the straight line from the seed's start to the stolen model."""
    wanted = plan()
    states, made = trained(wanted, {"text": TEXT})
    first, last = states[0]["weights/table"], trained(plan(seed=99), {"text": TEXT})[0][-1]["weights/table"]
    for number in range(1, 11):
        share = np.float32(number / 10)
        table = last if number == 10 else ((1 - share) * first + share * last).astype(np.float32)
        states[number] = {"weights/table": table, "optimiser/momentum": np.zeros_like(first)}
    return owner.trains(place, wanted, states, made)


def swapped_data(owner: Owner, place: Path) -> TranscriptFolder:
    """Trained on other text than the plan names, and the digests of the batches are those of that text."""
    return owner.trains(place, plan(), *trained(plan(), {"text": TEXT[::-1]}))


FORGERIES = {
    "the start is a stolen model": (stolen_start, {6}),
    "a stolen model is put in after honest stretches": (spliced_start, {9}),
    "states are interpolated between seed and stolen model": (interpolated, {9}),
    "other data were read than the plan names": (swapped_data, {9}),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_by_construction_are_caught_where_all_is_run_again(name: str, owner: Owner, tmp_path: Path) -> None:
    forge, caught_by = FORGERIES[name]
    folder = forge(owner, tmp_path / "forged")
    result = verify(folder, given(folder, owner))
    assert failed(result) == caught_by


def test_one_spliced_segment_is_missed_where_it_is_not_drawn(owner: Owner, tmp_path: Path) -> None:
    """What the defence cannot exclude: the segment that holds the splice is number 3, and nobody drew it."""
    folder = spliced_start(owner, tmp_path / "forged")
    seeds = (bytes([number]) * 32 for number in range(200))
    seed = next(seed for seed in seeds if 3 not in drawn(folder, 2, seed).segments)
    wanted = given(folder, owner)
    draw = drawn(folder, 2, seed)
    lucky = verify(folder, replace(wanted, drawn=draw, drawn_again=lambda: draw))
    assert failed(lucky) == set()
    assert 10 ** lucky.found.passes["1"] == pytest.approx(0.8)
    seen = verify(folder, replace(wanted, drawn=draw, drawn_again=lambda: draw, also=(3,)))
    assert failed(seen) == {9}


def test_another_model_is_not_the_last_state(honest: TranscriptFolder, owner: Owner) -> None:
    other = {"table": trained(plan(seed=2), {"text": TEXT})[0][-1]["weights/table"]}
    assert failed(verify(honest, replace(given(honest, owner, segments=1), model=other))) == {5}


def test_a_model_with_more_than_was_trained_is_not_the_last_state(honest: TranscriptFolder, owner: Owner) -> None:
    wanted = given(honest, owner)
    assert wanted.model is not None
    tied = {**wanted.model, "head": wanted.model["table"]}  # one tensor under two names, as tied embeddings are saved
    assert failed(verify(honest, replace(wanted, model=tied))) == set()
    more = {**wanted.model, "adapter": np.ones((2, 2), dtype=np.float32)}
    assert failed(verify(honest, replace(wanted, model=more))) == {5}


def test_another_key_than_the_one_that_was_told_is_said(honest: TranscriptFolder, owner: Owner) -> None:
    result = verify(honest, replace(given(honest, owner), keyid="0" * 64))
    assert failed(result) == {3}
    assert result.verification.checks[2].failures[-1].where == "the key"


def test_data_of_another_kind_given_to_the_trainer(honest: TranscriptFolder, owner: Owner) -> None:
    assert failed(verify(honest, given(honest, owner, text=TEXT + b"!"))) >= {7}


def test_a_segment_that_names_other_data_than_it_read_fails_though_its_end_is_right(honest: TranscriptFolder) -> None:
    segment = segments_of(honest.states)[2]
    lying = replace(segment, end=msgspec.structs.replace(segment.end, batches="0" * 64))
    trainer = SmallTrainer(honest.plan, {"text": TEXT})
    right, wrong = re_execute(honest.plan, [segment, lying], trainer, lambda step: load(honest.state_file(step)))
    assert (right.identical, right.why) == (True, "")
    assert (wrong.identical, wrong.why) == (False, "other data was read than the plan's order gives")


def test_a_deviation_is_a_share_of_the_way() -> None:
    """From (0, 0) to (3, 4) the way is 5; half a unit beside its end is a tenth of it."""
    start, end = {"weights/t": np.zeros(2)}, {"weights/t": np.array([3.0, 4.0])}
    assert deviation(start, end, {"weights/t": np.array([3.0, 4.5])}) == pytest.approx(0.1)
    assert deviation(start, end, end) == 0.0
    assert deviation(end, end, start) == np.inf  # the recorded end did not move
    assert deviation(start, end, {"weights/t": np.array([np.nan, 4.0])}) == np.inf
    assert deviation(start, end, {"weights/t": np.zeros((2, 1))}) == np.inf
    assert deviation({}, end, {"weights/t": np.array([3.0, 4.5])}) == pytest.approx(
        0.1
    )  # what was not there began at zero


def test_segments_that_somebody_chose(honest: TranscriptFolder, owner: Owner) -> None:
    wanted = given(honest, owner, segments=2)
    assert wanted.drawn is not None
    chosen = msgspec.structs.replace(wanted.drawn, segments=(0, 1))
    assert chosen != wanted.drawn
    assert failed(verify(honest, replace(wanted, drawn=chosen))) == {8}


def test_a_beacon_that_spoke_before_the_close_draws_nothing(honest: TranscriptFolder) -> None:
    from filiation.training_transcript.drawing import from_beacon

    beacon = (BEACONS / "testnet-unchained-223344.json").read_bytes()
    closed = honest.closed
    assert closed is not None
    assert closed.announcement is not None
    with pytest.raises(RecordError, match="could know which segments"):
        from_beacon(honest.header.run, honest.head, 10, 3, closed.announcement, beacon, time_of_close(honest))


def test_a_beacon_after_the_close_draws_as_its_randomness_says(honest: TranscriptFolder) -> None:
    from datetime import UTC, datetime

    from filiation.training_transcript.drawing import from_beacon, from_verifier

    beacon = (BEACONS / "testnet-unchained-223344.json").read_bytes()
    assert honest.closed is not None
    assert honest.closed.announcement is not None
    before = datetime(2020, 1, 1, tzinfo=UTC)
    found = from_beacon(honest.header.run, honest.head, 10, 3, honest.closed.announcement, beacon, before)
    randomness = bytes.fromhex(found.randomness)
    assert found.segments == from_verifier(honest.header.run, honest.head, 10, 3, randomness).segments


# ------------------------------------------------------------------------------------------------------------ tolerance


def test_another_platform_passes_within_the_tolerance_that_was_stated(owner: Owner, tmp_path: Path) -> None:
    wanted = plan(tolerance=0.05)
    folder = owner.trains(tmp_path / "run", wanted, *trained(wanted, {"text": TEXT}))
    result = verify(folder, given(folder, owner, noise=1e-5))
    assert failed(result) == set()
    deviations = [one.deviation for one in result.found.results]
    assert all(found is not None and 0.0 < found < 0.05 for found in deviations)
    assert any("way off" in remark for remark in result.verification.remarks)


@pytest.mark.parametrize("forged", ["optimiser/exp_avg_sq/w", "weights/norm"])
def test_a_small_tensor_is_no_free_choice_within_a_tolerance(forged: str) -> None:
    """Whoever may choose Adam's second moments, a millionth of what else moves, chooses where the next segment goes."""
    scales = {"weights/w": 1.0, "weights/norm": 1e-6, "optimiser/exp_avg/w": 1.0, "optimiser/exp_avg_sq/w": 1e-6}
    rng = np.random.default_rng(1)
    start, honest = ({name: scale * rng.normal(size=(8, 8)) for name, scale in scales.items()} for _ in range(2))
    assert deviation(start, honest, {name: array * (1 + 1e-7) for name, array in honest.items()}) < 1e-6
    assert deviation(start, {**honest, forged: np.zeros((8, 8))}, honest) > 0.5


def test_another_platform_fails_where_no_tolerance_was_stated(honest: TranscriptFolder, owner: Owner) -> None:
    assert failed(verify(honest, given(honest, owner, noise=1e-5))) == {9}


def test_interpolation_is_far_outside_a_tolerance(owner: Owner, tmp_path: Path) -> None:
    wanted = plan(tolerance=0.05)
    states, made = trained(wanted, {"text": TEXT})
    states[5] = {name: (states[4][name] + states[6][name]) / 2 for name in states[4]}
    made[5] = SmallTrainer(wanted, {"text": TEXT}).run(states[5], 20, 4)
    folder = owner.trains(tmp_path / "run", wanted, states, made)
    bad = [one.segment for one in verify(folder, given(folder, owner)).found.results if one.why]
    assert bad == [4, 5]


# ------------------------------------------------------------------------------------------------------------ tampering


def test_every_changed_byte_of_the_ledger_is_found(honest: TranscriptFolder, owner: Owner, tmp_path: Path) -> None:
    folder = copied(honest, tmp_path / "copy")
    file = folder.path / LEDGER
    data = file.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(data), size=120):
        changed = bytearray(data)
        changed[place] ^= 1
        file.write_bytes(bytes(changed))
        try:
            again = TranscriptFolder.open(folder.path)
            assert failed(verify(again, Given(keyid=owner.signer.key.keyid))), place
        except FiliationError:
            pass


def test_an_earlier_time_cannot_be_had_by_leaving_the_stamp_away(
    honest: TranscriptFolder, owner: Owner, tmp_path: Path
) -> None:
    folder = copied(honest, tmp_path / "copy")
    for stamp in (folder.path / "checkpoints").glob("*.tsr"):
        stamp.unlink()
    assert failed(verify(folder, Given(keyid=owner.signer.key.keyid))) == {3, 4}


def test_a_checkpoint_in_the_middle_cannot_be_taken_away(owner: Owner, tmp_path: Path) -> None:
    clock = Clock()
    folder = owner.opens(tmp_path / "run", plan(), clock)
    for text in ("first", "second", "third"):
        folder.append(Noted(text=text), now=clock())
        folder.checkpoint(owner.signer, now=clock())
    for name in ("000003.json", "000003.receipt.json"):
        (folder.path / "checkpoints" / name).unlink()
    checks = verify(folder, Given()).verification.checks
    assert [failure.where for failure in checks[2].failures] == ["checkpoint 4"]


def test_a_trusted_certificate_is_the_same_however_its_file_is_written(honest: TranscriptFolder, owner: Owner) -> None:
    rewritten = b"as published\r\n" + owner.authority.certificate.replace(b"\n", b"\r\n")
    result = verify(honest, Given(keyid=owner.signer.key.keyid, authorities=(rewritten,)))
    assert failed(result) == set()
    assert result.stamps


def test_an_authority_of_the_owners_own_does_not_count_where_the_verifier_trusts_another(
    honest: TranscriptFolder, tmp_path: Path
) -> None:
    other = Owner.made(tmp_path / "other").authority.certificate
    assert failed(verify(honest, Given(authorities=(other,)))) == {4}


def test_a_rewritten_history_has_another_root_and_another_signature(
    honest: TranscriptFolder, owner: Owner, tmp_path: Path
) -> None:
    """Somebody without the key writes all entries anew with one other loss."""
    folder = copied(honest, tmp_path / "copy")
    clock = Clock()
    entries: list[Entry] = []
    for entry in folder.entries:
        body = entry.body
        if isinstance(body, StateRecorded) and body.step == 8:
            body = msgspec.structs.replace(body, losses=(0.5, *body.losses[1:]))
        entries.append(chain.next_entry(entries, folder.header, body, clock()))
    (folder.path / LEDGER).write_bytes(b"".join(map(entry_line, entries)))
    assert failed(verify(TranscriptFolder.open(folder.path), Given())) == {2, 3}


# --------------------------------------------------------------------------------------------------------------- writing


def test_what_may_not_stand_in_a_transcript_is_refused(owner: Owner, tmp_path: Path) -> None:
    clock, wanted = Clock(), plan()
    folder = owner.opens(tmp_path / "run", wanted, clock)
    state = SmallTrainer(wanted, {"text": TEXT}).initial()
    with pytest.raises(UsageError, match="the plan has 0 next"):
        folder.record_state(state, 4, now=clock(), batches="0" * 64)
    folder.record_state(state, 0, now=clock())
    with pytest.raises(UsageError, match="digest of the batches"):
        folder.record_state(state, 4, now=clock())
    with pytest.raises(UsageError, match="as many losses or none"):
        folder.record_state(state, 4, now=clock(), batches="0" * 64, losses=[1.0])
    with pytest.raises(UsageError, match="planned states are not recorded"):
        folder.close(now=clock())
    folder.close(now=clock(), remark="the machine was needed elsewhere")
    with pytest.raises(UsageError, match="closed before"):
        folder.append(Noted(text="one more thing"), now=clock())


def test_a_plan_of_trillions_of_states_is_read_and_said_to_lack_them(owner: Owner, tmp_path: Path) -> None:
    wanted = msgspec.structs.replace(plan(), steps=10**15, every=1)
    folder = owner.opens(tmp_path / "run", wanted, Clock())
    folder.record_state(SmallTrainer(wanted, {"text": TEXT}).initial(), 0, now=Clock()())
    result = verify(TranscriptFolder.open(folder.path), Given())
    assert result.verification.checks[1].failures[0].what == f"{10**15} planned states are missing"


@given_examples(st.integers(1, 60), st.integers(1, 60))
def test_the_planned_states_are_the_beginning_every_so_many_steps_and_the_end(steps: int, every: int) -> None:
    wanted = msgspec.structs.replace(plan(), steps=steps, every=every)
    assert wanted.recorded_steps == (*range(0, steps, every), steps)
    assert len(wanted.recorded_steps) == wanted.planned_states


def test_checkpoints_are_read_by_number_and_not_by_name(owner: Owner, tmp_path: Path) -> None:
    folder = owner.opens(tmp_path / "run", plan(), Clock())
    folder.checkpoint(owner.signer, now=Clock()(), stampers=[owner.authority])
    place = folder.path / "checkpoints"
    for name in ("000001.json", "000001.receipt.json", f"000001.{owner.authority.name}.tsr"):
        for number in ("999999", "1000000"):
            (place / name.replace("000001", number)).write_bytes((place / name).read_bytes())
    found = checkpoints(folder.path)
    assert [one.sequence for one in found] == [1, 999_999, 1_000_000]
    assert len({(one.data, one.receipt, *one.stamps.items()) for one in found}) == 1
    assert list(found[0].stamps) == [owner.authority.name]


def test_times_never_go_back(owner: Owner, tmp_path: Path) -> None:
    clock = Clock()
    folder = owner.opens(tmp_path / "run", plan(), clock)
    folder.append(Noted(text="later"), now=clock() + timedelta(hours=1))
    with pytest.raises(UsageError, match="earlier than that of the entry before"):
        folder.append(Noted(text="earlier"), now=clock())
    first, second = folder.entries
    earlier = msgspec.structs.replace(second, time="2020-01-01T00:00:00Z")
    with pytest.raises(RecordError, match="earlier than that of the entry before"):
        chain.parse(entry_line(first) + entry_line(earlier), folder.header)


def test_only_the_last_line_may_be_torn(honest: TranscriptFolder) -> None:
    lines = [entry_line(entry) for entry in honest.entries]
    assert chain.parse(b"".join(lines[:3]) + lines[3][:-5], honest.header) == (honest.entries[:3], lines[3][:-5])
    with pytest.raises(RecordError, match="not the canonical JSON"):
        chain.parse(b"".join([*lines[:3], b"{}\n", *lines[3:]]), honest.header)
    with pytest.raises(RecordError, match="not the canonical JSON"):
        chain.parse(b"".join(lines) + b"{", honest.header)  # behind the close nothing is torn


def test_a_draw_of_another_transcript_is_none_of_this(honest: TranscriptFolder, owner: Owner) -> None:
    """Whoever draws anew gets the same: only the head, or the run, is that of another transcript."""
    for change in ({"head": "0" * 64}, {"run": "cd" * 16}):
        draw = msgspec.structs.replace(drawn(honest, 3), **change)
        told = replace(given(honest, owner, segments=3), drawn=draw, drawn_again=lambda draw=draw: draw)
        assert failed(verify(honest, told)) == {8}


def test_an_interrupted_write_is_cut_and_told(owner: Owner, tmp_path: Path) -> None:
    clock = Clock()
    folder = owner.opens(tmp_path / "run", plan(), clock)
    with (folder.path / LEDGER).open("ab") as file:
        file.write(b'{"body":{"act')
    again = TranscriptFolder.open(folder.path)
    again.record_state(SmallTrainer(plan(), {"text": TEXT}).initial(), 0, now=clock())
    bodies = [entry.body for entry in TranscriptFolder.open(folder.path).entries]
    assert [type(body).__name__ for body in bodies] == ["Opened", "Noted", "StateRecorded"]


def test_two_writers_do_not_mix(owner: Owner, tmp_path: Path) -> None:
    clock = Clock()
    folder = owner.opens(tmp_path / "run", plan(), clock)
    other = TranscriptFolder.open(folder.path)
    other.append(Noted(text="I write, too"), now=clock())
    with pytest.raises(RecordError, match="changed by something else"):
        folder.append(Noted(text="so do I"), now=clock())


def test_a_checkpoint_without_its_authority_says_why(owner: Owner, tmp_path: Path) -> None:
    from filiation.case.time_stamps import HttpStamper

    folder = owner.opens(tmp_path / "run", plan(), Clock())
    with owner.authority.serving("hang") as address:
        authority = msgspec.structs.replace(owner.authority.authority, url=address)
        stamper = HttpStamper(authority, owner.authority.certificate, timeout=0.2)
        predicate = folder.checkpoint(owner.signer, now=Clock()(), stampers=[stamper])
    assert predicate.stamps == ()
    assert "did not answer" in predicate.unstamped


def test_one_entry_can_be_shown_and_the_others_kept_back(honest: TranscriptFolder) -> None:
    from filiation.case.merkle import root_from
    from filiation.evidence import canonical

    closed = honest.closed
    assert closed is not None
    tree = chain.merkle_tree(honest.entries)
    shown = canonical(honest.entries[5])
    assert root_from(shown, 5, closed.leaves, tree.path(5)).hex() == closed.root


def test_the_same_state_gives_the_same_file(tmp_path: Path) -> None:
    state = SmallTrainer(plan(), {"text": TEXT}).initial()
    save(state, tmp_path / "one")
    save(dict(reversed(list(load(tmp_path / "one").items()))), tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_drawn_is_a_record_that_a_verifier_can_keep(honest: TranscriptFolder) -> None:
    found = drawn(honest, 3)
    assert msgspec.json.decode(msgspec.json.encode(found), type=Drawn) == found


PAGE = Path(__file__).parents[2] / "docs" / "independence.md"


def test_the_plan_on_the_page_is_one() -> None:
    written = PAGE.read_text(encoding="utf-8").split("```json\n")[1].split("```")[0]
    found = msgspec.json.decode(written, type=Plan)
    assert found.recorded_steps[:3] == (0, 500, 1000)


def test_the_page_lists_the_checks_that_are_made() -> None:
    page = PAGE.read_text(encoding="utf-8")
    made = (verification.__doc__ or "").split("\n\n")[1]
    assert made in page
    assert list(verification.TITLES) == list(range(1, 10))
