"""The example cases under examples/cases: they verify anywhere, and find what is there and nothing else.

The truth is known from how `studies/cases` made the models; a foil's hits are whatever the record says.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from filiation.canaries import verification
from filiation.canaries.opening import bundle_from
from filiation.case.beacons import read_beacon
from filiation.case.commitments import trust_of
from filiation.case.reading import CaseRead, read_case
from filiation.case.records import Announcement, Examined, Manifest, Plan, Revealed, Sealed, Verification
from filiation.challenge import compared_again
from filiation.evidence import Examination, Finding
from filiation.proceedings.verifying import verify_case
from studies.practice_beacon import CHAIN, PracticeBeacon

EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "cases"
ACCUSATIONS = ("true", "false")
ABOUT_WEIGHTS = (*ACCUSATIONS, "false-answered")
PLANTED = "planted"
CASES = (*ABOUT_WEIGHTS, PLANTED)
ANOTHER_VERSION = "made by another state of the program: run 'python -m studies.cases' and commit what it leaves"

ENVIRONMENTS = {
    14.0: {
        "TZ": "Pacific/Kiritimati",
        "LC_ALL": "tr_TR.UTF-8",
        "LANG": "tr_TR.UTF-8",
        "OPENBLAS_CORETYPE": "Prescott",
    },
    -9.5: {
        "TZ": "Pacific/Marquesas",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "OPENBLAS_CORETYPE": "Haswell",
    },
}
"""Other machines, as far as one machine can be another, by their hours from UTC: another time zone, another or no locale, another
kernel of the same build of BLAS. Judging reads records; that *acquiring* the exhibits again gives the same figures under these
kernels, and under another build, was tried by hand (examples/cases/README.md)."""

JUDGED_ELSEWHERE = """
import json, sys, time
from pathlib import Path
from filiation.canaries import premises
from filiation.canaries.opening import bundle_from
from filiation.canaries import verification
from filiation.case.commitments import trust_of
from filiation.case.reading import read_case
from filiation.case.records import Examined
from filiation.evidence import Examination, digest
from filiation.proceedings.examining import judge
from filiation.proceedings.verifying import verify_case

def told(case):
    read = read_case(case)
    again = []
    for entry in read.entries:
        if isinstance(entry.body, Examined):
            examination = read.record(entry.body.record, Examination)
            outcomes, conclusions = judge(examination, read.plans[entry.body.plan])
            again.append(digest({"outcomes": outcomes, "conclusions": conclusions}))
    return {"passed": verify_case(case, reports=False).passed, "outcomes": again}

print(json.dumps({"hours": -time.timezone / 3600, "cases": [told(Path(case)) for case in sys.argv[1:]]}))
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cases copied to a path that has nothing in common with the one where they were made."""
    target = tmp_path_factory.mktemp("another machine") / "affaire n° 7, pièces"
    shutil.copytree(EXAMPLES, target)
    return target


@pytest.fixture(scope="module")
def verified(elsewhere: Path) -> dict[str, Verification]:
    """Every check, under the key and the time-stamping authority that were told beside the case."""
    return {
        name: verify_case(
            elsewhere / name,
            keyid=(elsewhere / f"{name}.fingerprint").read_text().strip(),
            authorities=[(elsewhere / f"{name.partition('-')[0]}.authority.pem").read_bytes()],
        )
        for name in CASES
    }


@pytest.mark.parametrize("name", CASES)
def test_every_check_holds_in_a_copy_elsewhere(verified: dict[str, Verification], name: str) -> None:
    found = verified[name]
    failures = [(check.number, failure) for check in found.checks for failure in check.failures]
    assert not failures, ANOTHER_VERSION
    assert found.state == "closed"
    assert all(check.looked_at for check in found.checks)


@pytest.mark.parametrize("name", CASES)
def test_the_case_says_that_its_draw_was_the_claimants_choice(verified: dict[str, Verification], name: str) -> None:
    assert any("claimant's own choice" in remark for remark in verified[name].remarks)


@pytest.mark.parametrize("hours", ENVIRONMENTS)
def test_judged_to_the_same_bytes_in_another_environment(elsewhere: Path, hours: float) -> None:
    cases = [elsewhere / name for name in (*ACCUSATIONS, PLANTED)]
    done = subprocess.run(
        [sys.executable, "-c", JUDGED_ELSEWHERE, *cases],
        env=os.environ | ENVIRONMENTS[hours],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        encoding="ascii",
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["hours"] == hours
    for case, again in zip(cases, told["cases"], strict=True):
        assert again["passed"]
        assert again["outcomes"] == [entry.outcomes for entry in examined(read_case(case))]


# -------------------------------------------------------------------------------------------------------- what they find


def examined(case: CaseRead) -> list[Examined]:
    return [entry.body for entry in case.entries if isinstance(entry.body, Examined)]


@cache
def records(name: str) -> dict[str, Examination]:
    """The examinations of a case by the real name of who was examined."""
    case = read_case(EXAMPLES / name)
    revealed = {c: x for e in case.entries if isinstance(e.body, Revealed) for c, x in e.body.exhibits.items()}
    return {revealed[body.subject]: case.record(body.record, Examination) for body in examined(case)}


@cache
def plan(name: str) -> Plan:
    case = read_case(EXAMPLES / name)
    return case.plans[next(entry.body.plan for entry in case.entries if isinstance(entry.body, Sealed))]


def finding(examination: Examination, test: str) -> Finding:
    found = next(outcome for outcome in examination.outcomes if outcome.test == test)
    assert isinstance(found, Finding)
    return found


def detects(found: Finding) -> bool:
    return found.log10_p <= found.power.threshold_log10_p


@pytest.mark.parametrize(("name", "truth"), [("true", True), ("false", False), ("false-answered", False)])
def test_weights_find_the_laundered_copy_and_not_the_stranger(name: str, truth: bool) -> None:
    suspect = records(name)[plan(name).suspect]
    assert detects(finding(suspect, "weights.screen")) is truth
    assert detects(finding(suspect, "weights.double-matching")) is truth
    conclusion = next(c for c in suspect.conclusions if (c.proposition, c.null) == ("weights", "model"))
    assert conclusion.log10_likelihood_ratio is not None
    assert (conclusion.log10_likelihood_ratio > 0) is truth


@pytest.mark.parametrize("name", ABOUT_WEIGHTS)
def test_no_foil_has_the_references_weights(name: str) -> None:
    foils = {who: record for who, record in records(name).items() if who != plan(name).suspect}
    assert set(plan(name).line_up.shares_explanation) <= set(foils)
    assert not any(detects(finding(record, "weights.double-matching")) for record in foils.values())


@pytest.mark.parametrize("name", ACCUSATIONS)
def test_what_looks_true_is_the_same_in_both_cases(name: str) -> None:
    """Architecture, tokenizer and direction of the norm vectors: the accuser's letter rests on them."""
    case = read_case(EXAMPLES / name)
    manifests = {manifest.exhibit: manifest for manifest in case.manifests.values()}
    ours, theirs = manifests[plan(name).reference], manifests[plan(name).suspect]
    assert ours.attributes == theirs.attributes
    assert digests(ours)["tokenizer.json"] == digests(theirs)["tokenizer.json"]
    assert digests(ours)["model.safetensors"] != digests(theirs)["model.safetensors"]
    letter = case.data(manifests["letter"].files[0].sha256 or "").decode()
    cosine = re.search(r"is (0\.\d{4})", letter)
    assert cosine is not None
    assert float(cosine[1]) >= 0.98


def digests(manifest: Manifest) -> dict[str, str | None]:
    return {file.name: file.sha256 for file in manifest.files}


@pytest.mark.parametrize("name", ABOUT_WEIGHTS)
def test_the_public_tokenizer_is_found_at_every_foil_and_so_tells_nothing(name: str) -> None:
    assert all(detects(finding(record, "tokenizer.merge-order")) for record in records(name).values())


def test_the_answer_compares_to_the_same_bytes() -> None:
    comparison = compared_again(EXAMPLES / "false", EXAMPLES / "false-answered")
    assert plan("false-answered").line_up.shares_explanation != plan("false").line_up.shares_explanation
    assert comparison.answers.case == read_case(EXAMPLES / "false").header.case  # type: ignore[union-attr]


# ---------------------------------------------------------------------------------------------------- what was planted


def test_the_student_of_the_planted_model_gives_the_planted_answers_and_no_foil_does() -> None:
    """Truth from how the models were made: one foil was taught answers to the very same prompts, by a model that was never planted."""
    found = {who: finding(record, "canaries.agreements") for who, record in records(PLANTED).items()}
    assert {who for who, one in found.items() if detects(one)} == {plan(PLANTED).suspect}
    assert set(plan(PLANTED).line_up.shares_explanation) < set(found)


def test_by_construction_the_ratio_is_the_e_value_and_no_number_of_models_caps_it() -> None:
    suspect = records(PLANTED)[plan(PLANTED).suspect]
    conclusion = next(c for c in suspect.conclusions if c.proposition == "marks")
    assert conclusion.null == "construction"
    assert conclusion.log10_likelihood_ratio == finding(suspect, "canaries.agreements").log10_e > 6


def test_nothing_that_was_not_planted_agrees() -> None:
    suspect = finding(records(PLANTED)[plan(PLANTED).suspect], "canaries.agreements")
    beside = {companion.name: companion.value for companion in suspect.companions}
    assert beside["placebo keys"].startswith("0 of 999")
    counts = [
        int(value.partition(" of ")[0]) for name, value in beside.items() if name.startswith(("decoys", "control"))
    ]
    assert len(counts) == 6
    assert max(counts) < suspect.count / 2


def test_the_student_is_no_copy() -> None:
    """It began at another base: the weights have nothing of the planted model's."""
    suspect = records(PLANTED)[plan(PLANTED).suspect]
    assert not detects(finding(suspect, "weights.double-matching"))


def test_the_opened_batch_in_the_case_holds_under_the_certificates_that_the_plan_names() -> None:
    case, settings = read_case(EXAMPLES / PLANTED), plan(PLANTED).parameters["canaries"]
    marks = next(manifest for manifest in case.manifests.values() if manifest.kind == "marks")
    bundle = bundle_from({file.name: case.data(file.sha256 or "") for file in marks.files})
    found, checks = verification.verified(bundle, trust_of(settings), int(settings["commitments"]))
    assert found is not None, checks
    assert len(checks) == 6
    stranger = dict(settings) | {"authorities": "00" * 32}
    assert verification.verified(bundle, trust_of(stranger), 1)[0] is None


def test_a_practice_pulse_holds_under_its_certificate_and_says_that_it_is_not_of_nist() -> None:
    """Laid out by the study's own code, read by the program's."""
    beacon, moment = PracticeBeacon.made(), datetime(2026, 11, 21, 12, tzinfo=UTC)
    sha256 = hashlib.sha256(beacon.certificate).hexdigest()
    announced = Announcement(basis="nist", chain=CHAIN, time=f"{moment:%Y-%m-%dT%H:%M:%SZ}", certificate=sha256)
    pulse = read_beacon(beacon.pulse(moment), announced, beacon.certificate)
    assert pulse.time == moment
    assert "not of NIST" in pulse.described
    assert pulse.randomness != read_beacon(beacon.pulse(moment), announced, beacon.certificate).randomness


def test_the_report_names_the_null_and_prints_the_premises() -> None:
    (report,) = (EXAMPLES / PLANTED / "reports").glob("*.html")
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", report.read_text("utf-8"))))
    assert "by construction" in text
    premises = finding(records(PLANTED)[plan(PLANTED).suspect], "canaries.agreements").assumptions
    assert len(premises) >= 3
    assert all(premise in text for premise in premises)


# ------------------------------------------------------------------------------------------------------------- the files


@pytest.mark.parametrize("name", CASES)
def test_small_enough_to_be_kept(name: str) -> None:
    assert sum(file.stat().st_size for file in (EXAMPLES / name).rglob("*") if file.is_file()) < 4_000_000


@pytest.mark.parametrize("name", CASES)
def test_no_model_and_no_place_of_its_maker_stands_in_the_case(name: str) -> None:
    for file in (EXAMPLES / name).rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            assert not re.search(rb"/(home|root|tmp|Users|var|work)/", data), file
            assert b'"__metadata__"' not in data[:200], file
