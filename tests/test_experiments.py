"""The article's experiments and claims at small size: what they measure and draw, and that published figures stay apart."""

import json
import re

import numpy as np
import pytest

from ae_scratch import GaussianNoise, datasets, experiments, files, report
from ae_scratch.experiments import ARTICLE, EXPERIMENTS, Options

ONE_EPOCH = Options(epochs=1, engine="numpy")

PUBLISHED = {  # the article's figures, typed in a second time
    "deep": "0.1416 0.0997 0.0935", "shallow": "0.1624 0.1041 0.0962 0.0949 0.0944",
    "denoising": "0.1690 0.1322 0.1255 0.1222 0.1201 0.1187 0.1176 0.1166 0.1159 0.1151",
    "standard": "0.1606 0.1042 0.0964" + 16 * " None" + " 0.0933", "sparse": "0.1836 0.1283 0.1183" + 16 * " None" + " 0.1032"}


@pytest.fixture(scope="module")
def data():
    return experiments.prepare(datasets.generate_digits(640, 96))


@pytest.fixture(scope="module")
def outcomes(data):
    return {name: experiment(data, 3, ONE_EPOCH) for name, experiment in EXPERIMENTS.items()}


def test_published_figures_and_epochs():
    for name, figures in PUBLISHED.items():
        assert [str(figure) if figure is None else f"{figure:.4f}" for figure in ARTICLE[name].published] == figures.split()
        assert len(ARTICLE[name].published) == ARTICLE[name].settings["epochs"]
    assert ARTICLE["standard"].published_test == {"objective": 0.0920, "mean code": 6.60}
    assert ARTICLE["sparse"].published_test == {"objective": 0.1019, "mean code": 0.777}


@pytest.mark.parametrize("name, layers", [("deep", "784-128-32-128-784"), ("shallow", "784-32-784"), ("standard", "784-32-784"),
                                          ("denoising", "784-128-32-128-784"), ("sparse", "784-32-784")])
def test_the_models_have_the_articles_settings(data, name, layers):
    run = experiments.train_model(name, data, 0, ONE_EPOCH)
    settings = run.measured["settings"]
    assert run.measured["layers"] == layers
    assert (settings["batch_size"], settings["learning_rate"], settings["optimizer"]) == (32, 1e-3, "adam")
    assert (settings["activation"], settings["code_activation"], settings["loss"]) == ("relu", "relu", "binary_crossentropy")
    assert (settings["l1_activity"], settings["activity_reduction"]) == ((1e-5, "sum") if name == "sparse" else (0, "mean"))
    noise = settings["noise"]
    assert (noise is None) == (name != "denoising")
    if isinstance(noise, GaussianNoise):
        assert (noise.sigma, noise.clip, noise.redraw) == (0.4, (0, 1), "once")
        assert not np.array_equal(run.X_seen[:90], noise.corrupt(data.X_test[:90], 0))  # noise that no training image has
        assert np.array_equal(run.X_seen, noise.corrupt(data.X_test, 0, rows=640 + np.arange(96)))
        assert np.std(run.X_seen - data.X_test) > 0.1


@pytest.mark.parametrize("name, l1", [("sparse", 1e-5), ("denoising", 0)])
def test_measured_figures_belong_to_the_model(data, name, l1):
    run = experiments.train_model(name, data, 0, ONE_EPOCH)
    test, codes = run.measured["test"], run.model.encode(run.X_seen)
    P = run.model.reconstruct(run.X_seen).astype(float)  # of what the model saw, against the clean images
    loss = -np.mean(data.X_test * np.log(P) + (1 - data.X_test) * np.log(1 - P))
    assert test["loss"] == pytest.approx(loss, rel=1e-5)
    assert test["objective"] == pytest.approx(test["loss"] + l1 * 32 * codes.sum() / len(codes), rel=1e-5)
    assert test["mean code"] == pytest.approx(codes.mean(), rel=1e-5) and test["codes exactly 0"] == np.mean(codes == 0)
    assert test["variance of codes"] == pytest.approx(np.mean((codes - codes.mean()) ** 2), rel=1e-5)
    assert test["mse"] == pytest.approx(np.mean((P - data.X_test) ** 2), rel=1e-5)


def test_every_experiment_measures_and_draws(outcomes):
    pytest.importorskip("matplotlib")
    names = [name for outcome in outcomes.values() for name in outcome.pictures]
    assert len(set(names)) == len(names) == 14
    for outcome in outcomes.values():
        assert outcome.models or outcome.figures
        for draw in outcome.pictures.values():
            assert len(draw().axes) > 0


@pytest.mark.parametrize("found, axis, title", [(True, "t-SNE 1", "by t-SNE"), (None, "component 1 of the code", "by PCA")])
def test_codes_are_drawn_by_t_sne_where_scikit_learn_is_installed(outcomes, monkeypatch, found, axis, title):
    pytest.importorskip("matplotlib")
    if found:
        pytest.importorskip("sklearn")
    monkeypatch.setattr(experiments, "find_spec", lambda name: found)
    ax = outcomes["deep"].pictures["deep-codes.png"]().axes[0]
    assert ax.get_xlabel().startswith(axis) and title in ax.get_title() and len(ax.collections) == 10


def test_what_the_article_claims(data):
    copying = EXPERIMENTS["copying"](data, 0, Options(5, "numpy")).figures["share of the variance not recovered"]
    assert copying["overcomplete, code of 128"] < 0.01 < 0.7 < copying["undercomplete, code of 16"]
    assert copying["bound for a linear code of 16"] == 0.75 < copying["undercomplete, code of 16"]
    larger = experiments.prepare(datasets.generate_digits(6000, 300))
    errors = EXPERIMENTS["data-specific"](larger, 0, Options(2, "numpy")).figures["mean squared error"]
    for own, other in (("digits", "landscapes"), ("landscapes", "digits")):
        row = errors[f"tested on {own}"]
        assert row[f"trained on {own}"] < row["the mean image"] < row[f"trained on {other}"]


def test_measured_columns_hold_measured_figures_only(data, outcomes):
    """A model that measured something absurd shows it; no published figure takes its place."""
    absurd = {"layers": "784-32-784", "settings": {"batch_size": 32, "l1_activity": 0, "noise": None}, "seconds": 1.0,
              "history": {"objective": [9.1111, 9.2222]}, "test": {"objective": 9.3333, "penalty": 0.0}}
    table = report.model_table("shallow", {0: absurd, 1: absurd}, comparable=True).splitlines()
    assert table[1].split() == ["published", "seed", "0", "seed", "1", "difference"]
    assert table[2].split() == ["epoch", "1", "0.1624", "9.111", "9.111", "+8.949"]
    assert table[4].split() == ["test:", "objective", "9.333", "9.333"]
    close = {**absurd, "history": {"objective": [0.1630]}}
    other = {**absurd, "history": {"objective": [0.1640]}}
    row = report.model_table("shallow", {0: close, 1: other}, comparable=True).splitlines()[2]
    assert row.split() == ["epoch", "1", "0.1624", "0.1630", "0.1640", "+0.0011"]  # of the mean of both seeds


def test_elsewhere_the_published_figures_are_called_mnists():
    model = experiments.train_model("deep", experiments.prepare(datasets.generate_digits(64, 32)), 0, ONE_EPOCH).measured
    text = report.model_table("deep", {0: model}, comparable=False)
    assert "(MNIST's)" in text and "difference" not in text and "published" not in text


def test_the_test_figures_are_compared_after_the_whole_training_only():
    settings = {"batch_size": 32, "l1_activity": 0, "noise": None}
    run = {"layers": "", "settings": settings, "test": {"objective": 0.5, "penalty": 0}}
    short = report.model_table("standard", {0: {**run, "history": {"objective": [0.5]}}}, True)
    whole = report.model_table("standard", {0: {**run, "history": {"objective": [0.5] * 20}}}, True)
    assert "0.0920" not in short and "0.0920" in whole


def test_results_are_json_with_everything_in_them(data, outcomes):
    results = json.loads(report.to_json(report.results(data, {name: {3: outcome} for name, outcome in outcomes.items()}, 1.5)))
    assert results["data"]["name"] == "generated digits" and results["data"]["training images"] == 640
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in results["data"]["sha256"].values())
    assert {"python", "numpy", "numba", "ae_scratch"} <= set(results["versions"])
    sparse = results["experiments"]["sparse"]
    assert sparse["published (MNIST)"]["sparse"]["objective per epoch"][:2] == [0.1836, 0.1283]
    assert sparse["measured"]["3"]["sparse"]["history"] == outcomes["sparse"].models["sparse"]["history"]
    assert sparse["measured"]["3"]["sparse"]["settings"]["random_state"] == 3
    assert sparse["measured"]["3"]["sparse"]["seconds"] > 0
    copying = results["experiments"]["copying"]
    assert "published (MNIST)" not in copying and len(copying["measured"]["3"]["models"]) == 2
    for model in copying["measured"]["3"]["models"].values():
        assert {"settings", "history", "seconds"} == set(model)


def test_results_are_written_completely_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    report.write_json({"a": 1}, path)
    monkeypatch.setattr(files.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        report.write_json({"a": 2}, path)
    assert json.loads(path.read_text()) == {"a": 1} and [file.name for file in tmp_path.iterdir()] == ["results.json"]
