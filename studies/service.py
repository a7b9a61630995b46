"""Is this service that model? What runtimes do to answers, what other models do, and how many requests a decision takes.

    python -m studies.service                    recordings are made once and kept under .cache/service (an hour or more)
    python -m studies.service --recorded-only    with the recordings that are there; what is missing is listed

1.  Tolerances. Fixed before any figure of this study, from number formats (docs/examiners/service.md): a bfloat16 logit between 16
    and 32 is a multiple of 1/8, so a choice that is clear by 1/2 nat is out of rounding's reach, near ties are not, and an answer's
    first 32 letters hold a near tie less often than every other time.
2.  Counted on the members of the zoo: the same weights in several ways of running them (strangers of the null: those that exceed
    the tolerance, by lineage), and other weights (relatives: how often they are told apart).
3.  Judged once on SmolLM2, no figure of which entered anything: against itself in other ways of running it and served by
    `transformers serve`, its int4 and int8 copies, a fine-tune, a hidden system prompt, and a member of the zoo.

Writes the register (`src/filiation/calibration/service.json`) and `studies/results/service.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from filiation.evidence import Absent, Coincidences, Null, RelationPower
from filiation.examiners import service
from filiation.examiners.examiner import Subject
from filiation.sources.transcripts import Transcript
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from filiation.statistics.two_samples import permutation_p_value
from studies.service_recordings import (
    CACHE,
    CODE_PROMPTS,
    PROMPTS,
    WAYS,
    Model,
    NotRecorded,
    Way,
    fine_tuned_folder,
    folder_model,
    recorded,
    requantised_folder,
    smollm2_folder,
)
from studies.zoo import build

ROOT = Path(__file__).parent.parent
REGISTER = ROOT / "src" / "filiation" / "calibration" / "service.json"
RESULTS = ROOT / "studies" / "results" / "service.json"
DATE = "2026-11-21"
DETECTION_LOG10_P = -3.0
TOLERANCE = {
    service.SAMPLES.id: 0.65,
    service.ANSWERS.id: 0.5,
    service.MARGINS.id: 0.1,
    service.LOG_PROBABILITIES.id: 0.1,
}
"""The chance of each coincidence: 1/2 + 0.15 for pairs of sampled answers, epsilon itself for the others."""

TOGETHER = Way("float32, sixteen together", batch=16)
IN_BFLOAT16 = Way("bfloat16", dtype="bfloat16", batch=16)
FOUNDERS = ("base-a", "base-b", "base-c", "base-d", "base-other-shape", "qwen2-a", "qwen2-b", "gpt2-a", "gpt2-b")
RELATIVES = {
    "quantised to 4 bits": (("base-a", "int4"), ("qwen2-a", "qwen2-int4"), ("gpt2-a", "gpt2-int4")),
    "fine-tune": (
        ("base-a", "fine-tuned"),
        ("base-b", "long-b"),
        ("base-c", "long-c"),
        ("qwen2-a", "qwen2-fine-tuned"),
        ("gpt2-a", "gpt2-fine-tuned"),
    ),
    "pruned by half": (("base-a", "pruned-half"), ("base-b", "half-b")),
    "quantised to 8 bits": (("base-a", "int8"),),
    "another model": tuple(zip(FOUNDERS, (*FOUNDERS[1:], FOUNDERS[0]), strict=True)),
}
GREEDY: dict[str, Any] = {"temperature": 0, "samples": 1, "tokens": 64, "prompts": CODE_PROMPTS}
SAMPLED: dict[str, Any] = {"temperature": 1.0, "samples": 4, "tokens": 64, "prompts": CODE_PROMPTS[:50]}
JUDGED: dict[str, Any] = {"temperature": 0, "samples": 1, "tokens": 32, "prompts": PROMPTS[:60]}
JUDGED_SAMPLED: dict[str, Any] = {"temperature": 1.0, "samples": 4, "tokens": 24, "prompts": PROMPTS[:50]}
SERVED_PROMPTS = PROMPTS[:40]
Counts = dict[str, dict[str, dict[str, tuple[int, int]]]]
"""Group, member or way, test: coincidences and opportunities."""
NOTHING: dict[str, Any] = {"greedy": [], "told_apart": []}


class Recorded:
    """A recording as a source, for the examiner."""

    def __init__(self, frame: pl.DataFrame, name: str) -> None:
        self.name, self.location, self.format = name, "", "transcript"
        self._transcript = Transcript(frame)
        self.lineage_id = self._transcript.lineage

    def transcript(self) -> Transcript:
        return self._transcript


def content_of(reference: pl.DataFrame, suspect: pl.DataFrame, seed: int = 0) -> dict[str, Any]:
    """What the examiner records of two recordings."""
    subjects = []
    for frame, name in ((reference, "reference"), (suspect, "suspect")):
        source: Any = Recorded(frame, name)
        seen = service.observe(source)
        assert not isinstance(seen, Absent), seen
        subjects.append(Subject(source=source, observation=seen))
    related = service.relate(subjects[0], subjects[1], seed)
    assert not isinstance(related, Absent), related
    return related.content


def counts(content: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Coincidences and opportunities of each test."""
    return {test.id: service.counted(test, content) for test in service.TESTS}


def log10_p(test: str, count: int, opportunities: int) -> float:
    if not opportunities:
        return 0.0
    return log10_upper_tail(Coincidences(count=count, opportunities=opportunities, chance=TOLERANCE[test]))


def requests_to_decision(test: Any, content: Mapping[str, Any], each: int = 10) -> dict[str, int | None]:
    """Prompts (in `samples`: pairs of answers) until log10 p <= -3: for a number fixed before, and looking after every ten."""
    key = "told_apart" if test.id == service.SAMPLES.id else "greedy"
    whole = list(content[key])
    tails = []
    for number in range(1, len(whole) + 1):
        part = dict(content) | {key: whole[:number]}
        tails.append(log10_p(test.id, *service.counted(test, part)))
    looks = range(each, len(whole) + 1, each)
    paid = DETECTION_LOG10_P - math.log10(max(1, len(looks)))
    fixed = next((at for at in range(1, len(tails) + 1) if max(tails[at - 1 :]) <= DETECTION_LOG10_P), None)
    return {
        "from which number on every fixed number decides": fixed,
        "looking after every ten, paid for": next((look for look in looks if tails[look - 1] <= paid), None),
    }


# ----------------------------------------------------------------------------------------------------------- the server


def served_answers(name: str, folder: Path, prompts: Sequence[str], tokens: int, *, make: bool = True) -> pl.DataFrame:
    """The answers of `transformers serve FOLDER` at temperature 0, through the package's own client; recorded once."""
    from filiation.sources.endpoints.asking import Conduct, ask
    from filiation.sources.endpoints.exchange import Parameters, Question
    from filiation.sources.endpoints.location import endpoint_at
    from filiation.sources.endpoints.recorder import Recorder, transcript_of
    from studies.serving import prepared, served

    file = CACHE / "served" / f"{name}-{len(prompts)}x{tokens}.parquet"
    if not file.exists():
        if not make:
            raise NotRecorded(file.stem)
        file.parent.mkdir(parents=True, exist_ok=True)
        raw = file.with_suffix(".jsonl")
        raw.unlink(missing_ok=True)  # the server's address changes from run to run
        with served(prepared(folder, CACHE / f"{folder.name}-to-serve")) as server, Recorder(raw) as recorder:
            endpoint = endpoint_at(server.chat)
            asked = ask(
                endpoint,
                [Question(prompt=prompt) for prompt in prompts],
                Parameters(temperature=0.0, max_tokens=tokens),
                recorder,
                rng=np.random.default_rng(0),
                conduct=Conduct(concurrency=1),
            )
            assert asked.summary.ended == "all asked", asked.summary
            frame = transcript_of(recorder.recording, names={endpoint.location: name})
        part = file.with_suffix(f".{os.getpid()}")
        frame.write_parquet(part)
        part.rename(file)
    return pl.read_parquet(file)


# ------------------------------------------------------------------------------------------------------------- the study


def zoo_models() -> Callable[[str], Model]:
    zoo = build("test", device="cpu")
    return lambda name: folder_model(name, zoo.tree.members[name].lineage_id, zoo[name], chat=False)


@dataclass
class Study:
    """The recordings that are compared. `make`: record what is missing; else it is listed in `missing`."""

    make: bool
    missing: list[str] = field(default_factory=list)

    def compared(self, one: Callable[[], pl.DataFrame], other: Callable[[], pl.DataFrame]) -> dict[str, Any] | None:
        try:
            return content_of(one(), other())
        except NotRecorded as lacking:
            self.missing.append(str(lacking))
            return None

    def of(self, model: Model, way: Way, settings: Mapping[str, Any], seed: int = 0) -> Callable[[], pl.DataFrame]:
        return lambda: recorded(model, way, seed=seed, make=self.make, **settings)

    def same_weights(self, model: Callable[[str], Model]) -> Counts:
        """Per founder and way of running it, the counts of each test against the reference way."""
        found: Counts = {}
        for name in FOUNDERS:
            ways = {
                way.name: self.compared(self.of(model(name), TOGETHER, GREEDY), self.of(model(name), way, GREEDY))
                for way in WAYS[:3]
            }
            ways["bfloat16, sampled"] = self.compared(
                self.of(model(name), TOGETHER, SAMPLED, 1), self.of(model(name), IN_BFLOAT16, SAMPLED, 3)
            )
            found[name] = {way: counts(content) for way, content in ways.items() if content is not None}
        return found

    def other_weights(self, model: Callable[[str], Model]) -> Counts:
        found: Counts = {}
        for relation, pairs in RELATIVES.items():
            for parent, child in pairs:
                seed = 1 if child in FOUNDERS else 4
                contents = [
                    self.compared(self.of(model(parent), TOGETHER, GREEDY), self.of(model(child), TOGETHER, GREEDY)),
                    self.compared(
                        self.of(model(parent), TOGETHER, SAMPLED, 1), self.of(model(child), TOGETHER, SAMPLED, seed)
                    ),
                ]
                both: dict[str, tuple[int, int]] = {}
                for content in contents:
                    both |= {
                        test: seen for test, seen in counts(content or NOTHING).items() if seen[1] or test not in both
                    }
                found.setdefault(relation, {})[f"{parent} | {child}"] = both
        return found

    def judged(self) -> dict[str, Any]:
        """SmolLM2 against each suspect: counts, log10 p and requests to decision."""
        folders = {
            "smollm2": smollm2_folder(),
            "smollm2-int4": requantised_folder("Q4_0"),
            "smollm2-int8": requantised_folder("Q8_0"),
            "smollm2-fine-tuned": fine_tuned_folder(),
        }
        own, four, eight, tuned = (folder_model(name, "smollm2", at, chat=True) for name, at in folders.items())
        hidden = folder_model(
            "smollm2-with-system-prompt", "smollm2", smollm2_folder(), chat=True, system="Answer as briefly as you can."
        )

        def at_the_server(name: str) -> Callable[[], pl.DataFrame]:
            return lambda: served_answers(name, folders[name], SERVED_PROMPTS, 32, make=self.make)

        suspects = {
            "itself, served by transformers serve (float32, one by one)": at_the_server("smollm2"),
            "itself in bfloat16": self.of(own, IN_BFLOAT16, JUDGED),
            "its int8 copy": self.of(eight, TOGETHER, JUDGED),
            "its int4 copy": self.of(four, TOGETHER, JUDGED),
            "its int4 copy, served": at_the_server("smollm2-int4"),
            "a fine-tune of it": self.of(tuned, TOGETHER, JUDGED),
            "a fine-tune of it, served": at_the_server("smollm2-fine-tuned"),
            "itself behind a system prompt that is not recorded": self.of(hidden, TOGETHER, JUDGED),
        }
        found: dict[str, Any] = {}
        for name, suspect in suspects.items():
            content = self.compared(self.of(own, TOGETHER, JUDGED), suspect)
            found[name] = "not recorded" if content is None else _told(content)
        sampled = self.of(own, TOGETHER, JUDGED_SAMPLED, 1)
        for name, model, way, seed in (
            ("itself in bfloat16, sampled", own, IN_BFLOAT16, 3),
            ("its int4 copy, sampled", four, TOGETHER, 4),
            ("a fine-tune of it, sampled", tuned, TOGETHER, 5),
        ):
            suspect = self.of(model, way, JUDGED_SAMPLED, seed)
            content = self.compared(sampled, suspect)
            found[name] = "not recorded"
            if content is not None:
                found[name] = _told(content) | {
                    "permutation test, p with epsilon 0 and .15": _permuted(sampled(), suspect())
                }
        return found


def _told(content: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for test in service.TESTS:
        count, opportunities = service.counted(test, content)
        if opportunities:
            told[test.id] = {
                "count": count,
                "opportunities": opportunities,
                "log10 p": round(log10_p(test.id, count, opportunities), 2),
            } | requests_to_decision(test, content)
    return told


def _permuted(reference: pl.DataFrame, suspect: pl.DataFrame) -> list[float]:
    """The stratified permutation test on the share of words in common (Jaccard), for comparison."""
    strata = []
    for prompt in reference["prompt_id"].unique(maintain_order=True):
        texts = [t for frame in (reference, suspect) for t in frame.filter(pl.col("prompt_id") == prompt)["text"]]
        words = [set(text.lower().split()) for text in texts]
        strata.append(np.array([[len(a & b) / max(1, len(a | b)) for b in words] for a in words]))
    rng = np.random.default_rng(0)
    return [round(permutation_p_value(strata, distance, rng), 4) for distance in (0.0, 0.15)]


def register(same: Counts, other: Counts) -> Calibration:
    entries = []
    for test in service.TESTS:
        chance = TOLERANCE[test.id]
        shares = {
            name: max((k / n for way in ways.values() for k, n in [way[test.id]] if n), default=0.0)
            for name, ways in same.items()
        }
        tests = sum(way[test.id][1] > 0 for ways in same.values() for way in ways.values())
        relatives = []
        for relation, pairs in other.items():
            detected = {
                pair: log10_p(test.id, *found[test.id]) <= DETECTION_LOG10_P
                for pair, found in pairs.items()
                if found[test.id][1]
            }
            relatives.append(RelationPower(relation=relation, detected=sum(detected.values()), lineages=len(detected)))
        entries.append(
            RegisterEntry(
                test=test.id,
                null=Null.MODEL,
                formula_version=service.VERSION,
                chance=chance,
                detection_log10_p=DETECTION_LOG10_P,
                validated_for=("transcript",),
                strangers=(
                    StrangerCount(
                        kind="the same weights run in another way, by lineage",
                        lineages=len(shares),
                        exceeding=sum(share > chance for share in shares.values()),
                        tests=tests,
                        largest_share=round(max(shares.values()), 6),
                    ),
                ),
                relatives=tuple(relatives),
                calibrated_on=f"{len(shares)} founders of the test zoo in {', '.join(way.name for way in (TOGETHER, *WAYS[:3]))}",
                date=DATE,
                tried=TRIED,
                made_by="studies/service.py",
            )
        )
    return Calibration(examiner=service.NAME, entries=tuple(entries))


TRIED = (
    "whole answers at temperature 0: two runs of SmolLM2 in other number types part within 32 tokens in most answers (seen on six "
    "prompts before the tolerances were fixed), so that no tolerance below 1 would hold",
    "tolerances fixed from the zoo alone: after English questions its members answer with white space, and nothing parts; after "
    "code they are far shallower than served models: the zoo can refute a tolerance, not set one",
    "a permutation test stratified by prompt, made robust by coupling: the allowance for epsilon = .15 eats all of its power",
)


def _shares(found: Counts) -> dict[str, Any]:
    return {
        group: {name: {test: f"{k} of {n}" for test, (k, n) in tests.items() if n} for name, tests in members.items()}
        for group, members in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recorded-only", action="store_true", help="make no recording")
    study = Study(make=not parser.parse_args().recorded_only)
    model = zoo_models()
    same, other = study.same_weights(model), study.other_weights(model)
    calibration = register(same, other)
    REGISTER.write_bytes(msgspec.json.format(msgspec.json.encode(calibration, order="deterministic"), indent=1) + b"\n")
    results = {
        "tolerance": TOLERANCE,
        "the same weights in other ways (zoo)": _shares(same),
        "other weights (zoo)": _shares(other),
        "SmolLM2, judged once": study.judged(),
        "not recorded": study.missing,
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
