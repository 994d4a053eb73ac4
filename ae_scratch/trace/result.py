"""What a trace holds, and how it is shown: as text, as a dictionary, as JSON, as a page."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..files import replacing
from ..kernels.reference import Array
from .source import Source

SMALL = 64  # numbers of an array that a dictionary holds unless it is told otherwise
SHOWN = 16  # numbers of an array that the text shows
KINDS = {"forward": "Forward", "backward": "Backward: dQ is the gradient of the objective with respect to Q",
         "update": "Update: what the optimizer makes of the gradients"}


class Product(NamedTuple):
    """The dot products an entry is made of: left @ right + add, with both transposed where it says so.

    Names of entries; right is None for a sum over the rows of ``left``; scale is what ``add`` is multiplied by.
    """

    left: str
    right: str | None
    left_transposed: bool = False
    right_transposed: bool = False
    add: str | None = None
    scale: float = 1.0


class Entry(NamedTuple):
    """One intermediate of the step."""

    name: str
    kind: str  # "forward", "backward" or "update"
    formula: str
    source: Source  # the line that computes it
    definition: Source | None  # what the operation in that line is defined as, in NumPy
    operation: str | None  # its name
    inputs: dict[str, str | float]  # what the letters of the formula stand for: names of entries, or numbers
    product: Product | None
    value: Array

    @property
    def stats(self) -> dict[str, float]:
        """Return min, mean and max, the share of zeros, and the Euclidean norm."""
        value = np.asarray(self.value, np.float64)
        return {"min": float(value.min()), "mean": float(value.mean()), "max": float(value.max()),
                "zeros": float((value == 0).mean()), "norm": float(np.sqrt((value * value).sum()))}

    def to_dict(self, values: bool | int = SMALL) -> dict[str, Any]:
        """Return everything in plain types, the numbers themselves under "values": of all arrays, of none, or of those that
        have at most so many."""
        wanted = values if isinstance(values, bool) else self.value.size <= values
        return {"name": self.name, "kind": self.kind, "formula": self.formula, "source": self.source._asdict(),
                "definition": self.definition and self.definition._asdict(), "operation": self.operation,
                "inputs": self.inputs, "product": self.product and self.product._asdict(),
                "shape": list(self.value.shape), "dtype": str(self.value.dtype),
                "stats": {name: value if math.isfinite(value) else None for name, value in self.stats.items()},
                **({"values": _plain(self.value)} if wanted else {})}

    def __str__(self) -> str:
        where = ", ".join(f"{letter} = {name:.6g}" if isinstance(name, (int, float)) else f"{letter} = {name}"
                          for letter, name in self.inputs.items())
        lines = [f"{self.name}:  {self.formula}" + (f"    [{where}]" if where else ""), f"    {self._figures()}",
                 f"    {self.source}  {self.source.text}" + (f"  -> {self.definition}" if self.definition else "")]
        if self.value.ndim and self.value.size <= SHOWN:
            lines += ["    " + line for line in np.array2string(self.value, precision=5).splitlines()]
        return "\n".join(lines)

    def _figures(self) -> str:
        """A number, or the shape and the statistics of many."""
        if self.value.ndim == 0:
            return f"{float(self.value):.8g}"
        stats = self.stats
        figures = "  ".join(f"{name} {stats[name]:.4g}" for name in ("min", "mean", "max", "norm"))
        return f"({', '.join(map(str, self.value.shape))})  {figures}  zeros {stats['zeros']:.0%}"


@dataclass(frozen=True)
class Trace:
    """A training step: ``trace["z1"]`` is an entry, ``print(trace)`` shows all, ``to_html("step.html")`` makes a page of them."""

    model: str
    loss: str
    optimizer: str
    epoch: int  # its number, from 0
    rows: list[int]  # which rows of the data the batch has, in its order; of a sequence of batches, the number of the batch
    entries: list[Entry]

    def __getitem__(self, name: str) -> Entry:
        """Return the entry of that name; KeyError with all the names if there is none."""
        found = {entry.name: entry for entry in self.entries}
        if name not in found:
            raise KeyError(f"no entry {name!r}: there are {', '.join(found)}")
        return found[name]

    def to_dict(self, values: bool | int = SMALL) -> dict[str, Any]:
        """Return the step in plain types; values: which arrays' numbers are in it, see ``Entry.to_dict``."""
        return {**vars(self), "entries": [entry.to_dict(values) for entry in self.entries]}

    def to_json(self, values: bool | int = SMALL) -> str:
        """Return ``to_dict`` as JSON; NaN and infinity become null."""
        return json.dumps(self.to_dict(values), allow_nan=False)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return a page, complete in itself, on which a click on any number shows how it comes about, term by term; and write
        it to ``path``, if given."""
        content = self.to_dict(values=False)
        for shown, entry in zip(content["entries"], self.entries):
            data = np.ascontiguousarray(entry.value, "<f8" if entry.value.dtype == np.float64 else "<f4")
            shown["data"] = base64.b64encode(data.tobytes()).decode()
            shown["bits"] = 8 * data.itemsize
        template = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        text = json.dumps(content, allow_nan=False).replace("<", "\\u003c")
        page = template.replace("/*STEP*/null", text)
        if path is not None:
            with replacing(Path(path)) as part:
                part.write_text(page, encoding="utf-8")
        return page

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        rows = f"{len(self.rows)} row{'s'[:len(self.rows) != 1]}"
        yield f"{self.model}\none training step: {rows}, epoch {self.epoch + 1}, {self.loss}, {self.optimizer}"
        for kind, title in KINDS.items():
            yield f"\n{title}\n{'-' * len(title)}"
            yield from (str(entry) for entry in self.entries if entry.kind == kind)


def _plain(value: Array) -> Any:
    """Numbers as Python's own, those of float32 as the shortest decimals that stand for them; None for NaN and infinity."""
    finite = np.isfinite(value)
    decimals = np.where(finite, value, 0)
    plain = (decimals.astype(str).astype(np.float64) if value.dtype == np.float32 else decimals).astype(object)
    plain[~finite] = None
    return plain.tolist()
