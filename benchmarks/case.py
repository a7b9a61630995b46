"""What verifying a large case costs: `python -m benchmarks.case [--models 34] [--prompts 30000]`.

    1. Write answers of random words, one Parquet file per model, and beside each the raw exchanges it was made from (JSONL).
    2. `filiation case` from `open` to `close`: every file kept inside the case, a line-up of recorded answers observed and examined.
    3. In a process of its own: all twelve checks, findings judged again and reports rendered again.
    4. Beside it, in the same run: SHA-256 over the same bytes, once with as many threads and once with one.

Random words show cost only, never null or power. Writes benchmarks/results/case.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.line_up import word_of
from benchmarks.scale import computer
from filiation.case.objects import hash_files
from filiation.sources.transcripts import EMPTY, SCHEMA, prompt_id

RESULTS = Path(__file__).parent / "results" / "case.json"
GOAL = {"answers": 1_000_000, "seconds": 60.0, "gigabytes": 2.0}
SENTENCES, WORDS_EACH, SENTENCES_EACH = 50_000, 12, 8
EXAMINERS = ("text_kinship", "verbatim", "teacher", "service")

PLAN = """
prepared_by = "a benchmark"
reference = "model-000"
suspect = "model-001"
examiners = {examiners}
{controls}
[line_up]
foils = 1
[[line_up.pool]]
exhibit = "model-002"
[announcement]
basis = "claimant"
seed = "{seed}"
"""

VERIFY = """
import json, resource, sys, time
from filiation.proceedings.verifying import verify_case
started = time.monotonic()
found = verify_case(sys.argv[1])
seconds = time.monotonic() - started
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({
    "passed": found.passed, "state": found.state, "seconds": round(seconds, 1),
    "processor_seconds": round(usage.ru_utime + usage.ru_stime, 1), "peak_gigabytes": round(usage.ru_maxrss / 1e6, 2),
    "failures": [failure.what for check in found.checks for failure in check.failures],
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", type=int, default=34)
    parser.add_argument("--prompts", type=int, default=30_000, help="prompts to each model")
    arguments = parser.parse_args()
    run = measured(arguments.models, arguments.prompts)
    print(json.dumps(run, indent=1))
    if run["answers"] >= GOAL["answers"]:
        RESULTS.write_text(json.dumps({"computer": computer(), "goal": GOAL, "run": run}, indent=1) + "\n")


def measured(models: int, prompts: int) -> dict[str, Any]:
    place = Path(tempfile.mkdtemp(prefix="case-"))
    try:
        write_answers(place, models, prompts)
        started = time.monotonic()
        case = write_case(place, models)
        made = time.monotonic() - started
        ended = subprocess.run([sys.executable, "-c", VERIFY, str(case)], capture_output=True, text=True, check=True)
        found = json.loads(ended.stdout)
        if not found["passed"]:
            raise SystemExit(f"the case does not verify: {found['failures'][:5]}")
        files = [path for path in case.rglob("*") if path.is_file()]
        return {
            "models": models,
            "answers": models * prompts,
            "files": len(files),
            "megabytes": round(sum(path.stat().st_size for path in files) / 1e6, 1),
            "entries": len((case / "ledger.jsonl").read_bytes().splitlines()),
            "made_seconds": round(made, 1),
            "verify": found,
            "hash_seconds": round(hashing_seconds(files, 2), 2),
            "hash_seconds_one_thread": round(hashing_seconds(files, 1), 2),
            "load_average": round(os.getloadavg()[0], 1),
        }
    finally:
        shutil.rmtree(place)


def write_answers(place: Path, models: int, prompts: int) -> None:
    """`model-NNN.parquet` and `model-NNN.exchanges.jsonl`, every model with its own choice of sentences."""
    rng = np.random.default_rng(0)
    words = np.array([word_of(at) for at in range(20_000)])
    chance = 1.0 / np.arange(1, 20_001)
    cumulative = np.cumsum(chance / chance.sum())
    drawn = np.searchsorted(cumulative, rng.random((SENTENCES, WORDS_EACH))).clip(max=19_999)
    sentences = [" ".join(words[row].tolist()) for row in drawn]
    asked = [f"Task number {number}: tell something." for number in range(prompts)]
    ids = [prompt_id(prompt) for prompt in asked]
    for model in range(models):
        name = f"model-{model:03}"
        chosen = rng.integers(0, SENTENCES, (prompts, SENTENCES_EACH)).tolist()
        texts = [". ".join([sentences[at] for at in row]) for row in chosen]
        told = {
            "model": name,
            "lineage": f"lineage-{model}",
            "lab": f"lab-{model % 12}",
            "prompt_id": ids,
            "text": texts,
        }
        answers = pl.DataFrame({**told, "prompt": asked, "sample": [0] * prompts})
        missing = [pl.lit(EMPTY.get(column)).alias(column) for column in SCHEMA if column not in answers.columns]
        table = answers.with_columns(missing).select(pl.col(column).cast(kind) for column, kind in SCHEMA.items())
        table.sort("prompt_id").write_parquet(place / f"{name}.parquet")
        with (place / f"{name}.exchanges.jsonl").open("w", encoding="utf-8") as file:
            for prompt, text in zip(asked, texts, strict=True):
                file.write(
                    json.dumps({"model": name, "prompt": prompt, "response": {"text": text, "status": 200}}) + "\n"
                )


def write_case(place: Path, models: int) -> Path:
    case, names = place / "case", [f"model-{model:03}" for model in range(models)]
    controls = "".join(f'[[controls]]\nexhibit = "{name}"\n' for name in names[3:])
    plan = PLAN.format(examiners=json.dumps(EXAMINERS), controls=controls, seed="5a" * 32)
    (place / "plan.toml").write_text(plan, encoding="utf-8")
    roles = {names[0]: "reference", names[1]: "suspect", names[2]: "candidate"}
    run(place, "key", place / "key.pem")
    run(place, "open", case, "--title", "A large case")
    for name in names:
        inside = ("--inside-limit", "1 GB")
        location = f"transcripts:{place / name}.parquet#{name}"
        run(place, "admit", case, location, "--as", name, "--role", roles.get(name, "control"), *inside)
        exchanges = place / f"{name}.exchanges.jsonl"
        run(place, "admit", case, exchanges, "--as", f"exchanges of {name}", "--role", "material", *inside)
    run(place, "plan", case, place / "plan.toml")
    for verb in ("draw", "observe", "examine", "reveal", "close"):
        run(place, verb, case)
    return case


def run(place: Path, *words: object) -> None:
    """`filiation case ...` in a process of its own."""
    code = "import sys; from filiation.cli.case import app; app(args=sys.argv[1:])"
    environment = {**os.environ, "FILIATION_KEY": str(place / "key.pem")}
    ended = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, env=environment
    )
    if ended.returncode:
        raise SystemExit(
            f"filiation case {words[0]} ended with {ended.returncode}: {ended.stdout[-500:]}{ended.stderr[-1500:]}"
        )


def hashing_seconds(files: list[Path], workers: int) -> float:
    started = time.monotonic()
    hash_files(files, workers=workers)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
