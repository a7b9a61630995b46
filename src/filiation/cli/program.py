"""The program `filiation`: its verbs, and what becomes of an error."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Annotated

import typer

from filiation import __version__
from filiation.cli import (
    canary,
    case,
    compare,
    examiners,
    judge,
    lot,
    packs,
    probe,
    probes,
    record,
    score,
    show,
    training,
    transcripts,
    watermark,
)
from filiation.errors import FiliationError
from filiation.report.wording import visible

UNEXPECTED = 70
"""Exit code of an error that nobody raised on purpose (`EX_SOFTWARE` of sysexits.h)."""

INTERRUPTED = 130
"""Exit code after an interruption from the keyboard (128 + SIGINT)."""

EPILOG = (
    "Exit codes: 0 the examination was done, whatever it found; 1 another error; 2 the request makes no sense; "
    "3 an exhibit cannot be read; 4 a stored record is not what it says it is, or judging it again differs; "
    "5 an optional dependency is missing; 70 a fault of this program; 130 interrupted."
)

app = typer.Typer(
    name="filiation",
    help="What has a suspect language model taken from a reference model, and how sure may anyone be?",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"filiation {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
) -> None:
    """What has a suspect language model taken from a reference model, and how sure may anyone be?"""


app.command("compare")(compare.compare)
app.command("examiners")(examiners.examiners)
app.command("show")(show.show)
app.command("judge")(judge.judge)
app.add_typer(transcripts.app, name="transcripts")
app.command("record")(record.record)
app.command("score")(score.score)
app.command("probe")(probe.probe)
app.add_typer(probes.app, name="probes")
app.add_typer(packs.app, name="packs")
app.add_typer(case.app, name="case")
app.add_typer(canary.app, name="canary")
app.add_typer(watermark.app, name="watermark")
app.add_typer(lot.app, name="lot")
app.add_typer(training.app, name="training")


def main(arguments: list[str] | None = None) -> None:
    """Run the program and leave with its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    leave_with_exit_code(lambda: app(args=given, prog_name="filiation"), debug="--debug" in given)


def leave_with_exit_code(run: Callable[[], object], *, debug: bool) -> None:
    """Run, and turn what is raised into one message on standard error and the documented exit code."""
    try:
        run()
    except FiliationError as error:
        _say(f"filiation: {_told(error)}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if debug:
            traceback.print_exc()
        _say(
            f"filiation: unexpected {type(error).__name__}: {visible(str(error))}\n"
            f"  advice: this is a fault of filiation {__version__}; run 'filiation --debug ...' and report what it prints"
        )
        sys.exit(UNEXPECTED)


def _told(error: FiliationError) -> str:
    """The error as its class words it, line by line free of control characters: file names are hostile input."""
    return "\n".join(visible(line, 4000) for line in str(error).split("\n"))


def _say(message: str) -> None:
    sys.stderr.write(message + "\n")
