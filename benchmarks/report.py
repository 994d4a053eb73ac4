"""Results as tables: the same Markdown on the terminal and in the README."""

from __future__ import annotations

import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .contestants import CONTESTANTS
from .race import BYTES, ratio, seconds

Cell = dict[str, Any]
FLOOR_BATCH = 32  # of the floor that goes with the roofline
BEGIN, END = "<!-- benchmarks: written by python -m benchmarks readme -->", "<!-- end of benchmarks -->"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with its columns aligned."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in map(lambda w: max(w, 2), widths[1:])]
    padded = [[cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(line, widths))]
              for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def threads(cell: Cell) -> str:
    """1 thread, 2 threads."""
    return "1 thread" if cell["threads"] == 1 else f"{cell['threads']} threads"


def layers(cell: Cell) -> str:
    """784-128-32-128-784."""
    return "-".join(map(str, cell["sizes"]))


def spread(values: Sequence[float], digits: int = 3) -> list[str]:
    """The median, the least and the most."""
    return [f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values))]


def reason(result: Cell) -> str:
    """Why a contestant has no time, or one that cannot be compared; nothing if all is well."""
    error = result.get("error", "")
    if missing := re.match(r"ModuleNotFoundError: No module named '(\w+)", error):
        return f"not installed: {missing[1]}"
    return error.splitlines()[0][:100] if error else f"WRONG: {result['wrong']}" if "wrong" in result else ""


def ranking(results: dict[str, Cell]) -> list[str]:
    """Names from the fastest to the slowest, then those without a time."""
    return sorted(results, key=lambda name: statistics.median(seconds(results[name])) if "error" not in results[name]
                  else float("inf"))


def race_table(results: dict[str, Cell], figure: str) -> str:
    """A row per contestant: its times, how many times as long as ours, its last "loss" or "mean", and what is to be said."""
    ours, rows = results.get("ours", {"error": ""}), []
    for name in ranking(results):
        result, contestant = results[name], CONTESTANTS[name]
        if "error" in result:
            rows.append([contestant.label, *["-"] * 5, reason(result)])
            continue
        compared = "-" if "error" in ours else f"{ratio(result, ours):.2f}"
        rows.append([contestant.label, *spread(seconds(result)), compared, f"{result['rounds'][-1][figure]:.4f}",
                     reason(result) or ("" if contestant.same_loss else "squared error")])
    return table(["contestant", "median", "min", "max", "times ours", figure, ""], rows)


def rounds(cell: Cell) -> str:
    """So that nobody takes one run for many."""
    return f"median of {max(len(result.get('rounds', ())) for result in cell['contestants'].values())} rounds"


def epoch(cell: Cell) -> str:
    title = (f"{layers(cell)}, batch {cell['batch']}, {threads(cell)}, {cell['images']:,} images: seconds per epoch, "
             f"{rounds(cell)}")
    return f"{title}\n\n{race_table(cell['contestants'], 'loss')}"


def encode(cell: Cell) -> str:
    title = f"encode {cell['images']:,} images, {threads(cell)}: seconds, {rounds(cell)}"
    return f"{title}\n\n{race_table(cell['contestants'], 'mean')}"


def cold(cell: Cell) -> str:
    title = (f"process start to the end of the first epoch, batch {cell['batch']}, {threads(cell)}, {cell['images']:,} images: "
             "seconds")
    rows, results = [], cell["contestants"]
    for name in sorted(results, key=lambda name: results[name].get("warm", {}).get("seconds", float("inf"))):
        result = results[name]
        label = CONTESTANTS[name].label
        if "error" in result:
            rows.append([label, *["-"] * 4, reason(result)])
        else:
            rows.append([label, f"{result['cold']['seconds']:.1f}", f"{result['warm']['seconds']:.1f}", f"{result['import']:.2f}",
                         f"{result['warm']['bytes'] / 1e6:,.0f}", ""])
    texts = title, table(["contestant", "empty caches", "again", "import", "peak memory, MB", ""], rows), from_bytes(cell)
    return "\n\n".join(filter(None, texts))


def from_bytes(cell: Cell) -> str:
    """Who read bytes in a cold start, if anybody."""
    labels = ", ".join(CONTESTANTS[name].label for name, result in cell["contestants"].items() if result.get("data") == BYTES)
    return labels and (f"First epoch and peak memory of {labels} are those of uint8 images, which it scales as it reads them, to "
                       "the same bits; the others are handed float32.")


def roofline(cell: Cell) -> str:
    rows = [["multiply-add from registers, GFLOP/s", *spread(cell["fma"], 1)],
            ["root and quotient, billions a second", *spread(cell["root and quotient"], 2)]]
    for place, streams in cell["bandwidth"].items():
        rows += [[f"{place} {name}, GB/s", *spread(values, 1)] for name, values in streams.items()]
    text = f"this machine's limits, {threads(cell)}\n\n" + table(["", "median", "min", "max"], rows)
    floor = cell["floor"]
    return text + (f"\n\nfloor of an epoch of the article's model at batch {FLOOR_BATCH}: products {floor['products']:.3f} s + "
                   f"Adam {floor['adam']:.3f} s + loss {floor['loss']:.3f} s = {floor['total']:.3f} s")


def ladder(cell: Cell) -> str:
    texts = []
    for shape, steps in cell["shapes"].items():
        rows = []
        for step, result in steps.items():
            share = "-" if "error" in result else f"{statistics.median(result['gflops']) / result['peak']:.0%}"
            figures = ["-"] * 3 if "error" in result else spread(result["gflops"], 1)
            rows.append([step, *figures, share, result.get("error", "")])
        texts.append(f"{shape}, 1 thread: GFLOP/s\n\n" + table(["step", "median", "min", "max", "of peak", ""], rows))
    return "\n\n".join(texts)


def operations(cell: Cell) -> str:
    rows = [[name, *(f"{statistics.median(both[who]):.2f}" for who in ("ours", "numpy")),
             f"{statistics.median(both['ours']) / statistics.median(both['numpy']):.1f}"]
            for name, both in cell["operations"].items()]
    return "billions of elements a second, 1 thread\n\n" + table(["operation", "compiled", "NumPy", "times faster"], rows)


TABLES = {"roofline": roofline, "ladder": ladder, "operations": operations, "epoch": epoch, "growth": epoch, "depth": epoch,
          "encode": encode, "cold": cold}


def conditions(results: Cell) -> str:
    """What the figures must be read with."""
    machine, dates = results["machine"], [cell["date"] for cells in results["benchmarks"].values() for cell in cells.values()]
    versions = {**machine["versions"], **results["peers"]}
    return (f"{machine['cpu']}, {machine['cores']} cores, {'/'.join(machine['features'])}; {machine['system']}; "
            f"{', '.join(f'{name} {version}' for name, version in versions.items())}; {results['data']}; "
            f"{min(dates)}{f' to {max(dates)}' if min(dates) < max(dates) else ''}.")


def over_floor(benchmarks: Cell) -> str:
    """How close we come to the machine's limits, for as many threads as both were measured."""
    texts = []
    for cell in benchmarks.get("epoch", {}).values():
        limits, ours = benchmarks.get("roofline", {}).get(f"{cell['threads']} threads"), cell["contestants"].get("ours", {})
        if cell["batch"] == FLOOR_BATCH and limits and ours.get("rounds"):
            floor, took = limits["floor"]["total"], statistics.median(seconds(ours))
            texts.append(f"With {threads(cell)} at batch {FLOOR_BATCH}, products, Adam and loss at the limits that roofline "
                         f"measured add up to {floor:.2f} s; ae_scratch takes {took / floor:.1f} times that.")
    return "\n".join(texts)


def readme_section(results: Cell) -> str:
    """The README's section between its marks: everybody's epochs, encoding, first epoch and memory, whoever wins."""
    notes = map(from_bytes, results["benchmarks"].get("cold", {}).values())
    parts = summary(results["benchmarks"]), *notes, over_floor(results["benchmarks"]), f"Measured on {conditions(results)}"
    return "\n\n".join(filter(None, parts))


def summary(benchmarks: Cell) -> str:
    """A row per contestant, sorted by the first race; a column per race, and what the cold start found."""
    races = [*benchmarks.get("epoch", {}).values(), *benchmarks.get("encode", {}).values()]
    heads = [f"batch {cell['batch']}, {threads(cell)}" if "batch" in cell else f"encode, {threads(cell)}" for cell in races]
    started = next(iter(benchmarks.get("cold", {}).values()), {"contestants": {}})["contestants"]
    rows = []
    for name in ranking(races[0]["contestants"]):
        results, first = [cell["contestants"].get(name, {"error": ""}) for cell in races], started.get(name, {})
        row = ["-" if "error" in result else f"{statistics.median(seconds(result)):.2f}" for result in results]
        remarks = dict.fromkeys(filter(None, map(reason, [*results, first])))
        row += [f"{first[kind]['seconds']:.1f}" if kind in first else "-" for kind in ("cold", "warm")]
        rows.append([CONTESTANTS[name].label, *row, f"{first['warm']['bytes'] / 1e6:,.0f}" if "warm" in first else "-",
                     "; ".join(remarks) or ("" if CONTESTANTS[name].same_loss else "squared error")])
    return table(["seconds", *heads, "first epoch, compiling", "again", "peak memory, MB", ""], rows)


def write_readme(results: Cell, path: Path) -> None:
    """Put the section between the marks of the README; ValueError if there are none."""
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{path} has no lines {BEGIN!r} and {END!r} to write between")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    path.write_text(f"{before}{BEGIN}\n\n{readme_section(results)}\n\n{END}{after}", encoding="utf-8")
