"""Whether detection of watermarks equals its exact law, where other laws are off, and how many tokens detection needs.

    python -m studies.watermarks                   # small: a minute
    python -m studies.watermarks --size full       # 10,000 unmarked texts per scheme, SmolLM2 besides the zoo's base

1.  Law. Unmarked texts are random pieces of the sources of Python's standard library, in tokens of the zoo's tokenizer (3,072) or,
    for the numbers of vLLM and HMAC, the same. Each text is held against a key of its own, drawn at random. The p-values of counts
    are discrete: they are made continuous by a uniform number between P(S > s) and P(S >= s) and then compared with the uniform law
    (Kolmogorov-Smirnov). The shares of p <= level are those of the p that is printed.
2.  Other laws. The same kind of text through the detector of transformers as shipped; and, for SynthID, how often a binomial law of
    fair coins gives p below a level where the law over all keys says how often it must.
3.  Power. Text of the zoo's base (untouched by this study: read from its cache) and of SmolLM2, marked at several biases and
    temperatures: how many tokens until log10 p falls below -6 and -12, over several keys, beside the entropy of sampling.

Writes `studies/results/watermarks.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, kstest

from filiation.measures.watermarks import (
    GreenListKey,
    GumbelKey,
    Reading,
    SynthIDKey,
    SynthIDReading,
    VllmGumbelKey,
    WatermarkKey,
    counted_windows,
    reading,
    recorded,
    synthid_reading,
    windows_of,
)
from filiation.measures.watermarks.synthid import shifted_table
from filiation.statistics import watermark_tails as tails
from studies.zoo.corpus import encode, read_corpus, trained_tokenizer

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "studies" / "results" / "watermarks.json"
VOCABULARY = 3072
TEXT_TOKENS = 100
LEVELS = (0.1, 0.01, 0.001)
Ids = NDArray[np.int64]

SCHEMES: dict[str, WatermarkKey] = {
    "green list, lefthash": GreenListKey(vocabulary=VOCABULARY, hashing_key=1),
    "green list, selfhash of 4": GreenListKey(
        vocabulary=VOCABULARY, hashing_key=1, seeding_scheme="selfhash", context_width=4
    ),
    "SynthID, 30 layers": SynthIDKey(keys=(0,) * 30),
    "Gumbel, HMAC-SHA256": GumbelKey(secret="00" * 32),
    "Gumbel, vLLM": VllmGumbelKey(key=0),
}


def draws(rng: np.random.Generator) -> Callable[[int], int]:
    """Random integers for drawing keys."""
    return lambda below: int(rng.integers(below))


def library(tokens_of: Any) -> Ids:
    """The standard library's sources (its part 'one') as token ids."""
    return encode(tokens_of, read_corpus().parts["one"])


def pieces(tokens: Ids, length: int, number: int, rng: np.random.Generator) -> Iterator[Ids]:
    """Random pieces of the library."""
    for start in rng.integers(0, len(tokens) - length, number):
        yield tokens[start : start + length]


# ----------------------------------------------------------------------------------------------------------------- law


def exact_log10_p(seen: Reading, key: WatermarkKey) -> float:
    """log10 of the exact tail, as it is printed before rounding."""
    return tails.log10_p_of(tails.read_score(recorded(seen)), key.log10_keys)


def continuous_p(seen: Reading, key: WatermarkKey, uniform: float) -> float:
    """P(S > s) + uniform P(S = s): uniform under the law, whether that is discrete or not."""
    at_least, score = 10 ** exact_log10_p(seen, key), tails.read_score(recorded(seen))
    if isinstance(score, tails.SumScore):
        return at_least
    more = 10 ** score.log10_tail(score.count + 1) if score.count < score.largest else 0.0
    return more + uniform * (at_least - more)


def law(tokens: Ids, texts: int, seed: int) -> dict[str, Any]:
    """For each scheme: Kolmogorov-Smirnov of the continuous p-values and shares of the printed ones."""
    found: dict[str, Any] = {}
    for name, settings in SCHEMES.items():
        rng = np.random.default_rng(seed)
        printed, smooth, started = [], [], time.perf_counter()
        for text in pieces(tokens, TEXT_TOKENS, texts, rng):
            key = settings.another(draws(rng))
            seen = reading(counted_windows([text], key), key)
            printed.append(10 ** exact_log10_p(seen, key))
            smooth.append(continuous_p(seen, key, float(rng.random())))
        test = kstest(smooth, "uniform")
        found[name] = {
            "texts": texts,
            "tokens of each": TEXT_TOKENS,
            "Kolmogorov-Smirnov distance": round(float(test.statistic), 5),
            "Kolmogorov-Smirnov p": round(float(test.pvalue), 4),
            "share of p <= level": {f"{level:g}": float(np.mean(np.array(printed) <= level)) for level in LEVELS},
            "seconds": round(time.perf_counter() - started, 1),
        }
        print(name, found[name], flush=True)
    return found


# ---------------------------------------------------------------------------------------------------------- other laws


def as_shipped(tokens: Ids, texts: int, seed: int) -> dict[str, Any]:
    """transformers' detector on unmarked pieces of 400 tokens: how often p falls below a level, by settings."""
    import transformers

    cases = {
        "lefthash, as by default": ("lefthash", 1, False),
        "lefthash, repeated n-grams ignored": ("lefthash", 1, True),
        "lefthash with context_width 4, repeated n-grams ignored": ("lefthash", 4, True),
        "selfhash with context_width 2, repeated n-grams ignored": ("selfhash", 2, True),
    }
    config = transformers.GPT2Config(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0)
    found: dict[str, Any] = {}
    for name, (scheme, width, ignore) in cases.items():
        rng = np.random.default_rng(seed)
        theirs, ours = [], []
        for text in pieces(tokens, 400, texts, rng):
            key = GreenListKey(
                vocabulary=VOCABULARY, hashing_key=1, seeding_scheme=scheme, context_width=width
            ).another(draws(rng))
            theirs.append(_their_p(config, key, text, ignore))
            ours.append(10 ** exact_log10_p(reading(counted_windows([text], key), key), key))
        found[name] = {
            "texts": texts,
            "share of their p <= level": {f"{level:g}": float(np.mean(np.array(theirs) <= level)) for level in LEVELS},
            "share of our p <= level": {f"{level:g}": float(np.mean(np.array(ours) <= level)) for level in LEVELS},
            "their smallest log10 p": round(float(np.log10(min(theirs))), 1),
        }
        print(name, found[name], flush=True)
    return found


def _their_p(config: Any, key: GreenListKey, text: Ids, ignore_repeated: bool) -> float:
    import torch
    import transformers

    settings = transformers.WatermarkingConfig(
        hashing_key=key.hashing_key, seeding_scheme=key.seeding_scheme, context_width=key.context_width
    )
    detector = transformers.WatermarkDetector(config, "cpu", settings, ignore_repeated_ngrams=ignore_repeated)
    return float(detector(torch.tensor(text[None]), return_dict=True).p_value[0])


def fair_coins(tokens: Ids) -> dict[str, Any]:
    """SynthID text of n tokens under a random key: chance that the binomial law of fair coins prints p <= level, exactly."""
    ones = {seed: float(shifted_table(65536, seed).mean()) for seed in range(20)}
    fullest = max(ones, key=lambda seed: ones[seed])
    found: dict[str, Any] = {}
    for seed in (0, fullest):
        key = SynthIDKey(keys=(0,) * 30, sampling_table_seed=seed)
        name = f"table of seed {seed}"
        found[name] = {"share of ones": round(ones[seed], 5)}
        for length in (500, 5000, 50_000):
            seen = synthid_reading(counted_windows([tokens[:length]], key), key)
            repeated = synthid_reading(windows_of([tokens[:length]], key.window), key)
            found[name][f"{length} tokens"] = {
                "windows counted": seen.windows,
                "repeated contexts left out": _excess(seen),
                "repeated contexts counted": _excess(repeated),
            }
        print(name, found[name], flush=True)
    return found


def _excess(seen: SynthIDReading) -> dict[str, float]:
    layers = len(seen.by_layer)
    coins = layers * seen.windows
    shares = {}
    for level in (1e-3, 1e-6, 1e-12):
        count = int(binom.isf(level, coins, 0.5)) + 1
        log10_true = tails.log10_layers_tail(min(count, layers * int(seen.every_key.max())), seen.every_key, layers)
        shares[f"{level:g}"] = float(f"{10**log10_true:.3g}")
    return shares


# --------------------------------------------------------------------------------------------------------------- power

STRENGTHS: dict[str, tuple[str, float]] = {
    "lefthash, bias 1": ("lefthash", 1.0),
    "lefthash, bias 2": ("lefthash", 2.0),
    "lefthash, bias 4": ("lefthash", 4.0),
    "SynthID": ("synthid", 0.0),
    "Gumbel": ("gumbel", 0.0),
    "Gumbel, vLLM": ("vllm", 0.0),
}


def key_for(scheme: str, bias: float, vocabulary: int, rng: np.random.Generator) -> WatermarkKey:
    """A random key of a scheme for a model's vocabulary."""
    settings: dict[str, WatermarkKey] = {
        "lefthash": GreenListKey(vocabulary=vocabulary, hashing_key=1, bias=bias),
        "synthid": SynthIDKey(keys=(0,) * 30),
        "gumbel": GumbelKey(secret="00" * 32),
        "vllm": VllmGumbelKey(key=0),
    }
    return settings[scheme].another(draws(rng))


def power(
    folder: Path,
    prompts: Ids,
    *,
    keys: int,
    tokens: int,
    temperatures: tuple[float, ...],
    marks: Sequence[str] = tuple(STRENGTHS),
) -> dict[str, Any]:
    """Tokens until log10 p < -6 and < -12, the median over keys; None where all the text was not enough."""
    from filiation.measures.watermarks.generation import marked_answers
    from studies.zoo.architectures import load

    model = load(folder)
    found: dict[str, Any] = {}
    for temperature in temperatures:
        plain = marked_answers(model, prompts, None, tokens=tokens, seed=1, temperature=temperature)
        found[f"temperature {temperature:g}"] = {
            "entropy of sampling, nats": _entropy(model, prompts, plain, temperature)
        }
        for name in marks:
            scheme, bias = STRENGTHS[name]
            rng, needed = np.random.default_rng(5), []
            for number in range(keys):
                key = key_for(scheme, bias, model.config.vocab_size, rng)
                texts = marked_answers(model, prompts, key, tokens=tokens, seed=number, temperature=temperature)
                needed.append(_needed(texts, key))
            found[f"temperature {temperature:g}"][name] = {
                "tokens generated": sum(len(text) for text in texts),
                "tokens to log10 p < -6": _median([six for six, _ in needed]),
                "tokens to log10 p < -12": _median([twelve for _, twelve in needed]),
            }
            print(folder.name, temperature, name, found[f"temperature {temperature:g}"][name], flush=True)
    return found


def _entropy(model: Any, prompts: Ids, answers: list[Ids], temperature: float) -> float:
    """The mean over all places of all answers, which need not be equally long."""
    import torch

    found: list[float] = []
    for prompt, answer in zip(prompts, answers, strict=True):
        whole = torch.tensor(np.concatenate([prompt, answer])[None])
        with torch.no_grad():
            scores = model(whole).logits[0, len(prompt) - 1 : -1].double() / temperature
        log_chances = torch.log_softmax(scores, dim=-1)
        found += (-(log_chances.exp() * log_chances).sum(dim=-1)).tolist()
    return round(math.fsum(found) / len(found), 3)


def _needed(texts: list[Ids], key: WatermarkKey) -> tuple[int | None, int | None]:
    """Tokens of the texts, in order, after which log10 p is below -6 and below -12; looked at every 10 tokens or 5 %."""
    whole = sum(len(text) for text in texts)
    crossed: dict[float, int | None] = {-6.0: None, -12.0: None}
    look = 10
    while look <= whole and crossed[-12.0] is None:
        seen = reading(counted_windows(_beginning(texts, look), key), key)
        log10_p = exact_log10_p(seen, key)
        for level, at in crossed.items():
            if at is None and log10_p < level:
                crossed[level] = look
        look += max(10, look // 20)
    return crossed[-6.0], crossed[-12.0]


def _beginning(texts: list[Ids], tokens: int) -> list[Ids]:
    kept = []
    for text in texts:
        if tokens <= 0:
            break
        kept.append(text[:tokens])
        tokens -= len(text)
    return kept


def _median(values: list[int | None]) -> float | None:
    ordered = sorted(math.inf if value is None else value for value in values)
    middle = ordered[len(ordered) // 2]
    return None if math.isinf(middle) else middle


def retokenised(folder: Path, prompts: Ids, *, tokens: int) -> dict[str, Any]:
    """SmolLM2, Gumbel mark: share of windows that survive becoming text and tokens again, and log10 p before and after."""
    from tokenizers import Tokenizer

    from filiation.measures.watermarks.generation import marked_answers
    from studies.zoo.architectures import load

    tokenizer, key = Tokenizer.from_file(str(folder / "tokenizer.json")), GumbelKey(secret="5a" * 32)
    answers = marked_answers(load(folder), prompts, key, tokens=tokens, seed=3)
    again = [
        np.array(tokenizer.encode(tokenizer.decode(answer.tolist()), add_special_tokens=False).ids, dtype=np.int64)
        for answer in answers
    ]
    windows, survived = counted_windows(answers, key), counted_windows(again, key)
    kept = len({tuple(row) for row in windows.tolist()} & {tuple(row) for row in survived.tolist()})
    return {
        "windows": len(windows),
        "share that survives": round(kept / len(windows), 4),
        "log10 p from ids": round(exact_log10_p(reading(windows, key), key), 1),
        "log10 p from text": round(exact_log10_p(reading(survived, key), key), 1),
    }


# ---------------------------------------------------------------------------------------------------------------- main


def zoo_base() -> Path | None:
    """The zoo's first base, where the small zoo was built."""
    return next(iter(sorted((ROOT / ".cache" / "zoo").glob("test-*/base-a"))), None)


def smollm2() -> Path | None:
    """SmolLM2 as `studies.serving.smollm2_folder` writes it, where that was done."""
    folder = ROOT / ".cache" / "serving" / "smollm2-135m-instruct"
    return folder if (folder / "model.safetensors").exists() else None


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--only", choices=("law", "shipped", "coins", "power"), action="append")
    chosen = parser.parse_args(arguments)
    full = chosen.size == "full"
    parts = chosen.only or ["law", "shipped", "coins", "power"]
    import torch

    torch.set_num_threads(1)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if {"law", "shipped", "coins"} & set(parts):
        tokens = library(trained_tokenizer(read_corpus(), VOCABULARY))
    for part in parts:
        if part == "law":
            results["unmarked texts"] = law(tokens, 10_000 if full else 400, 20261121)
        elif part == "shipped":
            results["transformers as shipped"] = as_shipped(tokens, 500 if full else 100, 7)
        elif part == "coins":
            results["SynthID by fair coins"] = fair_coins(tokens)
        else:
            results["tokens needed"] = {}
            for name, figures in powers(full):
                results["tokens needed"][name] = figures
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def powers(full: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Power on the models that are there, one after another."""
    from studies.zoo.corpus import byte_tokens

    if (base := zoo_base()) is not None:
        ids = byte_tokens(read_corpus().parts["validation"])
        prompts = np.stack(list(pieces(ids, 20, 32 if full else 8, np.random.default_rng(1))))
        yield "zoo base, bytes", power(base, prompts, keys=5 if full else 1, tokens=100, temperatures=(0.7, 1.0))
    if full and (folder := smollm2()) is not None:
        from tokenizers import Tokenizer

        said = "The history of the small town by the river begins with a bridge that nobody wanted to build, and"
        start = np.array(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(said).ids, dtype=np.int64)
        prompts = np.stack([start] * 4)
        marks = ("lefthash, bias 2", "SynthID", "Gumbel")
        yield "SmolLM2-135M", power(folder, prompts, keys=1, tokens=100, temperatures=(1.0,), marks=marks)
        yield "SmolLM2-135M, text made into tokens again", retokenised(folder, prompts, tokens=120)


if __name__ == "__main__":
    main()
