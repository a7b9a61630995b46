"""What the weights examiner finds on the full zoo, and what strangers show it: `python -m studies.weights`.

    1. Build the zoo (studies/zoo).
    2. Relate: every claimed relation to its ancestor; every founder to others it shares nothing with; hard strangers;
       students; the sibling.
    3. Print per relation log10 p of every test; per kind of stranger the largest share of coinciding neurons in any
       layer, by layer and by lineage.
    4. Write the register of nulls (filiation/calibration/weights.json) and studies/results/weights.json.

The chance c = 0.10 was fixed before (docs/examiners/weights.md says on what); nothing here tunes it. With `--check` the
command fails where a claim is not kept, or where a stranger's layer exceeds c / 2.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from filiation.evidence import Coincidences, Finding, Null, Observation, Relation, RelationPower, Relations
from filiation.examiners import weights
from filiation.examiners.examiner import Subject
from filiation.sources.open import open_source
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from studies.zoo import Member, Zoo, build

CHANCE = 0.10
DETECTION_LOG10_P = -12.0
RESULTS = Path(__file__).parent / "results" / "weights.json"
REGISTER = Path(weights.__file__).parents[1] / "calibration" / "weights.json"
DOCUMENT = Path(__file__).parents[1] / "docs" / "examiners" / "weights.md"
TESTS_BY_NAME = {test.id.removeprefix("weights."): test.id for test in weights.TESTS}
UNCLAIMED = {"weights.double-matching": ("MLPs re-initialised",)}
"""Relations whose power does not enter a test's likelihood ratio: here, what the test looks at was thrown away."""
UNGATED = ("gpt2", "gpt_neox", "falcon")
SEED = 20_260


class Pair(NamedTuple):
    """Two members to be related: `kind` is the relation's name, or the kind of stranger; `lineages` of both, in one text."""

    first: str
    second: str
    group: str
    kind: str
    lineages: str


# ----------------------------------------------------------------------------------------------------------- the pairs


def pairs_of(zoo: Zoo) -> list[Pair]:
    """Which members are related to which, and which strangers stand against which."""
    members = {member.name: member for member in zoo.members()}
    listed: dict[tuple[str, str], Pair] = {}

    def add(first: str, second: str, group: str, kind: str) -> None:
        lineages = "|".join(sorted((members[first].lineage_id, members[second].lineage_id)))
        if (second, first) not in listed:
            listed.setdefault((first, second), Pair(first, second, group, kind, lineages))

    for member in members.values():
        for parent in member.parents:
            group = zoo.group(parent, member.name)
            kind = _relation_name(zoo, parent, member.name)
            add(_founder(zoo, parent) if group == "relative" else parent, member.name, group, kind)
    founders = [member for member in members.values() if not member.parents]
    for architecture in sorted({_architecture(founder) for founder in founders}):
        alike = [founder.name for founder in founders if _architecture(founder) == architecture]
        for at, name in enumerate(alike):
            for step in (1, 2):
                other = alike[(at + step) % len(alike)]
                if other != name:
                    add(name, other, "stranger", f"independent {architecture}")
        for name in alike[1:]:
            add(alike[0], name, "stranger", f"independent {architecture}")
    for one, other in itertools.combinations(members.values(), 2):
        hard = [member.relation for member in (one, other) if member.group == "hard stranger"]
        unrelated = zoo.group(one.name, other.name) in ("stranger", "hard stranger")
        if hard and unrelated and one.family == other.family and _stands_in(one) and _stands_in(other):
            add(one.name, other.name, "hard stranger", " and ".join(sorted(set(hard))))
    if "base-other-shape" in members:
        add("base-a", "base-other-shape", "stranger", "another width and depth")
    return list(listed.values())


def _stands_in(member: Member) -> bool:
    """Hard strangers stand against one another and against the first founders, not against everybody there is."""
    return member.group == "hard stranger" or member.name in {f"base-{letter}" for letter in "abcdef"}


def _founder(zoo: Zoo, name: str) -> str:
    """The founder at the head of the first line of descent: what a claimant would hold."""
    member = zoo.tree.members[name]
    return name if not member.parents or member.kinship != "weights" else _founder(zoo, member.parents[0])


def _relation_name(zoo: Zoo, parent: str, name: str) -> str:
    member, elder = zoo.tree.members[name], zoo.tree.members[parent]
    return (
        f"{elder.relation}, then {member.relation}" if elder.parents and elder.kinship == "weights" else member.relation
    )


def _architecture(member: Member) -> str:
    return str(member.options.get("architecture", member.family))


# --------------------------------------------------------------------------------------------------------- the measuring


def related(task: tuple[str, str, int]) -> dict[str, Any]:
    """One pair of folders, measured (in a worker process)."""
    first, second = (open_source(folder) for folder in task[:2])
    subjects = []
    for source in (first, second):
        seen = weights.observe(source)
        assert isinstance(seen, Observation), seen
        subjects.append(Subject(source=source, observation=seen))
    relation = weights.relate(*subjects, task[2])
    return msgspec.to_builtins(relation)


def measure(zoo: Zoo, pairs: Sequence[Pair], jobs: int) -> list[Relation]:
    """All pairs, in order, on `jobs` processes of one thread each."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    tasks = [(str(zoo[pair.first]), str(zoo[pair.second]), SEED) for pair in pairs]
    with ProcessPoolExecutor(jobs) as pool:
        found = list(track(pool.map(related, tasks, chunksize=1), "relating", total=len(tasks), disable=None))
    return [msgspec.convert(relation, Relation) for relation in found]


# ---------------------------------------------------------------------------------------------------------- the register


def provisional_register(families: Iterable[str]) -> Calibration:
    """The register with the null and the chance, before any lineage was counted: what the figures are computed with."""
    return Calibration(
        examiner=weights.NAME,
        entries=tuple(
            RegisterEntry(
                test=f"{test.id}:{kind}",
                null=test.null,
                formula_version="1",
                chance=CHANCE if test.null is Null.MODEL else None,
                detection_log10_p=DETECTION_LOG10_P,
                validated_for=tuple(
                    sorted(family for family in families if (family in UNGATED) == (kind == "ungated"))
                ),
                strangers=(),
                relatives=(),
                calibrated_on="",
                date="",
                tried=TRIED,
                made_by="python -m studies.weights",
            )
            for test in weights.TESTS
            for kind in ("gated", "ungated")
        ),
    )


TRIED = (
    "whitened rows at unit length (used)",
    "raw rows (inflates strangers about fifty-fold)",
    "uniform-permutation tail for double matching (anti-conservative)",
    "identity, token and token-free alignment, paid for together (used)",
)


def outcomes_of(relation: Relation, register: Calibration) -> dict[str, Finding]:
    """The findings of one pair by test."""
    judged = weights.judge(Relations(pair=relation), (), register)
    return {outcome.test: outcome for outcome in judged if isinstance(outcome, Finding)}


def stranger_shares(relation: Relation, test: str) -> list[float]:
    """The share of coincidences of each opportunity group (layer) under every alignment tried."""
    content = relation.content
    if test == "weights.screen":
        screen = content["screen"]
        return [screen["count"] / screen["opportunities"]] if "count" in screen else []
    return [
        count / possible
        for alignment in content.get("alignments", [])
        for _, _, count, possible in alignment["pairs"]
        if possible
    ]


def counted_register(
    pairs: Sequence[Pair], relations: Sequence[Relation], register: Calibration, zoo: Zoo
) -> Calibration:
    """Strangers and relatives counted by lineage, per test and kind of MLP."""
    entries = []
    for entry in register.entries:
        test, kind = entry.test.split(":")
        chosen = [(p, r) for p, r in zip(pairs, relations, strict=True) if r.content["kind"] == kind]
        entries.append(
            msgspec.structs.replace(
                entry,
                strangers=tuple(_stranger_counts(chosen, test, register)),
                relatives=tuple(_relative_counts(chosen, test, register)),
                calibrated_on=f"zoo of {len(zoo.names)} models, {len(chosen)} pairs of {kind} MLPs",
                date=datetime.date.today().isoformat(),
            )
        )
    return Calibration(examiner=register.examiner, entries=tuple(entries))


def _stranger_counts(
    chosen: Sequence[tuple[Pair, Relation]], test: str, register: Calibration
) -> Iterable[StrangerCount]:
    """Strangers and hard strangers together, so that no lineage is counted twice.

    A lineage is a founder; a pair of strangers tests two of them, so a lineage exceeds when any of its pairs does, and
    N founders in a ring of N pairs are counted as N lineages, never as more.
    """
    lineages: dict[str, bool] = {}
    tests, largest = 0, 0.0
    for pair, relation in chosen:
        if pair.group not in ("stranger", "hard stranger"):
            continue
        shares, exceeds = _stranger_figures(relation, test, register)
        # Frozen embeddings of the reference are a basis in common: what the dimension test undertakes to find.
        if not shares or (test == "weights.dimension-index" and "embeddings" in pair.kind):
            continue
        tests += len(shares)
        largest = max(largest, *shares)
        for lineage in pair.lineages.split("|"):
            lineages[lineage] = lineages.get(lineage, False) or exceeds
    if lineages:
        yield StrangerCount(
            kind="strangers, hard ones among them",
            lineages=len(lineages),
            exceeding=sum(lineages.values()),
            tests=tests,
            largest_share=round(largest, 6),
        )


def _stranger_figures(relation: Relation, test: str, register: Calibration) -> tuple[list[float], bool]:
    """Shares of one pair under a test, and whether it counts as exceeding what the null allows."""
    if test in ("weights.screen", "weights.double-matching"):
        shares = stranger_shares(relation, test)
        return shares, any(share > CHANCE for share in shares)
    finding = outcomes_of(relation, register).get(test)
    if finding is None:
        return [], False
    return [finding.count / finding.opportunities], finding.log10_p <= DETECTION_LOG10_P


def _relative_counts(
    chosen: Sequence[tuple[Pair, Relation]], test: str, register: Calibration
) -> Iterable[RelationPower]:
    """A relation is detected in a lineage when it is in every pair of that lineage."""
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for pair, relation in chosen:
        if pair.group in ("relative", "sibling") and pair.kind not in UNCLAIMED.get(test, ()):
            finding = outcomes_of(relation, register).get(test)
            if finding is not None:
                lineage = relation.first
                detected = finding.log10_p <= DETECTION_LOG10_P
                found[pair.kind][lineage] = found[pair.kind].get(lineage, True) and detected
    for kind, lineages in found.items():
        yield RelationPower(relation=kind, detected=sum(lineages.values()), lineages=len(lineages))


# ------------------------------------------------------------------------------------------------------------ the output


def relation_table(pairs: Sequence[Pair], relations: Sequence[Relation], register: Calibration) -> Table:
    """log10 p of every test for relatives, siblings and students."""
    table = Table(
        "relation",
        "of",
        "neurons twice",
        "log10 p",
        "alignment",
        "screen",
        "screen p",
        "neuron index",
        "dimension index",
    )
    for pair, relation in zip(pairs, relations, strict=True):
        if pair.group in ("stranger", "hard stranger"):
            continue
        found = outcomes_of(relation, register)
        matched, screen = found.get("weights.double-matching"), found.get("weights.screen")
        best = _best_alignment(relation)
        table.add_row(
            f"{pair.kind}" + ("" if pair.group == "relative" else f" ({pair.group})"),
            f"{pair.first} | {pair.second}",
            f"{matched.count} of {matched.opportunities}" if matched else "",
            _shown(matched),
            best,
            f"{screen.count} of {screen.opportunities}" if screen else "",
            _shown(screen),
            _shown(found.get("weights.neuron-index")),
            _shown(found.get("weights.dimension-index")),
        )
    return table


def _shown(finding: Finding | None) -> str:
    return "" if finding is None else f"{finding.log10_p:.1f}"


def _best_alignment(relation: Relation) -> str:
    tried = relation.content.get("alignments", [])
    return max(tried, key=lambda alignment: sum(pair[2] for pair in alignment["pairs"]))["name"] if tried else ""


def stranger_table(pairs: Sequence[Pair], relations: Sequence[Relation], register: Calibration) -> Table:
    """Per kind of stranger and student: layers tested, mean and largest share of coinciding neurons, smallest p."""
    table = Table(
        "kind", "pairs", "lineages", "layer tests", "mean share", "largest share", "largest screen", "smallest log10 p"
    )
    for row in stranger_rows(pairs, relations, register):
        table.add_row(*row)
    return table


def stranger_rows(pairs: Sequence[Pair], relations: Sequence[Relation], register: Calibration) -> list[list[str]]:
    """The rows of `stranger_table`."""
    groups: dict[tuple[str, str], list[tuple[Pair, Relation]]] = defaultdict(list)
    for pair, relation in zip(pairs, relations, strict=True):
        if pair.group in ("stranger", "hard stranger", "student"):
            groups[pair.group, pair.kind].append((pair, relation))
    rows = []
    for (group, kind), members in sorted(groups.items()):
        layers = [share for _, r in members for share in stranger_shares(r, "weights.double-matching")]
        screens = [share for _, r in members for share in stranger_shares(r, "weights.screen")]
        smallest = [
            finding.log10_p
            for _, r in members
            if (finding := outcomes_of(r, register).get("weights.double-matching")) is not None
        ]
        lineages = {lineage for pair, _ in members for lineage in pair.lineages.split("|")}
        rows.append(
            [
                f"{kind} ({group})",
                str(len(members)),
                str(len(lineages)),
                str(len(layers)),
                f"{sum(layers) / max(1, len(layers)):.4f}",
                f"{max(layers, default=0.0):.4f}",
                f"{max(screens, default=0.0):.4f}",
                f"{min(smallest, default=0.0):.2f}",
            ]
        )
    return rows


def broken_promises(pairs: Sequence[Pair], relations: Sequence[Relation], register: Calibration) -> list[str]:
    """Claims at log10 p < -100 that are not kept; layers of strangers and students beyond c / 2.

    One layer of the student of hidden states is known not to keep it (studies/LOG.md), so `--check` fails there.
    """
    broken = []
    for pair, relation in zip(pairs, relations, strict=True):
        names = f"{pair.first} | {pair.second} ({pair.kind})"
        if pair.group in ("relative", "sibling"):
            found = outcomes_of(relation, register)
            least = min((finding.log10_p for finding in found.values()), default=0.0)
            if least > -100:
                broken.append(f"{names}: log10 p {least:.1f} is above -100")
        else:
            for test in ("weights.double-matching", "weights.screen"):
                worst = max(stranger_shares(relation, test), default=0.0)
                if worst > CHANCE / 2:
                    broken.append(f"{names}: {test} {worst:.4f} of a layer exceeds c / 2")
    return broken


def results(pairs: Sequence[Pair], relations: Sequence[Relation], register: Calibration) -> list[dict[str, Any]]:
    """One row per pair, figures only."""
    rows = []
    for pair, relation in zip(pairs, relations, strict=True):
        found = outcomes_of(relation, register)
        rows.append(
            {
                **pair._asdict(),
                "tests": {
                    test: {"count": f.count, "opportunities": f.opportunities, "log10_p": f.log10_p}
                    for test, f in found.items()
                },
                "alignment": _best_alignment(relation),
                "largest_layer_share": round(max(stranger_shares(relation, "weights.double-matching"), default=0.0), 6),
            }
        )
    return rows


def document(pairs: Sequence[Pair], relations: Sequence[Relation], register: Calibration, zoo: Zoo) -> str:
    """The measured part of docs/examiners/weights.md."""
    lines = [
        f"On the full zoo ({len(zoo.names)} models, {len(pairs)} pairs, seed {SEED}); `python -m studies.weights --write` makes",
        "these tables. Per relation the *largest* (weakest) log10 p of its pairs; 'any' is the smallest of the four tests.",
        "",
        "| relation | pairs | double matching | screen | neuron index | dimension index | weakest pair by any |",
        "|---|---|---|---|---|---|---|",
    ]
    tests = [TESTS_BY_NAME[name] for name in ("double-matching", "screen", "neuron-index", "dimension-index")]
    by_kind: dict[str, list[dict[str, Finding]]] = defaultdict(list)
    for pair, relation in zip(pairs, relations, strict=True):
        if pair.group in ("relative", "sibling", "student"):
            label = pair.kind if pair.group != "student" else f"{pair.kind} (not claimed)"
            by_kind[label].append(outcomes_of(relation, register))
    for kind, found in by_kind.items():
        weakest = [_weakest([judged[test].log10_p for judged in found if test in judged]) for test in tests]
        by_any = max(min(finding.log10_p for finding in judged.values()) for judged in found)
        lines.append(f"| {kind} | {len(found)} | {' | '.join(weakest)} | {by_any:.0f} |")
    lines += [
        "",
        "Strangers and students, by layer and by lineage (a lineage is a founder); all alignments tried are counted.",
        "",
        "| kind | pairs | lineages | layer tests | mean share | largest share of a layer | largest screen |",
        "|---|---|---|---|---|---|---|",
        *(f"| {' | '.join(row[:7])} |" for row in stranger_rows(pairs, relations, register)),
        "",
        "Share of independent stranger pairs with p at most .05 (and .01), at most that if the null holds:",
        "",
    ]
    for test, shares in uniformity(pairs, relations, register).items():
        lines.append(
            f"- `{test}`: {shares['at most .05']:.3f} ({shares['at most .01']:.3f}) of {shares['pairs']} pairs"
        )
    return "\n".join(lines)


def _weakest(log10_p_values: Sequence[float]) -> str:
    return f"{max(log10_p_values):.0f}" if log10_p_values else ""


def write_document(text: str) -> None:
    """Put the measured part between its marks."""
    page = DOCUMENT.read_text()
    head, _, rest = page.partition("--write -->\n")
    _, _, tail = rest.partition("<!-- end of measured -->")
    DOCUMENT.write_text(f"{head}--write -->\n{text}\n<!-- end of measured -->{tail}")


def uniformity(pairs: Sequence[Pair], relations: Sequence[Relation], register: Calibration) -> dict[str, Any]:
    """Share of stranger pairs with p at most .05 and .01 under each test: at most that under a valid null."""
    shares: dict[str, Any] = {}
    for test in (test.id for test in weights.TESTS):
        p_values = [
            finding.log10_p
            for pair, relation in zip(pairs, relations, strict=True)
            if pair.group == "stranger" and (finding := outcomes_of(relation, register).get(test)) is not None
        ]
        if p_values:
            shares[test] = {
                "pairs": len(p_values),
                "at most .05": sum(p <= -1.30103 for p in p_values) / len(p_values),
                "at most .01": sum(p <= -2.0 for p in p_values) / len(p_values),
            }
    return shares


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m studies.weights", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--size", default="full", choices=("test", "full"))
    parser.add_argument("--bases", type=int, help="number of independent Llama-like founders")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="folder of the zoo")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="write the register of nulls and the results")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--register", type=Path, default=REGISTER)
    parser.add_argument("--check", action="store_true", help="exit 1 where a claim is not kept")
    asked = parser.parse_args(arguments)
    console = Console(width=200)
    zoo = build(asked.size, bases=asked.bases, device=asked.device, out=asked.out, progress=True)
    pairs = pairs_of(zoo)
    relations = measure(zoo, pairs, asked.jobs)
    register = provisional_register({family for relation in relations for family in relation.content["families"]})
    console.print(relation_table(pairs, relations, register))
    console.print(stranger_table(pairs, relations, register))
    console.print("share of stranger pairs below a p", uniformity(pairs, relations, register))
    broken = broken_promises(pairs, relations, register)
    for promise in broken:
        console.print(f"[bold]not kept:[/bold] {promise}", highlight=False)
    if asked.write:
        counted = counted_register(pairs, relations, register, zoo)
        asked.register.write_bytes(msgspec.json.format(msgspec.json.encode(counted), indent=1) + b"\n")
        asked.results.parent.mkdir(parents=True, exist_ok=True)
        rows = {
            "size": asked.size,
            "pairs": results(pairs, relations, register),
            "uniformity": uniformity(pairs, relations, register),
        }
        asked.results.write_text(json.dumps(rows, indent=1) + "\n")
        if asked.size == "full":
            write_document(document(pairs, relations, register, zoo))
    return 1 if broken and asked.check else 0


def tail(count: int, opportunities: int) -> float:
    """log10 P(K >= count) at the chance fixed here, for notes and documents."""
    return log10_upper_tail(Coincidences(count=count, opportunities=opportunities, chance=CHANCE))


if __name__ == "__main__":
    sys.exit(main())
