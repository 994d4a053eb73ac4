"""Vectors and tiles of vectors as ordinary values in compiled code: the only file that knows LLVM.

A vector is 16 numbers of float32 or 8 of float64: one AVX-512 register, or two AVX registers. A tile is a block of vectors,
as many as the registers hold. In a compiled function both are values, like a float: a loop that adds to a tile keeps it in
registers. Without the compiler (``NUMBA_DISABLE_JIT=1``) the same functions work on NumPy arrays, so that a kernel can be
stepped through.

``load`` reads zeros beyond a row's end and ``store`` writes nothing there. A tile that may reach beyond the ends of the
matrices is made by ``edge_tile`` and takes the same care: rows beyond the last are read and written as the last one, again
with the same numbers. Other tiles must lie within, and need no care.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Iterator
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
# Fewer sums than that would leave the multiply-adds waiting for one another: each takes four steps, and two start in each.
ROWS, VECTORS = (8, 2) if "+avx512f" in cpu_features() else (6, 1)
SHORT = 4  # rows of a tile for what whole ones leave over
SQUARE = 8  # rows and columns that are transposed at a time


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


def bits(x: Any) -> Any:
    """Return the 32 bits of a float32 as an integer: sign, 8 bits of exponent + 127, 23 bits of fraction."""
    return np.float32(x).view(np.int32)


def number(bits: Any) -> Any:
    """Return the float32 that these 32 bits are."""
    return np.int32(bits).view(np.float32)


def part(vector: Array, start: int, size: int) -> Array:
    """Return vector[start:start + size]; the caller keeps the vector alive."""
    return vector[start:start + size]


def matrix(vector: Array, start: int, rows: int, columns: int) -> Array:
    """Return a part of a vector as a matrix, stored row by row; the caller keeps the vector alive."""
    return vector[start:start + rows * columns].reshape(rows, columns)


def some_rows(A: Array, first: int, count: int) -> Array:
    """Return A[first:first + count], of a matrix stored row by row; the caller keeps A alive."""
    return A[first:first + count]


def view(A: Array, i: int, rows: int, j: int, columns: int) -> Array:
    """Return A[i:i + rows, j:j + columns]; the caller keeps A alive."""
    return A[i:i + rows, j:j + columns]


def whole(A: Array) -> Array:
    """Return A as a view like those of its parts: what follows is compiled once for all layouts."""
    return A[:]


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


def load_whole(v: Array, start: int) -> Array:
    """Return the vector v[start], v[start + 1], ..., which must all be there."""
    return v[start:start + lanes(v)].copy()


def store_whole(x: Array, v: Array, start: int) -> None:
    """Write a vector to v[start], v[start + 1], ..., which must all be there."""
    v[start:start + lanes(v)] = x


def square_root(x: Any) -> Any:
    """Return the square root of a vector."""
    return np.sqrt(x)


def flush(x: Any, tiny: float) -> Any:
    """Return a vector with zeros where |x| < tiny."""
    return np.where(np.abs(x) < tiny, x.dtype.type(0), x)


def splat(A: Array, x: Any) -> Array:
    """Return the vector of A's dtype with x in every place."""
    return np.full(lanes(A), x, A.dtype)


def total(v: Array) -> Any:
    """Return the sum of a vector: its halves are added, the halves of that, and so on, always in this order."""
    while len(v) > 1:
        v = v[:len(v) // 2] + v[len(v) // 2:]
    return v[0]


def tile(C: Array) -> Array:
    """Return a tile of zeros: ROWS rows, VECTORS vectors of C."""
    return np.zeros((ROWS, VECTORS * lanes(C)), C.dtype)


def short_tile(C: Array) -> Array:
    """Return a tile of fewer rows: SHORT."""
    return np.zeros((SHORT, VECTORS * lanes(C)), C.dtype)


def narrow_tile(C: Array) -> Array:
    """Return a tile that is one vector wide and has as many more rows."""
    return np.zeros((ROWS * VECTORS, lanes(C)), C.dtype)


def edge_tile(C: Array) -> Array:
    """Return a tile of SHORT rows that may reach beyond the ends of the matrices."""
    return short_tile(C)


def load_tile(acc: Array, C: Array, i: int, j: int) -> Array:
    """Return a tile like ``acc`` with the numbers at C[i, j]."""
    acc = np.zeros_like(acc)
    part = C[i:i + acc.shape[0], j:j + acc.shape[1]]
    acc[:part.shape[0], :part.shape[1]] = part
    return acc


def add_outer(acc: Array, A: Array, i: int, B: Array, k: int, j: int) -> Array:
    """Return the tile acc + (A[i, k], A[i + 1, k], ...) outer (B[k, j], B[k, j + 1], ...), each sum a fused multiply-add."""
    rows = np.minimum(np.arange(i, i + len(acc)), len(A) - 1)
    row = np.concatenate([load(B, k, j + v) for v in range(0, acc.shape[1], lanes(B))])
    return fma(A[rows, k][:, None], row, acc)


def store_tile(acc: Array, C: Array, i: int, j: int) -> None:
    """Write a tile to C[i, j]."""
    C[i:i + len(acc), j:j + acc.shape[1]] = acc[:len(C) - i, :C.shape[1] - j]


def transpose_square(A: Array, i: int, j: int, C: Array) -> None:
    """Write the transpose of the SQUARE x SQUARE numbers at A[i, j] to C[j, i]."""
    C[j:j + SQUARE, i:i + SQUARE] = A[i:i + SQUARE, j:j + SQUARE].T


def prefetch(A: Array, i: int, j: int) -> None:
    """Have what lies at A[i, j] brought into the caches, without waiting for it. Changes nothing but the time that it takes."""


def arrive(counter: Array) -> int:
    """Add 1 to counter[0] as one indivisible step, visible to all threads, and return what it was."""
    counter[0] += 1
    return int(counter[0]) - 1


def arrived(counter: Array) -> int:
    """Return counter[0] as it is now, whichever thread wrote it."""
    return int(counter[0])


def stay_a_function() -> None:
    """Keep the function that calls this from becoming a part of its callers: its loop has the registers to itself."""


def let_others_run() -> None:
    """Offer the processor to another thread."""
    os.sched_yield()


# ---- types: what a vector and a tile are to the compiler -----------------------------------------------------------------


class Block(types.Type):  # type: ignore[misc]
    """rows x columns vectors; a single vector is 1 x 1. edge: whether it may reach beyond the ends of a matrix."""

    def __init__(self, dtype: types.Float, rows: int = 1, columns: int = 1, edge: bool = True):
        self.dtype, self.rows, self.columns, self.edge, self.lanes = dtype, rows, columns, edge, BITS // dtype.bitwidth
        super().__init__(f"block({rows} x {columns} x {self.lanes} {dtype}{', edge' if edge else ''})")


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


def suffix(kind: Any) -> str:
    """What LLVM appends to the names of functions for a type: f32 for float32, v16f32 for 16 of them."""
    if isinstance(kind, ir.VectorType):
        return f"v{kind.count}{suffix(kind.element)}"
    return "f32" if isinstance(kind, ir.FloatType) else "f64"


class Code:
    """Emits the instructions that the functions below are made of."""

    def __init__(self, context: Any, builder: Any, signature: Any):
        self.context, self.builder, self.signature = context, builder, signature

    def call(self, name: str, result: Any, *values: Any) -> Any:
        kind = ir.FunctionType(result, [value.type for value in values])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), values)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """llvm.fma is one instruction where the CPU has it, and a slow but equally exact function elsewhere."""
        return self.call(f"llvm.fma.{suffix(a.type)}", a.type, a, b, c)

    def splat(self, x: Any, count: int) -> Any:
        undefined = ir.Constant(ir.VectorType(x.type, count), ir.Undefined)
        first = self.builder.insert_element(undefined, x, I32(0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, count), [0] * count))

    def opaque(self, x: Any) -> Any:
        """x, as what no instruction returns: of the result the compiler knows nothing."""
        return self.builder.asm(ir.FunctionType(x.type, [x.type]), "", "=r,0", [x], side_effect=False)

    def pick(self, a: Any, b: Any, lanes: Iterable[int]) -> Any:
        """The vector of these lanes of a followed by b."""
        lanes = list(lanes)
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))

    def total(self, v: Any) -> Any:
        while v.type.count > 1:
            half = v.type.count // 2
            v = self.builder.fadd(self.pick(v, v, range(half)), self.pick(v, v, range(half, 2 * half)))
        return self.builder.extract_element(v, I32(0))

    def transpose(self, rows: list[Any]) -> list[Any]:
        """The columns of a square of so many vectors: blocks beside the diagonal change places, blocks within them, and so on."""
        count = half = len(rows)
        while half := half // 2:
            low = [lane + (count - half if lane & half else 0) for lane in range(count)]
            for r in [r for r in range(count) if not r & half]:
                a, b = rows[r], rows[r + half]
                rows[r], rows[r + half] = self.pick(a, b, low), self.pick(a, b, [lane + half for lane in low])
        return rows


class Matrix:
    """A 2-D array in compiled code: the addresses of its numbers, and, where a block may reach beyond them, its ends.

    vectors: whether vectors of it are loaded or stored, which takes the numbers of a row to be neighbours.
    """

    def __init__(self, code: Code, argument: int, value: Any, edge: bool = True, vectors: bool = True):
        self.code, self.type, self.edge = code, code.signature.args[argument], edge
        array = code.context.make_array(self.type)(code.context, code.builder, value)
        self.data = code.builder.bitcast(array.data, ir.IntType(8).as_pointer())
        self.element = code.context.get_data_type(self.type.dtype)
        self.bytes = self.type.dtype.bitwidth // 8
        self.count = BITS // 8 // self.bytes
        self.shape, strides = (cgutils.unpack_tuple(code.builder, pair) for pair in (array.shape, array.strides))
        fixed = {"C": (strides[0], I64(self.bytes)), "F": (I64(self.bytes), strides[1])}
        self.strides = fixed["C"] if vectors else fixed.get(self.type.layout, strides)

    def pointer(self, i: Any, j: Any, kind: Any = None) -> Any:
        b = self.code.builder
        offset = b.add(b.mul(i, self.strides[0]), b.mul(j, self.strides[1]))
        return b.bitcast(b.gep(self.data, [offset]), (kind or self.element).as_pointer())

    def down(self, i: Any, k: Any, count: int) -> Iterator[Any]:
        """The addresses of so many numbers from A[i, k] down.

        Left alone, the compiler goes from each address to the next, a chain of additions that takes as long as the multiply-adds
        of a tile. Of the first address it is told nothing: then it keeps the distances to the others in registers, and the
        instructions that load them do the additions, which takes no time.
        """
        b = self.code.builder
        for r in range(count):
            if r % ROWS == 0:
                row = self.row(i, r)
                first = self.code.opaque(self.pointer(row, k, ir.IntType(8)))
            below = b.mul(b.sub(self.row(i, r), row) if self.edge else I64(r % ROWS), self.strides[0])
            yield b.bitcast(b.gep(first, [below]), self.element.as_pointer())

    def row(self, i: Any, r: int) -> Any:
        """i + r, or the last row."""
        b = self.code.builder
        row, last = b.add(i, I64(r)), b.sub(self.shape[0], I64(1))
        return b.select(b.icmp_signed("<", row, last), row, last) if self.edge else row

    def within(self, j: Any) -> Any:
        """Which lanes of a vector at column j lie before the end of the row."""
        b = self.code.builder
        left = b.sub(self.shape[1], j)
        left = b.trunc(b.select(b.icmp_signed("<", left, I64(self.count)), left, I64(self.count)), I32)
        return b.icmp_signed("<", ir.Constant(ir.VectorType(I32, self.count), list(range(self.count))),
                             self.code.splat(left, self.count))

    def load(self, i: Any, j: Any) -> Any:
        kind = ir.VectorType(self.element, self.count)
        if not self.edge:
            return self.code.builder.load(self.pointer(i, j, kind), align=self.bytes)
        return self.code.call(f"llvm.masked.load.{suffix(kind)}.p0", kind, self.pointer(i, j, kind), I32(self.bytes),
                              self.within(j), ir.Constant(kind, None))

    def store(self, v: Any, i: Any, j: Any) -> None:
        pointer = self.pointer(i, j, v.type)
        if self.edge:
            self.code.call(f"llvm.masked.store.{suffix(v.type)}.p0", ir.VoidType(), v, pointer, I32(self.bytes), self.within(j))
        else:
            self.code.builder.store(v, pointer, align=self.bytes)


def _whole_at(code: Code, argument: int, v: Any, start: Any) -> tuple[Any, dict[str, int]]:
    """Where a vector begins in an array, and how that is aligned: as its numbers are."""
    kind, b = code.signature.args[argument], code.builder
    data = code.context.make_array(kind)(code.context, b, v).data
    vector = ir.VectorType(data.type.pointee, BITS // kind.dtype.bitwidth)
    return b.bitcast(b.gep(data, [start]), vector.as_pointer()), {"align": kind.dtype.bitwidth // 8}


def _view(code: Code, base: Any, start: Any, shape: list[Any], strides: list[Any]) -> Any:
    """An array of the type to be returned, from so many bytes behind ``base``; it does not own its memory: nothing to count,
    nothing to free."""
    kind, b = code.signature.return_type, code.builder
    data = b.gep(b.bitcast(base, ir.IntType(8).as_pointer()), [start])
    array = code.context.make_array(kind)(code.context, b)
    populate_array(array, b.bitcast(data, base.type), shape, strides, I64(kind.dtype.bitwidth // 8), None)
    return array._getvalue()


def _view_of_vector(code: Code, vector: Any, start: Any, *shape: Any) -> Any:
    """Numbers from ``start`` on, row by row."""
    base = code.context.make_array(code.signature.args[0])(code.context, code.builder, vector).data
    b, size = code.builder, I64(code.signature.args[0].dtype.bitwidth // 8)
    strides = [b.mul(columns, size) for columns in shape[1:]] + [size]
    return _view(code, base, b.mul(start, size), list(shape), strides)


@compiled(part, types.Array, types.Integer, types.Integer, result=lambda v, *_: types.Array(v.dtype, 1, "C"))
def _(code, vector, start, size):
    return _view_of_vector(code, vector, start, size)


@compiled(matrix, types.Array, types.Integer, types.Integer, types.Integer, result=lambda v, *_: types.Array(v.dtype, 2, "C"))
def _(code, vector, start, rows, columns):
    return _view_of_vector(code, vector, start, rows, columns)


@compiled(some_rows, types.Array, types.Integer, types.Integer, result=lambda A, *_: A)
def _(code, A, first, count):
    array, b = code.context.make_array(code.signature.args[0])(code.context, code.builder, A), code.builder
    strides = cgutils.unpack_tuple(b, array.strides)
    return _view(code, array.data, b.mul(first, strides[0]), [count, cgutils.unpack_tuple(b, array.shape)[1]], strides)


@compiled(view, types.Array, types.Integer, types.Integer, types.Integer, types.Integer,
          result=lambda A, *_: types.Array(A.dtype, 2, "A"))
def _(code, A, i, rows, j, columns):
    array, b = code.context.make_array(code.signature.args[0])(code.context, code.builder, A), code.builder
    strides = cgutils.unpack_tuple(b, array.strides)
    return _view(code, array.data, b.add(b.mul(i, strides[0]), b.mul(j, strides[1])), [rows, columns], strides)


@compiled(whole, types.Array, result=lambda A: types.Array(A.dtype, 2, "A"))
def _(code, A):
    array, b = code.context.make_array(code.signature.args[0])(code.context, code.builder, A), code.builder
    shape, strides = (cgutils.unpack_tuple(b, pair) for pair in (array.shape, array.strides))
    return _view(code, array.data, I64(0), shape, strides)


def _same(a: Any, *_: Any) -> Any:
    return a


def _element_block(rows: int, columns: int, edge: bool = True) -> Callable[..., Block]:
    return lambda A, *_: Block(A.dtype, rows, columns, edge)


def _alike(*arguments: Any) -> Any:
    return arguments[0] if len(set(arguments)) == 1 else None


@compiled(fma, types.Float, types.Float, types.Float, result=_alike)
@compiled(fma, Block, Block, Block, result=_alike)
def _(code, a, b, c):
    return code.fma(a, b, c)


@compiled(bits, types.Float, result=lambda x: types.int32 if x == types.float32 else None)
def _(code, x):
    return code.builder.bitcast(x, I32)


@compiled(number, types.Integer, result=lambda bits: types.float32)
def _(code, bits):
    return code.builder.bitcast(code.builder.trunc(bits, I32), ir.FloatType())


@compiled(lanes, types.Array, result=lambda A: types.intp)
def _(code, A):
    return I64(BITS // code.signature.args[0].dtype.bitwidth)


for operation, instruction in zip((operator.add, operator.sub, operator.mul, operator.truediv), ("fadd", "fsub", "fmul", "fdiv")):
    @compiled(operation, Block, Block, result=_alike)
    def _(code, a, b, instruction=instruction):
        return getattr(code.builder, instruction)(a, b)


@compiled(square_root, Block, result=_alike)
def _(code, x):
    return code.call(f"llvm.sqrt.{suffix(x.type)}", x.type, x)


@compiled(flush, Block, types.Float, result=lambda x, _: x)
def _(code, x, tiny):
    size = code.call(f"llvm.fabs.{suffix(x.type)}", x.type, x)
    least = code.splat(code.context.cast(code.builder, tiny, code.signature.args[1], code.signature.args[0].dtype), x.type.count)
    return code.builder.select(code.builder.fcmp_ordered("<", size, least), ir.Constant(x.type, None), x)


@compiled(splat, types.Array, types.Float, result=_element_block(1, 1))
def _(code, A, x):
    return code.splat(x, code.signature.return_type.lanes)


@compiled(load, types.Array, types.Integer, types.Integer, result=_element_block(1, 1))
def _(code, A, i, j):
    A = Matrix(code, 0, A)
    return A.load(A.row(i, 0), j)


@compiled(load_whole, types.Array, types.Integer, result=_element_block(1, 1))
def _(code, v, start):
    pointer, alignment = _whole_at(code, 0, v, start)
    return code.builder.load(pointer, **alignment)


@compiled(store_whole, Block, types.Array, types.Integer, result=lambda *_: types.none)
def _(code, x, v, start):
    pointer, alignment = _whole_at(code, 1, v, start)
    code.builder.store(x, pointer, **alignment)


@compiled(store, Block, types.Array, types.Integer, types.Integer, result=lambda *_: types.none)
def _(code, v, C, i, j):
    Matrix(code, 1, C).store(v, i, j)


@compiled(total, Block, result=lambda v: v.dtype)
def _(code, v):
    return code.total(v)


@compiled(vector, types.Array, result=_element_block(1, 1))
@compiled(tile, types.Array, result=_element_block(ROWS, VECTORS, edge=False))
@compiled(short_tile, types.Array, result=_element_block(SHORT, VECTORS, edge=False))
@compiled(narrow_tile, types.Array, result=_element_block(ROWS * VECTORS, 1, edge=False))
@compiled(edge_tile, types.Array, result=_element_block(SHORT, VECTORS))
def _(code, C):
    return ir.Constant(code.context.get_value_type(code.signature.return_type), None)


def _places(code: Code, argument: int, C: Any, i: Any, j: Any) -> Iterator[tuple[int, Matrix, Any, Any]]:
    """For each vector of a tile: its number, and the matrix, row and column where it belongs."""
    block = code.signature.args[0]
    C = Matrix(code, argument, C, block.edge)
    for n in range(block.rows * block.columns):
        yield n, C, C.row(i, n // block.columns), code.builder.add(j, I64(n % block.columns * C.count))


@compiled(load_tile, Block, types.Array, types.Integer, types.Integer, result=_same)
def _(code, acc, C, i, j):
    for n, C, row, column in _places(code, 1, C, i, j):
        acc = code.builder.insert_value(acc, C.load(row, column), n)
    return acc


@compiled(add_outer, Block, types.Array, types.Integer, types.Array, types.Integer, types.Integer, result=_same)
def _(code, acc, A, i, B, k, j):
    block, b = code.signature.args[0], code.builder
    A, B = Matrix(code, 1, A, block.edge, vectors=False), Matrix(code, 3, B, block.edge)
    row = [B.load(k, b.add(j, I64(v * B.count))) for v in range(block.columns)]
    for r, pointer in enumerate(A.down(i, k, block.rows)):
        a = code.splat(b.load(pointer), B.count)
        for v in range(block.columns):
            n = r * block.columns + v
            acc = b.insert_value(acc, code.fma(a, row[v], b.extract_value(acc, n)), n)
    return acc


@compiled(store_tile, Block, types.Array, types.Integer, types.Integer, result=lambda *_: types.none)
def _(code, acc, C, i, j):
    for n, C, row, column in _places(code, 1, C, i, j):
        C.store(code.builder.extract_value(acc, n), row, column)


@compiled(transpose_square, types.Array, types.Integer, types.Integer, types.Array, result=lambda *_: types.none)
def _(code, A, i, j, C):
    A, C, b = Matrix(code, 0, A, edge=False), Matrix(code, 3, C, edge=False), code.builder
    kind = ir.VectorType(A.element, SQUARE)
    rows = [b.load(A.pointer(b.add(i, I64(r)), j, kind), align=A.bytes) for r in range(SQUARE)]
    for r, column in enumerate(code.transpose(rows)):
        b.store(column, C.pointer(b.add(j, I64(r)), i, kind), align=C.bytes)


@compiled(prefetch, types.Array, types.Integer, types.Integer, result=lambda *_: types.none)
def _(code, A, i, j):
    address = Matrix(code, 0, A).pointer(i, j, ir.IntType(8))
    code.call("llvm.prefetch.p0", ir.VoidType(), address, I32(0), I32(3), I32(1))  # to be read, soon, as data


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


@compiled(stay_a_function, result=lambda: types.none)
def _(code):
    code.builder.function.attributes.add("noinline")
