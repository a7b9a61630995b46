"""The neutral verifier: a whole honest run, and everything that a claimant could alter, each found by the check that is there for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filiation.canaries import exposure, labels, opening, owner
from filiation.canaries.canary import Canary, written
from filiation.canaries.opening import Bundle, Opening, check_opening, opening_file, read_opening
from filiation.canaries.scoring import scored
from filiation.canaries.verification import TITLES, result, verified
from filiation.case.commitments import Trust
from filiation.case.signing import new_signer
from filiation.errors import RecordError, UsageError
from tests.canaries.world import KEY, OTHER_KEY, World, changed, hour, labelled_world


@pytest.fixture(scope="module")
def honest(labelled: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[World, Bundle]:
    """A batch that was planted and opened."""
    world = labelled.copied(tmp_path_factory.mktemp("honest") / "canaries")
    world.plant()
    return world, world.reveal(controls=("a", "b"))


# ---------------------------------------------------------------------------------------------------------- a whole run


def test_an_exposed_suspect_and_strangers(honest: tuple[World, Bundle]) -> None:
    world, bundle = honest
    found, checks = verified(bundle, world.trust)
    assert found is not None
    assert [check.title for check in checks] == list(TITLES)
    assert all(check.looked_at and not check.failures for check in checks)
    suspect = world.says("theirs", lambda canary: 0 if canary.decoy else world.label(canary))
    strangers = [world.says(name, lambda canary: canary.index % 16) for name in ("a", "b")]
    whole = result(bundle, found, scored(found.opened, found.request, [suspect], strangers))
    score = whole.scored.scores[0]
    assert (score.counted.count, score.counted.opportunities) == (16, 16)
    assert -19 < score.log10_p < -18  # 16^-16, two batches paid for
    assert score.warnings == ()
    assert all(control.log10_p > -1 for control in whole.scored.controls)
    assert (whole.exposure.exposed, whole.exposure.times) == (16, 48)
    assert whole.remarks == ()
    assert set(whole.stamps) == {"a0", "a1"}
    assert msgspec.json.decode(msgspec.json.encode(whole), type=type(whole)) == whole


def test_a_bundle_holds_one_batch_and_no_secret_of_the_others(honest: tuple[World, Bundle], tmp_path) -> None:
    world, bundle = honest
    opening.write_bundle(bundle, tmp_path / "b")
    assert opening.read_bundle(tmp_path / "b") == bundle
    everything = b"".join(bundle.files().values())
    for canary in world.holding.canaries():
        assert (canary.prompt.encode() in everything) == (canary.batch == 0)
    assert KEY.hex().encode() not in everything
    assert labels.batch_key(KEY, 1).hex().encode() not in everything
    assert labels.batch_key(KEY, 0).hex().encode() in everything


def test_commitments_that_the_verifier_knows_of_count(honest: tuple[World, Bundle]) -> None:
    world, bundle = honest
    found, _ = verified(bundle, world.trust, commitments=7)
    assert found is not None
    assert found.opened.commitments == 7


def test_commitments_that_the_claimant_owns_up_to_count_where_they_are_more(tmp_path) -> None:
    world = labelled_world(tmp_path, number=3)
    bundle = world.reveal()
    counted = {}
    for known in (1, 2, 3, 5):
        found, _ = verified(bundle, world.trust, commitments=known)
        assert found is not None
        counted[known] = found.opened.commitments
    assert counted == {1: 3, 2: 3, 3: 3, 5: 5}


# -------------------------------------------------------------------------------------------------------- opening once


def test_a_batch_is_opened_once(honest: tuple[World, Bundle], tmp_path) -> None:
    world = honest[0].copied(tmp_path / "again")
    with pytest.raises(RecordError, match="opened before, to another request"):
        world.reveal(suspects=("somebody else",))
    again = world.reveal(controls=("a", "b"))
    assert again == honest[1]  # the same request after a crash: the same bytes, and no line more


def test_a_killed_opening_goes_on(honest: tuple[World, Bundle], tmp_path) -> None:
    world = honest[0].copied(tmp_path / "killed")
    folder = world.holding.at("opened-000")
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    world.reveal(controls=("a", "b"))
    assert opening.read_bundle(folder) == honest[1]


def test_the_other_batch_stays_shut(honest: tuple[World, Bundle], tmp_path) -> None:
    world = honest[0].copied(tmp_path / "second")
    world.plant(batches=(1,), at=5)
    bundle = world.reveal(batch=1, at=6)
    found, checks = verified(bundle, world.trust)
    assert found is not None, checks
    assert {canary.batch for canary in found.opened.canaries} == {1}


IMPOSSIBLE = {
    "no suspect": {"suspects": ()},
    "a suspect twice": {"suspects": ("a", "a"), "considered": 2},
    "a suspect as a control": {"controls": ("theirs",)},
    "fewer considered than suspects": {"suspects": ("a", "b")},
    "a batch that there is not": {"batch": 9},
    "hardly any placebo keys": {"placebo_keys": 3},
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_requests_that_cannot_be_carried_out(case: str, world: World) -> None:
    before = world.holding.ledger()
    with pytest.raises(UsageError):
        world.reveal(**IMPOSSIBLE[case])
    assert world.holding.ledger() == before


def test_wrong_keys_and_altered_canaries_open_nothing(world: World) -> None:
    with pytest.raises(RecordError, match="not the key that was committed to"):
        replace(world, key=OTHER_KEY).reveal()
    with pytest.raises(UsageError, match="is signed under"):
        replace(world, signer=new_signer()).reveal()
    canaries = list(world.holding.canaries())
    canaries[0] = msgspec.structs.replace(canaries[0], options=canaries[0].options[::-1])
    world.holding.at(owner.CANARIES_FILE).write_bytes(written(canaries))
    before = world.holding.ledger()
    with pytest.raises(RecordError, match="not those that were committed to"):
        world.reveal()
    assert world.holding.ledger() == before


# --------------------------------------------------------------------------------------------------- what is altered


def with_canary(told: Opening, place: int, **fields: object) -> Opening:
    leaf = told.leaves[place].leaf
    altered = msgspec.structs.replace(leaf, canary=msgspec.structs.replace(leaf.canary, **fields))
    return with_leaf(told, place, leaf=altered)


def with_leaf(told: Opening, place: int, **fields: object) -> Opening:
    leaves = list(told.leaves)
    leaves[place] = msgspec.structs.replace(leaves[place], **fields)
    return msgspec.structs.replace(told, leaves=tuple(leaves))


def moved(told: Opening, number: int, place: int) -> Opening:
    leaves = list(told.leaves)
    leaves[number] = msgspec.structs.replace(leaves[number], place=place)
    return msgspec.structs.replace(told, leaves=tuple(leaves))


def zeros(told: Opening, place: int) -> Opening:
    return with_leaf(told, place, path=tuple("0" * 64 for _ in told.leaves[place].path))


ALTERED_OPENINGS: dict[str, Callable[[Opening], Opening]] = {
    "a prompt": lambda told: with_canary(told, 0, prompts=("Another?", *told.leaves[0].leaf.canary.prompts[1:])),
    "a paraphrase": lambda told: with_canary(told, 0, prompts=told.leaves[0].leaf.canary.prompts[:1]),
    "the order of options": lambda told: with_canary(told, 0, options=told.leaves[0].leaf.canary.options[::-1]),
    "a canary called a decoy": lambda told: with_canary(told, 0, decoy=not told.leaves[0].leaf.canary.decoy),
    "the parser": lambda told: with_canary(told, 0, parser="whole"),
    "the kind": lambda told: with_canary(told, 0, kind="x"),
    "the index": lambda told: with_canary(told, 0, index=7),
    "the batch": lambda told: with_canary(told, 0, batch=1),
    "the partner": lambda told: with_canary(told, 0, partner=5),
    "a salt": lambda told: with_leaf(told, 0, leaf=msgspec.structs.replace(told.leaves[0].leaf, salt="0" * 64)),
    "a path": lambda told: zeros(told, 3),
    "a path that is no hexadecimal": lambda told: with_leaf(told, 3, path=("zz",)),
    "a place": lambda told: moved(told, 0, 1),
    "a leaf left out": lambda told: msgspec.structs.replace(told, leaves=told.leaves[1:]),
    "a leaf twice": lambda told: msgspec.structs.replace(told, leaves=(told.leaves[0], *told.leaves)),
    "no leaves": lambda told: msgspec.structs.replace(told, leaves=()),
    "two leaves exchanged": lambda told: msgspec.structs.replace(
        told, leaves=(told.leaves[1], told.leaves[0], *told.leaves[2:])
    ),
    "another key": lambda told: msgspec.structs.replace(told, key=labels.batch_key(OTHER_KEY, 0).hex()),
    "the key of another batch": lambda told: msgspec.structs.replace(told, key=labels.batch_key(KEY, 1).hex()),
    "a key and its commitment": lambda told: with_leaf(
        msgspec.structs.replace(told, key="00" * 32),
        -1,
        leaf=msgspec.structs.replace(told.leaves[-1].leaf, key_sha256=labels.commitment(bytes(32))),
    ),
    "another version": lambda told: msgspec.structs.replace(told, version=2),
    "another commitment": lambda told: msgspec.structs.replace(told, commitment="0" * 64),
}


@pytest.mark.parametrize("case", ALTERED_OPENINGS)
def test_every_alteration_of_an_opening_is_found(case: str, honest: tuple[World, Bundle]) -> None:
    world, bundle = honest
    forged = ALTERED_OPENINGS[case](read_opening(bundle.opening))
    commitment, about = world.holding.commitment()
    with pytest.raises(RecordError):
        check_opening(forged, commitment, about)
    found, checks = verified(changed(bundle, opening=opening_file(forged)), world.trust)
    assert found is None
    assert checks[-1].number == 4  # the ledger names the opening's bytes


def resigned(world: World, bundle: Bundle, forged: Opening) -> Bundle:
    """The ledger rewritten by whoever holds the signing key: only the tree is left to find the forgery."""
    _, about = world.holding.commitment()
    request = sha(bundle.request)
    data = b""
    for body in (
        exposure.Labelled(beacon=sha(bundle.beacon)),
        exposure.Requested(batch=0, request=request),
        exposure.BatchOpened(batch=0, request=request, opening=sha(opening_file(forged))),
    ):
        data += exposure.next_lines(data, about, body, signer=world.signer, now=hour(2))
    return changed(bundle, ledger=data, opening=opening_file(forged))


def sha(data: bytes) -> str:
    return labels.commitment(data)


@pytest.mark.parametrize(
    "case", ["a prompt", "a canary called a decoy", "another key", "a key and its commitment", "no leaves"]
)
def test_a_claimant_who_signs_the_forgery_anew_fails_at_the_tree(case: str, honest: tuple[World, Bundle]) -> None:
    world, bundle = honest
    forged = resigned(world, bundle, ALTERED_OPENINGS[case](read_opening(bundle.opening)))
    found, checks = verified(forged, world.trust)
    assert found is None
    assert checks[-1].number == 5, checks[-1]


ALTERED_PARTS: dict[str, tuple[Callable[[World, Bundle], tuple[Bundle, Trust]], int]] = {
    "the commitment, one byte": (lambda w, b: (changed(b, commitment=b.commitment.replace(b"a", b"b", 1)), w.trust), 1),
    "a commitment under another fingerprint": (lambda w, b: (b, replace(w.trust, keyid="0" * 64)), 1),
    "no commitment": (lambda w, b: (changed(b, commitment=b""), w.trust), 1),
    "no stamps": (lambda w, b: (changed(b, stamps={}), w.trust), 2),
    "stamps exchanged": (
        lambda w, b: (changed(b, stamps=dict(zip(b.stamps, reversed(b.stamps.values()), strict=True))), w.trust),
        2,
    ),
    "another certificate": (
        lambda w, b: (changed(b, certificates=dict.fromkeys(b.certificates, b.certificates["a0"])), w.trust),
        2,
    ),
    "no beacon": (lambda w, b: (changed(b, beacon=b""), w.trust), 2),
    "a beacon with a bit flipped": (lambda w, b: (changed(b, beacon=b.beacon.replace(b"0", b"1", 1)), w.trust), 2),
    "a beacon written in other bytes": (lambda w, b: (changed(b, beacon=b.beacon + b"\n"), w.trust), 4),
    "nobody's certificates but the claimant's": (lambda w, b: (b, Trust()), 2),
    "no request": (lambda w, b: (changed(b, request=b""), w.trust), 3),
    "the request of somebody else": (
        lambda w, b: (changed(b, request=opening.request_file(w.request(), new_signer())), w.trust),
        3,
    ),
    "another request": (
        lambda w, b: (changed(b, request=opening.request_file(w.request(suspects=("x",)), w.signer)), w.trust),
        4,
    ),
    "a request for another script": (
        lambda w, b: (changed(b, request=opening.request_file(w.request(script="other"), w.signer)), w.trust),
        3,
    ),
    "no ledger": (lambda w, b: (changed(b, ledger=b""), w.trust), 4),
    "a ledger cut short": (
        lambda w, b: (changed(b, ledger=b"".join(b.ledger.splitlines(keepends=True)[:-1])), w.trust),
        4,
    ),
    "no opening": (lambda w, b: (changed(b, opening=b"{}"), w.trust), 4),
}


@pytest.mark.parametrize("case", ALTERED_PARTS)
def test_every_altered_part_is_found_by_its_check(case: str, honest: tuple[World, Bundle]) -> None:
    alter, number = ALTERED_PARTS[case]
    bundle, trust = alter(*honest)
    found, checks = verified(bundle, trust)
    assert found is None
    assert checks[-1].number == number, checks[-1]
    assert checks[-1].failures[0].meaning


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_no_byte_of_a_bundle_can_be_changed(honest: tuple[World, Bundle], data: st.DataObject) -> None:
    world, bundle = honest
    part = data.draw(st.sampled_from(["commitment", "beacon", "ledger", "request", "opening"]))
    whole = bytearray(getattr(bundle, part))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    found, _ = verified(changed(bundle, **{part: bytes(whole)}), world.trust)
    # Addresses and kinds in a pulse are signed by nobody and used for nothing; the ledger names the file's digest all the same.
    assert found is None


def test_a_missing_file_of_a_bundle_is_told(honest: tuple[World, Bundle], tmp_path) -> None:
    opening.write_bundle(honest[1], tmp_path / "b")
    Path(tmp_path / "b" / opening.LEDGER_FILE).unlink()
    with pytest.raises(RecordError, match="is missing"):
        opening.read_bundle(tmp_path / "b")


def test_cohorts_from_planting_to_verification(tmp_path) -> None:
    world = labelled_world(tmp_path, cohorts=16, batch_size=12)
    serving = owner.slots(world.holding, KEY)
    cohort = serving.cohort_of("a customer")
    canaries = owner.to_plant(world.holding, (0,), cohort)
    owner.record_served(
        world.holding, serving, "a customer", {canary.index: 4 for canary in canaries},
        since=hour(3), until=hour(3), signer=world.signer, now=hour(3),
    )  # fmt: skip
    found, _ = verified(world.reveal(), world.trust)
    assert found is not None

    def served(canary: Canary) -> int:
        return 0 if canary.decoy else world.label(canary, cohort)

    score = scored(found.opened, found.request, [world.says("theirs", served)]).scores[0]
    assert (score.cohort, score.counted.count) == (cohort, 12)
    assert score.searched.cohorts == 16


@given(
    st.dictionaries(st.from_regex("[A-Za-z0-9][A-Za-z0-9._-]{0,9}", fullmatch=True), st.binary(max_size=4), max_size=4)
)
def test_a_bundle_and_its_files_by_name_are_the_same(stamps: dict[str, bytes]) -> None:
    bundle = Bundle(b"1", b"2", b"3", b"4", b"5", b"6", stamps, dict.fromkeys(stamps, b"7"))
    assert opening.bundle_from(bundle.files()) == bundle


@pytest.mark.parametrize("part", opening.PARTS)
def test_a_bundle_that_lacks_a_part_is_named(part: str) -> None:
    files = dict.fromkeys(opening.PARTS, b"")
    del files[part]
    with pytest.raises(RecordError, match=f"lacks {part}"):
        opening.bundle_from(files)
