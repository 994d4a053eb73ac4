"""``ae-scratch explore``: a stored model as a page in which it runs."""

from __future__ import annotations

import argparse
from typing import Any

from ..datasets.tables import read_column
from .options import add_image_shape, add_messages, add_model, add_output, add_reading, command, load, read, require_free, say

EXAMPLES = """  ae-scratch explore digits.safetensors digits.npz:X --labels digits.npz:y -o explorer.html
  ae-scratch explore pump.safetensors readings.csv --title "Water pump" -o pump.html
  ae-scratch explore faces.safetensors faces.npy --image-shape 24 32 -o faces.html
"""


def add(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(commands, "explore", run, "MODEL [DATA] -o FILE.html [options]", "make a page in which a model runs",
                     "Write one HTML file, to open in a browser, in which a stored model runs: draw or change the input,\n"
                     "drag the code, walk on a map of the codes, look at any unit's arithmetic and at a training step.",
                     EXAMPLES)
    add_model(parser)
    parser.add_argument("data", metavar="DATA", nargs="?", help="rows to pick from and to draw the map from")
    parser.add_argument("--labels", metavar="FILE", help="the class of each row, in one column")
    parser.add_argument("--title", help="heading of the page")
    add_image_shape(parser, "of the images that the rows are (default: a square number of columns without names is a square)")
    add_output(parser, "an .html file", required=True)
    add_messages(parser)
    add_reading(parser)


def run(options: argparse.Namespace) -> int:
    """Write the page."""
    if options.output.suffix.lower() != ".html":
        raise ValueError(f"expected an output file named .html, got {str(options.output)!r}")
    require_free(options.output, options.force)
    from ..explorer import export

    model, names = load(options)
    X = None if options.data is None else read(options, columns=names).X
    labels = None if options.labels is None else read_column(options.labels)
    export(model, options.output, X, labels, options.title, names, options.image_shape)
    if not options.quiet:
        say(f"{options.output}: open it in a browser")
    return 0
