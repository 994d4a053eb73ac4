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
from numba import from_dtype, types
from numba.core import cgutils
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import (NativeValue, intrinsic, lower_getattr_generic, models, overload, overload_method, register_model,
                             typeof_impl, unbox)
from numba.np.arrayobj import populate_array

from .. import layers as formulas
from ..kernels.compiled import inlined, jit
from ..kernels.inner import INNER
from ..kernels.reference import Array
from ..kernels.simd import matrix, part, view
from ..penalties import KLActivity, L1Activity

KINDS = (formulas.Dense, formulas.TiedDense, formulas.ReLU, formulas.Sigmoid, formulas.Tanh, formulas.Identity, L1Activity,
         KLActivity)
DENSE, TIED, L1, KL = map(KINDS.index, (formulas.Dense, formulas.TiedDense, L1Activity, KLActivity))
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


class Descent(NamedTuple):
    """Where a gradient goes that is used up at once: parameters that make a step of Adam along it. g: room for the gradient."""

    theta: Array
    g: Array
    m: Array
    v: Array
    settings: tuple[float, ...]  # lr, beta1, beta2, eps and the powers of beta1 and beta2
    beside: bool  # whether to take the step beside the product that the gradient is


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
        arrays = self.vector, self.places, self.numbers, self.room
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


class TableType(types.Type):  # type: ignore[misc]
    """A table to the compiler: its arrays are the attributes of the Python object; the chain's kinds of layers are part of its
    type."""

    def __init__(self, role: str, dtype: Any, present: frozenset[str]):
        self.role, self.present = role, present
        self.arrays = {"vector": types.Array(dtype, 1, "C"), "places": types.Array(types.int64, 2, "C"),
                       "numbers": types.Array(types.float64, 2, "C"), "room": types.Array(dtype, 1, "C")}
        super().__init__(f"{role}({dtype}, {sorted(present)})")


@register_model(TableType)
class TableModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: TableType):
        super().__init__(dmm, fe_type, ir.IntType(64).as_pointer())


@infer_getattr
class TableAttributes(AttributeTemplate):  # type: ignore[misc]
    key = TableType

    def generic_resolve(self, table: TableType, name: str) -> Any:
        return table.arrays.get(name)


@lower_getattr_generic(TableType)
def _attribute(context: Any, builder: Any, table: TableType, address: Any, name: str) -> Any:
    """One of a table's arrays; the Python object owns its memory."""
    kind, line = table.arrays[name], 3 * list(table.arrays).index(name)
    array = context.make_array(kind)(context, builder)
    data, rows, columns = (builder.load(cgutils.gep_inbounds(builder, address, line + k)) for k in range(3))
    item = ir.Constant(ir.IntType(64), kind.dtype.bitwidth // 8)
    shape, strides = ([rows, columns], [builder.mul(columns, item), item]) if kind.ndim == 2 else ([rows], [item])
    populate_array(array, builder.inttoptr(data, array.data.type), shape, strides, item, None)
    return array._getvalue()


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


@intrinsic
def kinds_of(context, table):
    """The kinds of layers in the table: a type without content."""
    return KindsType(table.present)(table), lambda context, *_: context.get_dummy_value()


def weight_decay_of(table, i):
    """The weight decay of layer i; None if no layer has any."""


@overload(weight_decay_of, jit_options=INNER)
def _weight_decay_of(table, i):
    return (lambda table, i: table.numbers[i, 2]) if DECAY in table.present else lambda table, i: None


@overload(operator.getitem, jit_options=INNER)
def _item(table, i):
    if isinstance(table, TableType):
        return ITEMS[table.role]
    if isinstance(table, types.NamedTuple) and table.instance_class is Descents:
        return _descents


def _activations(table, i):
    p = table.places
    return matrix(table.vector, p[i, 0], p[i, 1], p[i, 2])


def _columns(table, i):
    p = table.places
    return view(matrix(table.vector, p[i, 0], p[i, 1], p[i, 2]), 0, p[i, 1], p[i, 3], p[i, 4] - p[i, 3])


def _gradients(table, i):
    p = table.places
    return matrix(table.vector, p[i, 0], p[i, 1], p[i, 2]), part(table.vector, p[i, 3], p[i, 4])


def _descents(table, i):
    p = table.grads.places
    return descent(table, p[i, 0], p[i, 1] * p[i, 2]), descent(table, p[i, 3], p[i, 4])


@jit
def descent(table, start, size):
    theta, g, m, v = table.state
    return Descent(part(theta, start, size), part(g, start, size), part(m, start, size), part(v, start, size), table.settings,
                   table.beside)


def _record(table, i):
    p, x = table.places, table.numbers
    W, b = matrix(table.vector, p[i, 1], p[i, 2], p[i, 3]), part(table.vector, p[i, 4], p[i, 5])
    return Record(p[i, 0], W, b, x[i, 0], x[i, 1], weight_decay_of(table, i), part(table.room, p[i, 6], p[i, 7]), kinds_of(table))


ITEMS = {"Activations": _activations, "Columns": _columns, "Gradients": _gradients, "Layers": _record}


@overload(len, jit_options=INNER)
def _len(table):
    if isinstance(table, TableType):
        return lambda table: len(table.places)


# ---- the methods of a layer, by its kind: those of the classes in ``layers``, compiled -------------------------------------


class KindsType(types.Opaque):  # type: ignore[misc]
    """Which kinds of layers a chain has."""

    def __init__(self, present: frozenset[str]):
        self.present = present
        super().__init__(f"kinds({sorted(present)})")


register_model(KindsType)(models.OpaqueModel)


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


@overload_method(types.NamedTuple, "mean", jit_options=INNER)
def _record_mean(layer, A):
    if _kinds_of(layer):
        return lambda layer, A: layer.room
