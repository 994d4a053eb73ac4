"""``ae-scratch encode``, ``decode`` and ``reconstruct``: what a stored model makes of data."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from .options import add_data, add_messages, add_model, add_output, command, load, put, read, require_table

ENCODE = """  ae-scratch encode digits.safetensors digits.npy -o codes.npy
  ae-scratch encode pump.safetensors readings.csv > codes.csv
"""
DECODE = """  ae-scratch decode digits.safetensors codes.npy -o images.npy
  ae-scratch encode pump.safetensors readings.csv | ae-scratch decode pump.safetensors -
"""
RECONSTRUCT = """  ae-scratch reconstruct denoiser.safetensors noisy.npy -o clean.npy
  ae-scratch reconstruct pump.safetensors readings.csv > expected.csv
"""


def add(commands: Any) -> None:
    """Add the three commands to the parser."""
    _add(commands, "encode", encode, "write the codes of data", "Write the code of every row of DATA.", ENCODE)
    _add(commands, "decode", decode, "write what codes stand for", "Write what the decoder makes of every code in DATA.", DECODE)
    _add(commands, "reconstruct", reconstruct, "write data as the model sees them",
         "Write the reconstruction of every row of DATA, in DATA's own units.", RECONSTRUCT)


def _add(commands: Any, name: str, run: Any, help: str, text: str, examples: str) -> None:
    parser = command(commands, name, run, "MODEL DATA [-o FILE] [options]", help, text, examples)
    add_model(parser)
    add_data(parser, "codes" if name == "decode" else "rows")
    add_output(parser, "a .csv, .npy or .npz file (default: CSV on standard output)")
    add_messages(parser)


def encode(options: argparse.Namespace) -> int:
    """Write codes, columns code_0, code_1, ..."""
    require_table(options)
    model, names = load(options)
    codes = Computed(read(options, columns=names).X, model.encode)
    put(options, codes, [f"code_{i}" for i in range(codes.shape[1])])
    return 0


def decode(options: argparse.Namespace) -> int:
    """Write rows made from codes."""
    require_table(options)
    model, names = load(options)
    put(options, Computed(read(options).X, model.decode), names)
    return 0


def reconstruct(options: argparse.Namespace) -> int:
    """Write rows as the model reconstructs them."""
    require_table(options)
    model, names = load(options)
    put(options, Computed(read(options, columns=names).X, model.reconstruct), names)
    return 0


class Computed:
    """Rows that are computed when they are asked for: neither they nor what they are made of need fit into memory."""

    def __init__(self, X: np.ndarray, compute: Callable[[np.ndarray], np.ndarray]):
        self.X, self.compute = X, compute
        first = compute(X[:1])
        self.shape, self.dtype = (len(X), first.shape[1]), first.dtype

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows: slice) -> np.ndarray:
        try:
            return self.compute(self.X[rows])
        except ValueError as error:
            raise ValueError(f"{error} (counted from row {rows.start})" if rows.start else str(error)) from error
