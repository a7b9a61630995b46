"""Labels: the message against the reference implementation of RFC 8785, keys against another HKDF, options equally likely."""

from __future__ import annotations

import hashlib
import hmac
import os
import resource

import pytest
import rfc8785
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from filiation.canaries import labels
from filiation.canaries.canary import Canary
from filiation.errors import SourceNotFound, UsageError
from tests.canaries.world import KEY, OTHER_KEY

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


def canary(
    prompt: str = "p", options: tuple[str, ...] = ("a", "b", "c", "d"), index: int = 0, **fields: object
) -> Canary:
    usual = {"batch": 0, "kind": "own", "decoy": False, "partner": 1}
    return Canary(index=index, prompts=(prompt, "as well"), options=options, **{**usual, **fields})  # type: ignore[arg-type]


WHAT_IS_LABELLED = st.tuples(
    st.binary(min_size=1, max_size=4),
    st.integers(0, 70_000),
    st.integers(0, 10**6),
    TEXTS,
    st.lists(TEXTS, min_size=2, max_size=4).map(tuple),
)


def encoded(what: tuple[bytes, int, int, str, tuple[str, ...]]) -> bytes:
    beacon, cohort, index, prompt, options = what
    return labels.message(beacon, cohort, canary(prompt, options, index))


@given(WHAT_IS_LABELLED)
def test_the_message_is_canonical_json_of_what_the_docstring_says(what) -> None:
    beacon, cohort, index, prompt, options = what
    told = ["filiation canary label", 1, beacon.hex(), cohort, index]
    told += [hashlib.sha256(prompt.encode()).hexdigest(), hashlib.sha256(rfc8785.dumps(list(options))).hexdigest()]
    assert encoded(what) == rfc8785.dumps(told)


@given(WHAT_IS_LABELLED, WHAT_IS_LABELLED)
def test_no_two_things_are_encoded_alike(one, other) -> None:
    assert (encoded(one) == encoded(other)) == (one == other)


def test_the_order_of_the_options_and_what_they_run_together_to_count() -> None:
    spellings = [("ab", "c"), ("a", "bc"), ("c", "ab"), ("a,b", "c"), ('a","b', "c")]
    assert len({labels.message(b"\x00", 0, canary(options=options)) for options in spellings}) == len(spellings)


def test_kind_batch_and_paraphrases_do_not_enter_because_the_key_and_the_tree_fix_them() -> None:
    assert labels.message(b"\x00", 0, canary()) == labels.message(b"\x00", 0, canary(kind="other", decoy=True))


@pytest.mark.parametrize(("purpose", "number"), [("batch", 0), ("batch", 7), ("salt", 2**40), ("accounts", 0)])
def test_keys_against_another_implementation_of_rfc_5869(purpose: str, number: int) -> None:
    info = b"filiation canary " + purpose.encode() + b"\x00" + number.to_bytes(8, "big")
    assert labels.derived(KEY, purpose, number) == HKDF(SHA256(), 32, None, info).derive(KEY)


def test_keys_of_batches_tell_nothing_of_one_another() -> None:
    keys = {labels.batch_key(KEY, batch) for batch in range(100)} | {labels.salt(KEY, leaf) for leaf in range(100)}
    assert len(keys) == 200


def test_the_label_is_read_from_the_end_of_the_hash() -> None:
    """Modulo 16 a big-endian number is its last hexadecimal digit."""
    options = tuple("abcdefghijklmnop")
    for index in range(20):
        asked = canary(options=options, index=index)
        digits = hmac.new(KEY, labels.message(b"\x07", 3, asked), "sha256").hexdigest()
        assert labels.label(KEY, b"\x07", 3, asked) == int(digits[-1], 16)


def test_options_are_equally_likely_over_canaries_cohorts_keys_and_beacons() -> None:
    """Truth by construction: a keyed hash modulo a power of two. One fixed set of labels, so the test cannot flicker."""
    options = tuple("abcdefghijklmnop")
    for vary in ("index", "cohort", "beacon", "key"):
        counts = [0] * 16
        for number in range(4000):
            key = labels.batch_key(KEY, number if vary == "key" else 0)
            beacon = number.to_bytes(4, "big") if vary == "beacon" else b"\x01"
            found = canary(options=options, index=number if vary == "index" else 0)
            counts[labels.label(key, beacon, number if vary == "cohort" else 0, found)] += 1
        assert chisquare(counts).pvalue > 1e-4, (vary, counts)


def test_a_label_changes_with_everything_that_it_depends_on() -> None:
    usual = canary(options=tuple(str(number) for number in range(100, 356)))
    first = labels.label(KEY, b"\x01", 0, usual)
    others = [
        labels.label(OTHER_KEY, b"\x01", 0, usual),
        labels.label(KEY, b"\x02", 0, usual),
        labels.label(KEY, b"\x01", 1, usual),
        labels.label(KEY, b"\x01", 0, canary("q", usual.options)),
        labels.label(KEY, b"\x01", 0, canary("p", usual.options[::-1])),
        labels.label(KEY, b"\x01", 0, canary("p", usual.options, index=1)),
    ]
    assert len({first, *others}) >= 6


# -------------------------------------------------------------------------------------------------------------- key files


def test_a_key_comes_back_and_only_its_owner_may_read_it(tmp_path) -> None:
    labels.save_key(KEY, tmp_path / "key")
    assert labels.load_key(tmp_path / "key") == KEY
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(UsageError, match="not replaced"):
        labels.save_key(OTHER_KEY, tmp_path / "key")


def test_a_key_that_could_not_be_written_whole_leaves_nothing(tmp_path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
    try:
        with pytest.raises(UsageError, match="cannot be written"):
            labels.save_key(KEY, tmp_path / "key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(tmp_path.iterdir())


BAD_KEYS = {
    "too short": b"00" * 31,
    "capital letters": b"AB" * 32,
    "no hexadecimal": b"zz" * 32,
    "empty": b"",
    "binary": bytes(64),
    "endless": b"0" * 100_000,
}


@pytest.mark.parametrize("case", BAD_KEYS)
def test_what_is_no_key_is_refused(case: str, tmp_path) -> None:
    (tmp_path / "key").write_bytes(BAD_KEYS[case])
    os.chmod(tmp_path / "key", 0o600)
    with pytest.raises(UsageError, match="does not hold a key"):
        labels.load_key(tmp_path / "key")


def test_a_key_that_others_may_read_is_refused(tmp_path) -> None:
    labels.save_key(KEY, tmp_path / "key")
    os.chmod(tmp_path / "key", 0o640)
    with pytest.raises(UsageError, match="others may read"):
        labels.load_key(tmp_path / "key")


def test_a_key_that_is_not_there(tmp_path) -> None:
    with pytest.raises(SourceNotFound):
        labels.load_key(tmp_path / "key")
    with pytest.raises(UsageError, match="31 bytes"):
        labels.derived(bytes(31), "batch")
