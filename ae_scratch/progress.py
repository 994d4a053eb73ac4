"""What a person sees while a model trains: one line that rewrites itself on a terminal, one line per epoch in a log."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Mapping
from typing import TextIO

REFRESH = 0.1  # seconds between two updates of the line
PATIENCE = 2.0  # seconds before a log is told what the first step waits for


class Progress:
    """Reports on ``stream``, standard error by default.

    lines: one line per epoch even on a terminal. The time left is an estimate from the speed since the first steps, in the
    second epoch once there is one: what comes before may have had to wait for the compiler.
    """

    def __init__(self, epochs: int, label: str = "", stream: TextIO | None = None, lines: bool = False):
        self.epochs, self.label = epochs, label
        self.stream = sys.stderr if stream is None else stream
        self.live = not lines and self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.started = self.shown = time.perf_counter()
        self.first, self.counted = 0, (0.0, 0.0)  # since when speed is measured, and how many epochs were done then
        self.waiting: threading.Timer | None = None

    def begin(self, epoch: int, doing: str = "") -> None:
        """Say which epoch begins, and what is done before its first step: at once on a terminal, in a log if it takes long."""
        self.first, self.counted = epoch, (0.0, 0.0)
        line = f"{self._head(epoch)}  {doing}".rstrip()
        if self.live:
            self._show(line)
        elif doing:
            self.waiting = threading.Timer(PATIENCE, self._print, [line])
            self.waiting.daemon = True
            self.waiting.start()

    def batch(self, epoch: int, share: float, objective: float) -> None:
        """Say how far the epoch is (share of its rows, 0 to 1) and the mean objective over them."""
        self._stop_waiting()
        now, done = time.perf_counter(), epoch + share
        if not self.counted[1]:
            self.counted = now, done
        begun, at = self.counted
        if self.live and now - self.shown >= REFRESH and done > at:
            self.shown = now
            left = (now - begun) / (done - at) * (self.epochs - done)
            self._show(f"{self._head(epoch)} {share:4.0%}  objective {objective:.4f}  {duration(left)} left")

    def epoch(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Say that the epoch is complete, and its objective, that of the validation data too if there are any."""
        self._stop_waiting()
        if epoch == self.first:
            self.counted = 0.0, 0.0  # what compiles after an epoch, to validate, does so after the first one
        shown = "".join(f"  {name} {figures[name]:.4f}" for name in ("objective", "val_objective") if name in figures)
        line = f"{self._head(epoch)}{shown}  {duration(time.perf_counter() - self.started)}"
        if self.live:
            self._show(line)
        else:
            self._print(line)

    def close(self) -> None:
        """Wipe the line that rewrites itself, so that what follows starts on a clean one."""
        self._stop_waiting()
        if self.live:
            self._show("")

    def _head(self, epoch: int) -> str:
        return f"{self.label}{': ' if self.label else ''}epoch {epoch + 1:{len(str(self.epochs))}}/{self.epochs}"

    def _stop_waiting(self) -> None:
        if self.waiting:
            self.waiting.cancel()
            self.waiting = None

    def _print(self, line: str) -> None:
        print(line, file=self.stream, flush=True)

    def _show(self, line: str) -> None:
        self.stream.write(f"\r\x1b[K{line}")
        self.stream.flush()


def duration(seconds: float) -> str:
    """Return a duration as people write it: "4.2 s", "3 min 05 s", "2 h 07 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
