"""Opening one batch, once, for somebody neutral; and the request that says beforehand what will be tested.

A bundle is a folder that holds all that a verifier needs and nothing of the other batches. The same batch is not opened a
second time: whoever has the bundle can hand it on, and a suspect that was trained after the opening may know the labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from filiation.canaries import labels
from filiation.canaries.canary import Canary, check_canaries, check_candidate
from filiation.canaries.commitment import (
    BatchPlan,
    CanaryLeaf,
    Commitment,
    KeyLeaf,
    Leaf,
    leaves,
    tree_over,
)
from filiation.case.commitments import certificate_name as certificate_name
from filiation.case.commitments import read_signed, signed
from filiation.case.files import make_folder, read_file, write_file
from filiation.case.merkle import root_from
from filiation.case.records import PublicKey
from filiation.case.signing import Signer
from filiation.errors import RecordError, UsageError
from filiation.evidence import Record, canonical

REQUEST_TYPE = "urn:filiation:canary-request:v1"
SCRIPT = "filiation.canaries.scoring, version 1"
LARGEST_OPENING = 512 << 20

COMMITMENT_FILE = "commitment.json"
BEACON_FILE = "beacon.json"
BEACON_CERTIFICATE_FILE = "beacon.pem"
LEDGER_FILE = "ledger.jsonl"
REQUEST_FILE = "request.json"
OPENING_FILE = "opening.json"
PARTS = (COMMITMENT_FILE, BEACON_FILE, LEDGER_FILE, REQUEST_FILE, OPENING_FILE)
"""The files that every bundle has."""

Statistic = Literal["agreements", "ranks"]


class Request(Record, frozen=True, kw_only=True):
    """What a verifier is to do with a batch, fixed before it is opened.

    `suspects` are the models to be tested; `considered` is how many the claimant has looked at in any way, the named ones
    included. `controls` are unrelated models. `statistic`: 'agreements' of the answers, or 'ranks' of the options where
    log-probabilities are had. `placebo_keys` and `wrong_cohorts`: how many of each are drawn as controls.
    """

    commitment: str
    batch: int
    verifier: str
    suspects: tuple[str, ...]
    considered: int
    controls: tuple[str, ...] = ()
    statistic: Statistic = "agreements"
    placebo_keys: int = 999
    wrong_cohorts: int = 20
    script: str = SCRIPT


class OpenedLeaf(Record, frozen=True, kw_only=True):
    """A leaf, its place in the tree, and the hashes (hexadecimal) that lead from it to the root."""

    place: int
    path: tuple[str, ...]
    leaf: Leaf


class Opening(Record, frozen=True, kw_only=True):
    """One batch opened: its key (hexadecimal) and all its leaves, canaries, decoys and the key's commitment last."""

    commitment: str
    batch: int
    key: str
    leaves: tuple[OpenedLeaf, ...]
    version: int = 1


# --------------------------------------------------------------------------------------------------------------- request


def check_request(request: Request, commitment: Commitment) -> None:
    """UsageError where a request could not be carried out."""
    names = (*request.suspects, *request.controls)
    if not request.suspects or len(set(names)) != len(names) or not all(names):
        raise UsageError(
            "suspects and controls need names, each one its own", advice="give --suspect NAME at least once"
        )
    if request.considered < len(request.suspects):
        raise UsageError(
            f"{request.considered} models were considered, but {len(request.suspects)} are suspects",
            advice="count every model that was looked at, the suspects included",
        )
    if not any(plan.batch == request.batch for plan in commitment.batches):
        raise UsageError(f"there is no batch {request.batch}", advice=f"give one of 0 to {len(commitment.batches) - 1}")
    if not (19 <= request.placebo_keys <= 100_000 and 1 <= request.wrong_cohorts <= 1000):
        raise UsageError("placebo keys or wrong cohorts are too few or too many", advice="leave them at 999 and 20")


def request_file(request: Request, signer: Signer) -> bytes:
    return signed(REQUEST_TYPE, COMMITMENT_FILE, request.commitment, request, signer)


def read_request(data: bytes, commitment_sha256: str, key: PublicKey) -> Request:
    """The request in a file, signed under the commitment's key. Raises RecordError."""
    request, about = read_signed(data, key, REQUEST_TYPE, COMMITMENT_FILE, Request)
    if not about == request.commitment == commitment_sha256:
        raise _refused("the request is about another commitment")
    return request


# --------------------------------------------------------------------------------------------------------------- opening


def open_batch(
    canaries: Sequence[Canary], key: bytes, commitment: Commitment, commitment_sha256: str, batch: int
) -> Opening:
    """The opening of a batch. RecordError where canaries or key are not those that were committed to."""
    plan = plan_of(commitment, batch)
    made = leaves(canaries, key)
    tree = tree_over(made)
    if tree.root.hex() != commitment.root:
        raise RecordError(
            "the canaries or the key are not those that were committed to",
            exhibit="the canaries",
            advice="give the file of canaries as it was, and the key that 'commit' used",
        )
    return Opening(
        commitment=commitment_sha256,
        batch=batch,
        key=labels.batch_key(key, batch).hex(),
        leaves=tuple(
            OpenedLeaf(place=place, path=tuple(each.hex() for each in tree.path(place)), leaf=made[place])
            for place in places(commitment, plan)
        ),
    )


def plan_of(commitment: Commitment, batch: int) -> BatchPlan:
    for plan in commitment.batches:
        if plan.batch == batch:
            return plan
    raise _refused(f"there is no batch {batch} in the commitment")


def places(commitment: Commitment, plan: BatchPlan) -> tuple[int, ...]:
    """Where the leaves of a batch stand: its canaries and decoys, then the commitment of its key."""
    indices = range(plan.first, plan.first + plan.canaries + plan.decoys)
    return (*indices, commitment.leaves - len(commitment.batches) + plan.batch)


def opening_file(opening: Opening) -> bytes:
    return canonical(opening) + b"\n"


def read_opening(data: bytes) -> Opening:
    """The opening in a file. RecordError unless it is one, in the one form in which it is written."""
    if len(data) > LARGEST_OPENING:
        raise _refused(f"the opening has {len(data)} bytes")
    try:
        opening = msgspec.json.decode(data, type=Opening)
        same = opening_file(opening) == data
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise _refused(f"the file is no opening: {str(error)[:200]}") from error
    if not same:
        raise _refused("the opening is not in the one form that it is written in")
    return opening


def canaries_in(opening: Opening) -> tuple[Canary, ...]:
    """The canaries and decoys that an opening holds, nothing checked."""
    return tuple(opened.leaf.canary for opened in opening.leaves if isinstance(opened.leaf, CanaryLeaf))


def check_opening(opening: Opening, commitment: Commitment, commitment_sha256: str) -> tuple[Canary, ...]:
    """The canaries and decoys of an opened batch, once all of it stands under the commitment's root. Raises RecordError.

    1. It is an opening of this commitment, and all leaves of the batch are there, in their places.
    2. Each leaf and its path lead to the root.
    3. The key is the one whose commitment stands in the tree.
    4. Canaries and decoys are what the batch's plan says, in pairs, with options that can be told apart.
    """
    plan = plan_of(commitment, opening.batch)
    if opening.version != 1 or opening.commitment != commitment_sha256:
        raise _refused("the opening is of another commitment")
    if tuple(opened.place for opened in opening.leaves) != places(commitment, plan):
        raise _refused("the opening does not hold every leaf of its batch in its place")
    for opened in opening.leaves:
        if (
            root_from(canonical(opened.leaf), opened.place, commitment.leaves, _hashes(opened.path)).hex()
            != commitment.root
        ):
            raise _refused(f"leaf {opened.place} does not stand under the root that was committed to")
    _check_key(opening)
    return _canaries(opening, plan)


def _hashes(path: tuple[str, ...]) -> tuple[bytes, ...]:
    try:
        return tuple(bytes.fromhex(each) for each in path)
    except ValueError as error:
        raise _refused("a path is not hexadecimal") from error


def _check_key(opening: Opening) -> None:
    leaf = opening.leaves[-1].leaf
    key = _hashes((opening.key,))[0]
    if not isinstance(leaf, KeyLeaf) or leaf.batch != opening.batch or leaf.key_sha256 != labels.commitment(key):
        raise _refused("the key of the batch is not the one that was committed to")


def _canaries(opening: Opening, plan: BatchPlan) -> tuple[Canary, ...]:
    found = canaries_in(opening)
    if [canary.index for canary in found] != list(range(plan.first, plan.first + plan.canaries + plan.decoys)):
        raise _refused("the canaries are not numbered as their leaves are")
    if any(canary.batch != plan.batch for canary in found) or sum(canary.decoy for canary in found) != plan.decoys:
        raise _refused("canaries and decoys are not those of the batch's plan")
    _check_as_if_first(found, plan)
    return found


def _check_as_if_first(found: tuple[Canary, ...], plan: BatchPlan) -> None:
    """Pairs and prompts of a batch are checked as if it were the only one: partners never lie in another batch."""
    moved = tuple(
        msgspec.structs.replace(canary, index=canary.index - plan.first, partner=canary.partner - plan.first)
        for canary in found
    )
    for canary in found:
        try:
            check_candidate(canary, f"canary {canary.index}")
        except UsageError as error:
            raise _refused(f"canary {canary.index}: {error.message}") from error
    check_canaries(moved)


# ---------------------------------------------------------------------------------------------------------------- bundle


@dataclass(frozen=True)
class Bundle:
    """All that a verifier is given, as bytes. `stamps` and `certificates` by the name of the authority."""

    commitment: bytes
    beacon: bytes
    ledger: bytes
    request: bytes
    opening: bytes
    beacon_certificate: bytes = b""
    stamps: Mapping[str, bytes] = field(default_factory=dict)
    certificates: Mapping[str, bytes] = field(default_factory=dict)

    def files(self) -> dict[str, bytes]:
        """The files of a bundle by name."""
        named = {
            COMMITMENT_FILE: self.commitment,
            BEACON_FILE: self.beacon,
            LEDGER_FILE: self.ledger,
            REQUEST_FILE: self.request,
            OPENING_FILE: self.opening,
            **{stamp_name(name): data for name, data in self.stamps.items()},
            **{certificate_name(name): data for name, data in self.certificates.items()},
        }
        return named | ({BEACON_CERTIFICATE_FILE: self.beacon_certificate} if self.beacon_certificate else {})


def stamp_name(authority: str) -> str:
    return f"commitment.{authority}.tsr"


def write_bundle(bundle: Bundle, folder: Path) -> None:
    """Write a bundle into a folder, which is made where there is none."""
    make_folder(folder)
    for name, data in bundle.files().items():
        write_file(folder / name, data)


def read_bundle(folder: Path) -> Bundle:
    """The bundle in a folder. RecordError where a part of it is missing."""
    others = [path.name for kind in ("*.tsr", "*.pem") for path in sorted(folder.glob(kind))]
    return bundle_from({name: read_file(folder / name) for name in (*PARTS, *others)})


def bundle_from(files: Mapping[str, bytes]) -> Bundle:
    """The bundle that these files are, by name; files that belong to none are left aside. RecordError where a part is missing."""
    missing = [name for name in PARTS if name not in files]
    if missing:
        raise RecordError(
            f"the bundle lacks {', '.join(missing)}",
            exhibit="the bundle",
            advice="give all that 'filiation canary reveal' wrote",
        )
    return Bundle(
        commitment=files[COMMITMENT_FILE],
        beacon=files[BEACON_FILE],
        ledger=files[LEDGER_FILE],
        request=files[REQUEST_FILE],
        opening=files[OPENING_FILE],
        beacon_certificate=files.get(BEACON_CERTIFICATE_FILE, b""),
        stamps=_named(files, stamp_name),
        certificates=_named(files, certificate_name),
    )


def _named(files: Mapping[str, bytes], name_of: Callable[[str], str]) -> dict[str, bytes]:
    """Files that are named after an authority, by its name."""
    before, after = name_of("|").split("|")
    inside = {name: name.removeprefix(before).removesuffix(after) for name in sorted(files)}
    return {authority: files[name] for name, authority in inside.items() if authority and name == name_of(authority)}


def _refused(what: str) -> RecordError:
    return RecordError(what, exhibit="the opening", advice="ask for the bundle as it was handed over first")
