"""How a member comes about: one function per method of the family tree.

Each takes the workshop (size, corpus, device), the member, and its parents as models, and returns a `Birth`.
"""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils import parametrize

from studies.zoo.architectures import (
    changed,
    configuration,
    fresh,
    is_embedding,
    is_mlp_matrix,
    load,
    stored_transposed,
    with_weights,
)
from studies.zoo.corpus import Corpus, byte_tokenizer, byte_tokens, encode
from studies.zoo.family_tree import Member
from studies.zoo.laundering import launder
from studies.zoo.sizes import Size
from studies.zoo.training import (
    Objective,
    Report,
    TrainingRecord,
    language_modelling,
    train,
    validation_loss,
)

State = dict[str, Tensor]


@dataclass
class Workshop:
    """Where members are made. `tokens` keeps each part of the corpus on the device."""

    size: Size
    corpus: Corpus
    tokenizer: Tokenizer
    device: torch.device
    report: Report | None = None
    tokens: dict[str, Tensor] = field(default_factory=dict)

    def part(self, name: str) -> Tensor:
        """Token ids of a part of the corpus, int64 [n], on the device."""
        if name not in self.tokens:
            text = self.corpus.parts[name]
            ids = byte_tokens(text) if self.size.vocabulary == 256 else encode(self.tokenizer, text)
            self.tokens[name] = torch.from_numpy(ids).to(self.device)
        return self.tokens[name]

    def train(
        self,
        model: nn.Module,
        tokens: Tensor,
        *,
        steps: int,
        learning_rate: float,
        order_seed: int,
        objective: Objective = language_modelling,
    ) -> TrainingRecord:
        """Train on the device, in place; the model comes back to the CPU."""
        model.to(self.device)
        record = train(
            model,
            tokens,
            steps=steps,
            batch=self.size.batch,
            context=self.size.context,
            learning_rate=learning_rate,
            order_seed=order_seed,
            objective=objective,
            report=self.report,
        )
        model.cpu()
        return record

    def validate(self, model: nn.Module) -> float:
        """Loss in nats per token on text that nobody was trained on."""
        loss = validation_loss(model.to(self.device), self.part("validation"), context=self.size.context)
        model.cpu()
        return loss


@dataclass
class Birth:
    """What a method gives: the model, what its training was, and its tokenizer where that is another one."""

    model: nn.Module
    training: TrainingRecord | None = None
    loss_before: float | None = None
    tokenizer: Tokenizer | None = None


@dataclass(frozen=True)
class Parent:
    """A finished member to derive from."""

    folder: Path

    def model(self) -> nn.Module:
        """The parent's model, read anew, float32 on the CPU."""
        return load(self.folder)


Method = Callable[[Workshop, Member, tuple[Parent, ...]], Birth]


def _state(model: nn.Module) -> State:
    """A model's parameters by name, tied ones once."""
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def _generator(member: Member) -> torch.Generator:
    return torch.Generator().manual_seed(member.seed)


# ------------------------------------------------------------------------------------------------------------- training


def found(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """Random initialisation from `seed`, then pre-training in the order of `order_seed`."""
    model = fresh(configuration(member.options["architecture"], workshop.size), member.seed)
    return _pretrain(workshop, member, model, order_seed=member.options["order_seed"])


def found_on_embeddings(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """A founder whose embeddings and unembedding are the parent's, copied and frozen; all else is fresh."""
    model = fresh(configuration("llama", workshop.size), member.seed)
    given = _state(parents[0].model())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_embedding(name):
                parameter.copy_(given[name])
                parameter.requires_grad_(False)
    return _pretrain(workshop, member, model, order_seed=member.seed + 1)


def _pretrain(
    workshop: Workshop, member: Member, model: nn.Module, *, order_seed: int, objective: Objective = language_modelling
) -> Birth:
    before = workshop.validate(model)
    record = workshop.train(
        model,
        workshop.part(member.part),
        steps=workshop.size.steps,
        learning_rate=workshop.size.learning_rate,
        order_seed=order_seed,
        objective=objective,
    )
    return Birth(model, record, before)


def _tune(workshop: Workshop, member: Member, model: nn.Module, steps: int | None = None) -> Birth:
    """Train on from where the model stands; `length` of the member: 'brief', 'heavy', 'laundered' or 'none'."""
    size = workshop.size
    before = workshop.validate(model)
    length = member.options.get("length", "brief")
    if length == "none":
        return Birth(model, None, before)
    long = {"heavy": size.steps, "laundered": size.laundered_steps}
    record = workshop.train(
        model,
        workshop.part(member.part),
        steps=steps or long.get(length, size.brief_steps),
        learning_rate=size.learning_rate if length in long else size.brief_learning_rate,
        order_seed=member.seed + 1,
    )
    return Birth(model, record, before)


def _repair(workshop: Workshop, member: Member, model: nn.Module) -> Birth:
    """Brief training after surgery."""
    return _tune(workshop, member, model, workshop.size.repair_steps)


def tune(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """All parameters trained on."""
    return _tune(workshop, member, parents[0].model())


class LowRank(nn.Module):
    """W + up @ down with `rank` inner dimensions (LoRA, Hu et al. 2021); starts as W itself."""

    def __init__(self, shape: torch.Size, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = shape
        self.down = nn.Parameter(torch.randn(rank, columns, generator=generator) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def low_rank(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """Only low-rank additions to the matrices of attention and MLP are trained, then merged into them."""
    model = parents[0].model().requires_grad_(False)
    generator = _generator(member)
    adapted = [module for module in model.modules() if _is_layer_matrix(model, module)]
    for module in adapted:
        addition = LowRank(module.weight.shape, member.options["rank"], generator)
        parametrize.register_parametrization(module, "weight", addition)
    birth = _tune(workshop, member, model)
    for module in adapted:
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return birth


def _is_layer_matrix(model: nn.Module, module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    embeddings = (model.get_input_embeddings(), model.get_output_embeddings())
    return isinstance(weight, Tensor) and weight.ndim == 2 and all(module is not other for other in embeddings)


def distil_logits(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """A fresh model trained on nothing but the teacher's next-token distributions (Kullback-Leibler)."""
    teacher = parents[0].model().to(workshop.device).requires_grad_(False)

    def objective(model: nn.Module, sequences: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = teacher(input_ids=sequences[:, :-1], use_cache=False).logits.log_softmax(-1).flatten(0, 1)
        said = model(input_ids=sequences[:, :-1], use_cache=False).logits.log_softmax(-1).flatten(0, 1)
        return nn.functional.kl_div(said, wanted, reduction="batchmean", log_target=True)

    student = fresh(configuration("llama", workshop.size), member.seed)
    return _pretrain(workshop, member, student, order_seed=member.seed + 1, objective=objective)


def distil_hidden_states(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """A fresh model whose residual states follow the teacher's at every layer, in the teacher's own basis.

    Loss: mean over layers of the squared error divided by the teacher's mean square, plus language modelling.
    """
    teacher = parents[0].model().to(workshop.device).requires_grad_(False)

    def objective(model: nn.Module, sequences: Tensor) -> Tensor:
        inputs, targets = sequences[:, :-1], sequences[:, 1:]
        with torch.no_grad():
            wanted = teacher(input_ids=inputs, use_cache=False, output_hidden_states=True).hidden_states
        said = model(input_ids=inputs, use_cache=False, output_hidden_states=True)
        errors = [
            (ours - theirs).square().mean() / theirs.square().mean()
            for ours, theirs in zip(said.hidden_states, wanted, strict=True)
        ]
        return torch.stack(errors).mean() + nn.functional.cross_entropy(said.logits.flatten(0, 1), targets.flatten())

    student = fresh(configuration("llama", workshop.size), member.seed)
    return _pretrain(workshop, member, student, order_seed=member.seed + 1, objective=objective)


# ----------------------------------------------------------------------------------------------------- without training


def _edited(workshop: Workshop, parent: Parent, edit: Callable[[str, Tensor], Tensor]) -> Birth:
    """Every matrix replaced by `edit(name, matrix)`; matrices are handed over as [outputs, inputs]."""
    model = parent.model()
    before = workshop.validate(model)
    state = _state(model)
    for name, weight in state.items():
        if weight.ndim == 2:
            turned = stored_transposed(name)
            new = edit(name, weight.T if turned else weight)
            state[name] = (new.T if turned else new).contiguous()
    return Birth(with_weights(model.config, state), None, before)


def quantise(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """Round to nearest with one symmetric scale per row, then dequantise."""
    largest = 2 ** (member.options["bits"] - 1) - 1

    def edit(name: str, weight: Tensor) -> Tensor:
        scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-12) / largest
        return (weight / scale).round() * scale

    return _edited(workshop, parents[0], edit)


def prune(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """The smallest entries of every matrix of attention and MLP set to zero."""

    def edit(name: str, weight: Tensor) -> Tensor:
        if is_embedding(name) or name.endswith("wpe.weight"):
            return weight
        limit = weight.abs().flatten().kthvalue(int(member.options["share"] * weight.numel())).values
        return torch.where(weight.abs() > limit, weight, torch.zeros(()))

    return _edited(workshop, parents[0], edit)


def add_noise(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """Gaussian noise on every matrix, its deviation a multiple of the matrix's own."""
    generator = _generator(member)

    def edit(name: str, weight: Tensor) -> Tensor:
        return weight + member.options["deviations"] * weight.std() * torch.randn(weight.shape, generator=generator)

    return _edited(workshop, parents[0], edit)


def merge(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """The weighted mean of the parents' weights, entry by entry."""
    models = [parent.model() for parent in parents]
    before = workshop.validate(models[0])
    states = [_state(model) for model in models]
    shares = member.options["shares"]
    mixed = {
        name: sum((share * state[name] for share, state in zip(shares, states, strict=True)), torch.zeros(()))
        for name in states[0]
    }
    return Birth(with_weights(models[0].config, mixed), None, before)


# ----------------------------------------------------------------------------------------------------------- surgery


def drop_layer(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """One layer taken out, the later ones moved down, then brief training."""
    model, gone = parents[0].model(), member.options["layer"]
    state: State = {}
    for name, weight in _state(model).items():
        number = _layer_number(name)
        if number is None or number < gone:
            state[name] = weight
        elif number > gone:
            state[name.replace(f".layers.{number}.", f".layers.{number - 1}.")] = weight
    config = changed(model.config, num_hidden_layers=model.config.num_hidden_layers - 1)
    return _repair(workshop, member, with_weights(config, state))


def _layer_number(name: str) -> int | None:
    pieces = name.split(".")
    return int(pieces[pieces.index("layers") + 1]) if "layers" in pieces else None


def _with_units(model: nn.Module, choose: Callable[[State, str], State]) -> nn.Module:
    """A Llama-like model whose MLPs are replaced by `choose(gate, up and down by name, layer prefix)`."""
    state = _state(model)
    for number in range(model.config.num_hidden_layers):
        prefix = f"model.layers.{number}.mlp."
        mlp = {role: state[f"{prefix}{role}_proj.weight"] for role in ("gate", "up", "down")}
        for role, weight in choose(mlp, prefix).items():
            state[f"{prefix}{role}_proj.weight"] = weight.contiguous()
    units = state["model.layers.0.mlp.up_proj.weight"].shape[0]
    return with_weights(changed(model.config, intermediate_size=units), state)


def drop_units(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """A random share of every MLP's units taken out, then brief training."""
    generator = _generator(member)

    def choose(mlp: State, prefix: str) -> State:
        units = mlp["up"].shape[0]
        kept = torch.randperm(units, generator=generator)[round(units * member.options["share"]) :].sort().values
        return {"gate": mlp["gate"][kept], "up": mlp["up"][kept], "down": mlp["down"][:, kept]}

    return _repair(workshop, member, _with_units(parents[0].model(), choose))


def split_units(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """A random share of every MLP's units doubled: half the down weight each, and a little noise on both."""
    generator = _generator(member)

    def blurred(weight: Tensor) -> Tensor:
        return weight + 0.1 * weight.std() * torch.randn(weight.shape, generator=generator)

    def choose(mlp: State, prefix: str) -> State:
        units = mlp["up"].shape[0]
        order = torch.randperm(units, generator=generator)
        twice = order[: round(units * member.options["share"])]
        once = order[len(twice) :]
        rows = {
            role: torch.cat([mlp[role][once], blurred(mlp[role][twice]), blurred(mlp[role][twice])])
            for role in ("gate", "up")
        }
        half = mlp["down"][:, twice] / 2
        down = torch.cat([mlp["down"][:, once], blurred(half), blurred(half)], 1)
        mixed = torch.randperm(down.shape[1], generator=generator)
        return {"gate": rows["gate"][mixed], "up": rows["up"][mixed], "down": down[:, mixed]}

    model = parents[0].model()
    before = workshop.validate(model)
    return Birth(_with_units(model, choose), None, before)


def pad_units(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """Zero units put at the end of every MLP until they are `share` of all: the function stays as it was."""
    share = member.options["share"]

    def choose(mlp: State, prefix: str) -> State:
        added = round(mlp["up"].shape[0] * share / (1 - share))
        pads = {"gate": (0, 0, 0, added), "up": (0, 0, 0, added), "down": (0, added)}
        return {role: nn.functional.pad(mlp[role], pads[role]) for role in mlp}

    model = parents[0].model()
    before = workshop.validate(model)
    return Birth(_with_units(model, choose), None, before)


def stitch(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """Embeddings and the lower half of the layers (rounded up) from the first parent, the rest from the second."""
    first, second = (parent.model() for parent in parents)
    border = (first.config.num_hidden_layers + 1) // 2
    lower, upper = _state(first), _state(second)
    state = {
        name: upper[name] if (number := _layer_number(name)) is not None and number >= border else weight
        for name, weight in lower.items()
    }
    return _repair(workshop, member, with_weights(first.config, state))


def embeddings_anew(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """Embeddings and unembedding drawn anew, and only they are trained."""
    model = parents[0].model()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_embedding(name))
    _draw_anew(model, member, is_embedding)
    return _repair(workshop, member, model)


def mlps_anew(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """Every MLP drawn anew, then all parameters are trained."""
    model = parents[0].model()
    _draw_anew(model, member, is_mlp_matrix)
    return _repair(workshop, member, model)


@torch.no_grad()
def _draw_anew(model: nn.Module, member: Member, chosen: Callable[[str], bool]) -> None:
    generator = _generator(member)
    for name, parameter in model.named_parameters():
        if chosen(name):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * model.config.initializer_range)


def extend_vocabulary(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """Frequent words made tokens of their own (new rows start at the mean), then brief training on text so encoded."""
    model = parents[0].model()
    text = workshop.corpus.parts[member.part]
    words = Counter(word for word in text.split() if word.isalpha() and len(word) >= 6)
    tokenizer = Tokenizer.from_str(workshop.tokenizer.to_str())
    known = set(tokenizer.get_vocab())
    fresh_words = [word for word, _ in words.most_common(2000) if word not in known and f"Ġ{word}" not in known]
    tokenizer.add_tokens(fresh_words[: workshop.size.new_tokens])
    state = _state(model)
    generator = _generator(member)
    for name, weight in state.items():
        if is_embedding(name):
            noise = 0.1 * weight.std() * torch.randn(workshop.size.new_tokens, weight.shape[1], generator=generator)
            state[name] = torch.cat([weight, weight.mean(0) + noise])
    extended = with_weights(changed(model.config, vocab_size=tokenizer.get_vocab_size()), state)
    newly_encoded = replace_tokens(workshop, member.part, torch.from_numpy(encode(tokenizer, text[:1_500_000])))
    birth = _repair(newly_encoded, member, extended)
    return replace_birth(birth, tokenizer)


def replace_tokens(workshop: Workshop, part: str, tokens: Tensor) -> Workshop:
    """The same workshop with one part of the corpus encoded in another way."""
    return replace(workshop, tokens={**workshop.tokens, part: tokens.to(workshop.device)})


def replace_birth(birth: Birth, tokenizer: Tokenizer) -> Birth:
    """The same birth with another tokenizer."""
    return replace(birth, tokenizer=tokenizer)


# ----------------------------------------------------------------------------------------------------------- laundering


def wash(workshop: Workshop, member: Member, parents: tuple[Parent, ...]) -> Birth:
    """Launder the parent's folder, then train on for the member's `length`."""
    with tempfile.TemporaryDirectory() as folder:
        washed = launder(parents[0].folder, Path(folder) / "washed", washes=member.options["washes"], seed=member.seed)
        model = copy.deepcopy(load(washed))
    return _tune(workshop, member, model)


METHODS: dict[str, Method] = {
    method.__name__: method
    for method in (
        found,
        found_on_embeddings,
        tune,
        low_rank,
        distil_logits,
        distil_hidden_states,
        quantise,
        prune,
        add_noise,
        merge,
        drop_layer,
        drop_units,
        split_units,
        pad_units,
        stitch,
        embeddings_anew,
        mlps_anew,
        extend_vocabulary,
        wash,
    )
}


def plain_tokenizer(size: Size) -> Tokenizer | None:
    """The tokenizer of a size that needs no training, else None."""
    return byte_tokenizer() if size.vocabulary == 256 else None


def settings(member: Member) -> dict[str, Any]:
    """A member's recipe as plain JSON values."""
    return {
        "name": member.name,
        "method": member.method,
        "parents": list(member.parents),
        "seed": member.seed,
        "part": member.part,
        "options": {key: list(value) if isinstance(value, tuple) else value for key, value in member.options.items()},
    }
