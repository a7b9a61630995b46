"""A model that runs: a folder or a GGUF file through transformers on the processor, for what only a running model can say.

Nothing here is needed to compare files or recorded answers. Weights are read as safetensors or GGUF alone, code that comes with a
model is never run, nothing is fetched, and a model of which a tensor is missing is refused: transformers would fill the gap with
random numbers and go on. Texts are strings, or token ids where the caller has chosen them.

Texts are padded on the right, where a causal model does not see it, and never by the tokenizer, whose padding token may lie
outside the vocabulary.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from filiation.errors import MalformedSource, MissingExtra, UnsafeSource, UsageError
from filiation.evidence import Absent
from filiation.sources.open import open_source
from filiation.sources.source import Source

Tokens = NDArray[np.int64]
Text = str | Sequence[int] | Tokens
DTYPES = ("float32", "bfloat16", "float16")
BATCH_TOKENS = 2048
"""Tokens run together, padding included: a full vocabulary of 50,000 in float32 takes 0.4 GB at this."""


MLP_PARTS = {
    "gate": ("gate_proj",),
    "up": ("up_proj", "c_fc", "dense_h_to_4h"),
    "product": ("down_proj", "c_proj", "dense_4h_to_h"),
}
"""What transformers calls the matrices of a dense MLP; 'product' is what the last of them is given."""

NO_SUCH_MLP = "dense MLPs of Llama-like, GPT-2-like and GPT-NeoX-like models can be listened to"


@dataclass(frozen=True)
class NextTokens:
    """Log-probabilities (natural) of tokens that may come next. Both arrays: answers x tokens.

    All tokens in the order of their ids, or the likeliest ones, the likeliest first.
    """

    ids: Tokens
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """A text as a model reads it: `tokens`, and for each but the first the natural log-probability given those before it, with the
    tokens that were the likeliest there, the likeliest first, and their own log-probabilities. The three last arrays are one shorter than
    `tokens`; the two of the likeliest have a column for each.
    """

    tokens: Tokens
    values: NDArray[np.float64]
    likeliest: Tokens
    likeliest_values: NDArray[np.float64]


class RunningModel:
    """A model loaded into memory. See `load_model`."""

    def __init__(self, network: Any, tokenizer: Any, *, name: str, location: str) -> None:
        self.name, self.location = name, location
        self._network, self._tokenizer = network, tokenizer
        settings = network.config.get_text_config()
        self.hidden_size = int(settings.hidden_size)
        self.layers = int(settings.num_hidden_layers)
        self.context = int(getattr(settings, "max_position_embeddings", None) or 0)
        """Tokens that it was made to read at once; 0 where its configuration does not say."""
        self.vocabulary_size = int(network.get_output_embeddings().weight.shape[0])

    def tokenise(self, text: str, *, special_tokens: bool = True) -> Tokens:
        """Token ids of a text. `special_tokens`: with what the tokenizer puts before and after a text by itself."""
        if self._tokenizer is None:
            raise UsageError("this model has no tokenizer", exhibit=self.name, advice="give texts as token ids")
        told = self._tokenizer(
            text, add_special_tokens=special_tokens, verbose=False
        )  # callers cut long texts, and say so
        return np.asarray(told["input_ids"], dtype=np.int64)

    def text_of(self, tokens: Sequence[int] | Tokens) -> str:
        """The text that token ids stand for, special tokens left out."""
        if self._tokenizer is None:
            raise UsageError("this model has no tokenizer", exhibit=self.name, advice="use the token ids")
        return str(self._tokenizer.decode([int(token) for token in tokens], skip_special_tokens=True))

    def pieces(self, tokens: Sequence[int] | Tokens) -> list[str]:
        """Token ids as the vocabulary spells them; an id without a token as '<number>'."""
        if self._tokenizer is None:
            raise UsageError("this model has no tokenizer", exhibit=self.name, advice="use the token ids")
        spelt = self._tokenizer.convert_ids_to_tokens([int(token) for token in tokens])
        return [f"<{token}>" if piece is None else str(piece) for token, piece in zip(tokens, spelt, strict=True)]

    def chat(self, prompt: str, system: str = "") -> str:
        """A question in the model's own chat template, ready for the answer; tokenise it without special tokens."""
        if not getattr(self._tokenizer, "chat_template", None):
            raise UsageError("this model has no chat template", exhibit=self.name, advice="give the prompt as it is")
        before = [{"role": "system", "content": system}] if system else []
        asked = [*before, {"role": "user", "content": prompt}]
        return str(self._tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True))

    def log_likelihoods(self, texts: Sequence[Text]) -> list[NDArray[np.float64]]:
        """Per text, the natural log-probability of each token but the first, given those before it."""
        found: list[NDArray[np.float64]] = []
        torch = _torch()
        for tokens, logits in self._logits(texts):
            said = torch.as_tensor(tokens[1:, None])
            found.append(torch.log_softmax(logits[:-1], -1).gather(1, said)[:, 0].double().numpy())
        return found

    def readings(self, texts: Sequence[Text], likeliest: int = 1) -> Iterator[Reading]:
        """What it makes of each text as it reads it, in order. `likeliest`: how many tokens are kept at each place."""
        torch = _torch()
        for tokens, logits in self._logits(texts):
            values = torch.log_softmax(logits[:-1].double(), -1)
            best = torch.topk(values, min(likeliest, values.shape[-1]), dim=-1)
            said = values.gather(1, torch.as_tensor(tokens[1:, None]))[:, 0]
            yield Reading(
                tokens=tokens, values=said.numpy(), likeliest=best.indices.numpy(), likeliest_values=best.values.numpy()
            )

    def next_token_log_probabilities(
        self, texts: Sequence[Text], top: int | None = None, *, every_position: bool = False
    ) -> NextTokens:
        """What may follow each text: all tokens, or the `top` likeliest. One row per text, in order.

        `every_position`: one row per position of each text instead, that is for each beginning of it.
        """
        torch = _torch()
        values, ids = [], []
        for _, logits in self._logits(texts):
            # In double, so that rounding of the softmax adds nothing to the numbers the model computed.
            vectors = torch.log_softmax((logits if every_position else logits[-1:]).double(), -1)
            if top is not None:
                best = torch.topk(vectors, min(top, vectors.shape[-1]), dim=-1)
                vectors = best.values
                ids.append(best.indices.numpy())
            values.append(vectors.numpy())
        width = self.vocabulary_size if top is None else min(top, self.vocabulary_size)
        stacked = np.concatenate(values) if values else np.zeros((0, width))
        order = np.concatenate(ids) if ids else np.broadcast_to(np.arange(width, dtype=np.int64), stacked.shape)
        return NextTokens(ids=order, values=stacked)

    def hidden_states(self, texts: Sequence[Text], layers: Sequence[int]) -> list[NDArray[np.float32]]:
        """Per text, layers x tokens x hidden size. Layer 0 is the embedding, layer n what the nth block leaves.

        The last one stands behind the final norm, as transformers gives it. Raises UsageError for a layer that is not there.
        """
        wrong = [layer for layer in layers if not 0 <= layer <= self.layers]
        if wrong:
            raise UsageError(
                f"it has layers 0 to {self.layers}, not {wrong[0]}", exhibit=self.name, advice="ask for others"
            )
        found: list[NDArray[np.float32]] = []
        for lengths, output in self._batches(self._as_tokens(texts), output_hidden_states=True):
            states = [output.hidden_states[layer].float().numpy() for layer in layers]
            found.extend(np.stack([state[row, :length] for state in states]) for row, length in enumerate(lengths))
        return found

    def token_ends(self, text: str) -> Tokens:
        """For each token of a text, special ones left out, where its last character ends; one number per token."""
        if self._tokenizer is None or not self._tokenizer.is_fast:
            raise UsageError(
                "its tokenizer does not tell where tokens end in a text",
                exhibit=self.name,
                advice="give a model with a tokenizer.json",
            )
        told = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return np.asarray([end for _, end in told["offset_mapping"]], dtype=np.int64)

    def mlp_activations(
        self, texts: Sequence[Text], layers: Sequence[int], parts: Sequence[str]
    ) -> list[dict[str, list[NDArray[np.float32]]]]:
        """Per text and part, what the neurons of each layer's MLP hold: tokens x units. Layers count from 0.

        Parts: 'gate' and 'up' are what these matrices give (an ungated MLP has 'up' alone), 'product' is what goes into the
        matrix that writes. Raises UsageError where an MLP is of no design that is known here.
        """
        blocks = self._blocks()
        caught: dict[tuple[str, int], Any] = {}
        hooks = [hook for layer in layers for hook in _hooks(blocks[layer], layer, parts, caught, self.name)]
        found: list[dict[str, list[NDArray[np.float32]]]] = []
        try:
            for lengths, _ in self._batches(self._as_tokens(texts)):
                states = {key: value.float().numpy() for key, value in caught.items()}
                found.extend(
                    {part: [states[part, layer][row, :length].copy() for layer in layers] for part in parts}
                    for row, length in enumerate(lengths)
                )
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def _blocks(self) -> Any:
        """The decoder's layers, in order."""
        modules = (
            module for name, module in self._network.named_modules() if name.rsplit(".", 1)[-1] in ("layers", "h")
        )
        blocks = next((module for module in modules if len(module) == self.layers), None)
        if blocks is None:
            raise UsageError("its layers are not where they are known to be", exhibit=self.name, advice=NO_SUCH_MLP)
        return blocks

    def generate(
        self, prompts: Sequence[Text], *, tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> list[Tokens]:
        """The answers' token ids, one array per prompt, the end-of-text token left out. Temperature 0: the likeliest token."""
        torch = _torch()
        ends = self._network.generation_config.eos_token_id
        ends = [] if ends is None else [ends] if isinstance(ends, int) else list(ends)
        settings: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if temperature:
            settings = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        answers = []
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for prompt in self._as_tokens(prompts):
                given = torch.as_tensor(prompt)[None]
                done = self._network.generate(
                    given,
                    attention_mask=torch.ones_like(given),
                    max_new_tokens=tokens,
                    pad_token_id=ends[0] if ends else 0,
                    **settings,
                )
                answer = done[0, len(prompt) :].numpy()
                places = np.flatnonzero(np.isin(answer, ends))
                answers.append(answer[: places[0]] if len(places) else answer)
        return answers

    # -- running

    def _as_tokens(self, texts: Sequence[Text]) -> list[Tokens]:
        rows = [self.tokenise(text) if isinstance(text, str) else np.asarray(text, dtype=np.int64) for text in texts]
        for row in rows:
            if not len(row):
                raise UsageError("a text without tokens", exhibit=self.name, advice="leave empty texts out")
            if row.min() < 0 or row.max() >= self.vocabulary_size:
                raise UsageError(
                    f"a token id outside its vocabulary of {self.vocabulary_size}",
                    exhibit=self.name,
                    advice="give texts as strings, or token ids of this model's own tokenizer",
                )
        return rows

    def _logits(self, texts: Sequence[Text]) -> Iterator[tuple[Tokens, Any]]:
        """Per text its tokens and the logits (tokens x vocabulary, float32), in order."""
        rows = self._as_tokens(texts)
        waiting = iter(rows)
        for lengths, output in self._batches(rows):
            for row, length in enumerate(lengths):
                yield next(waiting), output.logits[row, :length].float()

    def _batches(self, rows: Sequence[Tokens], **settings: Any) -> Iterator[tuple[list[int], Any]]:
        torch = _torch()
        start = 0
        while start < len(rows):
            stop, longest = start, 0
            while stop < len(rows):
                longest = max(longest, len(rows[stop]))
                if stop > start and longest * (stop - start + 1) > BATCH_TOKENS:
                    break
                stop += 1
            some = rows[start:stop]
            padded = np.zeros((len(some), max(map(len, some))), dtype=np.int64)
            mask = np.zeros_like(padded)
            for at, row in enumerate(some):
                padded[at, : len(row)], mask[at, : len(row)] = row, 1
            with torch.no_grad():
                output = self._network(
                    input_ids=torch.as_tensor(padded), attention_mask=torch.as_tensor(mask), use_cache=False, **settings
                )
            yield [len(row) for row in some], output
            start = stop


def load_source(source: Source, *, dtype: str = "float32") -> RunningModel:
    """Load the model of an exhibit, under its name there: of one in several parts, or under a code name, the part with the weights.

    Raises as `load_model` does.
    """
    return load_model(str(getattr(source, "weights_at", source.location)), dtype=dtype, name=source.name)


def load_model(location: str | Path, *, dtype: str = "float32", name: str = "") -> RunningModel:
    """Load the model at `location`, a Hugging Face folder or a GGUF file, to run it on the processor.

    `dtype`: what it computes in ('float32', 'bfloat16', 'float16'). Raises SourceError where there is nothing readable or safe,
    UsageError for what cannot be run, MissingExtra without the extra `models`.
    """
    if dtype not in DTYPES:
        raise UsageError(f"it cannot be run in {dtype!r}", exhibit=str(location), advice=f"give {', '.join(DTYPES)}")
    source = open_source(location, name=name or None)  # refuses pickles, links out of the folder, broken headers
    path = Path(source.location).expanduser()
    tensors = source.tensors() if source.format in ("folder", "gguf") else Absent(reason=f"this is a {source.format}")
    if isinstance(tensors, Absent):
        raise UsageError(
            f"it cannot be run: {tensors.reason}",
            exhibit=source.name,
            advice="give a folder with weights, or a GGUF file",
        )
    transformers = _transformers()
    folder, file = _folder_and_file(path)
    network, missing = _loaded(folder, file, dtype, source.name, "")
    first = {name.partition(".")[0] for name in tensors.names()}
    if missing and len(first) == 1:  # a text model inside a larger one: all its names begin with the larger one's
        network, missing = _loaded(folder, file, dtype, source.name, first.pop())
    if missing:
        raise MalformedSource(
            f"{len(missing)} of its tensors are missing or of another shape, {missing[0]} for one",
            exhibit=source.name,
            advice="fetch the model again: it would be run with random numbers in their place",
        )
    tokenizer = None
    if not isinstance(source.tokenizer(), Absent):
        with _quiet(transformers), _translated(source.name, folder):
            tokenizer = transformers.AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, **file
            )
    return RunningModel(network.eval(), tokenizer, name=source.name, location=source.location)


def _hooks(block: Any, layer: int, parts: Sequence[str], caught: dict[tuple[str, int], Any], exhibit: str) -> list[Any]:
    """Listen to the MLP of one layer; each run leaves what it heard in `caught`."""
    mlp = getattr(block, "mlp", None)
    hooks = []
    for part in parts:
        matrix = next((getattr(mlp, name) for name in MLP_PARTS[part] if hasattr(mlp, name)), None)
        if matrix is None:
            raise UsageError(f"the MLP of layer {layer} has no {part}", exhibit=exhibit, advice=NO_SUCH_MLP)

        def given(_module: Any, inputs: Any, key: tuple[str, int] = (part, layer)) -> None:
            caught[key] = inputs[0].detach()

        def gives(_module: Any, _inputs: Any, output: Any, key: tuple[str, int] = (part, layer)) -> None:
            caught[key] = output.detach()

        listen = matrix.register_forward_pre_hook(given) if part == "product" else matrix.register_forward_hook(gives)
        hooks.append(listen)
    return hooks


def _loaded(folder: Path, file: dict[str, str], dtype: str, exhibit: str, prefix: str) -> tuple[Any, list[str]]:
    """The network, and the names of its tensors that the files lack. `prefix`: taken off the files' names."""
    transformers, torch = _transformers(), _torch()
    with _quiet(transformers), _translated(exhibit, folder):
        network, loaded = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            use_safetensors=None if file else True,
            key_mapping={rf"^{re.escape(prefix)}\.": ""} if prefix else None,
            **file,
        )
    return network, sorted({*map(str, loaded["missing_keys"]), *(str(key[0]) for key in loaded["mismatched_keys"])})


def _folder_and_file(path: Path) -> tuple[Path, dict[str, str]]:
    """What transformers is to open: the folder, and the GGUF file in it where there is one and no safetensors."""
    if not path.is_dir():
        return path.parent, {"gguf_file": path.name}
    names = sorted(file.name for file in path.iterdir())
    gguf = [name for name in names if name.lower().endswith(".gguf")]
    return path, {"gguf_file": gguf[0]} if gguf and not any(n.endswith(".safetensors") for n in names) else {}


@contextlib.contextmanager
def _translated(exhibit: str, folder: Path) -> Iterator[None]:
    """What transformers raises over a model that it cannot load, as one of our errors. The path may tell who is under a code name."""
    try:
        yield
    except ImportError as error:
        raise MissingExtra(
            f"running {exhibit} needs a package that is not installed: {_told(error, folder)}",
            advice='pip install "filiation[models]"',
        ) from error
    except (
        Exception
    ) as error:  # whatever a library says of a file: OSError, ValueError, its own, tokenizers' plain Exception
        if "trust_remote_code" in str(error):
            raise UnsafeSource(
                "this model brings code of its own that would have to be run",
                exhibit=exhibit,
                advice="a model of a design that transformers knows can be run; the files of this one can still be compared",
            ) from error
        raise MalformedSource(
            f"transformers cannot load it: {_told(error, folder)}",
            exhibit=exhibit,
            advice="check that the folder is complete and of a design that the installed transformers knows",
        ) from error


def _told(error: Exception, folder: Path) -> str:
    said = str(error).replace(str(folder), "its folder") if folder.is_absolute() else str(error)
    return " ".join(said.split())[:200]


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars and warnings on the terminal; what matters of them is checked and raised."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # unpacking a GGUF file draws a bar whatever it was told
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


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
        "models are run with torch and transformers, which are not installed", advice='pip install "filiation[models]"'
    )
