"""One contestant's process: requests come as lines of JSON on standard input, answers go to standard output.

    {"do": "setup", "folder": ..., "batch": 32, "threads": 2, "data": "X.npy"}   reads that and weights.npz, builds the model
    {"do": "settle"}   compiles what a training does after some seconds only
    {"do": "epoch"}    one epoch over the rows in the order all get; seconds, and the mean training loss
    {"do": "encode"}   the codes of all rows; seconds, and their mean
    {"do": "about"}    peak memory in bytes, versions, the BLAS kernels in use

An answer {"error": ...} says what went wrong. What a framework prints goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ae_scratch.kernels.philox import permutation

LEARNING_RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8  # Adam's, for everybody
SEED = 0


class Job(NamedTuple):
    """What to train: X (n, features), floats in [0, 1] or 255 times them as bytes, and the initial W and b of each layer, ReLU
    between them, logits at the end."""

    X: np.ndarray
    weights: list[tuple[np.ndarray, np.ndarray]]
    batch: int
    threads: int


class Worker:
    """Answers requests; each method is one."""

    def __init__(self, form: str):
        self.module, self.form = form.split(":")
        self.epochs = 0

    def setup(self, folder: str, batch: int, threads: int, data: str = "X.npy") -> dict[str, float]:
        started = time.perf_counter()
        form = getattr(importlib.import_module(self.module, "benchmarks.contestants"), self.form)
        imported = time.perf_counter() - started
        self.X = np.load(Path(folder, data))
        with np.load(Path(folder, "weights.npz")) as arrays:
            flat = [arrays[name] for name in arrays]
        self.contestant = form(Job(self.X, list(zip(flat[::2], flat[1::2])), batch, threads))
        return {"import": imported, "seconds": time.perf_counter() - started}

    def settle(self) -> dict[str, float]:
        if hasattr(self.contestant, "settle"):
            self.contestant.settle()
        return {}

    def epoch(self) -> dict[str, float]:
        order = permutation(SEED, self.epochs, len(self.X))
        self.epochs += 1
        started = time.perf_counter()
        loss = self.contestant.epoch(order)
        return {"seconds": time.perf_counter() - started, "loss": float(loss)}

    def encode(self) -> dict[str, float]:
        started = time.perf_counter()
        codes = self.contestant.encode()
        return {"seconds": time.perf_counter() - started, "mean": float(np.mean(codes, dtype=np.float64))}

    def about(self, packages: list[str]) -> dict[str, Any]:
        versions = {name: str(getattr(sys.modules.get(name), "__version__", "not loaded")) for name in packages}
        return {"bytes": peak_memory(), "versions": {"python": sys.version.split()[0], **versions}, "blas": blas_kernels()}


def peak_memory() -> int:
    """The most memory this process has held, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would also count what the parent held when it started us
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def blas_kernels() -> list[str]:
    """The kernels that BLAS libraries chose for this CPU, if threadpoolctl is there to say."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return []
    return [f"{pool['internal_api']} {pool.get('version')} {pool.get('architecture', '')}".strip()
            for pool in threadpool_info() if pool["user_api"] == "blas"]


def main(form: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    worker = Worker(form)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception as error:  # whatever it is, the run goes on without this contestant and shows the reason
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main(sys.argv[1])
