"""`filiation score`, through the command line itself. Truth: what transformers gives for each text alone, and damage done on purpose."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="models are run with torch: pip install 'filiation[models]'")
pytest.importorskip("transformers", reason="models are run with transformers: pip install 'filiation[models]'")

from safetensors.numpy import load_file, save_file  # noqa: E402

from filiation.cli.score import SAVED, gathered, score  # noqa: E402
from filiation.errors import FiliationError, MalformedSource, UsageError  # noqa: E402
from filiation.measures.log_probabilities import scores_of  # noqa: E402
from filiation.sources.open import open_source  # noqa: E402
from filiation.sources.running import load_model  # noqa: E402
from filiation.sources.scoring import Rows, Run, read_texts, rows_in, scored  # noqa: E402
from filiation.sources.transcripts import TranscriptSource, prompt_id  # noqa: E402
from studies.zoo import Zoo  # noqa: E402

TEXTS = ["def load(self, value):\n    return value\n", "class A:\n    pass\n", "import os\nimport sys\n"]
app = typer.Typer()
app.command()(score)


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False, standalone_mode=False)
    if isinstance(result.exception, FiliationError):
        raise result.exception
    return result.output


def lines(file: Path, *objects: dict[str, str]) -> Path:
    file.write_text("".join(json.dumps(each) + "\n" for each in objects))
    return file


def by_hand(folder: Path, text: str) -> tuple[float, list[str]]:
    """The text's log-likelihood and the likeliest token before each of its own, from transformers and the text alone."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()(input_ids=ids).logits[0, :-1]
    values = torch.log_softmax(logits.double(), -1)
    total = float(values.gather(1, ids[0, 1:, None]).sum())
    return total, tokenizer.convert_ids_to_tokens(values.argmax(-1).tolist())


@pytest.mark.parametrize("family", ["base-a", "gpt2-a"])
def test_log_likelihoods_are_those_that_transformers_gives(zoo: Zoo, family: str, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    given = lines(tmp_path / "texts.jsonl", *({"text": text} for text in TEXTS))
    assert "3 texts read by somebody" in run(zoo[family], "--texts", given, "-o", out, "--name", "somebody")
    found = scores_of(TranscriptSource(out))
    assert [found[prompt_id(text), 0] for text in TEXTS] == pytest.approx(
        [by_hand(zoo[family], text)[0] for text in TEXTS], abs=2e-3
    )
    row = pl.read_parquet(out).filter(pl.col("prompt") == TEXTS[1]).to_dicts()[0]
    assert (row["item"], row["text"], row["options"]) == ("score:texts:2", "", 1)
    assert json.loads(row["parameters"])["bytes"] == len(TEXTS[1].encode())


def test_predictions_are_the_likeliest_tokens_and_add_up_to_the_score(zoo: Zoo, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    run(zoo["base-a"], "--texts", lines(tmp_path / "a.jsonl", {"text": TEXTS[0]}), "-o", out, "--predictions")
    (row,) = pl.read_parquet(out).to_dicts()
    told = json.loads(row["log_probabilities"])
    total, likeliest = by_hand(zoo["base-a"], TEXTS[0])
    assert (row["finish_reason"], row["options"]) == ("read", None)
    assert told[0][1:] == [None, []]
    assert [others[0][0] for _, _, others in told[1:]] == likeliest
    assert sum(value for _, value, _ in told[1:]) == pytest.approx(total, abs=2e-3)
    assert all(value <= others[0][1] for _, value, others in told[1:])
    assert [piece for piece, _, _ in told] == load_model(zoo["base-a"]).pieces(
        load_model(zoo["base-a"]).tokenise(TEXTS[0])
    )


def test_as_many_of_the_likeliest_as_asked_for_the_likeliest_first(zoo: Zoo, tmp_path: Path) -> None:
    file, outs = lines(tmp_path / "a.jsonl", {"text": TEXTS[0]}), [tmp_path / "one.parquet", tmp_path / "five.parquet"]
    run(zoo["base-a"], "--texts", file, "-o", outs[0], "--predictions")
    run(zoo["base-a"], "--texts", file, "-o", outs[1], "--predictions", "--likeliest", "5")
    one, five = (json.loads(pl.read_parquet(out)["log_probabilities"][0]) for out in outs)
    assert [others[:1] for _, _, others in five] == [others for _, _, others in one]
    for _, _, others in five[1:]:
        assert len({piece for piece, _ in others}) == 5
        assert [value for _, value in others[1:]] == sorted((value for _, value in others[1:]), reverse=True)
        assert sum(10 ** (value / 2.302585) for _, value in others) <= 1.0 + 1e-2
    for out, further in ((outs[0], ["--likeliest", "5"]), (outs[1], [])):
        with pytest.raises(UsageError, match="another number of the likeliest"):
            run(zoo["base-a"], "--texts", file, "-o", out, "--predictions", *further)
    with pytest.raises(UsageError, match="of predictions"):
        run(zoo["base-a"], "--texts", file, "-o", tmp_path / "none.parquet", "--likeliest", "5")


def test_a_run_goes_on_and_keeps_what_others_said(zoo: Zoo, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    some = lines(tmp_path / "some.jsonl", {"text": TEXTS[0]})
    every = lines(tmp_path / "every.jsonl", *({"text": text} for text in TEXTS))
    run(zoo["base-b"], "--texts", some, "-o", out)
    run(zoo["base-a"], "--texts", some, "-o", out)
    assert "2 texts read by base-a, 1 there before" in run(zoo["base-a"], "--texts", every, "-o", out)
    assert "0 texts read by base-a, 3 there before" in run(zoo["base-a"], "--texts", every, "-o", out)
    assert sorted(pl.read_parquet(out)["model"]) == ["base-a"] * 3 + ["base-b"]
    with pytest.raises(UsageError, match="another model"):
        run(zoo["base-b"], "--texts", every, "-o", out, "--name", "base-a")
    with pytest.raises(UsageError, match="another dtype"):
        run(zoo["base-a"], "--texts", every, "-o", out, "--dtype", "bfloat16")
    with pytest.raises(UsageError, match="another kind"):
        run(zoo["base-a"], "--texts", every, "-o", out, "--predictions")


def test_twins_and_what_a_lot_was_drawn_over_are_read_both(zoo: Zoo, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    opened.mkdir()
    (opened / "lot.json").write_text("{}")
    lines(opened / "subject.jsonl", {"first": TEXTS[0], "second": TEXTS[1]}, {"first": TEXTS[2], "second": TEXTS[0]})
    plain = tmp_path / "plain.txt"
    plain.write_text("x = 1\n")
    out = tmp_path / "out.parquet"
    assert "4 texts" in run(zoo["base-a"], "--texts", f"marks:{opened}", "--texts", plain, "-o", out)
    assert sorted(pl.read_parquet(out)["item"]) == [
        "score:opened:1:first",
        "score:opened:1:second",
        "score:opened:2:first",
        "score:plain",
    ]


def test_a_text_longer_than_the_context_is_cut_and_the_record_says_where(zoo: Zoo, tmp_path: Path) -> None:
    text = "value = compute(value, others)\n" * 400
    out = tmp_path / "out.parquet"
    assert "1 text cut" in run(zoo["base-a"], "--texts", lines(tmp_path / "a.jsonl", {"text": text}), "-o", out)
    (row,) = pl.read_parquet(out).to_dicts()
    told, model = json.loads(row["parameters"]), load_model(zoo["base-a"])
    assert told["cut_at_byte"] == told["bytes"] < len(text)
    assert model.context - 4 <= told["tokens"] <= model.context
    assert row["prompt"] == text
    ((_, value, _),) = json.loads(row["log_probabilities"])
    assert value == pytest.approx(by_hand(zoo["base-a"], text[: told["bytes"]])[0], abs=2e-2)


def damaged(folder: Path, into: Path) -> Path:
    """The model with one weight that is no number."""
    shutil.copytree(folder, into)
    (file,) = into.glob("*.safetensors")
    tensors = load_file(file)
    name = next(name for name in sorted(tensors) if name.endswith("norm.weight"))
    tensors[name] = np.full_like(tensors[name], np.nan)
    save_file(tensors, file, metadata={"format": "pt"})
    return into


def test_what_is_no_number_is_refused_and_nothing_is_written(zoo: Zoo, tmp_path: Path) -> None:
    model = damaged(zoo["base-a"], tmp_path / "damaged")
    out = tmp_path / "out.parquet"
    with pytest.raises(MalformedSource, match=r"finite|NaN|number"):
        run(model, "--texts", lines(tmp_path / "a.jsonl", {"text": TEXTS[0]}), "-o", out)
    assert not out.exists()


def test_a_model_without_a_tokenizer_is_refused(zoo: Zoo, tmp_path: Path) -> None:
    model = tmp_path / "bare"
    shutil.copytree(zoo["base-a"], model, ignore=shutil.ignore_patterns("tokenizer*", "special*", "vocab*", "merges*"))
    with pytest.raises(UsageError, match="no tokenizer"):
        run(model, "--texts", lines(tmp_path / "a.jsonl", {"text": "abc"}), "-o", tmp_path / "out.parquet")


REFUSED = {
    "an empty text": ('{"text": "a"}\n{"text": "  "}\n', "line 2: 'text' is empty"),
    "one twin alone": ('{"first": "a"}\n', "line 1 holds no text"),
    "a text and twins": ('{"text": "a", "first": "b", "second": "c"}\n', "line 1 holds no text"),
    "a number": ('{"text": 3}\n', "empty or no text"),
    "no JSON": ("text\n", "not JSON"),
    "nothing": ("", "empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_holds_no_texts_is_refused_with_its_line(case: str, zoo: Zoo, tmp_path: Path) -> None:
    written, told = REFUSED[case]
    file = tmp_path / "a.jsonl"
    file.write_text(written)
    with pytest.raises(FiliationError, match=told):
        run(zoo["base-a"], "--texts", file, "-o", tmp_path / "out.parquet")


@pytest.mark.parametrize(("texts", "out"), [("a.csv", "out.parquet"), ("a.jsonl", "out.json")])
def test_other_files_are_refused(zoo: Zoo, texts: str, out: str, tmp_path: Path) -> None:
    lines(tmp_path / texts, {"text": "abc"})
    with pytest.raises(UsageError, match=r"\.jsonl|\.parquet"):
        run(zoo["base-a"], "--texts", tmp_path / texts, "-o", tmp_path / out)


def test_what_was_read_before_an_interruption_is_kept(zoo: Zoo, tmp_path: Path) -> None:
    """Interrupted when less than a twentieth was read behind the last writing; the same command reads the rest only."""
    texts = [f"number = {at}\n" for at in range(3 * SAVED)]
    given = lines(tmp_path / "texts.jsonl", *({"text": text} for text in texts))
    out = tmp_path / "out.parquet"
    fixed = read_texts([str(given)])
    source = open_source(zoo["base-a"])
    who = source.identity(True)
    settings = {"dtype": "float32", "model": who.content_id or "", "tokenizer": who.tokenizer_sha256 or ""}
    reading = Run(source.name, "", "", settings, False)
    running = load_model(zoo["base-a"], dtype="float32", name=source.name)

    def interrupted() -> Iterator[Rows]:
        yield from scored(running, fixed[:2], reading)
        raise KeyboardInterrupt

    frame, _ = rows_in(out, reading)
    with pytest.raises(KeyboardInterrupt):
        gathered(interrupted(), frame, len(fixed), str(out), lambda _what, _share: None)
    assert pl.read_parquet(out).height == 2
    assert f"{len(fixed) - 2} texts read by base-a, 2 there before" in run(zoo["base-a"], "--texts", given, "-o", out)
    assert set(pl.read_parquet(out)["prompt"]) == set(texts)
