"""Exercises: backward passes to write, and a judge that knows the right answers from the library's own layers.

``text()`` is the file to fill in, ``check(functions)`` judges what was written there.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..comparison import Verdict, compare
from .problems import Problem, problems

__all__ = ["check", "main", "report", "text"]


def text(solutions: bool = False) -> str:
    """Return the file of exercises, with empty backward functions or with the solutions."""
    source = Path(__file__).with_name("solutions.py").read_text(encoding="utf-8")
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body) if not solutions else ():
        if isinstance(node, ast.FunctionDef) and node.name.endswith("_backward"):
            lines[node.body[1].lineno - 1:node.end_lineno] = ["    raise NotImplementedError  # your answer"]
    return "\n".join(lines) + "\n"


def check(functions: Mapping[str, Any]) -> list[Verdict]:
    """Return a verdict on every answer: functions holds those of the exercises by their names, as ``globals()`` does."""
    return [verdict for problem in problems() for verdict in _judge(problem, functions.get(problem.function))]


def report(verdicts: list[Verdict]) -> str:
    """Return the verdicts, a line or two for each, and how many are right."""
    right = sum(verdict.ok for verdict in verdicts)
    return "\n".join([*map(str, verdicts), "", f"{right} of {len(verdicts)} answers are right"])


def main(functions: Mapping[str, Any]) -> int:
    """Print the report; return 0 if all is right, and 3 if something is not."""
    verdicts = check(functions)
    print(report(verdicts))
    return 0 if all(verdict.ok for verdict in verdicts) else 3


def _judge(problem: Problem, function: Callable[..., Any] | None) -> list[Verdict]:
    """What is to be said of a function's results; one verdict if there are none."""
    names = [f"{problem.function.removesuffix('_backward')}: {name}" for name in problem.answers]
    try:
        results = function(*(_copy(argument) for argument in problem.arguments)) if function else None
    except NotImplementedError:
        return [Verdict(name, "open") for name in names]
    except Exception as error:  # whatever a student's function may do
        hint = "the shapes do not fit: which factor stands transposed?" if "matmul" in str(error) else ""
        return [Verdict(name, "wrong", f"{type(error).__name__}: {error}", hint) for name in names]
    results = results if isinstance(results, (tuple, list)) else (results,)
    if len(results) != len(names):
        return [Verdict(name, "wrong", f"expected {', '.join(problem.answers)}, got {len(results)} results") for name in names]
    return [compare(name, mine, *answer) for name, mine, answer in zip(names, results, problem.answers.values())]


def _copy(argument: Any) -> Any:
    return argument if isinstance(argument, float) else argument.copy()
