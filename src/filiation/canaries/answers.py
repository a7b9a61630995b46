"""What one model answered to canaries, taken from a table of recorded answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from filiation.canaries.canary import Canary, names_an_option
from filiation.canaries.ranks import option_log_probabilities

COLUMNS = ("prompt_id", "text", "log_probabilities", "parameters", "prompt")
ORDER = ("prompt_id", "sample", "text", "log_probabilities")
"""The columns of a table of recorded answers that are read, and the order of its rows: that of the samples, whoever wrote the file."""

Row = tuple[str, str, str | None, str, str]
"""Of one recorded answer: the id of its prompt, its text; as JSON the log-probabilities of its tokens, or None, and its parameters; and
the prompt, empty where it was not recorded."""


@dataclass(frozen=True)
class Answers:
    """What one model answered, by the index of the canary: the first answer, and, where had, the log-probability of each option.

    `further`: answers recorded after the first one of a canary; `led`: answers before which one of the canary's options stood. Both are
    counted and not looked at. `prompted`: of the answers that are looked at, those before which a text stood besides the prompt.
    """

    name: str
    texts: Mapping[int, str]
    log_probabilities: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    further: int = 0
    led: int = 0
    prompted: int = 0


def answers_in(
    rows: Iterable[Row],
    canaries: Sequence[Canary],
    prompt_id: Callable[[str], str],
    texts_told: Callable[[str], Sequence[str]],
    *,
    name: str,
) -> Answers:
    """The first answer to each canary's prompt, and the log-probabilities of its options where there are some.

    `rows`: `COLUMNS` of a table, in the order of `ORDER`; `prompt_id`: what names a prompt in them; `texts_told`: the texts, such as a
    system prompt, among an answer's parameters. Whoever knows the labels could put them there, so an answer before which an option of
    its canary was named is no answer here, whichever option it was.
    """
    wanted = {prompt_id(canary.prompt): canary for canary in canaries}
    texts: dict[int, str] = {}
    log_probabilities: dict[int, tuple[float, ...]] = {}
    further = led = prompted = 0
    for identity, text, told, parameters, prompt in rows:
        canary = wanted.get(identity)
        if canary is None or (
            prompt and prompt_id(prompt) != identity
        ):  # what was asked is not what the row is named after
            continue
        before = texts_told(parameters)
        if any(names_an_option(each, canary.options) for each in before):
            led += 1
            continue
        if canary.index in texts:
            further += 1
            continue
        texts[canary.index] = text
        prompted += any(len(each.split()) > 1 for each in before)  # a single word is a setting, such as 'greedy'
        begun = _first_token(told)
        if begun:
            log_probabilities[canary.index] = option_log_probabilities(begun, canary.options)
    return Answers(name, texts, log_probabilities, further, led, prompted)


def _first_token(told: str | None) -> list[tuple[str, float]]:
    """The tokens that an answer could begin with, from a transcript's column; none where it cannot be read as such."""
    if not told:
        return []
    try:
        tokens = msgspec.json.decode(told, type=list[tuple[str, float, list[tuple[str, float]]]])
    except msgspec.MsgspecError:
        return []
    return [(tokens[0][0], tokens[0][1]), *tokens[0][2]] if tokens else []
