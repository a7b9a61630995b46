"""`filiation lot` from the first verb to the last, with real authorities over HTTP, and keys that `filiation watermark` reads."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
import typer

from filiation.case.signing import save_signer
from filiation.cli.lot import app
from filiation.cli.program import leave_with_exit_code
from filiation.lots.subject import Purpose
from filiation.measures.watermarks import GumbelKey, read_key, settings_of
from filiation.report.wording import forbidden_words
from tests.lots.test_lot import DOCUMENTS, PAIRS, TOKENIZER
from tests.lots.world import AUTHORITIES, fixed_pulse, signer_of

ROUND = Path(__file__).parent.parent / "case" / "beacons" / "quicknet-1000.json"


def settings() -> bytes:
    return settings_of(GumbelKey(secret="00" * 32), hashlib.sha256(TOKENIZER).hexdigest())


SUBJECTS: dict[Purpose, Callable[[], bytes]] = {
    "order": lambda: DOCUMENTS,
    "twins": lambda: PAIRS,
    "watermark": settings,
}


def run(*words: object) -> int:
    """The exit code of `filiation lot ...`."""
    program = typer.Typer()
    program.add_typer(app, name="lot")
    given = ["lot", *(str(word) for word in words)]
    with pytest.raises(SystemExit) as left:
        leave_with_exit_code(lambda: program(args=given, prog_name="filiation"), debug=False)
    return int(left.value.code or 0)


@dataclass(frozen=True)
class Desk:
    """Files that lie about on the owner's desk, and the words that the verbs are given."""

    folder: Path

    def at(self, name: str) -> Path:
        return self.folder / name

    def committing(self, purpose: str, lot: str = "") -> tuple[object, ...]:
        name = lot or purpose
        pulse = json.loads(self.at("beacon.json").read_bytes())["pulse"]
        return (
            "commit", self.at(name), "--purpose", purpose, "--subject", self.at(f"{purpose}.jsonl"), "--secret", self.at(f"{name}.secret"),
            "--owner", "Our lab", "--number", 1, "--signing-key", self.at("signing.key"), "--beacon", "nist", "--beacon-chain",
            pulse["chainIndex"], "--beacon-at", pulse["timeStamp"], "--beacon-certificate", self.at("beacon.pem"),
        )  # fmt: skip

    def drawing(self, lot: str) -> tuple[object, ...]:
        return ("draw", self.at(lot), "--secret", self.at(f"{lot}.secret"), "--beacon", self.at("beacon.json"))

    def opening(self, lot: str) -> tuple[object, ...]:
        return ("open", self.at(lot), "--secret", self.at(f"{lot}.secret"), "-o", self.at(f"{lot}-opened"))

    @property
    def certificates(self) -> tuple[object, ...]:
        return tuple(
            word
            for authority in AUTHORITIES
            for word in ("--authority-certificate", f"{authority.name}={self.at(authority.name)}.pem")
        )

    @property
    def trusted(self) -> tuple[object, ...]:
        given: tuple[object, ...] = ("--key-id", signer_of(0).key.keyid, "--beacon-certificate", self.at("beacon.pem"))
        for authority in AUTHORITIES:
            given += ("--authority-certificate", self.at(f"{authority.name}.pem"))
        return given


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Three lots, committed over HTTP, drawn and opened."""
    made = Desk(tmp_path_factory.mktemp("desk"))
    save_signer(signer_of(0), made.at("signing.key"))
    beacon, certificate, _ = fixed_pulse()
    made.at("beacon.json").write_bytes(beacon)
    made.at("beacon.pem").write_bytes(certificate)
    made.at("tokenizer.json").write_bytes(TOKENIZER)
    for authority in AUTHORITIES:
        made.at(f"{authority.name}.pem").write_bytes(authority.certificate)
    for purpose, subject in SUBJECTS.items():
        made.at(f"{purpose}.jsonl").write_bytes(subject())
    with AUTHORITIES[0].serving() as first, AUTHORITIES[1].serving() as second:
        asked = ("--authority", f"a0={first}", "--authority", f"a1={second}", *made.certificates)
        for purpose in SUBJECTS:
            assert run(*made.committing(purpose), *asked) == 0
    for purpose in SUBJECTS:
        assert run(*made.drawing(purpose)) == 0
        words = ("--tokenizer", made.folder) if purpose == "watermark" else ()
        assert run(*made.opening(purpose), *words) == 0
    return made


# ----------------------------------------------------------------------------------------------------------- a whole run


@pytest.mark.parametrize("purpose", SUBJECTS)
def test_verify_says_what_is_shown_and_what_is_not(
    purpose: str, desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", desk.at(f"{purpose}-opened"), *desk.trusted, "--json", desk.at("result.json")) == 0
    told = capsys.readouterr().out
    assert told.count(": holds") == 4
    for sentence in ("lot 1 of Our lab", "after the stamp of a0", "Shown: ", "Not shown: ", "is the owner's word"):
        assert sentence in told
    assert "note:" not in told
    assert forbidden_words(told) == ()
    result = json.loads(desk.at("result.json").read_bytes())
    assert (result["purpose"], result["number"], result["remarks"]) == (purpose, 1, [])
    assert [check["failures"] for check in result["checks"]] == [[]] * 4


def test_the_result_as_json_is_all_that_is_printed(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", desk.at("order-opened"), *desk.trusted, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out)["owner"] == "Our lab"


def test_what_was_drawn_lies_in_a_folder_of_the_owners(desk: Desk) -> None:
    documents = desk.at("order") / "drawn" / "documents.jsonl"
    assert sorted(documents.read_bytes().splitlines()) == sorted(DOCUMENTS.splitlines())
    assert documents.read_bytes() != DOCUMENTS
    published = [json.loads(line)["text"] for line in (desk.at("twins") / "drawn" / "published.jsonl").open()]
    assert {text.split()[0] for text in published} == {"one", "another"}
    for name in ("order", "twins", "watermark"):
        assert desk.at(f"{name}.secret").stat().st_mode & 0o777 == 0o600


def test_a_drawn_key_is_a_watermark_key(desk: Desk) -> None:
    data = (desk.at("watermark") / "drawn" / "key.json").read_bytes()
    key = read_key(data, "key.json")
    assert isinstance(key, GumbelKey)
    assert key.secret != "00" * 32
    assert (desk.at("watermark") / "drawn" / "key.json").stat().st_mode & 0o777 == 0o600


def test_the_same_again_draws_and_opens_the_same(desk: Desk) -> None:
    before = {path: path.read_bytes() for path in desk.at("order").rglob("*") if path.is_file()}
    assert run(*desk.drawing("order")) == 0
    assert run(*desk.opening("order")) == 0
    assert {path: path.read_bytes() for path in desk.at("order").rglob("*") if path.is_file()} == before


def test_stamps_and_beacon_as_files(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a network: authorities are named by their certificates, stamps are brought to 'draw'."""
    assert run(*desk.committing("order", "offline"), *desk.certificates) == 0
    assert (
        "stamped by the others before the beacon, by any means, and give 'filiation lot draw' --stamp"
        in capsys.readouterr().out
    )
    assert run(*desk.drawing("offline")) == 4
    words: tuple[object, ...] = ()
    for authority in AUTHORITIES:
        stamp = desk.at(f"{authority.name}.tsr")
        stamp.write_bytes(authority.stamp((desk.at("offline") / "lot.json").read_bytes()))
        words += ("--stamp", f"{authority.name}={stamp}")
    assert run(*desk.drawing("offline"), *words) == 0
    assert run(*desk.opening("offline")) == 0
    assert run("verify", desk.at("offline-opened"), *desk.trusted) == 0


# -------------------------------------------------------------------------------------------------------------- refusals


def test_copies_of_certificates_have_to_be_asked_for_and_are_said(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("verify", desk.at("order-opened")) == 4
    assert "by anybody but the claimant" in capsys.readouterr().err
    assert run("verify", desk.at("order-opened"), "--claimants-copies") == 0
    assert capsys.readouterr().out.count("note:") == 3


def test_an_altered_lot_is_refused_by_the_check_that_is_there_for_it(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in desk.at("order-opened").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "subject.jsonl").write_bytes(b'{"text": "another"}\n')
    assert run("verify", tmp_path, *desk.trusted) == 4
    told = capsys.readouterr()
    assert "3. the subject is the one that was committed to: FAILS" in told.out
    assert "check 3 does not hold, so nothing is drawn from this" in told.err


def test_a_secret_is_not_overwritten_and_none_is_left_without_a_lot(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    before = desk.at("order.secret").read_bytes()
    assert run(*desk.committing("order"), *desk.certificates) == 2
    assert desk.at("order.secret").read_bytes() == before
    again = (*desk.committing("order"), "--secret", desk.at("another.secret"))
    assert run(*again, *desk.certificates) == 2
    assert "holds a lot already" in capsys.readouterr().err
    assert not desk.at("another.secret").exists()
    late = (
        *desk.committing("order", "late"),
        *desk.certificates,
        "--beacon",
        "quicknet",
        "--beacon-at",
        "2024-01-01T00:00:00Z",
    )
    assert run(*late) == 2
    assert "would not be later" in capsys.readouterr().err
    assert not desk.at("late.secret").exists()


def test_a_lot_without_a_stamp_is_warned_of_and_not_drawn(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*desk.committing("twins", "unstamped"), *desk.certificates) == 0
    assert "warning: without a stamp nothing counts" in capsys.readouterr().out
    assert run(*desk.drawing("unstamped")) == 4


def test_a_lot_that_nobody_could_ever_stamp_is_refused(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*desk.committing("twins", "nobody")) == 2
    assert "no time-stamping authority is named" in capsys.readouterr().err
    assert run(*desk.committing("twins", "nobody"), "--authority", "a0=http://localhost:1/") == 2
    assert not desk.at("nobody").exists()
    assert not desk.at("nobody.secret").exists()


REFUSED: dict[str, tuple[tuple[object, ...], int, str]] = {
    "a purpose that there is not": (("--purpose", "dice"), 2, "lots are not drawn for 'dice'"),
    "a subject that is not there": (("--subject", "nowhere.jsonl"), 3, "cannot be read"),
    "documents for twins": (("--purpose", "twins"), 3, "not what lots can be drawn over"),
    "documents for settings": (("--purpose", "watermark"), 3, "these are no settings"),
    "an address without a certificate": (("--authority", "a=https://example.org"), 2, "a root certificate"),
    "half a pair": (("--authority-certificate", "a"), 2, "is not NAME=VALUE"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_commit_refuses(case: str, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    words, code, said = REFUSED[case]
    assert run(*desk.committing("order", "refused"), *words) == code
    assert said in capsys.readouterr().err
    assert not desk.at("refused").exists()
    assert not desk.at("refused.secret").exists()


def test_settings_of_no_scheme_are_not_committed_to(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.at("nonsense.json").write_text('{"scheme": "dice"}')
    words = (*desk.committing("watermark", "nonsense"), "--subject", desk.at("nonsense.json"))
    assert run(*words) == 4
    assert "no settings of a watermark" in capsys.readouterr().err
    assert not desk.at("nonsense").exists()


def test_another_beacon_draws_nothing(desk: Desk) -> None:
    assert run(*desk.committing("order", "other"), *desk.certificates) == 0
    stamps: tuple[object, ...] = ()
    data = (desk.at("other") / "lot.json").read_bytes()
    desk.at("other.tsr").write_bytes(AUTHORITIES[0].stamp(data))
    stamps = ("--stamp", f"a0={desk.at('other.tsr')}")
    assert run("draw", desk.at("other"), "--secret", desk.at("other.secret"), "--beacon", ROUND, *stamps) == 4
    assert not (desk.at("other") / "drawn").exists()
    assert run("draw", desk.at("other"), "--secret", desk.at("twins.secret"), "--beacon", desk.at("beacon.json")) == 4


def test_a_watermark_is_opened_with_its_tokenizer(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*desk.opening("watermark")) == 2
    assert "--tokenizer" in capsys.readouterr().err
    desk.at("another.json").write_text("{}")
    assert run(*desk.opening("watermark"), "--tokenizer", desk.at("another.json")) == 4


def test_canaries_are_no_lot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "opening.json").write_text("{}")
    assert run("verify", tmp_path) == 2
    assert "holds canaries, and no lot" in capsys.readouterr().err
    assert run("verify", tmp_path / "nowhere") == 3


# ---------------------------------------------------------------------------------------------------------------- ledger


def test_the_ledger_of_lots_counts_what_is_to_be_paid_for(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of three lots says that it is the first: one alone is paid for once, the three together three times."""
    assert run("ledger", desk.at("order")) == 0
    told = capsys.readouterr().out
    assert "lot 1 of Our lab: order, " in told
    assert told.count("  stamped by a") == 2
    assert "public at 2050" in told
    assert "not opened here" in told
    assert "1 lot, all of them shown here" in told
    assert forbidden_words(told) == ()
    folders = [desk.at(name) for name in ("order", "twins-opened", "watermark")]
    assert run("ledger", *folders, "--json", desk.at("lots.json")) == 0
    assert "3 lots, all of them shown here" in capsys.readouterr().out
    told = json.loads(desk.at("lots.json").read_bytes())
    assert told["to_be_paid_for"] == {signer_of(0).key.keyid: 3}
    assert [lot["opened"] for lot in told["lots"]] == [False, True, False]
    assert [lot["standing"]["spoken"] for lot in told["lots"]] == [True] * 3


def test_a_lot_that_names_more_than_are_shown_says_so(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "7" if before == "--number" else word for before, word in pairwise(("", *desk.committing("order", "later")))
    ]
    before = hashlib.sha256((desk.at("order") / "lot.json").read_bytes()).hexdigest()
    assert run(*words, *desk.certificates, "--earlier", before) == 0
    capsys.readouterr()
    assert run("ledger", desk.at("later"), desk.at("order")) == 0
    told = capsys.readouterr().out
    assert f"earlier one, as its owner says: {before}" in told
    assert "not stamped by a0" in told
    assert "the announced beacon speaks at 2050" in told
    assert "nothing is drawn yet" in told
    assert "7 lots, 2 of them shown here" in told


def test_the_ledger_of_lots_refuses_what_does_not_hold(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("ledger", tmp_path) == 2
    assert "no lot is committed to here" in capsys.readouterr().err
    folder = tmp_path / "altered"
    shutil.copytree(desk.at("order"), folder)
    other = (desk.at("twins") / "lot.a0.tsr").read_bytes()
    (folder / "lot.a0.tsr").write_bytes(other)
    assert run("ledger", folder) == 4
