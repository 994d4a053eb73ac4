"""The estimator: what it promises about shapes, conventions, bytes, and bad input."""

import copy
import pickle
import sys

import numpy as np
import pytest

from ae_scratch import SGD, Adam, Autoencoder, DivergedError, GaussianNoise, NotFittedError

X = np.random.default_rng(0).uniform(size=(70, 9))


def fitted(**settings):
    settings = {"hidden_sizes": (6,), "code_size": 3, "epochs": 2, "random_state": 0, "engine": "numpy", **settings}
    return Autoencoder(**settings).fit(X)


def weights(model):
    return b"".join(array.tobytes() for array in model.get_weights().values())


@pytest.mark.parametrize("hidden, code, decoder, widths", [
    ((), 4, None, [9, 4, 4, 9, 9]),
    ((6,), 3, None, [9, 6, 6, 3, 3, 6, 6, 9, 9]),
    ((7, 5), 2, None, [9, 7, 7, 5, 5, 2, 2, 5, 5, 7, 7, 9, 9]),
    ((7, 5), 2, (4,), [9, 7, 7, 5, 5, 2, 2, 4, 4, 9, 9]),
    ((6,), 3, (), [9, 6, 6, 3, 3, 9, 9]),
    ((), 30, None, [9, 30, 30, 9, 9]),
])
def test_architectures(hidden, code, decoder, widths):
    model = fitted(hidden_sizes=hidden, code_size=code, decoder_sizes=decoder)
    assert model.network_.widths == widths
    assert model.encode(X).shape == (70, code) and model.decode(model.encode(X)).shape == X.shape
    assert np.allclose(model.decode(model.encode(X)), model.reconstruct(X), rtol=1e-6)


@pytest.mark.parametrize("hidden, decoder, activation, expected", [
    ((7, 5), None, "tanh", "Tanh Tanh ReLU Tanh Tanh"),
    ((7, 5), None, ("tanh", "sigmoid"), "Tanh Sigmoid ReLU Sigmoid Tanh"),
    ((7, 5), None, ["tanh", "sigmoid", "identity", "relu"], "Tanh Sigmoid ReLU Identity ReLU"),
    ((7, 5), (4,), np.array(["tanh", "sigmoid", "identity"]), "Tanh Sigmoid ReLU Identity"),
    ((6,), (), ("tanh",), "Tanh ReLU"), ((), None, (), "ReLU"), ((), (4,), ["tanh"], "ReLU Tanh")])
def test_an_activation_per_layer(hidden, decoder, activation, expected):
    layers = fitted(hidden_sizes=hidden, decoder_sizes=decoder, activation=activation).network_.layers
    assert [type(layer).__name__ for layer in layers[1::2]] == [*expected.split(), "Sigmoid"]


def test_tied_weights_are_the_encoders_always():
    model = fitted(hidden_sizes=(6, 4), tied_weights=True, weight_decay=1e-3)
    assert [name for name in model.get_weights() if "decoder" in name] == ["decoder.0.b", "decoder.1.b", "decoder.2.b"]
    assert weights(model) == weights(fitted(hidden_sizes=(6, 4), tied_weights=True, weight_decay=1e-3, decoder_sizes=(4, 6)))
    for other in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        other.set_weights({name: 2 * array for name, array in other.get_weights().items()})
        sources, tied = other.encoder.layers[:6:2], other.decoder.layers[::2]
        assert all(layer.W is source.W for layer, source in zip(tied, reversed(sources)))
        assert np.allclose(other.decode(other.encode(X)), other.reconstruct(X), rtol=1e-5)
        assert other.gradcheck(X).ok and "TiedDense(6, 9)" in other.summary()


def test_weight_decay_makes_weights_small_and_is_the_reported_penalty():
    sizes = []
    for decay in (0, 0.01, 0.1):
        model = fitted(weight_decay=decay, epochs=50, learning_rate=0.01)
        sizes.append(sum((array**2).sum() for name, array in model.get_weights().items() if "W" in name))
    assert sizes[0] > 1.2 * sizes[1] > 2 * sizes[2]
    model = fitted(weight_decay=0.1, batch_size=70)
    expected = 0.05 * sum((array.astype(float)**2).sum() for name, array in model.get_weights().items() if "W" in name)
    assert model.evaluate(X)["penalty"] == pytest.approx(expected, rel=1e-6)
    assert model.history_["penalty"][1] > expected > 0.9 * model.history_["penalty"][1] and model.gradcheck(X).ok


def test_kl_sparsity_pulls_the_mean_activation_to_rho():
    settings = dict(code_activation="sigmoid", epochs=200, learning_rate=0.01)
    plain, model = fitted(**settings), fitted(kl_beta=1.0, kl_rho=0.1, **settings)
    means = model.encode(X).mean(axis=0)
    assert np.abs(means - 0.1).max() < 0.02 < 0.1 < np.abs(plain.encode(X).mean(axis=0) - 0.1).max() and model.gradcheck(X).ok
    expected = (0.1 * np.log(0.1 / means) + 0.9 * np.log(0.9 / (1 - means))).sum()
    assert model.evaluate(X)["penalty"] == pytest.approx(expected, rel=1e-3)
    assert model.set_params(batch_size=1).evaluate(X)["penalty"] == model.set_params(batch_size=70).evaluate(X)["penalty"]


@pytest.mark.parametrize("loss, output, low, high", [
    ("binary_crossentropy", None, 0, 1), ("mse", None, -9, 9), ("mse", "sigmoid", 0, 1), ("mse", "tanh", -1, 1),
    ("mse", "relu", 0, 9)])
def test_output_activations_bound_the_reconstruction(loss, output, low, high):
    reconstruction = fitted(loss=loss, output_activation=output, epochs=20, learning_rate=0.01).reconstruct(3 * X - 1)
    assert low <= reconstruction.min() and reconstruction.max() <= high


def test_training_lowers_the_loss_towards_the_data():
    low_rank = np.outer(X[:, 0], np.linspace(0.1, 0.9, 9))
    model = Autoencoder((), 2, epochs=200, batch_size=8, learning_rate=0.01, random_state=0, engine="numpy").fit(low_rank)
    assert model.score(low_rank) > -0.003 > -0.02 > -np.mean((low_rank - low_rank.mean(axis=0)) ** 2)
    assert model.history_["loss"][-1] < model.history_["loss"][0]


def test_same_seed_same_bytes():
    assert weights(fitted()) == weights(fitted()) != weights(fitted(random_state=1))
    assert weights(fitted(random_state=None)) != weights(fitted(random_state=None))
    unseeded = fitted(random_state=None)
    assert weights(unseeded) == weights(fitted(random_state=unseeded.seed_))


@pytest.mark.parametrize("form", [
    lambda X: X.tolist(), np.asfortranarray, lambda X: X[::-1][::-1], lambda X: X.astype(">f8"),
    lambda X: np.ascontiguousarray(np.repeat(X, 2, axis=1))[:, ::2], lambda X: X.astype(np.float32)])
def test_any_form_of_the_data_gives_the_same_bytes(form):
    data = X.astype(np.float32).astype(float)
    model = Autoencoder((4,), 2, epochs=1, random_state=0, engine="numpy")
    assert weights(model.fit(form(data))) == weights(model.fit(data))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_integers_are_converted(dtype):
    binary = (X > 0.5).astype(dtype)
    assert fitted().fit(binary).reconstruct(binary).dtype == np.float32


@pytest.mark.parametrize("order", ["C", "F"])
def test_inputs_are_never_written_to(order):
    data, target = np.array(X, np.float32, order=order), np.array(X[::-1], np.float32, order=order)
    kept = data.copy(), target.copy()
    data.flags.writeable = target.flags.writeable = False
    model = fitted(noise=GaussianNoise(0.3, clip=(0, 1))).fit(data, target)
    for use in (model.encode, model.reconstruct, model.evaluate, model.score, model.gradcheck):
        use(data)
    assert np.array_equal(data, kept[0]) and np.array_equal(target, kept[1])


def test_denoising_three_ways():
    """A noise object drawn once is the same as handing in the noisy data; redrawn per batch it is not."""
    noise = GaussianNoise(0.4, clip=(0, 1), redraw="once")
    noisy = noise.corrupt(X.astype(np.float32), seed=0)
    assert weights(fitted(noise=noise)) == weights(fitted().fit(noisy, X))
    assert weights(fitted(noise=GaussianNoise(0.4, clip=(0, 1)))) != weights(fitted(noise=noise))
    assert fitted().fit(noisy, X).evaluate(noisy, X)["loss"] != fitted().evaluate(X)["loss"]


def test_labels_from_a_pipeline_are_ignored():
    assert weights(fitted()) == weights(fitted().fit(X, np.arange(70))) == weights(fitted().fit(X, list("ab" * 35)))


def test_the_two_reductions_differ_by_the_batch_size():
    total = fitted(l1_activity=1e-3, activity_reduction="sum", batch_size=35)
    mean = fitted(l1_activity=35e-3, activity_reduction="mean", batch_size=35)
    assert total.history_["penalty"] == pytest.approx(mean.history_["penalty"], rel=1e-6)
    assert np.allclose(total.encode(X), mean.encode(X), rtol=1e-5, atol=1e-7)
    assert total.evaluate(X) == pytest.approx(mean.evaluate(X), rel=1e-5)


def test_a_stronger_penalty_gives_smaller_codes():
    sizes = [np.abs(fitted(l1_activity=lam, epochs=20).encode(X)).mean() for lam in (0.0, 0.1, 1.0)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_history_and_evaluate():
    model = fitted(l1_activity=0.01, epochs=3)
    assert {name: len(values) for name, values in model.history_.items()} == {"objective": 3, "loss": 3, "penalty": 3}
    figures = model.evaluate(X)
    assert figures["objective"] == pytest.approx(figures["loss"] + figures["penalty"]) and figures["penalty"] > 0


def test_reconstruction_error_and_score():
    model = fitted()
    squared = (X - model.reconstruct(X)) ** 2
    assert np.allclose(model.reconstruction_error(X, per_feature=True), squared, rtol=1e-4, atol=1e-7)
    assert np.allclose(model.reconstruction_error(X), squared.mean(axis=1), rtol=1e-5)
    assert model.score(X) == pytest.approx(-squared.mean(), rel=1e-5)


def test_encoder_and_decoder_alone():
    model = fitted(l1_activity=1e-3)
    codes = model.encoder.predict(X.astype(np.float32))
    assert np.array_equal(codes, model.encode(X)) and np.array_equal(model.decoder.predict(codes), model.decode(codes))
    assert list(model.encoder.params) == ["encoder.0.W", "encoder.0.b", "encoder.1.W", "encoder.1.b"]
    assert [name.split(".")[0] for name in model.decoder.params] == ["decoder"] * 4


def test_sklearn_names_are_the_same_functions():
    model = fitted()
    assert np.array_equal(model.transform(X), model.encode(X)) and np.array_equal(model.predict(X), model.reconstruct(X))
    assert np.array_equal(model.inverse_transform(model.encode(X)), model.decode(model.encode(X)))
    assert np.array_equal(Autoencoder((6,), 3, epochs=2, random_state=0, engine="numpy").fit_transform(X), model.encode(X))


def test_weights_out_and_in_again():
    model, other = fitted(), fitted(random_state=9)
    assert other.set_weights(model.get_weights()) is other and weights(other) == weights(model)
    never_fitted = Autoencoder((6,), 3, engine="numpy").set_weights(model.get_weights())
    assert np.array_equal(never_fitted.reconstruct(X), model.reconstruct(X))
    model.get_weights()["encoder.0.W"][:] = 0
    assert np.array_equal(never_fitted.reconstruct(X), model.reconstruct(X))  # what get_weights returns are copies


@pytest.mark.parametrize("change, message", [
    (lambda w: w.pop("decoder.0.b"), r"missing: \['decoder.0.b'\]"), (lambda w: w.update(extra=1), r"unknown: \['extra'\]"),
    (lambda w: w.update({"encoder.0.b": np.zeros(7)}), r"encoder.0.b as real numbers of shape \(6,\), got float64 \(7,\)"),
    (lambda w: w.update({"encoder.0.b": 6 * [1j]}), "real numbers"), (lambda w: w.update({"encoder.0.b": 6 * [1e300]}), "large"),
    (lambda w: w["encoder.0.W"].__setitem__((0, 0), np.nan), "contains NaN")])
def test_bad_weights_change_nothing(change, message):
    model = fitted()
    before, bad = weights(model), model.get_weights()
    change(bad)
    with pytest.raises(ValueError, match=message):
        model.set_weights(bad)
    assert weights(model) == before


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize("order", [1, -1])
def test_a_model_copied_together_with_its_encoder_goes_on_sharing(duplicate, order):
    model = fitted()
    for pair in (duplicate((model, model.encoder)[::order])[::order], (model, copy.copy(model.encoder))):
        other, encoder = pair
        other.set_weights({name: np.zeros_like(array) for name, array in other.get_weights().items()})
        assert not encoder.predict(X).any() and not other.encode(X).any()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_are_independent_and_equal(duplicate):
    model = fitted()
    before, other = weights(model), duplicate(model)
    assert weights(other) == before and np.array_equal(other.encode(X), model.encode(X))
    other.set_weights({name: np.zeros_like(array) for name, array in model.get_weights().items()})
    assert not other.encode(X).any() and weights(model) == before
    assert weights(other.fit(X)) == before


def test_parameters_in_the_manner_of_scikit_learn():
    model = Autoencoder((5,), 2, loss="mse")
    assert model.get_params()["hidden_sizes"] == (5,) and Autoencoder(**model.get_params()).get_params() == model.get_params()
    assert model.set_params(code_size=4).code_size == 4
    assert repr(model) == "Autoencoder(hidden_sizes=(5,), code_size=4, loss='mse')"
    with pytest.raises(ValueError, match="did you mean 'code_size'"):
        model.set_params(epochs=77, code_sise=3)
    assert model.epochs == 10  # nothing was set


def test_a_given_optimizer_is_copied_for_each_fit():
    optimizer = SGD(0.1, momentum=0.9)
    assert weights(fitted(optimizer=optimizer)) == weights(fitted(optimizer=optimizer))
    assert optimizer.velocity is None
    assert weights(fitted(optimizer=Adam(0.01))) == weights(fitted(learning_rate=0.01))


@pytest.mark.parametrize("settings, error, message", [
    ({"loss": "binary_crosentropy"}, ValueError, "did you mean 'binary_crossentropy'"),
    ({"activation": "relo"}, ValueError, "activation='relo' is unknown.*did you mean 'relu'"),
    ({"activation": "relo", "hidden_sizes": ()}, ValueError, "did you mean 'relu'"),
    ({"activation": None}, ValueError, "activation=None is unknown"),
    ({"activation": ["tanh", 3]}, ValueError, "activation=3 is unknown"),
    ({"activation": ("relu",) * 3}, ValueError, r"each of the 1 \+ 1 hidden layers of encoder and decoder"),
    ({"activation": ("relu",), "decoder_sizes": (4, 4)}, ValueError, r"each of the 1 \+ 2 hidden layers"),
    ({"output_activation": "tanh"}, ValueError, "needs output_activation='sigmoid'"),
    ({"optimizer": "adamw"}, ValueError, "did you mean 'adam'"),
    ({"scaling": "byte"}, ValueError, "did you mean 'bytes'"),
    ({"engine": "jax"}, ValueError, "expected one of 'numpy', 'numba'"),
    ({"threads": 2, "engine": "numpy"}, ValueError, "belongs to engine='numba'"),
    ({"dtype": "float16"}, ValueError, "dtype"), ({"activity_reduction": "total"}, ValueError, "'sum', 'mean'"),
    ({"code_size": 0}, ValueError, "code_size must be at least 1"), ({"code_size": 2.0}, TypeError, "must be an integer"),
    ({"hidden_sizes": (4, -1)}, ValueError, "hidden_sizes must be at least 1"), ({"epochs": True}, TypeError, "integer"),
    ({"hidden_sizes": iter((5, 4))}, TypeError, "sequence of integers"),
    ({"hidden_sizes": 128}, TypeError, r"hidden_sizes must be a sequence of integers such as \(128,\), got 128"),
    ({"batch_size": 0}, ValueError, "at least 1"), ({"learning_rate": 0}, ValueError, "above 0"),
    ({"learning_rate": float("inf")}, ValueError, "finite"), ({"l1_activity": -1e-5}, ValueError, "at least 0"),
    ({"l1_activity": "1e-5"}, TypeError, "number"), ({"random_state": 2**32}, ValueError, "from 0 to 4294967295"),
    ({"noise": 0.4}, TypeError, "GaussianNoise"), ({"weight_decay": -1}, ValueError, "weight_decay must be finite"),
    ({"kl_beta": 0.1}, ValueError, "kl_beta needs code_activation='sigmoid'.*got 'relu'"), ({"kl_rho": 1}, ValueError, "below 1"),
    ({"kl_rho": 0}, ValueError, "above 0"), ({"kl_beta": "1"}, TypeError, "number"),
    ({"tied_weights": True, "decoder_sizes": (7,)}, ValueError, r"mirrors the encoder.*got \(7,\)")])
def test_settings_that_make_no_sense(settings, error, message):
    with pytest.raises(error, match=message):
        Autoencoder(**settings).fit(X)


def with_value(value):
    data = X.copy()
    data[3, 4] = value
    return data


@pytest.mark.parametrize("data, error, message", [
    (with_value(np.nan), ValueError, "X contains NaN, first in row 3, column 4"),
    (with_value(np.inf), ValueError, "infinity or a value too large for float32"),
    (np.ma.masked_less(X, 0.5), ValueError, "masked values: fill them"),
    (with_value(1e300), ValueError, "too large for float32"), (255 * X, ValueError, "scaling='bytes'.*or use loss='mse'"),
    (X - 0.5, ValueError, r"in \[0, 1\], got values from -0"), (X[0], ValueError, r"2-D X of shape.*got shape \(9,\). Reshape"),
    (X[None], ValueError, r"got shape \(1, 70, 9\)"), (X[:0], ValueError, "at least one sample"),
    (X[:, :0], ValueError, "at least one sample"), (X * 1j, ValueError, "real numbers, got complex"),
    ([["a", "b"]], TypeError, "real numbers"), (None, TypeError, "real numbers"), (3.0, ValueError, "2-D")])
def test_data_that_make_no_sense(data, error, message):
    model = fitted()
    before = weights(model)
    with pytest.raises(error, match=message):
        model.fit(data)
    assert weights(model) == before


def test_a_target_of_another_shape_names_both():
    with pytest.raises(ValueError, match=r"y of X's shape \(70, 9\).*got shape \(70, 8\)"):
        fitted().fit(X, X[:, :8])
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        fitted().fit(X, X + 1)


def test_a_wrong_width_is_named():
    model = fitted()
    for use, message in ((model.encode, "X has 8 features.* expecting 9"), (model.reconstruct, "8 features.* expecting 9"),
                         (model.evaluate, "8 features.* expecting 9"), (model.decode, "codes has 8 features.* expecting 3")):
        with pytest.raises(ValueError, match=message):
            use(X[:, :8])


def test_before_fit():
    for use in (lambda m: m.encode(X), lambda m: m.summary(), lambda m: m.encoder, lambda m: m.get_weights(),
                lambda m: m.evaluate(X)):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            use(Autoencoder())


def test_a_failed_fit_leaves_the_fitted_model():
    model = fitted(loss="mse")
    before = weights(model), model.history_
    model.set_params(optimizer=SGD(1e12))
    with pytest.raises(DivergedError):
        model.fit(1e6 * X)
    assert (weights(model), model.history_) == before


def test_an_interrupted_fit_leaves_a_fitted_model(monkeypatch):
    from ae_scratch import fitting

    expected = weights(fitted())
    original, model = fitting.train, Autoencoder((6,), 3, epochs=3, random_state=0, engine="numpy")

    def interrupted(job, epochs, history, progress, *_):
        original(job, 2, history, progress)
        raise KeyboardInterrupt
    monkeypatch.setattr(fitting, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X)
    assert weights(model) == expected and len(model.history_["loss"]) == 2


def test_gradcheck_of_a_fitted_model():
    for settings in ({}, {"l1_activity": 1e-3, "loss": "mse"}, {"activation": "tanh", "dtype": "float64"}):
        report = fitted(**settings).gradcheck(X, entries=None)
        assert report.ok and {check.name for check in report.checks} == set(fitted(**settings).get_weights())


def test_gradcheck_sees_a_planted_bug(monkeypatch):
    from ae_scratch.kernels import reference

    model = fitted(l1_activity=1e-3)
    monkeypatch.setattr(reference, "l1_backward", lambda dY, A, strength, out=None: np.add(dY, 0, out=out))
    assert not model.gradcheck(X).ok


def test_gradcheck_needs_rows_away_from_kinks():
    model = fitted().set_weights({name: np.zeros_like(array) for name, array in fitted().get_weights().items()})
    with pytest.raises(ValueError, match="too close to a kink"):
        model.gradcheck(X)


@pytest.mark.parametrize("verbose, lines", [(0, 0), (1, 2), (2, 2)])
def test_verbose_reports_on_standard_error(capsys, verbose, lines):
    fitted(verbose=verbose)
    captured = capsys.readouterr()
    assert captured.out == "" and len(captured.err.splitlines()) == lines and "\r" not in captured.err
    assert lines == 0 or captured.err.startswith("epoch 1/2  objective 0.")


def test_a_terminal_gets_one_line_that_rewrites_itself(monkeypatch):
    import io

    from ae_scratch import progress

    class Terminal(io.StringIO):
        def isatty(self):
            return True
    monkeypatch.setattr(progress, "REFRESH", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    fitted(verbose=1)
    text = sys.stderr.getvalue()
    assert text.startswith("\r\x1b[Kepoch 1/2\r")  # before the first step
    assert "\n" not in text and "epoch 2/2" in text and " left" in text and text.endswith("\r\x1b[K")


def test_a_terminal_says_at_once_that_something_compiles_which_is_not_taken_for_speed(monkeypatch):
    import io
    import types

    from ae_scratch import progress

    class Terminal(io.StringIO):
        def isatty(self):
            return True
    clock = iter([0.0, 10.0, 11.0, 20.0, 21.0, 22.0])  # seconds: started; two looks at an epoch, its end; two at the next one
    monkeypatch.setattr(progress, "time", types.SimpleNamespace(perf_counter=lambda: next(clock)))
    monkeypatch.setenv("TERM", "xterm")
    shown = progress.Progress(5, stream=Terminal())
    shown.begin(2, "compiling")
    shown.batch(2, 0.25, 0.5)
    shown.batch(2, 0.5, 0.5)  # a quarter of an epoch in a second: ten are left
    shown.epoch(2, {"objective": 0.5})
    shown.batch(3, 0.25, 0.5)
    shown.batch(3, 0.75, 0.5)  # half an epoch in a second: two and a half are left
    assert shown.stream.getvalue().split("\r\x1b[K")[1:] == [
        "epoch 3/5  compiling", "epoch 3/5  50%  objective 0.5000  10.0 s left", "epoch 3/5  objective 0.5000  20.0 s",
        "epoch 4/5  75%  objective 0.5000  2.5 s left"]


@pytest.mark.parametrize("patience, lines", [(0.0, ["epoch 1/2  compiling"]), (60.0, [])])
def test_a_log_hears_of_compiling_once_and_only_if_it_takes_long(monkeypatch, patience, lines):
    import io

    from ae_scratch import progress

    monkeypatch.setattr(progress, "PATIENCE", patience)
    shown = progress.Progress(2, stream=io.StringIO())
    shown.begin(0, "compiling")
    waiting = shown.waiting
    waiting.join(None if lines else 0.01)
    shown.batch(0, 0.5, 0.25)
    waiting.join()  # it was called off, or has spoken
    shown.close()
    assert shown.stream.getvalue().splitlines() == lines


@pytest.mark.parametrize("seconds, text", [(4.24, "4.2 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (59.96, "60.0 s")])
def test_durations_read_well(seconds, text):
    from ae_scratch.progress import duration

    assert duration(seconds) == text
