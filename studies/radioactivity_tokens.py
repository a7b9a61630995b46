"""How many tokens it takes until a student of marked text is told from the key's strangers: curves, with several students to a share.

    python -m studies.radioactivity_tokens --cache FOLDER [--students 30]

The same teacher, sizes and shares as `studies.radioactivity --size small`, and far more reading: each student reads 512,000 tokens of
unmarked text and 96,000 of marked text that no student was trained on, and answers with 96,000. Three marks are tried: one whose key
reads a single token of context, so that there are no more lists than tokens, and two whose key reads two tokens and has 256 bits,
so that neither the number of windows nor the chance of guessing the key is reached:

    green list, lefthash, bias 4               the key, text and student of seed 202 of `studies.radioactivity`
    green list, two tokens of context, bias 4  a quarter of the vocabulary, drawn by a generator seeded with HMAC-SHA256(secret, context)
    Gumbel, two tokens of context              the key, text and student of seed 202 of `studies.radioactivity`

Students are trained in a fixed order; `--students` says after how many to stop. A student is trained once and kept under
`--cache`, and so is what it predicted and answered. Looks are taken in doubling steps from 250 tokens; p-values are those of a single look.

A student that is not found at the end gives a bound: its excess of a window is below the upper 97.5 % limit, so it takes at least
so many windows until log10 p = -6 is expected; and further windows come no faster than in the last doubling.

Writes `tokens needed` in `studies/results/radioactivity.json`.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kstest

from filiation.measures.radioactivity import closed_windows, open_windows
from filiation.measures.watermarks import GumbelKey, WatermarkKey, reading, recorded, uniforms
from filiation.measures.watermarks.generation import GumbelSampler, marked_answers
from filiation.statistics.watermark_tails import GreenScore, Score, SumScore, log10_p_of, read_score
from studies.radioactivity import PLANS, RESULTS, Ids, keys, mixture, predictions, trained
from studies.watermarks import draws, pieces
from studies.watermarks_page import windows_needed
from studies.zoo.architectures import configuration, fresh
from studies.zoo.corpus import Corpus, encode, read_corpus, trained_tokenizer

PLAN = PLANS["small"]
LEFTHASH, LISTS, GUMBEL = (
    "green list, lefthash, bias 4",
    "green list, two tokens of context, bias 4",
    "Gumbel, two tokens of context",
)
MARKS = (LEFTHASH, LISTS, GUMBEL)
FIRST_LOOK = 250
UNMARKED_TOKENS, MARKED_TOKENS, ANSWER_TOKENS = 512_000, 96_000, 96_000
BIAS, RATIO = 4.0, 0.25
RANDOM_KEYS = 25
WAYS = ("open, reading unmarked text", "open, reading marked text", "closed, unmarked prompts")


# ---------------------------------------------------------------------------------------------------------------- marks


@dataclass(frozen=True)
class DrawnLists:
    """Green lists of a secret of 256 bits: one for each context of two tokens. Transformers has none with more than a token of context
    whose lists are independent of one another (selfhash shares them), nor with a key of more than 63 bits."""

    secret: bytes
    vocabulary: int
    drawn: dict[bytes, NDArray[np.bool_]] = field(default_factory=dict)

    def green(self, context: Ids) -> NDArray[np.bool_]:
        """Which tokens are green after this context, length `vocabulary`."""
        packed = context.astype("<i8").tobytes()
        if packed not in self.drawn:
            digest = hmac.digest(self.secret, b"green list of two tokens" + packed, "sha256")
            order = np.random.default_rng(int.from_bytes(digest, "little")).permutation(self.vocabulary)
            self.drawn[packed] = np.zeros(self.vocabulary, dtype=bool)
            self.drawn[packed][order[: self.list_size]] = True
        return self.drawn[packed]

    @property
    def list_size(self) -> int:
        return int(self.vocabulary * RATIO)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Adds the bias to green tokens: a logits processor of transformers."""
        green = np.stack([self.green(context) for context in input_ids[:, -2:].numpy()])
        return scores + BIAS * torch.from_numpy(green)

    def score(self, windows: Ids) -> GreenScore:
        """Green tokens among distinct windows of three tokens, and the opportunities of each list."""
        contexts, lists, sizes = np.unique(windows[:, :2], axis=0, return_inverse=True, return_counts=True)
        green = np.stack([self.green(context) for context in contexts])
        return GreenScore(
            count=int(green[lists.reshape(-1), windows[:, 2]].sum()),
            sizes=tuple(sorted(Counter(sizes.tolist()).items())),
            list_size=self.list_size,
            vocabulary=self.vocabulary,
        )


class RememberingSampler(GumbelSampler):
    """The sampler of the package, the numbers of a context worked out once for all answers."""

    def __init__(self, key: GumbelKey, drawn: dict[tuple[int, ...], NDArray[np.float64]]) -> None:
        super().__init__(key, prompt_tokens=0)
        self._secret, self._drawn = key, drawn

    def _chosen(self, context: tuple[int, ...], log_chances: Any) -> int:
        if context not in self._drawn:
            windows = np.array([(*context, token) for token in range(len(log_chances))], dtype=np.int64)
            self._drawn[context] = np.log(-np.log(uniforms(windows, self._secret)))
        return int(np.argmax(log_chances - self._drawn[context]))


@dataclass(frozen=True)
class Mark:
    """A key, and for lists of two tokens what draws them; `key` then says only that two tokens are read, and how many keys there are."""

    key: WatermarkKey
    lists: bool = False

    def score(self, windows: Ids) -> Score:
        """What the key says of distinct windows."""
        if self.lists and isinstance(self.key, GumbelKey):
            return DrawnLists(bytes.fromhex(self.key.secret), PLAN.size.vocabulary).score(windows)
        return read_score(recorded(reading(windows, self.key)))

    def another(self, rng: np.random.Generator) -> Mark:
        return Mark(self.key.another(draws(rng)), self.lists)

    def answers(self, teacher: Any) -> Callable[[Ids, int], list[Ids]]:
        """A function of (prompts, seed) that writes marked text; lists and numbers are remembered between calls."""
        if not isinstance(self.key, GumbelKey):
            return lambda prompts, seed: marked_answers(
                teacher, prompts, self.key, tokens=PLAN.answer_tokens, seed=seed
            )
        key, lists = self.key, DrawnLists(bytes.fromhex(self.key.secret), PLAN.size.vocabulary)
        drawn: dict[tuple[int, ...], NDArray[np.float64]] = {}
        return lambda prompts, seed: processed(
            teacher, prompts, lists if self.lists else RememberingSampler(key, drawn), seed
        )


def marks() -> dict[str, Mark]:
    """The three marks; two keys are those of `studies.radioactivity`."""
    before = keys(PLAN.size.vocabulary)
    secret = GumbelKey(secret="00" * 32, context_width=2).another(draws(np.random.default_rng(20261122)))
    return {LEFTHASH: Mark(before[LEFTHASH]), LISTS: Mark(secret, lists=True), GUMBEL: Mark(before[GUMBEL])}


def processed(teacher: Any, prompts: Ids, processor: Any, seed: int) -> list[Ids]:
    """Answers as `marked_answers` gives them, through any logits processor; members of the zoo have no end of text."""
    import transformers

    torch.manual_seed(seed)
    given = torch.as_tensor(prompts)
    with torch.no_grad():
        done = teacher.generate(
            given,
            attention_mask=torch.ones_like(given),
            do_sample=True,
            top_k=0,
            top_p=1.0,
            max_new_tokens=PLAN.answer_tokens,
            pad_token_id=0,
            logits_processor=transformers.LogitsProcessorList([processor]),
        )
    return list(done[:, prompts.shape[1] :].numpy())


# ------------------------------------------------------------------------------------------------------------- workshop


@dataclass(frozen=True)
class Workshop:
    """Teacher, texts and students, each made once and kept in a folder, under the digest of everything that decides it."""

    corpus: Corpus
    cache: Path

    def kept(self, recipe: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        named = hashlib.sha256(repr((PLAN.size, self.corpus.digest, recipe)).encode()).hexdigest()
        place = self.cache / f"{named[:20]}.pt"
        if not place.exists():
            torch.save(make(), place)
        return torch.load(place, weights_only=True)

    @cached_property
    def parts(self) -> dict[str, Ids]:
        tokenizer = trained_tokenizer(self.corpus, PLAN.size.vocabulary)
        return {part: encode(tokenizer, text) for part, text in self.corpus.parts.items()}

    @cached_property
    def marks(self) -> dict[str, Mark]:
        return marks()

    @property
    def training_tokens(self) -> int:
        return PLAN.size.steps * PLAN.size.batch * PLAN.size.context

    @cached_property
    def teacher(self) -> Any:
        return self.model(("teacher", 101), lambda: self.parts["one"], 101)

    def model(self, recipe: tuple[Any, ...], tokens: Callable[[], Ids], seed: int) -> Any:
        weights = self.kept(recipe, lambda: trained(PLAN.size, tokens(), seed).state_dict())
        model = fresh(configuration("llama", PLAN.size), seed)
        model.load_state_dict(weights)
        return model.eval()

    def student(self, mark: str | None, share: float, seed: int) -> Any:
        """Trained on the other half of the library, of which this share is replaced by marked text."""

        def tokens() -> Ids:
            if mark is None:
                return self.parts["two"][: self.training_tokens]
            marked = np.concatenate(self.text(mark, "training", int(max(share, 0.05) * self.training_tokens)))
            return mixture(self.parts["two"], marked[: int(share * self.training_tokens)], share)

        return self.model(("student", mark, share, seed), tokens, seed)

    def text(self, mark: str, purpose: str, tokens: int) -> list[Ids]:
        """What the teacher wrote under the key: text to train students on, or new text for them to read. Less of it is its beginning."""
        source, seed = {"training": ("one", 7), "reading": ("validation", 70_000)}[purpose]
        return list(
            self.kept(
                ("text", mark, purpose, tokens, seed),
                lambda: torch.from_numpy(np.stack(list(self._written(mark, source, tokens, seed)))),
            ).numpy()
        )

    def _written(self, mark: str, source: str, tokens: int, seed: int) -> Iterator[Ids]:
        rng, written = np.random.default_rng(seed), 0
        answers = self.marks[mark].answers(self.teacher)
        while written * PLAN.answer_tokens < tokens:
            yield from (made := answers(np.stack(list(pieces(self.parts[source], 8, PLAN.batch, rng))), seed + written))
            written += len(made)

    @cached_property
    def unmarked(self) -> list[Ids]:
        """What `studies.radioactivity` has its students read, then all of the validation text, then test suites."""
        rng, unseen = np.random.default_rng(3), self.parts["validation"]
        first = list(pieces(unseen, 100, PLAN.read_tokens // 100, rng))
        rest = np.concatenate([unseen, self.parts["tests"]])
        return [*first, *np.split(rest[: len(rest) // 100 * 100], len(rest) // 100)][: UNMARKED_TOKENS // 100]

    @cached_property
    def prompts(self) -> Ids:
        """Those of `studies.radioactivity`, then more."""
        rng, unseen = np.random.default_rng(3), self.parts["validation"]
        list(pieces(unseen, 100, PLAN.read_tokens // 100, rng))
        found = [
            *pieces(unseen, 8, PLAN.answers, rng),
            *pieces(unseen, 8, ANSWER_TOKENS // PLAN.answer_tokens, np.random.default_rng(4)),
        ]
        return np.stack(found[: ANSWER_TOKENS // PLAN.answer_tokens])

    def predicted(self, recipe: tuple[Any, ...], student: Any, name: str, texts: list[Ids]) -> list[Ids]:
        asked = ("predicted", name, len(texts), *recipe)
        return list(self.kept(asked, lambda: torch.from_numpy(np.stack(predictions(student, texts)))).numpy())

    def answered(self, recipe: tuple[Any, ...], student: Any) -> list[Ids]:
        def made() -> Any:
            starts = range(0, len(self.prompts), PLAN.batch)
            return torch.from_numpy(np.concatenate([self._batch(student, start) for start in starts]))

        return list(self.kept(("answered", len(self.prompts), *recipe), made).numpy())

    def _batch(self, student: Any, start: int) -> list[Ids]:
        prompts = self.prompts[start : start + PLAN.batch]
        return marked_answers(student, prompts, None, tokens=PLAN.answer_tokens, seed=91 + start)

    def ways(self, recipe: tuple[str | None, float, int], mark: str) -> dict[str, tuple[int, Callable[[int], Ids]]]:
        """For each way of asking: the most tokens, and a function of tokens that gives the windows to judge."""
        student, key = self.student(*recipe), self.marks[mark].key
        unmarked, marked, prompts = self.unmarked, self.text(mark, "reading", MARKED_TOKENS), self.prompts.tolist()
        in_unmarked = self.predicted(recipe, student, "unmarked", unmarked)
        in_marked = self.predicted(recipe, student, mark, marked)
        answers = self.answered(recipe, student)

        def reading_of(texts: list[Ids], found: list[Ids], marked: bool) -> Callable[[int], Ids]:
            return lambda tokens: open_windows(
                texts[: pieces_of(tokens)], found[: pieces_of(tokens)], key, read_was_marked=marked
            )

        return {
            WAYS[0]: (100 * len(unmarked), reading_of(unmarked, in_unmarked, False)),
            WAYS[1]: (100 * len(marked), reading_of(marked, in_marked, True)),
            WAYS[2]: (
                100 * len(answers),
                lambda tokens: closed_windows(
                    prompts[: pieces_of(tokens)], answers[: pieces_of(tokens)], key, read_was_marked=False
                ),
            ),
        }


def pieces_of(tokens: int) -> int:
    """How many texts of 100 tokens."""
    return max(1, tokens // 100)


# --------------------------------------------------------------------------------------------------------------- judging


def curve(mark: Mark, way: str, most: int, windows_of: Callable[[int], Ids]) -> dict[str, Any]:
    """log10 p look by look, the tokens until it fell below -3, -6 and -12, and a bound for what was not reached."""
    looks: list[list[float]] = []
    for tokens in looks_to(most):
        windows = windows_of(tokens)
        score = mark.score(windows)
        looks.append([tokens, len(windows), round(log10_p_of(score, mark.key.log10_keys), 2)])
    return {
        "looks: tokens, windows, log10 p": looks,
        "excess of a window, in its standard deviations": round(effect(score), 4),
        "log10 p without the chance of guessing the key": round(log10_p_of(score, math.inf), 2),
        "tokens to log10 p below": {
            level: next((int(look[0]) for look in looks if look[2] < float(level)), None)
            for level in ("-3", "-6", "-12")
        },
    } | ({} if min(look[2] for look in looks) < -6 else {"at least": bound(score, looks, ceiling(mark, way))})


def ceiling(mark: Mark, way: str) -> int:
    """The most windows that there can be: in marked text each context is judged once."""
    return int(PLAN.size.vocabulary ** (mark.key.window - (way == WAYS[1])))


def looks_to(most: int) -> list[int]:
    doubled = [FIRST_LOOK * 2**step for step in range(30)]
    return [*(look for look in doubled if look < most), most]


def effect(score: Score) -> float:
    """The mean excess of a window over what chance gives, in standard deviations of one window."""
    if not score.opportunities:
        return 0.0
    spread = 1.0 if isinstance(score, SumScore) else math.sqrt(score.chance * (1 - score.chance))
    value = score.score if isinstance(score, SumScore) else float(score.count)
    return (value - score.expected) / (spread * score.opportunities)


def bound(score: Score, looks: list[list[float]], most_windows: int) -> dict[str, int | None]:
    """Windows and tokens below which log10 p = -6 is not to be expected, at 97.5 %; None: there will never be so many windows.

    Further windows come no faster than in the last doubling, because each counts once.
    """
    windows = windows_needed(effect(score), score.opportunities)
    if windows is None:
        return {"windows": None, "tokens": None}
    if windows > most_windows:
        return {"windows": windows, "tokens": None}
    (tokens, seen, _), (before, seen_before, _) = looks[-1], looks[-2]
    missing = windows - seen
    if missing <= 0:
        return {"windows": windows, "tokens": int(tokens)}
    if seen == seen_before:
        return {"windows": windows, "tokens": None}
    return {"windows": windows, "tokens": math.ceil(tokens + missing * (tokens - before) / (seen - seen_before))}


def under_random_keys(mark: Mark, windows: Ids) -> dict[str, float]:
    """The stranger's p-values over all it read, under random keys, compared with the uniform law."""
    rng, p = np.random.default_rng(18), []
    for _ in range(RANDOM_KEYS):
        score = mark.another(rng).score(windows)
        at_least = 10 ** log10_p_of(score, math.inf)
        more = at_least if isinstance(score, SumScore) else 10 ** score.log10_tail(score.count + 1)
        p.append(more + float(rng.random()) * (at_least - more))
    test = kstest(p, "uniform")
    return {"keys": RANDOM_KEYS, "Kolmogorov-Smirnov p": round(float(test.pvalue), 4)}


# ----------------------------------------------------------------------------------------------------------------- study


def order() -> Iterator[tuple[str | None, float, int]]:
    """Mark, share and seed of each student: what was open first, then further seeds."""
    rounds = (
        (0.05, 202),
        (0.0, 202),
        (0.05, 203),
        (0.01, 202),
        (0.25, 202),
        (0.05, 204),
        (0.01, 203),
        (0.25, 203),
        (0.0, 203),
        (0.01, 204),
        (0.25, 204),
    )
    for share, seed in rounds:
        yield from ((mark, share, seed) for mark in (MARKS if share else (None,)))


def study(workshop: Workshop, students: int, keep: Callable[[dict[str, Any]], None]) -> None:
    """`keep` gets all curves so far after each student: mark, share, way of asking, seed."""
    results: dict[str, Any] = {
        "training tokens of a student": workshop.training_tokens,
        "students": 0,
        "marks": {mark: {"log10 keys": round(workshop.marks[mark].key.log10_keys, 2)} for mark in MARKS},
    }
    for mark, share, seed in islice(order(), students):
        for asked in MARKS if mark is None else (mark,):
            of_share = results["marks"][asked].setdefault("no marked text" if mark is None else f"{share:.0%}", {})
            for way, (most, windows_of) in workshop.ways((mark, share, seed), asked).items():
                of_way = of_share.setdefault(way, {})
                of_way[f"{seed}"] = curve(workshop.marks[asked], way, most, windows_of)
                if mark is None and "under random keys" not in results["marks"][asked]:
                    # The law must hold for as many windows as are judged here.
                    found = under_random_keys(workshop.marks[asked], windows_of(most))
                    results["marks"][asked]["under random keys"] = found
        results["students"] += 1
        keep(results)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="where teacher, texts and students are kept")
    parser.add_argument("--students", type=int, default=len(list(order())), help="how many, in the order of the study")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    chosen.cache.mkdir(parents=True, exist_ok=True)

    def keep(results: dict[str, Any]) -> None:
        before = json.loads(RESULTS.read_text())
        RESULTS.write_text(json.dumps(before | {"tokens needed": results}, indent=1) + "\n")
        print(f"{results['students']} students", flush=True)

    study(Workshop(read_corpus(), chosen.cache), chosen.students, keep)


if __name__ == "__main__":
    main()
