"""Every kernel on operands that end, or begin, where memory ends: a step outside of any of them kills the process.

All arrays are guarded, those too that compiled code allocates (``guarded.allocate_guarded``): hence processes of their own. What
the kernels compute there is compared with NumPy's, or with the bits of the same job on ordinary arrays.
"""

import ast
import itertools
import signal
import sys
import tempfile

import numpy as np
import pytest
import test_compiled
import test_matmul
from guarded import GuardedNumPy, allocate_guarded, ended, guarded
from numba import njit, types
from processes import in_a_new_process

from ae_scratch import (SGD, Adam, BinaryCrossEntropy, Dense, GaussianNoise, Identity, KLActivity, L1Activity, MaskingNoise,
                        MeanSquaredError, Network, ReLU, Sigmoid, Tanh, TiedDense)
from ae_scratch.engine import driver, steps, tables
from ae_scratch.kernels import linked, matmul, memory, philox, simd
from ae_scratch.kernels import reference as ops
from ae_scratch.kernels.inner import OPTIONS
from ae_scratch.kernels.file_rows import FileRows
from ae_scratch.training import Job

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pages are closed by Linux' mprotect")

DIMENSIONS = sorted({1, 2, 3, 7, 31, simd.ROWS - 1, simd.ROWS, simd.ROWS + 1, 15, 16, 17, 16 * simd.VECTORS + 1})
FEW = (1, simd.ROWS + 1, 15, 17)
LARGE = (matmul.BLOCK + 1, matmul.PANEL // (64 * simd.VECTORS) + 1, 17)  # rows, depth and columns beyond blocks and panels


# ---- kernel by kernel --------------------------------------------------------------------------------------------------------


def products(dtype, front, dimensions):
    """Every step of the ladder, in all layouts."""
    linked.load(dtype, linked.matrix_panels)
    rng = np.random.default_rng(0)
    for m, k, n in [*itertools.product(dimensions, (1, 2, 17), dimensions), LARGE]:
        A, B = rng.integers(-9, 9, (m, k)).astype(dtype), rng.integers(-9, 9, (k, n)).astype(dtype)
        for name, kernel in test_matmul.LADDER.items():
            left, right = guarded(A, front), guarded(B.T.copy() if name == "matmul_transposed" else B, front)
            C = guarded(np.full((m, n), np.nan, dtype), front)
            kernel(left, right, C)
            assert (C == A @ B).all(), (name, m, k, n)
        for left, right in ((A, B), (np.asfortranarray(A), B), (A, np.asfortranarray(B))):
            C = guarded(np.full((m, n), np.nan, dtype), front)
            test_compiled.call(ops.matmul, guarded(left, front), guarded(right, front), C)
            assert (C == A @ B).all(), ("matmul", m, k, n)


def operations(dtype, front, dimensions):
    """Every operation of the vocabulary that fills a new array."""
    for m, n, k in itertools.product(dimensions, dimensions, FEW[:2]):
        for name, arguments in test_compiled.operands(dtype, m, n, k).items():
            expected = test_compiled.by_definition(name, arguments)
            got = [guarded(np.full_like(array, np.nan), front) for array in expected]
            inputs = [guarded(array, front) if isinstance(array, np.ndarray) else array for array in arguments]
            test_compiled.call(getattr(ops, name), *inputs, *got)
            test_compiled.compare(name, got, expected)


def updates(dtype, front, dimensions):
    """Adam, also along a product, SGD with momentum, and a product that is added."""
    linked.load(dtype, linked.matrix_adam)
    rng = np.random.default_rng(0)
    for n in dimensions:
        for op, count, settings in ((ops.adam, 4, (1e-3, 0.9, 0.999, 1e-8, 0.9, 0.999)), (ops.sgd, 3, (0.1, 0.9))):
            expected = [rng.uniform(size=n).astype(dtype) for _ in range(count)]
            got = [guarded(array, front) for array in expected]
            test_compiled.call(op, *expected, *settings)
            test_compiled.call(op, *got, *settings)
            assert [a.tobytes() for a in got] == [b.tobytes() for b in expected]
        A, B, *vectors = test_compiled.adam_matmul_case(n, n, 3, dtype)
        got = [guarded(array, front) for array in vectors]
        test_compiled.call(ops.adam_matmul, guarded(A, front), guarded(B, front), *got, *test_compiled.ADAM)
        ops.adam_matmul(A, B, *vectors, *test_compiled.ADAM)
        assert all(np.allclose(a, b, rtol=1e-4, atol=1e-4) for a, b in zip((got[0], *got[2:]), (vectors[0], *vectors[2:])))
        A, B, C = (rng.integers(-9, 9, shape).astype(dtype) for shape in ((n, 3), (3, n), (n, n)))
        got = guarded(C, front)
        test_compiled.call(ops.add_matmul, guarded(A, front), guarded(B, front), got)
        assert (got == C + A @ B).all()


def noises(dtype, front, dimensions):
    for m, n in itertools.product(FEW, dimensions):
        X, rows = np.random.default_rng(0).uniform(size=(m, n)).astype(dtype), np.arange(m) + 2**33
        for op, settings in ((philox.add_noise, (0.3, 0.0, 1.0, 3, 5)), (philox.replace, (0.3, 0.0, 1.0, 3, 5))):
            got = guarded(np.full_like(X, np.nan), front)
            test_compiled.call(op, guarded(X, front), *settings, guarded(rows, front), got)
            assert got.tobytes() == op(X, *settings, rows).tobytes()


@njit(**OPTIONS)
def gather(data, scaling, order, start, out):
    steps.gather(data, scaling, order, start, out)


def gathers(dtype, front, dimensions):
    """Rows of bytes and of floats, in memory and in a file that they are the end of; as they are and scaled."""
    rng = np.random.default_rng(0)
    for m, n in itertools.product(FEW, dimensions):
        order = rng.permutation(m)
        for kind, scaling in (("u1", dtype(255)), ("f4", None), ("f8", (np.zeros(n), np.full(n, 2.0)))):
            data = rng.integers(0, 255, (m, n)).astype(kind)
            scale = {"u1": 255, "f4": 1, "f8": 2}[kind]
            for source in sources(data, front):
                how = tuple(guarded(part, front) for part in scaling) if kind == "f8" else scaling
                out = guarded(np.full((m - m // 2, n), np.nan, dtype), front)
                gather(source, how, guarded(order, front), m // 2, out)
                assert np.array_equal(out, (data[order[m // 2:]] / scale).astype(dtype) if scale > 1 else data[order[m // 2:]])


def sources(data, front):
    yield guarded(data, front)
    with tempfile.TemporaryFile() as file:
        file.write(b"head" + data.tobytes())
        file.flush()
        yield FileRows(file.fileno(), 4, data.size, data[:0])


KERNELS = [products, operations, updates, noises, gathers]


# ---- whole jobs --------------------------------------------------------------------------------------------------------------


def network(dtype, widths):
    """The kinds of layers of ``test_engine.everything``, hence the same compiled code, in other widths."""
    rng, (a, b, c, d) = np.random.default_rng(0), widths
    return Network([Dense(a, b, rng, dtype), ReLU(), Dense(b, c, rng, dtype), Sigmoid(), L1Activity(1e-3, "mean"),
                    Dense(c, d, rng, dtype), Tanh(), L1Activity(1e-4, "sum"), Dense(d, b, rng, dtype), Identity(),
                    Dense(b, a, rng, dtype)])


def tied(dtype, widths):
    """Those of ``test_engine.tied``."""
    rng, (a, b, c, _) = np.random.default_rng(0), widths
    first, second = Dense(a, b, rng, dtype, 1e-2), Dense(b, c, rng, dtype, 3e-2)
    return Network([first, Tanh(), second, Sigmoid(), L1Activity(1e-3), KLActivity(0.1, 0.05),
                    TiedDense(second), Tanh(), TiedDense(first)])


JOBS = {
    "Adam": (network, np.float32, BinaryCrossEntropy, lambda: Adam(1e-2), None),
    "SGD in float64": (network, np.float64, MeanSquaredError, lambda: SGD(0.05, 0.9), None),
    "ties, decay and sparsity": (tied, np.float32, BinaryCrossEntropy, lambda: Adam(1e-2), None),
    "noise": (network, np.float32, BinaryCrossEntropy, lambda: Adam(1e-2), GaussianNoise(0.3, (0, 1))),
    "masks": (network, np.float32, BinaryCrossEntropy, lambda: Adam(1e-2), MaskingNoise(0.3))}
WIDTHS = [(1, 1, 1, 1), (2, 3, 7, 5), (15, 16, 17, 31), (33, 7, 1, 32), (simd.ROWS + 1, 31, 47, 13)]


def outcome(job, widths, rows, batch_size, wrap=lambda array: array):
    """The bytes of everything that training for an epoch, predicting and evaluating write."""
    make, dtype, loss, optimizer, noise = JOBS[job]
    X = wrap(np.random.default_rng(1).uniform(size=(rows, widths[0])).astype(dtype))
    task = Job(make(dtype, widths), loss(), optimizer(), X, X, batch_size, 3, noise)
    history = {}
    driver.train(task, 1, history, threads=2)
    moments = [array for array in vars(task.optimizer).values() if isinstance(array, np.ndarray)]
    Y, figures = driver.predict(task.network, X, 2), driver.evaluate(task.network, task.loss, X, X, batch_size, 2)
    # Without zeros: between the moments of two parameters are gaps, or none
    return [array[array != 0].tobytes() for array in (task.network.params.vector, *moments, Y)], figures, history


def guard_everything(dtype, front):
    """Guard the arrays of the engine, and leave out the gaps between those that share a buffer."""
    memory.ALIGNMENT = driver.ALIGNMENT = np.dtype(dtype).itemsize
    memory.aligned_zeros = driver.aligned_zeros = lambda size, dtype: guarded(np.zeros(size, dtype), front)
    driver.np = tables.np = GuardedNumPy(front)
    original = driver.data_of
    driver.data_of = lambda job, order, *others: original(job, guarded(order, front), *others)


def guarded_outcome(job, front, *arguments):
    guard_everything(JOBS[job][1], front)
    return outcome(job, *arguments, wrap=lambda array: guarded(array, front))


# ---- the tests ---------------------------------------------------------------------------------------------------------------


def endings(kernels, dtypes, dimensions, names, widths):
    """How each kernel and each job ends, with its arrays before the wall and behind it: what is compiled once, runs in forks."""
    side, found = [False], {}
    allocate_guarded(lambda: side[0])

    def at_both_walls(name, run):
        for side[0] in (False, True):
            found[f"{name}, {'in front' if side[0] else 'behind'}"] = ended(run, side[0])
    for kernel, dtype in itertools.product(kernels, dtypes):
        kernel = globals()[kernel]
        kernel(getattr(np, dtype), False, (3,))
        at_both_walls(f"{kernel.__name__} {dtype}", lambda front: kernel(getattr(np, dtype), front, dimensions))
    for job, width, rows in itertools.product(names, widths, ((1, 4), (19, 7), (34, 17))):
        expected = outcome(job, width, *rows)
        at_both_walls(f"{job} {width} {rows}", lambda front: compare(guarded_outcome(job, front, width, *rows), expected))
    return found


def compare(got, expected):
    assert got == expected


def check(*arguments):
    found = ast.literal_eval(in_a_new_process("test_guard_pages", f"t.endings(*{arguments!r})"))
    assert {name: status for name, status in found.items() if status} == {} and len(found) > 10


def test_B1_no_kernel_leaves_its_operands():
    check(["products", "gathers"], ["float32"], FEW, ["Adam", "ties, decay and sparsity"], WIDTHS[1:3])


@pytest.mark.slow
def test_B1_no_kernel_leaves_its_operands_in_either_precision():
    check([kernel.__name__ for kernel in KERNELS], ["float32", "float64"], DIMENSIONS, list(JOBS), WIDTHS)


# ---- kernels that do, and must die -------------------------------------------------------------------------------------------


def read_one_past(A, C):
    C[0, 0] = simd.part(A, A.size, 1)[0]


def read_one_before(A, C):
    C[0, 0] = simd.part(A, -1, 1)[0]


def write_one_past(A, C):
    simd.part(A, A.size, 1)[0] = 1


def write_one_before(A, C):
    simd.part(A, -1, 1)[0] = 1


def one_row_past(A, C):
    for i in range(C.shape[0] + 1):
        for j in range(C.shape[1]):
            C[i, j] = 0


def load_without_mask(A, C):
    """A whole tile where only one for the edges fits."""
    matmul.one_tile(simd.tile(C), C, 0, C, 0, C, 0, False, False)


def no_tail(A, C):
    """Four at a time, whatever is left."""
    for j in range(0, A.size, 4):
        for k in range(4):
            A[j + k] += 1


def one_step_too_deep(A, C):
    square = simd.matrix(A, 0, C.shape[0], C.shape[1])
    for k in range(C.shape[0] + 1):
        C[0, 0] += square[k, 0] * square[0, k % C.shape[1]]


def square_at_the_end(A, C):
    """A square transposed where it no longer lies within."""
    simd.transpose_square(simd.matrix(A, 0, C.shape[0], C.shape[1]), 1, 1, C)


PLANTED = [read_one_past, read_one_before, write_one_past, write_one_before, one_row_past, load_without_mask, no_tail,
           one_step_too_deep, square_at_the_end]


@pytest.mark.parametrize("kernel", PLANTED, ids=lambda kernel: kernel.__name__)
def test_B1_a_planted_step_outside_kills(kernel):
    """At one of the two walls; on the same operands with room around them it goes unnoticed."""
    run = njit([types.void(types.Array(types.float32, 1, "C"), types.Array(types.float32, 2, "C"))], **OPTIONS)(kernel)
    side = 8 if kernel is square_at_the_end else 7
    operands = np.zeros(side * side, np.float32), np.zeros((side, side), np.float32)
    found = {ended(lambda: run(*(guarded(array, front) for array in operands))) for front in (False, True)}
    assert -signal.SIGSEGV in found and found <= {0, -signal.SIGSEGV}


def room_of(size):
    """How a product of large matrices ends if what it allocates has so much of the size."""
    allocate_guarded(lambda: False, size)
    return ended(driver.predict, Network([Dense(1024, 130, np.random.default_rng(0))]), np.ones((65, 1024), np.float32), 1)


@pytest.mark.parametrize("size, status", [(1, 0), (0.5, -signal.SIGSEGV)])
def test_B1_what_compiled_code_allocates_is_guarded(size, status):
    assert int(in_a_new_process("test_guard_pages", f"t.room_of({size})")) == status


def test_B1_a_share_that_is_one_row_too_long_kills(monkeypatch):
    """The same of a whole job: encoding, with the engine's own arrays guarded."""
    shares, X = driver.shares, np.ones((19, 17), np.float32)
    model = network(np.float32, (17, 5, 3, 2))

    def encode(front):
        guard_everything(np.float32, front)
        driver.predict(model, guarded(X, front), 2)
    assert [ended(encode, front) for front in (False, True)] == [0, 0]
    monkeypatch.setattr(driver, "shares", lambda *arguments: [(begin, end + 1) for begin, end in shares(*arguments)])
    assert ended(encode, False) == -signal.SIGSEGV
