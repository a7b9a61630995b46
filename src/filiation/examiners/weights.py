"""Do the weights of two models have a common ancestor, initialisation included?

Four tests, two nulls, never merged with one another. *By model*: each neuron finds the same partner twice with a chance of
at most c = 0.10, whatever the others do (`screen` on one layer through a few hundred shared tokens; `double-matching` on
every layer after the residual streams were aligned). These survive every laundering that leaves the model's function as it
was. *By exchangeability*: neurons (`neuron-index`) or hidden dimensions (`dimension-index`) stand at their old index; exact,
and blind once somebody has renumbered them. The tolerance c was measured on strangers (studies/weights.py), not derived.

A sibling of the same initialisation and a derivative read alike, and direction is not told.
"""

from __future__ import annotations

import math
import zlib
from contextlib import nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Coincidences,
    Companion,
    Component,
    Finding,
    Identity,
    Inconclusive,
    Multiplicity,
    NotExamined,
    Null,
    Observation,
    Outcome,
    Proposition,
    Relation,
    Relations,
    Test,
    digest,
    round_against_accuser,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.outcomes import (
    common_fields,
    effect_of,
    inconclusive_of,
    not_examined_of,
    registered_lineages,
    registered_power,
    share_to_detect,
)
from filiation.measures.alignment import polar, token_free_alignment, whitened_cross
from filiation.measures.index import at_their_index, same_partner_twice_and_at_their_index
from filiation.measures.layers import (
    Basis,
    Layer,
    as_it_is,
    best_monotone_pairing,
    layer_map,
    monotone_pairings,
    prepared,
    same_depth,
)
from filiation.measures.neurons import one_thread, same_partner_twice
from filiation.sources.families import decoder_of
from filiation.sources.residual import ResidualView
from filiation.sources.source import Source
from filiation.sources.tokenizers import ids_in_common
from filiation.statistics.coincidences import log10_upper_tail, resolution_log10_p
from filiation.statistics.e_values import log10_e_value, log10_e_value_of_p
from filiation.statistics.merging import holm, weighted_bonferroni
from filiation.statistics.permutations import log10_shared_indices_tail
from filiation.statistics.register import Calibration, RegisterEntry

Float32 = NDArray[np.float32]
Integers = NDArray[np.intp]

NAME = "weights"
VERSION = "1"
QUESTION = "Do the weights of the two models have a common ancestor, initialisation included?"
NEEDS = (Access.WEIGHTS, Access.CONFIGURATION)
ALTERNATIVE = "initialised and trained independently of each other"
RELATION_CLASS = (
    "common ancestor of the MLPs, initialisation included (copy, fine-tune, merge, pruned, quantised or laundered copy)"
)
TESTS = (
    Test(
        id="weights.screen",
        proposition=Proposition.WEIGHTS,
        alternative=ALTERNATIVE,
        relation_class=RELATION_CLASS,
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.MODEL,
        formula="P(Bin(n, c) >= k), neurons of one layer, rows carried to shared tokens",
    ),
    Test(
        id="weights.double-matching",
        proposition=Proposition.WEIGHTS,
        alternative=ALTERNATIVE,
        relation_class=RELATION_CLASS,
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.MODEL,
        formula="P(Bin(n, c) >= k), all paired layers; alignments and pairings paid for by weighted Bonferroni",
    ),
    Test(
        id="weights.neuron-index",
        proposition=Proposition.WEIGHTS,
        alternative=ALTERNATIVE,
        relation_class=RELATION_CLASS,
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.EXCHANGEABILITY,
        formula="fixed points of one uniform permutation per layer",
    ),
    Test(
        id="weights.dimension-index",
        proposition=Proposition.WEIGHTS,
        alternative="embeddings initialised and trained independently of each other",
        relation_class="common basis of the residual stream (common ancestor, or trained on its hidden states)",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.EXCHANGEABILITY,
        formula="fixed points of one uniform permutation of the hidden dimensions",
    ),
)
CLAIMS = (
    "copy",
    "fine-tune",
    "LoRA",
    "quantised",
    "pruned",
    "depth-pruned",
    "width-pruned",
    "merge",
    "stitched",
    "vocabulary extended",
    "laundered",
    "laundered and fine-tuned",
    "same initialisation",
)
ASSUMPTIONS = (
    "Each neuron finds the same partner twice with a chance of at most c given all the others, when the models are "
    "strangers: measured on strangers trained for this purpose, not derived.",
    "The initialisations were drawn independently, training treats all indices alike, and nobody sorted neurons or hidden "
    "dimensions by what they contain.",
)
REFERENCES = (
    "Zhu et al. 2025, Independence tests for language models (index tests, matching of gate and up activations)",
    "Ainsworth et al. 2023, Git Re-Basin (matching neurons by assignment)",
    "Schoenemann 1966 (orthogonal Procrustes)",
)
LIMITATIONS = (
    "A shared initialisation (a default seed makes it innocent) cannot be told from a derivative: the statement is "
    "'common ancestor, initialisation included'.",
    "Direction is not told: the suspect may be the ancestor of the reference.",
    "Tolerance not validated on real strangers: no two real, well-trained, unrelated models of one architecture have been "
    "examined; c was measured on small models trained for this purpose.",
)

SAME_DESIGN = {"mistral": "llama", "phi3": "llama", "smollm": "llama", "qwen2_5": "qwen2"}
"""Families that compute exactly what another does, under other names or with tensors stored in one piece."""

ALIGNMENTS = ("token", "identity", "token-free")
PARAMETERS: dict[str, bool | int | float | str] = {
    "full": "auto",  # 'auto': every layer where the files are small; True: always; False: the screen alone
    "full_bytes": 4_000_000_000,  # 'auto' examines every layer up to this size
    "full_width": 1024,  # residual streams wider than this are compared through shared tokens only
    "screen_tokens": 512,  # at most this many shared tokens, and at most half the hidden size
    "alignment_tokens": 16_384,
    "sampled_neurons": 2_000,  # per layer where the hidden size exceeds full_width
    "mapped_neurons": 96,  # per layer in the map of all layer pairs
    "decided_log10_p": -100.0,  # further alignments are not tried once one has gone below this
}


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Shape and family, from headers alone."""
    decoder = decoder_of(source)
    if isinstance(decoder, Absent):
        return decoder
    content = {
        "family": decoder.family,
        "kind": decoder.kind,
        "norm": decoder.norm,
        "layers": decoder.layers,
        "hidden_size": decoder.hidden_size,
        "units": [decoder.mlp_units(layer) for layer in range(decoder.layers)],
        "vocabulary_size": decoder.vocabulary_size,
        "tied": decoder.tied,
        "experts": decoder.experts,
    }
    return Observation(examiner=NAME, examiner_version=VERSION, exhibit=source.name, content=content)


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """Record, in integers, everything `judge` decides on.

    1. Match tokens by their strings. 2. Screen one layer. 3. Where the plan allows it, map all layer pairs under each
    alignment, pair the depths, and match every layer twice. 4. Count indices in the same pairing.
    """
    declined = _declined(first.observation.content, second.observation.content)
    if declined:
        return Absent(reason=declined)
    comparison = _Comparison(first, second, seed, progress)
    content: dict[str, Any] = {
        "parameters": comparison.parameters,
        "families": [first.observation.content["family"], second.observation.content["family"]],
        "kind": first.observation.content["kind"],
        "experts": max(subject.observation.content["experts"] for subject in (first, second)),
        "tokens": comparison.token_facts(),
    }
    # Thousands of small products: threads of a linear algebra library would spend their time waiting for one another.
    with nullcontext() if comparison.wide else one_thread():
        content["screen"] = comparison.screen()
        if comparison.examines_every_layer():
            content |= comparison.every_layer()
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=first.observation.exhibit,
        second=second.observation.exhibit,
        seed=seed,
        content=content | {"summary": _summary(content)},
    )


def _declined(first: dict[str, Any], second: dict[str, Any]) -> str:
    if first["kind"] != second["kind"]:
        return f"a gated and an ungated MLP have no neurons in common to compare ({first['kind']}, {second['kind']})"
    return ""


def _summary(content: dict[str, Any]) -> dict[str, Any]:
    """Coincidences per test, for line-ups."""
    summary = {"weights.screen": content["screen"]} if "count" in content["screen"] else {}
    tried = content.get("alignments", [])
    if tried:
        totals = [_total(alignment["pairs"]) for alignment in tried]
        summary["weights.double-matching"] = max(
            totals, key=lambda total: total["count"] / max(1, total["opportunities"])
        )
    return {
        test: {"count": figures["count"], "opportunities": figures["opportunities"]}
        for test, figures in summary.items()
    }


def _total(pairs: list[list[int]]) -> dict[str, int]:
    return {"count": sum(pair[2] for pair in pairs), "opportunities": sum(pair[3] for pair in pairs)}


class _Comparison:
    """The measuring of one pair of models; holds the two views and the shared tokens."""

    def __init__(self, first: Subject, second: Subject, seed: int, progress: Progress) -> None:
        self.parameters = PARAMETERS | first.parameters
        self.seed, self.progress = seed, progress
        self.views = (_view(first.source), _view(second.source))
        self.bytes_total = max(_bytes_total(first.source), _bytes_total(second.source))
        self.matched_by, self.first_tokens, self.second_tokens = ids_in_common(
            [subject.source.tokenizer() for subject in (first, second)],
            [int(subject.observation.content["vocabulary_size"]) for subject in (first, second)],
        )

    def rng(self, purpose: str) -> np.random.Generator:
        """Each purpose has its own stream, so that leaving one step out moves nothing else."""
        return np.random.default_rng([self.seed, zlib.crc32(purpose.encode())])

    def token_facts(self) -> dict[str, Any]:
        return {"matched_by": self.matched_by, "shared": int(self.first_tokens.size)}

    def embeddings(self, size: int, purpose: str) -> tuple[list[tuple[Float32, Float32]], int]:
        """Pairs (first, second) of embeddings and unembeddings of the same tokens, and how many tokens there are."""
        rng = self.rng(purpose)
        chosen = np.sort(rng.permutation(self.first_tokens.size)[:size])
        one, other = self.first_tokens[chosen], self.second_tokens[chosen]
        first, second = self.views
        pairs = [
            (first.embedding(one), second.embedding(other)),
            (first.unembedding(one), second.unembedding(other)),
        ]
        return pairs, int(chosen.size)

    # -- step 2

    def screen(self) -> dict[str, Any]:
        bases = self.token_bases()
        if isinstance(bases, str):
            return {"reason": bases}
        first, second = self.views
        layers = (first.layers // 2, same_depth(second.layers, first.layers)[first.layers // 2])
        self.progress("screening one layer", 0.0)
        rng = self.rng("screen")
        one = prepared(first, layers[0], bases[0]).sample(int(self.parameters["sampled_neurons"]), rng)
        self.progress("screening one layer", 0.5)
        other = prepared(second, layers[1], bases[1])
        count = same_partner_twice(one.neurons, other.neurons, None, rng)
        self.progress("screening one layer", 1.0)
        return {
            "first_layer": layers[0],
            "second_layer": layers[1],
            "tokens": self.screen_tokens,
            "count": count,
            "opportunities": min(one.neurons.count, other.neurons.count),
        }

    @property
    def screen_tokens(self) -> int:
        return min(int(self.parameters["screen_tokens"]), min(view.width for view in self.views) // 2)

    def token_bases(self) -> tuple[Basis, Basis] | str:
        """Rows carried from the residual basis to products with shared tokens' embeddings: the same basis for both."""
        wanted = self.screen_tokens
        if self.first_tokens.size < wanted:
            return f"only {self.first_tokens.size} tokens in common, {wanted} are needed"
        (embedding, unembedding), _ = self.embeddings(wanted, "screen tokens")

        def basis(reading: Float32, writing: Float32) -> Basis:
            def carry(rows: Float32, part: str) -> Float32:
                carried: Float32 = rows @ (writing if part == "writes" else reading).T
                return carried

            return carry

        return basis(embedding[0], unembedding[0]), basis(embedding[1], unembedding[1])

    # -- step 3

    def examines_every_layer(self) -> bool:
        wanted = self.parameters["full"]
        return self.bytes_total <= int(self.parameters["full_bytes"]) if wanted == "auto" else bool(wanted)

    def every_layer(self) -> dict[str, Any]:
        tried: list[dict[str, Any]] = []
        maps: list[dict[str, Any]] = []
        skipped: dict[str, str] = {}
        index: dict[str, Any] | None = None
        best_share = -1.0
        wide = self.wide
        names = ("shared tokens",) if wide else ALIGNMENTS
        for name in names:
            if any(self.decided(done) for done in tried):
                skipped[name] = f"the {tried[-1]['name']} alignment had decided"
                continue
            measured = self.tokens_projected() if wide else self.aligned(name)
            if isinstance(measured, str):
                skipped[name] = measured
                continue
            alignment, mapped, indices = measured
            tried.append(alignment)
            total = _total(alignment["pairs"])
            share = total["count"] / max(1, total["opportunities"])
            if share > best_share:
                best_share, index = share, indices
                maps = [mapped]
        content: dict[str, Any] = {
            "planned_alignments": list(names),
            "alignments": tried,
            "skipped": skipped,
            "dimension_index": self.dimension_index(),
        }
        if maps and index is not None:
            content |= {"layer_map": maps[0], "neuron_index": index}
        return content

    def decided(self, alignment: dict[str, Any]) -> bool:
        total = _total(alignment["pairs"])
        # The tolerance itself belongs to judge; one-half is beyond any tolerance, so stopping here gives nothing away.
        tail = Coincidences(count=total["count"], opportunities=total["opportunities"], chance=0.25)
        return log10_upper_tail(tail) < float(self.parameters["decided_log10_p"])

    def aligned(self, name: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]] | str:
        """Measure every paired layer under one alignment of the residual streams."""
        if name == "token-free":
            return self.token_free()
        rotation = self.rotation(name)
        if isinstance(rotation, str):
            return rotation
        return self.measured(name, (as_it_is, as_it_is), rotation)

    def tokens_projected(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]] | str:
        bases = self.token_bases()
        return bases if isinstance(bases, str) else self.measured("shared tokens", bases, None)

    def rotation(self, name: str) -> Float32 | str | None:
        widths = tuple(view.width for view in self.views)
        if name == "identity":
            return None if widths[0] == widths[1] else f"hidden sizes differ ({widths[0]}, {widths[1]})"
        if self.first_tokens.size < 2 * max(widths):
            return f"only {self.first_tokens.size} tokens in common for hidden size {max(widths)}"
        return polar(self.token_cross())

    def token_cross(self) -> NDArray[np.float64]:
        """wh(E_A)' wh(E_B) + wh(U_A)' wh(U_B) over shared tokens; shape (width of first, width of second)."""
        pairs, _ = self.embeddings(int(self.parameters["alignment_tokens"]), "alignment tokens")
        total = sum(whitened_cross(one, other) for one, other in pairs)
        return np.asarray(total, dtype=np.float64)

    def measured(
        self, name: str, bases: tuple[Basis, Basis], rotation: Float32 | None
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """The map of all layer pairs on a sample, the pairing it suggests, and all neurons of the paired layers."""
        first, second = self.views
        rng = self.rng(f"layers {name}")
        what = f"matching neurons ({name} alignment)"
        straight = same_depth(first.layers, second.layers)
        kept: dict[int, Layer] = {}
        matched: dict[tuple[int, int], tuple[int, int, tuple[int, int, int]]] = {}

        def keep(row: int, layer: Layer) -> None:
            # Reading and projecting a wide layer is most of the work, and its sample is small: hold it. A narrow
            # layer counts whole, and is read again when its turn comes.
            if self.wide:
                kept[row] = self.sampled(layer, rng)

        def match(row: int, column: int, other: Layer) -> None:
            one = kept[row] if row in kept else self.sampled(prepared(first, row, bases[0]), rng)
            count, found = same_partner_twice_and_at_their_index(
                one.neurons, one.index, other.neurons, other.index, rotation, rng
            )
            matched[row, column] = (count, min(one.neurons.count, other.neurons.count), found)

        counts, chances = layer_map(
            first,
            second,
            bases,
            rotation,
            int(self.parameters["mapped_neurons"]),
            rng,
            lambda share: self.progress(what, 0.9 * share),
            seen_first=keep,
            seen_second=lambda column, other: match(straight[column], column, other),
        )
        pairing, rule = _pairing(counts, (first.layers, second.layers))
        for column, row in enumerate(pairing):
            if (row, column) not in matched:
                match(row, column, prepared(second, column, bases[1]))
            self.progress(what, 0.9 + 0.1 * (column + 1) / second.layers)
        pairs = [[row, column, *matched[row, column][:2]] for column, row in enumerate(pairing)]
        indices = [[row, column, *matched[row, column][2]] for column, row in enumerate(pairing)]
        mapped = {
            "alignment": name,
            "first_layers": first.layers,
            "second_layers": second.layers,
            "counts": counts.tolist(),
            "opportunities": chances.tolist(),
        }
        alignment = {"name": name, "pairing": rule, "pairs": pairs}
        return alignment, mapped, {"alignment": name, "layers": indices}

    @property
    def wide(self) -> bool:
        return max(view.width for view in self.views) > int(self.parameters["full_width"])

    def sampled(self, layer: Layer, rng: np.random.Generator) -> Layer:
        return layer.sample(int(self.parameters["sampled_neurons"]), rng) if self.wide else layer

    def token_free(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]] | str:
        """Fit the rotation on every other layer and test the layers in between, then the other way round."""
        first, second = self.views
        if first.width != second.width:
            return f"hidden sizes differ ({first.width}, {second.width})"
        if min(first.layers, second.layers) < 2:
            return "one layer cannot be both fitted and tested"
        pairing = same_depth(first.layers, second.layers)
        rng = self.rng("token-free")
        pairs: list[list[int]] = []
        indices: list[list[int]] = []
        for half in (0, 1):
            fitted = [column for column in range(second.layers) if column % 2 != half]
            chosen = _spread(fitted, 3)
            self.progress("aligning without tokens", half / 2)
            rotation = token_free_alignment(
                [prepared(first, pairing[column], as_it_is).neurons for column in chosen],
                [prepared(second, column, as_it_is).neurons for column in chosen],
                rng,
            )
            for column in range(half, second.layers, 2):
                one = prepared(first, pairing[column], as_it_is)
                other = prepared(second, column, as_it_is)
                count, found = same_partner_twice_and_at_their_index(
                    one.neurons, one.index, other.neurons, other.index, rotation, rng
                )
                pairs.append([pairing[column], column, count, min(one.neurons.count, other.neurons.count)])
                indices.append([pairing[column], column, *found])
        pairs.sort(key=lambda pair: pair[1])
        counts = np.zeros((first.layers, second.layers), dtype=np.int64)
        chances = np.zeros_like(counts)
        for row, column, count, possible in pairs:
            counts[row, column], chances[row, column] = count, possible
        mapped = {
            "alignment": "token-free",
            "first_layers": first.layers,
            "second_layers": second.layers,
            "counts": counts.tolist(),
            "opportunities": chances.tolist(),
        }
        alignment = {"name": "token-free", "pairing": {"rule": "same depth", "pairings": 1}, "pairs": pairs}
        return alignment, mapped, {"alignment": "token-free", "layers": sorted(indices, key=lambda entry: entry[1])}

    # -- step 4

    def dimension_index(self) -> dict[str, Any]:
        first, second = self.views
        if first.width != second.width:
            return {"reason": f"hidden sizes differ ({first.width}, {second.width})"}
        if max(first.width, second.width) > 2 * int(self.parameters["full_width"]):
            return {"reason": f"hidden size {first.width} is beyond what is assigned in one piece"}
        if self.first_tokens.size < 2 * first.width:
            return {"reason": f"only {self.first_tokens.size} tokens in common for hidden size {first.width}"}
        cross = self.token_cross().astype(np.float32)
        used = np.flatnonzero(np.any(cross != 0, axis=1)), np.flatnonzero(np.any(cross != 0, axis=0))
        count, comparable, size = at_their_index(cross[np.ix_(*used)], *used, self.rng("dimension index"))
        return {"count": count, "opportunities": comparable, "size": size}


_views: WeakKeyDictionary[Source, ResidualView] = WeakKeyDictionary()
"""One view per source, so that layers made ready for one comparison serve the next."""


def _view(source: Source) -> ResidualView:
    if source not in _views:
        _views[source] = _new_view(source)
    return _views[source]


def _new_view(source: Source) -> ResidualView:
    decoder = decoder_of(source)
    if isinstance(decoder, Absent):
        raise ValueError(f"{source.name} was not observed: {decoder.reason}")
    return ResidualView(decoder)


def _bytes_total(source: Source) -> int:
    tensors = source.tensors()
    return 0 if isinstance(tensors, Absent) else tensors.bytes_total


def _spread(layers: list[int], size: int) -> list[int]:
    return [layers[round(at)] for at in np.linspace(0, len(layers) - 1, min(size, len(layers)))]


def _pairing(counts: NDArray[np.int64], layers: tuple[int, int]) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Same depth, unless a pairing that never goes back holds clearly more coincidences of the sampled map.

    Planned weights: one half for same depth, the other half shared equally by all pairings that never go back. How the
    choice was made does not matter for the payment, which covers them all.
    """
    straight = same_depth(*layers)
    monotone = best_monotone_pairing(counts)
    held = [sum(int(counts[row, column]) for column, row in enumerate(pairing)) for pairing in (straight, monotone)]
    if held[1] > 1.1 * held[0] + 5:
        return monotone, {"rule": "monotone", "pairings": monotone_pairings(*layers)}
    return straight, {"rule": "same depth", "pairings": 1}


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """One outcome per test.

    1. Decline where the family was not calibrated. 2. Tail of the total count at the calibrated chance. 3. Pay for the
    alignments and pairings that were listed. 4. Per layer, Holm. 5. Beside it, never merged: the rank among controls.
    """
    return (
        _judge_screen(relations, controls, calibration),
        _judge_double_matching(relations, controls, calibration),
        _judge_neuron_index(relations, controls, calibration),
        _judge_dimension_index(relations, controls, calibration),
    )


def _judge_screen(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> Outcome:
    test, screen = TESTS[0], relations.pair.content["screen"]
    if "count" not in screen:
        return _not_examined(test, relations, screen["reason"])
    entry = _entry(test, relations, calibration)
    if isinstance(entry, str):
        return _inconclusive(test, relations, entry, [_component("layer", screen["first_layer"], screen)])
    seen = Coincidences(count=screen["count"], opportunities=screen["opportunities"], chance=entry.chance)
    return _finding(
        test,
        relations,
        entry,
        calibration,
        seen,
        log10_p=log10_upper_tail(seen),
        log10_e=log10_e_value(seen),
        resolution=resolution_log10_p(seen),
        multiplicity=Multiplicity(searched=1, rule="one layer, fixed before"),
        components=(_component("layer", screen["first_layer"], screen, log10_upper_tail(seen)),),
        companions=_line_up(relations, controls, test.id),
    )


def _judge_double_matching(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> Outcome:
    test, content = TESTS[1], relations.pair.content
    if "alignments" not in content:
        return _not_examined(
            test, relations, "the files are large: every layer is examined on demand (filiation compare --full)"
        )
    if not content["alignments"]:
        return _not_examined(test, relations, "; ".join(f"{k}: {v}" for k, v in content["skipped"].items()))
    entry = _entry(test, relations, calibration)
    if isinstance(entry, str):
        best = max(content["alignments"], key=lambda alignment: _share(alignment["pairs"]))
        return _inconclusive(test, relations, entry, _layer_components(best["pairs"], None))
    planned = len(content["planned_alignments"])
    tails, coincidences = [], []
    for alignment in content["alignments"]:
        total = _total(alignment["pairs"])
        seen = Coincidences(count=total["count"], opportunities=total["opportunities"], chance=entry.chance)
        coincidences.append(seen)
        # Half the weight of a pairing choice lies on same depth, half is shared by the rest.
        tails.append(log10_upper_tail(seen) + math.log10(2 * alignment["pairing"]["pairings"]))
    # An alignment that was not needed, or not possible, has kept its weight and found nothing.
    unused = [0.0] * (planned - len(tails))
    paid = weighted_bonferroni([min(0.0, tail) for tail in tails] + unused, [1 / planned] * planned)
    chosen = int(np.argmin(tails))
    alignment, seen = content["alignments"][chosen], coincidences[chosen]
    cost = math.log10(planned * 2 * alignment["pairing"]["pairings"])
    return _finding(
        test,
        relations,
        entry,
        calibration,
        seen,
        log10_p=paid,
        log10_e=log10_e_value(seen) - cost,
        resolution=resolution_log10_p(seen) + cost,
        multiplicity=Multiplicity(
            searched=planned * 2 * alignment["pairing"]["pairings"],
            rule=f"weighted Bonferroni over {planned} listed alignments and the listed layer pairings "
            f"({alignment['pairing']['rule']} chosen)",
            log10_cost=round_against_accuser(cost, accuses_when="small"),
        ),
        components=(
            *_layer_components(alignment["pairs"], entry),
            *(
                _component("alignment", other["name"], _total(other["pairs"]), log10_upper_tail(tail))
                for other, tail in zip(content["alignments"], coincidences, strict=True)
            ),
        ),
        companions=(*_other_depths(content), *_line_up(relations, controls, test.id)),
    )


def _judge_neuron_index(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> Outcome:
    test, content = TESTS[2], relations.pair.content
    if "neuron_index" not in content:
        return _not_examined(test, relations, "needs every layer: see double-matching")
    layers = content["neuron_index"]["layers"]
    shapes = [(comparable, size) for _, _, _, comparable, size in layers if comparable]
    components = tuple(
        _component("layer", f"{row} | {column}", {"count": count, "opportunities": comparable})
        for row, column, count, comparable, _ in layers
    )
    return _judge_index(test, relations, calibration, shapes, sum(layer[2] for layer in layers), components)


def _judge_dimension_index(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> Outcome:
    test, content = TESTS[3], relations.pair.content
    found = content.get("dimension_index", {"reason": "needs all embeddings: see double-matching"})
    if "count" not in found:
        return _not_examined(test, relations, found["reason"])
    return _judge_index(test, relations, calibration, [(found["opportunities"], found["size"])], found["count"], ())


def _judge_index(
    test: Test,
    relations: Relations,
    calibration: Calibration,
    shapes: list[tuple[int, int]],
    count: int,
    components: tuple[Component, ...],
) -> Outcome:
    if not shapes:
        return _not_examined(test, relations, "no index is used by both models")
    entry = _entry(test, relations, calibration)
    if isinstance(entry, str):
        return _inconclusive(test, relations, entry, components)
    possible = sum(comparable for comparable, _ in shapes)
    expected = sum(comparable / size for comparable, size in shapes)
    log10_p = log10_shared_indices_tail(count, shapes)
    return _finding(
        test,
        relations,
        entry,
        calibration,
        Coincidences(count=count, opportunities=possible, chance=min(0.5, expected / possible)),
        log10_p=log10_p,
        log10_e=log10_e_value_of_p(log10_p),
        resolution=log10_shared_indices_tail(possible, shapes),
        multiplicity=Multiplicity(searched=1, rule="indices have no part in choosing alignment and pairing"),
        components=components,
        companions=(),
    )


def _entry(test: Test, relations: Relations, calibration: Calibration) -> RegisterEntry | str:
    """The register's entry if both families were calibrated, else the reason why nothing may be said."""
    families, kind = relations.pair.content["families"], relations.pair.content["kind"]
    key = f"{test.id}:{kind}"
    entries = {entry.test: entry for entry in calibration.entries}
    if relations.pair.content["experts"]:
        return "not validated for mixtures of experts"
    if key not in entries:
        return f"not validated: the register of nulls has no entry for {test.id} on {kind} MLPs"
    for family in families:
        if SAME_DESIGN.get(family, family) not in entries[key].validated_for:
            return f"not validated for models of the family {family}"
    return entries[key]


def _share(pairs: list[list[int]]) -> float:
    total = _total(pairs)
    return total["count"] / max(1, total["opportunities"])


def _component(
    kind: str, name: object, figures: dict[str, Any], log10_p: float | None = None, note: str = ""
) -> Component:
    return Component(
        kind=kind,
        name=str(name),
        count=figures["count"],
        opportunities=figures["opportunities"],
        log10_p=None if log10_p is None else round_against_accuser(log10_p, accuses_when="small"),
        note=note,
    )


def _layer_components(pairs: list[list[int]], entry: RegisterEntry | None) -> tuple[Component, ...]:
    """One component per paired layer: 'reference layer | suspect layer', p adjusted by Holm over the layers."""
    adjusted: list[float] | list[None] = [None] * len(pairs)
    if entry is not None:
        adjusted = list(
            holm(
                [
                    log10_upper_tail(Coincidences(count=count, opportunities=possible, chance=entry.chance))
                    if possible
                    else 0.0
                    for _, _, count, possible in pairs
                ]
            )
        )
    return tuple(
        _component("layer", f"{row} | {column}", {"count": count, "opportunities": possible}, log10_p, "Holm")
        for (row, column, count, possible), log10_p in zip(pairs, adjusted, strict=True)
    )


def _other_depths(content: dict[str, Any]) -> tuple[Companion, ...]:
    """What the same two models show at pairs of layers that were not paired: context, not a calibration."""
    best = max(content["alignments"], key=lambda alignment: _share(alignment["pairs"]))
    mapped = content["layer_map"]
    paired = {(row, column) for row, column, _, _ in best["pairs"]}
    others = [
        (count, possible)
        for row, (counts, chances) in enumerate(zip(mapped["counts"], mapped["opportunities"], strict=True))
        for column, (count, possible) in enumerate(zip(counts, chances, strict=True))
        if (row, column) not in paired and possible
    ]
    if not others:
        return ()
    largest = max(count / possible for count, possible in others)
    total = sum(count for count, _ in others), sum(possible for _, possible in others)
    return (
        Companion(
            null=Null.POPULATION,
            name="layers at other depths of the same two models",
            value=f"{total[0]} of {total[1]} in all, at most {largest:.3f} of a layer",
            note="understates what strangers show at the same depth; not part of the figure",
        ),
    )


def _line_up(relations: Relations, controls: tuple[Identity, ...], test: str) -> tuple[Companion, ...]:
    """Where the suspect stands among the control lineages, against the same reference."""
    suspect = relations.pair.content["summary"].get(test)
    by_lineage: dict[str, float] = {}
    lineage_of = {control.name: control.lineage_id or control.name for control in controls}
    for relation in relations.reference_by_control:
        figures = relation.content["summary"].get(test)
        if figures:
            lineage = lineage_of.get(relation.second, relation.second)
            by_lineage[lineage] = max(by_lineage.get(lineage, 0.0), figures["count"] / max(1, figures["opportunities"]))
    if suspect is None or not by_lineage:
        return ()
    share = suspect["count"] / max(1, suspect["opportunities"])
    above = sum(other >= share for other in by_lineage.values())
    return (
        Companion(
            null=Null.POPULATION,
            name="line-up against the same reference",
            value=f"rank {above + 1} of {len(by_lineage) + 1} lineages",
            note=f"p >= {(above + 1) / (len(by_lineage) + 1):.3f} by rank; stands beside, is not merged",
        ),
    )


def _not_examined(test: Test, relations: Relations, reason: str) -> NotExamined:
    return not_examined_of(test, relations.pair, reason, version=VERSION)


def _inconclusive(
    test: Test, relations: Relations, reason: str, components: tuple[Component, ...] | list[Component]
) -> Inconclusive:
    return inconclusive_of(
        test, relations.pair, reason, version=VERSION, components=tuple(components), limitations=LIMITATIONS
    )


def _finding(
    test: Test,
    relations: Relations,
    entry: RegisterEntry,
    calibration: Calibration,
    seen: Coincidences,
    *,
    log10_p: float,
    log10_e: float,
    resolution: float,
    multiplicity: Multiplicity,
    components: tuple[Component, ...],
    companions: tuple[Companion, ...],
) -> Finding:
    content = relations.pair.content
    by_id = content["tokens"]["matched_by"] == "id"
    return Finding(
        **common_fields(test, relations.pair, VERSION),
        reason="examined",
        count=seen.count,
        opportunities=seen.opportunities,
        chance=seen.chance or 0.0,
        log10_p=round_against_accuser(min(0.0, log10_p), accuses_when="small"),
        log10_e=round_against_accuser(log10_e, accuses_when="large"),
        resolution_log10_p=round_against_accuser(min(0.0, resolution), accuses_when="small"),
        effect=effect_of(
            "share of neurons" if test.id != "weights.dimension-index" else "share of hidden dimensions",
            seen.count,
            seen.opportunities,
        ),
        power=registered_power(
            entry,
            share_to_detect(seen.opportunities, seen.chance or 0.5, entry.detection_log10_p - multiplicity.log10_cost),
        ),
        lineages=registered_lineages(
            entry, controls=tuple(sorted({relation.second for relation in relations.reference_by_control}))
        ),
        multiplicity=multiplicity,
        components=components,
        companions=companions,
        assumptions=(ASSUMPTIONS[0] if test.null is Null.MODEL else ASSUMPTIONS[1],),
        limitations=LIMITATIONS if test.null is Null.MODEL else LIMITATIONS[:2],
        conditional_on=("token ids mean the same string in both models (no tokenizer to tell)",) if by_id else (),
        direction="not told",
        seed=relations.pair.seed,
        parameters_digest=digest(content["parameters"]),
        calibration_digest=calibration.digest,
        observations=(digest(relations.pair),),
    )
