"""Where a number is computed: the line of the source, found at run time in the function that was called."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..kernels import reference

ROOT = Path(__file__).parents[2]  # the folder that holds the package


class Source(NamedTuple):
    """A line, or some, of a file: its name from the package on, the number of its first line, and what stands there."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def formula_of(function: Callable[..., Any], number: int = 0) -> str:
    """Return a formula from a function's docstring: of several lines, or parts between semicolons, the one with that number."""
    first = inspect.getdoc(function) or ""
    lines = first.split(";  ") if ";  " in first else first.splitlines()
    line = lines[number].split("\n")[0].removeprefix("Return ")
    return re.split(r"   +|, the gradient|, shaped|, whatever|, one for each|\.$", line)[0]


def source_of(function: Callable[..., Any], mark: str = "ops.") -> Source:
    """Return the first line of a function's body that contains the mark, or else its last line."""
    lines, first = _body(function)
    at = next((i for i, line in enumerate(lines) if mark in line), len(lines) - 1)
    return Source(_file(function), first + at, lines[at].strip())


def definition_of(source: Source, number: int = 0) -> Source | None:
    """Return what the operation with that number in a line of source is defined as, in NumPy; None if the line has none."""
    names = re.findall(r"\bops\.(\w+)", source.text)
    if number >= len(names):
        return None
    function = getattr(reference, names[number])
    lines, first = _body(function)
    return Source(_file(function), first, inspect.cleandoc("\n" + "\n".join(lines)))


def operation_of(source: Source, number: int = 0) -> str | None:
    """Return the name of the operation with that number in a line of source; None if the line has none."""
    names = re.findall(r"\bops\.(\w+)", source.text)
    return names[number] if number < len(names) else None


def _body(function: Callable[..., Any]) -> tuple[list[str], int]:
    """The lines of a function behind its docstring, and the number of the first of them."""
    import ast

    lines, first = inspect.getsourcelines(function)
    statement = ast.parse(inspect.cleandoc("\n" + "".join(lines))).body[0]
    assert isinstance(statement, ast.FunctionDef)
    start = statement.body[1 if ast.get_docstring(statement) else 0].lineno - 1
    return [line.rstrip() for line in lines[start:]], first + start


def _file(function: Callable[..., Any]) -> str:
    return Path(inspect.getsourcefile(function) or "").relative_to(ROOT).as_posix()
