"""``ae-scratch trace`` and ``ae-scratch exercises``: backpropagation to look at, and to write."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..files import replacing
from .options import add_data, add_messages, add_model, add_output, at_least_one, command, load, read, require_free, say

TRACE = """  ae-scratch trace digits.safetensors digits.npy | less
  ae-scratch trace digits.safetensors digits.npy --rows 4 -o step.html     a page: click a number
  ae-scratch trace pump.safetensors readings.csv -o step.json              all numbers
"""
EXERCISES = """  ae-scratch exercises -o exercises.py            fill in the functions, then run the file, or
  ae-scratch exercises --check exercises.py
  ae-scratch exercises --solutions -o solutions.py
"""


def add(commands: Any) -> None:
    """Add both commands to the parser."""
    parser = command(commands, "trace", trace, "MODEL DATA [-o FILE] [options]", "show one training step, number by number",
                     "Show the step that training MODEL on DATA would take next, which is not taken: every activation, every\n"
                     "gradient and the update, each with its formula and the line of source that computes it.", TRACE)
    add_model(parser)
    add_data(parser, "rows")
    parser.add_argument("--rows", type=at_least_one, metavar="N", help="only the first N rows (default: a batch of all)")
    add_output(parser, "a .html page, or .json with all numbers (default: text on standard output)")
    add_messages(parser, json="print JSON, with the numbers of small arrays")
    parser = command(commands, "exercises", exercises, "[-o FILE | --check FILE]", "write backward passes, and have them judged",
                     "Write a file of forward passes whose backward passes are yours to write, or judge one, number by number,\n"
                     "with hints. Exit code 3: an answer is wrong or missing.", EXERCISES)
    parser.add_argument("--check", type=Path, metavar="FILE", help="run FILE, a Python file, and judge its answers")
    parser.add_argument("--solutions", action="store_true", help="the file with the solutions")
    add_output(parser, "the file to write (default: standard output)")


def trace(options: argparse.Namespace) -> int:
    """Print or write the trace."""
    if options.output is not None:
        if options.output.suffix.lower() not in (".html", ".json"):
            raise ValueError(f"{options.output}: expected a name that ends in .html or .json")
        require_free(options.output, options.force)
    model, names = load(options)
    rows = read(options, columns=names).X
    step = model.trace(rows if options.rows is None else rows[:options.rows])
    if options.output is None:
        print(step.to_json() if options.json else step)
        return 0
    html = options.output.suffix.lower() == ".html"
    _write(options.output, step.to_html() if html else step.to_json(values=True))
    if not options.quiet:
        say(f"{options.output}: a step with {len(step.entries)} intermediates")
    return 0


def exercises(options: argparse.Namespace) -> int:
    """Write the exercises, or judge them."""
    from ..exercises import main, text

    if options.check is not None:
        import runpy

        return main(runpy.run_path(str(options.check)))
    require_free(options.output, options.force)
    if options.output is None:
        print(text(options.solutions), end="")
    else:
        _write(options.output, text(options.solutions))
        say(f"{options.output}: {'the solutions' if options.solutions else 'fill in the functions, then run it'}")
    return 0


def _write(path: Path, content: str) -> None:
    with replacing(path) as part:
        part.write_text(content, encoding="utf-8")
