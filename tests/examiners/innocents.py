"""Innocent suspects of many kinds against keys and orders that are drawn anew each time: what p and e they get.

    python -m tests.examiners.innocents 300

Everything runs as the examiners run it, from a key on: windows, score, exact law; numbers of texts, controls, judgement. What is drawn is
drawn as an opened lot draws it, from a fresh seed. Some suspects depend on marked text that stands in their prompts, or that they
read, as strongly as they can; some have controls that somebody chose to suit.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from filiation.canaries.generators import candidates, paired
from filiation.canaries.opening import Request, Statistic
from filiation.canaries.scoring import Answers, Opened, score_of, tallied
from filiation.evidence import Finding, Relation, Relations
from filiation.examiners import private_twins, training_order
from filiation.examiners.drawn_texts import PARAMETERS
from filiation.examiners.shifted import score_under
from filiation.lots.drawing import order_of, second_is_published, stream
from filiation.measures.radioactivity import (
    Likeliest,
    closed_windows,
    contexts_are_independent,
    open_windows,
    shift,
    weighed_windows,
)
from filiation.measures.watermarks import (
    GreenListKey,
    GumbelKey,
    SynthIDKey,
    Tokens,
    VllmGumbelKey,
    WatermarkKey,
    reading,
    recorded,
)
from filiation.statistics.register import empty
from filiation.statistics.watermark_tails import log10_e_of, log10_p_of, read_score
from tests.marked.watermark import WORDS, Language, Student, texts_of

LEVELS = (0.1, 0.01, 0.001)
LANGUAGE = Language()
SCHEMES: dict[str, WatermarkKey] = {
    "Gumbel": GumbelKey(secret="00" * 32, context_width=2),
    "vLLM": VllmGumbelKey(key=0, context_width=2),
    "green list": GreenListKey(vocabulary=WORDS, hashing_key=1),
    "selfhash": GreenListKey(vocabulary=WORDS, hashing_key=1, seeding_scheme="selfhash", context_width=3),
    "SynthID": SynthIDKey(keys=(0,) * 6, ngram_len=3, sampling_table_size=4096),
}
PROMPTS, WORDS_SAID = 12, 25
Text = list[int]
Numbers = NDArray[np.int64]
Figure = tuple[float, float]
"""log10 p and log10 e."""


@dataclass(frozen=True)
class Seeded:
    seed: bytes


def seeded(*name: str | int) -> Seeded:
    return Seeded(hashlib.sha256(repr(name).encode()).digest())


def excess(p: Sequence[float] | NDArray[np.float64]) -> float:
    """log10 of the smallest chance, over the levels, that so many are at or below it by the law that they should have."""
    logs = np.asarray(p)
    tails = [binom.sf(int((logs <= np.log10(level) + 1e-12).sum()) - 1, len(logs), level) for level in LEVELS]
    return float(np.log10(max(min(tails), 1e-300)))


# ------------------------------------------------------------------------------------------------------------ watermarks


def preferring(key: WatermarkKey) -> Callable[[Sequence[int], np.random.Generator], int]:
    """Of six words of the language the one that the key likes best."""

    def say(said: Sequence[int], rng: np.random.Generator) -> int:
        candidates = rng.choice(WORDS, size=6, p=LANGUAGE.chances[said[-1]])
        if len(said) < key.window - 1:
            return int(candidates[0])
        windows = np.array([[*said[len(said) - key.window + 1 :], word] for word in candidates], dtype=np.int64)
        return int(candidates[int(np.argmax([reading(window[None], key).score for window in windows]))])

    return say


def own_answers(rng: np.random.Generator) -> Text:
    return texts_of(LANGUAGE.plain, 1, WORDS_SAID, int(rng.integers(1 << 30)))[0]


def with_gaps(text: Text, rng: np.random.Generator) -> Text:
    return [word for word in text if rng.random() < 0.8]


def by_what_was_read(read: Sequence[Text], rng: np.random.Generator) -> Text:
    """A model that learned in its context: it writes what followed in any prompt, as one word and as two words follow."""
    student, said = Student(read), [int(rng.integers(WORDS)), int(rng.integers(WORDS))]
    for _ in range(WORDS_SAID):
        said.append(int(np.argmax(student.chances(said))) if rng.random() < 0.7 else int(rng.integers(WORDS)))
    return said


ANSWERING: dict[str, Callable[[int, Sequence[Text], np.random.Generator], Text]] = {
    "skilled": lambda _at, _read, rng: own_answers(rng),
    "constant": lambda _at, _read, _rng: [5, 6, 7, 8] * 6,
    "biased to few words": lambda _at, _read, rng: rng.integers(4, size=WORDS_SAID).tolist(),
    "copies of one answer": lambda _at, _read, _rng: own_answers(np.random.default_rng(3)),
    "empty or one word": lambda at, _read, _rng: [at % WORDS] if at % 2 else [],
    "repeats its prompt": lambda at, read, _rng: list(read[at]),
    "repeats another prompt": lambda at, read, _rng: list(read[at - 1]),
    "repeats with gaps": lambda at, read, rng: with_gaps(read[at], rng),
    "joins two prompts": lambda at, read, _rng: [*read[at][:10], *read[at - 1][5:15]],
    "learns in context": lambda _at, read, rng: by_what_was_read(read, rng),
}
"""The answer to each prompt; all prompts are marked text, except under schemes that forbid it."""

PREDICTING: dict[str, Callable[[Sequence[Text], int, int], int]] = {
    "skilled": lambda texts, text, at: int(np.argmax(LANGUAGE.chances[texts[text][at]])),
    "constant": lambda _texts, _text, _at: 5,
    "the last word again": lambda texts, text, at: texts[text][at],
    "learns from all texts before": lambda texts, text, at: _most_frequent_after(
        [*texts[:text], texts[text][: at + 1]], texts[text][at]
    ),
    "learns from this text": lambda texts, text, at: _most_frequent_after([texts[text][: at + 1]], texts[text][at]),
}
"""What is predicted after texts[text][: at + 1]."""


def _most_frequent_after(texts: Sequence[Text], word: int) -> int:
    after = [two for text in texts for one, two in pairwise(text) if one == word]
    return max(set(after), key=after.count) if after else word


def figure_of(windows: Tokens, key: WatermarkKey) -> Figure:
    score = read_score(recorded(reading(windows, key)))
    return min(0.0, log10_p_of(score, key.log10_keys)), log10_e_of(score, key.log10_keys)


def prompts_under(key: WatermarkKey, rng: np.random.Generator) -> list[Text]:
    say = preferring(key) if contexts_are_independent(key) else LANGUAGE.plain
    return texts_of(say, PROMPTS, WORDS_SAID, int(rng.integers(1 << 30)))


def watermarks(scheme: str, draws: int) -> dict[str, list[Figure | None]]:
    """Of each kind of suspect, its figures under keys drawn anew."""
    found: dict[str, list[Figure | None]] = {kind: [] for kind in ANSWERING}
    for number in range(draws):
        key, rng = SCHEMES[scheme].another(stream(seeded(scheme, number))), np.random.default_rng(number)
        read = prompts_under(key, rng)
        for kind, answer in ANSWERING.items():
            said = [answer(at, read, rng) for at in range(PROMPTS)]
            windows = closed_windows(read, said, key, read_was_marked=contexts_are_independent(key))
            found[kind].append(figure_of(windows, key))
    return found


def radioactivity(scheme: str, draws: int) -> dict[str, list[Figure | None]]:
    found: dict[str, list[Figure | None]] = {kind: [] for kind in PREDICTING}
    for number in range(draws):
        key, rng = SCHEMES[scheme].another(stream(seeded(scheme, "read", number))), np.random.default_rng(number)
        read = prompts_under(key, rng)
        for kind, likeliest in PREDICTING.items():
            predicted = [[likeliest(read, text, at) for at in range(len(read[text]))] for text in range(len(read))]
            windows = open_windows(read, predicted, key, read_was_marked=contexts_are_independent(key))
            found[kind].append(figure_of(windows, key))
    return found


# ---------------------------------------------------------------------------------------------- shifts from a companion

Chances = NDArray[np.float64]

SHIFTED: dict[str, Callable[[Sequence[Text], int, int], Chances]] = {
    "skilled": lambda texts, text, at: _tempered(texts[text][at], 1.3),
    "less sure": lambda texts, text, at: _tempered(texts[text][at], 0.4),
    "of another language": lambda texts, text, at: OTHER_LANGUAGE.chances[texts[text][at]],
    "constant": lambda _texts, _text, _at: _peaked(5),
    "the last word again": lambda texts, text, at: _peaked(texts[text][at]),
    "learns from all texts before": lambda texts, text, at: _counted([*texts[:text], texts[text][: at + 1]], texts[text][at]),
    "learns two words from all texts before": lambda texts, text, at: _counted_after_two(
        [*texts[:text], texts[text][: at + 1]], texts[text][max(0, at - 1) : at + 1]
    ),
}  # fmt: skip
"""The chances after texts[text][: at + 1]; the companion knows the language."""
OTHER_LANGUAGE = Language(seed=2)


def _tempered(word: int, power: float) -> Chances:
    chances = LANGUAGE.chances[word] ** power + 1e-6
    return chances / chances.sum()  # type: ignore[no-any-return]


def _peaked(word: int) -> Chances:
    return np.where(np.arange(WORDS) == word, 0.9, 0.1 / (WORDS - 1))


def _counted(texts: Sequence[Text], word: int) -> Chances:
    counts = LANGUAGE.chances[word] + 1e-3
    for text in texts:
        for one, two in pairwise(text):
            counts[two] += 2.0 * (one == word)
    return counts / counts.sum()  # type: ignore[no-any-return]


def _counted_after_two(texts: Sequence[Text], words: Text) -> Chances:
    counts = LANGUAGE.chances[words[-1]] + 1e-3
    for text in texts:
        for at in range(len(text) - 2):
            counts[text[at + 2]] += 2.0 * (text[at : at + 2] == words)
    return counts / counts.sum()  # type: ignore[no-any-return]


def shifts(scheme: str, draws: int) -> dict[str, list[Figure | None]]:
    """Texts are marked, as strongly as they can be; only schemes with independent contexts have such a test."""
    found: dict[str, list[Figure | None]] = {kind: [] for kind in SHIFTED}
    for number in range(draws):
        key, rng = SCHEMES[scheme].another(stream(seeded(scheme, "shift", number))), np.random.default_rng(number)
        read = prompts_under(key, rng)
        companion = [_of_all_words([_tempered(word, 1.0) for word in text]) for text in read]
        for kind, chances in SHIFTED.items():
            suspect = [
                _of_all_words([chances(read, text, at) for at in range(len(read[text]))]) for text in range(len(read))
            ]
            weights = [shift(one, other) for one, other in zip(suspect, companion, strict=True)]
            score = score_under(weighed_windows(read, weights, key, read_was_marked=True), key)
            found[kind].append((score.log10_p(key.log10_keys), score.log10_e(key.log10_keys)))
    return found


def _of_all_words(chances: Sequence[Chances]) -> Likeliest:
    return Likeliest(np.tile(np.arange(WORDS), (len(chances), 1)), np.log(np.array(chances)))


# ------------------------------------------------------------------------------------------------------- order and twins

TEXTS = 60
MEMORY = 150_000
"""Of what is remembered, where anything is: three times the noise of a model."""


def difficulty(rng: np.random.Generator, shape: tuple[int, ...]) -> Numbers:
    return rng.normal(-1.5e6, 3e5, shape).astype(np.int64)


def noisy(values: Numbers, rng: np.random.Generator) -> Numbers:
    return values + rng.normal(0.0, 5e4, values.shape).astype(np.int64)


SCORING: dict[str, Callable[[Numbers, np.random.Generator], Numbers]] = {
    "skilled": noisy,
    "constant": lambda hard, _rng: np.full_like(hard, -1_000_000),
    "in two values": lambda hard, _rng: np.where(hard > -1_500_000, -1, -2),
    "rounded": lambda hard, _rng: hard // 200_000,
    "by place in the file": lambda hard, _rng: np.arange(hard.size).reshape(hard.shape) * 10_000,
    "by topic": lambda hard, rng: np.repeat(rng.integers(-9, 0, hard.shape[0]), hard.size // len(hard)).reshape(hard.shape) * 100_000,
    "wild": lambda hard, rng: (rng.standard_cauchy(hard.shape) * 1e9).astype(np.int64),
    "copy of a control": lambda hard, _rng: noisy(hard, np.random.default_rng(1)),
    "read in another order": lambda hard, rng: noisy(hard, rng) + (MEMORY * rng.random(hard.shape)).astype(np.int64),
    "sorted by difficulty": lambda hard, rng: noisy(np.sort(hard, axis=0), rng),
}  # fmt: skip

CONTROLLED: dict[str, Callable[[Numbers, Numbers, np.random.Generator], list[Numbers]]] = {
    "no controls": lambda _hard, _knows, _rng: [],
    "three controls": lambda hard, _knows, rng: [noisy(hard, np.random.default_rng(1)), *(noisy(hard, rng) for _ in range(2))],
    "one control that remembers the contrary": lambda hard, knows, rng: [noisy(hard, rng) + MEMORY - knows],
    "one of two that remembers the contrary": lambda hard, knows, rng: [noisy(hard, rng) + MEMORY - knows, noisy(hard, rng)],
    "two that both remember the contrary": lambda hard, knows, rng: [noisy(hard, rng) + MEMORY - knows for _ in range(2)],
    "one of three that remembers": lambda hard, knows, rng: [noisy(hard, rng) + knows, noisy(hard, rng), noisy(hard, rng)],
}  # fmt: skip
"""The numbers of the controls, from what is hard and what was remembered under the lot."""


def orders(controls: str, draws: int) -> dict[str, list[Figure | None]]:
    """The figures of the likelihood test over orders drawn anew; None where there is no figure."""
    found: dict[str, list[Figure | None]] = {kind: [] for kind in SCORING}
    for number in range(draws):
        rng = np.random.default_rng(number)
        places = np.empty(TEXTS, dtype=np.int64)
        places[list(order_of(seeded("order", number).seed, TEXTS))] = np.arange(TEXTS)
        hard = difficulty(rng, (TEXTS, 1))
        beside = CONTROLLED[controls](hard, MEMORY * places[:, None] // TEXTS, rng)
        for kind, score in SCORING.items():
            content = relation_content(score(hard, rng), beside) | {"places": places.tolist()}
            found[kind].append(figure(training_order, content))
    return found


def twins(controls: str, draws: int) -> dict[str, list[Figure | None]]:
    found: dict[str, list[Figure | None]] = {kind: [] for kind in SCORING}
    for number in range(draws):
        rng, seed = np.random.default_rng(number), seeded("twins", number).seed
        coins = np.array([second_is_published(seed, pair) for pair in range(TEXTS)])
        hard = difficulty(rng, (TEXTS, 2))
        published = np.stack([~coins, coins], axis=1)
        beside = CONTROLLED[controls](hard, MEMORY * published, rng)
        for kind, score in SCORING.items():
            rows = [np.where(coins[:, None], each[:, ::-1], each) for each in (score(hard, rng), *beside)]
            found[kind].append(figure(private_twins, relation_content(rows[0], rows[1:])))
    return found


def relation_content(suspect: Numbers, controls: Sequence[Numbers]) -> dict[str, Any]:
    """What `line_up` would record of these numbers."""
    lot = {
        "owner": "ours", "number": 1, "commitment_sha256": "00" * 32, "stamps": {}, "beacon": "b", "beacon_time": "t", "remarks": [],
        "certificates": [], "items": len(suspect),
    }  # fmt: skip
    likelihood = {
        "at": list(range(len(suspect))),
        "suspect": suspect.tolist(),
        "controls": [{"name": f"c{at}", "values": each.tolist()} for at, each in enumerate(controls)],
        "left_out": [],
    }
    return {
        "lot": lot,
        "settings": dict(PARAMETERS),
        "commitments": 1,
        "likelihood": likelihood,
        "text": {"absent": "-"},
    }


def figure(examiner: Any, content: dict[str, Any]) -> Figure | None:
    pair = Relation(
        examiner=examiner.NAME, examiner_version=examiner.VERSION, first="a", second="b", seed=0, content=content
    )
    *_, outcome = examiner.judge(Relations(pair=pair), (), empty(examiner.NAME))
    return (outcome.log10_p, outcome.log10_e) if isinstance(outcome, Finding) else None


# -------------------------------------------------------------------------------------------------------------- canaries

CANARIES, COHORTS = 48, 3
LogProbabilities = NDArray[np.float64]

BELIEVING: dict[str, Callable[[np.random.Generator], LogProbabilities]] = {
    "skilled": lambda rng: np.random.default_rng(3).normal(0.0, 2.0, (CANARIES, 16)) + rng.normal(0.0, 0.1, (CANARIES, 16)),
    "one option for all": lambda _rng: np.tile(np.where(np.arange(16) == 4, 0.0, -9.0), (CANARIES, 1)),
    "by the option's place": lambda _rng: np.tile(-np.arange(16.0), (CANARIES, 1)),
    "all options level": lambda _rng: np.zeros((CANARIES, 16)),
    "two values": lambda rng: np.where(rng.random((CANARIES, 16)) < 0.5, -1.0, -2.0),
    "tells five tokens": lambda rng: np.where(rng.random((CANARIES, 16)) < 0.3, rng.normal(size=(CANARIES, 16)), -np.inf),
    "copies of one model": lambda _rng: np.random.default_rng(4).normal(size=(CANARIES, 16)),
    "answers one in three": lambda rng: np.where(rng.random((CANARIES, 1)) < 0.3, rng.normal(size=(CANARIES, 16)), np.nan),
}  # fmt: skip
"""What each option's log-probability is; the answer is the likeliest. Not a number: that canary was not answered."""


def canaries(statistic: Statistic, draws: int) -> dict[str, list[Figure | None]]:
    """The figures of a verifier under keys drawn anew, several cohorts searched and paid for."""
    asked = paired(candidates(2 * CANARIES, 16, np.random.default_rng(1)), CANARIES, np.random.default_rng(2))
    planted = [canary for canary in asked if not canary.decoy]
    request = Request(
        commitment="c", batch=0, verifier="v", suspects=("s",), considered=1, statistic=statistic, placebo_keys=19, wrong_cohorts=1
    )  # fmt: skip
    found: dict[str, list[Figure | None]] = {kind: [] for kind in BELIEVING}
    for number in range(draws):
        drawn = {"key": seeded("canaries", number).seed, "beacon": seeded("beacon", number).seed, "placebo_seed": b"p"}
        opened = Opened(canaries=asked, cohorts=COHORTS, batches=1, commitments=1, **drawn)
        rng = np.random.default_rng(number)
        for kind, believes in BELIEVING.items():
            given = {
                canary.index: row for canary, row in zip(planted, believes(rng), strict=True) if not np.isnan(row).all()
            }
            texts = {
                canary.index: canary.options[int(np.argmax(given[canary.index]))]
                for canary in planted
                if canary.index in given
            }
            answers = Answers("s", texts, {index: tuple(row.tolist()) for index, row in given.items()})
            score = score_of("s", tallied(opened, request, answers))
            found[kind].append(None if score.warnings else (score.log10_p, score.log10_e))
    return found


# ------------------------------------------------------------------------------------------------------------------- all


def everything(draws: int) -> Iterator[tuple[str, str, list[Figure | None]]]:
    statistics: tuple[Statistic, ...] = ("agreements", "ranks")
    for statistic in statistics:
        yield from ((f"canaries, {statistic}", kind, found) for kind, found in canaries(statistic, draws).items())
    for scheme in SCHEMES:
        for name, simulated in (("watermark", watermarks), ("radioactivity", radioactivity)):
            yield from ((f"{name}, {scheme}", kind, found) for kind, found in simulated(scheme, draws).items())
        if contexts_are_independent(SCHEMES[scheme]):
            yield from ((f"shift, {scheme}", kind, found) for kind, found in shifts(scheme, draws).items())
    for controls in CONTROLLED:
        for name, drawn in (("training order", orders), ("private twins", twins)):
            yield from ((f"{name}, {controls}", kind, found) for kind, found in drawn(controls, draws).items())


def p_of(found: Sequence[Figure | None]) -> list[float]:
    """log10 p of each; where there is no figure nobody is accused."""
    return [0.0 if each is None else each[0] for each in found]


def e_of(found: Sequence[Figure | None]) -> list[float]:
    return [0.0 if each is None else 10 ** each[1] for each in found]


def main(draws: int) -> None:
    for name, kind, found in everything(draws):
        p, e = np.array(p_of(found)), e_of(found)
        shares = " ".join(f"{(p <= np.log10(level)).mean():.4f}" for level in LEVELS)
        median = f"median {np.median(p):6.2f}"
        silent = sum(each is None for each in found)
        print(
            f"{name:55} {kind:30} p<=.1,.01,.001: {shares}  least {p.min():7.2f}  {median}  mean e {np.mean(e):.3f}  "
            f"excess {excess(p):6.2f}  no figure {silent}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]))
