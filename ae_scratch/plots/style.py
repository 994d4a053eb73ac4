"""How pictures look: colours, sizes, empty figures, and how they are saved."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..files import replacing
from ..kernels.reference import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#000000", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's, without yellow
CLASSES = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#777777")  # Tol's
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", ":", "-.")  # four against seven colours and markers: 28 series before two look alike
HATCHES = ("", "////", "....", "xxxx")

TITLE, TEXT = 13, 11  # points
PLOT, SQUARE = (6.4, 4.4), (6.4, 6.0)  # inches
CELL, FEW = 0.8, 2.4  # inches, an image with the gap around it; all of them, where they are few
PER_ROW = 10


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, at 120 dots per inch: completely or not at all, and the same bytes for the same picture.

    This settles the figure's layout: what is added later does not move what is there.

    Raises ValueError for a name that does not end in .png, OSError if the file cannot be written.

    >>> import tempfile
    >>> from ae_scratch.plots import filters
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


def stroke(i: int) -> dict[str, Any]:
    """The looks of line number i."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)], "marker": MARKERS[i % len(MARKERS)],
            "linewidth": 1.8, "markersize": 5}


def area(i: int) -> dict[str, Any]:
    """The looks of area number i."""
    from matplotlib.colors import to_rgba

    colour = COLOURS[i % len(COLOURS)]
    return {"facecolor": to_rgba(colour, 0.25), "edgecolor": colour, "hatch": HATCHES[i % len(HATCHES)], "linewidth": 1.5}


def new_figure(width: float, height: float, layout: Literal["constrained", "compressed"]) -> Figure:
    """An empty figure of a size in inches, known to no GUI."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("pictures need matplotlib: install it with pip install 'ae_scratch[plot]'") from error
    return Figure((width, height), layout=layout)


def image_grid(rows: int, columns: int, title: str, left: float = 0.0, below: float = 0.0,
               ax: Axes | None = None) -> tuple[Figure, Array]:
    """rows x columns axes for images, without ticks: in a figure of their own, with inches of room beside and below them, or in
    the place of ``ax``."""
    bare: dict[str, Any] = {"xticks": [], "yticks": []}
    if ax is not None:
        ax.set_axis_off()
        ax.set_box_aspect(rows / columns)
        ax.set_title(wrapped(title, ax.bbox.width / _figure_of(ax).dpi), fontsize=TITLE)
        places = [[ax.inset_axes((c / columns, 1 - (r + 1) / rows, 0.92 / columns, 0.92 / rows), **bare) for c in range(columns)]
                  for r in range(rows)]
        return _figure_of(ax), np.array(places)
    cell = max(CELL, FEW / max(rows, columns))
    width = max(cell * columns + left, 4.0)
    title = wrapped(title, width)
    figure = new_figure(width, cell * rows + below + 0.3 * (1 + title.count("\n")), "compressed")
    axes: Array = figure.subplots(rows, columns, squeeze=False, subplot_kw=bare)
    figure.suptitle(title, fontsize=TITLE)
    return figure, axes


def plot_axes(ax: Axes | None, title: str, xlabel: str, ylabel: str, size: tuple[float, float] = PLOT) -> tuple[Figure, Axes]:
    """The axes, in a figure of their own unless given, with title, labels and a light grid."""
    ax = new_figure(*size, "constrained").subplots() if ax is None else ax
    figure = _figure_of(ax)
    ax.set_title(wrapped(title, ax.bbox.width / figure.dpi), fontsize=TITLE)
    ax.set_xlabel(xlabel, fontsize=TEXT)
    ax.set_ylabel(ylabel, fontsize=TEXT)
    ax.tick_params(labelsize=TEXT)
    ax.grid(alpha=0.3)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def _figure_of(ax: Axes) -> Any:
    """The figure that axes belong to; matplotlib says it could be a part of one."""
    return ax.figure


def wrapped(title: str, width: float) -> str:
    """The title in as many lines as a width in inches needs, of about equal length."""
    letters = int(width * 72 / (0.55 * TITLE))  # a letter is about 0.55 of the font size wide; an inch has 72 points
    lines = textwrap.wrap(title, letters)
    while letters > 1 and len(textwrap.wrap(title, letters - 1)) == len(lines):
        letters -= 1
    return textwrap.fill(title, letters)
