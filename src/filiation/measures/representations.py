"""Representations: do the neurons of two running models find the same partners twice, on texts that have nothing in common?

Both models read the same neutral text. Where both have read exactly as far (a token ends at the same character), each neuron's
activation is written down; neurons are then compared by how they go up and down together over these places. That is invariant
under renumbering of neurons and under everything else that leaves the model's function as it is.

Two ways to pair twice, and they are not the same:

    by halves   all neurons' products (what goes into the matrix that writes), paired on one half of the text and again on the
                other. Both halves show the same function, so strangers that learned the same language agree far beyond chance,
                the more so the more text there is: only a rank among other models can be read from it.
    by parts    the gate's activations on one half, those of `up` on the other: two descriptions of a neuron that training from
                other random numbers does not tie together.

Kornblith et al. 2019 (CKA) and Li et al. 2015 (convergent learning: neurons of independent networks do pair up).
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.measures.neurons import Neurons, opportunities, partners, unit_rows
from filiation.sources.running import RunningModel

Float32 = NDArray[np.float32]
Integers = NDArray[np.intp]

TEXT_MODULES = (
    "argparse", "collections", "configparser", "csv", "datetime", "decimal", "difflib", "email.message", "fractions", "functools",
    "heapq", "html.parser", "inspect", "json", "logging", "pathlib", "random", "re", "sched", "shutil", "socket", "statistics",
    "string", "subprocess", "tarfile", "tempfile", "textwrap", "threading", "unittest.case", "unittest.mock", "uuid", "zipfile",
)  # fmt: skip
"""Modules of the standard library whose documentation is the neutral text."""


# -------------------------------------------------------------------------------------------------------------- the text


def neutral_pieces(characters: int, rng: np.random.Generator) -> list[str]:
    """Pieces of at most `characters` of English prose in random order: what the standard library says of itself.

    ASCII only, so that a token never ends inside a character. Other versions of Python have other texts: whoever wants the same
    text for ever gives it as a file.
    """
    told = sorted({text for name in TEXT_MODULES for text in _documented(name)})
    return [text for number in rng.permutation(len(told)) for text in pieces_of(told[number], characters)]


def _documented(module: str) -> Iterator[str]:
    found = importlib.import_module(module)
    for _, thing in sorted(vars(found).items()):
        text = getattr(thing, "__doc__", None)
        if isinstance(text, str) and len(text) > 200 and text.isascii():
            yield inspect.cleandoc(text)


def pieces_of(text: str, characters: int) -> list[str]:
    """A text cut into pieces of at most `characters`; remainders of less than half of that are left out."""
    cut = (text[start : start + characters].strip() for start in range(0, len(text), characters))
    return [piece for piece in cut if 2 * len(piece) > characters and piece.isascii()]


# ------------------------------------------------------------------------------------------------------------- recording


class Halves(msgspec.Struct, frozen=True, eq=False):
    """One layer over the places of both halves of the text. Every array: neurons x places.

    `gate` was heard on the first half alone and `up` on the second; an ungated MLP has no gate. `product` on both.
    """

    gate: Float32 | None
    up: Float32
    product: tuple[Float32, Float32]

    @property
    def neurons(self) -> int:
        return int(self.up.shape[0])

    def take(self, rows: Integers) -> Halves:
        return Halves(
            gate=None if self.gate is None else self.gate[rows],
            up=self.up[rows],
            product=(self.product[0][rows], self.product[1][rows]),
        )


def common_places(
    first: Sequence[int] | NDArray[np.int64], second: Sequence[int] | NDArray[np.int64]
) -> tuple[Integers, Integers]:
    """For two tokenisations of one text, given by where their tokens end: the tokens after which both have read equally far.

    With one tokenizer that is every token; with two, above all the ends of words. Of several tokens that end at one character
    the last is taken.
    """
    one, other = ({int(end): at for at, end in enumerate(ends) if end > 0} for ends in (first, second))
    both = sorted(one.keys() & other.keys())
    return np.array([one[end] for end in both], dtype=np.intp), np.array([other[end] for end in both], dtype=np.intp)


def chosen_pieces(
    pieces: Sequence[str],
    first: Sequence[Sequence[int] | NDArray[np.int64]],
    second: Sequence[Sequence[int] | NDArray[np.int64]],
    places: int,
) -> int:
    """How many of the pieces, from the beginning, give this many common places; all of them where they do not suffice."""
    total = 0
    for number, (one, other) in enumerate(zip(first, second, strict=True)):
        total += len(common_places(one, other)[0])
        if total >= places:
            return number + 1
    return len(pieces)


def heard(
    model: RunningModel, pieces: Sequence[str], places: Sequence[Integers], layers: Sequence[int], gated: bool
) -> list[Halves]:
    """Run a model on the pieces and keep, per layer, its neurons at the given places; even pieces are the first half."""
    first = ("gate", "product") if gated else ("product",)
    parts = [
        _stacked(model, pieces[half::2], places[half::2], layers, asked)
        for half, asked in ((0, first), (1, ("up", "product")))
    ]
    return [
        Halves(
            gate=parts[0]["gate"][at] if gated else None,
            up=parts[1]["up"][at],
            product=(parts[0]["product"][at], parts[1]["product"][at]),
        )
        for at in range(len(layers))
    ]


def _stacked(
    model: RunningModel, pieces: Sequence[str], places: Sequence[Integers], layers: Sequence[int], parts: Sequence[str]
) -> dict[str, list[Float32]]:
    """Per part and layer: neurons x places, pieces one after the other."""
    kept: dict[str, list[list[Float32]]] = {part: [[] for _ in layers] for part in parts}
    step = 16  # pieces at a time, so that what no place needs is soon forgotten
    for start in range(0, len(pieces), step):
        some = pieces[start : start + step]
        tokens = [model.tokenise(piece, special_tokens=True) for piece in some]
        before = [_before(model, piece, row) for piece, row in zip(some, tokens, strict=True)]
        for at, states in enumerate(model.mlp_activations(tokens, layers, parts)):
            for part in parts:
                for layer, values in enumerate(states[part]):
                    kept[part][layer].append(values[places[start + at] + before[at]])
    return {part: [np.concatenate(rows).T for rows in by_layer] for part, by_layer in kept.items()}


def _before(model: RunningModel, piece: str, tokens: NDArray[np.int64]) -> int:
    """How many special tokens the tokenizer put before the text."""
    plain = model.tokenise(piece, special_tokens=False)
    starts = range(len(tokens) - len(plain) + 1)
    return next((start for start in starts if np.array_equal(tokens[start : start + len(plain)], plain)), 0)


# --------------------------------------------------------------------------------------------------------------- pairing


def ready(layer: Halves, rng: np.random.Generator) -> Halves:
    """Neurons that count, centred and at unit length, so that a product of two is their correlation over the places.

    A neuron that never moves is no opportunity, and of exact duplicates one is kept: ties would agree by position.
    """
    standard = Halves(
        gate=None if layer.gate is None else _centred(layer.gate),
        up=_centred(layer.up),
        product=(_centred(layer.product[0]), _centred(layer.product[1])),
    )
    parts = (
        (standard.up, *standard.product) if standard.gate is None else (standard.gate, standard.up, *standard.product)
    )
    seen = [_glance(part) for part in parts]
    return standard.take(opportunities(Neurons(first=seen[0], second=tuple(seen[1:])), rng))


def _glance(rows: Float32) -> Float32:
    """A few fixed random projections of each row: equal rows stay equal, still ones stay zero, and others stay apart."""
    directions = np.random.default_rng(0).standard_normal((rows.shape[1], min(24, rows.shape[1])), dtype=np.float32)
    glance: Float32 = rows @ directions
    return glance


def _centred(rows: Float32) -> Float32:
    moved = rows - rows.mean(axis=1, keepdims=True)
    # A constant leaves rounding errors of its own size behind, which would look like a life of their own.
    still = np.abs(moved).max(axis=1, initial=0.0) <= 1e-6 * np.maximum(np.abs(rows).max(axis=1, initial=0.0), 1e-30)
    moved[still] = 0.0
    return unit_rows(moved)


def paired_twice(first: tuple[Float32, Float32], second: tuple[Float32, Float32], rng: np.random.Generator) -> int:
    """How many neurons find the same partner by both of two descriptions; the sign of a correlation is not read."""
    one, other = (partners(np.abs(a @ b.T), rng) for a, b in zip(first, second, strict=True))
    return int(np.count_nonzero((one == other) & (one >= 0)))


def by_halves(first: Halves, second: Halves, rng: np.random.Generator) -> int:
    """Neurons whose products find the same partner on both halves of the text."""
    return paired_twice(first.product, second.product, rng)


def by_parts(first: Halves, second: Halves, rng: np.random.Generator) -> int:
    """Neurons that find the same partner by the gate on one half of the text and by `up` on the other."""
    if first.gate is None or second.gate is None:
        raise ValueError("an ungated MLP has one description of a neuron")
    return paired_twice((first.gate, first.up), (second.gate, second.up), rng)


def sampled(layer: Halves, size: int, rng: np.random.Generator) -> Halves:
    """At most `size` of a layer's neurons."""
    return layer if size >= layer.neurons else layer.take(np.sort(rng.choice(layer.neurons, size, replace=False)))


# ------------------------------------------------------------------------------------------------------------ comparison


def linear_cka(first: Float32, second: Float32) -> float:
    """Linear centred kernel alignment of two records of the same places (units x places), from 0 to 1 (Kornblith et al. 2019).

    It has no null: strangers that learned the same language reach high values. Here for comparison.
    """
    one, other = (rows - rows.mean(axis=1, keepdims=True) for rows in (first, second))
    shared = float(np.sum((one @ other.T) ** 2))
    own = float(np.sqrt(np.sum((one @ one.T) ** 2) * np.sum((other @ other.T) ** 2)))
    return shared / own if own > 0 else 0.0
