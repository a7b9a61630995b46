"""The layout, the digest of a transcript, and what importing promises: laws checked on made texts of every kind."""

from __future__ import annotations

import contextlib
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filiation.errors import FiliationError, MalformedSource, UsageError
from filiation.investigation import compare
from filiation.sources.simulated import world
from filiation.sources.transcript_faults import faults
from filiation.sources.transcript_formats import importing
from filiation.sources.transcript_formats.answer import Reading
from filiation.sources.transcript_formats.importing import Declared, import_transcripts, read_lineages
from filiation.sources.transcripts import (
    SCHEMA,
    Transcript,
    TranscriptSource,
    models_of,
    prompt_id,
    prompt_of_messages,
    read_transcripts,
    split_location,
    storable,
)

# Everything that Python holds as text: halves of surrogate pairs, control characters, emoji, right-to-left marks.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(
    [
        "\ud83d\ude00",
        "\ud800",
        "😀👩‍👩‍👧",
        "\x1b[31m",
        "a\x00b",
        "\r\n",
        " leading",
        "\u202eabc",
        "é",
        "e\u0301",
        "",
        "null",
    ]
)
PROMPTS = st.text(min_size=1, max_size=20).filter(lambda text: storable(text).strip() != "")
FAST = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outputs(path: Path, model: str, answers: dict[str, str]) -> Path:
    """An AlpacaEval file; ASCII, so that halves of surrogate pairs are escapes, as standard tools write them."""
    listed = [{"instruction": prompt, "output": text, "generator": model} for prompt, text in answers.items()]
    path.write_text(json.dumps(listed), encoding="utf-8")
    return path


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def transcript(path: Path, model: str) -> Transcript:
    return Transcript(pl.read_parquet(path).filter(pl.col("model") == model))


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    empty = dict.fromkeys(SCHEMA) | {"model": "m", "lineage": "", "lab": "", "item": "", "prompt": "", "sample": 0}
    empty |= {"text": "", "parameters": "{}", "source_sha256": ""}
    return pl.DataFrame([empty | row for row in rows], schema=SCHEMA)


# ------------------------------------------------------------------------------------------------------------ the layout


def test_prompt_id_does_not_hang_on_spelling_of_the_same_characters():
    assert prompt_id("Caf\u00e9\r\n") == prompt_id(" Cafe\u0301") == prompt_id("Café")
    assert prompt_id("cafe") != prompt_id("Café")


@given(st.lists(st.tuples(PROMPTS, TEXTS), min_size=1, max_size=8, unique_by=lambda pair: prompt_id(storable(pair[0]))))
@FAST
def test_any_text_comes_back_as_it_was(pairs):
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "answers.parquet"
        told = import_transcripts([outputs(Path(name) / "a.json", "m", dict(pairs))], target)
        found = {row["prompt"]: row["text"] for row in read_transcripts(target).to_dicts()}
    # JSON joins the halves of a pair; a half alone is no character, and comes back as U+FFFD, counted.
    whole = {key: json.loads(json.dumps(value)) for key, value in dict(pairs).items()}
    assert found == {storable(json.loads(json.dumps(key))): storable(text) for key, text in whole.items()}
    assert told.damaged_characters == sum(
        storable(text).count("\ufffd") - text.count("\ufffd") for text in whole.values()
    )


@given(st.dictionaries(st.sampled_from("abc"), st.dictionaries(st.sampled_from("wxyz"), TEXTS, min_size=1), min_size=1))
@FAST
def test_importing_twice_changes_nothing(world):
    with tempfile.TemporaryDirectory() as name:
        files = [outputs(Path(name) / f"{model}.json", model, answers) for model, answers in world.items()]
        target = Path(name) / "answers.parquet"
        import_transcripts(files, target)
        before = target.read_bytes()
        again = import_transcripts(files, target)
        assert target.read_bytes() == before
        assert again.new == 0
        assert again.identical == sum(len(answers) for answers in world.values())


@given(
    st.lists(
        st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["1", "2", "3"]), min_size=1), min_size=1, max_size=4
    ),
    st.randoms(use_true_random=False),
)
@FAST
def test_the_order_of_the_inputs_decides_nothing(worlds, shuffling: random.Random):
    with tempfile.TemporaryDirectory() as name:
        files = [outputs(Path(name) / f"{at}.json", "m", answers) for at, answers in enumerate(worlds)]
        shuffled = files[:]
        shuffling.shuffle(shuffled)
        one, other = Path(name) / "one.parquet", Path(name) / "other.parquet"
        import_transcripts(files, one, repeats="samples")
        import_transcripts(shuffled, other, repeats="samples")
        assert transcript(one, "m").sha256 == transcript(other, "m").sha256
        assert read_transcripts(one).drop("source_sha256").equals(read_transcripts(other).drop("source_sha256"))


def test_one_by_one_and_all_at_once_are_the_same_transcript(tmp_path):
    files = [outputs(tmp_path / f"{text}.json", "m", {"Q": text}) for text in ("x", "y", "z")]
    import_transcripts(files, tmp_path / "all.parquet", repeats="samples")
    for file in [*files, *files]:  # and each once more
        import_transcripts([file], tmp_path / "each.parquet", repeats="samples")
    found = transcript(tmp_path / "each.parquet", "m")
    assert found.sha256 == transcript(tmp_path / "all.parquet", "m").sha256
    assert found.frame["sample"].to_list() == [0, 1, 2]


# -------------------------------------------------------------------------------------------------------- contradictions


def test_two_answers_to_one_prompt_are_refused_with_their_names(tmp_path):
    files = [outputs(tmp_path / "a.json", "m", {"Q": "yes"}), outputs(tmp_path / "b.json", "m", {"Q": "no"})]
    with pytest.raises(
        UsageError, match=r"1 prompts have two different answers of one model: m, .*'yes'.*'no'"
    ) as raised:
        import_transcripts(files, tmp_path / "answers.parquet")
    assert "--repeats samples" in raised.value.advice
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_repeated_answers_of_one_file_are_all_kept_when_asked_for(tmp_path):
    rows = [{"model": "m", "prompt": "Q", "text": text} for text in ("yes", "yes", "no")]
    file = jsonl(tmp_path / "t.jsonl", *rows)
    with pytest.raises(UsageError, match="two different answers"):
        import_transcripts([file], tmp_path / "answers.parquet")
    told = import_transcripts([file], tmp_path / "answers.parquet", repeats="samples")
    assert sorted(read_transcripts(tmp_path / "answers.parquet")["text"]) == ["no", "yes", "yes"]
    assert (told.answers, told.repeats) == (3, 2)


def test_a_failed_import_leaves_the_table_as_it_was(tmp_path):
    target = tmp_path / "answers.parquet"
    import_transcripts([outputs(tmp_path / "a.json", "m", {"Q": "yes"})], target)
    before = target.read_bytes()
    (tmp_path / "b.json").write_text('[{"instruction": "P", "output": "x", "generator": "m"}, {"instr')
    with pytest.raises(MalformedSource):
        import_transcripts([tmp_path / "b.json"], target)
    assert target.read_bytes() == before


# ---------------------------------------------------------------------------------------------------- lineages and labs


def test_lineages_from_json_and_csv_are_the_same(tmp_path):
    (tmp_path / "l.json").write_text('{"a": {"lineage": "llama", "lab": "Meta"}, "b": "qwen"}')
    (tmp_path / "l.csv").write_text("model,lineage,lab\na,llama,Meta\nb,qwen,\n")
    assert read_lineages(tmp_path / "l.json") == read_lineages(tmp_path / "l.csv")
    assert read_lineages(tmp_path / "l.csv") == {"a": ("llama", "Meta"), "b": ("qwen", "")}


def test_lineages_can_be_declared_later_and_never_silently_disagree(tmp_path):
    target, file = tmp_path / "answers.parquet", outputs(tmp_path / "a.json", "m", {"Q": "yes"})
    import_transcripts([file], target)
    import_transcripts([file], target, declared=Declared(lineage="llama", lab="Meta"))
    assert (TranscriptSource(target).lineage_id, transcript(target, "m").lab) == ("llama", "Meta")
    import_transcripts([file], target)
    assert TranscriptSource(target).lineage_id == "llama"
    other = tmp_path / "other.parquet"
    import_transcripts([outputs(tmp_path / "b.json", "m", {"P": "no"})], other, declared=Declared(lineage="qwen"))
    with pytest.raises(UsageError, match="llama and of qwen"):
        import_transcripts([other], target)


# ------------------------------------------------------------------------------------------------------------ the digest


@given(
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.sampled_from(["", "a", "ab", "b"]), st.none() | st.just("")), min_size=1
    )
)
@FAST
def test_the_digest_is_of_the_answers_and_not_of_their_numbering(rows):
    made = [
        {"prompt_id": key, "text": text, "answer": answer, "sample": at} for at, (key, text, answer) in enumerate(rows)
    ]
    turned = [row | {"sample": len(made) - at, "time": "2026", "model": "n"} for at, row in enumerate(made)]
    assert Transcript(frame(*made)).sha256 == Transcript(frame(*turned)).sha256
    changed = [made[0] | {"text": made[0]["text"] + "."}, *made[1:]]
    assert Transcript(frame(*made)).sha256 != Transcript(frame(*changed)).sha256


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"prompt_id": "p", "text": "ab", "answer": None}, {"prompt_id": "p", "text": "a", "answer": "b"}),
        ({"prompt_id": "p", "text": "a", "answer": None}, {"prompt_id": "p", "text": "a", "answer": ""}),
        ({"prompt_id": "pa", "text": "b"}, {"prompt_id": "p", "text": "ab"}),
    ],
)
def test_fields_never_run_into_each_other_in_the_digest(one, other):
    assert Transcript(frame(one)).sha256 != Transcript(frame(other)).sha256


@pytest.mark.parametrize("kind", ["score", "read"])
def test_two_models_that_read_the_same_texts_are_two(kind):
    """Nothing was said by either: what they made of the text tells them apart. Of answers log-probabilities do not enter."""
    one, other = (
        {"prompt_id": "p", "item": f"{kind}:texts:1", "log_probabilities": f'[["",{value},[]]]'} for value in (-3.5, -4)
    )
    assert Transcript(frame(one)).sha256 != Transcript(frame(other)).sha256
    assert Transcript(frame(one)).sha256 != Transcript(frame(one | {"log_probabilities": None})).sha256
    answered = [Transcript(frame(row | {"item": "task:1", "text": "yes"})).sha256 for row in (one, other)]
    assert answered[0] == answered[1]


def test_readings_of_two_runs_of_a_model_are_kept_apart_and_are_no_fault(tmp_path):
    """By content, as answers are; that nothing was said to a text that was only read is as it should be."""
    row = {"prompt_id": "p", "prompt": "a text", "item": "score:texts:1", "log_probabilities": '[["",-3.5,[]]]'}
    frame(row).write_parquet(tmp_path / "one.parquet")
    frame(row | {"log_probabilities": '[["",-4.0,[]]]'}).write_parquet(tmp_path / "other.parquet")
    both = [tmp_path / "one.parquet", tmp_path / "other.parquet"]
    with pytest.raises(UsageError, match="two different answers"):
        import_transcripts(both, tmp_path / "all.parquet")
    import_transcripts(both, tmp_path / "all.parquet", repeats="samples")
    assert read_transcripts(tmp_path / "all.parquet").height == 2
    assert not any(fault.count for fault in faults(frame(row)))


def test_texts_and_prompts_are_in_order():
    rows = [
        {"prompt_id": "b", "text": "3"},
        {"prompt_id": "a", "text": "2", "sample": 1},
        {"prompt_id": "a", "text": "1"},
    ]
    found = Transcript(frame(*rows))
    assert found.texts() == {"a": ("1", "2"), "b": ("3",)}
    assert found.prompts == ("a", "b")


ROWS = st.fixed_dictionaries(
    {
        "prompt_id": st.sampled_from("ab"),
        "sample": st.integers(0, 1),
        "text": st.sampled_from(["yes", "no"]),
        "answer": st.none() | st.just("yes"),
        "time": st.none() | st.sampled_from(["2025", "2026"]),
        "lineage": st.sampled_from(["", "llama"]),
        "source_sha256": st.sampled_from(["1", "2"]),
    }
)


@given(st.lists(ROWS, min_size=1, max_size=12), st.randoms(use_true_random=False))
@FAST
def test_the_order_of_the_file_decides_nothing(rows, rng):
    """Also of rows numbered alike, down to what they were declared as."""
    turned = rng.sample(rows, len(rows))
    one, other = Transcript(frame(*rows)), Transcript(frame(*turned))
    assert one.frame.equals(other.frame)
    assert (one.sha256, one.lineage, one.texts()) == (other.sha256, other.lineage, other.texts())


def test_of_rows_numbered_alike_no_wording_comes_first():
    """What is first by the alphabet is first in half of all prompts, as a toss of coins would have it: 200 of 400, give or take 5 x 10."""
    texts = [(f"a{at}", f"b{at}") for at in range(400)]
    found = Transcript(
        frame(*({"prompt_id": f"{at:04}", "text": text} for at, two in enumerate(texts) for text in two))
    )
    first = [said[0] for said in found.texts().values()]
    assert 150 < sum(text.startswith("a") for text in first) < 250


def test_relations_do_not_hang_on_the_order_of_a_file(tmp_path):
    """A simulated world asked twice, both answers numbered 0, and the same with its rows turned round."""
    simulated = world(3, labs=6, lineages=2, prompts={"open": 20})
    names = [model.name for model in simulated.recorded][:8]
    asked_twice = simulated.frame(names, samples=2).with_columns(pl.lit(0, pl.Int32).alias("sample"))
    found = []
    for name, table in (("one", asked_twice), ("other", asked_twice.reverse())):
        file = tmp_path / f"{name}.parquet"
        table.write_parquet(file)
        exhibits = [f"transcripts:{file}#{model}" for model in names]
        examined = compare(exhibits[0], exhibits[1], exhibits[2:], only=("text_kinship",))
        found.append(examined.relations["text_kinship"].pair.content)
    assert any(score for scores in found[0]["scores"] for score in scores)
    assert found[0] == found[1]


def test_a_source_is_one_model_of_a_table(tmp_path):
    target = tmp_path / "answers.parquet"
    files = [outputs(tmp_path / f"{model}.json", model, {"Q": model}) for model in "ab"]
    import_transcripts(files, target)
    assert models_of(target) == ("a", "b")
    assert TranscriptSource(target, "b").transcript().texts() == {prompt_id("Q"): ("b",)}
    with pytest.raises(UsageError, match="'c' is none of its models"):
        TranscriptSource(target, "c")


def test_messages_of_one_question_are_the_question():
    user = {"role": "user", "content": "Why?"}
    assert prompt_of_messages([{"role": "system", "content": "S"}, user]) == ("Why?", "S")
    prompt, system = prompt_of_messages([user, {"role": "assistant", "content": "A"}, user])
    assert json.loads(prompt)[1] == {"content": "A", "role": "assistant"}
    assert system == ""


# ------------------------------------------------------------------------------------------------- what may be wrong

LONG = "one two three four five six seven eight nine ten eleven twelve"


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("duplicates", [{"prompt_id": "p", "text": "a."}, {"prompt_id": "p", "text": "b."}]),
        (
            "missing prompts",
            [{"prompt_id": key, "model": model, "text": "a."} for model in "kl" for key in "pq"]
            + [{"prompt_id": "p", "model": "n", "text": "a."}],
        ),
        ("empty answers", [{"prompt_id": "p", "text": " \n"}]),
        ("leading space", [{"prompt_id": f"p{at}", "text": f" answer {at}."} for at in range(20)]),
        ("chat template", [{"prompt_id": "p", "text": "Yes.<|im_end|>"}]),
        ("chat template", [{"prompt_id": "p", "text": " Assistant: Yes."}]),
        ("chat template", [{"prompt_id": "p", "text": "Yes.\n### Response: Yes."}]),
        ("next turn", [{"prompt_id": "p", "text": "Yes.\nUser: And now?"}]),
        ("chat template in prompts", [{"prompt_id": "p", "text": "a.", "prompt": "[INST] Why? [/INST]"}]),
        ("truncated", [{"prompt_id": "p", "text": "a", "finish_reason": "length"}]),
        (
            "truncated at a common length",
            [{"prompt_id": f"p{at}", "text": "word " * 100 + f"cut{at}off"} for at in range(12)],
        ),
        ("same answer to several prompts", [{"prompt_id": key, "text": LONG + "."} for key in "pq"]),
        ("damaged characters", [{"prompt_id": "p", "text": "donâ€™t"}]),
        ("damaged characters", [{"prompt_id": "p", "text": "a\ufffdb"}]),
        ("contradicting gold", [{"prompt_id": "p", "model": key, "answer": "1", "gold": key} for key in "12"]),
    ],
)
def test_a_planted_fault_is_found_and_no_other(name, rows):
    found = faults(frame(*rows))
    assert [fault.name for fault in found] == [name]
    assert found[0].examples


def test_clean_answers_have_no_faults():
    words = LONG.split()
    rows = [
        {"prompt_id": f"p{at}", "model": model, "text": " ".join(words[: 2 + at % 9]) + f" {model}{at}."}
        for model in "ab"
        for at in range(30)
    ]
    assert faults(frame(*rows)) == ()


def test_reading_needs_all_columns_and_no_nameless_rows(tmp_path):
    frame({"prompt_id": "p"}).drop("text").write_parquet(tmp_path / "less.parquet")
    frame({"prompt_id": None}).write_parquet(tmp_path / "nameless.parquet")
    frame().write_parquet(tmp_path / "none.parquet")
    for name, told in (("less", "columns text"), ("nameless", "columns prompt_id"), ("none", "no answers")):
        with pytest.raises(MalformedSource, match=told):
            read_transcripts(tmp_path / f"{name}.parquet")


def test_a_file_of_nothing_but_repetition_is_refused_before_it_is_read(tmp_path):
    """Two million rows in a few hundred kilobytes would be gigabytes in memory."""
    rows = 2_000_000
    row = {name: pl.repeat(0 if name == "sample" else None, rows, dtype=kind) for name, kind in SCHEMA.items()}
    pl.select(**row | {"model": pl.repeat("m", rows), "prompt_id": pl.repeat("p", rows)}).write_parquet(
        tmp_path / "many.parquet"
    )
    with pytest.raises(MalformedSource, match="2000000 answers"):
        read_transcripts(tmp_path / "many.parquet")


def test_a_file_is_read_by_its_name_and_not_as_a_pattern(tmp_path):
    frame({"prompt_id": "p", "model": "m"}).write_parquet(tmp_path / "run[1].parquet")
    frame({"prompt_id": "p", "model": "other"}).write_parquet(tmp_path / "run1.parquet")
    assert models_of(tmp_path / "run[1].parquet") == ("m",)


def test_the_declared_prompts_by_item_tell_apart_what_reads_alike(tmp_path):
    rows = [{"model": "m", "prompt": "Same?", "text": text, "id": text} for text in ("x", "y")]
    reading = Reading(columns={"item": ("id",)}, task="t", prompts_by="item")
    import_transcripts([jsonl(tmp_path / "t.jsonl", *rows)], tmp_path / "answers.parquet", reading=reading)
    assert set(read_transcripts(tmp_path / "answers.parquet")["prompt_id"]) == {prompt_id("t:x"), prompt_id("t:y")}


def test_ordering_some_models_at_a_time_gives_the_same_table(tmp_path, monkeypatch):
    files = [outputs(tmp_path / f"{model}.json", model, {"Q": model * 9, "P": model}) for model in "cab"]
    import_transcripts(files, tmp_path / "at-once.parquet")
    monkeypatch.setattr(importing, "BUNCH_BYTES", 1)
    import_transcripts(files, tmp_path / "one-by-one.parquet")
    assert read_transcripts(tmp_path / "at-once.parquet").equals(read_transcripts(tmp_path / "one-by-one.parquet"))


@given(
    st.binary(max_size=200),
    st.sampled_from(["answers.jsonl", "a.json", "a.csv", "a.parquet", "log.eval", "samples_x.jsonl"]),
)
@FAST
def test_any_bytes_are_read_or_refused(data, name):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        with contextlib.suppress(FiliationError):
            import_transcripts([Path(folder) / name], Path(folder) / "answers.parquet")


def test_files_and_models_may_hold_a_number_sign(tmp_path: Path) -> None:
    file = tmp_path / "run #2.parquet"
    file.touch()
    assert split_location(f"transcripts:{file}#model #1") == (file, "model #1")
    assert split_location(f"transcripts:{file}") == (file, "")
    assert split_location(f"transcripts:{tmp_path}/nothing#a#b") == (tmp_path / "nothing", "a#b")
