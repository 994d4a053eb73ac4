"""Validation, early stopping and what else looks at a training between two epochs, with both engines."""

import csv
import signal
import sys

import numpy as np
import pytest

from ae_scratch import Autoencoder, DivergedError, GaussianNoise, callbacks
from ae_scratch.callbacks import CSVLogger, EarlyStopping, LearningRateSchedule, ModelCheckpoint

RNG = np.random.default_rng(0)
X, X_VAL = RNG.random((70, 6)), RNG.random((23, 6))
ENGINES = pytest.mark.parametrize("engine", ["numpy", "numba"])


def model(**settings):
    return Autoencoder(**{"hidden_sizes": (5,), "code_size": 2, "epochs": 4, "random_state": 0, "engine": "numpy", **settings})


def state(fitted):
    """All that further training depends on, as bytes."""
    return (fitted.network_.params.vector.tobytes(), fitted.optimizer_.m.tobytes(), fitted.optimizer_.v.tobytes(),
            fitted.optimizer_.beta1_t, fitted.optimizer_.beta2_t)


# ---- epochs that go on -----------------------------------------------------------------------------------------------------


@ENGINES
@pytest.mark.parametrize("settings", [{}, {"noise": GaussianNoise(0.3)}, {"noise": GaussianNoise(0.3, redraw="once")},
                                      {"scaling": "standard", "loss": "mse"}])
def test_epochs_one_by_one_are_the_epochs_of_a_longer_fit(engine, settings):
    expected = model(engine=engine, **settings).fit(X)
    got = model(engine=engine, epochs=2, **settings).fit(X).partial_fit(X).partial_fit(X)
    assert state(got) == state(expected) and got.history_ == expected.history_
    alone = model(engine=engine, **settings)
    for _ in range(4):
        alone.partial_fit(X)
    assert state(alone) == state(expected)


@pytest.mark.parametrize("forget", ["epoch", "moments"])
def test_what_goes_on_would_be_missed(forget):
    expected, got = model().fit(X), model(epochs=3).fit(X)
    if forget == "epoch":
        got.history_ = {}
    else:
        got.optimizer_.m = np.zeros_like(got.optimizer_.m)
    assert state(got.partial_fit(X)) != state(expected)


def test_partial_fit_with_targets_and_wrong_data():
    got = model(epochs=1).fit(X, X[::-1]).partial_fit(X, X[::-1])
    assert state(got) == state(model(epochs=2).fit(X, X[::-1]))
    before = state(got)
    for bad, message in ((X[:, :5], "has 5 features.* expecting 6"), (X + np.nan, "NaN"), (X + 1, r"in \[0, 1\]")):
        with pytest.raises(ValueError, match=message):
            got.partial_fit(bad)
    assert state(got) == before


def test_partial_fit_that_diverges_keeps_the_last_good_step():
    got = model(loss="mse", epochs=1, dtype="float32").fit(X)
    with pytest.raises(DivergedError), np.errstate(all="ignore"):
        got.partial_fit(X * 1e30)
    assert np.isfinite(got.network_.params.vector).all() and len(got.history_["loss"]) == 1


# ---- validation ------------------------------------------------------------------------------------------------------------


@ENGINES
def test_validation_data_are_evaluated_after_each_epoch(engine):
    seen = []
    fitted = model(engine=engine, l1_activity=1e-2).fit(
        X, validation_data=X_VAL, callbacks=[lambda t: seen.append(t.model.evaluate(X_VAL))])
    assert [f["objective"] for f in seen] == fitted.history_["val_objective"]
    assert [f["loss"] for f in seen] == fitted.history_["val_loss"]
    assert [f["penalty"] for f in seen] == fitted.history_["val_penalty"] and min(fitted.history_["val_penalty"]) > 0
    plain = model(engine=engine, l1_activity=1e-2).fit(X)
    assert state(plain) == state(fitted) and plain.history_["loss"] == fitted.history_["loss"]


def test_validation_data_with_targets():
    fitted = model().fit(X, X[::-1], validation_data=(X_VAL, X_VAL[::-1]))
    assert fitted.history_["val_loss"][-1] == fitted.evaluate(X_VAL, X_VAL[::-1])["loss"] != fitted.evaluate(X_VAL)["loss"]


@ENGINES
@pytest.mark.parametrize("target", [None, X[::-1]])
def test_a_fraction_is_held_out(engine, target):

    fitted = model(engine=engine, validation_fraction=0.2).fit(X, target)
    assert len(fitted.history_["val_loss"]) == 4
    if engine == "numpy":  # what is held out can be anything without changing a bit of what is trained
        changed = X.copy()
        rows = held_out(0.2, len(X))
        changed[rows] = 0.5
        T = None if target is None else np.where(np.isin(np.arange(70), rows)[:, None], 0.25, target)
        again = model(validation_fraction=0.2).fit(changed, T)
        assert state(again) == state(fitted) and again.history_["val_loss"] != fitted.history_["val_loss"]
        changed[next(i for i in range(70) if i not in rows)] = 0.5
        assert state(model(validation_fraction=0.2).fit(changed, T)) != state(fitted)
        assert len(rows) == 14


def held_out(fraction, n):
    """The rows of a fit with this fraction, found by what a change of each does to the validation loss before any step."""
    from ae_scratch.kernels.philox import permutation

    return permutation(0, 2**32 - 1, n)[:round(fraction * n)]


def test_both_engines_hold_out_the_same_rows():
    numpy, numba = (model(engine=engine, validation_fraction=0.3, dtype="float64").fit(X) for engine in ("numpy", "numba"))
    assert np.allclose(numpy.history_["val_loss"], numba.history_["val_loss"], rtol=1e-9)


@pytest.mark.parametrize("settings, data, message", [
    ({"validation_fraction": 1.0}, {}, "below 1"), ({"validation_fraction": -0.1}, {}, "at least 0"),
    ({"validation_fraction": 0.999}, {}, "leaves nothing of 70 rows"),
    ({"early_stopping": 3}, {}, "EarlyStopping, got 3"),
    ({}, {"validation_data": X_VAL[:, :3]}, "validation data has 3 features.* expecting 6"),
    ({}, {"validation_data": 2 * X_VAL}, r"validation data in \[0, 1\]"),
    ({}, {"validation_data": (X_VAL, X_VAL[:3])}, "X's shape"),
    ({}, {"callbacks": ["save"]}, "got 'save'"),
    ({"early_stopping": EarlyStopping(monitor="val_los")}, {}, "one of objective, loss, penalty, got 'val_los'"),
])
def test_what_makes_no_sense_is_named(settings, data, message):
    with pytest.raises((ValueError, TypeError), match=message):
        model(**settings).fit(X, **data)


# ---- callbacks -------------------------------------------------------------------------------------------------------------


@ENGINES
def test_early_stopping_goes_back_to_the_best_epoch(engine):
    """With a target that changes its mind, the figures fall at first and rise then."""
    stopping, states = EarlyStopping(patience=2, monitor="val_loss"), []
    fitted = model(engine=engine, epochs=40, learning_rate=0.1, batch_size=8).fit(
        X[:16], validation_data=X_VAL, callbacks=[lambda t: states.append(state(t.model)), stopping])
    losses = fitted.history_["val_loss"]
    best = int(np.argmin(losses))
    assert (stopping.best, stopping.best_epoch) == (losses[best], best + 1) and len(losses) == best + 3 < 40
    assert state(fitted) == states[best] != states[-1]


def test_the_setting_is_the_callback_and_stays_as_it_was():
    stopping = EarlyStopping(patience=1, min_delta=10.0)
    fitted = model(early_stopping=stopping, epochs=9).fit(X)
    assert len(fitted.history_["loss"]) == 2 and not hasattr(stopping, "best")
    assert state(fitted) == state(model(epochs=1).fit(X))
    kept = model(early_stopping=EarlyStopping(patience=1, min_delta=10.0, restore_best=False), epochs=9).fit(X)
    assert state(kept) == state(model(epochs=2).fit(X))


def test_without_patience_running_out_the_best_is_kept_all_the_same():
    states = []
    fitted = model(epochs=12, learning_rate=0.1, batch_size=8, early_stopping=EarlyStopping(patience=50)).fit(
        X[:16], validation_data=X_VAL, callbacks=[lambda t: states.append(state(t.model))])
    best = int(np.argmin(fitted.history_["val_objective"]))
    assert best < 11 and state(fitted) == states[best]


def test_the_log_has_every_figure_to_the_last_digit(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("of an earlier training")
    fitted = model().fit(X, validation_data=X_VAL, callbacks=[CSVLogger(path)])
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert {name: [float(row[name]) for row in rows] for name in rows[0] if name != "epoch"} == fitted.history_


@ENGINES
def test_learning_rates_of_each_epoch(engine):
    rates, seen = [1e-2, 1e-3, 1e-4, 1e-5], []
    fitted = model(engine=engine).fit(
        X, callbacks=[LearningRateSchedule(lambda e: rates[min(e, 3)]), lambda t: seen.append(t.epoch)])
    by_hand = model(engine=engine, epochs=1, learning_rate=1e-2).fit(X)
    for rate in rates[1:]:
        by_hand.optimizer_.lr = rate
        by_hand.partial_fit(X)
    assert state(fitted) == state(by_hand) != state(model(engine=engine).fit(X)) and seen == [1, 2, 3, 4]


@ENGINES
def test_the_history_holds_the_epoch_that_callbacks_see(engine):
    seen = []

    def watch(training):
        last = {name: values[-1] for name, values in training.history.items()}
        seen.append((training.epoch, {len(values) for values in training.history.values()}, last == training.figures))
    model(engine=engine, epochs=2).fit(X, validation_data=X_VAL, callbacks=[watch])
    assert seen == [(1, {1}, True), (2, {2}, True)]


@ENGINES
def test_any_callable_ends_the_training(engine):
    fitted = model(engine=engine).fit(X, callbacks=[lambda training: training.epoch == 2])
    assert state(fitted) == state(model(engine=engine, epochs=2).fit(X))


def test_an_error_in_a_callback_leaves_the_earlier_fit():
    fitted = model().fit(X)
    before = state(fitted)
    with pytest.raises(ZeroDivisionError):
        fitted.fit(X_VAL, callbacks=[lambda training: 1 / 0])
    assert state(fitted) == before


def test_checkpoints_are_the_best_model(tmp_path):
    path, states = tmp_path / "best.safetensors", []
    fitted = model(epochs=12, learning_rate=0.1, batch_size=8).fit(
        X[:16], validation_data=X_VAL, callbacks=[ModelCheckpoint(path), lambda t: states.append(state(t.model))])
    best = int(np.argmin(fitted.history_["val_objective"]))
    assert best < 11 and state(Autoencoder.load(path)) == states[best]


class Interrupting:
    """Ctrl-C in the last moments of a fit, when all epochs are done."""

    def __call__(self, training):
        pass

    def end(self, training):
        signal.raise_signal(signal.SIGINT)


@ENGINES
def test_ctrl_c_when_all_epochs_are_done_is_not_lost_and_neither_is_the_model(engine):
    got, expected = model(engine=engine), model(engine=engine).fit(X)
    with pytest.raises(KeyboardInterrupt):
        got.fit(X, callbacks=[Interrupting()])
    assert state(got) == state(expected) and got.history_ == expected.history_


@pytest.mark.skipif(sys.platform != "linux", reason="limits for the size of files as Linux has them")
def test_a_line_of_a_log_for_which_there_is_no_room_is_not_begun(tmp_path):
    resource = pytest.importorskip("resource")
    path, limits = tmp_path / "log.csv", resource.getrlimit(resource.RLIMIT_FSIZE)
    path.write_bytes(b"epoch,loss\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, (14, limits[1]))  # room for three bytes
    try:
        with pytest.raises(OSError, match="File too large"):
            callbacks._append(path, b"1,0.5\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"epoch,loss\n"
