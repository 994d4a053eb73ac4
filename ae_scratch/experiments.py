"""The experiments of the article "Applied Deep Learning, Part 3: Autoencoders", and what it claims of autoencoders, made visible.

Each experiment is a function of data, seed and options that returns what it measured and the pictures that show it;
progress goes to standard error. The published figures stand in ``ARTICLE`` and nowhere else, apart from everything measured.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import plots
from .autoencoder import Autoencoder
from .datasets import Dataset, as_rows, make_landscapes
from .diagnostics import CodeStatistics, loss_floor
from .kernels import philox
from .kernels.reference import Array
from .noise import GaussianNoise
from .pca import principal_components

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COMMON: dict[str, Any] = dict(activation="relu", code_activation="relu", loss="binary_crossentropy", optimizer="adam",
                              learning_rate=1e-3, batch_size=32)


class Model(NamedTuple):
    """One of the article's models: its settings beside ``COMMON``, and the figures published for it, which are MNIST's.

    published: the training objective of each epoch, None where the article gives none; published_test: figures of the test set.
    """

    settings: dict[str, Any]
    published: tuple[float | None, ...]
    published_test: dict[str, float]


ARTICLE = {
    "deep": Model(dict(hidden_sizes=(128,), code_size=32, epochs=3), (0.1416, 0.0997, 0.0935), {}),
    "shallow": Model(dict(hidden_sizes=(), code_size=32, epochs=5), (0.1624, 0.1041, 0.0962, 0.0949, 0.0944), {}),
    "denoising": Model(dict(hidden_sizes=(128,), code_size=32, epochs=10, noise=GaussianNoise(0.4, clip=(0, 1), redraw="once")),
                       (0.1690, 0.1322, 0.1255, 0.1222, 0.1201, 0.1187, 0.1176, 0.1166, 0.1159, 0.1151), {}),
    "standard": Model(dict(hidden_sizes=(), code_size=32, epochs=20), (0.1606, 0.1042, 0.0964, *[None] * 16, 0.0933),
                      {"objective": 0.0920, "mean code": 6.60}),
    "sparse": Model(dict(hidden_sizes=(), code_size=32, epochs=20, l1_activity=1e-5, activity_reduction="sum"),
                    (0.1836, 0.1283, 0.1183, *[None] * 16, 0.1032), {"objective": 0.1019, "mean code": 0.777}),
}


class Data(NamedTuple):
    """Images as rows of float32 in [0, 1], to train on and to test on, and the data set that they were taken from."""

    X: Array
    X_test: Array
    dataset: Dataset


class Options(NamedTuple):
    """How to run an experiment: for at most so many epochs (None: as many as it has), and with which engine."""

    epochs: int | None = None
    engine: str = "numba"


class Outcome(NamedTuple):
    """What an experiment measured with one seed.

    models: all about the article's models; figures: other figures; pictures: functions that draw them, by file name; trained:
    settings, history and seconds of the models behind ``figures``.
    """

    models: dict[str, dict[str, Any]]
    figures: dict[str, Any]
    pictures: dict[str, Callable[[], Figure]]
    trained: dict[str, dict[str, Any]] = {}


class Run(NamedTuple):
    """A trained model of the article, its figures, the test images as it saw them, and its codes of them."""

    model: Autoencoder
    measured: dict[str, Any]
    X_seen: Array
    codes: Array


def prepare(dataset: Dataset, n_train: int | None = None, n_test: int | None = None) -> Data:
    """Return the first images of a data set, all by default, as rows."""
    return Data(as_rows(dataset.X_train[:n_train]), as_rows(dataset.X_test[:n_test]), dataset)


def train_model(name: str, data: Data, seed: int, options: Options) -> Run:
    """Train one of the article's models and measure it on the test images."""
    model, run = _fit(Autoencoder(**{**COMMON, **ARTICLE[name].settings, "random_state": seed}), data.X, name, options)
    numbers = len(data.X) + np.arange(len(data.X_test))  # of rows that no training image has: noise of their own
    X_seen = model.noise.corrupt(data.X_test, seed, rows=numbers) if model.noise else data.X_test
    codes = model.encode(X_seen)
    activity = CodeStatistics.of(codes)
    test = {**model.evaluate(X_seen, data.X_test), "mean code": activity.mean_code,
            "variance of codes": activity.variance_of_codes, "codes exactly 0": activity.zero_share,
            "mse": _mse(model.reconstruct(X_seen), data.X_test)}
    shapes = [array.shape for array in model.get_weights().values() if array.ndim == 2]
    layers = "-".join(str(width) for width in [shapes[0][0], *(n_out for _, n_out in shapes)])
    return Run(model, {"layers": layers, **run, "test": test}, X_seen, codes)


# ---- the article's experiments ------------------------------------------------------------------------------------------


def deep(data: Data, seed: int, options: Options) -> Outcome:
    """784-128-32-128-784."""
    run = train_model("deep", data, seed, options)
    rows = {"original": data.X_test, "reconstruction": run.model.reconstruct(data.X_test[:10])}
    return Outcome({"deep": run.measured}, {}, {
        "deep-reconstructions.png": lambda: plots.image_rows(rows, f"Deep autoencoder, code of 32: {data.dataset.name}")[0],
        "deep-codes.png": lambda: _code_scatter(run.codes, data.dataset)})


def _code_scatter(codes: Array, dataset: Dataset) -> Figure:
    """The codes of test images in a plane, by their classes: by t-SNE where scikit-learn is installed, else by PCA."""
    method, name = ("tsne", "t-SNE") if find_spec("sklearn") else ("pca", "PCA")
    title = f"Codes of test images by {name}: {dataset.name}"
    return plots.latent_scatter(codes, dataset.y_test[:len(codes)], method, title)[0]


def shallow(data: Data, seed: int, options: Options) -> Outcome:
    """784-32-784."""
    run = train_model("shallow", data, seed, options)
    rows = {"original": data.X_test, "reconstruction": run.model.reconstruct(data.X_test[:10])}
    W = run.model.get_weights()["encoder.0.W"]
    return Outcome({"shallow": run.measured}, {}, {
        "shallow-reconstructions.png": lambda: plots.image_rows(rows, f"Shallow autoencoder, code of 32: {data.dataset.name}")[0],
        "shallow-weights.png": lambda: plots.filters(W, f"First-layer weights of 10 units: {data.dataset.name}")[0]})


def denoising(data: Data, seed: int, options: Options) -> Outcome:
    """The deep model on images with noise that is drawn once, the clean images being the target."""
    run = train_model("denoising", data, seed, options)
    inputs = {"original": data.X_test, "noisy": run.X_seen}
    rows = {**inputs, "denoised": run.model.reconstruct(run.X_seen[:10])}
    return Outcome({"denoising": run.measured}, {}, {
        "denoising-inputs.png": lambda: plots.image_rows(inputs, f"Inputs with noise of 0.4 N(0, 1): {data.dataset.name}")[0],
        "denoising-results.png": lambda: plots.image_rows(rows, f"Denoising autoencoder, test images: {data.dataset.name}")[0]})


def sparse(data: Data, seed: int, options: Options) -> Outcome:
    """The shallow model for longer, without and with an L1 penalty on the code."""
    runs = {name: train_model(name, data, seed, options) for name in ("standard", "sparse")}
    losses = {name: run.measured["history"]["objective"] for name, run in runs.items()}
    codes = {name: run.codes for name, run in runs.items()}
    alone = {"sparse": codes["sparse"]}
    published = {name: ARTICLE[name].published[:len(values)] for name, values in losses.items()}
    shown = published if data.dataset.name == "MNIST" else None
    title = f"Training objective of the standard and the sparse autoencoder: {data.dataset.name}"
    return Outcome({name: run.measured for name, run in runs.items()}, {}, {
        "sparse-losses.png": lambda: plots.loss_curves(losses, shown, title, "loss + penalty", loss_floor(data.X))[0],
        "sparse-codes.png": lambda: plots.code_densities(codes, f"Code values of the test images: {data.dataset.name}")[0],
        "sparse-codes-alone.png": lambda: plots.code_densities(alone, f"Codes, sparse autoencoder: {data.dataset.name}")[0]})


# ---- what the article claims --------------------------------------------------------------------------------------------


def copying(data: Data, seed: int, options: Options) -> Outcome:
    """An overcomplete autoencoder copies noise, which has no structure to learn; an undercomplete one cannot recover it.

    Images of 8 x 8 uniform random numbers. Errors are shares of the images' variance: 1 is what a constant image reaches, 0 a
    perfect copy. No linear code of k of the 64 directions can leave less than 1 - k / 64 of noise.
    """
    images = philox.uniform(seed, philox.DATA, 0, np.arange(11_000), 64).astype(np.float32)
    X, X_test = images[:10_000], images[10_000:]
    figures, rows, trained = {}, {"noise": X_test}, {}
    for size, label in ((16, "undercomplete, code of 16"), (128, "overcomplete, code of 128")):
        model, trained[label] = _fit(Autoencoder((), size, loss="mse", epochs=20, random_state=seed), X, label, options)
        figures[label] = _mse(model.reconstruct(X_test), X_test) / float(X_test.var())
        rows[label] = model.reconstruct(X_test)
    figures["bound for a linear code of 16"] = 1 - 16 / 64
    return Outcome({}, {"share of the variance not recovered": figures}, {
        "copying.png": lambda: plots.image_rows(rows, "Random noise (8 x 8) through a smaller and a larger code")[0]}, trained)


def data_specific(data: Data, seed: int, options: Options) -> Outcome:
    """An autoencoder compresses what it was trained on: one trained on digits fails on landscapes, and the other way round."""
    n, n_test = len(data.X), len(data.X_test)
    landscapes = as_rows(make_landscapes(n + n_test))
    sets = {"digits": (data.X, data.X_test), "landscapes": (landscapes[:n], landscapes[n:])}
    errors: dict[str, dict[str, float]] = {f"tested on {name}": {} for name in sets}
    rows, trained = {}, {}
    for name, (X, _) in sets.items():
        label = f"trained on {name}"
        model, trained[label] = _fit(Autoencoder(epochs=3, random_state=seed, **COMMON), X, label, options)
        for tested, (_, X_test) in sets.items():
            X_hat = model.reconstruct(X_test)
            errors[f"tested on {tested}"][label] = _mse(X_hat, X_test)
            rows[name, tested] = X_hat[:10]
    for name, (X, X_test) in sets.items():
        errors[f"tested on {name}"]["the mean image"] = _mse(X.mean(axis=0), X_test)
    pictures = {f"data-specific-{tested}.png": _specific_rows(sets[tested][1], tested, rows) for tested in sets}
    return Outcome({}, {"mean squared error": errors}, {
        "data-specific-errors.png": lambda: plots.grouped_bars(errors, "An autoencoder compresses what it was trained on")[0],
        **pictures}, trained)


def _specific_rows(X_test: Array, tested: str, rows: dict[tuple[str, str], Array]) -> Callable[[], Figure]:
    shown = {"original": X_test, **{f"trained on {trained}": rows[trained, tested] for trained in ("digits", "landscapes")}}
    return lambda: plots.image_rows(shown, f"{tested.capitalize()} through autoencoders trained on digits and on landscapes")[0]


def code_size(data: Data, seed: int, options: Options) -> Outcome:
    """Reconstruction error against code size, beside a principal component analysis with as many components."""
    sizes = [2, 4, 8, 16, 32, 64]
    components = principal_components(data.X, max(sizes))
    by_pca = [_mse(components.reconstruct(data.X_test, size), data.X_test) for size in sizes]
    by_autoencoder, trained = [], {}
    for size in sizes:
        label = f"code of {size}"
        model, trained[label] = _fit(Autoencoder(code_size=size, epochs=5, random_state=seed, **COMMON), data.X, label, options)
        by_autoencoder.append(_mse(model.reconstruct(data.X_test), data.X_test))
    errors = {f"code of {size}": {"autoencoder": a, "PCA": b} for size, a, b in zip(sizes, by_autoencoder, by_pca)}
    curves = {"autoencoder": by_autoencoder, "PCA": by_pca}
    title = f"Test error against code size: {data.dataset.name}"
    return Outcome({}, {"mean squared error": errors}, {
        "code-size.png": lambda: plots.curves_by_size(sizes, curves, title)[0]}, trained)


def _mse(X_hat: Array, X: Array) -> float:
    return float(np.mean((X_hat - X) ** 2, dtype=np.float64))


def _fit(model: Autoencoder, X: Array, label: str, options: Options) -> tuple[Autoencoder, dict[str, Any]]:
    """Train under a heading on standard error; return the model, and its settings, history and seconds."""
    print(f"  {label}", file=sys.stderr, flush=True)
    epochs = min(model.epochs, options.epochs or model.epochs)
    started = time.perf_counter()
    model.set_params(epochs=epochs, engine=options.engine, verbose=1).fit(X)
    seconds = time.perf_counter() - started
    return model, {"settings": model.get_params(), "history": model.history_, "seconds": seconds}


EXPERIMENTS: dict[str, Callable[[Data, int, Options], Outcome]] = {
    "deep": deep, "shallow": shallow, "denoising": denoising, "sparse": sparse,
    "copying": copying, "data-specific": data_specific, "code-size": code_size}
