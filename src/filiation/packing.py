"""Control packs from a user's own recorded answers: `filiation packs make`.

    1. Choose the prompts: those that most models answered; of too many, those with the smallest ids, which nobody chose.
    2. Reduce every answer to figures: thinned hashes of phrases ('text'), or codes of right and wrong answers ('answers').
    3. Write the data, then the card that names its digest.

Lineages and labs are those of the table; a pack whose models have none would count as one lineage in every line-up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from filiation.errors import UsageError
from filiation.measures import shared_errors, text_features
from filiation.sources.packs import CARD, KINDS, Card, PackModel

ANSWERED = 2 / 3
"""A prompt enters where at least this share of the models answered it."""


def make_pack(
    frame: pl.DataFrame,
    folder: Path,
    *,
    name: str,
    kind: str,
    purpose: str,
    source: str,
    licence: str,
    version: str = "1",
    related: Sequence[tuple[str, str, str]] = (),
    most_prompts: int = 200,
) -> Card:
    """Write the pack of all models in `frame` (columns of `sources.transcripts.SCHEMA`) into `folder`, and return its card.

    `related`: pairs of model names that are related, with the kind of relation; pairs of one lineage or lab need not be listed.
    Raises UsageError where the kind is unknown, a model of `related` is missing, or nothing of the kind was recorded.
    """
    if kind not in KINDS:
        raise UsageError(f"there are no packs of kind {kind!r}", advice=f"give one of {', '.join(KINDS)}")
    first = frame.unique(["model", "prompt_id"], keep="first", maintain_order=True)
    first = first.filter(pl.col("text").str.contains(r"\S") if kind == "text" else pl.col("gold").is_not_null())
    models = first.select("model", "lineage", "lab").unique("model", keep="first", maintain_order=True)
    place = {model: at for at, model in enumerate(models["model"])}
    missing = sorted({model for one, other, _ in related for model in (one, other)} - set(place))
    if missing:
        raise UsageError(f"the listed relations name {', '.join(missing)}, whose answers are not here")
    prompts = _prompts(first, len(place), most_prompts)
    if not prompts:
        what = "answers" if kind == "text" else "answers to questions with a recorded right answer ('gold')"
        raise UsageError(
            f"no prompt was answered by two thirds of the {len(place)} models",
            advice=f"a pack of kind {kind!r} needs {what} of several models to the same prompts",
        )
    chosen = first.filter(pl.col("prompt_id").is_in(prompts)).sort("prompt_id", "model")
    content = _text(chosen, place, prompts) if kind == "text" else _answers(chosen, place, prompts)
    card = Card(
        name=name,
        version=version,
        kind=kind,
        purpose=purpose,
        source=source,
        licence=licence,
        made_by="filiation packs make",
        feature_version=text_features.VERSION if kind == "text" else shared_errors.VERSION,
        models=tuple(
            PackModel(name=model, lineage=lineage or "", lab=lab or "") for model, lineage, lab in models.iter_rows()
        ),
        related=tuple(
            sorted(
                (min(place[one], place[other]), max(place[one], place[other]), known) for one, other, known in related
            )
        ),
        prompts=tuple(prompts),
        data="features.npz" if kind == "text" else "answers.npz",
        data_sha256=hashlib.sha256(content).hexdigest(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / card.data).write_bytes(content)
    (folder / CARD).write_bytes(msgspec.json.encode(card) + b"\n")
    return card


def _prompts(first: pl.DataFrame, models: int, most: int) -> list[str]:
    counted = first.group_by("prompt_id").len().filter(pl.col("len") >= ANSWERED * models)
    return sorted(counted["prompt_id"].to_list())[:most]


def _text(chosen: pl.DataFrame, place: Mapping[str, int], prompts: Sequence[str]) -> bytes:
    position = {prompt: at for at, prompt in enumerate(prompts)}
    ids = chosen["prompt_id"].to_list()
    features = text_features.thinned(text_features.features_of(chosen["text"].to_list(), ids))
    model = np.array([place[name] for name in chosen["model"]], dtype=np.int32)
    prompt = np.array([position[name] for name in ids], dtype=np.int32)
    return text_features.pack_bytes(text_features.Packed(features, model, prompt))


def _answers(chosen: pl.DataFrame, place: Mapping[str, int], prompts: Sequence[str]) -> bytes:
    position = {prompt: at for at, prompt in enumerate(prompts)}
    codes = np.full((len(place), len(prompts)), shared_errors.NOT_ANSWERED, dtype=np.int64)
    options = np.zeros(len(prompts), dtype=np.int64)
    for model, prompt, answer, gold, count in chosen.select(
        "model", "prompt_id", "answer", "gold", "options"
    ).iter_rows():
        at = position[prompt]
        options[at] = max(options[at], count or 0)
        codes[place[model], at] = (
            shared_errors.choice_code(answer, gold, count)
            if count
            else shared_errors.free_form_code(answer, gold, prompt)
        )
    return shared_errors.pack_bytes(shared_errors.Packed(codes, options))
