"""The results as pictures: roofline, ladder, epochs, growth. Needs matplotlib, loaded on first use."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ae_scratch.plots import COLOURS, DASHES, MARKERS, save

from .contestants import CONTESTANTS
from .race import seconds
from .report import layers, ranking, threads

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Cells = dict[str, dict[str, Any]]
OURS, OTHERS = COLOURS[1], COLOURS[0]


def draw(results: dict[str, Any], folder: Path) -> None:
    """Save the picture of every benchmark that has one."""
    for name, (file, picture) in PICTURES.items():
        if name in results["benchmarks"]:
            save(picture(results["benchmarks"][name], results), folder / file)


def roofline(cells: Cells, results: dict[str, Any]) -> Figure:
    """The limits of one thread, and under them the products of the job as far as the ladder was measured."""
    figure, (ax,) = _figure(1)
    cell = cells[min(cells)]
    peak = max(cell["fma"])
    for colour, (place, streams) in zip(COLOURS, cell["bandwidth"].items()):
        speed = max(streams["read"])
        ax.plot([1 / 16, peak / speed, 512], [speed / 16, peak, peak], color=colour, label=f"{place}, {speed:.0f} GB/s")
    shapes = results["benchmarks"].get("ladder", {}).get("1 threads", {}).get("shapes", {})
    for line, (shape, steps) in enumerate(sorted(shapes.items(), key=lambda item: intensity_of(item[0]))):
        _point(ax, shape, steps, line)
    ax.set(xscale="log", yscale="log", xlabel="operations per byte of the matrices", ylabel="GFLOP/s",
           title=f"Roofline of one thread, {results['machine']['cpu']}: {peak:.0f} GFLOP/s")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
    ax.legend(loc="lower right", title="read from")
    return figure


def _point(ax: Axes, shape: str, steps: dict[str, Any], line: int) -> None:
    """The fastest step of the ladder for one shape, and on a line of its own what it is."""
    speed = max((statistics.median(steps[name]["gflops"]) for name in steps if name.startswith("matmul")
                 and "gflops" in steps[name]), default=0.0)
    if speed:
        intensity = intensity_of(shape)
        ax.plot(intensity, speed, "D", color="black", markersize=5)
        ax.annotate(f"{shape.replace(' one ', ' ')}: {speed:.0f}", (intensity, speed), (0.5, 0.6 - 0.06 * line), ha="right",
                    textcoords="axes fraction", fontsize=8,
                    arrowprops={"arrowstyle": "-", "color": "grey", "linewidth": 0.5, "relpos": (1, 0.5)})


def intensity_of(shape: str) -> float:
    """Operations of a product of float32 matrices, "m x k x n", for each byte of them."""
    m, k, n = (int(size) for size in shape.split(",")[0].split(" x "))
    return 2 * m * k * n / (4 * (m * k + k * n + m * n))


def ladder(cells: Cells, results: dict[str, Any]) -> Figure:
    """A group of bars for each shape, a bar for each step, on the machine's peak."""
    shapes = cells["1 threads"]["shapes"]
    figure, axes = _figure(len(shapes), height=1.9)
    for ax, (shape, steps) in zip(axes, shapes.items()):
        names = [name for name in steps if "gflops" in steps[name]]
        values = [statistics.median(steps[name]["gflops"]) for name in names]
        labels = ["NumPy" if name.startswith("numpy") else name.removeprefix("matmul_").replace("_", " ") for name in names]
        bars = ax.barh(labels, values, color=[OTHERS if name.startswith("numpy") else OURS for name in names])
        ax.bar_label(bars, [f"{value:.0f}" for value in values], padding=3)
        ax.axvline(max(steps[name]["peak"] for name in names), color="black", linestyle="--")
        ax.invert_yaxis()
        ax.set_title(shape, fontsize=11)
    axes[-1].set_xlabel("GFLOP/s, one thread; dashed: the machine's peak")
    return figure


def epochs(cells: Cells, results: dict[str, Any]) -> Figure:
    """Bars from the fastest to the slowest, for every batch size and number of threads."""
    figure, axes = _figure(len(cells), height=3.6)
    for ax, cell in zip(axes, cells.values()):
        names = [name for name in ranking(cell["contestants"]) if "error" not in cell["contestants"][name]]
        times = [seconds(cell["contestants"][name]) for name in names]
        middle = [statistics.median(values) for values in times]
        reach = [[m - min(v) for m, v in zip(middle, times)], [max(v) - m for m, v in zip(middle, times)]]
        bars = ax.barh([CONTESTANTS[name].label for name in names], middle, xerr=reach, ecolor="0.4",
                       color=[OURS if name.startswith("ours") else OTHERS for name in names])
        ax.bar_label(bars, [f"{value:.2f}" for value in middle], padding=3)
        ax.invert_yaxis()
        ax.set_title(f"{layers(cell)}, batch {cell['batch']}, {threads(cell)}", fontsize=11)
    axes[-1].set_xlabel("seconds per epoch; lines reach from the fastest to the slowest round")
    return figure


def growth(cells: Cells, results: dict[str, Any]) -> Figure:
    """GFLOP/s as the model gets wider, a line for each contestant, a panel for each batch size."""
    batches = sorted({cell["batch"] for cell in cells.values()})
    figure, axes = _figure(len(batches), height=4)
    for ax, batch in zip(axes, batches):
        chosen = [cell for cell in cells.values() if cell["batch"] == batch]
        for i, name in enumerate(chosen[0]["contestants"]):
            points = [(cell["sizes"][1], cell["flops"] / 1e9 / statistics.median(seconds(cell["contestants"][name])))
                      for cell in chosen if "error" not in cell["contestants"][name]]
            if points:
                cycle, place = divmod(i, len(COLOURS))
                ax.plot(*zip(*points), DASHES[cycle], color=COLOURS[place], marker=MARKERS[place],
                        linewidth=3 if name == "ours" else 1.5, label=CONTESTANTS[name].label)
        ax.set(xscale="log", ylim=(0, None), ylabel="GFLOP/s")
        widths = [cell["sizes"][1] for cell in chosen]
        ax.set_xticks(widths, [f"{layers(cell)}" for cell in chosen], fontsize=8)
        ax.minorticks_off()
        ax.set_title(f"batch {batch}, {threads(chosen[0])}", fontsize=11)
    axes[0].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def _figure(panels: int, height: float = 4.8) -> tuple[Figure, Any]:
    """A figure with panels one below the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.6 + height * panels), layout="constrained")
    axes = figure.subplots(panels, squeeze=False)[:, 0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes


PICTURES: dict[str, tuple[str, Callable[[Cells, dict[str, Any]], Figure]]] = {
    "roofline": ("roofline.png", roofline), "ladder": ("ladder.png", ladder), "epoch": ("epochs.png", epochs),
    "growth": ("growth.png", growth)}
