"""Exercises: backward passes to write, and a judge that knows the right answers from the library's own layers.

``text()`` is the file to fill in, ``check(functions)`` judges what was written there.
"""

from __future__ import annotations

import ast
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

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
    right, follow = sum(verdict.ok for verdict in verdicts), sum(verdict.verdict == "follows" for verdict in verdicts)
    others = f", {follow} more {'follow' if follow > 1 else 'follows'} from a wrong one" if follow else ""
    return "\n".join([*map(str, verdicts), "", f"{right} of {len(verdicts)} answers are right{others}"])


def main(functions: Mapping[str, Any]) -> int:
    """Print the report; return 0 if all is right, and 3 if something is not."""
    verdicts = check(functions)
    print(report(verdicts))
    return 0 if all(verdict.ok for verdict in verdicts) else 3


def _judge(problem: Problem, function: Callable[..., Any] | None) -> list[Verdict]:
    """What is to be said of each of a function's results."""
    names = [_title(problem, name) for name in problem.answers]
    try:
        results = function(*(_copy(argument) for argument in problem.arguments)) if function else None
    except NotImplementedError:
        return [Verdict(name, "open") for name in names]
    except Exception as error:  # whatever a student's function may do
        fits = not any(word in str(error) for word in ("matmul", "broadcast"))
        hint = "" if fits else "the shapes do not fit: which factor stands transposed?"
        return [Verdict(name, "wrong", f"{_line(error, function)}{type(error).__name__}: {error}", hint) for name in names]
    if results is None and function:
        return [Verdict(name, "wrong", "nothing was returned", "a return is missing") for name in names]
    results = results if isinstance(results, (tuple, list)) else (results,)
    if len(results) > len(names):
        return [Verdict(name, "wrong", f"expected {', '.join(problem.answers)}, got {len(results)} results") for name in names]
    return _each(problem, dict(zip(problem.answers, results)))


def _each(problem: Problem, mine: dict[str, Any]) -> list[Verdict]:
    """A verdict on each intermediate; one that is made of a wrong one is held against what that would have to lead to."""
    found: dict[str, Verdict] = {}
    for name, (right, mistakes) in problem.answers.items():
        title, source = _title(problem, name), problem.steps.get(name, ("", None))[0]
        if name not in mine:
            found[name] = Verdict(title, "wrong", f"missing: {len(mine)} of {len(problem.answers)} results were returned",
                                  f"return {', '.join(problem.answers)}")
            continue
        others = {f"this is {other}: return {', '.join(problem.answers)}": answer
                  for other, (answer, _) in problem.answers.items() if other != name}
        found[name] = compare(title, mine[name], right, {**mistakes, **others})
        if source and not found[name].ok and not found[source].ok:
            found[name] = _following(problem, name, source, mine) or found[name]
    return list(found.values())


def _following(problem: Problem, name: str, source: str, mine: dict[str, Any]) -> Verdict | None:
    """The verdict on a result, made of a wrong one, by itself; None if that one is no array of the right shape."""
    given = np.asarray(mine[source])
    if given.shape != problem.answers[source][0].shape or given.dtype.kind not in "fiu":
        return None
    verdict = compare(_title(problem, name), mine[name], *problem.steps[name][1](given))
    if verdict.ok:
        return verdict._replace(verdict="follows", detail=f"right for your {source}")
    return verdict._replace(detail=f"with your {source}: {verdict.detail}")


def _title(problem: Problem, name: str) -> str:
    return f"{problem.function.removesuffix('_backward')}: {name}"


def _line(error: Exception, function: Callable[..., Any] | None) -> str:
    """The line in the student's file that led to an error; "" where none did, as when the arguments do not fit."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"line {lines[-1]}: " if lines else ""


def _copy(argument: Any) -> Any:
    return argument if isinstance(argument, float) else argument.copy()
