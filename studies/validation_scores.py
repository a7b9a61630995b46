"""Gather the scores of pairs of known history that the studies kept, for the pictures in reports of cases.

python -m studies.validation_scores           write src/filiation/report/validation/*.json
python -m studies.validation_scores --check   end with an error where a file is not what the results give

1. Read the committed results (`studies/results/*.json`) and the register of nulls (`src/filiation/calibration/*.json`).
2. Per entry of the register: every pair's relation, lineages, share or rank, and p, as the study wrote them down.
3. Hold the counts by lineage that the scores give against the register's own, where the study kept every pair.
4. The likelihood ratio that each pair would have been given, had its own lineages not been counted.
5. Where a study kept counts only, write a file without scores that says so. Nothing is drawn, simulated or interpolated.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from filiation.evidence import Absent, Coincidences, RelationPower, round_against_accuser
from filiation.report.case_validation import Score, Validation
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.likelihood import LineageCounts, likelihood_ratio
from filiation.statistics.register import Calibration, RegisterEntry
from studies.weights import UNCLAIMED, UNGATED

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "studies" / "results"
REGISTER = ROOT / "src" / "filiation" / "calibration"
TARGET = ROOT / "src" / "filiation" / "report" / "validation"

NO_STRANGERS = (
    "the study kept single pairs of relatives only, of the strangers counts by lineage, so that one curve is missing"
)
COUNTS_ONLY = "the study kept counts by lineage and no scores of single pairs, so that there is nothing to draw"

Reader = Callable[[RegisterEntry, Mapping[str, Any]], Iterator[Score]]


# -------------------------------------------------------------------------------------------------- scores of each study


def of_weights(entry: RegisterEntry, results: Mapping[str, Any]) -> Iterator[Score]:
    """Pairs of the zoo; who is no relative and no stranger (students, what a test does not claim) is kept apart."""
    test, mlp = entry.test.split(":")
    for pair in results["pairs"]:
        if pair["first"].startswith(UNGATED) != (mlp == "ungated") or test not in pair["tests"]:
            continue
        seen = pair["tests"][test]
        yield Score(
            relation=pair["kind"],
            kind=_kind_in_zoo(test, pair),
            lineages=_lineages_in_zoo(pair),
            value=round(seen["count"] / seen["opportunities"], 6),
            log10_p=seen["log10_p"] + 0.0,
        )


def _kind_in_zoo(test: str, pair: Mapping[str, Any]) -> Any:
    if pair["group"] in ("relative", "sibling"):
        return "neither" if pair["kind"] in UNCLAIMED.get(test, ()) else "relative"
    frozen = test == "weights.dimension-index" and "embeddings" in pair["kind"]
    return "stranger" if pair["group"] in ("stranger", "hard stranger") and not frozen else "neither"


def _lineages_in_zoo(pair: Mapping[str, Any]) -> tuple[str, ...]:
    """The founder first, then whoever else took part in a merge; of strangers both."""
    both = pair["lineages"].split("|")
    if pair["group"] not in ("relative", "sibling"):
        return tuple(sorted(set(both)))
    return tuple(dict.fromkeys((pair["first"], *(name for side in both for name in side.split("+")))))


def of_tokenizers(entry: RegisterEntry, results: Mapping[str, Any]) -> Iterator[Score]:
    """Public tokenizers and those trained here, in both roles. The copies that were made keep counts only."""
    name, algorithm = entry.test.removeprefix("tokenizer.").split(":")
    measured = {"merge-order": "order", "token-ids": "ids"}.get(name)
    if measured is None or entry.chance is None:
        return
    pairs = [(pair, *_of_public(pair)) for pair in results["pairs"]] if algorithm == "bpe" else []
    pairs += [(pair, "trained here on other text", "stranger", tuple(pair["pair"].split(" and ")))
              for pair in results["trained_here"][algorithm]["strangers"]]  # fmt: skip
    for pair, relation, kind, lineages in pairs:
        for count, opportunities in pair[measured]:
            seen = Coincidences(count=count, opportunities=opportunities, chance=entry.chance)
            yield Score(
                relation=relation,
                kind=kind,
                lineages=tuple(sorted(set(lineages))),
                value=round(count / opportunities, 6),
                log10_p=round_against_accuser(min(0.0, log10_upper_tail(seen)), accuses_when="small"),
            )


def _of_public(pair: Mapping[str, Any]) -> tuple[str, Any, tuple[str, ...]]:
    related = ("related by documents", "relative") if pair["related"] else ("public tokenizers", "stranger")
    return (*related, tuple(pair["lineages"]))


def of_architecture(_: RegisterEntry, results: Mapping[str, Any]) -> Iterator[Score]:
    """Documented derivatives, ranked among public designs."""
    with (REGISTER / "public_configurations.csv").open(encoding="utf-8", newline="") as file:
        lineage_of = {row["model"]: row["lineage"] for row in csv.DictReader(file)}
    for row in results["relatives"]:
        yield _ranked("fine-tuned or continued, both designs public", (lineage_of.get(row["parent"], ""),), row["p"])


def of_shared_errors(entry: RegisterEntry, results: Mapping[str, Any]) -> Iterator[Score]:
    """Relatives pair by pair, by their place among the control lineages."""
    multiple_choice = entry.test == "shared_errors.multiple-choice"
    for row in results["relatives, pair by pair"]:
        if (row["benchmark"] == "mmlu_pro") == multiple_choice:
            yield _ranked(row["relation"], (row["lineage"],), row["place"] / row["of"])


def of_verbatim(entry: RegisterEntry, results: Mapping[str, Any]) -> Iterator[Score]:
    """Correctors and ensembles around the reference; the lineages are those of the models around which they stand."""
    wrapped = next((v for k, v in results[entry.test].items() if k.startswith("wrappers:")), {})
    for pair, (_, p, _) in wrapped.items():
        yield _ranked("corrector or ensemble around the reference", (pair.split(" | ")[0],), p)


def of_teacher(entry: RegisterEntry, results: Mapping[str, Any]) -> Iterator[Score]:
    """Students of a known teacher or vendor; the study did not keep their lineages beside them."""
    claimed = {power.relation for power in entry.relatives}
    for relation, row in results[entry.test].items():
        scores = row.get("p, control lineages, score", {}) if isinstance(row, dict) else {}
        for p, _, _ in scores.values():
            yield _ranked(relation, (), p, kind="relative" if relation in claimed else "neither")


def of_service(entry: RegisterEntry, results: Mapping[str, Any]) -> Iterator[Score]:
    """The same weights run in other ways are the strangers of this question; other weights are what it looks for."""
    for founder, ways in results["the same weights in other ways (zoo)"].items():
        for way, tests in ways.items():
            yield from _differences(entry, tests, way, "stranger", founder)
    for relation, pairs in results["other weights (zoo)"].items():
        for pair, tests in pairs.items():
            yield from _differences(entry, tests, relation, "relative", pair.split(" | ")[0])


def _differences(
    entry: RegisterEntry, tests: Mapping[str, str], relation: str, kind: Any, lineage: str
) -> Iterator[Score]:
    if entry.test in tests and entry.chance is not None:
        count, opportunities = map(int, tests[entry.test].split(" of "))
        tail = log10_upper_tail(Coincidences(count=count, opportunities=opportunities, chance=entry.chance))
        yield Score(
            relation=relation,
            kind=kind,
            lineages=(lineage,),
            value=round(count / opportunities, 6),
            log10_p=round_against_accuser(min(0.0, tail), accuses_when="small"),
        )


def _ranked(relation: str, lineages: tuple[str, ...], p: float, kind: Any = "relative") -> Score:
    log10_p = round_against_accuser(min(0.0, math.log10(p)), accuses_when="small")
    return Score(relation=relation, kind=kind, lineages=lineages, value=-log10_p + 0.0, log10_p=log10_p)


SOURCES: dict[str, tuple[str, Reader | None]] = {
    "architecture": ("architecture", of_architecture),
    "tokenizer": ("tokenizers", of_tokenizers),
    "weights": ("weights", of_weights),
    "service": ("service", of_service),
    "shared_errors": ("shared_errors", of_shared_errors),
    "teacher": ("teacher", of_teacher),
    "verbatim": ("verbatim", of_verbatim),
    "text_kinship": ("text_kinship", None),
}
"""Examiner -> its study's results, and what reads them; None where they hold no score of a single pair."""


# ---------------------------------------------------------------------------------------------------- held out, and held to


def recounted(scores: Iterable[Score], threshold: float) -> tuple[RelationPower, ...]:
    """Relations by the founder's lineage, as the registers count them: found where every pair of the lineage is."""
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for score in scores:
        if score.kind == "relative" and score.log10_p is not None:
            lineages = found[score.relation]
            lineages[score.lineages[0]] = lineages.get(score.lineages[0], True) and score.log10_p <= threshold
    return tuple(
        RelationPower(relation=relation, detected=sum(lineages.values()), lineages=len(lineages))
        for relation, lineages in found.items()
    )


def broken(entry: RegisterEntry, scores: Sequence[Score]) -> list[str]:
    """Where the scores and the register differ, of a study that kept every pair."""
    registered = {power.relation: power for power in entry.relatives}
    counted = {power.relation: power for power in recounted(scores, entry.detection_log10_p)}
    strangers = {lineage for score in scores if score.kind == "stranger" for lineage in score.lineages}
    problems = [f"{entry.test}: {name}" for name in registered | counted if registered.get(name) != counted.get(name)]
    if len(strangers) != sum(count.lineages for count in entry.strangers):
        problems.append(f"{entry.test}: {len(strangers)} stranger lineages")
    return problems


def with_ratio(score: Score, entry: RegisterEntry, scores: Sequence[Score]) -> Score:
    """The score with the likelihood ratio that the others' lineages would have given it.

    As for a case: the claimed relation found least often stands for all. Where strangers exceeded the chance it is not known
    which did, so nothing is held out and no ratio is given.
    """
    exceeding = sum(count.exceeding for count in entry.strangers)
    if score.kind == "neither" or score.log10_p is None or exceeding:
        return score
    others = [other for other in scores if not set(other.lineages) & set(score.lineages)]
    relations = recounted(others, entry.detection_log10_p)
    if not relations:
        return score
    weakest = min(relations, key=lambda power: ((power.detected + 0.5) / (power.lineages + 1), power.lineages))
    strangers = {lineage for other in others if other.kind == "stranger" for lineage in other.lineages}
    counts = LineageCounts(
        relatives=weakest.lineages,
        relatives_detected=weakest.detected,
        strangers=len(strangers),
        strangers_detected=0,
        strangers_exceeding=0,
    )
    detected = score.log10_p <= entry.detection_log10_p
    ratio = likelihood_ratio(detected, counts, null=entry.null, log10_p=score.log10_p)
    if isinstance(ratio, Absent):
        return score
    return msgspec.structs.replace(score, log10_likelihood_ratio=ratio.log10_value)


# ------------------------------------------------------------------------------------------------------------ the output


def gathered() -> dict[str, Validation]:
    """Every file by name. Raises SystemExit where the scores of a study that kept every pair do not give its register."""
    files: dict[str, Validation] = {}
    problems: list[str] = []
    for examiner, (study, reader) in SOURCES.items():
        data = (RESULTS / f"{study}.json").read_bytes()
        calibration = msgspec.json.decode((REGISTER / f"{examiner}.json").read_bytes(), type=Calibration)
        for entry in calibration.entries:
            scores = tuple(reader(entry, json.loads(data))) if reader else ()
            if examiner in ("weights", "service"):
                problems += broken(entry, scores)
                scores = tuple(with_ratio(score, entry, scores) for score in scores)
            files[f"{entry.test.replace(':', '.')}.json"] = _validation(entry, scores, study, data)
    if problems:
        raise SystemExit("the scores do not give the register's counts:\n  " + "\n  ".join(problems))
    return files


def _validation(entry: RegisterEntry, scores: tuple[Score, ...], study: str, data: bytes) -> Validation:
    kinds = {score.kind for score in scores}
    remark = "" if {"relative", "stranger"} <= kinds else (NO_STRANGERS if "relative" in kinds else COUNTS_ONLY)
    if kinds == {"stranger"}:
        remark = "the study kept single pairs of strangers only, of the relatives counts by lineage, so that one curve is missing"
    return Validation(
        test=entry.test,
        score="-log10 p" if entry.null.value == "population" else "share of coincidences",
        threshold_log10_p=entry.detection_log10_p,
        strangers=sum(count.lineages for count in entry.strangers),
        strangers_exceeding=sum(count.exceeding for count in entry.strangers),
        relatives=entry.relatives,
        scores=scores,
        sources={f"studies/results/{study}.json": hashlib.sha256(data).hexdigest()},
        made_by="python -m studies.validation_scores",
        remark=remark,
    )


def written(validation: Validation) -> bytes:
    """The file's bytes: one score to a line."""
    fields = msgspec.to_builtins(validation)
    told = ({key: value for key, value in score.items() if value is not None} for score in fields.pop("scores"))
    scores = ",\n".join(json.dumps(score, ensure_ascii=False) for score in told)
    head = json.dumps(fields, ensure_ascii=False, indent=1)
    return f'{head[:-2]},\n "scores": [\n{scores}\n]}}\n'.encode()


def main(arguments: Sequence[str]) -> int:
    files = gathered()
    if "--check" in arguments:
        there = {path.name: path.read_bytes() for path in TARGET.glob("*.json")}
        wrong = sorted(
            name for name in there | files if there.get(name) != (written(files[name]) if name in files else None)
        )
        print(
            f"not what the results give: {', '.join(wrong)}"
            if wrong
            else f"{len(files)} files are what the results give"
        )
        return bool(wrong)
    for name, file in files.items():
        (TARGET / name).write_bytes(written(file))
        kinds = ", ".join(f"{len(file.of(kind))} {kind}" for kind in ("relative", "stranger", "neither"))
        print(f"{name}: {kinds}{'; ' + file.remark if file.remark else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
