"""Products of matrices, and Adam along them, as code of its own, which other compiled code calls by name.

Numba makes what a compiled function calls a part of it, and compiles that again for every caller, and for the callers' callers.
The kernels of matrix products are the largest pieces of code here, and called from everywhere: compiled once and linked by
name, as a library would be, they leave each caller small. ``load`` must have run before compiled code that was kept from an
earlier process is used, or it would look for the name in vain.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import numba
import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from . import matmul, updates
from .cache import cached_cfunc

loaded: dict[str, Any] = {}  # by name: what keeps code in memory
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


is_large, small, large, transposed, adam_beside = map(numba.njit(error_model="numpy", inline="always"), (
    matmul.is_large, matmul.matmul_5_tile, matmul.matmul_6_panel, matmul.matmul_transposed, updates.adam_matmul))


# What is linked takes no arrays: of each matrix its address, shape and strides; of a vector its address. It returns 1; what
# raises an exception returns 0, Numba's rule for code that is called from outside.
def matrix_product(a, a0, a1, a_down, a_along, b, b0, b1, b_down, b_along, c, c0, c1, c_down, c_along):
    """C = A B by the kernel that is fast for these sizes, and for how B is stored."""
    A, B, C = matrix_at(a, a0, a1, a_down, a_along), matrix_at(b, b0, b1, b_down, b_along), matrix_at(c, c0, c1, c_down, c_along)
    if b_along > B.itemsize:  # the numbers of a row are not neighbours, as all other kernels take for granted
        transposed(A, B.T, C)
    elif is_large(A, B):
        large(A, B, C)
    else:
        small(A, B, C)
    return 1


def matrix_adam(a, a0, a1, a_down, a_along, b, b0, b1, b_down, b_along, theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t):
    """A step of Adam along A B, for B stored row by row."""
    A, B, size = matrix_at(a, a0, a1, a_down, a_along), matrix_at(b, b0, b1, b_down, b_along), a0 * b1
    adam_beside(A, B, numba.carray(theta, size), numba.carray(g, size), numba.carray(m, size), numba.carray(v, size), lr, beta1,
                beta2, eps, beta1_t, beta2_t)
    return 1


def load(dtype: Any, function: Any = matrix_product) -> None:
    """Compile one of these functions for a dtype, or read its code from the cache, and make its name known."""
    number = types.CPointer(numba.from_dtype(np.dtype(dtype)))
    matrix = [number, *4 * [types.intp]]
    arguments = {matrix_product: 3 * matrix, matrix_adam: 2 * matrix + 4 * [number] + 6 * [types.float64]}[function]
    name = symbol(function, dtype)
    with loading:
        if name not in loaded:
            loaded[name] = cached_cfunc(types.intp(*arguments), error_model="numpy")(function)
            binding.add_symbol(name, loaded[name].address)


def symbol(function: Any, dtype: Any) -> str:
    """Return the name that one of these functions is linked by."""
    return f"ae_scratch.{function.__name__}.{np.dtype(dtype).name}"


def flat(context: Any, builder: Any, kind: Any, value: Any) -> list[Any]:
    """What an argument is passed as."""
    if not isinstance(kind, types.Array):
        return [context.cast(builder, value, kind, types.float64)]
    array = context.make_array(kind)(context, builder, value)
    if kind.ndim == 1:
        return [array.data]
    return [array.data, *(number for pair in (array.shape, array.strides) for number in cgutils.unpack_tuple(builder, pair))]


def call(function: Any, context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Emit the call of one of these functions, and MemoryError for its 0."""
    passed = [part for kind, value in zip(signature.args, values) for part in flat(context, builder, kind, value)]
    expected = ir.FunctionType(ir.IntType(64), [value.type for value in passed])
    name = symbol(function, signature.args[0].dtype.name)
    done = builder.call(cgutils.get_or_insert_function(builder.module, expected, name), passed)
    with builder.if_then(cgutils.is_null(builder, done), likely=False):
        context.call_conv.return_user_exc(builder, MemoryError, ("no memory for the parts of a matrix product",))
    return context.get_dummy_value()


@intrinsic
def product(context, A, B, C):
    """C = A B, or MemoryError."""
    load(C.dtype.name)
    return types.none(A, B, C), functools.partial(call, matrix_product)


@intrinsic
def adam_product(context, A, B, theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t):
    """A step of Adam along A B, as ``updates.adam_matmul`` takes it."""
    load(theta.dtype.name, matrix_adam)
    return types.none(A, B, theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t), functools.partial(call, matrix_adam)
