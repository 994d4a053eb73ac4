"""What compiled code sees of a chain of layers: tables over one vector each, of which ``[i]`` makes views and records.

A table stands where ``network`` expects a sequence of layers, of activations or of gradients, so that its loops compile as
they are; and compiled code does not depend on the depth.
"""

from __future__ import annotations

import functools
import operator
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import from_dtype, njit, types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import (NativeValue, lower_getattr_generic, models, overload, overload_method, register_model, typeof_impl,
                             unbox)
from numba.np.arrayobj import populate_array

from .. import layers as formulas
from ..kernels.compiled import inlined, jit
from ..kernels.inner import COUNTED, INNER
from ..kernels.reference import Array
from ..kernels.simd import I64, Code, compiled, part
from ..kernels.updates import Descent
from ..penalties import KLActivity, L1Activity

KINDS = (formulas.Dense, formulas.TiedDense, formulas.ReLU, formulas.Sigmoid, formulas.Tanh, formulas.Identity, L1Activity,
         KLActivity)
DENSE, TIED, L1, KL = map(KINDS.index, (formulas.Dense, formulas.TiedDense, L1Activity, KLActivity))
ARRAYS = "vector", "places", "numbers", "room"  # in the order of the directory
DECAY = "weight_decay"  # is present if some layer has any


def descends(present: frozenset[str]) -> bool:
    """Whether each gradient is used up as soon as it is complete: not where it is made of several parts."""
    return "Adam" in present and not present & {"TiedDense", DECAY}


class Record(NamedTuple):
    """What compiled code sees of a layer: the fields that its formulas read."""

    kind: int
    W: Array
    b: Array
    lam: float  # the penalty's strength for this batch: divided by its rows if it is averaged
    rho: float
    weight_decay: Any  # nothing if no layer has any
    room: Array  # KLActivity: each unit's mean over the batch. Dense with weight decay: the sum of squares of each row of W
    kinds: Any  # nothing at run time; to the compiler, which kinds there are


class Descents(NamedTuple):
    """[i]: where the gradients of W and b of layer i go, as Descents; grads[i] says where they lie."""

    grads: Any
    state: tuple[Array, ...]  # theta, g, m, v of all layers
    settings: tuple[float, ...]
    beside: bool


class Table:
    """A vector, and where in it each of several things lies.

    Compiled code gets the address of a list of where each array is and of its shape: one number for a whole table is passed on
    and compiled in no time, which four arrays are not.
    """

    present: frozenset[str] = frozenset()

    def __init__(self, vector: Array, places: Any, numbers: Any = ((),), room: Array | None = None):
        self.vector, self.room = vector, vector[:0] if room is None else room
        self.places, self.numbers = np.array(places, np.int64), np.array(numbers, np.float64)
        arrays = (getattr(self, name) for name in ARRAYS)
        self.directory = np.array([(array.ctypes.data, len(array), array.shape[-1]) for array in arrays], np.int64)
        self.address = self.directory.ctypes.data


class Activations(Table):
    """[i]: rows of the activations of layer i, (rows, width). Places: start, rows, width."""


class Columns(Table):
    """[i]: some columns of the activations of layer i, all rows. Places: start, rows, width, first column, column after the
    last."""


class Gradients(Table):
    """[i]: rows of dW and the whole of db of layer i. Places: start and shape of dW, start and size of db."""


class Layers(Table):
    """[i]: the Record of layer i. Places: kind, start and shape of W, start and size of b, start and size of its part of the
    room. Numbers: lam, rho, weight decay.

    others: names of the loss and the optimizer. What is not present, layers, losses and optimizers, is not compiled.
    """

    def __init__(self, vector: Array, places: Any, numbers: Any, room: Array | None, *others: str):
        super().__init__(vector, places, numbers, room)
        decay = [DECAY] if self.numbers[:, 2].any() else []
        self.present = frozenset([KINDS[kind].__name__ for kind in self.places[:, 0]] + decay + list(others))


class KindsType(types.Opaque):  # type: ignore[misc]
    """Which kinds of layers a chain has."""

    def __init__(self, present: frozenset[str]):
        self.present = present
        super().__init__(f"kinds({sorted(present)})")


register_model(KindsType)(models.OpaqueModel)


class TableType(types.Type):  # type: ignore[misc]
    """A table to the compiler: its arrays are the attributes of the Python object; the chain's kinds of layers are part of its
    type."""

    def __init__(self, role: str, dtype: Any, present: frozenset[str]):
        self.role, self.present, self.kinds = role, present, KindsType(present)
        self.arrays = {"vector": types.Array(dtype, 1, "C"), "places": types.Array(types.int64, 2, "C"),
                       "numbers": types.Array(types.float64, 2, "C"), "room": types.Array(dtype, 1, "C")}
        super().__init__(f"{role}({dtype}, {sorted(present)})")


@register_model(TableType)
class TableModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: TableType):
        super().__init__(dmm, fe_type, I64.as_pointer())


@infer_getattr
class TableAttributes(AttributeTemplate):  # type: ignore[misc]
    key = TableType

    def generic_resolve(self, table: TableType, name: str) -> Any:
        return table.arrays.get(name)


@lower_getattr_generic(TableType)
def _attribute(context: Any, builder: Any, table: TableType, address: Any, name: str) -> Any:
    """One of a table's arrays; the Python object owns its memory."""
    kind = table.arrays[name]
    array = context.make_array(kind)(context, builder)
    data, rows, columns = (_entry(builder, address, name, k) for k in range(3))
    item = I64(kind.dtype.bitwidth // 8)
    shape, strides = ([rows, columns], [builder.mul(columns, item), item]) if kind.ndim == 2 else ([rows], [item])
    populate_array(array, builder.inttoptr(data, array.data.type), shape, strides, item, None)
    return array._getvalue()


def _entry(builder: Any, address: Any, name: str, k: int) -> Any:
    """Number k of what the directory says of an array: its address, its length, its last dimension."""
    return builder.load(cgutils.gep_inbounds(builder, address, 3 * ARRAYS.index(name) + k))


@typeof_impl.register(Table)
def _type_of_table(table: Table, context: Any) -> TableType:
    return table_type(type(table).__name__, from_dtype(table.vector.dtype), table.present)


@functools.cache  # all calls of compiled code ask for the types of their tables
def table_type(role: str, dtype: Any, present: frozenset[str]) -> TableType:
    return TableType(role, dtype, present)


@unbox(TableType)
def _table_from_python(kind: TableType, table: Any, c: Any) -> NativeValue:
    number = c.pyapi.object_getattr_string(table, "address")
    address = c.builder.bitcast(c.pyapi.long_as_voidptr(number), c.context.get_value_type(kind))
    c.pyapi.decref(number)
    return NativeValue(address)


# ---- [i] and len: emitted, which is done in a fraction of the time that compiling them takes ---------------------------------


def item(role: str, row: Any) -> Any:
    """Return what ``[i]`` of a table is, made of what row i of its places and its numbers tells: of the types, the code or the
    values."""
    if role == "Layers":
        decay = row.number(2) if DECAY in row.present else row.nothing
        return Record(row.place(0), row.matrix(1), row.vector(4), row.number(0), row.number(1), decay, row.room(6), row.kinds)
    if role == "Gradients":
        return row.matrix(0), row.vector(3)
    return row.columns(0) if role == "Columns" else row.matrix(0)


class RowTypes:
    """The types of what a row tells."""

    def __init__(self, table: TableType):
        dtype, self.present, self.kinds, self.nothing = table.arrays["vector"].dtype, table.present, table.kinds, types.none
        self.place, self.number = (lambda k: types.int64), (lambda k: types.float64)
        self.vector = self.room = lambda k: types.Array(dtype, 1, "C")
        self.matrix, self.columns = (lambda k: types.Array(dtype, 2, "C")), (lambda k: types.Array(dtype, 2, "A"))


class RowCode:
    """The code that reads what a row tells: number k of it, or the array that the numbers from k on describe."""

    def __init__(self, code: Code, address: Any, i: Any):
        self.code, self.address, self.i, self.table = code, address, i, code.signature.args[0]
        self.present, self.kinds = self.table.present, code.context.get_dummy_value()
        self.nothing = self.kinds

    def place(self, k: int) -> Any:
        return self._number("places", k, I64)

    def number(self, k: int) -> Any:
        return self._number("numbers", k, ir.DoubleType())

    def vector(self, k: int, array: str = "vector") -> Any:
        return self._view(array, "C", self.place(k), [self.place(k + 1)])

    def room(self, k: int) -> Any:
        return self.vector(k, "room")

    def matrix(self, k: int) -> Any:
        start, rows, columns = map(self.place, range(k, k + 3))
        return self._view("vector", "C", start, [rows, columns], columns)

    def columns(self, k: int) -> Any:
        start, rows, columns, first, end = map(self.place, range(k, k + 5))
        b = self.code.builder
        return self._view("vector", "A", b.add(start, first), [rows, b.sub(end, first)], columns)

    def _number(self, array: str, k: int, kind: Any) -> Any:
        b = self.code.builder
        data, columns = (_entry(b, self.address, array, n) for n in (0, 2))
        return b.load(b.gep(b.inttoptr(data, kind.as_pointer()), [b.add(b.mul(self.i, columns), I64(k))]))

    def _view(self, array: str, layout: str, start: Any, shape: list[Any], *columns: Any) -> Any:
        kind, b = types.Array(self.table.arrays[array].dtype, len(shape), layout), self.code.builder
        view, size = self.code.context.make_array(kind)(self.code.context, b), I64(kind.dtype.bitwidth // 8)
        data = b.inttoptr(_entry(b, self.address, array, 0), view.data.type)
        populate_array(view, b.gep(data, [start]), shape, [b.mul(n, size) for n in columns] + [size], size, None)
        return view._getvalue()


def _item_type(table: TableType, i: Any) -> Any:
    kind = item(table.role, RowTypes(table))
    if isinstance(kind, Record):
        return types.NamedTuple(kind, Record)
    return types.Tuple(kind) if isinstance(kind, tuple) else kind


@compiled(operator.getitem, TableType, types.Integer, result=_item_type)
def _(code, address, i):
    value = item(code.signature.args[0].role, RowCode(code, address, i))
    return code.context.make_tuple(code.builder, code.signature.return_type, value) if isinstance(value, tuple) else value


@compiled(len, TableType, result=lambda table: types.intp)
def _(code, address):
    return _entry(code.builder, address, "places", 1)


@overload(operator.getitem, jit_options=COUNTED)
def _item(table, i):
    if isinstance(table, types.NamedTuple) and table.instance_class is Descents:
        return _descents


def _descents(table, i):
    p = table.grads.places
    return descent(table, p[i, 0], p[i, 1] * p[i, 2]), descent(table, p[i, 3], p[i, 4])


@njit(**COUNTED)
def descent(table, start, size):
    theta, g, m, v = table.state
    return Descent(part(theta, start, size), part(g, start, size), part(m, start, size), part(v, start, size), table.settings,
                   table.beside)


# ---- the methods of a layer, by its kind: those of the classes in ``layers``, compiled -------------------------------------


def _kinds_of(layer: Any) -> Any:
    """The kinds that a compiled Record may have; None for any other named tuple."""
    if isinstance(layer, types.NamedTuple) and layer.instance_class is Record:
        return layer.types[Record._fields.index("kinds")].present


def by_kind(method: str, present: frozenset[str]) -> tuple[int, Any, Any]:
    """Return one kind that is present, ``method`` of its class, and code for the same method of any other kind."""
    kinds = [kind for kind, layer_class in enumerate(KINDS) if layer_class.__name__ in present]
    first, last = (inlined(getattr(KINDS[kind], method)) for kind in (kinds[0], kinds[-1]))
    if len(kinds) <= 2:
        return kinds[0], first, last
    others = jit(getattr(KINDS[kinds[-1]], method))
    for kind in kinds[1:-1]:
        others = _either(kind, jit(getattr(KINDS[kind], method)), others)
    return kinds[0], first, others


def _either(kind: int, method: Any, otherwise: Any) -> Any:
    @jit
    def choose(layer, *arguments):
        if layer.kind == kind:
            method(layer, *arguments)
        else:
            otherwise(layer, *arguments)
    return choose


@overload_method(types.NamedTuple, "forward", jit_options=INNER)
def _record_forward(layer, X, out):
    if present := _kinds_of(layer):
        kind, method, others = by_kind("forward", present)

        def forward(layer, X, out):
            if layer.kind == kind:
                method(layer, X, out)
            else:
                others(layer, X, out)
        return forward


@overload_method(types.NamedTuple, "input_gradient", jit_options=INNER)
def _record_input_gradient(layer, dY, X, Y, out):
    if present := _kinds_of(layer):
        kind, method, others = by_kind("input_gradient", present)

        def input_gradient(layer, dY, X, Y, out):
            if layer.kind == kind:
                method(layer, dY, X, Y, out)
            else:
                others(layer, dY, X, Y, out)
        return input_gradient


@overload_method(types.NamedTuple, "parameter_gradients", jit_options=INNER)
def _record_parameter_gradients(layer, dY, X, dW, db):
    if present := _kinds_of(layer):
        dense, tied = (inlined(kind.parameter_gradients) for kind in (formulas.Dense, formulas.TiedDense))

        def parameter_gradients(layer, dY, X, dW, db):
            if layer.kind == DENSE:
                dense(layer, dY, X, dW, db)

        def tied_or_not(layer, dY, X, dW, db):
            if layer.kind == TIED:
                tied(layer, dY, X, dW, db)
            elif layer.kind == DENSE:
                dense(layer, dY, X, dW, db)
        return tied_or_not if "TiedDense" in present else parameter_gradients


@overload_method(types.NamedTuple, "strength", jit_options=INNER)
def _record_strength(layer, rows):
    if _kinds_of(layer):
        return lambda layer, rows: layer.lam


@overload_method(types.NamedTuple, "mean", jit_options=COUNTED)
def _record_mean(layer, A):
    if _kinds_of(layer):
        return lambda layer, A: layer.room
