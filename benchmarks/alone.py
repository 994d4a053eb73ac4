"""Measures something in a fresh process of its own, whose BLAS and threads are as they should be, and prints it as JSON."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from .machine import ROOT, clean_environment

REPETITIONS = 7


def alone(module: str, threads: int, **details: Any) -> Any:
    """Return what ``benchmarks.<module>.measure(threads, **details)`` returns, called in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.alone", module, json.dumps({"threads": threads, **details})]
    done = subprocess.run(command, cwd=ROOT, env=clean_environment(threads), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def timed(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], seconds: float) -> list[float]:
    """Make the calls at the same time, a thread for each; ``function(*call, times)`` does its work so many times over.

    Returns the seconds that it takes once, in several repetitions of at least so many seconds each. The first call, which may
    compile, is not timed.
    """
    together(function, calls, 1)
    times, took = 1, together(function, calls, 1)
    while took < seconds:
        times = int(times * min(10.0, 1.2 * seconds / took)) + 1
        took = together(function, calls, times)
    return [together(function, calls, times) / times for _ in range(REPETITIONS if took < 10 * seconds else 2)]


def together(function: Callable[..., Any], calls: Sequence[tuple[Any, ...]], times: int) -> float:
    """The seconds until all calls, made at the same time, have returned."""
    workers = [threading.Thread(target=function, args=(*call, times)) for call in calls[1:]]
    started = time.perf_counter()
    for worker in workers:
        worker.start()
    function(*calls[0], times)
    for worker in workers:
        worker.join()
    return time.perf_counter() - started


if __name__ == "__main__":
    measured = importlib.import_module(f"benchmarks.{sys.argv[1]}").measure(**json.loads(sys.argv[2]))
    print(json.dumps(measured))
