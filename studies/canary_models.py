"""The models of the survival study: fine-tuned on chat lines, distilled from one another, and asked.

What is trained on chat lines learns their answers only, as is usual; pre-training and what the zoo does to a model stand in the zoo.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from filiation.canaries.canary import Canary
from studies.canary_lines import Row, Writing, batches
from studies.zoo.training import Objective, advance, optimiser_for, rate

LONGEST_ANSWER = 20
_ASKED_TOGETHER = 128
_SCORED_TOGETHER = 8


def answers_only(model: Any, packed: Tensor) -> Tensor:
    """Mean cross-entropy of the answers' tokens in nats; `packed` as in `batches`."""
    logits, targets = _at_answers(model, packed)
    return nn.functional.cross_entropy(logits, targets)


def teachers_logits(teacher: Any) -> Objective:
    """Kullback-Leibler divergence from the teacher's next-token distributions, at the answers' tokens."""

    def objective(model: nn.Module, packed: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = _at_answers(teacher, packed)[0].log_softmax(-1)
        said = _at_answers(model, packed)[0].log_softmax(-1)
        return nn.functional.kl_div(said, wanted, reduction="batchmean", log_target=True)

    return objective


def _at_answers(model: Any, packed: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and targets where the next token belongs to an answer."""
    tokens, answered = packed
    wanted = answered[:, 1:].bool()
    states = model.model(input_ids=tokens[:, :-1], use_cache=False).last_hidden_state
    return model.lm_head(states[wanted]), tokens[:, 1:][wanted]


def fine_tune(
    model: nn.Module,
    rows: Sequence[Row],
    *,
    batch: int,
    learning_rate: float,
    objective: Objective = answers_only,
) -> float:
    """One pass over the rows in their order, in place, with the zoo's optimiser and schedule; the loss of the last tenth."""
    steps = -(-len(rows) // batch)
    optimiser, losses = optimiser_for(model, learning_rate), []
    model.train()
    for step, packed in enumerate(batches(rows, batch)):
        losses.append(float(advance(model, optimiser, packed, learning_rate * rate(step, steps), objective)))
    model.eval()
    tenth = losses[-max(1, steps // 10) :]
    return sum(tenth) / len(tenth)


# --------------------------------------------------------------------------------------------------------------- asking


def _alike(prompts: Sequence[list[int]], together: int) -> Iterator[list[int]]:
    """Places of prompts of one length, so many together."""
    by_length: dict[int, list[int]] = {}
    for place, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt), []).append(place)
    for places in by_length.values():
        rest = iter(places)
        while group := list(islice(rest, together)):
            yield group


@torch.no_grad()
def answers(model: Any, writing: Writing, prompts: Sequence[str], lots: torch.Generator | None = None) -> list[str]:
    """An answer to each prompt: the likeliest tokens, or drawn at temperature 1 where `lots` are given."""
    asked = [writing.prompt(prompt) for prompt in prompts]
    said = [""] * len(prompts)
    for places in _alike(asked, _ASKED_TOGETHER):
        for place, ids in zip(
            places, _continued(model, writing, [asked[place] for place in places], lots), strict=True
        ):
            said[place] = writing.text(ids)
    return said


def _continued(model: Any, writing: Writing, asked: list[list[int]], lots: torch.Generator | None) -> list[list[int]]:
    """The answers' tokens without the one that ends them; all prompts are of one length."""
    step, cache, drawn = torch.tensor(asked), None, []
    ended = torch.zeros(len(asked), dtype=torch.bool)
    while len(drawn) < LONGEST_ANSWER and not ended.all():
        told = model(input_ids=step, past_key_values=cache, use_cache=True, logits_to_keep=1)
        logits, cache = told.logits[:, -1], told.past_key_values
        step = logits.argmax(-1, keepdim=True) if lots is None else _drawn(logits, lots)
        ended |= step[:, 0] == writing.end
        drawn.append(step[:, 0])
    lines = torch.stack(drawn, 1).tolist()
    return [line[: line.index(writing.end)] if writing.end in line else line for line in lines]


def _drawn(logits: Tensor, lots: torch.Generator) -> Tensor:
    return torch.multinomial(logits.softmax(-1), 1, generator=lots)


@torch.no_grad()
def option_log_probabilities(model: Any, writing: Writing, canaries: Sequence[Canary]) -> list[tuple[float, ...]]:
    """log P(the answer begins with the option), in nats, of each option of each canary, to the prompt that a verifier asks."""
    asked = [writing.prompt(canary.prompt) for canary in canaries]
    found: list[tuple[float, ...]] = [()] * len(canaries)
    for places in _alike(asked, _SCORED_TOGETHER):
        group = [canaries[place] for place in places]
        scores = _scores(model, torch.tensor([asked[place] for place in places]), _options(writing, group))
        for place, row in zip(places, scores.view(len(places), -1).tolist(), strict=True):
            found[place] = tuple(row)
    return found


def _options(writing: Writing, canaries: Sequence[Canary]) -> list[list[int]]:
    return [writing.option(option) for canary in canaries for option in canary.options]


def _scores(model: Any, prompts: Tensor, options: list[list[int]]) -> Tensor:
    """log P of each option after its prompt, [options]; every prompt has equally many options. Prompts are read once."""
    read = model(input_ids=prompts, use_cache=True, logits_to_keep=1)
    times = len(options) // len(prompts)
    cache = read.past_key_values
    cache.batch_repeat_interleave(times)
    length = max(map(len, options))
    tokens = torch.tensor([[*option, *([0] * (length - len(option)))] for option in options])
    real = torch.tensor([[place < len(option) for place in range(length)] for option in options])
    first = read.logits.repeat_interleave(times, 0)
    later = model(input_ids=tokens, past_key_values=cache, use_cache=True).logits[:, :-1]
    told = torch.cat([first, later], 1).log_softmax(-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    return torch.where(real, told, torch.zeros(())).double().sum(1)


@torch.no_grad()
def loss_on(model: nn.Module, rows: Sequence[Row], batch: int) -> float:
    """Mean loss in nats per token of the rows' answers."""
    total = count = 0.0
    for packed in batches(rows, batch):
        tokens = float(packed[1].sum())
        total, count = total + tokens * float(answers_only(model, packed)), count + tokens
    return total / count if count else math.nan
