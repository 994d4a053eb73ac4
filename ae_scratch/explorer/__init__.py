"""The explorer: a trained model in one HTML file, where it runs in JavaScript and every number can be looked at.

``network.js`` is the model, ``drawing.js`` draws numbers, ``step.js`` shows a recorded training step,
``page.js`` is what happens on the page. They and what
``description.py`` says of the model are filled into ``page.html``. Nothing is loaded from anywhere: the file works from a disk.
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..autoencoder import Autoencoder
from ..files import replacing
from .description import describe

__all__ = ["LIMIT", "describe", "export"]

LIMIT = 1_500_000  # bytes of the file
SCRIPTS = "drawing.js", "step.js", "page.js"  # beside network.js


def export(ae: Autoencoder, path: str | os.PathLike[str], X: Any = None, labels: Any = None, title: str | None = None,
           feature_names: Sequence[str] | None = None, image_shape: Sequence[int] | None = None) -> Path:
    """Write a page in which the fitted model ``ae`` can be explored, and return its path; an existing file is replaced.

    X
        Rows (n, features) in the units of the training data. The page offers the first of them to pick from. All of them tell
        the usual range of the codes: the sliders go from their 1 % to their 99 % quantile, and the map shows where they lie.
        Without X there are sliders for the codes of random inputs, but no samples and no map.
    labels
        The class of each row of X (n,), shown on the map.
    title
        Heading of the page.
    feature_names
        A name for each feature: the input is a table then. By default the names of the columns that ``ae`` was fitted with.
    image_shape
        (height, width) of the images that the rows are. By default a square number of features, 49 or more and without names, is
        a square image.

    The weights are in the page as float32. Raises NotFittedError, TypeError or ValueError for arguments that do not fit the
    model or each other, and ValueError for a model that makes a page of more than 1.5 MB.

    >>> import numpy as np, tempfile
    >>> X = np.random.default_rng(0).random((64, 6))
    >>> ae = Autoencoder(hidden_sizes=(5,), code_size=2, epochs=1, engine="numpy", random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = export(ae, f"{folder}/explorer.html", X, feature_names=list("abcdef"))
    ...     page.name, page.stat().st_size < 100_000
    ('explorer.html', True)
    """
    model, path = describe(ae, X, labels, feature_names, image_shape), Path(path)
    sizes = "-".join(map(str, [ae.n_features_in_, *(layer["units"] for layer in model["layers"])]))
    page = _filled({"title": html.escape(title or "Autoencoder explorer"), "summary": f"A trained autoencoder, {sizes}.",
                    "style": _part("page.css"), "network": _part("network.js"), "page": "\n".join(map(_part, SCRIPTS)),
                    "model": json.dumps(model, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")})
    if len(page) > LIMIT:
        raise ValueError(f"expected a model that fits into a page of {LIMIT:,} bytes; {sizes} has "
                         f"{ae.network_.params.count:,} parameters and makes one of {len(page):,}: explore a smaller one")
    with replacing(path) as part:
        part.write_bytes(page)
    return path


def _filled(parts: dict[str, str]) -> bytes:
    """The page, with each {{name}} in it replaced by the part of that name, in one pass: braces in a part stay what they are."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _part("page.html")).encode()


def _part(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
