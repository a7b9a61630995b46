"""Commitment and order in time: real authorities, real rounds of drand, every field of the statement changed, keys tried late."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filiation.canaries import labels, opening, owner
from filiation.canaries.commitment import (
    COMMITMENT_TYPE,
    BatchPlan,
    Commitment,
    check_commitment,
    commitment_file,
    committed,
    leaves,
    read_commitment,
    tree_over,
)
from filiation.case import beacons
from filiation.case.commitments import (
    Authority,
    Trust,
    announced_time,
    check_order,
    fingerprints,
    late_enough,
    signed,
    statement,
    trust_of,
)
from filiation.case.files import read_file
from filiation.case.records import Announcement
from filiation.case.signing import envelope, new_signer
from filiation.errors import RecordError, UsageError
from filiation.evidence import canonical
from studies.time_stamping import LocalAuthority
from tests.canaries.world import KEY, OTHER_KEY, World, committed_world, hour, prepared
from tests.case.worlds import own_pulse

ROUND = Path(__file__).parent.parent / "case" / "beacons" / "quicknet-1000.json"


def data_of(world: World) -> bytes:
    return read_file(world.holding.at(opening.COMMITMENT_FILE))


def stamps_of(world: World) -> tuple[dict[str, bytes], dict[str, bytes]]:
    names = [authority.name for authority in world.authorities]
    return (
        {name: read_file(world.holding.at(opening.stamp_name(name))) for name in names},
        {name: read_file(world.holding.at(opening.certificate_name(name))) for name in names},
    )


# ------------------------------------------------------------------------------------------------------------ statement


def test_a_commitment_comes_back(labelled: World) -> None:
    commitment = read_commitment(data_of(labelled), labelled.signer.key.keyid)
    assert commitment.root == tree_over(leaves(labelled.holding.canaries(), KEY)).root.hex()
    assert (commitment.leaves, commitment.cohorts, commitment.number) == (2 * 32 + 2, 1, 1)
    assert commitment.key_sha256 == labels.commitment(KEY)
    assert commitment_file(commitment, labelled.signer) == data_of(labelled)


def changes(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all single values in a JSON value."""
    if isinstance(value, dict):
        return [place for key, inner in value.items() for place in changes(inner, (*at, key))]
    if isinstance(value, list) and value:
        return [place for key, inner in enumerate(value) for place in changes(inner, (*at, key))]
    return [at]


def with_change(value: Any, at: tuple[Any, ...]) -> Any:
    copy = json.loads(json.dumps(value))
    inside = copy
    for key in at[:-1]:
        inside = inside[key]
    old = inside[at[-1]]
    inside[at[-1]] = old + 1 if isinstance(old, int) else ["0" * 64] if isinstance(old, list) else f"{old}0"
    return copy


def test_no_field_can_be_changed_without_the_signature(labelled: World) -> None:
    """Every single value of the statement, put into the envelope with the old signature."""
    envelope = json.loads(data_of(labelled))
    statement = json.loads(base64.b64decode(envelope["payload"]))
    places = changes(statement)
    assert len(places) > 25
    for at in places:
        payload = canonical(with_change(statement, at))
        forged = {**envelope, "payload": base64.b64encode(payload).decode()}
        with pytest.raises(RecordError):
            read_commitment(canonical(forged) + b"\n", labelled.signer.key.keyid)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_bit_of_the_file_can_be_flipped(labelled: World, data: st.DataObject) -> None:
    whole = data_of(labelled)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = bytearray(whole)
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RecordError):
        read_commitment(bytes(flipped), labelled.signer.key.keyid)


def test_signed_by_somebody_else_it_is_another_commitment(labelled: World) -> None:
    stranger = new_signer()
    told = msgspec.structs.replace(read_commitment(data_of(labelled)), key=stranger.key)
    forged = commitment_file(told, stranger)
    assert (
        read_commitment(forged).root == told.root
    )  # in itself it holds: the fingerprint has to be told by another way
    with pytest.raises(RecordError, match="is signed under the key"):
        read_commitment(forged, labelled.signer.key.keyid)


def test_a_statement_about_another_root_is_refused(labelled: World) -> None:
    told = read_commitment(data_of(labelled))
    with pytest.raises(RecordError, match="another root"):
        read_commitment(signed(COMMITMENT_TYPE, "leaves", "0" * 64, told, labelled.signer))


STATEMENTS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "of another type": lambda told: told | {"predicateType": "urn:filiation:lot:v1"},
    "about something of another name": lambda told: told | {"subject": [told["subject"][0] | {"name": "subject"}]},
    "about two things": lambda told: told | {"subject": [*told["subject"], *told["subject"]]},
    "with a digest of another kind beside": lambda told: (
        told | {"subject": [told["subject"][0] | {"digest": told["subject"][0]["digest"] | {"sha512": "0" * 128}}]}
    ),
    "with a field more": lambda told: told | {"remark": "as agreed"},
    "of no in-toto type": lambda told: told | {"_type": "https://in-toto.io/Statement/v0.1"},
}


@pytest.mark.parametrize("case", STATEMENTS)
def test_a_statement_is_whole_or_refused_whoever_signed_it(case: str, labelled: World) -> None:
    told = read_commitment(data_of(labelled))
    whole = statement(COMMITMENT_TYPE, "leaves", told.root, told)
    assert read_commitment(envelope(whole, labelled.signer)) == told
    with pytest.raises(RecordError):
        read_commitment(envelope(STATEMENTS[case](whole), labelled.signer))


IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "no cohort": {"cohorts": 0},
    "too many cohorts": {"cohorts": 70_000},
    "the first of no commitments": {"number": 0},
    "more earlier ones than there are": {"number": 2, "earlier": ("a", "b")},
    "another version": {"version": 2},
    "no batches": {"batches": ()},
    "a batch without a decoy for every canary": {
        "leaves": 33,
        "batches": (BatchPlan(batch=0, first=0, canaries=20, decoys=12),),
    },
    "leaves that no batch holds": {"leaves": 99},
    "endless leaves": {"leaves": 2**40},
    "more labels than anybody could verify": {
        "cohorts": 4096,
        "leaves": 4097,
        "batches": (BatchPlan(batch=0, first=0, canaries=2048, decoys=2048),),
    },
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_figures_that_contradict_one_another_are_refused(case: str, labelled: World) -> None:
    told = msgspec.structs.replace(read_commitment(data_of(labelled)), **IMPOSSIBLE[case])
    with pytest.raises(RecordError):
        check_commitment(told)
    with pytest.raises(RecordError):
        read_commitment(commitment_file(told, labelled.signer))


def test_a_commitment_without_a_beacon_is_refused(tmp_path) -> None:
    canaries = prepared(tmp_path / "c").canaries()
    claimants = Announcement(basis="claimant", seed="0" * 64)
    with pytest.raises(UsageError, match="needs a public beacon"):
        committed(canaries, KEY, claimants, claimant="ours", now=hour(0), signer=new_signer())


def test_every_leaf_has_a_salt_of_its_own_and_none_of_them_is_in_the_commitment(labelled: World) -> None:
    made = leaves(labelled.holding.canaries(), KEY)
    salts = {leaf.salt for leaf in made}
    assert len(salts) == len(made)
    assert not any(salt.encode() in data_of(labelled) for salt in salts)


def test_the_same_canaries_under_another_key_have_another_root(labelled: World) -> None:
    canaries = labelled.holding.canaries()
    assert tree_over(leaves(canaries, KEY)).root != tree_over(leaves(canaries, OTHER_KEY)).root


# -------------------------------------------------------------------------------------------------------- order in time


def order_of(world: World, trust: Trust | None = None, **fields: Any) -> Any:
    stamps, certificates = stamps_of(world)
    given = {"stamps": stamps, "certificates": certificates, "beacon": world.beacon, **fields}
    data = data_of(world)
    return check_order(data, read_commitment(data), trust=trust or world.trust, **given)


def test_stamps_then_beacon(labelled: World) -> None:
    order = order_of(labelled)
    assert set(order.stamps) == {"a0", "a1"}
    assert max(order.stamps.values()) < order.pulse.time
    assert order.remarks == ()


def test_what_is_the_claimants_own_word_is_refused_or_said(labelled: World) -> None:
    own = replace(labelled.trust, authorities=())
    with pytest.raises(RecordError, match="by anybody but the claimant"):
        order_of(labelled, own)
    with pytest.raises(RecordError, match="no certificate of the beacon"):
        order_of(labelled, replace(labelled.trust, beacon_certificate=b""))
    told = order_of(labelled, Trust(copies=True), beacon_certificate=labelled.beacon_certificate).remarks
    assert len(told) == 3


def test_an_authority_that_the_verifier_does_not_know_counts_for_nothing(labelled: World, tmp_path) -> None:
    stranger = LocalAuthority.made(tmp_path / "stranger")
    with pytest.raises(RecordError, match="no authority that counts") as refused:
        order_of(labelled, replace(labelled.trust, authorities=(stranger.certificate,)))
    for authority in labelled.authorities:  # whoever gave the wrong file sees which ones would be compared
        assert next(iter(fingerprints(authority.certificate))) in refused.value.message
    assert next(iter(fingerprints(stranger.certificate))) not in refused.value.message


def test_certificates_are_the_same_however_their_files_are_written(labelled: World) -> None:
    def rewritten(pem: bytes) -> bytes:
        return b"subject=as openssl writes it\n" + pem + b"\n\n"

    trust = replace(
        labelled.trust,
        authorities=(rewritten(b"".join(labelled.trust.authorities)),),
        beacon_certificate=rewritten(labelled.beacon_certificate),
    )
    assert set(order_of(labelled, trust, beacon_certificate=labelled.beacon_certificate).stamps) == {"a0", "a1"}


def test_authorities_are_trusted_by_fingerprint(labelled: World, tmp_path) -> None:
    named = [
        LocalAuthority.made(tmp_path / "stranger").certificate,
        labelled.authorities[1].certificate,
        labelled.beacon_certificate,
    ]
    told = [next(iter(fingerprints(each))) for each in named]
    spelled = [":".join(each.upper()[at : at + 2] for at in range(0, 64, 2)) for each in told]
    given = {"authorities": ", ".join(spelled), "keyid": labelled.signer.key.keyid}
    order = order_of(labelled, trust_of(given), beacon_certificate=labelled.beacon_certificate)
    assert list(order.stamps) == ["a1"]
    assert order.remarks == (
        "only 1 authority stamped the commitment; two that know nothing of each other are asked for",
    )
    with pytest.raises(RecordError, match="no authority that counts"):
        order_of(
            labelled,
            trust_of({"authorities": f"{told[0]},{told[2]}"}),
            beacon_certificate=labelled.beacon_certificate,
        )
    with pytest.raises(RecordError, match="no certificate of the beacon"):
        order_of(labelled, trust_of({"authorities": told[1]}), beacon_certificate=labelled.beacon_certificate)
    with pytest.raises(UsageError, match="no SHA-256 fingerprint"):
        trust_of({"authorities": "my authority"})


def test_who_names_no_authority_takes_copies_and_it_is_said(labelled: World) -> None:
    order = order_of(labelled, trust_of({}), beacon_certificate=labelled.beacon_certificate)
    assert len(order.remarks) == 3
    with pytest.raises(RecordError, match="is signed under the key"):
        read_commitment(data_of(labelled), trust_of({"keyid": "0" * 64}).keyid)


def test_a_certificate_beside_a_trusted_one_is_not_trusted_with_it(labelled: World) -> None:
    """A claimant's own root in one file with a real one would let the claimant stamp."""
    only = replace(labelled.trust, authorities=(labelled.authorities[0].certificate,))
    assert set(order_of(labelled, only).stamps) == {"a0"}
    told = read_commitment(data_of(labelled))
    both = b"".join(authority.certificate for authority in labelled.authorities)
    named = tuple(msgspec.structs.replace(each, certificate=labels.commitment(both)) for each in told.authorities)
    data = commitment_file(msgspec.structs.replace(told, authorities=named), labelled.signer)
    stamps = {authority.name: authority.stamp(data) for authority in labelled.authorities}
    with pytest.raises(RecordError, match="no authority that counts"):
        check_order(data, read_commitment(data), stamps, dict.fromkeys(stamps, both), labelled.beacon, trust=only)


def test_a_file_without_a_certificate_is_refused(labelled: World) -> None:
    with pytest.raises(RecordError, match="holds none in PEM"):
        order_of(labelled, replace(labelled.trust, authorities=(b"none",)))


def test_one_stamp_is_said_to_be_few_and_none_is_refused(labelled: World) -> None:
    stamps, _ = stamps_of(labelled)
    assert any("only 1 authority" in remark for remark in order_of(labelled, stamps={"a0": stamps["a0"]}).remarks)
    with pytest.raises(RecordError, match="nothing shows that it was made before the beacon"):
        order_of(labelled, stamps={})


def test_one_authority_under_two_names_is_one(labelled: World) -> None:
    told, (one, _) = read_commitment(data_of(labelled)), labelled.authorities
    twice = tuple(msgspec.structs.replace(told.authorities[0], name=name) for name in ("a0", "a1"))
    data = commitment_file(msgspec.structs.replace(told, authorities=twice), labelled.signer)
    stamps = {name: one.stamp(data) for name in ("a0", "a1")}
    order = check_order(
        data,
        read_commitment(data),
        stamps,
        dict.fromkeys(stamps, one.certificate),
        labelled.beacon,
        labelled.beacon_certificate,
        labelled.trust,
    )
    assert any("only 1 authority" in remark for remark in order.remarks)


def test_a_stamp_of_something_else_is_refused(labelled: World) -> None:
    stamps, _ = stamps_of(labelled)
    with pytest.raises(RecordError):
        order_of(labelled, stamps={**stamps, "a1": labelled.authorities[1].stamp(b"something else")})
    with pytest.raises(RecordError):
        order_of(labelled, stamps={"a0": stamps["a1"]})


def test_another_pulse_than_the_announced_one_is_refused(labelled: World) -> None:
    other, certificate, _ = own_pulse(hour(5))
    with pytest.raises(RecordError):
        order_of(labelled, beacon=other)
    with pytest.raises(RecordError):
        order_of(labelled, replace(labelled.trust, beacon_certificate=certificate), beacon=other)


def test_a_beacon_is_late_enough_a_minute_after_the_last_stamp() -> None:
    first, last = datetime(2027, 1, 1, 12, tzinfo=UTC), datetime(2027, 1, 1, 13, tzinfo=UTC)
    minute = timedelta(seconds=60)
    assert late_enough(last + minute, [first, last])
    assert late_enough(last + minute, [last, first])
    assert not late_enough(last + minute - timedelta(seconds=1), [first, last])
    assert not late_enough(first + minute, [first, last])  # later than one of two is not enough
    assert late_enough(first + minute, [first])


def test_whoever_commits_when_the_beacon_is_known_is_refused(tmp_path) -> None:
    """A real round of drand of 2023, and stamps of today: all keys can be tried against it."""
    authority = LocalAuthority.made(tmp_path / "authority")
    known = beacons.announced("quicknet", datetime(2023, 8, 23, 15, 59, 24, tzinfo=UTC))
    holding, signer = prepared(tmp_path / "c"), new_signer()
    commit = {"claimant": "ours", "signer": signer, "stampers": [(authority, authority.certificate)]}
    with pytest.raises(UsageError, match="would not be later than the stamps"):
        owner.commit(holding, KEY, known, now=hour(0), **commit)
    assert not holding.at(opening.COMMITMENT_FILE).exists()

    backdated = committed(
        holding.canaries(), KEY, known, claimant="ours", now=datetime(2023, 1, 1, tzinfo=UTC), signer=signer,
        authorities=(Authority(name="local", certificate=authority.authority.certificate),),
    )  # fmt: skip
    data = commitment_file(backdated, signer)
    with pytest.raises(RecordError, match="choose among keys"):
        check_order(
            data, backdated, {"local": authority.stamp(data)}, {"local": authority.certificate}, ROUND.read_bytes(),
            trust=Trust(authorities=(authority.certificate,)),
        )  # fmt: skip


def test_a_chain_of_the_claimants_own_is_refused(labelled: World) -> None:
    own = msgspec.structs.replace(beacons.announced("quicknet", hour(1)), chain="0" * 64)
    told = msgspec.structs.replace(read_commitment(data_of(labelled)), announcement=own)
    data = commitment_file(told, labelled.signer)
    with pytest.raises(RecordError, match="nobody but the claimant knows the beacon's chain"):
        check_order(data, told, {}, {}, b"", trust=labelled.trust)


def test_when_an_announced_round_speaks() -> None:
    announced = beacons.announced("quicknet", datetime(2027, 1, 1, tzinfo=UTC))
    time = announced_time(announced)
    assert time is not None
    assert 0 <= (time - datetime(2027, 1, 1, tzinfo=UTC)).total_seconds() < 3


# ---------------------------------------------------------------------------------------------------------------- owner


def test_a_folder_is_prepared_committed_and_labelled_once(world: World, tmp_path) -> None:
    with pytest.raises(UsageError, match="committed to already"):
        owner.commit(world.holding, KEY, own_pulse(hour(1))[2], claimant="x", signer=world.signer, now=hour(0))
    with pytest.raises(UsageError, match="labels already"):
        owner.label(world.holding, world.beacon, signer=world.signer, now=hour(2))
    with pytest.raises(UsageError, match="holds canaries already"):
        owner.prepare(world.holding.folder, world.holding.canaries(), "x")


def test_labels_need_a_stamp_and_the_right_signer_and_the_right_beacon(tmp_path) -> None:
    unstamped = committed_world(tmp_path / "none", authorities=0)
    with pytest.raises(RecordError, match="nothing shows"):
        owner.label(unstamped.holding, unstamped.beacon, signer=unstamped.signer, now=hour(2))
    stamped = committed_world(tmp_path / "two")
    with pytest.raises(UsageError, match="is signed under"):
        owner.label(stamped.holding, stamped.beacon, signer=new_signer(), now=hour(2))
    with pytest.raises(RecordError):
        owner.label(stamped.holding, ROUND.read_bytes(), signer=stamped.signer, now=hour(2))
    with pytest.raises(UsageError, match="no labels yet"):
        stamped.holding.beacon()


def test_an_authority_that_hangs_is_told_and_the_other_one_counts(tmp_path) -> None:
    from filiation.case.records import Authority
    from filiation.case.time_stamps import HttpStamper

    good, bad = LocalAuthority.made(tmp_path / "good", name="good"), LocalAuthority.made(tmp_path / "bad", name="bad")
    beacon, certificate, announcement = own_pulse(hour(1))
    holding, signer = prepared(tmp_path / "c"), new_signer()
    with bad.serving(fault="status 500") as address:
        away = HttpStamper(Authority(name="bad", url=address, certificate=""), bad.certificate)
        _, missing = owner.commit(
            holding, KEY, announcement, claimant="ours", signer=signer, now=hour(0),
            stampers=[(good, good.certificate), (away, bad.certificate)], beacon_certificate=certificate,
        )  # fmt: skip
    assert len(missing) == 1
    assert "status 500" in missing[0]
    order = owner.label(holding, beacon, signer=signer, now=hour(2))
    assert list(order.stamps) == ["good"]


def test_only_the_owner_may_read_the_canaries(labelled: World) -> None:
    assert labelled.holding.folder.stat().st_mode & 0o077 == 0
    assert labelled.holding.at(owner.CANARIES_FILE).stat().st_mode & 0o777 == 0o600


def test_the_commitment_is_a_record(labelled: World) -> None:
    commitment, _ = labelled.holding.commitment()
    assert isinstance(commitment, Commitment)
    assert msgspec.json.decode(msgspec.json.encode(commitment), type=Commitment) == commitment
