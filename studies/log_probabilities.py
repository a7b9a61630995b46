"""Kinship of log-likelihoods: whether ranks of strangers keep their promise, and which relatives stand first.

    python -m studies.log_probabilities            figures (a quarter of an hour once the founders are there, else twenty minutes)
    python -m studies.log_probabilities --write    and the register of nulls, and studies/results/log_probabilities.json
    python -m studies.log_probabilities --check    exit 1 where strangers' ranks do not keep their promise

1.  Fixed texts: 300 pieces of files that no member was trained on, read by every model as `filiation score` reads them.
2.  Founders of the example cases' zoo. The even-numbered ones served to look at variants of the measure (TRIED); every figure here
    comes from the 32 odd-numbered ones and what is made from them, which were looked at once.
3.  Strangers: every founder ranked among the others against each; then harder ones, each ranked among the founders against those it
    does not come from: fine-tuned, pruned, merged, trained long. Founders that read the same half of the library by themselves.
4.  Relatives, through the examiner itself: among founders, and for fine-tunes among controls that were tuned as the suspect was.
5.  Founders of three designs (the test zoo): what a rank says where few controls are of the reference's own design.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from tokenizers import Tokenizer

from filiation.evidence import Absent, Finding, Null, RelationPower, Relations, digest
from filiation.examiners import log_probabilities as examiner
from filiation.examiners.examiner import Subject
from filiation.measures.log_probabilities import kinship, scores_of
from filiation.sources.running import RunningModel, load_model
from filiation.sources.scoring import FixedText, Run, scored
from filiation.sources.transcripts import TranscriptSource
from filiation.statistics.line_up import HeldOutLevel, Population, held_out_calibration, rank_among_lineages
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from studies.cases import models as case_models
from studies.zoo import Member, Zoo, build, family_tree
from studies.zoo.corpus import read_corpus
from studies.zoo.derivations import METHODS, Parent, Workshop
from studies.zoo.sizes import TEST
from studies.zoo.training import settle

ROOT = Path(__file__).parent.parent
CACHE = ROOT / ".cache" / "studies" / "log_probabilities"
RESULTS = ROOT / "studies" / "results" / "log_probabilities.json"
REGISTER = ROOT / "src" / "filiation" / "calibration" / "log_probabilities.json"
DATE = "2026-11-21"
DETECTION_LOG10_P = -1.30103
LEVEL = 0.05
TEXTS, LENGTH = 300, 97
NUMBERS = (30, 100, TEXTS)
SEED = 20_263
FOUNDERS = 64
FEW, MANY = 4, 10
"""Lineages whose relatives are made: of those that take a training as long as a founder's, and of the others."""
DESIGN_BASES = 12
TWO_DESIGNS = "two designs"
TRIED = (
    "correlation of what is left when items' means and models' medians are taken away (used)",
    "each model's slope over the items' means taken away, too (no relative gained, none lost)",
    "the direction in which the models present differ most taken away (finds fine-tunes and merges; a derivative of another lineage "
    "comes first against 12 % of references, where 6 % are promised)",
    "partial correlations, ridge .03 to 1 (.03 and .1 accuse derivatives of others in up to 40 %; .3 and 1 find no more than the one used)",
)


@dataclass(frozen=True)
class Making:
    """How a relative of a founder is made: a method of the zoo, how many lineages have one, and whether it is kin by outputs alone."""

    method: str
    options: Mapping[str, Any]
    lineages: int
    text: str = "tests"
    kinship: str = "weights"


OWN, OTHER = "own half", "other half"
MAKINGS = {
    "int8": Making("quantise", {"bits": 8}, MANY),
    "int4": Making("quantise", {"bits": 4}, MANY),
    "50 % magnitude-pruned": Making("prune", {"share": 0.5}, MANY),
    "LoRA merged": Making("low_rank", {"rank": 8}, MANY),
    "checkpoint continued": Making("tune", {}, MANY, OWN),
    "fine-tune": Making("tune", {}, FOUNDERS),
    "50/50 merge with a stranger": Making("merge", {"shares": (0.5, 0.5)}, MANY),
    "trained over as long as pre-training": Making("tune", {"length": "heavy"}, FEW, OTHER),
    "student of logits": Making("distil_logits", {}, FEW, OWN, "outputs"),
}
ALIKE = "fine-tune, among controls tuned likewise"
UNCLAIMED = ("fine-tune", ALIKE, "50/50 merge with a stranger", "trained over as long as pre-training")
"""Relations that the examiner does not claim to find: their figures stand in the results and not in the register."""


# ---------------------------------------------------------------------------------------------------------- the models


def founders() -> list[str]:
    """The odd-numbered founders, in the order of the family tree."""
    tree = family_tree(case_models.SIZE, FOUNDERS)
    return [name for name in tree.members if name.startswith("base-")][1:FOUNDERS:2]


@cache
def workshop(tokenizer: Path) -> Workshop:
    """The zoo's own, for members that are made in memory and not kept."""
    return Workshop(case_models.SIZE, read_corpus(), Tokenizer.from_file(str(tokenizer)), settle("cpu"))


@cache
def texts(tokenizer: Path) -> tuple[FixedText, ...]:
    """Pieces of files that nobody was trained on, drawn by lot; each is read whole by every model of both zoos."""
    held_out = read_corpus().parts["validation"].encode().decode("ascii", "ignore")
    counted = Tokenizer.from_file(str(tokenizer))
    order = np.random.default_rng(SEED).permutation(len(held_out) // LENGTH)
    pieces = (held_out[LENGTH * at : LENGTH * (at + 1)] for at in order)
    short = (piece for piece in pieces if len(counted.encode(piece).ids) <= case_models.SIZE.context and piece.strip())
    return tuple(FixedText(f"held out:{number}", piece) for number, piece in zip(range(TEXTS), short, strict=False))


def relative_of(zoo: Zoo, founder: str, relation: str, number: int) -> Member:
    """The recipe; a merge takes in the next founder."""
    making, names = MAKINGS[relation], founders()
    part = zoo.tree.members[founder].part
    other = {"one": "two", "two": "one"}[part]
    beside = (names[(names.index(founder) + 1) % len(names)],) if making.method == "merge" else ()
    return Member(
        name=f"{founder}, {relation}",
        relation=relation,
        method=making.method,
        parents=(founder, *beside),
        kinship=making.kinship,
        seed=70_000 + 100 * number + list(MAKINGS).index(relation),
        part={OWN: part, OTHER: other}.get(making.text, making.text),
        options=dict(making.options),
    )


def made(zoo: Zoo, member: Member) -> RunningModel:
    """A relative, in memory, with its first parent's tokenizer."""
    parent = zoo[member.parents[0]]
    birth = METHODS[member.method](
        workshop(parent / "tokenizer.json"), member, tuple(Parent(zoo[name]) for name in member.parents)
    )
    return RunningModel(birth.model.eval(), load_model(parent)._tokenizer, name=member.name, location=str(parent))


def recorded(zoo: Zoo, member: Member, read: Sequence[FixedText]) -> pl.DataFrame:
    """The rows that `filiation score` writes of one model; kept in the project's cache, by its recipe and the texts."""
    lineages = [(zoo[name] / "lineage.json").read_text() for name in member.parents or (member.name,)]
    recipe = digest([lineages, msgspec.to_builtins(member), [text.text for text in read]])
    file = CACHE / f"{recipe[:20]}.parquet"
    if not file.exists():
        model = made(zoo, member) if member.parents else load_model(zoo[member.name])
        lineage = member.lineage_id or member.parents[0]
        run = Run(member.name, lineage, lineage, {"dtype": "float32", "model": recipe, "tokenizer": ""}, False)
        file.parent.mkdir(parents=True, exist_ok=True)
        pl.concat([some.frame for some in scored(model, read, run)]).write_parquet(file)
    return pl.read_parquet(file)


@dataclass(frozen=True, eq=False)
class Recorded:
    """What was recorded of founders and of their relatives: relation, then founder, to the model's name in one file."""

    file: Path
    founders: tuple[str, ...]
    relatives: Mapping[str, Mapping[str, Member]]

    @classmethod
    def of(cls, zoo: Zoo, place: Path, console: Console) -> Recorded:
        names = founders()
        read = texts(zoo[names[0]] / "tokenizer.json")
        relatives = {
            relation: {
                founder: relative_of(zoo, founder, relation, number)
                for number, founder in enumerate(names[: making.lineages])
            }
            for relation, making in MAKINGS.items()
        }
        members = [zoo.tree.members[name] for name in names]
        members += [member for found in relatives.values() for member in found.values()]
        frames = [recorded(zoo, member, read) for member in track(members, "reading", console=console)]
        pl.concat(frames).write_parquet(place / "scores.parquet")
        return cls(place / "scores.parquet", tuple(names), relatives)

    @cache  # noqa: B019 - lives as long as the study
    def subject(self, name: str) -> Subject:
        source = TranscriptSource(self.file, name)
        seen = examiner.observe(source)
        assert not isinstance(seen, Absent), seen
        return Subject(source=source, observation=seen)

    @cache  # noqa: B019
    def row(self, name: str) -> NDArray[np.float64]:
        """Its log-likelihoods of all texts, in one order."""
        said = scores_of(self.subject(name).source)
        return np.array([said[item] for item in sorted(said)])

    def scores(self, names: Sequence[str], number: int = TEXTS) -> NDArray[np.float64]:
        """Over the first so many texts, in the order of their digests."""
        return kinship(np.stack([self.row(name)[:number] for name in names]))


# ----------------------------------------------------------------------------------------------------------- strangers


def strangers(found: Recorded, names: Sequence[str]) -> dict[str, Any]:
    """Every model of `names` as suspect against each other as reference, ranked among the rest: one lineage, one lab each."""
    scores = found.scores(names)
    alone = Population(scores=scores, lineages=names, labs=names, related=np.eye(len(names), dtype=np.bool_))
    level = next(each for each in held_out_calibration(alone, np.random.default_rng(SEED)) if _is_level(each, LEVEL))
    apart = scores[~np.eye(len(names), dtype=np.bool_)]
    return {
        "lineages": len(names),
        "pairs": level.pairs,
        "at most .05": level.share_ppm / 1e6,
        "95 % interval over lineages": [level.low_ppm / 1e6, level.high_ppm / 1e6],
        "smallest p there is": round(1 / (len(names) - 1), 4),
        "score, mean and largest": [round(float(apart.mean()), 3), round(float(apart.max()), 3)],
    }


def _is_level(each: HeldOutLevel, level: float) -> bool:
    return each.level == level and not each.first_place


def derivatives_of_others(found: Recorded) -> dict[str, Any]:
    """By relation: a derivative, ranked among founders against founders that it does not come from."""
    return {
        relation: _shares(
            [
                place(found, reference, member.name, set(member.parents))
                for member in made_so.values()
                for reference in found.founders
                if reference not in member.parents
            ]
        )
        for relation, made_so in found.relatives.items()
    }


def place(found: Recorded, reference: str, suspect: str, out: set[str], number: int = TEXTS) -> float:
    """p of the suspect among the founders that are neither the reference nor in `out`."""
    controls = [name for name in found.founders if name != reference and name not in out]
    scores = found.scores([reference, suspect, *controls], number)[0]
    ranked = rank_among_lineages(
        float(scores[1]), {name: [float(score)] for name, score in zip(controls, scores[2:], strict=True)}
    )
    return float(10**ranked.log10_p)


def _shares(p_values: Sequence[float]) -> dict[str, Any]:
    values = np.array(p_values)
    return {"pairs": len(values), "at most .05": round(float(np.mean(values <= LEVEL + 1e-9)), 4)}


def of_one_half(zoo: Zoo, found: Recorded) -> dict[str, Any]:
    """Founders that read the same half of the library as the reference, ranked among those of both halves."""
    part = {name: zoo.tree.members[name].part for name in found.founders}
    scores = found.scores(found.founders)
    groups: dict[str, list[float]] = {"same half": [], "other half": []}
    for at, reference in enumerate(found.founders):
        for other, suspect in enumerate(found.founders):
            if at != other:
                rest = {name: [float(scores[at, n])] for n, name in enumerate(found.founders) if n not in (at, other)}
                p = 10 ** rank_among_lineages(float(scores[at, other]), rest).log10_p
                groups["same half" if part[reference] == part[suspect] else "other half"].append(float(p))
    return {name: _shares(values) for name, values in groups.items()}


# ----------------------------------------------------------------------------------------------------------- relatives


def relatives(found: Recorded, console: Console) -> dict[str, Any]:
    """By relation: p of each by the examiner, among founders; of fine-tunes also among other founders' fine-tunes."""
    told = {}
    for relation, made_so in found.relatives.items():
        pairs = [(founder, member, _rest(found, member)) for founder, member in made_so.items()]
        told[relation] = _told([judged(found, *pair) for pair in track(pairs, relation, console=console)])
    tuned = {founder: member.name for founder, member in found.relatives["fine-tune"].items()}
    told[ALIKE] = _told(
        [
            judged(found, founder, member, [name for other, name in tuned.items() if other != founder])
            for founder, member in track(found.relatives["fine-tune"].items(), ALIKE, console=console)
        ]
    )
    return told


def by_number_of_texts(found: Recorded) -> dict[str, Any]:
    """By relation and number of texts: how many of the relatives have p <= .05 among founders."""
    return {
        relation: {
            str(number): sum(
                place(found, founder, member.name, set(member.parents), number) <= LEVEL + 1e-9
                for founder, member in made_so.items()
            )
            for number in NUMBERS
        }
        for relation, made_so in found.relatives.items()
    }


def _rest(found: Recorded, member: Member) -> list[str]:
    """A merge's other parent is no unrelated control."""
    return [name for name in found.founders if name not in member.parents]


def judged(found: Recorded, reference: str, suspect: Member, controls: Sequence[str]) -> tuple[float, float, float]:
    """p, the pair's score, and the share of controls that score lower: through the shipped examiner."""
    subjects = [found.subject(name) for name in (reference, suspect.name, *controls)]
    relation = examiner.line_up(subjects[0], subjects[1], subjects[2:], SEED)
    assert not isinstance(relation, Absent), relation
    # Lineages are the zoo's: of a suspect that is related to the reference the declaration is what is in dispute.
    relation.content["entrants"][1] |= {"lineage": "", "lab": ""}
    (outcome,) = examiner.judge(Relations(pair=relation), (), Calibration(examiner=examiner.NAME, entries=(entry(),)))
    assert isinstance(outcome, Finding), outcome
    row = relation.content["scores"][0]
    return 10**outcome.log10_p, row[1] / 10_000, float(np.mean(np.array(row[2:]) < row[1]))


def _told(seen: Sequence[tuple[float, float, float]]) -> dict[str, Any]:
    p_values, scores, below = (np.array(values) for values in zip(*seen, strict=True))
    return {
        "lineages": len(seen),
        "p at most .05": int(np.sum(p_values <= LEVEL + 1e-9)),
        "area under the curve": round(float(below.mean()), 4),
        "score, smallest, median and largest": [round(float(np.quantile(scores, q)), 3) for q in (0, 0.5, 1)],
        "p, median and largest": [round(float(np.quantile(p_values, q)), 4) for q in (0.5, 1)],
    }


# ------------------------------------------------------------------------------------------------------------- designs


def designs(read: Sequence[FixedText]) -> dict[str, Any]:
    """Strangers of one design and of two, among founders of three designs (bytes as tokens)."""
    tree = family_tree(TEST, DESIGN_BASES)
    names = [name for name, member in tree.members.items() if member.method == "found" and member.group == "base"]
    zoo = build("test", bases=DESIGN_BASES, only=names, device="cpu")
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "scores.parquet"
        pl.concat([recorded(zoo, zoo.tree.members[name], read) for name in names]).write_parquet(file)
        scores = Recorded(file, tuple(names), {}).scores(names)
    groups: dict[str, list[float]] = {}
    for at, reference in enumerate(names):
        for other, suspect in enumerate(names):
            if at != other:
                rest = {name: [float(scores[at, n])] for n, name in enumerate(names) if n not in (at, other)}
                p = 10 ** rank_among_lineages(float(scores[at, other]), rest).log10_p
                groups.setdefault(_design(zoo, reference, suspect), []).append(float(p))
    made_of = [_design(zoo, name, name) for name in names]
    return {name: {"lineages": made_of.count(name), **_shares(values)} for name, values in groups.items()}


def _design(zoo: Zoo, one: str, other: str) -> str:
    families = [zoo.tree.members[name].family for name in (one, other)]
    return f"both {families[0]}" if families[0] == families[1] else TWO_DESIGNS


# -------------------------------------------------------------------------------------------------------- the register


def entry(found: Mapping[str, Any] | None = None) -> RegisterEntry:
    """The entry of the rank; without what was found, one that says nothing of strangers and relatives.

    What exceeds are lineages times a share of pairs with p <= .05, rounded up: of founders of one design the largest share of all kinds
    of strangers (with the upper 95 % limit over lineages), and of three designs the share among pairs of one design, design by design.
    """
    return RegisterEntry(
        test=examiner.TESTS[0].id,
        null=Null.POPULATION,
        formula_version="1",
        chance=None,
        detection_log10_p=DETECTION_LOG10_P,
        validated_for=("small models made for this, over pieces of source code",),
        strangers=(_of_one_design(found), _of_three_designs(found)) if found else (),
        relatives=tuple(_powers(found["relatives"])) if found else (),
        calibrated_on=f"32 founders of the example cases' zoo and 25 of the test zoo, {TEXTS} texts of {LENGTH} bytes",
        date=DATE,
        tried=TRIED,
        made_by="python -m studies.log_probabilities",
    )


def _of_one_design(found: Mapping[str, Any]) -> StrangerCount:
    alone = found["strangers"]["founders"]
    share = max(alone["95 % interval over lineages"][1], *_shares_of_hard_strangers(found))
    return StrangerCount(
        kind="founders of one design, derivatives of other lineages among the suspects; exceeding: lineages times the largest share with "
        "p <= 0.05 (that of readers of the same text), rounded up",
        lineages=alone["lineages"],
        exceeding=math.ceil(alone["lineages"] * share - 1e-9),
        tests=alone["pairs"] + sum(each["pairs"] for each in found["derivatives of others"].values()),
        largest_share=round(share, 4),
    )


def _of_three_designs(found: Mapping[str, Any]) -> StrangerCount:
    alike = [each for name, each in found["designs"].items() if name != TWO_DESIGNS]
    return StrangerCount(
        kind="founders of the reference's own design, most controls of others; exceeding: lineages of each design times its share with "
        "p <= 0.05, rounded up",
        lineages=sum(each["lineages"] for each in alike),
        exceeding=sum(math.ceil(each["lineages"] * each["at most .05"] - 1e-9) for each in alike),
        tests=sum(each["pairs"] for each in alike),
        largest_share=max(each["at most .05"] for each in alike),
    )


def _shares_of_hard_strangers(found: Mapping[str, Any]) -> Iterator[float]:
    yield found["strangers"]["fine-tunes"]["at most .05"]
    yield from (each["at most .05"] for each in found["derivatives of others"].values())
    yield from (each["at most .05"] for each in found["halves of the library"].values())


def _powers(found: Mapping[str, Any]) -> Iterator[RelationPower]:
    for relation, told in found.items():
        if relation not in UNCLAIMED:
            yield RelationPower(relation=relation, detected=told["p at most .05"], lineages=told["lineages"])


def broken_promises(found: Mapping[str, Any]) -> list[str]:
    """Populations of strangers of which more have p <= .05 than 5 %, even at the lower end of the interval over lineages."""
    return [
        f"{name}: {told['at most .05']} of strangers have p <= .05"
        for name, told in found["strangers"].items()
        if told["95 % interval over lineages"][0] > LEVEL
    ]


# ---------------------------------------------------------------------------------------------------------------- main


def measure(console: Console) -> dict[str, Any]:
    zoo = build(case_models.SIZE, only=founders(), device="cpu")
    with tempfile.TemporaryDirectory() as place:
        found = Recorded.of(zoo, Path(place), console)
        tuned = [member.name for member in found.relatives["fine-tune"].values()]
        return {
            "texts": TEXTS,
            "strangers": {"founders": strangers(found, found.founders), "fine-tunes": strangers(found, tuned)},
            "derivatives of others": derivatives_of_others(found),
            "halves of the library": of_one_half(zoo, found),
            "relatives": relatives(found, console),
            "found by number of texts": by_number_of_texts(found),
            "designs": designs(texts(zoo[found.founders[0]] / "tokenizer.json")),
        }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m studies.log_probabilities", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--write", action="store_true", help="write the results and the register of nulls")
    parser.add_argument("--check", action="store_true", help="exit 1 where strangers' ranks do not keep their promise")
    asked = parser.parse_args(arguments)
    console = Console(width=140)
    found = measure(console)
    console.print_json(json.dumps(found))
    broken = broken_promises(found)
    for promise in broken:
        console.print(f"[bold]not kept:[/bold] {promise}", highlight=False)
    if asked.write:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        if not broken:
            counted = Calibration(examiner=examiner.NAME, entries=(entry(found),))
            REGISTER.write_bytes(msgspec.json.format(msgspec.json.encode(counted), indent=1) + b"\n")
    return 1 if broken and asked.check else 0


if __name__ == "__main__":
    sys.exit(main())
