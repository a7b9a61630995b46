"""What the example cases fix before the suspect is looked at, and what a fictitious expert declares: TOML, as people write it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import date

from studies.cases.models import CONTROL_FOLDERS, POOL, SAME_TEXT
from studies.cases.recordings import ANSWERING

OURS, THEIRS = "Alder", "Birch"
"""What the reference and the suspect are called, in both cases."""

TOKENIZER = "byte-level BPE of 768 tokens"
RELEASE = "second half of 2026"
FOILS = 4

PLAN = """\
# The plan of an example case: see examples/cases/README.md
prepared_by = "An example; no person"
reference = "{ours}"
suspect = "{theirs}"
examiners = ["architecture", "tokenizer", "weights", "text_kinship", "verbatim"]
remarks = \"\"\"
An example for training and for tests. The models were trained for it, and the parties are invented.
The innocent explanation is that both parties trained on the same public text with a public design and a public tokenizer.
The controls read that text too; of the pool, {shares} read it and stands in the line-up whatever is drawn.\"\"\"

{controls}

[line_up]
foils = {foils}
matched_on = ["architecture", "parameters", "tokenizer", "release"]
tolerance = 2.0
shares_explanation = ["{shares}"]

{pool}

# No beacon: a practice case does not wait for one. The seed is the SHA-256 of a sentence that anybody can hash.
[announcement]
basis = "claimant"
seed = "{seed}"

# The answers were recorded from models made here; the control packs answered other prompts.
[parameters.text_kinship]
packs = "none"

[parameters.verbatim]
packs = "none"
"""


def plan(case: str, parameters: int) -> str:
    """The plan of one case. `parameters`: how many numbers each model of the pool holds."""
    attributes = {"architecture": "llama", "parameters": parameters, "tokenizer": TOKENIZER, "release": RELEASE}
    return PLAN.format(
        controls=exhibits("controls", {name: name for name in (*CONTROL_FOLDERS, *ANSWERING)}, {}),
        pool=exhibits("line_up.pool", {name: name for name in POOL}, attributes),
        ours=OURS,
        theirs=THEIRS,
        foils=FOILS,
        shares=SAME_TEXT,
        seed=seed_of(case),
    )


def seed_of(case: str) -> str:
    """The seed of a case: the SHA-256 of a sentence."""
    return hashlib.sha256(f"filiation example case: {case}".encode()).hexdigest()


def exhibits(table: str, lineages: Mapping[str, str], attributes: Mapping[str, object]) -> str:
    """Tables of a plan, one for each exhibit, with what foils are matched on."""
    return "\n\n".join(_exhibit(table, name, lineage, attributes) for name, lineage in lineages.items())


def _exhibit(table: str, name: str, lineage: str, attributes: Mapping[str, object]) -> str:
    lines = [f"[[{table}]]", f'exhibit = "{name}"', f'lineage = "{lineage}"']
    if attributes:
        lines.append(f"attributes = {{ {_inline(attributes.items())} }}")
    return "\n".join(lines)


def _inline(pairs: Iterable[tuple[str, object]]) -> str:
    return ", ".join(f"{name} = {json.dumps(value)}" for name, value in pairs)


CHANGES = """\
# What the accused has examined instead: everybody of the pool who read the same text stands in the line-up.
[line_up]
foils = 5
shares_explanation = ["base-e", "base-f"]
"""

LETTER = """\
EXAMPLE: both parties are invented, and this letter was written by a program.

We trained the model Alder. The model Birch has the same design, the same tokenizer and the same
number of parameters as ours. Above all, the gains of its norms point the same way as ours: the cosine of the two vectors,
{dimensions} numbers each, is {cosine:.4f}. We take that for the sign of a copy.
"""
"""The accusation, the same words in both cases. What the cosine is worth is what the cases show."""

_DECLARATIONS = """\
expert = "E. X. Ample (invented for this example; no such expert exists)"
qualifications = "None: this is an example. A real report states training, experience and publications here."
instructed_by = "Nobody: this is an example."
questions_put = "Whether the model Birch was made from the model Alder."
materials_received = \"\"\"
Folders of models and tables of recorded answers, as the list of exhibits names them by digest, and the accuser's letter.\"\"\"
not_examined = \"\"\"
How either party trained its model: no records of training, no source code and no correspondence were seen.
Services: neither model was asked over a network.\"\"\"
limits = \"\"\"
The models are small ({parameters:,} parameters each) and were trained for minutes on text of one kind, Python code. What holds
for them need not hold for large models. A shared initialisation reads like a copy, and direction is not told.\"\"\"
known_defects = \"\"\"
The seed of the draw is the accuser's choice, because a practice case does not wait for a beacon. The time-stamps are those
of a practice authority on the same machine, which vouches for nothing. Whether ranks of recorded answers hold for
models that write code was not validated outside this line-up.\"\"\"
interests = "The example was made by the authors of the software that it shows."
other_opinions = "None was asked for."
statement = "This is an example. A real report carries here the statement that the court's rules ask for."
place_and_date = "Nowhere, {day}"
"""


def declarations(parameters: int, day: date) -> str:
    """What the invented expert declares. `parameters`: of each model; `day`: of the declaration."""
    return _DECLARATIONS.format(parameters=parameters, day=day.isoformat())
