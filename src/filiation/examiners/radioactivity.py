"""Was the suspect trained on text that carries the owner's watermark? Asked of a model that can be run.

The suspect is made to read texts (`filiation score --predictions`), and what it finds likeliest at each place is held against the key:
a model that learned from marked text prefers what the key prefers (Sander and others 2024). Of a suspect that only answers, its answers are
read instead (examiners/watermark.py), with the same key, law and controls.

    1. The owner's lot is opened and checked; the key follows from it.
    2. Texts that the suspect read with the same tokens as the reference are taken, in the order of their digests.
    3. A place is judged where its context has occurred in nothing that was read before, in any text: what was read may be marked, and a
       model that repeats it has learned nothing from it (measures/radioactivity.py, rule 3).
    4. The score of the windows, each once, gives p by its exact law.
    5. Where a companion read the same texts, above all the model that the suspect was tuned from, the shift of the suspect's whole
       predictions from the companion's is held against the key as well (examiners/shifted.py): the language cancels out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from filiation.canaries.premises import NO_OTHERS
from filiation.errors import FiliationError
from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Identity,
    Null,
    Observation,
    Outcome,
    Proposition,
    Relation,
    Relations,
    Test,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.marked import sentence
from filiation.examiners.shifted import NO_COMPANION, Beside, Read, judge_shift, shifted
from filiation.examiners.watermark import PARAMETERS as OF_ANSWERS
from filiation.examiners.watermark import REFERENCES as OF_MARKS
from filiation.examiners.watermark import (
    idealised_by,
    judge_mark,
    may_be_marked,
    observe_marked,
    opened_mark,
    read_is_clean,
    related,
)
from filiation.measures.radioactivity import Likeliest, open_windows
from filiation.measures.watermarks import Tokens
from filiation.sources.open import open_source
from filiation.sources.source import Source
from filiation.sources.tokenising import pieces, token_ids, tokenizer_of
from filiation.sources.transcripts import READ
from filiation.statistics.register import Calibration
from filiation.strict_json import json_or_none

NAME = "radioactivity"
VERSION = "2"
QUESTION = "Was the suspect trained on text that carries the owner's watermark?"
NEEDS = (Access.MARKS, Access.TRANSCRIPT)
TESTS = (
    Test(
        id="radioactivity.predictions",
        proposition=Proposition.DATA,
        alternative="trained without text marked under the owner's key",
        relation_class="trained on text marked under the owner's key",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.CONSTRUCTION,
        formula="exact tail of the key's score over distinct (context, predicted token), each context where it is new, times the search",
    ),
    Test(
        id="radioactivity.shift",
        proposition=Proposition.DATA,
        alternative="trained without text marked under the owner's key",
        relation_class="trained on text marked under the owner's key",
        characteristic=Characteristic.INDIVIDUAL,
        null=Null.CONSTRUCTION,
        formula="bound on the tail of the key's sum of differences of root probabilities, suspect minus companion, times the search",
    ),
)
PREDICTIONS, SHIFT = TESTS
CLAIMS = ("trained on marked answers",)
ASSUMPTIONS = (
    "The key was secret: nobody but the owner could mark text with it, or ask a detector that has it, before the suspect was trained.",
    "Each text was read by itself: nothing of another stood before the suspect.",
    "Which texts were read was fixed without regard to what the key says of the suspect's predictions.",
    NO_OTHERS,
)
LIMITATIONS = (
    "Exposure to marked text is found, not how it came about: marked text may stand on the web as other text does.",
    "Text of the same key that somebody else published has the same effect as the owner's own.",
)
REFERENCES = OF_MARKS
PARAMETERS: dict[str, bool | int | float | str] = OF_ANSWERS | {"suspect_base": ""}
"""`unmarked`: whoever examines knows that no text that was read is marked. `suspect_base`: where the companion's recording lies,
'transcripts:FILE#MODEL'. `considered` counts companions that were tried as well."""
WAYS = len(TESTS)
MOST_LIKELIEST = 200
"""Of more tokens at a place no more are looked at."""


@dataclass(frozen=True)
class Readings:
    """Texts as token ids of the reference's tokenizer, and after each token what the model found likeliest.

    `further`: readings after the first of a text; `other`: texts that the model read with other tokens. Neither is looked at.
    """

    read: Read
    further: int
    other: int

    @property
    def texts(self) -> tuple[Tokens, ...]:
        return tuple(self.read.texts.values())

    @property
    def predictions(self) -> tuple[Tokens, ...]:
        """After each token the likeliest one; -1 where nothing is known."""
        return tuple(each.tokens[:, 0] for each in self.read.likeliest.values())


# ------------------------------------------------------------------------------------------------------------- observe


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """What was opened, or who read; `Absent` where there is neither."""
    seen = observe_marked(NAME, VERSION, source)
    if isinstance(seen, Absent) or "mark" in seen.content or _rows(source):
        return seen
    return Absent(
        reason="no predictions of this model while it reads were recorded: see 'filiation score --predictions'; of a model that can only "
        "be asked, the examiner 'watermark' reads the answers"
    )


def _rows(source: Source) -> list[tuple[str, str, int, str]]:
    """Text, parameters, number of the sample and what was recorded, of each reading, in the order of the texts' digests.

    A text that stands there twice does no harm: what it shows counts where it stands first.
    """
    transcript = source.transcript()
    if isinstance(transcript, Absent):
        return []
    rows = transcript.frame.sort("prompt_id", "sample", "log_probabilities", "parameters")
    columns = rows.select("prompt", "parameters", "sample", "log_probabilities", "finish_reason")
    return [row[:4] for row in columns.iter_rows() if row[4] == READ and row[0] and row[3]]


def readings_of(source: Source, tokenizer: Any) -> Readings | Absent:
    """What a model read and predicted, as token ids of the reference's tokenizer."""
    texts: dict[tuple[str, int], Tokens] = {}
    likeliest: dict[tuple[str, int], Likeliest] = {}
    times: Counter[str] = Counter()
    further = other = 0
    for text, parameters, sample, recorded in _rows(source):
        if sample:
            further += 1
            continue
        found = _aligned(_part(text, parameters), recorded, tokenizer)
        if found is None:
            other += 1
            continue
        name = (text, times[text])
        times[text] += 1
        texts[name], likeliest[name] = found
    if texts:
        return Readings(Read(texts, likeliest), further, other)
    if not other:
        return Absent(
            reason="no predictions of this model while it reads were recorded: see 'filiation score --predictions'"
        )
    return Absent(
        reason=f"all {other} texts were read with other tokens than the reference's tokenizer makes of them: such predictions cannot be "
        "held against the key; a suspect's answers can, by the examiner 'watermark'"
    )


def _part(text: str, parameters: str) -> str:
    """What was read of a text: its beginning, where it was too long."""
    told = json_or_none(parameters)
    cut = told.get("cut_at_byte") if isinstance(told, dict) else None
    return text.encode()[:cut].decode("utf-8", "ignore") if isinstance(cut, int) else text


def _aligned(text: str, recorded: str, tokenizer: Any) -> tuple[Tokens, Likeliest] | None:
    """Token ids and what was likeliest; None where the model read other tokens. One token of its own may stand in front."""
    places = _places(recorded)
    own = pieces(tokenizer, text)
    front = len(places) - len(own)
    if not own or front not in (0, 1) or [piece for piece, _ in places[front:]] != own:
        return None
    after = [likeliest for _, likeliest in places[front + 1 :]] + [[]]
    return token_ids(tokenizer, [text])[0], _likeliest(after, tokenizer)


def _likeliest(after: Sequence[Sequence[tuple[str, float]]], tokenizer: Any) -> Likeliest:
    """As arrays. What the tokenizer does not know, a second entry of a token and what is no log-probability are left empty."""
    most = max(1, *(len(each) for each in after))
    tokens, values = np.full((len(after), most), -1, dtype=np.int64), np.full((len(after), most), -np.inf)
    for at, each in enumerate(after):
        known: set[int] = set()
        for column, (piece, value) in enumerate(each):
            token = _token(piece, tokenizer)
            if token is None or token in known:
                continue
            known.add(token)
            tokens[at, column], values[at, column] = token, value
    return Likeliest(tokens, values)


def _token(piece: str, tokenizer: Any) -> int | None:
    """None for what the tokenizer does not know; half a pair of surrogates is no text, and it knows none."""
    try:
        token: int | None = tokenizer.token_to_id(piece)
    except UnicodeEncodeError:
        return None
    return token


def _places(recorded: str) -> list[tuple[str, list[tuple[str, float]]]]:
    """The piece read at each place, and the likeliest there with their log-probabilities; nothing where it is no reading."""
    try:
        return [
            (str(piece), [(str(each[0]), _log_probability(each)) for each in (likeliest or [])[:MOST_LIKELIEST]])
            for piece, _, likeliest in json_or_none(recorded)
        ]
    except (ValueError, TypeError, LookupError):
        return []


def _log_probability(entry: Sequence[Any]) -> float:
    """That of an entry; of one that is none, what the least likely token has."""
    value = entry[1] if len(entry) > 1 else None
    try:
        return min(0.0, float(value)) if isinstance(value, int | float) and math.isfinite(value) else -math.inf
    except OverflowError:  # a whole number beyond all floating-point numbers
        return -math.inf


# -------------------------------------------------------------------------------------------------------------- relate


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """The score of the suspect's predictions under the key, with everything that its law needs."""
    opened = opened_mark(first.source, first.parameters)
    if isinstance(opened, Absent):
        return opened
    was_marked = may_be_marked(opened.key, first.parameters)
    try:
        tokenizer = tokenizer_of(opened.tokenizer_file, first.source.name)
        readings = readings_of(second.source, tokenizer)
        if isinstance(readings, Absent):
            return readings
        windows = open_windows(readings.texts, readings.predictions, opened.key, read_was_marked=was_marked)
        relation = related(
            PREDICTIONS,
            VERSION,
            (first, second),
            opened,
            known(windows),
            seed,
            was_marked=was_marked,
            read=readings.texts,
            seen={"texts": len(readings.texts), "further": readings.further, "other": readings.other},
            progress=progress,
        )
        if isinstance(relation, Absent):
            return relation
        beside = companion_at(str(first.parameters.get("suspect_base", "")), tokenizer)
        shift = shifted(readings.read, beside, opened, was_marked=was_marked, progress=progress)
        return msgspec.structs.replace(relation, content=relation.content | {"shift": shift})
    except FiliationError as error:
        return Absent(reason=f"{error.message}: {error.advice}")


def companion_at(location: str, tokenizer: Any) -> Beside | Absent:
    """The companion whose recording lies there; `Absent` where none was named, or what lies there is none."""
    if not location:
        return Absent(reason=NO_COMPANION)
    try:
        source = open_source(location)
        readings = readings_of(source, tokenizer)
        digest = source.identity().content_id or "not hashed"
    except FiliationError as error:
        return Absent(reason=f"the companion cannot be read, give it as transcripts:FILE#MODEL: {error.message}")
    if isinstance(readings, Absent):
        return Absent(reason=f"the companion {source.name}: {readings.reason}")
    return Beside(source.name, digest, readings.read)


def known(windows: Tokens) -> Tokens:
    """The windows of which every token is known."""
    return windows[(windows >= 0).all(axis=1)]


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """Two figures, unless something that must not show the mark shows it: of the likeliest tokens, and of the shift from a companion."""
    content = relations.pair.content
    assumptions = (*ASSUMPTIONS, _about_texts(content["read"]["may be marked"]))
    limitations = (*LIMITATIONS, *_left_out(content["seen"]))
    predictions = judge_mark(
        PREDICTIONS,
        relations,
        calibration,
        version=VERSION,
        assumptions=assumptions,
        limitations=limitations,
        read="the texts read",
        ways=WAYS,
    )
    shift = judge_shift(
        SHIFT,
        relations,
        calibration,
        version=VERSION,
        assumptions=assumptions,
        limitations=limitations,
        idealised=tuple(map(sentence, idealised_by(content["mark"]["scheme"]))),
        ways=WAYS,
        read_is_clean=read_is_clean(content),
    )
    return predictions, shift


def _about_texts(may_be_marked: bool) -> str:
    if may_be_marked:
        return (
            "Marked text among what was read was written under the key and not picked by what the key says elsewhere; each context is "
            "judged at its first occurrence."
        )
    return "No text that was read is marked under this key."


def _left_out(seen: Mapping[str, int]) -> Sequence[str]:
    if not seen["other"]:
        return ()
    return (f"Texts that the suspect read with other tokens than the reference are not looked at: {seen['other']}.",)
