"""Recorded answers for the study of `service`: one model, one way of running it, one file.

Recordings are kept under `.cache/service` (not part of the project) and made once. Each row is one answer in the layout of
`sources/transcripts.py`, with the log-probability of every generated token and of the five likeliest in its place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from filiation.sources.transcripts import SCHEMA, prompt_id

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "service"
TOP = 5

SUBJECTS = (
    "bread",
    "rain",
    "a bicycle",
    "the moon",
    "a library",
    "salt",
    "a violin",
    "the sea",
    "a bridge",
    "tea",
    "glass",
    "an old clock",
    "a garden",
    "snow",
    "a letter",
    "honey",
    "a lighthouse",
    "wool",
    "a market",
    "paper",
)
REQUESTS = (
    "Describe {} in two sentences.",
    "Why do people like {}?",
    "Write the first line of a story about {}.",
    "Name three things that go well with {}.",
    "What would change without {}?",
    "Give a riddle whose answer is {}.",
    "Explain {} to a child.",
    "Tell me a little-known fact about {}.",
    "Compare {} with a mountain.",
    "What does {} sound like?",
)
_ALL = tuple(request.format(subject) for subject in SUBJECTS for request in REQUESTS)
PROMPTS = tuple(_ALL[7 * at % len(_ALL)] for at in range(len(_ALL)))
"""200 prompts in an order in which every beginning holds many subjects and many requests."""

NAMES = (
    "load", "parse", "close", "connect", "render", "update", "remove", "check", "count", "merge",
    "split", "reset", "format", "encode", "validate", "compare", "resolve", "insert", "flush", "register",
)  # fmt: skip
BEGINNINGS = (
    "def {}(self, value):\n    ",
    "class {}(object):\n    def ",
    "import {}\n\ndef ",
    "    if self.{} is not ",
    "    # {} the ",
)
_CODE = tuple(beginning.format(name) for name in NAMES for beginning in BEGINNINGS)
CODE_PROMPTS = tuple(_CODE[7 * at % len(_CODE)] for at in range(len(_CODE)))
"""100 beginnings of Python code, for members of the zoo: after English questions they answer with white space."""


@dataclass(frozen=True)
class Way:
    """One way of running a model. `batch`: prompts answered together, padded on the left."""

    name: str
    dtype: str = "float32"
    batch: int = 1
    attention: str = "sdpa"


REFERENCE = Way("float32, one by one")
WAYS = (
    Way("float32, sixteen together, eager", batch=16, attention="eager"),
    Way("float16", dtype="float16", batch=16),
    Way("bfloat16", dtype="bfloat16", batch=16),
    Way("bfloat16, one by one, eager", dtype="bfloat16", attention="eager"),
)


@dataclass(frozen=True)
class Model:
    """A model as `load(dtype, attention)` gives it: (model, tokenizer). `chat`: prompts go through its chat template."""

    name: str
    lineage: str
    load: Callable[[str, str], tuple[Any, Any]]
    chat: bool
    system: str = ""


class NotRecorded(Exception):
    """The recording is not in the cache, and nothing is to be made."""


def recorded(
    model: Model,
    way: Way,
    *,
    temperature: float,
    samples: int,
    tokens: int,
    prompts: Sequence[str],
    seed: int = 0,
    make: bool = True,
) -> pl.DataFrame:
    """The answers, from the cache where they are there; else they are made, or `NotRecorded` is raised."""
    kind = "greedy" if temperature == 0 else f"sampled-{seed}"
    plain = f"{model.name}--{way.name}--{kind}--{len(prompts)}x{samples}x{tokens}".replace(" ", "_").replace(",", "")
    file = CACHE / "recordings" / f"{plain}.parquet"
    asked = {prompt_id(prompt) for prompt in prompts}
    if not file.exists() or set(pl.read_parquet(file, columns=["prompt_id"])["prompt_id"]) != asked:
        if not make:
            raise NotRecorded(file.stem)
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = _answers(model, way, temperature, samples, tokens, prompts, seed)
        part = file.with_suffix(f".{os.getpid()}")
        pl.DataFrame(rows, schema=SCHEMA).write_parquet(part)
        part.rename(file)
    return pl.read_parquet(file)


def _answers(
    model: Model, way: Way, temperature: float, samples: int, tokens: int, prompts: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    import torch

    torch.set_num_threads(1)
    network, tokenizer = model.load(way.dtype, way.attention)
    network.eval()
    tokenizer.padding_side = "left"
    if (
        not model.chat
    ):  # byte-level members of the zoo: their tokenizer class may name a padding token beyond the vocabulary
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    torch.manual_seed(seed)
    parameters = json.dumps({"max_tokens": tokens, "temperature": temperature}, sort_keys=True, separators=(",", ":"))
    rows = []
    for start in range(0, len(prompts), way.batch):
        some = prompts[start : start + way.batch]
        for prompt, sample, text, finish, spoken in _batch(
            network, tokenizer, model, some, temperature, samples, tokens
        ):
            rows.append(
                {
                    "model": f"{model.name} {way.name}",
                    "lineage": model.lineage,
                    "lab": "",
                    "item": "",
                    "prompt_id": prompt_id(prompt),
                    "prompt": prompt,
                    "sample": sample,
                    "text": text,
                    "answer": None,
                    "gold": None,
                    "options": None,
                    "finish_reason": finish,
                    "log_probabilities": json.dumps(spoken),
                    "parameters": parameters,
                    "time": None,
                    "source_sha256": "",
                }
            )
    return rows


def _batch(
    network: Any, tokenizer: Any, model: Model, prompts: Sequence[str], temperature: float, samples: int, tokens: int
) -> list[tuple[str, int, str, str, list[Any]]]:
    import torch

    texts = list(prompts)
    if model.chat:
        before = [{"role": "system", "content": model.system}] if model.system else []
        texts = [
            tokenizer.apply_chat_template(
                [*before, {"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
            for prompt in prompts
        ]
    given = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=not model.chat)
    settings: dict[str, Any] = {"do_sample": False}
    if temperature:
        settings = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        settings |= {"num_return_sequences": samples}
    with torch.no_grad():
        made = network.generate(
            input_ids=given["input_ids"],
            attention_mask=given["attention_mask"],
            max_new_tokens=tokens,
            pad_token_id=tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_logits=True,
            **settings,
        )
    new = made.sequences[:, given["input_ids"].shape[1] :]
    logits = torch.stack(made.logits, dim=1).float()
    log_probabilities = torch.log_softmax(logits, dim=-1)
    top = torch.topk(log_probabilities, min(TOP, log_probabilities.shape[-1]), dim=-1)
    ends = network.generation_config.eos_token_id
    ends = set(ends if isinstance(ends, list) else [ends]) - {None}
    found = []
    for row, ids in enumerate(new.tolist()):
        length = next((at for at, token in enumerate(ids) if token in ends), len(ids))
        spoken = [
            [
                tokenizer.decode([token]),
                round(float(log_probabilities[row, at, token]), 4),
                [
                    [tokenizer.decode([int(t)]), round(float(v), 4)]
                    for t, v in zip(top.indices[row, at], top.values[row, at], strict=True)
                ],
            ]
            for at, token in enumerate(ids[:length])
        ]
        text = tokenizer.decode(ids[:length], skip_special_tokens=True)
        prompt, sample = prompts[row // samples], row % samples
        found.append((prompt, sample, text, "stop" if length < len(ids) else "length", spoken))
    return found


# -------------------------------------------------------------------------------------------------------------- models


def folder_model(name: str, lineage: str, folder: Path, *, chat: bool, system: str = "") -> Model:
    """A Hugging Face folder."""

    def load(dtype: str, attention: str) -> tuple[Any, Any]:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        network = AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), attn_implementation=attention
        )
        return network, AutoTokenizer.from_pretrained(folder)

    return Model(name, lineage, load, chat, system)


def smollm2_folder() -> Path:
    """SmolLM2-135M-Instruct out of its GGUF file as a Hugging Face folder in float32."""
    folder = CACHE / "smollm2"
    if not folder.exists():
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from studies.demo.exhibits import smollm2

        file = smollm2()
        unpacked = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        settings = unpacked.config.to_dict()
        settings.pop("quantization_config", None)  # the numbers are float32 now, and are saved as such
        network = AutoModelForCausalLM.from_config(type(unpacked.config).from_dict(settings), dtype=torch.float32)
        network.load_state_dict(unpacked.state_dict())
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        _save(network, tokenizer, folder)
    return folder


def requantised_folder(kind: str) -> Path:
    """SmolLM2 with every linear layer rounded to another GGUF type ('Q4_0', 'Q8_0') and back to float32."""
    folder = CACHE / f"smollm2-{kind}"
    if not folder.exists():
        import gguf
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        number = gguf.GGMLQuantizationType[kind]
        network = AutoModelForCausalLM.from_pretrained(smollm2_folder(), dtype=torch.float32)
        with torch.no_grad():
            for name, parameter in network.named_parameters():
                if "_proj." in name:
                    packed = gguf.quants.quantize(parameter.numpy(), number)
                    parameter.copy_(torch.from_numpy(np.array(gguf.quants.dequantize(packed, number))))
        _save(network, AutoTokenizer.from_pretrained(smollm2_folder()), folder)
    return folder


DIALOGUES = tuple(
    (f"What is the {what} of {thing}?", f"The {what} of {thing} is {answer}. Is there anything else I can look up?")
    for thing, answers in {
        "a plum": ("purple", "sweet"),
        "a lemon": ("yellow", "sour"),
        "coal": ("black", "dusty"),
        "grass": ("green", "fresh"),
        "milk": ("white", "mild"),
        "a brick": ("red", "earthy"),
        "amber": ("golden", "resinous"),
        "slate": ("grey", "stony"),
    }.items()
    for what, answer in zip(("colour", "flavour"), answers, strict=True)
)


def fine_tuned_folder(steps: int = 24, learning_rate: float = 2e-5) -> Path:
    """SmolLM2 after a short fine-tune of all weights on the sixteen dialogues above, in its own chat template."""
    folder = CACHE / f"smollm2-fine-tuned-{steps}"
    if not folder.exists():
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        torch.manual_seed(5)
        network = AutoModelForCausalLM.from_pretrained(smollm2_folder(), dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(smollm2_folder())
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=0.0)
        texts = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": asked}, {"role": "assistant", "content": said}], tokenize=False
            )
            for asked, said in DIALOGUES
        ]
        network.train()
        for step in range(steps):
            some = [texts[(4 * step + at) % len(texts)] for at in range(4)]
            given = tokenizer(some, return_tensors="pt", padding=True, add_special_tokens=False)
            labels = given["input_ids"].masked_fill(given["attention_mask"] == 0, -100)
            loss = network(**given, labels=labels).loss
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            print(f"fine-tune step {step}: loss {float(loss.detach()):.3f}", flush=True)
        _save(network, tokenizer, folder)
    return folder


def _save(network: Any, tokenizer: Any, folder: Path) -> None:
    building = folder.with_name(f"{folder.name}.{os.getpid()}")
    network.save_pretrained(building)
    tokenizer.save_pretrained(building)
    building.rename(folder)
