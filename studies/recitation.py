"""What of an owner's texts stands in a model's answers: prompts that do not depend on any lot, and the examiners' measure of the answers.

The models are those of the zoo that read bytes; an answer is as long as the rest of the text that the prompt begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from filiation.measures.overlap import overlaps, said_in
from studies.zoo.corpus import byte_tokens

_TOGETHER = 500


def in_answers(texts: Sequence[str], prompts: Sequence[str], answers: Sequence[str]) -> NDArray[np.int64]:
    """For each text the weight of its own runs of words that stand in the answers and in no prompt, as the examiners measure it."""
    return np.array(overlaps(texts, said_in(answers, prompts)), dtype=np.int64)


def beginnings(texts: Sequence[str], length: int) -> list[str]:
    """The first characters of each text: a prompt for every text alike, so that the prompts know nothing of a lot."""
    return [text[:length] for text in texts]


@torch.no_grad()
def continued(model: Any, prompts: Sequence[str], length: int, *, lots: int | None = None) -> list[str]:
    """`length` likeliest bytes after each prompt of one length; drawn at temperature 1 by the seed `lots` where it is given."""
    model.eval()
    if lots is not None:
        torch.manual_seed(lots)
    said = []
    for some in torch.from_numpy(np.stack([byte_tokens(prompt) for prompt in prompts])).split(_TOGETHER):
        made = model.generate(
            some,
            attention_mask=torch.ones_like(some),
            max_new_tokens=length,
            min_new_tokens=length,
            do_sample=lots is not None,
            top_k=0,
            pad_token_id=0,
        )
        said += [bytes(row).decode("latin-1") for row in made[:, some.shape[1] :].tolist()]
    return said
