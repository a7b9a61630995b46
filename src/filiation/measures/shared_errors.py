"""How often two models give the same wrong answer, beyond what wrong answers to the same questions do anyway.

    1. Per item, the wrong answers of all models present are a multiset: answer a was given by n_a of w models. Were they
       exchangeable, shuffled among the models that erred, a given pair of those would share answer a with chance

           c_a = n_a (n_a - 1) / (w (w - 1)),

       and any answer with the sum of the c_a: exact, whatever the item's difficulty and however popular its wrong answers.
    2. Rarity: sharing answer a weighs -log c_a. What most models get wrong in the same way tells nothing about two of them.
    3. Per pair: the sum over items of weight minus expected weight, divided by the root of the sum of exact variances.
    4. Over pairs: additive model effects (some models err as everybody does), then what the product of two models' abilities
       explains (models of one strength err on the same items, in the same way), then, for multiple choice, what the product of their
       preferences for option positions explains. All by medians, so that a family of relatives does not move them.
    5. Divided by the geometric mean of the two models' spreads, so that one row can be compared with another.

Every model present takes part in each step in the same way, the reference, the suspect and controls alike: without that a rank
among controls would not be valid. The matrix is symmetric. Step 3 is *not* a p-value: between pairs of strangers it
varies far more than its variance says (docs/examiners/shared_errors.md), which is why the pair of models is the unit.

Option positions: benchmarks that fall back to the last capital letter of a text when no answer was stated give some models
a surplus of 'A' and 'I', and two such models coincide more often on these. A position outside the item's options
is certainly no answer; the rest is removed as a preference for positions, without asking who is related to whom.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
import zipfile
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

VERSION = "1"

NOT_ANSWERED, RIGHT, WRONG = 0, 1, 2
"""Codes of answers: none stated, right, and from WRONG upwards the wrong answers (any number per distinct answer)."""

FEWEST_MODELS = 8
"""With fewer models present no effects can be told apart from the pair: all scores are then 0."""

MOST_OPTIONS = 26

ROUNDS, SETTLED = 300, 1e-6
"""Most rounds of medians, and the median at which a row counts as settled."""

BLOCK = 2048

Codes = NDArray[np.int64]
Matrix = NDArray[np.float64]


# ------------------------------------------------------------------------------------------------------------- answers

_NUMBER = r"[-+]?(?:\d[\d,]*(?:\.\d*)?|\.\d+)"
_PLAIN_NUMBER = re.compile(rf"[$€£]?\s*({_NUMBER})\s*%?\.?")
_WITH_UNIT = re.compile(rf"[^\w+.\-]*({_NUMBER})[^\d=]*")


def normalised(answer: str | None, gold: str) -> str | None:
    """A free-form answer as it is compared; None where nothing was stated. Outer space and Unicode form never count.

    Where the right answer is a number, so is a stated one: currency signs, units, thousands separators, trailing zeros
    and everything before a last '=' are dropped ('70minutes' is 70, not an error that two models share).
    """
    text = unicodedata.normalize("NFC", answer or "").strip()
    if not text:
        return None
    if number(gold) is None:
        return text
    if not any(character.isalnum() for character in text):
        return None
    stated = _WITH_UNIT.fullmatch(text.rsplit("=", 1)[-1].strip())
    found = _decimal(stated[1]) if stated else None
    return text if found is None else found


def number(text: str) -> str | None:
    """A plain number in its shortest form ('1,200.50' is '1200.5'); None where the text is no plain number."""
    found = _PLAIN_NUMBER.fullmatch(unicodedata.normalize("NFC", text).strip())
    return _decimal(found[1]) if found else None


def _decimal(digits: str) -> str | None:
    try:
        value = Decimal(digits.replace(",", ""))
    except InvalidOperation:
        return None
    text = format(value.normalize(), "f")
    return "0" if text in ("-0", "+0") else text


def position(answer: str | None) -> int | None:
    """An option by its position from 0, written as a number or as a capital letter; None where it is neither."""
    text = (answer or "").strip()
    if text.isascii() and text.isdecimal() and len(text) <= 3:
        return int(text)
    return ord(text) - ord("A") if len(text) == 1 and "A" <= text <= "Z" else None


def free_form_code(answer: str | None, gold: str, prompt: str) -> int:
    """The code of a free-form answer: wrong ones as 32 bits of a hash salted by the prompt's id."""
    stated = normalised(answer, gold)
    if stated is None:
        return NOT_ANSWERED
    if stated == (normalised(gold, gold) or ""):
        return RIGHT
    salted = f"{prompt}\0{stated}".encode("utf-8", "surrogatepass")
    return WRONG + int.from_bytes(hashlib.blake2b(salted, digest_size=4).digest(), "little") % (2**32 - WRONG)


def choice_code(answer: str | None, gold: str, options: int) -> int:
    """The code of a chosen option. A position outside the item's options was never chosen by a reader: no answer."""
    stated = position(answer)
    if stated is None or not 0 <= stated < min(options, MOST_OPTIONS):
        return NOT_ANSWERED
    return RIGHT if stated == position(gold) else WRONG + stated


# --------------------------------------------------------------------------------------------------------------- pairs


@dataclass(frozen=True)
class Shared:
    """What pairs of models share, each [model, model] and symmetric, diagonal 0.

    `both_wrong`: items on which both gave a wrong answer while the multiset leaves something to chance; `same`: of these,
    those with the same wrong answer; `expected`: the exact expectation of `same`; `excess` and `variance`: rarity-weighted
    coincidences minus their expectation, and their exact variance under the exchangeable multiset.
    """

    both_wrong: Matrix
    same: Matrix
    expected: Matrix
    excess: Matrix
    variance: Matrix


def chance_of_sharing(multiplicities: NDArray[np.integer]) -> tuple[float, float, float]:
    """One item whose wrong answers were given n_1, n_2, ... times: (chance that a pair coincides, mean and variance of the
    rarity-weighted coincidence) for two of the models that erred, answers shuffled among them."""
    counts = np.asarray(multiplicities, dtype=np.float64)
    models = counts.sum()
    if models < 2:
        return 0.0, 0.0, 0.0
    chances = counts * (counts - 1) / (models * (models - 1))
    weights = -np.log(np.where(chances > 0, chances, 1.0))
    mean = float(chances @ weights)
    return float(chances.sum()), mean, float(chances @ weights**2) - mean**2


def shared(codes: Codes) -> Shared:
    """Count and weigh the shared errors of all pairs. `codes`: models x items, as `free_form_code` or `choice_code` give them."""
    size = len(codes)
    totals = [np.zeros((size, size)) for _ in range(5)]
    for start in range(0, codes.shape[1], BLOCK):
        for total, part in zip(totals, _of_block(codes[:, start : start + BLOCK]), strict=True):
            total += part
    for total in totals:
        np.fill_diagonal(total, 0.0)
    return Shared(*totals)


def _of_block(codes: Codes) -> tuple[Matrix, ...]:
    size, wrong = len(codes), codes >= WRONG
    givers = np.zeros(codes.shape)
    for model in range(size):
        givers += (codes == codes[model]) & wrong
    erred = wrong.sum(axis=0).astype(np.float64)
    pairs = np.maximum(erred * (erred - 1), 1.0)
    chance = np.where(wrong, givers * (givers - 1), 0.0) / pairs
    weight = -np.log(np.where(chance > 0, chance, 1.0))
    # A sum over the models that gave an answer counts that answer n_a times: divide by (n_a - 1) pairs from the other side.
    each = np.where(wrong, givers - 1, 0.0) / pairs
    any_answer = each.sum(axis=0)
    mean = (each * weight).sum(axis=0)
    variance = np.maximum((each * weight**2).sum(axis=0) - mean**2, 0.0)
    # Where all agree or no two do, the multiset says what every pair does: nothing is left to chance.
    open_ = (any_answer > 1e-12) & (any_answer < 1.0 - 1e-12)
    taking_part = (wrong & open_).astype(np.float64)
    same, weighed = np.zeros((size, size)), np.zeros((size, size))
    for model in range(size):
        equal = ((codes == codes[model]) & (taking_part[model] > 0)).astype(np.float64)
        same[model] = equal.sum(axis=1)
        weighed[model] = equal @ weight[model]
    return (
        taking_part @ taking_part.T,
        same,
        (taking_part * any_answer) @ taking_part.T,
        weighed - (taking_part * mean) @ taking_part.T,
        (taking_part * variance) @ taking_part.T,
    )


# -------------------------------------------------------------------------------------------------------------- scores


def standardised_excess(pairs: Shared) -> Matrix:
    """Excess over its exact standard deviation; 0 for pairs without an opportunity. Not a p-value: see the module."""
    values = pairs.excess / np.sqrt(np.maximum(pairs.variance, 1e-12))
    # Sums differ in their last digits from machine to machine; medians would turn that into other choices.
    rounded: Matrix = np.asarray(np.round(np.where(pairs.variance > 1e-12, values, 0.0), 6), dtype=np.float64)
    return rounded


def kinship(codes: Codes, *, choices: bool) -> Matrix:
    """The score of every pair, models x models, symmetric, larger is closer, diagonal 0. `choices`: codes are option positions.

    All 0 with fewer than FEWEST_MODELS models.
    """
    return kinship_of(codes, shared(codes), choices=choices)


def kinship_of(codes: Codes, pairs: Shared, *, choices: bool) -> Matrix:
    """`kinship`, where the pairs have been counted already."""
    if len(codes) < FEWEST_MODELS:
        return np.zeros((len(codes), len(codes)))
    ability = _abilities(codes)
    causes = [np.outer(ability, ability)]
    if choices:
        preference = position_preferences(codes)
        causes.append(preference @ preference.T)
    return over_spreads(without_causes(without_model_effects(standardised_excess(pairs)), causes))


def _abilities(codes: Codes) -> NDArray[np.float64]:
    """Log odds of a right answer among the stated ones, centred; half an answer is added to either side."""
    right, wrong = (codes == RIGHT).sum(axis=1), (codes >= WRONG).sum(axis=1)
    odds = np.log((right + 0.5) / (wrong + 0.5))
    centred: NDArray[np.float64] = odds - odds.mean()
    return centred


def position_preferences(codes: Codes) -> Matrix:
    """[model, position]: how much more often a model's wrong answer is this position than other models' on the same items."""
    wrong = codes >= WRONG
    erred = wrong.sum(axis=0)
    compared = wrong & (erred > 1)
    preference = np.zeros((len(codes), MOST_OPTIONS))
    for option in range(min(MOST_OPTIONS, int(codes.max()) - WRONG + 1)):
        chosen = codes == WRONG + option
        others = (chosen.sum(axis=0) - chosen) / np.maximum(erred - 1, 1)
        preference[:, option] = np.where(compared, chosen - others, 0.0).sum(axis=1)
    shares: Matrix = preference / np.maximum(compared.sum(axis=1, keepdims=True), 1)
    return shares


def without_model_effects(matrix: Matrix) -> Matrix:
    """The symmetric rest of m_ij = a_i + a_j + rest, with rows of median 0: a few relatives do not move a model's effect."""
    size = len(matrix)
    off = ~np.eye(size, dtype=np.bool_)
    rest = matrix.copy()
    for _ in range(ROUNDS):
        half = np.median(rest[off].reshape(size, size - 1), axis=1) / 2
        if np.abs(half).max() < SETTLED:
            break
        rest -= half[:, None] + half[None, :]
    np.fill_diagonal(rest, 0.0)
    return rest


def without_causes(matrix: Matrix, causes: list[Matrix]) -> Matrix:
    """The rest after each cause's multiple with the least sum of absolute deviations, causes and rest free of model effects."""
    upper = np.triu_indices(len(matrix), 1)
    centred = [without_model_effects(cause) for cause in causes]
    rest = matrix
    for _ in range(3):
        for cause in centred:
            rest = without_model_effects(rest - _least_absolute(rest[upper], cause[upper]) * cause)
    return rest


def _least_absolute(values: NDArray[np.float64], cause: NDArray[np.float64]) -> float:
    """The b that makes the sum of |values - b cause| least: a weighted median of their ratios."""
    telling = np.abs(cause) > 1e-9
    if not telling.any():
        return 0.0
    ratios, weights = values[telling] / cause[telling], np.abs(cause[telling])
    order = np.argsort(ratios, kind="stable")
    summed = np.cumsum(weights[order])
    return float(ratios[order][np.searchsorted(summed, summed[-1] / 2)])


def over_spreads(matrix: Matrix) -> Matrix:
    """Divided by the geometric mean of the two models' spreads (median absolute deviations of their rows)."""
    size = len(matrix)
    off = matrix[~np.eye(size, dtype=np.bool_)].reshape(size, size - 1)
    spread = 1.4826 * np.median(np.abs(off - np.median(off, axis=1, keepdims=True)), axis=1)
    spread = np.maximum(spread, max(1e-9, 0.1 * float(np.median(spread))))
    scores: Matrix = np.round(matrix / np.sqrt(spread[:, None] * spread[None, :]), 6)
    np.fill_diagonal(scores, 0.0)
    return scores


def same_recordings(codes: Codes, exhibits: int = 2) -> tuple[tuple[int, int], ...]:
    """Pairs (exhibit, other model) with the same code on 95 % of at least 30 items that either got wrong: one recording."""
    found = []
    for exhibit in range(exhibits):
        for other in range(exhibits, len(codes)):
            stated = (codes[exhibit] != NOT_ANSWERED) & (codes[other] != NOT_ANSWERED)
            erred = stated & ((codes[exhibit] >= WRONG) | (codes[other] >= WRONG))
            if erred.sum() >= 30 and (codes[exhibit] == codes[other])[erred].mean() >= 0.95:
                found.append((exhibit, other))
    return tuple(found)


# --------------------------------------------------------------------------------------------------------------- packs


@dataclass(frozen=True)
class Packed:
    """What a control pack of kind 'answers' holds: codes, models x items, and each item's number of options (0: free-form)."""

    codes: Codes
    options: NDArray[np.int64]


def pack_bytes(packed: Packed) -> bytes:
    """The data file of a control pack (a NumPy archive without pickled objects)."""
    kind = np.uint8 if packed.codes.max(initial=0) < 256 else np.uint32
    file = io.BytesIO()
    np.savez_compressed(
        file, allow_pickle=False, codes=packed.codes.astype(kind), options=packed.options.astype(np.uint8)
    )
    return file.getvalue()


def unpack(data: bytes) -> Packed:
    """Read `pack_bytes`. Raises ValueError where it is not that."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            codes, options = archive["codes"], archive["options"]
    except (KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"no answers of a control pack: {error}") from error
    if codes.ndim != 2 or options.shape != codes.shape[1:] or codes.dtype.kind != "u" or options.dtype.kind != "u":
        raise ValueError(f"codes of shape {codes.shape} with options of shape {options.shape}")
    return Packed(codes.astype(np.int64), options.astype(np.int64))
