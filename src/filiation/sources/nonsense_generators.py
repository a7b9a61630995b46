"""Nonsense inputs by the dozen: strings to which no two independent models would give one answer.

Input `index` of seed `seed` depends on these two alone, so any number can be drawn and any one drawn again. The kinds take
turns. Nothing here means anything; the invented words are put together from syllables, and some may exist by accident.
"""

from __future__ import annotations

from collections.abc import Callable

from filiation.sources.lots import Lots

VERSION = "1"

_ONSETS = [
    "b", "br", "bl", "c", "ch", "cl", "cr", "d", "dr", "f", "fl", "fr", "g", "gl", "gr", "h", "j", "k", "kn",
    "l", "m", "n", "p", "pl", "pr", "qu", "r", "s", "sc", "sk", "sl", "sm", "sp", "st", "str", "t", "th",
    "tr", "v", "w", "z",
]  # fmt: skip
_VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "oo", "ou", "au", "oi"]
_CODAS = [
    "",
    "",
    "b",
    "ck",
    "d",
    "ft",
    "g",
    "l",
    "lk",
    "m",
    "mp",
    "n",
    "nd",
    "ng",
    "nt",
    "p",
    "r",
    "rb",
    "sk",
    "st",
    "t",
    "x",
]
_SALAD = "abcdefghijklmnopqrstuvwxyz"
_SIGNS = "#%&*+/<=>?@^_|~"
_SCRIPTS = (
    "абвгджзклмнпрстуфхцчшщэюя",
    "αβγδεζηθκλμνξπρσφχψω",
    "あいうえかきくけさしすせたちつてなにぬね",
    "אבגדהוזחטיכלמנסעפצקרשת",
    "가나다라마바사아자차카타파하",
    "ⰀⰁⰂⰃⰄⰅⰆⰇⰈⰊⰋⰌⰍⰎⰏ",
    "▚▞▙▟◐◑◒◓◢◣◤◥⌘⌥⏃⏄⎔⎈",
)
_NOUNS = [
    "bridge", "candle", "ladder", "river", "mirror", "drum", "spoon", "window", "clock", "pillow", "lantern",
    "bucket", "needle", "barn", "anchor", "kettle",
]  # fmt: skip
_OPPOSITES = (
    ("empty", "full"), ("wet", "dry"), ("round", "square"), ("silent", "loud"), ("older", "younger"),
    ("open", "closed"), ("asleep", "awake"), ("lost", "found"), ("heavier", "lighter"), ("frozen", "boiling"),
    ("unwritten", "well known"), ("even", "odd"),
)  # fmt: skip
_PLACES = [
    "in the attic",
    "under the stairs",
    "behind Thursday",
    "inside its own shadow",
    "on the far side of the answer",
    "before noon",
]
_TAGS = ["div", "span", "table", "li", "svg", "p", "em", "script-x", "item", "row", "cell", "vec", "node"]


def invented_word(lots: Lots, syllables: int) -> str:
    """A word that can be pronounced and, with luck, means nothing."""
    return "".join(lots.choice(_ONSETS) + lots.choice(_VOWELS) + lots.choice(_CODAS) for _ in range(syllables))


def _word(lots: Lots) -> str:
    return invented_word(lots, lots.between(1, 3))


def _letter_salad(lots: Lots) -> str:
    words = []
    for _ in range(lots.between(6, 14)):
        word = "".join(lots.choice(_SALAD) for _ in range(lots.between(2, 9)))
        words.append(word.upper() if lots.below(6) == 0 else word)
        if lots.below(7) == 0:
            words.append("".join(lots.choice(_SIGNS) for _ in range(lots.between(1, 3))))
    return " ".join(words) + lots.choice(["", "?", ".", "!", ":"])


def _real_grammar(lots: Lots) -> str:
    a, b, c, d, e, f = (_word(lots) for _ in range(6))
    number = lots.between(3, 97)
    return lots.choice(
        [
            f"Please {a} the {b} {c} before it {d}s, and tell me which of the two {e}s was more {f}ous.",
            f"If every {a} {b}s at least {number} {c}s, how many {d}s can a {e} {f} without {a}ing?",
            f"Why do {a}s {b} so {c}ly whenever the {d} has been {e}ed by {number} {f}s?",
            f"My {a} was {b}ed last {c}. Should I {d} it again, or is a {e} {f} enough for {number} {b}s?",
            f"Name the {number} {a}s of {b}, beginning with the {c}est, and say what each one {d}s in a {e} {f}.",
            f"Explain the {a} {b} rule: no {c} may {d} an {e}ing {f} more than {number} times.",
            f"She {a}ed the {b} as if {number} {c}s had {d}ed her {e}. What is the {f} of this sentence?",
        ]
    )


def _broken_markup(lots: Lots) -> str:
    parts: list[str] = []
    for _ in range(lots.between(5, 10)):
        tag, word, number = lots.choice(_TAGS), _word(lots), lots.below(1000)
        parts.append(
            lots.choice(
                [
                    f"<{tag} {word}={number}",
                    f"</{tag}>>",
                    f"{{{{{word}|{_word(lots)}:",
                    f'"{word}": [{number}, ,',
                    f"\\begin{{{word}}}",
                    f"&{word};",
                    f"```{word}",
                    f"]]>{number}<!-",
                    f"|{word}||{number}|",
                ]
            )
        )
    return lots.choice([" ", "\n", ""]).join(parts)


def _contradictory_riddle(lots: Lots) -> str:
    noun, other = lots.sample(_NOUNS, 2)
    (one, against), (two, against_two) = lots.sample(_OPPOSITES, 2)
    place, number, word = lots.choice(_PLACES), lots.between(2, 60), _word(lots)
    return lots.choice(
        [
            f"A {noun} is {one} only while it is {against}. It stands {place} and has {number} {word}s. Which {other} is it?",
            f"There are {number} {noun}s, all of them {one}, none of them not {against}, and the last one is {two} {place}. "
            f"What did the {other} say to the {word}?",
            f"I am {one} and {against}, {two} and {against_two}; whoever counts my {number} {word}s has one too many. What am I "
            f"if I am not a {noun}?",
            f"Solve: the {noun} {place} is {number} times as {one} as itself, yet {against}. How {two} is its {other}, in {word}s?",
            f"The answer is '{word}'. It is also {number}. What was the question that the {against} {noun} forgot to ask the "
            f"{two} {other} {place}?",
        ]
    )


def _mixed_scripts(lots: Lots) -> str:
    words = []
    for _ in range(lots.between(4, 9)):
        script = lots.choice(_SCRIPTS)
        words.append("".join(lots.choice(script) for _ in range(lots.between(2, 6))))
    return lots.choice([" ", " · ", "/", "—"]).join(words) + lots.choice(["", " ?", " = ", "…"])


def _false_table(lots: Lots) -> str:
    heads = [_word(lots) for _ in range(lots.between(3, 4))]
    rows = [" | ".join(lots.choice([_word(lots), str(lots.below(10_000)), "-"]) for _ in heads) for _ in range(3)]
    return "\n".join([" | ".join(heads), *rows, f"{_word(lots)} | ?", "Continue with the next row only."])


KINDS: dict[str, Callable[[Lots], str]] = {
    "letter salad": _letter_salad,
    "real grammar": _real_grammar,
    "broken markup": _broken_markup,
    "contradictory riddle": _contradictory_riddle,
    "mixed scripts": _mixed_scripts,
    "false table": _false_table,
}


def nonsense(seed: int, index: int) -> tuple[str, str]:
    """Kind and text of one input."""
    kind = list(KINDS)[index % len(KINDS)]
    return kind, KINDS[kind](Lots("nonsense", VERSION, seed, index))
