"""No word of a verdict in anything that a report prints: templates, string literals, shipped scores, documents, free text at run time."""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from filiation.errors import UsageError
from filiation.examiners.catalogue import examiners
from filiation.report import wording
from filiation.report.case_validation import shipped

REPORT = Path(wording.__file__).parent
DOCS = Path(__file__).parent.parent.parent / "docs"
QUOTING = ("reading-a-case-report.md", "the-claude-qwen-dispute.md", "examination-record.md")
"""Documents that quote sentences of reports; what they quote of the forbidden words themselves stands in `backticks`."""

REFUSED = {
    "it is a match": "match",
    "a Match": "Match",
    "they matched": "matched",
    "matched on size": "matched",
    "the neurons are matching": "matching",
    "this proves copying": "proves",
    "proof": "proof",
    "proving": "proving",
    "it disproves independence": "disproves",
    "the probability that it was copied": "probability that",
    "the likelihood that it was": "likelihood that",
    "the chances\nthat it was": "chances that",
    "99 % similar": "similar",
    "99% similar": "similar",
    "98.5 percent identical": "identical",
    "97 per cent the same": "the same",
    "a 60 % overlap": "overlap",
    "identical to 99 %": "identical to 99 %",
    "they agree in 92 percent": "agree in 92 percent",
    "a similarity of .9": "similarity",
    "100 % certain": "certain",
    "identical beyond doubt": "beyond doubt",
    "without any reasonable doubt": "doubt",
    "certainly copied": "certainly",
    "Clearly, it was": "Clearly",
    "conclusive evidence": "conclusive",
    "irrefutable": "irrefutable",
    "it was probably copied": "probably copied",
    "very likely derived from ours": "very likely derived",
    "stolen weights": "stolen",
    "plagiarised": "plagiarised",
    "piracy": "piracy",
    "guilty": "guilty",
    "a descendant of ours": "descendant of",
    "it descends from ours": "descends from",
    "no verdict": "verdict",
    "a m\u0430tch": "match",  # Cyrillic a
    "a ｍａｔｃｈ": "match",
    "a mat\u200bch": "match",
    "a mat\u00adch": "match",
}

PASSES = (
    "a 95 % interval", "the 95 % upper limit on their share", "with 95 % probability", "97.5 % intervals", "double-matching",
    "weights.double-matching", "weights.double_matching", "alike in what is not at issue", "inconclusive", "improvement", "approve",
    "waterproofing", "the probability of the outcome", "a chance of at most 0.1", "coincidences", "ancestor", "5 % of the answers",
    "the same bytes", "uncertain", "stealthy", "descending order", "similarly",
)  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_words_of_a_verdict_are_found_and_refused(text):
    assert any(REFUSED[text].casefold() in " ".join(word.split()).casefold() for word in wording.forbidden_words(text))
    with pytest.raises(UsageError):
        wording.hold_to_wording({"field": text})


@pytest.mark.parametrize("text", PASSES)
def test_what_only_looks_like_them_passes(text):
    assert wording.forbidden_words(text) == ()
    wording.hold_to_wording({"field": text})


# ----------------------------------------------------------------------------------------------------- what is written here


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Every string of a module that is no docstring (of a module, class, function or name) and no part of the table of rules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bodies = (node.body for node in ast.walk(tree) if isinstance(getattr(node, "body", None), list))
    docstrings = {id(statement.value) for body in bodies for statement in body if isinstance(statement, ast.Expr)}
    rules = {id(node) for assigned in ast.walk(tree) if _is_the_rules(assigned) for node in ast.walk(assigned)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings | rules:
            yield node.lineno, node.value


def _is_the_rules(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and any(
        getattr(target, "id", "") in ("INSTEAD", "_LIKENESS") for target in node.targets
    )


@pytest.mark.parametrize("file", sorted(path.relative_to(REPORT).as_posix() for path in REPORT.rglob("*.py")))
def test_no_string_of_the_package_says_what_may_not_be_said(file):
    assert [
        (line, wording.forbidden_words(text)) for line, text in literals(REPORT / file) if wording.forbidden_words(text)
    ] == []


def test_the_linter_sees_a_string_that_says_too_much(tmp_path):
    module = tmp_path / "module.py"
    module.write_text(
        '"""A match in a docstring."""\nNAME = 1\n"""A match beside a name."""\nTOLD = f"{NAME} proves it"\n'
    )
    assert [text for _, text in literals(module) if wording.forbidden_words(text)] == [" proves it"]


@pytest.mark.parametrize(
    "file", sorted(p.name for p in (REPORT / "templates").iterdir() if p.suffix in (".j2", ".typ", ".html", ".css"))
)
def test_no_template_says_what_may_not_be_said(file):
    assert wording.forbidden_words((REPORT / "templates" / file).read_text(encoding="utf-8")) == ()


def test_no_shipped_score_says_what_may_not_be_said():
    told = {
        text for file in shipped() for text in (file.remark, file.made_by, *(score.relation for score in file.scores))
    }
    assert [text for text in told if wording.forbidden_words(text)] == []


def test_nothing_that_examiners_bring_into_a_report_says_it():
    told = [
        text
        for examiner in examiners()
        for text in (
            *examiner.ASSUMPTIONS, examiner.QUESTION,
            *(text for test in examiner.TESTS for text in (test.alternative, test.relation_class)),
        )
    ]  # fmt: skip
    assert len(told) > 20
    assert [text for text in told if wording.forbidden_words(text)] == []


@pytest.mark.parametrize("file", QUOTING)
def test_documents_that_quote_reports_keep_to_the_wording(file):
    text = (DOCS / file).read_text(encoding="utf-8")
    assert wording.forbidden_words(re.sub(r"```.*?```|`[^`]*`", " ", text, flags=re.DOTALL)) == ()


@pytest.mark.parametrize("pattern", wording.INSTEAD)
def test_what_to_write_instead_may_itself_be_written(pattern):
    advice = re.sub(r"'alike in' of how foils were chosen|'double-matching'", "", wording.INSTEAD[pattern])
    assert wording.forbidden_words(advice) == ()


# -------------------------------------------------------------------------------------------------------------- free text


def test_a_refusal_names_every_field_every_word_and_what_to_write_instead():
    texts = {
        "declaration 'limits'": "none, it is a match",
        "note": "fine",
        "purpose": "to see whether it is 99 % similar",
    }
    with pytest.raises(UsageError) as refused:
        wording.hold_to_wording(texts)
    assert "declaration 'limits' says ‘match’" in refused.value.message
    assert "purpose says ‘9 % similar’" in refused.value.message
    assert "note" not in refused.value.message
    assert "for ‘match’, write 'coincidences'" in refused.value.advice
    assert "say what was counted" in refused.value.advice


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=80))
def test_refusing_and_finding_agree_on_any_text(text):
    found = wording.forbidden_words(text)
    try:
        wording.hold_to_wording({"field": text})
    except UsageError:
        assert found
    else:
        assert not found
        assert wording.withheld(text, 3) == wording.visible(text, 2000)


@pytest.mark.parametrize(
    "piece", ["no any a ", "identical a a a ", "very likely a ", "9", "overlap 1.", "pro", "9 % a "]
)
def test_hostile_repetitions_cost_no_more_than_their_length(piece):
    text = (piece * (200_000 // len(piece) + 1))[:200_000]
    began = time.monotonic()
    wording.forbidden_words(text)
    assert time.monotonic() - began < 5.0


@given(st.sampled_from(sorted(REFUSED)), st.text(alphabet="abc \n", max_size=8), st.text(alphabet="abc \n", max_size=8))
def test_no_surrounding_hides_a_forbidden_word(text, before, after):
    assert wording.forbidden_words(f"{before} {text} {after}")
    assert "not printed" in wording.withheld(f"{before} {text} {after}", 7)
