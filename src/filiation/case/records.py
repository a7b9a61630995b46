"""What a case file says: the plan, the manifests of exhibits, and the entries of the ledger. Plain records, no files.

Every record has one byte form, `evidence.canonical` (RFC 8785), and a digest over it. An object that is named by a
digest stands in `objects/`. Times are UTC in ISO 8601 with a 'Z' and whole seconds; they are what the writer's clock said,
and only a time-stamp of an authority makes them more than that.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from filiation.evidence import FileRecord, Record

FORMAT = "filiation-case"
VERSION = 1

CHECKPOINT_TYPE = "urn:filiation:checkpoint:v1"
"""`predicateType` of the in-toto Statement that a checkpoint signs."""

RECEIPT_TYPE = "urn:filiation:receipt:v1"
"""`predicateType` of the Statement that binds the time-stamps of a checkpoint."""

Setting = bool | int | float | str


class CaseRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Base of the records of a case: a field that has its default is left out of the bytes.

    So a later version may add fields with defaults, and what was written before keeps its bytes and its digest.
    """


class Header(Record, frozen=True, kw_only=True):
    """`case.json`: which case this folder holds. `case`: 32 hexadecimal digits drawn at random when it was opened."""

    format: str = FORMAT
    version: int = VERSION
    case: str
    title: str


# ------------------------------------------------------------------------------------------------------ who vouches


class PublicKey(Record, frozen=True, kw_only=True):
    """An ed25519 public key. `public`: 64 hexadecimal digits; `keyid`: SHA-256 of its 32 bytes, in hexadecimal."""

    keyid: str
    public: str
    scheme: Literal["ed25519"] = "ed25519"


class Authority(CaseRecord, frozen=True, kw_only=True):
    """A time-stamping authority (RFC 3161). `certificate`: digest of the object that holds its root certificate (PEM)."""

    name: str
    url: str
    certificate: str


class CounterTo(CaseRecord, frozen=True, kw_only=True):
    """The case that a counter-case answers, as it stood: the head of its ledger after entry `sequence`."""

    case: str
    head: str
    sequence: int
    keyid: str


# ------------------------------------------------------------------------------------------------------------- exhibits


Role = Literal["reference", "suspect", "control", "candidate", "material"]
"""`candidate`: stands in the pool from which foils are drawn; `material`: anything else that is kept (probes, letters)."""


class Manifest(CaseRecord, frozen=True, kw_only=True):
    """One exhibit as it was admitted.

    `location` is how it is opened ('.' stands for the object's folder; for models it is only a hint on another machine).
    `inside`: whether its bytes lie in the case. `content_id` is that of `evidence.Identity` where weights were hashed whole.
    `attributes` are what foils are matched on: architecture class, parameters, tokenizer family, release.
    """

    exhibit: str  # 'NAME', or 'NAME/PART' of an exhibit that has several
    role: Role
    kind: str  # 'folder', 'safetensors', 'gguf', 'hub', 'transcript', 'pack', 'marks', 'endpoint', 'file'
    location: str
    origin: str
    obtained_by: str
    obtained_at: str
    lineage: str = ""
    model: str = ""  # of a transcript or a pack that holds several
    files: tuple[FileRecord, ...] = ()
    inside: bool = False
    content_id: str = ""
    attributes: dict[str, Setting] = msgspec.field(default_factory=dict)


# ---------------------------------------------------------------------------------------------------------------- plan


class PlannedProposition(CaseRecord, frozen=True, kw_only=True):
    """A proposition with its alternative, and the tests that speak to it with the weights by which their e-values merge.

    Weights of tests that share a kind of null sum to 1 within it (checked when the plan is sealed).
    """

    proposition: str
    alternative: str
    weights: dict[str, float]


class PlannedExhibit(CaseRecord, frozen=True, kw_only=True):
    """An exhibit that the plan names before anybody looked at it. Whoever stands in the pool may be drawn as a foil."""

    exhibit: str
    lineage: str = ""
    attributes: dict[str, Setting] = msgspec.field(default_factory=dict)


class LineUpPlan(CaseRecord, frozen=True, kw_only=True):
    """How foils are found: drawn from the pool, among those like the suspect in everything that is not at issue.

    `matched_on` names attributes; numbers count as alike within the factor `tolerance`, words where they are equal.
    `shares_explanation` names one of the pool that shares the innocent explanation; it always stands in the line-up.
    """

    pool: tuple[PlannedExhibit, ...] = ()
    foils: int = 0
    matched_on: tuple[str, ...] = ()
    tolerance: float = 2.0
    shares_explanation: tuple[str, ...] = ()


class Announcement(CaseRecord, frozen=True, kw_only=True):
    """The public randomness that a plan waits for. `basis` 'claimant': there is none, and the report says so.

    drand: `chain` is the chain's hash, `round` the number of the round, `public_key`, `genesis` (seconds since 1970) and
    `period` (seconds) are the chain's own; of a chain that is not built in `group_hash` and `beacon_id`, too, without which its hash
    binds nothing. NIST: `chain` the chain index, `round` the pulse index, `time` its time stamp.
    """

    basis: Literal["drand", "nist", "claimant"]
    chain: str = ""
    round: int = 0
    time: str = ""
    scheme: str = ""
    public_key: str = ""
    genesis: int = 0
    period: int = 0
    certificate: str = ""  # object: the certificate (PEM) that NIST pulses are held against
    seed: str = ""  # 'claimant' only: 64 hexadecimal digits
    group_hash: str = ""
    beacon_id: str = ""


class Stopping(CaseRecord, frozen=True, kw_only=True):
    """When asking stops. `rule`: 'fixed' asks everything; 'path maximum' stands for answers that `filiation probe` recorded in
    rounds: the examiner that ranks them is given the looks, and the case asks no endpoint itself."""

    rule: Literal["fixed", "path maximum"] = "fixed"
    prompts: int = 0
    samples: int = 1
    budget_requests: int = 0
    budget_seconds: float = 0.0


class Asking(CaseRecord, frozen=True, kw_only=True):
    """How endpoints are asked; what is left out is the server's own choice, and unknown."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None  # of sample 0; sample n gets this plus n
    top_log_probabilities: int | None = None  # 0 or more asks for log-probabilities
    system: str = ""


class Probes(CaseRecord, frozen=True, kw_only=True):
    """Probes that endpoints will be asked: a shipped set, how many are drawn from it with the plan's seed."""

    name: str
    count: int


class Tolerance(CaseRecord, frozen=True, kw_only=True):
    """What counts as the same when exhibits are acquired and observed again: recomputing has no tolerance at all."""

    log10_p: float = 0.5
    share: float = 0.02


class Plan(CaseRecord, frozen=True, kw_only=True):
    """Everything that is fixed before the suspect is looked at. Its digest is what is sealed, signed and stamped."""

    case: str
    prepared_by: str
    reference: str
    suspect: str
    controls: tuple[PlannedExhibit, ...]
    propositions: tuple[PlannedProposition, ...]
    examiners: tuple[str, ...]
    examiner_versions: dict[str, str]
    calibration_digests: dict[str, str]
    announcement: Announcement
    parameters: dict[str, dict[str, Setting]] = msgspec.field(default_factory=dict)
    line_up: LineUpPlan = LineUpPlan()
    stopping: Stopping = Stopping()
    asking: Asking = Asking()
    probes: tuple[Probes, ...] = ()
    tolerance: Tolerance = Tolerance()
    remarks: str = ""


# -------------------------------------------------------------------------------------------- what the ledger's entries say


class Opened(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="open"):
    """The first entry, always. `party`: for whom the case is made ('claimant', 'accused', 'neutral' or a name)."""

    case: str
    title: str
    party: str
    key: PublicKey
    software: str
    authorities: tuple[Authority, ...] = ()
    counter_to: CounterTo | None = None


class Admitted(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="admit"):
    """An exhibit, by the digest of its `Manifest`."""

    exhibit: str
    role: Role
    manifest: str


class Sealed(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="seal"):
    """A plan, by digest. `replaces` is empty for the first one; an amendment says why, what, and what was known by then."""

    plan: str
    replaces: str = ""
    reason: str = ""
    changes: tuple[str, ...] = ()
    suspect_was_observed: bool = False


class Drawn(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="draw"):
    """Seed, foils and code names of a plan. `commitment`: SHA-256 of the 32 secret bytes that assign the code names.

    `seed`: HMAC-SHA256(key = plan digest, message = the beacon's randomness), or the claimant's own choice.
    """

    plan: str
    basis: Literal["drand", "nist", "claimant"]
    seed: str
    commitment: str
    code_names: tuple[str, ...]
    foils: tuple[str, ...] = ()
    beacon: str = ""  # object: the beacon's own file


class Observed(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="observe"):
    """What an examiner recorded of one exhibit, by the digest of its `evidence.Observation`; or why there is nothing.

    `exhibit` is a code name for the suspect and the foils until they are revealed.
    """

    exhibit: str
    examiner: str
    examiner_version: str
    plan: str = ""
    observation: str = ""
    absent: str = ""
    exploratory: bool = False


class Asked(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="ask"):
    """An endpoint was asked: the recording of raw exchanges (object), and the transcript made of it (object)."""

    exhibit: str
    endpoint: str
    recording: str
    transcript: str
    requests: int
    answers: int


class Examined(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="examine"):
    """One model of the line-up was examined against the reference.

    `record`: digest of the whole `evidence.Examination`, its circumstances left out; `outcomes`: digest of outcomes and
    conclusions alone, the bytes that anybody must arrive at again.
    """

    subject: str
    plan: str
    record: str
    outcomes: str
    exploratory: bool = False
    purpose: str = ""


class Revealed(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="reveal"):
    """Which exhibit stood behind which code name, with the secret that proves it was fixed before."""

    plan: str
    secret: str
    exhibits: dict[str, str]


class Reported(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="report"):
    """Files written to `reports/`, by digest, and the declarations they carry (object).

    `made_with` names the program and a digest of its source: only the same one lays a report out to the same bytes.
    """

    files: dict[str, str]
    head: str  # the head of the ledger that the report tells of
    made_with: str = ""
    declarations: str = ""
    draft: bool = False


class Noted(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="note"):
    """A remark, and objects that go with it. Free text is held to the report's wording."""

    text: str
    objects: tuple[str, ...] = ()


class Recovered(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="recover"):
    """An interrupted write was found and taken away: what was cut, and that nothing that was recorded was lost."""

    bytes_cut: int
    sha256: str
    reason: str


class Closed(CaseRecord, frozen=True, kw_only=True, tag_field="action", tag="close"):
    """The last entry of a closed case."""

    remark: str = ""


Body = (
    Opened | Admitted | Sealed | Drawn | Observed | Asked | Examined | Revealed | Reported | Noted | Recovered | Closed
)


class Entry(CaseRecord, frozen=True, kw_only=True):
    """One line of the ledger. `previous`: digest of the entry before; of the header for the first, whose sequence is 1."""

    sequence: int
    previous: str
    time: str
    actor: str
    body: Body


# ---------------------------------------------------------------------------------------------------------- checkpoints


class CheckpointPredicate(CaseRecord, frozen=True, kw_only=True):
    """What a checkpoint says besides its subject, the head of the ledger. `stamps`: the authorities that stamped it."""

    case: str
    sequence: int
    time: str
    stamps: tuple[str, ...] = ()
    unstamped: str = ""  # why no authority stamped it
    closed: bool = False
    previous: str = ""  # SHA-256 of the file of the checkpoint before; empty for the first


class ReceiptPredicate(CaseRecord, frozen=True, kw_only=True):
    """The time-stamps of a checkpoint by SHA-256, so that not a byte of them can change unseen."""

    case: str
    sequence: int
    checkpoint: str
    stamps: dict[str, str]


# --------------------------------------------------------------------------------------------------------- declarations


class Declarations(CaseRecord, frozen=True, kw_only=True):
    """What an expert has to say in a report over their own name. While one of the required fields is blank it is a draft.

    All fields are free text, held to the report's wording; `REQUIRED` names those that may not be blank.
    """

    expert: str = ""
    qualifications: str = ""
    instructed_by: str = ""
    questions_put: str = ""
    materials_received: str = ""
    not_examined: str = ""
    limits: str = ""
    known_defects: str = ""
    interests: str = ""
    other_opinions: str = ""
    statement: str = ""
    place_and_date: str = ""


REQUIRED = (
    "expert",
    "qualifications",
    "instructed_by",
    "questions_put",
    "materials_received",
    "not_examined",
    "limits",
    "known_defects",
    "interests",
    "statement",
    "place_and_date",
)


# --------------------------------------------------------------------------------------------------------- verification


class Failure(Record, frozen=True, kw_only=True):
    """What did not hold: where (an entry, a file, an exhibit), what, and what it means for the evidence."""

    where: str
    what: str
    meaning: str


class Check(Record, frozen=True, kw_only=True):
    """One of the numbered checks. A check that looked at nothing has not passed: `looked_at` counts, `note` says more."""

    number: int
    title: str
    looked_at: int
    failures: tuple[Failure, ...] = ()
    note: str = ""


class Verification(Record, frozen=True, kw_only=True):
    """`state`: 'closed', 'open at checkpoint N' or 'interrupted'. `remarks` are what holds but limits what it shows."""

    case: str
    state: str
    head: str
    entries: int
    keyid: str
    checks: tuple[Check, ...]
    remarks: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return bool(self.checks) and all(not check.failures for check in self.checks)


def defaults(kind: type[msgspec.Struct]) -> list[tuple[msgspec.structs.FieldInfo, Any]]:
    """The fields of a record that have a default, with it."""
    found = []
    for field in msgspec.structs.fields(kind):
        if field.default is not msgspec.NODEFAULT:
            found.append((field, field.default))
        elif field.default_factory is not msgspec.NODEFAULT:
            found.append((field, field.default_factory()))
    return found


def every_field(value: Any) -> Any:
    """A record as plain values with all its fields, those that have their default too."""
    if isinstance(value, msgspec.Struct):
        return {name: every_field(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list | tuple):
        return [every_field(each) for each in value]
    return {name: every_field(each) for name, each in value.items()} if isinstance(value, dict) else value
