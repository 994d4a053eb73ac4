"""The errors the package raises beside Python's own; each is also a standard one, so ``except ValueError`` and the like work."""

from __future__ import annotations


class DataFormatError(ValueError):
    """A data file is not what it says it is: truncated, damaged, of another format or of sizes that do not fit together."""


class NotFittedError(ValueError, AttributeError):
    """A model was asked for something it only has after ``fit``."""


class DivergedError(ArithmeticError):
    """The loss or a parameter became infinite or NaN in training; ``epoch`` and ``step`` say when."""

    def __init__(self, message: str, epoch: int, step: int):
        super().__init__(message, epoch, step)  # all of them: pickle calls the class with these arguments again
        self.epoch = epoch
        self.step = step

    def __str__(self) -> str:
        return self.args[0]


class DownloadError(OSError):
    """A file could not be fetched, was not the expected one, or could not be stored."""
