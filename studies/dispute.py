"""All Claude entries against all Qwen entries of the recorded data: `python -m studies.dispute`. About four minutes on one core.

Every pair is ranked in every line of evidence that the recorded answers allow, by the shipped measures and ranks; Holm over
all of them. The pair that stands highest in each line is judged in full by the shipped examiner, and so are the positive
controls: known correctors, ensembles and students. Figures and sentences go to `studies/results/dispute.json` and
`docs/the-claude-qwen-dispute.md`, which is written by this script alone.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.conclusions import conclude
from filiation.evidence import Finding, Inconclusive, Outcome, Relation, Relations
from filiation.examiners import teacher, text_kinship, verbatim
from filiation.examiners.line_up import Entrant, line_up_content
from filiation.measures import habits, text_features
from filiation.measures import shared_errors as errors
from filiation.measures import verbatim as verbatim_measure
from filiation.measures.habits import closeness, contrasts, shared_openings
from filiation.measures.text_kinship import combined, kinship
from filiation.report.wording import conclusion_title, likelihood_sentence, sentence
from filiation.statistics.line_up import SCALE, rank_among_lineages
from filiation.statistics.merging import holm
from filiation.statistics.register import load as register
from studies import shared_errors as errors_study
from studies.alpaca_eval import AlpacaEval, load
from studies.teacher import answers, entrants, related, teaching_pairs
from studies.verbatim import shared_answers, shared_passages

ROOT = Path(__file__).resolve().parent
RESULTS = ROOT / "results" / "dispute.json"
PAGE = ROOT.parent / "docs" / "the-claude-qwen-dispute.md"
SEED = 5
LEVEL = 0.05
CLAUDE, QWEN = "anthropic", "alibaba"
Matrix = NDArray[np.float64]

POSITIVE = (
    ("gpt4_1106_preview", "aligner-2b_qwen1.5-72b-chat", "corrector, said to wrap Qwen1.5 72B"),
    ("gpt4_1106_preview", "aligner-2b_claude-3-opus-20240229", "corrector, said to wrap Claude 3 Opus"),
    ("Qwen1.5-72B-Chat", "aligner-2b_qwen1.5-72b-chat", "corrector around this model"),
    ("claude-3-opus-20240229", "aligner-2b_claude-3-opus-20240229", "corrector around this model"),
    ("gpt-4-turbo-2024-04-09", "aligner-2b_gpt-4-turbo-2024-04-09", "corrector around this model"),
    ("Qwen1.5-72B-Chat", "Together-MoA-Lite", "ensemble around this model"),
    ("gpt-4-turbo-2024-04-09", "openpipe-moa-gpt-4-turbo-v1", "ensemble around this model"),
)
"""(reference, suspect, what is publicly said of the suspect). The first two were found while these data were looked at."""


@dataclass(frozen=True)
class Line:
    """One line of evidence: the test, and scores[reference, suspect] over all recorded models."""

    test: str
    scores: Matrix
    judge: Callable[[int, int], Outcome]


# ----------------------------------------------------------------------------------------------- the shipped examiners


@cache
def openings() -> NDArray[np.float32]:
    data = load()
    return shared_openings(answers(), len(data.models), len(data.prompts))


@cache
def lines() -> tuple[Line, ...]:
    data = load()
    size, prompts = len(data.models), len(data.prompts)
    phrases = kinship(combined(answers(), size, prompts), size)
    close = closeness(openings(), size)
    candidates = teacher.candidates_of(("", *data.labs), str(teacher.PARAMETERS["candidates"]))
    contrast = contrasts(close, data.labs, candidates)

    def by_phrases(reference: int, suspect: int) -> Outcome:
        value = round(float(phrases[reference, suspect]) * SCALE)
        # The interval over prompts is a description that no figure here rests on: the value alone is recorded.
        detail = {"features": text_features.VERSION, "thinned": False, "looks": "", "effect": [value] * 3}
        detail |= {"left_out": [], "same_recording": []}
        content = placed(phrases, reference, suspect, text_kinship.TESTS[0].id, detail)
        return judged(text_kinship, content, reference, suspect)[0]

    shared = {"passages": shared_passages(), "answers": shared_answers()}

    @cache
    def by_texts(reference: int, suspect: int) -> tuple[Outcome, ...]:
        parts, summary = {}, {}
        for test, (name, texts) in zip(verbatim.TESTS, shared.items(), strict=True):
            summary[test.id] = {"count": int(texts.rare[reference, suspect]), "opportunities": prompts}
            detail = {"common": int(texts.common[reference, suspect]), "left_out": []}
            parts[name] = placed(texts.rare.astype(np.float64), reference, suspect, test.id, detail)
            parts[name]["summary"] = {test.id: summary[test.id]}
        versions = {"features": text_features.VERSION, "measure": verbatim_measure.VERSION}
        return judged(verbatim, {**parts, **versions, "texts": [], "summary": summary}, reference, suspect)

    @cache
    def by_teacher(reference: int, suspect: int) -> tuple[Outcome, ...]:
        content = {
            "openings": placed(close, reference, suspect, teacher.TESTS[0].id),
            "vendor": placed(contrast, reference, suspect, teacher.TESTS[1].id),
            "summary": {},
            "candidates": list(candidates),
            "effects": [[round(float(scores[reference, suspect]) * SCALE)] * 3 for scores in (close, contrast)],
            "features": text_features.VERSION,
            "measure": habits.VERSION,
        }
        return judged(teacher, content, reference, suspect)

    return (
        Line(text_kinship.TESTS[0].id, phrases, by_phrases),
        Line(verbatim.TESTS[0].id, shared_passages().rare.astype(np.float64), lambda i, j: by_texts(i, j)[0]),
        Line(verbatim.TESTS[1].id, shared_answers().rare.astype(np.float64), lambda i, j: by_texts(i, j)[1]),
        Line(teacher.TESTS[0].id, close, lambda i, j: by_teacher(i, j)[0]),
        Line(teacher.TESTS[1].id, contrast, lambda i, j: by_teacher(i, j)[1]),
    )


def placed(
    scores: Matrix, reference: int, suspect: int, test: str, detail: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The line-up of one pair: reference and suspect first. What the suspect is related to, beyond lineage and lab, is in dispute."""
    data = load()
    order = [reference, suspect, *(at for at in range(len(data.models)) if at not in (reference, suspect))]
    place = {at: number for number, at in enumerate(order)}
    known = [(place[i], place[j]) for i, j, _ in data.related if suspect not in (i, j)]
    everybody: list[Entrant] = entrants(data)
    return line_up_content(
        [everybody[at] for at in order],
        scores[np.ix_(order, order)],
        prompts=len(data.prompts),
        related=known,
        seed=SEED,
        test=test,
        detail=detail,
    )


def judged(examiner: Any, content: dict[str, Any], reference: int, suspect: int) -> tuple[Outcome, ...]:
    data = load()
    pair = Relation(
        examiner=examiner.NAME,
        examiner_version=examiner.VERSION,
        first=data.models[reference],
        second=data.models[suspect],
        seed=SEED,
        content=content,
    )
    outcomes: tuple[Outcome, ...] = examiner.judge(Relations(pair=pair), (), register(examiner.NAME))
    return outcomes


def rank(scores: Matrix, reference: int, suspect: int) -> tuple[float, int]:
    """(log10 p, control lineages) of one pair: the rank alone, before the held-out labs have their say."""
    data = load()
    labs, lineages = np.array(data.labs), np.array(data.lineages)
    mine = (labs == labs[suspect]) | ((lineages == lineages[suspect]) & (lineages != ""))
    free = ~related(data)[reference] & ~mine & (lineages != "")
    free[reference] = False
    controls: dict[str, list[float]] = defaultdict(list)
    for at in np.flatnonzero(free):
        controls[data.lineages[at]].append(round(float(scores[reference, at]), 4))
    ranked = rank_among_lineages(round(float(scores[reference, suspect]), 4), controls)
    return ranked.log10_p, len(ranked.lineages)


# ---------------------------------------------------------------------------------------------------------- the dispute


def labs_together(scores: Matrix, data: AlpacaEval) -> dict[str, Any]:
    """One test instead of 70: the closest Claude | X pair of every lab that is unrelated to Anthropic, Alibaba ranked among them."""
    unrelated = ~related(data)
    mine = [at for at, lab in enumerate(data.labs) if lab == CLAUDE]
    best: dict[str, float] = {}
    for at, lab in enumerate(data.labs):
        if lab != CLAUDE and unrelated[mine, at].all():
            best[lab] = max(best.get(lab, -np.inf), float(scores[mine, at].max()))
    own = best.pop(QWEN)
    higher = sum(value >= own - 1e-9 for value in best.values())
    return {
        "highest pair": round(own, 2),
        "labs that have one as high": higher,
        "labs": len(best),
        "p": round((higher + 1) / (len(best) + 1), 4),
    }


def dispute(data: AlpacaEval) -> dict[str, Any]:
    claude = [at for at, lab in enumerate(data.labs) if lab == CLAUDE]
    qwen = [at for at, lab in enumerate(data.labs) if lab == QWEN]
    pairs = [(i, j) for i in claude for j in qwen]
    found: dict[str, Any] = {"Claude entries": len(claude), "Qwen entries": len(qwen), "pairs": len(pairs)}
    every: list[float] = []
    kept: dict[str, tuple[int, int]] = {}
    for line in lines():
        ranks = [rank(line.scores, i, j) for i, j in pairs]
        best = min(range(len(pairs)), key=lambda at: (ranks[at][0], -line.scores[pairs[at]]))
        kept[line.test] = pairs[best]
        every += [p for p, _ in ranks]
        values = np.array([line.scores[pair] for pair in pairs])
        found[line.test] = {
            "mean score": round(float(values.mean()), 3),
            "highest score": round(float(values.max()), 3),
            "smallest p": round(10 ** ranks[best][0], 4),
            "pairs with p <= 0.05": sum(p <= math.log10(LEVEL) + 1e-12 for p, _ in ranks),
            "expected of strangers, at most": round(LEVEL * len(pairs), 1),
            "fewest and most control lineages": [min(n for _, n in ranks), max(n for _, n in ranks)],
            "pair that stands highest": [data.models[at] for at in pairs[best]],
            "all Claude against all of Alibaba, among labs": labs_together(line.scores, data),
        }
    found["shared errors"], more = errors_of_the_two()
    every += more
    adjusted = holm(every)
    lineages = max(found[line.test]["fewest and most control lineages"][1] for line in lines())
    found["Holm"] = {
        "tests": len(every),
        "smallest adjusted p": round(10 ** min(adjusted), 4),
        "smallest adjusted p that so many tests could reach": round(min(1.0, len(every) / (lineages + 1)), 4),
        "control lineages needed for 0.05": math.ceil(len(every) / LEVEL) - 1,
    }
    told = []
    for line in lines():
        outcome = line.judge(*kept[line.test])
        told.append(spoken(outcome))
    found["the pair that stands highest in each line, judged in full"] = told
    return found


def spoken(outcome: Outcome) -> dict[str, Any]:
    """An outcome in the report's own words."""
    said: dict[str, Any] = {"test": outcome.test, "pair": outcome.id.split(":", 1)[1], "sentence": sentence(outcome)}
    if isinstance(outcome, Finding):
        said |= {"p": round(10**outcome.log10_p, 4), "resolution": round(10**outcome.resolution_log10_p, 4)}
        said["detected"] = outcome.log10_p <= outcome.power.threshold_log10_p
    for conclusion in conclude((outcome,)):
        said["conclusion"] = (
            f"{conclusion_title(conclusion)}: {likelihood_sentence(conclusion, outcome.relation_class)}"
        )
    if not isinstance(outcome, Finding | Inconclusive):
        said["conclusion"] = outcome.reason
    which = [c for c in getattr(outcome, "companions", ()) if c.name == "which of the candidates"]
    if which:
        said["which of the candidates"] = f"{which[0].value} ({which[0].note})"
    return said


# ------------------------------------------------------------------------------------------------------- shared errors


def errors_of_the_two() -> tuple[dict[str, Any], list[float]]:
    """Claude against Qwen by shared wrong answers, task by task, with the lineages of `studies.shared_errors`.

    The shipped examiner needs more controls than these recordings have and declines; the ranks are those of its measure.
    """
    found: dict[str, Any] = {}
    every: list[float] = []
    for task in ("crux", "math_l5", "gsm"):
        recorded = errors_study.load(task)
        scores = errors.kinship(recorded.codes, choices=False)
        rows = errors_study.the_dispute(recorded, scores)
        every += [math.log10(row["p"]) for row in rows]
        best = max(rows, key=lambda row: row["z"])
        one, other = recorded.models.index(best["reference"]), recorded.models.index(best["suspect"])
        strangers = np.triu(recorded.relation == "", 1)
        among = np.isin(recorded.labs, ("Anthropic", "Qwen"))
        strangers &= ~(among[:, None] & among[None, :])
        counted = errors.shared(recorded.codes)
        smallest = min(row["p"] for row in rows)
        found[task] = {
            "models": len(recorded.models),
            "labs": len(set(recorded.labs)),
            "items": len(recorded.items),
            "pairs": len(rows),
            "mean z among strangers": round(float(np.mean([row["z"] for row in rows])), 2),
            "highest z": round(best["z"], 2),
            "pair that stands highest": [best["reference"], best["suspect"]],
            "its wrong answers: both, the same": [int(counted.both_wrong[one, other]), int(counted.same[one, other])],
            "pairs of other strangers": int(strangers.sum()),
            "of those as high": int((scores[strangers] >= scores[one, other]).sum()),
            "smallest p": round(smallest, 4),
            "pairs with the smallest p": sum(row["p"] <= smallest for row in rows),
            "most control lineages": max(row["control lineages"] for row in rows),
        }
    return found, every


# --------------------------------------------------------------------------------------------------- positive controls


def positives(data: AlpacaEval) -> dict[str, Any]:
    place = {name: at for at, name in enumerate(data.models)}
    found: dict[str, Any] = {}
    for reference, suspect, said in POSITIVE:
        outcomes = [line.judge(place[reference], place[suspect]) for line in lines()]
        found[f"{reference} | {suspect}"] = {
            "publicly": said,
            "scores": {line.test: round(float(line.scores[place[reference], place[suspect]]), 2) for line in lines()},
            "p": {o.test: round(10**o.log10_p, 4) if isinstance(o, Finding) else o.reason for o in outcomes},
            "recognised by": [
                o.test for o in outcomes if isinstance(o, Finding) and o.log10_p <= o.power.threshold_log10_p
            ],
            "sentences": [spoken(o) for o in outcomes if o.test.startswith("verbatim")],
        }
    taught = {}
    for one, other in teaching_pairs(data):
        ranks = {line.test: round(10 ** rank(line.scores, one, other)[0], 4) for line in lines()}
        taught[f"{data.models[one]} | {data.models[other]}"] = ranks
    found["public teaching pairs: p by rank"] = taught
    found["public teaching pairs with p <= 0.05"] = {
        line.test: f"{sum(ranks[line.test] <= LEVEL for ranks in taught.values())} of {len(taught)}" for line in lines()
    }
    place_of = [i for i, name in enumerate(data.models) if name.startswith("claude2-alpaca")]
    found["claude2-alpaca-13b"] = "recorded" if place_of else "not among the recorded models here: not examined"
    return found


# ----------------------------------------------------------------------------------------------------------- the page


def page(results: dict[str, Any]) -> str:
    """The one-page text. Every figure in it is one of the results."""
    pairs, controls = results["dispute"], results["positive controls"]
    tests = [line.test for line in lines()]
    first = pairs[tests[0]]
    out = [
        "# Claude and Qwen: what recorded answers allow to be said",
        "",
        "Written by `python -m studies.dispute`; every figure comes from that run (`studies/results/dispute.json`). Recorded "
        f"answers of {results['models']} public models to {results['prompts']} open instructions, read through the shipped "
        "measures; lineages as publicly declared, not verified against weights.",
        "",
        "## What may be said",
        "",
        f"**{conclusion_of(pairs)}** {standing_out(pairs)} This is not evidence of independence: it says what these "
        "answers, to these prompts, of these versions, could show, and they could show little of some kinds of taking (below). "
        "Nothing is said about weights, tokenizers, code, data, or versions that are not recorded here.",
        "",
        f"{pairs['Claude entries']} entries of Claude as reference against {pairs['Qwen entries']} of Qwen as suspect: "
        f"{pairs['pairs']} pairs in each line of evidence. The unit is the pair of models, and p is its rank among "
        f"{first['fewest and most control lineages'][0]} to {first['fewest and most control lineages'][1]} control lineages.",
        "",
        "| line of evidence | mean score | highest | smallest p | pairs with p <= .05 | of strangers at most | all Claude against "
        "all of Alibaba: labs as high, p |",
        "|---|---|---|---|---|---|---|",
    ]
    for test in tests:
        row = pairs[test]
        together = row["all Claude against all of Alibaba, among labs"]
        out.append(
            f"| `{test}` | {row['mean score']} | {row['highest score']} | {row['smallest p']} | {row['pairs with p <= 0.05']} "
            f"| {row['expected of strangers, at most']} | {together['labs that have one as high']} of {together['labs']}, "
            f"{together['p']} |"
        )
    holm_row = pairs["Holm"]
    out += [
        "",
        f"Holm over all {holm_row['tests']} tests: smallest adjusted p {holm_row['smallest adjusted p']}. So many tests with so few "
        f"lineages could not have reached less than {holm_row['smallest adjusted p that so many tests could reach']}; "
        f"{holm_row['control lineages needed for 0.05']} control lineages would be needed. That is why the last column asks once "
        "per line instead: is the closest Claude | Qwen pair closer than the closest pair of other labs? Alibaba has more "
        "models here than most labs, so that its closest pair stands, if anything, too high.",
        "",
        "The pair that stands highest in each line, judged in full by the shipped examiner, in the report's own words:",
        "",
    ]
    for told in pairs["the pair that stands highest in each line, judged in full"]:
        out.append(
            f"- `{told['test']}`, {told['pair'].replace('|', ' | ')}: {told['sentence']} {told.get('conclusion', '')}"
        )
    out += [
        "",
        "Shared wrong answers (other recordings, with too few controls for the shipped examiner, which declines; ranks and distances "
        "under its measure):",
        "",
    ]
    for task, row in pairs["shared errors"].items():
        both, same = row["its wrong answers: both, the same"]
        out.append(
            f"- {task}: {row['pairs']} pairs, mean z {row['mean z among strangers']}, highest {row['highest z']} "
            f"({' | '.join(row['pair that stands highest'])}: {same} of {both} errors the same; {row['of those as high']} of "
            f"{row['pairs of other strangers']} pairs of other strangers as high). Smallest p {row['smallest p']} in "
            f"{row['pairs with the smallest p']} pairs, among at most {row['most control lineages']} control lineages."
        )
    out += [
        "",
        "A pair that stands high among so many decides nothing by itself, and is no reason for calm either: it has to be asked again, "
        "alone and named beforehand, on fresh items and with more controls.",
        "",
        "## What the same tests say where the truth is public",
        "",
        "| reference | suspect | publicly | shared passages / answers | recognised by |",
        "|---|---|---|---|---|",
    ]
    for reference, suspect, said in POSITIVE:
        row = controls[f"{reference} | {suspect}"]
        counts = " / ".join(f"{row['scores'][test.id]:.0f}" for test in verbatim.TESTS)
        named = ", ".join(f"`{name}`" for name in row["recognised by"]) or "none"
        out.append(f"| {reference} | {suspect} | {said} | {counts} | {named} |")
    aligner = controls[f"{POSITIVE[0][0]} | {POSITIVE[0][1]}"]
    out += [
        "",
        f"For the first of them the report says: {' '.join(told['sentence'] for told in aligner['sentences'])} That is shared text: "
        "the corrector passes on answers that are also GPT-4's. It says nothing about weights, and it names neither as the source.",
        "",
        "Students of a recorded teacher (25 public pairs, three teachers) at p <= .05, by rank: "
        + "; ".join(f"`{test}` {count}" for test, count in controls["public teaching pairs with p <= 0.05"].items())
        + ". So most students of a recorded teacher are *missed* by every line at this level: a Qwen taught with Claude's answers "
        "as these students were taught could well have gone unseen.",
        f"claude2-alpaca-13b, a public student of Claude: {controls['claude2-alpaca-13b']}.",
        "",
        "## Resolution and power",
        "",
        f"- With {first['fewest and most control lineages'][1]} control lineages no p below "
        f"{1 / (first['fewest and most control lineages'][1] + 1):.3f} exists, whatever the number of prompts.",
        "- Correctors and copies of answers would be seen: see the table, and the planted copies in `docs/examiners/verbatim.md`.",
        "- Fine-tunes and versions would be seen by `text_kinship` (its page has the figures); a teacher among several mostly not.",
        "- Versions are those recorded in 2023 and 2024. Later ones need fresh recordings of both, on prompts fixed before.",
        "",
    ]
    return "\n".join(out)


def standing_out(pairs: dict[str, Any]) -> str:
    """What is said of shared errors on the front: a pair above all other strangers is named, with what such a place is worth."""
    said = []
    for task, row in pairs["shared errors"].items():
        if row["of those as high"] == 0:
            every = row["pairs"] + row["pairs of other strangers"]
            one, other = row["pair that stands highest"]
            both, same = row["its wrong answers: both, the same"]
            said.append(
                f"One observation is left open: on {task}, {one} and {other} share {same} of {both} errors, more beyond expectation than "
                f"any of {row['pairs of other strangers']} pairs of other strangers. Were all {every} pairs alike, the highest would "
                f"lie among these {row['pairs']} with chance {row['pairs'] / every:.2f}; by rank p is {row['smallest p']} before any "
                "correction. Wrong keys, which turn right answers into shared errors of good models, were not excluded."
            )
    return " ".join(said) or "Shared errors, below, add nothing to it."


def conclusion_of(pairs: dict[str, Any]) -> str:
    """The first sentence, decided by the figures."""
    tests = [line.test for line in lines()]
    together = [pairs[test]["all Claude against all of Alibaba, among labs"]["p"] for test in tests]
    smallest = 10 ** min(holm([math.log10(p) for p in together]))
    if smallest > LEVEL:
        return (
            f"No evidence that Qwen's recorded answers were taken from Claude's: over the {len(tests)} lines of text evidence, Holm's "
            f"smallest adjusted p is {smallest:.2f}."
        )
    return f"Qwen's recorded answers stand closer to Claude's than other labs' do: Holm's smallest adjusted p is {smallest:.3f}."


def main() -> None:
    data = load()
    results = {
        "models": len(data.models),
        "prompts": len(data.prompts),
        "dispute": dispute(data),
        "positive controls": positives(data),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(msgspec.to_builtins(results), indent=1) + "\n")
    PAGE.write_text(page(results))
    print(json.dumps(msgspec.to_builtins(results), indent=1))


if __name__ == "__main__":
    main()
