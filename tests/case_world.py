"""A small dispute: trained tokenizers and recorded answers of simulated models, under names that must not leak.

`ours` is the reference; `Wombat-7B` the suspect: its tokenizer is a shorter training on the same text, and its answers are those of
a model distilled from ours. `Quokka` and `Numbat` are strangers, candidates for the line-up; `Bilby` shares the suspect's
text. The rest are controls.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from filiation.cli.case import app
from filiation.cli.program import leave_with_exit_code
from tests.cli.tokenizer_folders import train
from tests.exhibits import simulated

CALLED = {
    "lab-2-a": ("ours", "ours", "our lab"),
    "lab-4-a, distilled": ("Wombat-7B", "wombat", "Wombat Works"),
    "lab-9-a": ("Quokka", "quokka", "Quokka House"),
    "lab-9-b": ("Numbat", "numbat", "Numbat House"),
}
CONTROLS = tuple(f"lab-{lab}-{model}" for lab in (1, 3, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16) for model in "ab")
SECRET_NAMES = ("Wombat", "wombat", "Quokka", "quokka", "Numbat", "numbat")

PLAN = """
prepared_by = "the claimant's expert"
reference = "ours"
suspect = "Wombat-7B"
examiners = ["tokenizer", "verbatim"]

[[controls]]
exhibit = "other"
lineage = "odd files"
{controls}

[line_up]
foils = 1
matched_on = ["tokenizer"]

[[line_up.pool]]
exhibit = "Quokka"
[[line_up.pool]]
exhibit = "Numbat"

[announcement]
basis = "claimant"
seed = "{seed}"

[parameters.verbatim]
packs = "none"
"""
SEED = "5a" * 32


@dataclass(frozen=True)
class Dispute:
    """Where the exhibits lie: folders of models, and one file of recorded answers."""

    place: Path

    @property
    def answers(self) -> Path:
        return self.place / "answers.parquet"

    def folder(self, name: str) -> Path:
        return self.place / "models" / name

    def recorded(self, name: str) -> str:
        return f"transcripts:{self.answers}#{name}"

    def plan(self, controls: tuple[str, ...] = CONTROLS[:3]) -> str:
        return PLAN.format(seed=SEED, controls="\n".join(f'[[controls]]\nexhibit = "{name}"' for name in controls))


def made(place: Path) -> Dispute:
    """Train and record everything."""
    found = Dispute(place)
    (place / "models").mkdir(parents=True)
    train(found.folder("ours"), first=0, step=2)
    train(found.folder("Wombat-7B"), first=0, step=2, vocabulary=1200)
    train(found.folder("other"), first=1, step=2)
    train(found.folder("Quokka"), first=1, step=3)
    train(found.folder("Numbat"), first=2, step=3)
    frame = simulated().frame([*CALLED, *CONTROLS])
    frame = frame.filter(pl.col("item").str.starts_with("simulated-open"))
    for model, (name, lineage, lab) in CALLED.items():
        here = pl.col("model") == model
        frame = frame.with_columns(
            pl.when(here).then(pl.lit(lineage)).otherwise("lineage").alias("lineage"),
            pl.when(here).then(pl.lit(lab)).otherwise("lab").alias("lab"),
            pl.when(here).then(pl.lit(name)).otherwise("model").alias("model"),
        )
    frame.write_parquet(found.answers)
    return found


def run(*words: object) -> int:
    """The exit code of `filiation case ...`."""
    with pytest.raises(SystemExit) as left:
        leave_with_exit_code(lambda: app(args=[str(word) for word in words], prog_name="filiation case"), debug=False)
    return int(left.value.code or 0)


def done(*words: object) -> None:
    """`filiation case ...`, which must succeed."""
    assert run(*words) == 0, words


def process(*words: object, **options: object) -> subprocess.Popen[bytes]:
    """`filiation case ...` as a process of its own, to be killed."""
    code = "import sys; from filiation.cli.case import app; app(args=sys.argv[1:])"
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)], **options)  # type: ignore[call-overload,no-any-return]


def admitted(dispute: Dispute, case: Path, *, inside_limit: str = "64 MB") -> None:
    """All exhibits: folders, with their answers as a second part, and the controls."""
    limit = ("--inside-limit", inside_limit)
    attribute = ("--attribute", "tokenizer=bpe")
    for name, role in (
        ("ours", "reference"),
        ("Wombat-7B", "suspect"),
        ("Quokka", "candidate"),
        ("Numbat", "candidate"),
    ):
        lineage = ("--lineage", {called: line for called, line, _ in CALLED.values()}[name])
        done("admit", case, dispute.folder(name), "--role", role, *attribute, *lineage, *limit)
        done("admit", case, dispute.recorded(name), "--as", f"{name}/answers", "--role", role, *lineage, *limit)
    done("admit", case, dispute.folder("other"), "--role", "control", *limit)
    for name in CONTROLS[:3]:
        done("admit", case, dispute.recorded(name), "--role", "control", *limit)


def opened(place: Path) -> Path:
    """A key, and a case under it; FILIATION_KEY must name `place / "key.pem"`."""
    done("key", place / "key.pem")
    done("open", place / "case", "--title", "Ours and theirs")
    return place / "case"


def planned(dispute: Dispute, place: Path) -> Path:
    """A case up to the draw."""
    case = opened(place)
    admitted(dispute, case)
    (place / "plan.toml").write_text(dispute.plan())
    done("plan", case, place / "plan.toml")
    done("draw", case)
    return case
