"""Private twins on real small models: what is left of a lot after training, and after what is made from the trained model.

    python -m studies.private_twins                by likelihoods and by answers
    python -m studies.private_twins likelihoods    one of them (likelihoods, answers); the other's results stay as they are

1. Twins: passages of Python source of about a context's length, whose identifiers are renamed by two draws of names, each consistently.
   A lot, here a fixed seed, chooses which one is published.
2. A model is trained on other source text with the published twins strewn in, each so many times on average (exposures).
3. log10 p (statistics/signed_ranks.py) of the model, of models made from it, and of strangers: trained without any twins, on both
   twins of each pair, and on what another lot published. Two more strangers are the controls.
4. By answers alone, as whoever has no likelihoods would look: the beginnings of both twins of each pair are prompts, the likeliest
   continuations the answers. Of models that read fewer twins more often.

Results: studies/results/private_twins.json.
"""

from __future__ import annotations

import json
import keyword
import platform
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from filiation.evidence import round_against_accuser
from filiation.statistics.signed_ranks import TwinTest, private_twins
from studies.recitation import beginnings, continued, in_answers
from studies.zoo.architectures import configuration, fresh
from studies.zoo.corpus import byte_tokenizer, byte_tokens, read_corpus
from studies.zoo.derivations import METHODS, Parent, Workshop
from studies.zoo.family_tree import Member
from studies.zoo.recorded_training import log_likelihoods
from studies.zoo.sizes import TEST

RESULTS = Path(__file__).parent / "results" / "private_twins.json"

SIZE = TEST
TWINS = 400
LENGTH = 120
EXPOSURES = (1, 2, 4)
DERIVED_FROM = 4
"""Exposures of the model that others are made from."""
REDRAWN = 1_000

ASKED = 40
"""Characters of a twin that are a prompt."""
BY_ANSWERS = ((400, 4), (50, 32), (24, 100))
"""Pairs and exposures: the published twins are a third to a half of what is read."""
ARCHITECTURE = "llama"
Values = NDArray[np.float64]
Pairs = list[tuple[str, str]]
_IDENTIFIER = re.compile(r"\b[a-z_][a-z0-9_]{2,}\b")


# ----------------------------------------------------------------------------------------------------------------- twins


def pairs(count: int, seed: int = 1) -> Pairs:
    """Two renamings of each of `count` passages that no model here reads otherwise, exactly LENGTH bytes each."""
    source = read_corpus().parts["two"].encode("ascii", "ignore").decode()
    rng = np.random.default_rng(seed)
    found: Pairs = []
    for start in rng.permutation(len(source) // 400)[: 20 * count]:
        passage = source[400 * start : 400 * start + 300]
        twins = tuple(renamed(passage, rng)[:LENGTH] for _ in range(2))
        if twins[0] != twins[1] and all(len(twin) == LENGTH for twin in twins):
            found.append((twins[0], twins[1]))
        if len(found) == count:
            return found
    raise ValueError(f"the corpus has {len(found)} passages, not {count}")


def renamed(passage: str, rng: np.random.Generator) -> str:
    """Every identifier replaced by a drawn one, the same each time that it occurs."""
    names: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        word = found[0]
        if keyword.iskeyword(word):
            return word
        return names.setdefault(word, "".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), size=5)))

    return _IDENTIFIER.sub(name, passage)


def lot(count: int, seed: int) -> NDArray[np.int64]:
    """Which twin of each pair is published, 0 or 1."""
    return np.random.default_rng(seed).integers(2, size=count)


# ---------------------------------------------------------------------------------------------------------------- models


def trained(workshop: Workshop, strewn: list[str], exposures: int, seed: int) -> torch.nn.Module:
    """A model that reads as much of the corpus as of anything, with each of these texts `exposures` times on average."""
    read = SIZE.steps * SIZE.batch * SIZE.context
    twins = "\n".join(strewn * exposures)
    if len(twins) > read // 2:
        raise ValueError("the twins would be more than half of what is read")
    text = read_corpus().parts["one"].encode("ascii", "ignore").decode()[: read - len(twins)]
    model = fresh(configuration(ARCHITECTURE, SIZE), seed)
    workshop.train(
        model,
        torch.from_numpy(byte_tokens(text + "\n" + twins)),
        steps=SIZE.steps,
        learning_rate=SIZE.learning_rate,
        order_seed=1_000 + seed,
    )
    return model.eval()


def derived(workshop: Workshop, folder: Path, model: torch.nn.Module, stranger: torch.nn.Module) -> dict[str, Any]:
    """What the zoo's own methods make of the model, on text that it has not read."""
    for name, each in {"model": model, "stranger": stranger}.items():
        each.save_pretrained(folder / name)
    parents = (Parent(folder / "model"), Parent(folder / "stranger"))
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        f"fine-tuned, {SIZE.brief_steps} steps": ("tune", {}),
        f"fine-tuned, {SIZE.steps} steps": ("tune", {"length": "heavy"}),
        "LoRA merged": ("low_rank", {"rank": 8}),
        "int4": ("quantise", {"bits": 4}),
        "half of all weights pruned": ("prune", {"share": 0.5}),
        "50/50 merge with a stranger": ("merge", {"shares": (0.5, 0.5)}),
        "student of its distributions": ("distil_logits", {}),
    }
    made: dict[str, Any] = {}
    for name, (method, options) in wanted.items():
        member = Member(name=name, relation=name, method=method, seed=900, part="tests", options=options)
        made[name] = METHODS[method](workshop, member, parents).model.eval()
    return made


# --------------------------------------------------------------------------------------------------------------- measured


def scores(model: torch.nn.Module, texts: Pairs) -> Values:
    """Log-likelihood per byte, pairs x 2."""
    every = torch.from_numpy(np.stack([byte_tokens(text) for pair in texts for text in pair]))
    return (log_likelihoods(model, every) / LENGTH).reshape(-1, 2)


def held(values: Values, published: NDArray[np.int64], control: Values | None = None) -> TwinTest:
    rows = np.arange(len(values))
    beside = None if control is None else control[rows, published] - control[rows, 1 - published]
    return private_twins(values[rows, published], values[rows, 1 - published], beside)


def told(values: Values, control: Values, published: NDArray[np.int64]) -> dict[str, Any]:
    helped, alone = held(values, published, control), held(values, published)
    return {
        "log10 p": round_against_accuser(helped.log10_p, accuses_when="small"),
        "log10 e": round_against_accuser(helped.log10_e, accuses_when="large"),
        "favoured": f"{helped.favoured} of {helped.twins - helped.tied}",
        "log10 p without a control": round_against_accuser(alone.log10_p, accuses_when="small"),
    }


def redrawn(values: Values, control: Values) -> list[float]:
    """Shares of p <= .1, .01 over lots that nobody learned from: at most these levels, whatever the model."""
    found = np.array([held(values, lot(len(values), 10_000 + seed), control).log10_p for seed in range(REDRAWN)])
    return [round(float((found <= level).mean()), 4) for level in (-1.0, -2.0)]


def study(folder: Path) -> dict[str, Any]:
    texts, published = pairs(TWINS), lot(TWINS, 2)
    workshop = Workshop(SIZE, read_corpus(), byte_tokenizer(), torch.device("cpu"))
    chosen = [pair[which] for pair, which in zip(texts, published, strict=True)]
    elsewhere = [pair[which] for pair, which in zip(texts, lot(TWINS, 3), strict=True)]
    both = [text for pair in texts for text in pair]
    control = np.mean([scores(trained(workshop, [], 0, seed), texts) for seed in (71, 72)], axis=0)
    models = {exposures: trained(workshop, chosen, exposures, 1) for exposures in EXPOSURES}
    strangers = {
        "no twins": trained(workshop, [], 0, 21),
        f"both twins, {DERIVED_FROM // 2} times": trained(workshop, both, DERIVED_FROM // 2, 22),
        f"another lot's, {DERIVED_FROM} times": trained(workshop, elsewhere, DERIVED_FROM, 23),
    }
    results: dict[str, Any] = {
        "twins": TWINS,
        "bytes of a twin": LENGTH,
        "bytes read in training": SIZE.steps * SIZE.batch * SIZE.context,
        "by exposures": {
            str(exposures): told(scores(model, texts), control, published) for exposures, model in models.items()
        },
        f"made from the model of {DERIVED_FROM} exposures": {},
        "strangers": {},
    }
    for name, model in derived(workshop, folder, models[DERIVED_FROM], strangers["no twins"]).items():
        results[f"made from the model of {DERIVED_FROM} exposures"][name] = told(
            scores(model, texts), control, published
        )
    for name, model in strangers.items():
        values = scores(model, texts)
        results["strangers"][name] = told(values, control, published) | {
            "share of redrawn lots with p <= .1, .01": redrawn(values, control)
        }
    return results


def by_answers(folder: Path) -> dict[str, Any]:
    """Part 4."""
    workshop = Workshop(SIZE, read_corpus(), byte_tokenizer(), torch.device("cpu"))
    results: dict[str, Any] = {"characters of a prompt": ASKED, "by exposures": {}}
    for count, exposures in BY_ANSWERS:
        texts, published = pairs(count), lot(count, 2)
        chosen = [pair[which] for pair, which in zip(texts, published, strict=True)]
        model = trained(workshop, chosen, exposures, 1)
        results["by exposures"][f"{count} pairs, {exposures} times"] = answered(model, texts, published)
    return results


def answered(model: torch.nn.Module, texts: Pairs, published: NDArray[np.int64]) -> dict[str, Any]:
    """What the answers to the beginnings of both twins show, and the likelihoods beside it; nothing taken away."""
    every = [text for pair in texts for text in pair]
    prompts = beginnings(every, ASKED)
    said = in_answers(every, prompts, continued(model, prompts, LENGTH - ASKED)).reshape(-1, 2)
    found = held(said.astype(np.float64), published)
    return {
        "pairs of which the answers favour a twin": found.twins - found.tied,
        "of these the published one": found.favoured,
        "log10 p": round_against_accuser(found.log10_p, accuses_when="small"),
        "log10 p by likelihoods": round_against_accuser(
            held(scores(model, texts), published).log10_p, accuses_when="small"
        ),
    }


def main() -> None:
    torch.set_num_threads(1)
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    parts = {"likelihoods": study, "answers": by_answers}
    for name in sys.argv[1:] or parts:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="private-twins-") as work:
            results[name] = parts[name](Path(work))
        results[name]["made with"] = {
            "torch": str(torch.__version__),
            "python": platform.python_version(),
            "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, one thread",
            "minutes": round((time.perf_counter() - started) / 60, 1),
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        print(json.dumps(results[name], indent=1), flush=True)


if __name__ == "__main__":
    main()
