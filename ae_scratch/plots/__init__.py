"""Pictures of models, codes, errors and losses, as matplotlib figures that the caller saves or shows.

Needs the extra ``plot`` (matplotlib), loaded on first use; pyplot and its windows stay out of it. Series differ in dash, marker
or hatching as well as in colour, so that they can be told apart in grey and by the colour-blind.

Every function that draws returns (figure, axes), takes axes to draw into as ``ax``, and raises ImportError where matplotlib is
missing, and TypeError for what is no dict or no numbers where one is expected.
"""

from .codes import code_densities, latent_scatter, unit_activity
from .curves import curves_by_size, grouped_bars, loss_curves
from .images import decoded_grid, image_rows, interpolation
from .maps import error_images, feature_errors, filters
from .style import COLOURS, DASHES, HATCHES, MARKERS, save

__all__ = [
    "code_densities", "curves_by_size", "decoded_grid", "error_images", "feature_errors", "filters", "grouped_bars", "image_rows",
    "interpolation", "latent_scatter", "loss_curves", "save", "unit_activity",
    "COLOURS", "DASHES", "HATCHES", "MARKERS",
]
