"""docs/watermarks.md says what the committed results say, and nothing else stands in its blocks."""

from __future__ import annotations

import json

import pytest

from studies import watermarks_page
from studies.watermarks_page import CURVES, PAGE, PICTURE, RESULTS, filled, picture, picture_of_tokens


def test_the_page_and_the_pictures_are_what_the_committed_script_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.md").write_text(PAGE.read_text())
    monkeypatch.setattr(watermarks_page, "PAGE", folder / "page.md")
    monkeypatch.setattr(watermarks_page, "PICTURE", folder / "picture.svg")
    monkeypatch.setattr(watermarks_page, "CURVES", folder / "curves.svg")
    watermarks_page.main()
    assert (folder / "page.md").read_text() == PAGE.read_text(), "run python -m studies.watermarks_page"
    assert (folder / "picture.svg").read_text() == PICTURE.read_text(), "run python -m studies.watermarks_page"
    assert (folder / "curves.svg").read_text() == CURVES.read_text(), "run python -m studies.watermarks_page"


def test_a_block_is_filled_and_the_rest_stays() -> None:
    page = "before\n<!-- study:law -->\nold\n<!-- end -->\nafter <!-- end -->\n"
    assert filled(page, {"law": "new"}) == "before\n<!-- study:law -->\nnew\n<!-- end -->\nafter <!-- end -->\n"
    with pytest.raises(ValueError):
        filled(page, {"power": "new"})


def test_every_figure_of_radioactivity_stands_in_the_picture_s_description() -> None:
    found = json.loads((RESULTS / "radioactivity.json").read_text())["small"]
    drawn = picture(found)
    for _, name, each in watermarks_page.students(found):
        for way in watermarks_page.WAYS:
            assert f"{name}, {way}: {each[way]['log10 p']:.2f}" in drawn


def test_every_student_s_last_figure_stands_in_the_description_of_the_curves() -> None:
    found = json.loads((RESULTS / "radioactivity.json").read_text())["tokens needed"]
    drawn = picture_of_tokens(found)
    for way in watermarks_page.WAYS:
        for mark, name, curve in watermarks_page.curves(found, way):
            assert f"{mark}, {name}, {way}: {curve[watermarks_page.LOOKS][-1][2]:.2f}" in drawn
    assert drawn.count("<polyline") == sum(
        len(list(watermarks_page.curves(found, way))) for way in watermarks_page.WAYS
    )
