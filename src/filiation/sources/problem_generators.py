"""Free-form problems with gold answers, by the dozen: hard enough to be got wrong, open enough to be got wrong differently.

Problem `index` of seed `seed` depends on these two alone. The kinds take turns, and after each round the level (1 to 5)
rises by one. What two models share when they fail is an accident only where there were many ways to fail: so the answers
are long numbers, lists, orders, words and dates, never yes or no.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from itertools import permutations

import msgspec

from filiation.sources.lots import Lots
from filiation.sources.nonsense_generators import invented_word

VERSION = "1"
LEVELS = 5
ASKING = "\n\nWork it out, then give the result on a last line of its own in the form\nAnswer: <{form}>"

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_PEOPLE = ["Ada", "Bruno", "Clara", "Dmitri", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas", "Kofi", "Lena"]
_THINGS = ["marbles", "coins", "buttons", "shells", "beads", "stamps"]
_BOXES = ["red", "blue", "green", "black", "white", "brown", "grey"]
_WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_SPEAKING = [
    "orange", "lantern", "gravel", "willow", "copper", "saddle", "meadow", "thunder", "pocket", "velvet",
    "harbor", "bottle", "candle", "ribbon", "marble", "winter", "basket", "feather", "cotton", "hammer",
    "mirror", "pebble", "silver", "tunnel", "window", "yellow", "anchor", "barrel", "cellar", "desert",
    "engine", "falcon",
]  # fmt: skip


class Problem(msgspec.Struct, frozen=True):
    """A question, its right answer in normal form, and (for program tracing) the program that was shown."""

    kind: str
    level: int
    question: str
    gold: str
    form: str
    program: str = ""

    @property
    def prompt(self) -> str:
        return self.question + ASKING.format(form=self.form)


Made = tuple[str, str, str]  # question, gold, form of the answer


def _large_number(lots: Lots, digits: int) -> int:
    return lots.between(10 ** (digits - 1), 10**digits - 1)


def _arithmetic(lots: Lots, level: int) -> Made:
    a, b = _large_number(lots, 2 + level), _large_number(lots, 1 + level)
    c, d = _large_number(lots, 3 + level), _large_number(lots, 2)
    value = a * b + c
    text = f"Multiply {a} by {b}. Add {c}."
    if level >= 2:
        value -= d * (c % 97)
        text += f" Divide {c} by 97, multiply the remainder by {d}, and subtract the product from what you had."
    if level >= 4:
        value = value % 1_000_003 + a * d
        text += f" Divide the result by 1000003, keep only the remainder, and add {a} times {d} to it."
    return text + " Which whole number is the final result?", str(value), "whole number"


def _recurrence(lots: Lots, level: int) -> Made:
    p, q, modulus = lots.between(2, 9), lots.between(2, 9), lots.choice([97, 101, 997, 1009, 10007])
    first, second, steps = lots.between(1, 20), lots.between(1, 20), 4 + 2 * level
    terms = [first, second]
    while len(terms) < steps:
        terms.append((p * terms[-1] + q * terms[-2]) % modulus)
    return (
        f"A sequence begins with a(1) = {first} and a(2) = {second}. For n > 2, a(n) is the remainder of "
        f"{p} * a(n-1) + {q} * a(n-2) when divided by {modulus}. What is a({steps})?",
        str(terms[-1]),
        "whole number",
    )


def _text_manipulation(lots: Lots, level: int) -> Made:
    word = "".join(lots.sample(_SPEAKING, 2)) if level > 2 else lots.choice(_SPEAKING) + invented_word(lots, 1)
    steps, text = [], word
    for _ in range(1 + level):
        step = lots.below(6)
        if step == 0:
            text, said = text[::-1], "reverse it"
        elif step == 1:
            by = lots.between(2, max(2, len(text) - 2))
            text, said = text[by:] + text[:by], f"move its first {by} characters, as a block, to the end"
        elif step == 2 and len(text) > 6:
            every = lots.between(3, 4)
            text = "".join(letter for at, letter in enumerate(text, 1) if at % every)
            said = f"delete every {every}rd character" if every == 3 else f"delete every {every}th character"
            said += " (counted from the first)"
        elif step == 3:
            text = "".join(letter.upper() if letter.lower() in "aeiou" else letter.lower() for letter in text)
            said = "write its vowels (a, e, i, o, u) in capitals and all other letters small"
        elif step == 4:
            shifted = {letter: _LETTERS[(at + 1) % 26] for at, letter in enumerate(_LETTERS)}
            text = "".join(
                shifted[letter]
                if letter in shifted
                else shifted[letter.lower()].upper()
                if letter.isalpha()
                else letter
                for letter in text
            )
            said = "replace each letter by the next one in the alphabet (z becomes a), keeping capitals capital"
        else:
            half = len(text) // 2
            text = "".join(a + b for a, b in zip(text[:half], text[half : 2 * half], strict=True)) + text[2 * half :]
            said = (
                "cut it into two halves of equal length (if the length is odd, set its last character aside first), put "
                "the halves together again by taking characters from the first and the second in turn, and add the "
                "character that was set aside"
            )
        steps.append(said)
    listed = "\n".join(f"{at}. {said[0].upper()}{said[1:]}." for at, said in enumerate(steps, 1))
    return f"Take the string '{word}' and change it step by step:\n{listed}\nWhat is the final string?", text, "string"


def _program(lots: Lots, level: int) -> tuple[str, str, str, str]:
    values = [lots.between(1, 30) for _ in range(4 + level)]
    a, b, c = lots.between(2, 7), lots.between(2, 5), lots.between(3, 9)
    start, bound = lots.between(0, 9), lots.between(20, 60)
    total, kept = start, []
    for at, value in enumerate(values):
        if value % b == 0:
            total += value * a
        elif total > bound:
            total -= value + at
        else:
            total ^= value
        if level >= 2 and total % c == 1:
            kept.append(total)
    shown = [
        f"total = {start}",
        "kept = []",
        f"for at, value in enumerate({values}):",
        f"    if value % {b} == 0:",
        f"        total += value * {a}",
        f"    elif total > {bound}:",
        "        total -= value + at",
        "    else:",
        "        total ^= value",
    ]
    if level >= 2:
        shown += [f"    if total % {c} == 1:", "        kept.append(total)"]
    if level >= 3:
        turns = level
        shown += [f"for turn in range({turns}):", f"    total = (total * {a} + len(kept) * turn) % 1009"]
        for turn in range(turns):
            total = (total * a + len(kept) * turn) % 1009
    shown.append("print(total, len(kept), sum(kept))" if level >= 2 else "print(total)")
    printed = f"{total} {len(kept)} {sum(kept)}" if level >= 2 else str(total)
    program = "\n".join(shown)
    return f"What does this Python program print?\n\n{program}", printed, "what is printed", program


def _written(day: datetime.date) -> str:
    return day.isoformat()


def _dates(lots: Lots, level: int) -> Made:
    day = datetime.date(lots.between(1905, 2060), lots.between(1, 12), lots.between(1, 28))
    if level % 2:
        days = lots.between(40, 300 * level * level)
        later = day + datetime.timedelta(days=days)
        way = "after"
        if lots.below(2):
            later, way = day - datetime.timedelta(days=days), "before"
        return (
            f"Which date lies {days} days {way} {_written(day)} (year-month-day, Gregorian calendar)?",
            _written(later),
            "date as YYYY-MM-DD",
        )
    other = day + datetime.timedelta(days=lots.between(90, 700 * level))
    weekday = lots.below(7)
    count = sum(
        1
        for ordinal in range(day.toordinal(), other.toordinal() + 1)
        if datetime.date.fromordinal(ordinal).weekday() == weekday
    )
    return (
        f"{_written(day)} (year-month-day) was or will be a {_WEEKDAYS[day.weekday()]}. How many {_WEEKDAYS[weekday]}s are "
        f"there from that day to {_written(other)}, both days included?",
        str(count),
        "whole number",
    )


def _counting(lots: Lots, level: int) -> Made:
    words = [lots.choice(_SPEAKING) if lots.below(2) else invented_word(lots, 2) for _ in range(6 + 6 * level)]
    letters = sorted(lots.sample("aeiorstln", 3))
    text = " ".join(words)
    counts = [text.count(letter) for letter in letters]
    return (
        f"Count the letters {letters[0]}, {letters[1]} and {letters[2]} in the following text, each on its own.\n\n{text}",
        ", ".join(map(str, counts)),
        f"the three counts for {', '.join(letters)}, separated by commas",
    )


def _odd_sorting(lots: Lots, level: int) -> Made:
    words = lots.sample(_SPEAKING, 4 + 2 * level)
    rule = lots.below(4)
    if rule == 0:
        said = "by their last letter; words with the same last letter by their first letter, then alphabetically"
        ordered = sorted(words, key=lambda word: (word[-1], word[0], word))
    elif rule == 1:
        said = "from Z to A by their third letter; words with the same third letter alphabetically"
        ordered = sorted(words, key=lambda word: (-ord(word[2]), word))
    elif rule == 2:
        said = (
            "by the number of vowels (a, e, i, o, u), most vowels first; words with equally many read backwards, A to Z"
        )
        ordered = sorted(words, key=lambda word: (-sum(letter in "aeiou" for letter in word), word[::-1]))
    else:
        said = "by their second letter, A to Z; words with the same second letter from Z to A by the whole word"
        ordered = sorted(words, key=lambda word: (word[1], [-ord(letter) for letter in word]))
    return (
        f"Sort these words {said}.\n\n{', '.join(words)}",
        ", ".join(ordered),
        "all words in order, separated by commas",
    )


def digits_in_base(number: int, base: int) -> str:
    """The digits of a whole number from 0 in a base from 2 to 36, letters small."""
    digits = ""
    while True:
        number, digit = divmod(number, base)
        digits = _DIGITS[digit] + digits
        if not number:
            return digits


def _bases(lots: Lots, level: int) -> Made:
    one, other = lots.sample([3, 5, 6, 7, 8, 9, 11, 12, 13], 2)
    low = 10 ** (1 + level)
    first, second = lots.between(low, 10 * low), lots.between(low, 10 * low)
    if level <= 2:
        return (
            f"Write the number {digits_in_base(first, one)} (base {one}) in base {other}. Digits above 9 are letters: "
            "a is ten, b eleven, c twelve.",
            digits_in_base(first, other),
            "digits, without a prefix",
        )
    return (
        f"Add {digits_in_base(first, one)} (base {one}) and {digits_in_base(second, other)} (base {other}), and write the sum "
        f"in base {one}. Digits above 9 are letters: a is ten, b eleven, c twelve.",
        digits_in_base(first + second, one),
        "digits, without a prefix",
    )


def _queue(lots: Lots, level: int) -> Made:
    people = lots.sample(_PEOPLE, 4 + (level + 1) // 2)
    truth = lots.shuffled(people)
    place = {name: at for at, name in enumerate(truth)}
    orders = [dict(zip(order, range(len(people)), strict=True)) for order in permutations(people)]
    clues: list[str] = []
    while len(orders) > 1:
        a, b = lots.sample(people, 2)
        kind = lots.below(4)
        gap = place[b] - place[a]
        if kind == 0:
            if gap < 0:
                a, b, gap = b, a, -gap
            clue = f"{a} stands somewhere in front of {b}."
            left = [order for order in orders if order[a] < order[b]]
        elif kind == 1:
            between = abs(gap) - 1
            clue = f"Exactly {between} {'person stands' if between == 1 else 'people stand'} between {a} and {b}."
            left = [order for order in orders if abs(order[a] - order[b]) - 1 == between]
        elif kind == 2 and place[a] not in (0, len(people) - 1):
            clue = f"{a} is neither first nor last."
            left = [order for order in orders if order[a] not in (0, len(people) - 1)]
        elif kind == 3 and abs(gap) > 1:
            clue = f"{a} and {b} do not stand next to each other."
            left = [order for order in orders if abs(order[a] - order[b]) > 1]
        else:
            continue
        if len(left) < len(orders):  # a clue that tells nothing new is left out
            orders, clues = left, [*clues, clue]
    return (
        f"{', '.join(sorted(people))} stand in a queue, one behind the other.\n"
        + "\n".join(f"- {clue}" for clue in clues)
        + "\nIn which order do they stand, from the first to the last?",
        ", ".join(truth),
        "names from first to last, separated by commas",
    )


def _boxes(lots: Lots, level: int) -> Made:
    colours, thing = lots.sample(_BOXES, 2 + (level + 1) // 2), lots.choice(_THINGS)
    content = {colour: lots.between(8, 60) for colour in colours}
    told = [
        "There are "
        + ", ".join(f"{number} {thing} in the {colour} box" for colour, number in content.items())
        + ". Then the following happens, in this order."
    ]
    for at in range(2 + 2 * level):
        one, other = lots.sample(colours, 2)
        kind = lots.below(4)
        if kind == 0:
            moved = content[one] // 2
            told.append(f"{at + 1}. Half of the {thing} in the {one} box (rounded down) go into the {other} box.")
        elif kind == 1:
            moved = min(content[one], lots.between(3, 25))
            told.append(f"{at + 1}. {moved} {thing} go from the {one} box into the {other} box.")
        elif kind == 2:
            content[one], content[other] = content[other], content[one]
            moved = 0
            told.append(f"{at + 1}. The {one} box and the {other} box exchange everything they hold.")
        else:
            moved = 0
            added = content[other] % 7
            content[one] += added
            told.append(
                f"{at + 1}. The {thing} in the {other} box are counted and divided by 7; as many new {thing} as the "
                f"remainder says are put into the {one} box."
            )
        content[one] -= moved
        content[other] += moved
    return (
        "\n".join(told) + f"\nHow many {thing} are in each box at the end?",
        ", ".join(str(content[colour]) for colour in colours),
        f"the numbers for the boxes {', '.join(colours)}, separated by commas",
    )


_MAKERS: dict[str, Callable[[Lots, int], Made]] = {
    "arithmetic": _arithmetic,
    "text manipulation": _text_manipulation,
    "dates": _dates,
    "counting": _counting,
    "odd sorting": _odd_sorting,
    "bases": _bases,
    "queue": _queue,
    "boxes": _boxes,
    "recurrence": _recurrence,
}
KINDS = (*_MAKERS, "program tracing")


def problem(seed: int, index: int) -> Problem:
    """One problem with its gold answer."""
    kind = KINDS[index % len(KINDS)]
    level = 1 + index // len(KINDS) % LEVELS
    lots = Lots("problems", VERSION, seed, index)
    if kind == "program tracing":
        question, gold, form, program = _program(lots, level)
        return Problem(kind, level, question, gold, form, program)
    question, gold, form = _MAKERS[kind](lots, level)
    return Problem(kind, level, question, gold, form)
