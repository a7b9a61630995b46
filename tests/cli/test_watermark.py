"""`filiation watermark`, through the command line itself: a key, text of a small real model, the figures."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from filiation.cli.watermark import app
from filiation.cli.watermark.texts import plain_text
from filiation.errors import MalformedSource, RecordError, SourceNotFound, UsageError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False, standalone_mode=False)
    return result.output


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained GPT-2 over bytes, with its tokenizer."""
    from studies.zoo.corpus import byte_tokenizer

    folder = tmp_path_factory.mktemp("model")
    config = transformers.GPT2Config(
        vocab_size=256, n_positions=128, n_embd=32, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None
    )
    torch.manual_seed(0)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    file.write_text("Once upon a time\n\nThe weather is\n")
    return file


def drawn(folder: Path, *options: str) -> Path:
    file = folder / "key.json"
    run("key", file, *options)
    return file


SCHEMES: dict[str, tuple[str, ...]] = {
    "green-list": ("--vocabulary", "256", "--bias", "4"),
    "synthid": ("--layers", "20"),
    "gumbel": (),
    "vllm-gumbel": (),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_marked_answers_are_found_and_unmarked_ones_are_not(
    scheme: str, model: Path, prompts: Path, tmp_path: Path
) -> None:
    key = drawn(tmp_path, "--scheme", scheme, *SCHEMES[scheme])
    figures = {}
    for name, options in (("marked", ()), ("unmarked", ("--unmarked",))):
        answers = tmp_path / f"{name}.jsonl"
        said = run("generate", model, "--key", key, "--prompts", prompts, "-o", answers, "--tokens", "60", *options)
        assert "2 answers, 120 tokens" in said
        figures[name] = json.loads(run("detect", answers, "--key", key, "--placebos", "19", "--json"))
    assert figures["marked"]["log10_p"] < -6
    assert figures["marked"]["placebo_p"] == 0.05
    assert figures["marked"]["log10_e"] > 3
    assert figures["unmarked"]["log10_p"] > -5
    assert figures["marked"]["scheme"] == scheme
    assert any("secret" in premise for premise in figures["marked"]["premises"])
    assert any("absence" in limit for limit in figures["marked"]["limitations"])


def test_the_figures_in_words_name_premise_and_placebos(model: Path, prompts: Path, tmp_path: Path) -> None:
    key, answers = drawn(tmp_path), tmp_path / "answers.jsonl"
    run("generate", model, "--key", key, "--prompts", prompts, "-o", answers, "--tokens", "30")
    said = run("detect", answers, "--key", key, "--placebos", "9", "--searched", "10")
    for part in (
        "log10 p, exact",
        "p among placebo keys",
        "(9 keys)",
        "10 searches",
        "premise: the key was secret",
        "limit: absence",
    ):
        assert part in said
    assert run("key", key, "--show").split()[-1] in said


def test_figures_asked_for_again_are_the_same(model: Path, prompts: Path, tmp_path: Path) -> None:
    key, answers = drawn(tmp_path), tmp_path / "answers.jsonl"
    run("generate", model, "--key", key, "--prompts", prompts, "-o", answers, "--tokens", "30", "--unmarked")
    asked = ("detect", answers, "--key", key, "--placebos", "99", "--json")
    assert run(*asked) == run(*asked)


def test_searches_are_paid_for(model: Path, prompts: Path, tmp_path: Path) -> None:
    key, answers = drawn(tmp_path), tmp_path / "answers.jsonl"
    run("generate", model, "--key", key, "--prompts", prompts, "-o", answers, "--tokens", "30")
    once, often = (
        json.loads(run("detect", answers, "--key", key, "--placebos", "1", "--searched", number, "--json"))
        for number in ("1", "100")
    )
    assert often["log10_p"] == pytest.approx(once["log10_p"] + 2, abs=0.0011)
    assert often["log10_e"] == pytest.approx(once["log10_e"] - 2, abs=0.0011)


def test_plain_text_is_tokenised_and_the_noise_is_said(model: Path, tmp_path: Path) -> None:
    key, text = drawn(tmp_path), tmp_path / "essay.txt"
    text.write_text("Nobody marked this text, and nothing in it should be found. " * 3)
    found = json.loads(run("detect", text, "--key", key, "--tokenizer", model, "--json"))
    assert found["tokens"] == len(text.read_bytes())
    assert found["windows"] < found["tokens"] / 2  # each window once: the sentence stands there three times
    assert found["log10_p"] > -4
    assert any("anew" in limit for limit in found["limitations"])


def test_generated_answers_can_be_read_from_their_text(model: Path, prompts: Path, tmp_path: Path) -> None:
    """Random bytes are mostly no UTF-8, so the text is another one than was generated: the mark is missed."""
    key, answers = drawn(tmp_path), tmp_path / "answers.jsonl"
    run("generate", model, "--key", key, "--prompts", prompts, "-o", answers, "--tokens", "60")
    by_ids = json.loads(run("detect", answers, "--key", key, "--placebos", "1", "--json"))
    by_text = json.loads(
        run("detect", answers, "--key", key, "--placebos", "1", "--json", "--from-text", "--tokenizer", model)
    )
    assert by_ids["log10_p"] < min(-6, by_text["log10_p"])


def test_recorded_answers_are_read_by_model(model: Path, tmp_path: Path) -> None:
    import polars as pl

    from filiation.sources.transcripts import SCHEMA

    rows: dict[str, Any] = {name: [None, None] for name in SCHEMA}
    rows |= {"model": ["a", "b"], "prompt_id": ["p", "p"], "sample": [0, 0], "text": ["some text", "another text of b"]}
    rows |= {name: ["", ""] for name in ("lineage", "lab", "item", "prompt", "source_sha256")} | {
        "parameters": ["{}", "{}"]
    }
    table = tmp_path / "answers.parquet"
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(table)
    key = drawn(tmp_path)
    found = json.loads(run("detect", f"{table}#b", "--key", key, "--tokenizer", model, "--json"))
    assert found["tokens"] == len("another text of b")
    with pytest.raises(UsageError, match="none of its models"):
        run("detect", f"{table}#c", "--key", key, "--tokenizer", model)


# ------------------------------------------------------------------------------------------------ keys and refusals


def test_a_key_is_readable_by_its_owner_only_and_never_replaced(tmp_path: Path) -> None:
    key = drawn(tmp_path)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_bytes()
    with pytest.raises(UsageError, match="is there already"):
        run("key", key)
    assert key.read_bytes() == before


def test_a_text_is_read_alike_with_the_line_ends_of_windows(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes("one\r\ntwo\u2028three\r\n".encode())
    assert plain_text(tmp_path / "text.txt") == "one\ntwo\u2028three\n"


def test_the_commitment_is_the_digest_of_the_file(tmp_path: Path) -> None:
    import hashlib

    key = tmp_path / "key.json"
    said = run("key", key, "--scheme", "synthid")
    assert said.split()[-1] == hashlib.sha256(key.read_bytes()).hexdigest()
    assert json.loads(key.read_bytes())["scheme"] == "synthid"
    assert len(set(json.loads(key.read_bytes())["keys"])) == 30


@pytest.mark.parametrize("scheme", SCHEMES)
def test_settings_are_a_key_file_without_its_secrets_from_which_lots_draw(
    scheme: str, model: Path, tmp_path: Path
) -> None:
    import hashlib

    from filiation.measures.watermarks import key_from, settings_of, tokenizer_named_in

    file = tmp_path / "settings.json"
    run("key", file, "--settings", "--tokenizer", model, "--scheme", scheme, *SCHEMES[scheme])
    settings = file.read_bytes()
    named = hashlib.sha256((model / "tokenizer.json").read_bytes()).hexdigest()
    assert tokenizer_named_in(settings) == named
    drawn_by_lot = key_from(settings, lambda below: below // 3)
    assert settings_of(drawn_by_lot, named) == settings.strip()
    made = json.loads(drawn(tmp_path, "--scheme", scheme, *SCHEMES[scheme]).read_bytes())
    assert {name: made[name] for name in made if name in json.loads(settings)} == {
        name: value for name, value in json.loads(settings).items() if name not in ("layers", "tokenizer")
    }


def test_settings_in_place_of_a_key_are_told_apart_from_what_is_no_key(model: Path, tmp_path: Path) -> None:
    (tmp_path / "essay.txt").write_text("The weather is fine.")
    (tmp_path / "no.json").write_text("{}")
    run("key", tmp_path / "settings.json", "--settings", "--tokenizer", model)
    advice = {}
    for name in ("settings.json", "no.json"):
        with pytest.raises(RecordError) as error:
            run("detect", tmp_path / "essay.txt", "--key", tmp_path / name, "--tokenizer", model)
        advice[name] = error.value.advice
    assert "drawn/key.json of the lot" in advice["settings.json"]
    assert "watermark key' wrote" in advice["no.json"]


@pytest.mark.parametrize(("text", "judged"), {"": False, "a": False, "The weather is fine.": True}.items())
def test_a_text_that_is_too_short_is_said_not_to_be_judged(
    text: str, judged: bool, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "essay.txt").write_text(text)
    said = run("detect", tmp_path / "essay.txt", "--key", drawn(tmp_path), "--tokenizer", model)
    assert ("limit: nothing was judged" in said) is not judged


def test_a_published_key_gives_no_figure(tmp_path: Path) -> None:
    from filiation.measures.watermarks import GreenListKey

    key, answers = tmp_path / "key.json", tmp_path / "answers.jsonl"
    key.write_bytes(GreenListKey(vocabulary=256, hashing_key=15_485_863).to_json())
    answers.write_text('{"prompt":"","ids":[1,2,3],"text":""}\n')
    with pytest.raises(UsageError, match="published"):
        run("detect", answers, "--key", key)


def refused(folder: Path, case: str) -> list[str]:
    key, text = folder / "key.json", folder / "text.txt"
    text.write_text("text")
    (folder / "bad.jsonl").write_text('{"prompt": 3}\n')
    (folder / "bad.txt").write_bytes(b"\xff\xfe\xff")
    (folder / "no.json").write_text("{}")
    (folder / "wild.jsonl").write_text(json.dumps({"prompt": "", "ids": [10**30], "text": ""}))
    (folder / "pickled").mkdir()
    (folder / "pickled" / "config.json").write_text('{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}')
    (folder / "pickled" / "pytorch_model.bin").write_bytes(b"never opened")
    (folder / "pickled" / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    return {
        "a green list without a vocabulary": ["key", str(folder / "new.json"), "--scheme", "green-list"],
        "an unknown scheme": ["key", str(folder / "new.json"), "--scheme", "rot13"],
        "a key in no folder": ["key", str(folder / "absent" / "new.json")],
        "text without a tokenizer": ["detect", str(text), "--key", str(key)],
        "no key": ["detect", str(text), "--key", str(folder / "absent.json")],
        "what is no key": ["detect", str(text), "--key", str(folder / "no.json")],
        "what is no tokenizer": ["detect", str(text), "--key", str(key), "--tokenizer", str(folder / "no.json")],
        "answers of another program": ["detect", str(folder / "bad.jsonl"), "--key", str(key)],
        "text in no encoding": ["detect", str(folder / "bad.txt"), "--key", str(key), "--tokenizer", str(folder)],
        "no placebo": ["detect", str(text), "--key", str(key), "--placebos", "0", "--tokenizer", str(folder)],
        "no model": ["generate", str(folder), "--key", str(key), "--prompts", str(text), "-o", str(folder / "o.jsonl")],
        "a token that no vocabulary has": ["detect", str(folder / "wild.jsonl"), "--key", str(key)],
        "prompts in no encoding": [
            *("generate", str(folder / "pickled"), "--key", str(key), "--prompts", str(folder / "bad.txt")),
            *("-o", str(folder / "o.jsonl")),
        ],
        "weights that are a pickle": [
            *("generate", str(folder / "pickled"), "--key", str(key), "--prompts", str(text)),
            *("-o", str(folder / "o.jsonl")),
        ],
        "another ending": ["generate", str(folder), "--key", str(key), "--prompts", str(text), "-o", "out.txt"],
        "settings without a tokenizer": ["key", str(folder / "settings.json"), "--settings"],
        "no temperature": [
            *("generate", str(folder), "--key", str(key), "--prompts", str(text)),
            *("-o", str(folder / "o.jsonl"), "--temperature", "0"),
        ],
    }[case]


REFUSED: dict[str, type[Exception]] = {
    "a green list without a vocabulary": UsageError,
    "an unknown scheme": UsageError,
    "a key in no folder": UsageError,
    "text without a tokenizer": UsageError,
    "no key": UsageError,
    "what is no key": RecordError,
    "what is no tokenizer": MalformedSource,
    "answers of another program": MalformedSource,
    "text in no encoding": MalformedSource,
    "no placebo": UsageError,
    "no model": SourceNotFound,
    "a token that no vocabulary has": MalformedSource,
    "prompts in no encoding": MalformedSource,
    "weights that are a pickle": MalformedSource,
    "another ending": UsageError,
    "settings without a tokenizer": UsageError,
    "no temperature": UsageError,
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_with_advice(case: str, model: Path, tmp_path: Path) -> None:
    drawn(tmp_path)
    (tmp_path / "tokenizer.json").write_bytes((model / "tokenizer.json").read_bytes())
    with pytest.raises(REFUSED[case]) as error:
        run(*refused(tmp_path, case))
    assert error.value.advice  # type: ignore[attr-defined]


def test_a_figure_cannot_be_smaller_than_the_chance_of_guessing_the_key() -> None:
    from filiation.cli.watermark.detection import detection
    from filiation.measures.watermarks import GumbelKey

    key = GumbelKey(secret="ab" * 32)
    first = detection([np.random.default_rng(1).integers(0, 1000, 200)], key, placebos=2)
    assert first.resolution_log10_p == pytest.approx(-256 * np.log10(2), abs=0.002)
