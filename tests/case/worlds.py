"""A small case for tests of verification: real tokenizers and designs, a real authority, a beacon of the tests' own, every verb.

    world = built(folder)            made once: exhibits, key, authority, and the closed case in `world.folder`
    world.copy(target)               files linked, not copied; `replace` breaks the link of what it changes
    world.remade(target, change)     what somebody who holds a key can do: the case written anew with changed bodies

The accusation is true here: the suspect's tokenizer is the reference's with its ids permuted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from filiation.case import beacons, drawing
from filiation.case.folder import CaseFolder
from filiation.case.records import (
    REQUIRED,
    Admitted,
    Announcement,
    Asked,
    Body,
    Closed,
    Declarations,
    Drawn,
    Entry,
    Examined,
    Header,
    LineUpPlan,
    Manifest,
    Noted,
    Observed,
    Opened,
    Plan,
    PlannedExhibit,
    PlannedProposition,
    Reported,
    Revealed,
    Sealed,
    Verification,
)
from filiation.case.signing import Signer, new_signer
from filiation.case.verification import verify
from filiation.evidence import Absent, Conclusion, Examination, FileRecord, Identity, Outcome, digest
from filiation.examiners.catalogue import calibration, chosen
from filiation.investigation import examined, judge_again, observe, relate, subjects
from filiation.sources.joined import JoinedSource
from filiation.sources.open import open_source
from filiation.sources.source import Source
from studies.time_stamping import LocalAuthority
from studies.zoo.corpus import read_corpus

HEADER = Header(case="5" * 32, title="Atlas Works v. Borealis Labs")
EXAMINERS = ("tokenizer", "architecture")
SECRET = bytes(range(32))
PULSES = Path(__file__).parent / "beacons"

# name: (role, lineage, which text its tokenizer was trained on, hidden size)
EXHIBITS = {
    "atlas": ("reference", "atlas", 0, 1472),
    "borealis": ("suspect", "", 0, 1472),
    "cygnus": ("control", "cygnus", 1, 576),
    "draco": ("candidate", "draco", 2, 1024),
    "eridanus": ("candidate", "eridanus", 3, 1024),
    "fornax": ("candidate", "fornax", 4, 2048),
}
ATTRIBUTES = {"architecture": "llama", "vocabulary": 700}

Change = Callable[[int, Body, CaseFolder], Sequence[Body]]
"""The bodies to write instead of the one that stood at a sequence number: none takes it out, several put more in."""


# ----------------------------------------------------------------------------------------------------------- judging


_JUDGED: dict[tuple[bytes, bytes], tuple[tuple[Outcome, ...], tuple[Conclusion, ...]]] = {}


def judge(examination: Examination, plan: Plan | None) -> tuple[tuple[Outcome, ...], tuple[Conclusion, ...]]:
    """The project's own judging, with the plan's weights; what was judged once is remembered by its bytes."""
    key = (msgspec.json.encode(examination), msgspec.json.encode(plan))
    if key not in _JUDGED:
        weights = {test: w for planned in plan.propositions for test, w in planned.weights.items()} if plan else None
        again = judge_again(examination, weights)
        _JUDGED[key] = (again.outcomes, again.conclusions)
    return _JUDGED[key]


def verified(path: Path, **options: Any) -> Verification:
    return verify(path, judge=judge, **options)


def failed(verification: Verification) -> set[int]:
    """Numbers of the checks that failed."""
    return {check.number for check in verification.checks if check.failures}


# ----------------------------------------------------------------------------------------------------------- exhibits


def make_exhibits(folder: Path) -> dict[str, Path]:
    texts = read_corpus().parts["one"]
    made = {}
    for name, (_, _, text, hidden) in EXHIBITS.items():
        made[name] = folder / name
        made[name].mkdir(parents=True)
        document = json.loads(_tokenizer(texts[text * 120_000 : (text + 1) * 120_000]))
        if name == "borealis":
            ids = np.random.default_rng(7).permutation(len(document["model"]["vocab"]))
            document["model"]["vocab"] = {token: int(ids[old]) for token, old in document["model"]["vocab"].items()}
        (made[name] / "tokenizer.json").write_text(json.dumps(document), encoding="utf-8")
        (made[name] / "config.json").write_text(json.dumps(_design(hidden)), encoding="utf-8")
    return made


def _tokenizer(text: str) -> str:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer=trainer)
    return str(tokenizer.to_str())


def _design(hidden: int) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "hidden_size": hidden,
        "num_hidden_layers": 23,
        "num_attention_heads": hidden // 64,
        "num_key_value_heads": 1,
        "head_dim": 64,
        "intermediate_size": 4544,
        "vocab_size": 700,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 40000.0,
        "tie_word_embeddings": False,
        "max_position_embeddings": 2048,
    }


# ------------------------------------------------------------------------------------------------------------- beacon


def own_pulse(moment: datetime) -> tuple[bytes, bytes, Announcement]:
    """A pulse in the layout of the NIST beacon under a key of the tests' own: its file, its certificate, its announcement."""
    owner = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a beacon of the tests")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(owner.public_key())
        .serial_number(1)
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + timedelta(days=1))
        .sign(owner, hashes.SHA256())
    )
    fields = json.loads((PULSES / "nist-1-54610.json").read_bytes())["pulse"]
    fields["certificateId"] = hashlib.sha512(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
    fields["timeStamp"] = moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    message = beacons._serialised(msgspec.convert(fields, type=beacons._NistPulse))
    signature = owner.sign(message, padding.PKCS1v15(), hashes.SHA512())
    fields |= {"signatureValue": signature.hex(), "outputValue": hashlib.sha512(message + signature).hexdigest()}
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    announced = Announcement(
        basis="nist",
        chain=str(fields["chainIndex"]),
        round=fields["pulseIndex"],
        time=fields["timeStamp"],
        certificate=hashlib.sha256(pem).hexdigest(),
    )
    return json.dumps({"pulse": fields}).encode(), pem, announced


# --------------------------------------------------------------------------------------------------------------- the case


@dataclass
class Clock:
    """One second later each time it is asked."""

    now: datetime

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@dataclass
class Writer:
    """Somebody who writes a case: a folder, a key, authorities, a clock."""

    folder: CaseFolder
    signer: Signer
    authorities: tuple[LocalAuthority, ...]
    clock: Clock

    def says(self, body: Body) -> Entry:
        return self.folder.append(body, actor="an examiner", now=self.clock())

    def signs(self) -> None:
        self.folder.checkpoint(self.signer, now=self.clock(), stampers=self.authorities)


@dataclass
class World:
    """What the tests share: the closed case and whoever could have written it."""

    place: Path
    folder: Path
    signer: Signer
    authority: LocalAuthority
    started: datetime
    sources: dict[str, Path]

    def now(self, **changes: Any) -> World:
        """The same people and exhibits at this moment: stamps are of the real time, so that a case has to be written at it."""
        return dataclasses.replace(self, started=datetime.now(UTC).replace(microsecond=0), **changes)

    def copy(self, target: Path, original: Path | None = None) -> Path:
        shutil.copytree(original or self.folder, target, copy_function=os.link)
        return target

    def remade(
        self,
        target: Path,
        change: Change = lambda _number, body, _case: (body,),
        *,
        signer: Signer | None = None,
        authorities: tuple[LocalAuthority, ...] = (),
        started: datetime | None = None,
        signed_after: Callable[[Entry], bool] | None = None,
    ) -> Path:
        """The case written anew through the real functions, every digest chained, every checkpoint signed; stamped if asked."""
        signer = signer or self.signer
        with CaseFolder.open(self.folder) as old:
            entries, signed = old.entries, set(old.checkpoints())
            opening = change(1, entries[0].body, old)[0]
            assert isinstance(opening, Opened)
            stored = [old.objects.get(sha256) for sha256 in old.objects.digests()]
            clock = Clock(started or self.started)
            new = CaseFolder.create(target, old.header, opening, actor="an examiner", now=clock(), objects=stored)
        with new:
            writer = Writer(new, signer, authorities, clock)
            if 1 in signed:
                writer.signs()
            for entry in entries[1:]:
                for body in change(entry.sequence, entry.body, new):
                    if isinstance(body, Reported):
                        body = msgspec.structs.replace(body, head=new.head)
                        for name in body.files:
                            if not (target / "reports" / name).exists():
                                shutil.copy(self.folder / "reports" / name, target / "reports" / name)
                    writer.says(body)
                if (
                    entry.sequence in signed
                    and new.unsigned_entries()
                    and (signed_after is None or signed_after(new.entries[-1]))
                ):
                    writer.signs()
        _forget_unnamed(target)
        return target


def replace(file: Path, data: bytes) -> None:
    """Other bytes in a file of a linked copy, the original left alone."""
    file.unlink(missing_ok=True)
    file.write_bytes(data)


def _forget_unnamed(target: Path) -> None:
    """A careful forger leaves no object behind that nothing names any more."""
    from filiation.case.checks_folder import unnamed_objects
    from filiation.case.reading import read_case

    for sha256 in unnamed_objects(read_case(target)):
        (target / "objects" / sha256[:2] / sha256).unlink()


def built(place: Path) -> World:
    """Exhibits, key, authority and the closed case. About five seconds, most of them `openssl`."""
    sources = make_exhibits(place / "exhibits")
    authority = LocalAuthority.made(place / "authority")
    started = datetime.now(UTC).replace(microsecond=0)
    world = World(place, place / "case", new_signer(), authority, started, sources)
    write_case(world, world.folder)
    return world


def opening(world: World, **changes: Any) -> Opened:
    fields = {
        "case": HEADER.case,
        "title": HEADER.title,
        "party": "claimant",
        "key": world.signer.key,
        "software": "filiation, its tests",
        "authorities": (world.authority.authority,),
    }
    return Opened(**{**fields, **changes})


def write_case(world: World, path: Path, *, until: str = "close", pulse_after: int = 60) -> None:
    """Every verb in turn, up to `until`. `pulse_after`: when the beacon speaks, in seconds after the case was opened."""
    beacon, pem, announced = own_pulse(world.started + timedelta(seconds=pulse_after))
    clock = Clock(world.started)
    stored = (world.authority.certificate, pem)
    folder = CaseFolder.create(path, HEADER, opening(world), actor="an examiner", now=clock(), objects=stored)
    with folder:
        writer = Writer(folder, world.signer, (world.authority,), clock)
        for name in EXHIBITS:
            _admit(writer, name, world.sources[name])
        _admit_letter(writer)
        plan = _plan(announced)
        writer.says(Sealed(plan=folder.put_record(plan)))
        writer.signs()
        plan = _amend(writer, plan)
        writer.signs()
        drawn = _draw(writer, plan, beacon)
        writer.signs()
        if until == "draw":
            return
        _look(writer, world, plan, drawn)
        _answers(writer)
        writer.signs()
        named = drawing.code_names([plan.suspect, *drawn.foils], SECRET)
        writer.says(Revealed(plan=digest(plan), secret=SECRET.hex(), exhibits=named))
        writer.says(Noted(text="The letter came by post.", objects=(folder.objects.put(b"an envelope, scanned"),)))
        _report(writer)
        writer.says(Closed(remark="both sides were heard"))
        writer.signs()


def _admit(writer: Writer, name: str, source: Path) -> None:
    role, lineage, _, _ = EXHIBITS[name]
    files = []
    for file in sorted(source.iterdir()):
        sha256 = writer.folder.objects.put_file(file)
        files.append(FileRecord(name=file.name, size=file.stat().st_size, sha256=sha256, basis="read"))
    _admitted(writer, name, role, tuple(files), kind="folder", lineage=lineage, attributes=dict(ATTRIBUTES))


def _admit_letter(writer: Writer) -> None:
    letter = b"Dear Sirs, your tokenizer is ours.\n"
    file = FileRecord(name="letter.txt", size=len(letter), sha256=writer.folder.objects.put(letter), basis="read")
    _admitted(writer, "letter", "material", (file,), kind="file")


def _admitted(writer: Writer, name: str, role: Any, files: tuple[FileRecord, ...], **fields: Any) -> None:
    manifest = Manifest(
        exhibit=name,
        role=role,
        location=".",
        origin="made for the tests",
        obtained_by="an examiner",
        obtained_at="2026-01-31T08:15:00Z",
        files=files,
        inside=True,
        **fields,
    )
    writer.says(Admitted(exhibit=name, role=role, manifest=writer.folder.put_record(manifest)))


def _plan(announced: Announcement) -> Plan:
    examiners = chosen(EXAMINERS)
    pool = [name for name, (role, *_) in EXHIBITS.items() if role == "candidate"]
    tests = [test for examiner in examiners for test in examiner.TESTS]
    return Plan(
        case=HEADER.case,
        prepared_by="an examiner",
        reference="atlas",
        suspect="borealis",
        controls=(PlannedExhibit(exhibit="cygnus", lineage="cygnus"),),
        propositions=tuple(_propositions(tests)),
        examiners=tuple(examiner.NAME for examiner in examiners),
        examiner_versions={examiner.NAME: examiner.VERSION for examiner in examiners},
        calibration_digests={examiner.NAME: calibration(examiner).digest for examiner in examiners},
        announcement=announced,
        line_up=LineUpPlan(
            pool=tuple(PlannedExhibit(exhibit=name, lineage=name, attributes=dict(ATTRIBUTES)) for name in pool),
            foils=2,
            matched_on=("architecture", "vocabulary"),
        ),
    )


def _propositions(tests: Sequence[Any]) -> list[PlannedProposition]:
    """Equal weights within each proposition, alternative and kind of null."""
    groups: dict[tuple[str, str], dict[str, list[str]]] = {}
    for test in tests:
        groups.setdefault((str(test.proposition), test.alternative), {}).setdefault(str(test.null), []).append(test.id)
    return [
        PlannedProposition(
            proposition=proposition,
            alternative=alternative,
            weights={test: 1 / len(of) for of in nulls.values() for test in of},
        )
        for (proposition, alternative), nulls in groups.items()
    ]


def _amend(writer: Writer, before: Plan) -> Plan:
    plan = msgspec.structs.replace(before, remarks="The letter is no exhibit that is examined.")
    sealed = writer.folder.put_record(plan)
    writer.says(Sealed(plan=sealed, replaces=digest(before), reason="asked for by the court", changes=("remarks",)))
    return plan


def _draw(writer: Writer, plan: Plan, beacon: bytes) -> Drawn:
    pulse = beacons.read_beacon(beacon, plan.announcement, writer.folder.objects.get(plan.announcement.certificate))
    seed = drawing.seed(digest(plan), pulse.randomness)
    foils = drawing.draw_foils(plan.line_up, ATTRIBUTES, seed, {"atlas"})
    drawn = Drawn(
        plan=digest(plan),
        basis="nist",
        seed=seed,
        commitment=drawing.commitment(SECRET),
        code_names=tuple(drawing.code_names([plan.suspect, *foils], SECRET)),
        foils=foils,
        beacon=writer.folder.objects.put(beacon),
    )
    writer.says(drawn)
    return drawn


def _look(writer: Writer, world: World, plan: Plan, drawn: Drawn) -> None:
    """Observe everybody, examine the line-up under code names, and once outside the plan."""
    behind = drawing.code_names([plan.suspect, *drawn.foils], SECRET)
    opened: dict[str, Source] = {"atlas": _opened(world, "atlas"), "cygnus": _opened(world, "cygnus")}
    for code, name in behind.items():
        opened[code] = JoinedSource([_opened(world, name)], name=code, neutral=True)
    seen = {}
    for name, source in opened.items():
        for examiner in chosen(EXAMINERS):
            found = observe(examiner, source)
            assert not isinstance(found, Absent)
            seen[name, examiner.NAME] = found
            sha256 = writer.folder.put_record(found)
            version = examiner.VERSION
            writer.says(
                Observed(
                    exhibit=name,
                    examiner=examiner.NAME,
                    examiner_version=version,
                    plan=digest(plan),
                    observation=sha256,
                )
            )
    writer.signs()
    identities = {name: source.identity(True) for name, source in opened.items()}
    seed = drawing.examination_seed(drawn.seed)
    for code in behind:
        names = ("atlas", code, "cygnus")
        _examine(writer, names, opened, seen, identities, seed, plan, exploratory=False)
    code = next(iter(behind))
    _examine(writer, ("atlas", code), opened, seen, identities, 0, plan, exploratory=True)


def _opened(world: World, name: str) -> Source:
    return open_source(world.sources[name], name=name, lineage_id=EXHIBITS[name][1])


def _examine(
    writer: Writer,
    names: tuple[str, ...],
    opened: dict[str, Source],
    seen: dict[tuple[str, str], Any],
    identities: dict[str, Identity],
    seed: int,
    plan: Plan,
    *,
    exploratory: bool,
) -> None:
    weights = {test: w for planned in plan.propositions for test, w in planned.weights.items()}
    sources = [opened[name] for name in names]
    looks = [
        relate(examiner, subjects(sources, [seen[name, examiner.NAME] for name in names], {}), seed)
        for examiner in chosen(EXAMINERS)
    ]
    record = examined(looks, [identities[name] for name in names], seed=seed, weights=None if exploratory else weights)
    writer.says(
        Examined(
            subject=names[1],
            plan=digest(plan),
            record=writer.folder.put_record(record),
            outcomes=digest({"outcomes": record.outcomes, "conclusions": record.conclusions}),
            exploratory=exploratory,
            purpose="without controls" if exploratory else "",
        )
    )


def _answers(writer: Writer) -> None:
    """A recording and its transcript, as an endpoint's would be kept."""
    recording = writer.folder.objects.put(b'{"prompt":"Who made you?","answer":"Atlas Works did."}\n')
    transcript = writer.folder.objects.put(b"prompt,answer\nWho made you?,Atlas Works did.\n")
    writer.says(
        Asked(exhibit="atlas", endpoint="made", recording=recording, transcript=transcript, requests=1, answers=1)
    )


def _report(writer: Writer) -> None:
    declarations = Declarations(**dict.fromkeys(REQUIRED, "as agreed"))
    data = f"<p>This report tells of the ledger up to {writer.folder.head}.</p>\n".encode()
    sha256 = writer.folder.write_report("report.html", data)
    bound = writer.folder.put_record(declarations)
    writer.says(Reported(files={"report.html": sha256}, head=writer.folder.head, declarations=bound))


def report_again(entry: Entry) -> dict[str, bytes]:
    """What `_report` writes, rendered from the entry."""
    assert isinstance(entry.body, Reported)
    return {"report.html": f"<p>This report tells of the ledger up to {entry.body.head}.</p>\n".encode()}
