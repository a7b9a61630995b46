"""The exhibits of the bench's worlds, by name: members of the zoo, laundered and rewrapped copies, tokenizers and designs.

    exhibits["base-a"]                            a member of the zoo (studies/zoo)
    exhibits["base-a laundered"]                  the same function in other numbers
    exhibits["merges of text 1, ids permuted"]    a folder with nothing but a tokenizer.json, trained here
    exhibits["Falcon"]                            a folder with nothing but a config.json
    exhibits["open: lab-1-a"]                     recorded answers of a simulated model (sources/simulated.py) to open prompts;
    exhibits["open, elsewhere: lab-1-a"]          those of the same model under another runtime
    exhibits["marked by canaries: marks"]         what an owner planted for one examiner (tests/marked);
    exhibits["marked by canaries: stranger 1"]    recorded answers that are held against it

Each is made on first use and stands in a folder of its own; recorded answers are locations 'transcripts:FILE#MODEL'.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from filiation.evidence import Access
from filiation.sources.marks import PREFIX as MARKS_PREFIX
from filiation.sources.simulated import World as SimulatedWorld
from filiation.sources.simulated import scored, world
from filiation.sources.transcripts import PREFIX, models_of, read_transcripts, split_location
from studies.zoo import Zoo, launder
from studies.zoo.corpus import read_corpus
from studies.zoo.folders import read_folder, write_folder
from studies.zoo.repackaging import bfloat16_copy
from tests.marked import ANSWERS, MARKS

Wrap = Callable[[Path, Path], Path]
Rewrite = Callable[[pl.DataFrame, str], pl.DataFrame]
"""Recorded answers written in another way: the table of all models, and the model that is to be rewritten."""

RECORDED = {
    "open": ("simulated-open",),
    "tasks": ("simulated-problem", "simulated-choice"),
    "probes": ("borderline", "nonsense"),
    "scores": ("simulated-score",),
}
"""What simulated models were asked, by the items' first parts: each a file of its own, as recordings are."""

MARKED_BY = "marked by "
"""Before the name of an examiner: the folder 'marks' and the recorded answers that tests/marked made for it."""

RUNTIMES = {"": 0, ", elsewhere": 1}

# ------------------------------------------------------------------------------------------------------- the exhibits


@dataclass
class Exhibits:
    """Folders by name; what is no member of the zoo is made on first use."""

    zoo: Zoo
    place: Path
    made: dict[str, Path] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Path | str:
        what, _, model = name.partition(": ")
        if what.startswith(MARKED_BY) and model == MARKS:
            return f"{MARKS_PREFIX}{self._recorded(what).parent / MARKS}"
        if what.removesuffix(", elsewhere") in RECORDED or what.startswith(MARKED_BY):
            return f"{PREFIX}{self._recorded(what)}#{model}"
        return self.folder(name)

    def folder(self, name: str) -> Path:
        """An exhibit that is no recording."""
        if name in self.zoo.names:
            return self.zoo[name]
        if name not in self.made:
            folder = self.place / f"{len(self.made)}" / name.replace(" ", "-").replace(",", "")
            folder.parent.mkdir(parents=True)
            self.made[name] = self._make(name, folder)
        return self.made[name]

    def wrapped(self, name: str, wrap: Wrap, key: str) -> Path:
        """The exhibit in another wrapping. The folder bears the exhibit's own name, because records speak of names."""
        key = f"{name}, {key}"
        if key not in self.made:
            folder = self.place / f"{len(self.made)}" / self.folder(name).name
            folder.parent.mkdir(parents=True)
            self.made[key] = wrap(self.folder(name), folder)
        return self.made[key]

    def rewritten(self, name: str, rewrite: Rewrite, key: str) -> str:
        """Recorded answers written in another way, in a file of their own."""
        what, _, model = name.partition(": ")
        key = f"{name}, {key}"
        if key not in self.made:
            self.made[key] = self.place / f"{len(self.made)}.parquet"
            rewrite(read_transcripts(self._recorded(what)), model).write_parquet(self.made[key])
        models = read_transcripts(self.made[key])["model"].unique().to_list()
        return f"{PREFIX}{self.made[key]}#{model if model in models else models[0]}"

    def others(self, first: str, second: str) -> list[str]:
        """The models to stand in line beside two recordings: all others in the file of the first, as `compare` takes them.

        Beside marks: the controls in the file of the suspect's answers.
        """
        if first.startswith(MARKS_PREFIX):
            answers = Path(first.removeprefix(MARKS_PREFIX)).parent / ANSWERS
            return [f"{PREFIX}{answers}#{model}" for model in models_of(answers) if model.startswith("control ")]
        file, _ = split_location(first)
        taken = {split_location(location)[1] for location in (first, second)}
        return [f"{PREFIX}{file}#{model.name}" for model in simulated().recorded if model.name not in taken]

    def _recorded(self, what: str) -> Path:
        if what.startswith(MARKED_BY) and what not in self.made:
            folder = self.place / f"{len(self.made)}"
            folder.mkdir()
            import_module(f"tests.marked.{what.removeprefix(MARKED_BY)}").make(folder)
            self.made[what] = folder / ANSWERS
        if what not in self.made:
            asked = what.removesuffix(", elsewhere")
            frame = _answers(RUNTIMES[what.removeprefix(asked)])
            self.made[what] = self.place / f"{len(self.made)}.parquet"
            frame.filter(pl.col("item").str.split(":").list.first().is_in(RECORDED[asked])).write_parquet(
                self.made[what]
            )
        return self.made[what]

    def only(self, part: Access) -> Path | str:
        """An exhibit that has one part and nothing else."""
        if part is Access.TRANSCRIPT:
            return self["open: lab-1-a"]
        if part is Access.MARKS:
            return self[f"{MARKED_BY}canaries: {MARKS}"]
        files = {
            Access.CONFIGURATION: "config.json",
            Access.TOKENIZER: "tokenizer.json",
            Access.WEIGHTS: "model.safetensors",
        }
        key = f"only the {part}"
        if key not in self.made:
            self.made[key] = self.place / key.replace(" ", "-")
            self.made[key].mkdir()
            shutil.copyfile(self.folder("base-a") / files[part], self.made[key] / files[part])
        return self.made[key]

    def _make(self, name: str, folder: Path) -> Path:
        if name in _OWN_DESIGNS or name in PUBLISHED:
            return _write(folder, "config.json", _configuration(name))
        if name.endswith(" laundered"):
            return launder(self.folder(name.removesuffix(" laundered")), folder, seed=11)
        if name.endswith(" in bfloat16"):
            return bfloat16_copy(self.folder(name.removesuffix(" in bfloat16")), folder)
        return _write(folder, "tokenizer.json", tokenizer_document(name))


def _write(folder: Path, file: str, document: Mapping[str, Any]) -> Path:
    folder.mkdir()
    (folder / file).write_text(json.dumps(document))
    return folder


# -- recorded answers


@cache
def simulated() -> SimulatedWorld:
    """32 strangers of 16 labs, two children of each relation, and two models of one unrecorded base."""
    asked = {"open": 32, "problem": 90, "choice": 90, "borderline": 40, "nonsense": 32}
    return world(11, labs=16, lineages=2, prompts=asked)


@cache
def _answers(runtime: int) -> pl.DataFrame:
    """What was answered, and what was said of fixed texts."""
    return pl.concat([simulated().frame(runtime=runtime), scored(simulated(), 40, runtime)])


# -- tokenizers: texts 1 to 4 have no line in common, and no file but the one that a border cuts


@cache
def _text(number: int) -> list[str]:
    half = read_corpus().parts["one" if number < 3 else "two"]
    middle = len(half) // 2
    text = half[:middle] if number % 2 else half[middle:]
    return text[:1_500_000].splitlines(keepends=True)


@cache
def _merges_of(number: int) -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4000 + 200 * number, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(_text(number), trainer=trainer)
    return tokenizer.to_str()


@cache
def _scores_of(number: int) -> str:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=3000, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(_text(number)[:20_000], trainer=trainer)
    return tokenizer.to_str()


def tokenizer_document(name: str) -> dict[str, Any]:
    """tokenizer.json of 'merges of text N' or 'scores of text N', with what was done to it after a comma."""
    number = int(name.split("text ")[1][0])
    document: dict[str, Any] = json.loads(_scores_of(number) if name.startswith("scores") else _merges_of(number))
    model = document["model"]
    if name.startswith("first half"):
        _graft(model, json.loads(_merges_of(2))["model"]["merges"])
    if name.endswith("ids permuted"):
        ids = np.random.default_rng(7).permutation(len(model["vocab"]))
        model["vocab"] = {token: int(ids[old]) for token, old in model["vocab"].items()}
    if name.endswith("extended"):
        _continue(model, json.loads(_merges_of(3))["model"]["merges"][:1500])
    return document


def _graft(model: dict[str, Any], others: list[Any]) -> None:
    """Keep the first half of the merges, and go on with another tokenizer's."""
    merges = model["merges"]
    made = {"".join(_pair(merge)) for merge in merges}
    alphabet = [token for token in model["vocab"] if token not in made]
    kept = merges[: len(merges) // 2]
    tokens = alphabet + ["".join(_pair(merge)) for merge in kept]
    model["merges"], model["vocab"] = kept, {token: number for number, token in enumerate(tokens)}
    _continue(model, others)


def _continue(model: dict[str, Any], others: list[Any]) -> None:
    """Another tokenizer's merges appended where their parts are known and their product is new."""
    vocabulary = model["vocab"]
    for merge in others:
        left, right = _pair(merge)
        if left in vocabulary and right in vocabulary and left + right not in vocabulary:
            vocabulary[left + right] = len(vocabulary)
            model["merges"].append(merge)


def _pair(merge: Any) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


# -- designs: as their makers published them

_ODD = {
    "model_type": "llama",
    "hidden_size": 1472,
    "num_hidden_layers": 23,
    "num_attention_heads": 23,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "intermediate_size": 4544,
    "vocab_size": 73728,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 40000.0,
    "attention_bias": False,
    "tie_word_embeddings": False,
    "max_position_embeddings": 2048,
}
_SMALL = _ODD | {
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "rope_theta": 100000.0,
    "tie_word_embeddings": True,
}
_OWN_DESIGNS = {
    "an odd design": _ODD,
    "an odd design, longer context": _ODD | {"max_position_embeddings": 32768},
    "an odd design, quantised": _ODD | {"quantization_config": {"bits": 4, "quant_method": "gptq"}},
    "an odd design, laundered": _ODD | {"torch_dtype": "float32", "rms_norm_eps": 1e-6},
    "a small design": _SMALL,
}


def _configuration(name: str) -> dict[str, Any]:
    return dict(_OWN_DESIGNS.get(name) or PUBLISHED[name])


PUBLISHED: dict[str, dict[str, Any]] = {
    "Falcon": {
        "model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
        "vocab_size": 65024, "multi_query": True, "alibi": False, "bias": False, "parallel_attn": True,
        "new_decoder_architecture": False,
    },
    "OPT": {
        "model_type": "opt", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "ffn_dim": 16384,
        "vocab_size": 50272, "activation_function": "relu", "max_position_embeddings": 2048, "enable_bias": True,
    },
    "BLOOM": {"model_type": "bloom", "hidden_size": 4096, "n_layer": 30, "n_head": 32, "vocab_size": 250880},
    "Pythia": {
        "model_type": "gpt_neox", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "intermediate_size": 16384, "vocab_size": 50432, "hidden_act": "gelu", "rotary_emb_base": 10000,
        "rotary_pct": 0.25, "tie_word_embeddings": False,
    },
    "MPT": {
        "model_type": "mpt", "d_model": 4096, "n_heads": 32, "n_layers": 32, "vocab_size": 50432, "expansion_ratio": 4,
        "no_bias": True, "attn_config": {"alibi": True},
    },
    "Gemma": {
        "model_type": "gemma", "hidden_size": 2048, "num_hidden_layers": 18, "num_attention_heads": 8,
        "num_key_value_heads": 1, "head_dim": 256, "intermediate_size": 16384, "vocab_size": 256000,
        "hidden_act": "gelu", "rope_theta": 10000.0,
    },
    "GPT-2": {
        "model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257, "n_positions": 1024,
        "activation_function": "gelu_new",
    },
    "Qwen": {
        "model_type": "qwen2", "hidden_size": 3584, "num_hidden_layers": 28, "num_attention_heads": 28,
        "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064, "hidden_act": "silu",
        "rope_theta": 1000000.0, "tie_word_embeddings": False, "use_sliding_window": False,
    },
    "Phi": {
        "model_type": "phi", "hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32,
        "intermediate_size": 10240, "vocab_size": 51200, "hidden_act": "gelu_new", "rope_theta": 10000.0,
        "partial_rotary_factor": 0.4, "tie_word_embeddings": False,
    },
    "StarCoder": {
        "model_type": "starcoder2", "hidden_size": 4608, "num_hidden_layers": 32, "num_attention_heads": 36,
        "num_key_value_heads": 4, "intermediate_size": 18432, "vocab_size": 49152, "hidden_act": "gelu_pytorch_tanh",
        "rope_theta": 1000000.0, "use_bias": True,
    },
    "StableLM": {
        "model_type": "stablelm", "hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 6912, "vocab_size": 50304, "hidden_act": "silu",
        "rope_theta": 10000.0, "tie_word_embeddings": False,
    },
    "OLMo": {
        "model_type": "olmo2", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 100352, "hidden_act": "silu",
        "rope_theta": 500000.0, "tie_word_embeddings": False,
    },
    "GPT-J": {
        "model_type": "gptj", "n_embd": 4096, "n_layer": 28, "n_head": 16, "vocab_size": 50400, "rotary_dim": 64,
        "activation_function": "gelu_new", "tie_word_embeddings": False,
    },
    "DeepSeek": {
        "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 30, "num_attention_heads": 32,
        "num_key_value_heads": 32, "intermediate_size": 11008, "vocab_size": 102400, "hidden_act": "silu",
        "rope_theta": 10000.0, "tie_word_embeddings": False, "attention_bias": False,
    },
    "SmolLM": _SMALL,
}  # fmt: skip
"""What their makers' config.json say of size and kind; none was designed after another of these."""


# ------------------------------------------------------------------------------------------------------ other wrappings


def permuted_units(folder_in: Path, folder_out: Path) -> Path:
    return launder(folder_in, folder_out, washes=("permute-units",), seed=3)


def permuted_vocabulary(folder_in: Path, folder_out: Path) -> Path:
    """Token ids renumbered at random, with the rows of embedding and unembedding following them."""
    weights, config = read_folder(folder_in)
    document = json.loads((folder_in / "tokenizer.json").read_text())
    order = np.random.default_rng(5).permutation(len(document["model"]["vocab"]))
    ends = ("embed_tokens.weight", "lm_head.weight", "wte.weight")
    renumbered = {name: array[order] if name.endswith(ends) else array for name, array in weights.items()}
    write_folder(folder_out, renumbered, config, like=folder_in)
    new_id = np.argsort(order)
    document["model"]["vocab"] = {token: int(new_id[old]) for token, old in document["model"]["vocab"].items()}
    (folder_out / "tokenizer.json").write_text(json.dumps(document))
    return folder_out


def shuffled_keys(folder_in: Path, folder_out: Path) -> Path:
    """Every JSON file with the keys of every object in another order."""
    shutil.copytree(folder_in, folder_out)
    rng = np.random.default_rng(6)
    for file in sorted(folder_out.glob("*.json")):
        file.write_text(json.dumps(_shuffled(json.loads(file.read_text()), rng)))
    return folder_out


def _shuffled(value: Any, rng: np.random.Generator) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        return {keys[at]: _shuffled(value[keys[at]], rng) for at in rng.permutation(len(keys))}
    return [_shuffled(item, rng) for item in value] if isinstance(value, list) else value


def merges_as_pairs(folder_in: Path, folder_out: Path) -> Path:
    """tokenizer.json with each merge in the other of the two spellings in use: 'a b', or ['a', 'b']."""
    shutil.copytree(folder_in, folder_out)
    document = json.loads((folder_out / "tokenizer.json").read_text())
    merges = document["model"]["merges"]
    document["model"]["merges"] = [" ".join(merge) if isinstance(merge, list) else merge.split(" ") for merge in merges]
    (folder_out / "tokenizer.json").write_text(json.dumps(document))
    return folder_out


def permuted_ids(folder_in: Path, folder_out: Path) -> Path:
    """A tokenizer whose ids were dealt out anew; what it does to a text is the same."""
    shutil.copytree(folder_in, folder_out)
    document = json.loads((folder_out / "tokenizer.json").read_text())
    vocabulary = document["model"]["vocab"]
    ids = np.random.default_rng(7).permutation(len(vocabulary))
    document["model"]["vocab"] = {token: int(ids[old]) for token, old in vocabulary.items()}
    (folder_out / "tokenizer.json").write_text(json.dumps(document))
    return folder_out


def longer_vocabulary(folder_in: Path, folder_out: Path) -> Path:
    shutil.copytree(folder_in, folder_out)
    config = json.loads((folder_out / "config.json").read_text())
    (folder_out / "config.json").write_text(json.dumps(config | {"vocab_size": config["vocab_size"] + 64}))
    return folder_out


# -- recorded answers


def reimported(frame: pl.DataFrame, _model: str) -> pl.DataFrame:
    """The same answers from another log: rows in another order, other times, other digests of the source."""
    rows = np.random.default_rng(8).permutation(frame.height)
    return frame[rows].with_columns(
        pl.lit("2026-01-01T00:00:00Z").alias("time"), pl.lit("0" * 64).alias("source_sha256")
    )


def in_a_file_of_its_own(frame: pl.DataFrame, model: str) -> pl.DataFrame:
    return frame.filter(pl.col("model") == model)


def under_another_name(frame: pl.DataFrame, model: str) -> pl.DataFrame:
    return in_a_file_of_its_own(frame, model).with_columns(pl.lit("zz top").alias("model"))


def with_another_sample(frame: pl.DataFrame, model: str) -> pl.DataFrame:
    """Every prompt asked once more, and answered in another way."""
    own = in_a_file_of_its_own(frame, model)
    again = own.with_columns(
        pl.lit(1, pl.Int32).alias("sample"),
        pl.lit("Once more, and briefly.").alias("text"),
        pl.col("gold").alias("answer"),
    )
    return pl.concat([own, again])


def with_a_leading_space(frame: pl.DataFrame, model: str) -> pl.DataFrame:
    return in_a_file_of_its_own(frame, model).with_columns((" " + pl.col("text")).alias("text"))
