"""The compiled engine as plain Python: what Numba would compile, called as it stands, and held against the definitions.

For processes with NUMBA_DISABLE_JIT=1. Where Numba picks code by the types of its operands, ``interpret`` does; everything
else is the package's own source, which so can be stepped through in a debugger, and measured for coverage.
"""

import contextlib
import ctypes
import itertools
import os
import pathlib
import sys
import tempfile
import threading
import types as modules

import numpy as np
import pytest
from numba import types, typeof

import ae_scratch

PACKAGE = pathlib.Path(ae_scratch.__file__).parent
engine = sys.modules["ae_scratch.engine"] = modules.ModuleType("ae_scratch.engine")
engine.__path__ = [str(PACKAGE / "engine")]  # without its __init__, which wants the compiler

from ae_scratch.engine import driver, steps, tables  # noqa: E402
from ae_scratch.kernels import compiled, compiled_noise, file_rows, linked, matmul, philox, simd, updates  # noqa: E402
from ae_scratch.kernels import reference as ops  # noqa: E402

NOISES = philox.add_noise, philox.replace
DEFINITIONS = {name: value for name, value in vars(ops).items() if isinstance(value, modules.FunctionType)}


def kind(value):
    """The type by which Numba would pick code."""
    if isinstance(value, (tables.Table, tables.Record)):
        return value
    return typeof(value) if isinstance(value, (type(None), float, np.floating, np.ndarray, tuple)) else value


def picked(pick):
    """A function that picks its code by its operands and runs it."""
    return lambda *operands: pick(*map(kind, operands))(*operands)


def operation(name, module, pick):
    """An operation: its compiled form where ``out`` is given, as in compiled code; its definition elsewhere."""
    definition = getattr(module, name)
    count = definition.__code__.co_argcount

    def run(*operands):
        return (picked(pick) if len(operands) == count else definition)(*operands)
    setattr(module, name, run)


class At:
    """The matrix at an address, as NumPy takes it."""

    def __init__(self, dtype, address, shape, strides):
        self.__array_interface__ = dict(data=(address, False), shape=shape, strides=strides, typestr=dtype.str, version=3)


class Row:
    """What a row of a table tells: the values."""

    nothing = None

    def __init__(self, table, i):
        self.table, self.present, self.kinds = table, table.present, table.present
        self.place, self.number = (lambda k: int(table.places[i, k])), (lambda k: float(table.numbers[i, k]))

    def vector(self, k):
        return simd.part(self.table.vector, self.place(k), self.place(k + 1))

    def room(self, k):
        return simd.part(self.table.room, self.place(k), self.place(k + 1))

    def matrix(self, k):
        return simd.matrix(self.table.vector, *map(self.place, range(k, k + 3)))

    def columns(self, k):
        return self.matrix(k)[:, self.place(k + 3):self.place(k + 4)]


def product(A, B, C):
    linked.matrix_at = lambda address, *sizes: np.asarray(At(C.dtype, address, sizes[:2], sizes[2:]))
    linked.matrix_product(*(number for M in (A, B, C) for number in (M.ctypes.data, *M.shape, *M.strides)))


def done(function):
    return lambda *operands: function(*operands) is None


def pread(descriptor, address, size, offset):
    data = os.pread(descriptor, size, offset)
    ctypes.memmove(address, data, len(data))
    return len(data)


def interpret():
    """Put Python in the place of what Numba does."""
    for name in DEFINITIONS:
        if hasattr(compiled, f"_{name}"):
            operation(name, ops, getattr(compiled, f"_{name}"))
    for name in ("add_noise", "replace"):
        operation(name, philox, getattr(compiled_noise, f"_{name}"))
    compiled.product, compiled.adam_product, linked.by_panels = product, done(updates.adam_matmul), done(matmul.matmul_6_panel)
    linked.load = lambda *_, **__: None
    file_rows.pread, file_rows.address = pread, lambda array: array.ctypes.data
    for name in ("scaled", "read", "corrupt", "row_penalties", "batch_means", "weight_penalties", "penalty_of_means",
                 "update", "destinations"):
        setattr(steps, name, picked(getattr(steps, f"_{name}")))
    steps.row_losses = lambda layers: ops.cross_entropy if "BinaryCrossEntropy" in layers.present else ops.squared_error
    lock = threading.Lock()

    def arrive(counter):
        with lock:
            return simd.arrive(counter)
    steps.arrive = arrive
    tables._kinds_of = lambda record: record.kinds
    tables.Table.__getitem__ = lambda table, i: tables.item(type(table).__name__, Row(table, i))
    tables.Descents.__getitem__ = lambda table, i: tables._descents(table, i)
    tables.Table.__len__ = lambda table: len(table.places)
    for method in ("forward", "input_gradient", "parameter_gradients", "strength", "mean"):
        setattr(tables.Record, method, bound(getattr(tables, f"_record_{method}")))


def bound(pick):
    return lambda record, *operands: pick(record, *operands)(record, *operands)


def close(got, expected, eps):
    return np.abs(got - expected).max() <= 50 * eps * max(1, np.abs(expected).max())


def operations(dtype):
    """Whether each compiled operation, run as Python, is its definition."""
    from test_compiled import operands

    for name, arguments in operands(dtype).items():
        expected = DEFINITIONS[name](*arguments)
        expected = expected if isinstance(expected, tuple) else (expected,)
        got = [np.full_like(array, np.nan) for array in expected]
        getattr(ops, name)(*arguments, *got)
        assert all(close(a, b, np.finfo(dtype).eps) for a, b in zip(got, expected)), name


def small(dtype):
    """A network with every kind of layer, with ties, decay and both sparsities."""
    from ae_scratch import Dense, Identity, KLActivity, L1Activity, Network, ReLU, Sigmoid, Tanh, TiedDense

    rng = np.random.default_rng(0)
    first, second = Dense(9, 5, rng, dtype, 1e-2), Dense(5, 3, rng, dtype)
    return Network([first, ReLU(), Dense(5, 5, rng, dtype), Tanh(), second, Sigmoid(), L1Activity(1e-3), KLActivity(0.1, 0.05),
                    TiedDense(second), Identity(), TiedDense(first)])


def plain(dtype):
    """A network without any penalty or tie."""
    from ae_scratch import Dense, Identity, Network

    return Network([Dense(9, 9, np.random.default_rng(0), dtype), Identity()])


def training(make, dtype, loss, optimizer, threads, **job):
    """Whether the interpreted engine trains as NumPy's does, for two epochs whose last batches are short."""
    from ae_scratch import training as numpys
    from ae_scratch.training import Job

    X = job.pop("X", np.random.default_rng(1).uniform(size=(13, 9)).astype(dtype))
    T = job.pop("T", X)
    jobs = [Job(make(dtype), loss(), optimizer(), X, T, 8, 3, **job) for _ in range(2)]
    histories = {}, {}
    driver.train(jobs[0], 2, histories[0], threads=threads)
    with definitions():
        numpys.train(jobs[1], 2, histories[1])
        assert histories[0]["objective"] == pytest.approx(histories[1]["objective"], rel=1e3 * float(np.finfo(dtype).eps))
        got, expected = (job.network.params.vector for job in jobs)
        assert np.abs(got - expected).max() <= 1e5 * np.finfo(dtype).eps * np.abs(expected - make(dtype).params.vector).max()
    return jobs[0], X


@contextlib.contextmanager
def definitions():
    """The definitions back in their place."""
    ours = {name: getattr(ops, name) for name in DEFINITIONS}, philox.add_noise, philox.replace
    for name, definition in DEFINITIONS.items():
        setattr(ops, name, definition)
    philox.add_noise, philox.replace = NOISES
    yield
    for name, operation in ours[0].items():
        setattr(ops, name, operation)
    philox.add_noise, philox.replace = ours[1:]


def every_training():
    """All that a step may be made of: losses, optimizers, noises, scalings, files, batches, threads."""
    from ae_scratch import SGD, Adam, BinaryCrossEntropy, GaussianNoise, MaskingNoise, MeanSquaredError, SaltAndPepperNoise
    from ae_scratch.scaling import Scaling

    bytes_ = np.random.default_rng(2).integers(0, 256, (13, 9)).astype(np.uint8)
    for dtype, threads in ((np.float32, 1), (np.float64, 3)):
        other = np.random.default_rng(4).uniform(size=(13, 9)).astype(dtype)
        job, X = training(small, dtype, MeanSquaredError, lambda: SGD(0.1, 0.9), threads, T=other)
        using(job, X)
        job, X = training(plain, dtype, BinaryCrossEntropy, Adam, threads, noise=GaussianNoise(0.3, (0, 1)))
        using(job, X)
        training(plain, dtype, BinaryCrossEntropy, Adam, threads, noise=MaskingNoise(0.3))
        training(plain, dtype, BinaryCrossEntropy, Adam, threads, noise=SaltAndPepperNoise(0.3), T=other)
        training(plain, dtype, BinaryCrossEntropy, Adam, threads, X=bytes_, scaling=Scaling(255.0))
        per_feature = Scaling(np.full(9, 255.0), np.zeros(9))
        training(plain, dtype, MeanSquaredError, Adam, threads, X=np.float64(bytes_), scaling=per_feature)


def using(job, X):
    """Whether the interpreted engine's output and figures are NumPy's."""
    from ae_scratch import training as numpys

    got, figures = driver.predict(job.network, X, 2), driver.evaluate(job.network, job.loss, X, X, 8, 2)
    with definitions():
        assert close(got, job.network.predict(X), np.finfo(X.dtype).eps)
        expected = numpys.evaluate(job.network, job.loss, X, X, 8)
        assert figures == pytest.approx(expected, rel=1e3 * float(np.finfo(X.dtype).eps))


def files(folder):
    """Whether rows read from mapped files train like rows in memory, and a file that was cut off ends the training."""
    from ae_scratch import Adam, BinaryCrossEntropy, DivergedError
    from ae_scratch.training import Job

    for dtype in (np.float32, np.uint8):
        rows = np.random.default_rng(2).integers(0, 2, (21, 9)).astype(dtype)
        path = os.path.join(folder, f"{np.dtype(dtype)}.npy")
        np.save(path, rows)
        mapped = np.load(path, mmap_mode="r")
        training(plain, np.float32, BinaryCrossEntropy, Adam, 2, X=mapped)
        os.truncate(path, os.path.getsize(path) - 3 * rows[0].nbytes)
        with pytest.raises(DivergedError):
            driver.train(Job(plain(np.float32), BinaryCrossEntropy(), Adam(), mapped, mapped, 8, 3), 1, {}, threads=1)


def always(*_):
    return True


def products():
    """Whether products of every layout are exact on integers, by the kernels of small and of large ones, in panels and blocks."""
    rng, large = np.random.default_rng(0), linked.is_large
    matmul.BLOCK, matmul.PANEL, matmul.DEPTH = 8, 1 << 10, 5
    tiles, shapes = ((6, 1), (8, 2)), ((1, 1, 1), (9, 3, 17), (19, 11, 35), (17, 37, 70), (19, 5, 16), (19, 5, 8))
    for (m, k, n), (rows, vectors) in itertools.product(shapes, tiles):
        simd.ROWS = matmul.ROWS = updates.ROWS = rows
        simd.VECTORS = matmul.VECTORS = updates.VECTORS = vectors
        A, B = rng.integers(-9, 9, (m, k)), rng.integers(-9, 9, (k, n))
        dtypes = np.float32, np.float64
        for dtype, order_A, order_B, linked.is_large in itertools.product(dtypes, "CF", "CF", (large, always)):
            C = np.full((m, n), np.nan, dtype)
            product(A.astype(dtype, order_A), B.astype(dtype, order_B), C)
            assert (C == A @ B).all(), (m, k, n, dtype, order_A, order_B)
        for name in ("matmul_1_definition", "matmul_2_loop_order", "matmul_3_register", "matmul_4_block"):
            C = np.full((m, n), np.nan)
            getattr(matmul, name)(A.astype(float), B.astype(float), C)
            assert (C == A @ B).all(), (m, k, n, name)
        states = [[np.ones(m * n), np.zeros(m * n), np.zeros(m * n), np.zeros(m * n)] for _ in range(2)]
        for step, state in zip((updates.adam_matmul, DEFINITIONS["adam_matmul"]), states):
            step(A + 10.0, B + 10.0, *state, 0.1, 0.9, 0.99, 1e-8, 0.9, 0.99)
        rounding = 5 * 2.0**-53  # of theta, near 1; on either side once, and thirteen times of what it changes by, a tenth
        assert (np.abs(states[0][0] - states[1][0]) <= rounding).all() and (states[0][0] != 1).any(), (m, k, n)
    linked.is_large = large


def everything():
    """Run all of the above."""
    interpret()
    operations(np.float32)
    operations(np.float64)
    products()
    every_training()
    with tempfile.TemporaryDirectory() as folder:
        files(folder)
    return "equal"


def broken():
    """The name of the operation that is found to be wrong where relu is."""
    compiled._relu = lambda X, out: lambda X, out: np.copyto(out, X)
    interpret()
    try:
        operations(np.float64)
    except AssertionError as error:
        return error
