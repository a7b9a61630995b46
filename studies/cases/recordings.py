"""What the models of the example cases answered, as Parquet tables: one for each party, one for the pool, two for controls.

All were asked the same 48 beginnings of Python code and continued them word by word, always with the likeliest next word
(temperature 0). Among the controls stands a model that was not made here, SmolLM2-135M-Instruct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import polars as pl

from studies.cases.models import CONTROL_FOLDERS, CONTROLS, POOL
from studies.service_recordings import CODE_PROMPTS, Model, Way, folder_model, recorded, smollm2_folder
from studies.zoo import Zoo

PROMPTS = CODE_PROMPTS[:48]
TOKENS = 48
WAY = Way("float32, sixteen together", batch=16)
SMOLLM2 = "SmolLM2-135M-Instruct"
ANSWERING = (*(name for name in CONTROLS if name not in CONTROL_FOLDERS), SMOLLM2)
"""Controls of which nothing but recorded answers is shown."""


def record(zoo: Zoo, parties: Mapping[str, str], folder: Path, say: Callable[[str], None]) -> Path:
    """Write the tables of one case to `folder`; answers that are in the cache are not asked for again.

    `parties`: the two parties' models by the names that they bear in the case. They declare no lineage: what they come from is
    in dispute.
    """
    folder.mkdir(parents=True)
    for name, member in parties.items():
        disputed = [pl.lit(name).alias("model"), pl.lit("").alias("lineage"), pl.lit("").alias("lab")]
        _answers(zoo, member, say).with_columns(disputed).write_parquet(folder / f"{name}.parquet")
    others = {"pool": POOL, "controls-with-files": CONTROL_FOLDERS, "controls": ANSWERING}
    for file, members in others.items():
        table(zoo, members, say).write_parquet(folder / f"{file}.parquet", compression_level=19)
    return folder


def table(zoo: Zoo, members: Iterable[str], say: Callable[[str], None]) -> pl.DataFrame:
    """The answers of several models in one table."""
    return pl.concat([_answers(zoo, member, say) for member in members])


def _answers(zoo: Zoo, name: str, say: Callable[[str], None]) -> pl.DataFrame:
    """One model's answers, without log-probabilities: a service that is disputed seldom gives them.

    The zoo's founders owe nothing to each other, so each is a lineage and a lab of its own.
    """
    say(f"answers of {name}")
    model, lab = _model(zoo, name)
    frame = recorded(model, WAY, temperature=0, samples=1, tokens=TOKENS, prompts=PROMPTS)
    return frame.with_columns(
        pl.lit(name).alias("model"),
        pl.lit(name).alias("lineage"),
        pl.lit(lab).alias("lab"),
        pl.lit(None, pl.String).alias("log_probabilities"),
    )


def _model(zoo: Zoo, name: str) -> tuple[Model, str]:
    if name == SMOLLM2:
        return folder_model("example-smollm2", SMOLLM2, smollm2_folder(), chat=False), "Hugging Face"
    recipe = zoo.lineage(name)["recipe_digest"][:12]  # another recipe is another model, and its answers are asked anew
    return folder_model(f"example-{name}-{recipe}", name, zoo[name], chat=False), name
