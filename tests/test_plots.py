"""The pictures, judged by what the returned figures hold: data, labels, scales, looks; and by the bytes that are written."""

from __future__ import annotations

import itertools
import os
import re
import struct
import subprocess
import sys

import numpy as np
import pytest

from ae_scratch import Autoencoder, plots
from ae_scratch.diagnostics import CodeStatistics

pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'ae_scratch[plot]'")

LONG = "A long title, such as those that name the experiment, its layers, the data, the number of epochs and the seed " * 2
DIGITS = np.random.default_rng(0).random((7, 784))
WEIGHTS = np.random.default_rng(1).normal(size=(784, 13))
CODES = np.maximum(0, np.random.default_rng(2).normal(size=(250, 4))) ** 3
ERRORS = {"tested on digits": {"trained on digits": 0.009, "trained on strokes": 0.0312},
          "tested on strokes": {"trained on digits": 0.07, "trained on strokes": 0.02}}

READINGS = ["inlet pressure", "outlet pressure", "flow", "temperature", "motor current", "oil level"]
GROUPS = np.random.default_rng(3).normal(size=(90, 5)) + 9 * np.eye(5)[np.arange(90) % 3]
AE = Autoencoder((), 2, code_activation="identity", epochs=1, engine="numpy", random_state=0).fit(DIGITS)

ACTIVITY = CodeStatistics.of(CODES * [1, 0, 1, 1])

DRAWINGS = {
    "image_rows": lambda title="", ax=None: plots.image_rows(
        {"original": DIGITS, "noisy input of it": 2 * DIGITS, "x": DIGITS}, title, ax=ax),
    "filters": lambda title="", ax=None: plots.filters(WEIGHTS, title, ax=ax),
    "error_images": lambda title="", ax=None: plots.error_images(DIGITS ** 2, title, ax=ax),
    "feature_errors": lambda title="", ax=None: plots.feature_errors(CODES[:249].reshape(-1, 6), READINGS, title, ax=ax),
    "interpolation": lambda title="", ax=None: plots.interpolation(AE, DIGITS[:2], DIGITS[2:4], 4, title, ax=ax),
    "decoded_grid": lambda title="", ax=None: plots.decoded_grid(AE, AE.encode(DIGITS), 4, title, ax=ax),
    "latent_scatter": lambda title="", ax=None: plots.latent_scatter(GROUPS, np.arange(90) % 3, None, title, ax=ax),
    "unit_activity": lambda title="", ax=None: plots.unit_activity(ACTIVITY, title, ax=ax),
    "loss_curves": lambda title="", ax=None: plots.loss_curves(
        {"standard": [0.16, 0.1, 0.09], "sparse": [0.18, 0.13, 0.12]}, {"standard": [0.15, None, 0.08]}, title, floor=0.05,
        ax=ax),
    "code_densities": lambda title="", ax=None: plots.code_densities({"standard": CODES, "sparse": CODES / 9}, title, ax=ax),
    "curves_by_size": lambda title="", ax=None: plots.curves_by_size(
        [2, 4, 8, 784], {"autoencoder": [4, 3, 2, 1], "PCA": [5, 4, 3, 0]}, title, ax=ax),
    "grouped_bars": lambda title="", ax=None: plots.grouped_bars(ERRORS, title, ax=ax),
}
GRIDS = ("image_rows", "filters", "error_images", "interpolation")  # of axes
every_drawing = pytest.mark.parametrize("name", DRAWINGS)


def shown(place):
    return np.asarray(place.images[0].get_array())


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ---- images -------------------------------------------------------------------------------------------------------------


def test_image_rows_shows_the_first_images_of_each_row_on_one_fixed_scale():
    tall = np.arange(5 * 3 * 2).reshape(5, 3, 2) - 7  # integers, not square, mostly outside [0, 1]
    figure, axes = plots.image_rows({"original": DIGITS, "other": tall}, "Title", count=4)
    assert axes.shape == (2, 4) and len(figure.axes) == 8
    for column in range(4):
        top, bottom = axes[:, column]
        assert shown(top)[27, 5] == DIGITS[column, 27 * 28 + 5] and shown(top).shape == (28, 28)
        assert np.array_equal(shown(top).ravel(), DIGITS[column])
        assert np.array_equal(shown(bottom), tall[column])
        for place in (top, bottom):
            assert place.images[0].get_clim() == (0, 1) and place.images[0].get_cmap().name == "gray"
            assert len(place.get_xticks()) == len(place.get_yticks()) == 0
    assert [[place.get_ylabel() for place in row] for row in axes] == [["original", "", "", ""], ["other", "", "", ""]]
    assert [text.get_text() for text in figure.texts] == ["Title"]


@pytest.mark.parametrize("counts, count, columns", [((7, 7), 10, 7), ((7, 2), 5, 2), ((7, 7), 1, 1), ((1,), 10, 1)])
def test_image_rows_has_as_many_columns_as_the_shortest_row(counts, count, columns):
    figure, axes = plots.image_rows({str(i): DIGITS[:n] for i, n in enumerate(counts)}, count=count)
    assert axes.shape == (len(counts), columns)


def test_long_labels_of_rows_stand_complete_beside_the_images():
    label = "trained on digits, tested on images of another kind"
    figure, axes = plots.image_rows({"x": DIGITS, label: DIGITS})
    figure.draw_without_rendering()
    text = axes[1, 0].yaxis.label
    box, image = text.get_window_extent(), axes[1, 0].get_window_extent()
    assert " ".join(text.get_text().split()) == label
    assert 0 <= box.x0 and box.x1 <= image.x0 and box.width < 2 * image.width
    assert image.y0 < (box.y0 + box.y1) / 2 < image.y1


def test_filters_shows_columns_on_one_symmetric_scale_that_the_bar_explains():
    W = WEIGHTS.copy()
    W[3, 12] = 100  # outside the first 12 columns: must not reach the scale
    figure, axes = plots.filters(W, "First layer", count=12)
    drawn = [place for place in axes.flat if place.get_visible()]
    assert axes.shape == (2, 10) and len(drawn) == 12
    ascending = sorted(abs(float(w)) for w in W[:, :12].ravel())
    for unit, place in enumerate(drawn):
        assert shown(place)[2, 9] == W[2 * 28 + 9, unit] and np.array_equal(shown(place).ravel(), W[:, unit])
        low, high = place.images[0].get_clim()
        share_below = sum(w < high for w in ascending) / len(ascending)
        assert low == -high and abs(share_below - 0.99) <= 1 / len(ascending)
        assert place.images[0].get_clim() == drawn[0].images[0].get_clim()
    (bar,) = set(figure.axes) - set(axes.flat)
    assert "weight" in bar.get_xlabel() and drawn[-1].images[0].colorbar.extend == "both"


def test_images_that_are_no_squares_come_with_their_height_and_width():
    X, ae = DIGITS.reshape(7, 14, 56), AE
    figure, axes = plots.filters(WEIGHTS.reshape(14, 56, 13), count=3)
    assert (shown(axes[0, 2]) == WEIGHTS[:, 2].reshape(14, 56)).all()
    figure, axes = plots.error_images(X, count=2)
    assert (shown(axes[0, 1]) == X[1]).all()
    figure, axes = plots.interpolation(ae, X[:1], X[1:2], steps=3)
    assert (shown(axes[0, 0]) == X[0]).all() and (shown(axes[0, 4]) == X[1]).all()
    assert np.allclose(shown(axes[0, 1]), ae.reconstruct(DIGITS[:1]).reshape(14, 56), rtol=1e-5)
    figure, ax = plots.decoded_grid(ae, ae.encode(DIGITS), 2, image_shape=(14, 56))
    square = plots.decoded_grid(ae, ae.encode(DIGITS), 2)[1]
    assert shown(ax).shape == (28, 112) and (shown(ax)[:14, :56].ravel() == shown(square)[:28, :28].ravel()).all()


def test_filters_of_zeros_are_drawn():
    figure, axes = plots.filters(np.zeros((9, 2)))
    assert axes.shape == (1, 2) and axes[0, 0].images[0].get_clim() == (-1, 1)


def test_the_scale_of_weights_is_neutral_at_zero_and_rises_in_lightness():
    figure, axes = plots.filters(WEIGHTS)
    colours = axes[0, 0].images[0].get_cmap()(np.linspace(0, 1, 101))[:, :3]
    grey = colours @ [0.299, 0.587, 0.114]  # ITU-R BT.601, what a grey printer makes of colours
    assert np.all(np.diff(grey) > 0) and grey[-1] - grey[0] > 0.6
    assert np.ptp(colours[50]) < 0.03 and 0.4 < grey[50] < 0.6


def test_white_is_what_is_called_white():
    figure, axes = plots.image_rows({"bytes": 255 * DIGITS}, white=255)
    assert axes[0, 0].images[0].get_clim() == (0, 255)


def test_errors_share_a_scale_from_zero_to_their_quantile():
    errors = np.vstack([np.zeros(784), np.arange(784.0), np.full(784, 1e6)])
    figure, axes = plots.error_images(errors, count=2)
    ascending = sorted(errors[:2].ravel())
    for place, error in zip(axes.flat, errors):
        low, high = place.images[0].get_clim()
        assert np.array_equal(shown(place).ravel(), error) and low == 0
        assert abs(sum(e <= high for e in ascending) / 1568 - 0.99) < 2 / 1568
    figure, ax = plots.feature_errors(errors[:, -6:], READINGS)
    assert np.array_equal(shown(ax), errors[:, -6:]) and ax.images[0].get_clim()[0] == 0
    assert [text.get_text() for text in ax.get_xticklabels()] == READINGS
    figure, ax = plots.feature_errors(errors, [f"sensor {i}" for i in range(784)], count=2)  # more names than fit
    assert shown(ax).shape == (2, 784) and len(ax.get_xticks()) < 20


def test_an_interpolation_goes_from_example_to_example_over_the_codes_between():
    figure, axes = plots.interpolation(AE, DIGITS[:2], DIGITS[2:4], steps=3)
    assert axes.shape == (2, 5)
    for start, end, places in zip(DIGITS, DIGITS[2:], axes):
        a, b = AE.encode([start, end])
        expected = [start, *(AE.decode([code])[0] for code in (a, (a + b) / 2, b)), end]
        for image, place in zip(expected, places):
            assert np.allclose(shown(place).ravel(), image, rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [2, 5])
def test_each_image_of_a_decoded_grid_stands_at_its_code(count):
    codes = AE.encode(DIGITS) * [1, 7] + [0, 50]
    figure, ax = plots.decoded_grid(AE, codes, count)
    left, right, below, above = ax.images[0].get_extent()
    mosaic = shown(ax)
    for row, column in ((0, 0), (0, count - 1), (count - 1, 0)):
        centre = [left + (column + 0.5) / count * (right - left), above - (row + 0.5) / count * (above - below)]
        image = mosaic[28 * row:28 * row + 28, 28 * column:28 * column + 28]
        assert np.allclose(image.ravel(), AE.decode([centre])[0], rtol=0, atol=1e-5)
    low, high = np.quantile(codes, [0.01, 0.99], axis=0)
    assert left + (right - left) / count / 2 == pytest.approx(low[0])
    assert above - (above - below) / count / 2 == pytest.approx(high[1])
    figure.draw_without_rendering()
    assert ax.bbox.width == pytest.approx(ax.bbox.height, rel=1e-6)  # square images


def test_a_decoded_grid_of_codes_that_never_change():
    figure, ax = plots.decoded_grid(AE, np.ones((5, 2)), 3)
    assert ax.images[0].get_extent() == [-0.5, 2.5, -0.5, 2.5]


# ---- codes in a plane ---------------------------------------------------------------------------------------------------


def points(ax):
    return [np.asarray(drawn.get_offsets()) for drawn in ax.collections]


def test_a_code_of_two_units_is_drawn_as_it_is():
    figure, ax = plots.latent_scatter(GROUPS[:, :2], count=50)
    assert np.array_equal(points(ax)[0], GROUPS[:50, :2]) and len(points(ax)) == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("code unit 0", "code unit 1") and ax.get_legend() is None and not ax.texts


def test_larger_codes_are_drawn_by_their_principal_components_and_classes_apart():
    figure, ax = DRAWINGS["latent_scatter"]()
    centred = GROUPS - GROUPS.mean(axis=0)
    _, singular, rows = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign(np.concatenate(points(ax))[0] / (centred[::3] @ rows[:2].T)[0])
    for label, group in enumerate(points(ax)):
        assert np.allclose(group, (centred[label::3] @ rows[:2].T) * signs)
    assert f"({100 * singular[0]**2 / np.sum(singular**2):.0f} % of the variance)" in ax.get_xlabel()
    assert [text.get_text() for text in ax.texts] == legend(ax) == ["0", "1", "2"]
    for text, group in zip(ax.texts, points(ax)):
        assert np.allclose(text.get_position(), [sorted(axis)[14:16] @ np.full(2, 0.5) for axis in group.T])
    looks = {(tuple(drawn.get_facecolor()[0]), drawn.get_paths()[0].vertices.tobytes()) for drawn in ax.collections}
    assert len(looks) == 3


def test_names_that_would_hide_each_other_stand_in_the_legend_only():
    figure, ax = plots.latent_scatter(np.random.default_rng(4).normal(size=(400, 2)), ["a", "b"] * 200)
    assert [text.get_text() for text in ax.texts] == ["a"] and legend(ax) == ["a", "b"]


def test_t_sne_keeps_groups_together():
    pytest.importorskip("sklearn")
    figure, ax = plots.latent_scatter(GROUPS, np.arange(90) % 3, "tsne")
    centres = np.array([group.mean(axis=0) for group in points(ax)])
    apart = min(np.linalg.norm(centres[i] - centres[j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    for group, centre in zip(points(ax), centres):
        assert np.linalg.norm(group - centre, axis=1).mean() < apart / 3
    again, other_ax = plots.latent_scatter(GROUPS, np.arange(90) % 3, "tsne")
    assert np.array_equal(np.concatenate(points(ax)), np.concatenate(points(other_ax)))


def test_without_scikit_learn_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(ImportError, match="pip install scikit-learn, or use method='pca'"):
        plots.latent_scatter(GROUPS, method="tsne")


def test_unit_activity_has_a_bar_for_each_unit_and_a_cross_for_the_dead():
    codes = [[0, 1, 0, 2], [0, 0, 3, 2.0], [0, 0, 5, 2], [0, 0, 7, 2]]
    figure, ax = plots.unit_activity(CodeStatistics.of(codes))
    assert [bar.get_height() for bar in ax.patches] == [0, 25, 75, 100]
    assert ax.lines[0].get_xdata().tolist() == [0, 3] and ax.lines[0].get_marker() == "X"
    assert legend(ax) == ["dead: 2 of 4 units", "active: 50.0 % of all codes"]


# ---- curves -------------------------------------------------------------------------------------------------------------


def test_loss_curves_puts_measured_and_published_figures_at_their_epochs():
    measured, published = {"deep": (0.3, 0.2, 0.1), "sparse": [0.5]}, {"deep": [0.31, None, 0.11, 0.09]}
    figure, ax = plots.loss_curves(measured, published, "Loss", ylabel="nats")
    deep, hollow, sparse = ax.lines
    assert deep.get_xdata().tolist() == [1, 2, 3] and deep.get_ydata().tolist() == [0.3, 0.2, 0.1]
    assert sparse.get_xdata().tolist() == [1] and sparse.get_ydata().tolist() == [0.5]
    assert hollow.get_xdata().tolist() == [1, 2, 3, 4]
    assert np.array_equal(hollow.get_ydata(), [0.31, np.nan, 0.11, 0.09], equal_nan=True)
    assert legend(ax) == ["deep", "deep, published", "sparse"]
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("Loss", "epoch", "nats")


def test_the_floor_is_a_line_that_the_legend_explains():
    figure, ax = plots.loss_curves({"deep": [0.3, 0.2]}, floor=0.0584321)
    assert set(ax.lines[-1].get_ydata()) == {0.0584321} and legend(ax) == ["deep", "floor: the entropy of the data, 0.0584"]
    assert ax.get_ylim()[0] < 0.0584


def test_published_figures_are_hollow_markers_of_the_same_hue_around_the_measured_ones():
    figure, ax = DRAWINGS["loss_curves"]()
    measured, published = ax.lines[:2]
    assert published.get_color() == measured.get_color() and published.get_marker() == measured.get_marker()
    assert published.get_linestyle() == "None" and published.get_markerfacecolor() == "none"
    assert published.get_markersize() > 1.5 * measured.get_markersize()


@pytest.mark.parametrize("epochs", [1, 2, 3, 20, 300])
def test_epochs_are_integers(epochs):
    figure, ax = plots.loss_curves({"long": np.linspace(0.2, 0.1, epochs)})
    low, high = ax.get_xlim()
    ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
    assert ticks and all(tick == round(tick) for tick in ticks) and len(ticks) <= 12
    assert len(range(0, epochs, ax.lines[0].get_markevery())) <= 25


def test_lines_and_areas_differ_without_their_colours():
    many = {f"line {i}": [3, 2, 1] for i in range(12)}
    for figure, ax in (plots.loss_curves(many), plots.curves_by_size([1, 2, 3], many)):
        looks = [(line.get_linestyle(), line.get_marker()) for line in ax.lines]
        assert len(set(looks)) == 12 and len({style for style, marker in looks}) == 4
    figure, ax = plots.grouped_bars({"group": dict.fromkeys("abcd", 1)})
    assert len({bars[0].get_hatch() for bars in ax.containers}) == 4
    figure, ax = plots.code_densities(dict.fromkeys("abcd", CODES))
    assert len({(area.get_hatch(), area.get_linestyle()) for area in ax.patches}) == 4


def test_curves_by_size_names_each_size_on_a_logarithmic_axis():
    figure, ax = plots.curves_by_size([2, 8, 32], {"autoencoder": [3, 2, 1], "PCA": (6, 5, 4)}, "Title", "units", "error")
    assert [line.get_xdata().tolist() for line in ax.lines] == [[2, 8, 32]] * 2
    assert [line.get_ydata().tolist() for line in ax.lines] == [[3, 2, 1], [6, 5, 4]]
    assert ax.get_xscale() == "log" and ax.xaxis.get_transform().base == 2
    assert [text.get_text() for text in ax.get_xticklabels(which="both")] == ["2", "8", "32"]
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("Title", "units", "error")
    assert legend(ax) == ["autoencoder", "PCA"] and ax.get_ylim()[0] == 0


def test_curves_by_size_shows_values_below_zero():
    figure, ax = plots.curves_by_size([1, 2], {"score": [-3, 1]})
    assert ax.get_ylim()[0] <= -3


# ---- densities ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", [CODES, -CODES, np.random.default_rng(3).normal(size=999), np.full(3, 2.5)],
                         ids=["relu", "negative", "both signs", "constant"])
def test_a_density_is_that_of_the_values_other_than_zero(codes):
    figure, ax = plots.code_densities({"code": codes})
    density, edges, baseline = ax.patches[0].get_data()
    values = [float(value) for value in np.ravel(codes)]
    inside = [value for value in values if value != 0 and edges[0] <= value <= edges[-1]]
    assert ax.get_xlim() == (edges[0], edges[-1]) and edges[0] <= 0 <= edges[-1] and baseline == 0
    assert abs(np.sum(density * np.diff(edges)) - len(inside) / len(values)) < 1e-12  # a few hundred roundings of 2**-53
    for i in (0, 41, 99):
        among = sum(edges[i] <= value < edges[i + 1] or (i == 99 and value == edges[100]) for value in inside)
        assert abs(density[i] * (edges[i + 1] - edges[i]) * len(values) - among) < 1e-9
    assert len(density) == 100


def test_the_axis_of_codes_ends_where_all_but_half_a_percent_of_the_widest_are_inside_and_says_so():
    wide = np.concatenate([np.linspace(0, 10, 996), [50, 60, 70, 80]])  # 1000 values, 5 of them beyond the quantile
    figure, ax = plots.code_densities({"wide": wide, "narrow": np.linspace(-1, 2, 1000)})
    low, high = ax.get_xlim()
    assert sum(wide > high) == 5 and -1 < low < -0.98
    outside = 5 + sum(np.linspace(-1, 2, 1000) < low)
    assert f"({outside / 20:.2g} % of the values lie outside; all range from -1 to 80)" in ax.get_xlabel()


def test_the_legend_gives_the_share_of_exact_zeros_and_the_mean():
    figure, ax = plots.code_densities({"sparse": [[0, 0.0], [-0.0, 1e-30]], "dense": np.float32([[1, 2], [3, 3]])})
    assert legend(ax) == ["sparse: 75.0 % exactly 0, mean 2.5e-31", "dense: 0.0 % exactly 0, mean 2.25"]


def test_codes_of_nothing_but_zeros_are_drawn_as_an_empty_density():
    figure, ax = plots.code_densities({"dead": np.zeros((3, 2))})
    assert ax.get_xlim() == (0, 1) and not ax.patches[0].get_data()[0].any()
    assert legend(ax) == ["dead: 100.0 % exactly 0, mean 0"] and ax.get_xlabel() == "code value"


# ---- bars ---------------------------------------------------------------------------------------------------------------


def test_grouped_bars_writes_each_value_on_its_bar():
    figure, ax = plots.grouped_bars(ERRORS, "Gap", ylabel="error")
    for bars, label in zip(ax.containers, ("trained on digits", "trained on strokes")):
        for place, (bar, group) in enumerate(zip(bars, ERRORS.values())):
            assert bar.get_height() == group[label]
            assert place - 0.5 < bar.get_x() < bar.get_x() + bar.get_width() < place + 0.5
    assert [text.get_text() for text in ax.texts] == ["0.009", "0.07", "0.0312", "0.02"]
    spans = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bars in ax.containers for bar in bars)
    assert all(end < start for (_, end), (start, _) in zip(spans, spans[1:]))
    assert legend(ax) == ["trained on digits", "trained on strokes"]
    assert [text.get_text() for text in ax.get_xticklabels()] == list(ERRORS)
    assert (ax.get_title(), ax.get_ylabel()) == ("Gap", "error")


def test_bars_go_by_their_labels_not_by_their_order():
    figure, ax = plots.grouped_bars({"first": {"a": 1, "b": 2}, "second": {"b": 4, "a": 3}})
    assert [[bar.get_height() for bar in bars] for bars in ax.containers] == [[1, 3], [2, 4]]


# ---- every picture ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in DRAWINGS if name not in GRIDS and name != "feature_errors"])
def test_draws_into_given_axes_only(name):
    from matplotlib.figure import Figure

    figure = Figure((10, 4))
    left, right = figure.subplots(1, 2)
    assert DRAWINGS[name](ax=right) == (figure, right)
    assert right.has_data() and not left.has_data() and len(figure.axes) == 2


@pytest.mark.parametrize("name", [*GRIDS, "feature_errors"])
def test_pictures_of_several_axes_stay_in_the_place_of_the_given_ones(name):
    from matplotlib.figure import Figure

    figure = Figure((12, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    drawn, axes = DRAWINGS[name]("Title", ax=right)
    figure.draw_without_rendering()
    assert drawn is figure and not left.has_data() and right.get_title() == "Title"
    for place in np.ravel(axes):
        assert place.has_data() or not place.get_visible()
        assert left.bbox.x1 < place.bbox.x0 and place.bbox.x1 <= figure.bbox.x1
    assert np.shape(axes) == np.shape(DRAWINGS[name]()[1])


def texts(figure):
    """The visible texts of a figure with what they cover, in pixels."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    ticks = {}  # those outside the limits of their axis are not drawn
    for ax in figure.axes:
        for axis, limits in ((ax.xaxis, sorted(ax.get_xlim())), (ax.yaxis, sorted(ax.get_ylim()))):
            for tick in axis.get_major_ticks() + axis.get_minor_ticks():
                ticks.update(dict.fromkeys((tick.label1, tick.label2), limits[0] <= tick.get_loc() <= limits[1]))
    found = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible() and ticks.get(text, True)]
    return [(text, text.get_window_extent()) for text in found]


@every_drawing
@pytest.mark.parametrize("title", ["Short", LONG], ids=["short", "long"])
def test_texts_are_legible_inside_the_figure_and_apart(name, title):
    figure, axes = DRAWINGS[name](title)
    found = texts(figure)
    assert len(found) >= 3
    assert any(" ".join(text.get_text().split()) == title.strip() for text, box in found)
    for text, box in found:
        assert text.get_fontsize() >= 9, text
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
    for (one, first), (other, second) in itertools.combinations(found, 2):
        assert not first.overlaps(second), (one, other)


def test_tick_labels_of_neighbouring_sizes_stay_apart():
    figure, ax = plots.curves_by_size([2, 32, 784, 1000], {"noise": [4, 3, 2, 1]})
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {60}
    figure, ax = plots.curves_by_size([2, 4, 8, 16, 32, 64, 128, 256, 512], {"noise": [1] * 9})
    assert {label.get_rotation() for label in ax.get_xticklabels()} == {0}
    assert len(texts(figure)) > 9


def test_the_legend_hides_no_bar_and_no_peak():
    peak = np.concatenate([np.full(900, 0.999), np.linspace(0, 1, 100)])
    for figure, ax in (DRAWINGS["grouped_bars"](), plots.code_densities({"tanh": peak, "other": peak, "third": peak})):
        figure.draw_without_rendering()
        low = ax.get_legend().get_window_extent().y0
        top = max(patch.get_extents().y1 for patch in ax.patches)
        assert max([top] + [text.get_window_extent().y1 for text in ax.texts]) < low


def test_inputs_are_never_written_to():
    frozen = [np.array(a, order="F") for a in (DIGITS, WEIGHTS, CODES)]
    for array in frozen:
        array.flags.writeable = False
    plots.image_rows({"x": frozen[0]})
    plots.filters(frozen[1])
    plots.code_densities({"x": frozen[2]})
    assert all(np.array_equal(a, b) for a, b in zip(frozen, (DIGITS, WEIGHTS, CODES)))


@every_drawing
def test_without_matplotlib_the_error_says_what_to_install(name, monkeypatch):
    for module in [module for module in sys.modules if module.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=re.escape("pip install 'ae_scratch[plot]'")):
        DRAWINGS[name]()


def test_matplotlib_is_loaded_on_first_use_and_pyplot_never(tmp_path):
    program = ("import sys, numpy as np; from ae_scratch import plots\n"
               "assert not any(name.startswith('matplotlib') for name in sys.modules), 'loaded by the import'\n"
               "drawn = [plots.image_rows({'x': np.eye(4)}), plots.filters(np.eye(4)), plots.loss_curves({'x': [1]}),\n"
               "         plots.code_densities({'x': [1, 0]}), plots.curves_by_size([1, 2], {'x': [1, 2]}),\n"
               "         plots.grouped_bars({'x': {'y': 1}}), plots.latent_scatter(np.eye(3)), plots.error_images(np.eye(4)),\n"
               "         plots.feature_errors(np.eye(4))]\n"
               f"for figure, axes in drawn: plots.save(figure, {str(tmp_path / 'a.png')!r})\n"
               "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot'; print('fine')")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "fine\n", done.stderr


# ---- bad input ----------------------------------------------------------------------------------------------------------

BAD = {
    "no rows": (lambda: plots.image_rows({}), "at least one entry in rows, got an empty dict"),
    "rows without labels": (lambda: plots.image_rows([DIGITS]), "rows as a dict from labels to values, got list"),
    "not square": (lambda: plots.image_rows({"noisy": np.ones((2, 783))}), "square number of pixels for noisy .*, got 783"),
    "one image": (lambda: plots.image_rows({"x": np.ones(784)}), r"\(n, pixels\) or .* for x, got shape \(784,\)"),
    "no images": (lambda: plots.image_rows({"x": np.ones((0, 784))}), r"at least one value of x, got shape \(0, 784\)"),
    "image of NaN": (lambda: plots.image_rows({"x": np.full((1, 4), np.nan)}), "x contains NaN or infinity"),
    "count 0": (lambda: plots.image_rows({"x": DIGITS}, count=0), "count must be at least 1, got 0"),
    "count 2.5": (lambda: plots.filters(WEIGHTS, count=2.5), "count must be an integer, got 2.5"),
    "W not a matrix": (lambda: plots.filters(np.ones(784)), r"W of shape \(pixels, units\), such as .*, got shape \(784,\)"),
    "a model for W": (lambda: plots.filters(Autoencoder()), r"such as ae.get_weights\(\)\['encoder.0.W'\], .* got shape \(\)"),
    "codes for their statistics": (lambda: plots.unit_activity(np.ones((3, 2))), r"code_statistics\(ae, X\) returns, got nd"),
    "W not square": (lambda: plots.filters(np.ones((10, 3))), "square number of pixels for W .*, got 10"),
    "infinite W": (lambda: plots.filters(np.full((4, 3), np.inf)), "W contains NaN or infinity"),
    "no curves": (lambda: plots.loss_curves({}), "at least one entry in curves, got an empty dict"),
    "empty curve": (lambda: plots.loss_curves({"deep": []}), "at least one value of deep"),
    "curve with a gap": (lambda: plots.loss_curves({"deep": [1, None]}), "deep contains NaN"),
    "2-D curve": (lambda: plots.loss_curves({"deep": [[1, 2]]}), r"1-D sequence for deep, got shape \(1, 2\)"),
    "curve of words": (lambda: plots.loss_curves({"deep": ["low"]}), r"deep to hold real numbers.*\['low'\]"),
    "published elsewhere": (lambda: plots.loss_curves({"deep": [1]}, {"shallow": [1]}), "figures of deep only, got shallow"),
    "published infinity": (lambda: plots.loss_curves({"deep": [1]}, {"deep": [np.inf]}), "published deep contains"),
    "no codes": (lambda: plots.code_densities({"x": np.ones((0, 32))}), r"at least one value of x, got shape \(0, 32\)"),
    "codes of NaN": (lambda: plots.code_densities({"x": [np.nan]}), "x contains NaN"),
    "size 0": (lambda: plots.curves_by_size([0, 1], {"x": [1, 2]}), r"increasing sizes above 0 in x, got \[0, 1\]"),
    "sizes falling": (lambda: plots.curves_by_size([2, 1], {"x": [1, 2]}), "increasing sizes above 0"),
    "too few errors": (lambda: plots.curves_by_size([1, 2], {"PCA": [1]}), "2 values of PCA, one for each size, got 1"),
    "no groups": (lambda: plots.grouped_bars({}), "at least one entry in groups, got an empty dict"),
    "no bars": (lambda: plots.grouped_bars({"a": {}}), "at least one entry in a group, got an empty dict"),
    "other bars": (lambda: plots.grouped_bars({"a": {"x": 1}, "b": {"y": 2}}), "the bars x in b, got y"),
    "bar of NaN": (lambda: plots.grouped_bars({"a": {"x": np.nan}}), "x contains NaN"),
}
BAD.update({
    "white 0": (lambda: plots.image_rows({"x": DIGITS}, white=0), "white must be finite and above 0"),
    "negative errors": (lambda: plots.error_images(-DIGITS), "errors of at least 0, got -0.9"),
    "negative feature errors": (lambda: plots.feature_errors([[-1.0]]), "at least 0, got shape .*smallest -1"),
    "errors of one row": (lambda: plots.feature_errors([1.0]), r"errors \(n, features\) of at least 0, got shape \(1,\)"),
    "names of other features": (lambda: plots.feature_errors([[1.0, 2]], ["a"]), "2 names, one for each feature, got 1"),
    "steps 1": (lambda: plots.interpolation(AE, DIGITS, DIGITS, 1), "steps must be at least 2"),
    "unequal pairs": (lambda: plots.interpolation(AE, DIGITS, DIGITS[:2]), "as many examples in X_to as in X_from, got 2 and 7"),
    "grid of wide codes": (lambda: plots.decoded_grid(AE, CODES), r"codes of 2 units, \(n, 2\), got shape \(250, 4\)"),
    "grid of one": (lambda: plots.decoded_grid(AE, CODES[:, :2], 1), "count must be at least 2"),
    "scatter of one unit": (lambda: plots.latent_scatter(CODES[:, :1]), r"at least 2 units and 3 rows, got shape \(250, 1\)"),
    "labels of others": (lambda: plots.latent_scatter(CODES, [1, 2]), r"labels of shape \(250,\), one for each code, got \(2,\)"),
    "unknown method": (lambda: plots.latent_scatter(CODES, method="tnse"), "did you mean 'tsne'"),
    "floor below 0": (lambda: plots.loss_curves({"x": [1]}, floor=-1), "floor must be finite and at least 0"),
})
TYPE_ERRORS = ("rows without labels", "count 2.5", "curve of words", "codes for their statistics")


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case):
    draw, message = BAD[case]
    with pytest.raises(TypeError if case in TYPE_ERRORS else ValueError, match=message):
        draw()


# ---- files --------------------------------------------------------------------------------------------------------------


def chunks(png):
    """The chunks of a PNG file: {type: content} (ISO/IEC 15948, 5.3), the last one of each type."""
    found, at = {}, 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        found[kind.decode()] = png[at + 8:at + 8 + length]
        at += length + 12
    return found


@pytest.mark.parametrize("name", ["image_rows", "filters", "loss_curves", "code_densities", "grouped_bars", "latent_scatter"])
def test_equal_pictures_are_equal_bytes(name, tmp_path):
    figure, axes = DRAWINGS[name](LONG)
    again, axes = DRAWINGS[name](LONG)
    for path, drawn in (("a.png", figure), ("b.png", figure), ("c.png", again)):
        plots.save(drawn, tmp_path / path)
    first, second, third = ((tmp_path / path).read_bytes() for path in ("a.png", "b.png", "c.png"))
    assert first == second == third
    other, axes = DRAWINGS[name]("Another title")
    plots.save(other, str(tmp_path / "a.png"))
    assert (tmp_path / "a.png").read_bytes() != first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "c.png"]


def test_a_saved_picture_is_a_png_at_120_dots_per_inch_that_names_no_software_and_no_date(tmp_path):
    figure, axes = DRAWINGS["loss_curves"]()
    plots.save(figure, tmp_path / "loss.PNG")
    png = (tmp_path / "loss.PNG").read_bytes()
    found = chunks(png)
    assert png.startswith(b"\x89PNG\r\n\x1a\n") and set(found) == {"IHDR", "pHYs", "IDAT", "IEND"}
    assert struct.unpack(">IIB", found["pHYs"]) == (4724, 4724, 1)  # pixels per metre: 120 / 0.0254
    width, height = struct.unpack_from(">II", found["IHDR"])
    assert abs(width - 6.4 * 120) < 60 and abs(height - 4.4 * 120) < 60  # tight: up to half an inch off
    (tmp_path / "plain").write_bytes(b"")
    assert (tmp_path / "loss.PNG").stat().st_mode == (tmp_path / "plain").stat().st_mode  # as readable as any file of the user's


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=repr)
def test_a_failed_save_leaves_the_earlier_picture_and_nothing_else(error, tmp_path):
    class Failing:
        def savefig(self, path, **options):
            with open(path, "wb") as file:
                file.write(b"half a picture")
            raise error

    path = tmp_path / "picture.png"
    path.write_bytes(b"earlier")
    with pytest.raises(type(error)):
        plots.save(Failing(), path)
    assert path.read_bytes() == b"earlier" and os.listdir(tmp_path) == ["picture.png"]


def test_save_refuses_other_formats(tmp_path):
    figure, axes = DRAWINGS["filters"]()
    with pytest.raises(ValueError, match=r"ends in \.png, got .*loss\.pdf"):
        plots.save(figure, tmp_path / "loss.pdf")
    assert not os.listdir(tmp_path)
