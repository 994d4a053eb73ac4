"""The commands that train, use and look into models: what they write and print, and what a user is told who errs."""

import inspect
import io
import json
import subprocess
import sys

import numpy as np
import pytest

from ae_scratch import Autoencoder, cli
from ae_scratch.cli import settings
from ae_scratch.datasets import make_sensors, read_table, sensors, write_table

SMALL = "--scaling standard --loss mse --hidden-sizes 6 --code-size 2 --epochs 2 --engine numpy --seed 0".split()


def nameless(path):
    """The model in a file, to be used on arrays; the names it was stored with must be those of the sensors."""
    model = Autoencoder.load(path, engine="numpy")
    assert vars(model).pop("feature_names_in_").tolist() == list(sensors.COLUMNS)
    return model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder but for readings.csv."""
    monkeypatch.chdir(tmp_path)
    write_table("readings.csv", make_sensors(200), sensors.COLUMNS)
    return tmp_path


@pytest.fixture
def model(folder, capsys):
    """A model of readings.csv, m.safetensors; here it takes arrays without names."""
    assert cli.main(["train", "readings.csv", *SMALL, "-o", "m.safetensors", "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    return nameless("m.safetensors")


def fails(capsys, *arguments):
    """The message of a command that fails."""
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    last = err.splitlines()[-1]
    assert out == "" and last.startswith("ae-scratch: ") and "Traceback" not in err
    return last.removeprefix("ae-scratch: ")


def misuses(capsys, *arguments):
    """The message of a command that is not used as it should be."""
    with pytest.raises(SystemExit) as exit:
        cli.main(arguments)
    assert exit.value.code == 2
    usage, *_, last = capsys.readouterr().err.splitlines()
    assert usage.startswith("usage: ae-scratch")
    return last


# ---- train --------------------------------------------------------------------------------------------------------------


def test_every_constructor_argument_has_an_option_and_says_its_default(capsys):
    arguments = inspect.signature(Autoencoder).parameters
    assert set(settings.ALL) == set(arguments) - {"verbose"}  # which is --quiet and --verbose
    for name, how in settings.ALL.items():
        default = arguments[name].default
        if isinstance(default, (int, float, str)) and not isinstance(default, bool):
            told = how["help"].rpartition("default: ")[2].split(")")[0]
            assert told == str(default) or float(told) == default, name


def test_a_missing_option_would_be_noticed(monkeypatch):
    monkeypatch.delitem(settings.ALL, "tied_weights")
    with pytest.raises(AssertionError):
        test_every_constructor_argument_has_an_option_and_says_its_default(None)


def test_every_option_reaches_the_constructor():
    line = ("train x -o y --hidden-sizes 9 8 --code-size 3 --decoder-sizes 7 --activation tanh relu sigmoid "
            "--code-activation tanh --output-activation identity "
            "--tied-weights --loss mse --l1-activity 0.1 --activity-reduction sum --kl-beta 0.2 "
            "--kl-rho 0.3 --weight-decay 0.4 --scaling minmax --noise gaussian:0.4,clip=0:1,redraw=once --optimizer sgd "
            "--learning-rate 0.5 --batch-size 11 --epochs 12 --validation-fraction 0.6 --early-stopping 13 --seed 14 "
            "--dtype float64 --engine numba --threads 15")
    given = settings.given(cli.parser().parse_args(line.split()))
    model = Autoencoder(**given)
    assert set(given) == set(settings.ALL) and all(getattr(model, name) is value for name, value in given.items())
    noise, stopping = given.pop("noise"), given.pop("early_stopping")
    assert (noise.sigma, noise.clip, noise.redraw, stopping.patience) == (0.4, (0, 1), "once", 13)
    assert given == {
        "hidden_sizes": [9, 8], "code_size": 3, "decoder_sizes": [7], "activation": ["tanh", "relu", "sigmoid"],
        "code_activation": "tanh", "output_activation": "identity", "tied_weights": True, "loss": "mse", "l1_activity": 0.1,
        "activity_reduction": "sum", "kl_beta": 0.2, "kl_rho": 0.3, "weight_decay": 0.4, "scaling": "minmax", "optimizer": "sgd",
        "learning_rate": 0.5, "batch_size": 11, "epochs": 12, "validation_fraction": 0.6, "random_state": 14, "dtype": "float64",
        "engine": "numba", "threads": 15}


def test_what_is_not_given_is_the_constructors_own():
    assert settings.given(cli.parser().parse_args(["train", "x", "-o", "y"])) == {}
    shallow = settings.given(cli.parser().parse_args("train x --hidden-sizes -o y --activation tanh --early-stopping".split()))
    assert shallow["hidden_sizes"] == [] and shallow["activation"] == "tanh" and shallow["early_stopping"].patience == 5


@pytest.mark.parametrize("text, kind, amount", [
    ("masking:0.3", "MaskingNoise", 0.3), ("salt-and-pepper:0.1,low=-1", "SaltAndPepperNoise", 0.1),
    ("gaussian:0.2", "GaussianNoise", 0.2)])
def test_noises(text, kind, amount):
    noise = settings.noise_object(text)
    assert type(noise).__name__ == kind and amount in vars(noise).values()


@pytest.mark.parametrize("text", ["gauss:0.4", "gaussian", "gaussian:x", "gaussian:0.4,clip", "gaussian:0.4,clip=1:0",
                                  "masking:0.3,clap=1"])
def test_noises_that_are_none(capsys, text):
    assert "argument --noise: " in misuses(capsys, "train", "x", "-o", "y", "--noise", text)


def test_train_does_what_fit_does(model, folder):
    X = read_table("readings.csv").X
    expected = Autoencoder((6,), 2, scaling="standard", loss="mse", epochs=2, engine="numpy", random_state=0).fit(X)
    got = model.get_weights()
    assert all((got[name] == array).all() for name, array in expected.get_weights().items())


def test_train_tells_what_it_does(folder, capsys):
    assert cli.main(["train", "readings.csv", *SMALL, "-o", "m.safetensors"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("m.safetensors: 8-6-2-6-8, 142 parameters; 2 epochs in ") and ", seed 0: loss " in out
    assert err.startswith("readings.csv: 200 rows x 8 columns\nepoch 1/2  objective ")
    assert cli.main(["train", "readings.csv", *SMALL[2:], "-o", "unscaled.safetensors"]) == 0
    told = capsys.readouterr().err.splitlines()[1]
    assert told.startswith("warning: ") and told.endswith("set --scaling standard or --scaling minmax")
    assert "\r" not in err and err.count("\n") == 3


def test_train_json(folder, capsys):
    assert cli.main(["train", "readings.csv", *SMALL, "-o", "m.safetensors", "--json", "-q"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["rows"] == 200 and summary["epochs"] == 2 and summary["sizes"] == [8, 6, 2, 6, 8]
    assert summary["stored_epoch"] == 2
    assert summary["figures"] == {name: values[1] for name, values in Autoencoder.load("m.safetensors").history_.items()}


def test_train_tells_which_epoch_early_stopping_went_back_to(folder, capsys):
    """A rate so high that the best of the epochs is an early one; the weights are those of a training that ended there."""
    how = [*SMALL, "--optimizer", "sgd", "--learning-rate", "0.9", "--validation-fraction", "0.2"]
    stopping = [*how, "--epochs", "30", "--early-stopping", "3", "-o", "m.safetensors"]
    assert cli.main(["train", "readings.csv", *stopping]) == 0
    text = capsys.readouterr().out
    assert cli.main(["train", "readings.csv", *stopping, "--json", "-q", "--force"]) == 0
    summary = json.loads(capsys.readouterr().out)
    best, model = summary["stored_epoch"], nameless("m.safetensors")
    assert summary["epochs"] == best + 3 and f"stored is epoch {best}, the best: loss " in text
    assert cli.main(["train", "readings.csv", *how, "--epochs", str(best), "-q", "-o", "best.safetensors"]) == 0
    assert nameless("best.safetensors").history_["val_loss"][-1] == summary["figures"]["val_loss"]
    assert (nameless("best.safetensors").encode(make_sensors(9)) == model.encode(make_sensors(9))).all()


def test_an_interrupted_training_is_stored_as_far_as_it_came(folder, capsys, monkeypatch):
    from ae_scratch import callbacks

    def interrupt(self, training):
        if training.epoch == 2:
            raise KeyboardInterrupt
    monkeypatch.setattr(callbacks.CSVLogger, "__call__", interrupt)
    arguments = ["train", "readings.csv", *SMALL, "--epochs", "9", "--csv-log", "log.csv", "-q", "-o", "m.safetensors"]
    assert cli.main(arguments) == 130
    assert capsys.readouterr().err == "m.safetensors: what was learned until the interruption\ninterrupted\n"
    model = nameless("m.safetensors")
    expected = Autoencoder((6,), 2, scaling="standard", loss="mse", epochs=2, engine="numpy", random_state=0)
    expected.fit(make_sensors(200))
    assert (model.encode(make_sensors(200)) == expected.encode(make_sensors(200))).all()


def test_target_validation_and_log(folder):
    write_table("clean.npy", make_sensors(200) + 1)
    write_table("other.csv", make_sensors(40, 1)[:, ::-1], sensors.COLUMNS[::-1])  # the columns are found by name
    more = "--target clean.npy --validation other.csv --csv-log log.csv -q -o m.safetensors".split()
    assert cli.main(["train", "readings.csv", *SMALL, *more]) == 0
    X, Y, V = make_sensors(200), make_sensors(200) + 1, make_sensors(40, 1)
    expected = Autoencoder((6,), 2, scaling="standard", loss="mse", epochs=2, engine="numpy", random_state=0)
    expected.fit(X, Y, validation_data=V)
    assert Autoencoder.load("m.safetensors").history_ == expected.history_
    log = read_table("log.csv")
    assert log.names[0] == "epoch" and log.X[:, log.names.index("val_loss")].tolist() == expected.history_["val_loss"]


def test_nothing_is_replaced_unless_forced(model, folder, capsys):
    before = (folder / "m.safetensors").read_bytes()
    arguments = "train", "readings.csv", *SMALL, "--seed", "1", "-q", "-o", "m.safetensors"
    assert fails(capsys, *arguments) == "m.safetensors exists: choose another name, or replace it with --force"
    assert (folder / "m.safetensors").read_bytes() == before
    assert cli.main([*arguments, "--force"]) == 0 and (folder / "m.safetensors").read_bytes() != before
    assert "is a folder: name a file in it" in fails(capsys, "train", "readings.csv", "-o", str(folder))
    assert "no folder: make it first" in fails(capsys, "train", "readings.csv", "-o", "nowhere/m.safetensors")
    assert "expected an output file named" in fails(capsys, "encode", "m.safetensors", "readings.csv", "-o", "codes.txt")


@pytest.mark.parametrize("arguments, message", [
    (["train", "none.csv", "-o", "m"], "none.csv: No such file or directory"),
    (["train", "bad.csv", "-o", "m"], "bad.csv: line 3, column 'b': the cell is empty: fill it, or remove its row or column"),
    (["train", "readings.csv", "-o", "m", "--engine", "numpy"], "--loss binary_crossentropy expects X in [0, 1]"),
    (["train", "readings.csv", "-o", "m", "--drop", "speed"], "readings.csv: there is no column 'speed'"),
    (["train", "readings.csv", "-o", "m", "--target", "bad.npy", *SMALL], "bad.npy: expected 8 columns, ambient_temperature_c, "),
    (["encode", "readings.csv", "readings.csv"], "readings.csv"), (["info", "none"], "none"),
    (["score", "none", "readings.csv", "-o", "x.npy"], "expected an output file named .csv, got 'x.npy'")])
def test_failures_in_one_line(folder, capsys, arguments, message):
    (folder / "bad.csv").write_text("a,b\n1,2\n3,\n")
    np.save("bad.npy", np.eye(3))
    assert message in fails(capsys, *arguments)
    assert not (folder / "m").exists()


@pytest.mark.parametrize("arguments, message", [
    (["train", "readings.csv"], "the following arguments are required: -o/--output"),
    (["train", "x.csv", "-o", "m", "--hidden-sizes", "6", "8.5"], "expected a whole number at least 1, got '8.5'"),
    (["train", "x.csv", "-o", "m", "--hidden", "6"], "unrecognized arguments: --hidden 6"),
    (["train", "x.csv", "-o", "m", "--delimiter", "ab"], "expected one character, or tab, got 'ab'"),
    (["score", "m", "x.csv", "--quantile", "99"], "expected a number between 0 and 1, got '99'"),
    (["score", "m", "x.csv", "--anomalies"], "--anomalies needs --threshold-from"),
    (["plot", "grid", "m", "-o", "x.png"], "grid needs DATA"), (["data", "digits", "-n", "0"], "expected a whole number from 1"),
    (["data", "letters"], "invalid choice: 'letters'")])
def test_wrong_usage(capsys, arguments, message):
    assert message in misuses(capsys, *arguments)


# ---- encode, decode, reconstruct ----------------------------------------------------------------------------------------


def test_encode_decode_reconstruct_are_the_models(model, capsys):
    X = make_sensors(200)
    for command, expected, names in (("encode", model.encode(X), ["code_0", "code_1"]),
                                     ("reconstruct", model.reconstruct(X), list(sensors.COLUMNS))):
        assert cli.main([command, "m.safetensors", "readings.csv", "-o", f"{command}.csv"]) == 0
        table = read_table(f"{command}.csv")
        assert (table.X.astype(np.float32) == expected).all() and table.names == names
        assert cli.main([command, "m.safetensors", "readings.csv", "-q", "-o", f"{command}.npy"]) == 0
        assert (np.load(f"{command}.npy") == expected).all()
        assert capsys.readouterr() == ("", f"{command}.csv: 200 rows x {expected.shape[1]} columns\n")
    assert cli.main(["decode", "m.safetensors", "encode.npy", "-o", "decoded.npy"]) == 0
    assert (np.load("decoded.npy") == model.decode(model.encode(X))).all()


def test_standard_output_is_csv_and_nothing_else(model, capsys):
    assert cli.main(["encode", "m.safetensors", "readings.csv"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.count("\n") == 201
    assert (np.loadtxt(io.StringIO(out), delimiter=",", skiprows=1, dtype=np.float32) == model.encode(make_sensors(200))).all()


def test_columns_are_found_by_name(model, folder, capsys):
    X = make_sensors(5, 1)
    write_table("more.csv", np.column_stack([np.arange(5), X[:, ::-1]]), ["time", *sensors.COLUMNS[::-1]])
    write_table("less.csv", X[:, 1:], sensors.COLUMNS[1:])
    write_table("unnamed.csv", X)
    assert cli.main(["encode", "m.safetensors", "more.csv", "-o", "codes.npy"]) == 0
    assert capsys.readouterr().err.startswith("more.csv: left out time\n") and (np.load("codes.npy") == model.encode(X)).all()
    assert cli.main(["encode", "m.safetensors", "unnamed.csv", "-q", "--force", "-o", "codes.npy"]) == 0
    assert (np.load("codes.npy") == model.encode(X)).all()
    assert "there is no column 'ambient_temperature_c'" in fails(capsys, "encode", "m.safetensors", "less.csv")


def test_rows_are_computed_block_by_block(model, monkeypatch):
    from ae_scratch.datasets import tables

    monkeypatch.setattr(tables, "BLOCK", 64)
    sizes, encode = [], Autoencoder.encode
    monkeypatch.setattr(Autoencoder, "encode", lambda self, X: sizes.append(len(X)) or encode(self, X))
    for name in "codes.npy", "codes.csv":
        assert cli.main(["encode", "m.safetensors", "readings.csv", "-q", "-o", name]) == 0
        assert np.allclose(read_table(name).X, encode(model, make_sensors(200)), rtol=1e-5)
    assert sizes == 2 * [1, 64, 64, 64, 8]


def test_a_bad_value_far_down_is_named_and_leaves_no_file(model, folder, monkeypatch, capsys):
    from ae_scratch.datasets import tables

    monkeypatch.setattr(tables, "BLOCK", 64)
    X = make_sensors(200)
    X[130, 2] = np.nan
    np.save("gap.npy", X)
    assert "first in row 2, column 2: remove or replace such values (counted from row 128)" in fails(
        capsys, "encode", "m.safetensors", "gap.npy", "-o", "codes.npy")
    assert not (folder / "codes.npy").exists()


# ---- score --------------------------------------------------------------------------------------------------------------


def printed(capsys):
    """The table on standard output: names and rows of text."""
    out, err = capsys.readouterr()
    names, *rows = [line.split(",") for line in out.splitlines()]
    return names, rows, err


def test_score_prints_the_error_of_every_row(model, capsys):
    assert cli.main(["score", "m.safetensors", "readings.csv", "--per-feature"]) == 0
    names, rows, err = printed(capsys)
    X, numbers = make_sensors(200), np.array(rows, np.float32)
    assert names == ["row", "error", *sensors.COLUMNS] and err == "" and (numbers[:, 0] == np.arange(200)).all()
    assert (numbers[:, 1] == model.reconstruction_error(X)).all()
    assert (numbers[:, 2:] == model.reconstruction_error(X, per_feature=True)).all()


def test_score_flags_rows_above_the_quantile_of_normal_rows(model, capsys):
    write_table("new.csv", make_sensors(100, 1, faults=True), sensors.COLUMNS)
    options = ["--threshold-from", "readings.csv", "--quantile", "0.9"]
    assert cli.main(["score", "m.safetensors", "new.csv", *options]) == 0
    names, rows, err = printed(capsys)
    errors = model.reconstruction_error(make_sensors(100, 1, faults=True))
    threshold = np.sort(model.reconstruction_error(make_sensors(200)))[179]  # 180 of 200 are not above it
    expected = errors > threshold
    assert names == ["row", "error", "anomaly"] and [row[2] == "1" for row in rows] == expected.tolist()
    assert err == f"{expected.sum()} of 100 rows are above the threshold {threshold:.4g}, the 0.9 quantile of readings.csv\n"
    assert cli.main(["score", "m.safetensors", "new.csv", *options, "--anomalies", "-q"]) == 0
    _, rows, err = printed(capsys)
    assert err == "" and [int(row[0]) for row in rows] == [i for i in np.argsort(-errors) if expected[i]]


def test_score_json_tells_the_same(model, capsys):
    arguments = "score m.safetensors readings.csv --threshold-from readings.csv --top 2 --per-feature -q".split()
    assert cli.main(arguments) == 0
    names, rows, _ = printed(capsys)
    assert cli.main([*arguments, "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["rows"]
    assert [[str(record["row"]), record["features"][0]["feature"], record["features"][1]["feature"]] for record in records] == [
        [row[0], row[names.index("feature_1")], row[names.index("feature_2")]] for row in rows]
    assert [record["anomaly"] for record in records] == [row[2] == "1" for row in rows]
    assert list(records[0]["errors"]) == list(sensors.COLUMNS)


def test_a_stranger_finds_the_faults_in_the_sensors_data(tmp_path, pytestconfig, capsys):
    """The README's three commands: six faults, none of which shows in its reading alone; the cause is among the first three."""
    data, model = pytestconfig.rootpath / "data", str(tmp_path / "pump.safetensors")
    how = "--scaling standard --loss mse --hidden-sizes 16 --code-size 3 --code-activation identity --epochs 50 --seed 0".split()
    assert cli.main(["train", f"{data}/sensors.csv", *how, "--engine", "numpy", "-q", "-o", model]) == 0
    X, new = make_sensors(), make_sensors(300, 1, faults=True)
    z = np.abs(new - X.mean(axis=0)) / X.std(axis=0)
    assert all(z[fault.row, sensors.COLUMNS.index(fault.column)] < 1.6 for fault in sensors.FAULTS)
    capsys.readouterr()
    options = ["--threshold-from", f"{data}/sensors-normal.csv", *"--quantile 0.999 --anomalies --top 3 --json -q".split()]
    assert cli.main(["score", model, f"{data}/sensors-new.csv", *options]) == 0
    found = {row["row"]: [one["feature"] for one in row["features"]] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert len(found) <= 7 and all(fault.column in found[fault.row] for fault in sensors.FAULTS)


# ---- info, data, plot ---------------------------------------------------------------------------------------------------


def test_info_tells_all(model, folder, capsys):
    assert cli.main(["info", "m.safetensors"]) == 0
    text = capsys.readouterr().out
    for part in ("written by ae_scratch ", "code_size=2", "seed 0", "Dense(8, 6)", "142 parameters, float32", "SHA-256 of all ",
                 "8 features, scaling standard", "vibration_mm_s", "trained for 2 epochs"):
        assert part in text
    assert cli.main(["info", "m.safetensors", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["history"]["loss"] == model.history_["loss"] and about["settings"]["hidden_sizes"] == [6]
    assert about["feature_names"] == list(sensors.COLUMNS) and about["sha256"] in text and about["parameters"] == 142
    assert about["bytes"] == (folder / "m.safetensors").stat().st_size
    assert about["scaling"]["offset"] == model.scaling_.offset.tolist()
    model.set_params(engine="numba").save("compiled.safetensors")
    assert cli.main(["info", "compiled.safetensors", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["settings"]["engine"] == "numba"  # as it was trained


def test_info_without_a_model_tells_of_the_installation(capsys):
    from ae_scratch.machine import facts

    assert cli.main(["info"]) == 0
    assert f"numpy:        {np.__version__}\n" in capsys.readouterr().out
    assert cli.main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == facts()


def test_the_hash_is_that_of_the_weights(model, capsys):
    """Other weights, another hash; the same weights in another file, the same."""
    hashes = []
    for change in 0, 0, 1:
        weights = model.get_weights()
        weights["decoder.1.b"][0] += change
        model.set_weights(weights).save("other.safetensors")
        assert cli.main(["info", "other.safetensors", "--json"]) == 0
        hashes.append(json.loads(capsys.readouterr().out)["sha256"])
    assert hashes[0] == hashes[1] != hashes[2]


def test_data_makes_what_the_library_makes(folder, capsys):
    from ae_scratch.datasets import make_digits, make_landscapes

    assert cli.main(["data"]) == 0 and capsys.readouterr().out.count("\n") == 4
    for name, expected in (("digits", make_digits(7, 3)[0]), ("landscapes", make_landscapes(7, 3))):
        assert cli.main(["data", name, "-n", "7", "--seed", "3", "-o", f"{name}.npy"]) == 0
        assert (np.load(f"{name}.npy") == expected.reshape(7, 784)).all()
    assert cli.main(["data", "digits", "-n", "7", "-o", "digits.npz"]) == 0
    assert (np.load("digits.npz")["y"] == make_digits(7)[1]).all()
    assert cli.main(["data", "sensors", "-n", "100", "--faults"]) == 0
    out, _ = capsys.readouterr()
    assert np.loadtxt(io.StringIO(out), delimiter=",", skiprows=1).tolist() == make_sensors(100, 0, faults=True).tolist()


def test_data_mnist_is_read_where_it_lies(folder, capsys, monkeypatch):
    monkeypatch.delenv("AE_SCRATCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    assert "MNIST" in fails(capsys, "data", "mnist", "-o", "mnist.npy")


@pytest.mark.parametrize("X, hint", [
    (np.array([[0, 255]], np.uint8), "--scaling bytes"), (np.array([[0.0, 1.0]]), "train as it is"),
    (np.array([[0.0, 2.0], [0.0, 3.0]]), "constant features: 1 of 2 (0)")])
def test_data_info_hints(folder, capsys, X, hint):
    np.save("x.npy", X)
    assert cli.main(["data", "info", "x.npy"]) == 0
    assert hint in capsys.readouterr().out


def test_data_info_tells_of_each_column(folder, capsys):
    assert cli.main(["data", "info", "readings.csv", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["features"]["speed_rpm"]["mean"] == pytest.approx(make_sensors(200)[:, 1].mean()) and about["rows"] == 200
    assert cli.main(["data", "info", "readings.csv", "--columns", "speed_rpm"]) == 0
    out, err = capsys.readouterr()
    assert "200 rows x 1 column of float64" in out and "left out ambient_temperature_c" in err


@pytest.fixture
def images(folder):
    """A model of images with a code of 2, i.safetensors, and images.npz with labels."""
    from ae_scratch.datasets import make_digits

    X, y = make_digits(40, 0)
    X = X[:, ::4, ::4].reshape(40, -1)
    np.savez("images.npz", X=X, y=y)
    model = Autoencoder((), 2, scaling="bytes", code_activation="identity", epochs=1, engine="numpy", random_state=0)
    model.fit(X).save("i.safetensors")


@pytest.mark.parametrize("arguments", [
    ["reconstructions", "--count", "3"], ["filters"], ["loss"], ["codes"], ["activity"], ["grid", "--count", "3"], ["errors"],
    ["scatter", "--labels", "images.npz:y"], ["interpolation", "--count", "2", "--title", "Between"]])
def test_plots(images, folder, capsys, arguments):
    pytest.importorskip("matplotlib")
    kind, *options = arguments
    assert cli.main(["plot", kind, "i.safetensors", "images.npz:X", *options, "-o", "x.png"]) == 0
    assert (folder / "x.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr() == ("", f"x.png: {kind} of i.safetensors\n")


@pytest.mark.parametrize("kind", ["filters", "reconstructions", "grid", "errors", "interpolation"])
def test_images_that_are_no_squares(folder, capsys, monkeypatch, kind):
    from ae_scratch import plots

    pytest.importorskip("matplotlib")
    X = np.random.default_rng(0).random((9, 4, 6))
    np.save("x.npy", X)
    Autoencoder((), 2, epochs=1, engine="numpy", random_state=0).fit(X.reshape(9, 24)).save("i.safetensors")
    figures = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    arguments = ["plot", kind, "i.safetensors", "x.npy", "--count", "2", "-q", "-o", "x.png"]
    assert cli.main([*arguments, "--image-shape", "4", "6"]) == 0
    scale = 2 if kind == "grid" else 1
    drawn = [image for ax in figures[0].findobj(plots_axes) for image in ax.images]
    assert drawn[0].get_array().shape == (4 * scale, 6 * scale)
    assert "24 pixels, not 4 x 5" in fails(capsys, *arguments, "--image-shape", "4", "5")
    assert "argument --image-shape: expected 2 arguments" in misuses(capsys, *arguments, "--image-shape", "4")
    if kind != "errors":  # which are a table then
        assert "24 pixels, no square: name both sides, as in --image-shape 24 32" in fails(capsys, *arguments)


def plots_axes(artist):
    return hasattr(artist, "images")


def test_plots_of_tables_and_without_data(model, folder, capsys):
    pytest.importorskip("matplotlib")
    assert cli.main(["plot", "errors", "m.safetensors", "readings.csv", "-q", "-o", "errors.png"]) == 0
    assert cli.main(["plot", "loss", "m.safetensors", "-q", "-o", "loss.png"]) == 0
    assert capsys.readouterr() == ("", "")
    assert "named .png, got 'loss.pdf'" in fails(capsys, "plot", "loss", "m.safetensors", "-o", "loss.pdf")


def test_plot_without_matplotlib_says_what_to_install(model, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "pip install 'ae_scratch[plot]'" in fails(capsys, "plot", "loss", "m.safetensors", "-o", "loss.png")


# ---- as a process -------------------------------------------------------------------------------------------------------

COMMANDS = ["train", "encode", "decode", "reconstruct", "score", "info", "plot", "data", "gradcheck", "reproduce"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_begins_with_examples(capsys, command):
    with pytest.raises(SystemExit) as exit:
        cli.main([command, "--help"])
    text = capsys.readouterr().out
    assert exit.value.code == 0 and text.startswith(f"usage: ae-scratch {command} ")
    assert text.index(f"  ae-scratch {command}") < text.index("\noptions:") and max(map(len, text.splitlines())) <= 130


def test_using_a_model_needs_neither_numba_nor_matplotlib(model):
    code = ("import sys; from ae_scratch.cli import main; main(['score', 'm.safetensors', 'readings.csv', '--top', '1']); "
            "print('loaded', *{'numba', 'matplotlib', 'sklearn', 'pandas'} & set(sys.modules), file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.strip() == "loaded" and done.stdout.startswith("row,error,feature_1,")


def test_who_reads_no_further_is_not_told_of_an_error(model):
    write_table("many.csv", make_sensors(20_000), sensors.COLUMNS)
    run = [sys.executable, "-m", "ae_scratch", "encode", "m.safetensors", "many.csv"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"code_0,code_1\n"
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait() == 0


def test_a_pipe_from_encode_to_decode(model):
    command = f"{sys.executable} -m ae_scratch"
    both = f"{command} encode m.safetensors - < readings.csv | {command} decode m.safetensors -"
    done = subprocess.run(both, shell=True, capture_output=True, text=True)
    got = np.loadtxt(io.StringIO(done.stdout), delimiter=",", skiprows=1)
    assert done.stderr == "" and np.allclose(got, model.reconstruct(make_sensors(200)), rtol=1e-5)
