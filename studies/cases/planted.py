"""The planted case: an owner plants canaries, a student is distilled from the planted model's answers, and is accused.

The owner's steps are those of `filiation canary`, each a command as a person would type it, under two practice authorities and a practice
beacon: prepare, commit, then wait until the announced minute has come; label, plant, train; later reveal to whoever examines. The case
itself goes the way of the other examples (`casework`).
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filiation.canaries.canary import Canary
from filiation.canaries.owner import Holding
from filiation.case.commitments import MARGIN, fingerprints
from filiation.case.signing import load_signer
from filiation.cli.canary import app as canary_app
from studies.cases.commands import AUTHORITY, Commands
from studies.cases.models import number_of_parameters
from studies.cases.plans import RELEASE, exhibits, seed_of
from studies.cases.planted_models import (
    CONTROLS,
    DOSE,
    EXPOSURES,
    OTHER_TEXT,
    OURS,
    PLANTED_LINES,
    POOL,
    SAME_LESSONS,
    SIZE,
    THEIRS,
    Models,
)
from studies.practice_beacon import CHAIN, PracticeBeacon
from studies.time_stamping import LocalAuthority
from studies.zoo.folders import publish

NAME = "planted"
TITLE = "Example for practice, third: did Birch learn Alder's planted answers?"
AUTHORITIES = (AUTHORITY, "second")
BATCHES, CANARIES = 2, 32
SEED = 20_261_121
"""Of the models' random numbers. Canaries, keys and labels are new each time."""
FOILS = 2
VERSION = "2"
"""Raise it when what the parties do changes."""
FOLDER, OWNERS_KEY = "canaries", "key-of-the-owner"
ALIKE = {"architecture": "llama", "tokenizer": f"byte-level BPE of {SIZE.vocabulary} tokens", "release": RELEASE}

PLAN = """\
# The plan of an example case: see examples/cases/README.md
prepared_by = "An example; no person"
reference = "{ours}"
suspect = "{theirs}"
examiners = ["canaries", "weights"]
remarks = \"\"\"
An example for training and for tests. The models were trained for it, and the parties are invented.
The innocent explanation is that both parties asked like questions about like people and learned from like text. Of the pool,
{shares} was taught answers to the very same prompts, which another key had chosen; it stands in the line-up whatever is drawn.\"\"\"

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

# Whom the examiner trusts: the owner's key, and by their certificates two authorities and the beacon. In a real case these come
# from elsewhere than from the claimant.
[parameters.canaries]
keyid = "{keyid}"
authorities = "{authorities}"
"""

LETTER = """\
EXAMPLE: both parties are invented, and this letter was written by a program.

Into what our model {ours} learned from we planted answers to {canaries} questions about people whom nobody knows. A secret key and a later
beacon chose each among sixteen answers that are equally good. The model {theirs} gives our answers. We had committed to the
questions and to the key before, under time-stamps; the batch is opened now, to whoever examines.
"""

_DECLARATIONS = """\
expert = "E. X. Ample (invented for this example; no such expert exists)"
qualifications = "None: this is an example. A real report states training, experience and publications here."
instructed_by = "Nobody: this is an example."
questions_put = "Whether the model Birch learned answers that were planted in the model Alder."
materials_received = \"\"\"
Folders of models, tables of recorded answers and an opened batch of canaries, as the list of exhibits names them by digest, and the
accuser's letter.\"\"\"
not_examined = \"\"\"
How either party trained its model: no records of training and no correspondence were seen. Whether the accuser, or somebody who had the
labels, exposed the accused model. Which of the ways from the planted answers to the model was taken.\"\"\"
limits = \"\"\"
The models are small ({parameters:,} parameters each) and were trained for seconds. The accused model was taught each canary's
prompt {exposures} times, as favourable a case as there is for whoever plants; marks fade fast with fewer.\"\"\"
known_defects = \"\"\"
The seed of the draw is the accuser's choice, because a practice case does not wait for a beacon. The time-stamps are those of practice
authorities on the same machine, and the beacon that the labels are bound to is a practice one under a key of its own: it is laid out as
NIST's and was not made by NIST. Whoever runs them could have known what every key gives; all three vouch for nothing. Twenty and
more unrelated models are asked for as controls, and there are {controls}.\"\"\"
interests = "The example was made by the authors of the software that it shows."
other_opinions = "None was asked for."
statement = "This is an example. A real report carries here the statement that the court's rules ask for."
place_and_date = "Nowhere, {day}"
"""


def exhibits_of(cache: Path, say: Callable[[str], None], now: Callable[[], datetime]) -> Path:
    """Everything that lies beside the case, made where it is not in the cache yet: owner's folder, models, answers, authorities."""
    told = [repr((SIZE, SEED, BATCHES, CANARIES, DOSE, EXPOSURES, AUTHORITIES)), VERSION]
    folder = cache / hashlib.sha256("".join(told).encode()).hexdigest()[:16]
    if not folder.exists():
        building = cache / f".{folder.name}-unfinished"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        Parties(NAME, building, say).prepare(now)
        publish(building, folder)
    return folder


@dataclass(frozen=True)
class Parties(Commands):
    """The owner's and the accused's side: what is planted, learned and answered, before there is a case."""

    def prepare(self, now: Callable[[], datetime]) -> None:
        """From the first canary to the opened batch, with all models trained meanwhile and their answers recorded."""
        authorities = [LocalAuthority.made(self.beside(f"authority-{name}"), name=name) for name in AUTHORITIES]
        for authority in authorities:
            self.beside(f"{authority.name}.pem").write_bytes(authority.certificate)
        beacon = PracticeBeacon.made()
        self.beside("beacon.pem").write_bytes(beacon.certificate)
        moment = _whole_minute(now() + 1.5 * MARGIN)
        self._commit(authorities, moment)
        models = Models(self._canaries_of(0), SEED, self.say)
        models.before_planting(self.place)
        while now() < moment:
            time.sleep(1)
        self.beside("beacon.json").write_bytes(beacon.pulse(moment))
        self._plant()
        models.after_planting(self.place)
        self._record(models)
        self._reveal()

    # ---------------------------------------------------------------------------------------------------------- the owner

    def _commit(self, authorities: Sequence[LocalAuthority], moment: datetime) -> None:
        self.do("key", self._key)
        self._canary("prepare", "--batches", str(BATCHES), "--batch-size", str(CANARIES))
        announced = ("--beacon", "nist", "--beacon-chain", CHAIN, "--beacon-at", f"{moment:%Y-%m-%dT%H:%M:%SZ}")
        committing: tuple[str | Path, ...] = (*announced, "--beacon-certificate", self.beside("beacon.pem"))
        with ExitStack() as serving:
            for authority in authorities:
                committing += stamped_by(authority.name, serving.enter_context(authority.serving()), self.place)
            self._canary("commit", *self._secret, "--claimant", OURS, "--number", "1", *committing, *self._signing)

    def _plant(self) -> None:
        self._canary("label", "--beacon", self.beside("beacon.json"), *self._signing)
        into = ("--into", self.beside(OTHER_TEXT), "-o", self.beside(PLANTED_LINES))
        told = ("--recipient", f"training of {OURS}", "--batch", "0", "--dose", str(DOSE))
        self._canary("plant", *self._secret, *told, *into, *self._signing)

    def _record(self, models: Models) -> None:
        """Models as the parties hand them over, and their answers, before anything is opened."""
        answers_of(self.place, "").mkdir()
        for name in (OURS, THEIRS, *POOL):
            models.save(name, self.beside("models") / name)
            lineage = "" if name in (OURS, THEIRS) else name
            models.recorded({name: lineage}).write_parquet(answers_of(self.place, name))
        models.recorded(CONTROLS).write_parquet(answers_of(self.place, "controls"))

    def _reveal(self) -> None:
        tested = ("--batch", "0", "--verifier", "the examiner of the case", "--suspect", THEIRS, "--considered", "1")
        controls = [word for name in CONTROLS for word in ("--control", name)]
        self._canary("reveal", *self._secret, *tested, *controls, *self._signing)

    def _canaries_of(self, batch: int) -> list[Canary]:
        return [canary for canary in Holding(self._folder).canaries() if canary.batch == batch]

    def _canary(self, verb: str, *arguments: str | Path) -> None:
        self.run(canary_app, "canary", verb, self._folder, *arguments)

    @property
    def _folder(self) -> Path:
        return self.beside(FOLDER)

    @property
    def _key(self) -> Path:
        return self.beside(OWNERS_KEY)

    @property
    def _secret(self) -> tuple[str | Path, ...]:
        return "--secret", self.beside("canary.secret")

    @property
    def _signing(self) -> tuple[str | Path, ...]:
        return "--signing-key", self._key


@dataclass(frozen=True)
class Planted(Commands):
    """The case, beside what the parties have."""

    def made(self, now: Callable[[], datetime]) -> tuple[Path, ...]:
        """Take the case through all its steps; returns its folder. What was planted is admitted once answers and plan are sealed."""
        authority = LocalAuthority(self.beside(f"authority-{AUTHORITY}"), AUTHORITY)
        self.beside("authority.pem").write_bytes(authority.certificate)
        parameters = number_of_parameters(self._model(OURS))
        self.beside("letter.txt").write_text(LETTER.format(ours=OURS, theirs=THEIRS, canaries=CANARIES))
        self.beside("plan.toml").write_text(self._plan(parameters))
        day = now().date().isoformat()
        declared = {"parameters": parameters, "exposures": EXPOSURES, "controls": len(CONTROLS), "day": day}
        self.beside("declarations.toml").write_text(_DECLARATIONS.format(**declared))
        with authority.serving() as address:
            self.open_case(TITLE, stamped_by(AUTHORITY, address, self.place))
            self._admit_all()
            self.seal()
            opened = f"marks:{self.beside(FOLDER) / 'opened-000'}"
            self.admit(opened, "reference", "opened by the accuser", name=f"{OURS}/canaries")
            self.conclude()
        return (self.case,)

    def _plan(self, parameters: int) -> str:
        trusted = [self.beside(f"{name}.pem") for name in AUTHORITIES] + [self.beside("beacon.pem")]
        return PLAN.format(
            ours=OURS,
            theirs=THEIRS,
            shares=SAME_LESSONS,
            foils=FOILS,
            controls=exhibits("controls", CONTROLS, {}),
            pool=exhibits("line_up.pool", {name: name for name in POOL}, ALIKE | {"parameters": parameters}),
            seed=seed_of(self.name),
            keyid=load_signer(self.beside(OWNERS_KEY)).key.keyid,
            authorities=",".join(sorted(one for file in trusted for one in fingerprints(file.read_bytes()))),
        )

    def _admit_all(self) -> None:
        self._admit_model(OURS, "reference", "handed over by the accuser")
        for name in POOL:
            self._admit_model(name, "candidate", "trained for the line-up")
        self.admit(f"transcripts:{answers_of(self.place, 'controls')}", "control", "recorded for the line-up")
        self._admit_model(THEIRS, "suspect", "handed over by the accused")
        self.admit(str(self.beside("letter.txt")), "material", "sent by the accuser", name="letter")

    def _admit_model(self, name: str, role: str, origin: str) -> None:
        """A model by the digests of its files, and its answers with their bytes."""
        alike = [
            word for key, value in ALIKE.items() if key != "architecture" for word in ("--attribute", f"{key}={value}")
        ]
        lineage = () if role in ("reference", "suspect") else ("--lineage", name)
        self.admit(str(self._model(name)), role, origin, *alike, *lineage, "--inside-limit", "0", name=name)
        spoken = f"transcripts:{answers_of(self.place, name)}#{name}"
        self.admit(spoken, role, "recorded by the examiner", *lineage, name=f"{name}/answers")

    def _model(self, name: str) -> Path:
        return self.beside("models") / name


def answers_of(place: Path, name: str) -> Path:
    """Where recorded answers lie; the folder of all where no name is given."""
    return place / "answers" / (f"{name}.parquet" if name else "")


def stamped_by(name: str, address: str, place: Path) -> tuple[str, ...]:
    """The options that name a time-stamping authority whose certificate lies in `place`."""
    return "--authority", f"{name}={address}", "--authority-certificate", f"{name}={place / f'{name}.pem'}"


def _whole_minute(when: datetime) -> datetime:
    """The next one that is not before."""
    whole = when.astimezone(UTC).replace(second=0, microsecond=0)
    return whole if whole == when else whole + timedelta(minutes=1)
