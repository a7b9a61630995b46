"""What the models of the example cases answered: one Parquet table for the reference, one for each suspect, one for all others.

All were asked the same 48 beginnings of Python code and continued them word by word, always with the likeliest next word
(temperature 0). Among the controls stands a model that was not made here, SmolLM2-135M-Instruct.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import polars as pl

from studies.cases.models import CONTROLS, FALSE_SUSPECT, POOL, REFERENCE, TRUE_SUSPECT
from studies.service_recordings import CODE_PROMPTS, Model, Way, folder_model, recorded, smollm2_folder
from studies.zoo import Zoo

PROMPTS = CODE_PROMPTS[:48]
TOKENS = 48
WAY = Way("float32, sixteen together", batch=16)
SMOLLM2 = "SmolLM2-135M-Instruct"

FILES = {
    "reference.parquet": (REFERENCE,),
    "suspect-true.parquet": (TRUE_SUSPECT,),
    "suspect-false.parquet": (FALSE_SUSPECT,),
    "others.parquet": (*POOL, *CONTROLS, SMOLLM2),
}


def record(zoo: Zoo, folder: Path, say: Callable[[str], None]) -> Path:
    """Write the tables to `folder`; answers that are in the cache are not asked for again."""
    folder.mkdir(parents=True, exist_ok=True)
    for file, names in FILES.items():
        pl.concat(list(_answers(zoo, names, say))).write_parquet(folder / file, compression_level=19)
    return folder


def _answers(zoo: Zoo, names: Iterable[str], say: Callable[[str], None]) -> Iterable[pl.DataFrame]:
    for name in names:
        say(f"recording {name}")
        model, lineage, lab = _model(zoo, name)
        frame = recorded(model, WAY, temperature=0, samples=1, tokens=TOKENS, prompts=PROMPTS)
        yield frame.with_columns(
            pl.lit(name).alias("model"),
            pl.lit(lineage).alias("lineage"),
            pl.lit(lab).alias("lab"),
            pl.lit(None, pl.String).alias("log_probabilities"),  # a service that is disputed seldom gives them
        )


def _model(zoo: Zoo, name: str) -> tuple[Model, str, str]:
    """The model with its lineage and its lab. The zoo's founders owe nothing to each other, so each is a lab of its own.

    The reference and the suspects declare nothing: what they come from is in dispute.
    """
    if name == SMOLLM2:
        return folder_model("example-smollm2", SMOLLM2, smollm2_folder(), chat=False), SMOLLM2, "Hugging Face"
    recipe = zoo.lineage(name)["recipe_digest"][:12]  # another recipe is another model, and its answers are asked anew
    model = folder_model(f"example-{name}-{recipe}", name, zoo[name], chat=False)
    return (model, "", "") if name in (REFERENCE, TRUE_SUSPECT, FALSE_SUSPECT) else (model, name, name)
