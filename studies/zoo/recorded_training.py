"""The zoo's training as a transcript records it: any stretch of steps from a state, and the recorder that runs them all.

A run of `ZooTrainer` from its first step to its last gives, bit by bit, the weights that `training.train` gives with the same seeds;
it only stops at every recorded state. Two orders of reading are known:

    windows     places drawn at random from the text, as every member of the zoo is trained
    documents   the text cut into documents of one window each, shuffled once by the order's seed, each read once

The second is the shuffled order that `filiation.statistics.training_order` tests.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from itertools import islice, pairwise
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn

from filiation.case.records import Announcement
from filiation.case.signing import Signer
from filiation.case.time_stamps import Stamper
from filiation.training_transcript.execution import Executed
from filiation.training_transcript.folder import TranscriptFolder
from filiation.training_transcript.records import Data, Initialisation, Plan, Shard, Tolerance
from filiation.training_transcript.states import WEIGHTS, State, weights
from studies.zoo.architectures import configuration, fresh, with_weights
from studies.zoo.corpus import byte_tokens
from studies.zoo.sizes import TEST, Shape, Size
from studies.zoo.training import CLIP, WARM_UP_SHARE, WEIGHT_DECAY, advance, draw, optimiser_for, rate

NAME = "studies.zoo.recorded_training"
MOMENTS = ("step", "exp_avg", "exp_avg_sq")
ORDERS = ("windows", "documents")
FIXED = {"weight_decay": WEIGHT_DECAY, "clip": CLIP, "warm_up_share": WARM_UP_SHARE}
"""Settings that the zoo's training step has built in; a plan that says otherwise is not followed."""


def plan_for(
    data: Mapping[str, bytes],
    *,
    size: Size = TEST,
    architecture: str = "llama",
    seed: int,
    order_seed: int,
    order: str = "windows",
    steps: int,
    every: int,
    tolerance: Tolerance | None = None,
) -> Plan:
    """The plan of a run on these texts (bytes are tokens), by the dimensions and rates of a size of the zoo."""
    return Plan(
        trainer=NAME,
        configuration={
            "architecture": architecture,
            **asdict(size.shapes[architecture]),
            "vocabulary": size.vocabulary,
            "context": size.context,
        },
        settings={"batch": size.batch, "learning_rate": size.learning_rate, **FIXED},
        software={
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        device=f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, one thread",
        initialisation=Initialisation(kind="seed", seed=seed),
        data=Data(
            shards=tuple(
                Shard(name=name, size=len(text), sha256=hashlib.sha256(text).hexdigest())
                for name, text in sorted(data.items())
            ),
            order=order,
            order_seed=order_seed,
        ),
        steps=steps,
        every=every,
        tolerance=tolerance or Tolerance(),
    )


class ZooTrainer:
    """A `Trainer` that follows a plan of `plan_for`. `threads`: of torch; one repeats itself to the last bit."""

    def __init__(self, plan: Plan, data: Mapping[str, bytes], *, threads: int = 1) -> None:
        if plan.trainer != NAME or plan.data.order not in ORDERS:
            raise ValueError(f"this trainer follows no plan of {plan.trainer} in the order {plan.data.order!r}")
        if {name: plan.settings.get(name) for name in FIXED} != FIXED:
            raise ValueError(f"this trainer has {FIXED} built in, and the plan says otherwise")
        torch.set_num_threads(threads)
        self.plan = plan
        self._data = dict(data)
        self._tokens = torch.from_numpy(
            np.concatenate([byte_tokens(self._data[shard.name].decode()) for shard in plan.data.shards])
        )
        self._config = configuration(plan.configuration["architecture"], _size(plan))

    def shards(self) -> Mapping[str, str]:
        return {name: hashlib.sha256(text).hexdigest() for name, text in self._data.items()}

    def initial(self) -> State:
        return _state_of(fresh(self._config, self.plan.initialisation.seed), None)

    def run(self, state: State, first: int, steps: int) -> Executed:
        model = self.model(state).train()
        optimiser = optimiser_for(model, self._learning_rate)
        _give(optimiser, model, state)
        read, losses = hashlib.sha256(), []
        for step, sequences in enumerate(islice(self.batches(), first, first + steps), start=first):
            read.update(np.ascontiguousarray(sequences.numpy(), dtype="<i8").tobytes())
            loss = advance(model, optimiser, sequences, self._learning_rate * rate(step, self.plan.steps))
            losses.append(round(float(loss), 6))
        return Executed(_state_of(model, optimiser), tuple(losses), read.hexdigest())

    def model(self, state: State) -> nn.Module:
        """The model of a state."""
        tensors = {name: torch.from_numpy(array.copy()) for name, array in weights(state).items()}
        return with_weights(self._config, tensors)

    def batches(self) -> Iterator[Tensor]:
        """All batches of the run in their order, each [batch, context + 1]."""
        batch, context = int(self.plan.settings["batch"]), int(self.plan.configuration["context"])
        if self.plan.data.order == "windows":
            yield from draw(
                self._tokens, count=self.plan.steps, batch=batch, context=context, seed=self.plan.data.order_seed
            )
            return
        for places in self.document_order().split(batch):
            yield self.documents()[places]

    def documents(self) -> Tensor:
        """The text cut into documents, [documents, context + 1]."""
        length = int(self.plan.configuration["context"]) + 1
        count = len(self._tokens) // length
        return self._tokens[: count * length].reshape(count, length)

    def document_order(self) -> Tensor:
        """Which documents are read, in their order: the shuffled order that the owner keeps."""
        generator = torch.Generator().manual_seed(self.plan.data.order_seed)
        order = torch.randperm(len(self.documents()), generator=generator)
        return order[: self.plan.steps * int(self.plan.settings["batch"])]

    @property
    def _learning_rate(self) -> float:
        return float(self.plan.settings["learning_rate"])


def trainer(plan: Plan, data: Mapping[str, bytes]) -> ZooTrainer:
    """What `filiation training verify --trainer studies.zoo.recorded_training:trainer` calls."""
    return ZooTrainer(plan, data)


def record(
    folder: TranscriptFolder,
    trainer: ZooTrainer,
    *,
    signer: Signer,
    clock: Callable[[], datetime],
    stampers: Sequence[Stamper] = (),
    announcement: Announcement | None = None,
) -> State:
    """Train as the plan says, recording, signing and stamping every state as it is made; the last state."""
    state = trainer.initial()
    folder.record_state(state, 0, now=clock())
    folder.checkpoint(signer, now=clock(), stampers=stampers)
    planned = folder.plan.recorded_steps
    for first, last in pairwise(planned):
        executed = trainer.run(state, first, last - first)
        state = executed.state
        folder.record_state(state, last, now=clock(), batches=executed.batches, losses=executed.losses)
        folder.checkpoint(signer, now=clock(), stampers=stampers)
    folder.close(now=clock(), announcement=announcement)
    folder.checkpoint(signer, now=clock(), stampers=stampers)
    return state


@torch.no_grad()
def log_likelihoods(model: nn.Module, documents: Tensor, *, batch: int = 64) -> NDArray[np.float64]:
    """Log-likelihood in nats of each document given its first token, shape (documents,)."""
    model.eval()
    found = []
    for some in documents.split(batch):
        logits = model(input_ids=some[:, :-1], use_cache=False).logits.log_softmax(-1)
        found.append(logits.gather(-1, some[:, 1:, None]).squeeze(-1).double().sum(1))
    return torch.cat(found).numpy()


def _size(plan: Plan) -> Size:
    told: dict[str, Any] = dict(plan.configuration)
    architecture, vocabulary, context = told.pop("architecture"), told.pop("vocabulary"), told.pop("context")
    return replace(TEST, vocabulary=vocabulary, context=context, shapes={architecture: Shape(**told)})


def _state_of(model: nn.Module, optimiser: torch.optim.Optimizer | None) -> State:
    """Everything from which training goes on; before the first step the optimiser has no state."""
    state = {}
    for name, parameter in model.named_parameters():
        state[WEIGHTS + name] = parameter.detach().numpy().copy()
        for moment in MOMENTS if optimiser is not None else ():
            state[f"optimiser/{moment}/{name}"] = optimiser.state[parameter][moment].numpy().copy()
    return state


def _give(optimiser: torch.optim.Optimizer, model: nn.Module, state: State) -> None:
    """Put the moments of a state into an optimiser; one that has none starts afresh, as after no step."""
    for name, parameter in model.named_parameters():
        if f"optimiser/{MOMENTS[0]}/{name}" in state:
            optimiser.state[parameter] = {
                moment: torch.from_numpy(state[f"optimiser/{moment}/{name}"].copy()) for moment in MOMENTS
            }
