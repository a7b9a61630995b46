"""Do the suspect's answers carry the owner's watermark?

The key was drawn by lot (`filiation lot`): nobody could try keys until one suited the suspect. What the key says of the suspect's
answers is held against the exact law that it has for whoever does not depend on the key (statistics/watermark_tails.py).

    1. The owner's lot is opened and checked; the key follows from it. The tokenizer is the one that its settings name.
    2. The suspect's first answer to each prompt is made into tokens. Windows are taken where they may be held against the key
       (measures/radioactivity.py): contexts that stand in any prompt are left out, because a prompt may hold marked text.
    3. The score of the windows, each once, gives p by its exact law; what was searched is paid for.
    4. Beside it: keys that nobody used, unrelated models, the prompts themselves. Where one of them shows the mark, a premise is
       broken and there is no figure.

What is found speaks for answers of the marked reference, or for answers of a model that was trained on such: it cannot tell the two apart.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from filiation.canaries.premises import NO_OTHERS
from filiation.canaries.scoring import CONTROL_LOG10_P
from filiation.errors import FiliationError
from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Companion,
    Effect,
    Identity,
    Multiplicity,
    Null,
    Observation,
    Outcome,
    Proposition,
    Relation,
    Relations,
    Test,
    round_against_accuser,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.line_up import observe_transcript
from filiation.examiners.marked import (
    TRUST_PARAMETERS,
    Settings,
    answers_of,
    commitments_of,
    how_it_was_drawn,
    lot_among,
    sentence,
    told_of,
)
from filiation.examiners.outcomes import (
    CONSTRUCTED_LOG10_P,
    Figures,
    constructed_power,
    effect_of,
    finding_of,
    inconclusive_of,
)
from filiation.measures.radioactivity import closed_windows, contexts_are_independent
from filiation.measures.watermarks import (
    GreenListKey,
    Reading,
    SynthIDKey,
    Tokens,
    WatermarkKey,
    counted_windows,
    key_from,
    reading,
    recorded,
    tokenizer_named_in,
    windows_of,
    within_vocabulary,
)
from filiation.measures.watermarks.green_list import TABLE
from filiation.sources.source import Source
from filiation.sources.tokenising import token_ids, tokenizer_of
from filiation.statistics import watermark_tails as tails
from filiation.statistics.register import Calibration

if TYPE_CHECKING:
    from filiation.lots import Lot

NAME = "watermark"
VERSION = "1"
QUESTION = "Do the suspect's answers carry the owner's watermark?"
NEEDS = (Access.MARKS, Access.TRANSCRIPT)
TESTS = (
    Test(
        id="watermark.answers",
        proposition=Proposition.MARKS,
        alternative="answered neither by the reference under the owner's key nor by a model trained on such answers",
        relation_class="answers of the reference under the owner's key, or of a model trained on such answers",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.CONSTRUCTION,
        formula="exact tail of the key's score over distinct (context, token), contexts of the prompts left out, times what was searched",
    ),
)
CLAIMS = ("answers marked", "trained on marked answers")
PREMISES = (
    "the key was secret, drawn at random and fixed before the text was written",
    "nobody who made the text knew the key or could ask a detector that has it",
)
"""Of any text held against any key."""
ASSUMPTIONS = (
    "The key was secret: nobody but the owner could mark text with it, or ask a detector that has it, before the suspect answered.",
    "What the suspect was asked, system prompts and earlier turns included, and which answers are examined, was fixed without regard to "
    "what the key says: whoever has the key can tell an obedient model what to write.",
    NO_OTHERS,
)
LIMITATIONS = (
    "absence of a mark says nothing: paraphrase, translation and other settings remove it",
    "a mark says whose key the text was made with, not who asked for it or what became of it",
)
"""Of any text held against any key."""
EITHER = (
    "Answers of the marked reference and answers of a model trained on such carry the same mark: what is found speaks for either, and "
    "does not tell them apart."
)
RETOKENISED = (
    "Tokens were made from text by the reference's tokenizer: where they differ from those that were generated the mark is missed, never "
    "invented."
)
LISTS_ARE_PSEUDORANDOM = (
    "the lists of different contexts, drawn by torch's generator on a CPU, count as independent random lists"
)
NUMBERS_ARE_PSEUDORANDOM = "the keyed numbers of different windows count as independent random numbers"
REFERENCES = (
    "Kirchenbauer and others 2023, A watermark for large language models",
    "Dathathri and others 2024, Scalable watermarking for identifying large language model outputs (SynthID)",
    "Aaronson 2022, Watermarking of large language models (Gumbel sampling)",
    "Sander and others 2024, Watermarking makes language models radioactive",
)
KINDS_OF_RECORDINGS = 2
"""Answers (`watermark`) and predictions (`radioactivity`) are two looks at one key, and whoever accuses decides which are recorded."""

PARAMETERS: dict[str, bool | int | float | str] = TRUST_PARAMETERS | {"considered": 1, "unmarked": False}
"""`considered`: how many suspects and sets of answers were considered in all. `unmarked`: whoever examines knows that no prompt holds
marked text; schemes whose contexts are not independent of one another can be read under this premise only."""

PLACEBO_KEYS, FEWEST_PLACEBO_KEYS = 199, 19
"""With so many keys that nobody used their p can be .005, and .05 where more cannot be afforded."""

AFFORDABLE = 200_000_000
"""Numbers drawn for all placebo keys together: a few seconds."""
NUMBERS_OF_A_WINDOW = 150
"""So many numbers can be drawn in the time of one keyed hash."""


# ------------------------------------------------------------------------------------------------------------- the mark


@dataclass(frozen=True)
class Opened:
    """A lot of this purpose whose checks all hold, and the key that it gave."""

    lot: Lot
    key: WatermarkKey

    @property
    def tokenizer_file(self) -> bytes:
        return self.lot.files["tokenizer.json"]

    def told(self) -> dict[str, Any]:
        """What is recorded of it: who, when, which; nothing that is long."""
        return told_of(self.lot) | {
            "scheme": self.key.scheme,
            "key_sha256": self.key.commitment,
            "tokenizer_sha256": hashlib.sha256(self.tokenizer_file).hexdigest(),
        }


def opened_mark(source: Source, settings: Settings) -> Opened | Absent:
    """The key that the one opened lot of a source gave; `Absent` where there is none, or where it, or its tokenizer, does not hold."""
    from filiation.lots import stream

    lot = lot_among(source, "watermark", settings)
    if isinstance(lot, Absent):
        return lot
    try:
        named = tokenizer_named_in(lot.subject)
        key = key_from(lot.subject, stream(lot))
    except FiliationError as error:
        return Absent(reason=error.message)
    if hashlib.sha256(lot.files.get("tokenizer.json", b"")).hexdigest() != named:
        return Absent(
            reason="the tokenizer.json beside the opened lot is not the one that its settings named before the key was drawn"
        )
    return Opened(lot, key)


def observe_marked(examiner: str, version: str, source: Source) -> Observation | Absent:
    """Both sides: what was opened, where there is a mark; who answered, where there are recordings."""
    opened, answered = opened_mark(source, TRUST_PARAMETERS), observe_transcript(examiner, version, source)
    if isinstance(opened, Absent):
        return opened if isinstance(answered, Absent) else answered
    beside = {} if isinstance(answered, Absent) else {"answers": answered.content}
    return Observation(
        examiner=examiner,
        examiner_version=version,
        exhibit=source.name,
        content={"mark": opened.told(), **beside},
    )


def idealised(key: WatermarkKey) -> tuple[str, ...]:
    """What the exact law takes for granted of a scheme. SynthID's is a count over all keys and idealises nothing."""
    return idealised_by(key.scheme)


def idealised_by(scheme: str) -> tuple[str, ...]:
    """The same from the scheme's name."""
    if scheme == "green-list":
        return (LISTS_ARE_PSEUDORANDOM,)
    return () if scheme == "synthid" else (NUMBERS_ARE_PSEUDORANDOM,)


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """What was opened, or who answered; `Absent` where there is neither."""
    return observe_marked(NAME, VERSION, source)


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """The score of the suspect's answers under the key, with everything that its law needs."""
    opened = opened_mark(first.source, first.parameters)
    if isinstance(opened, Absent):
        return opened
    answers = answers_of(second.source)
    if isinstance(answers, Absent):
        return answers
    was_marked = may_be_marked(opened.key, first.parameters)
    try:
        tokenizer = tokenizer_of(opened.tokenizer_file, first.source.name)
        read = [token_ids(tokenizer, texts) for texts in answers.read]
        prompts = [parts[-1] for parts in read] + [part for parts in read for part in parts[:-1]]
        said = token_ids(tokenizer, answers.texts)
        unanswered: list[Tokens] = [np.empty(0, dtype=np.int64)] * (len(prompts) - len(said))
        windows = closed_windows(prompts, [*said, *unanswered], opened.key, read_was_marked=was_marked)
        windows = windows if was_marked else not_repeated(windows, prompts, opened.key)
        return related(
            TESTS[0],
            VERSION,
            (first, second),
            opened,
            windows,
            seed,
            was_marked=was_marked,
            read=prompts,
            seen={"answers": len(said), "further": answers.further, "unknown": answers.unknown},
            progress=progress,
        )
    except FiliationError as error:
        return Absent(reason=f"{error.message}: {error.advice}")


def not_repeated(windows: Tokens, prompts: Sequence[Tokens], key: WatermarkKey) -> Tokens:
    """The windows that stand in no prompt as they are.

    Where contexts are not left out, a few marked quotes among much unmarked text carry no mark that the prompts as a whole would show;
    answers that repeat nothing but the quotes would.
    """
    read = {window.tobytes() for window in windows_of(prompts, key.window)}
    return windows[[window.tobytes() not in read for window in windows]]


def may_be_marked(key: WatermarkKey, settings: Settings) -> bool:
    """Whether what the suspect read is treated as marked text: always, unless whoever examines says otherwise or the scheme forbids it."""
    return contexts_are_independent(key) and not bool(settings.get("unmarked", False))


def related(
    test: Test,
    version: str,
    pair: tuple[Subject, Subject],
    opened: Opened,
    windows: Tokens,
    seed: int,
    *,
    was_marked: bool,
    read: Sequence[Tokens],
    seen: Mapping[str, int],
    progress: Progress,
) -> Relation | Absent:
    """The relation of a key and the windows that may be held against it. `read`: what the suspect read, itself held against the key."""
    windows = within_vocabulary(windows, opened.key)
    found = reading(windows, opened.key)
    if not found.opportunities:
        return Absent(
            reason="nothing is left that could be held against the key: every context stands in what the suspect had read, or its texts "
            "are shorter than a context"
        )
    before = within_vocabulary(counted_windows(read, opened.key), opened.key)
    score, settings = recorded(found), PARAMETERS | pair[0].parameters
    return Relation(
        examiner=test.id.partition(".")[0],
        examiner_version=version,
        first=pair[0].observation.exhibit,
        second=pair[1].observation.exhibit,
        seed=seed,
        content={
            "summary": {test.id: {"count": score["count"], "opportunities": found.opportunities}},
            "mark": opened.told(),
            "score": score,
            "thousandths_of_log10_keys": math.floor(1000.0 * opened.key.log10_keys),
            "placebo": placebo(found, windows, opened, progress),
            "read": {
                "may be marked": was_marked,
                "score": recorded(reading(before, opened.key)),
            },
            "seen": dict(seen),
            "settings": {name: settings[name] for name in sorted(PARAMETERS)},
            "commitments": commitments_of(opened.lot, settings),
        },
    )


def placebo(found: Reading, windows: Tokens, opened: Opened, progress: Progress) -> dict[str, int]:
    """Keys that nobody used, drawn from the lot's seed: how many there are, and how many score as much."""
    keys = placebo_keys(found, opened.key)
    draw = placebo_draws(opened.lot.seed)
    scores = []
    for number in range(keys):
        progress("placebo keys", number / keys)
        scores.append(reading(windows, opened.key.another(draw)).score)
    return {"keys": keys, "reaching": tails.placebos_reaching(found.score, scores)}


def placebo_keys(found: Reading, key: WatermarkKey) -> int:
    """As many as can be afforded, within limits."""
    if isinstance(key, GreenListKey):
        cost = found.opportunities * key.vocabulary + (4 * TABLE if key.seeding_scheme == "selfhash" else 0)
    elif isinstance(key, SynthIDKey):
        cost = 3 * key.sampling_table_size
    else:
        cost = NUMBERS_OF_A_WINDOW * found.opportunities
    return max(FEWEST_PLACEBO_KEYS, min(PLACEBO_KEYS, AFFORDABLE // max(cost, 1)))


def placebo_draws(seed: bytes) -> Callable[[int], int]:
    """Random integers for drawing placebo keys, the same for the same lot."""
    digest = hmac.digest(seed, b"filiation watermark placebo keys 1", "sha256")
    rng = np.random.default_rng(int.from_bytes(digest, "big"))
    return lambda below: int(rng.integers(below))


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """The exact figure, unless something that must not show the mark shows it."""
    return (
        judge_mark(
            TESTS[0],
            relations,
            calibration,
            version=VERSION,
            assumptions=(*ASSUMPTIONS, *_about_prompts(relations.pair.content["read"]["may be marked"])),
            limitations=(EITHER, RETOKENISED, *_left_out(relations.pair.content["seen"])),
            read="the prompts",
        ),
    )


def _about_prompts(may_be_marked: bool) -> tuple[str, ...]:
    if may_be_marked:
        return (
            "Marked text that stands in a prompt has the tokens that the reference's tokenizer makes of it; contexts that occur in any "
            "prompt are left out.",
        )
    return ("No prompt holds text that was marked under this key.",)


def _left_out(seen: Mapping[str, int]) -> tuple[str, ...]:
    if not seen["unknown"]:
        return ()
    return (f"Answers to prompts whose text was not recorded are not looked at: {seen['unknown']}.",)


def judge_mark(
    test: Test,
    relations: Relations,
    calibration: Calibration,
    *,
    version: str,
    assumptions: tuple[str, ...],
    limitations: tuple[str, ...],
    read: str,
    ways: int = 1,
) -> Outcome:
    """One outcome from a relation of `related`. `read`: what the suspect had before it, in words; `ways`: as in `multiplicity_of`.

    1. What was searched: suspects and sets of answers considered, times the owner's lots, times the two kinds of recordings.
    2. Decline where unrelated models, placebo keys or what the suspect had before it show the mark.
    3. The exact figures, paid for.
    """
    pair, controls = relations.pair, relations.reference_by_control
    figures, searched = figures_of_score(pair.content), multiplicity_of(pair, ways)
    cost = searched.log10_cost
    told: dict[str, Any] = {
        "version": version,
        "companions": _companions(pair.content, controls, cost, read),
        "limitations": limitations,
    }
    broken = _broken_premises(pair.content, controls, cost, read)
    if broken:
        return inconclusive_of(test, pair, f"a premise is broken: {'; '.join(broken)}", further=controls, **told)
    score, mark = tails.read_score(pair.content["score"]), pair.content["mark"]
    return finding_of(
        test,
        pair,
        figures,
        effect=effect_of_score(score),
        power=constructed_power(round(tails.share_found(score, CONSTRUCTED_LOG10_P - cost), 6)),
        parameters=pair.content["settings"],
        calibration=calibration,
        multiplicity=searched,
        assumptions=(
            *how_it_was_drawn(mark, f"The key (SHA-256 {mark['key_sha256']})"),
            *assumptions,
            *map(sentence, idealised_by(mark["scheme"])),
        ),
        further=controls,
        **told,
    )


def multiplicity_of(pair: Relation, ways: int = 1) -> Multiplicity:
    """The suspects and sets of answers that were considered, times the lots that the owner has drawn, times the two kinds of recordings.

    `ways`: in how many ways recordings of this kind are judged.
    """
    considered, commitments = max(1, int(pair.content["settings"]["considered"])), pair.content["commitments"]
    searched = considered * commitments * KINDS_OF_RECORDINGS * ways
    judged = f" x ways of judging them ({ways})" if ways > 1 else ""
    return Multiplicity(
        searched=searched,
        rule=f"Bonferroni: suspects and sets of answers considered ({considered}) x the owner's lots ({commitments}) x "
        f"kinds of recordings ({KINDS_OF_RECORDINGS}: answers, predictions){judged}",
        log10_cost=math.log10(searched),
    )


def figures_of_score(content: Mapping[str, Any]) -> Figures:
    """The exact figures of a relation's score, nothing paid."""
    score, log10_keys = tails.read_score(content["score"]), _log10_keys(content)
    return Figures(
        count=score.count,
        opportunities=score.opportunities,
        chance=score.chance,
        log10_p=tails.log10_p_of(score, log10_keys),
        log10_e=tails.log10_e_of(score, log10_keys),
        resolution_log10_p=tails.log10_resolution(score, log10_keys),
    )


def _log10_keys(content: Mapping[str, Any]) -> float:
    return float(content["thousandths_of_log10_keys"]) / 1000.0


def effect_of_score(score: tails.Score) -> Effect:
    """What was seen, in the scheme's own unit."""
    if isinstance(score, tails.SumScore):
        low, high = score.mean_interval()
        return Effect(
            name="mean score of a window, 1 without the key",
            value=round(score.score / score.windows, 6),
            low=round(low, 6),
            high=round(high, 6),
        )
    name = "share of green tokens" if isinstance(score, tails.GreenScore) else "share of ones over all layers"
    return effect_of(name, score.count, score.opportunities)


# ------------------------------------------------------------------------------------------------------ what stands beside


def _companions(
    content: Mapping[str, Any], controls: Sequence[Relation], cost: float, read: str
) -> tuple[Companion, ...]:
    """Everything that should show nothing."""
    return (
        *_of_controls(controls, cost),
        _of_placebos(content["placebo"]),
        _companion(read, content["read"]["score"], _read_log10_p(content)),
        *_further(content["seen"]),
    )


def _broken_premises(
    content: Mapping[str, Any], controls: Sequence[Relation], cost: float, read: str
) -> tuple[str, ...]:
    """Of everything that should show nothing and does, that it does."""
    return (
        *_broken_by_controls(controls, cost),
        *_broken_by_placebos(content["placebo"], _paid(content, cost)),
        *_broken_by_what_was_read(content, read),
    )


def _paid(content: Mapping[str, Any], cost: float) -> float:
    """log10 p of a relation's score, paid for."""
    return _p(figures_of_score(content).log10_p + cost)


def _of_controls(controls: Sequence[Relation], cost: float) -> tuple[Companion, ...]:
    every = cost + math.log10(max(1, len(controls)))
    return tuple(
        _companion(f"control {each.second}", each.content["score"], _paid(each.content, every)) for each in controls
    )


def _broken_by_controls(controls: Sequence[Relation], cost: float) -> list[str]:
    every = cost + math.log10(max(1, len(controls)))
    return [
        f"the unrelated model {each.second} carries the mark as well: it was exposed to it, or the key was not secret"
        for each in controls
        if _paid(each.content, every) <= CONTROL_LOG10_P
    ]


def _of_placebos(placebos: Mapping[str, int]) -> Companion:
    reaching, keys = placebos["reaching"], placebos["keys"]
    return Companion(
        null=Null.CONSTRUCTION,
        name="placebo keys",
        value=f"{reaching} of {keys}",
        note=f"keys that nobody used and that score as much; p {(1 + reaching) / (1 + keys):.4g}, for which no law is needed",
    )


def _broken_by_placebos(placebos: Mapping[str, int], log10_p: float) -> list[str]:
    if log10_p > CONSTRUCTED_LOG10_P or not placebos["reaching"]:
        return []
    return ["keys that nobody used score as much, which the law of the score does not allow"]


def read_is_clean(content: Mapping[str, Any]) -> bool:
    """Where contexts may not be left out, what was read must not carry the mark."""
    return bool(content["read"]["may be marked"]) or _read_log10_p(content) > CONTROL_LOG10_P


def _broken_by_what_was_read(content: Mapping[str, Any], words: str) -> list[str]:
    if read_is_clean(content):
        return []
    return [f"{words} carry the mark themselves, and the suspect may have repeated it"]


def _read_log10_p(content: Mapping[str, Any]) -> float:
    return _p(tails.log10_p_of(tails.read_score(content["read"]["score"]), _log10_keys(content)))


def _further(seen: Mapping[str, int]) -> tuple[Companion, ...]:
    if not seen["further"]:
        return ()
    return (
        Companion(
            null=Null.CONSTRUCTION,
            name="further answers",
            value=str(seen["further"]),
            note="recorded after the first to a prompt, and not looked at",
        ),
    )


def _companion(name: str, score: Mapping[str, Any], log10_p: float) -> Companion:
    told = tails.read_score(score)
    return Companion(
        null=Null.CONSTRUCTION, name=name, value=f"{told.count} of {told.opportunities}", note=f"log10 p {log10_p:.3f}"
    )


def _p(log10_p: float) -> float:
    return round_against_accuser(min(0.0, log10_p), accuses_when="small")
