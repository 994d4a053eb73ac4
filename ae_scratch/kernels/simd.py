"""Vectors and tiles of vectors as ordinary values in compiled code: the only file that knows LLVM.

A vector is 16 numbers of float32 or 8 of float64: one AVX-512 register, or two AVX registers. A tile is a block of vectors,
as many as the registers hold. In a compiled function both are values, like a float: a loop that adds to a tile keeps it in
registers. Without the compiler (``NUMBA_DISABLE_JIT=1``) the same functions work on NumPy arrays, so that a kernel can be
stepped through.

Edges need no care above this file: ``load`` reads zeros beyond a row's end and ``store`` writes nothing there; rows beyond
the last are read and written as the last one, again with the same numbers.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.core.typing import signature as typing_signature
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import lower_builtin, models, register_model
from numba.np.arrayobj import populate_array

from .reference import Array

BITS = 512  # of a vector


def cpu_features() -> str:
    """Return the features of the CPU that Numba compiles for, such as "+avx2,+fma"."""
    features = config.CPU_FEATURES
    return str(binding.get_host_cpu_features().flatten() if features is None else features)


# Rows and vectors of a tile: 16 of AVX-512's 32 registers hold sums, or 12 of AVX's 16 (a vector takes two); operands the rest.
ROWS, VECTORS = (8, 2) if "+avx512f" in cpu_features() else (6, 1)
DOT_ROWS, DOT_COLUMNS = (4, 4) if "+avx512f" in cpu_features() else (2, 3)


def lanes(A: Array) -> int:
    """Return how many numbers of A's dtype a vector holds."""
    return BITS // 8 // A.itemsize


# ---- the same in NumPy: what runs, and can be stepped through, without the compiler --------------------------------------


def fma(a: Any, b: Any, c: Any) -> Any:
    """Return a b + c, rounded once; of numbers or vectors."""
    if np.asarray(a).dtype == np.float64:
        return a * b + c  # of float64 NumPy has no fused form: this one rounds twice
    product = np.multiply(a, b, dtype=np.float64)  # exact
    total = product + c
    back = total - product
    error = (product - (total - back)) + (c - back)
    odd = np.asarray(total).view(np.int64) & 1 != 0  # rounded to odd, it can be rounded again (Boldo & Melquiond 2008)
    toward = np.where(error > 0, np.inf, np.where(error < 0, -np.inf, total))
    return np.where(odd, total, np.nextafter(total, toward)).astype(np.float32)[()]


def part(vector: Array, start: int, size: int) -> Array:
    """Return vector[start:start + size]; the caller keeps the vector alive."""
    return vector[start:start + size]


def matrix(vector: Array, start: int, rows: int, columns: int) -> Array:
    """Return a part of a vector as a matrix, stored row by row; the caller keeps the vector alive."""
    return vector[start:start + rows * columns].reshape(rows, columns)


def some_columns(A: Array, first: int, stop: int) -> Array:
    """Return A[:, first:stop]; the caller keeps A alive."""
    return A[:, first:stop]


def vector(A: Array) -> Array:
    """Return the vector of zeros of A's dtype."""
    return np.zeros(lanes(A), A.dtype)


def load(A: Array, i: int, j: int) -> Array:
    """Return the vector A[i, j], A[i, j + 1], ..., with zeros beyond the end of the row."""
    v = vector(A)
    part = A[min(i, len(A) - 1), j:j + len(v)]
    v[:len(part)] = part
    return v


def store(v: Array, A: Array, i: int, j: int) -> None:
    """Write a vector to A[i, j], A[i, j + 1], ...; what lies beyond the end of the row is dropped."""
    A[i, j:j + len(v)] = v[:A.shape[1] - j]


def splat(A: Array, x: Any) -> Array:
    """Return the vector of A's dtype with x in every place."""
    return np.full(lanes(A), x, A.dtype)


def total(v: Array) -> Any:
    """Return the sum of a vector: its halves are added, the halves of that, and so on, always in this order."""
    while len(v) > 1:
        v = v[:len(v) // 2] + v[len(v) // 2:]
    return v[0]


def tile(C: Array) -> Array:
    """Return a tile of zeros for ROWS rows and VECTORS vectors of C."""
    return np.zeros((ROWS, VECTORS * lanes(C)), C.dtype)


def add_outer(acc: Array, A: Array, i: int, B: Array, k: int, j: int) -> Array:
    """Return the tile acc + (A[i, k], A[i + 1, k], ...) outer (B[k, j], B[k, j + 1], ...), each sum a fused multiply-add."""
    rows = np.minimum(np.arange(i, i + ROWS), len(A) - 1)
    row = np.concatenate([load(B, k, j + v * lanes(B)) for v in range(VECTORS)])
    return fma(A[rows, k][:, None], row, acc)


def store_tile(acc: Array, C: Array, i: int, j: int) -> None:
    """Write a tile to C[i, j]."""
    C[i:i + ROWS, j:j + acc.shape[1]] = acc[:len(C) - i, :C.shape[1] - j]


def dot_tile(C: Array) -> Array:
    """Return a tile of DOT_ROWS x DOT_COLUMNS vectors of zeros, each to be summed up into one number of C."""
    return np.zeros((DOT_ROWS, DOT_COLUMNS, lanes(C)), C.dtype)


def add_dot(acc: Array, A: Array, i: int, B: Array, j: int, k: int) -> Array:
    """Return the tile acc + A[i + r, k:] * B[j + c, k:] for all its r and c, vector by vector, each a fused multiply-add."""
    a = np.array([load(A, i + r, k) for r in range(DOT_ROWS)])
    b = np.array([load(B, j + c, k) for c in range(DOT_COLUMNS)])
    return fma(a[:, None], b[None, :], acc)


def store_totals(acc: Array, C: Array, i: int, j: int) -> None:
    """Write the totals of a dot tile to C[i, j]."""
    for r in range(min(DOT_ROWS, len(C) - i)):
        for c in range(min(DOT_COLUMNS, C.shape[1] - j)):
            C[i + r, j + c] = total(acc[r, c])


def arrive(counter: Array) -> int:
    """Add 1 to counter[0] as one indivisible step, visible to all threads, and return what it was."""
    counter[0] += 1
    return int(counter[0]) - 1


def arrived(counter: Array) -> int:
    """Return counter[0] as it is now, whichever thread wrote it."""
    return int(counter[0])


def let_others_run() -> None:
    """Offer the processor to another thread."""
    os.sched_yield()


# ---- types: what a vector and a tile are to the compiler -----------------------------------------------------------------


class Block(types.Type):  # type: ignore[misc]
    """rows x columns vectors; a single vector is 1 x 1."""

    def __init__(self, dtype: types.Float, rows: int = 1, columns: int = 1):
        self.dtype, self.rows, self.columns, self.lanes = dtype, rows, columns, BITS // dtype.bitwidth
        super().__init__(f"block({rows} x {columns} x {self.lanes} {dtype})")


@register_model(Block)
class BlockModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: Block):
        one = ir.VectorType(dmm.lookup(fe_type.dtype).get_value_type(), fe_type.lanes)
        single = (fe_type.rows, fe_type.columns) == (1, 1)
        super().__init__(dmm, fe_type, one if single else ir.ArrayType(one, fe_type.rows * fe_type.columns))


# ---- code: what each of the functions above becomes ----------------------------------------------------------------------

I32, I64 = ir.IntType(32), ir.IntType(64)


def compiled(function: Callable[..., Any], *arguments: type[types.Type], result: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``emit(code, *values)`` the compiled form of a function for such arguments; ``result`` gives its type from theirs."""

    def register(emit: Callable[..., Any]) -> Callable[..., Any]:
        @infer_global(function)
        class Typing(AbstractTemplate):  # type: ignore[misc]
            def generic(self, given: Any, _: Any) -> Any:
                fits = len(given) == len(arguments) and all(map(isinstance, given, arguments))
                returned = result(*given) if fits else None
                return None if returned is None else typing_signature(returned, *given)

        @lower_builtin(function, *arguments)
        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            integers = [context.cast(builder, value, kind, types.intp) if isinstance(kind, types.Integer) else value
                        for value, kind in zip(values, signature.args)]
            emitted = emit(Code(context, builder, signature), *integers)
            return context.get_dummy_value() if emitted is None else emitted

        return emit
    return register


class Code:
    """Emits the instructions that the functions below are made of."""

    def __init__(self, context: Any, builder: Any, signature: Any):
        self.context, self.builder, self.signature = context, builder, signature

    def call(self, name: str, result: Any, *values: Any) -> Any:
        kind = ir.FunctionType(result, [value.type for value in values])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), values)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """llvm.fma is one instruction where the CPU has it, and a slow but equally exact function elsewhere."""
        name = f"v{a.type.count}f" if isinstance(a.type, ir.VectorType) else "f"
        element = a.type.element if isinstance(a.type, ir.VectorType) else a.type
        return self.call(f"llvm.fma.{name}{32 if isinstance(element, ir.FloatType) else 64}", a.type, a, b, c)

    def splat(self, x: Any, count: int) -> Any:
        undefined = ir.Constant(ir.VectorType(x.type, count), ir.Undefined)
        first = self.builder.insert_element(undefined, x, I32(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, count), [0] * count))

    def total(self, v: Any) -> Any:
        while v.type.count > 1:
            half = v.type.count // 2
            places = [ir.Constant(ir.VectorType(I32, half), list(range(start, start + half))) for start in (0, half)]
            low, high = (self.builder.shuffle_vector(v, v, place) for place in places)
            v = self.builder.fadd(low, high)
        return self.builder.extract_element(v, I32(0))


class Matrix:
    """A 2-D array in compiled code: the addresses of its numbers, and what lies within its ends."""

    def __init__(self, code: Code, argument: int, value: Any):
        self.code, self.type = code, code.signature.args[argument]
        array = code.context.make_array(self.type)(code.context, code.builder, value)
        self.data = code.builder.bitcast(array.data, ir.IntType(8).as_pointer())
        self.element = code.context.get_data_type(self.type.dtype)
        self.bytes = self.type.dtype.bitwidth // 8
        self.count = BITS // 8 // self.bytes
        self.shape, strides = (cgutils.unpack_tuple(code.builder, pair) for pair in (array.shape, array.strides))
        self.strides = (strides[0], I64(self.bytes)) if self.type.layout == "C" else strides

    def pointer(self, i: Any, j: Any, kind: Any = None) -> Any:
        b = self.code.builder
        offset = b.add(b.mul(i, self.strides[0]), b.mul(j, self.strides[1]))
        return b.bitcast(b.gep(self.data, [offset]), (kind or self.element).as_pointer())

    def row(self, i: Any, r: int) -> Any:
        """i + r, or the last row."""
        b = self.code.builder
        row, last = b.add(i, I64(r)), b.sub(self.shape[0], I64(1))
        return b.select(b.icmp_signed("<", row, last), row, last)

    def within(self, j: Any) -> Any:
        """Which lanes of a vector at column j lie before the end of the row."""
        b = self.code.builder
        left = b.sub(self.shape[1], j)
        left = b.trunc(b.select(b.icmp_signed("<", left, I64(self.count)), left, I64(self.count)), I32)
        return b.icmp_signed("<", ir.Constant(ir.VectorType(I32, self.count), list(range(self.count))),
                             self.code.splat(left, self.count))

    def load(self, i: Any, j: Any) -> Any:
        kind = ir.VectorType(self.element, self.count)
        return self.code.call(f"llvm.masked.load.{self._suffix()}", kind, self.pointer(i, j, kind), I32(self.bytes),
                              self.within(j), ir.Constant(kind, None))

    def store(self, v: Any, i: Any, j: Any) -> None:
        self.code.call(f"llvm.masked.store.{self._suffix()}", ir.VoidType(), v, self.pointer(i, j, v.type), I32(self.bytes),
                       self.within(j))

    def _suffix(self) -> str:
        return f"v{self.count}f{8 * self.bytes}.p0"


def _view(code: Code, data: Any, start: Any, shape: list[Any], strides: list[Any]) -> Any:
    """An array of the type to be returned over memory that it does not own: nothing to count, nothing to free."""
    kind, b = code.signature.return_type, code.builder
    size = I64(kind.dtype.bitwidth // 8)
    array = code.context.make_array(kind)(code.context, b)
    populate_array(array, b.gep(data, [start]), shape, [b.mul(stride, size) for stride in strides], size, None)
    return array._getvalue()


@compiled(part, types.Array, types.Integer, types.Integer, result=lambda v, *_: types.Array(v.dtype, 1, "C"))
def _(code, vector, start, size):
    data = code.context.make_array(code.signature.args[0])(code.context, code.builder, vector).data
    return _view(code, data, start, [size], [I64(1)])


@compiled(matrix, types.Array, types.Integer, types.Integer, types.Integer, result=lambda v, *_: types.Array(v.dtype, 2, "C"))
def _(code, vector, start, rows, columns):
    data = code.context.make_array(code.signature.args[0])(code.context, code.builder, vector).data
    return _view(code, data, start, [rows, columns], [columns, I64(1)])


@compiled(some_columns, types.Array, types.Integer, types.Integer, result=lambda A, *_: types.Array(A.dtype, 2, "A"))
def _(code, A, first, stop):
    array = code.context.make_array(code.signature.args[0])(code.context, code.builder, A)
    rows, width = cgutils.unpack_tuple(code.builder, array.shape)
    return _view(code, array.data, first, [rows, code.builder.sub(stop, first)], [width, I64(1)])


def _same(a: Any, *_: Any) -> Any:
    return a


def _element_block(rows: int, columns: int) -> Callable[..., Block]:
    return lambda A, *_: Block(A.dtype, rows, columns)


def _alike(*arguments: Any) -> Any:
    return arguments[0] if len(set(arguments)) == 1 else None


@compiled(fma, types.Float, types.Float, types.Float, result=_alike)
@compiled(fma, Block, Block, Block, result=_alike)
def _(code, a, b, c):
    return code.fma(a, b, c)


@compiled(lanes, types.Array, result=lambda A: types.intp)
def _(code, A):
    return I64(BITS // code.signature.args[0].dtype.bitwidth)


@compiled(operator.add, Block, Block, result=_alike)
def _(code, a, b):
    return code.builder.fadd(a, b)


@compiled(operator.mul, Block, Block, result=_alike)
def _(code, a, b):
    return code.builder.fmul(a, b)


@compiled(splat, types.Array, types.Float, result=_element_block(1, 1))
def _(code, A, x):
    return code.splat(x, code.signature.return_type.lanes)


@compiled(load, types.Array, types.Integer, types.Integer, result=_element_block(1, 1))
def _(code, A, i, j):
    A = Matrix(code, 0, A)
    return A.load(A.row(i, 0), j)


@compiled(store, Block, types.Array, types.Integer, types.Integer, result=lambda *_: types.none)
def _(code, v, C, i, j):
    Matrix(code, 1, C).store(v, i, j)


@compiled(total, Block, result=lambda v: v.dtype)
def _(code, v):
    return code.total(v)


@compiled(vector, types.Array, result=_element_block(1, 1))
@compiled(tile, types.Array, result=_element_block(ROWS, VECTORS))
@compiled(dot_tile, types.Array, result=_element_block(DOT_ROWS, DOT_COLUMNS))
def _(code, C):
    return ir.Constant(code.context.get_value_type(code.signature.return_type), None)


@compiled(add_outer, Block, types.Array, types.Integer, types.Array, types.Integer, types.Integer, result=_same)
def _(code, acc, A, i, B, k, j):
    A, B, b = Matrix(code, 1, A), Matrix(code, 3, B), code.builder
    row = [B.load(k, b.add(j, I64(v * B.count))) for v in range(VECTORS)]
    for r in range(ROWS):
        a = code.splat(b.load(A.pointer(A.row(i, r), k)), B.count)
        for v in range(VECTORS):
            n = r * VECTORS + v
            acc = b.insert_value(acc, code.fma(a, row[v], b.extract_value(acc, n)), n)
    return acc


@compiled(store_tile, Block, types.Array, types.Integer, types.Integer, result=lambda *_: types.none)
def _(code, acc, C, i, j):
    C, b = Matrix(code, 1, C), code.builder
    for n in range(ROWS * VECTORS):
        C.store(b.extract_value(acc, n), C.row(i, n // VECTORS), b.add(j, I64(n % VECTORS * C.count)))


@compiled(add_dot, Block, types.Array, types.Integer, types.Array, types.Integer, types.Integer, result=_same)
def _(code, acc, A, i, B, j, k):
    A, B, b = Matrix(code, 1, A), Matrix(code, 3, B), code.builder
    columns = [B.load(B.row(j, c), k) for c in range(DOT_COLUMNS)]
    for r in range(DOT_ROWS):
        a = A.load(A.row(i, r), k)
        for c in range(DOT_COLUMNS):
            n = r * DOT_COLUMNS + c
            acc = b.insert_value(acc, code.fma(a, columns[c], b.extract_value(acc, n)), n)
    return acc


@compiled(store_totals, Block, types.Array, types.Integer, types.Integer, result=lambda *_: types.none)
def _(code, acc, C, i, j):
    C, b = Matrix(code, 1, C), code.builder
    last = b.sub(C.shape[1], I64(1))
    for n in range(DOT_ROWS * DOT_COLUMNS):
        column = b.add(j, I64(n % DOT_COLUMNS))
        column = b.select(b.icmp_signed("<", column, last), column, last)
        b.store(code.total(b.extract_value(acc, n)), C.pointer(C.row(i, n // DOT_COLUMNS), column))


@compiled(arrive, types.Array, result=lambda counter: counter.dtype)
def _(code, counter):
    array = code.context.make_array(code.signature.args[0])(code.context, code.builder, counter)
    return code.builder.atomic_rmw("add", array.data, I64(1), "acq_rel")


@compiled(arrived, types.Array, result=lambda counter: counter.dtype)
def _(code, counter):
    array = code.context.make_array(code.signature.args[0])(code.context, code.builder, counter)
    return code.builder.load_atomic(array.data, "acquire", 8)


@compiled(let_others_run, result=lambda: types.none)
def _(code):
    code.call("sched_yield", I32)
