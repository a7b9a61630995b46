"""Asking endpoints the plan's probes: every exchange recorded before it is used, then frozen into the case."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from filiation.case.drawing import examination_seed
from filiation.case.records import Asked, Drawn, Manifest, Plan
from filiation.errors import SourceError, UsageError
from filiation.proceedings.sitting import Sitting
from filiation.sources.endpoints.asking import Budget, Conduct, ask
from filiation.sources.endpoints.exchange import Parameters, Question
from filiation.sources.endpoints.location import endpoint_at
from filiation.sources.endpoints.questions import distinct, probe_questions, repeated
from filiation.sources.endpoints.recorder import Recorder, Recording, read_recording, transcript_of


def ask_endpoints(sitting: Sitting, plan: Plan, drawn: Drawn, taking_part: list[str]) -> list[Asked]:
    """Ask every endpoint among the exhibits that take part; one that was asked is never asked again.

    What was recorded stays when asking is interrupted, and the same command goes on. Raises SourceError where an endpoint
    leaves questions unanswered.
    """
    done = _asked_before(sitting)
    waiting = [
        manifest
        for name, manifest in sitting.manifests.items()
        if manifest.kind == "endpoint" and name.partition("/")[0] in taking_part and name not in done
    ]
    if not waiting:
        return []
    questions = _questions(plan, drawn)
    return [_asked(sitting, plan, manifest, questions) for manifest in waiting]


def unfinished_recordings(sitting: Sitting) -> list[Path]:
    """Recordings of endpoints that were never asked to the end; those that were frozen into the case are taken away."""
    for exhibit in _asked_before(sitting):
        sitting.folder.recording_path(exhibit).unlink(missing_ok=True)
    endpoints = [name for name, manifest in sitting.manifests.items() if manifest.kind == "endpoint"]
    return [path for path in map(sitting.folder.recording_path, endpoints) if path.exists()]


def _asked_before(sitting: Sitting) -> set[str]:
    return {entry.body.exhibit for entry in sitting.folder.entries if isinstance(entry.body, Asked)}


def _questions(plan: Plan, drawn: Drawn) -> tuple[Question, ...]:
    """The plan's probes, drawn with its seed. Raises UsageError where the plan names none."""
    if not plan.probes:
        raise UsageError(
            "an endpoint takes part, and the plan names no probes to ask it",
            advice="amend the plan with [[probes]], or record the answers first and admit the transcript",
        )
    seed = examination_seed(drawn.seed)
    found = [question for each in plan.probes for question in probe_questions(each.name, each.count, seed)]
    found = found[: plan.stopping.prompts] if plan.stopping.prompts else found
    return repeated(distinct(found), plan.stopping.samples)


def _asked(sitting: Sitting, plan: Plan, manifest: Manifest, questions: tuple[Question, ...]) -> Asked:
    endpoint = endpoint_at(manifest.location)
    path = sitting.folder.recording_path(manifest.exhibit)
    budget = Budget(requests=plan.stopping.budget_requests or None, seconds=plan.stopping.budget_seconds or None)
    with Recorder(path) as recorder:
        told = ask(
            endpoint,
            questions,
            Parameters(**msgspec.structs.asdict(plan.asking)),
            recorder,
            rng=np.random.default_rng(int.from_bytes(hashlib.sha256(manifest.exhibit.encode()).digest()[:4], "big")),
            conduct=Conduct(),
            budget=budget,
            progress=sitting.progress,
        ).summary
    if told.given_up or (told.not_reached and not told.ended.startswith("the budget")):
        raise SourceError(
            f"{told.given_up + told.not_reached} of {told.questions} questions got no answer: {told.ended}",
            exhibit=manifest.exhibit,
            advice="run the same command again; what was answered is not asked again",
        )
    recording = read_recording(path)
    entry = Asked(
        exhibit=manifest.exhibit,
        endpoint=endpoint.location,
        recording=sitting.folder.objects.put_file(path),
        transcript=sitting.folder.objects.put(_transcript(recording, manifest, endpoint.location)),
        requests=told.requests_recorded,
        answers=len(recording.answered),
    )
    sitting.append(entry)
    path.unlink()
    return entry


def _transcript(recording: Recording, manifest: Manifest, location: str) -> bytes:
    frame: Any = transcript_of(
        recording, names={location: manifest.exhibit.partition("/")[0]}, lineages={location: manifest.lineage}
    )
    made = io.BytesIO()
    frame.write_parquet(made)
    return made.getvalue()
