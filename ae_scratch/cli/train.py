"""``ae-scratch train``: a model from a file of data, in a file."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CheckpointError
from .options import add_data, add_messages, add_output, at_least_one, command, put_json, read, require_free, say, size
from .settings import COMPUTING, MODEL, TRAINING, add_settings, given, in_options

if TYPE_CHECKING:
    from ..autoencoder import Autoencoder
    from ..datasets import Table

EXAMPLES = """  ae-scratch train readings.csv --scaling standard --loss mse --hidden-sizes 16 --code-size 3 -o pump.safetensors
  ae-scratch train digits.npy --scaling bytes --epochs 20 --seed 0 -o digits.safetensors
  ae-scratch train digits.npy --scaling bytes --noise gaussian:0.4,clip=0:1 -o denoiser.safetensors
  ae-scratch train readings.csv --drop time --scaling minmax --epochs 500 --validation-fraction 0.1 --early-stopping \\
      -o m.safetensors
  ae-scratch train big.npy --epochs 500 --seed 0 --checkpoint run.ckpt --resume -o big.safetensors   # may be repeated until done
"""
CHECKED = 10_000  # rows


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(commands, "train", run, "DATA -o FILE [options]", "train a model and store it",
                     "Train an autoencoder on the rows of DATA and store it in FILE.", EXAMPLES)
    add_data(parser, "what to learn, a row per example")
    add_output(parser, "where the model goes, such as model.safetensors", required=True)
    parser.add_argument("--target", metavar="DATA",
                        help="what to produce from DATA instead of DATA itself: as many rows and columns")
    parser.add_argument("--validation", metavar="DATA", help="other rows, to measure val_loss on after every epoch")
    parser.add_argument("--csv-log", type=Path, metavar="FILE", help="write the figures of every epoch to FILE, as they come")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE",
                        help="save the training to FILE after every epoch, and when Ctrl-C stops it")
    parser.add_argument("--checkpoint-every", type=at_least_one, metavar="N", help="save it every N steps instead")
    parser.add_argument("--resume", action="store_true",
                        help="go on from the checkpoint, if there is one, to the same model as without the interruption")
    parser.add_argument("-v", "--verbose", action="store_true", help="one line per epoch, also on a terminal")
    add_messages(parser, json="print a summary as JSON")
    add_settings(parser, "model", MODEL)
    add_settings(parser, "training", TRAINING)
    add_settings(parser, "computing", COMPUTING)


def run(options: argparse.Namespace) -> int:
    """Read, train, store; print what came out of it."""
    from ..autoencoder import Autoencoder

    require_free(options.output, options.force)
    require_free(options.csv_log, options.force or options.resume)
    if options.checkpoint is not None and options.checkpoint.resolve() == options.output.resolve():
        raise ValueError(f"--checkpoint and --output are both {options.output}: the model goes to a file of its own")
    model = Autoencoder(**given(options), verbose=0 if options.quiet else 1 + options.verbose)
    table = read(options)
    if not options.quiet:
        say(f"{options.data}: {size(table.X)}")
        _warn(model, table)
    started = time.perf_counter()
    try:
        _fit(model, table, options)
    except KeyboardInterrupt:
        if options.checkpoint is not None:
            if options.checkpoint.exists():
                say(f"{options.checkpoint}: the training so far; the same command with --resume goes on from there")
        elif hasattr(model, "network_"):
            _store(model, table, options)
            say(f"{options.output}: what was learned until the interruption")
        raise
    _store(model, table, options)
    summary = _summary(model, table, options, time.perf_counter() - started)
    if options.json:
        put_json(summary)
    elif not options.quiet:
        print(_sentences(summary))
    return 0


def _warn(model: Autoencoder, table: Table) -> None:
    """Say what may keep the model from learning these data, as far as their beginning shows it."""
    from ..diagnostics import check_data

    for warning in check_data(table.X[:CHECKED], model, table.names):
        say(in_options(f"warning: {warning}"))


def _fit(model: Autoencoder, table: Table, options: argparse.Namespace) -> None:
    """Train on the table; what the user did not ask for is not handed on."""
    more: dict[str, Any] = {}
    if options.validation:
        more["validation_data"] = read(options, options.validation, table.names).X
    if options.csv_log:
        from ..callbacks import CSVLogger

        more["callbacks"] = [CSVLogger(options.csv_log)]
    if options.checkpoint or options.checkpoint_every or options.resume:
        more |= {name: getattr(options, name) for name in ("checkpoint", "checkpoint_every", "resume")}
    target = None if options.target is None else read(options, options.target, table.names).X
    try:
        model.fit(table.X, target, **more)
    except CheckpointError as error:
        raise CheckpointError(str(error).replace("resume=True", "--resume")) from error


def _store(model: Autoencoder, table: Table, options: argparse.Namespace) -> None:
    if table.names is not None:
        model.feature_names_in_ = np.array(table.names, object)
    model.save(options.output)


def _summary(model: Autoencoder, table: Table, options: argparse.Namespace, seconds: float) -> dict[str, Any]:
    history = model.history_
    return {"file": str(options.output), "rows": len(table.X), "columns": table.X.shape[1], "names": table.names,
            "sizes": [table.X.shape[1], *(array.size for name, array in model.network_.params.items() if name.endswith(".b"))],
            "parameters": sum(array.size for array in model.network_.params.values()),
            "loss": model.loss, "epochs": len(history["loss"]), "seconds": round(seconds, 3), "seed": model.seed_,
            "last": {name: values[-1] for name, values in history.items() if values}}


def _sentences(summary: dict[str, Any]) -> str:
    """The same to read; the penalty where there is one."""
    last = summary["last"]
    names = [name for name in last if last["penalty"] or name in ("loss", "val_loss")]
    figures = ", ".join(f"{name} {last[name]:.4g}" for name in names)
    sizes = "-".join(map(str, summary["sizes"]))
    epochs = f"{summary['epochs']:,} epoch{'s'[:summary['epochs'] != 1]}"
    return (f"{summary['file']}: {sizes}, {summary['parameters']:,} parameters; {epochs} in "
            f"{summary['seconds']:.1f} s, seed {summary['seed']}: {figures} ({summary['loss']})")
