"""Pictures of the example cases' reports for docs/pictures: `python -m studies.cases.pictures`.

Two pages of each report on paper, side by side: what came out and the line-up, or the statement on marks and the exact law. Look
at what comes out: the pages are chosen by number.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CASES = ROOT / "examples" / "cases"
PICTURES = ROOT / "docs" / "pictures"
PAGES = {"true": (1, 8), "false": (1, 8), "planted": (2, 3)}
RESOLUTION = 68.0  # pixels per inch

LAYOUT = """\
#set page(width: auto, height: auto, margin: 4mm, fill: rgb("#dddddd"))
#stack(dir: ltr, spacing: 4mm, {pages})
"""


def main(arguments: list[str] | None = None) -> int:
    """Parse, draw."""
    parser = argparse.ArgumentParser(prog="python -m studies.cases.pictures", description=__doc__)
    parser.add_argument("--cases", type=Path, default=CASES, metavar="DIR", help="where the cases are")
    parser.add_argument("--output", type=Path, default=PICTURES, metavar="DIR", help="where the pictures are put")
    parser.add_argument("--only", choices=sorted(PAGES), help="one of the cases")
    parser.add_argument("--pages", type=int, nargs="+", metavar="N", help="other pages of the reports")
    asked = parser.parse_args(arguments)
    for name in [asked.only] if asked.only else PAGES:
        (report,) = (asked.cases / name / "reports").glob("*.pdf")
        (asked.output / f"case-{name}.png").write_bytes(side_by_side(report, asked.pages or PAGES[name]))
    return 0


def side_by_side(report: Path, pages: Sequence[int]) -> bytes:
    """Some pages of a PDF as one PNG."""
    import typst

    with tempfile.TemporaryDirectory() as place:
        shutil.copyfile(report, Path(place) / "report.pdf")
        shown = ", ".join(
            f'rect(fill: white, stroke: none, inset: 0pt, image("report.pdf", page: {page}, width: 595pt))'
            for page in pages
        )
        layout = Path(place) / "picture.typ"
        layout.write_text(LAYOUT.format(pages=shown), "utf-8")
        drawn = typst.compile(layout, format="png", ppi=RESOLUTION)
    assert isinstance(drawn, bytes)
    return drawn


if __name__ == "__main__":
    raise SystemExit(main())
