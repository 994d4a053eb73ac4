"""The digits: the same bytes everywhere, drawn where the spline says, as varied and as separable as handwriting."""

import hashlib
import math

import numpy as np
import pytest
from scipy.interpolate import CubicHermiteSpline

from ae_scratch.datasets import digits
from ae_scratch.datasets.digits import CHUNK, CONTROLS, DOTS, FINE, GLYPHS, GRID, make_digits

STYLES = [pytest.param(glyph, id=f"{digit}-{k}") for digit, glyphs in GLYPHS.items() for k, glyph in enumerate(glyphs)]


@pytest.fixture(scope="module")
def many():
    return make_digits(6000, seed=3)


def test_same_bytes_on_every_machine():
    """Exact by construction (IEEE operations, matrix products that need no rounding): a difference is a defect, not noise."""
    X, y = make_digits(64, seed=0)
    got = hashlib.sha256(X.tobytes() + y.tobytes()).hexdigest()
    assert got == "da6ff8fd3654563f42a0c25e512f5fbb67bc3527d81990f916417ea04036d302"


@pytest.mark.parametrize("n", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_a_smaller_set_is_the_beginning_of_a_larger_one(many, n):
    X, y = make_digits(n, seed=3)
    assert X.shape == (n, 28, 28) and y.shape == (n,)
    assert X.dtype == y.dtype == np.uint8
    assert np.array_equal(X, many[0][:n]) and np.array_equal(y, many[1][:n])


def test_seeds_give_different_sets():
    sets = [make_digits(40, seed) for seed in (0, 1, np.int64(2), 2**32 - 1)]
    assert len({X.tobytes() for X, _ in sets}) == len({y.tobytes() for _, y in sets}) == 4


@pytest.mark.parametrize("bad, error", [
    (-1, ValueError), (2**32, ValueError), (1.0, TypeError), ("3", TypeError), (None, TypeError),
])
@pytest.mark.parametrize("name", ["n", "seed"])
def test_bad_arguments_are_named(name, bad, error):
    with pytest.raises(error, match=f"^{name} must be .* got {bad!r}"):
        make_digits(**{"n": 1, "seed": 0, name: bad})


def test_labels_are_uniform(many):
    count = np.bincount(many[1], minlength=10)
    deviation = math.sqrt(6000 * 0.1 * 0.9)
    assert count.shape == (10,) and np.abs(count - 600).max() < 5 * deviation


def test_ink_is_like_that_of_handwriting(many):
    X = many[0] / 255
    assert 0.12 < X.mean() < 0.14 and 0.30 < X.std() < 0.32  # the digits of MNIST: 0.131 and 0.308
    assert X.max(axis=(1, 2)).min() > 0.7  # the lightest pen can be read
    assert X.mean(axis=(1, 2)).max() < 0.4  # the heaviest does not fill the digit


def test_nothing_is_cut_off_at_the_border(many):
    X = many[0].astype(float)
    inner = X[:, 1:-1, 1:-1]
    assert inner.sum() == X.sum()
    assert X[:, 3:-3, 3:-3].sum() > 0.98 * X.sum()


def test_no_two_are_alike(many):
    X = many[0].reshape(len(many[0]), -1).astype(float)
    first, others = X[:500], X[500:]
    distance = (first * first).sum(1)[:, None] + (others * others).sum(1) - 2 * first @ others.T
    assert len({x.tobytes() for x in many[0]}) == 6000
    assert distance.min() > 255 * 255  # more than one pixel's worth apart


def test_nearest_neighbour_tells_them_apart(many):
    """As with handwriting: most digits have their like nearby, but not all."""
    X, y = many[0].reshape(6000, -1).astype(float), many[1]
    known, asked = X[:4000], X[4000:]
    nearest = ((known * known).sum(1) - 2 * asked @ known.T).argmin(1)
    assert 0.90 < (y[nearest] == y[4000:]).mean() < 0.99


@pytest.mark.parametrize("glyph", STYLES)
def test_dots_lie_evenly_on_the_spline_through_the_control_points(glyph):
    """Against SciPy's cubic of given derivatives: half the chord of the neighbours, at a free end the chord to the neighbour."""
    place, step = digits._modes(glyph)[:2].reshape(2, 2, DOTS).swapaxes(0, 1)
    curves = [_hermite(stroke) for stroke in glyph.split("/")]
    pieces = np.concatenate([np.hypot(*np.diff(curve)) for curve in curves])
    distance = np.hypot(*(np.concatenate(curves, axis=1)[:, :, None] - place[:, None]))
    assert distance.min(0).max() < 0.51 * pieces.max() + 1 / GRID  # a dot on the curve is at most half a piece from a corner
    # Dots closer than two standard deviations of the pen make a line: the ripple is below 2 exp(-pi^2 / 2), 1.4 %.
    assert distance.min(1).max() < digits.NIB / (digits.BOX[1] / 2)
    assert abs(np.hypot(*step).sum() / pieces.sum() - 1) < 0.01


def _hermite(stroke):
    """Return points of the curve, close together, (2, m); the box is [-1, 1] x [-1, 1]."""
    points = np.array([[float(v) for v in point.split(",")] for point in stroke.split()]) / 50 - 1
    slope = np.empty_like(points)
    slope[1:-1] = (points[2:] - points[:-2]) / 2
    closed = (points[0] == points[-1]).all()
    slope[0] = (points[1] - points[-2]) / 2 if closed else points[1] - points[0]
    slope[-1] = slope[0] if closed else points[-1] - points[-2]
    return CubicHermiteSpline(np.arange(len(points)), points, slope)(np.linspace(0, len(points) - 1, 4000)).T


@pytest.mark.parametrize("glyph", STYLES)
def test_terms_bend_the_control_points_and_keep_joints_joined(glyph):
    """A monomial's term is the spline through the monomial of the control points; all points moved alike move the whole path."""
    modes = digits._modes(glyph)
    points = list(dict.fromkeys(glyph.replace("/", " ").split()))
    x, y = (np.array([point.split(",") for point in points], float) / 50 - 1).T
    single = modes[9:9 + len(points)]
    for row, (a, b) in enumerate([(1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3)]):
        assert np.abs(modes[row] - (x**a * y**b) @ single).max() < (len(points) + 1) / GRID / 2 + 1e-12  # all are rounded once
    assert np.abs(single.sum(0) - np.repeat([1, 0], DOTS)).max() <= len(points) / GRID / 2
    assert not modes[9 + len(points):].any()


def test_paths_are_exact():
    """Whole numbers as oracle: the matrix product of float64 must equal that of int64, and so not depend on any order."""
    modes = digits._tables()[0]
    z = np.random.default_rng(0).normal(size=(len(modes), digits.MEAN.size)).astype(np.float32)
    place, ink = digits._paths(modes, z)
    coefficients = digits.MEAN + digits.SPREAD * z.reshape(-1, 3, 9 + CONTROLS).clip(-digits.EXTREME, digits.EXTREME)
    whole = [np.rint(array * GRID).astype(np.int64) for array in (coefficients, modes)]
    expected = np.einsum("nic,nck->nik", *whole)
    assert np.array_equal(whole[1], modes * GRID)
    assert np.array_equal(place * GRID**2, expected[:, :2, :DOTS])
    dx, dy, pressure = expected[:, 0, DOTS:], expected[:, 1, DOTS:], expected[:, 2, :DOTS]
    assert np.allclose(ink, np.hypot(dx / GRID**2, dy / GRID**2) * (pressure / GRID**2), rtol=1e-14, atol=0)
    assert (pressure > 0).all()


def test_ink_is_the_exact_sum_of_the_dots():
    """Python's integers as oracle, with the heaviest ink everywhere in one image: the worst case for exactness in float32."""
    rng = np.random.default_rng(1)
    place, ink = rng.uniform(3, 25, (3, 2, DOTS)), rng.uniform(0, 120, (3, DOTS))
    place[2], ink[2] = 14 + rng.integers(-1, 2, (2, DOTS)) / FINE, 1000
    expected = [[[_byte(place[n], ink[n], row, column) for column in range(28)] for row in range(28)] for n in range(3)]
    assert np.array_equal(digits._ink(place, ink), expected)


def _byte(place, ink, row, column):
    density = 0
    for x, y, w in zip(*place, ink):
        density += min(round(w), 255) * _profile(column, x) * _profile(row, y)
    assert density < 2**24
    return int(min(max((density - 12_000) * 255 / 52_000, 0), 255))


def _profile(pixel, at):
    return round(32 * math.exp(-0.5 * ((pixel + 0.5 - round(at * 32) / 32) / 0.95) ** 2))
