"""The defence, and the order of a training run: what a transcript catches, what running it again costs, what an order still shows.

    python -m studies.independence                 all parts
    python -m studies.independence orders          one of them (transcripts, orders, orders-by-text); results of the others stay

1.  A small base is trained and recorded as it is trained. The honest transcript is run again; so are forged ones: a stolen start, a
    stolen model spliced in, interpolated states, other data than the plan names. How often each passes when only some segments are
    drawn, beside the hypergeometric law. What recording and running again cost. How far another platform's arithmetic ends from the
    recorded states (a tolerance is set from that), and how far interpolated states do.
2.  A base that read its documents in a shuffled order: log10 p of the base, of models derived from it, and of strangers that were
    trained on the same documents in other orders. Controls are two more strangers. For the strangers the owner's order is also drawn
    anew many times, which under the null changes nothing.
3.  The same order by answers alone, as whoever has no likelihoods would look: each document's first half is a prompt, the likeliest
    continuation the answer; and as much text drawn without a prompt. Of the base of part 2, of what was made from it, and of strangers.
    Then of bases that read each block of documents many times in a row before the next block: where an order begins to be seen in answers.

Writes `studies/results/independence.json`. Transcripts take about two minutes of one core, orders about seven, orders by text about eight.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from filiation.case.signing import new_signer
from filiation.evidence import round_against_accuser
from filiation.statistics.training_order import permutation_log10_p, training_order
from filiation.training_transcript.detection import executed_needed, log10_pass_chance
from filiation.training_transcript.drawing import from_verifier
from filiation.training_transcript.execution import Executed, deviation
from filiation.training_transcript.folder import TranscriptFolder
from filiation.training_transcript.records import Drawn, Header, Plan
from filiation.training_transcript.states import WEIGHTS, State, load, save
from filiation.training_transcript.verification import Given, verify
from studies.recitation import beginnings, continued, in_answers
from studies.time_stamping import LocalAuthority
from studies.zoo.architectures import configuration, fresh
from studies.zoo.corpus import byte_tokenizer, read_corpus
from studies.zoo.derivations import METHODS, Parent, Workshop
from studies.zoo.family_tree import Member
from studies.zoo.recorded_training import ZooTrainer, log_likelihoods, plan_for, record
from studies.zoo.sizes import TEST
from studies.zoo.training import advance, optimiser_for, rate

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "studies" / "results" / "independence.json"

STEPS, EVERY = 200, 10
RUN = replace(TEST, batch=8, context=64)
DRAWS = 2_000
DRAWN = 4
PLATFORMS: dict[str, dict[str, str]] = {
    "two threads": {"THREADS": "2"},
    "AVX2 kernels": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "kernels without AVX": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    },
}

ORDER = replace(TEST, batch=4, context=64, steps=500, brief_steps=100, learning_rate=6e-3)
ORDER_STEPS = 2_500
STRANGERS = 3
REDRAWN = 500
PERMUTATIONS = 999

ASKED = 32
"""Characters of a document that are its prompt: the first half."""
PASSES = (16, 64)
BLOCK = 16
"""Documents that are read so many times in a row before the next ones are."""


def text(length: int) -> bytes:
    """The beginning of the corpus, ASCII only, so that a byte is a character."""
    return read_corpus().parts["one"].encode("ascii", "ignore")[:length]


# ------------------------------------------------------------------------------------------------------------ transcripts


class Owner:
    """Who trains, with a key and a time-stamping authority of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signer = new_signer()
        self.authority = LocalAuthority.made(folder / "authority")
        self.moment = datetime.now(UTC).replace(microsecond=0)

    def clock(self) -> datetime:
        self.moment = max(self.moment + timedelta(seconds=1), datetime.now(UTC).replace(microsecond=0))
        return self.moment

    def opens(self, name: str, plan: Plan) -> TranscriptFolder:
        return TranscriptFolder.create(
            self.folder / name,
            Header(run=os.urandom(16).hex(), title=name),
            plan,
            self.signer,
            now=self.clock(),
            software="studies.independence",
            authorities=[self.authority.authority],
            certificates={self.authority.name: self.authority.certificate},
        )

    def forges(self, name: str, plan: Plan, states: Sequence[State], made: Sequence[Executed]) -> TranscriptFolder:
        """A transcript of these states, all written at once; everything about it but the training is in order."""
        folder = self.opens(name, plan)
        folder.record_state(states[0], 0, now=self.clock())
        for step, state, executed in zip(plan.recorded_steps[1:], states[1:], made, strict=True):
            folder.record_state(state, step, now=self.clock(), batches=executed.batches, losses=executed.losses)
        folder.close(now=self.clock())
        folder.checkpoint(self.signer, now=self.clock(), stampers=[self.authority])
        return folder

    def trusts(self, folder: TranscriptFolder, trainer: ZooTrainer, drawn: Drawn) -> Given:
        return Given(
            keyid=self.signer.key.keyid,
            authorities=(self.authority.certificate,),
            trainer=trainer,
            drawn=drawn,
            drawn_again=lambda: drawn,
            state_at=lambda step: load(folder.state_file(step)),
        )


def drawn(folder: TranscriptFolder, count: int, number: int = 0) -> Drawn:
    segments = len(folder.states) - 1
    return from_verifier(folder.header.run, folder.head, segments, count, number.to_bytes(32, "big"))


def transcripts(folder: Path) -> dict[str, Any]:
    """Part 1."""
    data = {"one": text(400_000)}
    owner = Owner(folder)
    plan = plan_for(data, size=RUN, seed=1, order_seed=11, steps=STEPS, every=EVERY)
    trainer = ZooTrainer(plan, data)
    costs = _costs_of_recording(owner, plan, trainer)
    honest = TranscriptFolder.open(owner.folder / "honest")
    states = [load(honest.state_file(step)) for step in plan.recorded_steps]
    results: dict[str, Any] = {"segments": len(states) - 1, "steps of a segment": EVERY}
    results["honest"], seconds = _verified(owner, honest, trainer)
    costs["run again, seconds per segment"] = round(seconds / (len(states) - 1), 3)
    costs["run again, share of training per segment"] = round(
        seconds / (len(states) - 1) / costs["training, seconds"], 4
    )
    results["costs"] = costs
    results["forged"] = {
        name: _verified(owner, forged, trainer)[0] for name, forged in _forgeries(owner, plan, trainer, states).items()
    }
    results["other platforms"] = _platforms(folder, plan, data, states)
    results["segments to run again"] = {
        f"{share:.0%} forged of {segments}": {
            f"chance to pass {chance:g}": executed_needed(segments, max(1, round(share * segments)), chance)
            for chance in (0.05, 1e-3, 1e-6)
        }
        for segments in (20, 1_000)
        for share in (0.001, 0.05, 0.25)
        if share * segments >= 1
    }
    return results


def _costs_of_recording(owner: Owner, plan: Plan, trainer: ZooTrainer) -> dict[str, float]:
    started = time.perf_counter()
    trainer.run(trainer.initial(), 0, plan.steps)
    plain = time.perf_counter() - started
    folder = owner.opens("honest", plan)
    started = time.perf_counter()
    record(folder, trainer, signer=owner.signer, clock=owner.clock, stampers=[owner.authority])
    recorded = time.perf_counter() - started
    ledger = (folder.path / "ledger.jsonl").stat().st_size
    return {
        "training, seconds": round(plain, 2),
        "training and recording, seconds": round(recorded, 2),
        "ledger, bytes per state": round(ledger / len(folder.states)),
        "state, bytes": folder.state_file(plan.steps).stat().st_size,
    }


def _verified(owner: Owner, folder: TranscriptFolder, trainer: ZooTrainer) -> tuple[dict[str, Any], float]:
    """All segments run again; and how often it would have passed had only `DRAWN` been drawn."""
    segments = len(folder.states) - 1
    started = time.perf_counter()
    result = verify(folder, owner.trusts(folder, trainer, drawn(folder, segments)))
    seconds = time.perf_counter() - started
    bad = {one.segment for one in result.found.results if one.why}
    failed = [check.number for check in result.verification.checks if check.failures]
    passed = sum(not bad & set(drawn(folder, DRAWN, number).segments) for number in range(DRAWS))
    return {
        "checks that fail": failed,
        "segments with the same bytes": sum(one.identical for one in result.found.results),
        "segments that fail": sorted(bad),
        f"passes {DRAWN} drawn segments, share of {DRAWS} draws": 0.0 if {6} & set(failed) else passed / DRAWS,
        "by the law": 0.0 if {6} & set(failed) else round(10 ** log10_pass_chance(segments, len(bad), DRAWN), 4),
        "largest move of a segment, relative to the median": _conspicuous(folder),
    }, seconds


def _conspicuous(folder: TranscriptFolder) -> float:
    """What a verifier who has all states sees without running anything again: one segment that moves much more than the others."""
    states = [load(folder.state_file(step)) for step in folder.plan.recorded_steps]
    moves = [_distance(first, second) for first, second in pairwise(states)]
    return round(max(moves) / float(np.median(moves)), 2)


def _distance(first: State, second: State) -> float:
    names = [name for name in first if name.startswith(WEIGHTS)]
    return float(np.sqrt(sum(float(np.square(first[name] - second[name]).sum()) for name in names)))


def _forgeries(owner: Owner, plan: Plan, trainer: ZooTrainer, honest: Sequence[State]) -> dict[str, TranscriptFolder]:
    """A stranger's model is stolen, and a transcript says that it was trained from seed 1 on the plan's data."""
    elsewhere = replace_seed(plan, seed=99, order_seed=98)
    stolen = _all_states(ZooTrainer(elsewhere, {"one": text(400_000)}))[0][-1]
    weights_only = {name: array for name, array in stolen.items() if name.startswith(WEIGHTS)}
    states, made = _all_states(trainer)
    from_stolen, made_from_stolen = _all_states(trainer, start=weights_only)
    half = len(states) // 2
    spliced, made_spliced = list(states), list(made)
    spliced[half] = stolen
    for number in range(half, len(states) - 1):
        made_spliced[number] = trainer.run(spliced[number], number * EVERY, EVERY)
        spliced[number + 1] = made_spliced[number].state
    other = {"one": text(800_000)[400_000:]}
    swapped = _all_states(ZooTrainer(plan, other))
    return {
        "stolen start": owner.forges("stolen", plan, from_stolen, made_from_stolen),
        "stolen model spliced in half-way": owner.forges("spliced", plan, spliced, made_spliced),
        "states interpolated from the seed to the stolen model": owner.forges(
            "interpolated", plan, _interpolated(honest, stolen), made
        ),
        "trained on other data": owner.forges("swapped", plan, *swapped),
    }


def replace_seed(plan: Plan, *, seed: int, order_seed: int) -> Plan:
    return msgspec.structs.replace(
        plan,
        initialisation=msgspec.structs.replace(plan.initialisation, seed=seed),
        data=msgspec.structs.replace(plan.data, order_seed=order_seed),
    )


def _all_states(trainer: ZooTrainer, start: State | None = None) -> tuple[list[State], list[Executed]]:
    states: list[State] = [start or trainer.initial()]
    made: list[Executed] = []
    for first, last in pairwise(trainer.plan.recorded_steps):
        made.append(trainer.run(states[-1], first, last - first))
        states.append(made[-1].state)
    return states, made


def _interpolated(honest: Sequence[State], stolen: State) -> list[State]:
    """Weights on a straight line; the optimiser's state is the honest one, for want of another."""
    last = len(honest) - 1
    mixed: list[State] = [honest[0]]
    for number in range(1, last + 1):
        share = np.float32(number / last)
        state = dict(honest[number])
        for name in [name for name in state if name.startswith(WEIGHTS)]:
            state[name] = ((1 - share) * honest[0][name] + share * stolen[name]).astype(np.float32)
        mixed.append(state if number < last else stolen)
    return mixed


# -------------------------------------------------------------------------------------------------------------- platforms


def _platforms(folder: Path, plan: Plan, data: Mapping[str, bytes], states: Sequence[State]) -> dict[str, Any]:
    """Deviations of segments run by other kernels and thread counts, each in a process of its own; and of interpolated ones."""
    place = folder / "platforms"
    place.mkdir()
    (place / "plan.json").write_bytes(msgspec.json.encode(plan))
    (place / "data").write_bytes(data["one"])
    chosen = (0, 1, 5, 10, 15, 19)
    for number in chosen:
        save(states[number], place / f"{number}.safetensors")
    found: dict[str, Any] = {}
    for name, settings in PLATFORMS.items():
        subprocess.run(
            [sys.executable, "-m", "studies.independence", "--segments", str(place), *map(str, chosen)],
            check=True,
            cwd=ROOT,
            env=os.environ | settings,
        )
        ends = [load(place / f"{number}-after.safetensors") for number in chosen]
        apart = [deviation(states[number], states[number + 1], end) for number, end in zip(chosen, ends, strict=True)]
        found[name] = {
            "same bytes": sum(one == 0.0 for one in apart),
            "segments": len(apart),
            "largest deviation": float(f"{max(apart):.3g}"),
        }
    between = {name: np.asarray((states[5][name] + states[7][name]) / 2) for name in states[5]}
    trainer = ZooTrainer(plan, data)
    ends_in_the_middle = deviation(states[5], between, trainer.run(states[5], 5 * EVERY, EVERY).state)
    leaves_the_middle = deviation(between, states[7], trainer.run(between, 6 * EVERY, EVERY).state)
    found["an honest state replaced by the mean of its neighbours"] = {
        "deviation of the segment before": float(f"{ends_in_the_middle:.3g}"),
        "deviation of the segment after": float(f"{leaves_the_middle:.3g}"),
    }
    return found


def _run_segments(place: Path, numbers: Sequence[int]) -> None:
    """What the processes of `_platforms` do."""
    plan = msgspec.json.decode((place / "plan.json").read_bytes(), type=Plan)
    trainer = ZooTrainer(plan, {"one": (place / "data").read_bytes()}, threads=int(os.environ.get("THREADS", "1")))
    for number in numbers:
        executed = trainer.run(load(place / f"{number}.safetensors"), number * plan.every, plan.every)
        save(executed.state, place / f"{number}-after.safetensors")


# ---------------------------------------------------------------------------------------------------------- training order


def orders(folder: Path, first_seed: int = 0) -> dict[str, Any]:
    """Part 2. `first_seed`: of all models; everything was settled on 5,000."""
    documents = ORDER_STEPS * ORDER.batch
    data = {"one": text(documents * (ORDER.context + 1))}
    base_plan = _order_plan(data, seed=first_seed + 1, order_seed=first_seed + 11)
    owners = ZooTrainer(base_plan, data)
    places = owners.document_order()
    read = owners.documents()[places]
    position = np.arange(len(places))

    def trained(seed: int, order_seed: int) -> torch.nn.Module:
        by = ZooTrainer(_order_plan(data, seed=first_seed + seed, order_seed=first_seed + order_seed), data)
        return by.model(by.run(by.initial(), 0, ORDER_STEPS).state)

    base = trained(1, 11)
    control = np.mean([log_likelihoods(trained(seed, 10 * seed), read) for seed in (71, 72)], axis=0)
    strangers = {f"stranger {number}": trained(20 + number, 200 + number) for number in range(1, STRANGERS + 1)}
    strangers["same initialisation, another order"] = trained(1, 301)
    rng = np.random.default_rng(2026)
    results: dict[str, Any] = {
        "documents": len(places),
        "tokens of a document": ORDER.context,
        "the base and what was made from it": {},
        "strangers trained on the same documents": {},
    }
    for name, model in _relatives(folder, base, strangers["stranger 1"]).items():
        results["the base and what was made from it"][name] = _held(
            position, log_likelihoods(model, read), control, rng
        )
    for name, model in strangers.items():
        values = log_likelihoods(model, read)
        found = _held(position, values, control, rng)
        redrawn = np.array(
            [training_order(rng.permutation(len(position)), values, control).log10_p for _ in range(REDRAWN)]
        )
        found["share of redrawn orders with p <= .1, .01"] = [
            round(float((redrawn <= level).mean()), 4) for level in (-1.0, -2.0)
        ]
        results["strangers trained on the same documents"][name] = found
    return results


def _order_plan(data: Mapping[str, bytes], *, seed: int, order_seed: int) -> Plan:
    return plan_for(
        data, size=ORDER, seed=seed, order_seed=order_seed, order="documents", steps=ORDER_STEPS, every=ORDER_STEPS
    )


def _relatives(
    folder: Path, base: torch.nn.Module, stranger: torch.nn.Module, only: Sequence[str] = ()
) -> dict[str, torch.nn.Module]:
    """The base, and models made from it by the zoo's own methods, all or these; trained on text that it has not read."""
    for name, model in {"base": base, "stranger": stranger}.items():
        model.save_pretrained(folder / name)
    workshop = Workshop(ORDER, read_corpus(), byte_tokenizer(), torch.device("cpu"))
    parents = (Parent(folder / "base"), Parent(folder / "stranger"))
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        f"fine-tuned, {ORDER.brief_steps} steps": ("tune", {}),
        f"fine-tuned, {ORDER.steps} steps": ("tune", {"length": "heavy"}),
        "LoRA merged": ("low_rank", {"rank": 8}),
        "int8": ("quantise", {"bits": 8}),
        "int4": ("quantise", {"bits": 4}),
        "half of all weights pruned": ("prune", {"share": 0.5}),
        "50/50 merge with a stranger": ("merge", {"shares": (0.5, 0.5)}),
        "student of its distributions": ("distil_logits", {}),
    }
    made = {"the base itself": base}
    for name in only or wanted:
        method, options = wanted[name]
        member = Member(name=name, relation=name, method=method, seed=900, part="tests", options=options)
        made[name] = METHODS[method](workshop, member, parents).model.eval()
    return made


def _held(
    position: NDArray[Any], values: NDArray[np.float64], control: NDArray[np.float64], rng: np.random.Generator
) -> dict[str, Any]:
    found = training_order(position, values, control)
    return {
        "log10 p": round_against_accuser(found.log10_p, accuses_when="small"),
        "tau": round(found.tau, 4),
        "permutation log10 p": round_against_accuser(
            permutation_log10_p(position, values, control, permutations=PERMUTATIONS, rng=rng), accuses_when="small"
        ),
        "log10 p without a control": round_against_accuser(
            training_order(position, values).log10_p, accuses_when="small"
        ),
    }


# --------------------------------------------------------------------------------------------------------- order by answers


def orders_by_text(folder: Path, first_seed: int = 0) -> dict[str, Any]:
    """Part 3. `first_seed`: of all models."""
    data = {"one": text(ORDER_STEPS * ORDER.batch * (ORDER.context + 1))}
    owners = ZooTrainer(_order_plan(data, seed=first_seed + 1, order_seed=first_seed + 11), data)
    read = owners.documents()[owners.document_order()]

    def trained(seed: int, order_seed: int) -> torch.nn.Module:
        by = ZooTrainer(_order_plan(data, seed=first_seed + seed, order_seed=first_seed + order_seed), data)
        return by.model(by.run(by.initial(), 0, ORDER_STEPS).state)

    base = trained(1, 11)
    strangers = {"stranger 1": trained(21, 201), "same initialisation, another order": trained(1, 301)}
    relatives = _relatives(folder, base, strangers["stranger 1"], (f"fine-tuned, {ORDER.brief_steps} steps", "int4"))
    return {
        "characters of a prompt": ASKED,
        "read once, by what was made from the base": {
            name: _by_answers(model, read) for name, model in relatives.items()
        },
        "read once, by strangers": {name: _by_answers(model, read) for name, model in strangers.items()},
        "drawn without a prompt": {"the base itself": _by_drawn_text(base, read)},
        "read in a row": {f"{passes} times": _in_a_row(owners, passes, first_seed) for passes in PASSES},
    }


def _in_a_row(owners: ZooTrainer, passes: int, first_seed: int) -> dict[str, Any]:
    """A base that reads each block of documents so many times before the next, in as many steps; and one that does in another order."""
    count = ORDER_STEPS * ORDER.batch // passes // BLOCK * BLOCK
    read = owners.documents()[owners.document_order()[:count]]
    shuffled = read[torch.randperm(count, generator=torch.Generator().manual_seed(first_seed + 201))]
    return {
        "documents": count,
        "the base itself": _by_answers(_read_in_blocks(read, passes, first_seed + 1), read),
        "a stranger that read them in another order": _by_answers(
            _read_in_blocks(shuffled, passes, first_seed + 21), read
        ),
    }


def _read_in_blocks(read: torch.Tensor, passes: int, seed: int) -> torch.nn.Module:
    """Trained over the documents, [documents, context + 1], in their order, block by block."""
    model = fresh(configuration("llama", ORDER), seed).train()
    optimiser, steps = optimiser_for(model, ORDER.learning_rate), len(read) * passes // ORDER.batch
    batches = (batch for block in read.split(BLOCK) for _ in range(passes) for batch in block.split(ORDER.batch))
    for step, batch in enumerate(batches):
        advance(model, optimiser, batch, ORDER.learning_rate * rate(step, steps))
    return model.eval()


def _texts(read: torch.Tensor) -> list[str]:
    return [bytes(row).decode("ascii") for row in read.tolist()]


def _by_answers(model: torch.nn.Module, read: torch.Tensor) -> dict[str, Any]:
    """The likeliest continuations of the documents' first halves."""
    prompts = beginnings(_texts(read), ASKED)
    return _told(model, read, prompts, continued(model, prompts, read.shape[1] - ASKED))


def _by_drawn_text(model: torch.nn.Module, read: torch.Tensor) -> dict[str, Any]:
    """As much text as there is in all documents, drawn after the end of a line."""
    return _told(model, read, ["\n"], continued(model, ["\n"] * len(read), read.shape[1], lots=2026))


def _told(model: torch.nn.Module, read: torch.Tensor, prompts: Sequence[str], answers: Sequence[str]) -> dict[str, Any]:
    position = np.arange(len(read))
    said = in_answers(_texts(read), prompts, answers)
    found, scored = training_order(position, said), training_order(position, log_likelihoods(model, read))
    tenth = len(read) // 10
    return {
        "documents that stand in answers": int((said > 0).sum()),
        "of the first and of the last tenth": [int((some > 0).sum()) for some in (said[:tenth], said[-tenth:])],
        "tau": round(found.tau, 4),
        "log10 p": round_against_accuser(found.log10_p, accuses_when="small"),
        "log10 p by likelihoods, no control": round_against_accuser(scored.log10_p, accuses_when="small"),
    }


def main() -> None:
    if sys.argv[1:2] == ["--segments"]:
        _run_segments(Path(sys.argv[2]), [int(number) for number in sys.argv[3:]])
        return
    results: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    parts = {"transcripts": transcripts, "orders": orders, "orders-by-text": orders_by_text}
    for name in sys.argv[1:] or parts:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="independence-") as work:
            results[name] = parts[name](Path(work))
        results[name]["made with"] = {
            "torch": str(torch.__version__),
            "python": platform.python_version(),
            "processor": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, one thread",
            "minutes": round((time.perf_counter() - started) / 60, 1),
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        print(json.dumps(results[name], indent=1), flush=True)


if __name__ == "__main__":
    main()
