"""The report of a case on paper: A4, as PDF/A-2b, laid out by typst from the same page as the HTML report.

The same case, the same `made` and the same version of typst give the same bytes on every machine: typst brings its own
fonts, no font of the system and no package of the network is used, and the only date in the file is `made`.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any, cast

import msgspec

from filiation.case.view import CaseView
from filiation.errors import MissingExtra, RecordError
from filiation.report import case_html
from filiation.report.page_tree import page_tree, printable

STANDARD = "a-2b"
"""PDF/A-2b (ISO 19005-2): fonts embedded, nothing loaded, nothing executed, what it looks like fixed for the archive."""


def render(view: CaseView, *, draft: bool, made: datetime) -> bytes:
    """The report of `view` as PDF. `made` (with a time zone) is the date written into it.

    Raises MissingExtra without typst, UsageError where `case_html.render` does, RecordError where it cannot be laid out.
    """
    case = view.header.case
    return pdf(case_html.render(view, draft=draft), case=case, head=view.head, draft=draft, made=made)


def pdf(page: str, *, case: str, head: str, draft: bool, made: datetime) -> bytes:
    """An HTML report of ours as PDF, with case, head of the ledger and page numbers on every page."""
    return cast(bytes, _laid_out(_told(page, case, head, draft), made=made, format="pdf", pdf_standards=STANDARD))


def pictures_of_pages(
    page: str, *, case: str, head: str, draft: bool, made: datetime, ppi: float = 100.0
) -> list[bytes]:
    """The pages as PNG, to be looked at."""
    drawn = _laid_out(_told(page, case, head, draft), made=made, format="png", ppi=ppi)
    return [drawn] if isinstance(drawn, bytes) else cast(list[bytes], drawn)


def laid_out_by(paper: bytes) -> str:
    """The program and version that a PDF says it was made by, such as 'Typst 0.15.1'; empty where it says none."""
    named = re.search(rb"<xmp:CreatorTool>([^<]{1,80})</xmp:CreatorTool>", paper)
    return named[1].decode("utf-8", "replace") if named else ""


@cache
def layouter() -> str:
    """The same of the typst that is installed here. Only this version gives the bytes of `laid_out_by`'s again."""
    return laid_out_by(_typst().compile(b"", ignore_system_fonts=True, timestamp=0, pdf_standards=STANDARD))


def _told(page: str, case: str, head: str, draft: bool) -> str:
    """Everything that goes on paper as one JSON text: the layout reads it as data."""
    tree = page_tree(page)
    told = {
        "title": tree.title,
        "kids": tree.kids,
        "lacking": tree.lacking,
        "draft": draft,
        "header": f"case {printable(case)[0]}",
        "beside": f"ledger {head[:16]}",
        "footer": tree.title,
    }
    return msgspec.json.encode(told).decode()


def _laid_out(told: str, *, made: datetime, **options: Any) -> Any:
    typst = _typst()
    template = resources.files("filiation.report").joinpath("templates/case.typ").read_bytes()
    try:
        return typst.compile(
            template,
            sys_inputs={"report": told},
            font_paths=typst.Fonts(include_system_fonts=False, include_embedded_fonts=True),
            ignore_system_fonts=True,
            timestamp=int(made.timestamp()),
            **options,
        )
    except typst.TypstError as error:
        raise RecordError(
            f"the report could not be laid out on paper: {error.message}",
            advice="the HTML report of the same case tells the same; please report this with the case",
        ) from error


def _typst() -> Any:
    try:
        import typst
    except ImportError as error:
        raise MissingExtra(
            "a report on paper needs the package 'typst'",
            advice='pip install "filiation[pdf]", or ask for the HTML report',
        ) from error
    return typst
