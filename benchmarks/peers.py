"""The peers on a zoo whose family tree is known: `python -m benchmarks.peers [--size test|full]`.

Each method sees the same pairs. A peer is run as its authors ship it where that is possible, else its published rule is
written down here in a few lines (marked 'own lines'); thresholds are the authors', where they publish any.

    Cisco          cisco-ai-provenance-kit 1.0.0, their code: verdict (their rule), and its weights score with their gate on the
                   configuration left out. https://github.com/cisco-ai-defense/model-provenance-kit
    AWM            Zeng et al. 2025 (arXiv:2510.06738), own lines: hidden dimensions assigned by the embeddings, then unbiased CKA of
                   query and key matrices; a similarity, no threshold published
    index          Zhu et al. 2025 (arXiv:2502.12292), own lines: up rows assigned, Spearman with the identity, Fisher over layers;
                   exact, and without power once neurons were renumbered
    MATCH          Zhu et al. 2025, own lines: units assigned once by gate and once by up activations, Spearman, Fisher
    REEF           Zhang et al. 2024 (arXiv:2410.14273), own lines: linear CKA of hidden states on the same text
    norm cosine    cosine of all norm gains in one vector (a figure often quoted in public disputes)
    raw cosine     cosine of all weights of equal name and shape
    filiation      weights.double-matching: log10 p under a null by model, chance 0.10

Writes benchmarks/results/peers.json.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln, logsumexp
from scipy.stats import rankdata, t

from benchmarks import figures as readme
from studies.zoo import Zoo, build, launder
from studies.zoo.folders import read_folder

Array = NDArray[np.float32]

PROJECT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "peers.json"
ENVIRONMENT = PROJECT / ".cache" / "peers-venv"
LAUNDERED = PROJECT / ".cache" / "benchmarks"
KIT = "cisco-ai-provenance-kit==1.0.0"
KIT_NEEDS = ("accelerate", "pandas", "protobuf", "pyarrow", "pydantic_settings", "structlog", "tiktoken")


class Row(NamedTuple):
    """One line of the table: pairs of one relation; where there are several, the most accusing figure is shown."""

    relation: str
    related: bool
    pairs: tuple[tuple[str, str], ...]


ROWS = (
    Row("copy", True, (("base-a", "base-a"),)),
    Row("fine-tune", True, (("base-a", "fine-tuned"),)),
    Row("int4", True, (("base-a", "int4"),)),
    Row("50 % magnitude-pruned", True, (("base-a", "pruned-half"),)),
    Row("30/70 merge with a stranger", True, (("base-a", "merge-30"),)),
    Row("trained as long as pre-training", True, (("base-a", "heavy"),)),
    Row("embeddings re-initialised", True, (("base-a", "embeddings-anew"),)),
    Row("everything laundered", True, (("base-a", "everything laundered"),)),
    Row("everything laundered, fine-tuned", True, (("base-a", "laundered-tuned"),)),
    Row("everything laundered, trained long", True, (("base-a", "laundered-heavy"),)),
    Row(
        "independent",
        False,
        tuple((f"base-{a}", f"base-{b}") for at, a in enumerate("abcd") for b in "abcd"[at + 1 :]),
    ),
    Row("same data order", False, (("base-a", "same-order"),)),
    Row("shared frozen embeddings", False, (("base-a", "shared-embeddings"),)),
    Row("both trained long", False, (("long-b", "long-c"),)),
    Row("both zero-padded", False, (("padded-b", "padded-c"),)),
    Row("both 50 % pruned", False, (("half-b", "half-c"),)),
    Row("student of its logits", False, (("base-a", "student-logits"),)),
)


# ---------------------------------------------------------------------------------------------------------- one model


class Model:
    """One member as the peers see it: raw weights, and what its units and hidden states do on a text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        weights, self.config = read_folder(folder)
        self.weights = {name: array.astype(np.float32) for name, array in weights.items()}
        self.layers = int(self.config["num_hidden_layers"])

    def layer(self, number: int, part: str) -> Array:
        return self.weights[f"model.layers.{number}.{part}.weight"]

    @cached_property
    def activations(self) -> dict[str, list[Array]]:
        """'gate' and 'up': (tokens, units) per layer; 'hidden': (tokens, width) after each layer."""
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        tokenizer = AutoTokenizer.from_pretrained(self.folder)
        model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()
        tokens = tokenizer(inspect.getsource(argparse), return_tensors="pt")["input_ids"][0, : 32 * 128]
        seen: dict[str, list[Array]] = {"gate": [], "up": []}

        def keep(part: str) -> Callable[..., None]:
            return lambda _module, _inputs, output: seen[part].append(output.flatten(0, 1).numpy())

        for block in model.model.layers:
            block.mlp.gate_proj.register_forward_hook(keep("gate"))
            block.mlp.up_proj.register_forward_hook(keep("up"))
        with torch.no_grad():
            out = model(tokens.reshape(-1, 128), output_hidden_states=True)
        return seen | {"hidden": [state.flatten(0, 1).numpy() for state in out.hidden_states[1:]]}


# --------------------------------------------------------------------------------------------------- published baselines


def norm_cosine(one: Model, other: Model) -> float:
    gains = [np.concatenate([w for _, w in sorted(m.weights.items()) if w.ndim == 1]) for m in (one, other)]
    return cosine(*gains)


def raw_cosine(one: Model, other: Model) -> float:
    names = [n for n, w in one.weights.items() if n in other.weights and w.shape == other.weights[n].shape]
    return cosine(*(np.concatenate([m.weights[name].ravel() for name in names]) for m in (one, other)))


def awm(one: Model, other: Model) -> float:
    """Mean over layers of the unbiased CKA of query and key matrices, in an assigned and signed order of dimensions."""
    tables = [m.weights["model.embed_tokens.weight"] for m in (one, other)]
    shared = min(len(table) for table in tables)
    agreement = unit(tables[0][:shared].T) @ unit(tables[1][:shared].T).T
    rows, columns = linear_sum_assignment(np.abs(agreement), maximize=True)
    sign = np.sign(agreement[rows, columns])
    values = [
        unbiased_cka(one.layer(n, part).T[rows], other.layer(n, part).T[columns] * sign[:, None])
        for n in range(one.layers)
        for part in ("self_attn.q_proj", "self_attn.k_proj")
    ]
    return float(np.mean(values))


def index_test(one: Model, other: Model) -> float:
    """log10 p: do up rows find their partners at their own index? (Zhu et al., section 3.2)"""
    found = [partners(one.layer(n, "mlp.up_proj"), other.layer(n, "mlp.up_proj")) for n in range(one.layers)]
    return fisher([log10_spearman(np.arange(len(order)), order) for order in found])


def match_test(one: Model, other: Model) -> float:
    """log10 p: do units find the same partners by gate as by up activations? (Zhu et al., section 3.3)"""
    ours, theirs = one.activations, other.activations
    tails = [
        log10_spearman(*(partners(centred(ours[part][n]).T, centred(theirs[part][n]).T) for part in ("gate", "up")))
        for n in range(one.layers)
    ]
    return fisher(tails)


def reef(one: Model, other: Model) -> float:
    """Mean over layers of the linear CKA of hidden states on the same text."""
    pairs = zip(one.activations["hidden"], other.activations["hidden"], strict=True)
    return float(np.mean([linear_cka(centred(a), centred(b)) for a, b in pairs]))


def cosine(one: Array, other: Array) -> float:
    return float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))


def unit(rows: Array) -> Array:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.zeros_like(rows), where=length > 0)


def centred(columns: Array) -> Array:
    return columns - columns.mean(axis=0)


def partners(one: Array, other: Array) -> NDArray[np.intp]:
    """For each row of the one its row of the other, by cosine."""
    return linear_sum_assignment(unit(one) @ unit(other).T, maximize=True)[1]


def linear_cka(one: Array, other: Array) -> float:
    """Kornblith et al. 2019, equation 5, of centred columns."""
    return float(np.linalg.norm(one.T @ other) ** 2 / (np.linalg.norm(one.T @ one) * np.linalg.norm(other.T @ other)))


def unbiased_cka(one: Array, other: Array) -> float:
    """CKA with the unbiased HSIC of Song et al. 2012, equation 5."""
    grams = [rows.astype(np.float64) @ rows.T.astype(np.float64) for rows in (one, other)]
    for gram in grams:
        np.fill_diagonal(gram, 0.0)
    n = len(one)

    def hsic(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
        middle = a.sum() * b.sum() / ((n - 1) * (n - 2))
        return float((np.sum(a * b) + middle - 2 * (a.sum(0) @ b.sum(1)) / (n - 2)) / (n * (n - 3)))

    return hsic(*grams) / math.sqrt(hsic(grams[0], grams[0]) * hsic(grams[1], grams[1]))


def log10_spearman(one: NDArray[np.intp], other: NDArray[np.intp]) -> float:
    """log10 of the one-sided p of Spearman's rank correlation (t approximation, never below 1/n!)."""
    n = len(one)
    rho = float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])
    least = -float(gammaln(n + 1)) / math.log(10)
    if rho > 1 - 1e-12:
        return least
    return max(least, float(t.logsf(rho * math.sqrt((n - 2) / (1 - rho**2)), n - 2)) / math.log(10))


def fisher(log10_tails: Sequence[float]) -> float:
    """log10 of Fisher's combined p: the tail of a chi-square with 2 L degrees of freedom, as a finite sum."""
    y = -sum(log10_tails) * math.log(10)
    if y <= 0:
        return 0.0
    terms = np.arange(len(log10_tails))
    return float(-y + logsumexp(terms * math.log(y) - gammaln(terms + 1))) / math.log(10)


# ------------------------------------------------------------------------------------------------------------- the kit


def install_kit(console: Console) -> str:
    """'' when Cisco's kit is ready in an environment of its own that sees this one's packages; else why it is not."""
    python = ENVIRONMENT / "bin" / "python"
    if python.exists() and subprocess.run([python, "-c", "import provenancekit"], capture_output=True).returncode == 0:
        return ""
    console.print(f"installing {KIT} into {ENVIRONMENT.relative_to(PROJECT)}")
    site = Path(np.__file__).parents[1]
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    steps = (
        [sys.executable, "-m", "venv", "--without-pip", str(ENVIRONMENT)],
        # It asks for Python 3.12 and runs on 3.11; torch and transformers are the ones that are here.
        [*install, "--ignore-requires-python", "--no-deps", KIT],
        [*install, "--only-binary", ":all:", *KIT_NEEDS],
    )
    for step in steps:
        done = subprocess.run(step, capture_output=True, text=True)
        if done.returncode:
            return f"not installed: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else step}"
        for folder in (ENVIRONMENT / "lib").glob("python*/site-packages"):
            (folder / "shared.pth").write_text(f"{site}\n")
    return ""


def ask_kit(pairs: Sequence[tuple[Path, Path]]) -> list[dict[str, Any]]:
    lines = "".join(json.dumps([str(first), str(second)]) + "\n" for first, second in pairs)
    command = [str(ENVIRONMENT / "bin" / "python"), str(Path(__file__).with_name("cisco_kit.py"))]
    done = subprocess.run(command, input=lines, capture_output=True, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    missing = {"error": f"the kit ended early: {done.stderr[-200:]}"}
    return answers + [missing] * (len(pairs) - len(answers))


# ------------------------------------------------------------------------------------------------------------- filiation


def ask_filiation(first: Path, second: Path) -> dict[str, float]:
    """log10 p per test; the copy is compared with itself under another name."""
    import msgspec

    from filiation.evidence import Relation
    from filiation.statistics.register import load
    from studies.weights import outcomes_of, provisional_register, related

    register = load("weights")
    relation = msgspec.convert(related((str(first), str(second), 0)), Relation)
    register = register if register.entries else provisional_register(["llama", "qwen2", "gpt2"])
    return {test.removeprefix("weights."): f.log10_p for test, f in outcomes_of(relation, register).items()}


# -------------------------------------------------------------------------------------------------------------- the table

METHODS: dict[str, Callable[[Model, Model], float]] = {
    "AWM": awm,
    "index": index_test,
    "MATCH": match_test,
    "REEF": reef,
    "norm cosine": norm_cosine,
    "raw cosine": raw_cosine,
}
TAILS = ("index", "MATCH", "filiation")
"""Methods whose figure is a log10 p (small accuses); the others give a similarity (large accuses)."""
COLUMNS = ("Cisco verdict", "Cisco weights score", *METHODS, "filiation")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--size", choices=["test", "full"], default="test")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    console = Console(width=None if sys.stdout.isatty() else 200)
    needed = sorted({name for row in ROWS for pair in row.pairs for name in pair} - {"everything laundered"})
    zoo = build(arguments.size, only=needed, progress=True)
    figures = measured(zoo, arguments.size, console)
    save(arguments.size, figures)
    readme.main()
    console.print(table_of(arguments.size, figures))
    console.print(
        "Cisco, AWM, REEF and the cosines are similarities; index, MATCH and filiation are log10 p. Where a relation has "
        "several pairs, the most accusing figure is shown. The last line counts relations of the first block beyond every "
        "pair of the second."
    )


def measured(zoo: Zoo, size: str, console: Console) -> list[dict[str, Any]]:
    """One record per pair: what each method says."""
    pairs = [(row, first, second) for row in ROWS for first, second in row.pairs]
    places = {name: _folder(zoo, size, name) for _, first, second in pairs for name in (first, second)}
    folders = [(places[first], places[second]) for _, first, second in pairs]
    reason = install_kit(console)
    said = [{"error": reason}] * len(pairs) if reason else ask_kit(folders)
    models: dict[str, Model] = {}
    figures = []
    for (row, first, second), kit in track(list(zip(pairs, said, strict=True)), "comparing", console=console):
        one, other = (models.setdefault(name, Model(places[name])) for name in (first, second))
        record: dict[str, Any] = {"relation": row.relation, "related": row.related, "first": first, "second": second}
        record |= {"Cisco verdict": kit.get("decision", kit.get("error")), "Cisco": kit}
        record["Cisco weights score"] = kit.get("identity_score")
        for name, method in METHODS.items():
            record[name] = attempt(method, one, other)
        started = time.monotonic()
        record["filiation tests"] = ask_filiation(places[first], places[second])
        record["filiation"] = record["filiation tests"].get("double-matching")
        record["filiation seconds"] = round(time.monotonic() - started, 1)
        figures.append(record)
    return figures


def attempt(method: Callable[[Model, Model], float], one: Model, other: Model) -> float | str:
    """The figure, or why this method has none for models of these shapes."""
    try:
        return round(method(one, other), 4)
    except (ValueError, KeyError, IndexError) as error:
        return f"cannot be computed: {error}"


def _folder(zoo: Zoo, size: str, name: str) -> Path:
    if name != "everything laundered":
        return zoo[name]
    folder = LAUNDERED / f"{size}-everything-laundered"
    if not (folder / "config.json").exists():
        launder(zoo["base-a"], folder, seed=7)
    return folder


def accusing(method: str, values: Sequence[float]) -> float:
    return min(values) if method in TAILS else max(values)


def beyond_strangers(method: str, figures: list[dict[str, Any]]) -> tuple[int, int]:
    """Relations whose figure is beyond that of every pair of strangers, of all relations."""
    rows = [f for f in figures if isinstance(f[method], int | float)]
    strangers = [f[method] for f in rows if not f["related"]]
    relatives = [f[method] for f in rows if f["related"]]
    if not strangers:
        return 0, len(relatives)
    worst = accusing(method, strangers)
    return sum(v < worst if method in TAILS else v > worst for v in relatives), len(relatives)


def table_of(size: str, figures: list[dict[str, Any]]) -> Table:
    table = Table(title=f"Peers on the {size} zoo")
    table.add_column("relation")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "Cisco verdict" else "right")
    for row in ROWS:
        cells = [
            cell(column, [f[column] for f in figures if (f["first"], f["second"]) in row.pairs]) for column in COLUMNS
        ]
        last = row.related and not ROWS[ROWS.index(row) + 1].related
        table.add_row(row.relation, *cells, end_section=last or row is ROWS[-1])
    counted = ["{} of {}".format(*beyond_strangers(column, figures)) for column in COLUMNS[1:]]
    table.add_row("relations beyond every stranger", "", *counted)
    return table


def cell(method: str, values: list[Any]) -> str:
    numbers = [value for value in values if isinstance(value, int | float)]
    if not numbers:
        return ", ".join(sorted({str(value) for value in values}))
    most = accusing(method, numbers)
    return f"{most:.1f}" if method in TAILS else f"{most:.3f}"


def save(size: str, figures: list[dict[str, Any]]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    beyond = {column: beyond_strangers(column, figures) for column in COLUMNS[1:]}
    kept[size] = {"beyond_every_stranger": beyond, "pairs": figures}
    RESULTS.write_text(json.dumps(kept, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
