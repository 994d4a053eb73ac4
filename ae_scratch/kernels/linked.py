"""The product of matrices as code of its own, which other compiled code calls by name.

Numba makes what a compiled function calls a part of it, and compiles that again for every caller, and for the callers' callers.
The kernels of matrix products are the largest pieces of code here, and called from everywhere: compiled once and linked by
name, as a library would be, they leave each caller small. ``load`` must have run before compiled code that was kept from an
earlier process is used, or it would look for the name in vain.
"""

from __future__ import annotations

import threading
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from . import matmul
from .cache import cached_cfunc

loaded: dict[str, Any] = {}  # the product by dtype: what keeps its code in memory
loading = threading.RLock()  # the code that two threads loaded would go when the second one took its place


@intrinsic
def matrix_at(context, address, rows, columns, row_bytes, column_bytes):
    """The matrix at an address, which it does not own."""
    kind = types.Array(address.dtype, 2, "A")

    def emit(context, builder, signature, values):
        array = context.make_array(kind)(context, builder)
        size = ir.Constant(ir.IntType(64), kind.dtype.bitwidth // 8)
        populate_array(array, values[0], values[1:3], values[3:5], size, None)
        return array._getvalue()
    return kind(address, types.intp, types.intp, types.intp, types.intp), emit


is_large, small, large, transposed = map(numba.njit(error_model="numpy", inline="always"), (
    matmul.is_large, matmul.matmul_5_tile, matmul.matmul_6_panel, matmul.matmul_transposed))


# What is linked takes no arrays: of each matrix its address, shape and strides.
def matrix_product(a, a0, a1, a_down, a_along, b, b0, b1, b_down, b_along, c, c0, c1, c_down, c_along):
    """C = A B by the kernel that is fast for these sizes, and for how B is stored. Returns 1, or 0 for want of memory."""
    A, B, C = matrix_at(a, a0, a1, a_down, a_along), matrix_at(b, b0, b1, b_down, b_along), matrix_at(c, c0, c1, c_down, c_along)
    if b_along > B.itemsize:  # the numbers of a row are not neighbours, as all other kernels take for granted
        transposed(A, B.T, C)
    elif is_large(A, B):
        large(A, B, C)
    else:
        small(A, B, C)
    return 1  # what raises an exception returns 0: Numba's rule for code that is called from outside


def load(dtype: Any) -> None:
    """Compile the product of matrices of a dtype, or read its code from the cache, and make its name known."""
    name, matrix = np.dtype(dtype).name, [types.CPointer(numba.from_dtype(np.dtype(dtype))), *4 * [types.intp]]
    with loading:
        if name not in loaded:
            loaded[name] = cached_cfunc(types.intp(*3 * matrix), error_model="numpy", _nrt=True)(matrix_product)
            binding.add_symbol(symbol(name), loaded[name].address)


def symbol(dtype: str) -> str:
    """Return the name that the product is linked by."""
    return f"ae_scratch.matrix_product.{dtype}"


@intrinsic
def product(context, A, B, C):
    """C = A B, or MemoryError."""
    load(C.dtype.name)

    def emit(context, builder, signature, values):
        flat = []
        for kind, value in zip(signature.args, values):
            array = context.make_array(kind)(context, builder, value)
            pairs = (cgutils.unpack_tuple(builder, pair) for pair in (array.shape, array.strides))
            flat += [array.data, *(number for pair in pairs for number in pair)]
        kind = ir.FunctionType(ir.IntType(64), [value.type for value in flat])
        done = builder.call(cgutils.get_or_insert_function(builder.module, kind, symbol(C.dtype.name)), flat)
        with builder.if_then(cgutils.is_null(builder, done), likely=False):
            context.call_conv.return_user_exc(builder, MemoryError, ("no memory for the parts of a matrix product",))
        return context.get_dummy_value()
    return types.none(A, B, C), emit
