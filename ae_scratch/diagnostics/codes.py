"""Whether the code is sparse, and whether all of its units are alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..inputs import number
from ..kernels.reference import Array
from .tables import aligned

if TYPE_CHECKING:
    from ..autoencoder import Autoencoder

CONSTANT = 1e-6  # of its largest value: a unit that varies less is constant, up to rounding in float32
SHOWN = 20


class CodeStatistics(NamedTuple):
    """What the units of a code do over n rows: a value per unit in ``mean``, ``variance``, ``zeros`` and ``active``; over all
    units in ``mean_code``, ``variance_of_codes`` and ``zero_share``.

    zeros: share of the rows where a unit is exactly 0. active: share of the rows where its absolute value is above
    ``threshold``. dead: the units that are never active or have the same value in every row, which tell the decoder nothing.
    """

    rows: int
    threshold: float
    mean_code: float
    variance_of_codes: float
    zero_share: float
    dead: Array
    mean: Array
    variance: Array
    zeros: Array
    active: Array

    @classmethod
    def of(cls, codes: Any, threshold: float = 0.0) -> CodeStatistics:
        """Return the statistics of codes (n, units) that are at hand."""
        number(threshold, "threshold")
        if np.ndim(codes) != 2 or len(codes) < 2:
            raise ValueError(f"expected codes (n, units) of at least 2 rows, got shape {np.shape(codes)}")
        codes = np.asarray(codes)
        magnitude, zero = np.abs(codes), codes == 0
        mean, variance = codes.mean(axis=0, dtype=np.float64), codes.var(axis=0, dtype=np.float64)
        dead = (magnitude.max(axis=0) <= threshold) | (np.ptp(codes, axis=0) <= CONSTANT * magnitude.max(axis=0))
        return cls(len(codes), threshold, float(mean.mean()), float(variance.mean() + mean.var()), float(zero.mean()),
                   np.flatnonzero(dead), mean, variance, zero.mean(axis=0), (magnitude > threshold).mean(axis=0))

    def __str__(self) -> str:
        head = (f"{self.rows:,} rows, {len(self.mean)} units, {len(self.dead)} of them dead; {self.zero_share:.1%} of the codes "
                f"are exactly 0; mean code {self.mean_code:.4g}, variance {self.variance_of_codes:.4g}")
        rows = [["unit", "mean", "variance", "exactly 0", f"|code| > {self.threshold:g}", ""]]
        for unit in range(min(len(self.mean), SHOWN)):
            rows.append([str(unit), f"{self.mean[unit]:.4g}", f"{self.variance[unit]:.4g}", f"{self.zeros[unit]:.1%}",
                         f"{self.active[unit]:.1%}", "dead" if unit in self.dead else ""])
        more = [f"and {len(self.mean) - SHOWN} more"] if len(self.mean) > SHOWN else []
        return "\n".join([head, aligned(rows), *more])


def code_statistics(ae: Autoencoder, X: Any, threshold: float = 0.0) -> CodeStatistics:
    """Return how active each unit of the code is over the rows of X, and which units are dead; ``print`` the result.

    A unit is active in a row if the absolute value of its code is above ``threshold``. The default 0 is right for ReLU, whose
    zeros are exact; the other activations hardly ever are exactly 0: 0.05, say, tells which are nearly silent. A dead unit is
    never active, or has the same value in every row.

    Raises NotFittedError before ``fit``, ValueError for fewer than 2 rows.

    >>> from ae_scratch import Autoencoder
    >>> X = np.random.default_rng(0).random((100, 6))
    >>> ae = Autoencoder((), 3, epochs=1, engine="numpy", random_state=0).fit(X)
    >>> statistics = code_statistics(ae, X)
    >>> statistics.mean.shape, 0 <= statistics.zero_share <= 1
    ((3,), True)
    """
    return CodeStatistics.of(ae.encode(X), threshold)
