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
from collections.abc import Sequence
from dataclasses import dataclass
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


def text_sets(zoo: Zoo, sets: int) -> list[torch.Tensor]:
    """Contiguous parts of the test suites, as token ids."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(zoo["base-a"] / "tokenizer.json"))
    text = read_corpus().parts["tests"]
    size = len(text) // sets
    return [
        torch.from_numpy(encode(tokenizer, text[number * size : number * size + min(size, 120_000)]))
        for number in range(sets)
    ]


@dataclass(frozen=True)
class Base:
    """A founder, and what it makes of the texts before anybody tuned it."""

    place: Path
    started: RunningModel
    before: NDArray[np.float64]

    @classmethod
    def read(cls, place: Path, texts: list[str]) -> Base:
        started = load_model(place)
        return cls(place, started, log_probabilities(started, texts))


def rewards_of(base: Base, tokens: torch.Tensor, order_seed: int, texts: list[str], steps: int) -> NDArray[np.float64]:
    """The base is tuned in memory, and what that made likelier is measured."""
    size, network = case_models.SIZE, load(base.place)
    train(
        network,
        tokens,
        steps=steps,
        batch=size.batch,
        context=size.context,
        learning_rate=size.brief_learning_rate,
        order_seed=order_seed,
    )
    tuned = RunningModel(network.eval(), base.started._tokenizer, name=base.place.name, location=str(base.place))
    return implicit_rewards(log_probabilities(tuned, texts), base.before)


def measure(sets: int, steps: int, texts: int, console: Console) -> dict[str, Any]:
    """Kinship of every tuned founder with every other, and with the neighbour that was tuned on its texts."""
    founders = [name for name in case_models.MEMBERS if name.startswith("base-")][:sets]
    zoo = build(case_models.SIZE, only=founders, device="cpu")
    read = neutral_pieces(case_models.SIZE.context, np.random.default_rng(SEED))[:texts]
    bases = [Base.read(zoo[name], read) for name in founders]
    own, neighbours = [], []
    for number, tokens in enumerate(track(text_sets(zoo, sets), "tuning", console=console)):
        own.append(rewards_of(bases[number], tokens, 100 + number, read, steps))
        neighbours.append(rewards_of(bases[(number + 1) % sets], tokens, 500 + number, read, steps))
    return {"steps": steps, "sets": sets, "texts": len(read)} | figures(own, neighbours)


def figures(own: Sequence[NDArray[np.float64]], neighbours: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """`own[k]`: founder k tuned on set k; `neighbours[k]`: founder k + 1 tuned on set k."""
    sets = len(own)
    strangers = np.array([[kinship(one, other) for other in own] for one in own])
    related = np.array([kinship(one, other) for one, other in zip(own, neighbours, strict=True)])

    def p_value(score: float, reference: int, *left_out: int) -> float:
        rest = {str(k): [float(strangers[reference, k])] for k in range(sets) if k not in (reference, *left_out)}
        return float(10 ** rank_among_lineages(score, rest).log10_p)

    # The neighbour's own base, with its own tuning, is of the suspect's lineage and stays out of the line-up.
    related_p = [p_value(float(related[number]), number, (number + 1) % sets) for number in range(sets)]
    pairs = list(itertools.permutations(range(sets), 2))
    stranger_p = np.array([p_value(float(strangers[one, other]), one, other) for one, other in pairs])
    apart = strangers[~np.eye(sets, dtype=bool)]
    return {
        "strangers": _spread(apart),
        "same texts, another base": _spread(related),
        "ranks of strangers": {
            "pairs": len(pairs),
            "at most .05": round(float(np.mean(stranger_p <= 0.05 + 1e-9)), 4),
            "at most .10": round(float(np.mean(stranger_p <= 0.10 + 1e-9)), 4),
        },
        "detected at .05": int(np.sum(np.array(related_p) <= 0.05 + 1e-9)),
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
                lineages=found["sets"],
                exceeding=round(found["sets"] * ranks["at most .05"]),
                tests=ranks["pairs"],
                largest_share=max(0.0, found["strangers"]["largest"]),
            ),
        ),
        relatives=(
            RelationPower(
                relation="tuned on the same texts, another base",
                detected=found["detected at .05"],
                lineages=found["sets"],
            ),
        ),
        calibrated_on=f"{found['sets']} founders of the example cases' zoo, tuned {found['steps']} steps, {found['texts']} texts",
        date=datetime.date.today().isoformat(),
        tried=("correlation by Spearman over texts, in nats per character (used)",),
        made_by="python -m studies.training_method",
    )
    return Calibration(examiner=training_method.NAME, entries=(entry,))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m studies.training_method", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--sets", type=int, default=SETS)
    parser.add_argument("--texts", type=int, default=TEXTS)
    parser.add_argument("--steps", type=int, default=case_models.SIZE.brief_steps)
    parser.add_argument("--write", action="store_true", help="write the results and, where ranks hold, the register")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    console = Console(width=140)
    found = measure(asked.sets, asked.steps, asked.texts, console)
    console.print_json(json.dumps(found))
    if asked.write:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        if found["ranks of strangers"]["at most .05"] <= 0.05:
            REGISTER.write_bytes(msgspec.json.format(msgspec.json.encode(register(found)), indent=1) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
