"""Marked text for experiments, through `generate` of transformers: its own two watermarks, and a sampler for the Gumbel schemes.

Nothing here is needed to look for a mark. torch and transformers are imported when something is generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from filiation.errors import MissingExtra, UsageError
from filiation.measures.watermarks.gumbel import uniforms
from filiation.measures.watermarks.keys import GreenListKey, GumbelKey, SynthIDKey, VllmGumbelKey, WatermarkKey
from filiation.measures.watermarks.vllm_gumbel import PADDING, vllm_uniforms
from filiation.measures.watermarks.windows import Tokens


def watermarking_config(key: GreenListKey | SynthIDKey) -> Any:
    """The configuration of transformers that marks with this key, for `generate(watermarking_config=...)`."""
    transformers = _transformers()
    if isinstance(key, GreenListKey):
        return transformers.WatermarkingConfig(
            greenlist_ratio=key.greenlist_ratio,
            bias=key.bias,
            hashing_key=key.hashing_key,
            seeding_scheme=key.seeding_scheme,
            context_width=key.context_width,
        )
    return transformers.SynthIDTextWatermarkingConfig(
        ngram_len=key.ngram_len,
        keys=list(key.keys),
        context_history_size=key.context_history_size,
        sampling_table_size=key.sampling_table_size,
        sampling_table_seed=key.sampling_table_seed,
    )


class GumbelSampler:
    """A logits processor that decides each token by the key: all but the chosen token get a score of minus infinity.

    A context that the answer has had already is left to ordinary sampling, and so is one that reaches before the text.
    `prompt_tokens`: length of the prompts, the same for all rows. The temperature is the processor's own: `generate` would apply
    its own only afterwards, to a choice already made.
    """

    def __init__(self, key: GumbelKey | VllmGumbelKey, prompt_tokens: int, temperature: float = 1.0) -> None:
        self._key = key
        self._prompt_tokens = prompt_tokens
        self._temperature = temperature
        self._seen: dict[int, set[tuple[int, ...]]] = {}

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        log_chances = torch.log_softmax(scores.float() / self._temperature, dim=-1)
        decided = log_chances.clone()
        for row, tokens in enumerate(input_ids.tolist()):
            context = self._context(tokens)
            seen = self._seen.setdefault(row, set())
            if context is None or context in seen:
                continue
            seen.add(context)
            token = self._chosen(context, log_chances[row].double().cpu().numpy())
            decided[row] = -torch.inf
            decided[row, token] = 0.0
        return decided

    def _context(self, tokens: list[int]) -> tuple[int, ...] | None:
        width = self._key.context_width
        if isinstance(self._key, VllmGumbelKey):  # reads the answer only
            return tuple(([PADDING] * width + tokens[self._prompt_tokens :])[-width:])
        return tuple(tokens[-width:]) if len(tokens) >= width else None

    def _chosen(self, context: tuple[int, ...], log_chances: Any) -> int:
        possible = np.flatnonzero(np.isfinite(log_chances))
        windows = np.empty((len(possible), len(context) + 1), dtype=np.int64)
        windows[:, :-1], windows[:, -1] = context, possible
        drawn = (
            vllm_uniforms(windows, self._key) if isinstance(self._key, VllmGumbelKey) else uniforms(windows, self._key)
        )
        return int(possible[np.argmax(log_chances[possible] - np.log(-np.log(drawn)))])


def marked_answers(
    model: Any,
    prompts: Sequence[Sequence[int]] | Tokens,
    key: WatermarkKey | None,
    *,
    tokens: int,
    seed: int,
    temperature: float = 1.0,
    top_k: int = 0,
) -> list[Tokens]:
    """The answers' token ids, one array per prompt; `key` None for unmarked text. All prompts have one length.

    A text ends with its first end-of-text token, which is left out. Raises UsageError for prompts of different lengths.
    """
    torch, transformers = _torch(), _transformers()
    lengths = {len(prompt) for prompt in prompts}
    if len(lengths) != 1 or not min(lengths):
        raise UsageError(
            f"prompts of {sorted(lengths)} tokens cannot be answered together", advice="give them one at a time"
        )
    width = lengths.pop()
    settings: dict[str, Any] = {"temperature": temperature}
    if isinstance(key, (GumbelKey, VllmGumbelKey)):
        sampler = GumbelSampler(key, width, temperature)
        settings = {"logits_processor": transformers.LogitsProcessorList([sampler])}
    elif key is not None:
        settings["watermarking_config"] = watermarking_config(key)
    torch.manual_seed(seed)
    given = torch.as_tensor(np.asarray(prompts, dtype=np.int64), device=model.device)
    end = model.generation_config.eos_token_id
    with torch.no_grad():
        done = model.generate(
            given,
            attention_mask=torch.ones_like(given),
            do_sample=True,
            top_k=top_k,
            top_p=1.0,
            max_new_tokens=tokens,
            pad_token_id=_first(end),
            **settings,
        )
    return [_until_end(answer, end) for answer in done[:, width:].cpu().numpy()]


def _first(end: int | list[int] | None) -> int:
    return 0 if end is None else end if isinstance(end, int) else end[0]


def _until_end(answer: Tokens, end: int | list[int] | None) -> Tokens:
    ends = [] if end is None else [end] if isinstance(end, int) else end
    places = np.flatnonzero(np.isin(answer, ends))
    return answer[: places[0]] if len(places) else answer


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise _missing() from error
    return torch


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise _missing() from error
    return transformers


def _missing() -> MissingExtra:
    return MissingExtra(
        "text is generated with torch and transformers, which are not installed",
        advice='pip install "filiation[models]"',
    )
