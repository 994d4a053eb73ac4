"""The pictures of the article, and of what it claims, as matplotlib figures that the caller saves or shows.

Needs the extra ``plot`` (matplotlib), loaded on first use; pyplot and its windows stay out of it. Series differ in dash, marker
or hatching as well as in colour, so that they can be told apart in grey and by the colour-blind.

Every function that draws raises ImportError where matplotlib is missing, and TypeError for what is no dict or no numbers where
one is expected.
"""

from __future__ import annotations

import math
import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .files import replacing
from .inputs import whole
from .kernels.reference import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#000000", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's, without yellow
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", ":", "-.")  # four against seven colours and markers: 28 series before two look alike
HATCHES = ("", "////", "....", "xxxx")

TITLE, TEXT = 13, 11  # points
PLOT = (6.4, 4.4)  # inches
CELL = 0.8  # inches, an image with the gap around it
PER_ROW = 10
BINS = 100
CODE_QUANTILE, WEIGHT_QUANTILE = 0.995, 0.99


def image_rows(rows: Mapping[str, Any], title: str = "", count: int = 10) -> tuple[Figure, Array]:
    """Return a figure with rows of images, such as originals above their reconstructions, and its axes (rows, columns).

    rows: label -> images (n, pixels) or (n, height, width). The first ``count`` of each are drawn, or as many as the shortest row
    has; 0 is black, 1 is white, values beyond are drawn like these.

    Raises ValueError for no rows, no images, NaN or infinity, or a number of pixels that is not a square.

    >>> X = np.random.default_rng(0).random((5, 16))
    >>> figure, axes = image_rows({"original": X, "reconstruction": X ** 2}, "Five images")
    >>> axes.shape
    (2, 5)
    """
    images = {label: _images(values, label, count) for label, values in _named(rows, "rows").items()}
    figure, axes = _grid(len(images), min(map(len, images.values())), title, left=1.4)
    for (label, row), places in zip(images.items(), axes):
        places[0].set_ylabel(textwrap.fill(label, 16), rotation=0, ha="right", va="center", fontsize=TEXT)
        for image, place in zip(row, places):
            place.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return figure, axes


def filters(W: Any, title: str = "", count: int = 10) -> tuple[Figure, Array]:
    """Return a figure with the first ``count`` columns of W (pixels, units) as square images, and its axes (rows, columns).

    All share one scale, from -w to w where w is the 99 % quantile of the absolute weights drawn: dark below 0, grey at 0, bright
    above. Weights beyond are drawn like its ends, so that a few large ones do not wash out the others.

    Raises ValueError for anything but a matrix, NaN or infinity, or a number of pixels that is not a square.

    >>> figure, axes = filters(np.random.default_rng(0).normal(size=(784, 32)), "First layer", count=20)
    >>> axes.shape
    (2, 10)
    """
    if np.ndim(W) != 2:
        raise ValueError(f"expected W of shape (pixels, units), got shape {np.shape(W)}")
    images = _images(np.asarray(W).T, "W", count)
    figure, axes = _grid(-(-len(images) // PER_ROW), min(len(images), PER_ROW), title, below=0.8)
    end = np.quantile(np.abs(images), WEIGHT_QUANTILE) or 1.0
    for image, place in zip(images, axes.flat):
        drawn = place.imshow(image, cmap="cividis", vmin=-end, vmax=end, interpolation="nearest")
    for place in axes.flat[len(images):]:
        place.set_visible(False)
    bar = figure.colorbar(drawn, ax=axes, location="bottom", aspect=40, extend="both")
    bar.set_label("weight of the pixel", fontsize=TEXT)
    return figure, axes


def loss_curves(curves: Mapping[str, Sequence[float]], published: Mapping[str, Sequence[float | None]] | None = None,
                title: str = "", ylabel: str = "loss (nats per pixel)", ax: Axes | None = None) -> tuple[Figure, Axes]:
    """Return a figure with losses over epochs, and its axes; drawn into ``ax`` if one is given.

    curves: label -> losses of epochs 1, 2, ... published: another's figures for some of these labels, None where an epoch's is
    not known; drawn as hollow markers.

    Raises ValueError for no curves, an empty one, NaN or infinity, or a published label that is no curve's.

    >>> figure, ax = loss_curves({"shallow": [0.1627, 0.1042]}, published={"shallow": [0.1624, 0.1041]})
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['shallow', 'shallow, published']
    """
    lines = {label: _line(values, label) for label, values in _named(curves, "curves").items()}
    points = {label: _line(values, f"published {label}", gaps=True) for label, values in (published or {}).items()}
    if not set(points) <= set(lines):
        raise ValueError(f"expected published figures of {', '.join(lines)} only, got {', '.join(points)}")
    figure, ax = _plot(ax, title, "epoch", ylabel)
    from matplotlib.ticker import MaxNLocator  # not before _plot, whose ImportError says what to install

    for i, (label, line) in enumerate(lines.items()):
        ax.plot(np.arange(1, len(line) + 1), line, label=label, markevery=-(-len(line) // 25), **_stroke(i))
        if label in points:
            hollow = {**_stroke(i), "linestyle": "none", "markerfacecolor": "none", "markersize": 11}
            ax.plot(np.arange(1, len(points[label]) + 1), points[label], label=f"{label}, published", **hollow)
    ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    ax.legend(fontsize=TEXT, handlelength=3.5)
    return figure, ax


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
    values = {label: _numbers(array, label).ravel() for label, array in _named(codes, "codes").items()}
    edges, outside = _bins(list(values.values()))
    figure, ax = _plot(ax, title, f"code value{outside}", "density (exact zeros left out)")
    for i, (label, code) in enumerate(values.items()):
        density = np.histogram(code[code != 0], edges)[0] / (len(code) * (edges[1] - edges[0]))
        text = f"{label}: {100 * np.mean(code == 0):.1f} % exactly 0, mean {code.mean():.3g}"
        ax.stairs(density, edges, fill=True, label=text, linestyle=DASHES[i % len(DASHES)], **_area(i))
    ax.set_xlim(edges[0], edges[-1])
    ax.margins(y=0.05 + 0.1 * len(values))  # room for the legend above the highest peak
    ax.legend(fontsize=TEXT, handlelength=3.5, loc="upper right")
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
    sizes = _line(x, "x")
    lines = {label: _line(values, label) for label, values in _named(series, "series").items()}
    if sizes[0] <= 0 or np.any(np.diff(sizes) <= 0):
        raise ValueError(f"expected increasing sizes above 0 in x, got {x!r}")
    for label, line in lines.items():
        if len(line) != len(sizes):
            raise ValueError(f"expected {len(sizes)} values of {label}, one for each size, got {len(line)}")
    figure, ax = _plot(ax, title, xlabel, ylabel)
    for i, (label, line) in enumerate(lines.items()):
        ax.plot(sizes, line, label=label, **_stroke(i))
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
    first = _named(next(iter(_named(groups, "groups").values())), "a group")
    for label, group in groups.items():
        if set(group) != set(first):
            raise ValueError(f"expected the bars {', '.join(first)} in {label}, got {', '.join(group)}")
    bars = {bar: _line([group[bar] for group in groups.values()], bar) for bar in first}
    figure, ax = _plot(ax, title, "", ylabel)
    places, width = np.arange(len(groups)), 0.8 / len(bars)
    for i, (bar, heights) in enumerate(bars.items()):
        drawn = ax.bar(places + (i - (len(bars) - 1) / 2) * width, heights, 0.9 * width, label=bar, **_area(i))
        ax.bar_label(drawn, fmt="%.3g", padding=2, fontsize=TEXT)
    ax.set_xticks(places, [textwrap.fill(label, 22) for label in groups])
    ax.grid(False, axis="x")
    ax.margins(y=0.15 + 0.1 * -(-len(bars) // 2))  # room for the legend above the bars, in two columns
    ax.legend(fontsize=TEXT, loc="upper center", ncols=2)
    return figure, ax


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, at 120 dots per inch: completely or not at all, and the same bytes for the same picture.

    This settles the figure's layout: what is added later does not move what is there.

    Raises ValueError for a name that does not end in .png, OSError if the file cannot be written.

    >>> import tempfile
    >>> figure, axes = filters(np.eye(4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(figure, Path(folder, "filters.png"))
    ...     [file.name for file in Path(folder).iterdir()]
    ['filters.png']
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"expected a name that ends in .png, got {str(path)!r}")
    with replacing(path) as part:
        figure.savefig(part, format="png", dpi=120, bbox_inches="tight", metadata={"Software": None})  # no version
        figure.set_layout_engine("none")  # which would go on to move things with every further save


# ---- what is drawn ------------------------------------------------------------------------------------------------------


def _named(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The mapping, if it is one and holds something."""
    if not isinstance(values, Mapping):
        raise TypeError(f"expected {name} as a dict from labels to values, got {type(values).__name__}")
    if not values:
        raise ValueError(f"expected at least one entry in {name}, got an empty dict")
    return values


def _numbers(values: Any, name: str, gaps: bool = False) -> Array:
    """The values as finite float64, at least one; with ``gaps``, None and NaN are allowed and become NaN."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"expected {name} to hold real numbers in rows of equal length, got {values!r:.50}") from error
    if not array.size:
        raise ValueError(f"expected at least one value of {name}, got shape {array.shape}")
    if np.isinf(array).any() or (np.isnan(array).any() and not gaps):
        raise ValueError(f"{name} contains NaN or infinity: remove or replace such values")
    return array


def _line(values: Any, name: str, gaps: bool = False) -> Array:
    line = _numbers(values, name, gaps)
    if line.ndim != 1:
        raise ValueError(f"expected a 1-D sequence for {name}, got shape {line.shape}")
    return line


def _images(values: Any, name: str, count: int) -> Array:
    """The first ``count`` of some images, as (n, height, width)."""
    if np.ndim(values) not in (2, 3):
        raise ValueError(f"expected images (n, pixels) or (n, height, width) for {name}, got shape {np.shape(values)}")
    images = _numbers(np.asarray(values)[:whole(count, "count")], name)
    if images.ndim == 3:
        return images
    side = math.isqrt(images.shape[1])
    if side ** 2 != images.shape[1]:
        raise ValueError(f"expected a square number of pixels for {name} (784 are 28 x 28), got {images.shape[1]}: "
                         "reshape to (n, height, width) if the images are not square")
    return images.reshape(-1, side, side)


def _bins(parts: Sequence[Array]) -> tuple[Array, str]:
    """The edges of bins from 0 to the outermost quantiles of any part, and a note on the values outside, if there are any."""
    everything = np.concatenate(parts)
    low = min(0.0, *(np.quantile(part, 1 - CODE_QUANTILE) for part in parts))
    high = max(0.0, *(np.quantile(part, CODE_QUANTILE) for part in parts))
    outside = np.mean((everything < low) | (everything > high))
    note = f"\n({100 * outside:.2g} % of the values lie outside; all range from {everything.min():.3g} to {everything.max():.3g})"
    return np.linspace(low, high if high > low else low + 1, BINS + 1), note if outside else ""


# ---- how it is drawn ----------------------------------------------------------------------------------------------------


def _stroke(i: int) -> dict[str, Any]:
    """The looks of line number i."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)], "marker": MARKERS[i % len(MARKERS)],
            "linewidth": 1.8, "markersize": 5}


def _area(i: int) -> dict[str, Any]:
    """The looks of area number i."""
    from matplotlib.colors import to_rgba

    colour = COLOURS[i % len(COLOURS)]
    return {"facecolor": to_rgba(colour, 0.25), "edgecolor": colour, "hatch": HATCHES[i % len(HATCHES)], "linewidth": 1.5}


def _figure(width: float, height: float, layout: Literal["constrained", "compressed"]) -> Figure:
    """An empty figure of a size in inches, known to no GUI."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: install it with pip install 'ae_scratch[plot]'") from error
    return Figure((width, height), layout=layout)


def _grid(rows: int, columns: int, title: str, left: float = 0.0, below: float = 0.0) -> tuple[Figure, Array]:
    """A figure of rows x columns axes for images, without ticks, and inches of room beside and below them."""
    width = max(CELL * columns + left, 4.0)
    title = _wrapped(title, width)
    figure = _figure(width, CELL * rows + below + 0.3 * (1 + title.count("\n")), "compressed")
    axes: Array = figure.subplots(rows, columns, squeeze=False, subplot_kw={"xticks": [], "yticks": []})
    figure.suptitle(title, fontsize=TITLE)
    return figure, axes


def _plot(ax: Axes | None, title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """The axes, in a figure of their own unless given, with title, labels and a light grid."""
    ax = _figure(*PLOT, "constrained").subplots() if ax is None else ax
    figure: Any = ax.figure
    ax.set_title(_wrapped(title, ax.bbox.width / figure.dpi), fontsize=TITLE)
    ax.set_xlabel(xlabel, fontsize=TEXT)
    ax.set_ylabel(ylabel, fontsize=TEXT)
    ax.tick_params(labelsize=TEXT)
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def _wrapped(title: str, width: float) -> str:
    """The title in as many lines as a width in inches needs, of about equal length."""
    letters = int(width * 72 / (0.55 * TITLE))  # a letter is about 0.55 of the font size wide; an inch has 72 points
    lines = textwrap.wrap(title, letters)
    while letters > 1 and len(textwrap.wrap(title, letters - 1)) == len(lines):
        letters -= 1
    return textwrap.fill(title, letters)
