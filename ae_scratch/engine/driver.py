"""The driver of the compiled engine: who computes what, on how many threads, and how long Python waits between two looks."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np

from ..kernels import linked
from ..kernels.file_rows import FileRows
from ..kernels.matmul import is_large
from ..kernels.memory import ALIGNMENT, aligned_zeros
from ..kernels.reference import Array
from ..kernels.simd import SQUARE
from ..layers import Dense, Layer, TiedDense
from ..losses import Loss
from ..machine import cores
from ..network import Network
from ..optimizers import SGD, Adam
from ..penalties import KLActivity, L1Activity
from ..progress import Progress
from ..scaling import Scaling
from ..streaming import Batches, file_of, release
from ..training import (Checkpoint, Figures, History, Job, Position, Saving, Watch, all_finite, batch_of, figures_of,
                        interrupt_deferred, problem, record, replay, save_epoch, save_step)
from .steps import apply, assess, steps
from .tables import KINDS, Activations, Columns, Gradients, Layers, descends

log = logging.getLogger(__name__)

CHUNK = 0.05  # seconds of a chunk: how long Ctrl-C and the progress line wait
TRIAL = 16  # steps that it takes to tell how fast some number of threads is
KEEP = 16  # steps from one copy of parameters and moments to the next, at least: it takes up to half of a large model's step
COPY = 0.2  # seconds between two copies, at least: what training again from the one before may take
RETRY = 16  # chunks after which another number of threads is tried
ROWS = 8192  # whose activations a mean is added up of at a time
FOREVER = 1 << 62  # meetings of threads, more than any chunk has
LASTING = 5.0  # seconds of training: in as many more two threads gain what it takes to compile Adam along products
BLOCK = 96  # rows that a thread encodes at a time: with the weights of the first layer they stay in its second cache


def shares(total: int, threads: int, unit: int) -> list[tuple[int, int]]:
    """Share out ``total`` rows in whole units: from where to where for each thread; the first ones get more, the last maybe
    none."""
    units = -(-total // unit)
    cuts = [min(unit * -(-units * i // threads), total) for i in range(threads + 1)]
    return list(zip(cuts, cuts[1:]))


class Place(NamedTuple):
    """Where a layer's W, of some shape, and its b, of some size, begin in the vector of parameters; zeros for none."""

    shape: tuple[int, int]
    W: int
    b: int
    size: int


class Plan:
    """Buffers for batches of some size, and for each of some threads its share of rows and of weights."""

    def __init__(self, network: Network, loss: Loss, optimizer: str, rows: int, threads: int, own_target: bool,
                 gradient: Array):
        self.network, self.widths, self.others = network, network.widths, (type(loss).__name__, optimizer)
        self.rows, self.threads, self.gradient = rows, threads, gradient
        load_panels(network, rows)
        self.places = [place_of(network.params.vector, *arrays) for arrays in network.per_layer(network.params)]
        self.slope = loss.slope / (rows * self.widths[-1])
        line = ALIGNMENT // network.dtype.itemsize
        self.starts = np.cumsum([0] + [-(-rows * width // line) * line for width in self.widths])
        self.A, self.dA = (aligned_zeros(int(self.starts[-1]), network.dtype) for _ in range(2))
        self.T = aligned_zeros(rows * self.widths[-1], network.dtype) if own_target else None
        self.figures = tuple(np.zeros(rows, network.dtype) for _ in range(2))
        self.squares = np.zeros(sum(map(decaying_rows, network.layers)), network.dtype)
        self.tied = [isinstance(layer, TiedDense) for layer in network.layers]
        weights = [shares(place.shape[0], threads, SQUARE) for place in self.places]
        self.shares = [self._share(thread, begin, end, [part[thread] for part in weights])
                       for thread, (begin, end) in enumerate(shares(rows, threads, SQUARE))]

    def _share(self, thread: int, begin: int, end: int, weights: list[tuple[int, int]]) -> tuple[Any, ...]:
        """Rows begin to end of the batch and, of each W, the rows in ``weights``: their gradients take the columns of the layer's
        input; those of a tied layer, which reads W^T, columns of its output."""
        mine = [(start + begin * width, end - begin, width) for start, width in zip(self.starts, self.widths)]
        everything = [(start, self.rows, width) for start, width in zip(self.starts, self.widths)]
        A = [(*all, *((0, all[2]) if tied else part)) for all, part, tied in zip(everything, weights, self.tied)]
        dA = [(*all, *(part if tied else (0, all[2]))) for all, part, tied in zip(everything[1:], weights, self.tied)]
        n_out = self.widths[-1]
        T = Activations(self.A, mine[:1]) if self.T is None else Activations(self.T, [(begin * n_out, end - begin, n_out)])
        all_dA = Columns(self.dA, [everything[0] + (0, 0)] + dA) if any(self.tied) else Activations(self.dA, everything)
        return (begin, self._layers(), self._weights(weights), Activations(self.A, everything), Activations(self.A, mine),
                Activations(self.dA, mine), T, Columns(self.A, A), all_dA, *self._owned(thread, weights))

    def _owned(self, thread: int, weights: list[tuple[int, int]]) -> tuple[Gradients, Array]:
        """The gradients of these rows of W, and the parameters that the thread updates; b goes with the last thread, b of a tied
        layer with the rows of W, which are its outputs."""
        with_b = thread == self.threads - 1
        grads, owned = [], [(0, 0)]
        for (shape, W, b, _), (low, high), tied in zip(self.places, weights, self.tied):
            rows_of_W = W + low * shape[1], high - low, shape[1]
            if tied:
                grads.append((*rows_of_W, b + low, high - low))
                owned.append((b + low, b + high))
            else:
                grads.append((*rows_of_W, b, shape[1] * with_b))
                owned += [(W + low * shape[1], W + high * shape[1]), (b, b + shape[1] * with_b)]
        return Gradients(self.gradient, grads), np.array(owned, np.int64)

    def _layers(self) -> Layers:
        """The layers with room for a thread's means over the batch."""
        sizes = [width if isinstance(layer, KLActivity) else 0 for layer, width in zip(self.network.layers, self.widths[1:])]
        starts = np.cumsum([0] + sizes)
        return layers_of(self.network, self.network.params.vector, self.places, self.rows, *self.others,
                         room=aligned_zeros(int(starts[-1]), self.network.dtype), rooms=list(zip(starts, sizes)))

    def _weights(self, weights: list[tuple[int, int]]) -> Layers:
        """The layers with these rows of W alone, and a place for the sums of their squares where they are wanted."""
        places = [place._replace(shape=(high - low, place.shape[1]), W=place.W + low * place.shape[1])
                  for place, (low, high) in zip(self.places, weights)]
        sizes = list(map(decaying_rows, self.network.layers))
        rooms = [(start + low, high - low) if size else (0, 0)
                 for start, size, (low, high) in zip(np.cumsum([0] + sizes), sizes, weights)]
        return layers_of(self.network, self.network.params.vector, places, self.rows, *self.others,
                         room=self.squares, rooms=rooms)


def decaying_rows(layer: Layer) -> int:
    """How many rows of weights with weight decay a layer has."""
    return len(layer.W) if isinstance(layer, Dense) and layer.weight_decay else 0


def place_of(vector: Array, *arrays: Array) -> Place:
    """The place of a layer's W and b, if it has any, in a vector that they are views of."""
    if not arrays:
        return Place((0, 0), 0, 0, 0)
    W, b = ((array.ctypes.data - vector.ctypes.data) // vector.itemsize for array in arrays)
    return Place(arrays[0].shape, W, b, arrays[1].size)


def layers_for_use(network: Network, rows: int, *others: str) -> Layers:
    """The layers of a network, or of a part of one, as compiled code sees them where nothing is learned."""
    vector, weighing = network.root.params.vector, (Dense, TiedDense)  # of the whole: a part may use weights outside of it
    places = [place_of(vector, *((layer.W, layer.b) if isinstance(layer, weighing) else ())) for layer in network.layers]
    return layers_of(network, vector, places, rows, *others)


def layers_of(network: Network, vector: Array, places: list[Place], rows: int, *others: str, room: Array | None = None,
              rooms: list[tuple[int, int]] | None = None) -> Layers:
    """The layers as compiled code sees them, for batches of so many rows; others: names of the loss and the optimizer."""
    table = [(KINDS.index(type(layer)), W, *shape, b, size, *space)
             for layer, (shape, W, b, size), space in zip(network.layers, places, rooms or len(places) * [(0, 0)])]
    layers = Layers(vector, table, [numbers_of(layer, rows) for layer in network.layers], room, *others)
    linked.load(network.dtype)  # here, because nothing runs without a table of layers
    return layers


def load_panels(network: Network, rows: int) -> None:
    """Have the code for large products loaded, if there are any in batches of so many rows."""
    shapes = [layer.W.shape for layer in network.layers if isinstance(layer, (Dense, TiedDense))]
    if any(has_large_products(shape, rows, network.dtype.itemsize) for shape in shapes):
        linked.load(network.dtype, linked.matrix_panels)


def has_large_products(shape: tuple[int, int], rows: int, itemsize: int) -> bool:
    """Whether a layer with W of this shape has any in its forward pass, or in the gradient of W."""
    n_in, n_out = shape
    row = n_out * itemsize
    return is_large(rows, n_in * row, row) or is_large(n_in, rows * row, row)


def numbers_of(layer: Layer, rows: int) -> tuple[float, float, float]:
    """The numbers in a layer's formulas: strength of its penalty in batches of so many rows, rho, weight decay."""
    strength = layer.strength(rows) if isinstance(layer, (L1Activity, KLActivity)) else 0.0
    return (strength, layer.rho if isinstance(layer, KLActivity) else 0.0,
            layer.weight_decay if isinstance(layer, Dense) else 0.0)


class Engine:
    """A job's state in compiled form; runs steps on any number of threads, with the same result."""

    def __init__(self, job: Job):
        self.job = job
        self.plans: dict[tuple[int, int], Plan] = {}
        theta, optimizer = job.network.params.vector, job.optimizer
        self.gradient = aligned_zeros(theta.size, theta.dtype)
        moments = [aligned_zeros(theta.size, theta.dtype) for _ in range(2)]
        if isinstance(optimizer, Adam):
            given, (optimizer.m, optimizer.v) = (optimizer.m, optimizer.v), moments
        else:
            given, optimizer.velocity = (optimizer.velocity, None), moments[0]
        for moment, before in zip(moments, given):
            moment[:] = 0 if before is None else before
        self.state = (theta, self.gradient, *moments)
        self.rows: tuple[Any, Any] | None = None
        self.good = Checkpoint(job)  # where training goes back to when it diverges
        self.descends = descends(layers_for_use(job.network, 1, type(optimizer).__name__).present)
        self.started, self.wait = 0.0, 0.0  # when training began; seconds from then to the next look for Adam's code

    @contextmanager
    def files(self) -> Iterator[None]:
        """Have X and T, where they are mapped files, read from the files for the time being."""
        job = self.job
        if isinstance(job.X, Batches):
            yield
            return
        with file_of(job.X) as X, file_of(job.T) as T:
            self.rows = tuple(FileRows(*place, array.size, array[:0]) if place else array  # type: ignore[assignment]
                              for place, array in ((X, job.X), (T, job.T)))
            yield

    def consider_adam(self, threads: int) -> None:
        """Before steps on so many threads: see whether Adam is to go along products from now on, which changes no bit. If the
        cache has no code for it, it is compiled as soon as the training has lasted."""
        now = time.monotonic()
        self.started = self.started or now
        if threads > 1 and self.descends and now - self.started >= self.wait:
            linked.load(self.job.network.dtype, linked.matrix_adam, if_kept=now - self.started < LASTING)
            self.wait = LASTING if self.wait < LASTING else math.inf

    def run(self, data: tuple[Any, ...], first: int, last: int, rows: int, figures: Array, threads: int) -> None:
        """Take the steps from first to before last, of ``rows`` rows each; step s begins at place s * batch_size of the order.

        data: see ``data_of``. figures (steps, 2): each step's sums of loss and penalty are added.
        """
        job, optimizer = self.job, self.job.optimizer
        powers = getattr(optimizer, "beta1_t", 1.0), getattr(optimizer, "beta2_t", 1.0)
        counter = np.zeros(1, np.int64)

        def calls_of(count: int) -> list[tuple[Any, ...]]:
            plan = self.plan(rows, count, own_target=data[1].size > 0)
            common = (counter, count, data, first, last, job.batch_size, plan.slope, plan.figures, figures,
                      settings_of(optimizer), self.state, powers)
            return [(share, *common) for share in plan.shares]
        powers = in_threads(steps, calls_of, threads, counter)
        if isinstance(optimizer, Adam):
            optimizer.beta1_t, optimizer.beta2_t = powers

    def plan(self, rows: int, threads: int, own_target: bool) -> Plan:
        """Return the plan for batches of so many rows on so many threads, made once."""
        key, job = (rows, threads), self.job
        if key not in self.plans:
            name = type(job.optimizer).__name__
            self.plans[key] = Plan(job.network, job.loss, name, rows, threads, own_target, self.gradient)
        return self.plans[key]

    def step(self, data: tuple[Any, ...], step: int, rows: int, figures: Array, threads: int) -> Array:
        """Take one step, and return its figures, written anew."""
        figures[step] = 0
        self.run(data, step, step + 1, rows, figures, threads)
        return figures[step]


def in_threads(function: Any, calls_of: Callable[[int], list[tuple[Any, ...]]], threads: int,
               counter: Array | None = None) -> Any:
    """Make the calls ``calls_of(threads)`` at the same time, the first one in this thread, and return its result.

    Calls may wait for one another, and the system may refuse to start so many threads: hence none begins before it is known
    how many there are, and if they are fewer, it is the calls of as many. If one fails, for want of memory, those that wait for
    it by the counter go on without, and its error is raised when all are done.
    """
    calls: list[tuple[Any, ...]] = []
    errors: list[BaseException] = []
    workers: list[threading.Thread] = []
    known = threading.Event()

    def call(number: int) -> Any:
        try:
            return function(*calls[number])
        except BaseException as error:
            errors.append(error)
            if counter is not None:
                counter[0] = FOREVER

    def work(number: int) -> None:
        known.wait()
        if number < len(calls):
            call(number)
    try:
        with suppress(RuntimeError):  # can't start new thread
            for number in range(1, threads):
                worker = threading.Thread(target=work, args=(number,), daemon=True)
                worker.start()
                workers.append(worker)
        calls += calls_of(1 + len(workers))
    finally:
        known.set()
    result = call(0)
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return result


@contextmanager
def whole_steps(good: Checkpoint) -> Iterator[None]:
    """Go back to the checkpoint where steps end in the middle, for want of memory."""
    try:
        yield
    except MemoryError:
        good.restore()
        raise


def old(good: Checkpoint, step: int) -> bool:
    """Whether a checkpoint is to be renewed before a step."""
    return step - good.step >= KEEP and time.monotonic() - good.made >= COPY


class Pace:
    """How many threads to use and how many steps to take at a time, from the speed of the chunks so far.

    The number of threads changes no bit, so it may be tried out: every number once at first, another one now and then, else the
    fastest. A machine that gets busy is noticed.
    """

    def __init__(self, threads: int | None):
        most = min(cores(), 32)
        self.candidates = [threads] if threads else [n for n in (1, 2, 4, 8, 16) if n < most] + [most]
        self.seconds: dict[int, float] = {}  # per step, when last tried
        self.chunks = self.fastest = 0

    def next(self) -> tuple[int, int]:
        """Return how many threads to use for the next chunk, and for how many steps."""
        untried = [n for n in self.candidates if n not in self.seconds]
        if untried:
            return untried[0], TRIAL
        self.chunks += 1
        fastest, before = min(self.candidates, key=self.seconds.__getitem__), self.fastest
        if fastest != before:
            self.fastest = fastest
            log.debug("threads: %d, at %.3g ms a step", fastest, 1e3 * self.seconds[fastest])
        threads = self.candidates[self.chunks // RETRY % len(self.candidates)] if self.chunks % RETRY == 0 else fastest
        return threads, max(1, round(CHUNK / self.seconds[fastest]) if threads == fastest else TRIAL)

    def took(self, threads: int, steps: int, seconds: float) -> None:
        self.seconds[threads] = seconds / steps


def settings_of(optimizer: SGD | Adam) -> tuple[float, float, float, float]:
    """The numbers that a step of the optimizer takes; a callback may have changed them since the last epoch."""
    if isinstance(optimizer, Adam):
        return optimizer.lr, optimizer.beta1, optimizer.beta2, optimizer.eps
    return optimizer.lr, optimizer.momentum, 1.0, 0.0


def train(job: Job, epochs: int, history: History, progress: Progress | None = None, first: int = 0,
          watch: Watch | None = None, threads: int | None = None, saving: Saving | None = None) -> None:
    """Do what ``training.train`` does, compiled. threads: how many, None for as many as turn out to pay."""
    pace, saving = Pace(threads), saving or Saving()
    engine = Engine(job)
    train_epoch = train_on_batches if isinstance(job.X, Batches) else train_on_rows
    with interrupt_deferred() as interrupted, engine.files():
        for epoch in range(first, first + epochs):
            figures = train_epoch(engine, pace, epoch, progress, saving, interrupted)
            ended = record(history, figures, epoch, progress, watch)
            save_epoch(saving, epoch, ended, last=epoch + 1 == first + epochs)
            if ended:
                return
        if interrupted.is_set():  # in the last moments of the last epoch
            raise KeyboardInterrupt


def train_on_rows(engine: Engine, pace: Pace, epoch: int, progress: Progress | None, saving: Saving,
                  interrupted: threading.Event) -> Figures:
    """Train for an epoch, or what is left of it, chunk by chunk, and return its figures."""
    job, order, (_, begin, before, _) = engine.job, engine.job.order(epoch), saving.begin(epoch)
    n, batch = len(order), job.batch_size
    data, sizes, whole = data_of(job, order, epoch, engine.rows), np.diff([*range(0, n, batch), n]), n // batch
    sums, good = np.zeros((len(sizes), 2)), engine.good
    good.renew(begin)
    sums[:begin] = before[:, :2]
    while begin < len(sizes):
        count, chunk = pace.next()
        end = int(min(begin + min(chunk, saving.left), whole)) if begin < whole else begin + 1
        if not pace.seconds:
            engine.run(data, 0, 0, int(sizes[0]), sums, 1)  # no step: compiles, so that the pace knows steps alone
        engine.consider_adam(count)
        started = time.perf_counter()
        with whole_steps(good):
            engine.run(data, begin, end, int(sizes[begin]), sums, count)
        if begin < whole:
            pace.took(count, end - begin, time.perf_counter() - started)
        stop, last, due = interrupted.is_set(), end == len(sizes), saving.due(end - begin)
        look = stop or last or due or old(good, end)
        if not all_finite(sums[begin:end]) or (look and problem(job, sums[begin:end])):
            replay(job, good, epoch, end, lambda step: engine.step(data, step, int(sizes[step]), sums, count))
        if look:
            good.renew(end)
        release(job.X, job.T)
        begin = end
        if progress:
            progress.batch(epoch, sizes[:end].sum() / n, figures_over(job, sums[:end], sizes[:end])["objective"])
        if stop or (due and not last):
            save_step(saving, Position(epoch, end, np.column_stack([sums[:end], sizes[:end]])), stop)
    return figures_over(job, sums, sizes)


def train_on_batches(engine: Engine, pace: Pace, epoch: int, progress: Progress | None, saving: Saving,
                     interrupted: threading.Event) -> Figures:
    """Train for an epoch, or what is left of it, on batches that come one by one, and return its figures."""
    job, order, (_, begin, before, _) = engine.job, engine.job.order(epoch), saving.begin(epoch)
    sums, sizes, good = np.zeros((len(order), 2)), np.zeros(len(order), np.int64), engine.good
    good.renew(begin)
    sums[:begin], sizes[:begin] = before[:, :2], before[:, 2]

    def take(step: int) -> Array:
        X, T = batch_of(job, epoch, order[step])
        sizes[step] = len(X)
        data = X, T[:0] if T is X else T, None, np.arange(len(X)), None
        count, _ = pace.next()
        if not pace.seconds:
            engine.run(data, 0, 0, len(X), sums[step:], 1)
        engine.consider_adam(count)
        started = time.perf_counter()
        with whole_steps(good):
            figures = engine.step(data, 0, len(X), sums[step:step + 1], count)
        pace.took(count, 1, time.perf_counter() - started)
        return figures

    for step in range(begin, len(order)):
        figures, stop, end = take(step), interrupted.is_set(), step + 1
        last, due = end == len(order), saving.due(1)
        look = stop or last or due or old(good, end)
        if not all_finite(figures) or (look and problem(job, figures)):
            replay(job, good, epoch, end, take)
        if look:
            good.renew(end)
        if progress:
            progress.batch(epoch, end / len(order), figures_over(job, sums[:end], sizes[:end])["objective"])
        if stop or (due and not last):
            save_step(saving, Position(epoch, end, np.column_stack([sums[:end], sizes[:end]])), stop)
    return figures_over(job, sums, sizes)


def figures_over(job: Job, sums: Array, sizes: Array) -> Figures:
    """Return the figures of steps with these sums of loss and penalty and so many rows."""
    rows = sizes.sum()
    return figures_of(sums[:, 0].sum() / (rows * job.network.widths[-1]), (sums[:, 1] @ sizes) / rows)


def data_of(job: Job, order: Array, epoch: int, rows: tuple[Any, Any] | None = None) -> tuple[Any, ...]:
    """What a batch is made of: X, T (without rows if it is the same as X, noise included), their scaling, the order of an
    epoch, the noise. rows: what stands for X and T, if not they themselves do."""
    noise = job.noise and job.noise.settings(job.seed, epoch)
    X, T = rows or (job.X, job.T)
    return X, job.T[:0] if job.T is job.X and noise is None else T, scaling_of(job.network, job.scaling), order, noise


def scaling_of(network: Network, scaling: Scaling | None) -> Any:
    """A scaling as compiled code takes it: nothing, what divides in the network's dtype, or offset and scale per feature."""
    if scaling is None:
        return None
    return network.dtype.type(scaling.scale) if scaling.offset is None else (scaling.offset, scaling.scale)


def predict(network: Network, X: Array, threads: int | None = None, scaling: Scaling | None = None,
            out: Array | None = None) -> Array:
    """Return the network's output for X, scaled as it is read, compiled; a row's numbers do not depend on the other rows, nor
    on the threads."""
    Y = np.empty((len(X), network.widths[-1]), network.dtype) if out is None else out
    layers, how = layers_for_use(network, 1), scaling_of(network, scaling)
    in_threads(apply, lambda count: [(A, layers, X, how, Y, begin, end) for A, begin, end in blocks(network, len(X), count)],
               threads or cores())
    return Y


def evaluate(network: Network, loss: Loss, X: Array, T: Array, batch_size: int, threads: int | None = None,
             scaling: Scaling | None = None) -> Figures:
    """Do what ``training.evaluate`` does, compiled."""
    layers = layers_for_use(network, batch_size, type(loss).__name__)
    losses, penalties = np.zeros(len(X), network.dtype), np.zeros(len(X), network.dtype)
    how = scaling_of(network, scaling)
    in_threads(assess, lambda count: [(A, np.empty((2, A.places[0, 1], T.shape[1]), network.dtype), layers, X, T, how, losses,
                                       penalties, begin, end) for A, begin, end in blocks(network, len(X), count)],
               threads or cores())
    penalty = batch_size * float(penalties.mean(dtype=np.float64))  # of the layers whose penalty is a sum over rows
    for i, layer in enumerate(network.layers):
        if isinstance(layer, KLActivity):
            sums = [layer.statistic(predict(network[:i + 1], X[start:start + ROWS], threads, scaling))
                    for start in range(0, len(X), ROWS)]
            penalty += layer.penalty_of(sum(sums) / len(X), batch_size)
        elif isinstance(layer, Dense):
            penalty += layer.penalty_of(0.0, batch_size)
    return figures_of(losses.sum(dtype=np.float64) / T.size, penalty)


def blocks(network: Network, n: int, threads: int) -> list[tuple[Activations, int, int]]:
    """Share out n rows: for each thread from where to where, and room for the activations of some at a time."""
    load_panels(network, min(n, BLOCK))
    parts = []
    for begin, end in shares(n, threads, SQUARE):
        if begin < end:
            rows = min(end - begin, BLOCK)
            starts = np.cumsum([0] + [rows * width for width in network.widths])
            room = aligned_zeros(int(starts[-1]), network.dtype)
            parts.append((Activations(room, [(start, rows, width) for start, width in zip(starts, network.widths)]), begin, end))
    return parts
