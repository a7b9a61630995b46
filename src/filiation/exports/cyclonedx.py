"""The models of a case as a bill of materials (CycloneDX 1.6, ML-BOM), claimed and found lineage strictly apart.

1. What manifests declare stands in `pedigree.ancestors` of a component, and nowhere else.
2. What findings say stands in properties named `filiation:found:...`, and nowhere else: with the null, n, k, c and p of every
   test, findings, inconclusive ones and those not examined alike. Nothing found is said.
3. What is in dispute stands in properties of the bill itself: an accusation is neither declared nor found.

A reader who knows CycloneDX alone sees what is claimed. Nothing that was found is ever turned into an ancestor: a finding
says how probable an outcome was, not who descends from whom.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from filiation.case.records import Manifest, Opened
from filiation.case.view import CaseView, ExaminedModel
from filiation.evidence import Conclusion, FileRecord, Finding, NotExamined, Outcome

SCHEMA = "http://cyclonedx.org/schema/bom-1.6.schema.json"
FOUND = "filiation:found"

NOT_THE_POSTERIOR = (
    "These figures are not the probability of derivation. p is a chance under the null that stands beside it; a likelihood "
    "ratio says how much more probable the outcome is under one proposition than under the other."
)

ANSWERS = ("transcript", "pack", "endpoint")
"""Kinds of exhibits through which a model is read, and which are not the model."""

DATA = (*ANSWERS, "marks")
"""Kinds of exhibits whose files are no model's."""

SHA256 = re.compile("[0-9a-f]{64}")

Component = dict[str, Any]
Property = dict[str, str]


def bill_of_materials(view: CaseView) -> bytes:
    """`pedigree.cdx.json` of a case."""
    last = view.entries[-1].time
    document = {
        "$schema": SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'urn:filiation:case:{view.header.case}:{view.head}')}",
        "version": 1,
        "metadata": {
            "timestamp": last,
            "tools": {"components": [{"type": "application", "name": _software(view)}]},
            "component": {"type": "data", "bom-ref": "case", "name": view.header.title, "version": view.header.case},
            "properties": [_property("filiation:case:head", view.head)],
        },
        "components": [_component(view, manifest) for manifest in view.manifests.values()],
        "properties": [*_in_dispute(view), *_unrevealed(view)],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _property(name: str, value: str) -> Property:
    return {"name": name, "value": value}


def _software(view: CaseView) -> str:
    opened = view.entries[0].body
    return opened.software if isinstance(opened, Opened) else "filiation"


# ------------------------------------------------------------------------------------------------------------- exhibits


def _component(view: CaseView, manifest: Manifest) -> Component:
    """One exhibit. What was only read through its answers is the model all the same, with the answers as its part."""
    files = [_file(manifest, file) for file in dict.fromkeys(manifest.files)]
    component: Component = {
        "type": "data" if manifest.role == "material" or manifest.kind == "marks" else "machine-learning-model",
        "bom-ref": f"exhibit:{manifest.exhibit}",
        "name": manifest.exhibit,
        "description": f"{manifest.role}, examined as: {manifest.kind}",
        "hashes": _hashes(manifest.files[0]) if len(manifest.files) == 1 and manifest.kind not in DATA else [],
        "components": files,
        "properties": [*_exhibit_properties(manifest), *_found(view, manifest)],
    }
    if component["type"] == "machine-learning-model":
        component["pedigree"] = _claimed(manifest)
    return {key: value for key, value in component.items() if value}


def _hashes(file: FileRecord) -> list[dict[str, str]]:
    known = file.sha256 is not None and SHA256.fullmatch(file.sha256)
    return [{"alg": "SHA-256", "content": str(file.sha256)}] if known else []


def _file(manifest: Manifest, file: FileRecord) -> Component:
    told = {
        "type": "data" if manifest.kind in DATA else "file",
        "name": file.name,
        "hashes": _hashes(file),
        "properties": [
            _property("filiation:file:bytes", str(file.size)),
            _property("filiation:file:digest-basis", file.basis),
        ],
    }
    return {key: value for key, value in told.items() if value}


def _exhibit_properties(manifest: Manifest) -> list[Property]:
    told = [
        ("filiation:exhibit:role", manifest.role),
        ("filiation:exhibit:kind", manifest.kind),
        ("filiation:exhibit:origin", manifest.origin),
        ("filiation:exhibit:obtained-by", manifest.obtained_by),
        ("filiation:exhibit:obtained-at", manifest.obtained_at),
        ("filiation:exhibit:content-id", manifest.content_id),
        ("filiation:exhibit:model", manifest.model),
        ("filiation:exhibit:bytes", "in the case" if manifest.inside else "not in the case: digests only"),
    ]
    return [_property(name, value) for name, value in told if value]


def _claimed(manifest: Manifest) -> dict[str, Any]:
    """What the manifest declares, on the word of whoever admitted the exhibit."""
    if not manifest.lineage:
        return {"notes": "Claimed: nothing. No lineage was declared."}
    ancestor = {
        "type": "machine-learning-model",
        "name": manifest.lineage,
        "description": "The lineage that was declared for this exhibit, not a component that was examined here.",
    }
    return {
        "ancestors": [ancestor],
        "notes": "Claimed, as declared when the exhibit was admitted. What was found stands in the properties.",
    }


# ---------------------------------------------------------------------------------------------------------------- found


def _found(view: CaseView, manifest: Manifest) -> list[Property]:
    """What the case's examinations say of one exhibit; that there are none is said, too. 'NAME/PART' is a part of NAME."""
    if manifest.role == "reference":
        return [_property(FOUND, "this is the reference: the others are examined against it")]
    whole = manifest.exhibit.partition("/")[0]
    if whole != manifest.exhibit and whole in view.manifests:
        return [_property(FOUND, f"a part of exhibit {whole}: see there")]
    models = [model for model in view.examined if model.exhibit in (manifest.exhibit, whole)]
    if not models:
        return [_property(FOUND, "nothing: not examined against the reference under its own name")]
    return [told for model in models for told in _examined(model)]


def _unrevealed(view: CaseView) -> Iterator[Property]:
    """Examinations of models whose code names are not revealed: they belong to no component yet."""
    for model in view.examined:
        if not model.exhibit:
            yield _property(FOUND, f"code name {model.subject}, not revealed: which exhibit it is cannot be told yet")
            yield from _examined(model)


def _examined(model: ExaminedModel) -> Iterator[Property]:
    stem = f"{FOUND}:entry-{model.entry}"
    record = model.examination
    findings = sum(isinstance(outcome, Finding) for outcome in record.outcomes)
    without = len(record.outcomes) - findings
    yield _property(stem, f"{findings} tests completed, whether their p is small or large; {without} without a finding")
    yield _property(f"{stem}:reference", record.reference.name)
    yield _property(f"{stem}:meaning", NOT_THE_POSTERIOR)
    yield _property(f"{stem}:planned", "no: exploratory" if model.exploratory else "yes")
    if not findings:
        yield _property(f"{stem}:nothing", "no test came to a finding")
    for outcome in record.outcomes:
        yield from _told(f"{stem}:{outcome.test}", _outcome(outcome))
    for conclusion in record.conclusions:
        yield from _told(f"{stem}:conclusion:{conclusion.proposition}:{conclusion.null}", _conclusion(conclusion))


def _told(stem: str, facts: Iterable[tuple[str, object]]) -> Iterator[Property]:
    """Facts as properties; what is not known is left out, never written as a nought."""
    return (_property(f"{stem}:{name}", str(value)) for name, value in facts if value not in (None, ""))


def _outcome(outcome: Outcome) -> list[tuple[str, object]]:
    """One test: its kind and null whatever came of it, and the figures where it came to a finding."""
    told: list[tuple[str, object]] = [
        ("proposition", outcome.proposition),
        ("alternative", outcome.alternative),
        ("null", f"by {outcome.null}"),
    ]
    if not isinstance(outcome, Finding):
        kind = "not examined" if isinstance(outcome, NotExamined) else "inconclusive"
        return [("outcome", kind), ("reason", outcome.reason), *told]
    return [
        ("outcome", "finding"),
        *told,
        ("opportunities", outcome.opportunities),
        ("coincidences", outcome.count),
        ("chance", outcome.chance),
        ("log10-p", outcome.log10_p),
        ("smallest-log10-p-possible", outcome.resolution_log10_p),
        ("log10-e", outcome.log10_e),
        ("characteristic", outcome.characteristic),
        ("direction", outcome.direction),
        ("premises", " ".join(outcome.assumptions)),
    ]


def _conclusion(conclusion: Conclusion) -> list[tuple[str, object]]:
    """The likelihood ratio with its interval, its cap and the alternative it is weighed against; the word last."""
    cap = conclusion.cap
    return [
        ("kind", conclusion.kind),
        ("alternative", conclusion.alternative),
        ("log10-likelihood-ratio", conclusion.log10_likelihood_ratio),
        ("log10-likelihood-ratio-low", conclusion.log10_likelihood_ratio_low),
        ("log10-likelihood-ratio-high", conclusion.log10_likelihood_ratio_high),
        ("cap", "" if cap is None else cap.value),
        ("cap-reason", "" if cap is None else cap.reason),
        ("reason", conclusion.reason),
        ("explanations-untested", "; ".join(conclusion.explanations_untested)),
        ("word-of-the-printed-scale", conclusion.word),
    ]


def _in_dispute(view: CaseView) -> Iterator[Property]:
    """What the plan that holds puts in dispute: claimed by a party, and not by a manifest."""
    plan = next(reversed(view.plans.values()), None)
    if plan is None:
        yield _property("filiation:in-dispute", "nothing: no plan is sealed")
        return
    yield _property("filiation:in-dispute:reference", plan.reference)
    yield _property("filiation:in-dispute:suspect", plan.suspect)
    for planned in plan.propositions:
        yield _property(f"filiation:in-dispute:{planned.proposition}", f"against: {planned.alternative}")
