"""Handwritten-looking digits, drawn on the spot: the data set that needs neither a file nor a network.

A digit is a pen path: a spline through the control points of one of several styles, bent by a random polynomial, with every
control point moved a little and pressed a little harder or softer. A soft pen follows the path and leaves ink on 28 x 28 pixels.
Every image depends on (seed, index) alone and has the same bytes on every machine; `_ink` says how a matrix product can do that.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..inputs import whole
from ..kernels import philox

# The styles of each digit. A glyph is strokes separated by "/"; a stroke is the points "x,y" the pen passes through, in percent
# of a box: x to the right, y down. A stroke that ends where it began is a closed loop; one that begins where another ends makes a
# corner. Points with the same coordinates are one point: they move together, so that joints stay joined.
GLYPHS = {
    0: ("50,0 24,9 12,35 12,65 24,91 50,100 76,91 88,65 88,35 76,9 50,0",  # round
        "52,0 35,13 28,38 27,64 35,88 50,100 65,88 72,64 73,38 67,14 52,0",  # slim
        "58,16 40,3 19,22 12,52 24,88 52,100 78,86 88,54 78,18 58,1 46,9"),  # ends overlap
    1: ("50,0 50,33 50,67 50,100",  # bare
        "32,24 52,0/52,0 51,33 50,67 50,100",  # flag
        "30,22 52,0/52,0 51,33 51,67 51,99/26,100 51,99 78,98"),  # flag and foot
    2: ("18,22 32,4 58,0 78,14 78,36 60,58 38,78 18,98/18,98 50,95 84,97",  # round head
        "20,20 38,2 64,4 76,24 66,50 44,76 24,96 10,90 20,78 40,84 62,97 90,90",  # loop
        "16,12 46,2 76,6 72,34 48,64 18,95/18,95 50,96 86,92",  # like a z
        "14,30 24,8 50,0 76,10 74,34 50,56 26,78 16,96/16,96 40,86 64,95 90,84"),  # wavy foot
    3: ("20,12 44,0 70,6 76,24 62,42 42,46/42,46 66,50 82,68 74,90 48,100 18,88",  # round
        "18,3 48,2 78,2/78,2 60,22 44,42/44,42 70,46 82,68 70,92 44,100 18,90",  # flat top
        "20,14 42,0 68,6 74,24 58,42 38,50 34,44 48,43 72,54 82,74 68,95 42,100 16,88"),  # loop in the middle
    4: ("28,2 22,28 18,54/18,54 50,52 86,48/72,6 69,38 66,70 64,100",  # open
        "65,0 38,30 11,63/11,63 50,64 91,61/65,0 65,33 64,66 63,100",  # closed
        "20,4 16,28 24,48 46,53 66,42 74,20/78,2 72,35 67,68 63,100",  # open and round
        "58,0 36,26 14,52/14,52 50,52 88,47/72,26 66,63 60,100"),  # short stem
    5: ("80,0 54,1 28,2/28,2 24,22 22,44/22,44 48,36 72,46 80,68 68,90 42,100 16,90",  # angular
        "84,4 56,0 32,12 30,34 54,45 75,60 76,82 54,99 22,92",  # like an s
        "32,6 28,24 26,44/26,44 50,42 70,56 70,80 50,98 20,94/32,6 60,4 90,0",  # bar drawn last
        "92,0 64,4 38,8/38,8 30,24 24,42/24,42 46,42 62,56 62,76 44,94 14,98"),  # long bar
    6: ("68,0 44,14 26,40 20,68 32,94 54,100 74,86 74,66 56,54 36,62 24,80",  # round
        "58,0 42,24 30,50 24,76 36,97 58,98 72,80 64,62 44,60 28,74",  # straight back
        "76,10 54,2 30,22 18,56 26,88 52,100 78,84 78,60 56,50 32,58 20,74",  # curled top
        "40,0 31,25 25,50 24,76 36,97 58,99 74,84 70,62 50,54 30,64"),  # upright
    7: ("16,6 48,5 82,4/82,4 66,34 52,66 42,100",  # plain
        "16,6 48,5 82,4/82,4 66,34 52,66 42,100/32,52 56,50 80,47",  # bar
        "16,20 18,4/18,4 50,6 82,2/82,2 72,34 60,66 52,100",  # flag
        "16,10 46,2 76,8 74,38 60,68 48,100"),  # no corner
    8: ("72,14 50,0 28,10 28,30 50,48 74,66 74,90 50,100 26,90 26,66 50,48 72,30 72,14",  # one stroke
        "50,0 30,8 27,30 50,46 73,30 70,8 50,0/50,46 26,58 22,84 50,100 78,84 74,58 50,46",  # two loops
        "82,8 56,0 32,10 32,30 54,48 74,68 68,94 44,100 24,86 32,64 54,48 74,30 84,10",  # open at the top
        "68,10 46,0 29,12 34,31 54,48 70,70 62,94 38,98 26,80 42,58 66,36 80,14"),  # slim and open
    9: ("72,12 48,2 26,16 26,40 48,50 68,36 72,12/72,12 72,42 70,72 68,100",  # straight tail
        "72,14 50,0 28,14 26,38 48,50 70,34 72,14/72,14 74,42 70,74 52,98 26,92",  # curved tail
        "70,10 46,2 28,20 34,42 56,40 72,12/72,12 64,44 54,72 44,100",  # slanted
        "76,6 48,2 26,18 30,38 54,40 74,24/76,6 72,38 66,70 60,100"),  # open head
}
CONTROLS = 16  # columns for the control points of a glyph; no glyph has more points
DOTS = 64  # dots of ink along the path, less than a pixel apart
GRID = 2.0**20  # see _paths
FINE = 32  # positions of a dot within a pixel
CHUNK = 256  # images drawn at a time: what stays in the cache
CHOICES, SHAPES = 0, 1  # epochs of the random numbers, by which data sets of one seed differ

# A point of the path has three coordinates: x, y and the pressure of the pen. Each is a sum of terms with normal coefficients of
# these means and spreads: first the monomials of the place (x, y) in the glyph, from -1 to 1, which scale, slant, rotate and bend
# the digit (no constant: it is centred afterwards); then one term per control point, which moves or presses that point alone.
#                    x     y    xx    xy    yy   xxx   xxy   xyy   yyy  each control point
MEAN = np.array([[1.00, -.15, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00] + CONTROLS * [0.00],
                 [0.00, 1.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00] + CONTROLS * [0.00],
                 [0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00] + CONTROLS * [1.00]])
SPREAD = np.array([[.15, 0.28, 0.10, 0.10, 0.10, 0.06, 0.06, 0.06, 0.06] + CONTROLS * [0.06],
                   [.12, 0.10, 0.10, 0.10, 0.10, 0.06, 0.06, 0.06, 0.06] + CONTROLS * [0.06],
                   [.05, 0.05, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00] + CONTROLS * [0.15]])
EXTREME = 2  # no coefficient is further from its mean than so many spreads: every digit stays legible

BOX = 16.5, 18.5  # pixels: the longer side of the box round the path; the pen's width comes on top
SHIFT = 1.75  # pixels: how far the middle of the box may lie from the middle of the image, in x and in y
NIB = 0.95  # pixels: standard deviation of the pen's profile
PEN = 26, 68  # ink per pixel of path, from the lightest to the heaviest pen
FAINT, FULL = 12_000, 64_000  # density that just shows, and that is white; a line has 32 * 32 * sqrt(2 pi) NIB = 2438 per ink


def make_digits(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return n images of handwritten-looking digits, uint8 (n, 28, 28), bright ink on black, and their labels 0 to 9, uint8 (n,).

    Image i depends on seed and i alone, so a smaller set is the beginning of a larger one. Labels and styles are uniform. n and
    seed are whole numbers in [0, 2**32): TypeError if not whole, ValueError if outside.

    >>> X, y = make_digits(1000, seed=0)
    >>> X.shape, X.dtype, y[:8].tolist()
    ((1000, 28, 28), dtype('uint8'), [5, 0, 2, 8, 4, 1, 2, 1])
    """
    n, seed = whole(n, "n", 0, 2**32 - 1), whole(seed, "seed", 0, 2**32 - 1)
    X, y = np.empty((n, 28, 28), np.uint8), np.empty(n, np.uint8)
    for start in range(0, n, CHUNK):
        samples = np.arange(start, min(start + CHUNK, n))
        X[samples], y[samples] = _draw(samples, seed)
    return X, y


def _draw(samples: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and labels of the samples with these indices."""
    modes, first, _ = _tables()
    u = philox.uniform(seed, philox.DATA, CHOICES, samples, 6)
    labels = (10 * u[:, 0]).astype(np.uint8)
    styles = first[labels + 1] - first[labels]
    glyphs = first[labels] + (styles * u[:, 1]).astype(np.intp)
    place, ink = _paths(modes[glyphs], philox.normal(seed, philox.DATA, SHAPES, samples, MEAN.size))
    low, high = place.min(-1), place.max(-1)
    scale = (BOX[0] + (BOX[1] - BOX[0]) * u[:, 2]) / (high - low).max(-1)
    middle = 14 + SHIFT * (2 * u[:, 3:5] - 1)
    place = (place - (low + high)[..., None] / 2) * scale[:, None, None] + middle[..., None]
    pen = PEN[0] + (PEN[1] - PEN[0]) * u[:, 5] * u[:, 5]  # light pens are more common than heavy ones
    return _ink(place, ink * (pen * scale)[:, None]), labels


def _paths(modes: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return where the dots of each path lie, (n, 2, DOTS), and length times pressure of the piece of path round each, (n, DOTS).

    Coefficients and modes are multiples of 2^-20 below 2 in magnitude. Products and sums of them fit in the 53 bits of float64:
    the matrix product is exact in whatever order it is computed. The rest is + - * / and sqrt, which every machine rounds alike.
    """
    coefficients = MEAN + SPREAD * z.reshape(-1, *MEAN.shape).clip(-EXTREME, EXTREME)
    path = np.rint(coefficients * GRID) / GRID @ modes
    dx, dy = path[:, 0, DOTS:], path[:, 1, DOTS:]
    return path[:, :2, :DOTS], np.sqrt(dx * dx + dy * dy) * path[:, 2, :DOTS]


def _ink(place: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Return the images, uint8 (n, 28, 28), of dots of ink at place, (n, 2, DOTS) in pixels.

    A dot of a Gaussian pen is a product exp(-(x - x_k)^2 / 2s^2) exp(-(y - y_k)^2 / 2s^2): a row times a column. The sum of these
    products over all dots, each times its ink, is one product of two matrices per image, (28, DOTS) by (DOTS, 28). Dense ink
    saturates, which turns the soft sum into a line with crisp edges.

    BLAS may add in any order, with or without fused operations, and yet gives the same bits: the profile is rounded to integers
    up to 2^5 and the ink to integers below 2^8, so the sum over 2^6 dots is an integer below 2^24, exact in float32.
    """
    profile = _tables()[2]
    dots = np.rint(place * FINE).astype(np.intp)
    weight = np.minimum(np.rint(ink), 255).astype(np.float32)
    columns, rows = profile[dots[:, 0]] * weight[..., None], profile[dots[:, 1]]
    density = rows.transpose(0, 2, 1) @ columns
    return np.clip((density - FAINT) * (255 / (FULL - FAINT)), 0, 255).astype(np.uint8)


@lru_cache(maxsize=None)
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the modes of all glyphs, the index of each digit's first glyph (and the end), and the pen's profile.

    profile[q, i] is the ink on pixel i (its centre is at i + 1/2) of a dot at q / FINE. Machines may differ in the last bits of
    exp and of the sums in _modes; no number rounded here or there is so close to a half that it matters.
    """
    modes = np.array([_modes(glyph) for digit in range(10) for glyph in GLYPHS[digit]])
    first = np.cumsum([0] + [len(GLYPHS[digit]) for digit in range(10)])
    distance = np.arange(28) + 0.5 - np.arange(28 * FINE)[:, None] / FINE
    return modes, first, np.rint(32 * np.exp(-0.5 * (distance / NIB) ** 2)).astype(np.float32)


def _modes(glyph: str) -> np.ndarray:
    """Return what each term of MEAN and SPREAD does to the places, then to the steps, of a glyph's dots: (9 + CONTROLS, 2 DOTS).

    The step of a dot leads from half-way to the dot before to half-way to the dot after.
    """
    controls, pieces = _splines(glyph)
    place = np.zeros((2, CONTROLS))
    place[:, :len(controls)] = controls.T
    dx, dy = place @ (pieces[:, 2] - pieces[:, 1]).T
    length = np.sqrt(dx * dx + dy * dy)  # of the chord of each piece
    stop = length.cumsum()
    at = (np.arange(DOTS) + 0.5) / DOTS * stop[-1]
    piece = np.searchsorted(stop, at)
    t, half = 1 - (stop[piece] - at) / length[piece], stop[-1] / DOTS / length[piece] / 2
    dots = [_blend(t), _blend(t + half) - _blend(t - half)]
    basis = np.concatenate([(blend[..., None] * pieces[piece]).sum(1) for blend in dots])
    x, y = place
    monomials = [x, y, x * x, x * y, y * y, x * x * x, x * x * y, x * y * y, y * y * y]
    return np.rint(np.vstack([monomials, np.eye(CONTROLS)]) @ basis.T * GRID) / GRID


def _splines(glyph: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the control points of a glyph, (m, 2) from -1 to 1, and the pieces of its splines, (pieces, 4, CONTROLS).

    A piece runs between the middle two of four points. Each of the four is a weighted sum of control points, since the spline
    needs one more at either end of a stroke: the next one round in a closed loop, else the mirror image of the neighbour.
    """
    strokes = [[tuple(map(int, point.split(","))) for point in stroke.split()] for stroke in glyph.split("/")]
    controls = list(dict.fromkeys(point for stroke in strokes for point in stroke))
    pieces = []
    for stroke in strokes:
        row = np.eye(CONTROLS)[[controls.index(point) for point in stroke]]
        closed = stroke[0] == stroke[-1]
        before, after = (row[-2], row[1]) if closed else (2 * row[0] - row[1], 2 * row[-1] - row[-2])
        row = np.vstack([before, row, after])
        pieces += [row[i:i + 4] for i in range(len(row) - 3)]
    return np.array(controls) / 50 - 1, np.array(pieces)


def _blend(t: np.ndarray) -> np.ndarray:
    """Return the weights, (len(t), 4), of four points in Catmull and Rom's spline (1974); t = 0: the second, t = 1: the third."""
    return np.stack([((2 - t) * t - 1) * t, (3 * t - 5) * t * t + 2, ((4 - 3 * t) * t + 1) * t, (t - 1) * t * t], -1) / 2
