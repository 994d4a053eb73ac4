"""How results are shown: as aligned columns, and as dicts for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows with their cells in columns, the first to the left, the others to the right.

    >>> print(aligned([["", "mse"], ["PCA", "0.5"]]))
         mse
    PCA  0.5
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    cells = [[row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in cells)


def to_dict(result: Any) -> Any:
    """Return a result of this package, or a list of them, as dicts, lists, strings and numbers: ready for JSON.

    >>> from ae_scratch.diagnostics import DataWarning
    >>> to_dict([DataWarning("constant features: 67", "drop them")])
    [{'problem': 'constant features: 67', 'advice': 'drop them'}]
    """
    if hasattr(result, "_asdict"):
        verdict = {"ok": result.ok} if hasattr(result, "ok") else {}
        return to_dict({**verdict, **result._asdict()})
    if isinstance(result, Mapping):
        return {name: to_dict(value) for name, value in result.items()}
    if isinstance(result, (list, tuple)):
        return [to_dict(value) for value in result]
    return result.tolist() if isinstance(result, (np.ndarray, np.generic)) else result
