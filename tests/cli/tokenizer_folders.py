"""Real exhibits in seconds: folders that hold nothing but a byte-pair tokenizer, trained here on the standard library."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, trainers


def train(folder: Path, *, first: int, step: int, vocabulary: int = 1500) -> Path:
    """Train on every `step`-th source file of the standard library from the `first` on, and save it in a new folder."""
    sources = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[first:80:step]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train([str(path) for path in sources], trainer)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
