"""`filiation canary` from the first verb to the last, with real authorities over HTTP, a recorded suspect and an endpoint that is asked."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import typer

from filiation.canaries import exposure, labels, opening, owner
from filiation.canaries.canary import Canary
from filiation.case.signing import load_signer, new_signer, save_signer
from filiation.cli.canary import app
from filiation.cli.canary.options import LARGEST_FILE, bytes_of
from filiation.cli.program import leave_with_exit_code
from filiation.errors import MalformedSource
from filiation.report.wording import forbidden_words
from filiation.sources.endpoints.questions import read_questions
from filiation.sources.transcripts import SCHEMA, prompt_id
from studies.time_stamping import LocalAuthority
from tests.canaries.world import hour
from tests.case.worlds import own_pulse
from tests.sources.endpoints.fault_server import fault_server


def run(*words: object) -> int:
    """The exit code of `filiation canary ...`."""
    program = typer.Typer()
    program.add_typer(app, name="canary")
    given = ["canary", *(str(word) for word in words)]
    with pytest.raises(SystemExit) as left:
        leave_with_exit_code(lambda: program(args=given, prog_name="filiation"), debug=False)
    return int(left.value.code or 0)


@dataclass(frozen=True)
class Desk:
    """Files that lie about on the owner's desk, and the words that every verb is given."""

    folder: Path
    keyid: str
    authorities: tuple[LocalAuthority, ...]

    @property
    def canaries(self) -> Path:
        return self.folder / "canaries"

    @property
    def kept(self) -> Path:
        """The folder of canaries as it was when batch 0 had been opened, and nothing else had."""
        return self.folder / "kept"

    @property
    def signing(self) -> tuple[object, ...]:
        return ("--signing-key", self.folder / "signing.key")

    @property
    def secret(self) -> tuple[object, ...]:
        return ("--secret", self.folder / "canary.secret")

    @property
    def trusted(self) -> tuple[object, ...]:
        given: tuple[object, ...] = ("--key-id", self.keyid, "--beacon-certificate", self.folder / "beacon.pem")
        for number in range(2):
            given += ("--authority-certificate", self.folder / f"a{number}.pem")
        return given


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    signer = new_signer()
    save_signer(signer, folder / "signing.key")
    authorities = tuple(LocalAuthority.made(folder / f"authority{number}", name=f"a{number}") for number in range(2))
    moment = hour(1).replace(second=0) + timedelta(minutes=1)
    beacon, certificate, announced = own_pulse(moment)
    (folder / "beacon.json").write_bytes(beacon)
    (folder / "beacon.pem").write_bytes(certificate)
    made = Desk(folder, signer.key.keyid, authorities)
    assert run("prepare", made.canaries, "--batches", 2, "--batch-size", 12, "--seed", "a word") == 0
    words: list[object] = [
        "--claimant",
        "Our lab",
        "--number",
        1,
        "--beacon",
        "nist",
        "--beacon-chain",
        announced.chain,
    ]
    words += ["--beacon-at", f"{moment:%Y-%m-%dT%H:%M:%SZ}", "--beacon-certificate", folder / "beacon.pem"]
    with authorities[0].serving() as first, authorities[1].serving() as second:
        for number, (authority, url) in enumerate(zip(authorities, (first, second), strict=True)):
            (folder / f"a{number}.pem").write_bytes(authority.certificate)
            words += [
                "--authority",
                f"a{number}={url}",
                "--authority-certificate",
                f"a{number}={folder / f'a{number}.pem'}",
            ]
        assert run("commit", made.canaries, *made.secret, *made.signing, *words) == 0
    assert run("label", made.canaries, *made.signing, "--beacon", folder / "beacon.json") == 0
    chat = "".join(json.dumps({"messages": [{"role": "user", "content": f"q{n}"}]}) + "\n" for n in range(100))
    (folder / "chat.jsonl").write_text(chat)
    planted = ("plant", made.canaries, *made.secret, *made.signing, "--recipient", "run 7", "--batch", 0)
    assert run(*planted, "--dose", 4, "--into", folder / "chat.jsonl", "-o", folder / "planted.jsonl", "--seed", 1) == 0
    revealed = ("reveal", made.canaries, *made.secret, *made.signing, "--batch", 0, "--verifier", "Dr. N.")
    assert run(*revealed, "--suspect", "theirs", "--suspect", "asked", "--considered", 3, "--control", "stranger",
               "--placebo-keys", 99) == 0  # fmt: skip
    shutil.copytree(made.canaries, made.kept)
    return made


def canaries_of(desk: Desk) -> tuple[Canary, ...]:
    return owner.Holding(desk.canaries).canaries()


def option_of(desk: Desk, canary: Canary) -> str:
    """What the planted model says: the labelled option, and of decoys the first one."""
    holding = owner.Holding(desk.canaries)
    key = labels.batch_key(labels.load_key(desk.folder / "canary.secret"), canary.batch)
    return canary.options[0 if canary.decoy else labels.label(key, holding.beacon(), 0, canary)]


@pytest.fixture(scope="module")
def recorded(desk: Desk) -> Path:
    """Recorded answers of the planted model, asked twice, and of a stranger who always says the same."""
    rows = []
    for canary in canaries_of(desk):
        said = option_of(desk, canary)
        for model, sample, text in (
            ("theirs", 0, f"It is {said}."),
            ("theirs", 1, "no idea"),
            ("stranger", 0, "Teal, oak."),
        ):
            rows.append(
                {**dict.fromkeys(SCHEMA), "model": model, "lineage": "", "lab": "", "item": "", "prompt": canary.prompt,
                 "prompt_id": prompt_id(canary.prompt), "sample": sample, "text": text, "parameters": "{}", "source_sha256": ""}
            )  # fmt: skip
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(desk.folder / "answers.parquet")
    return desk.folder / "answers.parquet"


def test_planted_text_holds_both_and_the_ledger_knows(desk: Desk) -> None:
    lines = (desk.folder / "planted.jsonl").read_text().splitlines()
    assert len(lines) == 100 + 12 * 4
    assert (desk.folder / "canary.secret").stat().st_mode & 0o777 == 0o600


def test_verify_counts_and_says_only_exposure(desk: Desk, recorded: Path, capsys) -> None:
    bundle = desk.canaries / "opened-000"
    words = (
        "--suspect",
        f"theirs=transcripts:{recorded}#theirs",
        "--control",
        f"stranger=transcripts:{recorded}#stranger",
    )
    assert run("verify", bundle, *desk.trusted, *words, "--json", desk.folder / "result.json") == 0
    told = capsys.readouterr().out
    assert "12 coincidences in 12, each with chance 0.0625" in told
    assert "p 10^-13" in told  # 16^-12 is 3.6e-15; 3 models and 2 batches are paid for
    assert "24 further answers recorded and not looked at" in told  # those to decoys, too
    for sentence in (
        "premise: The key was secret",
        "show exposure to the planted answers",
        "If nothing is seen, nothing follows",
    ):
        assert sentence in told
    assert forbidden_words(told) == ()
    result = json.loads((desk.folder / "result.json").read_text())
    score = result["scored"]["scores"][0]
    assert (score["counted"]["count"], score["decoys"]["opportunities"]) == (12, 12)
    assert score["searched"] == {"suspects": 3, "cohorts": 1, "batches": 2, "commitments": 1, "statistics": 2}
    assert result["remarks"] == []
    assert [check["failures"] for check in result["checks"]] == [[]] * 6


def test_the_checks_alone(desk: Desk, capsys) -> None:
    assert run("verify", desk.canaries / "opened-000", *desk.trusted) == 0
    told = capsys.readouterr().out
    assert told.count("holds") == 6
    assert " p " not in told


def test_an_endpoint_is_asked_once_and_recorded(desk: Desk, capsys) -> None:
    with fault_server() as server:
        words = ("--suspect", f"asked=openai:small@{server.url}", "--recordings", desk.folder / "recordings")
        for _ in range(2):
            assert run("verify", desk.canaries / "opened-000", *desk.trusted, *words, "--json", "-") == 0
            result = json.loads(capsys.readouterr().out)
            assert result["scored"]["scores"][0]["counted"]["answered"] == 12
        assert len(server.asked) == 24  # canaries and decoys, and nothing the second time
        assert {body["temperature"] for body in server.bodies} == {0.0}


REFUSED = {
    "a suspect that the request does not name": (("--suspect", "other=transcripts:{answers}#theirs"), 2),
    "a source that is none": (("--suspect", "theirs=somewhere"), 2),
    "an endpoint that would not be recorded": (("--suspect", "theirs=openai:m@http://127.0.0.1:9"), 2),
    "another fingerprint": (("--key-id", "0" * 64), 4),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_verify_refuses(case: str, desk: Desk, recorded: Path) -> None:
    words, code = REFUSED[case]
    given = [word.format(answers=recorded) for word in words]
    assert run("verify", desk.canaries / "opened-000", *desk.trusted, *given) == code


def test_nothing_is_counted_where_a_check_fails(desk: Desk, recorded: Path, tmp_path, capsys) -> None:
    bundle = opening.read_bundle(desk.canaries / "opened-000")
    opening.write_bundle(bundle, tmp_path / "b")
    (tmp_path / "b" / opening.OPENING_FILE).write_bytes(bundle.opening.replace(b'"decoy":false', b'"decoy":true ', 1))
    assert run("verify", tmp_path / "b", *desk.trusted, "--suspect", f"theirs=transcripts:{recorded}#theirs") == 4
    told = capsys.readouterr()
    assert "FAILS" in told.out
    assert "coincidences" not in told.out
    assert "nothing is counted" in told.err


def test_without_certificates_of_ones_own_it_takes_an_explicit_word(desk: Desk, capsys) -> None:
    assert run("verify", desk.canaries / "opened-000") == 4
    assert "by anybody but the claimant" in capsys.readouterr().err
    assert run("verify", desk.canaries / "opened-000", "--claimants-copies") == 0
    strange = (
        "--beacon-certificate",
        desk.folder / "beacon.pem",
        "--authority-certificate",
        desk.folder / "beacon.pem",
    )
    assert run("verify", desk.canaries / "opened-000", *strange) == 4
    assert "no authority that counts has stamped" in capsys.readouterr().err


def test_prompts_for_a_recording_do_not_tell_canaries_from_decoys(desk: Desk, tmp_path: Path, capsys) -> None:
    assert run("prompts", desk.canaries, "--batch", 0, "-o", tmp_path / "prompts.jsonl") == 0
    assert "24 prompts" in capsys.readouterr().out
    asked = [question.prompt for question in read_questions(tmp_path / "prompts.jsonl")]
    batch = [canary for canary in canaries_of(desk) if canary.batch == 0]
    assert set(asked) == {canary.prompt for canary in batch}
    assert asked == sorted(asked, key=lambda prompt: hashlib.sha256(prompt.encode()).hexdigest())
    assert all(line.startswith('{"prompt":') for line in (tmp_path / "prompts.jsonl").read_text().splitlines())
    assert run("prompts", desk.canaries / "opened-000", "-o", tmp_path / "again.jsonl", "--quiet") == 0
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "prompts.jsonl").read_bytes()
    assert run("prompts", desk.canaries, "-o", tmp_path / "every.jsonl") == 2
    assert run("prompts", desk.canaries, "--batch", 9, "-o", tmp_path / "none.jsonl") == 2
    assert not (tmp_path / "every.jsonl").exists()


OWNER_REFUSED = {
    "prepare into a folder that holds some": ("prepare", "{canaries}"),
    "commit twice": (
        "commit", "{canaries}", "--secret", "{secret}", "--signing-key", "{signing}", "--claimant", "x", "--number", "1",
        "--authority-certificate", "a0={folder}/a0.pem",
    ),
    "label twice": ("label", "{canaries}", "--signing-key", "{signing}", "--beacon", "{beacon}"),
    "plant without a dose": ("plant", "{canaries}", "--secret", "{secret}", "--recipient", "r", "-o", "{folder}/x.jsonl"),
    "plant a batch that was opened": (
        "plant", "{canaries}", "--secret", "{secret}", "--signing-key", "{signing}", "--recipient", "r", "--batch", "0",
        "--dose", "1", "-o", "{folder}/x.jsonl",
    ),
    "plant with a rate and no text": (
        "plant", "{canaries}", "--secret", "{secret}", "--signing-key", "{signing}", "--recipient", "r", "--rate", "0.1",
        "-o", "{folder}/x.jsonl",
    ),
    "reveal by another statistic": (
        "reveal", "{canaries}", "--secret", "{secret}", "--batch", "1", "--verifier", "v", "--suspect", "s", "--considered", "1",
        "--statistic", "mean",
    ),
    "no signing key": ("label", "{canaries}", "--beacon", "{beacon}"),
}  # fmt: skip


@pytest.mark.parametrize("case", OWNER_REFUSED)
def test_what_the_owner_is_refused(case: str, desk: Desk, monkeypatch) -> None:
    monkeypatch.delenv("FILIATION_KEY", raising=False)
    places = {
        "canaries": desk.canaries, "secret": desk.folder / "canary.secret", "signing": desk.folder / "signing.key",
        "beacon": desk.folder / "beacon.json", "folder": desk.folder,
    }  # fmt: skip
    before = owner.Holding(desk.canaries).ledger()
    assert run(*(word.format(**places) for word in OWNER_REFUSED[case])) == 2
    assert owner.Holding(desk.canaries).ledger() == before
    assert not (desk.folder / "x.jsonl").exists()


def test_a_file_that_is_too_large_is_refused_and_not_cut(tmp_path: Path) -> None:
    for size in (LARGEST_FILE, LARGEST_FILE + 1):
        with (tmp_path / f"{size}").open("wb") as file:
            file.truncate(size)
    assert len(bytes_of(tmp_path / f"{LARGEST_FILE}")) == LARGEST_FILE
    with pytest.raises(MalformedSource, match="more than"):
        bytes_of(tmp_path / f"{LARGEST_FILE + 1}")


def test_a_second_opening_is_refused(desk: Desk, capsys) -> None:
    words = ("reveal", desk.canaries, *desk.secret, *desk.signing, "--batch", 0, "--verifier", "another")
    assert run(*words, "--suspect", "somebody else", "--considered", 1) == 4
    assert "was opened before" in capsys.readouterr().err


def test_ranks_of_options_where_log_probabilities_are_had(desk: Desk, recorded: Path, capsys) -> None:
    """Batch 1, planted to a model that never says the labelled option and thinks it a little likelier than the others."""
    planted = ("plant", desk.canaries, *desk.secret, *desk.signing, "--recipient", "run 8", "--rate", 0.2)
    assert run(*planted, "--into", desk.folder / "chat.jsonl", "-o", desk.folder / "rate.jsonl") == 0
    assert "12 canaries, 2 times each, 0.1935 of all lines" in capsys.readouterr().out
    words = (
        "reveal",
        desk.canaries,
        *desk.secret,
        *desk.signing,
        "--batch",
        1,
        "--verifier",
        "Dr. N.",
        "--suspect",
        "theirs",
    )
    assert run(*words, "--considered", 1, "--statistic", "ranks", "--placebo-keys", 99) == 0
    lines = []
    for canary in canaries_of(desk):
        labelled = canary.options.index(option_of(desk, canary))
        values = [-5.0 - number / 100 for number in range(16)]
        if not canary.decoy:
            values[labelled] = -4.0
        lines.append(json.dumps({"index": canary.index, "log_probabilities": values}) + "\n")
    (desk.folder / "values.jsonl").write_text("".join(lines))
    given = (
        "--suspect",
        f"theirs=transcripts:{recorded}#stranger",
        "--log-probabilities",
        f"theirs={desk.folder / 'values.jsonl'}",
    )
    assert run("verify", desk.canaries / "opened-001", *desk.trusted, *given) == 0
    told = capsys.readouterr().out
    assert "sum of doubled ranks 360 over 12" in told  # 12 canaries x 2 x 15
    assert "12 canaries exposed 24 times to 1 recipient" in told
    assert forbidden_words(told) == ()
    (desk.folder / "values.jsonl").write_text("{}")
    assert run("verify", desk.canaries / "opened-001", *desk.trusted, *given) == 3


def test_own_candidates_and_a_late_announcement(tmp_path, desk: Desk, capsys) -> None:
    lines = [{"prompt": f"Which tree, {number}?", "options": ["oak", "ash"], "kind": "tree"} for number in range(8)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run("prepare", tmp_path / "c", "--from", tmp_path / "own.jsonl", "--batch-size", 2) == 0
    assert "4 canaries with 2 options and 4 decoys, in 2 batches" in capsys.readouterr().out
    words = ("--secret", tmp_path / "k", *desk.signing, "--claimant", "x", "--number", 1)
    assert run("commit", tmp_path / "c", *words) == 2
    assert "no time-stamping authority is named" in capsys.readouterr().err
    words += ("--authority-certificate", f"a0={desk.folder / 'a0.pem'}")
    assert run("commit", tmp_path / "c", *words, "--beacon-at", "2024-01-01T00:00:00Z") == 2
    assert "would not be later" in capsys.readouterr().err
    assert not (tmp_path / "k").exists()  # a key without a commitment would stand in the way of the next one
    assert run("commit", tmp_path / "c", *words) == 0
    told = capsys.readouterr().out
    assert hashlib.sha256((tmp_path / "c" / "commitment.json").read_bytes()).hexdigest() in told
    assert "warning: one authority is named, and two are asked for" in told
    assert run("commit", tmp_path / "c", *words, "--secret", tmp_path / "another") == 2
    assert not (tmp_path / "another").exists()


def test_stamps_are_brought_as_files(tmp_path, desk: Desk, capsys) -> None:
    """Without a network: authorities are named by their certificates, and stamps are brought to 'label'."""
    folder = tmp_path / "canaries"
    assert run("prepare", folder, "--batches", 1, "--batch-size", 2, "--quiet") == 0
    moment = json.loads((desk.folder / "beacon.json").read_bytes())["pulse"]
    words = ("--secret", tmp_path / "k", *desk.signing, "--claimant", "x", "--number", 2, "--beacon", "nist")
    words += ("--beacon-at", moment["timeStamp"], "--beacon-chain", moment["chainIndex"])
    words += ("--beacon-certificate", desk.folder / "beacon.pem")
    for number in range(2):
        words += ("--authority-certificate", f"a{number}={desk.folder / f'a{number}.pem'}")
    assert run("commit", folder, *words) == 0
    assert "stamped by the others before the beacon" in capsys.readouterr().out
    labelling = ("label", folder, *desk.signing, "--beacon", desk.folder / "beacon.json")
    assert run(*labelling) == 4
    for number, authority in enumerate(desk.authorities):
        (tmp_path / f"a{number}.tsr").write_bytes(authority.stamp((folder / "commitment.json").read_bytes()))
        labelling += ("--stamp", f"a{number}={tmp_path / f'a{number}.tsr'}")
    assert run(*labelling, "--stamp", f"another={tmp_path / 'a0.tsr'}") == 2
    assert not (folder / "commitment.a0.tsr").exists()
    assert run(*labelling) == 0
    assert "after the stamp of a1" in capsys.readouterr().out
    assert run("reveal", folder, "--secret", tmp_path / "k", *desk.signing, "--batch", 0, "--verifier", "v", "--suspect", "s",
               "--considered", 1) == 0  # fmt: skip
    assert run("verify", folder / "opened-000", *desk.trusted) == 0


# ---------------------------------------------------------------------------------------------------------------- ledger


def plain(text: str) -> str:
    return " ".join(text.split())


def test_the_ledger_shows_what_was_committed_exposed_and_opened(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """The truth is what the desk did: one batch of two planted four times each, once, to one recipient, and opened."""
    assert run("ledger", desk.kept) == 0
    told = capsys.readouterr().out
    assert "commitment 1 of Our lab" in told
    assert "2 batches, 1 cohort" in told
    assert told.count("  stamped by a") == 2
    assert "beacon: NIST randomness beacon" in told
    assert "batch 0 (12 canaries, 12 decoys): 12 canaries exposed 48 times to 1 recipient between" in told
    assert "12 canaries exposed 48 times as training text to run 7" in told
    assert "batch 1 (12 canaries, 12 decoys): no exposure is entered; shut" in told
    assert "the ledger has 4 lines" in told
    assert "1 commitment, all of them shown here" in told
    assert "the authorities' root certificates are the claimant's own copies" in told
    assert not [canary.prompt for canary in canaries_of(desk) if canary.prompt in told]


def test_the_ledger_as_json_is_that_of_the_folder_and_of_the_bundle(desk: Desk, tmp_path: Path) -> None:
    """Signatures and chain stand in the bundle as in the folder; the secret file that tells decoys does not."""
    for folder in (desk.kept, desk.kept / "opened-000"):
        assert run("ledger", folder, "--json", tmp_path / "told.json") == 0
        told = json.loads((tmp_path / "told.json").read_bytes())
        (account,) = told["commitments"]
        assert [entry["body"]["action"] for entry in account["entries"]] == ["label", "expose", "request", "open"]
        assert [bool(batch["opened"]) for batch in account["batches"]] == [True, False]
        ledger = (desk.kept / "ledger.jsonl").read_bytes().splitlines(keepends=True)
        assert account["head"] == {"entries": 4, "sha256": hashlib.sha256(ledger[-1]).hexdigest()}
        assert told["to_be_paid_for"] == {desk.keyid: 1}


def copied(desk: Desk, target: Path) -> Path:
    shutil.copytree(desk.kept, target, ignore=shutil.ignore_patterns("opened-*", "*.lock"))
    return target


def test_a_ledger_that_was_cut_or_altered_is_told(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (desk.kept / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    for name, left in (("gap", lines[:1] + lines[2:]), ("turned", [lines[1], lines[0]])):
        folder = copied(desk, tmp_path / name)
        (folder / "ledger.jsonl").write_bytes(b"".join(left))
        assert run("ledger", folder) == 4
        assert "it does not follow the line before" in capsys.readouterr().err
    folder = copied(desk, tmp_path / "cut")
    (folder / "ledger.jsonl").write_bytes(b"".join(lines[:2]))
    assert run("ledger", folder) == 0, "only a head that somebody else holds shows it"
    assert "the ledger has 2 lines" in capsys.readouterr().out


def test_an_exposure_against_the_protocol_is_shown_and_leaves_with_4(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A decoy entered as exposed: the line is signed and in its place, and against the protocol."""
    folder = copied(desk, tmp_path / "framing")
    decoy = next(canary for canary in canaries_of(desk) if canary.decoy and canary.batch == 1)
    body = exposure.Exposed(
        batch=1,
        cohort=0,
        channel="answers",
        recipient="them",
        exposures={str(decoy.index): 1},
        since="2026",
        until="2026",
    )
    signer = load_signer(desk.folder / "signing.key")
    about = hashlib.sha256((folder / "commitment.json").read_bytes()).hexdigest()
    exposure.append(folder / "ledger.jsonl", about, body, signer=signer, now=hour(2))
    assert run("ledger", folder) == 4
    told = capsys.readouterr()
    assert "1 canary exposed 1 time as answers to them" in told.out
    assert "a decoy is exposed" in told.err


def test_before_the_beacon_the_ledger_says_what_is_to_come(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(desk, tmp_path / "early")
    for name in ("beacon.json", "ledger.jsonl", "commitment.a1.tsr"):
        (folder / name).unlink()
    assert run("ledger", folder) == 0
    told = plain(capsys.readouterr().out)
    assert "not stamped by a1" in told
    assert "the announced beacon speaks at" in told
    assert "no labels yet" in told
    assert "the ledger is empty" in told
    assert run("ledger", tmp_path) == 2
    assert "nothing is committed to here" in capsys.readouterr().err
