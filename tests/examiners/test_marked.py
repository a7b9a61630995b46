"""What the examiners of marks have in common: lots that are opened together, and what stood before an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from filiation.evidence import Absent
from filiation.examiners.marked import TRUST_PARAMETERS, commitments_of, lot_among, texts_read, texts_told
from filiation.lots import Lot, Purpose, owner
from filiation.sources.joined import JoinedSource
from filiation.sources.marks import open_marks
from tests.lots.world import World, committed_world

DOCUMENTS = b"".join(b'{"text": "document %d"}\n' % number for number in range(4))
PAIRS = b"".join(b'{"first": "one %d", "second": "another %d"}\n' % (number, number) for number in range(4))


def opened(place: Path, purpose: Purpose, number: int, **changed: int) -> Path:
    place.mkdir()
    subject = DOCUMENTS if purpose == "order" else PAIRS
    world: World = committed_world(place / "lot", purpose, subject, number=number, **changed)
    world.drawn()
    owner.open_lot(world.holding, world.secret, place / "opened")
    return place / "opened"


def found(purpose: Purpose, *folders: Path) -> Lot:
    source = JoinedSource([open_marks(folder) for folder in folders], name="ours")
    lot = lot_among(source, purpose, TRUST_PARAMETERS)
    assert not isinstance(lot, Absent)
    return lot


def test_an_owners_first_lot_is_paid_for_with_the_later_ones_that_are_opened_with_it(tmp_path: Path) -> None:
    """Three lots, each of which tells its number truly; the third is another one's, and does not count."""
    first, third = opened(tmp_path / "a", "order", 1), opened(tmp_path / "b", "twins", 3)
    strangers = opened(tmp_path / "c", "twins", 9, seed=7)
    assert commitments_of(found("order", first), TRUST_PARAMETERS) == 1
    assert commitments_of(found("order", first, third), TRUST_PARAMETERS) == 3
    assert commitments_of(found("twins", first, third), TRUST_PARAMETERS) == 3
    assert commitments_of(found("order", first, strangers), TRUST_PARAMETERS) == 1
    assert commitments_of(found("order", first), TRUST_PARAMETERS | {"commitments": 5}) == 5


def test_lots_that_all_call_themselves_the_first_are_counted(tmp_path: Path) -> None:
    both = opened(tmp_path / "a", "order", 1), opened(tmp_path / "b", "twins", 1)
    assert commitments_of(found("order", *both), TRUST_PARAMETERS) == 2


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ("{}", ()),
        ("", ()),
        ("no json", ()),
        ('{"system": "Be brief.", "temperature": 0}', ("Be brief.",)),
        ('{"system_message": "Be brief."}', ("Be brief.",)),
        ('{"request": {"instructions": ["Be brief.", {"text": "Be kind."}]}}', ("Be brief.", "Be kind.")),
        ('{"system": "  "}', ()),
    ],
)
def test_texts_before_an_answer_are_found_under_every_name(parameters: str, told: tuple[str, ...]) -> None:
    assert texts_told(parameters) == told
    assert texts_read("Why?", parameters) == (*told, "Why?")
