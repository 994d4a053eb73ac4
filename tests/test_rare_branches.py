"""Branches that no other test comes by: refusals of single functions, and what commands say of unusual models."""

import errno
import importlib.metadata
import json
import os
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest

from ae_scratch import (Autoencoder, BinaryCrossEntropy, Dense, DivergedError, GaussianNoise, MaskingNoise, Network,
                        SaltAndPepperNoise, cli, explorer, files, report)
from ae_scratch.datasets import make_digits, read_table
from ae_scratch.experiments import Outcome
from ae_scratch.layers import Layer
from ae_scratch.losses import Loss
from ae_scratch.noise import Noise
from ae_scratch.scaling import Scaling

X = np.random.default_rng(0).uniform(size=(40, 6))


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model with L1 on its code, in m.safetensors; its data in X.npy."""
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", X)
    ae = Autoencoder((5,), 2, l1_activity=0.1, epochs=2, engine="numpy", random_state=0).fit(X)
    ae.save("m.safetensors")
    return ae


class Foreign(Dense):
    """A layer that is not the package's."""


def test_classes_to_be_derived_from_say_what_is_missing():
    for call in (lambda: Layer().forward(X), lambda: Layer().input_gradient(X, X, X), lambda: Loss().rows(X, X),
                 lambda: Noise("batch").settings(0, 0)):
        with pytest.raises(TypeError, match="(Layer|Loss|Noise) defines no (forward|input_gradient|rows|settings)"):
            call()


def test_a_layer_of_ones_own_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match="cannot save a layer .* expected Dense or one of"):
        Network([Foreign(3, 2, np.random.default_rng(0))]).save(tmp_path / "network")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_matrix_are_refused():
    with pytest.raises(ValueError, match="expected a matrix 'encoder.0.W'"):
        Autoencoder((), 2, engine="numpy").set_weights({"encoder.0.W": np.zeros(3)})


def test_noise_wants_floats_and_numbers_in_order():
    with pytest.raises(TypeError, match="floating-point numbers, got int64: whole numbers cannot hold the noise"):
        GaussianNoise(0.1).corrupt(np.ones((2, 2), np.int64), 0)
    with pytest.raises(ValueError, match="finite numbers low < high, got 1 and 0"):
        SaltAndPepperNoise(0.1, low=1, high=0)
    assert (MaskingNoise(0.0).corrupt(X, 0) == X).all()


def test_what_errors_and_scalings_say():
    assert str(DivergedError("diverged", 1, 2, "loss")) == "diverged"
    assert (repr(Scaling(255.0)), repr(Scaling(np.ones(2), np.zeros(2)))) == ("Scaling(255)", "Scaling(per feature)")


@pytest.mark.parametrize("number, fatal", [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced(monkeypatch, tmp_path, number, fatal):
    """EINVAL says that a file system knows no such thing; any other error is one."""
    open_before, closed = len(os.listdir("/dev/fd")), OSError(number, os.strerror(number))

    def fsync(descriptor):
        raise closed
    monkeypatch.setattr(files.os, "fsync", fsync)
    if fatal:
        with pytest.raises(OSError, match=os.strerror(number)):
            files._sync_folder(tmp_path)
    else:
        files._sync_folder(tmp_path)
    assert len(os.listdir("/dev/fd")) == open_before


def test_a_folder_that_must_not_be_opened_is_not_synced(monkeypatch, tmp_path):
    def refused(*arguments):
        raise PermissionError
    synced = []
    monkeypatch.setattr(files.os, "open", refused)
    monkeypatch.setattr(files.os, "fsync", synced.append)
    files._sync_folder(tmp_path)
    assert not synced


def test_a_report_without_numba_has_no_version_of_it(monkeypatch):
    def version(name):
        raise PackageNotFoundError(name)
    assert report._numba() == importlib.metadata.version("numba")
    monkeypatch.setattr(report, "version", version)
    assert report._numba() is None


def test_a_single_array_named_like_an_archive(tmp_path):
    np.save(tmp_path / "X.npy", X)
    (tmp_path / "X.npy").rename(tmp_path / "X.npz")
    with pytest.raises(ValueError, match="found a damaged or other one .File is not a zip file."):
        read_table(tmp_path / "X.npz")


def test_a_model_that_exceeds_the_page_is_refused(monkeypatch, model, tmp_path):
    monkeypatch.setattr(explorer, "LIMIT", 1000)
    with pytest.raises(ValueError, match="a page of 1,000 bytes; 6-5-2-5-6 has 98 parameters"):
        explorer.export(model, tmp_path / "page.html", X)
    assert not (tmp_path / "page.html").exists()


def test_info_of_a_model_whose_weights_were_set(model, capsys):
    Autoencoder((5,), 2, engine="numpy").set_weights(model.get_weights()).save("set.safetensors")
    assert cli.main(["info", "set.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "never trained here: its weights were set" in out and "6 features; scaling none" in out


def test_a_share_that_is_no_number(capsys, model):
    for text in ("half", "1.5"):
        with pytest.raises(SystemExit) as done:
            cli.main(["score", "m.safetensors", "X.npy", "--quantile", text])
        assert done.value.code == 2 and f"expected a number between 0 and 1, got '{text}'" in capsys.readouterr().err


def test_scores_with_more_and_less_in_them(capsys, model):
    assert cli.main(["score", "m.safetensors", "X.npy", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert len(rows) == 40 and set(rows[0]) == {"row", "error"}
    assert cli.main(["score", "m.safetensors", "X.npy", "-o", "scores.csv"]) == 0
    with open("scores.csv", encoding="utf-8") as lines:
        assert len(lines.readlines()) == 41


def test_data_made_quietly_and_from_the_images_of_mnist(monkeypatch, tmp_path, capsys):
    from ae_scratch import datasets

    images, labels = make_digits(30, 0)
    monkeypatch.setattr(datasets, "load_mnist", lambda download: type("MNIST", (), dict(X_train=images, y_train=labels)))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "mnist", "-n", "20", "-o", "mnist.npz", "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    with np.load("mnist.npz") as made:
        assert (made["X"] == images[:20].reshape(20, -1)).all() and (made["y"] == labels[:20]).all()


def test_an_interruption_before_the_first_step_stores_nothing(monkeypatch, model):
    def fit(self, *arguments, **settings):
        raise KeyboardInterrupt
    monkeypatch.setattr(Autoencoder, "fit", fit)
    assert cli.main(["train", "X.npy", "-o", "new.safetensors", "--engine", "numpy", "-q"]) == 130
    assert not os.path.exists("new.safetensors")


def test_curves_of_a_model_with_a_penalty_show_the_objective_too(monkeypatch, model):
    plots, drawn = pytest.importorskip("ae_scratch.plots"), []
    original = plots.loss_curves

    def loss_curves(shown, **settings):
        drawn.append(list(shown))
        return original(shown, **settings)
    monkeypatch.setattr(plots, "loss_curves", loss_curves)
    assert cli.main(["plot", "loss", "m.safetensors", "-o", "loss.png"]) == 0
    assert drawn == [["objective", "loss"]] and os.path.getsize("loss.png") > 1000


def test_files_are_written_from_tables_without_names(model):
    assert cli.main(["train", "X.npy", "-o", "nameless.safetensors", "--epochs", "1", "--engine", "numpy", "-q"]) == 0
    assert not hasattr(Autoencoder.load("nameless.safetensors", engine="numpy"), "feature_names_in_")


def test_a_loss_is_one_of_its_subclasses():
    assert repr(BinaryCrossEntropy()) == "BinaryCrossEntropy()"


def test_an_error_of_the_disk_is_no_lack_of_nameless_files(monkeypatch, tmp_path):
    number = errno.EOPNOTSUPP

    def refused(*arguments):
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(files, "NAMELESS", 1)  # on systems that have none, too
    monkeypatch.setattr(files.os.path, "exists", lambda path: True)
    monkeypatch.setattr(files.os, "open", refused)
    assert files._nameless_file(tmp_path) is None
    number = errno.ENOSPC
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        files._nameless_file(tmp_path)


def test_figures_without_a_model_stand_in_a_table_under_the_names_of_their_groups():
    outcomes = {seed: Outcome({}, {"squared error": {"pca": {"bars": 0.5 + seed}, "deep": 12.0}}, {}) for seed in (0, 1)}
    lines = [line.split() for line in report.tables(outcomes, comparable=False).splitlines()]
    assert lines == [["squared", "error", "seed", "0", "seed", "1"], ["pca,", "bars", "0.5000", "1.500"],
                     ["deep", "12.000", "12.000"]]


def test_a_page_has_its_suffix_and_is_made_quietly(model, capsys):
    assert cli.main(["explore", "m.safetensors", "X.npy", "-o", "page.htm"]) == 1
    assert "expected an output file named .html, got 'page.htm'" in capsys.readouterr().err
    assert cli.main(["explore", "m.safetensors", "X.npy", "-o", "page.html", "-q"]) == 0
    assert capsys.readouterr() == ("", "") and os.path.getsize("page.html") > 1000 and not os.path.exists("page.htm")
