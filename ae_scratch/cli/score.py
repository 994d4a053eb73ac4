"""``ae-scratch score``: how badly each row is reconstructed, which rows are anomalous, and which features made them so."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np

from ..files import replacing
from .options import (add_data, add_messages, add_model, add_output, at_least_one, command, load, put_json, read, require_free,
                      say, share)

if TYPE_CHECKING:
    from ..autoencoder import Autoencoder
    from ..diagnostics import FeatureError

EXAMPLES = """  ae-scratch score pump.safetensors new.csv
  ae-scratch score pump.safetensors new.csv --threshold-from normal.csv --anomalies --top 3
  ae-scratch score pump.safetensors new.csv --per-feature -o errors.csv

what is printed, a line per row of DATA:
  row           its number, from 0
  error         mean squared error of its reconstruction over the features, in scaled units
  anomaly       1 if the error is above the threshold, else 0
  feature_1 ... with --top: the features whose error is the largest multiple of their usual one (that of NORMAL, else of
                DATA), the worst first, with their values and what the model expected
  NAME ...      with --per-feature: the squared error of each feature
"""


class Scores(NamedTuple):
    """The rows to tell of and their errors; whether they are anomalous, their worst features and the error of each feature where
    that was asked for."""

    rows: np.ndarray
    errors: np.ndarray
    threshold: float | None
    worst: list[list[FeatureError]] | None
    per_feature: np.ndarray | None


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(commands, "score", run, "MODEL DATA [--threshold-from NORMAL] [options]", "find the rows that do not fit",
                     "Print the reconstruction error of every row of DATA; high where a row is unlike those the model learned.",
                     EXAMPLES)
    add_model(parser)
    add_data(parser, "rows to score")
    parser.add_argument("--threshold-from", metavar="NORMAL", help="data without anomalies: rows of DATA above the quantile of "
                        "their errors are anomalous")
    parser.add_argument("--quantile", type=share, default=0.99, metavar="Q", help="default: 0.99, one false alarm in 100 rows")
    parser.add_argument("--anomalies", action="store_true", help="print anomalous rows only, the worst first")
    parser.add_argument("--top", type=at_least_one, metavar="N", help="name the N features that made each row what it is")
    parser.add_argument("--per-feature", action="store_true", help="print the error of every feature too")
    add_output(parser, "a .csv file (default: standard output)")
    add_messages(parser, json="print JSON instead of CSV")
    parser.set_defaults(usage_error=parser.error)


def run(options: argparse.Namespace) -> int:
    """Score the rows and print them as CSV or JSON."""
    _check(options)
    model, names = load(options)
    X = read(options, columns=names).X
    normal = read(options, options.threshold_from, names).X if options.threshold_from else None
    names = names or [str(i) for i in range(model.n_features_in_)]
    scores = _scores(model, X, normal, names, options)
    if not options.quiet and scores.threshold is not None:
        above = int((model.reconstruction_error(X) > scores.threshold).sum())
        say(f"{above:,} of {len(X):,} rows are above the threshold {scores.threshold:.4g}, the {options.quantile:g} quantile of "
            f"{options.threshold_from}")
    if options.json:
        put_json(_records(scores, names))
    else:
        with _stream(options.output) as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(_heads(scores, names, options.top))
            writer.writerows(_lines(scores))
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.anomalies and not options.threshold_from:
        options.usage_error("--anomalies needs --threshold-from NORMAL, which says what an anomaly is")
    if options.output is not None and options.output.suffix.lower() != ".csv":
        raise ValueError(f"expected an output file named .csv, got {str(options.output)!r}")
    require_free(options.output, options.force)


def _scores(model: Autoencoder, X: np.ndarray, normal: np.ndarray | None, names: Sequence[str],
            options: argparse.Namespace) -> Scores:
    from ..diagnostics import anomalous_features, anomaly_threshold

    errors, rows = model.reconstruction_error(X), np.arange(len(X))
    threshold = None if normal is None else anomaly_threshold(model, normal, options.quantile)
    if options.anomalies:
        rows = np.argsort(-errors, kind="stable")[:int((errors > threshold).sum())]
    worst, per_feature = None, None
    if len(rows) and options.top:
        worst = anomalous_features(model, X[rows], X if normal is None else normal, names, options.top)
    if len(rows) and options.per_feature:
        per_feature = model.reconstruction_error(X[rows], per_feature=True)
    return Scores(rows, errors[rows], threshold, worst, per_feature)


def _heads(scores: Scores, names: Sequence[str], top: int | None) -> list[str]:
    worst = [f"{what}_{i + 1}" for i in range(min(top or 0, len(names))) for what in ("feature", "value", "expected")]
    anomaly = ["anomaly"] if scores.threshold is not None else []
    return ["row", "error", *anomaly, *worst, *(names if scores.per_feature is not None else [])]


def _lines(scores: Scores) -> Iterator[list[str]]:
    for i, (row, error) in enumerate(zip(scores.rows, scores.errors)):
        line = [str(row), str(error)]
        if scores.threshold is not None:
            line.append("1" if error > scores.threshold else "0")
        if scores.worst is not None:
            line += [text for one in scores.worst[i] for text in (one.feature, f"{one.value:.6g}", f"{one.reconstruction:.6g}")]
        if scores.per_feature is not None:
            line += map(str, scores.per_feature[i])
        yield line


def _records(scores: Scores, names: Sequence[str]) -> dict[str, Any]:
    """The same for JSON."""
    records: list[dict[str, Any]] = []
    for i, (row, error) in enumerate(zip(scores.rows, scores.errors)):
        record = {"row": row, "error": error}
        if scores.threshold is not None:
            record["anomaly"] = bool(error > scores.threshold)
        if scores.worst is not None:
            record["features"] = [one._asdict() for one in scores.worst[i]]
        if scores.per_feature is not None:
            record["errors"] = dict(zip(names, scores.per_feature[i]))
        records.append(record)
    return {"threshold": scores.threshold, "rows": records}


@contextmanager
def _stream(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file that is replaced as a whole."""
    if path is None:
        yield sys.stdout
        return
    with replacing(path) as part, open(part, "w", encoding="utf-8", newline="") as stream:
        yield stream
