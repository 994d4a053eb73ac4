"""Numbers: losses over epochs, errors over sizes, bars."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..inputs import number
from .style import TEXT, area, plot_axes, stroke
from .values import as_line, named

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def loss_curves(curves: Mapping[str, Sequence[float]], published: Mapping[str, Sequence[float | None]] | None = None,
                title: str = "", ylabel: str = "loss (nats per pixel)", floor: float | None = None,
                ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Return a figure with losses over epochs, and its axes; drawn into ``ax`` if one is given.

    curves: label -> losses of epochs 1, 2, ... published: another's figures for some of these labels, None where an epoch's is
    not known; drawn as hollow markers. floor: what no loss gets below, ``diagnostics.loss_floor`` of the targets; a line.

    Raises ValueError for no curves, an empty one, NaN or infinity, or a published label that is no curve's.

    >>> figure, ax = loss_curves({"shallow": [0.1627, 0.1042]}, published={"shallow": [0.1624, 0.1041]})
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['shallow', 'shallow, published']
    """
    lines = {label: as_line(values, label) for label, values in named(curves, "curves").items()}
    points = {label: as_line(values, f"published {label}", gaps=True) for label, values in (published or {}).items()}
    if not set(points) <= set(lines):
        raise ValueError(f"expected published figures of {', '.join(lines)} only, got {', '.join(points)}")
    figure, ax = plot_axes(ax, title, "epoch", ylabel)
    from matplotlib.ticker import MaxNLocator  # not before _plot, whose ImportError says what to install

    for i, (label, line) in enumerate(lines.items()):
        ax.plot(np.arange(1, len(line) + 1), line, label=label, markevery=-(-len(line) // 25), **stroke(i))
        if label in points:
            hollow = {**stroke(i), "linestyle": "none", "markerfacecolor": "none", "markersize": 11}
            ax.plot(np.arange(1, len(points[label]) + 1), points[label], label=f"{label}, published", **hollow)
    if floor is not None:
        ax.axhline(number(floor, "floor"), color="black", linewidth=1.2, linestyle=(0, (1, 1)),
                   label=f"floor: the entropy of the data, {floor:.4f}")
    ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    ax.legend(fontsize=TEXT, handlelength=3.5)
    return figure, ax


def curves_by_size(x: Sequence[int], series: Mapping[str, Sequence[float]], title: str = "", xlabel: str = "code size",
                   ylabel: str = "mean squared error per pixel", ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Return a figure with curves over sizes, such as an autoencoder's and PCA's errors, and its axes; drawn into ``ax`` if one
    is given.

    x: sizes (n,), increasing and above 0, on a logarithmic axis that names each. series: label -> n values.

    Raises ValueError for no series, NaN or infinity, other sizes, or other than n values.

    >>> figure, ax = curves_by_size([2, 8, 32], {"autoencoder": [0.05, 0.03, 0.01], "PCA": [0.06, 0.04, 0.02]})
    >>> [text.get_text() for text in ax.get_xticklabels()]
    ['2', '8', '32']
    """
    sizes = as_line(x, "x")
    lines = {label: as_line(values, label) for label, values in named(series, "series").items()}
    if sizes[0] <= 0 or np.any(np.diff(sizes) <= 0):
        raise ValueError(f"expected increasing sizes above 0 in x, got {x!r}")
    for label, line in lines.items():
        if len(line) != len(sizes):
            raise ValueError(f"expected {len(sizes)} values of {label}, one for each size, got {len(line)}")
    figure, ax = plot_axes(ax, title, xlabel, ylabel)
    for i, (label, line) in enumerate(lines.items()):
        ax.plot(sizes, line, label=label, **stroke(i))
    ax.set_xscale("log", base=2)
    crowded = np.any(np.diff(np.log2(sizes)) < np.log2(sizes[-1] / sizes[0]) / 12)
    ax.set_xticks(sizes, [f"{size:g}" for size in sizes], rotation=60 if crowded else 0)
    ax.set_ylim(bottom=min(0, *(line.min() for line in lines.values())))
    ax.legend(fontsize=TEXT, handlelength=3.5)
    return figure, ax


def grouped_bars(groups: Mapping[str, Mapping[str, float]], title: str = "", ylabel: str = "mean squared error per pixel",
                 ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Return a figure with a bar for each value, the value written on it, and its axes; drawn into ``ax`` if one is given.

    groups: label of a group on the axis -> label of a bar -> value, with the same bars in each group.

    Raises ValueError for no groups, other bars in one than in another, NaN or infinity.

    >>> errors = {"tested on digits": {"trained on digits": 0.01, "trained on clothes": 0.03},
    ...           "tested on clothes": {"trained on digits": 0.04, "trained on clothes": 0.02}}
    >>> figure, ax = grouped_bars(errors, "Autoencoders are data-specific")
    >>> [text.get_text() for text in ax.texts]
    ['0.01', '0.04', '0.03', '0.02']
    """
    first = named(next(iter(named(groups, "groups").values())), "a group")
    for label, group in groups.items():
        if set(group) != set(first):
            raise ValueError(f"expected the bars {', '.join(first)} in {label}, got {', '.join(group)}")
    bars = {bar: as_line([group[bar] for group in groups.values()], bar) for bar in first}
    figure, ax = plot_axes(ax, title, "", ylabel)
    places, width = np.arange(len(groups)), 0.8 / len(bars)
    for i, (bar, heights) in enumerate(bars.items()):
        drawn = ax.bar(places + (i - (len(bars) - 1) / 2) * width, heights, 0.9 * width, label=bar, **area(i))
        ax.bar_label(drawn, fmt="%.3g", padding=2, fontsize=TEXT)
    ax.set_xticks(places, [textwrap.fill(label, 22) for label in groups])
    ax.grid(False, axis="x")
    ax.margins(y=0.15 + 0.1 * -(-len(bars) // 2))  # room for the legend above the bars, in two columns
    ax.legend(fontsize=TEXT, loc="upper center", ncols=2)
    return figure, ax
