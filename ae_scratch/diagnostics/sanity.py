"""Whether a model can learn at all: the checks to make before anything is trained for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..kernels.reference import Array
from .baselines import Comparison, as_data, compare_baselines, excess_loss, scaler
from .tables import aligned

if TYPE_CHECKING:
    from ..autoencoder import Autoencoder

ROWS, STEPS = 8, 1000  # learned by heart
SAMPLE = 1024  # rows whose initial loss is taken
LEFT = 0.1  # of the excess loss of an untrained model, after learning a few rows by heart
SLACK = 1.05  # times PCA's error: where the data are linear, it cannot be beaten
QUIET: dict[str, Any] = dict(noise=None, validation_fraction=0.0, early_stopping=None, verbose=0,
                             engine="numpy", threads=None)  # too little to do for compiled code
PENALTIES = ("l1_activity", "kl_beta", "weight_decay")


class SanityCheck(NamedTuple):
    """One check: the figure, what it must be at most, or how near to what, and whether it is."""

    name: str
    figure: float
    expected: str
    ok: bool


class SanityReport(NamedTuple):
    """All checks; ``print`` shows them as a table."""

    checks: list[SanityCheck]

    @property
    def ok(self) -> bool:
        """Whether every check passed."""
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        rows = [[check.name, f"{check.figure:.4g}", check.expected, "ok" if check.ok else "FAILED"] for check in self.checks]
        return aligned([["check", "figure", "expected", ""], *rows])


def sanity_check(ae: Autoencoder, X: Any) -> SanityReport:
    """Return whether a model of these settings can learn these data; ``print`` the result. A model that is not fitted is
    trained, as a copy; ``ae`` stays as it is.

    1. *Initial loss.* Small weights give outputs near 0, for whatever input. Cross-entropy then is log 2 = 0.693: with logits
       z of variance at most 1, softplus(z) <= log 2 + z/2 + z^2/8 leaves an excess of at most 1/8 from the last term, and from
       (1/2 - t) z, which is random with mean 0 in each of d features, at most 3/2 / sqrt(d), three standard deviations. The
       squared error s of a constant output likewise stays within s + 6 s / sqrt(d) of itself, with outputs no larger than the
       targets.
    2. *Learns 8 rows by heart.* In 1000 steps, without noise and penalties, less than a tenth is left of the excess of its
       loss over the least possible one.
    3. *Beats the mean* of the data, in mean squared error.
    4. *Beats PCA*, or is at most 5 % behind, with as many components as the code has units; left out where the code has as many
       units as there are features.
    5. *Gradients* agree with central differences, at the initial weights.

    Raises TypeError or ValueError, as ``fit`` does, for settings or data that make no sense.

    >>> from ae_scratch import Autoencoder
    >>> angle = np.random.default_rng(0).uniform(0, 2 * np.pi, (500, 1))
    >>> X = np.hstack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)])  # a curve: PCA needs all 4
    >>> ae = Autoencoder((32,), 2, code_activation="identity", loss="mse", epochs=40, engine="numpy", random_state=0)
    >>> sanity_check(ae, X).ok
    True
    """
    X = as_data(X)
    sample = X[:: -(-len(X) // SAMPLE)]
    initial = _copy(ae, optimizer="sgd", learning_rate=1e-30, epochs=1, **QUIET).fit(sample)  # too small to move a weight
    few = X[:: -(-len(X) // ROWS)]
    free = {name: 0.0 for name in PENALTIES if name in ae.get_params()}
    learned = _copy(ae, epochs=STEPS, batch_size=ROWS, **QUIET, **free).fit(few)
    trained = ae if hasattr(ae, "network_") else _copy(ae).fit(X)
    gradients = initial.gradcheck(sample, entries=20)
    return SanityReport([
        _initial_loss(initial, sample),
        _by_heart(excess_loss(initial, few).excess, excess_loss(learned, few).excess),
        *_better(compare_baselines(trained, X), ae.code_size < X.shape[1]),
        SanityCheck("largest relative error of a gradient", max(check.error for check in gradients.checks),
                    f"{gradients.tol:g}, or rounding", gradients.ok)])


def _copy(ae: Autoencoder, **changes: Any) -> Autoencoder:
    """An unfitted model of the same settings but for the changes, with a seed."""
    seed = 0 if ae.random_state is None else ae.random_state
    return type(ae)(**{**ae.get_params(), "random_state": seed, **changes})


def _initial_loss(ae: Autoencoder, X: Array) -> SanityCheck:
    loss, d = ae.evaluate(X)["loss"], X.shape[1]
    if ae.loss == "binary_crossentropy":
        expected, above, below = np.log(2), 1 / 8 + 1.5 / np.sqrt(d), 1.5 / np.sqrt(d)
    else:
        middle = 0.5 if ae.output_activation == "sigmoid" else 0.0
        expected = float(np.mean((scaler(ae)(X) - middle) ** 2))
        above, below = expected * (1 + 6 / np.sqrt(d)), expected * 6 / np.sqrt(d)
    return SanityCheck("initial loss", loss, f"{max(0, expected - below):.4g} to {expected + above:.4g}",
                       bool(expected - below <= loss <= expected + above))


def _by_heart(before: float, after: float) -> SanityCheck:
    return SanityCheck(f"excess loss after learning {ROWS} rows by heart", after, f"below {LEFT * before:.4g}",
                       after < LEFT * before)


def _better(compared: Comparison, compressing: bool) -> list[SanityCheck]:
    own, mean, pca = (baseline.mse for baseline in (compared.autoencoder, compared.mean, compared.pca))
    checks = [SanityCheck("mean squared error, beside the mean's", own, f"below {mean:.4g}", own < mean)]
    if compressing:
        limit = SLACK * pca
        checks.append(SanityCheck("mean squared error, beside PCA's", own, f"at most {limit:.4g}", own <= limit))
    return checks
