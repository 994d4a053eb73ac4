"""The command ``ae-scratch``: data on standard output, messages and progress on standard error.

Exit codes: 0 done, 1 failed, 2 usage, 3 a check failed, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import DivergedError
from . import bench, data, explore, gradcheck, info, plot, reproduce, score, study, train, use
from .options import Parser
from .settings import in_options

OVERVIEW = """examples:
  ae-scratch data sensors -o readings.csv             something to begin with
  ae-scratch train readings.csv --scaling standard --loss mse --code-size 3 -o pump.safetensors
  ae-scratch score pump.safetensors readings.csv      the reconstruction error of every row
  ae-scratch reproduce --quick                        the article's experiments, small, in less than a minute
  ae-scratch COMMAND --help                           examples of a command, and its options
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough, as in "| head"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (DivergedError, ImportError, MemoryError, OSError, ValueError, TypeError) as error:
        print(f"ae-scratch: {in_options(_sentence(error))}", file=sys.stderr)
        return 1


def parser() -> Parser:
    """Return the parser of the command line; each command stores the function that runs it."""
    top = Parser("ae-scratch", usage="ae-scratch COMMAND ...", description=f"Autoencoders from scratch.\n\n{OVERVIEW}")
    top.add_argument("--version", action="version", version=f"ae-scratch {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", prog="ae-scratch", required=True)
    for command in train, use, score, info, plot, explore, data, gradcheck, study, reproduce, bench:
        command.add(commands)
    return top


def _sentence(error: Exception) -> str:
    """What went wrong, in words: the system's errors come with a number that tells nobody anything."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error) or ("there is not enough memory" if isinstance(error, MemoryError) else type(error).__name__)
