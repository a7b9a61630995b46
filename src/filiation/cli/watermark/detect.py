"""`filiation watermark detect`: texts held against a key."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from filiation.report.wording import plural, visible, whole

if TYPE_CHECKING:
    from filiation.cli.watermark.detection import Detection

COUNTED = {"green-list": "green tokens", "synthid": "ones", "gumbel": "score", "vllm-gumbel": "score"}


def detect(
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT...",
            help="Plain text, FILE.jsonl of 'watermark generate', or FILE.parquet#MODEL of recorded answers.",
        ),
    ],
    key: Annotated[Path, typer.Option(metavar="FILE", help="The secret key that 'watermark key' wrote.")],
    tokenizer: Annotated[
        Path | None, typer.Option(metavar="PATH", help="tokenizer.json of the marked model, or its folder.")
    ] = None,
    placebos: Annotated[
        int, typer.Option(metavar="N", help="How many other keys, drawn at random, the text is held against besides.")
    ] = 99,
    searched: Annotated[
        int,
        typer.Option(metavar="N", help="How many texts, keys and suspects were tried in all; p is multiplied by it."),
    ] = 1,
    from_text: Annotated[
        bool, typer.Option("--from-text", help="Tokenise generated answers anew, as others would have to.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON to standard output.")] = False,
) -> None:
    """Hold texts against a key, all of them together, each (context, token) once.

    p is exact under the premises printed with it. Beside it stands the rank of the text's score among placebo keys.

    Example: filiation watermark detect essay.txt --key mark.json --tokenizer model/
    """
    from filiation.cli.watermark.detection import detection
    from filiation.cli.watermark.key import read_bytes
    from filiation.cli.watermark.texts import read_texts
    from filiation.measures.watermarks import read_key

    found_key = read_key(read_bytes(key), str(key))
    given = read_texts(texts, tokenizer, from_text=from_text)
    found = detection(
        given.ids,
        found_key,
        placebos=placebos,
        searched=searched,
        retokenised=given.retokenised,
    )
    typer.echo(msgspec.json.format(msgspec.json.encode(asdict(found)), indent=1).decode() if json else _told(found))


def _told(found: Detection) -> str:
    lines = [
        f"scheme                   {found.scheme}",
        f"commitment of the key    {found.commitment}",
        f"tokens                   {whole(found.tokens)}, of which judged once: {whole(found.windows)}",
        f"opportunities            {whole(found.opportunities)}"
        + (f", set aside: {whole(found.set_aside)}" if found.set_aside else ""),
        f"{COUNTED[found.scheme]:24} {found.score:.6g}, expected without the key: {found.expected:.6g}",
        f"log10 p, exact           {found.log10_p:.3f} (smallest possible here: {found.resolution_log10_p:.3f})",
        f"log10 e                  {found.log10_e:.3f}",
        f"p among placebo keys     {found.placebo_p:.4g} ({plural(found.placebos, 'key')})",
        f"paid for                 {plural(found.searched, 'search', 'searches')}",
    ]
    lines += [f"premise: {visible(premise)}" for premise in found.premises]
    lines += [f"limit: {visible(limit)}" for limit in found.limitations]
    return "\n".join(lines)
