"""`filiation compare`: everything that the exhibits of two models allow, in one go."""

from __future__ import annotations

import shlex
import sys
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from filiation.cli import files, progress
from filiation.errors import UsageError
from filiation.evidence import Examination

EXHIBIT = (
    "a Hugging Face folder, *.safetensors, *.gguf, tokenizer.json, a hub id org/name@revision, "
    "recorded answers as transcripts:FILE#MODEL, or opened marks as marks:FOLDER"
)


def compare(
    context: typer.Context,
    reference: Annotated[
        str, typer.Argument(metavar="REFERENCE", help=f"The model that may have been taken from: {EXHIBIT}.")
    ],
    suspect: Annotated[
        str, typer.Argument(metavar="SUSPECT", help="The model that may have taken: any of the same but marks.")
    ],
    control: Annotated[
        list[str] | None,
        typer.Option(
            help="A model of known, unrelated history for the line-up; may be given many times. "
            "transcripts:FILE without a model stands for every other model in the file.",
            metavar="X",
        ),
    ] = None,
    only: Annotated[str, typer.Option(help="Run only these examiners, separated by commas.", metavar="NAMES")] = "",
    lineage: Annotated[
        list[str] | None,
        typer.Option(help="Declare the lineage of an exhibit; may be given many times.", metavar="NAME=LINEAGE"),
    ] = None,
    seed: Annotated[int, typer.Option(help="The seed of everything drawn at random; it is recorded.", min=0)] = 0,
    pack: Annotated[
        str,
        typer.Option(
            help="Control packs that join the line-ups of recorded answers: auto (those that ship), none, or names and "
            "folders separated by commas; see 'filiation packs'.",
            metavar="PACKS",
        ),
    ] = "auto",
    marks: Annotated[
        list[str] | None,
        typer.Option(
            help="What the owner of REFERENCE planted or drew by lot, opened: a folder of 'filiation canary reveal' or 'filiation "
            "lot open'; may be given many times.",
            metavar="FOLDER",
        ),
    ] = None,
    run_models: Annotated[
        bool,
        typer.Option(
            "--run-models",
            help="Also run the models, on the processor, for the examiners that need it (extra 'models'): safetensors and GGUF "
            "alone, and never code that comes with a model.",
        ),
    ] = False,
    reference_base: Annotated[
        str,
        typer.Option(help="Where the model lies from which REFERENCE was tuned; with --run-models.", metavar="PATH"),
    ] = "",
    suspect_base: Annotated[
        str, typer.Option(help="Where the model lies from which SUSPECT was tuned; with --run-models.", metavar="PATH")
    ] = "",
    control_base: Annotated[
        list[str] | None,
        typer.Option(
            help="The same of a control, by the control's name; may be given many times.", metavar="NAME=PATH"
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            help="A parameter of an examiner, such as canaries.keyid=FINGERPRINT; may be given many times.",
            metavar="EXAMINER.NAME=VALUE",
        ),
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Examine every layer of the weights, however large the models are.")
    ] = False,
    hashing: Annotated[
        str,
        typer.Option(
            "--hash",
            help="What the digests cover: all bytes, those that were read, or auto: all up to 4 GiB per exhibit.",
            metavar="auto|all|read",
        ),
    ] = "auto",
    json: Annotated[
        str | None,
        typer.Option(help="Write the record as JSON to FILE, or to standard output for '-'.", metavar="FILE"),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(
            help="Write the HTML report to FILE. Without it, a terminal session leaves "
            "filiation-REFERENCE-SUSPECT.html in the current folder.",
            metavar="FILE",
        ),
    ] = None,
    no_html: Annotated[bool, typer.Option("--no-html", help="Leave no HTML report unasked.")] = False,
    open_report: Annotated[bool, typer.Option("--open", help="Open the HTML report in the browser.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show neither progress nor table.")] = False,
) -> None:
    """Examine what SUSPECT has taken from REFERENCE, from their files, their recorded answers, or what was planted.

    No code of a model is executed, and no model is run unless --run-models is given. The exit code is 0 when the examination was
    done, whatever it found.

    Example: filiation compare models/ours models/theirs --control models/other --json record.json
    """
    lineages = declared(lineage or [])
    if no_html and (html or open_report):
        raise UsageError("--no-html contradicts --html and --open", advice="leave one of them out")
    if html == files.STANDARD_OUTPUT:
        raise UsageError("--html needs the name of a file", advice="only --json can go to standard output")
    files.check_writable(json, "--json")
    files.check_writable(html, "--html")
    from filiation.cli.case.acting import parameters_of

    settings = parameters(pack, full)
    if run_models:
        settings = merged(settings, running(reference_base, suspect_base, control_base or [], control or []))
    elif reference_base or suspect_base or control_base:
        raise UsageError("bases are read by running models", advice="give --run-models too, or leave the bases out")
    settings = merged(settings, parameters_of(parameter))

    from filiation import investigation

    with progress.shown(quiet) as tell:
        examination = investigation.compare(
            reference,
            suspect,
            control or [],
            only=names(only),
            seed=seed,
            lineages=lineages,
            parameters=settings,
            marks=marks or [],
            hashing=hashing,
            progress=tell,
        )
    report(with_command(examination, context), json, html, no_html=no_html, open_report=open_report, quiet=quiet)


def report(
    examination: Examination, json: str | None, html: str | None, *, no_html: bool, open_report: bool, quiet: bool
) -> None:
    """Write and print what was asked for: JSON, HTML, and the table unless standard output belongs to the JSON."""
    if json is not None:
        files.write(json, examination.to_json())
    unasked = sys.stdout.isatty() and not no_html and not quiet
    target = html
    if target is None and (open_report or unasked):
        target = files.unused_name(examination.reference.name, examination.suspect.name, Path.cwd())
    if target is not None:
        from filiation.report.html import html as rendered

        files.write(target, rendered(examination).encode())
    if not quiet:
        _print(examination, html_at=target or "", to_stderr=json == files.STANDARD_OUTPUT)
    if target is not None and open_report:
        webbrowser.open(Path(target).resolve().as_uri())


def _print(examination: Examination, *, html_at: str, to_stderr: bool) -> None:
    from rich.console import Console

    from filiation.report.terminal import print_report

    print_report(examination, Console(stderr=to_stderr), html_at=html_at)


def declared(entries: Sequence[str]) -> dict[str, str]:
    """'NAME=LINEAGE' entries as a mapping. Raises UsageError."""
    lineages: dict[str, str] = {}
    for entry in entries:
        name, sign, lineage = entry.rpartition("=")
        if not (name and sign and lineage):
            raise UsageError(f"--lineage {entry} is not NAME=LINEAGE", advice="for instance --lineage theirs=llama-3")
        if lineages.get(name, lineage) != lineage:
            raise UsageError(f"two lineages are declared for {name}", advice="declare one lineage per exhibit")
        lineages[name] = lineage
    return lineages


Settings = dict[str, dict[str, bool | int | float | str]]
"""Parameters by examiner."""


def merged(settings: Settings, further: Settings) -> Settings:
    return {name: settings.get(name, {}) | further.get(name, {}) for name in {**settings, **further}}


def running(reference_base: str, suspect_base: str, control_bases: Sequence[str], controls: Sequence[str]) -> Settings:
    """Every examiner that can run models is to run them; the bases go to whoever reads them. Raises UsageError or SourceError."""
    from filiation.examiners.catalogue import examiners

    bases: dict[str, bool | int | float | str] = {
        "reference_base": _base(reference_base),
        "suspect_base": _base(suspect_base),
        "control_bases": _of_controls(control_bases, controls),
    }
    given = {name: value for name, value in bases.items() if value}
    known = {each.NAME: getattr(each, "PARAMETERS", {}) for each in examiners()}
    return {
        name: {"run": True} | {base: value for base, value in given.items() if base in settings}
        for name, settings in known.items()
        if "run" in settings
    }


def _base(location: str) -> str:
    """A base as it was given, once it is known that something readable lies there."""
    if location:
        from filiation.sources.open import open_source

        open_source(location)
    return location


def _of_controls(entries: Sequence[str], controls: Sequence[str]) -> str:
    """'NAME=PATH' entries in the form that the parameter has. Raises UsageError where a name is no control's."""
    if not entries:
        return ""
    from filiation.sources.open import open_source

    names = {open_source(control).name for control in controls}
    for entry in entries:
        name, sign, location = entry.partition("=")
        if not (name and sign and location) or ";" in entry:
            raise UsageError(
                f"--control-base {entry} is not NAME=PATH",
                advice="for instance --control-base tuned=models/base; no ';'",
            )
        if name not in names:
            raise UsageError(
                f"--control-base names {name}, which is no control",
                advice=f"the controls are {', '.join(sorted(names))}",
            )
        _base(location)
    return "; ".join(entries)


def parameters(pack: str, full: bool) -> Settings:
    """What the options mean for the examiners; an option left at its default changes no record."""
    from filiation.examiners.catalogue import examiners

    chosen: Settings = {"weights": {"full": True}} if full else {}
    if pack != "auto":
        ranked = [each.NAME for each in examiners() if "packs" in getattr(each, "PARAMETERS", {})]
        chosen |= {name: {"packs": pack} for name in ranked}
    return chosen


def names(only: str) -> tuple[str, ...]:
    """'tokenizer, weights' as names, each once."""
    return tuple(dict.fromkeys(name.strip() for name in only.split(",") if name.strip()))


def with_command(examination: Examination, context: typer.Context) -> Examination:
    """The record with the command that made it, for whoever wants to make it again."""
    spoken = " ".join(["filiation", "compare", *(shlex.quote(word) for word in arguments(context))])
    circumstances = msgspec.structs.replace(examination.circumstances, command=spoken)
    return msgspec.structs.replace(examination, circumstances=circumstances)


def arguments(context: typer.Context) -> list[str]:
    """The arguments that bear on the result, rebuilt from what was parsed; where the reports go is left out."""
    given = context.params
    words = [given["reference"], given["suspect"]]
    for option in ("control", "lineage", "marks"):
        for value in given[option] or ():
            words += [f"--{option}", value]
    if given["only"]:
        words += ["--only", given["only"]]
    if given["pack"] != "auto":
        words += ["--pack", given["pack"]]
    if given["full"]:
        words.append("--full")
    for value in given["parameter"] or ():
        words += ["--parameter", value]
    if given["run_models"]:
        words += ["--run-models", *_base_words(given)]
    return [*words, "--seed", str(given["seed"])]


def _base_words(given: Mapping[str, Any]) -> list[str]:
    words = []
    for option in ("reference_base", "suspect_base"):
        if given[option]:
            words += [f"--{option.replace('_', '-')}", given[option]]
    for value in given["control_base"] or ():
        words += ["--control-base", value]
    return words
