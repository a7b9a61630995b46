"""Builds what is missing of a zoo, and finds what is there.

Each member stands in a folder of its own that appears in one step when it is finished. Before a member is made its lock
is taken, so that several processes may build one zoo together: each takes what nobody else is at.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tokenizers import Tokenizer

from studies.zoo.corpus import Corpus, encode, read_corpus, trained_tokenizer, unigram_loss
from studies.zoo.derivations import METHODS, Birth, Parent, Workshop, plain_tokenizer, settings
from studies.zoo.family_tree import FamilyTree, Member, family_tree
from studies.zoo.folders import publish
from studies.zoo.sizes import SIZES, Size
from studies.zoo.training import settle

RECIPE_VERSION = 1  # raise it when a method changes what it makes
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "zoo"
LINEAGE_FILE = "lineage.json"


@dataclass(frozen=True)
class Zoo:
    """The members that are there. `zoo['base-a']` is the folder of one; iterating gives the names."""

    root: Path
    tree: FamilyTree
    names: tuple[str, ...]

    def __getitem__(self, name: str) -> Path:
        if name not in self.names:
            known = ", ".join(self.names)
            raise KeyError(f"{name!r} is not among the members that were built: {known}")
        return self.root / name

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def members(self, group: str | None = None) -> tuple[Member, ...]:
        """The records of the members that are there, of one group where it is named."""
        found = (self.tree.members[name] for name in self.names)
        return tuple(member for member in found if group in (None, member.group))

    def lineage(self, name: str) -> dict[str, Any]:
        """What lineage.json says of a member: seeds, data digest, losses before and after."""
        return json.loads((self[name] / LINEAGE_FILE).read_text())

    def relation(self, first: str, second: str) -> str:
        """What two members are to each other in words; 'stranger' when nothing is shared. Symmetric."""
        return self.tree.relation(first, second)

    def group(self, first: str, second: str) -> str:
        """'relative', 'sibling', 'student', 'hard stranger' or 'stranger', for a pair. Symmetric."""
        return self.tree.group(first, second)


def build(
    size: str | Size = "test",
    *,
    bases: int | None = None,
    only: Sequence[str] | None = None,
    device: str = "auto",
    out: Path | None = None,
    dtype: str | None = None,
    progress: bool = False,
) -> Zoo:
    """Make every member that is missing or whose recipe or parents changed, and return the zoo.

    `size`: 'test' or 'full'. `bases`: number of independent Llama-like founders. `only`: these members and what they
    descend from. `out`: the folder that holds the members, else one under `.cache/zoo` named by the recipe's digest.
    `dtype`: 'float32' or 'bfloat16', the type that members are saved in.
    """
    chosen = SIZES[size] if isinstance(size, str) else size
    chosen = replace(chosen, dtype=dtype) if dtype else chosen
    tree = family_tree(chosen, bases)
    names = _wanted(tree, only)
    corpus = read_corpus()
    digest = _size_digest(chosen, corpus)
    root = Path(out) if out else CACHE / f"{chosen.name}-{digest[:12]}"
    digests = _recipe_digests(tree, digest)
    if any(not _is_current(root / name, digests[name]) for name in names):
        _Builder(chosen, corpus, tree, names, digests, root, settle(device), progress).run()
    return Zoo(root, tree, names)


def _wanted(tree: FamilyTree, only: Sequence[str] | None) -> tuple[str, ...]:
    unknown = sorted(set(only or ()) - set(tree.members))
    if unknown:
        raise ValueError(f"no such members: {', '.join(unknown)}; there are {', '.join(tree.members)}")
    if not only:
        return tuple(tree.members)
    needed = {ancestor for name in only for ancestor in tree.ancestors(name)} | set(only)
    return tuple(name for name in tree.members if name in needed)


# -------------------------------------------------------------------------------------------------------------- digests


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _size_digest(size: Size, corpus: Corpus) -> str:
    scale = {key: value for key, value in asdict(size).items() if key != "bases"}
    return _digest([RECIPE_VERSION, scale, corpus.digest])


def _recipe_digests(tree: FamilyTree, size_digest: str) -> dict[str, str]:
    """A member's recipe covers its parents' recipes, so that a change anywhere above rebuilds all below."""
    digests: dict[str, str] = {}
    for name, member in tree.members.items():
        digests[name] = _digest([size_digest, settings(member), [digests[parent] for parent in member.parents]])
    return digests


def _is_current(folder: Path, recipe_digest: str) -> bool:
    try:
        return json.loads((folder / LINEAGE_FILE).read_text())["recipe_digest"] == recipe_digest
    except (OSError, ValueError, KeyError):
        return False


# ------------------------------------------------------------------------------------------------------------- building


@dataclass
class _Builder:
    size: Size
    corpus: Corpus
    tree: FamilyTree
    names: tuple[str, ...]
    digests: Mapping[str, str]
    root: Path
    device: torch.device
    progress: bool

    def run(self) -> None:
        """Until all members are there: make the first whose parents are there and whom nobody else is making."""
        self.root.mkdir(parents=True, exist_ok=True)
        self._clear_leftovers()
        with _bars(self.progress) as bars:
            total = bars.add_task("zoo", total=len(self.names))
            steps = bars.add_task("waiting", total=1)
            workshop = self._workshop()
            while missing := [name for name in self.names if not self._is_there(name)]:
                bars.update(total, completed=len(self.names) - len(missing))
                if not any(self._try(name, workshop, bars, steps) for name in missing if self._is_ready(name)):
                    time.sleep(0.5)
            bars.update(total, completed=len(self.names))

    def _is_there(self, name: str) -> bool:
        return _is_current(self.root / name, self.digests[name])

    def _is_ready(self, name: str) -> bool:
        return all(self._is_there(parent) for parent in self.tree.members[name].parents)

    def _try(self, name: str, workshop: Workshop, bars: Progress, task: Any) -> bool:
        """Make one member unless somebody else holds its lock; True when something was made."""
        with _lock(self.root / ".locks" / name) as ours:
            if not ours or self._is_there(name):
                return False
            bars.update(task, description=name, completed=0)
            workshop.report = lambda step, steps, loss: bars.update(
                task, description=f"{name} (loss {loss:.2f})", completed=step, total=steps
            )
            self._make(self.tree.members[name], workshop)
            return True

    def _make(self, member: Member, workshop: Workshop) -> None:
        started = time.perf_counter()
        parents = tuple(Parent(self.root / parent) for parent in member.parents)
        birth = METHODS[member.method](workshop, member, parents)
        building = self.root / f".building-{member.name}-{os.getpid()}"
        loss_after = workshop.validate(birth.model)
        birth.model.to(getattr(torch, self.size.dtype)).save_pretrained(building)
        _save_tokenizer(birth.tokenizer or self._tokenizer_of(member, workshop), building, self.size.context)
        seconds = time.perf_counter() - started
        lineage = self._lineage(member, workshop, birth, loss_after=loss_after, seconds=seconds)
        (building / LINEAGE_FILE).write_text(json.dumps(lineage, indent=2) + "\n")
        publish(building, self.root / member.name)

    def _tokenizer_of(self, member: Member, workshop: Workshop) -> Tokenizer:
        """A child keeps its first parent's tokenizer."""
        if member.kinship == "weights":
            return Tokenizer.from_file(str(self.root / member.parents[0] / "tokenizer.json"))
        return workshop.tokenizer

    def _lineage(
        self, member: Member, workshop: Workshop, birth: Birth, *, loss_after: float, seconds: float
    ) -> dict[str, Any]:
        return {
            "name": member.name,
            "relation": member.relation,
            "parents": list(member.parents),
            "kinship": member.kinship,
            "group": member.group,
            "family": member.family,
            "lineage_id": member.lineage_id,
            "method": member.method,
            "options": settings(member)["options"],
            "seed": member.seed,
            "data_part": member.part,
            "data_digest": self.corpus.part_digest(member.part),
            "loss_before": birth.loss_before,
            "loss_after": loss_after,
            "unigram_loss": unigram_loss(workshop.part("validation").cpu().numpy()),
            "training": None if birth.training is None else asdict(birth.training),
            "seconds": round(seconds, 1),
            "recipe_digest": self.digests[member.name],
            "made_with": {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "python": platform.python_version(),
                "device": self.device.type,
            },
        }

    def _workshop(self) -> Workshop:
        tokenizer = plain_tokenizer(self.size)
        if tokenizer is not None:
            return Workshop(self.size, self.corpus, tokenizer, self.device)
        folder = _encoded_corpus(self.root, self.corpus, self.size.vocabulary)
        tokens = {
            part: torch.from_numpy(np.load(folder / f"{part}.npy").astype(np.int64)).to(self.device)
            for part in self.corpus.parts
        }
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return Workshop(self.size, self.corpus, tokenizer, self.device, tokens=tokens)

    def _clear_leftovers(self) -> None:
        """Half-made folders of processes that are gone."""
        for leftover in (*self.root.glob(".building-*"), *self.root.glob(".*-replaced-*")):
            process = leftover.name.rsplit("-", 1)[-1]
            if process.isdigit() and not _is_running(int(process)):
                shutil.rmtree(leftover, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _encoded_corpus(root: Path, corpus: Corpus, vocabulary: int) -> Path:
    """Train the tokenizer and encode the corpus once; whoever comes second waits."""
    folder = root / ".corpus"
    with _lock(root / ".locks" / ".corpus", wait=True):
        if not folder.exists():
            building = root / f".building-corpus-{os.getpid()}"
            building.mkdir(parents=True)
            tokenizer = trained_tokenizer(corpus, vocabulary)
            tokenizer.save(str(building / "tokenizer.json"))
            for part, text in corpus.parts.items():
                np.save(building / f"{part}.npy", encode(tokenizer, text).astype(np.uint16))
            publish(building, folder)
    return folder


def _save_tokenizer(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context}
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=2) + "\n")


@contextmanager
def _lock(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a lock on a file (POSIX); False when somebody else holds it and we do not wait. It falls with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        yield True


def _bars(shown: bool) -> AbstractContextManager[Progress]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns) if shown else nullcontext(Progress(*columns, disable=True))
