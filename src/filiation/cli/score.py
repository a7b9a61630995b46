"""`filiation score`: how likely a model on this machine finds fixed texts, as a transcript."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from filiation.cli import files, progress
from filiation.cli.interruptions import GOES_ON, answered
from filiation.errors import UsageError
from filiation.report.wording import plural

if TYPE_CHECKING:
    import polars as pl

    from filiation.sources.scoring import Rows

SAVED = 20
"""How often, over a whole run, the file is written: a run that was killed loses a twentieth at most, one that was interrupted nothing."""


def score(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A Hugging Face folder or a GGUF file with its tokenizer.")
    ],
    texts: Annotated[
        list[str],
        typer.Option(
            help='Texts: .jsonl with {"text"} or {"first", "second"} per line, .txt (one text), or marks:FOLDER (what a '
            "lot was drawn over); may be given many times.",
            metavar="FILE",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            "-o", "--out", help="The transcript; what it holds is kept, and gone on with.", metavar="FILE.parquet"
        ),
    ],
    predictions: Annotated[
        bool,
        typer.Option("--predictions", help="Record each token and the one the model held likeliest there instead."),
    ] = False,
    likeliest: Annotated[
        int,
        typer.Option(
            min=1,
            max=200,
            help="With --predictions: how many of the likeliest tokens are recorded at each place; 50 for the shift of radioactivity.",
        ),
    ] = 1,
    dtype: Annotated[
        str, typer.Option(help="What to compute in: float32, bfloat16 or float16.", metavar="TYPE")
    ] = "float32",
    name: Annotated[str, typer.Option(help="What the transcript calls the model.")] = "",
    lab: Annotated[str, typer.Option(help="Declare who made the model.")] = "",
    lineage: Annotated[str, typer.Option(help="Declare which independent training it comes from.")] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor summary.")] = False,
) -> None:
    """Let a model read fixed texts on the processor, and record how likely it finds them.

    A text that is longer than what the model reads at once is cut, and the record says where. A run that was stopped goes on with
    the same command.

    Example: filiation score suspect/ --texts marks:opened -o likelihoods.parquet
    """
    from filiation.sources.open import open_source
    from filiation.sources.running import load_model
    from filiation.sources.scoring import Run, read_texts, rows_in, scored

    files.check_writable(out, "--out")
    if not out.endswith(".parquet"):
        raise UsageError(f"--out {out} does not end in .parquet", advice="a transcript is a Parquet file")
    if likeliest > 1 and not predictions:
        raise UsageError(f"--likeliest {likeliest} is of predictions", advice="add --predictions, or leave it out")
    given = read_texts(texts)
    source = open_source(model, name=name or None)
    with answered(f"what was read is kept in {out}, and {GOES_ON}"), progress.shown(quiet) as tell:
        running = load_model(model, dtype=dtype, name=source.name)
        who = source.identity(True, tell)
        settings = {"dtype": dtype, "model": who.content_id or "", "tokenizer": who.tokenizer_sha256 or ""}
        run = Run(source.name, lineage, lab, settings, predictions, likeliest)
        frame, done = rows_in(Path(out), run)
        left = sum(text.prompt_id not in done for text in given)
        cut, left_out = gathered(scored(running, given, run, done), frame, left, out, tell)
    if not quiet:
        typer.echo("\n".join(_summary(out, run.name, len(given) - left, left - left_out, cut, left_out)))


def gathered(
    parts: Iterable[Rows], frame: pl.DataFrame, left: int, out: str, tell: Callable[[str, float], None]
) -> tuple[int, int]:
    """Write the parts behind `frame` into `out`, now and then and on an interruption; how many texts were cut, and left out."""
    import polars as pl

    read = cut = left_out = 0
    try:
        for some in parts:
            before, read = read, read + some.frame.height + some.left_out
            cut, left_out = cut + some.cut, left_out + some.left_out
            frame = pl.concat([frame, some.frame])
            tell(f"{read} of {left} texts", read / left)
            if SAVED * before // left < SAVED * read // left:
                _save(frame, out)
    except KeyboardInterrupt:
        _save(frame, out)
        raise
    return cut, left_out


def _save(frame: pl.DataFrame, out: str) -> None:
    if not frame.height:
        return
    made = io.BytesIO()
    frame.write_parquet(made)
    files.write(out, made.getvalue())


def _summary(out: str, name: str, before: int, now: int, cut: int, left_out: int) -> list[str]:
    there = f", {before} there before" if before else ""
    lines = [f"{out}: {plural(now, 'text')} read by {name}{there}"]
    if cut:
        lines.append(f"  {plural(cut, 'text')} cut to what the model reads at once")
    if left_out:
        lines.append(f"  {plural(left_out, 'text')} of a single token left out: nothing is given before it")
    return lines
