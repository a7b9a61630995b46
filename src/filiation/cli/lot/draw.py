"""`filiation lot draw`: take the beacon in, and write what it draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from filiation.cli.canary.options import Quiet, bytes_of
from filiation.cli.case.acting import pairs
from filiation.cli.commitments import BeaconCertificate, BeaconFile, Stamps
from filiation.cli.interruptions import GOES_ON, answered
from filiation.cli.lot.options import Folder, Secret

if TYPE_CHECKING:
    from filiation.lots import Lot

USES = {
    "order": "train once over documents.jsonl, in that order",
    "twins": "publish what stands in published.jsonl, and nothing of withheld.jsonl, which stays secret until the lot is opened",
    "watermark": "mark with key.json, which stays secret until 'lot open --tokenizer PATH' opens the lot",
}


def draw(
    folder: Folder,
    secret: Secret,
    beacon: BeaconFile,
    certificate: BeaconCertificate = None,
    stamp: Stamps = None,
    quiet: Quiet = False,
) -> None:
    """Verify the announced beacon and that it is later than the stamps, and write what it draws into FOLDER/drawn.

    The same beacon again draws the same again.

    Example: filiation lot draw lot --secret ~/lot.secret --beacon round.json
    """
    from filiation.case.secret_keys import load_key
    from filiation.lots import owner

    holding = owner.Holding(folder)
    stamps = {name: bytes_of(Path(file)) for name, file in pairs(stamp, "--stamp").items()}
    key = load_key(secret.expanduser())
    with answered(f"{GOES_ON}, and draws the same"):
        lot = owner.draw(holding, key, bytes_of(beacon), certificate=bytes_of(certificate), stamps=stamps)
        files = owner.drawn_files(lot) | _key_file(lot)
        place = owner.write_drawn(holding, files)
    if not quiet:
        typer.echo("\n".join(_told(lot, place, sorted(files))))


def _key_file(lot: Lot) -> dict[str, bytes]:
    from filiation.lots import stream
    from filiation.measures.watermarks import key_from

    return {"key.json": key_from(lot.subject, stream(lot)).to_json()} if lot.purpose == "watermark" else {}


def _told(lot: Lot, place: Path, names: list[str]) -> list[str]:
    return [
        f"{lot.beacon}: public at {lot.beacon_time:%Y-%m-%dT%H:%M:%SZ}",
        *(f"  after the stamp of {name} at {time:%Y-%m-%dT%H:%M:%SZ}" for name, time in lot.stamps.items()),
        *(f"  note: {remark}" for remark in lot.remarks),
        f"{place}: {', '.join(names)}",
        f"  {USES[lot.purpose]}",
    ]
