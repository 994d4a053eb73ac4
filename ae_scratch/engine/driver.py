"""The driver of the compiled engine: who computes what, on how many threads, and how long Python waits between two looks."""

from __future__ import annotations

import os
import threading
import time
from typing import Any, NamedTuple

import numpy as np

from ..kernels import linked, philox
from ..kernels.memory import ALIGNMENT, aligned_zeros
from ..kernels.reference import Array
from ..kernels.simd import SQUARE
from ..losses import Loss
from ..network import Network
from ..optimizers import Adam
from ..penalties import L1Activity
from ..progress import Progress
from ..training import Checkpoint, Figures, History, Job, all_finite, figures_of, interrupt_deferred, problem, record, replay
from .steps import apply, assess, steps
from .tables import KINDS, Activations, Columns, Gradients, Layers

CHUNK = 0.05  # seconds of a chunk: how long Ctrl-C and the progress line wait
TRIAL = 16  # steps that it takes to tell how fast some number of threads is
KEEP = 16  # steps from one copy of parameters and moments to the next, at least: it takes up to half of a large model's step
RETRY = 16  # chunks after which another number of threads is tried
BLOCK = 96  # rows that a thread encodes at a time: with the weights of the first layer they stay in its second cache


def shares(total: int, threads: int, unit: int) -> list[tuple[int, int]]:
    """Share out ``total`` rows in whole units: from where to where for each thread; the first ones get more, the last maybe
    none."""
    units = -(-total // unit)
    cuts = [min(unit * -(-units * i // threads), total) for i in range(threads + 1)]
    return list(zip(cuts, cuts[1:]))


class Place(NamedTuple):
    """Where a layer's W, of some shape, and its b begin in the vector of parameters; nothing of no shape for a layer without."""

    shape: tuple[int, int]
    W: int
    b: int


class Plan:
    """Buffers for batches of some size, and for each of some threads its share of rows and of weights."""

    def __init__(self, network: Network, loss: Loss, optimizer: str, rows: int, threads: int, own_target: bool,
                 gradient: Array):
        places, self.widths = places_of(network), network.widths
        self.rows, self.threads, self.gradient = rows, threads, gradient
        self.layers = layers_of(network, rows, type(loss).__name__, optimizer)
        self.slope = loss.slope / (rows * self.widths[-1])
        line = ALIGNMENT // network.dtype.itemsize
        self.starts = np.cumsum([0] + [-(-rows * width // line) * line for width in self.widths])
        self.A, self.dA = (aligned_zeros(int(self.starts[-1]), network.dtype) for _ in range(2))
        self.T = aligned_zeros(rows * self.widths[-1], network.dtype) if own_target else None
        self.figures = tuple(np.zeros(rows, network.dtype) for _ in range(2))
        weights = [shares(place.shape[0], threads, SQUARE) for place in places]
        self.shares = [self._share(thread, begin, end, places, [part[thread] for part in weights])
                       for thread, (begin, end) in enumerate(shares(rows, threads, SQUARE))]

    def _share(self, thread: int, begin: int, end: int, places: list[Place], weights: list[tuple[int, int]]) -> tuple[Any, ...]:
        """Rows begin to end of the batch and, of each W, the rows in ``weights``; b goes with the last thread."""
        mine = [(start + begin * width, end - begin, width) for start, width in zip(self.starts, self.widths)]
        everything = [(start, self.rows, width) for start, width in zip(self.starts, self.widths)]
        columns = [(*place, low, high) for place, (low, high) in zip(everything, weights)]
        with_b, unused = thread == self.threads - 1, len(self.gradient) - (thread + 1) * max(self.widths)
        grads, owned = [], [(0, 0)]
        for (shape, W, b), (low, high) in zip(places, weights):
            grads.append((W + low * shape[1], high - low, shape[1], b if with_b else unused, shape[1]))
            owned += [(W + low * shape[1], W + high * shape[1]), (b, b + shape[1] * with_b)]
        n_out = self.widths[-1]
        T = Activations(self.A, mine[:1]) if self.T is None else Activations(self.T, [(begin * n_out, end - begin, n_out)])
        return (begin, Activations(self.A, mine), Activations(self.dA, mine), T, Columns(self.A, columns),
                Activations(self.dA, everything), Gradients(self.gradient, grads), np.array(owned, np.int64))


def places_of(network: Network) -> list[Place]:
    """The place of each layer's parameters."""
    arrays = iter(zip(network.params.values(), network.params.starts))
    places = []
    for layer in network.layers:
        (W, start), (_, b) = [next(arrays) for _ in layer.parameters] or 2 * [(np.empty((0, 0)), 0)]
        places.append(Place(W.shape, start, b))
    return places


def layers_of(network: Network, rows: int, *others: str) -> Layers:
    """The layers as compiled code sees them, for batches of so many rows; others: names of the loss and the optimizer."""
    linked.load(network.dtype)  # here, because nothing runs without a table of layers
    table = [(KINDS.index(type(layer)), W, *shape, b, shape[1])
             for layer, (shape, W, b) in zip(network.layers, places_of(network))]
    lam = [layer.strength(rows) if isinstance(layer, L1Activity) else 0 for layer in network.layers]
    return Layers(network.params.vector, table, lam, *others)


class Engine:
    """A job's state in compiled form; runs steps on any number of threads, with the same result."""

    def __init__(self, job: Job, most_threads: int):
        self.job = job
        self.plans: dict[tuple[int, int], Plan] = {}
        theta, optimizer = job.network.params.vector, job.optimizer
        self.gradient = aligned_zeros(theta.size + most_threads * max(job.network.widths), theta.dtype)
        moments = [aligned_zeros(theta.size, theta.dtype) for _ in range(2)]
        if isinstance(optimizer, Adam):
            given, (optimizer.m, optimizer.v) = (optimizer.m, optimizer.v), moments
            self.settings = (optimizer.lr, optimizer.beta1, optimizer.beta2, optimizer.eps)
        else:
            given, optimizer.velocity = (optimizer.velocity, None), moments[0]
            self.settings = (optimizer.lr, optimizer.momentum, 1.0, 0.0)
        for moment, before in zip(moments, given):
            moment[:] = 0 if before is None else before
        self.state = (theta, self.gradient, *moments)

    def run(self, data: tuple[Any, ...], first: int, last: int, rows: int, figures: Array, threads: int) -> None:
        """Take the steps from first to before last, of ``rows`` rows each; step s begins at place s * batch_size of the order.

        data: see ``data_of``. figures (steps, 2): each step's sums of loss and penalty are added.
        """
        key, job, optimizer = (rows, threads), self.job, self.job.optimizer
        if key not in self.plans:
            name, own_target = type(optimizer).__name__, data[1].size > 0
            self.plans[key] = Plan(job.network, job.loss, name, rows, threads, own_target, self.gradient)
        plan = self.plans[key]
        powers = getattr(optimizer, "beta1_t", 1.0), getattr(optimizer, "beta2_t", 1.0)
        common = (np.zeros(1, np.int64), threads, plan.layers, data, first, last, job.batch_size, plan.slope, plan.figures,
                  figures, self.settings, self.state, powers)
        powers = in_threads(steps, [(share, *common) for share in plan.shares])
        if isinstance(optimizer, Adam):
            optimizer.beta1_t, optimizer.beta2_t = powers

    def step(self, data: tuple[Any, ...], step: int, rows: int, figures: Array, threads: int) -> Array:
        """Take one step, and return its figures, written anew."""
        figures[step] = 0
        self.run(data, step, step + 1, rows, figures, threads)
        return figures[step]


def in_threads(function: Any, calls: list[tuple[Any, ...]]) -> Any:
    """Make the calls at the same time, the first one in this thread, and return its result."""
    workers = [threading.Thread(target=function, args=call, daemon=True) for call in calls[1:]]
    for worker in workers:
        worker.start()
    result = function(*calls[0])
    for worker in workers:
        worker.join()
    return result


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pace:
    """How many threads to use and how many steps to take at a time, from the speed of the chunks so far.

    The number of threads changes no bit, so it may be tried out: every number once at first, another one now and then, else the
    fastest. A machine that gets busy is noticed.
    """

    def __init__(self, threads: int | None):
        most = min(cores(), 32)
        self.candidates = [threads] if threads else [n for n in (1, 2, 4, 8, 16) if n < most] + [most]
        self.seconds: dict[int, float] = {}  # per step, when last tried
        self.chunks = 0

    def next(self) -> tuple[int, int]:
        """Return how many threads to use for the next chunk, and for how many steps."""
        untried = [n for n in self.candidates if n not in self.seconds]
        if untried:
            return untried[0], TRIAL
        self.chunks += 1
        fastest = min(self.candidates, key=self.seconds.__getitem__)
        threads = self.candidates[self.chunks // RETRY % len(self.candidates)] if self.chunks % RETRY == 0 else fastest
        return threads, max(1, round(CHUNK / self.seconds[fastest]) if threads == fastest else TRIAL)

    def took(self, threads: int, steps: int, seconds: float) -> None:
        self.seconds[threads] = seconds / steps


def train(job: Job, epochs: int, history: History, progress: Progress | None = None, threads: int | None = None) -> None:
    """Do what ``training.train`` does, compiled. threads: how many, None for as many as turn out to pay."""
    pace, n, batch = Pace(threads), len(job.X), job.batch_size
    engine, whole = Engine(job, max(pace.candidates)), n // batch
    sizes = np.diff([*range(0, n, batch), n])
    with interrupt_deferred() as interrupted:
        for epoch in range(epochs):
            data, sums, first = data_of(job, philox.permutation(job.seed, epoch, n), epoch), np.zeros((len(sizes), 2)), 0
            good = Checkpoint(job)
            while first < len(sizes):
                count, chunk = pace.next()
                last = min(first + chunk, whole) if first < whole else first + 1
                if not pace.seconds:
                    engine.run(data, 0, 0, int(sizes[0]), sums, 1)  # no step: compiles, so that the pace knows steps alone
                started = time.perf_counter()
                engine.run(data, first, last, int(sizes[first]), sums, count)
                if first < whole:
                    pace.took(count, last - first, time.perf_counter() - started)
                stop = interrupted.is_set()
                look = stop or last == len(sizes) or last - good.step >= KEEP
                if not all_finite(sums[first:last]) or (look and problem(job, sums[first:last])):
                    replay(job, good, epoch, last, lambda step: engine.step(data, step, int(sizes[step]), sums, count))
                if look:
                    good = Checkpoint(job, last)
                first, seen = last, sizes[:last].sum()
                figures = figures_of(sums[:last, 0].sum() / (seen * job.T.shape[1]), (sums[:last, 1] @ sizes[:last]) / seen)
                if progress:
                    progress.batch(epoch, seen / n, figures["objective"])
                if stop:
                    raise KeyboardInterrupt
            record(history, figures, epoch, progress)
        if interrupted.is_set():  # in the last moments of the last epoch
            raise KeyboardInterrupt


def data_of(job: Job, order: Array, epoch: int) -> tuple[Any, ...]:
    """What a batch is made of: X, T (without rows if it is the same as X, noise included), what divides them, the order of an
    epoch, the noise."""
    noise = job.noise and job.noise.settings(job.seed, epoch)
    T = job.T[:0] if job.T is job.X and noise is None else job.T
    return job.X, T, number_or_none(job.network, job.divisor), order, noise


def number_or_none(network: Network, divisor: float | None) -> Any:
    """The divisor in the network's dtype, or None: without one the compiled code does not divide."""
    return None if divisor is None else network.dtype.type(divisor)


def predict(network: Network, X: Array, threads: int | None = None, divisor: float | None = None) -> Array:
    """Return the network's output for X, divided as it is read, compiled; a row's numbers do not depend on the other rows, nor
    on the threads."""
    out = np.empty((len(X), network.widths[-1]), network.dtype)
    layers, divisor = layers_of(network, 1), number_or_none(network, divisor)
    in_threads(apply, [(A, layers, X, divisor, out, begin, end) for A, begin, end in blocks(network, len(X), threads)])
    return out


def evaluate(network: Network, loss: Loss, X: Array, T: Array, batch_size: int, threads: int | None = None,
             divisor: float | None = None) -> Figures:
    """Do what ``training.evaluate`` does, compiled."""
    layers = layers_of(network, batch_size, type(loss).__name__)
    losses, penalties = np.zeros(len(X), network.dtype), np.zeros(len(X), network.dtype)
    divisor = number_or_none(network, divisor)
    in_threads(assess, [(A, np.empty((2, A.places[0, 1], T.shape[1]), network.dtype), layers, X, T, divisor, losses, penalties,
                         begin, end) for A, begin, end in blocks(network, len(X), threads)])
    return figures_of(losses.sum(dtype=np.float64) / T.size, batch_size * penalties.mean(dtype=np.float64))


def blocks(network: Network, n: int, threads: int | None) -> list[tuple[Activations, int, int]]:
    """Share out n rows: for each thread from where to where, and room for the activations of some at a time."""
    parts = []
    for begin, end in shares(n, threads or cores(), SQUARE):
        if begin < end:
            rows = min(end - begin, BLOCK)
            starts = np.cumsum([0] + [rows * width for width in network.widths])
            room = aligned_zeros(int(starts[-1]), network.dtype)
            parts.append((Activations(room, [(start, rows, width) for start, width in zip(starts, network.widths)]), begin, end))
    return parts
