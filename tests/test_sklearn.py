"""At home in scikit-learn: its own checks, its compositions against the same steps by hand, its conventions for data."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError as TheirNotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from ae_scratch import Autoencoder, NotFittedError

X = np.random.default_rng(0).uniform(size=(60, 5))
LABELS = (X[:, 0] > 0.5).astype(int)
FRAME = pd.DataFrame(X, columns=list("abcde"), index=range(100, 160))


def autoencoder(**settings):
    return Autoencoder(**{"hidden_sizes": (4,), "code_size": 2, "epochs": 2, "random_state": 0, "engine": "numpy", **settings})


# ---- its own checks ---------------------------------------------------------------------------------------------------


def failures(estimator):
    """The checks of scikit-learn that an estimator does not pass, but for one that needs an environment variable."""
    with warnings.catch_warnings():  # it warns of all that do not inherit from its base class
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_skip=None, on_fail=None)
    assert len(results) > 40
    return [(result["check_name"], result["exception"]) for result in results
            if result["status"] != "passed" and result["check_name"] != "check_array_api_input"]


@pytest.mark.parametrize("settings", [{}, {"engine": "numpy"}, {"engine": "numpy", "dtype": "float64"}, {
    "engine": "numpy", "loss": "binary_crossentropy", "scaling": "minmax"}])
def test_check_estimator(settings):
    assert not failures(Autoencoder(**{"hidden_sizes": (), "code_size": 2, "loss": "mse", "epochs": 2, **settings}))


class Careless(Autoencoder):
    """Accepts what it should not, and makes a sample's codes depend on other samples."""

    def fit(self, X, y=None):
        return super().fit(np.nan_to_num(X), y)

    def transform(self, X):
        return super().transform(X) + X[0, 0]


def test_check_estimator_sees_planted_faults():
    failed = {name for name, _ in failures(Careless(hidden_sizes=(), code_size=2, loss="mse", epochs=2, engine="numpy"))}
    assert {"check_estimators_nan_inf", "check_methods_subset_invariance"} <= failed


# ---- compositions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [LABELS, np.array(["low", "high"])[LABELS], pd.Series(LABELS), list(LABELS)])
def test_a_classifier_behind_it(labels):
    pipeline = make_pipeline(MinMaxScaler(), autoencoder(), LogisticRegression()).fit(X, labels)
    scaled = MinMaxScaler().fit_transform(X)
    codes = autoencoder().fit(scaled).encode(scaled)
    assert np.array_equal(pipeline.predict(X), LogisticRegression().fit(codes, labels).predict(codes))


def test_pipeline_there_and_back():
    pipeline = make_pipeline(StandardScaler(), autoencoder(loss="mse")).fit(X)
    scaler = StandardScaler().fit(X)
    model = autoencoder(loss="mse").fit(scaler.transform(X))
    codes = model.encode(scaler.transform(X))
    assert np.array_equal(pipeline.transform(X), codes)
    assert np.array_equal(pipeline.inverse_transform(codes), scaler.inverse_transform(model.decode(codes)))
    assert pipeline.score(X) == model.score(scaler.transform(X))


def held_out(settings):
    """The score of each fold of three, by hand."""
    return [autoencoder(**settings).fit(X[train]).score(X[test]) for train, test in KFold(3).split(X)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_cross_validation_and_search(jobs):
    assert np.allclose(cross_val_score(autoencoder(), X, cv=3, n_jobs=jobs), held_out({}), rtol=1e-12)
    search = GridSearchCV(autoencoder(epochs=20), {"code_size": [1, 4], "learning_rate": [0.01, 1e-9]}, cv=3, n_jobs=jobs).fit(X)
    by_hand = [np.mean(held_out({"epochs": 20, **params})) for params in search.cv_results_["params"]]
    assert np.allclose(search.cv_results_["mean_test_score"], by_hand, rtol=1e-12)
    assert search.best_params_ == search.cv_results_["params"][int(np.argmax(by_hand))]


def test_labels_and_targets_in_a_search():
    """Labels choose the folds and nothing else; a target is what the scores are about."""
    labelled = cross_val_score(autoencoder(), X, LABELS, cv=KFold(3))
    assert np.array_equal(labelled, cross_val_score(autoencoder(), X, cv=KFold(3)))
    clean = cross_val_score(autoencoder(), X, 1 - X, cv=KFold(3))
    by_hand = [-np.mean((1 - X[test] - autoencoder().fit(X[train], 1 - X[train]).reconstruct(X[test])) ** 2)
               for train, test in KFold(3).split(X)]
    assert np.allclose(clean, by_hand, rtol=1e-5)


def test_beside_other_transformers():
    columns = ColumnTransformer([("ae", autoencoder(), ["b", "d"]), ("rest", "passthrough", ["a"])]).fit(FRAME)
    codes = autoencoder().fit(X[:, [1, 3]]).encode(X[:, [1, 3]])
    assert np.array_equal(columns.transform(FRAME), np.column_stack([codes, X[:, 0]]))
    assert list(columns.get_feature_names_out()) == ["ae__autoencoder0", "ae__autoencoder1", "rest__a"]
    union = FeatureUnion([("two", autoencoder()), ("three", autoencoder(code_size=3))]).fit(X)
    assert union.transform(X).shape == (60, 5) and list(union.get_feature_names_out())[-1] == "three__autoencoder2"


def test_clone_takes_the_settings_alone():
    model = autoencoder(hidden_sizes=[4, 3]).set_output(transform="pandas").fit(X)
    other = clone(model)
    assert other.get_params() == model.get_params() and not hasattr(other, "network_")
    assert isinstance(other.fit_transform(X), pd.DataFrame)


# ---- data frames ------------------------------------------------------------------------------------------------------


def test_a_data_frame_is_its_numbers_and_names():
    model = autoencoder().fit(FRAME)
    assert list(model.feature_names_in_) == list("abcde") and np.array_equal(model.encode(FRAME), autoencoder().fit(X).encode(X))
    assert not hasattr(model.fit(X), "feature_names_in_")
    assert not hasattr(model.fit(pd.DataFrame(X)), "feature_names_in_")  # whose columns are numbers


def test_names_must_be_those_of_fit():
    model = autoencoder().fit(FRAME)
    for use in (model.encode, model.reconstruct, model.evaluate, model.reconstruction_error, model.score):
        with pytest.raises(ValueError, match="feature names should match.*another order"):
            use(FRAME[list("bacde")])
        with pytest.raises(ValueError, match=r"unseen at fit time: \['x'\], now missing: \['a'\]"):
            use(FRAME.rename(columns={"a": "x"}))
        with pytest.warns(UserWarning, match="X does not have valid feature names") as caught:
            use(X)
        assert caught[0].filename == __file__
    with pytest.raises(ValueError, match="another order"):
        model.partial_fit(FRAME[list("bacde")])
    assert list(model.partial_fit(FRAME).feature_names_in_) == list("abcde")
    with pytest.warns(UserWarning, match="fitted without feature names"):
        autoencoder().fit(X).encode(FRAME)


def test_columns_of_several_types():
    mixed = pd.DataFrame({"a": [0, 1, 1], "b": [True, False, True], "c": pd.array([1, 0, 1], dtype="Int64")})
    model = autoencoder().fit(mixed)
    numbers = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 1]])
    assert np.array_equal(model.encode(mixed), autoencoder().fit(numbers).encode(numbers))
    assert np.array_equal(model.encode(mixed), model.encode(mixed.astype(object)))
    with pytest.raises(ValueError, match="contains NaN, first in row 1, column 'speed': remove"):
        autoencoder().fit(pd.DataFrame({"a": [0.0, 1.0], "speed": [1.0, np.nan]}))
    with pytest.raises(TypeError, match="to float: 'Monday' in column 'day': convert it, or leave it out"):
        autoencoder().fit(pd.DataFrame({"speed": [1.0, 2.0], "day": ["Monday", "Tuesday"]}))
    with pytest.raises(TypeError, match="real numbers: .*NAType"):
        model.encode(mixed.astype("Int64").mask(mixed.a > 0))


def test_codes_as_a_data_frame():
    model = autoencoder().set_output(transform="pandas").fit(FRAME)
    codes = model.transform(FRAME)
    assert codes.equals(pd.DataFrame(model.encode(FRAME), FRAME.index, ["autoencoder0", "autoencoder1"]))
    assert model.set_output().fit_transform(FRAME).equals(codes)
    assert isinstance(model.set_output(transform="default").transform(FRAME), np.ndarray)
    pipeline = Pipeline([("scale", MinMaxScaler()), ("ae", autoencoder())]).set_output(transform="pandas")
    through = pipeline.fit_transform(FRAME)
    assert list(through) == list(codes) and through.index.equals(FRAME.index)
    with pytest.raises(ValueError, match="expected one of 'default', 'pandas'"):
        model.set_output(transform="polars")


# ---- data that make no sense, and errors --------------------------------------------------------------------------------


@pytest.mark.parametrize("data, error, message", [
    (sparse.csr_matrix(X), TypeError, r"sparse matrix.*X.toarray\(\)"), (sparse.coo_array(X), TypeError, "sparse"),
    (X.astype(str), TypeError, "real numbers, got <U"), (X.astype(complex), ValueError, "Complex data not supported"),
    (np.array([["a", 1]], object), TypeError, "could not convert string to float: 'a'"),
    (np.array([[None] * 5], object), ValueError, "NaN"), (np.array([[10**400, 1]], object), TypeError, "too large"),
    (X.astype("datetime64[s]"), TypeError, "real numbers"), (X[0], ValueError, "Reshape your data: X.reshape"),
    (X[:0], ValueError, r"0 sample\(s\) \(shape=\(0, 5\)\)")])
def test_data_that_make_no_sense(data, error, message):
    model = autoencoder().fit(X)
    for use in (model.fit, model.transform, model.score):
        with pytest.raises(error, match=message):
            use(data)


@pytest.mark.parametrize("y, error, message", [
    (X[:, :1], ValueError, r"y of X's shape \(60, 5\), or 1-D .* got shape \(60, 1\)"), (X[None], ValueError, "got shape"),
    (sparse.csr_matrix(X), TypeError, r"y is a sparse matrix.*y.toarray\(\)"), (3, ValueError, "2-D y")])
def test_a_second_argument_is_a_target_or_labels(y, error, message):
    model = autoencoder().fit(X)
    for use in (model.fit, model.fit_transform, model.evaluate, model.score):
        with pytest.raises(error, match=message):
            use(X, y)


def test_the_score_of_a_target():
    model = autoencoder().fit(X)
    assert model.score(X, 1 - X) == pytest.approx(-np.mean((1 - X - model.reconstruct(X)) ** 2), rel=1e-5)
    assert model.score(X, LABELS) == model.score(X, X) == model.score(X) == pytest.approx(-model.reconstruction_error(X).mean())


def test_both_kinds_of_not_fitted_error_catch_it():
    for kind in (NotFittedError, TheirNotFittedError):
        with pytest.raises(kind, match="not fitted yet") as caught:
            autoencoder().transform(X)
    copied = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(copied, TheirNotFittedError) and isinstance(copied, NotFittedError) and str(copied) == str(caught.value)
    assert type(copied).__name__ == "NotFittedError"
