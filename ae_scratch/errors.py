"""The errors the package raises beside Python's own; each is also a standard one, so ``except ValueError`` and the like work."""

from __future__ import annotations

import sys
from typing import Any


class DataFormatError(ValueError):
    """A data file is not what it says it is: truncated, damaged, of another format or of sizes that do not fit together."""


class NotFittedError(ValueError, AttributeError):
    """A model was asked for something it only has after ``fit``.

    In a program that has loaded scikit-learn it is scikit-learn's ``NotFittedError`` as well: what catches either, catches it.
    """

    def __new__(cls, *arguments: Any) -> NotFittedError:
        theirs = getattr(sys.modules.get("sklearn.exceptions"), "NotFittedError", cls)
        kind = cls if issubclass(cls, theirs) else type(cls.__name__, (cls, theirs), {"__module__": cls.__module__})
        return super().__new__(kind, *arguments)

    def __reduce__(self) -> Any:
        return NotFittedError, self.args  # the class made here cannot be looked up by its name


class DivergedError(ArithmeticError):
    """The loss or a parameter became infinite or NaN in training.

    ``epoch`` and ``step`` say when, counted from 0; ``layer`` where: the first one with such an output, parameter or moment, such
    as "encoder.0"; or "loss" or "penalty", if all of them are finite but that is not.
    """

    def __init__(self, message: str, epoch: int, step: int, layer: str):
        super().__init__(message, epoch, step, layer)  # all of them: pickle calls the class with these arguments again
        self.epoch = epoch
        self.step = step
        self.layer = layer

    def __str__(self) -> str:
        return self.args[0]


class CheckpointError(ValueError):
    """A checkpoint is in the way, or of another training than the one that shall go on."""


class DownloadError(OSError):
    """A file could not be fetched, was not the expected one, or could not be stored."""
