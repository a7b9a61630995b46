"""A decoder as seen from its residual stream: norm gains folded away, one row per neuron or token.

What a layer reads is gain * normalised residual, so the gain belongs to the matrix that reads; after folding, a rotation
of the residual stream turns all rows of all matrices alike, and nothing else distinguishes a rotated copy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from filiation.sources.families import Decoder, Role

Float32 = NDArray[np.float32]


class ResidualView:
    """Reads a decoder's matrices with gains folded in; rows lie in the residual basis, shape (rows, hidden size)."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.width = decoder.hidden_size
        self.gated = decoder.kind == "gated"

    @property
    def layers(self) -> int:
        return self.decoder.layers

    def embedding(self, tokens: NDArray[np.intp]) -> Float32:
        """Embedding rows of the given token ids."""
        return self._centred(self.decoder.read_rows(Role(layer=-1, part="embedding"), tokens))

    def unembedding(self, tokens: NDArray[np.intp]) -> Float32:
        """Unembedding rows of the given token ids, the final norm's gain folded in."""
        rows = self.decoder.read_rows(Role(layer=-1, part="unembedding"), tokens)
        return self._centred(self._gained(rows, -1, "final_norm"))

    def mlp_first(self, layer: int) -> Float32:
        """Rows of the gate, or of W_in where the MLP has none."""
        return self._reads_residual(layer, "gate" if self.gated else "up")

    def mlp_second(self, layer: int, index: int) -> Float32:
        """Part `index` of a neuron's second description: `up` rows then `down` columns if gated, else W_out columns."""
        if self.gated and index == 0:
            return self._reads_residual(layer, "up")
        down = np.concatenate([self.decoder.read(role).T for role in self._mlp_roles(layer, "down")])
        return self._centred(self._gained(down, layer, "mlp_post_norm"))

    @property
    def second_parts(self) -> int:
        return 2 if self.gated else 1

    def _reads_residual(self, layer: int, part: str) -> Float32:
        rows = np.concatenate([self.decoder.read(role) for role in self._mlp_roles(layer, part)])
        return self._centred(self._gained(rows, layer, "mlp_norm"))

    def _mlp_roles(self, layer: int, part: str) -> list[Role]:
        """One role in a dense layer; in a layer of experts all of them, shared ones last.

        All experts' neurons together are one heap in which each must find its partner, so that renumbering the experts
        is no more than another renumbering of neurons.
        """
        shared = Role(layer=layer, part=f"shared_{part}")
        experts = [Role(layer=layer, part=part, expert=expert) for expert in range(self.decoder.experts)]
        listed = [Role(layer=layer, part=part), *experts, shared]
        return [role for role in listed if self.decoder.has(role)]

    def _gained(self, rows: Float32, layer: int, norm: str) -> Float32:
        role = Role(layer=layer, part=norm)
        if not self.decoder.has(role):
            return rows
        gained: Float32 = rows * self.decoder.read(role)
        return gained

    def _centred(self, rows: Float32) -> Float32:
        # LayerNorm takes the mean away, so the direction of all ones carries nothing: leave it out on both sides.
        if self.decoder.norm != "layer":
            return rows
        centred: Float32 = rows - rows.mean(axis=1, keepdims=True)
        return centred
