"""Model files: every bit comes back, nothing else is ever believed, and saving leaves the old file or the new one."""

import copy
import hashlib
import json
import os
import pathlib
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from processes import unmeasured

from ae_scratch import (SGD, Adam, Autoencoder, DataFormatError, Dense, GaussianNoise, L1Activity, Layer, MaskingNoise, Network,
                        NotFittedError, ReLU, SaltAndPepperNoise, export, safetensors as layout)
from ae_scratch.callbacks import EarlyStopping, ModelCheckpoint

GOLDEN = pathlib.Path(__file__).parent / "golden.safetensors"
GOLDEN_CODE = [[0.6203403472900391, 0.12416956573724747]]
DIGITS = slice(35, 99)  # where the hash stands in a file

X = np.random.default_rng(0).integers(0, 256, (40, 4)).astype(np.uint8)
U = X / 255

SETTINGS = [
    dict(scaling="bytes"), dict(l1_activity=0.1, activity_reduction="sum"), dict(decoder_sizes=(4, 3), loss="mse"),
    dict(hidden_sizes=(), code_size=6, code_activation="identity"), dict(hidden_sizes=[5, 4], activation="tanh"),
    dict(hidden_sizes=np.array([5]), code_size=np.int64(2), learning_rate=np.float32(0.1), loss="mse", output_activation="tanh"),
    dict(noise=GaussianNoise(0.1, clip=(0, float("inf")), redraw="once"), optimizer=Adam(0.1 + 0.2, beta1=1 / 3)),
    dict(noise=GaussianNoise(0.3), optimizer=SGD(1 / 3, momentum=0.7), random_state=None),
    dict(scaling="minmax", validation_fraction=0.25, early_stopping=EarlyStopping(3, 0.1, "loss", restore_best=False)),
    dict(scaling="standard", loss="mse"), dict(tied_weights=True, weight_decay=1 / 3, activation=["tanh"]),
    dict(kl_beta=0.1, kl_rho=0.3, code_activation="sigmoid", noise=MaskingNoise(1 / 3)),
    dict(noise=SaltAndPepperNoise(0.1, -1, 2, redraw="once"), l1_activity=0.1)]


def fitted(**settings):
    settings = {"hidden_sizes": (3,), "code_size": 2, "epochs": 2, "engine": "numpy", "random_state": 7, **settings}
    return Autoencoder(**settings).fit(X if settings.get("scaling") else U)


def bits(model):
    """Everything that a fitted model knows and computes, for comparison with ==."""
    data = X if model.scaling else U
    arrays = {**model.get_weights(), "codes": model.encode(data), "back": model.decode(model.encode(data))}
    state = {name: np.array(value).tobytes() for name, value in vars(model.optimizer_).items()}
    return ({name: (array.dtype, array.tobytes()) for name, array in arrays.items()}, state, model.history_, model.seed_,
            model.n_features_in_, model.evaluate(data), model.summary())


def plain(value):
    """Settings for comparison with ==: sequences as tuples, numbers as Python's, objects as what they hold."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return tuple(map(plain, value))
    value = value.item() if isinstance(value, np.generic) else value
    return (type(value).__name__, plain(vars(value))) if hasattr(value, "__dict__") else (type(value), value)


def reseal(content):
    """A file of this content with its hash made right, as somebody would who means harm."""
    zeroed = content[:DIGITS.start] + b"0" * 64 + content[DIGITS.stop:]
    return zeroed.replace(b"0" * 64, hashlib.sha256(zeroed).hexdigest().encode(), 1)


def taken_apart(content):
    """The header of a file, as JSON says it, and what follows."""
    start = 8 + struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8:start]), content[start:]


def put_together(header, data):
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return reseal(struct.pack("<Q", len(text)) + text + data)


# ---- what is saved comes back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings))
def test_a_loaded_model_is_the_same_to_the_bit(path, settings, dtype):
    model = fitted(dtype=dtype, **settings)
    model.save(path)
    loaded = Autoencoder.load(path)
    assert bits(loaded) == bits(model)
    assert plain(loaded.get_params()) == plain(model.get_params())
    before = path.read_bytes()
    loaded.save(path)
    assert path.read_bytes() == before
    if model.random_state is not None:
        assert bits(loaded.fit(X if model.scaling else U)) == bits(model)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", [
    dict(optimizer=SGD(0.1, momentum=0.9), scaling="minmax"), dict(learning_rate=0.01, random_state=None, scaling="bytes"),
    dict(noise=GaussianNoise(0.2), scaling="standard", loss="mse"), dict(noise=GaussianNoise(0.2, redraw="once"))])
def test_training_goes_on_where_it_stood(path, settings, dtype):
    model = fitted(dtype=dtype, epochs=1, **settings)
    model.save(path)
    loaded, data = Autoencoder.load(path), X if model.scaling else U
    whole = fitted(**{"random_state": 7, **settings, "dtype": dtype, "epochs": 3})
    for _ in range(2):
        model.partial_fit(data)
        loaded.partial_fit(data).save(path)
        loaded = Autoencoder.load(path)
        assert bits(loaded) == bits(model)
    assert model.random_state is None or bits(loaded)[:3] == bits(whole)[:3]


def test_a_model_whose_weights_were_set_begins_its_training_after_loading(path):
    model = Autoencoder((3,), 2, engine="numpy").set_weights(fitted().get_weights())
    model.save(path)
    assert bits(Autoencoder.load(path)) == bits(model)
    assert bits(Autoencoder.load(path).partial_fit(U)) == bits(model.partial_fit(U))


def test_a_checkpoint_of_each_epoch_can_be_gone_on_from(path):
    model = fitted(epochs=3)
    for stop in (1, 2):
        callbacks = [ModelCheckpoint(path, best_only=False), lambda training: training.epoch == stop]
        stopped, loaded = Autoencoder(**model.get_params()).fit(U, callbacks=callbacks), Autoencoder.load(path)
        assert bits(loaded) == bits(stopped)
        for _ in range(3 - stop):
            loaded.partial_fit(U)
        assert bits(loaded) == bits(model)


def test_a_history_may_be_short_empty_or_not_finite(path):
    model = fitted()
    model.history_ = {"loss": [0.1, float("inf"), float("nan")], "val_loss": [], "objective": [5e-324]}
    model.save(path)
    assert repr(Autoencoder.load(path).history_) == repr(model.history_)
    model.history_ = {}
    model.save(path)
    assert Autoencoder.load(path).history_ == {}


def test_feature_names_come_back(path):
    model = fitted()
    model.feature_names_in_ = np.array(["a", "ü \"quoted\"\n", "", "d"], dtype=object)
    model.save(path)
    names = Autoencoder.load(path).feature_names_in_
    assert names.tolist() == model.feature_names_in_.tolist() and names.dtype == object


def test_another_engine_may_be_asked_for(path):
    fitted(engine="numpy").save(path)
    assert Autoencoder.load(path, engine="numba", threads=2).get_params()["threads"] == 2
    Autoencoder.load(path, engine="numba", threads=2).save(path)
    loaded = Autoencoder.load(path, engine="numpy")
    assert (loaded.engine, loaded.threads) == ("numpy", None)
    with pytest.raises(ValueError, match="engine='fpga' is unknown"):
        Autoencoder.load(path, engine="fpga")


def test_a_subclass_loads_as_itself(path):
    class Named(Autoencoder):
        pass

    fitted().save(path)
    assert type(Named.load(path)) is Named


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_encoder_and_decoder_alone(path, dtype):
    model = fitted(dtype=dtype, l1_activity=0.25)
    for network, data in ((model.encoder, U), (model.decoder, model.encode(U)), (model.network_, U)):
        network.save(path)
        loaded = Network.load(path)
        assert repr(loaded) == repr(network) and list(loaded.params) == list(network.params)
        assert loaded.predict(data).tobytes() == network.predict(data).tobytes()
        with pytest.raises(DataFormatError, match="an encoder or a decoder alone: Network.load reads it"):
            Autoencoder.load(path)
    model.save(path)
    with pytest.raises(DataFormatError, match="a whole autoencoder: Autoencoder.load reads it"):
        Network.load(path)


def test_a_tied_decoder_alone_has_weights_of_its_own(path):
    model = fitted(tied_weights=True, weight_decay=0.1)
    model.network_.save(path)
    assert repr(Network.load(path)) == repr(model.network_) and list(Network.load(path).params) == list(model.network_.params)
    assert Network.load(path).predict(U).tobytes() == model.network_.predict(U).tobytes()
    model.decoder.save(path)
    loaded, codes = Network.load(path), model.encode(U)
    assert repr(loaded) == "Network([Dense(2, 3), ReLU(), Dense(3, 4), Sigmoid()])"
    assert loaded.params["decoder.0.W"].tolist() == model.network_.params["encoder.1.W"].T.tolist()
    assert np.allclose(loaded.predict(codes), model.decoder.predict(codes), rtol=1e-6)  # BLAS adds up transposed otherwise


@pytest.mark.parametrize("source", ["decoder.0", "decoder.1", "encoder.0", "none", None, {}])
def test_a_tie_to_anything_but_the_encoders_layer_is_refused(path, source):
    fitted(tied_weights=True).network_.save(path)
    header, data = taken_apart(path.read_bytes())
    layers = json.loads(header["__metadata__"]["layers"])
    next(layer for layer in layers if layer["kind"] == "TiedDense")["source"] = source
    header["__metadata__"]["layers"] = json.dumps(layers)
    assert not silent_changes(path, [put_together(header, data)], Network.load)


def test_networks_made_by_hand(path):
    rng = np.random.default_rng(2)
    network = Network([ReLU(), Dense(3, 2, rng), L1Activity(0.1, "sum"), Dense(2, 5, rng)])
    network.save(path)
    assert repr(Network.load(path)) == repr(network)

    class Own(Layer):
        pass

    with pytest.raises(ValueError, match="at least one layer that has parameters"):
        network[:1].save(path)
    with pytest.raises(TypeError, match="cannot save a layer Own()"):
        Network([Dense(3, 2, rng), Own()]).save(path)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_of_a_loaded_model(path, duplicate):
    model = fitted()
    model.save(path)
    assert bits(duplicate(Autoencoder.load(path))) == bits(model)


def test_joblib(path):
    joblib = pytest.importorskip("joblib")
    model = fitted()
    joblib.dump(model, path)
    assert bits(joblib.load(path)) == bits(model)


# ---- what cannot be saved -----------------------------------------------------------------------------------------------


def test_a_model_that_could_not_be_loaded_is_not_saved(path, content):
    with pytest.raises(NotFittedError):
        Autoencoder().save(path)
    model = fitted()
    for change in (dict(hidden_sizes=(5,)), dict(activation="tanh"), dict(loss="mse"), dict(dtype="float64"), {"l1_activity": 1}):
        with pytest.raises(ValueError, match="changed after fit"):
            copy.deepcopy(model).set_params(**change).save(path)

    class Louder(Adam):
        pass

    for change in (dict(epochs=0), dict(optimizer=Louder())):
        with pytest.raises((ValueError, TypeError), match="epochs must be|cannot save Adam"):
            copy.deepcopy(model).set_params(**change).save(path)
    model.feature_names_in_ = ["long" * 10] * 30000
    model.save(path)  # names are data: the header stays small
    with pytest.raises(ValueError, match="header of 65536 bytes"):
        layout.write(path, "network", {"note": "x" * 2**20}, {})
    with pytest.raises(TypeError, match="got complex128"):
        layout.write(path, "network", {}, {"z": np.zeros(3, complex)})
    assert [file.name for file in path.parent.iterdir()] == [path.name]


# ---- nothing else is believed -------------------------------------------------------------------------------------------


def silent_changes(path, contents, load=Autoencoder.load):
    """Those of the contents that a load does not refuse with the one error."""
    accepted = []
    for changed in contents:
        path.write_bytes(changed)
        try:
            load(path)
            accepted.append(changed)
        except DataFormatError as error:
            assert str(error).startswith(str(path))
    return accepted


def foreign(path, kind):
    if kind == "safetensors":
        safetensors.numpy.save_file({"W": np.zeros((3, 2), np.float32)}, path, {"format": "pt"})
    elif kind == "npz":
        with open(path, "wb") as file:
            np.savez(file, a=np.zeros(3))
    else:
        path.write_bytes({"pickle": pickle.dumps(fitted()), "empty": b"", "text": b"a,b\n1,2\n" * 20}[kind])


@pytest.mark.parametrize("kind, message", [
    ("safetensors", "not one that ae_scratch wrote.*set_weights"), ("npz", "got something else"),
    ("pickle", "got something else"), ("empty", "only the beginning"), ("text", "got something else")])
def test_foreign_files(path, kind, message):
    foreign(path, kind)
    for load in (Autoencoder.load, Network.load):
        with pytest.raises(DataFormatError, match=message):
            load(path)


def test_newer_files(path, content):
    header, data = taken_apart(content)
    header["__metadata__"]["format_version"] = "2"
    path.write_bytes(put_together(header, data))
    with pytest.raises(DataFormatError, match="expected format version 1, got '2': a newer ae_scratch wrote the file"):
        Autoencoder.load(path)
    header, data = taken_apart(content)
    settings = {**json.loads(header["__metadata__"]["settings"]), "dropout": 0.5}
    header["__metadata__"]["settings"] = json.dumps(settings)
    path.write_bytes(put_together(header, data))
    with pytest.raises(DataFormatError, match="unknown settings dropout.* wrote the file"):
        Autoencoder.load(path)


def test_a_setting_that_a_file_does_not_know_has_its_default(path, content):
    header, data = taken_apart(content)
    settings = json.loads(header["__metadata__"]["settings"])
    del settings["verbose"], settings["noise"]
    header["__metadata__"]["settings"] = json.dumps(settings)
    path.write_bytes(put_together(header, data))
    assert bits(Autoencoder.load(path)) == bits(fitted())


@pytest.mark.parametrize("length", [-20, 20])
def test_a_file_that_changes_while_it_is_read(path, content, monkeypatch, length):
    def read_header(file, size, original=layout._read_header):
        header = original(file, size)
        with open(path, "rb+") as other:
            other.truncate(size + length)
        return header

    path.write_bytes(content + bytes(100000))  # more than is read ahead
    monkeypatch.setattr(layout, "_read_header", read_header)
    header, data = taken_apart(content)
    name = list(header)[-1]
    header["zeros"] = {"dtype": "U8", "shape": [100000], "data_offsets": [len(data), len(data) + 100000]}
    path.write_bytes(put_together(header, data + bytes(100000)))
    assert name != "zeros"
    with pytest.raises(DataFormatError, match="grew" if length > 0 else "shrank"):
        Autoencoder.load(path)


def test_loading_and_encoding_never_import_numba(path):
    fitted().set_params(engine="numba").save(path)
    code = ("import sys, numpy as np; from ae_scratch import Autoencoder; "
            "Autoencoder.load(sys.argv[1], engine='numpy').encode(np.zeros((3, 4))); print('numba' in sys.modules)")
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


# ---- others read them ---------------------------------------------------------------------------------------------------


def test_the_safetensors_library_reads_them(path):
    model = fitted(dtype="float64")
    model.feature_names_in_ = ["a", "b", "c"]
    model.save(path)
    arrays = safetensors.numpy.load_file(path)
    assert all(arrays[name].tobytes() == weights.tobytes() for name, weights in model.get_weights().items())
    assert arrays["history.loss"].tolist() == model.history_["loss"]
    with safetensors.safe_open(path, "numpy") as file:
        assert json.loads(file.metadata()["settings"])["code_size"] == 2
    model.encoder.save(path)
    assert set(safetensors.numpy.load_file(path)) == {"encoder.0.W", "encoder.0.b", "encoder.1.W", "encoder.1.b"}


def examples():
    """The Python examples of the document."""
    text = (pathlib.Path(__file__).parent.parent / "docs" / "model-files.md").read_text(encoding="utf-8")
    return [block.split("```")[0] for block in text.split("```python\n")[1:]]


def test_the_examples_of_the_document_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "predictor", raising=False)
    ae, names = fitted(), {"Autoencoder": Autoencoder, "Network": Network, "X": U}
    ae.export("predictor.py")
    names["ae"] = ae
    for example in examples():
        exec(example, names)
    ae, data = names["ae"], names["X"]
    assert names["arrays"]["encoder.0.W"].tobytes() == names["W"].tobytes() == ae.get_weights()["encoder.0.W"].tobytes()
    assert names["encoder"].predict(data).tobytes() == ae.encode(data).tobytes()
    assert np.allclose(names["Y"], ae.reconstruct(data), rtol=1e-4, atol=1e-6)


def test_the_golden_file_loads_with_the_same_bits():
    model = Autoencoder.load(GOLDEN)
    state = model.optimizer_.m, model.optimizer_.v, model.scaling_.scale, model.scaling_.offset
    content = b"".join(array.tobytes() for array in (*model.get_weights().values(), *state))
    assert hashlib.sha256(content).hexdigest() == "a4dca5daed80d8c471fd8d3bca21bdfac2419f1001a796f1bf35cdcb882db7aa"
    assert repr(model) == (
        "Autoencoder(hidden_sizes=(4,), code_size=2, activation='tanh', loss='mse', l1_activity=0.01, scaling='standard', "
        "noise=GaussianNoise(0.1, clip=(-2, inf), redraw='batch'), optimizer=Adam(learning_rate=0.01, beta1=0.9, beta2=0.999, "
        "eps=1e-08), batch_size=8, epochs=2, validation_fraction=0.2, early_stopping=EarlyStopping(patience=3, min_delta=0, "
        "monitor=None, restore_best=True), engine='numpy', random_state=5)")
    assert model.history_["val_loss"] == [0.6650765836238861, 0.6553873171408972] and len(model.history_) == 6
    assert (model.seed_, model.n_features_in_, model.feature_names_in_.tolist()) == (5, 3, ["one", "two", "three"])
    assert (model.optimizer_.beta1_t, model.optimizer_.beta2_t) == (0.6561000000000001, 0.996005996001)
    with pytest.warns(UserWarning, match="feature names"):  # a list has none
        assert np.allclose(model.encode([[1, 2, 3]]), GOLDEN_CODE, rtol=1e-5, atol=1e-6)


# ---- saving is all or nothing -------------------------------------------------------------------------------------------


FULL = """
import os, resource, signal, sys
from ae_scratch import Autoencoder
path, new = sys.argv[1:]
model, before = Autoencoder.load(new), open(path, "rb").read()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
failed = 0
for limit in range(0, os.path.getsize(new), 41):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        model.save(path)
    except OSError:
        failed += 1
    assert open(path, "rb").read() == before and os.listdir(os.path.dirname(path)) == [os.path.basename(path)], limit
print(failed == len(range(0, os.path.getsize(new), 41)))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit for the size of files")
def test_a_disk_that_is_full_at_any_byte(path, content, tmp_path_factory):
    new = tmp_path_factory.mktemp("new") / "new.safetensors"
    fitted(random_state=8).save(new)
    run = subprocess.run([sys.executable, "-c", FULL, path, new], env=unmeasured(), capture_output=True, text=True)
    assert run.stdout.strip() == "True", run.stderr


def test_bad_paths(tmp_path, path):
    model = fitted()
    for place, error in ((tmp_path, IsADirectoryError), (tmp_path / "no" / "model", FileNotFoundError), (path / "x", OSError)):
        with pytest.raises(error):
            model.save(place)
        with pytest.raises((OSError, DataFormatError)):
            Autoencoder.load(place)
    model.save(str(path))
    model.save(os.fsencode(path))
    assert bits(Autoencoder.load(os.fsencode(path))) == bits(model)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_devices_and_pipes_are_neither_read_nor_replaced(path):
    os.mkfifo(path)
    with pytest.raises(OSError, match="device or pipe"):
        fitted().save(path)
    with pytest.raises(DataFormatError, match="device or pipe"):
        Autoencoder.load(path)
    assert path.is_fifo()


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights there")
def test_a_symbolic_link_stays_one(tmp_path, path):
    (tmp_path / "folder").mkdir()
    path.symlink_to(tmp_path / "folder" / "real")
    for _ in range(2):
        fitted().save(path)
        assert path.is_symlink() and (tmp_path / "folder" / "real").is_file() and bits(Autoencoder.load(path)) == bits(fitted())


# ---- the stand-alone predictor ------------------------------------------------------------------------------------------

PREDICT = """
import sys, importlib.util, numpy as np
try:
    import ae_scratch
    sys.exit("ae_scratch is here")
except ModuleNotFoundError:
    pass
spec = importlib.util.spec_from_file_location("predictor", sys.argv[1])
predictor = importlib.util.module_from_spec(spec)
spec.loader.exec_module(predictor)
try:
    sys.exit(predictor.encode(np.ones((2, 99))))
except ValueError as error:
    assert "of shape (rows, " in str(error) and "got (2, 99)" in str(error), error
X = np.load(sys.argv[2])
np.savez(sys.argv[3], codes=predictor.encode(X), back=predictor.reconstruct(X), wild=predictor.decode(1e4 * predictor.encode(X)))
"""


@pytest.mark.parametrize("settings", [
    dict(scaling="bytes"), dict(scaling="minmax", code_activation="identity", activation="sigmoid"),
    dict(loss="mse", activation="tanh", dtype="float64", l1_activity=0.1),
    dict(loss="mse", scaling="standard", tied_weights=True), dict(kl_beta=0.1, code_activation="sigmoid")])
def test_the_predictor_needs_numpy_alone(tmp_path, settings):
    model, data = fitted(**settings), X if "scaling" in settings else U
    model.export(tmp_path / "predictor.py")
    lines = [line for line in (tmp_path / "predictor.py").read_text().splitlines() if line]
    assert len(lines) <= 30 and max(map(len, lines)) <= 130
    np.save(tmp_path / "X.npy", data)
    (tmp_path / "only").mkdir()
    for folder in pathlib.Path(np.__file__).parent.parent.glob("numpy*"):
        (tmp_path / "only" / folder.name).symlink_to(folder)
    code = f"import sys; sys.path.append({str(tmp_path / 'only')!r})\n" + PREDICT
    files = [tmp_path / name for name in ("predictor.py", "X.npy", "out.npz")]
    run = subprocess.run([sys.executable, "-I", "-S", "-W", "error", "-c", code, *files], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    got, codes = np.load(files[-1]), model.encode(data)
    tolerance = 64 * np.finfo(model.dtype).eps  # four layers of a handful of terms each
    for name, expected in (("codes", codes), ("back", model.reconstruct(data)), ("wild", model.decode(1e4 * codes))):
        assert got[name].dtype == expected.dtype
        assert np.abs(got[name] - expected).max() <= tolerance * max(1, np.abs(expected).max())


def test_a_predictor_that_is_wrong_would_be_noticed(tmp_path, monkeypatch):
    monkeypatch.setitem(export.FORMULAS, "relu", "np.abs(Z)")
    with pytest.raises(AssertionError):
        test_the_predictor_needs_numpy_alone(tmp_path, {"scaling": "bytes"})


def test_bad_exports(tmp_path):
    with pytest.raises(ValueError, match="ends in .py"):
        fitted().export(tmp_path / "predictor")
    with pytest.raises(NotFittedError):
        Autoencoder().export(tmp_path / "predictor.py")
    assert not list(tmp_path.iterdir())
