"""Logits: how seldom an output layer's directions meet themselves in a stranger's log-probabilities, and what relatives show.

    python -m studies.logits            the zoo: two minutes once its 16 further founders are there (a quarter of an hour to train)
    python -m studies.logits SmolLM2    SmolLM2-135M-Instruct and its copies (two minutes once they are there)

1.  Output layer (examiner `output_subspace`). Every founder of the zoo, and the hard strangers, against every other: the largest share
    of directions that meet themselves, by lineage of the reference. Relatives and laundered copies by relation and lineage.
2.  What it takes: answers, alternatives listed, kind of text, number format. Membership beside what rounding should leave.
3.  Hidden size from outside: by number of vectors and number format; and of every member of the zoo.
4.  Kinship of log-likelihoods (measures/log_probabilities.py): the rank of each relative among founders of other lineages, and how
    often strangers reach a rank with their own lineage held out.

Writes the register (`src/filiation/calibration/output_subspace.json`) and `studies/results/logits.json`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from filiation.evidence import Absent, Coincidences, Null, Observation, RelationPower, digest
from filiation.examiners import output_subspace
from filiation.examiners.examiner import Subject
from filiation.measures.log_probabilities import kinship, per_text
from filiation.measures.output_subspace import (
    hidden_size,
    principal_cosines,
    read_twice,
    residual_shares,
    rounding_share,
)
from filiation.sources.open import open_source
from filiation.sources.running import load_model
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.line_up import Population, held_out_calibration
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from studies.zoo import Zoo, build, launder
from studies.zoo.corpus import read_corpus
from studies.zoo.family_tree import family_tree
from studies.zoo.sizes import TEST

ROOT = Path(__file__).parent.parent
REGISTER = ROOT / "src" / "filiation" / "calibration" / "output_subspace.json"
RESULTS = ROOT / "studies" / "results" / "logits.json"
CACHE = ROOT / ".cache" / "studies" / "logits"
DATE = "2026-11-21"
CHANCE = 0.25
DETECTION_LOG10_P = -6.0
SEEDS = (0, 1, 2)
BASES = 12
LONG_SIDE = 32
Vectors = NDArray[np.float64]
TRIED = (
    "all directions, whitened over the answers (strangers: 10 to 26 of 64, the largest directions are alike in everybody)",
    "directions not whitened (relatives after a fine-tune: 38 to 56 of 64)",
    "directions turned at random (the share of strangers then rises to all or falls to none with the hidden size)",
    "the half of the directions in which the suspect's answers vary most left out (strangers up to 7 of 32)",
    "the half of the directions in which the reference's layer is largest left out (used)",
)


# ---------------------------------------------------------------------------------------------------------- the exhibits


def the_zoo() -> Zoo:
    """The test zoo with 16 further founders."""
    members = family_tree(TEST, BASES).members
    further = [
        name for name, member in members.items() if member.method == "found" and name not in family_tree(TEST).members
    ]
    return build("test", bases=BASES, only=(*family_tree(TEST).members, *further), device="cpu")


def laundered(zoo: Zoo, place: Path) -> dict[str, tuple[str, str, Path]]:
    """Name to relation, reference and folder of copies that compute what they did in other numbers."""
    found = {}
    for name in ("base-a", "base-b", "qwen2-a", "gpt2-a"):
        found[f"{name} laundered"] = ("laundered, nothing trained", name, launder(zoo[name], place / name, seed=11))
    for name in ("base-a", "base-b"):
        turned = launder(zoo[name], place / f"{name}-turned", washes=("rotate-residual",), seed=12)
        found[f"{name} rotated"] = ("residual stream rotated", name, turned)
    return found


def random_contexts(size: int, answers: int) -> NDArray[np.int64]:
    rng = np.random.default_rng(1)
    return rng.integers(size, size=(-(-answers // LONG_SIDE), LONG_SIDE))


def vectors_of(folder: Path, contexts: Sequence[Any], dtype: str = "float32") -> Vectors:
    return load_model(folder, dtype=dtype).next_token_log_probabilities(list(contexts), every_position=True).values


def layer_of(folder: Path, size: int = 256) -> Any:
    return output_subspace.output_layer(open_source(folder), np.arange(size))


def share(layer: Any, vectors: Vectors, seed: int) -> tuple[int, int]:
    found = read_twice(layer, vectors, np.random.default_rng(seed))
    assert not isinstance(found, Absent), found
    return found.count, found.opportunities


def log10_p(count: int, opportunities: int) -> float:
    return round(log10_upper_tail(Coincidences(count=count, opportunities=opportunities, chance=CHANCE)), 2)


# ---------------------------------------------------------------------------------------------------------- output layer


def strangers(zoo: Zoo, layers: Mapping[str, Any], vectors: Mapping[str, Vectors]) -> dict[str, Any]:
    """Every reference against everybody unrelated to it; by lineage of the reference."""
    by_reference: dict[str, list[tuple[int, int, str]]] = {}
    for reference, layer in layers.items():
        for suspect, said in vectors.items():
            group = zoo.group(reference, suspect)
            own_output_layer = zoo.tree.members[suspect].kinship != "embeddings"
            if suspect != reference and group in ("stranger", "hard stranger", "student") and own_output_layer:
                by_reference.setdefault(reference, []).append((*share(layer, said, 0), suspect))
    shares = {name: [k / n for k, n, _ in found] for name, found in by_reference.items()}
    everything = [value for found in shares.values() for value in found]
    counts = np.bincount([k for found in by_reference.values() for k, _, _ in found])
    return {
        "references": len(shares),
        "pairs": len(everything),
        "coincidences: how many readings": {str(k): int(number) for k, number in enumerate(counts)},
        "mean share": round(float(np.mean(everything)), 4),
        "smallest log10 p by reference": {
            name: min(log10_p(k, n) for k, n, _ in found) for name, found in by_reference.items()
        },
        "mean share by reference": {name: round(float(np.mean(found)), 4) for name, found in shares.items()},
        "largest share by reference": {name: round(max(found), 4) for name, found in shares.items()},
        "furthest": sorted(
            ((k / n, reference, suspect) for reference, found in by_reference.items() for k, n, suspect in found),
            reverse=True,
        )[:8],
    }


def relatives(zoo: Zoo, layers: Mapping[str, Any], said: Mapping[str, Vectors]) -> dict[str, dict[str, Any]]:
    """Relation, then 'reference | suspect': counts, log10 p, membership and the angles between the layers."""
    found: dict[str, dict[str, Any]] = {}
    for suspect, vectors in said.items():
        member = zoo.tree.members[suspect]
        if not member.parents:
            continue
        for reference in sorted(zoo.tree.founders(suspect) | set(member.parents)):
            if (
                reference == suspect
                or reference not in layers
                or zoo.group(reference, suspect) not in ("relative", "sibling", "student")
            ):
                continue
            relation = zoo.tree.relation(reference, suspect)
            found.setdefault(relation, {})[f"{reference} | {suspect}"] = told(layers[reference], vectors) | {
                "cosines of the angles, smallest and median": angles(layers[reference], layer_of(zoo[suspect]))
            }
    embeddings = zoo.tree.members["shared-embeddings"]
    found["output layer copied and frozen, all else its own"] = {
        "base-a | shared-embeddings": told(layers[embeddings.parents[0]], said["shared-embeddings"])
    }
    return found


def angles(one: Any, other: Any) -> list[float]:
    cosines = principal_cosines(one, other)
    return [round(float(cosines[-1]), 4), round(float(np.median(cosines)), 4)]


def told(layer: Any, vectors: Vectors) -> dict[str, Any]:
    counts = [share(layer, vectors[:, : len(layer.rows)], seed) for seed in SEEDS]
    k, n = min(counts)
    outside = float(np.median(residual_shares(layer, vectors[:, : len(layer.rows)]).shares))
    return {"count": k, "opportunities": n, "log10 p": log10_p(k, n), "outside": float(f"{outside:.2e}")}


def conditions(zoo: Zoo, contexts: NDArray[np.int64], texts: Sequence[Any]) -> dict[str, Any]:
    """What the reading takes, for a copy, a fine-tune and a stranger of base-a."""
    layer = layer_of(zoo["base-a"])
    found: dict[str, Any] = {}
    for name in ("base-a", "fine-tuned", "base-b"):
        vectors = vectors_of(zoo[name], contexts)
        each: dict[str, Any] = {}
        for answers in (128, 192, 256, 384, 768):
            each[f"{answers} answers"] = _counted(layer, vectors[:answers])
        for listed in (140, 160, 180, 200, 220, 240):
            each[f"the {listed} likeliest tokens of 256"] = _counted(layer, likeliest(vectors, listed))
        each["after text, not random tokens"] = _counted(layer, vectors_of(zoo[name], texts))
        for dtype in ("bfloat16", "float16"):
            each[f"run in {dtype}"] = _counted(layer, vectors_of(zoo[name], contexts, dtype))
        each["four decimals"] = _counted(layer, np.round(vectors, 4))
        each["two decimals"] = _counted(layer, np.round(vectors, 2))
        found[name] = each
    return found


def _counted(layer: Any, vectors: Vectors) -> Any:
    found = read_twice(layer, vectors, np.random.default_rng(0))
    return found.reason if isinstance(found, Absent) else f"{found.count} of {found.opportunities}"


def likeliest(vectors: Vectors, listed: int) -> Vectors:
    kept = np.full_like(vectors, np.nan)
    best = np.argsort(-vectors, axis=1)[:, :listed]
    np.put_along_axis(kept, best, np.take_along_axis(vectors, best, 1), 1)
    return kept


def membership(zoo: Zoo, contexts: NDArray[np.int64]) -> dict[str, Any]:
    """Share of variation outside the output layer that made the answers, and what rounding is said to leave."""
    found: dict[str, Any] = {}
    for name in ("base-a", "qwen2-a", "gpt2-a", "base-other-shape"):
        layer = layer_of(zoo[name])
        for dtype in ("float32", "float16", "bfloat16"):
            vectors = vectors_of(zoo[name], contexts, dtype)
            shares = residual_shares(layer, vectors)
            found[f"{name} in {dtype}"] = {
                "outside, median and largest": [float(f"{np.quantile(shares.shares, q):.2e}") for q in (0.5, 1.0)],
                "rounding should leave": float(f"{rounding_share(vectors, dtype):.2e}"),
            }
    return found


def width_of(folder: Path) -> int:
    configuration = open_source(folder).configuration()
    return int(configuration.get("hidden_size") or configuration["n_embd"])


def sizes_of_all(zoo: Zoo, said: Mapping[str, Vectors]) -> dict[str, dict[str, Any]]:
    """By design and true hidden size: how many members were seen, of how many the interval holds it, and which intervals there were."""
    found: dict[str, dict[str, Any]] = {}
    for name, vectors in said.items():
        width, rank = width_of(zoo[name]), hidden_size(vectors)
        row = found.setdefault(
            f"{zoo.tree.members[name].family}, {width}", {"members": 0, "right": 0, "not enough": 0, "intervals": {}}
        )
        row["members"] += 1
        if isinstance(rank, Absent):
            row["not enough"] += 1
            continue
        row["right"] += rank.low <= width <= rank.high
        interval = f"{rank.low} to {rank.high}"
        row["intervals"][interval] = row["intervals"].get(interval, 0) + 1
    return found


def sizes_from_outside(zoo: Zoo, names: Iterable[str], contexts: NDArray[np.int64]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in names:
        width = width_of(zoo[name])
        found[name] = {"hidden size": width}
        for dtype in ("float32", "float16", "bfloat16"):
            vectors = vectors_of(zoo[name], contexts, dtype)
            for answers in (width - 16, width + 8, width + 16, 2 * width, len(vectors)):
                rank = hidden_size(vectors[:answers])
                told = "not enough" if isinstance(rank, Absent) else [rank.low, rank.high]
                found[name][f"{dtype}, {answers} vectors"] = told
    return found


# ---------------------------------------------------------------------------------------------------------- the register


WITHOUT_THE_OUTPUT_LAYER = ("student of logits", "student of hidden states", "embeddings re-initialised")
"""Kin whose output layer is their own: shown among the results, and no measure of how often the relation is found."""


def register(stranger: Mapping[str, Any], relative: Mapping[str, Mapping[str, Any]]) -> Calibration:
    largest = list(stranger["largest share by reference"].values())
    powers = tuple(
        RelationPower(
            relation=relation,
            detected=len({zoo_lineage(pair) for pair, seen in pairs.items() if seen["log10 p"] <= DETECTION_LOG10_P}),
            lineages=len({zoo_lineage(pair) for pair in pairs}),
        )
        for relation, pairs in relative.items()
        if relation not in WITHOUT_THE_OUTPUT_LAYER
    )
    entry = RegisterEntry(
        test=output_subspace.TESTS[0].id,
        null=Null.MODEL,
        formula_version="1",
        chance=CHANCE,
        detection_log10_p=DETECTION_LOG10_P,
        validated_for=("gpt2", "llama", "qwen2"),
        strangers=(
            StrangerCount(
                kind="strangers, hard ones and students among them",
                lineages=len(largest),
                exceeding=sum(share > CHANCE for share in largest),
                tests=int(stranger["pairs"]),
                largest_share=round(max(largest), 6),
            ),
        ),
        relatives=powers,
        calibrated_on="founders of the test zoo (bytes as tokens, hidden sizes 48 and 64) and its hard strangers",
        date=DATE,
        tried=TRIED,
        made_by="python -m studies.logits",
    )
    return Calibration(examiner=output_subspace.NAME, entries=(entry,))


def zoo_lineage(pair: str) -> str:
    return pair.split(" | ")[0]


# --------------------------------------------------------------------------------------------------------------- kinship


def kinships(zoo: Zoo, founders: Sequence[str], texts: Sequence[str]) -> dict[str, Any]:
    """Ranks of relatives among founders of other lineages, token by token and by whole texts."""
    names = [*founders, *(name for name in zoo.names if zoo.tree.members[name].parents)]
    by_token, by_text = {}, {}
    for name in names:
        model = load_model(zoo[name])
        likelihoods = model.log_likelihoods([np.frombuffer(text.encode(), dtype=np.uint8) for text in texts])
        by_token[name], by_text[name] = np.concatenate(likelihoods), per_text(likelihoods, texts)
    found: dict[str, Any] = {
        "founders": len(founders),
        "items": {"tokens": len(by_token[names[0]]), "texts": len(texts)},
    }
    for kind, said in (("token by token", by_token), ("by whole texts", by_text)):
        alone = kinship(np.stack([said[name] for name in founders]))
        population = Population(
            scores=alone, lineages=founders, labs=founders, related=np.eye(len(founders), dtype=np.bool_)
        )
        levels = held_out_calibration(population, np.random.default_rng(0))
        found[kind] = {
            "strangers, share of pairs at the level": {str(level.level): level.share_ppm / 1e6 for level in levels},
            "relatives": _ranks(zoo, founders, said, [name for name in names if name not in founders]),
        }
    return found


def _ranks(zoo: Zoo, founders: Sequence[str], said: Mapping[str, Vectors], others: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for suspect in others:
        member = zoo.tree.members[suspect]
        for reference in sorted((zoo.tree.founders(suspect) | set(member.parents)) & set(founders)):
            if zoo.group(reference, suspect) == "stranger":
                continue
            related = zoo.tree.founders(suspect) | set(member.parents)
            controls = [name for name in founders if name != reference and name not in related]
            scores = kinship(np.stack([said[name] for name in (reference, suspect, *controls)]))[0]
            above = int((scores[2:] >= scores[1]).sum())
            found.setdefault(zoo.tree.relation(reference, suspect), {})[f"{reference} | {suspect}"] = {
                "score": round(float(scores[1]), 3),
                "highest control": round(float(scores[2:].max()), 3),
                "p": f"{above + 1} of {len(controls) + 1}",
            }
    return found


# --------------------------------------------------------------------------------------------------------------- SmolLM2


def smollm2() -> dict[str, Any]:
    """The examiner on a real model and copies of it, by the same code as in a comparison; no stranger of its vocabulary is at hand."""
    from studies.service_recordings import fine_tuned_folder, requantised_folder, smollm2_folder

    folders = {
        "itself": smollm2_folder(),
        "its int8 copy (linear layers)": requantised_folder("Q8_0"),
        "its int4 copy (linear layers)": requantised_folder("Q4_0"),
        "a short fine-tune of all weights": fine_tuned_folder(),
    }
    found = {}
    settings = {"run": True, "answers": 2}
    for name, folder in folders.items():
        subjects = []
        for location in (folders["itself"], folder):
            source = open_source(location)
            seen = output_subspace.observe(source)
            assert isinstance(seen, Observation), seen
            subjects.append(Subject(source=source, observation=seen, parameters=settings))
        relation = output_subspace.relate(*subjects, 0)
        assert not isinstance(relation, Absent), relation
        content = relation.content
        found[name] = {
            key: content[key]
            for key in ("count", "opportunities", "answers", "tokens", "agreement_thousandths", "dimensions_seen")
        }
        found[name] |= {
            "log10 p": log10_p(content["count"], content["opportunities"]),
            "outside, log10": content["outside_millilog10"] / 1000,
            "rounding should leave, log10": content["rounding_millilog10"] / 1000,
        }
        print(name, found[name], flush=True)
    return found


# ------------------------------------------------------------------------------------------------------------------- all


PARTS = (
    "strangers",
    "relatives",
    "conditions",
    "membership",
    "hidden size from outside",
    "hidden size of every member",
    "kinship of log-likelihoods",
)


def collected(zoo: Zoo, names: Sequence[str]) -> dict[str, Vectors]:
    """Every member's log-probabilities after the same random bytes; kept in the project's cache, by the member's recipe."""
    contexts = random_contexts(256, 384)
    found = {}
    for name in names:
        recipe = digest([(zoo[name] / "lineage.json").read_text(), contexts.tolist()])
        file = CACHE / f"{recipe[:20]}.npy"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            np.save(file, vectors_of(zoo[name], contexts)[:, :256])
        found[name] = np.load(file)
    return found


def measured(part: str, zoo: Zoo) -> dict[str, Any]:
    founders = [name for name in zoo.names if zoo.tree.members[name].method == "found" and name != "sibling"]
    contexts = random_contexts(256, 384)
    if part == "strangers":
        hard = [name for name in zoo.names if zoo.tree.members[name].group in ("hard stranger", "student", "sibling")]
        layers = {name: layer_of(zoo[name]) for name in founders}
        return strangers(zoo, layers, collected(zoo, sorted({*founders, *hard})))
    if part == "relatives":
        layers = {name: layer_of(zoo[name]) for name in founders}
        return relatives(zoo, layers, collected(zoo, zoo.names)) | washed(zoo, layers, contexts)
    if part == "conditions":
        texts = [np.frombuffer(text[:LONG_SIDE].encode(), dtype=np.uint8) for text in held_out_texts()]
        return conditions(zoo, random_contexts(256, 768), texts)
    if part == "membership":
        return membership(zoo, contexts)
    if part == "hidden size from outside":
        return sizes_from_outside(zoo, ("base-a", "base-other-shape", "qwen2-a", "gpt2-a"), contexts)
    if part == "hidden size of every member":
        return sizes_of_all(zoo, collected(zoo, zoo.names))
    return kinships(zoo, founders, held_out_texts())


def washed(zoo: Zoo, layers: Mapping[str, Any], contexts: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as place:
        for name, (relation, reference, folder) in laundered(zoo, Path(place)).items():
            found.setdefault(relation, {})[f"{reference} | {name}"] = told(
                layers[reference], vectors_of(folder, contexts)
            )
    return found


def held_out_texts() -> list[str]:
    """Pieces of source code that no member was pre-trained on."""
    text = read_corpus().parts["tests"].encode().decode("ascii", "ignore")
    return [text[at : at + 97] for at in range(0, 97 * 60, 97)]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}, SmolLM2; all but SmolLM2 where none is named")
    parts = parser.parse_args().parts or PARTS
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    zoo = the_zoo()
    for part in parts:
        found[part] = smollm2() if part == "SmolLM2" else measured(part, zoo)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps({part: found[part]}, indent=1), flush=True)
    if "strangers" in found and "relatives" in found:
        calibration = register(found["strangers"], found["relatives"])
        REGISTER.write_bytes(msgspec.json.format(msgspec.json.encode(calibration), indent=1) + b"\n")


if __name__ == "__main__":
    main()
