"""`filiation watermark generate`: marked text for experiments."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from filiation.cli import files, progress
from filiation.errors import MalformedSource, MissingExtra, SourceNotFound, UsageError
from filiation.report.wording import plural


def generate(
    model: Annotated[Path, typer.Argument(metavar="FOLDER", help="A model folder that transformers loads.")],
    key: Annotated[Path, typer.Option(metavar="FILE", help="The secret key that 'watermark key' wrote.")],
    prompts: Annotated[
        Path,
        typer.Option(metavar="FILE", help="Prompts, one per line, given to the model as they stand, in no chat form."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.jsonl", help="Answers: ids and text.")],
    tokens: Annotated[int, typer.Option(metavar="N", help="New tokens per answer.")] = 200,
    temperature: Annotated[float, typer.Option(metavar="T", help="Of sampling.")] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", help="Of sampling; the key decides the rest.")] = 0,
    unmarked: Annotated[bool, typer.Option("--unmarked", help="Ordinary sampling, for comparison.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Let a model on this machine write text that carries the mark. For experiments, on the CPU.

    Example: filiation watermark generate model/ --key mark.json --prompts prompts.txt -o marked.jsonl
    """
    from filiation.cli.watermark.key import read_bytes
    from filiation.cli.watermark.texts import Answer, plain_text
    from filiation.measures.watermarks import read_key
    from filiation.measures.watermarks.generation import marked_answers

    if not (math.isfinite(temperature) and temperature > 0.0) or tokens < 1:
        raise UsageError("sampling needs a temperature above 0 and at least one token", advice="see --help")
    files.check_writable(str(output), "--output")
    if output.suffix != ".jsonl":
        raise UsageError(f"-o {output} does not end in .jsonl", advice="answers are written as JSON lines")
    found_key = read_key(read_bytes(key), str(key))
    asked = [line for line in plain_text(prompts).split("\n") if line.strip()]
    if not asked:
        raise UsageError(f"{prompts} holds no prompt", advice="write one prompt per line")
    loaded, tokenizer = _loaded(model)
    answers = []
    with progress.shown(quiet) as tell:
        for number, prompt in enumerate(asked):
            tell(f"prompt {number + 1} of {len(asked)}", number / len(asked))
            given = tokenizer.encode(prompt, add_special_tokens=False).ids
            mark = None if unmarked else found_key
            (ids,) = marked_answers(loaded, [given], mark, tokens=tokens, seed=seed + number, temperature=temperature)
            text = tokenizer.decode(ids.tolist(), skip_special_tokens=False)
            answers.append(Answer(prompt=prompt, ids=tuple(ids.tolist()), text=text))
    files.write(str(output), b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers))
    empty = sum(not answer.ids for answer in answers)
    typer.echo(
        f"{output}: {plural(len(answers), 'answer')}, {plural(sum(len(a.ids) for a in answers), 'token')}"
        + (f"; {empty} ended before the first token" if empty else "")
    )


def _loaded(folder: Path) -> tuple[Any, Any]:
    from filiation.cli.watermark.texts import load_tokenizer

    if not (folder / "config.json").is_file():
        raise SourceNotFound("no model folder", exhibit=str(folder), advice="give a folder with config.json")
    try:
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging
    except ImportError as error:
        raise MissingExtra(
            "text is generated with torch and transformers, which are not installed",
            advice='pip install "filiation[models]"',
        ) from error
    tokenizer = load_tokenizer(folder)
    said: Any = logging
    said.disable_progress_bar()
    try:
        # Code that comes with a model is never run, no pickle is opened, and nothing is fetched.
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True
        )
    except Exception as error:  # whatever a library says of a file
        raise MalformedSource(
            f"transformers cannot load it: {' '.join(str(error).split())[:200]}",
            exhibit=str(folder),
            advice="give a folder with config.json and safetensors, of a design that the installed transformers knows",
        ) from error
    return model.float().eval(), tokenizer
