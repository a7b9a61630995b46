"""`filiation compare` with what an owner opened, and with models that are run: what is recorded, what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from filiation.cli import main
from filiation.cli.compare import running
from filiation.errors import SourceError, UsageError
from filiation.evidence import Examination, Finding, NotExamined, digest
from filiation.examiners import catalogue
from filiation.investigation import compare
from filiation.sources.open import open_source
from studies.zoo import Zoo
from tests.cli.tokenizer_folders import train


def run(*words: object) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    return int(left.value.code or 0)


def compared(place: Path, *words: object) -> Examination:
    """The record that `filiation compare` writes."""
    assert run("compare", *words, "--json", place / "record.json", "-q") == 0, words
    return Examination.from_json((place / "record.json").read_bytes())


@pytest.fixture(scope="module")
def exhibits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tokenizers, and two folders of marks that hold nothing that holds."""
    folder = tmp_path_factory.mktemp("exhibits")
    train(folder / "ours", first=0, step=2)
    train(folder / "theirs", first=0, step=2, vocabulary=1200)
    for name, file in (("batch", "opening.json"), ("order", "lot.json")):
        (folder / name).mkdir()
        (folder / name / file).write_text("{}\n")
    return folder


# --------------------------------------------------------------------------------------------------------------- marks


@pytest.mark.parametrize("spelt", ["{}", "marks:{}"])
def test_marks_are_a_part_of_the_reference_however_they_are_spelt(exhibits: Path, tmp_path: Path, spelt: str) -> None:
    given = [spelt.format(exhibits / name) for name in ("batch", "order")]
    found = compared(tmp_path, exhibits / "ours", exhibits / "theirs", "--only", "tokenizer",
                     "--marks", given[0], "--marks", given[1])  # fmt: skip
    alone = open_source(exhibits / "ours").identity()
    assert (found.reference.name, found.reference.content_id) == ("ours", alone.content_id)
    names = [file.name for file in found.reference.files]
    assert names == [*(file.name for file in alone.files), "opening.json", "lot.json"]
    assert found.circumstances.locations["ours"] == str(exhibits / "ours")
    assert found.circumstances.locations["ours/marks 1"] == f"marks:{exhibits / 'batch'}"
    assert f"--marks {given[0]} --marks {given[1]}" in found.circumstances.command
    assert {type(outcome) for outcome in found.outcomes} == {Finding}


def test_the_library_takes_folders_and_gives_the_same_record(exhibits: Path, tmp_path: Path) -> None:
    here = (exhibits / "ours", exhibits / "theirs")
    said = compared(tmp_path, *here, "--only", "tokenizer", "--marks", exhibits / "batch")
    assert compare(*here, only=("tokenizer",), marks=[exhibits / "batch"]).digest == said.digest
    assert compare(*here, only=("tokenizer",)).digest != said.digest


def test_marks_alone_are_a_reference_too(exhibits: Path, tmp_path: Path) -> None:
    found = compared(tmp_path, f"marks:{exhibits / 'batch'}", exhibits / "theirs")
    assert (found.reference.name, found.reference.format) == ("batch", "marks")
    assert {type(outcome) for outcome in found.outcomes} == {NotExamined}
    tokenizer = next(outcome for outcome in found.outcomes if outcome.examiner == "tokenizer")
    assert "these are marks, without the tokenizer of a model" in tokenizer.reason


@pytest.mark.parametrize(("given", "told"), [("nowhere", "no such folder"), ("ours", "no opened marks")])
def test_what_holds_no_marks_is_refused_before_anything_is_compared(
    exhibits: Path, capsys: pytest.CaptureFixture[str], given: str, told: str
) -> None:
    code = run("compare", exhibits / "ours", exhibits / "theirs", "--marks", exhibits / given, "-q")
    assert code == SourceError.exit_code
    assert told in capsys.readouterr().err


def test_marks_in_the_place_of_the_suspect_or_a_control_are_refused(
    exhibits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marks = f"marks:{exhibits / 'batch'}"
    for words in ((exhibits / "ours", marks), (exhibits / "ours", exhibits / "theirs", "--control", marks)):
        assert run("compare", *words, "-q") == UsageError.exit_code
        assert "stand for the reference alone" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------- parameters


def test_a_parameter_reaches_its_examiner_and_stands_in_the_command(zoo: Zoo, tmp_path: Path) -> None:
    words = (zoo["base-a"], zoo["fine-tuned"], "--only", "weights", "--parameter", "weights.sampled_neurons=64")
    found = compared(tmp_path, *words)
    assert found.relations["weights"].pair.content["parameters"]["sampled_neurons"] == 64
    assert "--parameter weights.sampled_neurons=64" in found.circumstances.command


@pytest.mark.parametrize("given", ["weights.sampled", "sampled_neurons=64", "nobody.run=true"])
def test_a_parameter_that_nobody_has_is_an_error(exhibits: Path, given: str) -> None:
    code = run("compare", exhibits / "ours", exhibits / "theirs", "--parameter", given, "-q")
    assert code == UsageError.exit_code


# -------------------------------------------------------------------------------------------------------- running models


def test_every_examiner_that_can_run_models_is_asked_to() -> None:
    able = {each.NAME for each in catalogue.examiners() if "run" in getattr(each, "PARAMETERS", {})}
    assert able >= {"output_subspace", "representations", "training_method"}
    asked = running("", "", [], [])
    assert {name for name, settings in asked.items() if settings == {"run": True}} == able


def test_models_run_where_it_is_asked_for(zoo: Zoo, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="models are run with torch: pip install 'filiation[models]'")
    examiners = ("--only", "output_subspace,representations,training_method")
    words = (zoo["base-a"], zoo["fine-tuned"], *examiners)
    assert compared(tmp_path, *words).relations == {}
    found = compared(tmp_path, *words, "--run-models", "--parameter", "representations.places=512")
    assert set(found.relations) == {"output_subspace", "representations", "training_method"}
    assert found.relations["output_subspace"].pair.content["collected"] == "run"
    assert found.relations["representations"].pair.content["parameters"]["places"] == 512
    assert "--run-models" in found.circumstances.command
    reasons = {outcome.reason for outcome in found.outcomes if outcome.examiner == "training_method"}
    assert any("--reference-base" in reason for reason in reasons), reasons


def test_bases_are_read_and_recorded_by_their_content(zoo: Zoo, tmp_path: Path) -> None:
    """Fine-tunes of two bases, each against its own; where the bases lie stands in the command alone."""
    pytest.importorskip("torch", reason="models are run with torch: pip install 'filiation[models]'")
    bases = (
        "--reference-base",
        zoo["base-a"],
        "--suspect-base",
        zoo["qwen2-a"],
        "--control-base",
        f"lora={zoo['base-a']}",
    )
    found = compared(
        tmp_path, zoo["fine-tuned"], zoo["qwen2-fine-tuned"], "--control", zoo["lora"], "--only", "training_method",
        "--run-models", *bases, "--parameter", "training_method.texts=8", "--parameter", "training_method.characters=64",
    )  # fmt: skip
    relations = found.relations["training_method"]
    content = {name: open_source(zoo[name]).identity().content_id for name in ("base-a", "qwen2-a")}
    assert relations.pair.content["reward"]["bases"] == [content["base-a"], content["qwen2-a"]]
    (control,) = relations.reference_by_control
    assert control.content["reward"]["bases_from"] == ["reference_base", "control_bases"]
    assert all(str(word) in found.circumstances.command for word in bases)
    assert str(zoo["base-a"]) not in json.dumps([relations.pair.content, control.content])


NO_BASES = {
    "without running": (("--suspect-base", "{theirs}"), UsageError, "give --run-models too"),
    "a misprint": (("--run-models", "--reference-base", "{nowhere}"), SourceError, "there is no"),
    "no control's": (("--run-models", "--control-base", "other={theirs}"), UsageError, "which is no control"),
    "without a name": (("--run-models", "--control-base", "{theirs}"), UsageError, "is not NAME=PATH"),
}


@pytest.mark.parametrize("case", NO_BASES)
def test_bases_that_cannot_be_are_told_before_anything_runs(
    exhibits: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    words, error, told = NO_BASES[case]
    places = {name: exhibits / name for name in ("theirs", "nowhere")}
    code = run("compare", exhibits / "ours", exhibits / "theirs", "-q", *(word.format(**places) for word in words))
    assert code == error.exit_code
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(("design", "outcome"), [("llama", Finding), ("own", NotExamined)])
def test_code_that_comes_with_a_model_is_never_run(zoo: Zoo, tmp_path: Path, design: str, outcome: type) -> None:
    """A model with code of its own that would leave a file: of a known design, and of one that only that code knows."""
    pytest.importorskip("torch", reason="models are run with torch: pip install 'filiation[models]'")
    hostile = shutil.copytree(zoo["fine-tuned"], tmp_path / "hostile")
    configuration = json.loads((hostile / "config.json").read_text())
    named = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own"}
    (hostile / "config.json").write_text(json.dumps(configuration | {"model_type": design, "auto_map": named}))
    (hostile / "own.py").write_text(f"open({str(tmp_path / 'was here')!r}, 'w')\nclass Own: ...\n")
    found = compared(tmp_path, zoo["base-a"], hostile, "--run-models", "--only", "output_subspace")
    assert [type(each) for each in found.outcomes] == [outcome]
    assert not (tmp_path / "was here").exists()


def test_a_model_that_cannot_be_run_is_not_examined_so_and_the_others_go_on(zoo: Zoo, tmp_path: Path) -> None:
    """A lone file of weights: its layers can be compared, and nothing can be run."""
    pytest.importorskip("torch", reason="models are run with torch: pip install 'filiation[models]'")
    lone = tmp_path / "lone.safetensors"
    shutil.copy(zoo["fine-tuned"] / "model.safetensors", lone)
    found = compared(tmp_path, zoo["base-a"], lone, "--run-models", "--only", "output_subspace,weights")
    outcomes = {outcome.test: outcome for outcome in found.outcomes}
    assert isinstance(outcomes["output_subspace.directions"], NotExamined)
    assert "it cannot be run" in outcomes["output_subspace.directions"].reason
    assert "weights" in found.relations


def test_what_is_run_from_parts_is_run_as_from_one_folder(zoo: Zoo, exhibits: Path) -> None:
    """A reference that is joined with its marks, and the same reference alone: one figure."""
    pytest.importorskip("torch", reason="models are run with torch: pip install 'filiation[models]'")
    settings = running("", "", [], []) | {"representations": {"run": True, "places": 512}}
    models, only = (zoo["base-a"], zoo["fine-tuned"]), ("output_subspace", "representations")
    alone = compare(*models, only=only, parameters=settings)
    marked = compare(*models, only=only, parameters=settings, marks=[exhibits / "batch"])
    assert {name: digest(each.pair) for name, each in marked.relations.items()} == {
        name: digest(each.pair) for name, each in alone.relations.items()
    }
    assert set(alone.relations) == set(only)


# ------------------------------------------------------------------------------------------------------------ examiners


def test_the_list_says_who_runs_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("examiners") == 0
    told = capsys.readouterr().out.split("\n\n")
    for examiner, text in zip(catalogue.examiners(), told, strict=False):
        assert text.startswith(examiner.NAME)
        assert ("--run-models" in text) is ("run" in getattr(examiner, "PARAMETERS", {}))
        assert ("--marks FOLDER" in text) is ("marks" in examiner.NEEDS)
