"""The steps of a case one by one: who is hidden, who is asked, what is stamped, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from filiation.case.beacons import DEFAULT, announced
from filiation.case.records import (
    REQUIRED,
    Admitted,
    Announcement,
    Declarations,
    Examined,
    Manifest,
    Noted,
    Observed,
    Plan,
    Role,
)
from filiation.case.signing import Signer, new_signer
from filiation.errors import RecordError, SourceError, UnsafeSource, UsageError
from filiation.evidence import Null, Proposition
from filiation.examiners.catalogue import chosen
from filiation.proceedings.admission import Origin, admit, models_at, usual_name
from filiation.proceedings.examining import examine, explore, judge
from filiation.proceedings.exhibits import Exhibits, found_in, without_names
from filiation.proceedings.line_up import draw, reveal
from filiation.proceedings.observing import observe
from filiation.proceedings.opening import close, note, open_case
from filiation.proceedings.plan_file import filled_in, plan_from, plan_from_tables, weights_of
from filiation.proceedings.planning import seal_plan, to_come
from filiation.proceedings.reporting import case_view, make_report
from filiation.proceedings.sitting import Acting, Sitting, sitting
from filiation.proceedings.status import status
from filiation.proceedings.verifying import reacquire, verify_case
from filiation.sources.joined import JoinedSource
from filiation.sources.open import open_source
from filiation.sources.packs import opened, shipped
from filiation.sources.simulated import world
from studies.time_stamping import LocalAuthority
from studies.zoo import Zoo
from tests.cli.tokenizer_folders import train
from tests.sources.endpoints.fault_server import fault_server
from tests.sources.endpoints.fault_server import status as refused

pytestmark = pytest.mark.xdist_group("proceedings")  # what is made for all of them is made once

BEGAN = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
SECRET = bytes(range(32))


class Clock:
    """One second later at every look."""

    def __init__(self, now: datetime = BEGAN) -> None:
        self.now = now

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class Court:
    """A case in a folder, and the person who makes it."""

    def __init__(self, place: Path, signer: Signer, clock: Clock | None = None) -> None:
        self.path = place / "case"
        self.secrets = place / "case.secret"
        self.acting = Acting(signer=signer, actor="an expert", clock=clock or Clock(), stampers=())
        open_case(self.path, self.acting, title="A test", case="ab" * 16).let_go()

    @contextmanager
    def sitting(self) -> Iterator[Sitting]:
        with sitting(self.path, self.acting) as held:
            yield held

    def admit(self, location: object, name: str, role: Role, /, **told: object) -> Manifest:
        limit = told.pop("inside_limit", 64_000_000)
        origin = Origin(origin="made here", obtained_by="the test", **told)  # type: ignore[arg-type]
        with self.sitting() as held:
            return admit(held, str(location), exhibit=name, role=role, origin=origin, inside_limit=int(str(limit)))

    def plan(self, text: str, **how: object) -> Plan:
        with self.sitting() as held:
            return seal_plan(held, plan_from(text), chance=bytes(32), **how).plan  # type: ignore[arg-type]

    def run(self) -> None:
        """Draw, observe, examine, reveal."""
        with self.sitting() as held:
            draw(held, secret=SECRET, secrets=self.secrets)
        self.observe()
        with self.sitting() as held:
            examine(held, secrets=self.secrets)
        with self.sitting() as held:
            reveal(held, secrets=self.secrets)

    def observe(self) -> None:
        with self.sitting() as held:
            observe(held, secrets=self.secrets)

    def bodies(self, kind: type) -> list:
        return [entry.body for entry in case_view(self.path).entries if isinstance(entry.body, kind)]


@pytest.fixture(scope="module")
def signer() -> Signer:
    return new_signer()


@pytest.fixture
def court(tmp_path: Path, signer: Signer) -> Court:
    return Court(tmp_path, signer)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("folders")
    train(place / "ours", first=0, step=2)
    train(place / "theirs", first=0, step=2, vocabulary=1200)
    return place


# ---------------------------------------------------------------------------------------------------------------- hidden


def test_weights_under_a_code_name_tell_nothing_of_who_they_are(zoo: Zoo, court: Court, tmp_path: Path) -> None:
    """A folder, and a lone file outside the case: neither name stands in any record before the reveal."""
    shutil.copytree(zoo["fine-tuned"], tmp_path / "Wombat-7B")
    (tmp_path / "Quokka").mkdir()
    shutil.copy(zoo["base-b"] / "model.safetensors", tmp_path / "Quokka" / "Quokka-1.safetensors")
    court.admit(zoo["base-a"], "ours", "reference")
    court.admit(tmp_path / "Wombat-7B", "Wombat", "suspect", inside_limit=0)
    court.admit(tmp_path / "Quokka" / "Quokka-1.safetensors", "Quokka", "candidate", lineage="quokka", inside_limit=0)
    court.plan(
        'reference = "ours"\nsuspect = "Wombat"\nexaminers = ["weights", "architecture", "tokenizer"]\n'
        '[line_up]\nfoils = 1\n[[line_up.pool]]\nexhibit = "Quokka"\n'
    )
    court.run()
    told = b""
    with court.sitting() as held:
        for body in [*court.bodies(Observed), *court.bodies(Examined)]:
            digest = body.observation if isinstance(body, Observed) else body.record
            told += held.folder.objects.get(digest) if digest else body.absent.encode()
    assert len(told) > 1000
    assert b"wombat" not in told.lower()
    assert b"quokka" not in told.lower()
    records = {e.subject: e for e in case_view(court.path).examined}
    assert {(e.role, e.exhibit) for e in records.values()} == {("suspect", "Wombat"), ("foil", "Quokka")}
    assert all(file.name.startswith("file ") for e in records.values() for file in e.examination.suspect.files)
    assert verify_case(court.path).passed


def test_models_of_a_case_are_run_under_code_names_and_where_they_cannot_be_the_reason_names_nobody(
    zoo: Zoo, court: Court, tmp_path: Path
) -> None:
    """Weights and tokenizer as two parts, inside the case and outside; of one the configuration is missing."""
    pytest.importorskip("torch", reason="models are run with torch: pip install 'filiation[models]'")
    shutil.copytree(zoo["fine-tuned"], tmp_path / "Wombat-7B")
    shutil.copytree(zoo["base-b"], tmp_path / "Quokka-1", ignore=shutil.ignore_patterns("config.json"))
    court.admit(zoo["base-a"], "ours", "reference")
    court.admit(tmp_path / "Wombat-7B" / "tokenizer.json", "Wombat", "suspect")
    court.admit(tmp_path / "Wombat-7B", "Wombat/weights", "suspect", inside_limit=0)
    court.admit(tmp_path / "Quokka-1", "Quokka", "candidate", lineage="quokka", inside_limit=0)
    examiners = ("output_subspace", "representations", "training_method")
    court.plan(
        f'reference = "ours"\nsuspect = "Wombat"\nexaminers = {list(examiners)}\n'
        '[line_up]\nfoils = 1\n[[line_up.pool]]\nexhibit = "Quokka"\n'
        + "".join(f"[parameters.{name}]\nrun = true\n" for name in examiners)
    )
    court.run()
    records = {model.exhibit: model.examination for model in case_view(court.path).examined}
    assert records["Wombat"].relations["output_subspace"].pair.content["count"] == 32
    assert set(records["Wombat"].relations) == set(examiners)
    reasons = [outcome.reason for outcome in records["Quokka"].outcomes]
    assert any("it cannot be run" in reason for reason in reasons), reasons
    told = "".join(record.to_json().decode() for record in records.values()).lower()
    assert "wombat" not in told
    assert "quokka" not in told
    assert verify_case(court.path).passed


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("only Wombat.gguf was given", "only K7R2 was given"),
        ("Wombat: there is no /models/Wombat.gguf", "K7R2: there is no K7R2"),
        ("a Wombats' den", "a Wombats' den"),
    ],
)
def test_names_in_reasons_are_replaced_whole(said: str, told: str) -> None:
    assert without_names(said, ("/models/Wombat.gguf", "Wombat.gguf", "Wombat"), "K7R2") == told


def test_a_lineage_is_told_only_where_a_control_shares_it(court: Court, tmp_path: Path) -> None:
    """Ranks leave relatives out, so a shared lineage must be known; any other would tell who stands there."""
    population = world()
    names = ["lab-1-a", "lab-1-b", "lab-2-a", "lab-2-b", "lab-3-a"]
    answers = population.write(tmp_path / "answers.parquet", names)
    for name, role in zip(names, ("reference", "suspect", "candidate", "control", "control"), strict=True):
        court.admit(f"transcripts:{answers}#{name}", name, role)  # type: ignore[arg-type]
    plan = court.plan(
        f'reference = "{names[0]}"\nsuspect = "{names[1]}"\nexaminers = ["verbatim"]\n'
        + "".join(f'[[controls]]\nexhibit = "{name}"\n' for name in names[3:5])
    )
    with court.sitting() as held:
        exhibits = Exhibits(held)
        suspect, stranger = (exhibits.open_under("K7R2", name, plan) for name in (names[1], names[2]))
    # The reference is of the suspect's lab, a control of the stranger's; nobody shares their lineages.
    assert (suspect.lineage_id, suspect.transcript().lab) == ("lineage of K7R2", "lab-1")
    assert (stranger.lineage_id, stranger.transcript().lab) == ("lineage of K7R2", "lab-2")
    assert suspect.transcript().model == suspect.name == suspect.location == "K7R2"


def test_parts_of_an_exhibit_are_one_source(folders: Path, tmp_path: Path) -> None:
    population = world()
    answers = population.write(tmp_path / "answers.parquet", ["lab-1-a"])
    parts = [open_source(folders / "ours"), open_source(f"transcripts:{answers}")]
    joined = JoinedSource(parts, name="both")
    assert joined.tokenizer() is parts[0].tokenizer()
    assert joined.transcript() is parts[1].transcript()
    assert joined.tensors() == parts[0].tensors()
    files = joined.identity().files
    assert [file.name for file in files] == ["tokenizer.json", "answers.parquet"]
    neutral = JoinedSource(parts, name="K7R2", neutral=True).identity()
    assert [file.name for file in neutral.files] == ["file 1", "file 2"]
    assert [file.sha256 for file in neutral.files] == [file.sha256 for file in files]


# --------------------------------------------------------------------------------------------------------------- asking


def test_an_endpoint_is_asked_once_and_goes_on_after_a_fault(court: Court, tmp_path: Path) -> None:
    population = world()
    names = [model.name for model in population.recorded][:2]
    answers = population.write(tmp_path / "answers.parquet", names)
    with fault_server() as server:
        court.admit(f"transcripts:{answers}#{names[0]}", "ours", "reference")
        court.admit(f"openai:small-1@{server.url}", "theirs", "suspect")
        court.plan(
            'reference = "ours"\nsuspect = "theirs"\nexaminers = ["nonsense"]\n'
            '[[probes]]\nname = "nonsense"\ncount = 4\n[stopping]\nsamples = 2\n'
        )
        with court.sitting() as held:
            draw(held, secret=SECRET, secrets=court.secrets)
        server.misbehave, server.faults = refused(401), lambda _prompt: 100
        with pytest.raises(SourceError):
            court.observe()
        assert not court.bodies(Observed)
        server.faults = lambda _prompt: 0
        court.observe()
        asked = len(server.asked)
        court.observe()
        assert len(server.asked) == asked
    (entry,) = [e.body for e in case_view(court.path).entries if type(e.body).__name__ == "Asked"]
    assert (entry.exhibit, entry.answers) == ("theirs", 8)
    assert not list((court.path / "recordings").iterdir())
    with court.sitting() as held:
        examine(held, secrets=court.secrets)
    assert verify_case(court.path).passed


# ------------------------------------------------------------------------------------------------------ chance and time


def test_a_beacon_announced_before_gives_the_draw(court: Court, folders: Path, signer: Signer, tmp_path: Path) -> None:
    """A real round of drand: the case is made as if shortly before it."""
    published = datetime.fromtimestamp(DEFAULT.genesis + (1337 - 1) * DEFAULT.period, UTC)
    (tmp_path / "past").mkdir()
    past = Court(tmp_path / "past", signer, Clock(published - timedelta(minutes=10)))
    past.admit(folders / "ours", "ours", "reference")
    past.admit(folders / "theirs", "theirs", "suspect")
    plan = past.plan(
        'reference = "ours"\nsuspect = "theirs"\nexaminers = ["tokenizer"]\n'
        '[announcement]\nbasis = "drand"\nchain = "default"\nround = 1337\n'
    )
    assert plan.announcement == announced("default", published)
    beacon = (Path(__file__).parent / "case" / "beacons" / "default-1337.json").read_bytes()
    other = (Path(__file__).parent / "case" / "beacons" / "default-3311596.json").read_bytes()
    with past.sitting() as held:
        with pytest.raises(UsageError, match="waits for round 1337"):
            draw(held, secret=SECRET, secrets=past.secrets)
        with pytest.raises(RecordError):
            draw(held, secret=SECRET, secrets=past.secrets, beacon=other)
        held.acting.clock.now = published + timedelta(minutes=1)  # type: ignore[attr-defined]
        drawn = draw(held, secret=SECRET, secrets=past.secrets, beacon=beacon)
    assert drawn.pulse is not None
    assert drawn.pulse.time == published
    assert verify_case(past.path).passed


def test_a_round_that_is_public_already_is_no_announcement(court: Court, folders: Path) -> None:
    with pytest.raises(UsageError, match="public already"):
        court.plan(
            'reference = "ours"\nsuspect = "theirs"\nexaminers = ["tokenizer"]\n'
            '[announcement]\nbasis = "drand"\nchain = "default"\nround = 1337\n'
        )


def test_a_checkpoint_is_stamped_or_says_why_not(tmp_path: Path, signer: Signer) -> None:
    """A real authority (openssl ts), and one that nobody answers for."""
    authority = LocalAuthority.made(tmp_path / "authority")
    acting = Acting(signer=signer, actor="an expert")
    with authority.serving() as url:
        held = open_case(
            tmp_path / "case",
            acting,
            title="Stamped",
            case="cd" * 16,
            authorities={"local": url},
            certificates={"local": authority.certificate},
        )
        held.let_go()
        assert held.checkpoint is not None
        assert held.checkpoint.stamps == ("local",)
    with sitting(tmp_path / "case", acting) as later:
        note(later, "nobody stamps this")
    assert later.checkpoint is not None
    assert later.checkpoint.stamps == ()
    assert "local" in later.checkpoint.unstamped
    found = verify_case(tmp_path / "case", authorities=[authority.certificate])
    assert found.passed
    assert [len(each.stamps) for each in case_view(tmp_path / "case").checkpoints] == [1, 0]


def test_an_authority_needs_its_certificate(tmp_path: Path, signer: Signer) -> None:
    with pytest.raises(UsageError, match="no certificate"):
        open_case(tmp_path / "c", Acting(signer, "x"), title="t", case="ab" * 16, authorities={"a": "http://a"})
    assert not (tmp_path / "c").exists()


# ----------------------------------------------------------------------------------------------------------------- plans


def test_a_plan_writes_every_default_down() -> None:
    plan = _filled('reference = "a"\nsuspect = "b"\nexaminers = ["tokenizer", "weights"]\n')
    tests = {test.id: test for examiner in chosen(("tokenizer", "weights")) for test in examiner.TESTS}
    assert set(weights_of(plan)) == set(tests)
    assert set(plan.examiner_versions) == set(plan.calibration_digests) == {"tokenizer", "weights"}
    assert plan.parameters["weights"] == chosen(("weights",))[0].PARAMETERS  # type: ignore[attr-defined]
    for planned in plan.propositions:
        by_null: dict[Null, float] = {}
        for test, weight in planned.weights.items():
            assert tests[test].proposition == Proposition(planned.proposition)
            assert tests[test].alternative == planned.alternative
            by_null[tests[test].null] = by_null.get(tests[test].null, 0.0) + weight
        assert all(abs(total - 1.0) < 1e-9 for total in by_null.values())


def test_weights_that_do_not_add_up_are_refused() -> None:
    test = chosen(("tokenizer",))[0].TESTS[0]
    with pytest.raises(UsageError, match=r"add up to 0\.4"):
        _filled(
            'reference = "a"\nsuspect = "b"\nexaminers = ["tokenizer"]\n'
            f'[[propositions]]\nproposition = "{test.proposition}"\nweights = {{ "{test.id}" = 0.4 }}\n'
        )


def _filled(text: str) -> Plan:
    wanted = plan_from(text)
    return filled_in(wanted, case="ab" * 16, prepared_by="x", announcement=wanted.announcement)


def test_judging_again_with_other_weights_gives_other_conclusions(court: Court, folders: Path) -> None:
    """The plan's weights enter the conclusions, and only those: the outcomes stay."""
    court.admit(folders / "ours", "ours", "reference")
    court.admit(folders / "theirs", "theirs", "suspect")
    plan = court.plan('reference = "ours"\nsuspect = "theirs"\nexaminers = ["tokenizer"]\n')
    court.run()
    (model,) = case_view(court.path).examined
    outcomes, conclusions = judge(model.examination, plan)
    assert (outcomes, conclusions) == (model.examination.outcomes, model.examination.conclusions)
    nothing = msgspec.structs.replace(plan, propositions=())
    again, unplanned = judge(model.examination, nothing)
    assert again == outcomes
    assert all(each.kind == "inconclusive" and "no" in each.reason for each in unplanned)
    assert conclusions != unplanned


# --------------------------------------------------------------------------------------------------- exploring, closing


def test_a_look_before_the_plan_is_kept_and_told_with_the_seal(court: Court, folders: Path) -> None:
    court.admit(folders / "ours", "ours", "reference")
    court.admit(folders / "theirs", "theirs", "suspect")
    with court.sitting() as held:
        explored = explore(held, subject="theirs", purpose="a first look", secrets=court.secrets, only=("tokenizer",))
    assert explored.plan == ""
    with court.sitting() as held:
        sealed = seal_plan(
            held, plan_from('reference = "ours"\nsuspect = "theirs"\nexaminers = ["tokenizer"]\n'), chance=bytes(32)
        )
    assert sealed.entry.suspect_was_observed
    court.run()
    assert [body.exploratory for body in court.bodies(Examined)] == [True, False]
    assert verify_case(court.path).passed


def test_what_was_stored_and_never_named_is_named_when_the_case_is_closed(court: Court) -> None:
    with court.sitting() as held:
        left = held.folder.objects.put(b"left by a command that was killed")
    with court.sitting() as held:
        close(held)
    assert [body.objects for body in court.bodies(Noted)] == [(left,)]
    assert status(court.path).state == "closed"
    assert verify_case(court.path).passed


def test_answers_of_an_endpoint_that_was_not_asked_to_the_end_are_kept(court: Court, tmp_path: Path) -> None:
    with fault_server() as server:
        court.admit(f"openai:small-1@{server.url}", "theirs", "suspect")
    with court.sitting() as held:
        recording = held.folder.recording_path("theirs")
        recording.write_bytes(b"half a recording")
        close(held)
        ((digest,),) = [body.objects for body in court.bodies(Noted)]
        assert held.folder.objects.get(digest) == b"half a recording"
    assert not recording.exists()
    assert verify_case(court.path).passed


@pytest.mark.parametrize(
    ("name", "location"),
    [
        ("../elsewhere", "."),
        ("/tmp/elsewhere", "."),
        ("..", "."),
        ("", "."),
        (".hidden", "."),
        ("a\\b", "."),
        ("c:b", "."),
        ("tokenizer.json", "./../../elsewhere"),
        ("tokenizer.json", "transcripts:./other.parquet#m"),
        ("tokenizer.json", "/etc"),
        ("tokenizer.json", ".."),
    ],
)
def test_a_manifest_that_names_files_elsewhere_is_refused(
    court: Court, folders: Path, name: str, location: str
) -> None:
    """A case comes from the other side: what it says of file names is hostile input."""
    manifest = court.admit(folders / "ours", "ours", "reference")
    file = msgspec.structs.replace(manifest.files[0], name=name)
    with court.sitting() as held:
        hostile = msgspec.structs.replace(manifest, exhibit="hostile", files=(file,), location=location)
        held.append(Admitted(exhibit="hostile", role="control", manifest=held.folder.put_record(hostile)))
        with pytest.raises(UnsafeSource):
            Exhibits(held).open("hostile")
        assert not any(held.scratch.rglob("*"))


def test_every_file_is_admitted_with_the_digest_that_it_has(court: Court, zoo: Zoo, tmp_path: Path) -> None:
    """Truth from hashlib over the files; the weights' own digest does not depend on where they are kept."""
    manifests = [
        court.admit(zoo["base-a"], "inside", "reference"),
        court.admit(zoo["base-a"], "outside", "control", inside_limit=0),
    ]
    files = {path.name: path.read_bytes() for path in zoo["base-a"].iterdir() if path.name[0] != "."}
    for manifest in manifests:
        assert {file.name: (file.size, file.sha256) for file in manifest.files} == {
            name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()
        }
        assert manifest.content_id == open_source(zoo["base-a"]).identity(True).content_id
        assert manifest.attributes["architecture"] == "llama"
    assert [manifest.inside for manifest in manifests] == [True, False]
    with court.sitting() as held:
        assert all(held.folder.objects.holds(str(file.sha256)) for file in manifests[0].files)


def test_a_model_of_a_pack_must_still_be_in_that_pack(court: Court) -> None:
    (pack,) = [folder for folder in shipped() if folder.name == "crux"]
    model = opened("crux").card.models[0].name
    manifest = court.admit(f"pack:crux#{model}", "ours", "reference")
    with court.sitting() as held:
        assert Exhibits(held).open("ours").format == "pack"
        file = msgspec.structs.replace(manifest.files[0], sha256="0" * 64)
        other = msgspec.structs.replace(manifest, exhibit="other", files=(file, *manifest.files[1:]))
        held.append(Admitted(exhibit="other", role="control", manifest=held.folder.put_record(other)))
        with pytest.raises(RecordError, match="not what was admitted"):
            Exhibits(held).open("other")
    assert pack.is_dir()


def test_the_secret_behind_code_names_is_never_kept_in_the_case(court: Court, folders: Path) -> None:
    court.admit(folders / "theirs", "theirs", "suspect")
    court.plan('reference = "ours"\nsuspect = "theirs"\nexaminers = ["tokenizer"]\n')
    with court.sitting() as held:
        with pytest.raises(UsageError, match="would lie in the case"):
            draw(held, secret=SECRET, secrets=court.path / "secret")
        draw(held, secret=SECRET, secrets=court.secrets)
    assert court.secrets.stat().st_mode & 0o777 == 0o600
    assert SECRET.hex() in court.secrets.read_text()
    assert not any(SECRET.hex().encode() in path.read_bytes() for path in court.path.rglob("*") if path.is_file())


def test_a_remark_is_held_to_the_wording_of_reports(court: Court) -> None:
    before = len(case_view(court.path).entries)
    with pytest.raises(UsageError), court.sitting() as held:
        note(held, "this proves that it was copied")
    assert len(case_view(court.path).entries) == before


def test_exhibits_that_were_swapped_are_found_when_acquired_again(court: Court, folders: Path, tmp_path: Path) -> None:
    """An admitted exhibit cannot be swapped; what can differ is the record, here that of another suspect."""
    shutil.copytree(folders / "theirs", tmp_path / "theirs")
    court.admit(folders / "ours", "ours", "reference")
    court.admit(tmp_path / "theirs", "theirs", "suspect", inside_limit=0)
    court.plan('reference = "ours"\nsuspect = "theirs"\nexaminers = ["tokenizer"]\n')
    court.run()
    assert not reacquire(court.path).failures
    shutil.copy(folders / "ours" / "tokenizer.json", tmp_path / "theirs" / "tokenizer.json")
    with pytest.raises(RecordError, match="not what was admitted"):
        reacquire(court.path)


def test_the_status_names_the_step_that_is_due(court: Court, folders: Path) -> None:
    due = [status(court.path).due]
    court.admit(folders / "ours", "ours", "reference")
    due.append(status(court.path).due)
    court.plan('reference = "ours"\nsuspect = "theirs"\nexaminers = ["tokenizer"]\n')
    due.append(status(court.path).due)
    court.admit(folders / "theirs", "theirs", "suspect")
    due.append(status(court.path).due)
    with court.sitting() as held:
        draw(held, secret=SECRET, secrets=court.secrets)
    due.append(status(court.path).due)
    court.observe()
    due.append(status(court.path).due)
    with court.sitting() as held:
        examine(held, secrets=court.secrets)
    due.append(status(court.path).due)
    with court.sitting() as held:
        reveal(held, secrets=court.secrets)
    due.append(status(court.path).due)
    assert due == ["admit", "plan", "admit", "draw", "observe", "examine", "reveal", "report"]
    with court.sitting() as held:
        make_report(held, Declarations(), draft=True, pdf=False)
    assert status(court.path).due_command == f"filiation case report {court.path} --declarations FILE.toml"
    assert status(court.path).drafts == status(court.path).reports
    with court.sitting() as held:
        make_report(held, Declarations(**dict.fromkeys(REQUIRED, "as agreed")), pdf=False)
    assert status(court.path).due == "close"


@pytest.mark.parametrize(
    ("admitted", "wanted"),
    [
        ((), "admit CASE LOCATION --role reference"),
        (("ours",), "plan CASE plan.toml"),
        (("ours", "sealed"), "admit CASE LOCATION --as theirs --role suspect"),
        (("ours", "sealed", "theirs"), "admit CASE LOCATION --as other --role control"),
    ],
)
def test_the_command_that_is_due_can_be_typed(
    court: Court, folders: Path, admitted: tuple[str, ...], wanted: str
) -> None:
    for name in admitted:
        if name == "sealed":
            court.plan(f'{TOKENIZERS}[[controls]]\nexhibit = "other"\n')
        else:
            court.admit(folders / name, name, "reference" if name == "ours" else "suspect")
    assert status(court.path).due_command == f"filiation case {wanted}".replace("CASE", str(court.path))


TOKENIZERS = 'reference = "ours"\nsuspect = "theirs"\nexaminers = ["tokenizer"]\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TOKENIZERS.replace('"ours"', '"our"'), "no exhibit called our was admitted as reference, but ours was"),
        (TOKENIZERS + "[line_up]\nfoils = 2\n", "wants 2 foils and the pool gives 0"),
        (TOKENIZERS + "[line_up]\nfoils = -1\n", "cannot have -1 foils"),
        (TOKENIZERS + '[line_up]\nmatched_on = ["kind"]\n', "like the suspect in kind"),
        (TOKENIZERS + '[announcement]\nbasis = "claimant"\nseed = "abc"\n', "not 64 hexadecimal digits"),
        (TOKENIZERS + '[announcement]\nbasis = "nist"\n', "which, and under which certificate"),
    ],
)
def test_what_would_fail_after_the_seal_is_told_before_it(court: Court, folders: Path, text: str, told: str) -> None:
    court.admit(folders / "ours", "ours", "reference")
    court.admit(folders / "theirs", "theirs", "suspect")
    before = (court.path / "ledger.jsonl").read_bytes()
    with pytest.raises(UsageError, match=told):
        court.plan(text)
    assert (court.path / "ledger.jsonl").read_bytes() == before


def test_whoever_is_to_be_asked_is_asked_something(court: Court, folders: Path) -> None:
    court.admit(folders / "ours", "ours", "reference")
    court.admit("openai:small-1@http://127.0.0.1:9/v1", "theirs", "suspect")
    with pytest.raises(UsageError, match="theirs is to be asked, and the plan names no probes"):
        court.plan(TOKENIZERS)


def test_a_plan_may_name_exhibits_that_are_still_to_come(court: Court, folders: Path) -> None:
    court.admit(folders / "ours", "ours", "reference")
    sealed = court.plan(TOKENIZERS, only_check=True)
    assert status(court.path).plan == ""
    assert to_come(sealed, case_view(court.path).manifests) == ["theirs"]
    assert court.plan(TOKENIZERS).suspect == "theirs"


@pytest.mark.parametrize("text", ["-----BEGIN PRIVATE KEY-----\nMC4C\n", f"{'ab' * 32} {'cd' * 32}\n"])
def test_keys_and_secrets_of_draws_do_not_get_into_a_case(
    court: Court, folders: Path, tmp_path: Path, text: str
) -> None:
    """A case goes to the other side: not as material, not with a remark, not beside a model's files."""
    (tmp_path / "kept").write_text(text)
    folder = shutil.copytree(folders / "ours", tmp_path / "ours")
    (folder / "kept").write_text(text)
    for location, role in ((tmp_path / "kept", "material"), (folder, "reference")):
        with pytest.raises(UsageError, match="private key or the secret of a draw"):
            court.admit(location, "x", role)  # type: ignore[arg-type]
    with court.sitting() as held, pytest.raises(UsageError, match="private key or the secret of a draw"):
        note(held, "a key", [tmp_path / "kept"])
    assert not court.bodies(Admitted)
    assert not court.bodies(Noted)


def test_the_other_side_reads_the_location_that_was_told(court: Court, folders: Path) -> None:
    told = court.admit(folders / "ours", "ours", "reference", inside_limit=0, location="our archive, disk 3")
    assert told.location == "our archive, disk 3"
    with pytest.raises(UsageError, match="stay outside"):
        court.admit(folders / "theirs", "theirs", "suspect", location="their page")
    with court.sitting() as held:
        assert Exhibits(held, found_in(folders, held.manifests)).open("ours").name == "ours"
        with pytest.raises(SourceError, match="is missing"):
            Exhibits(held).open("ours")
        with pytest.raises(SourceError, match="holds none of the exhibits"):
            found_in(court.path, held.manifests)


def test_trusting_sizes_stands_in_the_ledger(court: Court, folders: Path) -> None:
    """Written before anything is looked at, with nobody of the line-up by name."""
    for name, role in (("ours", "reference"), ("theirs", "suspect")):
        court.admit(folders / name, name, role, inside_limit=0)  # type: ignore[arg-type]
    court.plan(TOKENIZERS)
    with court.sitting() as held:
        draw(held, secret=SECRET, secrets=court.secrets)
        observe(held, secrets=court.secrets, trust_size=True)
        examine(held, secrets=court.secrets, trust_size=True)
    noted = [n for n, entry in enumerate(case_view(court.path).entries) if isinstance(entry.body, Noted)]
    seen = [n for n, entry in enumerate(case_view(court.path).entries) if isinstance(entry.body, Observed | Examined)]
    assert len(noted) == 2
    assert noted[0] < min(seen) < noted[1] < max(seen)
    for entry in court.bodies(Noted):
        assert "ours" in entry.text
        assert "theirs" not in entry.text
        assert "sizes only" in entry.text


@pytest.mark.parametrize("said", [{"title": "95% match"}, {"title": "ours", "party": "whoever proves it"}])
def test_the_title_is_held_to_the_wording(tmp_path: Path, signer: Signer, said: dict[str, str]) -> None:
    acting = Acting(signer=signer, actor="an expert", clock=Clock(), stampers=())
    with pytest.raises(UsageError, match="a report may not say this"):
        open_case(tmp_path / "case", acting, case="ab" * 16, **said)  # type: ignore[arg-type]
    assert not (tmp_path / "case").exists()


def test_an_authority_that_cannot_be_used_leaves_no_folder(tmp_path: Path, signer: Signer) -> None:
    acting = Acting(signer=signer, actor="an expert", clock=Clock())
    root = LocalAuthority.made(tmp_path / "authority").certificate
    for url, certificate, told in (
        ("https://x", b"a letter", "not a certificate in PEM"),
        ("x.example", root, "no such address"),
    ):
        with pytest.raises(UsageError, match=told):
            open_case(
                tmp_path / "case",
                acting,
                title="x",
                case="ab" * 16,
                authorities={"a": url},
                certificates={"a": certificate},
            )
        assert not (tmp_path / "case").exists()


def test_names_and_models_of_locations(tmp_path: Path, folders: Path) -> None:
    answers = world().write(tmp_path / "answers.parquet", ["lab-1-a", "lab-2-a"])
    assert models_at(f"transcripts:{answers}") == tuple(f"transcripts:{answers}#lab-{n}-a" for n in (1, 2))
    assert usual_name(f"transcripts:{answers}#lab-1-a") == "lab-1-a"
    assert usual_name(str(folders / "ours")) == "ours"
    assert usual_name("org/name@main") == "org-name"
    assert usual_name("openai:org/small@http://localhost:1/v1") == "org-small"


def test_a_rank_of_path_maxima_needs_answers_recorded_in_rounds() -> None:
    plan = {
        "reference": "ours",
        "suspect": "theirs",
        "examiners": ["text_kinship"],
        "stopping": {"rule": "path maximum"},
    }
    told = {"case": "1" * 32, "prepared_by": "somebody", "announcement": Announcement(basis="claimant", seed="2" * 64)}
    with pytest.raises(UsageError, match="recorded in rounds"):
        filled_in(plan_from_tables(plan), **told)
    with_looks = plan | {"parameters": {"text_kinship": {"looks": "25,50"}}}
    assert filled_in(plan_from_tables(with_looks), **told).stopping.rule == "path maximum"
    asked = plan_from_tables(with_looks | {"asking": {"temperature": 0.0, "max_tokens": 64}}).asking
    assert (asked.temperature, asked.max_tokens, asked.top_p) == (0.0, 64, None)
