"""What ``ae-scratch reproduce`` shows of its experiments: tables of published against measured figures, and results.json."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__
from .diagnostics.tables import aligned
from .experiments import ARTICLE, Data, Outcome
from .files import replacing

THREAD_VARIABLES = "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"


def tables(outcomes: Mapping[int, Outcome], comparable: bool) -> str:
    """Return the tables of one experiment, whose outcomes are given by seed.

    comparable: whether data and settings are those of the published figures, so that a difference says something.
    """
    first = next(iter(outcomes.values()))
    parts = []
    for name in first.models:
        parts.append(model_table(name, {seed: outcome.models[name] for seed, outcome in outcomes.items()}, comparable))
    for name in first.figures:
        parts.append(figure_table(name, {seed: outcome.figures[name] for seed, outcome in outcomes.items()}))
    return "\n\n".join(parts)


def model_table(name: str, measured: Mapping[int, dict[str, Any]], comparable: bool) -> str:
    """Return one model's figures, published beside measured by seed: the objective of each epoch, then those of the test set."""
    model, runs = ARTICLE[name], list(measured.values())
    rows = []
    for epoch in range(len(runs[0]["history"]["objective"])):
        rows.append((f"epoch {epoch + 1}", model.published[epoch], [run["history"]["objective"][epoch] for run in runs]))
    whole = len(rows) == len(model.published)  # the published test figures are those of the whole training
    for figure in runs[0]["test"]:
        if figure not in ("loss", "penalty") or runs[0]["test"]["penalty"]:  # without a penalty the objective is the loss
            published = model.published_test.get(figure) if whole else None
            rows.append((f"test: {figure}", published, [run["test"][figure] for run in runs]))
    head = ["", "published" if comparable else "(MNIST's)", *(f"seed {seed}" for seed in measured), *["difference"] * comparable]
    return f"{name}: {_description(runs[0])}\n{aligned([head, *(_cells(*row, comparable) for row in rows)])}"


def _cells(label: str, published: float | None, values: Sequence[float], comparable: bool) -> list[str]:
    """A row of the table; the difference is that of the mean over the seeds."""
    difference = "" if published is None else _signed(float(np.mean(values)) - published)
    return [label, _number(published), *map(_number, values), *[difference] * comparable]


def figure_table(name: str, measured: Mapping[int, Mapping[str, Any]]) -> str:
    """Return other figures, by seed: a row for each, groups of them one after the other."""
    columns = [_flat(figures) for figures in measured.values()]
    head = [name, *(f"seed {seed}" for seed in measured)]
    return aligned([head, *([label, *(_number(column[label]) for column in columns)] for label in columns[0])])


def _flat(figures: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of nested groups, named after all their groups."""
    flat: dict[str, float] = {}
    for name, value in figures.items():
        label = f"{prefix}{', ' if prefix else ''}{name}"
        flat.update(_flat(value, label) if isinstance(value, Mapping) else {label: value})
    return flat


def _description(run: Mapping[str, Any]) -> str:
    settings = run["settings"]
    l1, noise = settings["l1_activity"], settings["noise"]
    penalty = f", L1 activity {l1:g} ({settings['activity_reduction']} over the batch)" if l1 else ""
    return f"{run['layers']}, batches of {settings['batch_size']}{penalty}{f', {noise!r}' if noise else ''}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.4f}" if abs(value) < 1 else f"{value:+.3f}"


def results(data: Data, outcomes: Mapping[str, Mapping[int, Outcome]], seconds: float) -> dict[str, Any]:
    """Return all there is to know about a run, ready for JSON: data, versions, machine, and every experiment by name and seed.

    Published figures stand under ``"published (MNIST)"``, measured ones under ``"measured"``; never mixed.
    """
    dataset = data.dataset
    return {
        "data": {"name": dataset.name, "source": dataset.source, "sha256": dataset.sha256,
                 "training images": len(data.X), "test images": len(data.X_test)},
        "versions": {"python": platform.python_version(), "ae_scratch": __version__, "numpy": np.__version__,
                     "numba": _numba()},
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count(),
                    "BLAS threads": {name: os.environ[name] for name in THREAD_VARIABLES if name in os.environ}},
        "seconds": seconds,
        "experiments": {name: _experiment(by_seed) for name, by_seed in outcomes.items()},
    }


def _experiment(by_seed: Mapping[int, Outcome]) -> dict[str, Any]:
    models = next(iter(by_seed.values())).models
    published = {name: {"objective per epoch": ARTICLE[name].published, "test": ARTICLE[name].published_test} for name in models}
    measured = {str(seed): {**outcome.models, **outcome.figures, **({"models": outcome.trained} if outcome.trained else {})}
                for seed, outcome in by_seed.items()}
    return {**({"published (MNIST)": published} if published else {}), "measured": measured}


def _numba() -> str | None:
    """Numba's version, if it is installed: the NumPy engine works without."""
    try:
        return version("numba")
    except PackageNotFoundError:
        return None


def write_json(content: Mapping[str, Any], path: Path) -> None:
    """Write JSON to a file, completely or not at all."""
    with replacing(path) as part:
        part.write_text(to_json(content) + "\n", encoding="utf-8")


def to_json(content: Mapping[str, Any]) -> str:
    """Return indented JSON; what JSON has no form for, such as a noise, as its repr."""
    return json.dumps(content, indent=1, default=repr)
