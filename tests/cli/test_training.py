"""A whole transcript through the command line, each verb in its own process as a person would run it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from filiation.case.signing import new_signer, save_signer
from filiation.cli.canary.options import now
from filiation.cli.program import leave_with_exit_code
from filiation.cli.training import app
from filiation.evidence import canonical
from filiation.training_transcript.folder import TranscriptFolder
from filiation.training_transcript.states import save
from studies.time_stamping import LocalAuthority
from tests.training_transcript.world import TEXT, SmallTrainer, plan

TRAINER = "tests.training_transcript.world:trainer"


def run(*arguments: object) -> tuple[int, str]:
    """Exit code and everything printed, as `filiation training ARGUMENTS` would give them."""
    code = 0

    def call() -> None:
        nonlocal code
        result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
        printed.append(result.output)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        code = result.exit_code

    printed: list[str] = []
    try:
        leave_with_exit_code(call, debug=False)
    except SystemExit as left:
        code = int(left.code or 0)
    return code, "".join(printed)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    save_signer(new_signer(), folder / "key.pem")
    (folder / "plan.json").write_bytes(canonical(plan(steps=12)))
    (folder / "text").write_bytes(TEXT)
    return folder


@pytest.fixture(scope="module")
def closed(place: Path) -> Path:
    """A run of twelve steps that commits after every fourth: open, commit, close."""
    transcript, key = place / "run", ("--signing-key", place / "key.pem")
    assert run("open", transcript, "--plan", place / "plan.json", "--title", "a table", *key)[0] == 0
    by = SmallTrainer(plan(steps=12), {"text": TEXT})
    state = by.initial()
    save(state, place / "000000000.safetensors")
    assert run("commit", transcript, "--step", 0, "--state", place / "000000000.safetensors", *key)[0] == 0
    for first, last in pairwise(by.plan.recorded_steps):
        executed = by.run(state, first, last - first)
        state = executed.state
        save(state, place / f"{last:09d}.safetensors")
        (place / "losses.json").write_text(json.dumps(executed.losses))
        code, _ = run(
            *("commit", transcript, "--step", last, "--state", place / f"{last:09d}.safetensors", *key),
            *("--batches", executed.batches, "--losses", place / "losses.json"),
        )
        assert code == 0
    assert run("status", transcript)[1].endswith("next: close\n")
    assert run("close", transcript, *key)[0] == 0
    return transcript


def test_a_transcript_from_open_to_verify(closed: Path, place: Path) -> None:
    code, said = run("draw", closed, "--count", 2, "--out", place / "draw.json", "--seed", "05" * 32)
    assert code == 0
    assert "1 forged segment passes 2 drawn segments with a chance of 0.3" in said
    code, said = run(
        *("verify", closed, "--drawn", place / "draw.json", "--trainer", TRAINER, "--data", f"text={place / 'text'}"),
        *("--states", place, "--json", place / "result.json"),
    )
    assert code == 4  # nobody stamped this run
    assert "4. the time-stamps hold: FAILS" in said
    assert "9. the drawn segments end in the recorded states: holds (2 looked at)" in said
    result = json.loads((place / "result.json").read_text())
    assert [one["identical"] for one in result["found"]["results"]] == [True, True]
    assert [check["number"] for check in result["verification"]["checks"] if check.get("failures")] == [4]


def test_states_that_were_not_given_are_not_said_to_be_forged(closed: Path, place: Path) -> None:
    run("draw", closed, "--count", 2, "--out", place / "draw.json", "--seed", "05" * 32)
    code, said = run(
        *("verify", closed, "--drawn", place / "draw.json", "--trainer", TRAINER, "--data", f"text={place / 'text'}"),
        *("--states", place / "elsewhere"),
    )
    assert code == 4
    assert "9. the drawn segments end in the recorded states: FAILS" in said
    assert said.count("it was not run again: give the folder of the states") == 2
    assert "was not trained as the transcript says" not in said


def test_a_stamped_transcript_passes_what_can_be_checked_without_a_trainer(place: Path) -> None:
    """Stamps come over HTTP from a real authority (`openssl ts`); the verifier has its certificate from elsewhere."""
    authority = LocalAuthority.made(place / "authority")
    (place / "root.pem").write_bytes(authority.certificate)
    key, transcript = ("--signing-key", place / "key.pem"), place / "stamped"
    with authority.serving() as address:
        named = ("--authority", f"local={address}", "--authority-certificate", f"local={place / 'root.pem'}")
        assert run("open", transcript, "--plan", place / "plan.json", "--title", "stamped", *key, *named)[0] == 0
        by = SmallTrainer(plan(steps=12), {"text": TEXT})
        state = by.initial()
        for first, last in [(0, 0), *pairwise(by.plan.recorded_steps)]:
            executed = by.run(state, first, last - first)
            state = executed.state if last else state
            save(state, place / "state.safetensors")
            batches = ("--batches", executed.batches) if last else ()
            done = run("commit", transcript, "--step", last, "--state", place / "state.safetensors", *batches, *key)
            assert done[0] == 0
        code, said = run("close", transcript, *key)
    assert code == 0
    assert "time-stamped by local" in said
    save({"table": state["weights/table"]}, place / "released.safetensors")
    code, said = run(
        *(
            "verify",
            transcript,
            "--model",
            place / "released.safetensors",
            "--authority-certificate",
            place / "root.pem",
        ),
    )
    assert code == 0
    assert "4. the time-stamps hold: holds (6 looked at)" in said
    assert "5. the last state is the model in dispute: holds (1 looked at)" in said
    assert "6. state 0 is drawn again from the seed: nothing to look at" in said


def test_a_draw_that_was_changed_by_hand_fails(closed: Path, place: Path) -> None:
    run("draw", closed, "--count", 1, "--out", place / "one.json", "--seed", "06" * 32)
    draw = json.loads((place / "one.json").read_text())
    draw["segments"] = [(draw["segments"][0] + 1) % 3]
    (place / "one.json").write_text(json.dumps(draw))
    code, said = run("verify", closed, "--drawn", place / "one.json")
    assert code == 4
    assert "8. the draw follows from the close: FAILS" in said


def test_weights_and_optimiser_in_files_of_their_own_are_the_same_state(place: Path) -> None:
    by = SmallTrainer(plan(steps=12), {"text": TEXT})
    state = by.run(by.initial(), 0, 4).state
    save({"table": state["weights/table"]}, place / "model.safetensors")
    save({"momentum": state["optimiser/momentum"]}, place / "adam.safetensors")
    (place / "batches").write_bytes(b"anything")
    key = ("--signing-key", place / "key.pem")
    transcript = place / "apart"
    run("open", transcript, "--plan", place / "plan.json", "--title", "apart", *key)
    run("commit", transcript, "--step", 0, "--weights", place / "model.safetensors", *key)
    parts = ("--weights", place / "model.safetensors", "--optimiser", place / "adam.safetensors")
    assert run("commit", transcript, "--step", 4, *parts, "--batches-file", place / "batches", *key)[0] == 0
    assert list(TranscriptFolder.open(transcript).states[1].tensors) == ["optimiser/momentum", "weights/table"]


def opened_with_its_first_state(place: Path, name: str, *more: object) -> Path:
    transcript, key = place / name, ("--signing-key", place / "key.pem")
    assert run("open", transcript, "--plan", place / "plan.json", "--title", name, *key, *more)[0] == 0
    save(SmallTrainer(plan(steps=12), {"text": TEXT}).initial(), place / "first.safetensors")
    assert run("commit", transcript, "--step", 0, "--state", place / "first.safetensors", *key)[0] == 0
    return transcript


def test_nothing_is_added_that_the_transcripts_key_does_not_sign(place: Path) -> None:
    transcript = opened_with_its_first_state(place, "another key")
    before = (transcript / "ledger.jsonl").read_bytes()
    save_signer(new_signer(), place / "other.pem")
    key = ("--signing-key", place / "other.pem")
    step = ("--step", 4, "--state", place / "first.safetensors", "--batches", "0" * 64)
    assert run("commit", transcript, *step, *key)[0] == 2
    assert run("close", transcript, "--remark", "ended early", *key)[0] == 2
    assert (transcript / "ledger.jsonl").read_bytes() == before


def test_a_close_that_was_interrupted_or_not_stamped_is_signed_and_stamped_later(place: Path) -> None:
    authority, key = LocalAuthority.made(place / "late authority"), ("--signing-key", place / "key.pem")
    (place / "late.pem").write_bytes(authority.certificate)
    close = ("--remark", "ended early", *key)
    with authority.serving() as address:
        named = ("--authority", f"local={address}", "--authority-certificate", f"local={place / 'late.pem'}")
        transcript = opened_with_its_first_state(place, "late", *named)
        folder = TranscriptFolder.open(transcript)
        folder.close(now=now(), remark="ended early")  # and the machine went down before it was signed
        head = folder.head
        code, said = run("close", transcript, *close)
        assert (code, "time-stamped by local" in said) == (0, True)
        assert run("close", transcript, *close)[0] == 2
    assert TranscriptFolder.open(transcript).head == head
    code, said = run("verify", transcript, "--authority-certificate", place / "late.pem")
    assert "3. the signatures hold: holds" in said
    assert "4. the time-stamps hold: holds" in said


def test_a_draw_of_more_segments_than_there_are_fails_its_check(closed: Path, place: Path) -> None:
    run("draw", closed, "--count", 1, "--out", place / "many.json", "--seed", "06" * 32)
    draw = json.loads((place / "many.json").read_text()) | {"segments": list(range(40))}
    (place / "many.json").write_text(json.dumps(draw))
    code, said = run("verify", closed, "--drawn", place / "many.json")
    assert code == 4
    assert "8. the draw follows from the close: FAILS" in said


MISTAKES = {
    "no plan": (("open", "{place}/new", "--plan", "{place}/text", "--title", "x"), 2),
    "no transcript": (("status", "{place}/nowhere"), 2),
    "a step that is not planned": (("commit", "{run}", "--step", "3", "--state", "{place}/000000000.safetensors"), 2),
    "no state": (("commit", "{run}", "--step", "4"), 2),
    "a state that is none": (("commit", "{run}", "--step", "4", "--state", "{place}/text"), 3),
    "a beacon that does not hold": (
        ("draw", "{run}", "--count", "1", "--out", "{place}/x", "--beacon", "{place}/text"),
        4,
    ),
    "a seed that is too short": (("draw", "{run}", "--count", "1", "--out", "{place}/x", "--seed", "abcd"), 2),
    "too many segments": (("draw", "{run}", "--count", "9", "--out", "{place}/x"), 2),
    "no such trainer": (("verify", "{run}", "--trainer", "tests.nowhere:trainer"), 2),
    "a trainer without its data": (("verify", "{run}", "--trainer", "studies.zoo.recorded_training:trainer"), 2),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_get_the_documented_exit_code(
    name: str, closed: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FILIATION_KEY", str(place / "key.pem"))
    arguments, expected = MISTAKES[name]
    code, _ = run(*(argument.format(place=place, run=closed) for argument in arguments))
    assert code == expected
    assert "filiation:" in capsys.readouterr().err


def test_the_plan_of_a_transcript_reads_back(closed: Path) -> None:
    assert TranscriptFolder.open(closed).plan == plan(steps=12)
    assert msgspec.json.decode(canonical(plan(steps=12)), type=type(plan())) == plan(steps=12)
