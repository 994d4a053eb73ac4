"""What one thread does in a chunk of steps: compiled as one call, without the GIL.

In each step the threads share out the rows of the batch, through forward and backward; they meet; then the rows of the
weights, through gradients and update; they meet again. Every number is computed by one thread, over the whole of its sum, in
one order: the result does not depend on how many threads there are.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from .. import network
from ..kernels import compiled_noise, philox  # noqa: F401  compiled_noise teaches Numba how philox makes noise
from ..kernels import reference as ops
from ..kernels.cache import cached_jit
from ..kernels.compiled import inlined, jit
from ..kernels.file_rows import read_row
from ..kernels.inner import COUNTED, INNER, OUTER
from ..kernels.simd import arrive, arrived, let_others_run, part, some_rows
from ..noise import Added
from . import tables  # noqa: F401  teaches Numba what a table is
from .tables import DECAY, KL, L1, Descents, descends

SPINS = 2000  # looks at the counter before a waiting thread offers its processor to others

forward, backward, parameter_gradients = map(inlined, (network.forward, network.backward, network.parameter_gradients))


@jit
def meet(counter, goal):
    """Wait until all threads have come here: until the counter has reached the goal."""
    arrive(counter)
    spins = 0
    while arrived(counter) < goal:
        spins += 1
        if spins > SPINS:
            let_others_run()


def scaled(x, j, scaling, number):
    """The number x of feature j as a model of that dtype reads it."""


@overload(scaled, jit_options=INNER)
def _scaled(x, j, scaling, number):
    if isinstance(scaling, types.NoneType):
        return lambda x, j, scaling, number: number(x)
    if isinstance(scaling, types.Float):
        return lambda x, j, scaling, number: number(x) / scaling

    def per_feature(x, j, scaling, number):
        offset, scale = scaling
        return number((np.float64(x) - offset[j]) / scale[j])
    return per_feature


def read(data, row, scaling, out, i):
    """out[i] = a row of data, converted and scaled."""


@overload(read, jit_options=COUNTED)
def _read(data, row, scaling, out, i):
    def from_array(data, row, scaling, out, i):
        for j in range(out.shape[1]):
            out[i, j] = scaled(data[row, j], j, scaling, out.dtype.type)

    def from_file(data, row, scaling, out, i):
        room = np.empty((1, out.shape[1]), data.nothing.dtype)
        if read_row(data, row, room):
            from_array(room, 0, scaling, out, i)
        else:
            out[i] = np.nan  # the file was cut off since it was mapped: the objective will tell

    def as_it_is(data, row, scaling, out, i):
        if not read_row(data, row, some_rows(out, i, 1)):
            out[i] = np.nan

    if isinstance(data, types.Array):
        return from_array
    from_array = inlined(from_array)
    return as_it_is if isinstance(scaling, types.NoneType) and data.types[3].dtype == out.dtype else from_file


@jit
def gather(data, scaling, order, start, out):
    """The rows of data that come up in the order from ``start`` on."""
    for i in range(out.shape[0]):
        read(data, order[start + i], scaling, out, i)


@jit
def read_block(data, scaling, start, out):
    """The rows of data from ``start`` on."""
    for i in range(out.shape[0]):
        read(data, start + i, scaling, out, i)


def corrupt(X, noise, order, start):
    """Add the noise, if there is any, to rows of data that come up in the order from ``start`` on."""


@overload(corrupt, jit_options=INNER)
def _corrupt(X, noise, order, start):
    if isinstance(noise, types.NoneType):
        return lambda X, noise, order, start: None

    make = philox.add_noise if noise.instance_class is Added else philox.replace

    def corrupt(X, noise, order, start):
        first, low, high, seed, epoch = noise
        make(X, first, low, high, seed, epoch, part(order, start, X.shape[0]), X)
    return corrupt


@intrinsic
def row_losses(context, layers):
    """The function that writes each row's sum of losses over features, and their gradient: a type without content."""
    loss = ops.cross_entropy if "BinaryCrossEntropy" in layers.present else ops.squared_error
    return context.resolve_value_type(loss)(layers), lambda context, *_: context.get_dummy_value()


def row_penalties(layers, A, rows):
    """Each row's sum of penalties over units; rows is left alone if there are no penalties."""


@overload(row_penalties, jit_options=COUNTED)
def _row_penalties(layers, A, rows):
    if "L1Activity" not in layers.present:
        return lambda layers, A, rows: None

    def row_penalties(layers, A, rows):
        sizes = np.empty_like(rows)
        rows[:] = 0
        for i in range(len(layers)):
            if layers[i].kind == L1:
                ops.l1(A[i + 1], sizes)
                for n in range(rows.size):
                    rows[n] += sizes[n] * layers[i].lam
    return row_penalties


def batch_means(layers, A, counter, threads, goal):
    """Meet, and take the means over the whole batch that penalties are made of; nothing if no penalty is. Returns the goal of
    the last meeting."""


@overload(batch_means, jit_options=INNER)
def _batch_means(layers, A, counter, threads, goal):
    if "KLActivity" not in layers.present:
        return lambda layers, A, counter, threads, goal: goal

    def batch_means(layers, A, counter, threads, goal):
        meet(counter, goal + threads)
        for i in range(len(layers)):
            if layers[i].kind == KL:
                ops.mean_rows(A[i + 1], layers[i].room)
        return goal + threads
    return batch_means


def weight_penalties(weights):
    """Each row's penalty of weights with weight decay, into the room of their layer."""


@overload(weight_penalties, jit_options=INNER)
def _weight_penalties(weights):
    if DECAY not in weights.present:
        return lambda weights: None

    def weight_penalties(weights):
        for i in range(len(weights)):
            layer = weights[i]
            if layer.room.size:
                ops.squares(layer.W, layer.room)
                for n in range(layer.room.size):
                    layer.room[n] *= layer.weight_decay / 2
    return weight_penalties


def penalty_of_means(layers, rows):
    """The sum of the penalties that are made of means over a batch of so many rows."""


@overload(penalty_of_means, jit_options=COUNTED)
def _penalty_of_means(layers, rows):
    if "KLActivity" not in layers.present:
        return lambda layers, rows: 0.0

    def penalty_of_means(layers, rows):
        penalty = 0.0
        for i in range(len(layers)):
            if layers[i].kind == KL:
                terms = np.empty_like(layers[i].room)
                ops.kl(layers[i].room, layers[i].rho, terms)
                for j in range(terms.size):
                    penalty += layers[i].lam * rows * terms[j]
        return penalty
    return penalty_of_means


def destinations(weights, grads, state, settings, beside, a_t, b_t):
    """Where the gradients go: into arrays, or along them."""


@overload(destinations, jit_options=COUNTED)
def _destinations(weights, grads, state, settings, beside, a_t, b_t):
    if not descends(weights.present):
        return lambda weights, grads, state, settings, beside, a_t, b_t: grads

    def destinations(weights, grads, state, settings, beside, a_t, b_t):
        lr, beta1, beta2, eps = settings
        return Descents(grads, state, (lr, beta1, beta2, eps, a_t, b_t), beside)
    return destinations


def update(layers, settings, state, s, e, a_t, b_t):
    """One step of the optimizer for the parameters from s to before e."""


@overload(update, jit_options=INNER)
def _update(layers, settings, state, s, e, a_t, b_t):
    if descends(layers.present):
        return lambda layers, settings, state, s, e, a_t, b_t: None

    if "SGD" in layers.present:
        def sgd(layers, settings, state, s, e, a_t, b_t):
            theta, g, velocity, _ = state
            lr, momentum, _, _ = settings
            ops.sgd(part(theta, s, e - s), part(g, s, e - s), part(velocity, s, e - s), lr, momentum)
        return sgd

    def adam(layers, settings, state, s, e, a_t, b_t):
        theta, g, m, v = state
        lr, beta1, beta2, eps = settings
        n = e - s
        ops.adam(part(theta, s, n), part(g, s, n), part(m, s, n), part(v, s, n), lr, beta1, beta2, eps, a_t, b_t)
    return adam


@cached_jit(**OUTER)
def steps(share, counter, threads, data, first, last, batch, slope, rows, figures, settings, state, powers):
    """Take the steps from ``first`` to before ``last``, as one of several threads; the one with row 0 adds up the figures."""
    begin, layers, weights, all_A, A, dA, T_batch, columns, all_dA, grads, owned = share
    X, T, scaling, order, noise = data
    a_t, b_t = powers
    depth, goal, end = len(layers), 0, begin + A[0].shape[0]
    losses, penalties = rows
    for step in range(first, last):
        place = step * batch + begin
        gather(X, scaling, order, place, A[0])
        corrupt(A[0], noise, order, place)
        if T.size:
            gather(T, scaling, order, place, T_batch[0])
        forward(layers, A)
        goal = batch_means(layers, all_A, counter, threads, goal)
        row_losses(layers)(A[depth], T_batch[0], slope, losses[begin:end], dA[depth])
        row_penalties(layers, A, penalties[begin:end])
        weight_penalties(weights)
        backward(layers, A, dA, 1)
        goal += threads
        meet(counter, goal)
        if begin == 0:
            for n in range(losses.size):
                figures[step, 0] += losses[n]
                figures[step, 1] += penalties[n]
            figures[step, 1] += penalty_of_means(layers, losses.size)
            for n in range(weights.room.size):
                figures[step, 1] += weights.room[n]
        a_t *= settings[1]
        b_t *= settings[2]
        parameter_gradients(weights, columns, all_dA, destinations(weights, grads, state, settings, threads > 1, a_t, b_t))
        for i in range(owned.shape[0]):
            update(layers, settings, state, owned[i, 0], owned[i, 1], a_t, b_t)
        goal += threads
        meet(counter, goal)
    return a_t, b_t


@cached_jit(**OUTER)
def apply(A, layers, X, scaling, out, first, last):
    """Write the output for rows first to before last of X, as many at a time as A holds.

    The last of these blocks reaches back into the one before: the same rows get the same numbers twice.
    """
    rows, depth = A[0].shape[0], len(layers)
    for start in range(first, last, rows):
        start = min(start, last - rows)
        read_block(X, scaling, start, A[0])
        forward(layers, A)
        ops.copy(A[depth], out[start:start + rows])


@cached_jit(**OUTER)
def assess(A, room, layers, X, T, scaling, losses, penalties, first, last):
    """Write each row's loss (a sum over features) and penalty, for rows first to before last of X and T, in blocks as
    ``apply``."""
    rows, depth = A[0].shape[0], len(layers)
    for start in range(first, last, rows):
        start = min(start, last - rows)
        stop = start + rows
        read_block(X, scaling, start, A[0])
        read_block(T, scaling, start, room[0])
        forward(layers, A)
        row_losses(layers)(A[depth], room[0], 1.0, losses[start:stop], room[1])
        row_penalties(layers, A, penalties[start:stop])
