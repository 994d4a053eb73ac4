"""Codes: how their values are distributed, where examples lie among each other, which units are alive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..inputs import choose, whole
from ..kernels.reference import Array
from ..pca import principal_components
from .style import CLASSES, COLOURS, DASHES, MARKERS, SQUARE, TEXT, TITLE, area, plot_axes
from .values import as_numbers, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..diagnostics import CodeStatistics

BINS = 100
CODE_QUANTILE = 0.995
NAME_ROOM = 0.06  # of the width of a picture


def code_densities(codes: Mapping[str, Any], title: str = "", ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Return a figure with histograms of code values as densities, and its axes; drawn into ``ax`` if one is given.

    codes: label -> values of any shape. An exact 0 has no density: the legend gives the share of zeros, and the area of a
    histogram is the share of the other values. The axis ends at the 99.5 % quantile of the widest (and begins at the 0.5 %
    quantile if that is below 0); its label says what lies outside.

    Raises ValueError for no values, NaN or infinity.

    >>> figure, ax = code_densities({"sparse": [[0.0, 0.5], [1.0, 1.5]]})
    >>> ax.get_legend().get_texts()[0].get_text()
    'sparse: 25.0 % exactly 0, mean 0.75'
    """
    values = {label: as_numbers(array, label).ravel() for label, array in named(codes, "codes").items()}
    edges, outside = _bins(list(values.values()))
    figure, ax = plot_axes(ax, title, f"code value{outside}", "density (exact zeros left out)")
    for i, (label, code) in enumerate(values.items()):
        density = np.histogram(code[code != 0], edges)[0] / (len(code) * (edges[1] - edges[0]))
        text = f"{label}: {100 * np.mean(code == 0):.1f} % exactly 0, mean {code.mean():.3g}"
        ax.stairs(density, edges, fill=True, label=text, linestyle=DASHES[i % len(DASHES)], **area(i))
    ax.set_xlim(edges[0], edges[-1])
    ax.margins(y=0.05 + 0.1 * len(values))  # room for the legend above the highest peak
    ax.legend(fontsize=TEXT, handlelength=3.5, loc="upper right")
    return figure, ax


def latent_scatter(codes: Any, labels: Any = None, method: str | None = None, title: str = "", count: int = 2000,
                   seed: int = 0, ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Return a figure with the first ``count`` codes as points in a plane, and its axes; drawn into ``ax`` if one is given.

    codes: (n, units). labels: classes (n,), told apart by colour and marker, and named at the median of their points where
    there is room. method: None for a 2-D code as it is and "pca" for others; "pca": the first two principal components of the
    code; "tsne": t-SNE (van der Maaten & Hinton 2008) by scikit-learn, which keeps neighbours together and says nothing of
    distances between groups; ``seed`` is its random state.

    Raises ValueError for fewer than 2 units or 3 rows, NaN or infinity, labels of another number or an unknown method;
    ImportError for "tsne" without scikit-learn.

    >>> figure, ax = latent_scatter(np.random.default_rng(0).random((50, 8)), np.arange(50) % 3)
    >>> ax.get_xlabel().startswith("component 1")
    True
    """
    codes = as_numbers(codes, "codes")
    if codes.ndim != 2 or codes.shape[1] < 2 or len(codes) < 3:
        raise ValueError(f"expected codes (n, units) of at least 2 units and 3 rows, got shape {codes.shape}")
    if labels is not None and np.shape(labels) != (len(codes),):
        raise ValueError(f"expected labels of shape ({len(codes)},), one for each code, got {np.shape(labels)}")
    codes = codes[:whole(count, "count", least=3)]
    points, xlabel, ylabel = _plane(codes, method or ("as is" if codes.shape[1] == 2 else "pca"), seed)
    figure, ax = plot_axes(ax, title, xlabel, ylabel, size=SQUARE)
    classes = np.zeros(len(points)) if labels is None else np.asarray(labels)[:len(points)]
    for i, name in enumerate(np.unique(classes)):
        x, y = points[classes == name].T
        ax.scatter(x, y, s=12, alpha=0.7, linewidths=0, label=str(name), color=CLASSES[i % len(CLASSES)],
                   marker=MARKERS[i % len(MARKERS)])
    if labels is not None:
        _name_classes(ax, points, classes)
        ax.legend(fontsize=TEXT, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2, handletextpad=0.1)
    return figure, ax


def unit_activity(statistics: CodeStatistics, title: str = "", ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Return a figure with a bar for each unit of the code, the share of the rows in which it is active, and its axes; drawn
    into ``ax`` if one is given. Dead units, which have no bar or one that means nothing, are marked by crosses.

    statistics: what ``diagnostics.code_statistics(ae, X)`` returns.

    >>> from ae_scratch.diagnostics import CodeStatistics
    >>> figure, ax = unit_activity(CodeStatistics.of([[0.0, 1.0, 0.0], [0.0, 2.0, 3.0]]))
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['dead: 1 of 3 units', 'active: 50.0 % of all codes']
    """
    if not hasattr(statistics, "active"):
        raise TypeError(f"expected what diagnostics.code_statistics(ae, X) returns, got {type(statistics).__name__}")
    shares, dead = 100 * statistics.active, statistics.dead
    figure, ax = plot_axes(ax, title, "code unit", "active in % of the rows")
    ax.bar(np.arange(len(shares)), shares, 0.8, label=f"active: {shares.mean():.1f} % of all codes", **area(0))
    ax.plot(dead, np.full(len(dead), 3.0), linestyle="none", marker="X", markersize=min(8, 300 / len(shares)), color=COLOURS[1],
            clip_on=False, label=f"dead: {len(dead)} of {len(shares)} units")
    ax.set_ylim(0, 122)  # room for the legend above
    ax.set_yticks(range(0, 101, 20))
    ax.locator_params("x", integer=True)
    ax.grid(False, axis="x")
    ax.legend(fontsize=TEXT, loc="upper center", ncols=2)
    return figure, ax


def _name_classes(ax: Axes, points: Array, classes: Array) -> None:
    """Write the name of each class at the median of its points, unless that of another class stands there already."""
    taken: list[Array] = []
    for i, name in enumerate(np.unique(classes)):
        place = np.median(points[classes == name], axis=0)
        if all(np.abs((place - other) / np.ptp(points, axis=0)).max() > NAME_ROOM for other in taken):
            ax.text(place[0], place[1], str(name), fontsize=TITLE, weight="bold", ha="center", va="center",
                    bbox={"facecolor": "white", "edgecolor": CLASSES[i % len(CLASSES)], "alpha": 0.8, "pad": 2})
            taken.append(place)


def _plane(codes: Array, method: str, seed: int) -> tuple[Array, str, str]:
    """The codes in two dimensions, and what the axes are."""
    choose(method, ("as is", "pca", "tsne"), "method")
    if method == "as is":
        return codes, "code unit 0", "code unit 1"
    if method == "pca":
        found = principal_components(codes, 2)
        shares = (f"({100 * share:.0f} % of the variance)" for share in found.shares)
        return found.project(codes), f"component 1 of the code {next(shares)}", f"component 2 of the code {next(shares)}"
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ImportError("t-SNE needs scikit-learn: install it with pip install scikit-learn, or use method='pca'") from error
    perplexity = min(30.0, (len(codes) - 1) / 3)
    points: Array = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(codes.astype(np.float32))
    return points, "t-SNE 1", "t-SNE 2"


def _bins(parts: Sequence[Array]) -> tuple[Array, str]:
    """The edges of bins from 0 to the outermost quantiles of any part, and a note on the values outside, if there are any."""
    everything = np.concatenate(parts)
    low = min(0.0, *(np.quantile(part, 1 - CODE_QUANTILE) for part in parts))
    high = max(0.0, *(np.quantile(part, CODE_QUANTILE) for part in parts))
    outside = np.mean((everything < low) | (everything > high))
    note = f"\n({100 * outside:.2g} % of the values lie outside; all range from {everything.min():.3g} to {everything.max():.3g})"
    return np.linspace(low, high if high > low else low + 1, BINS + 1), note if outside else ""
