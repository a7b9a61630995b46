"""The training loop: AdamW, linear warm-up, cosine decay, clipped gradients; the same seed gives the same data order.

On a CPU one thread is used and on a GPU deterministic kernels without TF32, so that a member's recipe decides its
weights on a given device.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

WEIGHT_DECAY = 0.1
CLIP = 1.0
WARM_UP_SHARE = 0.05
VALIDATION_SEED = 20_011
VALIDATION_BATCHES = 6
VALIDATION_BATCH = 32

Objective = Callable[[nn.Module, Tensor], Tensor]
Report = Callable[[int, int, float], None]


@dataclass(frozen=True)
class TrainingRecord:
    """Loss in nats per token of the first and the last tenth of the steps (mean), tokens seen, seconds taken."""

    first_loss: float
    last_loss: float
    steps: int
    tokens: int
    seconds: float


def settle(device: str) -> torch.device:
    """Choose the device ('auto', 'cpu', 'cuda') and make arithmetic on it repeatable."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    else:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.use_deterministic_algorithms(True, warn_only=True)
    return torch.device(device)


def language_modelling(model: nn.Module, sequences: Tensor) -> Tensor:
    """Mean cross-entropy of each next token in nats; `sequences` is [batch, context + 1]."""
    logits = model(input_ids=sequences[:, :-1], use_cache=False).logits
    return nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), sequences[:, 1:].reshape(-1))


def draw(tokens: Tensor, *, count: int, batch: int, context: int, seed: int) -> Iterable[Tensor]:
    """`count` batches [batch, context + 1] of windows at random places; the seed alone decides the places."""
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(0, len(tokens) - context - 1, (count, batch, 1), generator=generator).to(tokens.device)
    window = torch.arange(context + 1, device=tokens.device)
    for places in starts:
        yield tokens[places + window]


def train(
    model: nn.Module,
    tokens: Tensor,
    *,
    steps: int,
    batch: int,
    context: int,
    learning_rate: float,
    order_seed: int,
    objective: Objective = language_modelling,
    report: Report | None = None,
) -> TrainingRecord:
    """Train the parameters that require a gradient, in place."""
    started = time.perf_counter()
    optimiser = optimiser_for(model, learning_rate)
    curve = torch.zeros(
        steps, device=tokens.device
    )  # filled in place: small tensors kept between steps fragment the heap
    model.train()
    for step, sequences in enumerate(draw(tokens, count=steps, batch=batch, context=context, seed=order_seed)):
        # The loss is read only now and then: reading waits for the device.
        curve[step] = advance(model, optimiser, sequences, learning_rate * rate(step, steps), objective)
        if report is not None and step % 20 == 0:
            report(step, steps, float(curve[step]))
    model.eval()
    curve = curve.double().cpu()
    tenth = max(1, steps // 10)
    return TrainingRecord(
        first_loss=float(curve[0]),
        last_loss=float(curve[-tenth:].mean()),
        steps=steps,
        tokens=steps * batch * context,
        seconds=time.perf_counter() - started,
    )


def advance(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    sequences: Tensor,
    learning_rate: float,
    objective: Objective = language_modelling,
) -> Tensor:
    """One step on one batch at this learning rate, in place; the loss before it."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate
    loss = objective(model, sequences)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_([parameter for parameter in model.parameters() if parameter.requires_grad], CLIP)
    optimiser.step()
    return loss.detach()


def optimiser_for(model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """AdamW over what is trained; weight decay on matrices only."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if parameter.ndim >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [parameter for parameter in trained if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98), fused=True)


def rate(step: int, steps: int) -> float:
    """The share of the learning rate at a step: linear warm-up, then half a cosine down to a twentieth."""
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.05 + 0.95 * 0.5 * (1.0 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


@torch.no_grad()
def validation_loss(model: nn.Module, tokens: Tensor, *, context: int) -> float:
    """Mean loss in nats per token on windows drawn with a fixed seed, the same for every member."""
    model.eval()
    batches = draw(tokens, count=VALIDATION_BATCHES, batch=VALIDATION_BATCH, context=context, seed=VALIDATION_SEED)
    return float(torch.stack([language_modelling(model, sequences) for sequences in batches]).mean())
