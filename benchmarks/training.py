"""Training and encoding beside the peers: the epoch, its growth with width and depth, encoding, cold start and memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np

from .contestants import CONTESTANTS, Missing
from .contestants.ours import network_of
from .machine import clean_environment
from .race import BYTES, FLOATS, Answer, Failed, Process, Settings, check, handed_over, race

ARTICLE = (784, 128, 32, 128, 784)
COLD = ("ours", "ours-numpy", "numpy", "torch-fused", "torch-compiled", "jax-scan", "keras-jax", "keras-tensorflow",
        "scikit-learn")  # one form of each: how long the others take to start follows from these
ENCODING = ("ours", "ours-numpy", "numpy", "torch", "torch-by-hand", "torch-by-hand-avx512", "jax-scan", "keras-jax",
            "keras-tensorflow", "scikit-learn")  # those that encode alike count once


def widened(k: int) -> tuple[int, ...]:
    """The article's model with k times the hidden units and k times the code."""
    return (784, 128 * k, 32 * k, 128 * k, 784)


def deepened(layers: int) -> tuple[int, ...]:
    """The article's model with so many hidden layers of 128 on each side."""
    return (784, *[128] * layers, 32, *[128] * layers, 784)


def flops(sizes: tuple[int, ...], rows: int) -> int:
    """Multiplications and additions of the matrix products of one epoch: forward, and backward to weights and to inputs, of
    which the first layer has no use."""
    weights = sum(a * b for a, b in zip(sizes, sizes[1:]))
    return 2 * rows * (3 * weights - sizes[0] * sizes[1])


def weights_of(sizes: tuple[int, ...]) -> list[np.ndarray]:
    """The initial weights that everybody starts from."""
    return list(network_of(list(sizes)).params.values())


def epoch(X: np.ndarray, sizes: tuple[int, ...], batch: int, threads: int, settings: Settings) -> Answer:
    """Race one epoch after the other; losses must agree."""
    settings.say(f"epoch of {'-'.join(map(str, sizes))}, batch {batch}, threads {threads}")
    results = race("epoch", X, weights_of(sizes), batch, threads, settings)
    check(results, "loss")
    return {"sizes": sizes, "batch": batch, "threads": threads, "images": len(X), "flops": flops(sizes, len(X)),
            "contestants": results}


def encode(X: np.ndarray, sizes: tuple[int, ...], threads: int, settings: Settings) -> Answer:
    """Race the encoding of all images; the mean code must agree."""
    settings.say(f"encode with {threads} threads")
    encoders = settings._replace(names=tuple(name for name in settings.names if name in ENCODING))
    results = race("encode", X, weights_of(sizes), 32, threads, encoders)
    check(results, "mean")
    return {"sizes": sizes, "threads": threads, "images": len(X), "contestants": results}


def cold(X: np.ndarray, sizes: tuple[int, ...], threads: int, settings: Settings) -> Answer:
    """From the start of the process to the end of its first epoch, and its peak memory: first with empty caches of compiled
    code, then once more."""
    results: dict[str, Answer] = {}
    with handed_over(X, weights_of(sizes)) as folder:
        for name in [name for name in settings.names if name in COLD]:
            settings.say(f"cold start of {name}")
            with tempfile.TemporaryDirectory() as cache:
                try:
                    results[name] = {kind: _first_epoch(name, folder, cache, threads, settings) for kind in ("cold", "warm")}
                    results[name]["data"] = data_of(name)
                    results[name]["import"] = import_seconds(name, settings)
                except (Failed, Missing, OSError, subprocess.SubprocessError) as error:
                    results[name] = {"error": str(error)}
    return {"sizes": sizes, "batch": 32, "threads": threads, "images": len(X), "contestants": results}


def data_of(name: str) -> str:
    """The file that a contestant reads where its start and memory are measured."""
    return BYTES if CONTESTANTS[name].from_bytes else FLOATS


def _first_epoch(name: str, folder: str, cache: str, threads: int, settings: Settings) -> dict[str, Any]:
    caches = {"XDG_CACHE_HOME": cache, "TORCHINDUCTOR_CACHE_DIR": f"{cache}/inductor"}
    started = time.perf_counter()
    process = Process(CONTESTANTS[name], settings.python, threads, **caches)
    try:
        process.ask("setup", folder=folder, batch=32, threads=threads, data=data_of(name))
        process.ask("epoch")
        seconds = time.perf_counter() - started
        return {"seconds": seconds, **process.ask("about", packages=CONTESTANTS[name].packages)}
    finally:
        process.close()


def import_seconds(name: str, settings: Settings) -> float:
    """How long ``import`` takes of what a contestant runs on, in a fresh process; the shortest of three."""
    contestant = CONTESTANTS[name]
    module = "ae_scratch" if contestant.form.startswith(".ours") else contestant.packages[0]
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    environment = {**clean_environment(1), **contestant.environment("")}
    python = settings.python if contestant.peer else sys.executable
    runs = [subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, env=environment) for _ in range(3)]
    return min(float(run.stdout.split()[-1]) for run in runs)
