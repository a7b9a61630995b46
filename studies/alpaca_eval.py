"""The recorded answers that the text examiners are calibrated on: 139 models x 502 prompts of the public AlpacaEval results.

The texts are licensed CC BY-NC 4.0 and stay where they are (see studies/recorded_data.py); nothing of them is
copied. Lineages and relations are those of the file beside them: from names, configurations and general knowledge, not
verified against weights. Everything that is not listed as related counts as unrelated.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from filiation.measures.text_features import Features, features_of
from filiation.sources.transcripts import SCHEMA, prompt_id
from studies.recorded_data import DATA

CACHE = Path(os.environ.get("FILIATION_CACHE") or Path(__file__).parents[1] / ".cache" / "studies")

RELATIONS = {
    "same-model": "same model",
    "fine-tune-of": "fine-tune",
    "version": "version",
    "siblings-instruct": "sibling",
    "wrapper-of": "wrapper",
    "shares-base": "shares base",
    "shares-base+recipe": "shares base and recipe",
    "distilled-from": "distilled-from",
    "shares-teacher": "shares teacher",
    "same-lab": "same lab",
    "both-gpt-data": "both trained on GPT data",
    "gpt-data-vs-openai": "GPT data against OpenAI",
    "indirect": "indirect",
    "unknown": "unknown",
}
"""The file's names of relations, and ours."""


@dataclass(frozen=True)
class AlpacaEval:
    """`relation[i, j]`: the name of the relation (values of RELATIONS), '' where unrelated; symmetric; models in sorted order."""

    models: tuple[str, ...]
    lineages: tuple[str, ...]
    labs: tuple[str, ...]
    parents: tuple[str, ...]
    teachers: tuple[tuple[str, ...], ...]
    relation: NDArray[np.str_]
    prompts: tuple[str, ...]
    frame: pl.DataFrame

    @property
    def related(self) -> tuple[tuple[int, int, str], ...]:
        """Every listed pair, by position, with its relation."""
        rows, columns = np.nonzero(np.triu(self.relation != ""))
        return tuple((int(i), int(j), str(self.relation[i, j])) for i, j in zip(rows, columns, strict=True))


def present() -> bool:
    return (DATA / "alpaca_eval_outputs.parquet").is_file()


@cache
def load() -> AlpacaEval:
    """The recorded answers in the transcript layout, with their declared lineages and relations."""
    listed = json.loads((DATA / "alpaca_eval_lineage.json").read_text())
    frame = _frame(listed["models"])
    models = tuple(sorted(frame["model"].unique().to_list()))
    place = {model: at for at, model in enumerate(models)}
    relation = np.full((len(models), len(models)), "", dtype="<U40")
    for pair, kind in listed["relations"].items():
        one, other = (place[name] for name in pair.split(" || "))
        relation[one, other] = relation[other, one] = RELATIONS[kind]
    entries = [listed["models"][model] for model in models]
    return AlpacaEval(
        models=models,
        lineages=tuple(_lineage(entry["base"], model) for entry, model in zip(entries, models, strict=True)),
        labs=tuple(entry["lab"] for entry in entries),
        parents=tuple(entry.get("parent") or "" for entry in entries),
        teachers=tuple(tuple(entry.get("teachers") or ()) for entry in entries),
        relation=relation,
        prompts=tuple(sorted(frame["prompt_id"].unique().to_list())),
        frame=frame,
    )


def _lineage(base: str, model: str) -> str:
    """The declared base; '' where it is not known."""
    return "" if base in ("", "?") else base


def _frame(models: dict[str, dict[str, str]]) -> pl.DataFrame:
    prompts = pl.read_parquet(DATA / "alpaca_eval_prompts.parquet")
    answers = pl.read_parquet(DATA / "alpaca_eval_outputs.parquet").join(prompts, on="prompt_id")
    ids = {text: prompt_id(text) for text in prompts["instruction"].unique()}
    rows = answers.select("model", prompt=pl.col("instruction"), text=pl.col("output").fill_null("")).with_columns(
        prompt_id=pl.col("prompt").replace_strict(ids),
        lineage=pl.col("model").replace_strict({name: _lineage(entry["base"], name) for name, entry in models.items()}),
        lab=pl.col("model").replace_strict({name: entry["lab"] for name, entry in models.items()}),
        item=pl.lit(""),
        sample=pl.lit(0, pl.Int32),
        answer=pl.lit(None, pl.String),
        gold=pl.lit(None, pl.String),
        options=pl.lit(None, pl.Int32),
        finish_reason=pl.lit(None, pl.String),
        log_probabilities=pl.lit(None, pl.String),
        parameters=pl.lit("{}"),
        time=pl.lit(None, pl.String),
        source_sha256=pl.lit(""),
    )
    return (
        rows.select(*SCHEMA).unique(["model", "prompt_id", "sample"], keep="first").sort("model", "prompt_id", "sample")
    )


def write_transcripts(path: Path) -> None:
    """The same answers as a transcript file, for `compare transcripts:FILE#MODEL ...`. Not to be kept in the project."""
    load().frame.write_parquet(path)


@cache
def features() -> tuple[Features, NDArray[np.intp], NDArray[np.intp]]:
    """Features of every answer, with the positions of its model and its prompt."""
    data = load()
    place = {model: at for at, model in enumerate(data.models)}
    prompt_place = {prompt: at for at, prompt in enumerate(data.prompts)}
    found = features_of(data.frame["text"].to_list(), data.frame["prompt_id"].to_list())
    return (
        found,
        np.array([place[name] for name in data.frame["model"]], dtype=np.intp),
        np.array([prompt_place[name] for name in data.frame["prompt_id"]], dtype=np.intp),
    )
