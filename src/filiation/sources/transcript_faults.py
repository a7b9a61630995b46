"""What may be wrong with recorded answers: found, counted, shown; never repaired.

Several of these decide a comparison for reasons that have nothing to do with descent: two models whose answers were all cut off
at the same length, or both begin with the space that one server leaves there, share an accident of recording. Every check
is a rule that is printed with its count, and a person decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from filiation.sources.transcripts import was_read

EXAMPLES = 3
COMMON_SHARE = 0.1
"""Share of a model's answers that may end at one length (or begin with a space) before it is called conspicuous."""
LEAST_ANSWERS = 20
SPARSE_SHARE = 0.5

TEMPLATES = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|assistant|>",
    "<|user|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "</s>",
    "### Response:",
    "### Instruction:",
    "<｜Assistant｜>",
    "<｜end▁of▁sentence｜>",
)
_SPEAKER = r"^\s*(?:assistant|user|human|ai|bot)\s*:"
_NEXT_SPEAKER = r"\n\s*(?:user|human|assistant)\s*:"
_ENDINGS = r"[.!?…。！？:;)\]}\"'”’»`*|>$_~0-9-]\s*$"
_DAMAGE = r"\x{FFFD}|Ã[\x{0080}-\x{00BF}]|â€|Â[\x{00A0}-\x{00BF}]|[\x{0000}-\x{0008}\x{000E}-\x{001F}\x{007F}]"


@dataclass(frozen=True, kw_only=True)
class Example:
    """One place where a fault was seen."""

    model: str
    prompt: str  # the item, or the prompt id
    shown: str


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A rule, how often it was broken, by how many models, and examples."""

    name: str
    rule: str
    count: int
    models: tuple[tuple[str, int], ...]
    examples: tuple[Example, ...]


Check = Callable[[pl.LazyFrame], pl.LazyFrame]


def _rows(condition: pl.Expr) -> Check:
    return lambda frame: frame.filter(condition)


_HAS_TEXT = pl.col("text") != ""
_STRIPPED = pl.col("text").str.strip_chars()


def _duplicates(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.filter(pl.len().over("model", "prompt_id", "sample") > 1)


def _missing(frame: pl.LazyFrame) -> pl.LazyFrame:
    """One row per prompt that another model answered and this one did not; prompts that few models answered do not count."""
    answered = frame.select("model", "prompt_id", "item").unique(["model", "prompt_id"])
    models = frame.select("model").unique()
    prompts = (
        answered.group_by("prompt_id")
        .agg(pl.col("item").first(), pl.len().alias("answering"))
        .join(models.select(pl.len().alias("all")), how="cross")
        .filter(pl.col("answering") >= SPARSE_SHARE * pl.col("all"))
        .select("prompt_id", "item")
    )
    wanted = models.join(prompts, how="cross")
    return wanted.join(answered, on=["model", "prompt_id"], how="anti")


def _leading_space(frame: pl.LazyFrame) -> pl.LazyFrame:
    """The answers of models that begin with a space as a habit: one such answer is nothing."""
    begins = frame.filter(_HAS_TEXT).with_columns(spaced=pl.col("text").str.contains(r"^[ \t\n]"))
    return begins.filter(
        pl.col("spaced")
        & (pl.col("spaced").mean().over("model") > COMMON_SHARE)
        & (pl.len().over("model") >= LEAST_ANSWERS)
    )


def _common_length(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Answers that stop in the middle of a sentence at a length (in words, to 2 %) at which many of the model's answers stop."""
    words = pl.col("text").str.count_matches(r"\S+")
    lengths = (
        frame.filter(_HAS_TEXT)
        .with_columns(words=words)
        .with_columns(group=(pl.col("words").clip(lower_bound=1).cast(pl.Float64).log() / 0.02).floor().cast(pl.Int64))
    )
    longest = pl.col("group") >= pl.col("group").quantile(0.95).over("model") - 2
    open_ended = ~pl.col("text").str.contains(_ENDINGS)
    return (
        lengths.with_columns(open=open_ended)
        .filter(longest & (pl.col("words") >= 20))
        .filter(
            pl.col("open")
            & (pl.len().over("model") >= LEAST_ANSWERS // 2)
            & (pl.col("open").mean().over("model") > 0.5)
        )
        .filter(pl.len().over("model", "group") >= 3)
    )


def _same_answer(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Answers of ten words or more that one model gave to several prompts."""
    long = frame.filter(pl.col("text").str.count_matches(r"\S+") >= 10)
    return long.filter(pl.col("prompt_id").n_unique().over("model", "text") > 1)


def _contradicting(frame: pl.LazyFrame) -> pl.LazyFrame:
    return frame.filter((pl.col("gold").n_unique().over("prompt_id") > 1) & pl.col("gold").is_not_null())


_MARKS = "|".join(re.escape(mark) for mark in TEMPLATES)
_BEGINNING = pl.col("text").str.slice(0, 80)
_END = pl.concat_str(pl.lit("…"), pl.col("text").str.slice(-60))


def _around(column: str, pattern: str) -> pl.Expr:
    """What stands around the first place that a pattern fits, on any line."""
    return pl.col(column).str.extract(f"(?is)(.{{0,30}}(?:{pattern}).{{0,40}})")


_SHOWN: dict[str, pl.Expr] = {
    "chat template": pl.coalesce(_around("text", _MARKS), _BEGINNING),
    "next turn": _around("text", _NEXT_SPEAKER),
    "chat template in prompts": _around("prompt", _MARKS),
    "truncated": _END,
    "truncated at a common length": _END,
    "damaged characters": _around("text", _DAMAGE),
    "missing prompts": pl.lit("no answer"),
    "contradicting gold": pl.col("gold"),
}
"""What an example shows, where that is not the beginning of the answer."""

CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("duplicates", "model, prompt and sample name one answer each", _duplicates),
    ("missing prompts", "every model answered what at least half of the models answered", _missing),
    (
        "empty answers",
        "an answer has text, or a stated answer",
        _rows((_STRIPPED == "") & pl.col("answer").is_null() & ~was_read()),
    ),
    (
        "leading space",
        f"no more than {COMMON_SHARE:.0%} of a model's answers begin with white space: it tells of the server, not the model",
        _leading_space,
    ),
    (
        "chat template",
        "answers hold no marks of a chat template (<|im_start|>, [INST], ### Response:, 'Assistant:' at the beginning, ...)",
        _rows(pl.col("text").str.contains_any(list(TEMPLATES)) | pl.col("text").str.contains(f"(?i){_SPEAKER}")),
    ),
    (
        "next turn",
        "the model does not go on with the user's part ('User:' at the beginning of a later line)",
        _rows(pl.col("text").str.contains(f"(?i){_NEXT_SPEAKER}")),
    ),
    (
        "chat template in prompts",
        "prompts hold no marks of a chat template: two models' prompts are then never the same (import with --prompts-by item)",
        _rows(pl.col("prompt").str.contains_any(list(TEMPLATES))),
    ),
    ("truncated", "finish_reason is not 'length'", _rows(pl.col("finish_reason") == "length")),
    (
        "truncated at a common length",
        "a model's longest answers do not stop in the middle of a sentence at one length",
        _common_length,
    ),
    ("same answer to several prompts", "ten words or more are the answer to one prompt only", _same_answer),
    (
        "damaged characters",
        "no replacement characters, no UTF-8 read as Latin-1, no control characters",
        _rows(pl.col("text").str.contains(_DAMAGE)),
    ),
    ("contradicting gold", "one prompt has one right answer", _contradicting),
)


def faults(
    frame: pl.DataFrame, progress: Callable[[str, float], None] = lambda _what, _share: None
) -> tuple[Fault, ...]:
    """Every rule that was broken in a table in the layout of `transcripts.SCHEMA`, in the order of CHECKS."""
    found = []
    for number, (name, rule, check) in enumerate(CHECKS):
        progress(name, number / len(CHECKS))
        shown = _SHOWN.get(name, _BEGINNING).alias("shown")
        rows = check(frame.lazy()).select("model", "prompt_id", "item", shown).collect()
        if rows.height:
            found.append(_fault(name, rule, rows))
    return tuple(found)


def _fault(name: str, rule: str, rows: pl.DataFrame) -> Fault:
    models = rows.group_by("model").len().sort(pl.col("len"), pl.col("model"), descending=[True, False])
    shown = rows.sort("model", "prompt_id").unique("model", keep="first", maintain_order=True)
    if shown.height < EXAMPLES:
        shown = rows.sort("model", "prompt_id")
    return Fault(
        name=name,
        rule=rule,
        count=rows.height,
        models=tuple((str(model), int(count)) for model, count in models.iter_rows()),
        examples=tuple(
            Example(model=model, prompt=item or prompt, shown=text or "")
            for model, prompt, item, text in shown.head(EXAMPLES).iter_rows()
        ),
    )
