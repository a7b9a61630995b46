"""Writes every hostile or broken file of recorded answers of `test_bad_transcripts.py`: `python make_bad_transcripts.py FOLDER`.

Each maker gets an empty folder and returns the path that a user would give to `filiation transcripts import`.
"""

from __future__ import annotations

import gzip
import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

Maker = Callable[[Path], Path]
MAKERS: dict[str, Maker] = {}


def scenario(name: str) -> Callable[[Maker], Maker]:
    def add(maker: Maker) -> Maker:
        MAKERS[name] = maker
        return maker

    return add


def file(name: str, data: bytes | str) -> Maker:
    def maker(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    return maker


ALPACA = json.dumps([{"instruction": "Q", "output": "A", "generator": "m"}] * 3)
BATCH = json.dumps({"custom_id": "a", "response": {"status_code": 200, "body": {}}, "error": None})
HARNESS = {"doc_id": 0, "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": " a"}}, "target": "0"}
HELM = {"adapter_spec": {"model": "m", "method": "generation"}}

# -------------------------------------------------------------------------------------------------- any kind of JSON

MAKERS |= {
    "an empty file": file("model_outputs.json", b""),
    "a file of blanks": file("model_outputs.json", b" \n\t\n"),
    "a page of HTML called model_outputs.json": file("model_outputs.json", "<!doctype html><title>404</title>"),
    "a Git LFS pointer": file("model_outputs.json", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
    "a gzip archive called model_outputs.json": file("model_outputs.json", gzip.compress(ALPACA.encode())),
    "JSON in UTF-16": file("model_outputs.json", ALPACA.encode("utf-16")),
    "JSON in Latin-1": file("model_outputs.json", ALPACA.replace('"A"', '"é"').encode("latin-1")),
    "JSON that is cut off in a string": file("model_outputs.json", ALPACA[:40]),
    "JSON that is cut off between elements": file("model_outputs.json", ALPACA[: ALPACA.index("}, ") + 2]),
    "JSON that goes on after its end": file("model_outputs.json", ALPACA + "]"),
    "JSON with a key twice": file(
        "model_outputs.json", '[{"instruction": "Q", "output": "A", "output": "B", "generator": "m"}]'
    ),
    "JSON nested 100,000 deep": file("model_outputs.json", '[{"instruction": ' + "[" * 100_000),
    "JSON with a number of 10,000 digits": file(
        "model_outputs.json", '[{"instruction": "Q", "output": "A", "generator": "m", "n": ' + "9" * 10_000 + "}]"
    ),
    "a list of numbers": file("model_outputs.json", "[1, 2, 3]"),
    "an empty list": file("model_outputs.json", "[]"),
    "a number": file("model_outputs.json", "42"),
    "answers that are numbers": file("model_outputs.json", '[{"instruction": "Q", "output": 7, "generator": "m"}]'),
    "answers without a model": file("model_outputs.json", '[{"instruction": "Q", "output": "A"}]'),
    "answers of a model without a name": file(
        "model_outputs.json", '[{"instruction": "Q", "output": "A", "generator": " "}]'
    ),
    "answers without a prompt": file("model_outputs.json", '[{"instruction": " ", "output": "A", "generator": "m"}]'),
    "a line that is no JSON": file("answers.jsonl", '{"model": "m", "prompt": "Q", "text": "A"}\nnot JSON\n'),
    "a line that is a list": file("answers.jsonl", '{"model": "m", "prompt": "Q", "text": "A"}\n[1]\n'),
    "a record of another kind": file("answers.jsonl", '{"colour": "red"}\n'),
    "text that is no records": file("answers.txt", "hello"),
    "an executable": file("answers.json", b"\x7fELF\x02\x01\x01" + bytes(64)),
    "a file that is not there": lambda folder: folder / "nothing.json",
    "a folder without answers": lambda folder: folder,
}


@scenario("a line of 65 MiB")
def gigantic_line(folder: Path) -> Path:
    return file("answers.jsonl", b'{"model": "m", "prompt": "Q", "text": "' + b"x" * (65 << 20) + b'"}\n')(folder)


@scenario("a list's element of 65 MiB")
def gigantic_element(folder: Path) -> Path:
    record = b'[{"instruction": "Q", "generator": "m", "output": "' + b"x" * (65 << 20)
    return file("model_outputs.json", record)(folder)


# ------------------------------------------------------------------------------------------------------ other formats

MAKERS |= {
    "a log-likelihood that is not a number": file(
        "samples_x.jsonl", json.dumps(HARNESS | {"resps": [[["nan", "False"]], [["-1.0", "False"]]]})
    ),
    "a sample without responses": file("samples_x.jsonl", json.dumps(HARNESS | {"resps": []})),
    "a sample without arguments": file("samples_x.jsonl", json.dumps({"doc_id": 0, "resps": [["a"]]})),
    "a batch without bodies": file("output.jsonl", BATCH.replace('"body"', '"other"')),
    "a state of HELM without states": file("scenario_state.json", json.dumps(HELM | {"request_states": []})),
    "a state of HELM whose instance is a text": file(
        "scenario_state.json", json.dumps(HELM | {"request_states": [{"instance": "Q"}]})
    ),
    "CSV in UTF-16": file("answers.csv", "model,prompt,text\nm,Q,A\n".encode("utf-16")),
    "CSV in Latin-1": file("answers.csv", "model,prompt,text\nm,Q,é\n".encode("latin-1")),
    "CSV with a row that is too long": file("answers.csv", "model,prompt,text\nm,Q,A,B,C\n"),
    "CSV of a heading only": file("answers.csv", "model,prompt,text\n"),
    "CSV whose sample numbers are words": file("answers.csv", "model,prompt,text,sample\nm,Q,A,first\n"),
    "CSV without a model in a row": file("answers.csv", "model,prompt,text\n,Q,A\n"),
}


def parquet() -> bytes:
    made = io.BytesIO()
    pl.DataFrame({"model": ["m"] * 50, "prompt": [f"Q{at}" for at in range(50)], "text": ["A"] * 50}).write_parquet(
        made
    )
    return made.getvalue()


@scenario("Parquet whose end is cut off")
def cut_parquet(folder: Path) -> Path:
    return file("answers.parquet", parquet()[:-20])(folder)


@scenario("Parquet whose pages are noise")
def noisy_parquet(folder: Path) -> Path:
    data = bytearray(parquet())
    data[4:200] = bytes((at * 37 + 11) % 256 for at in range(196))
    return file("answers.parquet", bytes(data))(folder)


@scenario("Parquet that announces a footer beyond the file")
def lying_parquet(folder: Path) -> Path:
    data = parquet()
    return file("answers.parquet", data[:-8] + (1 << 31).to_bytes(4, "little") + data[-4:])(folder)


MAKERS["text called answers.parquet"] = file("answers.parquet", "not Parquet")


# -------------------------------------------------------------------------------------------------------- .eval archives


def archive(*members: tuple[str, bytes]) -> Maker:
    def maker(folder: Path) -> Path:
        path = folder / "log.eval"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name, data in members:
                made.writestr(name, data)
        return path

    return maker


MAKERS |= {
    "an inspect log that is no archive": file("log.eval", b"PK\x03\x04 and nothing more"),
    "an inspect log that leads out of its folder": archive(("header.json", b"{}"), ("../../outside.json", b"{}")),
    "an inspect log with an absolute path": archive(("header.json", b"{}"), ("/etc/passwd", b"{}")),
    "an inspect log that unpacks to a thousand times its size": archive(
        ("header.json", b"{}"), ("samples/a_epoch_1.json", b"0" * (16 << 20))
    ),
    "an archive without an inspect log": archive(("notes.txt", b"hello")),
}


@scenario("an inspect log that says it unpacks to 3 GiB")
def bomb(folder: Path) -> Path:
    path = archive(("header.json", b"{}"))(folder)
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\x01\x02")
    data[at + 24 : at + 28] = (3 << 30).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    return path


def make(name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return MAKERS[name](folder)


if __name__ == "__main__":
    for number, each in enumerate(sorted(MAKERS)):
        print(make(each, Path(sys.argv[1]) / f"{number:02}"), each, sep="\t")
