"""What the Makefile runs is there, and takes the options that it is given: read off the Makefile and the modules themselves."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("studies", "benchmarks", "tests", "filiation")
COMMANDS = {
    " ".join(words): tuple(words)
    for line in (ROOT / "Makefile").read_text().splitlines()
    if line.startswith("\t$(BIN)/python")
    for words in [[word for word in shlex.split(line)[1:] if word != "-u"]]
}
MODULES = {name: words for name, words in COMMANDS.items() if words[0] == "-m" and words[1].split(".")[0] in OURS}


def source_of(module: str) -> str:
    """The text of what `python -m` runs: a module that is run as a program, or a package's `__main__`."""
    found = importlib.util.find_spec(module)
    if found is not None and found.submodule_search_locations:
        found = importlib.util.find_spec(f"{module}.__main__")
    assert found is not None, f"there is no {module}"
    assert found.origin is not None
    text = Path(found.origin).read_text()
    assert Path(found.origin).name == "__main__.py" or '__name__ == "__main__"' in text, f"{module} runs nothing"
    return text


def strings_in(source: str) -> set[str]:
    return {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_the_makefile_runs_something() -> None:
    targets = {words[1] for words in MODULES.values()}
    assert len(targets) > 30
    assert {"studies.demo", "studies.zoo", "filiation.report.schema", "benchmarks.peers"} <= targets


@pytest.mark.parametrize("command", MODULES)
def test_every_module_can_be_imported_and_knows_its_options(command: str) -> None:
    _, module, *words = MODULES[command]
    source = source_of(module)
    importlib.import_module(module)  # what it imports is there
    known = strings_in(source)
    assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in known] == []


def test_every_file_that_the_makefile_names_is_there() -> None:
    named = re.findall(
        r"(?:tests|requirements|studies|benchmarks)/[\w./]+\.(?:py|txt|toml)", (ROOT / "Makefile").read_text()
    )
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    "target", ["demo", "test", "lint", "format", "docs", "validate", "cases", "bench", "fuzz", "clean"]
)
def test_every_target_is_declared_and_has_a_recipe(target: str) -> None:
    text = (ROOT / "Makefile").read_text()
    (declared,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert target in declared.split()
    assert re.search(rf"^{target}:.*\n\t\S", text, re.MULTILINE)
