"""Make the example cases: `python -m studies.cases [--only true|false|planted] [--output DIR] [--keep DIR]`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from studies.cases import planted
from studies.cases.casework import Accusation, Casework, fingerprint, now
from studies.cases.models import FALSE_SUSPECT, REFERENCE, TRUE_SUSPECT, norm_cosine, zoo
from studies.zoo import Zoo

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "examples" / "cases"
CACHE = ROOT / ".cache" / "planted-case"
ACCUSATIONS = {
    "true": Accusation("true", TRUE_SUSPECT, "Example for practice, first: was Birch made from Alder?"),
    "false": Accusation(
        "false", FALSE_SUSPECT, "Example for practice, second: was Birch made from Alder?", answered=True
    ),
}
CASES = (*ACCUSATIONS, planted.NAME)
Say = Callable[[str], None]


def main(arguments: list[str] | None = None) -> int:
    """Parse, train what is missing, make the cases."""
    parser = argparse.ArgumentParser(prog="python -m studies.cases", description=__doc__)
    parser.add_argument("--only", choices=sorted(CASES), help="one of the cases")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="where the cases are put")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="make them in DIR and leave models, answers and keys there, to try things out",
    )
    asked = parser.parse_args(arguments)
    say = _clock()
    names = [asked.only] if asked.only else CASES
    accused = [name for name in names if name in ACCUSATIONS]
    models = _models(say) if accused else None
    for name in names:
        say(f"the case '{name}'")
        _make(name, models, asked.output, asked.keep, say)
    return 0


def _models(say: Say) -> Zoo:
    models = zoo(say)
    say("cosine of the norm vectors, reference and suspect: opposite truths, the same figure")
    for name, accusation in ACCUSATIONS.items():
        cosine = norm_cosine(models[REFERENCE], models[accusation.suspect])
        say(f"    {name:>5}: {cosine:.4f}  ({models.relation(REFERENCE, accusation.suspect)})")
    return models


def _make(name: str, models: Zoo | None, output: Path, keep: Path | None, say: Say) -> None:
    """In a folder of its own, so that nothing in the case tells where it was made; then copied to `output`."""
    with tempfile.TemporaryDirectory(prefix="filiation-example-") as scratch:
        place = (keep or Path(scratch)) / f"making-{name}"
        place.mkdir(parents=True)
        for made in _cases(name, models, place, say):
            _put(made, output / made.name)
            (output / f"{made.name}.fingerprint").write_text(f"{fingerprint(made)}\n")
            size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
            say(f"{output / made.name}: {size / 1e6:.1f} MB")
        shutil.copyfile(place / "authority.pem", output / f"{name}.authority.pem")


def _cases(name: str, models: Zoo | None, place: Path, say: Say) -> Iterable[Path]:
    if models is None or name == planted.NAME:
        shutil.copytree(planted.exhibits_of(CACHE, say, now), place, dirs_exist_ok=True)
        return planted.Planted(name, place, say).made(now)
    return Casework(name, place, say, ACCUSATIONS[name], models).made(now())


def _put(made: Path, target: Path) -> None:
    if (target / "case.json").exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(made, target, ignore=shutil.ignore_patterns(".lock"))


def _clock() -> Say:
    started = time.monotonic()

    def say(what: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:6.1f} s  {what}\n")
        sys.stdout.flush()

    return say


if __name__ == "__main__":
    sys.exit(main())
