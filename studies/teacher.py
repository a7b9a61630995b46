"""Calibrate the teacher examiner, and find what tells a student's teacher: `python -m studies.teacher`.

Pairs of a student and its very teacher (the relation 'distilled-from' of the recorded data: 25 pairs, three teachers) against
unrelated pairs. The data are not ours and are read where they are (see studies/alpaca_eval.py). Prints and writes
`studies/results/teacher.json` and the register `src/filiation/calibration/teacher.json`. About four minutes on one core.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from filiation.evidence import Null, RelationPower, round_against_accuser
from filiation.examiners import teacher
from filiation.examiners.line_up import Entrant
from filiation.measures import habits, text_features, text_kinship
from filiation.measures.habits import closeness, contrasts, shared_openings, vendor_closeness
from filiation.measures.text_features import normalised
from filiation.measures.text_kinship import Answers, by_prompt, pairs_of, standardised
from filiation.statistics.line_up import Population, held_out_calibration, rank_among_lineages, stranger_p_values
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from studies.alpaca_eval import CACHE, AlpacaEval, features, load

ROOT = Path(__file__).resolve().parent
RESULTS = ROOT / "results" / "teacher.json"
REGISTER = ROOT.parent / "src" / "filiation" / "calibration" / "teacher.json"
DATE = "2026-11-21"
DETECTION_P = 0.05
SEED = 3
RESAMPLES = 2000
VENDORS = ("01ai", "alibaba", "anthropic", "cohere", "google", "meta", "mistral", "openai")
TAUGHT_BY = {"gpt": "openai", "sharegpt": "openai", "ultrachat": "openai", "wizardlm": "openai", "Mixtral": "mistral"}
"""How the teachers that the lineage file names without being recorded begin, and whose they are."""
_TOKEN = re.compile(r"\n+|[^\W_]+(?:'[^\W_]+)*|[^\w\s]")

Matrix = NDArray[np.float64]


# ------------------------------------------------------------------------------------------------------ what was tried


@cache
def answers() -> Answers:
    found, model, prompt = features()
    return Answers(found, model, prompt)


@cache
def mean_agreement(channel: str) -> Matrix:
    """Mean over prompts of the rarity-weighted cosine, per pair."""
    data = load()
    values = shared_openings(answers(), len(data.models), len(data.prompts), (channel,))
    found: Matrix = np.nanmean(values, axis=0).astype(np.float64)
    return found


@cache
def normal_scores_of() -> Mapping[str, Matrix]:
    """Means over prompts of the normal scores of all channels and of structure, per pair."""
    data = load()
    names = ("word-3", "word-6", "character-5", "opening", "closing", "structure")
    size, pairs = len(data.models), len(pairs_of(len(data.models))[0])
    sums = {name: np.zeros(pairs) for name in names}
    times = np.zeros(pairs)
    for _, found in by_prompt(answers(), size, len(data.prompts), names):
        known = np.isfinite(found["opening"])
        times += known
        for name in names:
            sums[name] += np.where(known, found[name], 0.0)
    return {name: total / np.maximum(times, 1) for name, total in sums.items()}


@cache
def tokens() -> tuple[list[NDArray[np.int64]], dict[str, int], NDArray[np.int64]]:
    """Token numbers per answer, the vocabulary, and in how many prompts' answers each token stands."""
    data, vocabulary, sequences = load(), {}, []  # type: ignore[var-annotated]
    for text in data.frame["text"].to_list():
        found = _TOKEN.findall(normalised(text or "").lower())
        found = ["\n" if token[0] == "\n" else token for token in found]
        sequences.append(np.array([vocabulary.setdefault(token, len(vocabulary)) for token in found], dtype=np.int64))
    size = len(vocabulary)
    owner = np.repeat(answers().prompt, [len(sequence) for sequence in sequences])
    pairs = np.unique(owner * size + np.concatenate(sequences))
    return sequences, vocabulary, np.bincount(pairs % size, minlength=size)


@cache
def templates(length: int, *, open_words: bool) -> Matrix:
    """Closeness by runs of `length` common tokens, whatever the prompt: cosine of standardised log rates, per pair.

    A common token stands in the answers to at least 30 % of the prompts. `open_words`: other words stand as one placeholder
    (syntax templates); else runs with another word are left out (formulas). Kept are runs of 60 answers and 15 prompts.
    """
    sequences, vocabulary, spread = tokens()
    data = load()
    common = spread >= 0.3 * len(data.prompts)
    hidden = len(vocabulary)
    sizes = np.array([len(sequence) for sequence in sequences])
    owner = np.repeat(np.arange(len(sequences)), sizes)
    flat = np.concatenate(sequences)
    flat = np.where(common[flat], flat, hidden)
    count = len(flat) - length + 1
    value = np.zeros(count, dtype=np.uint64)
    hiding = np.zeros(count, dtype=np.int64)
    for at in range(length):
        value = (value ^ flat[at : at + count].astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        value ^= value >> np.uint64(29)
        hiding += flat[at : at + count] == hidden
    kept = (owner[:count] == owner[length - 1 :]) & (hiding * 2 <= length if open_words else hiding == 0)
    _, number = np.unique(value[kept], return_inverse=True)
    width = int(number.max()) + 1
    cells = np.unique(owner[:count][kept] * width + number)
    answer, run = cells // width, cells % width
    enough = np.bincount(run, minlength=width) >= 60
    prompts = np.unique(answers().prompt[answer] * width + run) % width
    enough &= np.bincount(prompts, minlength=width) >= 15
    chosen = enough[run]
    place = np.cumsum(enough) - 1
    table = sparse.csr_matrix(
        (np.ones(int(chosen.sum())), (answers().model[answer[chosen]], place[run[chosen]])),
        shape=(len(data.models), int(enough.sum())),
    ).toarray()
    rates = np.log((table + 0.5) / np.bincount(answers().model, minlength=len(data.models))[:, None])
    rates = (rates - rates.mean(axis=0)) / np.maximum(rates.std(axis=0), 1e-6)
    rates /= np.linalg.norm(rates, axis=1, keepdims=True)
    cosine: Matrix = (rates @ rates.T)[pairs_of(len(data.models))]
    return cosine


def square(values: Matrix) -> Matrix:
    """Per pair to models x models, nothing removed."""
    size = len(load().models)
    matrix = np.zeros((size, size))
    matrix[pairs_of(size)] = values
    return matrix + matrix.T


def clean(values: Matrix) -> Matrix:
    return standardised(values, len(load().models))


def less_base(matrix: Matrix) -> Matrix:
    """Residual after the base: less the mean (shrunk) of what other labs' models of the suspect's lineage have."""
    data = load()
    lineages, labs = np.array(data.lineages), np.array(data.labs)
    found = matrix.copy()
    for model in range(len(matrix)):
        mates = (lineages == lineages[model]) & (labs != labs[model]) & (lineages != "")
        if mates.sum() >= 2:
            found[:, model] -= matrix[:, mates].mean(axis=1) * mates.sum() / (mates.sum() + 3)
    return found


def less_vendors(matrix: Matrix, reduce: Callable[..., Matrix]) -> Matrix:
    """Contrast of one teacher (row) to the other vendors: less the largest, or the mean, of their mean closeness."""
    data = load()
    labs = np.array(data.labs)
    found = np.zeros_like(matrix)
    sides = {name: vendor_closeness(matrix, data.labs, name) for name in VENDORS}
    for reference in range(len(matrix)):
        for suspect in range(len(matrix)):
            others = [sides[name][suspect] for name in VENDORS if name not in (labs[reference], labs[suspect])]
            found[reference, suspect] = matrix[reference, suspect] - float(reduce(others))
    return found


def variants() -> dict[str, Matrix]:
    """Everything tried, [teacher, student], in a fixed order that decides ties. Kept in CACHE, because it takes minutes."""
    kept = CACHE / f"teacher-{text_features.VERSION}-{text_kinship.VERSION}-{habits.VERSION}.npz"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, **measured_variants())  # type: ignore[arg-type]
    with np.load(kept) as stored:
        return {name: stored[name] for name in stored.files}


def measured_variants() -> dict[str, Matrix]:
    ranks = normal_scores_of()
    opening, closing = clean(mean_agreement("opening")), clean(mean_agreement("closing"))
    word6 = clean(mean_agreement("word-6"))
    formulas = clean(templates(4, open_words=False))
    five = ("word-3", "word-6", "character-5", "opening", "closing")
    return {
        "openings": opening,
        "openings, ranked": clean(ranks["opening"]),
        "closings": closing,
        "closings, ranked": clean(ranks["closing"]),
        "word 6-grams": word6,
        "word 6-grams, ranked": clean(ranks["word-6"]),
        "word 3-grams": clean(mean_agreement("word-3")),
        "word 3-grams, ranked": clean(ranks["word-3"]),
        "character 5-grams": clean(mean_agreement("character-5")),
        "all five channels, ranked (text_kinship)": clean(sum((ranks[name] for name in five), np.zeros(1))),
        "structure: lists, headings, bold, ...": clean(ranks["structure"]),
        "function words": clean(templates(1, open_words=False)),
        "syntax templates of 3": clean(templates(3, open_words=True)),
        "syntax templates of 5": clean(templates(5, open_words=True)),
        "formulas of 4 words": formulas,
        "openings + closings": opening + closing,
        "openings + word 6-grams": opening + word6,
        "openings + formulas": opening + formulas,
        "openings + structure": opening + clean(ranks["structure"]),
        "openings, less the student's base": less_base(opening),
        "openings, less the closest other vendor": less_vendors(opening, np.max),
        "openings, less the mean of other vendors": less_vendors(opening, np.mean),
        "word 6-grams, less the closest other vendor": less_vendors(word6, np.max),
        "openings, model effects left in": square(mean_agreement("opening")),
    }


# ------------------------------------------------------------------------------------------------------- how they fare


def teaching_pairs(data: AlpacaEval) -> list[tuple[int, int]]:
    """(teacher, student) of every pair 'distilled-from'; the teacher is the one with more students."""
    pairs = [(i, j) for i, j, kind in data.related if kind == "distilled-from"]
    count = Counter(at for pair in pairs for at in pair)
    return [(i, j) if count[i] > count[j] else (j, i) for i, j in pairs]


def percentiles(matrix: Matrix, pairs: Sequence[tuple[int, int]], data: AlpacaEval) -> NDArray[np.float64]:
    """Share of unrelated pairs, n x 2, below each teaching pair: among all of them (pooled), and among the teacher's own."""
    strangers = (data.relation == "") & ~np.eye(len(data.models), dtype=np.bool_)
    pool = np.sort(matrix[strangers])
    rows = []
    for one, other in pairs:
        value, own = matrix[one, other], matrix[one][strangers[one]]
        pooled = (np.searchsorted(pool, value, "left") + np.searchsorted(pool, value, "right")) / (2 * len(pool))
        rows.append((pooled, ((own < value).mean() + (own <= value).mean()) / 2))
    return np.array(rows)


def by_teacher(shares: NDArray[np.float64], teachers: Sequence[int]) -> dict[int, float]:
    return {one: float(shares[[t == one for t in teachers]].mean()) for one in dict.fromkeys(teachers)}


def interval(
    shares: NDArray[np.float64], teachers: Sequence[int], bases: Sequence[str], rng: np.random.Generator
) -> list[float]:
    """95 % of AUCs when teachers, and the student lineages of each, are drawn anew."""
    clusters: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for share, one, base in zip(shares, teachers, bases, strict=True):
        clusters[one][base].append(float(share))
    names = list(clusters)
    found = []
    for _ in range(RESAMPLES):
        drawn: list[float] = []
        for one in rng.integers(len(names), size=len(names)):
            groups = list(clusters[names[one]].values())
            for group in rng.integers(len(groups), size=len(groups)):
                drawn += groups[group]
        found.append(float(np.mean(drawn)))
    return [round(float(figure), 3) for figure in np.quantile(found, [0.025, 0.975])]


def nested(
    table: Mapping[str, NDArray[np.float64]], column: int, teachers: Sequence[int], bases: Sequence[str]
) -> tuple[NDArray[np.float64], dict[str, int]]:
    """Each pair judged by the variant that is best on pairs of other teachers *and* other student lineages."""
    chosen: Counter[str] = Counter()
    shares = np.zeros(len(teachers))
    for at, (one, base) in enumerate(zip(teachers, bases, strict=True)):
        others = [n for n in range(len(teachers)) if teachers[n] != one and bases[n] != base]
        score = {
            name: np.mean(list(by_teacher(values[others, column], [teachers[n] for n in others]).values()))
            for name, values in table.items()
        }
        best = max(score, key=lambda name: (round(float(score[name]), 4), -list(table).index(name)))
        chosen[best] += 1
        shares[at] = table[best][at, column]
    return shares, dict(chosen)


def chosen_on_co_students(
    matrices: Mapping[str, Matrix],
    table: Mapping[str, NDArray[np.float64]],
    column: int,
    pairs: Sequence[tuple[int, int]],
    data: AlpacaEval,
) -> tuple[NDArray[np.float64], dict[str, int]]:
    """Each pair judged by the variant that is best on pairs of models that share *another* teacher, of other student lineages.

    Three teachers are few to choose by. Co-students of a teacher (117 pairs) are more, and no pair of them is a teaching pair;
    those taught by the pair's own teacher, or of its student's lineage, are left out.
    """
    strangers = (data.relation == "") & ~np.eye(len(data.models), dtype=np.bool_)
    co_students = [(i, j) for i, j, kind in data.related if kind == "shares teacher"]
    shares_of = {
        name: np.searchsorted(np.sort(matrix[strangers]), [(matrix[i, j] + matrix[j, i]) / 2 for i, j in co_students])
        / strangers.sum()
        for name, matrix in matrices.items()
    }
    taught_by = {one: {student for t, student in pairs if t == one} for one, _ in pairs}
    chosen: Counter[str] = Counter()
    shares = np.zeros(len(pairs))
    for at, (one, student) in enumerate(pairs):
        free = [
            n
            for n, pair in enumerate(co_students)
            if not taught_by[one] & set(pair) and data.lineages[student] not in {data.lineages[m] for m in pair}
        ]
        best = max(
            shares_of, key=lambda name: (round(float(shares_of[name][free].mean()), 4), -list(table).index(name))
        )
        chosen[best] += 1
        shares[at] = table[best][at, column]
    return shares, dict(chosen)


# ------------------------------------------------------------------------------------------------- the shipped tests


def entrants(data: AlpacaEval) -> list[Entrant]:
    return [
        Entrant(name=name, lineage=lineage, lab=lab, origin="control")
        for name, lineage, lab in zip(data.models, data.lineages, data.labs, strict=True)
    ]


def related(data: AlpacaEval) -> NDArray[np.bool_]:
    labs, lineages = np.array(data.labs), np.array(data.lineages)
    same = (labs[:, None] == labs[None, :]) | ((lineages[:, None] == lineages[None, :]) & (lineages[:, None] != ""))
    found: NDArray[np.bool_] = (data.relation != "") | same
    np.fill_diagonal(found, False)
    return found


def pair_p(scores: Matrix, reference: int, suspect: int, data: AlpacaEval) -> tuple[float, int]:
    """p of one pair among the lineages that are unrelated to the reference and not of the suspect's lineage or lab.

    What else the suspect is related to is in dispute, as it is in a real case: such controls stay, which helps the accused.
    """
    labs, lineages = np.array(data.labs), np.array(data.lineages)
    mine = (labs == labs[suspect]) | ((lineages == lineages[suspect]) & (lineages != ""))
    free = np.flatnonzero(~related(data)[reference] & ~mine & (lineages != ""))
    by_lineage: dict[str, list[float]] = defaultdict(list)
    for at in free:
        if at != reference:
            by_lineage[lineages[at]].append(scores[reference, at])
    ranked = rank_among_lineages(float(scores[reference, suspect]), by_lineage)
    return 10.0**ranked.log10_p, len(by_lineage)


def most_strangers(population: Population) -> int:
    """Over all references, the largest number of stranger lineages of which some model has p <= DETECTION_P, labs held out."""
    p_values, references, candidates = stranger_p_values(population)
    seen = defaultdict(set)
    for p, one, other in zip(p_values, references, candidates, strict=True):
        if p <= DETECTION_P + 1e-12:
            seen[int(one)].add(population.lineages[other])
    return max((len(names) for names in seen.values()), default=0)


def vendors_of(data: AlpacaEval, model: int) -> tuple[set[str], set[str]]:
    """(vendors of its teachers, vendors of the models that it was derived from), as far as the lineage file tells."""
    place = {name: at for at, name in enumerate(data.models)}
    taught = {data.labs[place[name]] for name in data.teachers[model] if name in place}
    taught |= {lab for name in data.teachers[model] for start, lab in TAUGHT_BY.items() if name.startswith(start)}
    derived, at = set(), model
    while (parent := data.parents[at]) in place and place[parent] != at:
        at = place[parent]
        derived.add(data.labs[at])
    return taught & set(VENDORS), derived & set(VENDORS)


def main() -> None:
    data = load()
    rng = np.random.default_rng(SEED)
    pairs = teaching_pairs(data)
    teachers, bases = [t for t, _ in pairs], [data.lineages[s] for _, s in pairs]
    matrices = variants()
    table = {name: percentiles(matrix, pairs, data) for name, matrix in matrices.items()}
    tried = {}
    for name, shares in table.items():
        each = by_teacher(shares[:, 0], teachers)
        own = by_teacher(shares[:, 1], teachers)
        tried[name] = {
            "AUC against all unrelated pairs": round(float(shares[:, 0].mean()), 3),
            "AUC against the teacher's own unrelated models": round(float(shares[:, 1].mean()), 3),
            "interval by teacher": interval(shares[:, 0], teachers, bases, rng),
            "by teacher": {data.models[t]: [round(each[t], 3), round(own[t], 3)] for t in each},
        }
        print(name, json.dumps(tried[name]), flush=True)
    results: dict[str, object] = {
        "teaching pairs": len(pairs),
        "teachers": {data.models[t]: n for t, n in Counter(teachers).items()},
        "unrelated pairs": int(((data.relation == "").sum() - len(data.models)) / 2),
        "tried": tried,
    }
    for column, what in enumerate(("all unrelated pairs", "the teacher's own unrelated models")):
        for how, (shares, chosen) in {
            "chosen on other teachers and other student lineages": nested(table, column, teachers, bases),
            "chosen on co-students of other teachers and other student lineages": chosen_on_co_students(
                matrices, table, column, pairs, data
            ),
        }.items():
            results[f"{how}, against {what}"] = {
                "AUC": round(float(shares.mean()), 3),
                "interval by teacher": interval(shares, teachers, bases, rng),
                "by teacher": {data.models[t]: round(v, 3) for t, v in by_teacher(shares, teachers).items()},
                "leaving one teacher out": {
                    data.models[t]: round(float(shares[[n != t for n in teachers]].mean()), 3)
                    for t in dict.fromkeys(teachers)
                },
                "chosen": chosen,
            }
    results |= shipped(data, pairs)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps({key: value for key, value in results.items() if key != "tried"}, indent=1))


def shipped(data: AlpacaEval, pairs: Sequence[tuple[int, int]]) -> dict[str, object]:
    """Validity and power of the two tests that ship, and the register that says so."""
    size = len(data.models)
    values = shared_openings(answers(), size, len(data.prompts))
    close = closeness(values, size)
    candidates = teacher.candidates_of(("", *data.labs), str(teacher.PARAMETERS["candidates"]))
    contrast = contrasts(close, data.labs, candidates)
    found: dict[str, object] = {"candidates": list(candidates)}
    entries = []
    lineages = sorted(set(data.lineages) - {""})
    known = [at for at in range(size) if data.lineages[at]]
    relation = related(data)
    for test, scores in zip(teacher.TESTS, (close, contrast), strict=True):
        population = Population(
            scores=scores[np.ix_(known, known)],
            lineages=[data.lineages[at] for at in known],
            labs=[data.labs[at] for at in known],
            related=relation[np.ix_(known, known)],
        )
        levels = held_out_calibration(population, np.random.default_rng(SEED))
        if test is teacher.TESTS[0]:
            positives = {"distilled from the reference": list(pairs)}
        else:
            positives = {"derived from a model of the vendor": [], "taught by the vendor": []}
            for model in range(size):
                taught, derived = vendors_of(data, model)
                for kind, labs in (
                    ("derived from a model of the vendor", derived),
                    ("taught by the vendor", taught - derived),
                ):
                    for lab in labs - {data.labs[model]}:
                        positives[kind].append((data.labs.index(lab), model))
        powers, shown = [], {}
        # Students by common data are counted and printed; the vendor test does not undertake to find them (its limitations).
        claimed = next(iter(positives))
        for kind, cases in positives.items():
            hits: dict[str, list[bool]] = defaultdict(list)
            rows = {}
            for one, other in cases:
                p, count = pair_p(scores, one, other, data)
                hits[data.lineages[other] or data.models[other]].append(p <= DETECTION_P)
                rows[f"{data.models[one]} | {data.models[other]}"] = [round(p, 4), count, round(scores[one, other], 2)]
            power = RelationPower(relation=kind, detected=sum(map(all, hits.values())), lineages=len(hits))
            powers += [power] if kind == claimed else []
            shown[kind] = {
                "pairs detected": f"{sum(map(sum, hits.values()))} of {len(cases)}",
                "student lineages with every pair": f"{power.detected} of {power.lineages}",
                "p, control lineages, score": rows,
            }
        exceeding = most_strangers(population)
        found[test.id] = {
            "held-out labs": {
                str(level.level): [level.share_ppm / 1e6, level.low_ppm / 1e6, level.high_ppm / 1e6] for level in levels
            },
            "unrelated pairs": levels[0].pairs,
            "most stranger lineages detected against one reference": exceeding,
            **shown,
        }
        entries.append(
            RegisterEntry(
                test=test.id,
                null=Null.POPULATION,
                formula_version=teacher.VERSION,
                chance=None,
                # Rounded as findings are: a p of exactly DETECTION_P counts as detected.
                detection_log10_p=round_against_accuser(math.log10(DETECTION_P), accuses_when="small"),
                validated_for=("English answers to open instructions",),
                strangers=(
                    StrangerCount(
                        kind="recorded models of different lineages",
                        lineages=len(lineages) - 1,
                        exceeding=exceeding,
                        tests=levels[0].pairs,
                        largest_share=round(levels[0].share_ppm / 1e6, 6),
                    ),
                ),
                relatives=tuple(powers),
                calibrated_on=f"{size} recorded models x {len(data.prompts)} prompts of the public AlpacaEval results",
                date=DATE,
                tried=(*TRIED, "openings (kept; chosen before, on these and other models)"),
                made_by="studies/teacher.py",
            )
        )
    found["which of the candidates, without threshold"] = named_first(data, close, candidates)
    calibration = Calibration(examiner=teacher.NAME, entries=tuple(entries))
    REGISTER.write_bytes(msgspec.json.format(msgspec.json.encode(calibration, order="deterministic"), indent=1) + b"\n")
    return found


TRIED = (
    "closings, word 3- and 6-grams, character 5-grams, all channels together, ranked per prompt or not",
    "structure (lists, headings, bold), function words, syntax templates, formulas of four words",
    "sums of openings and closings, word 6-grams, formulas, structure",
    "residual after the student's base; contrast to the mean or the closest of the other vendors",
    "vendor as the mean or the closest of its models instead of the mean of its three closest",
)


def named_first(data: AlpacaEval, close: Matrix, candidates: Sequence[str]) -> dict[str, object]:
    """How often the closest candidate is the teacher's vendor, or the vendor of the model that a model was derived from."""
    towards = np.array([vendor_closeness(close, data.labs, lab) for lab in candidates])
    counts: dict[str, list[bool]] = {"taught by OpenAI": [], "derived from a vendor's model": []}
    for model in range(len(data.models)):
        if data.labs[model] in candidates:
            continue
        taught, derived = vendors_of(data, model)
        first = candidates[int(np.argmax(towards[:, model]))]
        if derived:
            counts["derived from a vendor's model"].append(first in derived)
        elif "openai" in taught:
            counts["taught by OpenAI"].append(first == "openai")
    return {kind: f"{sum(hits)} of {len(hits)}" for kind, hits in counts.items()}


if __name__ == "__main__":
    main()
