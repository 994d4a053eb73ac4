"""Small networks for gradient checks, off every kink and with nothing vacuous, and the comparison that judges a gradient."""

import itertools

import numpy as np
import oracle

from ae_scratch import (BinaryCrossEntropy, Dense, Identity, KLActivity, L1Activity, MeanSquaredError, Network, ReLU, Sigmoid,
                        Tanh, TiedDense)
from ae_scratch.gradcheck import numerical_gradient
from ae_scratch.network import objective, objective_and_gradients

ROWS = 13
H = 1e-5
GAINS = {"relu": 1.6, "sigmoid": 4.5, "tanh": 1.4, "identity": 1.0}  # on Glorot's weights: gradients that do not fade with depth
ACTIVATIONS = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh, "identity": Identity}
LOSSES = {"binary_crossentropy": BinaryCrossEntropy, "mse": MeanSquaredError}


class Case:
    """sizes[0]-...-sizes[-1] with one activation behind every layer but the last and penalties behind layer ``code``.

    kl: beta and rho of a KLActivity. tied: whether the layers behind layer ``code`` go back through those in front of it.
    """

    def __init__(self, seed, sizes, activation="relu", loss="binary_crossentropy", lam=0.0, reduction="sum", code=1, output=None,
                 rows=ROWS, weight_decay=0.0, kl=None, tied=False):
        self.loss_name, self.loss = loss, LOSSES[loss]()
        for attempt in itertools.count():
            rng = np.random.default_rng([seed, attempt])
            self.network, self.model = self._chain(rng, sizes, activation, lam, reduction, code, output, weight_decay, kl, tied)
            X = rng.normal(size=(4 * rows, sizes[0]))
            self.X = X[self.network.kink_distance(X) > 100 * H][:rows]
            self.T = rng.uniform(size=(rows, sizes[-1]))
            if len(self.X) == rows and self._alive() and self._measurable():
                return
            assert attempt < 1000, "no network without kinks and dead units found"

    @staticmethod
    def _chain(rng, sizes, activation, lam, reduction, code, output, weight_decay, kl, tied):
        """The package's network, and the oracle's model over a complex copy of the same numbers."""
        layers, model, sources = [], [], []
        for i, (n_in, n_out) in enumerate(zip(sizes, sizes[1:]), start=1):
            if tied and i > code:
                source, W = sources.pop()
                dense, step = TiedDense(source), ["tied", W]
            else:
                dense = Dense(n_in, n_out, rng, np.float64, weight_decay)
                dense.W *= GAINS[activation]
                step = ["dense", dense.W.astype(complex)]
                sources.append((dense, step[1]))
            dense.b += rng.normal(scale=0.2, size=n_out)
            layers.append(dense)
            model.append([*step, dense.b.astype(complex)] + ([weight_decay] if step[0] == "dense" else []))
            kind = activation if i < len(sizes) - 1 else output
            if kind:
                layers.append(ACTIVATIONS[kind]())
                model.append([kind])
            if lam and i == code:
                layers.append(L1Activity(lam, reduction))
                model.append(["l1", lam, reduction])
            if kl and i == code:
                layers.append(KLActivity(*kl))
                model.append(["kl", *kl])
        return Network(layers), model

    def _alive(self):
        """Every ReLU is on for some row and off for another, and in every row one of each layer is on."""
        A = self.network.forward(self.X)[1]
        for layer, a in zip(self.network.layers, A[1:]):
            if isinstance(layer, ReLU):
                on = a > 0
                if not (on.any(axis=0).all() and (~on).any(axis=0).all() and on.any(axis=1).all()):
                    return False
        return True

    def _measurable(self):
        """Hardly a gradient entry is zero, and 1e-7 of a hundredth of the largest is more than what rounding f does to f / h."""
        noise = np.finfo(float).eps * objective(self.network, self.loss, self.X, self.T) / H
        return all((g != 0).mean() >= 0.9 and 1e-9 * np.abs(g).max() > noise for g in self.analytic().values())

    def analytic(self):
        grads = self.network.params.zeros_like()
        objective_and_gradients(self.network, self.loss, self.X, self.T, grads)
        return {name: grad.copy() for name, grad in grads.items()}

    def by_hand(self):
        """The gradients as one who composes the pieces gets them: of the input, and of the parameters."""
        Y, cache = self.network.forward(self.X)
        _, D = self.loss.forward(Y, self.T)
        return self.network.backward(self.loss.backward(D), cache)

    def by_complex_step(self):
        parameters = [array for kind, *arrays in self.model for array in {"dense": arrays[:2], "tied": arrays[1:]}.get(kind, ())]
        f = lambda: oracle.objective(self.model, self.loss_name, self.X, self.T)  # noqa: E731
        return {name: oracle.complex_step(f, array) for name, array in zip(self.network.params, parameters)}

    def input_by_complex_step(self):
        X = self.X.astype(complex)
        return oracle.complex_step(lambda: oracle.objective(self.model, self.loss_name, X, self.T), X)

    def by_differences(self):
        f = lambda _: objective(self.network, self.loss, self.X, self.T)  # noqa: E731
        return {name: numerical_gradient(f, array, H) for name, array in self.network.params.items()}


def agree(analytic, numeric, tol):
    """|a - n| <= tol max(|a|, |n|, 0.01 max |n|) everywhere; false for NaN."""
    scale = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), 0.01 * np.abs(numeric).max())
    return analytic.shape == numeric.shape and bool(np.all(np.abs(analytic - numeric) <= tol * scale))


def passes(case):
    """Whether every gradient of the case agrees with the complex step to 1e-11 and with central differences to 1e-7."""
    grads, exact, differences = case.analytic(), case.by_complex_step(), case.by_differences()
    dX, by_hand = case.by_hand()
    return (all(agree(grads[name], exact[name], 1e-11) and agree(grads[name], differences[name], 1e-7)
                and agree(by_hand[name], exact[name], 1e-11) for name in grads)
            and agree(dX, case.input_by_complex_step(), 1e-11))
