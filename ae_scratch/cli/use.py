"""``ae-scratch encode``, ``decode`` and ``reconstruct``: what a stored model makes of data."""

from __future__ import annotations

import argparse
from typing import Any

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
    codes = model.encode(read(options, columns=names).X)
    put(options, codes, [f"code_{i}" for i in range(codes.shape[1])])
    return 0


def decode(options: argparse.Namespace) -> int:
    """Write rows made from codes."""
    require_table(options)
    model, names = load(options)
    put(options, model.decode(read(options).X), names)
    return 0


def reconstruct(options: argparse.Namespace) -> int:
    """Write rows as the model reconstructs them."""
    require_table(options)
    model, names = load(options)
    put(options, model.reconstruct(read(options, columns=names).X), names)
    return 0
