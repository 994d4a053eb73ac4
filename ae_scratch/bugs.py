"""Well-known bugs of backward passes, to be planted for a while: how does a gradient check see them?"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .inputs import choose
from .kernels import reference as ops
from .kernels.reference import Array
from .layers import Dense
from .losses import MeanSquaredError
from .penalties import KLActivity, L1Activity

Backward = Any  # a function of arrays and numbers


class Bug(NamedTuple):
    """What is wrong, in words; what it replaces, an attribute of an owner; by what; and settings of a model that shows it."""

    what: str
    owner: Any
    attribute: str
    replacement: Any
    settings: dict[str, Any] = {}


@contextmanager
def planted(name: str) -> Iterator[Bug]:
    """Have a bug of that name in the NumPy engine's backward pass, until the end of the block; ValueError for an unknown one."""
    bug = BUGS[choose(name, BUGS, "bug")]
    original = getattr(bug.owner, bug.attribute)
    wrong = functools.wraps(original)(bug.replacement) if callable(original) else bug.replacement
    setattr(bug.owner, bug.attribute, wrong)
    try:
        yield bug
    finally:
        setattr(bug.owner, bug.attribute, original)


def _to(wrong: Backward) -> Backward:
    """A backward operation that computes something else of its operands, and takes ``out`` behind them."""
    count = wrong.__code__.co_argcount

    def backward(*operands: Any) -> Array:
        return np.add(wrong(*operands[:count]), 0, out=operands[count] if len(operands) > count else None)
    return backward


def _other_reduction(self: L1Activity, dY: Array, X: Array, Y: Array, out: Array | None = None) -> Array:
    strength = self.lam / len(X) if self.reduction == "sum" else self.lam
    return ops.l1_backward(dY, X, strength, out)


def _bias_mean(self: Dense, dY: Array, X: Array, dW: Array | None = None, db: Array | None = None) -> tuple[Array, ...]:
    return ops.weight_gradient(X, dY, self.W, self.weight_decay, dW), ops.mean_rows(dY, db)


def _last_row_missing(self: Dense, dY: Array, X: Array, dW: Array | None = None, db: Array | None = None) -> tuple[Array, ...]:
    return ops.weight_gradient(X[:-1], dY[:-1], self.W, self.weight_decay, dW), ops.sum_rows(dY[:-1], db)


def _cross_entropy(Z: Array, T: Array) -> tuple[Array, Array]:
    P = ops.sigmoid(Z)
    return _right_cross_entropy(Z, T)[0], (P - T) * P * (1 - P)


def _scale_by_features(D: Array, factor: float, out: Array | None = None) -> Array:
    return np.multiply(D, factor * len(D), out=out)


def _encoder_overwritten(A: Array, B: Array, C: Array | None = None) -> Array:
    return np.matmul(A, B, out=C)


_right_cross_entropy = ops.cross_entropy
_KL: dict[str, Any] = {"code_activation": "sigmoid", "kl_beta": 0.1}
_L1: dict[str, Any] = {"l1_activity": 1e-3}
_DECAY: dict[str, Any] = {"weight_decay": 1e-2}
BUGS: dict[str, Bug] = {
    "relu-mask": Bug("ReLU passes everything back, without its mask", ops, "relu_backward", _to(lambda dY, Y: dY)),
    "relu-mask-inverted": Bug("ReLU passes back where it was off", ops, "relu_backward", _to(lambda dY, Y: dY * (Y <= 0))),
    "sigmoid-slope": Bug("sigmoid' is taken as Y", ops, "sigmoid_backward", _to(lambda dY, Y: dY * Y), {"activation": "sigmoid"}),
    "tanh-slope": Bug("tanh' is taken as 1 - Y", ops, "tanh_backward", _to(lambda dY, Y: dY * (1 - Y)), {"activation": "tanh"}),
    "loss-mean": Bug("the loss's gradient lacks 1/N", ops, "scale", _scale_by_features),
    "mse-factor": Bug("the squared error's gradient lacks the factor 2", MeanSquaredError, "slope", 1.0, {"loss": "mse"}),
    "cross-entropy-slope": Bug("the sigmoid's derivative is multiplied in again, though it cancels", ops, "cross_entropy",
                               _cross_entropy),
    "bias-mean": Bug("the bias learns the mean over rows, not the sum", Dense, "parameter_gradients", _bias_mean),
    "last-row": Bug("the last row of the batch is forgotten in dW and db", Dense, "parameter_gradients", _last_row_missing),
    "l1-missing": Bug("the L1 penalty has no gradient", ops, "l1_backward", _to(lambda dY, A, strength: dY), _L1),
    "l1-sign": Bug("the L1 penalty pushes away from 0", ops, "l1_backward",
                   _to(lambda dY, A, strength: dY - strength * np.sign(A)), _L1),
    "l1-reduction": Bug("the L1 penalty's gradient is averaged where it is added up, and the other way round", L1Activity,
                        "input_gradient", _other_reduction, _L1),
    "kl-missing": Bug("the KL penalty has no gradient", ops, "kl_backward", _to(lambda dY, m, strength, rho: dY), _KL),
    "kl-mean": Bug("the KL penalty's gradient lacks 1/N", KLActivity, "strength", lambda self, rows: self.beta, _KL),
    "decay-missing": Bug("weight decay has no gradient", ops, "weight_gradient",
                         _to(lambda X, dY, W, weight_decay: X.T @ dY), _DECAY),
    "tied-overwritten": Bug("the decoder's share of a tied weight overwrites the encoder's", ops, "add_matmul",
                            _encoder_overwritten, {"tied_weights": True}),
}
