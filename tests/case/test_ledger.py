"""The chain of entries: any history reads back, and no change of a single byte passes for it."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from filiation.case import ledger
from filiation.case.records import (
    Asked,
    Body,
    Closed,
    Entry,
    Header,
    Noted,
    Opened,
    PublicKey,
    Recovered,
    Reported,
)
from filiation.errors import RecordError, UsageError
from filiation.evidence import digest

HEADER = Header(case="0123456789abcdef0123456789abcdef", title="A v. B")
KEY = PublicKey(keyid="00" * 32, public="11" * 32)
OPENED = Opened(case=HEADER.case, title=HEADER.title, party="claimant", key=KEY, software="filiation")
START = datetime(2026, 1, 31, 8, 15, tzinfo=UTC)


# ---------------------------------------------------------------------------------------------------------- any history

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    bool: st.booleans(),
    int: st.integers(-(2**53) + 1, 2**53 - 1),  # beyond, RFC 8785 has no form for them
    float: st.floats(-1e15, 1e15),
    type(None): st.none(),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Anything that a field of this type may hold."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if origin is Literal:
        return st.sampled_from(inside)
    if origin is tuple:
        return st.lists(values(inside[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(values(inside[0]), values(inside[1]), max_size=3)
    if origin in (Union, types.UnionType):
        return st.one_of([values(one) for one in inside])
    return st.builds(kind, **{name: values(hint) for name, hint in typing.get_type_hints(kind).items()})


BODIES: tuple[type, ...] = get_args(Body)
LATER = st.one_of([values(kind) for kind in BODIES if kind not in (Opened, Closed)])


def written(bodies: list[Body], header: Header = HEADER) -> list[Entry]:
    entries: list[Entry] = []
    for number, body in enumerate(bodies):
        entries.append(ledger.next_entry(entries, header, body, "an examiner", START + timedelta(seconds=number)))
    return entries


def lines(entries: list[Entry]) -> bytes:
    return b"".join(map(ledger.entry_line, entries))


@given(opened=values(Opened), bodies=st.lists(LATER, max_size=5), closed=st.booleans())
def test_any_history_reads_back(opened: Opened, bodies: list[Body], closed: bool) -> None:
    header = Header(case=opened.case, title=opened.title)
    entries = written([opened, *bodies, *([Closed()] if closed else [])], header)
    assert ledger.parse(lines(entries), header) == (tuple(entries), b"")


def is_form_by_rfc_8785(data: bytes, value: Any) -> bool:
    """Truth: the package rfc8785, which has no form for numbers beyond 2**53."""
    try:
        return rfc8785.dumps(value) == data
    except rfc8785.CanonicalizationError:
        return False


@given(value=st.recursive(st.one_of(*PLAIN.values()), lambda one: st.lists(one) | st.dictionaries(TEXT, one)))
@settings(max_examples=100)
def test_the_quick_look_at_a_form_agrees_with_rfc_8785(value: Any) -> None:
    """The form itself, and other spellings of the same value."""
    form = rfc8785.dumps(value)
    assert ledger.is_canonical(form, msgspec.json.decode(form))
    for data in (
        msgspec.json.encode(value, order="sorted"),
        msgspec.json.encode(value),
        json.dumps(value).encode(),
        json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode(),
    ):
        found = msgspec.json.decode(data)
        assert ledger.is_canonical(data, found) == is_form_by_rfc_8785(data, found)


HARD_FORMS = (
    *(b"0.0", b"1e16", b"1e+21", b"1.0", b"1e-7", b"0.000001", b"1e-6", b"-0.0", b"-0", b"9007199254740993", b"5e-324"),
    *('{"\ue000":1,"𐀀":2}'.encode(), '{"𐀀":2,"\ue000":1}'.encode()),
)


@pytest.mark.parametrize("hard", HARD_FORMS)
@pytest.mark.parametrize("around", [b"%b", b"[%b]", b"[1,%b,2]", b'{"a":%b}'])
def test_the_quick_look_leaves_the_hard_numbers_and_keys_to_rfc_8785(hard: bytes, around: bytes) -> None:
    data = around % hard
    value = msgspec.json.decode(data)
    assert ledger.is_canonical(data, value) == is_form_by_rfc_8785(data, value)


def test_bodies_with_numbers_are_those_that_the_quick_look_leaves_out() -> None:
    """Truth: the types of the fields, however deep."""

    def with_numbers(kind: Any) -> bool:
        fields = (
            typing.get_type_hints(kind).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else ()
        )
        return kind in (int, float) or any(map(with_numbers, (*fields, *get_args(kind))))

    assert {kind for kind in BODIES if with_numbers(kind)} == set(ledger._WITH_NUMBERS)


@pytest.mark.parametrize("number", [2**53 - 1, -(2**53) + 1])
def test_the_largest_numbers_of_json_read_back(number: int) -> None:
    asked = Asked(exhibit="E", endpoint="e", recording="", transcript="", requests=number, answers=0)
    assert ledger.parse(lines(written([OPENED, asked])), HEADER)[0][1].body == asked


# -------------------------------------------------------------------------------------------------- what is not a ledger

HISTORY: list[Body] = [
    OPENED,
    Noted(text="the first remark", objects=("ab" * 32,)),
    Reported(files={"report.html": "cd" * 32, "übersicht.pdf": "ef" * 32}, head="01" * 32),
    Recovered(bytes_cut=17, sha256="23" * 32, reason="interrupted"),
]
ENTRIES = written(HISTORY)
DATA = lines(ENTRIES)


def test_no_changed_byte_passes_for_the_ledger() -> None:
    """Every byte, every bit: refused, or a torn last line, or (in the last entry, which nobody follows yet) another head."""
    last = len(DATA) - len(ledger.entry_line(ENTRIES[-1]))
    for place in range(len(DATA)):
        for bit in range(8):
            changed = bytearray(DATA)
            changed[place] ^= 1 << bit
            try:
                entries, rest = ledger.parse(bytes(changed), HEADER)
            except RecordError:
                continue
            assert place >= last - 1, place  # - 1: the line feed before the last line makes one torn line of two
            assert rest or digest(entries[-1]) != digest(ENTRIES[-1])


@given(place=st.integers(0, len(DATA)), put=st.binary(min_size=1, max_size=3))
def test_no_byte_put_in_passes_for_the_ledger(place: int, put: bytes) -> None:
    try:
        entries, rest = ledger.parse(DATA[:place] + put + DATA[place:], HEADER)
    except RecordError:
        return
    assert rest or digest(entries[-1]) != digest(ENTRIES[-1])


def test_a_ledger_cut_anywhere_gives_its_whole_entries_and_the_rest() -> None:
    first = len(ledger.entry_line(ENTRIES[0]))
    for length in range(first, len(DATA)):
        entries, rest = ledger.parse(DATA[:length], HEADER)
        assert entries == tuple(ENTRIES[: len(entries)])
        assert lines(list(entries)) + rest == DATA[:length]
        assert b"\n" not in rest


@pytest.mark.parametrize("torn", [b"\0" * 100, b"\0" * 50 + b"rest of an entry\n", b"{", b"\n", b"\xff\xfe\n"])
def test_what_a_power_cut_leaves_is_a_torn_rest(torn: bytes) -> None:
    assert ledger.parse(DATA + torn, HEADER) == (tuple(ENTRIES), torn)


def rewritten(entries: list[Entry], **changes: Any) -> bytes:
    """The last entry says something else; the entries before stay."""
    return lines([*entries[:-1], msgspec.structs.replace(entries[-1], **changes)])


def one_line(change: Callable[[bytes], bytes]) -> bytes:
    """Entry 2 in another form, the others as they are."""
    made = [ledger.entry_line(entry) for entry in ENTRIES]
    return b"".join([made[0], change(made[1]), *made[2:]])


OTHER = Header(case="f" * 32, title="A v. B")
BROKEN: dict[str, tuple[bytes, int, str]] = {
    "nothing at all": (b"", 1, "empty"),
    "only half an entry": (DATA[:100], 1, "no whole entry"),
    "an entry taken out": (lines([ENTRIES[0], *ENTRIES[2:]]), 2, "numbered 3"),
    "an entry taken out and the others numbered anew": (
        lines([ENTRIES[0], msgspec.structs.replace(ENTRIES[2], sequence=2)]),
        2,
        "it follows",
    ),
    "two entries exchanged": (lines([ENTRIES[0], ENTRIES[2], ENTRIES[1], ENTRIES[3]]), 2, "numbered 3"),
    "an entry twice": (lines([*ENTRIES[:2], *ENTRIES[1:]]), 3, "numbered 2"),
    "the first entry twice": (lines([ENTRIES[0], *ENTRIES]), 2, "numbered 1"),
    "an entry altered that others follow": (
        lines([ENTRIES[0], msgspec.structs.replace(ENTRIES[1], actor="another"), *ENTRIES[2:]]),
        3,
        "it follows",
    ),
    "the ledger of another case": (
        lines(written([msgspec.structs.replace(OPENED, case=OTHER.case)], OTHER)),
        1,
        "the header case.json",
    ),
    "a first entry that opens another case": (
        rewritten(ENTRIES[:1], body=msgspec.structs.replace(OPENED, case=OTHER.case)),
        1,
        "another case",
    ),
    "a first entry with another title": (
        rewritten(ENTRIES[:1], body=msgspec.structs.replace(OPENED, title="B v. A")),
        1,
        "another case",
    ),
    "a first entry that opens nothing": (rewritten(ENTRIES[:1], body=Noted(text="x")), 1, "opened by its first entry"),
    "a case opened again": (rewritten(ENTRIES[:2], body=OPENED), 2, "opened by its first entry"),
    "a time before the one of the entry before": (rewritten(ENTRIES[:2], time="2026-01-31T08:14:59Z"), 2, "is before"),
    "a time without a zone": (rewritten(ENTRIES[:2], time="2026-01-31T08:15:01"), 2, "not a time in UTC"),
    "a time in another zone": (rewritten(ENTRIES[:2], time="2026-01-31T09:15:01+01:00"), 2, "not a time in UTC"),
    "a time with fractions of a second": (
        rewritten(ENTRIES[:2], time="2026-01-31T08:15:01.5Z"),
        2,
        "not a time in UTC",
    ),
    "a day that does not exist": (rewritten(ENTRIES[:2], time="2026-02-30T08:15:01Z"), 2, "not a time in UTC"),
    "a time in digits of another script": (rewritten(ENTRIES[:2], time="٢٠٢٦-01-31T08:15:01Z"), 2, "not a time in UTC"),
    "a space put into an entry": (one_line(lambda line: line.replace(b'":', b'": ', 1)), 2, "not the canonical JSON"),
    "line ends of another system": (one_line(lambda line: line.replace(b"\n", b"\r\n")), 2, "not the canonical JSON"),
    "an empty line": (one_line(lambda line: line + b"\n"), 3, "not the canonical JSON"),
    "a mark of byte order": (b"\xef\xbb\xbf" + DATA, 1, "not the canonical JSON"),
    "a field twice": (
        one_line(lambda line: line.replace(b'{"actor":', b'{"actor":"an examiner","actor":', 1)),
        2,
        "not the canonical JSON",
    ),
    "a field that no entry has": (
        one_line(lambda line: line.replace(b"{", b'{"a":1,', 1)),
        2,
        "not the canonical JSON",
    ),
    "fields in another order": (
        one_line(lambda line: json.dumps(dict(reversed(json.loads(line).items()))).encode() + b"\n"),
        2,
        "not the canonical JSON",
    ),
    "something nested without end": (one_line(lambda _line: b"[" * 100_000 + b"\n"), 2, "not the canonical JSON"),
    "a number as text": (one_line(lambda line: line.replace(b'"sequence":2', b'"sequence":"2"')), 2, "canonical JSON"),
    "a number with a point": (
        one_line(lambda line: line.replace(b'"sequence":2', b'"sequence":2.0')),
        2,
        "canonical JSON",
    ),
    "a remark after the case was closed": (
        lines(
            [
                *(closed := written([OPENED, Closed()])),
                Entry(
                    sequence=3, previous=digest(closed[-1]), time=closed[-1].time, actor="x", body=Noted(text="late")
                ),
            ]
        ),
        3,
        "closed the case",
    ),
    "half a line after the case was closed": (lines(written([OPENED, Closed()])) + b"{", 3, "closed the case"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_ledger_is_refused_and_the_entry_named(name: str) -> None:
    data, entry, said = BROKEN[name]
    with pytest.raises(RecordError) as caught:
        ledger.parse(data, HEADER)
    assert caught.value.exhibit == f"ledger.jsonl, entry {entry}"
    assert said in caught.value.message
    assert caught.value.advice


# --------------------------------------------------------------------------------------------------------------- writing


@pytest.mark.parametrize(
    ("bodies", "body", "said"),
    [
        ([], Noted(text="x"), "opened by its first entry"),
        ([OPENED], OPENED, "opened by its first entry"),
        ([OPENED, Closed()], Noted(text="x"), "closed the case"),
        ([OPENED, Closed()], Closed(), "closed the case"),
        ([], msgspec.structs.replace(OPENED, case="f" * 32), "another case"),
    ],
)
def test_no_entry_is_made_that_parse_would_refuse(bodies: list[Body], body: Body, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        ledger.next_entry(written(bodies), HEADER, body, "me", START + timedelta(hours=1))


def test_a_clock_that_went_back_is_told() -> None:
    with pytest.raises(UsageError, match="08:14:59Z, and entry 1 was written at 2026-01-31T08:15:00Z"):
        ledger.next_entry(written([OPENED]), HEADER, Noted(text="x"), "me", START - timedelta(seconds=1))


def test_times_are_written_in_utc_wherever_the_clock_stands() -> None:
    assert (
        ledger.time_text(datetime(2026, 1, 31, 1, 15, 0, 999_999, timezone(timedelta(hours=-7))))
        == "2026-01-31T08:15:00Z"
    )
    with pytest.raises(UsageError, match="no time zone"):
        ledger.time_text(datetime(2026, 1, 31))
