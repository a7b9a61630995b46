"""Imports point one way, and what must not open files does not: read off the source code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import filiation

PACKAGE = Path(filiation.__file__).parent

# Part of the package -> parts that it may import from. A part is a folder, or a module beside the folders.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "evidence": {"errors"},
    "strict_json": {"errors"},
    "calibration": set(),
    "sources": {"errors", "evidence", "strict_json"},
    "statistics": {"errors", "evidence"},
    "measures": {"errors", "evidence", "strict_json", "sources"},
    "examiners": {"errors", "evidence", "strict_json", "sources", "statistics", "measures", "canaries", "lots"},
    "conclusions": {"errors", "evidence", "statistics"},
    "investigation": {"errors", "evidence", "sources", "statistics", "measures", "examiners", "conclusions"},
    "probing": {"errors", "evidence", "sources", "statistics", "examiners", "investigation"},
    "packing": {"errors", "evidence", "sources", "measures"},
    "case": {"errors", "evidence", "statistics"},
    "report": {"errors", "evidence", "statistics", "case"},
    "proceedings": {
        "errors",
        "evidence",
        "sources",
        "measures",
        "statistics",
        "examiners",
        "conclusions",
        "investigation",
        "case",
        "report",
    },
    "challenge": {"errors", "evidence", "case", "proceedings"},
    "exports": {"errors", "evidence", "case"},
    "lots": {"errors", "evidence", "strict_json", "case"},
    "canaries": {"errors", "evidence", "statistics", "case"},
    "training_transcript": {"errors", "evidence", "statistics", "case"},
    "cli": {
        "errors",
        "evidence",
        "sources",
        "measures",
        "statistics",
        "examiners",
        "conclusions",
        "investigation",
        "packing",
        "probing",
        "case",
        "proceedings",
        "challenge",
        "exports",
        "canaries",
        "lots",
        "training_transcript",
        "report",
    },
    "": {"errors", "evidence", "investigation", "report"},
}
# (part, part, why): imports that point the other way, made inside a function and on purpose.
EXCEPTIONS = {("evidence", "report"): "a record shows itself in a notebook"}
MAY_OPEN_IN_STATISTICS = {"register.py"}
OPENING = {
    "open",
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "open_source",
    "urlopen",
    "memmap",
    "loadtxt",
}


def modules() -> Iterator[Path]:
    return (path for path in sorted(PACKAGE.rglob("*.py")) if "__pycache__" not in path.parts)


def part_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    first = relative.parts[0] if len(relative.parts) > 1 else relative.stem
    return {"__init__": "", "__main__": "cli"}.get(first, first)


def imported_modules(tree: ast.Module, package: str) -> Iterator[tuple[str, int]]:
    """Absolute names of everything imported, wherever in the file, with line numbers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            # 'from filiation import x' may name a module: the first part that exists as one decides.
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def part_imported(name: str) -> str | None:
    """The part of this package that a module name belongs to, or None for foreign modules."""
    pieces = name.split(".")
    if pieces[0] != "filiation":
        return None
    if len(pieces) > 1 and ((PACKAGE / pieces[1]).is_dir() or (PACKAGE / f"{pieces[1]}.py").is_file()):
        return pieces[1]
    return ""


def against_the_direction(part: str, source: str, package: str) -> list[str]:
    found = []
    for name, line in imported_modules(ast.parse(source), package):
        target = part_imported(name)
        if target in (None, part) or (target == "" and name == "filiation.__version__"):
            continue
        if target not in ALLOWED[part] and (part, target) not in EXCEPTIONS:
            found.append(f"line {line}: {part or 'filiation'} imports {name}")
    return found


def package_of(path: Path) -> str:
    return ".".join(["filiation", *path.relative_to(PACKAGE).parent.parts])


def calls(tree: ast.AST, names: set[str]) -> list[int]:
    """Lines that call one of `names`, as a function or as a method."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in names:
                found.append(node.lineno)
    return found


def reachable_from_judge(tree: ast.Module) -> list[ast.FunctionDef]:
    """`judge` and the functions of the same module that it calls or names, directly or not."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    todo, seen = ["judge"], set()
    while todo:
        name = todo.pop()
        if name not in functions or name in seen:
            continue
        seen.add(name)
        todo += [node.id for node in ast.walk(functions[name]) if isinstance(node, ast.Name)]
    return [functions[name] for name in sorted(seen)]


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    assert against_the_direction(part_of(path), path.read_text(), package_of(path)) == []


def test_every_part_of_the_package_has_a_place_in_the_direction() -> None:
    assert {part_of(path) for path in modules()} <= set(ALLOWED)


def test_statistics_open_no_file_except_the_register() -> None:
    for path in sorted((PACKAGE / "statistics").glob("*.py")):
        if path.name not in MAY_OPEN_IN_STATISTICS:
            assert calls(ast.parse(path.read_text()), OPENING) == [], path.name


def test_measures_open_no_file() -> None:
    for path in sorted((PACKAGE / "measures").glob("*.py")):
        assert calls(ast.parse(path.read_text()), OPENING) == [], path.name


def test_judge_opens_nothing_asks_no_clock_and_draws_no_lots() -> None:
    impure = OPENING | {"now", "time", "monotonic", "default_rng", "seed", "observe", "load", "read", "read_rows"}
    examined = 0
    for path in sorted((PACKAGE / "examiners").glob("*.py")):
        for function in reachable_from_judge(ast.parse(path.read_text())):
            examined += 1
            assert calls(function, impure) == [], f"{path.name}: {function.name}"
    assert examined > 0


def test_this_test_sees_what_it_looks_for() -> None:
    """Truth by construction: one forbidden import of each spelling, and one forbidden call."""
    package = "filiation.statistics"
    for source in (
        "import filiation.sources.open",
        "from filiation.sources import open",
        "from filiation import examiners",
        "from ..cli import main",
        "def f():\n    from filiation.report import html",
    ):
        assert against_the_direction("statistics", source, package), source
    for source in ("import numpy", "from filiation.evidence import Null", "from .scale import word"):
        assert against_the_direction("statistics", source, package) == [], source
    judge = ast.parse("def judge():\n    return helper()\ndef helper():\n    return open('x')\ndef other():\n    pass")
    assert [function.name for function in reachable_from_judge(judge)] == ["helper", "judge"]
    assert any(calls(function, OPENING) for function in reachable_from_judge(judge))
