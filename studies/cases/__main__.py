"""Make the two example cases: `python -m studies.cases [--only true|false] [--output DIR] [--keep DIR]`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from studies.cases.casework import Accusation, Casework, fingerprint, now
from studies.cases.models import FALSE_SUSPECT, REFERENCE, TRUE_SUSPECT, norm_cosine, zoo
from studies.zoo import Zoo

OUTPUT = Path(__file__).resolve().parents[2] / "examples" / "cases"
ACCUSATIONS = {
    "true": Accusation("true", TRUE_SUSPECT, "Example for practice, first: was Birch made from Alder?"),
    "false": Accusation(
        "false", FALSE_SUSPECT, "Example for practice, second: was Birch made from Alder?", answered=True
    ),
}


def main(arguments: list[str] | None = None) -> int:
    """Parse, train what is missing, make the cases."""
    parser = argparse.ArgumentParser(prog="python -m studies.cases", description=__doc__)
    parser.add_argument("--only", choices=sorted(ACCUSATIONS), help="one of the two cases")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="where the cases are put")
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="make them in DIR and leave models, answers and keys there, to try things out",
    )
    asked = parser.parse_args(arguments)
    say = _clock()
    models = zoo(say)
    say("cosine of the norm vectors, reference and suspect: opposite truths, the same figure")
    for name, accusation in ACCUSATIONS.items():
        cosine = norm_cosine(models[REFERENCE], models[accusation.suspect])
        say(f"    {name:>5}: {cosine:.4f}  ({models.relation(REFERENCE, accusation.suspect)})")
    for name in [asked.only] if asked.only else ACCUSATIONS:
        say(f"the case '{name}'")
        _make(ACCUSATIONS[name], models, asked.output, asked.keep, say)
    return 0


def _make(accusation: Accusation, models: Zoo, output: Path, keep: Path | None, say: Callable[[str], None]) -> None:
    """In a folder of its own, so that nothing in the case tells where it was made; then copied to `output`."""
    with tempfile.TemporaryDirectory(prefix="filiation-example-") as scratch:
        place = (keep or Path(scratch)) / f"making-{accusation.name}"
        place.mkdir(parents=True)
        for made in Casework(accusation, models, place, say).made(now()):
            _put(made, output / made.name)
            (output / f"{made.name}.fingerprint").write_text(f"{fingerprint(made)}\n")
            size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
            say(f"{output / made.name}: {size / 1e6:.1f} MB")
        shutil.copyfile(place / "authority.pem", output / f"{accusation.name}.authority.pem")


def _put(made: Path, target: Path) -> None:
    if (target / "case.json").exists():
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(made, target, ignore=shutil.ignore_patterns(".lock"))


def _clock() -> Callable[[str], None]:
    started = time.monotonic()

    def say(what: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:6.1f} s  {what}\n")
        sys.stdout.flush()

    return say


if __name__ == "__main__":
    sys.exit(main())
