"""One training step with every intermediate in order: what ``Autoencoder.trace`` returns.

It runs the network's own forward, backward and parameter gradients, the loss and a copy of the optimizer, and keeps what they
compute; nothing is computed a second way, and the model stays as it is. ``docs/trace.md`` describes the result.
"""

from __future__ import annotations

from .record import trace
from .result import Entry, Product, Trace
from .source import Source

__all__ = ["Entry", "Product", "Source", "Trace", "trace"]
