"""Small networks for gradient checks, off every kink and with nothing vacuous, and the comparison that judges a gradient."""

import functools
import itertools

import numpy as np
import oracle

from ae_scratch import (BinaryCrossEntropy, Dense, Identity, KLActivity, L1Activity, MeanSquaredError, Network, ReLU, Sigmoid,
                        Tanh, TiedDense)
from ae_scratch.gradcheck import numerical_gradient
from ae_scratch.network import objective, objective_and_gradients

ROWS = 13
H = 1e-5  # of central differences: the error h^2 of the formula and rounding / h are both below 1e-7
WIDE_H = 3e-4  # of Richardson's, whose formula is off by h^4: below 1e-8 for both again
MARGIN = 0.01  # from every kink, 30 of the widest steps: no difference crosses one, and no entry needs to be skipped
GAINS = {"relu": 1.6, "sigmoid": 4.5, "tanh": 1.4, "identity": 1.0}  # on Glorot's weights: gradients that do not fade with depth
ACTIVATIONS = {"relu": ReLU, "sigmoid": Sigmoid, "tanh": Tanh, "identity": Identity}
PENALTIES = {L1Activity: lambda layer: ["l1", layer.lam, layer.reduction],
             KLActivity: lambda layer: ["kl", layer.beta, layer.rho]}
LOSSES = {"binary_crossentropy": BinaryCrossEntropy, "mse": MeanSquaredError}


class Case:
    """sizes[0]-...-sizes[-1] with an activation behind every layer but the last and penalties behind layer ``code``.

    activation: its name, or one for each layer but the last. kl: beta and rho of a KLActivity. tied: whether the layers behind
    layer ``code`` go back through those in front of it. Biases are such that every unit of ReLU is off for about half of
    the rows.
    """

    def __init__(self, seed, sizes, activation="relu", loss="binary_crossentropy", lam=0.0, reduction="sum", code=1, output=None,
                 rows=ROWS, weight_decay=0.0, kl=None, tied=False):
        self.loss_name, self.loss = loss, LOSSES[loss]()
        kinds = [activation] * (len(sizes) - 2) if isinstance(activation, str) else list(activation)
        for attempt in itertools.count():
            rng = np.random.default_rng([seed, attempt])
            X = rng.normal(size=(8 * rows, sizes[0]))
            penalties = [L1Activity(lam, reduction)] * (lam > 0) + ([KLActivity(*kl)] if kl else [])
            self.network, self.model = self._chain(rng, X, sizes, [*kinds, output], penalties, code, weight_decay, tied)
            self.X = X[self._usable(X)][:rows]
            self.T = rng.uniform(size=(rows, sizes[-1]))
            if len(self.X) == rows and self._alive():
                return
            assert attempt < 1000, "no network without kinks and dead units found"

    @staticmethod
    def _chain(rng, X, sizes, kinds, penalties, code, weight_decay, tied):
        """The package's network, and the oracle's model over a complex copy of the same numbers."""
        layers, model, sources = [], [], []
        for i, (n_in, n_out, kind) in enumerate(zip(sizes, sizes[1:], kinds), start=1):
            if tied and i > code:
                source, W = sources.pop()
                dense, step = TiedDense(source), ["tied", W]
            else:
                dense = Dense(n_in, n_out, rng, np.float64, weight_decay)
                dense.W *= GAINS[kind or "identity"]
                step = ["dense", dense.W.astype(complex)]
                sources.append((dense, step[1]))
            Z = dense.forward(X)[0]
            dense.b += rng.normal(scale=0.2, size=n_out) * Z.std(axis=0) - Z.mean(axis=0)
            added = [dense, *([ACTIVATIONS[kind]()] if kind else []), *(penalties if i == code else [])]
            for layer in added:
                X = layer.forward(X)[0]
            layers += added
            model.append([*step, dense.b.astype(complex)] + ([weight_decay] if step[0] == "dense" else []))
            model += [[kind]] * bool(kind) + [PENALTIES[type(layer)](layer) for layer in penalties if i == code]
        return Network(layers), model

    def _usable(self, X):
        """Which rows are far from every kink and have a unit on in every layer of ReLUs, where there is more than one."""
        A = self.network.forward(X)[1]
        on = [(a > 0).any(axis=1) for layer, a in zip(self.network.layers, A[1:]) if isinstance(layer, ReLU) and a.shape[1] > 1]
        return np.all([self.network.kink_distance(X) > MARGIN, *on], axis=0)

    def _alive(self):
        """Every ReLU is on for some row and off for another, and hardly a gradient entry is zero.

        Behind a single unit more are: ReLUs that face opposite ways are never on together.
        """
        enough = 0.9 if min(self.network.widths) > 1 else 0.5
        A = self.network.forward(self.X)[1]
        on = [a > 0 for layer, a in zip(self.network.layers, A[1:]) if isinstance(layer, ReLU)]
        return (all(units.any(axis=0).all() and (~units).any(axis=0).all() for units in on)
                and all((g != 0).mean() >= enough for g in self.analytic().values()))

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

    @functools.cached_property
    def exact(self):
        """The complex step's derivatives by every parameter and, as "X", by the inputs."""
        return {**self.by_complex_step(), "X": self.input_by_complex_step()}

    def rounding_errors(self, dtype=np.float64, units=32):
        """What rounding can do to each entry of the gradient: so many units of it for the sizes that the entry is made of."""
        conditions = oracle.conditions(self.model, self.loss_name, self.X, self.T)
        return {name: units * np.finfo(dtype).eps / 2 * size for name, size in zip([*self.network.params, "X"], conditions)}

    def objective(self):
        return objective(self.network, self.loss, self.X, self.T)

    def by_differences(self, h=H, f=None):
        """Central differences of the objective by every parameter and, as "X", by the inputs. f: another way to compute it."""
        arrays = {**self.network.params, "X": self.X}
        return {name: numerical_gradient(lambda _: (f or self.objective)(), array, h) for name, array in arrays.items()}

    def by_richardson(self, f=None):
        """(4 D(h / 2) - D(h)) / 3: of two central differences, in which the error h^2 cancels (Richardson 1911)."""
        wide, narrow = self.by_differences(WIDE_H, f), self.by_differences(WIDE_H / 2, f)
        return {name: (4 * narrow[name] - wide[name]) / 3 for name in wide}

    def rounding(self, h):
        """What rounding the objective alone can do to a difference of step h."""
        return 4 * np.finfo(float).eps * abs(self.objective()) / h


def agree(analytic, numeric, tol, rounding=0.0):
    """|a - n| <= tol max(|a|, |n|, 0.01 max |n|) + rounding everywhere; false for NaN."""
    scale = np.maximum(np.maximum(np.abs(analytic), np.abs(numeric)), 0.01 * np.abs(numeric).max())
    return analytic.shape == numeric.shape and bool(np.all(np.abs(analytic - numeric) <= tol * scale + rounding))


def close(grads, exact, tol, rounding):
    """Whether all of these gradients agree, under the same names; rounding: of each name what it allows, or of all of them."""
    allowed = rounding if isinstance(rounding, dict) else dict.fromkeys(exact, rounding)
    return list(grads) == list(exact) and all(agree(grads[name], exact[name], tol, allowed[name]) for name in exact)


def exact(case):
    """Whether every gradient of the case, of inputs too, agrees with the complex step to 1e-11 and what rounding does."""
    dX, by_hand = case.by_hand()
    return all(close({**grads, "X": dX}, case.exact, 1e-11, case.rounding_errors()) for grads in (case.analytic(), by_hand))


def consistent(case):
    """Whether every gradient agrees with central differences of the objective to 1e-7 and with Richardson's to 1e-8."""
    grads = {**case.analytic(), "X": case.by_hand()[0]}
    return (close(grads, case.by_differences(), 1e-7, case.rounding(H))
            and close(grads, case.by_richardson(), 1e-8, 2 * case.rounding(WIDE_H)))


def passes(case):
    """Whether every gradient of the case stands every check."""
    return exact(case) and consistent(case)


@functools.cache
def zoo(seed):
    """A few networks that between them reach every line of the backward pass; made, and differentiated by the oracle, once."""
    return [Case(seed, (6, 5, 5, 7), "relu", "binary_crossentropy", 1e-5, "sum", code=2),
            Case(seed, (6, 7, 4, 5), "sigmoid", "mse", 1e-5, "mean", code=2, output="sigmoid"),
            Case(seed, (5, 5, 6), "tanh", "binary_crossentropy", 1e-5, "mean", code=1),
            Case(seed, (5, 4, 5), "sigmoid", "mse", code=1, weight_decay=0.03, kl=(0.3, 0.05), tied=True)]
