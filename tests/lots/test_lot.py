"""The whole protocol: what an owner does, what a verifier checks, and everything that could be altered in between."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filiation.case import beacons
from filiation.case.commitments import Authority, Trust, signed
from filiation.case.records import Announcement
from filiation.case.signing import new_signer
from filiation.errors import FiliationError, MalformedSource, RecordError, UsageError
from filiation.lots import Lot, documents, drawn_order, drawn_twins, owner, read_lot
from filiation.lots.commitment import (
    LOT_TYPE,
    SUBJECT,
    Commitment,
    check_commitment,
    commitment_file,
    committed,
    read_commitment,
)
from filiation.lots.lot import TITLES, secret_file
from filiation.lots.subject import Purpose
from filiation.lots.verification import Result, result, verified
from tests.case.worlds import own_pulse
from tests.lots.world import AUTHORITIES, World, committed_world, fixed_pulse, hour, opened_lot, secret_of

ROUND = Path(__file__).parent.parent / "case" / "beacons" / "quicknet-1000.json"
TOKENIZER = b'{"model": {}}'

DOCUMENTS = b"".join(b'{"text": "document %d", "id": "%d"}\n' % (number, number) for number in range(20))
PAIRS = b"".join(b'{"first": "one %d", "second": "another %d"}\n' % (number, number) for number in range(20))
SETTINGS = json.dumps({"scheme": "gumbel", "tokenizer": hashlib.sha256(TOKENIZER).hexdigest()}).encode()
SUBJECTS: dict[Purpose, bytes] = {"order": DOCUMENTS, "twins": PAIRS, "watermark": SETTINGS}


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> dict[Purpose, World]:
    """Committed and drawn; not to be changed."""
    folder = tmp_path_factory.mktemp("lots")
    made = {purpose: committed_world(folder / purpose, purpose, subject) for purpose, subject in SUBJECTS.items()}
    for world in made.values():
        world.drawn()
    return made


def opened(world: World) -> dict[str, bytes]:
    purpose = world.holding.commitment().purpose
    return owner.opened_files(world.holding, world.secret, TOKENIZER if purpose == "watermark" else b"")


@functools.cache
def opened_before(world: World) -> dict[str, bytes]:
    return opened(world)


# ----------------------------------------------------------------------------------------------------------- a whole run


@pytest.mark.parametrize("purpose", SUBJECTS)
def test_an_honest_lot_passes_every_check(purpose: Purpose, worlds: dict[Purpose, World]) -> None:
    world = worlds[purpose]
    lot, checks = verified(opened(world), world.trust)
    assert lot is not None
    assert [check.title for check in checks] == list(TITLES)
    assert all(check.looked_at and not check.failures for check in checks)
    assert (lot.purpose, lot.subject, lot.items) == (purpose, SUBJECTS[purpose], 1 if purpose == "watermark" else 20)
    assert set(lot.stamps) == {"a0", "a1"}
    assert max(lot.stamps.values()) < lot.beacon_time
    assert lot.remarks == ()
    assert lot.seed == world.drawn().seed  # what was drawn before it was opened
    told = result(lot, checks)
    assert msgspec.json.decode(msgspec.json.encode(told), type=Result) == told


def test_documents_in_drawn_order(worlds: dict[Purpose, World]) -> None:
    lot = worlds["order"].drawn()
    written = owner.drawn_files(lot)
    read = [json.loads(line)["text"] for line in written["documents.jsonl"].splitlines()]
    places = drawn_order(lot)
    assert sorted(places) == list(range(20))
    assert [documents(lot)[item] for item in sorted(range(20), key=places.__getitem__)] == read
    assert json.loads(written["order.json"])["order"] == [documents(lot).index(text) for text in read]
    assert read != list(documents(lot))


def test_twins_are_parted(worlds: dict[Purpose, World]) -> None:
    lot = worlds["twins"].drawn()
    written = owner.drawn_files(lot)
    published, withheld = (
        [json.loads(line)["text"] for line in written[name].splitlines()]
        for name in ("published.jsonl", "withheld.jsonl")
    )
    assert published == [twin.published for twin in drawn_twins(lot)]
    for number, both in enumerate(zip(published, withheld, strict=True)):
        assert set(both) == {f"one {number}", f"another {number}"}


def test_a_lot_is_drawn_for_one_thing(worlds: dict[Purpose, World]) -> None:
    with pytest.raises(UsageError, match="was drawn for order, not for twins"):
        drawn_twins(worlds["order"].drawn())
    with pytest.raises(UsageError, match="was drawn for twins, not for order"):
        drawn_order(worlds["twins"].drawn())


def test_the_same_seed_draws_the_same_and_another_something_else(tmp_path: Path) -> None:
    """The bench's worlds are the same in every run."""
    first, again, other = (
        opened_lot(tmp_path / name, "order", DOCUMENTS, seed) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    assert drawn_order(first) == drawn_order(again) != drawn_order(other)


def test_what_an_opened_folder_holds(worlds: dict[Purpose, World], tmp_path: Path) -> None:
    world = worlds["watermark"]
    files = owner.open_lot(world.holding, world.secret, tmp_path / "opened", TOKENIZER)
    assert {path.name: path.read_bytes() for path in (tmp_path / "opened").iterdir()} == files
    assert set(files) == {
        "lot.json", "lot.a0.tsr", "lot.a1.tsr", "authority.a0.pem", "authority.a1.pem", "beacon.json", "beacon.pem",
        "settings.json", "secret.json", "tokenizer.json",
    }  # fmt: skip
    owner.open_lot(world.holding, world.secret, tmp_path / "opened", TOKENIZER)  # the same again
    (tmp_path / "opened" / "notes.txt").write_text("for our eyes only")
    with pytest.raises(UsageError, match=r"holds something else already: notes\.txt"):
        owner.open_lot(world.holding, world.secret, tmp_path / "opened", TOKENIZER)


def test_before_it_is_opened_no_file_holds_the_secret(worlds: dict[Purpose, World]) -> None:
    for world in worlds.values():
        everything = b"".join(path.read_bytes() for path in world.holding.folder.iterdir() if path.is_file())
        assert world.secret.hex().encode() not in everything
        assert world.secret not in everything
        assert base64.b64encode(world.secret) not in everything


def test_nothing_secret_shows_where_a_drawn_lot_is_printed(worlds: dict[Purpose, World]) -> None:
    for world in worlds.values():
        lot = world.drawn()
        printed = repr(lot)
        assert lot.commitment_sha256 in printed
        assert not any(
            told in printed for told in (world.secret.hex(), repr(lot.seed), lot.seed.hex(), repr(lot.subject))
        )


def test_only_the_owner_may_read_the_folder(worlds: dict[Purpose, World]) -> None:
    world = worlds["twins"]
    assert world.holding.folder.stat().st_mode & 0o077 == 0
    place = owner.write_drawn(world.holding, owner.drawn_files(world.drawn()))
    assert place.stat().st_mode & 0o077 == 0
    assert (place / "withheld.jsonl").stat().st_mode & 0o777 == 0o600


# ---------------------------------------------------------------------------------------------------------- what is said


def test_what_is_the_owners_own_word_is_refused_or_said(worlds: dict[Purpose, World]) -> None:
    world = worlds["order"]
    files = opened(world)
    with pytest.raises(RecordError, match="by anybody but the claimant"):
        read_lot(files, replace(world.trust, authorities=()))
    lot = read_lot(files, Trust(copies=True))
    assert len(lot.remarks) == 3  # authorities, beacon, key
    by_fingerprint = Trust(fingerprints=frozenset(lot.certificates), keyid=lot.keyid)
    assert read_lot(files, by_fingerprint).remarks == ()


def test_the_number_of_lots_is_told(tmp_path: Path) -> None:
    world = committed_world(tmp_path / "lot", "order", DOCUMENTS, number=7)
    world.drawn()
    assert read_lot(opened(world), world.trust).number == 7


def test_files_that_belong_to_no_lot_are_said(worlds: dict[Purpose, World]) -> None:
    world = worlds["order"]
    lot = read_lot({**opened(world), "lot.a7.tsr": b"", "README": b"hello"}, world.trust)
    assert lot.remarks == ("files that belong to no lot were not looked at: README, lot.a7.tsr",)


# ----------------------------------------------------------------------------------------------------------- tampering

HARMLESS = {
    "beacon.json": "spaces, and fields of the pulse that its signature does not cover",
    "lot.a0.tsr": "the words around a stamp, which are not signed",
    "lot.a1.tsr": "the words around a stamp, which are not signed",
    "beacon.pem": "a copy, which whoever has the certificate from the beacon itself does not need",
}
"""Files in which a changed byte may leave everything that is read from them as it was."""

NOT_WITH_COPIES = {"beacon.pem"}
PLACES = 24


def with_file(files: Mapping[str, bytes], name: str, data: bytes) -> dict[str, bytes]:
    return {**files, name: data}


def read_or_refused(files: Mapping[str, bytes], trust: Trust) -> Lot | None:
    """What is read but for the files' own bytes; None where it is refused by an error of ours."""
    try:
        return replace(read_lot(files, trust), files={})
    except RecordError:
        return None


@pytest.mark.parametrize("copies", [False, True], ids=["own certificates", "copies"])
@pytest.mark.parametrize("purpose", SUBJECTS)
def test_a_changed_byte_of_any_file_is_refused_or_changes_nothing(
    purpose: Purpose, copies: bool, worlds: dict[Purpose, World]
) -> None:
    """Bytes evenly spaced over each file, the last one included."""
    world = worlds[purpose]
    trust = Trust(copies=True, keyid=world.signer.key.keyid) if copies else world.trust
    files, harmless = opened(world), set(HARMLESS) - (NOT_WITH_COPIES if copies else set())
    honest = read_or_refused(files, trust)
    assert honest is not None
    for name, data in files.items():
        step = max(1, len(data) // PLACES)
        for place in {*range(len(data) % step, len(data), step), len(data) - 1}:
            altered = data[:place] + bytes([data[place] ^ (1 + place % 7)]) + data[place + 1 :]
            found = read_or_refused(with_file(files, name, altered), trust)
            assert found is None or (name in harmless and found == honest), (name, place)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_stands_in_a_file_there_is_one_kind_of_error(
    worlds: dict[Purpose, World], data: st.DataObject
) -> None:
    world = worlds["order"]
    files = opened_before(world)
    name = data.draw(st.sampled_from(sorted(set(files) - set(HARMLESS))))
    hostile = data.draw(st.one_of(st.binary(max_size=100), st.just(b"[" * 100_000), st.just(b'{"payload": "AA=="}')))
    assert read_or_refused(with_file(files, name, hostile), world.trust) is None


def test_every_byte_of_the_commitment_is_signed(worlds: dict[Purpose, World]) -> None:
    world = worlds["order"]
    data = opened(world)["lot.json"]
    for place in range(len(data)):
        with pytest.raises(FiliationError):
            read_commitment(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :], world.signer.key.keyid)


NEEDED = ("lot.json", "beacon.json", "subject.jsonl", "secret.json")


@pytest.mark.parametrize("name", NEEDED)
def test_a_file_that_is_missing_is_named_or_the_check_fails(name: str, worlds: dict[Purpose, World]) -> None:
    world = worlds["order"]
    files = {kept: data for kept, data in opened(world).items() if kept != name}
    lot, checks = verified(files, world.trust)
    assert lot is None
    assert len(checks) == {"lot.json": 1, "beacon.json": 2, "subject.jsonl": 3, "secret.json": 4}[name]
    assert name in checks[-1].failures[0].what or name == "lot.json"


def test_without_any_stamp_nothing_counts_and_one_is_said_to_be_few(worlds: dict[Purpose, World]) -> None:
    world = worlds["order"]
    files = opened(world)
    one = {name: data for name, data in files.items() if name != "lot.a1.tsr"}
    assert "only 1 authority stamped" in read_lot(one, world.trust).remarks[0]
    none = {name: data for name, data in one.items() if name != "lot.a0.tsr"}
    with pytest.raises(RecordError, match="nothing shows that it was made before the beacon"):
        read_lot(none, world.trust)


def test_parts_of_two_lots_do_not_go_together(tmp_path: Path, worlds: dict[Purpose, World]) -> None:
    """The same subject, another secret: every file of the one that stands in the other is refused."""
    first = opened(worlds["order"])
    other = committed_world(tmp_path / "other", "order", DOCUMENTS, seed=9)
    other.drawn()
    second = opened(other)
    for name in ("lot.json", "lot.a0.tsr", "lot.a1.tsr", "secret.json"):
        with pytest.raises(RecordError):
            read_lot(with_file(first, name, second[name]), replace(worlds["order"].trust, keyid=""))


def test_a_secret_that_was_not_committed_to(worlds: dict[Purpose, World]) -> None:
    world = worlds["order"]
    files = opened(world)
    sha256 = hashlib.sha256(files["lot.json"]).hexdigest()
    assert secret_file(world.secret, sha256) == files["secret.json"]
    for secret in (secret_of(1), b"", world.secret + b"\x00"):
        with pytest.raises(RecordError, match="not the secret that was committed to"):
            read_lot(with_file(files, "secret.json", secret_file(secret, sha256)), world.trust)
    with pytest.raises(RecordError, match="not in the one form"):
        read_lot(with_file(files, "secret.json", files["secret.json"] + b" "), world.trust)
    with pytest.raises(RecordError, match="belongs to another lot"):
        read_lot(with_file(files, "secret.json", secret_file(world.secret, "0" * 64)), world.trust)


def test_another_subject_than_the_committed_one(worlds: dict[Purpose, World]) -> None:
    world = worlds["order"]
    lines = DOCUMENTS.splitlines(keepends=True)
    with pytest.raises(RecordError, match="not the subject that was committed to"):
        read_lot(with_file(opened(world), "subject.jsonl", b"".join(reversed(lines))), world.trust)


def test_another_tokenizer_than_the_settings_name(worlds: dict[Purpose, World]) -> None:
    world = worlds["watermark"]
    with pytest.raises(RecordError, match="not the tokenizer that the settings name"):
        read_lot(with_file(opened(world), "tokenizer.json", b"{}"), world.trust)
    with pytest.raises(RecordError, match="not the tokenizer that the settings name"):
        owner.opened_files(world.holding, world.secret, b"{}")
    with pytest.raises(UsageError, match="with the tokenizer"):
        owner.opened_files(world.holding, world.secret)
    with pytest.raises(UsageError, match="with the tokenizer"):
        owner.opened_files(worlds["order"].holding, worlds["order"].secret, TOKENIZER)


def statement_of(world: World, **changes: object) -> Commitment:
    return msgspec.structs.replace(world.holding.commitment(), **changes)


def resigned(world: World, told: Commitment) -> dict[str, bytes]:
    """The files around another statement under the owner's own key, freshly stamped: whoever commits can do that."""
    data = commitment_file(told, world.signer)
    stamps = {f"lot.{authority.name}.tsr": authority.stamp(data) for authority in AUTHORITIES}
    secret = secret_file(world.secret, hashlib.sha256(data).hexdigest())
    return {**opened(world), **stamps, "lot.json": data, "secret.json": secret}


def test_items_that_are_not_those_of_the_subject(worlds: dict[Purpose, World]) -> None:
    world = worlds["order"]
    with pytest.raises(RecordError, match="holds 20 items, the commitment says 19"):
        read_lot(resigned(world, statement_of(world, items=19)), world.trust)


def test_a_subject_that_repeats_is_refused_even_where_it_was_committed_to(worlds: dict[Purpose, World]) -> None:
    world = worlds["order"]
    subject = b'{"text": "a"}\n{"text": "a"}\n'
    told = statement_of(world, items=2, subject_sha256=hashlib.sha256(subject).hexdigest())
    with pytest.raises(RecordError, match="nothing can be drawn over"):
        read_lot(with_file(resigned(world, told), "subject.jsonl", subject), world.trust)


def test_a_statement_about_another_subject_than_it_names_is_refused(worlds: dict[Purpose, World]) -> None:
    world = worlds["order"]
    forged = signed(LOT_TYPE, SUBJECT, "0" * 64, world.holding.commitment(), world.signer)
    with pytest.raises(RecordError, match="about another subject"):
        read_commitment(forged)


def test_another_number_of_lots_draws_anew(worlds: dict[Purpose, World]) -> None:
    """The whole statement goes into the seed: whoever tells another number later has another draw, and needs another stamp."""
    world = worlds["order"]
    assert read_lot(resigned(world, statement_of(world, number=2)), world.trust).seed != world.drawn().seed


HOSTILE_ANNOUNCEMENTS: dict[str, dict[str, object]] = {
    "no beacon": {"basis": "claimant", "seed": "0" * 64},
    "a chain that begins in eternity": {"basis": "drand", "genesis": 2**53 - 1, "period": 3, "round": 1},
    "a chain that stands still": {"basis": "drand", "period": 0, "round": 1},
    "a chain without a key": {"basis": "drand", "period": 3, "round": 2**53 - 1},
    "a time that is none": {"time": "9999-99-99T00:00:00Z"},
    "an endless chain index": {"chain": "9" * 5000},
}


@pytest.mark.parametrize("case", HOSTILE_ANNOUNCEMENTS)
def test_a_hostile_owner_announces_nonsense(case: str, worlds: dict[Purpose, World]) -> None:
    """Signed and stamped as it should be, by an owner who hopes that the verifier falls over."""
    world = worlds["order"]
    announcement = msgspec.structs.replace(world.holding.commitment().announcement, **HOSTILE_ANNOUNCEMENTS[case])
    files = resigned(world, statement_of(world, announcement=announcement))
    for beacon in (world.beacon, ROUND.read_bytes(), b"", b"[" * 100_000):
        with pytest.raises(RecordError):
            read_lot(with_file(files, "beacon.json", beacon), Trust(copies=True))


IMPOSSIBLE: dict[str, dict[str, object]] = {
    "another version": {"version": 2},
    "the first of no lots": {"number": 0},
    "more earlier ones than there are": {"number": 1, "earlier": ("0" * 64,)},
    "no items": {"items": 0},
    "endless items": {"items": 2**40},
    "a digest that is none": {"secret_sha256": "abc"},
    "an earlier one that is no digest": {"number": 2, "earlier": ("the first",)},
    "an authority twice": {"authorities": (Authority(name="a", certificate=""),) * 2},
    "an authority whose name is a path": {"authorities": (Authority(name="../a", certificate=""),)},
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_statements_that_contradict_themselves_are_refused(case: str, worlds: dict[Purpose, World]) -> None:
    with pytest.raises(RecordError):
        check_commitment(statement_of(worlds["order"], **IMPOSSIBLE[case]))


def test_several_keys_in_one_lot_are_refused(worlds: dict[Purpose, World]) -> None:
    with pytest.raises(RecordError, match="out of range"):
        check_commitment(statement_of(worlds["watermark"], items=2))


def test_signed_by_somebody_else_it_is_another_lot(worlds: dict[Purpose, World]) -> None:
    world, stranger = worlds["order"], new_signer()
    forged = commitment_file(statement_of(world, key=stranger.key), stranger)
    assert read_commitment(forged).owner == "Our lab"  # so the fingerprint has to be told by another way
    with pytest.raises(RecordError, match="is signed under the key"):
        read_lot(with_file(opened(world), "lot.json", forged), world.trust)


# ----------------------------------------------------------------------------------------------------------- order in time


def test_whoever_commits_when_the_beacon_is_known_is_refused(tmp_path: Path) -> None:
    """A real round of drand of 2023, and stamps of today: all secrets can be tried against it."""
    known = beacons.announced("quicknet", datetime(2023, 8, 23, 15, 59, 24, tzinfo=UTC))
    with pytest.raises(UsageError, match="would not be later than the stamps"):
        committed_world(tmp_path / "late", "order", DOCUMENTS, pulse=(ROUND.read_bytes(), b"", known))
    assert not (tmp_path / "late").exists()

    signer, secret = new_signer(), secret_of(0)
    named = tuple(
        Authority(name=authority.name, certificate=authority.authority.certificate) for authority in AUTHORITIES
    )
    backdated = committed(
        DOCUMENTS, "order", secret, known, owner="ours", now=datetime(2023, 1, 1, tzinfo=UTC), signer=signer, authorities=named,
    )  # fmt: skip
    data = commitment_file(backdated, signer)
    files = {
        "lot.json": data, "beacon.json": ROUND.read_bytes(), "subject.jsonl": DOCUMENTS,
        "secret.json": secret_file(secret, hashlib.sha256(data).hexdigest()),
    }  # fmt: skip
    for authority in AUTHORITIES:
        files |= {
            f"lot.{authority.name}.tsr": authority.stamp(data),
            f"authority.{authority.name}.pem": authority.certificate,
        }
    with pytest.raises(RecordError, match="choose among keys"):
        read_lot(files, Trust(authorities=tuple(authority.certificate for authority in AUTHORITIES)))


OLD_ROUND = ROUND.with_name("testnet-unchained-223344.json")
TESTNET = Announcement(
    basis="drand",
    chain="7672797f548f3f4748ac4bf3352fc6c6b6468c9ad40ad456a397545c6e2df5bf",
    round=223344,
    scheme="pedersen-bls-unchained",
    public_key="8200fc249deb0148eb918d6e213980c5d01acd7fc251900d9260136da3b54836ce125172399ddc69c4e3e11429b62c11",
    genesis=1651677099,
    period=3,
    group_hash="65083634d852ae169e21b6ce5f0410be9ed4cc679b9970236f7875cff667e13d",
    beacon_id="testnet-unchained-3s",
)


def test_the_hash_of_a_known_chain_does_not_vouch_for_another_genesis(tmp_path: Path) -> None:
    """A real round of 2022 under the real hash of its chain, which the verifier knows, and a genesis by which it is still to come."""
    year_2050 = 2_524_608_000
    late = msgspec.structs.replace(TESTNET, genesis=year_2050)
    for name, announced in {
        "as the chain is": late,
        "without what the hash needs": msgspec.structs.replace(late, group_hash="", beacon_id=""),
        "with what is no hash": msgspec.structs.replace(late, group_hash="xyz"),
    }.items():
        world = committed_world(tmp_path / name, "order", DOCUMENTS, pulse=(OLD_ROUND.read_bytes(), b"", announced))
        world.drawn()
        trust = replace(world.trust, beacon_certificate=b"", chains=(TESTNET.chain,))
        with pytest.raises(RecordError, match="nobody but the claimant knows the beacon's chain"):
            read_lot(opened(world), trust)


def test_a_chain_that_the_verifier_knows_is_taken_with_its_own_parameters(worlds: dict[Purpose, World]) -> None:
    """The round is too old for the stamps, and that is all that is held against it."""
    world = worlds["order"]
    files = with_file(resigned(world, statement_of(world, announcement=TESTNET)), "beacon.json", OLD_ROUND.read_bytes())
    with pytest.raises(RecordError, match="nobody but the claimant knows"):
        read_lot(files, world.trust)
    with pytest.raises(RecordError, match="choose among keys"):
        read_lot(files, replace(world.trust, chains=(TESTNET.chain,)))


def test_a_beacon_within_the_margin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="would not be later than the stamps by 60 s"):
        committed_world(tmp_path / "lot", "order", DOCUMENTS, pulse=own_pulse(hour(0.5 / 60)))


def test_another_pulse_than_the_announced_one_is_refused(worlds: dict[Purpose, World]) -> None:
    other, certificate, _ = own_pulse(hour(5))
    world = worlds["order"]
    for trust in (world.trust, replace(world.trust, beacon_certificate=certificate)):
        with pytest.raises(RecordError):
            read_lot(with_file(opened(world), "beacon.json", other), trust)


def test_a_beacon_of_the_owners_own_seed_is_refused(tmp_path: Path) -> None:
    claimants = Announcement(basis="claimant", seed="0" * 64)
    with pytest.raises(UsageError, match="needs a public beacon"):
        committed_world(tmp_path / "lot", "order", DOCUMENTS, pulse=(b"", b"", claimants))


# ----------------------------------------------------------------------------------------------------------------- owner


def test_a_lot_is_committed_once_and_drawn_with_one_beacon(worlds: dict[Purpose, World]) -> None:
    world = worlds["order"]
    with pytest.raises(UsageError, match="holds a lot already"):
        committed_world(world.holding.folder, "order", DOCUMENTS)
    with pytest.raises(UsageError, match=r"beacon\.json is there already"):
        owner.draw(world.holding, world.secret, own_pulse(hour(5))[0])
    assert world.drawn() == world.drawn()


def test_nothing_is_drawn_without_stamp_secret_or_beacon(tmp_path: Path) -> None:
    unstamped = committed_world(tmp_path / "none", "order", DOCUMENTS, stamped=0)
    with pytest.raises(RecordError, match="nothing shows"):
        unstamped.drawn()
    stamped = committed_world(tmp_path / "two", "order", DOCUMENTS)
    with pytest.raises(UsageError, match="nothing is drawn yet"):
        owner.opened_files(stamped.holding, stamped.secret)
    with pytest.raises(RecordError, match="not the secret"):
        owner.draw(stamped.holding, secret_of(1), stamped.beacon)
    with pytest.raises(RecordError):
        owner.draw(stamped.holding, stamped.secret, ROUND.read_bytes())
    assert not stamped.holding.at("beacon.json").exists()


def test_stamps_can_be_brought_as_files(tmp_path: Path) -> None:
    """Where no network is: the authority is named with its certificate, and its stamp comes later."""
    beacon, certificate, announcement = fixed_pulse()
    holding, signer, secret = owner.Holding(tmp_path / "lot"), new_signer(), secret_of(0)
    owner.commit(
        holding, DOCUMENTS, "order", secret, announcement, owner="ours", signer=signer, now=hour(0),
        certificates={authority.name: authority.certificate for authority in AUTHORITIES}, beacon_certificate=certificate,
    )  # fmt: skip
    data = holding.at("lot.json").read_bytes()
    with pytest.raises(RecordError):
        owner.draw(holding, secret, beacon, stamps={"a0": AUTHORITIES[0].stamp(b"something else")})
    assert not holding.at("lot.a0.tsr").exists()
    with pytest.raises(UsageError, match=r"names no authority \.\./a0"):
        owner.draw(holding, secret, beacon, stamps={"../a0": b""})
    stamps = {authority.name: authority.stamp(data) for authority in AUTHORITIES}
    lot: Lot = owner.draw(holding, secret, beacon, stamps=stamps)
    assert set(lot.stamps) == {"a0", "a1"}
    assert holding.at("lot.a0.tsr").read_bytes() == stamps["a0"]


def test_a_subject_that_cannot_be_drawn_over_is_not_committed_to(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="stands in line 1 and in line 2"):
        committed_world(tmp_path / "lot", "order", b'{"text": "a"}\n{"text": "a"}\n')
    with pytest.raises(MalformedSource):
        committed_world(tmp_path / "lot", "twins", DOCUMENTS)
    assert not (tmp_path / "lot").exists()


def test_a_secret_of_another_length_is_not_committed_to() -> None:
    with pytest.raises(UsageError, match="has 3 bytes"):
        committed(DOCUMENTS, "order", b"abc", fixed_pulse()[2], owner="x", now=hour(0), signer=new_signer())
