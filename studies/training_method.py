"""Whether implicit rewards tell who was tuned on the same texts, whatever the base: `python -m studies.training_method`.

1. Founders of the example cases' zoo, each tuned briefly on a set of texts of its own (contiguous parts of the library's test
   suites), and each neighbour tuned on the same set, in another order and from other weights.
2. Implicit rewards of all of them on neutral texts that nobody was tuned on, each against its own base.
3. Per set: the neighbour is ranked among the others (other bases, other texts). Strangers likewise: each is ranked among the rest.
4. With --write: studies/results/training_method.json, and the register of nulls where ranks keep their promise.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from filiation.evidence import Null, RelationPower
from filiation.examiners import training_method
from filiation.measures.implicit_reward import implicit_rewards, kinship, log_probabilities
from filiation.measures.representations import neutral_pieces
from filiation.sources.running import RunningModel, load_model
from filiation.statistics.line_up import rank_among_lineages
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from studies.cases import models as case_models
from studies.zoo import Zoo, build
from studies.zoo.architectures import load
from studies.zoo.corpus import encode, read_corpus
from studies.zoo.training import train

SETS = 24
TEXTS = 300
SEED = 20_262
DETECTION_LOG10_P = -1.30103
RESULTS = Path(__file__).parent / "results" / "training_method.json"
REGISTER = Path(training_method.__file__).parents[1] / "calibration" / "training_method.json"


def text_sets(zoo: Zoo) -> list[torch.Tensor]:
    """Contiguous parts of the test suites, as token ids."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(zoo["base-a"] / "tokenizer.json"))
    text = read_corpus().parts["tests"]
    size = len(text) // SETS
    return [
        torch.from_numpy(encode(tokenizer, text[number * size : number * size + min(size, 120_000)]))
        for number in range(SETS)
    ]


def rewards_of(
    zoo: Zoo, base: str, tokens: torch.Tensor, order_seed: int, texts: list[str], steps: int
) -> NDArray[np.float64]:
    """The base is tuned in memory, and what that made likelier is measured."""
    size, started = case_models.SIZE, load_model(zoo[base])
    before = log_probabilities(started, texts)
    network = load(zoo[base])
    train(
        network,
        tokens,
        steps=steps,
        batch=size.batch,
        context=size.context,
        learning_rate=size.brief_learning_rate,
        order_seed=order_seed,
    )
    tuned = RunningModel(network.eval(), started._tokenizer, name=base, location=str(zoo[base]))
    return implicit_rewards(log_probabilities(tuned, texts), before)


def measure(steps: int, console: Console) -> dict[str, Any]:
    """Kinship of every tuned founder with every other, and with the neighbour that was tuned on its texts."""
    founders = [name for name in case_models.MEMBERS if name.startswith("base-")][:SETS]
    built = build(case_models.SIZE, only=founders, device="cpu")
    zoo = Zoo(built.root, built.tree, tuple(founders))
    sets = text_sets(zoo)
    texts = neutral_pieces(case_models.SIZE.context, np.random.default_rng(SEED))[:TEXTS]
    own, neighbours = [], []
    for number in track(range(SETS), "tuning", console=console):
        neighbour = founders[(number + 1) % SETS]
        own.append(rewards_of(zoo, founders[number], sets[number], 100 + number, texts, steps))
        neighbours.append(rewards_of(zoo, neighbour, sets[number], 500 + number, texts, steps))
    return {"steps": steps, "sets": SETS, "texts": len(texts)} | _figures(own, neighbours)


def _figures(own: list[NDArray[np.float64]], neighbours: list[NDArray[np.float64]]) -> dict[str, Any]:
    strangers = np.array([[kinship(one, other) for other in own] for one in own])
    related = np.array([kinship(own[number], neighbours[number]) for number in range(SETS)])
    related_p, stranger_p = [], []
    for number in range(SETS):
        # The neighbour's own base stands in the line-up with its own tuning: the same base, other texts, and stays out.
        rest = {str(k): [float(strangers[number, k])] for k in range(SETS) if k not in (number, (number + 1) % SETS)}
        related_p.append(10 ** rank_among_lineages(float(related[number]), rest).log10_p)
    for one, other in itertools.permutations(range(SETS), 2):
        rest = {str(k): [float(strangers[one, k])] for k in range(SETS) if k not in (one, other)}
        stranger_p.append(10 ** rank_among_lineages(float(strangers[one, other]), rest).log10_p)
    apart = strangers[~np.eye(SETS, dtype=bool)]
    return {
        "strangers": _spread(apart),
        "same texts, another base": _spread(related),
        "ranks of strangers": {
            "pairs": len(stranger_p),
            "at most .05": round(float(np.mean(np.array(stranger_p) <= 0.05)), 4),
            "at most .10": round(float(np.mean(np.array(stranger_p) <= 0.10)), 4),
        },
        "detected at .05": int(np.sum(np.array(related_p) <= 0.05)),
        "p of same texts": [round(p, 4) for p in related_p],
        "area under the curve": round(float(np.mean(related[:, None] > apart[None, :])), 4),
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    return {
        "smallest": round(float(values.min()), 4),
        "mean": round(float(values.mean()), 4),
        "largest": round(float(values.max()), 4),
    }


def register(found: dict[str, Any]) -> Calibration:
    """The entry of the implicit reward; a lineage is a founder with its set of texts."""
    ranks = found["ranks of strangers"]
    entry = RegisterEntry(
        test=training_method.REWARD.id,
        null=Null.POPULATION,
        formula_version="1",
        chance=None,
        detection_log10_p=DETECTION_LOG10_P,
        validated_for=("llama",),
        strangers=(
            StrangerCount(
                kind="founders tuned on texts of their own, ranked against one another",
                lineages=SETS,
                exceeding=round(SETS * ranks["at most .05"]),
                tests=ranks["pairs"],
                largest_share=max(0.0, found["strangers"]["largest"]),
            ),
        ),
        relatives=(
            RelationPower(
                relation="tuned on the same texts, another base", detected=found["detected at .05"], lineages=SETS
            ),
        ),
        calibrated_on=f"{SETS} founders of the example cases' zoo, tuned {found['steps']} steps, {found['texts']} texts",
        date=datetime.date.today().isoformat(),
        tried=("correlation by Spearman over texts, in nats per character (used)",),
        made_by="python -m studies.training_method",
    )
    return Calibration(examiner=training_method.NAME, entries=(entry,))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m studies.training_method", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--steps", type=int, default=case_models.SIZE.brief_steps)
    parser.add_argument("--write", action="store_true", help="write the results and, where ranks hold, the register")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console = Console(width=140)
    found = measure(asked.steps, console)
    console.print_json(json.dumps(found))
    if asked.write:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        if found["ranks of strangers"]["at most .05"] <= 0.05:
            REGISTER.write_bytes(msgspec.json.format(msgspec.json.encode(register(found)), indent=1) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
