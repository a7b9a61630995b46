"""How many tokens it takes to tell a student of marked text where it is held against a companion: curves, with several students to a share.

    python -m studies.radioactivity_shift --cache FOLDER [--students 24]

Teacher, texts, marks and students are those of `studies.radioactivity_tokens` (and its cache); what is judged is not the likeliest
token of the student alone but its shift from a companion that reads the same (`filiation.measures.radioactivity.shift`): a student
of no marked text, of another seed than any of them. Both record their fifty likeliest tokens at each place, as `filiation score
--predictions --likeliest 50` does. Each student reads 128,000 tokens of unmarked text and 96,000 of marked text that no student was
trained on; looks are taken in doubling steps from 250 tokens; p-values are those of a single look.

The weight was chosen on students of seed 202 at 5 % (roots of probabilities among seven kinds of weights, against a companion of seed
203). What is judged here are students of further seeds, and those of other shares; the ones it was chosen on are told apart.

Writes `shift` in `studies/results/radioactivity.json`.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from filiation.measures.radioactivity import (
    Likeliest,
    PlaceWeights,
    Weighed,
    in_lists,
    shift,
    weighed_windows,
    with_numbers,
)
from filiation.measures.watermarks import GreenListKey, GumbelKey
from filiation.statistics.keyed_weights import ShiftScore, score_of_lists, score_of_numbers
from studies.radioactivity import RESULTS, Ids
from studies.radioactivity_tokens import (
    MARKED_TOKENS,
    MARKS,
    PLAN,
    DrawnLists,
    Mark,
    Workshop,
    looks_to,
    pieces_of,
)
from studies.zoo.corpus import read_corpus

LIKELIEST = 50
COMPANION = (None, 0.0, 205)
CHOSEN_ON = (0.05, 202)
UNMARKED_TOKENS = 128_000
WAYS = ("reading unmarked text", "reading marked text")
LEVELS = (-3, -6, -9)
Recipe = tuple[str | None, float, int]


def likeliest(model: Any, texts: list[Ids]) -> list[Likeliest]:
    """The fifty likeliest tokens after each token of texts of one length."""
    found: list[Likeliest] = []
    with torch.no_grad():
        for start in range(0, len(texts), 32):
            logits = model(torch.from_numpy(np.stack(texts[start : start + 32]))).logits
            best = logits.log_softmax(-1).topk(LIKELIEST, dim=-1)
            values = best.values.double().numpy().round(3)
            found += [Likeliest(*each) for each in zip(best.indices.numpy(), values, strict=True)]
    return found


def score(mark: Mark, weighed: Weighed) -> ShiftScore:
    """What the key says of a shift: of lists of two tokens, which are no scheme of the package, by the study's own lists."""
    told: dict[str, Any] = {"follows": weighed.follows}
    if mark.lists and isinstance(mark.key, GumbelKey):
        lists = DrawnLists(bytes.fromhex(mark.key.secret), PLAN.size.vocabulary)
        green = np.stack([lists.green(context) for context in weighed.contexts])[weighed.context, weighed.tokens]
        told |= {"list_size": lists.list_size, "vocabulary": lists.vocabulary}
        return score_of_lists(weighed.context, weighed.weights, green, **told)
    if isinstance(mark.key, GreenListKey):
        listed = in_lists(weighed, mark.key)
        told |= {"list_size": mark.key.list_size, "vocabulary": mark.key.vocabulary}
        return score_of_lists(listed.lists, listed.weights, listed.green, **told)
    assert isinstance(mark.key, GumbelKey)
    return score_of_numbers(len(weighed.contexts), weighed.weights, with_numbers(weighed, mark.key), **told)


def curve(mark: Mark, texts: list[Ids], shifts: list[PlaceWeights], *, marked: bool) -> dict[str, Any]:
    """log10 p look by look, and the tokens until it fell below each level."""
    looks: list[list[float]] = []
    for tokens in looks_to(100 * len(texts)):
        some = pieces_of(tokens)
        found = score(mark, weighed_windows(texts[:some], shifts[:some], mark.key, read_was_marked=marked))
        p = found.log10_p(mark.key.log10_keys)
        looks.append([tokens, found.contexts, found.weighed, round(found.deviations, 2), round(p, 2)])
    return {
        "looks: tokens, contexts, weights, excess in standard deviations, log10 p": looks,
        "log10 p without the chance of guessing the key": round(found.log10_p(math.inf), 2),
        "tokens to log10 p below": {
            str(level): next((int(look[0]) for look in looks if look[-1] < level), None) for level in LEVELS
        },
    }


def order() -> Iterator[Recipe]:
    """Students that were not chosen on come first; two strangers stand between."""
    rounds = (
        (0.05, 203),
        (0.05, 204),
        (0.0, 202),
        (0.01, 203),
        (0.25, 202),
        (0.01, 202),
        (0.05, 202),
        (0.0, 204),
        (0.25, 203),
    )
    for share, seed in rounds:
        yield from ((mark, share, seed) for mark in (MARKS if share else (None,)))


def study(workshop: Workshop, students: int) -> Iterator[dict[str, Any]]:
    """All curves so far after each student: mark, share, way of asking, seed."""
    unmarked = workshop.unmarked[: UNMARKED_TOKENS // 100]
    marked = {mark: workshop.text(mark, "reading", MARKED_TOKENS) for mark in MARKS}
    companion = workshop.student(*COMPANION)
    beside = {None: likeliest(companion, unmarked)} | {mark: likeliest(companion, marked[mark]) for mark in MARKS}
    results: dict[str, Any] = {
        "likeliest tokens": LIKELIEST,
        "seed of the companion": COMPANION[2],
        "chosen on the students of": "5%, seed 202",
        "students": 0,
        "marks": {mark: {} for mark in MARKS},
    }
    for mark, share, seed in islice(order(), students):
        student = workshop.student(mark, share, seed)
        plain = shifts_of(likeliest(student, unmarked), beside[None])
        for asked in MARKS if mark is None else (mark,):
            named = "no marked text" if mark is None else f"{share:.0%}"
            ways = results["marks"][asked].setdefault(named, {way: {} for way in WAYS})
            ways[WAYS[0]][f"{seed}"] = curve(workshop.marks[asked], unmarked, plain, marked=False)
            shifts = shifts_of(likeliest(student, marked[asked]), beside[asked])
            ways[WAYS[1]][f"{seed}"] = curve(workshop.marks[asked], marked[asked], shifts, marked=True)
        results["students"] += 1
        yield results


def shifts_of(student: list[Likeliest], companion: list[Likeliest]) -> list[PlaceWeights]:
    return [shift(one, other) for one, other in zip(student, companion, strict=True)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="where teacher, texts and students are kept")
    parser.add_argument("--students", type=int, default=len(list(order())), help="how many, in the order of the study")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    chosen.cache.mkdir(parents=True, exist_ok=True)
    for results in study(Workshop(read_corpus(), chosen.cache), chosen.students):
        before = json.loads(RESULTS.read_text())
        RESULTS.write_text(json.dumps(before | {"shift": results}, indent=1) + "\n")
        print(f"{results['students']} students", flush=True)


if __name__ == "__main__":
    main()
