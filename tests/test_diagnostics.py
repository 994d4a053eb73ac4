"""The diagnostics: figures against plain Python and against algebra, verdicts against planted faults."""

import json
import math

import numpy as np
import pytest

from ae_scratch import Autoencoder, GaussianNoise, NotFittedError, diagnostics, layers
from ae_scratch.callbacks import EarlyStopping
from ae_scratch.diagnostics import (CodeStatistics, anomalous_features, anomaly_threshold, check_data, code_statistics,
                                    compare_baselines, excess_loss, loss_floor, sanity_check, to_dict)
from ae_scratch.pca import principal_components

RNG = np.random.default_rng(0)
ANGLE = RNG.uniform(0, 2 * np.pi, (300, 1))
CURVE = np.hstack([np.cos(ANGLE), np.sin(ANGLE), np.cos(2 * ANGLE), np.sin(2 * ANGLE)])  # one number in four linear directions
UNIT = (CURVE + 1) / 2


def model(hidden_sizes=(24,), code_size=2, **settings):
    return Autoencoder(hidden_sizes, code_size, **{"code_activation": "identity", "loss": "mse", "epochs": 40, "engine": "numpy",
                                                   "random_state": 0, **settings})


@pytest.fixture(scope="module")
def fitted():
    return model().fit(CURVE)


@pytest.fixture(scope="module")
def entropic():
    return model(loss="binary_crossentropy", epochs=5).fit(UNIT)


# ---- principal components -----------------------------------------------------------------------------------------------


def test_components_against_singular_vectors_and_their_extremes():
    X, X_test = RNG.normal(size=(200, 6)) @ RNG.normal(size=(6, 6)) + 3, RNG.normal(size=(50, 6))
    found = principal_components(X, 6)
    _, singular, rows = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    assert np.allclose(np.abs(np.sum(found.components * rows, axis=1)), 1)  # the same directions, up to signs
    assert np.allclose(found.shares, singular**2 / np.sum(singular**2)) and np.allclose(found.mean, X.mean(axis=0))
    two = (X_test - X.mean(axis=0)) @ rows[:2].T @ rows[:2] + X.mean(axis=0)
    assert np.allclose(found.reconstruct(X_test, 2), two) and np.allclose(principal_components(X, 2).reconstruct(X_test), two)
    assert np.allclose(found.reconstruct(X_test, 0), X.mean(axis=0)) and np.allclose(found.reconstruct(X_test), X_test)


def test_components_do_not_depend_on_blocks_and_keep_small_variances_beside_large_means(monkeypatch):
    X = RNG.normal(size=(97, 3)) * [1e-2, 1, 2] + 1e5
    whole = principal_components(X, 3)
    monkeypatch.setattr("ae_scratch.streaming.BLOCK_BYTES", 10 * 3 * 8)
    assert np.allclose(principal_components(X, 3).reconstruct(X, 2), whole.reconstruct(X, 2), rtol=0, atol=1e-6)
    assert np.allclose(whole.shares * X.var(axis=0).sum(), np.linalg.eigvalsh(np.cov(X.T, bias=True))[::-1], rtol=1e-4)


def test_components_of_constant_data_and_too_many_of_them():
    found = principal_components(np.ones((5, 3)), 2)
    assert found.shares.tolist() == [0, 0] and np.array_equal(found.reconstruct(np.ones((1, 3))), np.ones((1, 3)))
    with pytest.raises(ValueError, match="k must be from 1 to 3, got 4"):
        principal_components(np.ones((5, 3)), 4)


# ---- codes --------------------------------------------------------------------------------------------------------------


def test_code_statistics_against_plain_python():
    codes = [[0.0, 1.0, -2.0, 0.5], [0.0, 0.0, 0.0, 0.5], [0.0, 3.0, 0.25, 0.5]]
    found = CodeStatistics.of(codes, threshold=0.25)
    for unit, values in enumerate(zip(*codes)):
        mean = sum(values) / 3
        assert found.mean[unit] == pytest.approx(mean)
        assert found.variance[unit] == pytest.approx(sum((value - mean) ** 2 for value in values) / 3)
        assert found.zeros[unit] == pytest.approx(sum(value == 0 for value in values) / 3)
        assert found.active[unit] == pytest.approx(sum(abs(value) > 0.25 for value in values) / 3)
    flat = [value for row in codes for value in row]
    mean = sum(flat) / 12
    assert found.mean_code == pytest.approx(mean) and found.zero_share == pytest.approx(5 / 12)
    assert found.variance_of_codes == pytest.approx(sum((value - mean) ** 2 for value in flat) / 12)
    assert found.rows == 3 and found.dead.tolist() == [0, 3]  # never active; always the same


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "identity"])
def test_a_planted_dead_unit_is_found_with_any_activation(activation):
    ae = model((), 3, code_activation=activation, epochs=1).fit(CURVE)
    weights = ae.get_weights()
    weights["encoder.0.W"][:, 1], weights["encoder.0.b"][:] = 0, [5, -1, 5]  # unit 1 says the same of everything
    ae.set_weights(weights)
    found = code_statistics(ae, CURVE)
    assert found.dead.tolist() == [1] and "1 of them dead" in str(found)
    assert [line.endswith("dead") for line in str(found).splitlines()] == [False, False, False, True, False]


def test_a_unit_that_varies_little_beside_its_mean_is_alive_above_rounding():
    codes = np.float32([[1000.0, 1000.0], [1000.01, 1000.00006]])
    assert CodeStatistics.of(codes).dead.tolist() == [1]


def test_long_codes_are_shown_in_part():
    text = str(CodeStatistics.of(RNG.normal(size=(5, 33))))
    assert text.splitlines()[-1] == "and 13 more" and len(text.splitlines()) == 23


# ---- losses and baselines -----------------------------------------------------------------------------------------------


def entropy(t):
    return 0.0 if t in (0, 1) else -t * math.log(t) - (1 - t) * math.log(1 - t)


def test_the_floor_is_the_mean_entropy_of_the_targets():
    T = [[0.0, 1.0, 0.5], [0.1, 1e-9, 0.999]]
    assert loss_floor(T) == pytest.approx(sum(entropy(t) for row in T for t in row) / 6, rel=1e-12)
    assert loss_floor(T, "mse") == 0 and loss_floor(np.uint8([[0, 1]])) == 0
    for refused, message in ((lambda: loss_floor([[2.0]]), r"T in \[0, 1\]"), (lambda: loss_floor([[0]], "mae"), "loss='mae'")):
        with pytest.raises(ValueError, match=message):
            refused()


def test_no_constant_output_gets_below_the_floor():
    T = RNG.random((40, 1))
    for p in np.linspace(0.01, 0.99, 50):
        assert -np.mean(T * np.log(p) + (1 - T) * np.log(1 - p)) > loss_floor(T)


def test_excess_loss_in_scaled_units_and_of_other_targets(entropic, fitted):
    found = excess_loss(entropic, UNIT)
    assert found.loss == entropic.evaluate(UNIT)["loss"] and found.floor == pytest.approx(loss_floor(UNIT), rel=1e-6)
    assert found.excess == found.loss - found.floor > 0
    assert excess_loss(fitted, CURVE).floor == 0 and "floor 0.0000" in str(excess_loss(fitted, CURVE))
    raw = np.uint8(UNIT * 255)
    scaled = model(loss="binary_crossentropy", epochs=1, scaling="bytes").fit(raw)
    assert excess_loss(scaled, raw).floor == pytest.approx(loss_floor(raw / 255))
    assert excess_loss(scaled, raw, raw[::-1]).floor == pytest.approx(loss_floor(raw / 255))
    assert excess_loss(scaled, raw, raw[::-1]).loss > excess_loss(scaled, raw).loss


@pytest.mark.parametrize("scaling", [None, "standard", "minmax"])
def test_baselines_against_algebra(scaling):
    X, X_test = RNG.normal(size=(120, 5)) * [1, 2, 3, 4, 50] + 7, RNG.normal(size=(30, 5)) * [1, 2, 3, 4, 50]
    ae = model((), 2, epochs=2, scaling=scaling, dtype="float64").fit(X)
    compared = compare_baselines(ae, X, X_test)
    shift, scale = {None: (0, 1), "standard": (X.mean(0), X.std(0)), "minmax": (X.min(0), np.ptp(X, axis=0))}[scaling]
    S, T = (X - shift) / scale, (X_test - shift) / scale
    rows = np.linalg.svd(S - S.mean(axis=0), full_matrices=False)[2][:2]
    kept = (T - S.mean(axis=0)) @ rows.T @ rows + S.mean(axis=0)
    assert compared.mean.mse == pytest.approx(np.mean((T - S.mean(axis=0)) ** 2))
    assert compared.pca.mse == pytest.approx(np.mean((T - kept) ** 2))
    assert compared.autoencoder.mse == pytest.approx(np.mean((T - (ae.reconstruct(X_test) - shift) / scale) ** 2))
    assert compared.mean.binary_crossentropy is None and "cross-entropy" not in str(compared)


def test_cross_entropy_of_baselines(entropic):
    compared = compare_baselines(entropic, UNIT)
    mean = [sum(column) / len(column) for column in UNIT.T.tolist()]
    expected = -sum(t * math.log(p) + (1 - t) * math.log(1 - p) for row in UNIT.tolist() for t, p in zip(row, mean)) / UNIT.size
    assert compared.mean.binary_crossentropy == pytest.approx(expected)
    assert compared.autoencoder.binary_crossentropy == entropic.evaluate(UNIT)["loss"]
    assert np.isfinite(compared.pca.binary_crossentropy) and compared.pca.binary_crossentropy > loss_floor(UNIT)
    assert [line.split()[0] for line in str(compared).splitlines()[1:]] == ["mean", "PCA,", "autoencoder"]


def test_pixels_that_never_change_cost_the_baselines_nothing():
    X = np.hstack([UNIT, np.zeros((300, 1)), np.ones((300, 1))])
    ae = model(loss="binary_crossentropy", epochs=1).fit(X)
    X_test = X[:4].copy()
    X_test[:, 4] = 1  # where training never saw ink: clipped probability, finite loss
    assert compare_baselines(ae, X).mean.binary_crossentropy * 6 == pytest.approx(
        compare_baselines(model(loss="binary_crossentropy", epochs=1).fit(UNIT), UNIT).mean.binary_crossentropy * 4)
    assert compare_baselines(ae, X, X_test).mean.binary_crossentropy > -math.log(0.001) / 6


# ---- data ---------------------------------------------------------------------------------------------------------------

TABLE = RNG.normal(size=(400, 5))
FEW_UNITS = dict(code_size=2)
PLANTED = {
    "bytes with cross-entropy": (RNG.integers(0, 256, (400, 5)), {}, "from 0 to 255 for loss='binary_crossentropy'.*'bytes'"),
    "bytes with mse": (np.uint8(RNG.integers(0, 256, (400, 5))), {"loss": "mse"}, "look like bytes: set scaling='bytes'"),
    "negative with cross-entropy": (TABLE, {}, r"takes \[0, 1\]: set scaling='minmax' or loss='mse'"),
    "out of tanh's reach": (3 * TABLE, {"loss": "mse", "output_activation": "tanh"}, r"'tanh', which gives \[-1, 1\]"),
    "constant": (np.hstack([TABLE, np.ones((400, 7))]), {"loss": "mse"}, r"constant features: 7 of 12 \(5, 6, 7, 8, 9, ...\)"),
    "uneven": (TABLE * [1, 1, 1e4, 1, 0.1], {"loss": "mse"}, "feature 2 ranges over .*feature 4.*scaling='standard'"),
    "outlier": (np.vstack([TABLE, [0, 0, 0, 99, 0]]), {"loss": "mse"}, r"1 of 5 features have outliers \(3\).*to 99: look"),
    "repeated": (np.vstack([TABLE, TABLE[:40]]), {"loss": "mse"}, "40 of 440 rows repeat"),
    "few rows": (TABLE[:19], {"loss": "mse"}, "19 rows for a code of 2"),
    "wide code": (TABLE, {"loss": "mse", "code_size": 5}, "a code of 5 for 5 features can copy"),
}


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_problem_is_the_one_that_is_found(case):
    X, settings, message = PLANTED[case]
    found = check_data(X, Autoencoder(**{**FEW_UNITS, **settings}))
    assert len(found) == 1
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(str(found[0]))


@pytest.mark.parametrize("X, settings", [
    (TABLE, {"loss": "mse"}), (TABLE, {"scaling": "minmax"}), (TABLE, {"loss": "mse", "code_size": 9, "l1_activity": 1e-3}),
    (TABLE * [1, 1, 1e4, 1, 0.1], {"loss": "mse", "scaling": "standard"}), (UNIT, {}),
    (np.uint8(RNG.integers(0, 256, (400, 5))), {"scaling": "bytes"}),
    (np.where(RNG.random((999, 99)) < 1e-2 * np.arange(99), 1.0, RNG.random((999, 99)) / 999), {})])
def test_data_that_suit_raise_no_warning(X, settings):
    assert check_data(X, Autoencoder(**{**FEW_UNITS, **settings})) == []


def test_check_data_refuses_what_fit_refuses_and_leaves_data_alone():
    frozen = TABLE.copy()
    frozen.flags.writeable = False
    check_data(frozen, Autoencoder())
    with pytest.raises(ValueError, match="X contains NaN, first in row 1, column 0"):
        check_data([[0.0], [np.nan]], Autoencoder())


# ---- sanity -------------------------------------------------------------------------------------------------------------


def verdicts(report):
    return [check.ok for check in report.checks]


def test_a_sane_model_passes_fitted_or_not_and_stays_as_it_is(fitted):
    before, report = fitted.get_weights(), sanity_check(fitted, CURVE)
    assert report.ok and verdicts(report) == [True] * 5 and "FAILED" not in str(report)
    assert all(np.array_equal(array, before[name]) for name, array in fitted.get_weights().items())
    fresh = model()
    assert verdicts(sanity_check(fresh, CURVE)) == [True] * 5 and not hasattr(fresh, "network_")


@pytest.mark.parametrize("scaling", ["standard", "minmax"])
def test_noise_penalties_and_scaling_do_not_keep_a_model_from_passing(scaling):
    ae = model(noise=GaussianNoise(0.05), l1_activity=1e-4, weight_decay=1e-4, code_activation="tanh", scaling=scaling,
               validation_fraction=0.1, early_stopping=EarlyStopping(), epochs=100, learning_rate=3e-3)
    assert sanity_check(ae, 50 * CURVE + 1000).ok


def test_cross_entropy_starts_at_the_logarithm_of_2(entropic):
    start = sanity_check(entropic, UNIT).checks[0]
    assert start.ok and abs(start.figure - math.log(2)) < 0.2


def failed(report):
    return {check.name.split(":")[0] for check in report.checks if not check.ok}


def test_a_wrong_gradient_fails(monkeypatch, fitted):
    right = layers.ReLU.input_gradient
    monkeypatch.setattr(layers.ReLU, "input_gradient", lambda self, dY, *rest: right(self, np.float64(1.001) * dY, *rest))
    assert any("gradient" in name for name in failed(sanity_check(fitted, CURVE)))


def test_large_initial_weights_fail(monkeypatch, fitted):
    start = layers.Dense.__init__

    def large(self, *args):
        start(self, *args)
        self.W *= 30

    monkeypatch.setattr(layers.Dense, "__init__", large)
    assert "initial loss" in failed(sanity_check(fitted, CURVE))


def test_a_model_that_hardly_moves_fails():
    report = sanity_check(model(learning_rate=1e-7), CURVE)
    assert verdicts(report) == [True, False, False, False, True] and not report.ok and str(report).count("FAILED") == 3


def test_pca_is_left_out_where_the_code_is_as_wide_as_the_data():
    assert len(sanity_check(model(code_size=4), CURVE).checks) == 4


# ---- anomalies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.99, 0.999])
def test_the_threshold_leaves_at_most_the_share_above_it(fitted, quantile):
    errors = sorted(fitted.reconstruction_error(CURVE).tolist())
    threshold = anomaly_threshold(fitted, CURVE, quantile)
    above = sum(error > threshold for error in errors)
    assert threshold in errors and above == math.floor(round((1 - quantile) * 300, 9))


def test_the_feature_that_was_tampered_with_comes_first():
    normal = RNG.normal(size=(300, 1)) * np.linspace(1, 2, 8) + RNG.normal(size=(300, 8)) * np.linspace(0.05, 0.5, 8)
    ae = model((), 1, epochs=60, learning_rate=0.01, dtype="float64").fit(normal)
    X = normal[:8] + 3 * np.eye(8)
    found = anomalous_features(ae, X, normal, list("abcdefgh"), top=2)
    assert [len(row) for row in found] == [2] * 8 and [row[0].feature for row in found] == list("abcdefgh")
    typical = ((normal - ae.reconstruct(normal)) ** 2).mean(axis=0)
    worst = found[2][0]
    assert worst.value == X[2, 2] and worst.reconstruction == pytest.approx(ae.reconstruct(X)[2, 2])
    assert worst.times_usual == pytest.approx((X[2, 2] - worst.reconstruction) ** 2 / typical[2])
    assert str(worst).startswith("c: ") and str(worst).endswith("times the usual error")


def test_features_go_by_the_names_of_a_data_frame():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(np.hstack([TABLE * [1, 1, 1e4, 1, 0.1], np.ones((400, 1))]), columns=list("abcdef"))
    uneven, constant = "feature c ranges over", "constant features: 1 of 6 (f)"
    for found in (check_data(X, model(code_size=2)), check_data(X.to_numpy(), model(code_size=2), list("abcdef"))):
        assert constant in str(found) and uneven in str(found)
    ae = model((), 2, epochs=1, scaling="standard").fit(X)
    assert {error.feature for row in anomalous_features(ae, X[:9], X) for error in row} <= set("abcdef")


def test_a_feature_without_usual_errors_has_a_finite_multiple():
    ae = model((), 1, epochs=1).fit(np.zeros((9, 2)))
    ae.set_weights({name: 0 * array for name, array in ae.get_weights().items()})
    (worst, other), = anomalous_features(ae, [[0, 1]], np.zeros((9, 2)))
    assert worst.feature == "1" and np.isfinite(worst.times_usual) and other.times_usual == 0


# ---- all of them --------------------------------------------------------------------------------------------------------


def test_results_are_ready_for_json(fitted):
    results = [code_statistics(fitted, CURVE), excess_loss(fitted, CURVE), compare_baselines(fitted, CURVE),
               check_data(TABLE, Autoencoder()), anomalous_features(fitted, CURVE[:1], CURVE), sanity_check(fitted, CURVE)]
    codes, excess, compared, warnings, (features,), sanity = json.loads(json.dumps(to_dict(results)))
    assert len(codes["mean"]) == 2 and codes["dead"] == [] and excess["floor"] == 0
    assert compared["pca"]["name"] == "PCA, 2 components" and set(warnings[0]) == {"problem", "advice"}
    assert len(features) == 4 and sanity["ok"] is True and sanity["checks"][0]["name"] == "initial loss"


@pytest.mark.parametrize("call", [
    lambda ae: code_statistics(ae, CURVE), lambda ae: excess_loss(ae, CURVE), lambda ae: compare_baselines(ae, CURVE),
    lambda ae: anomaly_threshold(ae, CURVE), lambda ae: anomalous_features(ae, CURVE, CURVE)])
def test_before_fit_the_error_says_so(call):
    with pytest.raises(NotFittedError, match="call fit"):
        call(model())


BAD = {
    "one row of codes": (lambda ae: code_statistics(ae, CURVE[:1]), r"at least 2 rows, got shape \(1, 2\)"),
    "threshold below 0": (lambda ae: code_statistics(ae, CURVE, -1), "threshold must be"),
    "other features": (lambda ae: compare_baselines(ae, TABLE), "X has 5 features, but Autoencoder is expecting 4"),
    "other test features": (lambda ae: compare_baselines(ae, CURVE, TABLE),
                            "X_test has 5 features, but Autoencoder is expecting 4"),
    "quantile of 1": (lambda ae: anomaly_threshold(ae, CURVE, 1), "quantile must be below 1"),
    "names of others": (lambda ae: anomalous_features(ae, CURVE, CURVE, ["a"]), "4 names, one for each feature, got 1"),
    "top of 0": (lambda ae: anomalous_features(ae, CURVE, CURVE, top=0), "top must be at least 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case, fitted):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call(fitted)


def test_public_names_are_documented():
    for name in diagnostics.__all__:
        assert getattr(diagnostics, name).__doc__
