"""The probe sets that ship: what to ask models, so that what they answer can be compared.

A set is a folder in `filiation/probes/` with a `card.json` and, where its prompts were written by hand, `probes.jsonl`; the
sets `nonsense` and `problems` are generated from a seed. Every probe has an item name, 'set:id', under which its answers are
recorded; from the item name of a generated probe it can be made again. `draw` gives the same probes on every machine and in
every version of Python, so a plan need only fix the seed.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from importlib import resources
from pathlib import Path

import msgspec

from filiation.errors import MalformedSource, UsageError
from filiation.evidence import Record
from filiation.sources import nonsense_generators, problem_generators
from filiation.sources.lots import rank
from filiation.sources.transcripts import Transcript, prompt_id

CARD = "card.json"
MOST = 100_000
"""More probes than anybody asks; a draw beyond it is taken for a slip."""


class Probe(Record, frozen=True, kw_only=True):
    """One prompt. `group` names the probe of which this is a paraphrase (its own id otherwise); `grade` is 0 where not graded."""

    set: str
    id: str
    prompt: str
    kind: str
    grade: int = 0
    language: str = "en"
    gold: str | None = None
    group: str = ""

    @property
    def item(self) -> str:
        """The name under which answers are recorded."""
        return f"{self.set}:{self.id}"


class ProbeCard(Record, frozen=True, kw_only=True):
    """What a probe set is. `sha256` covers `digest_of` its default draw: all written probes, or `number` generated of seed 0."""

    name: str
    version: str
    purpose: str
    made: str
    licence: str
    number: int
    paraphrases: int
    kinds: dict[str, int]
    generated: bool
    limits: tuple[str, ...]
    sha256: str


class _Line(Record, frozen=True, kw_only=True):
    id: str
    kind: str
    prompt: str
    grade: int = 0
    language: str = "en"
    paraphrases: tuple[str, ...] = ()


def _folder() -> Path:
    return Path(str(resources.files("filiation"))) / "probes"


@lru_cache(maxsize=1)
def cards() -> dict[str, ProbeCard]:
    """The cards of all sets that ship, by name."""
    found = {}
    for file in sorted(_folder().glob(f"*/{CARD}")):
        try:
            card = msgspec.json.decode(file.read_bytes(), type=ProbeCard)
        except (OSError, msgspec.DecodeError) as error:
            raise MalformedSource(
                f"this is no card of a probe set: {error}", exhibit=str(file), advice="install the package again"
            ) from error
        found[card.name] = card
    return found


def card(name: str) -> ProbeCard:
    """The card of one set. Raises UsageError on an unknown name."""
    known = cards()
    if name not in known:
        raise UsageError(f"there is no probe set named {name}", advice=f"the probe sets are {', '.join(known)}")
    return known[name]


@lru_cache(maxsize=8)
def written(name: str) -> tuple[Probe, ...]:
    """All probes of a written set, in order, each followed by its paraphrases. Raises UsageError, MalformedSource."""
    if card(name).generated:
        raise UsageError(f"the set {name} is generated, not written", advice="draw from it with a seed")
    file = _folder() / name / "probes.jsonl"
    try:
        lines = [msgspec.json.decode(line, type=_Line) for line in file.read_bytes().splitlines() if line.strip()]
    except (OSError, msgspec.DecodeError) as error:
        raise MalformedSource(
            f"this is no list of probes: {error}", exhibit=str(file), advice="install the package again"
        ) from error
    return tuple(probe for line in lines for probe in _with_paraphrases(name, line))


def _with_paraphrases(name: str, line: _Line) -> list[Probe]:
    prompts = [(line.id, line.prompt), *((f"{line.id}.{at}", text) for at, text in enumerate(line.paraphrases, 1))]
    return [
        Probe(set=name, id=own, prompt=text, kind=line.kind, grade=line.grade, language=line.language, group=line.id)
        for own, text in prompts
    ]


def _generated(name: str, seed: int, index: int) -> Probe:
    own = f"{seed}-{index}"
    if name == "nonsense":
        kind, text = nonsense_generators.nonsense(seed, index)
        return Probe(set=name, id=own, prompt=text, kind=kind, group=own)
    made = problem_generators.problem(seed, index)
    return Probe(
        set=name,
        id=own,
        prompt=made.prompt,
        kind=made.kind,
        grade=made.level,
        gold=normal_answer(made.gold, parts=", " in made.gold),
        group=own,
    )


def draw(name: str, count: int, seed: int, *, paraphrases: bool = False) -> tuple[Probe, ...]:
    """`count` probes of a set, the same for the same seed everywhere; a longer draw begins with the shorter one.

    Written sets are put in an order by SHA-256 of seed and id, their kinds taking turns; generated sets make fresh probes of
    that seed. With `paraphrases` each probe is followed by its paraphrases, where it has any. Raises UsageError.
    """
    about = card(name)
    if seed < 0 or not 1 <= count <= (MOST if about.generated else about.number):
        most = MOST if about.generated else about.number
        raise UsageError(
            f"{count} probes of {name} with seed {seed} cannot be drawn",
            advice=f"give a count from 1 to {most} and a seed from 0",
        )
    if about.generated:
        return tuple(_generated(name, seed, index) for index in range(count))
    everything = written(name)
    bases = [probe for probe in everything if probe.id == probe.group]
    place: dict[str, int] = {}
    inside: Counter[str] = Counter()
    for probe in sorted(bases, key=lambda probe: rank("draw", name, seed, probe.id)):
        place[probe.id] = inside[probe.kind]
        inside[probe.kind] += 1
    order = sorted(bases, key=lambda probe: (place[probe.id], rank("turn", name, seed, probe.kind)))
    if not paraphrases:
        return tuple(order[:count])
    groups: dict[str, list[Probe]] = {}
    for probe in everything:
        groups.setdefault(probe.group, []).append(probe)
    chosen = sorted(order, key=lambda probe: len(groups[probe.id]) == 1)[:count]
    return tuple(probe for base in chosen for probe in groups[base.id])


def default(name: str) -> tuple[Probe, ...]:
    """The set as its card describes it: everything that was written, or the card's number of generated probes of seed 0."""
    return draw(name, card(name).number, 0) if card(name).generated else written(name)


def digest_of(probes: tuple[Probe, ...]) -> str:
    """SHA-256 over item, kind, grade, gold answer and prompt of each probe, in order."""
    hasher = hashlib.sha256()
    for probe in probes:
        for field in (probe.item, probe.kind, str(probe.grade), probe.gold or "", probe.prompt):
            data = field.encode("utf-8")
            hasher.update(len(data).to_bytes(8, "big") + data)
    return hasher.hexdigest()


@lru_cache(maxsize=8)
def items_by_prompt(name: str) -> dict[str, str]:
    """Prompt id to item name, for the default draw of a set: how its prompts are known in logs that do not name items."""
    return {prompt_id(probe.prompt): probe.item for probe in default(name)}


def item_of(name: str, item: str, prompt: str) -> str | None:
    """The item name of a recorded answer if it belongs to the set: by its own item name, or by its prompt's id."""
    return item if item.startswith(f"{name}:") else items_by_prompt(name).get(prompt)


def group_of(item: str) -> str:
    """The item of which this one is a paraphrase: 'borderline:law-04.2' belongs to 'borderline:law-04'."""
    return re.sub(r"\.\d+$", "", item)


def answers_to(name: str, transcript: Transcript) -> dict[str, str]:
    """Item name to text of the first answer to each prompt of a set, where there is a text."""
    found: dict[str, str] = {}
    for item, prompt, text in transcript.frame.select("item", "prompt_id", "text").iter_rows():
        own = item_of(name, item or "", prompt)
        if own is not None and text and not text.isspace():
            found.setdefault(own, text)
    return found


# ------------------------------------------------------------------------------------------------------------- answers

_STATED = re.compile(r"^[\s>*_#`-]*(?:final\s+)?answer\s*(?:is)?[*_`]*\s*[:=：][*_`]*[ \t]*(.*)$", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_WRAPPINGS = (
    ("`", "`"),
    ('"', '"'),
    ("'", "'"),
    ("“", "”"),
    ("<", ">"),
    ("$", "$"),
    ("\\(", "\\)"),
)
_THOUSANDS = re.compile("(?<![\\d.])\\d{1,3}(?:[,\\u00a0\\u202f]\\d{3})+(?![\\d,])")


def stated_answer(text: str, gold: str | None = None) -> str | None:
    """The answer that a reply to a problem states, in normal form; None where it states none.

    The last line of the form 'Answer: ...' counts (markup around it is ignored; where the line ends there, the next line
    that is not empty); failing that, the last \\boxed{...}. Where the right answer `gold` is a list, commas separate parts.
    """
    lines = text.splitlines()
    found: str | None = None
    for at, line in enumerate(lines):
        stated = _STATED.match(line.strip())
        if stated is None:
            continue
        rest = stated.group(1).strip()
        if not rest.strip("*_` "):
            rest = next((later.strip() for later in lines[at + 1 :] if later.strip().strip("`*_")), "")
        found = rest or found
    if found is None:
        boxed = _BOXED.findall(text)
        found = boxed[-1] if boxed else None
    if found is None:
        return None
    inside = _BOXED.search(found)
    return normal_answer(inside.group(1) if inside else found, parts=", " in (gold or "")) or None


def answer_recorded(item: str, text: str, gold: str | None) -> str | None:
    """What belongs into a transcript's column `answer`: the stated answer to a probe of `problems`, None for all else."""
    return stated_answer(text, gold) if item.startswith("problems:") else None


def normal_answer(answer: str, *, parts: bool = False) -> str:
    """One form for one answer: NFC, wrappings and the full stop gone, ', ' between parts, no thousands separators.

    `parts`: the answer is a list, so that a comma never stands inside a number. Capitals stay: in strings they count.
    """
    text = unicodedata.normalize("NFC", answer).strip()
    changed = True
    while changed:
        before = text
        text = text.strip("*").strip()
        if len(text) > 1 and text.endswith((".", "。")):
            text = text[:-1].rstrip()
        for opening, closing in _WRAPPINGS:
            if len(text) > len(opening) + len(closing) and text.startswith(opening) and text.endswith(closing):
                text = text[len(opening) : -len(closing)].strip()
        if re.fullmatch(r"[\[(].*[\])]", text) and not re.search(r"[\[\]()]", text[1:-1]):
            text = text[1:-1].strip()
        changed = text != before
    if not parts:
        text = _THOUSANDS.sub(lambda found: re.sub("[,\u00a0\u202f]", "", found.group()), text)
    text = re.sub(r"\s*,\s*", ", ", text)
    text = re.sub(r"\s+", " ", text)
    if re.fullmatch(r"[+-]?\d+\.0+", text):
        text = text.split(".")[0]
    return text.removeprefix("+").strip()
