"""Running one training step and keeping what comes up."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..kernels import reference as ops
from ..kernels.memory import Arrays
from ..kernels.reference import Array
from ..layers import Dense, Layer, TiedDense
from ..losses import BinaryCrossEntropy, Loss
from ..network import Network, backward, forward, parameter_gradients
from ..noise import GaussianNoise
from ..optimizers import SGD, Adam
from ..penalties import KLActivity, L1Activity
from ..training import Job, batch_of, batches_of, figures_of
from .result import Entry, Product, Trace
from .source import definition_of, formula_of, operation_of, source_of

if TYPE_CHECKING:
    from ..fitting import Fitted

HATS = ",  m_hat = m / (1 - beta1_t),  v_hat = v / (1 - beta2_t)"
SUMS = {L1Activity: "penalty = strength * sum over rows and units of |A|",
        KLActivity: "penalty = beta * sum over units of rho log(rho / m) + (1 - rho) log((1 - rho) / (1 - m))"}
PENALTIES = {L1Activity: "l1", KLActivity: "kl"}


class Step(NamedTuple):
    """What the parts of a recorded step share."""

    job: Job
    epoch: int
    names: list[str]  # of the batch and of each layer's output
    prefixes: list[str]  # of each layer's parameters, "" where it has none
    entries: list[Entry]

    def put(self, kind: str, name: str, value: Any, function: Callable[..., Any], inputs: dict[str, str | float],
            product: Product | None = None, formula: str | None = None, mark: str = "ops.", number: int = 0) -> str:
        """Add an entry that ``function`` has computed, and return its name.

        mark: what the line of the function that computes it contains; number: the place of its formula in the docstring, and of
        its operation in that line.
        """
        source = source_of(function, mark)
        self.entries.append(Entry(name, kind, formula or formula_of(function, number), source, definition_of(source, number),
                                  operation_of(source, number), inputs, product, np.array(value)))
        return name


def trace(job: Job, model: Fitted, name: str) -> Trace:
    """Return the first step of the next epoch of a job, without taking it; name: what to call the model."""
    epoch, layers = len(model.history.get("objective", ())), job.network.layers
    rows = batches_of(job, epoch)[0]
    step = Step(job, epoch, _names(layers, model.encoder_layers, job.loss), _prefixes(job.network), [])
    T, target = _data(step, rows)
    X = batch_of(job, epoch, rows)[0]
    A, D = _forward(step, X, T, target, model.network.layers[-1])
    dA, grads = _backward(step, A, D)
    _update(step, grads)
    return Trace(name, repr(job.loss), repr(job.optimizer), epoch, np.atleast_1d(rows).tolist(), step.entries)


def _names(layers: tuple[Layer, ...], encoder_layers: int, loss: Loss) -> list[str]:
    """x, z1, a1, ..., code, ..., logits or y: the batch and each layer's output."""
    names, count = ["x"], 0
    inner = sum(bool(layer.parameters) for layer in layers[:encoder_layers])
    for layer in layers[:-1]:
        count += bool(layer.parameters)
        if type(layer) in PENALTIES:
            names.append(f"{names[-1]}_{PENALTIES[type(layer)]}")
        else:
            names.append(f"z{count}" if layer.parameters else "code" if count == inner else f"a{count}")
    return [*names, "logits" if isinstance(loss, BinaryCrossEntropy) else "y"]


def _prefixes(network: Network) -> list[str]:
    """What the parameters of each layer are called, up to the last dot."""
    names = iter(network.params)
    owned = [[next(names) for _ in layer.parameters] for layer in network.layers]
    return [own[0].rpartition(".")[0] if own else "" for own in owned]


def _weights(step: Step, layer: Layer, i: int) -> str:
    """The name of the matrix that a layer multiplies with."""
    source = layer.source if isinstance(layer, TiedDense) else layer
    return f"{step.prefixes[step.job.network.layers.index(source)]}.W"


def _data(step: Step, rows: Array) -> tuple[Array, str]:
    """Inputs and targets as the step reads them; returns the targets and their name."""
    job, name = step.job, "x"
    X, T = batch_of(job._replace(noise=None), step.epoch, rows)
    if job.scaling is None:
        step.put("forward", name, X, batch_of, {}, formula="x = rows of X", mark="as_floats")
    else:
        step.put("forward", name, job.X[rows], batch_of, {}, formula="x = rows of X", mark="as_floats")
        name = _scaled(step, X, name)
    target = name if job.T is job.X else step.put("forward", "t", T, batch_of, {}, formula="t = rows of y", mark="job.T[rows]")
    if job.noise is not None:
        mark = "philox.add_noise" if isinstance(job.noise, GaussianNoise) else "philox.replace"
        formula = f"{name} corrupted by {job.noise!r}"
        name = step.put("forward", "x_noisy", batch_of(job, step.epoch, rows)[0], job.noise.corrupt, {"X": name}, formula=formula,
                        mark=mark)
    step.names[0] = name
    return T, target


def _scaled(step: Step, X: Array, name: str) -> str:
    """Inputs in the units of the network, and what they are scaled by."""
    scaling = step.job.scaling
    assert scaling is not None
    if scaling.offset is None:
        return step.put("forward", "x_scaled", X, scaling.apply, {"x": name}, formula=f"x / {scaling.scale:g}", mark="dtype.type")
    for about in ("offset", "scale"):
        step.put("forward", about, getattr(scaling, about), type(scaling).__init__, {}, formula=f"{about} of each feature")
    return step.put("forward", "x_scaled", X, scaling.apply, {"x": name, "offset": "offset", "scale": "scale"},
                    formula="(x - offset) / scale", mark="np.float64")


def _forward(step: Step, X: Array, T: Array, target: str, output: Layer) -> tuple[list[Array], Array]:
    """All activations, the reconstruction, and the terms of the objective; returns the activations and the loss's residual."""
    network, names = step.job.network, step.names
    A = network.activations(X)
    forward(network.layers, A)
    for i, layer in enumerate(network.layers):
        inputs: dict[str, str | float] = {"X": names[i]}
        product = None
        if isinstance(layer, (Dense, TiedDense)):
            product = _affine(step, layer, i, inputs)
        step.put("forward", names[i + 1], A[i + 1], layer.forward, inputs, product)
    if names[-1] != "y":
        step.put("forward", "y", output.forward(A[-1])[0], output.forward, {"X": names[-1]})
    return A, _objective(step, A, T, target)


def _affine(step: Step, layer: Dense | TiedDense, i: int, inputs: dict[str, str | float]) -> Product:
    """The parameters of a layer, which become inputs of its output, and that output's dot products."""
    for name in layer.parameters:
        full = f"{step.prefixes[i]}.{name}"
        step.put("forward", full, step.job.network.params[full], type(layer).__init__, {}, formula=f"{name} of {layer!r}",
                 mark=f"self.{name}")
    inputs.update(W=_weights(step, layer, i), b=f"{step.prefixes[i]}.b")
    return Product(step.names[i], str(inputs["W"]), right_transposed=isinstance(layer, TiedDense), add=str(inputs["b"]))


def _objective(step: Step, A: list[Array], T: Array, target: str) -> Array:
    """Loss, penalties and their sum; returns the residual."""
    loss, network = step.job.loss, step.job.network
    inputs: dict[str, str | float] = {"Z" if step.names[-1] == "logits" else "Y": step.names[-1], "P": "y", "T": target}
    value, D = loss.forward(A[-1], T)
    inputs["D"] = step.put("forward", "residual", D, loss.rows, dict(inputs), formula=formula_of(loss.rows, 1))
    step.put("forward", "loss_rows", loss.rows(A[-1], T)[0], loss.rows, _letters(formula_of(loss.rows), inputs))
    step.put("forward", "loss", value, loss.forward, {"rows": "loss_rows", "N": len(D), "n": D.shape[1]},
             formula="loss = sum of rows / (N n)", mark="D.size")
    terms = _penalties(step, A)
    step.put("forward", "penalty", network.penalty(A), network.penalty, terms, formula="penalty = sum of the penalties")
    figures = figures_of(value, network.penalty(A))
    step.put("forward", "objective", figures["objective"], figures_of, {"loss": "loss", "penalty": "penalty"},
             formula="objective = loss + penalty")
    return D


def _penalties(step: Step, A: list[Array]) -> dict[str, str | float]:
    """The value of each penalty; returns their names."""
    terms: dict[str, str | float] = {}
    for i, layer in enumerate(step.job.network.layers):
        if type(layer) in PENALTIES or layer.penalty(A[i + 1]):
            name = f"penalty_{PENALTIES.get(type(layer), step.prefixes[i])}"
            inputs: dict[str, str | float] = {"W": f"{step.prefixes[i]}.W"} if layer.parameters else {"A": step.names[i]}
            inputs.update(_strength(step, layer, i, A[i]))
            if isinstance(layer, KLActivity):
                step.put("forward", str(inputs["m"]), layer.mean(A[i]), layer.mean, {"A": step.names[i]})
            formula = SUMS.get(type(layer)) or formula_of(layer.penalty_of)
            terms[name] = step.put("forward", name, layer.penalty(A[i + 1]), layer.penalty_of, _letters(formula, inputs),
                                   formula=formula)
    return terms


def _strength(step: Step, layer: Layer, i: int, A: Array) -> dict[str, str | float]:
    """The numbers in the formulas of a penalty, layer i."""
    if isinstance(layer, L1Activity):
        return {"strength": layer.strength(len(A))}
    if isinstance(layer, KLActivity):
        return {"beta": layer.beta, "rho": layer.rho, "m": f"{step.names[i]}_mean", "N": len(A)}
    return {"weight_decay": layer.weight_decay} if isinstance(layer, Dense) and layer.weight_decay else {}


def _backward(step: Step, A: list[Array], D: Array) -> tuple[list[Array], Arrays]:
    """The gradient at every activation, from the last to the first, then those of the parameters."""
    loss, network, names = step.job.loss, step.job.network, step.names
    dA = [np.empty_like(a) for a in A[:-1]] + [loss.backward(D)]
    step.put("backward", f"d{names[-1]}", dA[-1], loss.backward,
             {"D": "residual", "slope": loss.slope, "N": len(D), "n": D.shape[1]})
    backward(network.layers, A, dA)
    for i in range(len(network.layers) - 1, -1, -1):
        layer, dY, product = network.layers[i], f"d{names[i + 1]}", None
        inputs: dict[str, str | float] = {"dY": dY, "X": names[i], "Y": names[i + 1], **_strength(step, layer, i, A[i])}
        if isinstance(layer, (Dense, TiedDense)):
            inputs = {"dY": dY, "W": _weights(step, layer, i)}
            product = Product(dY, str(inputs["W"]), right_transposed=isinstance(layer, Dense))
        step.put("backward", f"d{names[i]}", dA[i], layer.input_gradient, inputs, product)
    return dA, _parameters(step, A, dA)


def _parameters(step: Step, A: list[Array], dA: list[Array]) -> Arrays:
    """The gradients of the parameters, from the first layer to the last; a tied one adds to the matrix of its source."""
    network = step.job.network
    grads = network.params.zeros_like()
    groups = network.per_layer(grads)
    shared = {id(layer.source) for layer in network.layers if isinstance(layer, TiedDense)}
    for i, layer in enumerate(network.layers):
        part = slice(i, i + 1)
        parameter_gradients(network.layers[part], A[i:i + 2], dA[i:i + 2], groups[part])
        if isinstance(layer, (Dense, TiedDense)):
            _matrix(step, layer, i, groups[i][0], id(layer) in shared)
            dY = f"d{step.names[i + 1]}"
            step.put("backward", f"d{step.prefixes[i]}.b", groups[i][1], layer.parameter_gradients, {"dY": dY}, Product(dY, None),
                     number=1)
    return grads


def _matrix(step: Step, layer: Dense | TiedDense, i: int, dW: Array, shared: bool) -> None:
    """The gradient of a matrix; of one that is shared, what its own layer says first, then the sum."""
    X, dY, W = step.names[i], f"d{step.names[i + 1]}", _weights(step, layer, i)
    inputs: dict[str, str | float] = {"X": X, "dY": dY, "W": W, **_strength(step, layer, i, dW)}
    if isinstance(layer, TiedDense):
        product = Product(dY, X, left_transposed=True, add=f"d{W}_own")
        inputs = {"X": X, "dY": dY, "dW": f"d{W}_own"}
    else:
        product = Product(X, dY, left_transposed=True, add=W if layer.weight_decay else None, scale=layer.weight_decay or 1.0)
    step.put("backward", f"d{W}_own" if shared else f"d{W}", dW, layer.parameter_gradients, inputs, product)


def _update(step: Step, grads: Arrays) -> None:
    """The moments and the parameters after the step, which a copy of the optimizer takes on a copy of the parameters."""
    optimizer, params = copy.deepcopy(step.job.optimizer), step.job.network.params
    update, moments = (ops.adam, ("m", "v")) if isinstance(optimizer, Adam) else (ops.sgd, ("velocity",))
    theta = params.vector.copy()
    before = {name: _moment(optimizer, name, params) for name in moments}
    optimizer.step(theta, grads.vector)
    after = {name: Arrays(params.shapes, params.dtype, getattr(optimizer, name)) for name in moments}
    state: dict[str, str | float] = {name: value for name, value in vars(optimizer).items() if isinstance(value, float)}
    last = formula_of(update, len(moments)) + (HATS if update is ops.adam else "")
    for name in params:
        made: dict[str, str | float] = {"theta": name, "g": f"d{name}", **state}
        for number, moment in enumerate(moments):
            formula = formula_of(update, number)
            made[moment] = step.put("update", f"old {moment} {name}", before[moment][name], type(optimizer).__init__, {},
                                    formula=f"{moment} before the step", mark=f"self.{moment}:")
            made[moment] = step.put("update", f"{moment} {name}", after[moment][name], optimizer.step, _letters(formula, made),
                                    formula=formula)
        step.put("update", f"new {name}", Arrays(params.shapes, params.dtype, theta)[name], optimizer.step, _letters(last, made),
                 formula=last)


def _moment(optimizer: SGD | Adam, name: str, params: Arrays) -> Arrays:
    """A copy of an optimizer's moment of all parameters, 0 before the first step."""
    moment: Array | None = getattr(optimizer, name)
    return params.zeros_like() if moment is None else Arrays(params.shapes, params.dtype, moment.copy())


def _letters(formula: str, values: dict[str, str | float]) -> dict[str, str | float]:
    """Those of the values that a formula speaks of."""
    return {letter: value for letter, value in values.items() if re.search(rf"\b{letter}\b", formula)}
