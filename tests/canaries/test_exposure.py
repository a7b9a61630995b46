"""Planting and the exposure ledger: what was exposed is entered, decoys never are, and no line can be changed, dropped or moved."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from filiation.canaries import exposure, labels, owner, planting
from filiation.canaries.canary import parsed
from filiation.case.commitments import signed
from filiation.case.signing import new_signer
from filiation.errors import FiliationError, MalformedSource, RecordError, UsageError
from tests.canaries.world import KEY, OTHER_KEY, World, hour, labelled_world, ledger_of

# -------------------------------------------------------------------------------------------------------------- planting


def test_planted_lines_hold_the_labelled_option_in_every_paraphrase(world: World) -> None:
    planted = world.plant(batches=(0, 1))
    lines = [json.loads(line)["messages"] for line in planted.lines]
    by_prompt = {prompt: canary for canary in world.holding.canaries() for prompt in canary.prompts}
    for user, assistant in lines:
        canary = by_prompt[user["content"]]
        assert not canary.decoy
        assert parsed(assistant["content"], canary.options, canary.parser) == world.label(canary)
    assert Counter(planted.exposures.values()) == {3: 32}
    assert len({user["content"] for user, _ in lines}) == 96


def test_planting_again_with_the_same_seed_gives_the_same_text(world: World) -> None:
    one, other = (world.plant().lines for _ in range(2))
    assert one == other


def test_mixed_lines_are_all_there_and_in_another_order() -> None:
    planted, rest = [f"p{number}" for number in range(20)], [f"o{number}" for number in range(30)]
    text = planting.mixed(planted, rest, np.random.default_rng(0)).decode().splitlines()
    assert sorted(text) == sorted(planted + rest)
    assert text != planted + rest


@pytest.mark.parametrize(
    ("rate", "canaries", "other", "dose"), [(0.5, 10, 100, 10), (0.01, 256, 990_000, 39), (0.001, 256, 100, 1)]
)
def test_the_dose_of_a_rate(rate: float, canaries: int, other: int, dose: int) -> None:
    assert planting.dose_for_rate(rate, canaries, other) == dose


@pytest.mark.parametrize(("rate", "other"), [(0.0, 10), (1.0, 10), (0.5, 0)])
def test_a_rate_that_cannot_be(rate: float, other: int) -> None:
    with pytest.raises(UsageError):
        planting.dose_for_rate(rate, 4, other)


def test_a_decoy_is_never_planted(world: World) -> None:
    decoy = next(canary for canary in world.holding.canaries() if canary.decoy)
    serving = owner.slots(world.holding, KEY)
    with pytest.raises(UsageError, match="is a decoy"):
        planting.slot_for("account", decoy, serving)
    with pytest.raises(UsageError, match="is a decoy"):
        planting.training_lines([decoy], {0: KEY}, b"\x01", 0, 1, np.random.default_rng(0))
    with pytest.raises(UsageError, match="is a decoy"):
        owner.record_served(
            world.holding, serving, "account", {decoy.index: 1}, since=hour(3), until=hour(3), signer=world.signer, now=hour(3)
        )  # fmt: skip


def test_accounts_are_served_the_options_of_their_cohort(tmp_path) -> None:
    world = labelled_world(tmp_path, cohorts=64, batch_size=4)
    serving = owner.slots(world.holding, KEY)
    canaries = [canary for canary in world.holding.canaries() if not canary.decoy]
    accounts = [f"account {number}" for number in range(300)]
    cohorts = {account: serving.cohort_of(account) for account in accounts}
    assert set(cohorts.values()) <= set(range(64))
    assert len(set(cohorts.values())) > 50
    for account in accounts[:20]:
        for canary in canaries:
            assert planting.slot_for(account, canary, serving) == world.label(canary, cohorts[account])
    assert serving.option_for("account 0", canaries[0]) in canaries[0].options
    served = {canaries[0].index: 2, canaries[-1].index: 1}
    owner.record_served(
        world.holding, serving, "account 0", served, since=hour(3), until=hour(4), signer=world.signer, now=hour(5)
    )
    entries = ledger_of(world)
    assert [entry.body.batch for entry in entries[1:]] == [0, 1]
    assert "account 0" not in world.holding.ledger().decode()
    assert {entry.body.recipient[:8] for entry in entries[1:]} == {"account "}


def test_the_key_does_not_show_where_what_serves_is_printed(world: World) -> None:
    serving = owner.slots(world.holding, KEY)
    assert repr(KEY) not in repr(serving)
    assert KEY.hex() not in repr(serving)


def test_another_key_than_the_committed_one_serves_nobody(world: World) -> None:
    with pytest.raises(RecordError, match="not the key that was committed to"):
        owner.slots(world.holding, OTHER_KEY)


BAD_LINES = {
    "no JSON": "{",
    "no messages": '{"text": "x"}',
    "a list": "[1]",
    "nested": "[" * 100_000,
    "nested in a field": '{"a":' + "[" * 100_000,
    "no turns": '{"messages": []}',
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_text_that_is_no_chat_is_refused(case: str, tmp_path) -> None:
    (tmp_path / "t").write_text(f'{{"messages": [{{}}]}}\n{BAD_LINES[case]}\n')
    with pytest.raises(MalformedSource, match="no chat"):
        planting.read_lines(tmp_path / "t")


# ---------------------------------------------------------------------------------------------------------------- ledger


@pytest.fixture
def planted(world: World) -> World:
    world.plant()
    world.plant(batches=(1,))
    return world


def read(world: World, data: bytes) -> tuple[exposure.LedgerEntry, ...]:
    commitment, about = world.holding.commitment()
    return exposure.read_ledger(data, about, commitment.key)


def test_what_was_exposed_is_entered(planted: World) -> None:
    entries = ledger_of(planted)
    assert [type(entry.body).__name__ for entry in entries] == ["Labelled", "Exposed", "Exposed"]
    told = exposure.exposure_of(entries, 0)
    assert (told.entries, told.exposed, told.times, told.cohorts, told.recipients) == (1, 16, 48, 1, ("run 7",))
    assert exposure.exposure_of(entries, 5).times == 0
    head = exposure.head(planted.holding.ledger())
    assert head.entries == 3


LINES = {
    "the first left out": lambda lines: lines[1:],
    "the middle left out": lambda lines: [lines[0], lines[2]],
    "two exchanged": lambda lines: [lines[0], lines[2], lines[1]],
    "one twice": lambda lines: [*lines, lines[2]],
    "an empty line": lambda lines: [lines[0], b"\n", *lines[1:]],
    "torn": lambda lines: [*lines[:2], lines[2][:-10]],
    "without its line feed": lambda lines: [*lines[:2], lines[2][:-1]],
    "something else": lambda lines: [b"{}\n", *lines],
}


@pytest.mark.parametrize("case", LINES)
def test_no_line_can_be_left_out_moved_or_repeated(case: str, planted: World) -> None:
    lines = planted.holding.ledger().splitlines(keepends=True)
    with pytest.raises(RecordError, match="exposure ledger, line"):
        read(planted, b"".join(LINES[case](lines)))


def test_no_byte_of_a_line_can_be_changed(planted: World) -> None:
    data = planted.holding.ledger()
    for place in range(0, len(data), 97):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(RecordError):
            read(planted, bytes(changed))


def test_a_ledger_belongs_to_one_commitment_and_one_key(planted: World) -> None:
    commitment, about = planted.holding.commitment()
    with pytest.raises(RecordError, match="does not follow"):
        exposure.read_ledger(planted.holding.ledger(), "0" * 64, commitment.key)
    with pytest.raises(RecordError):
        exposure.read_ledger(planted.holding.ledger(), about, new_signer().key)


def test_several_lines_are_written_together_each_following_the_one_before(planted: World) -> None:
    before = planted.holding.ledger()
    _, about = planted.holding.commitment()
    bodies = (exposed(), REQUEST, OPEN)
    grown = exposure.append(planted.holding.at("ledger.jsonl"), about, *bodies, signer=planted.signer, now=hour(5))
    assert planted.holding.ledger() == grown
    assert grown.startswith(before)
    assert [each.body for each in read(planted, grown)[-3:]] == list(bodies)


def test_a_line_that_is_numbered_wrongly_is_refused(planted: World) -> None:
    """The chain holds: only the number, which readers quote, is another."""
    _, about = planted.holding.commitment()
    entry = exposure.LedgerEntry(sequence=2, time=exposure.time_text(hour(3)), body=exposure.Labelled(beacon="0" * 64))
    line = signed(exposure.ENTRY_TYPE, "previous", about, entry, planted.signer)
    with pytest.raises(RecordError, match="does not follow"):
        read(planted, line)


def test_what_is_cut_off_at_the_end_shows_in_the_head(planted: World) -> None:
    lines = planted.holding.ledger().splitlines(keepends=True)
    shorter = b"".join(lines[:-1])
    assert len(read(planted, shorter)) == 2
    assert exposure.head(shorter) != exposure.head(planted.holding.ledger())


def test_the_clock_does_not_go_back(planted: World) -> None:
    _, about = planted.holding.commitment()
    with pytest.raises(UsageError, match="set the clock right"):
        exposure.next_lines(
            planted.holding.ledger(), about, exposure.Labelled(beacon="0" * 64), signer=planted.signer, now=hour(0)
        )


def entry(body: exposure.Body, sequence: int) -> exposure.LedgerEntry:
    return exposure.LedgerEntry(sequence=sequence, time="2027-01-01T00:00:00Z", body=body)


def exposed(**fields: object) -> exposure.Exposed:
    usual = {"batch": 0, "cohort": 0, "channel": "training text", "recipient": "r", "exposures": {"0": 1}}
    times = {"since": "2027-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"}
    return exposure.Exposed(**{**usual, **times, **fields})  # type: ignore[arg-type]


LABELLED = exposure.Labelled(beacon="0" * 64)
REQUEST = exposure.Requested(batch=0, request="r")
OPEN = exposure.BatchOpened(batch=0, request="r", opening="o")
AGAINST = {
    "exposed before the beacon": ([exposed(), LABELLED], "before the beacon"),
    "exposed after the opening": ([LABELLED, REQUEST, OPEN, exposed()], "after their batch was opened"),
    "a decoy exposed": ([LABELLED, exposed(exposures={"1": 1})], "a decoy is exposed"),
    "no canary exposed": ([LABELLED, exposed(exposures={"x": 1})], "no canary"),
    "a canary of another batch exposed": ([LABELLED, exposed(exposures={"2": 1})], "no canary"),
    "one canary under two spellings": ([LABELLED, exposed(exposures={"0": 1, "00": 1})], "no canary"),
    "an index of five thousand digits": ([LABELLED, exposed(exposures={"9" * 5000: 1})], "no canary"),
    "exposed less than once": ([LABELLED, exposed(exposures={"0": 0})], "a decoy is exposed"),
    "another cohort": ([LABELLED, exposed(cohort=4)], "cohort 4"),
    "opened twice": ([LABELLED, REQUEST, OPEN, OPEN], "opened twice"),
    "opened without a request": ([LABELLED, OPEN], "without a request"),
    "requested afterwards": ([LABELLED, OPEN, REQUEST], "without a request"),
}


@pytest.mark.parametrize("case", AGAINST)
def test_what_is_against_the_protocol_is_found(case: str) -> None:
    bodies, message = AGAINST[case]
    entries = tuple(entry(body, number) for number, body in enumerate(bodies, 1))
    with pytest.raises(FiliationError, match=message):
        exposure.check_entries(entries, frozenset({"0"}), 4, 0)


def test_other_batches_are_their_own_affair() -> None:
    entries = tuple(entry(body, number) for number, body in enumerate([LABELLED, exposed(), REQUEST, OPEN], 1))
    exposure.check_entries(entries, frozenset({"0"}), 4, 0)
    exposure.check_entries((entry(exposed(batch=1), 1), *entries), frozenset({"0"}), 4, 0)


def test_without_a_readable_opening_the_order_is_checked_all_the_same() -> None:
    late = (entry(exposed(), 1), entry(LABELLED, 2))
    with pytest.raises(RecordError, match="before the beacon"):
        exposure.check_entries(late, None, 4, 0)


def test_a_batch_that_was_opened_is_not_planted(planted: World) -> None:
    planted.reveal()
    with pytest.raises(UsageError, match="was opened"):
        owner.to_plant(planted.holding, (0,), 0)
    assert {canary.batch for canary in owner.to_plant(planted.holding, (1,), 0)} == {1}
    with pytest.raises(UsageError, match="cohort 1 was not committed"):
        owner.to_plant(planted.holding, (1,), 1)


def test_keys_of_batches_are_what_planting_needs_and_no_more(world: World) -> None:
    """Whoever plants batch 1 need not know the key of batch 0."""
    canaries = owner.to_plant(world.holding, (1,), 0)
    planted = planting.training_lines(
        canaries, {1: labels.batch_key(KEY, 1)}, world.holding.beacon(), 0, 1, np.random.default_rng(0)
    )
    assert len(planted.lines) == 16
