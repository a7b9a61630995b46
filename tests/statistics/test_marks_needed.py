"""What the pages of planted marks say is needed is what the exact laws give."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from studies import marks_needed

DOCS = Path(__file__).parents[2] / "docs"
FIGURES = marks_needed.needed()
QUOTED = {
    ("planted-marks.md", "tau of a drawn order", "300"): "of {} in 300 documents",
    ("planted-marks.md", "tau of a drawn order", "1000"): "{} in 1,000",
    ("planted-marks.md", "share of twins in favour", "200"): "favoured in {} of them",
    ("examiners/training_order.md", "tau of a drawn order", "1000"): "{} of 1,000",
    ("examiners/private_twins.md", "share of twins in favour", "80"): "{} of 80 pairs",
    ("examiners/private_twins.md", "share of twins in favour", "200"): "{} of 200",
}


def test_the_committed_figures_are_those_of_the_laws() -> None:
    assert json.loads(marks_needed.RESULTS.read_text()) == FIGURES


@pytest.mark.parametrize(("page", "what", "of"), QUOTED)
def test_pages_quote_them(page: str, what: str, of: str) -> None:
    figure = f"{FIGURES[what][of]:.2f}".removeprefix("0")
    text = (DOCS / page).read_text().replace(" 0.", " .")
    assert QUOTED[page, what, of].format(figure) in text


def test_half_of_32_canaries_a_third_of_64_and_a_seventh_of_256() -> None:
    for number, share in ((32, 1 / 2), (64, 1 / 3), (256, 1 / 7)):
        assert FIGURES["share of canaries that survives"][str(number)] == pytest.approx(share, abs=0.01)
