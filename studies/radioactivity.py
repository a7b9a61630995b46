"""Whether a student trained on some marked text is told from one that was not, and how many tokens that takes.

    python -m studies.radioactivity                # small: a vocabulary of 1,024, about ten minutes on one core
    python -m studies.radioactivity --size full    # the shapes and the vocabulary of the full zoo

A teacher is trained on one half of the standard library and writes marked text. Students of another seed are trained from scratch on
the other half, of which a share of all training tokens is replaced by the teacher's text: none, 1 %, 5 %, 25 %. Each student is asked in
three ways (`filiation.measures.radioactivity`): what it predicts in unmarked text, what it predicts in marked text that no student
was trained on (contexts that are new only), and what it answers to unmarked prompts. The student without marked text is held
against 200 random keys besides: its p-values must be uniform.

Writes `studies/results/radioactivity.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kstest

from filiation.measures.radioactivity import closed_windows, open_windows
from filiation.measures.watermarks import GreenListKey, GreenReading, GumbelKey, WatermarkKey, reading, recorded
from filiation.measures.watermarks.generation import marked_answers
from filiation.statistics.watermark_tails import read_score
from studies.watermarks import continuous_p, draws, exact_log10_p, pieces
from studies.zoo.architectures import configuration, fresh
from studies.zoo.corpus import encode, read_corpus, trained_tokenizer
from studies.zoo.sizes import FULL, TEST, Size
from studies.zoo.training import train

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "studies" / "results" / "radioactivity.json"
SHARES = (0.01, 0.05, 0.25)
Ids = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is trained and asked at one size; tokens of reading and answering are the most that are used."""

    size: Size
    answer_tokens: int
    batch: int
    read_tokens: int
    answers: int
    null_keys: int


PLANS = {
    "small": Plan(
        size=replace(TEST, vocabulary=1024), answer_tokens=100, batch=96, read_tokens=30_000, answers=288, null_keys=200
    ),
    "full": Plan(size=FULL, answer_tokens=100, batch=96, read_tokens=200_000, answers=1920, null_keys=1000),
    "smoke": Plan(
        size=replace(TEST, vocabulary=512, steps=12),
        answer_tokens=20,
        batch=8,
        read_tokens=600,
        answers=8,
        null_keys=10,
    ),
}


def keys(vocabulary: int) -> dict[str, WatermarkKey]:
    """The marks that are tried: what the key reads is one token of context, and two."""
    lots = draws(np.random.default_rng(20261121))
    return {
        "green list, lefthash, bias 2": GreenListKey(vocabulary=vocabulary, hashing_key=1, bias=2.0).another(lots),
        "green list, lefthash, bias 4": GreenListKey(vocabulary=vocabulary, hashing_key=1, bias=4.0).another(lots),
        "Gumbel, two tokens of context": GumbelKey(secret="00" * 32, context_width=2).another(lots),
    }


def trained(size: Size, tokens: Ids, seed: int) -> Any:
    """A llama of the zoo, trained on these tokens."""
    model = fresh(configuration("llama", size), seed)
    train(
        model,
        torch.from_numpy(tokens),
        steps=size.steps,
        batch=size.batch,
        context=size.context,
        learning_rate=size.learning_rate,
        order_seed=seed,
    )
    return model


def written(teacher: Any, prompts_from: Ids, key: WatermarkKey | None, tokens: int, plan: Plan, seed: int) -> list[Ids]:
    """Answers of the teacher to pieces of text, at least `tokens` of them; the prompts are not part of them."""
    rng, answers = np.random.default_rng(seed), []
    while sum(len(answer) for answer in answers) < tokens:
        prompts = np.stack(list(pieces(prompts_from, 8, plan.batch, rng)))
        answers += marked_answers(teacher, prompts, key, tokens=plan.answer_tokens, seed=seed + len(answers))
    return answers


def mixture(natural: Ids, marked: Ids, share: float) -> Ids:
    """Natural text followed by marked text, which makes up `share` of the whole; training draws places at random."""
    wanted = int(len(marked) * (1 - share) / share)
    return np.concatenate([natural[:wanted], marked])


def predictions(model: Any, texts: list[Ids]) -> list[Ids]:
    """The most likely next token after each token of texts of one length."""
    found: list[Ids] = []
    with torch.no_grad():
        for start in range(0, len(texts), 32):
            batch = torch.from_numpy(np.stack(texts[start : start + 32]))
            found += list(model(batch).logits.argmax(dim=-1).numpy())
    return found


def asked(
    student: Any, plan: Plan, unmarked: list[Ids], marked: list[Ids], prompts: Ids
) -> dict[str, Callable[[int, WatermarkKey], Ids]]:
    """Three ways of asking: functions of (tokens used, key) that give the windows to judge."""
    in_unmarked, in_marked = predictions(student, unmarked), predictions(student, marked)
    answers: list[Ids] = []
    for start in range(0, len(prompts), plan.batch):
        answers += marked_answers(
            student, prompts[start : start + plan.batch], None, tokens=plan.answer_tokens, seed=91 + start
        )

    def first(texts: list[Ids], tokens: int) -> int:
        return max(1, tokens // len(texts[0]))

    return {
        "open, reading unmarked text": lambda tokens, key: open_windows(
            unmarked[: first(unmarked, tokens)],
            in_unmarked[: first(unmarked, tokens)],
            key,
            read_was_marked=False,
        ),
        "open, reading marked text": lambda tokens, key: open_windows(
            marked[: first(marked, tokens)], in_marked[: first(marked, tokens)], key, read_was_marked=True
        ),
        "closed, unmarked prompts": lambda tokens, key: closed_windows(
            prompts[: first(answers, tokens)].tolist(), answers[: first(answers, tokens)], key, read_was_marked=False
        ),
    }


def judged(windows_of: Callable[[int, WatermarkKey], Ids], key: WatermarkKey, most: int) -> dict[str, Any]:
    """Figures over all tokens, and how many tokens it took until log10 p fell below -3, -6 and -12 (doubling looks)."""
    needed: dict[str, int | None] = {"-3": None, "-6": None, "-12": None}
    look = 250
    while look < 2 * most:
        look = min(look, most)
        seen = reading(windows_of(look, key), key)
        log10_p = exact_log10_p(seen, key)
        for level, at in needed.items():
            if at is None and log10_p < float(level):
                needed[level] = look
        look *= 2
    figure = float(seen.count) if isinstance(seen, GreenReading) else seen.score
    return {
        "tokens": most,
        "windows judged": seen.opportunities,
        "score": round(figure, 1),
        "expected": round(read_score(recorded(seen)).expected, 1),
        "log10 p": round(log10_p, 2),
        "tokens to log10 p below": needed,
    }


def uniform(
    windows_of: Callable[[int, WatermarkKey], Ids], key: WatermarkKey, most: int, number: int
) -> dict[str, float]:
    """The stranger's p-values under random keys, compared with the uniform law."""
    rng = np.random.default_rng(17)
    windows = windows_of(most, key)
    p = []
    for _ in range(number):
        other = key.another(draws(rng))
        p.append(continuous_p(reading(windows, other), other, float(rng.random())))
    test = kstest(p, "uniform")
    return {"keys": number, "Kolmogorov-Smirnov p": round(float(test.pvalue), 4), "smallest p": float(f"{min(p):.2g}")}


def study(plan: Plan, keep: Callable[[dict[str, Any]], None]) -> None:
    """Teacher, marked text, students, questions; `keep` gets all figures so far after each student."""
    started = time.perf_counter()
    corpus = read_corpus()
    tokenizer = trained_tokenizer(corpus, plan.size.vocabulary)
    one, two, unseen = (encode(tokenizer, corpus.parts[part]) for part in ("one", "two", "validation"))
    rng = np.random.default_rng(3)
    unmarked = list(pieces(unseen, 100, plan.read_tokens // 100, rng))
    prompts = np.stack(list(pieces(unseen, 8, plan.answers, rng)))
    teacher = trained(plan.size, one, seed=101)
    seen_in_training = plan.size.steps * plan.size.batch * plan.size.context
    stranger = trained(plan.size, two[:seen_in_training], seed=202)
    results: dict[str, Any] = {"training tokens of a student": seen_in_training}
    for name, key in keys(plan.size.vocabulary).items():
        text = written(teacher, one, key, int(max(SHARES) * seen_in_training), plan, seed=7)
        read = [
            t
            for t in written(teacher, unseen, key, min(plan.read_tokens, 20_000), plan, seed=70_000)
            if len(t) == plan.answer_tokens
        ]
        flat = np.concatenate(text)
        results[name] = {"no marked text": told(stranger, key, plan, unmarked, read, prompts, null=True)}
        keep(results)
        for share in SHARES:
            marked = flat[: int(share * seen_in_training)]
            student = trained(plan.size, mixture(two, marked, share), seed=202)
            results[name][f"{share:.0%}"] = {"marked tokens": len(marked)} | told(
                student, key, plan, unmarked, read, prompts, null=False
            )
            results["seconds"] = round(time.perf_counter() - started)
            keep(results)


def told(
    student: Any, key: WatermarkKey, plan: Plan, unmarked: list[Ids], marked: list[Ids], prompts: Ids, *, null: bool
) -> dict[str, Any]:
    """The figures of one student for each way of asking it."""
    most = {
        "open, reading unmarked text": sum(map(len, unmarked)),
        "open, reading marked text": sum(map(len, marked)),
        "closed, unmarked prompts": len(prompts) * plan.answer_tokens,
    }
    found: dict[str, Any] = {}
    for way, windows_of in asked(student, plan, unmarked, marked, prompts).items():
        found[way] = judged(windows_of, key, most[way])
        # Marked text depends on its key: only what does not can be held against random ones and stay the same.
        if null and way != "open, reading marked text":
            found[way]["under random keys"] = uniform(windows_of, key, most[way], plan.null_keys)
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=tuple(PLANS), default="small")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)

    def keep(results: dict[str, Any]) -> None:
        print(json.dumps(results), flush=True)
        if chosen.size != "smoke":
            before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
            RESULTS.write_text(json.dumps(before | {chosen.size: results}, indent=1) + "\n")

    study(PLANS[chosen.size], keep)


if __name__ == "__main__":
    main()
