"""Runs contestants against each other: all are set up, then they take turns, round by round; nobody gets the one quiet minute.

Between turns there is a pause: threads that spin for a while after their work, as those of OpenMP do, have gone to sleep then.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .contestants import CONTESTANTS, Contestant, Missing
from .machine import clean_environment, cores, features

PAUSE = 0.3  # seconds; GNU's and LLVM's OpenMP spin for up to 0.2 by default, and nobody's defaults are changed here
TOLERANCE, OWN_ORDER = 0.02, 0.05  # between the losses of contestants; of those that shuffle by themselves
FLOATS, BYTES = "X.npy", "bytes.npy"  # files of the data
Answer = dict[str, Any]


class Failed(Exception):
    """A contestant could not do what it was asked for; says why."""


class Settings(NamedTuple):
    """python: the interpreter of the peers; names: who takes part; rounds: timed ones, after one to warm up."""

    python: str = sys.executable
    names: tuple[str, ...] = tuple(CONTESTANTS)
    rounds: int = 5
    say: Callable[[str], None] = lambda text: None


class Process:
    """A contestant's process: ask it, and it answers or raises Failed."""

    def __init__(self, contestant: Contestant, python: str, threads: int, **variables: str):
        environment = {**clean_environment(threads), **variables, **contestant.environment(features())}
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        command = [python if contestant.peer else sys.executable, "-m", "benchmarks.contestants.worker", contestant.form]
        try:
            self.process = subprocess.Popen(command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=self.errors)
        except OSError:
            self.errors.close()
            raise
        if contestant.pinned and threads < cores():
            pin(self.process.pid, threads)

    def ask(self, do: str, **details: Any) -> Answer:
        try:
            print(json.dumps({"do": do, **details}), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed(self._last_words())
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def _last_words(self) -> str:
        code = self.process.wait()
        self.errors.seek(0)
        words = [line.strip() for line in self.errors if line.strip()]
        return f"exited with code {code}{': ' + words[-1] if words else ''}"


def pin(process: int, threads: int) -> None:
    """Let a process use so many processors only, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process, sorted(os.sched_getaffinity(0))[:threads])


@contextmanager
def handed_over(X: np.ndarray, weights: Iterable[np.ndarray]) -> Iterator[str]:
    """A folder with what every contestant reads: the data as floats and as bytes, and the initial W and b of each layer."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, FLOATS), X)
        np.save(Path(folder, BYTES), np.rint(255 * X).astype(np.uint8))
        np.savez(Path(folder, "weights.npz"), *weights)
        yield folder


def race(do: str, X: np.ndarray, weights: Iterable[np.ndarray], batch: int, threads: int, settings: Settings) -> Answer:
    """Have everybody do the same in turns, "epoch" or "encode"; return what each answered, by name: rounds, or an error.

    The first round warms up: it compiles what compiles late, and is not timed.
    """
    results: dict[str, Answer] = {name: {"rounds": []} for name in settings.names}
    with handed_over(X, weights) as folder, ExitStack() as stack:
        running: dict[str, Process] = {}
        for name in settings.names:
            with showing_failure(results[name]):
                settings.say(f"  {name}: setting up")
                running[name] = Process(CONTESTANTS[name], settings.python, threads)
                stack.callback(running[name].close)
                results[name]["setup"] = running[name].ask("setup", folder=folder, batch=batch, threads=threads)
                results[name]["warm-up"] = running[name].ask(do)
                running[name].ask("settle")
        for number in range(settings.rounds):
            settings.say(f"  round {number + 1} of {settings.rounds}")
            for name, process in running.items():
                with showing_failure(results[name]):
                    if "error" not in results[name]:
                        time.sleep(PAUSE)
                        results[name]["rounds"].append(process.ask(do))
        for name, process in running.items():
            with showing_failure(results[name]):
                if "error" not in results[name]:
                    results[name].update(process.ask("about", packages=CONTESTANTS[name].packages))
    return results


@contextmanager
def showing_failure(result: Answer) -> Iterator[None]:
    """What goes wrong becomes a part of the result."""
    try:
        yield
    except (Failed, Missing, OSError) as error:
        result["error"] = str(error)


def check(results: dict[str, Answer], figure: str) -> None:
    """Mark as wrong who does not come to the same as the others: near the median of their "loss" or "mean" in every round."""
    comparable = {name: [answer[figure] for answer in [result["warm-up"], *result["rounds"]]] for name, result in results.items()
                  if "error" not in result and CONTESTANTS[name].same_loss}
    for number, values in enumerate(zip(*comparable.values())):
        middle = statistics.median([value for value in values if math.isfinite(value)] or [0.0])
        for name, value in zip(comparable, values):
            tolerance = OWN_ORDER if CONTESTANTS[name].own_order else TOLERANCE
            if not abs(value - middle) <= tolerance * abs(middle):
                results[name].setdefault("wrong", f"{figure} {value:.4g} in round {number}, others {middle:.4g}")


def seconds(result: Answer) -> list[float]:
    """The time of each round."""
    return [answer["seconds"] for answer in result["rounds"]]


def ratio(result: Answer, other: Answer) -> float:
    """How many times as long as the other it took: the median over rounds, compared within each."""
    return statistics.median(a / b for a, b in zip(seconds(result), seconds(other)))
