"""Do the two models give long texts word for word alike that no unrelated model gives?

An answer of thirty words can be worded in more ways than there are models. Two models that give the same one, word for
word, hold one text: one of them passes on the other's answers, or both hold a third party's. That is *shared text, not shared
weights*, and it is reported apart. What the prompt forces (quotations, lists in a stated order, a text to be repeated) is no
opportunity: where an unrelated third model gives the same text, it does not count.

Two tests. `verbatim.answers` compares whole answers; control packs hold what it needs. `verbatim.passages` compares runs of 50
words, of which packs hold nothing, so that it needs controls of the user's own.

How many such texts two unrelated models share is not known from theory: the null is by population, and ties count for the
accused. Where nobody shares a text with the reference, there is nothing to rank: a level place among zeros would speak neither
for the suspect nor against it. The record names prompts and lengths, never texts; `filiation transcripts diff` shows the texts
side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np

from filiation.evidence import (
    Absent,
    Access,
    Characteristic,
    Companion,
    Component,
    Effect,
    Finding,
    Identity,
    Null,
    Observation,
    Outcome,
    Proposition,
    Relation,
    Relations,
    Test,
    digest,
)
from filiation.examiners.examiner import Progress, Subject, silent
from filiation.examiners.line_up import (
    Demands,
    controls_left,
    judge_line_up,
    line_up_content,
    observe_answers,
    related_matrix,
)
from filiation.examiners.outcomes import not_examined_of
from filiation.examiners.text_kinship import (
    BLOCK,
    Gathered,
    answers_of,
    gather,
    related_with_copies,
    same_recordings,
)
from filiation.measures import text_features
from filiation.measures import verbatim as measure
from filiation.measures.verbatim import (
    PASSAGE,
    WORDS,
    SharedTexts,
    identical_answers,
    longest_run,
    nothing_shared,
    passages,
    shared_texts,
    words_of,
)
from filiation.sources.packs import PackSource
from filiation.sources.source import Source
from filiation.sources.transcripts import Transcript
from filiation.statistics.intervals import share_interval
from filiation.statistics.register import Calibration

NAME = "verbatim"
VERSION = "1"
QUESTION = "Do the two models give long texts word for word alike that no unrelated model gives?"
NEEDS = (Access.TRANSCRIPT,)
_COMMON: dict[str, Any] = {
    "proposition": Proposition.OUTPUTS,
    "alternative": "neither model's answers, nor a text that both hold, stand in the other's answers",
    "relation_class": "shared text (one passes on the other's answers, or both hold a third party's); nothing about weights",
    "characteristic": Characteristic.INDIVIDUAL,
    "null": Null.POPULATION,
    "symmetric": False,
}
TESTS = (
    Test(
        id="verbatim.passages",
        formula=f"(k + 1) / (N + 1), rank among control lineages by prompts with a shared run of {PASSAGE} words",
        **_COMMON,
    ),
    Test(
        id="verbatim.answers",
        formula=f"(k + 1) / (N + 1), rank among control lineages by prompts with one identical answer of {WORDS} words or more",
        **_COMMON,
    ),
)
CLAIMS = ("shared text",)
ASSUMPTIONS = (
    "Without shared text, the suspect is exchangeable with a model of each control lineage.",
    "Controls answered the same prompts; what a prompt forces is given by some unrelated control, too.",
    "The recordings are what the models answered: a recording pasted from another model's is shared text as well.",
)
LIMITATIONS = (
    "Shared text, not weights: nothing is said about how the models were made.",
    "Which of the two gave the text first is not told, nor whether both hold a third party's text, such as public data.",
    "A fine-tune or a student seldom repeats its source's long answers: absence says little.",
    "Answers that were rewritten, shortened or translated are not found.",
)
REFERENCES = ("Besag and Clifford 1989, Generalized Monte Carlo significance tests (rank p-values)",)
PARAMETERS: dict[str, bool | int | float | str] = {"packs": "auto", "most_prompts": 1000}
"""`packs`: 'auto', 'none', or names and folders. `most_prompts`: of more, those with the smallest ids are taken."""

DEMANDS = Demands(prompts=30, lineages=19, labs=10, controls=30)
NO_TEXTS = "passages need the texts of both models, and a control pack holds figures of them alone"
NOTHING = "neither the suspect nor any control shares a long text with the reference that no unrelated model gives: nothing to rank"
SHOWN = 25
"""At most so many prompts are listed as components, longest texts first."""


def observe(source: Source, progress: Progress = silent) -> Observation | Absent:
    """Who the model is said to be, and a digest of what it answered."""
    return observe_answers(NAME, VERSION, source, "text")


def relate(first: Subject, second: Subject, seed: int, progress: Progress = silent) -> Relation | Absent:
    """The line-up that consists of the two models and the control packs."""
    return line_up(first, second, (), seed, progress)


def line_up(
    reference: Subject, suspect: Subject, controls: Sequence[Subject], seed: int, progress: Progress = silent
) -> Relation | Absent:
    """Record how many texts every two models share.

    1. Whole answers, with the models of control packs.
    2. Passages, with the user's own controls alone, over all prompts that both answered.
    3. Prompt by prompt, how long the texts are that reference and suspect share.
    """
    settings = {**PARAMETERS, **reference.parameters}
    most = int(settings["most_prompts"])
    gathered = gather(reference, suspect, controls, str(settings["packs"]), most)
    if isinstance(gathered, Absent):
        return gathered
    answers, related = share_answers(gathered, progress)
    content: dict[str, Any] = {
        "answers": _part(gathered, answers, related, seed, TESTS[1].id),
        "passages": {"not_examined": NO_TEXTS},
        "texts": [],
        "features": text_features.VERSION,
        "measure": measure.VERSION,
    }
    if not any(isinstance(exhibit.source, PackSource) for exhibit in (reference, suspect)):
        in_text = [control for control in controls if not isinstance(control.source, PackSource)]
        alone = gather(reference, suspect, in_text, "none", most)
        assert not isinstance(alone, Absent)
        prompt_words = {**prompts_of(suspect), **prompts_of(reference)}
        found = share_passages(alone, prompt_words, progress)
        content["passages"] = _part(alone, found, alone.related, seed, TESTS[0].id)
        content["texts"] = _shared_by_the_pair(alone, prompt_words)
    content["summary"] = {
        test: figures for part in ("answers", "passages") for test, figures in content[part].get("summary", {}).items()
    }
    progress("compared", 1.0)
    return Relation(
        examiner=NAME,
        examiner_version=VERSION,
        first=reference.observation.exhibit,
        second=suspect.observation.exhibit,
        seed=seed,
        content=content,
    )


def prompts_of(subject: Subject) -> dict[str, list[str]]:
    """Prompt id to the words of the prompt, where its text was recorded."""
    transcript = subject.source.transcript()
    assert isinstance(transcript, Transcript)
    frame = transcript.frame.select("prompt_id", "prompt").unique("prompt_id", keep="first", maintain_order=True)
    return {name: words_of(text or "") for name, text in frame.iter_rows()}


def share_answers(gathered: Gathered, progress: Progress = silent) -> tuple[SharedTexts, tuple[tuple[int, int], ...]]:
    """Identical long answers of every two models of a line-up; and who is related to whom, recordings found twice included."""
    size = len(gathered.entrants)
    tables = []
    equal, long = np.zeros((2, size)), np.zeros((2, 1))
    for start in range(0, len(gathered.prompts), BLOCK):
        block = gathered.prompts[start : start + BLOCK]
        answers = answers_of(gathered, block)
        tables.append((answers.features.whole, answers.features.words, answers.model, answers.prompt + start))
        whole = np.zeros((size, len(block)), dtype=np.uint32)
        whole[answers.model, answers.prompt] = np.where(answers.features.words >= WORDS, answers.features.whole, 0)
        for exhibit in (0, 1):
            equal[exhibit] += ((whole == whole[exhibit]) & (whole[exhibit] != 0)).sum(axis=1)
            long[exhibit] += (whole[exhibit] != 0).sum()
        progress("comparing answers", min(1.0, (start + len(block)) / len(gathered.prompts)))
    copies = same_recordings(equal / np.maximum(long, 10))
    related = related_with_copies(gathered, copies)
    whole, words, model, prompt = (np.concatenate(column) for column in zip(*tables, strict=True))
    matrix = related_matrix(gathered.entrants, related)
    return identical_answers(whole, words, model, prompt, matrix), related


def share_passages(
    gathered: Gathered, prompt_words: Mapping[str, Sequence[str]], progress: Progress = silent
) -> SharedTexts:
    """Long passages that every two models of a line-up without packs share, outside what the prompt itself says."""
    size = len(gathered.entrants)
    matrix = related_matrix(gathered.entrants, gathered.related)
    total = nothing_shared(size)
    for at, name in enumerate(gathered.prompts):
        models = [model for model in range(size) if name in gathered.texts[model]]
        texts = [words_of(gathered.texts[model][name]) for model in models]
        asked = list(prompt_words.get(name, ()))
        runs = passages(texts, [asked] * len(texts))
        total = total + shared_texts(
            runs, np.array(models, dtype=np.intp), np.zeros(len(models), dtype=np.intp), matrix
        )
        if at % 50 == 0:
            progress("comparing passages", at / len(gathered.prompts))
    return total


def _part(
    gathered: Gathered, found: SharedTexts, related: Sequence[tuple[int, int]], seed: int, test: str
) -> dict[str, Any]:
    return line_up_content(
        gathered.entrants,
        found.rare.astype(np.float64),
        prompts=len(gathered.prompts),
        related=related,
        packs=[pack.title for pack in gathered.packs],
        seed=seed,
        test=test,
        detail={"common": int(found.common[0, 1]), "left_out": [list(entry) for entry in gathered.left_out]},
    ) | {"summary": {test: {"count": int(found.rare[0, 1]), "opportunities": len(gathered.prompts)}}}


def _shared_by_the_pair(gathered: Gathered, prompt_words: Mapping[str, Sequence[str]]) -> list[list[Any]]:
    """[prompt id, words of the longest shared run, words of the two answers, identical, models that give the same answer]."""
    first, second, *others = gathered.texts
    rows: list[list[Any]] = []
    for name in gathered.prompts:
        one, other = words_of(first[name]), words_of(second[name])
        same = one == other
        asked = list(prompt_words.get(name, ()))
        shared = passages([one, other], [asked, asked])
        long_answer = same and len(one) >= WORDS
        if not long_answer and not len(np.intersect1d(shared.of(0), shared.of(1))):
            continue
        holders = sum(words_of(texts[name]) == one for texts in others if name in texts) if same else 0
        rows.append([name, longest_run(one, other), len(one), len(other), int(same), holders])
    return sorted(rows, key=lambda row: (-row[1], row[0]))


# --------------------------------------------------------------------------------------------------------------- judge


def judge(relations: Relations, controls: tuple[Identity, ...], calibration: Calibration) -> tuple[Outcome, ...]:
    """Rank the suspect among the control lineages, by passages and by whole answers."""
    texts = relations.pair.content["texts"]
    return (
        _judged(TESTS[0], relations, calibration, "passages", "prompts with a shared passage", texts),
        _judged(
            TESTS[1],
            relations,
            calibration,
            "answers",
            "prompts with one identical long answer",
            [row for row in texts if row[4]],
        ),
    )


def _judged(
    test: Test, relations: Relations, calibration: Calibration, part: str, unit: str, texts: Sequence[Sequence[Any]]
) -> Outcome:
    whole = relations.pair.content
    content = whole[part]
    if "not_examined" in content:
        return not_examined_of(test, relations.pair, content["not_examined"], version=VERSION)
    seen = content["summary"][test.id]
    low, high = share_interval(seen["count"], seen["opportunities"])
    current = whole["features"] == text_features.VERSION and whole["measure"] == measure.VERSION
    judged = partial(
        judge_line_up,
        test,
        Relations(pair=msgspec.structs.replace(relations.pair, content=content)),
        calibration,
        examiner_version=VERSION,
        demands=DEMANDS,
        effect=Effect(
            name=f"share of {unit} that no unrelated model gives; interval over prompts, a description only",
            value=round(seen["count"] / seen["opportunities"], 6),
            low=round(low, 6),
            high=round(high, 6),
        ),
        assumptions=ASSUMPTIONS,
        limitations=LIMITATIONS,
        companions=(
            Companion(
                null=Null.POPULATION,
                name="shared texts",
                value=f"{seen['count']} of {seen['opportunities']} prompts",
                note=f"{content['detail']['common']} more where an unrelated model gives the text, too: not counted",
            ),
        ),
        components=_components(texts),
    )
    outcome = judged(
        not_validated="" if current else "not validated: the record was made with another version of the features"
    )
    if isinstance(outcome, Finding) and nobody_shares(content):
        outcome = judged(not_validated=NOTHING)
    # The record that is cited is the one that was made, not the part of it that this test reads.
    return (
        outcome
        if not hasattr(outcome, "observations")
        else msgspec.structs.replace(outcome, observations=(digest(relations.pair),))
    )


def nobody_shares(content: Mapping[str, Any]) -> bool:
    """Neither the suspect nor a control that is ranked has a text in common with the reference."""
    row = content["scores"][0]
    return not any(row[at] for at in (1, *controls_left(content)))


def _components(texts: Sequence[Sequence[Any]]) -> tuple[Component, ...]:
    """The prompts with the longest shared runs. `count`: words of the run; `opportunities`: of the shorter answer."""
    rows = []
    for name, run, first, second, same, holders in texts[:SHOWN]:
        note = "the answers are identical" if same else f"of answers of {first} and {second} words"
        note += f"; {holders} controls give this very answer" if same and holders else ""
        rows.append(
            Component(kind="shared text", name=f"prompt {name}", count=run, opportunities=min(first, second), note=note)
        )
    if len(texts) > SHOWN:
        rows.append(
            Component(
                kind="shared text", name="further prompts", count=0, opportunities=0, note=f"{len(texts) - SHOWN}"
            )
        )
    return tuple(rows)
