"""The constructor's arguments as options of the command line, spelled alike; ``random_state`` is --seed."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from typing import Any

from .. import noise
from ..layers import ACTIVATIONS
from ..losses import LOSSES
from ..optimizers import OPTIMIZERS
from ..penalties import REDUCTIONS
from ..scaling import SCALINGS
from ..settings import ENGINES
from .options import at_least_one, seed_number

NOISES = {"gaussian": "GaussianNoise", "masking": "MaskingNoise", "salt-and-pepper": "SaltAndPepperNoise"}
FLAGS = {"random_state": "--seed"}


def noise_object(text: str) -> Any:
    """Return the noise that a text such as gaussian:0.4,clip=0:1,redraw=once describes."""
    first, *rest = text.split(",")
    kind, _, amount = first.partition(":")
    if kind not in NOISES:
        raise argparse.ArgumentTypeError(f"expected gaussian:SIGMA, masking:SHARE or salt-and-pepper:SHARE, got {text!r}")
    try:
        return getattr(noise, NOISES[kind])(float(amount), **dict(map(_pair, rest)))
    except (TypeError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"cannot read {text!r} ({error}): expected such as gaussian:0.4,clip=0:1,redraw=once "
                                         "or masking:0.3") from error


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"expected NAME=VALUE, got {text!r}")
    if ":" in value:
        return name, tuple(map(float, value.split(":")))
    try:
        return name, float(value)
    except ValueError:
        return name, value


NUMBER = {"type": float, "metavar": "X"}
WHOLE = {"type": at_least_one, "metavar": "N"}
NAME = {"choices": tuple(ACTIVATIONS), "metavar": "NAME"}

MODEL: dict[str, dict[str, Any]] = {
    "hidden_sizes": {**WHOLE, "nargs": "*",
                     "help": "units of the encoder's hidden layers, none for a shallow model (default: 128)"},
    "code_size": {**WHOLE, "help": "units of the code (default: 32)"},
    "decoder_sizes": {**WHOLE, "nargs": "*", "help": "units of the decoder's hidden layers (default: the encoder's, mirrored)"},
    "activation": {**NAME, "nargs": "+", "help": f"of the hidden layers, one for all or one each: {', '.join(ACTIVATIONS)} "
                                                 "(default: relu)"},
    "code_activation": {**NAME, "help": "of the code (default: relu)"},
    "output_activation": {**NAME, "help": "of the output (default: the loss's own, sigmoid or identity)"},
    "tied_weights": {"action": "store_true", "help": "the decoder uses the encoder's weights, transposed"},
    "loss": {"choices": tuple(LOSSES), "help": "cross-entropy is for data in [0, 1] (default: binary_crossentropy)"},
    "l1_activity": {**NUMBER, "help": "strength of the L1 penalty on the code (default: 0)"},
    "activity_reduction": {"choices": tuple(REDUCTIONS), "help": "over the rows of a batch (default: mean)"},
    "kl_beta": {**NUMBER, "help": "strength of the KL penalty that keeps units of the code near kl-rho (default: 0)"},
    "kl_rho": {**NUMBER, "help": "mean activation it aims at (default: 0.05)"},
    "weight_decay": {**NUMBER, "help": "strength of the penalty on squared weights (default: 0)"},
    "scaling": {"choices": tuple(SCALINGS), "help": "of the data, learned from them and stored with the model (default: none)"},
    "noise": {"type": noise_object, "metavar": "KIND:X", "help": "on the inputs while training: gaussian:SIGMA, masking:SHARE or "
              "salt-and-pepper:SHARE; more with commas, as in gaussian:0.4,clip=0:1,redraw=once (default: none)"},
}
TRAINING: dict[str, dict[str, Any]] = {
    "optimizer": {"choices": tuple(OPTIMIZERS), "help": "default: adam"},
    "learning_rate": {**NUMBER, "help": "default: 0.001"},
    "batch_size": {**WHOLE, "help": "rows of a step (default: 32)"},
    "epochs": {**WHOLE, "help": "passes over the data (default: 10)"},
    "validation_fraction": {**NUMBER, "help": "share of the rows to validate on instead of training (default: 0)"},
    "early_stopping": {**WHOLE, "nargs": "?", "metavar": "PATIENCE", "help": "stop when so many epochs in a row bring nothing "
                       "better on the validation rows, and keep the best weights (default: never; without PATIENCE: 5)"},
    "random_state": {"type": seed_number, "metavar": "S",
                     "help": "the same seed gives the same model (default: another each time)"},
}
COMPUTING: dict[str, dict[str, Any]] = {
    "dtype": {"choices": ("float32", "float64"), "help": "default: float32"},
    "engine": {"choices": ENGINES, "help": "compiled or plain NumPy (default: numba)"},
    "threads": {**WHOLE, "help": "of engine numba (default: as many as pay)"},
}
ALL = {**MODEL, **TRAINING, **COMPUTING}


def in_options(text: str) -> str:
    """Return a message of the library with its arguments spelled as options.

    >>> in_options("set scaling='minmax' or loss='mse'")
    'set --scaling minmax or --loss mse'
    """
    return re.sub(rf"\b({'|'.join(ALL)})='([\w-]+)'", lambda found: f"--{found[1].replace('_', '-')} {found[2]}", text)


def add_settings(parser: argparse.ArgumentParser, title: str, settings: Iterable[str]) -> None:
    """Add the options of these constructor arguments to the parser, in a group of their own; one that is not given is not set."""
    group = parser.add_argument_group(title)
    for name in settings:
        flag = FLAGS.get(name, "--" + name.replace("_", "-"))
        group.add_argument(flag, dest=name, default=argparse.SUPPRESS, **ALL[name])


def given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the constructor arguments that the user gave."""
    settings = {name: value for name, value in vars(options).items() if name in ALL}
    if len(settings.get("activation", ())) == 1:
        settings["activation"] = settings["activation"][0]
    if "early_stopping" in settings:
        from ..callbacks import EarlyStopping

        patience = settings["early_stopping"]
        settings["early_stopping"] = EarlyStopping() if patience is None else EarlyStopping(patience=patience)
    return settings
