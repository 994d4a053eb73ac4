"""What the compiled engine makes of a ``cases.Case``: its objective and its gradients, by the code that trains."""

import numpy as np
from numba import njit

from ae_scratch import SGD
from ae_scratch.engine import driver, steps
from ae_scratch.engine.tables import DECAY, KINDS
from ae_scratch.kernels.inner import OPTIONS
from ae_scratch.training import Job


def compile_every_kind(monkeypatch):
    """Have every chain compiled as if it had all kinds of layers: once, in place of once for each combination."""
    original = driver.layers_of

    def layers_of(*arguments, **settings):
        layers = original(*arguments, **settings)
        layers.present |= {kind.__name__ for kind in KINDS} | {DECAY}
        return layers
    monkeypatch.setattr(driver, "layers_of", layers_of)


@njit(**OPTIONS)
def down_to_the_input(layers, A, dA):
    steps.backward(layers, A, dA, 0)


def gradients(case, threads=2):
    """The gradient that a training step leaves behind, by name."""
    return gradients_and_plan(case, threads)[0]


def gradients_with_inputs(case, threads=2):
    """The same and, as "X", the gradient by the inputs, made of what the step left."""
    grads, plan = gradients_and_plan(case, threads)
    for _, layers, _, _, A, dA, *_ in plan.shares:
        down_to_the_input(layers, A, dA)
    return {**grads, "X": plan.dA[:case.X.size].reshape(case.X.shape).copy()}


def gradients_and_plan(case, threads):
    vector, rows = case.network.params.vector, len(case.X)
    engine, kept = driver.Engine(Job(case.network, case.loss, SGD(1.0), case.X, case.T, rows, 0)), vector.copy()
    data = driver.data_of(engine.job, np.arange(rows), 0)
    engine.run(data, 0, 1, rows, np.zeros((1, 2)), threads)
    vector[:] = kept
    grads = case.network.params.zeros_like()
    grads.vector[:] = engine.gradient[:vector.size]
    return grads, engine.plan(rows, threads, own_target=True)


def objective(case):
    """The objective of the case's batch."""
    return driver.evaluate(case.network, case.loss, case.X, case.T, len(case.X), threads=1)["objective"]
