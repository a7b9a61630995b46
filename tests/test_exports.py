"""A case as a bag. Truth comes from the formats themselves: the `bagit` library, CycloneDX's own schema, and what RO-Crate 1.2
requires of its entities."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import bagit
import msgspec
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from filiation.case.folder import CaseFolder
from filiation.case.records import (
    Admitted,
    Announcement,
    Closed,
    CounterTo,
    Declarations,
    Examined,
    Header,
    Manifest,
    Noted,
    Observed,
    Opened,
    Plan,
    PlannedProposition,
    Reported,
    Sealed,
)
from filiation.case.signing import new_signer
from filiation.case.view import CaseView, CheckpointSummary, ExaminedModel
from filiation.cli.case.export import export
from filiation.errors import RecordError, UnsafeSource, UsageError
from filiation.evidence import FileRecord, Finding, digest
from filiation.exports import bag, cyclonedx, ro_crate
from filiation.exports.bag import write_bag
from filiation.proceedings.verifying import verify_case
from tests.case.small_case import a_folder_that_others_may_enter, files_no_longer_than, without_permission_to_write
from tests.report import sample

HEADER = Header(case="0123456789abcdef0123456789abcdef", title="A v. B")
START = datetime(2026, 1, 31, 8, 15, tzinfo=UTC)
WEIGHTS = b"not really weights"


class Case:
    """A case on disk, made through the ledger itself, and the view that was read from it."""

    def __init__(
        self,
        path: Path,
        *,
        suspect: str = "nimbus",
        title: str = "A v. B",
        revealed: bool = True,
        counter_to: CounterTo | None = None,
    ) -> None:
        self.path = path
        self.clock = START
        signer = new_signer()
        header = msgspec.structs.replace(HEADER, title=title)
        opened = Opened(
            case=header.case, title=title, party="claimant", key=signer.key, software="filiation 0.3.0", counter_to=counter_to
        )  # fmt: skip
        record = sample.examination(suspect=suspect)
        with CaseFolder.create(path, header, opened, actor="expert A", now=START) as folder:
            self.folder = folder
            kept = folder.objects.put(WEIGHTS)
            manifests = {
                m.exhibit: m
                for m in (
                    exhibit("cumulus", "reference", "folder", lineage="cumulus"),
                    exhibit(suspect, "suspect", "safetensors"),
                    msgspec.structs.replace(
                        exhibit("stranger", "control", "transcript", lineage="stranger"), inside=True,
                        files=(FileRecord(name="a.parquet", size=len(WEIGHTS), sha256=kept, basis="read"),),
                    ),
                    exhibit("letter", "material", "file"),
                )
            }  # fmt: skip
            for manifest in manifests.values():
                admitted = Admitted(exhibit=manifest.exhibit, role=manifest.role, manifest=folder.put_record(manifest))
                self.add(admitted)
            plan = a_plan(suspect)
            sealed = folder.put_record(plan)
            self.add(Sealed(plan=sealed))
            folder.checkpoint(signer, now=self.clock)
            self.add(
                Observed(exhibit="A2C3", examiner="tokenizer", examiner_version="1", plan=sealed, absent="no file")
            )
            examined = self.add(
                Examined(
                    subject="A2C3", plan=sealed, record=folder.put_record(record), outcomes=digest(record.outcomes)
                )
            )
            self.add(Reported(files={"report.html": folder.write_report("report.html", b"<p>")}, head=folder.head))
            self.add(Noted(text="sent to the other side"), actor="clerk")
            self.view = CaseView(
                header=header, entries=folder.entries, head=folder.head, plans={sealed: plan}, manifests=manifests, drawn=None,
                examined=(
                    ExaminedModel(
                        subject="A2C3", exhibit=suspect if revealed else "", role="suspect" if revealed else "unrevealed",
                        examination=record, plan=sealed, entry=examined.sequence,
                    ),
                ),
                declarations=Declarations(),
                checkpoints=(CheckpointSummary(sequence=6, head="", time="2026-01-31T08:20:00Z", unstamped="no network"),),
            )  # fmt: skip

    def add(self, body, actor: str = "expert A"):
        self.clock += timedelta(minutes=1)
        return self.folder.append(body, actor=actor, now=self.clock)


def exhibit(name: str, role: str, kind: str, lineage: str = "") -> Manifest:
    return Manifest(
        exhibit=name, role=role, kind=kind, location=f"/models/{name}", origin="example.org", obtained_by="clerk",
        obtained_at="2026-01-30T08:00:00Z", lineage=lineage,
        files=(FileRecord(name="model.safetensors", size=5000, sha256=digest(name), basis="read"),),
    )  # fmt: skip


def a_plan(suspect: str) -> Plan:
    return Plan(
        case=HEADER.case, prepared_by="expert A", reference="cumulus", suspect=suspect, controls=(),
        propositions=(PlannedProposition(proposition="weights", alternative="trained independently", weights={}),),
        examiners=("weights",), examiner_versions={"weights": "1"}, calibration_digests={},
        announcement=Announcement(basis="claimant", seed="00" * 32),
    )  # fmt: skip


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path / "case")


@pytest.fixture
def written(case: Case, tmp_path: Path) -> Path:
    write_bag(case.path, tmp_path / "bag", case.view)
    return tmp_path / "bag"


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# ---------------------------------------------------------------------------------------------------------------- BagIt


def test_the_bag_is_valid_by_the_bagit_library(written):
    opened = bagit.Bag(str(written))
    opened.validate()
    assert opened.algorithms == ["sha256"]
    assert opened.info["External-Identifier"] == HEADER.case
    assert opened.info["Bagging-Date"] == "2026-01-31"


def test_a_changed_byte_anywhere_is_seen_by_the_bagit_library(written):
    """The bag of the test above is not accepted whatever stands in it."""
    ledger = written / "data/case/ledger.jsonl"
    ledger.write_bytes(ledger.read_bytes().replace(b"clerk", b"clark"))
    with pytest.raises(bagit.BagValidationError):
        bagit.Bag(str(written)).validate()


def test_the_case_in_the_bag_is_the_case_byte_for_byte(case, written):
    inside = files_in(written / "data/case")
    outside = {name: content for name, content in files_in(case.path).items() if name != ".lock"}
    assert inside == outside
    with CaseFolder.open(written / "data/case") as folder:
        assert folder.head == case.view.head


def test_copies_are_the_bags_own(case, written):
    assert not os.path.samefile(case.path / "ledger.jsonl", written / "data/case/ledger.jsonl")
    assert all(path.stat().st_nlink == 1 for path in written.rglob("*") if path.is_file())


def test_two_exports_of_one_case_have_the_same_bytes(case, tmp_path):
    write_bag(case.path, tmp_path / "one", case.view)
    (tmp_path / "two").mkdir()
    write_bag(case.path, tmp_path / "two", case.view)
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")


def test_what_the_bag_does_not_carry_is_said_in_it(written):
    info = bagit.Bag(str(written)).info
    assert [told.partition(":")[0] for told in info["Not-Carried"]] == ["cumulus", "nimbus", "letter"]
    assert all("by digest only" in told for told in info["Not-Carried"])
    assert "Source-Organization" not in info


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
def test_a_path_of_a_manifest_stays_on_one_line_and_can_be_read_back(path):
    """RFC 8493, 2.1.3: line ends and percent signs are encoded, and nothing else."""
    line = bag.encoded(path)
    assert not {"\n", "\r"} & set(line)
    assert line.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%") == path


@given(st.text(st.characters(codec="utf-8")))
def test_a_hostile_title_adds_no_tag(title):
    told = bag.one_line(title)
    assert len(f"x{told}".splitlines()) == 1
    assert told.split() == told.split(" ") or told == ""


def test_a_file_name_with_a_line_end_is_listed_and_found(case, tmp_path):
    (case.path / "reports" / "a\nb.html").write_bytes(b"x")
    write_bag(case.path, tmp_path / "bag", case.view)
    bagit.Bag(str(tmp_path / "bag")).validate()


# ------------------------------------------------------------------------------------------------------------- refusals


def test_a_link_in_the_case_is_refused_and_nothing_is_left(case, tmp_path):
    (tmp_path / "secret").write_text("not of the case")
    (case.path / "reports" / "report.pdf").symlink_to(tmp_path / "secret")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UnsafeSource, match="link"):
        write_bag(case.path, tmp_path / "bag", case.view)
    assert sorted(tmp_path.iterdir()) == before


def test_a_linked_folder_is_refused(case, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (case.path / "more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafeSource, match="link"):
        write_bag(case.path, tmp_path / "bag", case.view)


def test_a_folder_with_something_in_it_is_never_written_to(case, tmp_path):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "letter").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        write_bag(case.path, tmp_path / "bag", case.view)
    assert files_in(tmp_path / "bag") == {"letter": b"mine"}


@pytest.mark.parametrize("inside", ["", "bag", "reports/bag"])
def test_a_bag_inside_its_case_is_refused(case, inside):
    before = files_in(case.path)
    with pytest.raises(UsageError, match="inside the case"):
        write_bag(case.path, case.path / inside, case.view)
    assert files_in(case.path) == before


def test_a_case_that_was_written_to_meanwhile_is_not_exported(case, tmp_path):
    with CaseFolder.open(case.path, write=True) as folder:
        folder.append(Noted(text="later"), actor="clerk", now=case.clock + timedelta(hours=1))
    with pytest.raises(RecordError, match="changed while"):
        write_bag(case.path, tmp_path / "bag", case.view)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["case"]


def test_a_full_disk_is_said_and_nothing_half_is_left(case, tmp_path):
    before = files_in(tmp_path)
    with files_no_longer_than(4000), pytest.raises(UsageError, match="could not be written"):
        write_bag(case.path, tmp_path / "bag", case.view)
    assert files_in(tmp_path) == before


def test_a_folder_without_permission_is_said():
    with a_folder_that_others_may_enter() as place:
        made = Case(place / "case")
        (place / "read-only").mkdir()
        with without_permission_to_write(place / "read-only"), pytest.raises(UsageError, match="could not be written"):
            write_bag(made.path, place / "read-only" / "bag", made.view)


def test_an_endpoint_has_no_files_that_could_be_missing(case):
    asked = msgspec.structs.replace(exhibit("theirs", "suspect", "endpoint"), files=())
    view = replace(case.view, manifests={"theirs": asked})
    assert bag.not_carried(view) == ()
    assert component(view, "theirs")["type"] == "machine-learning-model"


def test_what_is_no_case_is_refused(tmp_path, case):
    with pytest.raises(UsageError, match="no case here"):
        write_bag(tmp_path, tmp_path / "bag", case.view)


def test_remains_of_an_interrupted_write_are_not_carried(case, tmp_path):
    (case.path / ".new-abc").write_bytes(b"half")
    (case.path / "reports" / ".new-def").write_bytes(b"half")
    write_bag(case.path, tmp_path / "bag", case.view)
    assert not [name for name in files_in(tmp_path / "bag") if ".new-" in name]


# ------------------------------------------------------------------------------------------------------------- RO-Crate


def graph_of(bag_folder: Path) -> dict[str, dict]:
    document = json.loads((bag_folder / "data/ro-crate-metadata.json").read_bytes())
    assert document["@context"] == "https://w3id.org/ro/crate/1.2/context"
    graph = {entity["@id"]: entity for entity in document["@graph"]}
    assert len(graph) == len(document["@graph"]), "an @id stands twice"
    return graph


def references(value) -> list[str]:
    if isinstance(value, list):
        return [reference for one in value for reference in references(one)]
    if isinstance(value, dict):
        return [value["@id"]] if set(value) == {"@id"} else []
    return []


def test_crate_has_the_entities_that_the_specification_requires(written):
    graph = graph_of(written)
    descriptor = graph["ro-crate-metadata.json"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.2"}
    root = graph["./"]
    assert root["@type"] == "Dataset"
    assert root["name"]
    assert root["description"]
    assert datetime.fromisoformat(root["datePublished"])
    assert graph[root["license"]["@id"]]["name"]


def test_every_reference_of_the_crate_leads_somewhere(written):
    graph = graph_of(written)
    for entity in graph.values():
        assert entity["@type"]
        local = [ref for value in entity.values() for ref in references(value) if not ref.startswith("http")]
        assert set(local) <= set(graph), entity["@id"]


def test_every_file_is_described_as_it_is(written):
    graph = graph_of(written)
    described = {unquote(key): entity for key, entity in graph.items() if entity["@type"] == "File"}
    payload = files_in(written / "data")
    assert set(described) | {"ro-crate-metadata.json"} == set(payload)
    for name, entity in described.items():
        if name != "pedigree.cdx.json":
            assert entity["contentSize"] == str(len(payload[name]))
            assert entity["sha256"] == hashlib.sha256(payload[name]).hexdigest()
    parts = references(graph["./"]["hasPart"]) + references(graph["case/"]["hasPart"])
    assert set(parts) == {"case/"} | {key for key, entity in graph.items() if entity["@type"] == "File"}


def test_every_entry_is_an_action_with_its_agent_and_time(case, written):
    graph = graph_of(written)
    assert len(case.view.entries) > 5
    for entry in case.view.entries:
        action = graph[f"#entry-{entry.sequence}"]
        assert action["@type"] in ("CreateAction", "UpdateAction")
        assert action["endTime"] == entry.time
        assert graph[action["agent"]["@id"]]["name"] == entry.actor
    observed = next(action for action in graph.values() if action.get("error"))
    assert observed["actionStatus"]["@id"].endswith("FailedActionStatus")


def test_an_exhibit_inside_has_its_files_and_one_outside_says_that_it_has_none(written):
    graph = graph_of(written)
    inside, outside = graph["#exhibit-stranger"], graph["#exhibit-nimbus"]
    kept = hashlib.sha256(WEIGHTS).hexdigest()
    assert references(inside["hasPart"]) == [f"case/objects/{kept[:2]}/{kept}"]
    assert outside["hasPart"] == []
    assert "only its digests" in outside["description"]
    assert outside["identifier"] == [f"sha256:{digest('nimbus')} model.safetensors"]


def test_a_counter_case_names_the_case_that_it_answers(tmp_path, case):
    other = CounterTo(case="fe" * 16, head="ab" * 32, sequence=12, keyid="cd" * 32)
    view = Case(tmp_path / "answer", counter_to=other).view
    write_bag(tmp_path / "answer", tmp_path / "bag", view)
    graph = graph_of(tmp_path / "bag")
    named = graph[references(graph["./"]["isBasedOn"])[0]]
    assert named["identifier"] == other.head
    assert other.case in named["@id"]


# ------------------------------------------------------------------------------------------------------------ CycloneDX


def bill_of(view: CaseView) -> dict:
    return json.loads(cyclonedx.bill_of_materials(view))


def component(view: CaseView, name: str) -> dict:
    return next(one for one in bill_of(view)["components"] if one["name"] == name)


def found_of(component: dict) -> dict[str, str]:
    return {p["name"]: p["value"] for p in component["properties"] if p["name"].startswith("filiation:found")}


def test_the_bill_is_valid_by_the_schema_of_cyclonedx(case, written, tmp_path):
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib brings the schema")
    from cyclonedx.schema import SchemaVersion

    validator = validation.JsonStrictValidator(SchemaVersion.V1_6)
    for text in (
        (written / "data/pedigree.cdx.json").read_text(),
        cyclonedx.bill_of_materials(Case(tmp_path / "hostile", suspect="nimbus" + "\u202e<b>%\n").view).decode(),
        cyclonedx.bill_of_materials(replace(case.view, plans={}, examined=())).decode(),
    ):
        assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"CycloneDX"', '"Cyclone"')) is not None


def test_only_what_is_declared_is_an_ancestor(case):
    """The sample's weights are found to be related as strongly as its design can say; that makes nobody an ancestor."""
    bill = bill_of(case.view)
    ancestors = {
        one["name"]: [a["name"] for a in one.get("pedigree", {}).get("ancestors", [])] for one in bill["components"]
    }
    assert ancestors == {"cumulus": ["cumulus"], "nimbus": [], "stranger": ["stranger"], "letter": []}
    assert "No lineage was declared" in component(case.view, "nimbus")["pedigree"]["notes"]
    pedigrees = json.dumps([one.get("pedigree") for one in bill["components"]])
    assert "filiation:found" not in pedigrees
    assert "log10" not in pedigrees


def test_every_outcome_is_told_with_its_null_and_every_finding_with_its_figures(case):
    told = found_of(component(case.view, "nimbus"))
    model = case.view.examined[0]
    stem = f"filiation:found:entry-{model.entry}"
    assert "not the probability of derivation" in told[f"{stem}:meaning"]
    for outcome in model.examination.outcomes:
        assert told[f"{stem}:{outcome.test}:null"] == f"by {outcome.null}"
        if isinstance(outcome, Finding):
            assert told[f"{stem}:{outcome.test}:log10-p"] == str(outcome.log10_p)
            assert told[f"{stem}:{outcome.test}:opportunities"] == str(outcome.opportunities)
        else:
            assert told[f"{stem}:{outcome.test}:reason"] == outcome.reason
    for conclusion in model.examination.conclusions:
        if conclusion.log10_likelihood_ratio is not None:
            key = f"{stem}:conclusion:{conclusion.proposition}:{conclusion.null}"
            assert told[f"{key}:log10-likelihood-ratio"] == str(conclusion.log10_likelihood_ratio)
            assert told[f"{key}:alternative"] == conclusion.alternative


@pytest.mark.parametrize(
    ("name", "said"),
    [("cumulus", "this is the reference"), ("stranger", "nothing: not examined"), ("letter", "nothing: not examined")],
)
def test_nothing_found_is_said(case, name, said):
    assert found_of(component(case.view, name))["filiation:found"].startswith(said)


def test_a_record_without_a_finding_says_so(case):
    bare = replace(case.view, examined=(replace(case.view.examined[0], examination=sample.bare()),))
    told = found_of(component(bare, "nimbus"))
    assert "no test came to a finding" in told.values()


def test_what_stands_under_a_code_name_belongs_to_no_exhibit_yet(tmp_path):
    view = Case(tmp_path / "case", revealed=False).view
    assert found_of(component(view, "nimbus")) == {
        "filiation:found": "nothing: not examined against the reference under its own name"
    }
    properties = [p["value"] for p in bill_of(view)["properties"]]
    assert any("code name A2C3, not revealed" in value for value in properties)


def test_an_accusation_is_neither_claimed_nor_found(case):
    bill = bill_of(case.view)
    told = {p["name"]: p["value"] for p in bill["properties"]}
    assert told["filiation:in-dispute:suspect"] == "nimbus"
    assert told["filiation:in-dispute:weights"] == "against: trained independently"


def test_a_closed_case_says_so(tmp_path, case):
    last = case.view.entries[-1]
    closed = replace(case.view, entries=(*case.view.entries, msgspec.structs.replace(last, body=Closed())))
    assert b"Case-State: closed\n" in bag.bag_info(closed, ())
    assert b"Case-State: open\n" in bag.bag_info(case.view, ())


def test_verification_says_the_same_of_the_case_in_the_bag(case, written):
    """Whatever it says: the case of these tests is no whole one, and its failures are the same ones in the bag."""
    before, after = verify_case(case.path), verify_case(written / "data/case")
    assert (before.state, before.head, before.keyid) == (after.state, after.head, after.keyid)
    assert [len(check.failures) for check in before.checks] == [len(check.failures) for check in after.checks]
    assert not before.checks[1].failures


def test_the_command_line_writes_the_bag_and_says_what_is_not_in_it(case, tmp_path):
    application = typer.Typer()
    application.command()(export)
    told = CliRunner().invoke(application, [str(case.path), "--to", str(tmp_path / "bag"), "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["head"] == case.view.head
    assert len(json.loads(told.stdout)["not_carried"]) == 3
    bagit.Bag(str(tmp_path / "bag")).validate()
    again = CliRunner().invoke(application, [str(case.path), "--to", str(tmp_path / "bag")])
    assert isinstance(again.exception, UsageError)


def test_hostile_names_cannot_leave_the_crate(tmp_path):
    view = Case(tmp_path / "case", suspect="../../etc/passwd").view
    document = json.loads(ro_crate.metadata(view, []))
    assert "#exhibit-..%2F..%2Fetc%2Fpasswd" in {entity["@id"] for entity in document["@graph"]}
