"""The command line on real files: what is printed, what is written, and the documented exit codes."""

from __future__ import annotations

import ast
import json
import re
import stat
from pathlib import Path

import jsonschema
import pytest
import typer

from filiation import __version__
from filiation.cli import compare as compare_verb
from filiation.cli import files, main
from filiation.cli.program import app, leave_with_exit_code
from filiation.errors import MissingExtra, RecordError, SourceError, UsageError
from filiation.evidence import Examination
from filiation.examiners import catalogue
from filiation.report import wording
from filiation.report.schema import schema
from tests.cli import help_blocks
from tests.cli.tokenizer_folders import train
from tests.report import sample

SOURCE = Path(files.__file__).parents[1]


@pytest.fixture(scope="module")
def exhibits(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exhibits")
    train(folder / "ours", first=0, step=2)
    train(folder / "theirs", first=0, step=2, vocabulary=1200)
    train(folder / "other", first=1, step=2)
    return folder


def run(*words: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


# ------------------------------------------------------------------------------------------------------------- the whole


def test_compare_writes_a_record_and_a_report_that_belong_together(exhibits, tmp_path, capsys):
    record, report = tmp_path / "record.json", tmp_path / "report.html"
    code = run("compare", exhibits / "ours", exhibits / "theirs", "--control", exhibits / "other", "--lineage",
               "other=odd files", "--seed", 3, "--json", record, "--html", report)  # fmt: skip
    printed = capsys.readouterr()
    assert code == 0
    jsonschema.validate(json.loads(record.read_bytes()), schema())
    examination = Examination.from_json(record.read_bytes())
    assert examination.seed == 3
    assert [control.lineage_id for control in examination.controls] == ["odd files"]
    assert examination.circumstances.command.startswith("filiation compare ")
    assert "--seed 3" in examination.circumstances.command
    assert examination.digest in report.read_text()
    assert examination.digest in printed.out
    assert printed.err == ""


def test_a_record_just_made_is_judged_again_to_the_same_bytes(exhibits, tmp_path, capsys):
    record = tmp_path / "record.json"
    assert run("compare", exhibits / "ours", exhibits / "theirs", "--json", record, "-q") == 0
    assert capsys.readouterr().out == ""
    assert run("judge", record) == 0
    assert capsys.readouterr().out.startswith("identical: ")


def test_an_altered_outcome_is_told_by_name(exhibits, tmp_path, capsys):
    record = tmp_path / "record.json"
    run("compare", exhibits / "ours", exhibits / "theirs", "--json", record, "-q")
    altered = json.loads(record.read_bytes())
    changed = next(o for o in altered["outcomes"] if o["examiner"] == "tokenizer")
    changed["reason"] = "because somebody said so"
    record.write_text(json.dumps(altered))
    assert run("judge", record) == RecordError.exit_code
    assert changed["test"] in capsys.readouterr().err


def test_standard_output_is_clean_json_when_asked_for(exhibits, capfdbinary):
    assert run("compare", exhibits / "ours", exhibits / "theirs", "--only", "tokenizer", "--json", "-") == 0
    out, err = capfdbinary.readouterr()
    examination = Examination.from_json(out)
    assert {outcome.examiner for outcome in examination.outcomes} == {"tokenizer"}
    assert b"not the probability of derivation" in err


def test_nothing_is_left_in_the_folder_unasked(exhibits, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run("compare", exhibits / "ours", exhibits / "theirs", "--only", "tokenizer") == 0
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------------------------------------------------- show


def test_show_prints_and_renders_a_stored_record(tmp_path, capsys):
    record, report = tmp_path / "record.json", tmp_path / "report.html"
    record.write_bytes(sample.examination().to_json())
    assert run("show", record) == 0
    assert "weights.double_matching" in capsys.readouterr().out
    assert run("show", record, "--html", report) == 0
    assert sample.examination().digest in report.read_text()


# --------------------------------------------------------------------------------------------------------------- errors

USAGE, SOURCE_CODE, RECORD = UsageError.exit_code, SourceError.exit_code, RecordError.exit_code


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["compare", "{e}/ours"], 2, "SUSPECT"),
        (["compare", "{e}/ours", "{e}/nothing"], SOURCE_CODE, "nothing"),
        (["compare", "{e}/ours", "{e}/theirs", "--only", "palmistry"], USAGE, "palmistry"),
        (["compare", "{e}/ours", "{e}/theirs", "--lineage", "ours"], USAGE, "NAME=LINEAGE"),
        (["compare", "{e}/ours", "{e}/theirs", "--lineage", "mine=x"], USAGE, "no exhibit"),
        (["compare", "{e}/ours", "{e}/theirs", "--json", "{e}/missing/r.json"], USAGE, "not there"),
        (["compare", "{e}/ours", "{e}/theirs", "--html", "{e}"], USAGE, "names a folder"),
        (["compare", "{e}/ours", "{e}/theirs", "--html", "-"], USAGE, "name of a file"),
        (["compare", "{e}/ours", "{e}/theirs", "--no-html", "--html", "{e}/r.html"], USAGE, "contradicts"),
        (["show", "{e}/nothing.json"], RECORD, "cannot be read"),
        (["show", "{e}/ours/tokenizer.json"], RECORD, "not an examination record"),
        (["judge", "{e}/ours/tokenizer.json"], RECORD, "not an examination record"),
        (["divine"], 2, "divine"),
    ],
)
def test_a_bad_request_gives_one_message_and_its_code(exhibits, capsys, words, code, told):
    assert run(*(word.format(e=exhibits) for word in words)) == code
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.out == ""
    assert "Traceback" not in printed.err


def test_a_record_whose_relations_are_not_an_examiners_is_refused_with_advice(tmp_path, capsys):
    record = tmp_path / "record.json"
    record.write_bytes(sample.examination().to_json())
    assert run("judge", record) == RECORD
    assert "advice:" in capsys.readouterr().err


def raising(error: BaseException):
    def run() -> None:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError("x"), 2), (SourceError("x"), 3), (RecordError("x"), 4), (MissingExtra("x"), 5),
     (RuntimeError("x"), 70), (KeyboardInterrupt(), 130)],
)  # fmt: skip
def test_exit_codes_are_the_documented_ones(error, code):
    with pytest.raises(SystemExit) as left:
        leave_with_exit_code(raising(error), debug=False)
    assert left.value.code == code
    assert re.search(rf"^\| {code} \|", help_blocks.PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("debug", [True, False])
def test_an_unexpected_error_shows_its_traceback_on_request_only(capsys, debug):
    with pytest.raises(SystemExit):
        leave_with_exit_code(raising(RuntimeError("a\x1b[31m fault")), debug=debug)
    printed = capsys.readouterr().err
    assert ("Traceback" in printed) == debug
    assert "unexpected RuntimeError" in printed
    assert debug or "\x1b" not in printed


# ---------------------------------------------------------------------------------------------------------- small parts


@pytest.mark.parametrize(
    ("entries", "expected"),
    [([], {}), (["a=b"], {"a": "b"}), (["a=b", "a=b"], {"a": "b"}), (["x=y/z=lab"], {"x=y/z": "lab"})],
    ids=["none", "one", "twice the same", "an equals sign in the name"],
)
def test_lineages_as_declared(entries, expected):
    assert compare_verb.declared(entries) == expected


@pytest.mark.parametrize("entries", [["a"], ["=b"], ["a="], ["a=b", "a=c"]])
def test_lineages_that_are_none_are_refused(entries):
    with pytest.raises(UsageError):
        compare_verb.declared(entries)


@pytest.mark.parametrize(
    ("reference", "suspect", "expected"),
    [
        ("org/model", "other.gguf", "filiation-model-other.gguf.html"),
        ("../..", "a b\n<c>", "filiation-model-a-b-c.html"),
        ("", "x" * 200, f"filiation-model-{'x' * 60}.html"),
    ],
)
def test_a_report_nobody_named_gets_a_plain_name(tmp_path, reference, suspect, expected):
    assert files.unused_name(reference, suspect, tmp_path) == expected


def test_a_report_nobody_named_replaces_nothing(tmp_path):
    first = files.unused_name("a", "b", tmp_path)
    (tmp_path / first).touch()
    second = files.unused_name("a", "b", tmp_path)
    assert (first, second) == ("filiation-a-b.html", "filiation-a-b-2.html")


def test_writing_replaces_in_one_step_and_keeps_the_mode(tmp_path):
    target = tmp_path / "r.json"
    target.write_text("old")
    target.chmod(0o640)
    files.write(str(target), b"new")
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "r").mkdir()
    with pytest.raises(UsageError):
        files.write(str(tmp_path / "r"), b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


# ------------------------------------------------------------------------------------------------ documents cannot rot


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"filiation {__version__}\n"


def every_verb(command, before=""):
    """The program, its verbs, and the verbs of its verbs."""
    yield before
    for name, inner in getattr(command, "commands", {}).items():
        yield from every_verb(inner, f"{before} {name}".strip())


def test_help_in_the_documentation_is_what_the_program_prints():
    shown = help_blocks.blocks(help_blocks.PAGE.read_text(encoding="utf-8"))
    assert set(shown) == set(every_verb(typer.main.get_command(app)))
    for verb, text in shown.items():
        assert text == help_blocks.help_text(verb), "run: python -m tests.cli.help_blocks"


def leaves(command, before=""):
    inner = getattr(command, "commands", {})
    if not inner:
        yield before
    for name, each in inner.items():
        yield from leaves(each, f"{before} {name}".strip())


@pytest.mark.parametrize("verb", list(leaves(typer.main.get_command(app))))
def test_every_verb_has_an_example_in_its_help(verb):
    assert f"Example: filiation {verb}" in help_blocks.help_text(verb)


def test_examiners_are_listed_with_question_null_and_claims(capsys):
    assert run("examiners", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == [examiner.NAME for examiner in catalogue.examiners()]
    assert run("examiners") == 0
    text = capsys.readouterr().out
    for entry in listed:
        assert entry["question"] in text
        assert all(test["id"] in text and f"null by {test['null']}" in text for test in entry["tests"])
        assert all(claim in text for claim in entry["claims"])


def test_no_examiner_announces_itself_in_words_a_report_may_not_use():
    from filiation.cli.examiners import listing

    told = [
        {key: value for key, value in entry.items() if key != "references"} for entry in listing()
    ]  # titles of papers
    assert wording.forbidden_words(json.dumps(told)) == ()


# -------------------------------------------------------------------------------------------------------------- imports


@pytest.mark.parametrize("file", sorted(path.name for path in (SOURCE / "report").glob("*.py")))
def test_report_imports_records_and_statistics_only(file):
    tree = ast.parse((SOURCE / "report" / file).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    own = {name for name in imported if name.split(".")[0] == "filiation"}
    allowed = ("filiation.errors", "filiation.evidence", "filiation.statistics", "filiation.case", "filiation.report")
    assert all(name.startswith(allowed) for name in own)
