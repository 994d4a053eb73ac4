"""Rows of a file for compiled code, read by the system's ``pread``.

Rows at random through a mapping of the file would be slower: each brings 64 KB of it into the process's memory, to be counted and
to be given back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import types
from numba.extending import intrinsic

from .compiled import jit
from .reference import Array

pread = types.ExternalFunction("pread", types.intp(types.intc, types.uintp, types.uintp, types.int64))


class FileRows(NamedTuple):
    """Where the rows of a matrix lie in an open file; to compiled code what the matrix would be."""

    descriptor: int
    offset: int  # of row 0, in bytes
    size: int
    nothing: Array  # of the matrix's dtype and width, without rows


@intrinsic  # type: ignore[untyped-decorator]
def address(context: Any, array: Any) -> Any:
    """The address of an array's first number."""
    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.uintp))
    return types.uintp(array), emit


@jit
def read_row(rows: Any, row: Any, room: Any) -> Any:
    """Fill ``room`` with a row; False if the file ends before."""
    size = room.size * room.itemsize
    return pread(rows.descriptor, address(room), size, rows.offset + row * size) == size
