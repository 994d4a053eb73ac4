"""A training in a file: saved on its way, and gone on with from there to the same bits.

The file is that of a model, as ``persistence`` writes it, and loads as one. It holds besides the position within the epoch, what
early stopping keeps, and fingerprints of the data; docs/model-files.md describes all names. Random numbers are functions of the
seed, the epoch and the row: there is no other random state.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, NamedTuple

import numpy as np

from . import persistence, safetensors
from .callbacks import Callbacks
from .errors import CheckpointError, DataFormatError
from .files import replaceable
from .fitting import Fitted
from .kernels.reference import Array
from .streaming import Batches, blocks
from .training import Position, Saving

FREE = ("epochs", "threads", "verbose")  # settings that may change: they are no part of what an epoch computes


class Found(NamedTuple):
    """What a checkpoint holds: all of the file, and where its training stands."""

    metadata: dict[str, str]
    arrays: dict[str, Array]
    state: dict[str, Any]

    @property
    def position(self) -> Position:
        sums = self.arrays.get("checkpoint.sums", Position().sums)
        return Position(self.state["epoch"], self.state["step"], sums, self.state["ended"])


class Run:
    """A training that has a checkpoint: the file that it is saved to on its way, and that it may begin from.

    every: steps from one save to the next; None saves after every epoch. model: the Autoencoder that is to be trained. Raises
    CheckpointError for a checkpoint that is there but not to be gone on with, or for a model; DataFormatError for another file;
    TypeError for settings that no file can hold.
    """

    def __init__(self, path: str | os.PathLike[str], every: int | None, resume: bool, model: Any):
        self.path, self.name, self.every, self.model = path, os.fsdecode(path), every, model
        self.settings = json.loads(persistence.to_json(model.get_params()))
        self.data: dict[str, str] = {}
        self.found = _read(path) if replaceable(path).exists() else None
        if self.found and not resume:
            raise CheckpointError(f"{self.name} exists: a checkpoint with {_standing(self.found.position)} done; go on with "
                                  "resume=True, or remove it")

    def begin(self, fresh: Fitted, X: Array | Batches, T: Array | Batches) -> Fitted:
        """Return the model to go on with: the one in the file, or the fresh one if there is no file.

        Raises CheckpointError if the file is of a training on other data, or with other settings, and says which.
        """
        names = None if fresh.feature_names is None else json.dumps(list(fresh.feature_names))
        self.data = {"X": fingerprint(X), "y": "none" if T is X else fingerprint(T), "columns": str(names and _hash(names))}
        if self.found is None:
            return fresh
        default = json.loads(persistence.to_json(type(self.model)().get_params()))
        theirs = {**default, **json.loads(self.found.metadata["settings"]), **self.found.state["data"]}
        self._require(theirs, {**self.settings, **self.data})
        position, asked = self.found.position, self.model.epochs
        if position.epoch > asked or (position.epoch == asked and position.step):
            raise CheckpointError(f"{self.name} has {_standing(position)} done: expected epochs to be no less, got {asked}")
        with safetensors.format_errors(self.path):
            return persistence.restored(self.found.metadata, dict(self.found.arrays), type(self.model))._as_fitted()

    def saving(self, told: Callbacks, validation: tuple[Array, Array] | None) -> Saving:
        """Return where the training begins and how it is saved; CheckpointError as in ``begin``, for other validation data or
        callbacks."""
        self.data["validation"] = "none" if validation is None else " ".join(map(fingerprint, validation))
        self.data["callbacks"] = ", ".join(told.describe())
        if self.found is not None:
            self._require(self.found.state["data"], {name: self.data[name] for name in ("validation", "callbacks")})
        start = Position() if self.found is None else self.found.position
        return Saving(lambda position: self._write(position, told), self.every, start)

    def ready(self, told: Callbacks) -> None:
        """Save what has not begun yet; or let early stoppings have the best parameters that they had kept."""
        if self.found is None:
            self._write(Position(), told)  # whether the file can be written shows now, not after an hour
            return
        arrays = self.found.arrays
        for i, (stopping, numbers) in enumerate(zip(told.stoppings(), self.found.state["best"])):
            if numbers:
                kept = stopping.best_state = told.training.checkpoint()
                kept.theta = arrays[f"checkpoint.{i}.theta"]
                kept.state = {name: arrays.get(f"checkpoint.{i}.{name}", numbers.get(name)) for name in kept.state}

    def _require(self, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        """Raise CheckpointError unless they agree in everything that matters."""
        differ = [f"{name}: {theirs.get(name)!r} there, {value!r} here" for name, value in ours.items()
                  if name not in FREE and theirs.get(name) != value]
        if differ:
            raise CheckpointError(f"{self.name} is of another training, not to be gone on with here: use what it used, or another"
                                  f" name. {'; '.join(differ)}")

    def _write(self, position: Position, told: Callbacks) -> None:
        arrays, best = {"checkpoint.sums": position.sums} if position.step else {}, []
        for i, stopping in enumerate(told.stoppings()):
            kept = stopping.best_state
            state = {} if kept is None else {"theta": kept.theta, **kept.state}
            arrays |= {f"checkpoint.{i}.{name}": value for name, value in state.items() if isinstance(value, np.ndarray)}
            best.append({name: value for name, value in state.items() if isinstance(value, float)})
        state = {"epoch": position.epoch, "step": position.step, "ended": position.ended, "best": best, "data": self.data}
        persistence.save(told.training.model, self.path, {"checkpoint": json.dumps(state, allow_nan=False)}, arrays)


def fingerprint(X: Array | Batches) -> str:
    """Return shape, dtype and SHA-256 of data as a training reads them, block by block; of a sequence of batches, each is read
    once.

    >>> fingerprint(np.zeros((3, 2)))
    '(3, 2) float64 17b0761f87b081d5cf10757ccc89f12be355c70e2e29df288b65b30710dcbcd1'
    """
    digest, dtype = hashlib.sha256(), "batches" if isinstance(X, Batches) else X.dtype.name
    for block in blocks(X):
        if isinstance(X, Batches):
            digest.update(f"{block.shape} {block.dtype}".encode())
        digest.update(np.ascontiguousarray(block).data)
    return f"{X.shape} {dtype} {digest.hexdigest()}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: str | os.PathLike[str]) -> Found:
    """The content of a checkpoint."""
    with safetensors.format_errors(path):
        metadata, arrays = safetensors.read(path, "autoencoder")
        found = Found(metadata, arrays, json.loads(metadata.get("checkpoint", "{}")))
        if found.state and found.position.sums.shape[1:] != (3,):
            raise DataFormatError("expected checkpoint.sums with three columns")
    if not found.state:
        raise CheckpointError(f"{os.fsdecode(path)} is a model, not a training to go on with: choose another name")
    return found


def _standing(position: Position) -> str:
    """The position as people write it: "1 epoch and 7 steps"."""
    counts = [(position.epoch, "epoch"), (position.step, "step")]
    return " and ".join(f"{count} {what}{'s'[:count != 1]}" for count, what in counts if count or what == "epoch")
