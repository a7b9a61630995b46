"""The vocabulary of an examination, and the one byte form of every record.

    Source --observe--> Observation --relate--> Relation --judge--> Outcome --merge--> Conclusion

Records are frozen. `canonical` decides the bytes that are hashed (RFC 8785); floats in hashed records are log10 values
rounded to three decimals *against the accuser*, so that two machines whose arithmetic differs in the last digits still
write the same bytes. Time, paths and host names live in `Circumstances`, which is never hashed.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec
import rfc8785

SCHEMA_VERSION = "1"


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records: immutable, compared by value, unknown fields refused."""


# ---------------------------------------------------------------------------------------------------------- the words


class Null(StrEnum):
    """Where the chance of a coincidence comes from (see docs/glossary.md). Never merged with one another."""

    CONSTRUCTION = "construction"
    EXCHANGEABILITY = "exchangeability"
    POPULATION = "population"
    MODEL = "model"


class Proposition(StrEnum):
    """What is in dispute."""

    DESIGN = "design"
    TOKENIZER = "tokenizer"
    WEIGHTS = "weights"
    OUTPUTS = "outputs"
    GUARDRAILS = "guardrails"
    SERVICE = "service"
    MARKS = "marks"
    DATA = "data"
    REPRESENTATIONS = "representations"
    TRAINING_METHOD = "training_method"


class Characteristic(StrEnum):
    """A class characteristic narrows a family down; only an individual one can identify."""

    CLASS = "class"
    INDIVIDUAL = "individual"


class Access(StrEnum):
    """What an examiner needs from a source."""

    CONFIGURATION = "configuration"
    TOKENIZER = "tokenizer"
    WEIGHTS = "weights"
    TRANSCRIPT = "transcript"
    MARKS = "marks"


# ------------------------------------------------------------------------------------------------------- coincidences


class Coincidences(Record, frozen=True, kw_only=True):
    """`count` coincidences in `opportunities`, each with a chance of at most `chance`, whatever the others did.

    `chances` replaces `chance` where opportunities differ (one per opportunity, independent given the null).
    `clusters` gives the sizes of groups inside which anything may happen: only the mean of a whole group is bounded.
    """

    count: int
    opportunities: int
    chance: float | None = None
    chances: tuple[float, ...] = ()
    clusters: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.count <= self.opportunities:
            raise ValueError(f"count {self.count} is not between 0 and {self.opportunities} opportunities")
        if (self.chance is None) == (not self.chances):
            raise ValueError("give either one chance or one chance per opportunity")
        if self.chances and len(self.chances) != self.opportunities:
            raise ValueError(f"{len(self.chances)} chances for {self.opportunities} opportunities")
        for chance in self.chances or (self.chance,):
            if chance is None or not 0.0 < chance < 1.0:
                raise ValueError(f"a chance must lie strictly between 0 and 1, not {chance}")
        if self.clusters and (sum(self.clusters) != self.opportunities or min(self.clusters) < 1):
            raise ValueError("cluster sizes must be positive and add up to the opportunities")
        if self.clusters and self.chances:
            raise ValueError("clusters with unequal chances have no valid tail here")


# ------------------------------------------------------------------------------------------- identity of what was read


class FileRecord(Record, frozen=True, kw_only=True):
    """One file of an exhibit. `basis`: 'read' (hashed here), 'claimed' (a hub says so) or 'not hashed'."""

    name: str
    size: int
    sha256: str | None = None
    basis: str = "not hashed"


class Identity(Record, frozen=True, kw_only=True):
    """Who an exhibit is, by content. `content_id` covers all tensors in role order; None when only parts were read."""

    name: str
    format: str
    lineage_id: str = ""
    lineage_basis: str = "unknown"  # 'declared' | 'found' | 'unknown'
    family: str = ""
    files: tuple[FileRecord, ...] = ()
    tokenizer_sha256: str | None = None
    tensor_sha256: dict[str, str] = {}
    content_id: str | None = None
    bytes_total: int = 0
    bytes_read: int = 0
    ranges_read: int = 0
    coverage: float = 0.0


class Absent(Record, frozen=True, kw_only=True):
    """A part that a source does not have, with the reason; never None."""

    reason: str


# ------------------------------------------------------------------------------------------------------ what was seen


class Observation(Record, frozen=True, kw_only=True):
    """What an examiner recorded of one model before anybody interpreted it; `content` is JSON."""

    examiner: str
    examiner_version: str
    exhibit: str
    content: dict[str, Any]


class Relation(Record, frozen=True, kw_only=True):
    """What an examiner recorded of two models. Everything `judge` decides on is in `content`."""

    examiner: str
    examiner_version: str
    first: str
    second: str
    seed: int
    content: dict[str, Any]


class Relations(Record, frozen=True, kw_only=True):
    """All relations of one examination for one examiner, typed by who stands in them."""

    pair: Relation
    reference_by_control: tuple[Relation, ...] = ()
    control_by_suspect: tuple[Relation, ...] = ()
    control_by_control: tuple[Relation, ...] = ()


class Test(Record, frozen=True, kw_only=True):
    """One test of an examiner: what it is about, whatever came out of it."""

    id: str
    proposition: Proposition
    alternative: str
    relation_class: str
    characteristic: Characteristic
    null: Null
    symmetric: bool = False
    formula: str = ""


class Effect(Record, frozen=True, kw_only=True):
    """The size of what was seen, in its own unit, with a 95 % interval."""

    name: str
    value: float
    low: float
    high: float


class RelationPower(Record, frozen=True, kw_only=True):
    """How often the test found a relation of known truth, counted by lineage."""

    relation: str
    detected: int
    lineages: int


class Power(Record, frozen=True, kw_only=True):
    """What the design could have found: the smallest true share of coincidences found with 95 % probability."""

    threshold_log10_p: float
    detectable_share: float
    relations: tuple[RelationPower, ...] = ()


class Lineages(Record, frozen=True, kw_only=True):
    """The validation behind a finding, counted by lineage. `upper_limit`: 95 % limit on strangers exceeding the chance."""

    strangers: int
    strangers_exceeding: int
    upper_limit: float
    controls: tuple[str, ...] = ()


class Multiplicity(Record, frozen=True, kw_only=True):
    """What was searched over and how it was paid for; `log10_cost` has been added to `log10_p` and taken from `log10_e`."""

    searched: int
    rule: str
    log10_cost: float = 0.0


class Component(Record, frozen=True, kw_only=True):
    """A part of a finding: a layer, a part of a vocabulary, an alignment."""

    kind: str
    name: str
    count: int
    opportunities: int
    log10_p: float | None = None
    note: str = ""


class Companion(Record, frozen=True, kw_only=True):
    """A figure that stands beside the finding's own and is never merged with it: another null's, or one of what should show nothing."""

    null: Null
    name: str
    value: str
    note: str = ""


class Finding(Record, frozen=True, kw_only=True, tag_field="kind", tag="finding"):
    """A completed examination, whether its p is small or large."""

    id: str
    examiner: str
    examiner_version: str
    test: str
    proposition: Proposition
    alternative: str
    relation_class: str
    characteristic: Characteristic
    null: Null
    reason: str
    count: int
    opportunities: int
    chance: float
    log10_p: float
    log10_e: float
    resolution_log10_p: float
    effect: Effect
    power: Power
    lineages: Lineages
    multiplicity: Multiplicity
    components: tuple[Component, ...] = ()
    companions: tuple[Companion, ...] = ()
    assumptions: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    conditional_on: tuple[str, ...] = ()
    direction: str = "not told"
    seed: int = 0
    parameters_digest: str = ""
    calibration_digest: str = ""
    observations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("log10_p", "log10_e", "resolution_log10_p"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a finite number, not {getattr(self, name)}")
        if self.log10_p > 0:
            raise ValueError(f"log10_p must not exceed 0, not {self.log10_p}")


class Inconclusive(Record, frozen=True, kw_only=True, tag_field="kind", tag="inconclusive"):
    """Examined, and nothing may be said: the reason is the result. `components` may still show what was seen."""

    id: str
    examiner: str
    examiner_version: str
    test: str
    proposition: Proposition
    alternative: str
    relation_class: str
    characteristic: Characteristic
    null: Null
    reason: str
    components: tuple[Component, ...] = ()
    companions: tuple[Companion, ...] = ()
    limitations: tuple[str, ...] = ()
    seed: int = 0
    observations: tuple[str, ...] = ()


class NotExamined(Record, frozen=True, kw_only=True, tag_field="kind", tag="not_examined"):
    """Could not be examined at all, and what it would need."""

    id: str
    examiner: str
    examiner_version: str
    test: str
    proposition: Proposition
    alternative: str
    relation_class: str
    characteristic: Characteristic
    null: Null
    reason: str


Outcome = Finding | Inconclusive | NotExamined


# --------------------------------------------------------------------------------------------------------- conclusions


class Cap(Record, frozen=True, kw_only=True):
    """The most (or least) a likelihood ratio may say, and why."""

    value: float
    reason: str


class Conclusion(Record, frozen=True, kw_only=True):
    """Findings of one proposition, one alternative and one kind of null, merged. `kind`: 'likelihood ratio' or 'inconclusive'."""

    proposition: Proposition
    alternative: str
    null: Null
    kind: str
    reason: str
    log10_e: float | None = None
    log10_likelihood_ratio: float | None = None
    log10_likelihood_ratio_low: float | None = None
    log10_likelihood_ratio_high: float | None = None
    cap: Cap | None = None
    word: str = ""
    merged_ids: tuple[str, ...] = ()
    explanations_tested: tuple[str, ...] = ()
    explanations_untested: tuple[str, ...] = ()


class Software(Record, frozen=True, kw_only=True):
    """What made the record: versions that can move a figure."""

    name: str
    version: str
    python: str
    libraries: dict[str, str]


class Circumstances(Record, frozen=True, kw_only=True):
    """When, where and how: kept beside the record, never part of any digest."""

    made: str = ""
    elapsed_seconds: float = 0.0
    locations: dict[str, str] = {}
    command: str = ""


class Examination(Record, frozen=True, kw_only=True):
    """The whole record of one comparison: enough to judge again without the models."""

    schema_version: str
    reference: Identity
    suspect: Identity
    controls: tuple[Identity, ...]
    software: Software
    seed: int
    observations: tuple[Observation, ...]
    relations: dict[str, Relations]
    outcomes: tuple[Outcome, ...]
    conclusions: tuple[Conclusion, ...]
    circumstances: Circumstances = Circumstances()

    def to_json(self) -> bytes:
        """The record as indented JSON, keys in a fixed order; `from_json` gives the same record back."""
        return msgspec.json.format(msgspec.json.encode(self, order="deterministic"), indent=1) + b"\n"

    @classmethod
    def from_json(cls, data: bytes | str) -> Examination:
        """Read a record. Raises `RecordError` where it is not one."""
        from filiation.errors import RecordError

        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise RecordError(
                f"this is not an examination record: {error}", advice="give the file that --json wrote"
            ) from error

    @property
    def digest(self) -> str:
        """SHA-256 over the canonical bytes, circumstances left out."""
        return digest(msgspec.structs.replace(self, circumstances=Circumstances()))

    def _repr_html_(self) -> str:
        from filiation.report.html import notebook_html

        return notebook_html(self)


# -------------------------------------------------------------------------------------------------------------- bytes


def canonical(value: Any) -> bytes:
    """The one byte form of a record (RFC 8785, JSON Canonicalization Scheme); raises ValueError on NaN or infinity."""
    try:
        return rfc8785.dumps(msgspec.to_builtins(value))
    except rfc8785.CanonicalizationError as error:
        raise ValueError(f"this record has no canonical form: {error}") from error


def digest(value: Any) -> str:
    """SHA-256, in hexadecimal, of `canonical(value)`."""
    return hashlib.sha256(canonical(value)).hexdigest()


def round_against_accuser(log10_value: float, *, accuses_when: str) -> float:
    """Round to three decimals on the side that helps the accused.

    `accuses_when`: 'small' for log10 p (rounded up), 'large' for log10 e and likelihood ratios (rounded down).
    """
    if accuses_when not in ("small", "large"):
        raise ValueError("accuses_when is 'small' or 'large'")
    if not math.isfinite(log10_value):
        raise ValueError(f"not a finite number: {log10_value}")
    # A figure already on the grid stays where it is: without the slack, -0.3 * 1000 = -299.99999999999994 would move.
    scaled = log10_value * 1000.0
    slack = 1e-9 * max(1.0, abs(scaled))
    rounded = math.ceil(scaled - slack) if accuses_when == "small" else math.floor(scaled + slack)
    return rounded / 1000.0 + 0.0  # + 0.0: no negative zero


def json_mapping(value: Mapping[str, Any]) -> dict[str, Any]:
    """A plain dict of JSON values, as it will be hashed; raises ValueError where something is not JSON."""
    plain: dict[str, Any] = msgspec.json.decode(canonical(dict(value)))
    return plain
