"""The only place where numbers become sentences.

Rules, held by `forbidden_words`, `hold_to_wording` and their tests: the number comes before the word; nothing is called by the words of a
verdict; a likelihood ratio speaks of the outcome, never of what somebody did; relatives by initialisation and
relatives by copying are not told apart, so the wording is 'common ancestor, initialisation included'. Figures are
rounded on the side that helps the accused, as in `evidence.round_against_accuser`.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from filiation.case.comparison import Change, Comparison, ConclusionCompared, Result, TestCompared
from filiation.case.records import (
    Admitted,
    Asked,
    Closed,
    Drawn,
    Entry,
    Examined,
    Noted,
    Observed,
    Opened,
    Recovered,
    Reported,
    Revealed,
    Sealed,
    Stopping,
)
from filiation.errors import UsageError
from filiation.evidence import (
    Characteristic,
    Companion,
    Conclusion,
    Effect,
    Examination,
    Finding,
    Identity,
    Inconclusive,
    Lineages,
    Multiplicity,
    NotExamined,
    Null,
    Outcome,
    Power,
    Proposition,
    RelationPower,
)
from filiation.report.constructed import Beside, DrawnLots, in_utc, is_binomial

# ------------------------------------------------------------------------------------------------------ fixed sentences

NOT_THE_POSTERIOR = (
    "This is not the probability of derivation. A likelihood ratio says how much more probable the outcome is under one "
    "proposition than under the other. How probable the propositions themselves are depends on everything else that is "
    "known, and is for whoever decides the case."
)

IN_ONE_SENTENCE = (
    "Every line of evidence is put in the same form: in n opportunities we saw k coincidences; without copying, each had "
    "a chance of at most c, whatever the others did; the chance of k or more is p. What differs between tests is what "
    "counts as an opportunity, and where c comes from, and both are printed with every figure."
)

PROPOSITION_TITLES = {
    Proposition.DESIGN: "Design",
    Proposition.TOKENIZER: "Tokenizer",
    Proposition.WEIGHTS: "Weights",
    Proposition.OUTPUTS: "Outputs",
    Proposition.GUARDRAILS: "Guardrails",
    Proposition.SERVICE: "Service",
    Proposition.MARKS: "Planted marks",
    Proposition.DATA: "Training data",
    Proposition.REPRESENTATIONS: "Representations",
    Proposition.TRAINING_METHOD: "Training method",
}

PROPOSITION_QUESTIONS = {
    Proposition.DESIGN: "Is the suspect built to the reference's design, and how rare is that design?",
    Proposition.TOKENIZER: "Does the suspect's tokenizer share the reference's accidents of training?",
    Proposition.WEIGHTS: "Do the suspect's weights have an ancestor in common with the reference's, initialisation included?",
    Proposition.OUTPUTS: "Do the suspect's answers share the reference's accidents more than unrelated models' answers do?",
    Proposition.GUARDRAILS: "Does the suspect refuse what the reference refuses, in the reference's words, more than unrelated models do?",
    Proposition.SERVICE: "Do the suspect's answers differ from the reference model's by more than a change of runtime makes them differ?",
    Proposition.MARKS: (
        "Do the suspect's answers agree with a secret key of the owner's, by which text was marked, more often than chance allows? That "
        "is exposure to marked material, however it came about."
    ),
    Proposition.DATA: (
        "Does what the suspect remembers or predicts lean to what the owner drew by lot: an order, one of two texts, a key? That is "
        "exposure to the owner's texts, however it came about."
    ),
    Proposition.REPRESENTATIONS: "Do units inside the suspect answer to the same text as units inside the reference, unit by unit?",
    Proposition.TRAINING_METHOD: "Did training move the suspect from its base as it moved the reference from its own?",
}

MERGED = "This finding depends on the one that carries the likelihood ratio, so the two are never multiplied."

NULL_TITLES = {
    Null.CONSTRUCTION: "by construction",
    Null.EXCHANGEABILITY: "by exchangeability",
    Null.POPULATION: "by population",
    Null.MODEL: "by model",
}

NULL_EXPLANATIONS = {
    Null.CONSTRUCTION: (
        "The chance was made, not estimated: the owner drew lots (a key, an order, one of two texts) and committed to them before. "
        "Whoever does not depend on them agrees with them as often as lots do, and how often that is, is known exactly. It holds if its "
        "premises hold, which are printed with the figure. It shows exposure to the owner's marked material, not how that came about; "
        "and the absence of a mark says nothing."
    ),
    Null.EXCHANGEABILITY: (
        "The chance comes from a symmetry: when initialisations are independent, the numbering of units carries no "
        "meaning, so every numbering is equally likely. It is exact under that assumption."
    ),
    Null.POPULATION: (
        "The chance comes from the rank among lineages of known and unrelated history that were examined by the same "
        "code: an opportunity is a lineage, a coincidence is one that stands as high as the suspect. The chance can never be "
        "smaller than one in the number of lineages plus one, whatever the number of prompts or features."
    ),
    Null.MODEL: (
        "The chance is a bound that was argued and then tested on strangers, with a wide tolerance. Whether the bound "
        "holds is one event per pair of models, so the number of strangers caps what may be concluded."
    ),
}

OPPORTUNITY_LABELS = {
    Null.CONSTRUCTION: "opportunities",
    Null.EXCHANGEABILITY: "opportunities",
    Null.POPULATION: "other lineages",
    Null.MODEL: "opportunities",
}

COUNT_LABELS = {
    Null.CONSTRUCTION: "coincidences seen",
    Null.EXCHANGEABILITY: "coincidences seen",
    Null.POPULATION: "share as much",
    Null.MODEL: "coincidences seen",
}

TAIL_LABELS = {
    Null.CONSTRUCTION: "chance of so many",
    Null.EXCHANGEABILITY: "chance of so many",
    Null.POPULATION: "chance of standing so high",
    Null.MODEL: "chance of so many, at most",
}

CHANCE_LABELS = {
    Null.CONSTRUCTION: "chance of each, exactly",
    Null.EXCHANGEABILITY: "chance of each, by symmetry",
    Null.POPULATION: "chance of each",
    Null.MODEL: "chance of each, at most",
}

EXPOSURE = (
    "This figure speaks of exposure to what the owner marked or drew by lot. How that came about, with leave or without, at first hand "
    "or through others, it does not say."
)
IN_A_WORD = "of exposure, if its premises hold"
UNDETECTED = "nothing detected"
ABSENCE = (
    "The absence of a mark says nothing: marks can be filtered out, diluted or trained away, and what was read may not have been "
    "learned."
)
PREMISES = "Premises. The figure is as good as these, and no better"
BESIDE_CONSTRUCTED = (
    "What keeps the premises honest. What was made alike and never used, and controls (unrelated models under the same lots), should "
    "show nothing: where one of them is rare itself, a premise is broken and the figure may not be used."
)
LAW_CAPTION = (
    "The exact law. Bars: how often each count comes about for whoever does not depend on the owner's lots. Falling line: the chance of "
    "so many or more, nothing paid for what was searched; below the dashed line it counts as detected, with everything paid. Below: the "
    "suspect, and what should show nothing."
)
RARITIES_CAPTION = (
    "The chance of so much or more for whoever does not depend on the owner's lots, exact or bounded from above: of the suspect, with "
    "what was searched paid for, and of what should show nothing."
)
ALONE = "without controls"
"""The one figure beside a finding by construction that may well be rare: the suspect's own, with nothing of controls taken away."""

THE_SUSPECT_AGAIN = "'Without controls' is the suspect itself, with nothing taken away: it may be rare."
MANY_BESIDE = 12
"""Of more than so many the list is folded."""
OPENED = "opened"
"""A word of every reason that speaks of marks which were there, whether they held or not."""
NO_LOT, NO_CANARIES = "no opened lot of the purpose", "no opened canaries are among the marks"
"""How a reason begins where marks were opened, and none of the kind that a test reads."""
NO_MARKS = "nothing that its owner planted or drew by lot is among the exhibits"
"""How a reason begins where evidence by construction had nothing to work with (`sources.marks.NONE`)."""
HOW_TO_MARK = "How to: docs/planted-marks.md"
SHOULD_SHOW = {
    "exposure ledger": "the claimant's own account of who was given marked answers",
    "decoys": "made alike and never planted: rare only where somebody was given the labels themselves",
    "placebo keys": "keys drawn anew that nobody used: how many do as well as the committed one, without any law",
    "unused cohorts": "labels or keys that were given to nobody: the best of them",
    "further answers": "recorded after the first to each prompt: counted, and not looked at",
}
"""What stands beside a finding by construction under this name, where the examiner does not say it."""

COUNTED = "counted"
"""What is counted where it is no number of coincidences of one chance, a sum of ranks for instance."""
DIFFERENCES = "differences seen"
"""What is counted where the question is whether a service is the reference model: there, differences speak."""

KIND_TITLES = {"finding": "finding", "inconclusive": "inconclusive", "not_examined": "not examined"}

# ---------------------------------------------------------------------------------------------------- forbidden wording

_COUNT = "say what was counted: 'k coincidences in n opportunities'"
_FIGURE = "give the likelihood ratio with its interval and its cap"
_WEIGH = "give the likelihood ratio, and say which two propositions it weighs"
_PERCENT = r"(%|per\s?cent\b)"
_LIKENESS = r"(similar|alike|identical|the\s+same|overlap\w*|agreement|agree[sd]?|resembl\w+|copied|cop(y|ies))"

INSTEAD = {
    r"\bmatch(ed|es)?\b": "write 'coincidences' of what was counted, 'alike in' of how foils were chosen",
    r"(?<!double )(?<!double-)\bmatching\b": "write 'coinciding', or name the test: 'double-matching'",
    r"\b(dis)?pro(ves?|ved|ven|ofs?|ving)\b": _FIGURE,
    r"\b(guilt(y)?|culprits?|perpetrators?|infring\w*|fraud\w*|pira(te|ted|tes|ting|cy))\b": (
        "leave it to whoever decides the case"
    ),
    r"\b(stole|stolen|steal(s|ing)?|theft|thie(f|ves)|plagiari[sz]\w*)\b": "write 'taken', as the question and never the answer",
    r"\bsimilarit(y|ies)\b": _COUNT,
    rf"\d\s*{_PERCENT}\s*(an?\s+)?{_LIKENESS}\b": _COUNT,
    rf"\d\s*{_PERCENT}\s*(sure|certain(ty)?|likely|confident)\b": _FIGURE,
    rf"\b{_LIKENESS}\s+(\w+\s+){{0,3}}?\d+([.,]\d+)?\s*{_PERCENT}": _COUNT,
    r"\b(probability|likelihood|odds|chances?)\s+that\b": _WEIGH,
    r"\b(probably|presumably|(very|most|highly)\s+likely|likely\s+to\s+have(\s+been)?)\s+(\w+\s+){0,2}?"
    r"(copied|taken|derived|distilled|trained\s+on|a\s+copy|ours)\b": _WEIGH,
    r"\b(beyond|without|no)\s+(an?\s+|any\s+|all\s+|reasonable\s+)*doubts?\b": _FIGURE,
    r"\b(certainly|clearly|definitely|obviously|surely|plainly|evidently|demonstrably|undoubtedly|unquestionably|undeniably)\b": (
        "leave the word out, or give the figure that it stands for"
    ),
    r"\b(conclusive(ly)?|irrefutabl[ey]|indisputabl[ey]|incontrovertibl[ey]|unmistakabl[ey]|smoking\s+gun)\b": _FIGURE,
    r"\bdescend(s|ed|ants?)?\s+(from|of)\b": "write 'has a common ancestor with, initialisation included'",
    r"\bverdicts?\b": "write 'finding' or 'conclusion'",
}
"""Patterns that no sentence of a report may contain, whoever wrote it, and what to write instead."""

# The words of a verdict are refused in every sense, so that nobody has to weigh senses: foils are never 'matched', they are
# 'alike in' what is not at issue. The name of a test, 'double-matching', passes; so do '95 % interval' and '95 % upper limit',
# because only percentages of likeness or certainty are refused.
FORBIDDEN = tuple(INSTEAD)

_LOOK_ALIKES = str.maketrans("аеорсхіѕјԁһʏΑΕΟΡΤοтмнк", "aeopcxisjdhyAEOPTotmhk")
"""Letters of other alphabets that are read as Latin ones; a forbidden word spelt with them is still that word."""


def forbidden_words(text: str) -> tuple[str, ...]:
    """The forbidden wordings found in `text`; empty when it may be printed.

    Look-alike letters, wide letters, invisible characters and line breaks do not hide a word.
    """
    plain = _plainly(text)
    return tuple(found.group(0) for pattern in FORBIDDEN for found in re.finditer(pattern, plain, re.IGNORECASE))


def _plainly(text: str) -> str:
    """`text` as it is read: compatibility forms resolved, invisible characters gone, look-alikes in Latin letters."""
    resolved = unicodedata.normalize("NFKC", text).translate(_LOOK_ALIKES)
    return "".join(character for character in resolved if unicodedata.category(character) != "Cf")


def hold_to_wording(texts: Mapping[str, str]) -> None:
    """Refuse free text that says what a report may not say. `texts`: by the name of the field.

    Raises UsageError naming the fields, the words, and what to write instead.
    """
    found = [
        (name, match.group(0), instead)
        for name, text in texts.items()
        for pattern, instead in INSTEAD.items()
        for match in re.finditer(pattern, _plainly(text), re.IGNORECASE)
    ]
    if found:
        told = "; ".join(f"{name} says ‘{visible(word, 60)}’" for name, word, _ in found)
        advice = "; ".join(dict.fromkeys(f"for ‘{visible(word, 60)}’, {instead}" for _, word, instead in found))
        raise UsageError(f"a report may not say this: {told}", advice=advice)


# -------------------------------------------------------------------------------------------------------------- numbers


def visible(text: str, longest: int = 400) -> str:
    """`text` from an exhibit made safe to show: control, bidirectional and private characters become U+FFFD.

    Model names and reasons are hostile input: they could carry terminal escapes or reverse the reading direction.
    """
    spaced = re.sub(r"[\t\r\n]+", " ", text)
    shown = "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co") else c for c in spaced)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def shortened(text: str, longest: int) -> str:
    """`visible(text)` with its middle left out where it is longer than `longest` characters."""
    shown = visible(text, 10_000)
    if len(shown) <= longest:
        return shown
    head = (longest - 1) // 2
    return shown[:head] + "…" + shown[len(shown) - (longest - 1 - head) :]


def whole(number: int) -> str:
    """An integer with thousands separated: 47,190."""
    return f"{number:,}"


def _decimal(value: float, digits: int, upwards: bool) -> str:
    """`value` > 0 in plain decimals with `digits` significant figures, rounded towards the side named."""
    exponent = math.floor(math.log10(value))
    step = 10.0 ** (exponent - digits + 1)
    scaled = value / step
    rounded = math.ceil(scaled - 1e-9) if upwards else math.floor(scaled + 1e-9)
    places = max(0, digits - 1 - exponent)
    text = f"{rounded * step:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def power_of_ten(exponent: int) -> str:
    """'10^-1536'; the typographic form is made by whoever lays the text out."""
    return f"10^{exponent}"


def probability(log10_p: float) -> str:
    """A probability from its log10, never smaller than it is: '0.31', '0.0004', '10^-1536'."""
    if log10_p >= 0:
        return "1"
    if log10_p > -3:
        return _decimal(10.0**log10_p, 2, upwards=True)
    return power_of_ten(math.ceil(log10_p - 1e-9))


def threshold(log10_p: float) -> str:
    """The p from which on something counts as found: a figure that was fixed, so the nearest of two digits and no side is taken."""
    return f"{10.0**log10_p:.2g}" if log10_p > -3 else power_of_ten(round(log10_p))


def chance(value: float) -> str:
    """A chance, never smaller than it is: '0.1', '0.0027', '1 in 384'."""
    inverse = 1.0 / value
    if inverse >= 20 and abs(inverse - round(inverse)) < 1e-6 * inverse:
        return f"1 in {whole(round(inverse))}"
    if value < 1e-4:
        return f"1 in {whole(math.floor(inverse))}"
    return _decimal(value, 3, upwards=True)


def chance_of_each(finding: Finding) -> str:
    """The chance column of a table: a rank among lineages has no chance of each coincidence, nor has a statistic with a law of its own."""
    if finding.null is Null.CONSTRUCTION and not is_binomial(finding):
        return "by law"
    return "by rank" if finding.null is Null.POPULATION else chance(finding.chance)


def score(value: float) -> str:
    """A score of a line-up: '3.21', '-0.75'. It has no unit but its place."""
    return f"{value + 0.0:.2f}"


def standing(above: int, lineages: int) -> str:
    """Where the suspect stands, without a chance: '4 of 37 control lineages score at least as high as the suspect'."""
    if lineages == 0:
        return "no control lineage stands in the line-up"
    verb = "scores" if above == 1 else "score"
    return f"{whole(above)} of {plural(lineages, 'control lineage')} {verb} at least as high as the suspect"


def line_up(above: int, lineages: int, prompts: int, left_out: int, packs: Sequence[str]) -> str:
    """The caption of a line-up by rank."""
    told = f"{ended(standing(above, lineages))} Compared over {plural(prompts, 'prompt')} by the same code."
    if left_out:
        told += f" {plural(left_out, 'control')} shown and not ranked: related to one of the two, or not known to be unrelated."
    return f"{told} {packs_cited(packs)}".strip()


def packs_cited(packs: Sequence[str]) -> str:
    """The control packs that took part, with version and digest; empty where none did."""
    if not packs:
        return ""
    return f"Control {'pack' if len(packs) == 1 else 'packs'}: {'; '.join(visible(pack, 120) for pack in packs)}."


def held_out_cells(beside: Companion) -> tuple[str, str, str]:
    """A companion of the held-out calibration as cells: what was promised, what was seen, the interval."""
    what = visible(beside.name).partition(", ")[2] or visible(beside.name)
    return what, visible(beside.value), visible(beside.note)


HELD_OUT_CAPTION = (
    "Do ranks keep their promise here? Every unrelated pair of controls, ranked with the labs of both held out. A promise is "
    "broken where the whole interval lies above it."
)


def question(examination: Examination) -> tuple[str, str, str]:
    """What a report asks, around the names of suspect and reference. Of marks alone nothing is asked but exposure."""
    if examination.reference.format == "marks":
        return "Was ", " exposed to what was planted or drawn by lot, and opened as ", "?"
    return "What has ", " taken from ", ", if anything?"


def told_from(examination: Examination) -> str:
    """What was examined: files, recorded answers, figures of such, or several of these."""
    formats = {examination.reference.format, examination.suspect.format}
    if any(
        outcome.null is Null.CONSTRUCTION and not isinstance(outcome, NotExamined) for outcome in examination.outcomes
    ):
        formats.add("marks")
    answers = formats & set(ANSWERS)
    if not answers:
        return "their files"
    told = [ANSWERS[kind] for kind in ANSWERS if kind in answers]
    told = told if answers == formats else ["files", *told]
    return " and ".join(part for part in (", ".join(told[:-1]), told[-1]) if part)


ANSWERS = {"marks": "opened marks", "transcript": "recorded answers", "pack": "figures of recorded answers"}
"""Formats of exhibits that are no files of a model, and what was read of them."""


def controls(given: int, of_packs: int, packs: Sequence[str]) -> str:
    """Who stood beside the suspect: 'with 3 controls', 'with 137 controls from the control pack ...', 'with no control given'."""
    if not of_packs:
        return f"with {plural(given, 'control')}" if given else "with no control given"
    if not given:
        return f"with {plural(of_packs, 'control')} from {packs_named(packs)}"
    return f"with {plural(given, 'control')}, and {whole(of_packs)} from {packs_named(packs)}"


def packs_named(packs: Sequence[str]) -> str:
    """'the control pack alpaca_eval 1 (e21646e447dc)'."""
    return f"the control {'pack' if len(packs) == 1 else 'packs'} {'; '.join(visible(pack, 120) for pack in packs)}"


def listed(words: Sequence[str]) -> str:
    """'a', 'a or b', 'a, b or c'."""
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part) if words else ""


def folded_names(named: Sequence[tuple[str, int]]) -> str:
    """The tests of one shared reason: 'tokenizer (4 tests), weights (4 tests), teacher.vendor'."""
    return ", ".join(
        f"{visible(name)} ({plural(count, 'test')})" if count > 1 else visible(name) for name, count in named
    )


def folded_reason(reason: str, parts: Sequence[str]) -> str:
    """A shared reason with all the parts that it names: '... without the model's configuration, tokenizer or weights.'"""
    return _running(f"{reason.strip()} {listed(parts)}".strip())


def folded_marks(examiners: Sequence[str], others_opened: bool = False) -> str:
    """Everything by construction that had nothing to work with, in one line: 'Canaries, training order: not examined, because ...'.

    `others_opened`: whether there are marks, of which these examiners read none.
    """
    why = "nothing of the kind that they read is among the opened marks" if others_opened else NO_MARKS
    names = ", ".join(visible(name).replace("_", " ") for name in examiners)
    return f"{ended(names)[:-1]}: not examined, because {why}. {HOW_TO_MARK}."


def listed_tests(outcomes: Sequence[Outcome]) -> str:
    """The tests of several outcomes by name, in brackets."""
    return f"({', '.join(visible(outcome.test) for outcome in outcomes)})"


def not_examined_count(counts: Sequence[int]) -> str:
    """'Not examined: 24 tests, for 3 reasons that several share'; `counts`: tests per shared reason."""
    reasons = "one reason that they share" if len(counts) == 1 else f"{whole(len(counts))} reasons that several share"
    return f"Not examined: {plural(sum(counts), 'test')}, for {reasons}"


SHARED = {"verbatim.passages": "a passage", "verbatim.answers": "a long answer"}
"""What a test counts, beyond what unrelated models give alike; a score of nought says that there is none."""


def nothing_ranked(test: str, score: float) -> str:
    """Said of a line-up in which the suspect and all ranked controls have this one score."""
    if score == 0 and test in SHARED:
        return (
            f"No control and not the suspect shares {SHARED[test]} with the reference, beyond what unrelated models give "
            "alike: nothing was there to be ranked."
        )
    return "No control and not the suspect stands out: all have one score, so that nothing was there to be ranked."


def chance_label(outcome: Finding) -> str:
    """What the chance of a finding is called."""
    if outcome.null is Null.CONSTRUCTION and not is_binomial(outcome):
        return "share expected"
    return CHANCE_LABELS[outcome.null]


def opportunity_label(outcome: Finding) -> str:
    """What the opportunities of a finding are called."""
    if outcome.null is Null.CONSTRUCTION and not is_binomial(outcome):
        return "at most"
    return OPPORTUNITY_LABELS[outcome.null]


def count_label(outcome: Finding) -> str:
    """What the count of a finding is called."""
    if outcome.null is Null.CONSTRUCTION and not is_binomial(outcome):
        return COUNTED
    if outcome.proposition is Proposition.SERVICE and outcome.null is Null.MODEL:
        return DIFFERENCES
    return COUNT_LABELS[outcome.null]


def share(count: int, opportunities: int) -> str:
    """A share in decimals, for instance '0.498'; '1' and '0' only when exactly so."""
    if opportunities == 0 or count in (0, opportunities):
        return "none" if opportunities == 0 else str(count // opportunities)
    return f"{min(max(count / opportunities, 0.001), 0.999):.3f}"


def ratio(log10_ratio: float) -> str:
    """A likelihood ratio from its log10, never larger than it is: '0.052', '41', '1,300', '10^6'."""
    if -3 < log10_ratio < 5:
        return _decimal(10.0**log10_ratio, 2, upwards=False)
    return power_of_ten(math.floor(log10_ratio + 1e-9))


def size(number: int) -> str:
    """Bytes in decimal units: '270 MB'."""
    value, unit = float(number), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{whole(number)} bytes" if unit == "bytes" else f"{value:.3g} {unit}"


def plural(number: int, noun: str, several: str = "") -> str:
    """'1 lineage', '12 lineages'."""
    return f"{whole(number)} {noun if number == 1 else several or noun + 's'}"


def ended(sentence: str) -> str:
    """The sentence, made safe to show, with exactly one full stop (or other ending) and a capital."""
    text = visible(sentence.strip(), 4000)
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


# -------------------------------------------------------------------------------------------------------- one sentence


def sentence(outcome: Outcome) -> str:
    """The one sentence of an outcome, in the form of its null."""
    if isinstance(outcome, NotExamined):
        return f"Not examined: {_running(outcome.reason)}"
    if isinstance(outcome, Inconclusive):
        return f"Examined, and nothing may be said: {_running(outcome.reason)}"
    return _SENTENCES[outcome.null](outcome)


def _running(reason: str) -> str:
    """A reason as it continues a sentence."""
    text = visible(reason.strip(), 4000) or "no reason was recorded"
    return text + ("" if text[-1] in ".!?" else ".")


def _seen(finding: Finding) -> str:
    return (
        f"In {plural(finding.opportunities, 'opportunity', 'opportunities')} "
        f"we saw {plural(finding.count, 'coincidence')}."
    )


def _tail(finding: Finding) -> str:
    """The chance of so many or more; what was searched is already paid for in it."""
    at_most = "at most " if finding.log10_p < 0 and finding.null is Null.MODEL else ""
    return f"The chance of {whole(finding.count)} or more is {at_most}{_chance_of_so_many(finding)}"


def _chance_of_so_many(finding: Finding) -> str:
    paid = ", the search paid for" if finding.multiplicity.searched > 1 else ""
    return f"{probability(finding.log10_p)}{paid}."


def _by_model(finding: Finding) -> str:
    if finding.proposition is Proposition.SERVICE:
        return (
            f"In {plural(finding.opportunities, 'opportunity', 'opportunities')} we saw {plural(finding.count, 'difference')}. "
            "Were the reference model answering under another runtime, each had a chance of at most "
            f"{chance(finding.chance)}, whatever the others did. {_tail(finding)}"
        )
    return (
        f"{_seen(finding)} Without copying, each had a chance of at most {chance(finding.chance)}, "
        f"whatever the others did. {_tail(finding)}"
    )


def _by_exchangeability(finding: Finding) -> str:
    return (
        f"{_seen(finding)} Without copying, and with initialisations drawn independently, every numbering of the units "
        f"was equally likely, which gave each a chance of {chance(finding.chance)}. {_tail(finding)}"
    )


def drawn(lots: DrawnLots) -> str:
    """Who held the lots and when they were fixed, both dates beside one another."""
    whose = visible(lots.whose, 120) or "the owner, whose name is not told,"
    stamps = "; ".join(
        f"{visible(name, 80)} on {visible(in_utc(time), 60)}" for name, time in sorted(lots.stamps.items())
    )
    return (
        f"Held and committed to by {whose}. The commitment was stamped by {stamps or 'nobody'}. The lots were drawn with a public beacon "
        f"that spoke later, on {visible(in_utc(lots.beacon_time), 60)}: {ended(lots.beacon)}"
    )


def _by_construction(finding: Finding) -> str:
    if is_binomial(finding):
        seen, law = _seen(finding), f"each had a chance of exactly {chance(finding.chance)}, whatever the others did"
    else:
        seen = f"We counted {whole(finding.count)} of at most {whole(finding.opportunities)}."
        law = f"a share of {chance(finding.chance)} is expected, and the law of the statistic is known exactly, or bounded from above"
    tail = _tail(finding) if is_binomial(finding) else f"The chance of so much or more is {_chance_of_so_many(finding)}"
    rarity = f"{tail[:-1]}{one_in(finding.log10_p)}, by construction, if the premises hold."
    if finding.log10_p >= 0.0:  # 'the chance is 1' would be read as that of the count alone
        rarity = "Once what was searched is paid for, no chance below 1 is left."
    return (
        f"{seen} Lots that the owner drew in secret, and had committed to before, decided what counts: for "
        f"whoever does not depend on them {law}. {rarity}"
    )


def one_in(log10_p: float) -> str:
    """A small chance as people say it, never smaller than it is: ': at most one in 10^38'; empty where the figure says it itself."""
    return f": at most one in {power_of_ten(math.floor(-log10_p + 1e-9))}" if log10_p <= -3 else ""


def _by_population(finding: Finding) -> str:
    return (
        f"Of {plural(finding.opportunities, 'other lineage')} of known history, {whole(finding.count)} "
        f"{'shares' if finding.count == 1 else 'share'} as much with the reference as the suspect does. Were the suspect "
        f"one more independent lineage among them, the chance of standing so high is {probability(finding.log10_p)}; "
        f"a line-up of this size could not have reached less than {probability(finding.resolution_log10_p)}."
    )


_SENTENCES = {
    Null.MODEL: _by_model,
    Null.EXCHANGEABILITY: _by_exchangeability,
    Null.CONSTRUCTION: _by_construction,
    Null.POPULATION: _by_population,
}


FIVE_PER_CENT = -1.301
"""log10 of 0.05 as findings are rounded: a p of exactly 0.05 is not above it."""


def undetected(outcome: Outcome) -> bool:
    """Whether a finding by construction stays above the p from which on it counts as detected."""
    if not isinstance(outcome, Finding) or outcome.null is not Null.CONSTRUCTION:
        return False
    return outcome.log10_p > outcome.power.threshold_log10_p


def in_a_word(outcome: Outcome) -> str:
    """What a finding by construction is of, for a cell: nobody reads 'a finding of exposure' where none was detected."""
    return UNDETECTED if undetected(outcome) else IN_A_WORD


def reading(outcome: Outcome) -> str:
    """What may be read into a finding, beyond its sentence; empty where it says everything."""
    if not isinstance(outcome, Finding):
        return ""
    remarks = []
    if outcome.proposition is Proposition.SERVICE:
        remarks.append(
            "Here a small chance speaks against the two being one model; a large one never says that they are one."
        )
    elif outcome.log10_p > FIVE_PER_CENT and outcome.null is Null.POPULATION:
        remarks.append("Unrelated models stand as high this often: what the test could have seen is under 'power'.")
    elif undetected(outcome):
        remarks.append("That does not count as detected, and speaks for neither side.")
    elif outcome.log10_p > FIVE_PER_CENT:
        remarks.append(
            "Independent models bring as many as this often: what the test could have seen is under 'power'."
        )
    if (
        outcome.null is Null.POPULATION
        and outcome.log10_p > math.log10((outcome.count + 1) / (outcome.opportunities + 1)) + 0.002
    ):
        remarks.append(
            "The place alone would give a smaller figure; it was raised to what unrelated controls did when their labs were "
            "held out."
        )
    if outcome.characteristic is Characteristic.CLASS:
        remarks.append("A class characteristic narrows a family down; it can never identify a model by itself.")
    return " ".join(remarks)


# ------------------------------------------------------------------------------------------------------- the likelihood


def likelihood_sentence(conclusion: Conclusion, relation: str) -> str:
    """The likelihood ratio of a conclusion as a sentence: number, interval, cap, and the word last.

    `relation` is the named relation, the `relation_class` of the findings; `conclusion.alternative` is what it is
    weighed against.
    """
    log10_ratio = conclusion.log10_likelihood_ratio
    if log10_ratio is None:
        return f"No likelihood ratio: {_running(conclusion.reason)}"
    parts = [_ratio_sentence(log10_ratio, visible(relation), visible(conclusion.alternative))]
    if conclusion.null is Null.CONSTRUCTION:
        parts[0] = f"If the premises hold: {parts[0][0].lower()}{parts[0][1:]}"
        parts.append(NO_INTERVAL)
    if interval(conclusion):
        parts.append(f"The 95 % interval of that ratio is {interval(conclusion)}.")
    if conclusion.cap is not None:
        parts.append(f"It is capped at {cap(conclusion)}: {_running(conclusion.cap.reason)}")
    if conclusion.word:
        parts.append(f"In words, on the printed scale: {visible(conclusion.word)}.")
    return " ".join(parts)


NO_INTERVAL = "Nothing in it was estimated from other models, so it has no interval."


def _ratio_sentence(log10_ratio: float, relation: str, alternative: str) -> str:
    if log10_ratio == 0:
        return f"The outcome is as probable under ‘{relation}’ as under ‘{alternative}’."
    if "1" in (ratio(log10_ratio), ratio(-log10_ratio)):
        return (
            f"The likelihood ratio is {_decimal(10.0**log10_ratio, 2, upwards=False)}: the outcome is nearly as probable under "
            f"‘{relation}’ as under ‘{alternative}’."
        )
    if log10_ratio > 0:
        return f"The outcome is {ratio(log10_ratio)} times as probable under ‘{relation}’ as under ‘{alternative}’."
    return (
        f"The likelihood ratio is {ratio(log10_ratio)}: the outcome is {ratio(-log10_ratio)} times as probable under "
        f"‘{alternative}’ as under ‘{relation}’."
    )


def ratio_or_none(conclusion: Conclusion | None) -> str:
    """The likelihood ratio for a table: a number or 'inconclusive'; 'merged' where it stands with another finding."""
    if conclusion is None:
        return "merged"
    value = conclusion.log10_likelihood_ratio
    return "inconclusive" if value is None else ratio(value)


def conclusion_title(conclusion: Conclusion) -> str:
    """'Weights, null by model'."""
    return f"{PROPOSITION_TITLES[conclusion.proposition]}, null {NULL_TITLES[conclusion.null]}"


def cap(conclusion: Conclusion) -> str:
    """The cap of a likelihood ratio, or empty."""
    return "" if conclusion.cap is None else ratio(math.log10(conclusion.cap.value))


def interval(conclusion: Conclusion) -> str:
    """'12 to 96', or empty where no interval was recorded."""
    low, high = conclusion.log10_likelihood_ratio_low, conclusion.log10_likelihood_ratio_high
    return "" if low is None or high is None else f"{ratio(low)} to {ratio(high)}"


def scale_caption(conclusion: Conclusion) -> str:
    """What the marks on the picture of the scale are."""
    told = "The case on the whole printed scale, which is the same upwards and downwards."
    marks = ["the bar is the 95 % interval"] if interval(conclusion) else []
    marks += ["the dashed line the cap"] if conclusion.cap is not None else []
    told += f" {ended(', '.join(marks))}" if marks else ""
    return f"{told} {NO_INTERVAL}" if conclusion.null is Null.CONSTRUCTION else told


# --------------------------------------------------------------------------------------------- validation, power, costs


def validation(lineages: Lineages, null: Null) -> str:
    """The strangers behind a chance, counted by lineage, with the upper limit."""
    if null is Null.CONSTRUCTION:
        counted = (
            f" {whole(lineages.strangers_exceeding)} of {plural(lineages.strangers, 'stranger lineage')} reached what counts as detected."
            if lineages.strangers
            else ""
        )
        return f"{CONSTRUCTED_VALIDATION}{counted}"
    if lineages.strangers == 0:
        return "No stranger lineage has been examined for this kind of model: the chance is argued, not tested."
    what = "exceeded the bound" if null is Null.MODEL else "reached what counts as detected"
    limit = _decimal(max(lineages.upper_limit, 1e-6), 2, upwards=True)
    return (
        f"{whole(lineages.strangers_exceeding)} of {plural(lineages.strangers, 'stranger lineage')} {what}; "
        f"95 % upper limit on their share {limit}."
    )


def control_lineages(lineages: Lineages) -> str:
    """The control lineages of a finding, named."""
    if not lineages.controls:
        return "none"
    return f"{whole(len(lineages.controls))}: {', '.join(visible(name, 80) for name in lineages.controls)}"


def power_of_rank(finding: Finding) -> str:
    """The place that a suspect had to take to count as found."""
    limit, controls = finding.power.threshold_log10_p, finding.opportunities
    if finding.resolution_log10_p > limit + 1e-9:
        return f"No place in this line-up reaches p = {threshold(limit)}, from which on the relation counts as found."
    passed = math.ceil(finding.power.detectable_share * controls - 1e-6)
    return (
        f"To count as found (p = {threshold(limit)}) the suspect had to stand above at least {whole(passed)} of the "
        f"{plural(controls, 'control lineage')}."
    )


def power(power: Power) -> str:
    """What the design could have found."""
    return (
        f"A true share of {_decimal(max(power.detectable_share, 1e-6), 2, upwards=True)} or more would have been seen at "
        f"p = {threshold(power.threshold_log10_p)} with 95 % probability."
    )


def power_told(finding: Finding, ranked: bool) -> str:
    """What a test could have found, in the form of its null. `ranked`: whether the suspect was ranked among controls by a score."""
    if finding.null is not Null.POPULATION:
        return power(finding.power)
    if ranked:
        return power_of_rank(finding)
    return (
        f"To count as found (p = {threshold(finding.power.threshold_log10_p)}) a share of "
        f"{_decimal(max(finding.power.detectable_share, 1e-6), 2, upwards=True)} of what was compared had to be the same, "
        "whichever it was."
    )


def relation_power(relation: RelationPower) -> str:
    """How often a relation of known truth was found."""
    return f"{visible(relation.relation)}: {whole(relation.detected)} of {plural(relation.lineages, 'lineage')} found"


def multiplicity(searched: Multiplicity) -> str:
    """What was searched over and how that was paid for."""
    if searched.searched <= 1:
        return "Nothing was searched over: one test, fixed before."
    cost = "" if searched.log10_cost == 0 else f"; it cost a factor of {ratio(searched.log10_cost)} in p"
    return f"{plural(searched.searched, 'choice')} searched, paid for by {visible(searched.rule)}{cost}."


def companion(beside: Companion) -> str:
    """Another null's figure, which stands beside the finding."""
    note = f" ({_p_told(visible(beside.note))})" if beside.note else ""
    return f"{visible(beside.name)}, null {NULL_TITLES[beside.null]}: {_p_told(visible(beside.value))}{note}."


def _p_told(text: str) -> str:
    """'log10 p -3.2' in a text as 'p 10^-3'."""
    return re.sub(r"\blog10 p (-?\d{1,7}(?:\.\d{1,6})?)", lambda found: f"p {probability(float(found[1]))}", text)


def beside_constructed(each: Beside) -> tuple[str, str, str, str]:
    """What stands beside a finding by construction, as cells: what it is, what was seen, its chance, what it is for."""
    rare = "" if each.log10_p is None else probability(each.log10_p)
    return visible(each.name), visible(each.told), rare, visible(each.note) or SHOULD_SHOW.get(each.name, "")


def caption_beside(caption: str, rows: Sequence[Beside]) -> str:
    """BESIDE_CONSTRUCTED or RARITIES_CAPTION, with what need not show nothing where that stands among the rows."""
    return f"{caption} {THE_SUSPECT_AGAIN}" if any(each.name == ALONE for each in rows) else caption


def beside_in_short(rows: Sequence[Beside]) -> tuple[str, ...]:
    """What stands beside a finding by construction, one line each, many controls in one: 'decoys: 3 of 64, p 0.72'."""
    controls = [each for each in rows if each.is_control]
    folded = controls if len(controls) > MOST_CONTROLS_NAMED else []
    lines = []
    for each in (each for each in rows if each not in folded):
        name, told, rare, _ = beside_constructed(each)
        lines.append(
            f"{name}: {', '.join(part for part in (told, f'p {rare}' if rare else '') if part) or 'no figure'}"
        )
    rarest = [each.log10_p for each in folded if each.log10_p is not None]
    if folded:
        lines.append(f"{whole(len(folded))} controls" + (f": smallest p {probability(min(rarest))}" if rarest else ""))
    return tuple(lines)


MOST_CONTROLS_NAMED = 6
"""So many controls are told one by one where there is little room."""


def same_premises(test: str) -> str:
    """Said of a finding by construction whose premises stand with another one."""
    return f"Its premises are those of {visible(test)}, above."


def premises(finding: Finding) -> tuple[str, ...]:
    """What a figure by construction rests on, one sentence each: the finding's assumptions, its conditions, what was searched."""
    conditions = (*finding.assumptions, *(f"given: {condition}" for condition in finding.conditional_on))
    return (*map(ended, conditions), multiplicity(finding.multiplicity))


def effect(seen: Effect) -> str:
    """The size of what was seen, with its interval."""
    return f"{ended(seen.name).rstrip('.')} {seen.value:.4g}, 95 % interval {seen.low:.4g} to {seen.high:.4g}."


def effect_in_short(seen: Effect) -> str:
    """An effect whose name stands elsewhere: '0.41 (0.3 to 0.52)'."""
    return f"{seen.value:.4g} ({seen.low:.4g} to {seen.high:.4g})"


def apart(finding: Finding, fields: Collection[str], ranked: bool) -> tuple[str, ...]:
    """What a finding does not have in common with the first of its test, one sentence for each field."""
    told = {
        "null": f"Null {NULL_TITLES[finding.null]}.",
        "chance": "" if finding.null is Null.POPULATION else f"Chance of each {chance(finding.chance)}.",
        "resolution_log10_p": resolution(finding),
        "power": power_told(finding, ranked),
        "multiplicity": multiplicity(finding.multiplicity),
        "examiner": f"Examiner {visible(finding.examiner)}.",
        "examiner_version": f"Version {visible(finding.examiner_version)}.",
        "seed": f"Seed {finding.seed}.",
        "assumptions": f"Assumptions: {' '.join(map(ended, finding.assumptions)) or 'none.'}",
        "conditional_on": f"Conditional on: {' '.join(map(ended, finding.conditional_on)) or 'nothing.'}",
        "calibration_digest": f"Register {visible(finding.calibration_digest)}.",
        "parameters_digest": f"Parameters {visible(finding.parameters_digest)}.",
    }
    return tuple(sentence for field, sentence in told.items() if field in fields and sentence)


def resolution(finding: Finding) -> str:
    """The smallest p that the design could have reached."""
    if finding.null is Null.POPULATION:
        told = (
            f"With {plural(finding.opportunities, 'control lineage')} p cannot be smaller than 1 in "
            f"{whole(finding.opportunities + 1)}, whatever was asked or compared."
        )
        if finding.resolution_log10_p > -math.log10(finding.opportunities + 1) + 0.002:
            told += (
                f" In this line-up it cannot be smaller than {probability(finding.resolution_log10_p)}: unrelated controls "
                "stand first more often than that."
            )
        return told
    return f"This design could not have reached less than p = {probability(finding.resolution_log10_p)}."


def coverage(identity: Identity) -> str:
    """How much of an exhibit was read."""
    if identity.bytes_total == 0:
        return "no tensors"
    return (
        f"{size(identity.bytes_read)} of {size(identity.bytes_total)} read "
        f"(share {identity.coverage:.3f}, {plural(identity.ranges_read, 'range')})"
    )


def read_of(identity: Identity | None, exhibit: str) -> str:
    """`coverage` for a column: '1.04 MB of 1.04 MB'. What was read of all parts of an exhibit is told of the first of them."""
    if identity is None:
        whole_of_it, _, part = exhibit.partition("/")
        return f"with {visible(whole_of_it, 60)}" if part else "not examined"
    if identity.bytes_total == 0:
        return "no tensors"
    return f"{size(identity.bytes_read)} of {size(identity.bytes_total)}"


def lineage(identity: Identity) -> str:
    """The lineage of an exhibit, and on whose word."""
    if not identity.lineage_id:
        return "unknown"
    return f"{visible(identity.lineage_id)} ({visible(identity.lineage_basis)})"


# --------------------------------------------------------------------------------------------------- the report of a case

DRAFT = "Draft"
DRAFT_REASON = "Not signed off, and not to be relied on."

MISSING = "planned, and nothing is recorded"

NOT_MERGED = (
    "Each kind of null has a statement of its own, with its own cap. They stand next to one another, because what each may claim "
    "is different, and they are never merged."
)
NO_STATEMENT = "no statement: no test of this proposition has a finding"

IN_SHORT = (
    "For each proposition: what was counted in the suspect, in how many foils (models of known, unrelated history) the same test "
    "counts as found, and how strongly the outcome speaks for one side or the other. 1 speaks for neither; the whole scale of words "
    "stands beside each statement."
)
WORDS = {
    "Reference, suspect": "The model that something is said to have been taken from, and the model of which it is said.",
    "Foil": "A model of known, unrelated history that was examined in the suspect's place under a code name. What it shares, too, "
    "tells the suspect apart from nobody.",
    "Control": "A model of known, unrelated history that was compared with the reference only. Controls set the chance.",
    "Lineage": "All models that come from one training. They are counted as one, because they are not independent.",
    "Null": "What would be so if nothing had been taken, and why a chance can be computed from it. There are four kinds.",
    "p": "The chance of so many coincidences, or more, if nothing had been taken. It is not the chance of nothing having been taken.",
    "e-value": "Another measure of the same, which may be averaged over tests: 1 says nothing, and 1 divided by it may be read as a p.",
    "Likelihood ratio": "How much more probable the outcome is under the proposition than under the alternative. Below 1 it speaks "
    "for the alternative.",
    "Cap": "The furthest that a likelihood ratio may go here, whatever was counted: it grows with the number of independent models "
    "on which the test was tried. By construction no models are needed, and the premises take their place.",
    "95 % interval, upper limit": "A span, or a bound, made so that it holds the true figure in 19 of 20 such studies.",
    "Class characteristic": "A trait of a whole family of models, such as a design. It cannot single one of them out.",
    "Innocent explanation": "A way in which the same outcome comes about without anything having been taken.",
    "Digest": "64 characters computed from a file (SHA-256). Another file has another one.",
}
"""Words that a reader without technical training meets in a report of a case."""

CONSTRUCTED_WORDS = {
    "Lot, key": "Randomness that the owner drew and kept secret: it decides which of several equal answers is planted, which of two "
    "texts is published, in which order texts are read.",
    "Mark": "What somebody leaves in answers or texts by such lots. It cannot be seen without them.",
    "Commitment": "What fixes the lots, without telling them, before anybody could have chosen them to suit; authorities stamp its time.",
    "Premise": "What has to be so for a figure by construction to hold. It is not tested by the figure itself.",
    "Exposure": "That marked material reached the suspect's making. Not that somebody took it.",
    "Decoy, placebo key, unused cohort": "Made like what was used, and never used: if the suspect agrees with them, too, something else "
    "is going on.",
}
"""The same where a finding by construction is told."""

DIFFERENT_ONLY = (
    "Each test is told in full once, of the suspect where it has a finding. Of every other model what is its own is printed; "
    "assumptions, power, versions and registers that are not told of it are as told of the first."
)
PLAN_NOT_REPEATED = "An entry that rests on a plan and names none here names the one that was sealed last before it."
PLAN_UNREADABLE = "A plan was sealed, and it cannot be read: nothing in this report was held against it."
NO_PLAN = "No plan has been sealed: nothing was fixed before anybody looked."
NOT_TRIED = "not tried"
ERRORS_TOLD = (
    "In each cell: lineages in which the relation held and the test missed it, of all lineages tried, and the upper limit on the share "
    "that would be missed."
)
ALL_BY = "All entries were made by"
UNRECORDED_LOOKS = (
    "The ledger shows everything that was recorded, in order. It cannot show that nobody looked at an exhibit without recording "
    "it: unrecorded looks cannot be excluded."
)

CUT_BACK = (
    "An open case can be cut back to an earlier checkpoint, and nobody who has only the folder can see it. A checkpoint that was "
    "handed to the other side, or to a third party, when it was made prevents that: ask for the earliest ones."
)

CLOCKS = (
    "Times are what the clock of the writer said. Only the time-stamp of an authority makes them more than that: it says that "
    "everything up to its checkpoint stood there at that time."
)

FOIL_HITS = (
    "A foil is a model of known, unrelated history that was examined in the suspect's place, by the same code, under a code name. "
    "A foil that counts as found is a false positive of this case."
)

CONTROLS_BESIDE = (
    "Controls were compared with the reference only and were not in the suspect's place. Where the null is by population they set the "
    "chance."
)

NOT_VALIDATED_HERE = "not validated here"

ZONES = (
    "Pictures of scores show pairs of known history in columns, their heights growing with the square root of their number. Shaded "
    "is where no such pair has its score: of a case that stands there the figures say what the test computes, and no experience "
    "says how such cases turned out."
)

TIPPETT = (
    "Tippett plots show, for each value on the axis, the share of those pairs that reach it: of the pairs in which the relation "
    "holds, and of those in which it does not. By likelihood ratio where the test carries one in this case, else by p."
)

ERRORS = (
    "Errors are counted by lineage, because models of one lineage are not independent, with the one-sided 95 % upper limit of "
    "Clopper and Pearson on the share that would be missed."
)

CONSTRUCTED_VALIDATION = (
    "By construction no population of models stands behind the chance: it follows from how the lots were drawn. What there is to check "
    "stands with the figure: its premises, and what beside it should show nothing."
)

SERVICE_FOILS = (
    "Here the relation is being another service than the reference model: foils are other models, so that finding them is right, "
    "and missing them is the error."
)

CLASS_FOILS = "A class characteristic: foils that are alike to the suspect are expected to have it, too."

CLLR = (
    "Cllr is the mean cost of the likelihood ratios that these pairs would have been given, each with its own lineages left out "
    "of the counts: 0 were perfect, and whoever always says 1 reaches 1."
)

ALIKE = (
    "Foils are drawn among the models that are alike in what is not at issue. What is compared is printed here, for the suspect "
    "and for every foil, so that anybody can say whether the choice was fair."
)

DECLARATION_TITLES = {
    "expert": "Expert",
    "qualifications": "Qualifications",
    "instructed_by": "Instructed by",
    "questions_put": "Questions put",
    "materials_received": "Materials received",
    "not_examined": "What was not examined",
    "limits": "Limits of the opinion",
    "known_defects": "Known defects of the methods and the software",
    "interests": "Interests and conflicts",
    "other_opinions": "Range of other opinions",
    "statement": "Statement of the expert",
    "place_and_date": "Place and date",
}
"""The fields of the declarations as a report names them."""

BLANK = "blank: to be filled in by the expert"

ACTION_TITLES = {
    "open": "case opened",
    "admit": "exhibit admitted",
    "seal": "plan sealed",
    "draw": "foils drawn",
    "observe": "observed",
    "ask": "endpoint asked",
    "examine": "examined",
    "reveal": "code names revealed",
    "report": "report written",
    "note": "note",
    "recover": "recovered",
    "close": "case closed",
}

EXHIBIT_ROLES = {
    "reference": "The reference",
    "suspect": "The suspect",
    "candidate": "Pool of the line-up",
    "control": "Controls",
    "material": "Other material",
}
"""What exhibits were admitted as, as headings."""

ROLE_TITLES = {"suspect": "suspect", "foil": "foil", "unrevealed": "not revealed", "control": "control"}

BASIS = {
    "drand": "comes from a public beacon (drand) that was announced in the plan and did not exist when the plan was sealed",
    "nist": "comes from a public beacon (NIST) that was announced in the plan and did not exist when the plan was sealed",
    "claimant": (
        "is the claimant's own choice: no beacon was announced. The draw can be repeated from the seed, and nothing shows that the seed "
        "was not chosen to suit"
    ),
}
"""Where the seed of a case comes from."""


def withheld(text: str, entry: int) -> str:
    """Free text of the ledger as a report prints it: as it stands, or a pointer where its words may not be printed."""
    if not forbidden_words(text):
        return visible(text, 2000)
    return (
        f"(text not printed: its wording is not permitted in a report; it stands in the ledger at entry {whole(entry)})"
    )


def draft_mark(blank: int) -> str:
    """What stands on every section of a draft."""
    told = f" {plural(blank, 'required declaration')} blank." if blank else ""
    return f"{DRAFT}. {DRAFT_REASON}{told}"


def share_limit(value: float) -> str:
    """An upper limit on a share, never smaller than it is: '0.0705', '1'."""
    return "1" if value >= 1.0 else _decimal(max(value, 1e-6), 2, upwards=True)


def foil_hits(found: int, foils: int, lineages_found: int, lineages: int, upper_limit: float, without: int) -> str:
    """The false positives of a case, with denominator and limit."""
    if foils == 0:
        told = "No foil has a finding on this test: it has no count of false positives in this case."
    else:
        told = (
            f"{whole(found)} of {plural(foils, 'foil')} {'counts' if 1 in (found, foils) else 'count'} as found, "
            f"{whole(lineages_found)} of {plural(lineages, 'lineage')}; 95 % upper limit on the share of lineages that would: "
            f"{share_limit(upper_limit)}."
        )
    return told + (f" {plural(without, 'foil')} without a finding." if without else "")


def strip_row(count: int, opportunities: int, log10_p: float | None, remark: str, by_rank: bool) -> str:
    """The figures beside a model of the line-up."""
    if opportunities == 0:
        return remark
    if by_rank and log10_p is not None:
        return f"p {probability(log10_p)}"
    return f"{whole(count)} of {whole(opportunities)}"


def errors_of(missed: int, lineages: int, upper_limit: float) -> tuple[str, str]:
    """An error count with its denominator, and its 95 % upper limit."""
    return f"{whole(missed)} of {whole(lineages)}", share_limit(upper_limit)


def drawn_from(basis: str) -> str:
    """Where the seed comes from, as a sentence."""
    return ended(f"The seed {BASIS[basis]}")


def attribute(value: bool | int | float | str) -> str:
    """What a model is declared to be: numbers with thousands separated, everything else as it is written."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return whole(value) if isinstance(value, int) else visible(str(value), 60)


def alike_in(attributes: Sequence[str], tolerance: float) -> str:
    """What foils have in common with the suspect."""
    if not attributes:
        return "The plan names nothing in which foils have to be alike to the suspect."
    names = ", ".join(visible(name, 60) for name in attributes)
    return (
        f"Foils are alike to the suspect in: {names}. Words count as alike where they are equal, numbers within a factor of "
        f"{tolerance:g}."
    )


def declared_alike(declared: Sequence[tuple[str, bool | int | float | str]]) -> str:
    """What is declared alike of several models: 'architecture llama, parameters 258,496'."""
    return ", ".join(f"{visible(key, 60)} {attribute(value)}" for key, value in declared)


def weight(value: float) -> str:
    """A weight of the plan: '0.25', 'none'."""
    return f"{value:.4g}" if value > 0.0 else "none"


def cell(outcome: Outcome | None) -> str:
    """What became of a planned test for one model, in few words."""
    if outcome is None:
        return MISSING
    if isinstance(outcome, Finding):
        counts = f"{whole(outcome.count)} of {whole(outcome.opportunities)}"
        return f"{counts}, p {probability(outcome.log10_p)}"
    return f"{KIND_TITLES['inconclusive' if isinstance(outcome, Inconclusive) else 'not_examined']}: {_running(outcome.reason)}"


def cell_noted(outcome: Outcome | None, note: int) -> str:
    """`cell`, with a reason that stands below the table as a note."""
    if outcome is None or isinstance(outcome, Finding):
        return cell(outcome)
    return f"{KIND_TITLES['inconclusive' if isinstance(outcome, Inconclusive) else 'not_examined']}, note {whole(note)}"


def seen(finding: Finding) -> str:
    """What was counted, with its chance, in few words: '576 of 576 coincidences, p 10^-575'."""
    counted = f"{whole(finding.count)} of {whole(finding.opportunities)}"
    what = {
        COUNTED: "at most",
        "share as much": "other lineages share as much",
        "coincidences seen": "coincidences",
        DIFFERENCES: "differences",
    }[count_label(finding)]
    if what == "at most":
        counted, what = f"{whole(finding.count)} of at most {whole(finding.opportunities)}", "counted"
    lots = " by construction, if its premises hold" if finding.null is Null.CONSTRUCTION else ""
    return f"{counted} {what}, p\u00a0{probability(finding.log10_p)}{lots}"


def ratio_in_short(conclusion: Conclusion) -> str:
    """The likelihood ratio with interval and cap in few words: '6.8 (5.3 to 6.8; cap 6.8)'."""
    if conclusion.log10_likelihood_ratio is None:
        return f"none: {_running(conclusion.reason)}"
    beside = [interval(conclusion), f"cap {cap(conclusion)}" if conclusion.cap else ""]
    beside += ["if the premises hold; of exposure"] if conclusion.null is Null.CONSTRUCTION else []
    told = "; ".join(part for part in beside if part)
    return ratio(conclusion.log10_likelihood_ratio) + (f" ({told})" if told else "")


def found_of(found: int, foils: int) -> str:
    """In how many foils a test counts as found: '4 of 4'."""
    return f"{whole(found)} of {whole(foils)}" if foils else "no foil has a finding"


def sharing(name: str, found: Sequence[str], tests: int) -> str:
    """What became of a foil that shares the innocent explanation, as a sentence."""
    told = f"Foil {visible(name, 120)} shares the innocent explanation that the plan names"
    if not tests:
        return f"{told}; no test has a finding on it."
    which = f" ({', '.join(visible(test, 80) for test in found)})" if found else ""
    return f"{told}: it counts as found on {whole(len(found))} of {plural(tests, 'test')}{which}."


def sharing_not_taken(names: Sequence[str]) -> str:
    """Who of the pool shares the innocent explanation and does not stand in the line-up."""
    return f"{', '.join(visible(name, 120) for name in names)} of the pool shares it, too, and was not examined."


NOBODY_SHARES = (
    "No foil shares an innocent explanation: what the suspect has in common with the reference for an innocent reason was not set "
    "beside anybody who has it for that reason."
)


def as_before(entry: int) -> str:
    """A digest that an earlier entry of the ledger names in full."""
    return f"as in entry {whole(entry)}"


def sealing(observed: bool, first: bool) -> str:
    """Whether the suspect had been looked at when a plan was sealed."""
    what = "The plan was sealed" if first else "The amendment was sealed"
    return f"{what} after the suspect had been observed." if observed else f"{what} before the suspect was observed."


def checkpoint_stamps(stamps: Sequence[tuple[str, str]], unstamped: str) -> str:
    """Which authorities stamped a checkpoint, and when they say that they did: 'Local Authority at 2026-01-05T11:00:02Z'."""
    if not stamps:
        return f"no time-stamp: {visible(unstamped) or 'no reason was recorded'}"
    told = "; ".join(f"{visible(authority, 80)} at {visible(time, 40)}" for authority, time in stamps)
    return told + (f"; {visible(unstamped)}" if unstamped else "")


def checkpoints(checkpoints: int, stamped: int) -> str:
    """How many checkpoints there are: '18 checkpoints, none with a time-stamp'."""
    return f"{plural(checkpoints, 'checkpoint')}, {whole(stamped) if stamped else 'none'} with a time-stamp"


def stopping(rule: Stopping) -> str:
    """When asking stops, as the plan fixed it."""
    told = {
        "fixed": "everything that was planned is asked",
        "path maximum": "asked in rounds; the maximum of the whole path is ranked among control lineages that were asked the same",
    }[rule.rule]
    limits = [plural(rule.prompts, "prompt")] if rule.prompts else []
    limits.append(f"{plural(rule.samples, 'answer')} to each")
    limits += [f"at most {plural(rule.budget_requests, 'request')}"] if rule.budget_requests else []
    limits += [f"at most {rule.budget_seconds:g} seconds"] if rule.budget_seconds else []
    return f"{told}; {', '.join(limits)}"


def case_state(closed: bool, checkpoint: int | None, after: int) -> str:
    """How a case stands: closed, or open at its last checkpoint."""
    if checkpoint is None:
        return "open, without a checkpoint: nothing is signed yet"
    if closed and not after:
        return f"closed, signed at entry {whole(checkpoint)}"
    told = f"open at checkpoint {whole(checkpoint)}"
    return told + (f", {plural(after, 'later entry', 'later entries')} not signed yet" if after else "")


def checks_passed(passed: int, checks: int, failures: int) -> str:
    """The outcome of a verification in one sentence."""
    if failures == 0:
        return f"All {whole(checks)} checks held."
    return f"{whole(checks - passed)} of {plural(checks, 'check')} did not hold, with {plural(failures, 'failure')}."


def in_zone(inside: bool, strangers: int, relatives: int) -> str:
    """Whether any pair of known history has its score where the case has it."""
    if inside:
        return f"The case stands where no pair of known history stands: {NOT_VALIDATED_HERE}."
    return (
        f"In the case's own column stand {plural(relatives, 'pair')} in which the relation holds and "
        f"{plural(strangers, 'pair')} in which it does not."
    )


def scores_from(kind: str, pairs: int, lineages: int) -> str:
    """How many pairs stand behind a picture of scores: 'the relation holds: 103 pairs of 10 lineages'."""
    told = f"{PAIR_TITLES[kind]}: {plural(pairs, 'pair')}"
    return f"{told} of {plural(lineages, 'lineage')}" if lineages else told


PAIR_TITLES = {"relative": "the relation holds", "stranger": "it does not hold", "neither": "not claimed, not shown"}
"""Pairs of known history by what is true of them; of a service, the relation is being another one."""


def entry_told(entry: Entry) -> str:
    """One entry of the ledger in a sentence; free text whose words may not be printed is pointed at."""
    body = entry.body

    def said(text: str) -> str:
        return withheld(text, entry.sequence)

    match body:
        case Opened():
            return f"Case ‘{said(body.title)}’ opened for {said(body.party)}, by {visible(body.software, 80)}."
        case Admitted():
            return f"{visible(body.exhibit, 120)} admitted as {body.role}."
        case Sealed():
            return f"Plan {'amended' if body.replaces else 'sealed'}." + (
                f" {ended(said(body.reason))}" if body.reason else ""
            )
        case Drawn():
            return (
                f"{plural(len(body.foils), 'foil')} drawn, {plural(len(body.code_names), 'code name')} assigned. "
                f"{drawn_from(body.basis)}"
            )
        case Observed():
            outside = " Outside the plan." if body.exploratory else ""
            if body.absent:
                why = _running(_without(body.exhibit, body.absent))
                return f"{visible(body.exhibit, 120)}, {visible(body.examiner, 60)}: nothing there, {why}{outside}"
            return f"{visible(body.exhibit, 120)} observed by {visible(body.examiner, 60)} {visible(body.examiner_version, 20)}.{outside}"
        case Asked():
            return (
                f"{visible(body.exhibit, 120)}: {visible(body.endpoint, 160)} asked, "
                f"{plural(body.requests, 'request')}, {plural(body.answers, 'answer')}."
            )
        case Examined():
            purpose = f" Outside the plan: {_running(said(body.purpose))}" if body.exploratory else ""
            return f"{visible(body.subject, 120)} examined in the suspect's place.{purpose}"
        case Revealed():
            return f"{plural(len(body.exhibits), 'code name')} revealed."
        case Reported():
            return f"{plural(len(body.files), 'file')} of a {'draft' if body.draft else 'report'} written."
        case Noted():
            return ended(said(body.text))
        case Recovered():
            return f"An interrupted write of {plural(body.bytes_cut, 'byte')} was taken away: {_running(said(body.reason))}"
        case Closed():
            return "The case was closed." + (f" {ended(said(body.remark))}" if body.remark else "")


def _without(exhibit: str, reason: str) -> str:
    """A reason without the name of the exhibit that it begins with: the sentence has told it."""
    return reason.removeprefix(f"{exhibit}: ")


def run_told(first: Entry, last: Entry, entries: int) -> str:
    """Consecutive entries of one action, told together."""
    if first is last:
        return entry_told(first)
    return f"{plural(entries, 'entry', 'entries')}, from entry {whole(first.sequence)} to {whole(last.sequence)}; each is listed below."


NOT_REVEALED = "The suspect's results are not told here: it has not been examined under the plan, or its code name has not been revealed."


# ------------------------------------------------------------------------------------------- the answer to a case (challenge)

AGREEMENTS = {
    "same bytes": "the same bytes",
    "same outcome": "other figures, the same outcome",
    "another outcome": "another outcome",
    "only in the original": "in the case only",
    "only in the challenge": "in the challenge only",
}
SAYING_NOTHING = {
    "inconclusive": "inconclusive on both sides",
    "not_examined": "not examined on either side",
    "likelihood ratio": "no likelihood ratio on either side",
}
"""What is said in the place of the same outcome where neither side gives a figure: there are no other figures then."""

ALL_THE_SAME = "Every record of the challenge has the same bytes as that of the case: examined again on the same exhibits, nothing moved."

HOW_COMPARED = (
    "Outcomes are the same bytes, or of the same kind and on the same side of what counts as detected, or others. "
    "A change of the plan is named beside a difference where the test rests on what was changed. That it could explain the "
    "difference does not say that it does."
)

KNOWN_BEFORE = (
    "Whoever answers a case knows its suspect and its results. The challenge was therefore not made blind, and what it changed "
    "was chosen with the results in view."
)

SEED_TAKEN_OVER = (
    "Seed and code names were taken over from the case. Where this report calls the seed the choice of whoever made the plan, it is "
    "the one that the case drew."
)


def comparison_title(comparison: Comparison) -> str:
    """Which case is answered, and as it stood when."""
    answers = comparison.answers
    return (
        f"The answer to case {visible(answers.case, 12)}, ‘{visible(comparison.title, 120)}’, "
        f"as it stood after entry {whole(answers.sequence)}"
    )


def comparison_summary(comparison: Comparison) -> str:
    """Where both agree and where they differ, in counts."""
    if comparison.same_bytes:
        return ALL_THE_SAME
    readings = Counter(side_by_side(test) for test in comparison.tests)
    counted = [f"{reading}: {whole(count)}" for reading, count in sorted(readings.items(), key=_in_order_of_readings)]
    unexplained = len(comparison.unexplained)
    left = f" No change explains {plural(unexplained, 'difference')}." if unexplained else ""
    return f"{plural(len(comparison.tests), 'test outcome')} side by side: {'; '.join(counted)}.{left}"


def side_by_side(compared: TestCompared | ConclusionCompared) -> str:
    """How the two sides stand to one another; where neither gives a figure, whether for the same reason."""
    first, second = compared.original, compared.challenge
    if compared.agreement != "same outcome" or first is None or second is None or _with_figure(first):
        return AGREEMENTS[compared.agreement]
    nothing = SAYING_NOTHING["likelihood ratio" if isinstance(first, Conclusion) else first.kind]
    return f"{nothing}, {'for the same reason' if first.reason == second.reason else 'for another reason'}"


def _with_figure(result: Result | Conclusion) -> bool:
    return (result.log10_p if isinstance(result, Result) else result.log10_likelihood_ratio) is not None


def _in_order_of_readings(counted: tuple[str, int]) -> int:
    readings = [*AGREEMENTS.values()]
    return readings.index(counted[0]) if counted[0] in readings else readings.index(AGREEMENTS["same outcome"])


def seed_told(comparison: Comparison) -> str:
    """Where the challenge's seed comes from."""
    if any(change.aspect == "seed" for change in comparison.changes):
        return "The challenge has a seed of its own; the code names were taken over from the case."
    return SEED_TAKEN_OVER


def change_told(change: Change) -> str:
    """What the two cases do not have in common."""
    named = f"{visible(change.name, 120)}: " if change.name else ""
    first, second = (_list_told(text) or "nothing" for text in (change.original, change.challenge))
    return f"{named.replace('_', ' ')}{first} in the case, {second} in the challenge"


def _list_told(text: str) -> str:
    """A value of a plan as it is written there; a list of names as names."""
    try:
        listed_there = json.loads(text)
    except ValueError:
        return visible(text, 160)
    if isinstance(listed_there, list) and all(isinstance(name, str) for name in listed_there):
        return visible(", ".join(listed_there), 160)
    return visible(text, 160)


def result_told(result: Result | None, null: Null) -> str:
    """What came out of a test, for a column: counts and chance before the word."""
    if result is None:
        return "not made"
    if result.log10_p is None:
        return f"{KIND_TITLES[result.kind]}: {_running(result.reason)}"
    side = "counts as detected" if result.detected else "does not count as detected"
    counted = f"{whole(result.count)} of {whole(result.opportunities)}"
    if null is Null.POPULATION:
        counted += " other lineages stand as high"
    return f"{counted}, p {probability(result.log10_p)}: {side}"


def conclusion_told(conclusion: Conclusion | None) -> str:
    """A conclusion for a column: the ratio, its interval, then the word."""
    if conclusion is None:
        return "not made"
    if conclusion.log10_likelihood_ratio is None:
        return f"no likelihood ratio: {_running(conclusion.reason)}"
    between = f" ({interval(conclusion)})" if interval(conclusion) else ""
    between = ", by construction, if the premises hold" if conclusion.null is Null.CONSTRUCTION else between
    word = f", {visible(conclusion.word)}" if conclusion.word else ""
    return f"likelihood ratio {ratio(conclusion.log10_likelihood_ratio)}{between}{word}"


def explained_told(compared: TestCompared | ConclusionCompared) -> str:
    """What could explain a difference; empty where there is none."""
    if compared.agreement == "same bytes":
        return ""
    return listed([visible(label, 120) for label in compared.explained_by]) or "no change explains it"


def added_and_removed(comparison: Comparison) -> tuple[str, ...]:
    """One sentence for each model of which only one of the two cases tells anything."""
    found: dict[tuple[str, str], list[TestCompared]] = {}
    for test in comparison.tests:
        found.setdefault((test.exhibit, test.role), []).append(test)
    return tuple(
        _only_in_one(exhibit, role, tests)
        for (exhibit, role), tests in found.items()
        if len({test.agreement for test in tests}) == 1 and tests[0].agreement in ONLY_IN_ONE
    )


ONLY_IN_ONE = {"only in the original": "in the case only", "only in the challenge": "in the challenge only"}


def _only_in_one(exhibit: str, role: str, tests: Sequence[TestCompared]) -> str:
    results = [result for test in tests for result in (test.original, test.challenge) if result is not None]
    detected = sum(result.detected is True for result in results)
    why = listed(tuple(dict.fromkeys(visible(label, 120) for test in tests for label in test.explained_by)))
    return (
        f"{visible(exhibit, 120)}, {visible(role, 40)}, stands {ONLY_IN_ONE[tests[0].agreement]}: "
        f"{plural(len(results), 'outcome')}, {whole(detected)} of them {'counts' if detected == 1 else 'count'} as detected."
        + (f" What could explain it: {why}." if why else "")
    )


def moved(comparison: Comparison) -> tuple[TestCompared | ConclusionCompared, ...]:
    """What came out otherwise in the two cases for models that stand in both; conclusions after tests."""
    both = {test.exhibit for test in comparison.tests if test.agreement not in ONLY_IN_ONE}
    everything: tuple[TestCompared | ConclusionCompared, ...] = (*comparison.tests, *comparison.conclusions)
    return tuple(each for each in everything if each.agreement != "same bytes" and each.exhibit in both)


SAME_IN_BOTH = "The same bytes in both; what came out stands under every finding and under the statements:"
NOTHING_MOVED = (
    "For every model that stands in both cases, every outcome and every conclusion has the same bytes in both."
)


def comparison_lines(comparison: Comparison) -> tuple[str, ...]:
    """The comparison as sentences: the summary, what was changed, who stands in one case only, and what moved."""
    changes = [f"Changed, {change.aspect}: {change_told(change)}." for change in comparison.changes]
    differences = [_difference_told(each) for each in moved(comparison)]
    return (
        comparison_title(comparison) + ".",
        comparison_summary(comparison),
        *changes,
        *added_and_removed(comparison),
        *(differences or ([] if comparison.same_bytes else [NOTHING_MOVED])),
        seed_told(comparison),
        KNOWN_BEFORE,
    )


def what_compared(compared: TestCompared | ConclusionCompared) -> str:
    """A test by its name, a conclusion by proposition, null and alternative."""
    if isinstance(compared, TestCompared):
        return visible(compared.test, 120)
    title = f"{PROPOSITION_TITLES[compared.proposition]}, null {NULL_TITLES[compared.null]}"
    return f"{title}, against ‘{visible(compared.alternative, 200)}’"


def came_out(compared: TestCompared | ConclusionCompared) -> tuple[str, str]:
    """What came out in the case, and in the challenge."""
    if isinstance(compared, TestCompared):
        return result_told(compared.original, compared.null), result_told(compared.challenge, compared.null)
    return conclusion_told(compared.original), conclusion_told(compared.challenge)


def _difference_told(compared: TestCompared | ConclusionCompared) -> str:
    case, challenge = came_out(compared)
    return (
        f"{visible(compared.exhibit, 120)}, {what_compared(compared)}: {side_by_side(compared)}. "
        f"The case: {case.rstrip('.')}. The challenge: {challenge.rstrip('.')}. "
        f"What could explain it: {explained_told(compared)}."
    )
