"""Products of matrices, and Adam along them, as code of its own, which other compiled code calls by name.

Numba makes what a compiled function calls a part of it, and compiles that again for every caller, and for the callers' callers.
The kernels of matrix products are the largest pieces of code here, and called from everywhere: compiled once and linked by
name, as a library would be, they leave each caller small. ``load`` must have run before compiled code that was kept from an
earlier process is used, or it would look for the name in vain.

What only some models gain by is not compiled before one does: its name is that of a number, the address of its code, 0 as long as
there is none. Callers look, and do without.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
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
from .inner import COUNTED

loaded: dict[str, Any] = {}  # by name: what keeps code in memory
addresses: dict[str, Any] = {}  # by name: of code that callers can do without
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


is_large, small, large, transposed, adam_beside = map(numba.njit(**COUNTED), (
    matmul.is_large, matmul.matmul_5_tile, matmul.matmul_6_panel, matmul.matmul_transposed, updates.adam_matmul))


# What is linked takes no arrays: of each matrix its address, shape and strides; of a vector its address. It returns 1; what
# raises an exception returns 0, Numba's rule for code that is called from outside.
def matrix_panels(a, a0, a1, a_down, a_along, b, b0, b1, b_down, b_along, c, c0, c1, c_down, c_along):
    """C = A B for large matrices."""
    large(matrix_at(a, a0, a1, a_down, a_along), matrix_at(b, b0, b1, b_down, b_along), matrix_at(c, c0, c1, c_down, c_along))
    return 1


def matrix_product(a, a0, a1, a_down, a_along, b, b0, b1, b_down, b_along, c, c0, c1, c_down, c_along):
    """C = A B by the kernel that is fast for these sizes, and for how B is stored."""
    A, B, C = matrix_at(a, a0, a1, a_down, a_along), matrix_at(b, b0, b1, b_down, b_along), matrix_at(c, c0, c1, c_down, c_along)
    if b_along > B.itemsize:  # the numbers of a row are not neighbours, as all other kernels take for granted
        transposed(A, B.T, C)
    elif not (is_large(a0, B.size * B.itemsize, b_down) and by_panels(A, B, C)):
        small(A, B, C)
    return 1


def matrix_adam(a, a0, a1, a_down, a_along, b, b0, b1, b_down, b_along, theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t):
    """A step of Adam along A B, for B stored row by row."""
    A, B, size = matrix_at(a, a0, a1, a_down, a_along), matrix_at(b, b0, b1, b_down, b_along), a0 * b1
    adam_beside(A, B, numba.carray(theta, size), numba.carray(g, size), numba.carray(m, size), numba.carray(v, size), lr, beta1,
                beta2, eps, beta1_t, beta2_t)
    return 1


OPTIONAL = matrix_panels, matrix_adam


def load(dtype: Any, function: Any = matrix_product, if_kept: bool = False) -> None:
    """Compile one of these functions for a dtype, or read its code from the cache, and make its name known. if_kept: do nothing
    where it is not in the cache."""
    if function in OPTIONAL:
        load(dtype)  # which they call
    number = types.CPointer(numba.from_dtype(np.dtype(dtype)))
    matrix = [number, *4 * [types.intp]]
    arguments = 2 * matrix + 4 * [number] + 6 * [types.float64] if function is matrix_adam else 3 * matrix
    name = symbol(function, dtype)
    with loading:
        if name in loaded:
            return
        for optional in map(functools.partial(symbol, dtype=dtype), OPTIONAL):
            if optional not in addresses:
                addresses[optional] = np.zeros(1, np.int64)
                binding.add_symbol(optional, addresses[optional].ctypes.data)
        code = cached_cfunc(types.intp(*arguments), if_kept, error_model="numpy", _nrt=True)(function)
        if code is None:
            return
        loaded[name] = code
        if function in OPTIONAL:
            addresses[name][0] = code.address
        else:
            binding.add_symbol(name, code.address)


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
    """Emit the call of one of these functions, and MemoryError for its 0. Return whether it is there, of one that may not be."""
    name, number = symbol(function, signature.args[0].dtype.name), ir.IntType(64)
    if function not in OPTIONAL:
        finish(context, builder, signature, values, lambda kind: cgutils.get_or_insert_function(builder.module, kind, name))
        return context.get_dummy_value()
    address = builder.load(builder.module.globals.get(name) or ir.GlobalVariable(builder.module, number, name))
    there = builder.icmp_unsigned("!=", address, number(0))
    with builder.if_then(there):
        finish(context, builder, signature, values, lambda kind: builder.inttoptr(address, kind.as_pointer()))
    return there


def finish(context: Any, builder: Any, signature: Any, values: Any, code: Callable[[Any], Any]) -> None:
    """Emit a call of ``code`` of some type with these values."""
    passed = [part for kind, value in zip(signature.args, values) for part in flat(context, builder, kind, value)]
    done = builder.call(code(ir.FunctionType(ir.IntType(64), [value.type for value in passed])), passed)
    with builder.if_then(cgutils.is_null(builder, done), likely=False):
        context.call_conv.return_user_exc(builder, MemoryError, ("no memory for the parts of a matrix product",))


@intrinsic
def product(context, A, B, C):
    """C = A B, or MemoryError."""
    load(C.dtype.name)
    return types.none(A, B, C), functools.partial(call, matrix_product)


@intrinsic
def by_panels(context, A, B, C):
    """C = A B by ``matrix_panels``, if that is loaded. Returns whether it is."""
    return types.boolean(A, B, C), functools.partial(call, matrix_panels)


@intrinsic
def adam_product(context, A, B, theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t):
    """A step of Adam along A B by ``matrix_adam``, if that is loaded. Returns whether it is."""
    return types.boolean(A, B, theta, g, m, v, lr, beta1, beta2, eps, beta1_t, beta2_t), functools.partial(call, matrix_adam)
