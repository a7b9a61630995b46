"""`filiation transcripts` on small real files: what is printed and written, and the exit codes."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
import typer

from filiation.cli import transcripts
from filiation.cli.program import leave_with_exit_code
from filiation.sources.transcripts import SCHEMA, prompt_id

SHARED = "the quick brown fox jumps over the lazy dog near the river"
HOSTILE = "\x1b[2J\u202e<script>alert(1)</script>"


def run(*words: object) -> int:
    """The exit code of `filiation transcripts ...`."""
    program = typer.Typer()
    program.add_typer(transcripts.app, name="transcripts")
    given = ["transcripts", *(str(word) for word in words)]
    with pytest.raises(SystemExit) as left:
        leave_with_exit_code(lambda: program(args=given, prog_name="filiation"), debug=False)
    return int(left.value.code or 0)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Three models; a and b share a passage, and b is hostile."""
    said = {
        "a": ["Yes. " + SHARED.capitalize() + ".", "Nothing here."],
        "b": [f"No: {SHARED}! {HOSTILE}", "Something else."],
        "c": ["Words.", "More words."],
    }
    made = []
    for model, texts in said.items():
        listed = [
            {"instruction": f"Question {at} {HOSTILE}", "output": text, "generator": model}
            for at, text in enumerate(texts)
        ]
        made.append(tmp_path / f"{model}.json")
        made[-1].write_text(json.dumps(listed))
    return made


@pytest.fixture
def table(files, tmp_path, capsys) -> Path:
    target = tmp_path / "answers.parquet"
    assert run("import", *files, "-o", target) == 0
    capsys.readouterr()
    return target


def test_import_tells_what_it_did(files, tmp_path, capsys):
    target = tmp_path / "answers.parquet"
    assert run("import", *files, "-o", target) == 0
    assert "6 answers of 3 models to 2 prompts; 6 new, 0 there already" in capsys.readouterr().out
    assert run("import", files[0], "-o", target, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["new"], told["identical"], told["answers"]) == (0, 2, 6)
    assert told["inputs"][0]["format"] == "alpaca-eval"


def test_import_declares_lineages(files, tmp_path):
    (tmp_path / "lineages.csv").write_text("model,lineage,lab\na,llama,Meta\n")
    target = tmp_path / "answers.parquet"
    assert run("import", *files, "--lineages", tmp_path / "lineages.csv", "--lab", "others", "-o", target, "-q") == 0
    told = dict(pl.read_parquet(target).select("model", pl.concat_str("lineage", "lab", separator="/")).unique().rows())
    assert told == {"a": "llama/Meta", "b": "/others", "c": "/others"}


def test_import_of_the_three_shapes_in_the_documentation(tmp_path):
    """The shapes of AlpacaEval's, MMLU-Pro's and ZeroEval's recorded answers, with the commands of docs/transcripts.md."""
    pl.DataFrame({"model": ["m"], "prompt_id": [0], "output": ["A"]}).write_parquet(tmp_path / "outputs.parquet")
    pl.DataFrame({"prompt_id": [0], "instruction": ["Q"]}).write_parquet(tmp_path / "prompts.parquet")
    pl.DataFrame({"model": ["m"], "question_id": [70], "chosen": [-1]}).write_parquet(tmp_path / "choices.parquet")
    pl.DataFrame({"question_id": [70], "answer": [8], "options": [9]}).write_parquet(tmp_path / "items.parquet")
    zero = {"task": ["crux"], "model": ["m"], "item_id": ["crux-test-#0"], "answer": ["1"], "gold": ["2"]}
    pl.DataFrame(zero).write_parquet(tmp_path / "zero.parquet")
    page = (Path(__file__).parents[2] / "docs" / "transcripts.md").read_text(encoding="utf-8")
    commands = re.findall(
        r"```console\n\$ filiation transcripts (import (?:outputs|choices|zero)\.parquet.*?)\n```", page, re.DOTALL
    )
    assert len(commands) == 3
    for command in commands:
        words = command.replace("\\\n", " ").split()
        assert run(*(tmp_path / word if word.endswith(".parquet") else word for word in words), "-q") == 0
    found = {row["item"]: row for row in pl.read_parquet(tmp_path / "answers.parquet").to_dicts()}
    assert found[""]["prompt_id"] == prompt_id("Q")
    assert found["mmlu-pro:70"]["prompt_id"] == prompt_id("mmlu-pro:70")
    assert (found["mmlu-pro:70"]["answer"], found["mmlu-pro:70"]["gold"], found["mmlu-pro:70"]["options"]) == (
        None,
        "8",
        9,
    )
    assert (found["crux:crux-test-#0"]["answer"], found["crux:crux-test-#0"]["gold"]) == ("1", "2")


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["nothing.json", "-o", "t.parquet"], 3, "no such file"),
        (["a.json", "-o", "t.csv"], 2, "does not end in .parquet"),
        (["a.json", "-o", "nowhere/t.parquet"], 2, "not there"),
        (["a.json", "-o", "t.parquet", "--format", "magic"], 2, "--format 'magic'"),
        (["a.json", "-o", "t.parquet", "--repeats", "all"], 2, "--repeats 'all'"),
        (["a.json", "-o", "t.parquet", "--prompts-by", "eye"], 2, "--prompts-by 'eye'"),
        (["a.json", "-o", "t.parquet", "--join", "a.json"], 2, "belong together"),
        (["a.json", "-o", "t.parquet", "--format", "helm", "--text-column", "x"], 2, "tables only"),
        (["a.json", "-o", "t.parquet", "--format", "helm"], 3, "request_states"),
    ],
)
def test_import_says_what_is_wrong(files, tmp_path, monkeypatch, capsys, words, code, told):
    monkeypatch.chdir(tmp_path)
    assert run("import", *words) == code
    errors = capsys.readouterr().err
    assert told in errors
    assert "advice: " in errors


def test_show_lists_models_and_a_prompt(table, capsys):
    assert run("show", table) == 0
    shown = capsys.readouterr().out
    assert "6 answers of 3 models to 2 prompts" in shown
    assert run("show", f"{table}#b", "--json") == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["answers"] == 2
    name = prompt_id(f"Question 0 {HOSTILE}")
    assert run("show", table, "--prompt", name[:6]) == 0
    shown = capsys.readouterr().out
    assert SHARED in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert run("show", table, "--prompt", name, "--json") == 0
    assert [row["model"] for row in json.loads(capsys.readouterr().out)] == ["a", "b", "c"]
    assert run("show", table, "--prompt", "zzz") == 2
    assert run("show", f"{table}#d") == 2


def test_validate_lists_and_strict_leaves_with_4(table, capsys):
    assert run("validate", table) == 0
    listed = capsys.readouterr().out
    assert "damaged characters: 1" in listed
    assert "\x1b" not in listed
    assert run("validate", table, "--strict", "-q") == 4
    assert capsys.readouterr().out == ""
    assert run("validate", f"{table}#c", "--strict") == 0
    assert "every rule is kept" in capsys.readouterr().out
    assert run("validate", table, "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "damaged characters"


def test_diff_marks_the_shared_passage(table, capsys):
    assert run("diff", f"{table}#a", f"transcripts:{table}#b") == 0
    shown = capsys.readouterr().out
    assert "1 of 2 pairs of answers share a passage of 8 words or more" in shown
    assert "longest passage 12 words" in shown
    assert "⟦The quick" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert run("diff", f"{table}#a", f"{table}#b", "--words", 13, "--json") == 0
    assert json.loads(capsys.readouterr().out)["sharing"] == 0
    assert run("diff", f"{table}#a", f"{table}#b", "--json") == 0
    longest = json.loads(capsys.readouterr().out)["prompts"][0]
    assert longest["longest_passage_words"] == 12
    assert longest["passages"][0]["text"].casefold() == SHARED


def test_diff_of_answers_without_texts_or_without_common_prompts_says_so(tmp_path, capsys):
    rows = [
        {"model": "a", "item": "1", "said": "x"},
        {"model": "b", "item": "1", "said": "x"},
        {"model": "c", "item": "2", "said": "x"},
    ]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    target = tmp_path / "answers.parquet"
    assert run("import", tmp_path / "t.jsonl", "--answer-column", "said", "-o", target) == 0
    assert run("diff", f"{target}#a", f"{target}#b") == 2
    assert "no texts were recorded" in capsys.readouterr().err
    assert run("diff", f"{target}#a", f"{target}#c") == 2
    assert "answered no prompt both" in capsys.readouterr().err


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.marked: list[str] = []
        self._in_mark = False

    def handle_starttag(self, tag, _attributes) -> None:
        self.tags.append(tag)
        self._in_mark = tag == "mark"

    def handle_endtag(self, _tag) -> None:
        self._in_mark = False

    def handle_data(self, data) -> None:
        if self._in_mark:
            self.marked.append(data)


def test_diff_writes_a_page_in_which_hostile_text_is_only_text(table, tmp_path, capsys):
    assert run("diff", f"{table}#a", f"{table}#b", "--html", tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    seen = _Tags()
    seen.feed(page)
    assert "script" not in seen.tags
    assert [text.casefold() for text in seen.marked] == [SHARED, SHARED]
    assert "&lt;script&gt;" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", page)
    assert run("diff", f"{table}#a", f"{table}#b", "--html", "-") == 2


@pytest.mark.parametrize("verb", ["import", "show", "validate", "diff"])
def test_every_help_has_an_example(verb, capsys):
    assert run(verb, "--help") == 0
    assert f"Example: filiation transcripts {verb}" in " ".join(capsys.readouterr().out.split())


def test_the_documentation_has_every_column(capsys):
    page = (Path(__file__).parents[2] / "docs" / "transcripts.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)[: len(SCHEMA)] == list(SCHEMA)
