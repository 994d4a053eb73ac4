"""A training that was stopped, wherever that was, goes on to the bits of one that never was."""

import hashlib
import json
import os
import signal
import statistics
import threading
import time

import numpy as np
import pytest

from ae_scratch import (SGD, Autoencoder, CheckpointError, DataFormatError, GaussianNoise, MaskingNoise, SaltAndPepperNoise,
                        checkpoints, cli, persistence, safetensors, training)
from ae_scratch.callbacks import CSVLogger, EarlyStopping, LearningRateSchedule, ModelCheckpoint
from interruptions import Shared, struck

POSIX = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
RNG = np.random.default_rng(0)
X, X_VAL = RNG.random((61, 6)).astype(np.float32), RNG.random((20, 6))
BYTES = RNG.integers(0, 256, (61, 6)).astype(np.uint8)


def model(**settings):
    return Autoencoder(**{"hidden_sizes": (5,), "code_size": 2, "epochs": 4, "batch_size": 8, "random_state": 3,
                          "engine": "numpy", **settings})


def digest(fitted):
    """SHA-256 over weights, moments, the optimizer's numbers, history and seed."""
    content = [fitted.network_.params.vector.tobytes(), repr(fitted.history_).encode(), str(fitted.seed_).encode()]
    for name, value in sorted(vars(fitted.optimizer_).items()):
        content += [name.encode(), value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()]
    return hashlib.sha256(b"".join(content)).hexdigest()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.ckpt"


class Stop(Exception):
    pass


def stopped_after(monkeypatch, steps, fit):
    """Call ``fit`` and let the step after so many fail, as a crash would; return whether it came that far."""
    count, original = [0], training.take_step

    def counted(*arguments):
        if count[0] == steps:
            raise Stop
        count[0] += 1
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "take_step", counted)
        try:
            fit()
        except Stop:
            return True
    return False


def sequence():
    return [X[:9], X[9:10], X[10:33], X[33:]]


def mapped(tmp_path, dtype):
    np.save(tmp_path / f"{dtype}.npy", X.astype(dtype))
    return np.load(tmp_path / f"{dtype}.npy", mmap_mode="r")


# ---- the same bits ------------------------------------------------------------------------------------------------------

JOBS = {  # settings, and what fit is given
    "plain": ({}, {}), "float64": ({"dtype": "float64"}, {}), "momentum": ({"optimizer": SGD(0.1, momentum=0.9)}, {}),
    "gaussian": ({"noise": GaussianNoise(0.2, clip=(0, 1))}, {}), "once": ({"noise": GaussianNoise(0.2, redraw="once")}, {}),
    "masking": ({"noise": MaskingNoise(0.3, redraw="once")}, {}), "salt": ({"noise": SaltAndPepperNoise(0.3)}, {}),
    "bytes": ({"scaling": "bytes", "noise": MaskingNoise(0.3)}, {"X": BYTES}),
    "standard": ({"scaling": "standard", "loss": "mse"}, {"validation_data": X_VAL}),
    "minmax": ({"scaling": "minmax"}, {}), "target": ({}, {"y": X[::-1].copy()}),
    "l1": ({"l1_activity": 1e-3, "activity_reduction": "sum"}, {}), "no seed": ({"random_state": None}, {}),
    "kl": ({"kl_beta": 0.1, "code_activation": "sigmoid", "tied_weights": True, "weight_decay": 1e-3}, {}),
    "one batch": ({"batch_size": 100}, {}), "validation": ({"validation_fraction": 0.2}, {"validation_data": None}),
    "stopping": ({"early_stopping": EarlyStopping(1), "learning_rate": 0.5, "validation_fraction": 0.2, "epochs": 9}, {}),
    "stopping late": ({"early_stopping": EarlyStopping(3, min_delta=0.004), "epochs": 6}, {"validation_data": X_VAL}),
    "stopping sgd": ({"early_stopping": EarlyStopping(2, 1.0), "optimizer": SGD(0.1, momentum=0.5)}, {}),
    "schedule": ({}, {"callbacks": [LearningRateSchedule(lambda epoch: 0.01 / (1 + epoch))]}),
    "stopping twice": ({"early_stopping": EarlyStopping(1, 9.0)}, {"callbacks": [EarlyStopping(2, monitor="loss")]}),
    "mapped": ({"noise": GaussianNoise(0.1, redraw="once")}, {"X": "float32"}), "mapped float64": ({}, {"X": "float64"}),
    "sequence": ({"noise": GaussianNoise(0.1)}, {"X": sequence()}), "standard sequence": (
        {"scaling": "standard", "loss": "mse"}, {"X": sequence()})}


def fitted(settings, data, tmp_path, **how):
    data = {"X": X, **data}
    if isinstance(data["X"], str):
        data["X"] = mapped(tmp_path, data["X"])
    return model(**settings).fit(**data, **how)


@pytest.mark.parametrize("every", [None, 3])
@pytest.mark.parametrize("job", JOBS)
def test_D4_every_kind_of_training_goes_on_to_the_same_bits(path, tmp_path, monkeypatch, job, every):
    """Crashed after a few steps, again and again: those since the last save are taken again, the others are not."""
    settings, data = JOBS[job]
    how = {"checkpoint": path, "checkpoint_every": every, "resume": True}
    crashes = 0
    for steps in (0, 2, 5, 11, 13, *[25 if every is None else 9] * 60):
        if not stopped_after(monkeypatch, steps, lambda: fitted(settings, data, tmp_path, **how)):
            break
        crashes += 1
    got = fitted(settings, data, tmp_path, **how)
    expected = fitted({**settings, "random_state": got.seed_}, data, tmp_path)
    assert digest(got) == digest(expected) and crashes >= 2
    assert [file.name for file in tmp_path.iterdir() if file.suffix != ".npy"] == [path.name]


@pytest.mark.parametrize("job", ["plain", "stopping late", "kl", "mapped float64", "sequence"])
def test_D4_the_compiled_engine_too(path, tmp_path, job):
    """On other numbers of threads each time, and with more epochs in the end."""
    settings, data = JOBS[job]
    settings = {**settings, "engine": "numba"}
    count = [0]

    def crash(training):
        count[0] += 1
        if count[0] == 2:
            raise Stop

    data = {**data, "callbacks": [crash]}
    expected = fitted(settings, data | {"callbacks": []}, tmp_path)
    with pytest.raises(Stop):
        fitted({**settings, "threads": 1, "epochs": 2}, data, tmp_path, checkpoint=path, checkpoint_every=3)
    assert len(checkpoints._read(path).position.sums) > 0
    got = fitted({**settings, "threads": 2}, data, tmp_path, checkpoint=path, checkpoint_every=5, resume=True)
    assert digest(got) == digest(expected)


FORGOTTEN = {"sums": "checkpoint.sums", "best": "checkpoint.0.theta", "moments": "optimizer.m", "history": "history.loss"}


@pytest.mark.parametrize("forget", [*FORGOTTEN, "step", "epoch"])
def test_D4_what_is_not_stored_is_found_out(path, tmp_path, monkeypatch, forget):
    """Crashed in the third epoch, when the first was the best."""
    def write(path, kind, metadata, arrays, original=safetensors.write):
        original(path, kind, metadata, {name: 0 * array if name.startswith(FORGOTTEN.get(forget, "none")) else array
                                        for name, array in arrays.items()})

    def position(found, original=checkpoints.Found.position.fget):
        return original(found)._replace(**{} if forget in FORGOTTEN else {forget: 0})

    job = {"early_stopping": EarlyStopping(3, 9.0)}, {}
    monkeypatch.setattr(safetensors, "write", write)
    monkeypatch.setattr(checkpoints.Found, "position", property(position))
    assert stopped_after(monkeypatch, 21, lambda: fitted(*job, tmp_path, checkpoint=path, checkpoint_every=3))
    assert digest(fitted(*job, tmp_path, checkpoint=path, resume=True)) != digest(fitted(*job, tmp_path))


# ---- what a checkpoint is good for --------------------------------------------------------------------------------------


def crashed(path, monkeypatch, steps=13, every=3, **settings):
    assert stopped_after(monkeypatch, steps, lambda: model(**settings).fit(X, checkpoint=path, checkpoint_every=every))


def test_D4_a_finished_training_is_returned_at_once_and_may_be_given_more_epochs(path, monkeypatch):
    for stopping in (None, EarlyStopping(2, 9.0), EarlyStopping(9, 9.0)):
        path.unlink(missing_ok=True)
        first = model(early_stopping=stopping).fit(X, checkpoint=path)
        before = path.read_bytes()
        assert not stopped_after(monkeypatch, 0, lambda: model(early_stopping=stopping).fit(X, checkpoint=path, resume=True))
        again = model(early_stopping=stopping, verbose=1).fit(X, checkpoint=path, resume=True)
        assert digest(again) == digest(first) and path.read_bytes() == before
        longer = model(early_stopping=stopping, epochs=6)
        assert digest(longer.fit(X, checkpoint=path, resume=True)) == digest(longer.fit(X))


def test_D4_a_checkpoint_is_a_model(path, monkeypatch, tmp_path):
    crashed(path, monkeypatch)
    loaded = Autoencoder.load(path)
    assert np.isfinite(loaded.encode(X)).all() and len(loaded.history_["loss"]) == 1
    loaded.partial_fit(X).save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="model is a model, not a training to go on with"):
        model().fit(X, checkpoint=tmp_path / "model", resume=True)


def test_D4_a_checkpoint_in_the_way_is_refused_and_left(path, monkeypatch):
    crashed(path, monkeypatch)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"run.ckpt exists: a checkpoint with 1 epoch and 4 steps done; go on with resume"):
        model().fit(X, checkpoint=path)
    path.write_bytes(before[:-1])
    for resume in (False, True):
        with pytest.raises(DataFormatError, match="run.ckpt: "):
            model().fit(X, checkpoint=path, resume=resume)
    assert path.read_bytes() == before[:-1]


@pytest.mark.parametrize("settings, data, message", [
    ({"code_size": 3, "learning_rate": 0.1}, {}, r"code_size: 2 there, 3 here; learning_rate: 0.001 there, 0.1 here"),
    ({"noise": MaskingNoise(0.1)}, {}, "noise: None there, .*MaskingNoise.* here"), ({"random_state": 4}, {}, "random_state: 3"),
    ({"early_stopping": EarlyStopping()}, {}, "early_stopping: None there"), ({"engine": "numba"}, {}, "engine: 'numpy' there"),
    ({}, {"X": X + np.float32(1e-7)}, r"name. X: '\(61, 6\) float32 .*' there, '\(61, 6\) float32 .*' here$"),
    ({}, {"X": X[:60]}, r"X: '\(61, 6\) float32 .* '\(60, 6\)"), ({}, {"X": X[:, :5]}, r"'\(61, 5\)"),
    ({}, {"X": X[:, ::-1]}, "X: "), ({}, {"X": BYTES / 255}, "X: "), ({}, {"X": [X[:30], X[30:]]}, r"'\(2, 6\) batches"),
    ({}, {"y": X[::-1]}, "name. y: 'none' there"), ({}, {"validation_data": X_VAL}, "validation: 'none' there"),
    ({}, {"callbacks": [LearningRateSchedule(float)]}, "callbacks: '' there, 'LearningRateSchedule' here"),
    ({"epochs": 1}, {}, "1 epoch and 4 steps done: expected epochs to be no less, got 1")])
def test_D4_other_data_or_settings_are_refused_with_the_difference(path, monkeypatch, settings, data, message):
    crashed(path, monkeypatch)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=message):
        model(**settings).fit(**{"X": X, **data}, checkpoint=path, resume=True)
    assert path.read_bytes() == before


def test_D4_sequences_and_data_frames_are_told_apart(path, monkeypatch, tmp_path):
    pandas = pytest.importorskip("pandas")
    model().fit(sequence(), checkpoint=path)
    with pytest.raises(CheckpointError, match="X: .* batches"):
        model().fit([X[:9], X[9:11], X[11:33], X[33:]], checkpoint=path, resume=True)
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    model().fit(frame, checkpoint=tmp_path / "frame")
    assert list(model().fit(frame, checkpoint=tmp_path / "frame", resume=True).feature_names_in_) == list("abcdef")
    assert list(Autoencoder.load(tmp_path / "frame").feature_names_in_) == list("abcdef")
    with pytest.raises(CheckpointError, match="columns"):
        model().fit(frame.rename(columns={"a": "z"}), checkpoint=tmp_path / "frame", resume=True)


def test_bad_arguments(path, tmp_path):
    for wrong, error in (({"resume": True}, ValueError), ({"checkpoint_every": 3}, ValueError),
                         ({"checkpoint": path, "checkpoint_every": 0}, ValueError), ({"checkpoint": tmp_path}, IsADirectoryError),
                         ({"checkpoint": path, "checkpoint_every": 1.5}, TypeError),
                         ({"checkpoint": tmp_path / "no" / "file"}, FileNotFoundError)):
        with pytest.raises(error):
            model().fit(X, **wrong)
    assert not path.exists()


def test_logs_and_saved_models_go_on(path, tmp_path, monkeypatch):
    def callbacks(name):
        return [CSVLogger(tmp_path / f"{name}.csv"), ModelCheckpoint(tmp_path / f"{name}.model", monitor="loss")]

    stopped_after(monkeypatch, 21, lambda: model().fit(X, callbacks=callbacks("got"), checkpoint=path, checkpoint_every=5))
    model().fit(X, callbacks=callbacks("got"), checkpoint=path, resume=True)
    model().fit(X, callbacks=callbacks("expected"))
    for kind in ("csv", "model"):
        assert (tmp_path / f"got.{kind}").read_bytes() == (tmp_path / f"expected.{kind}").read_bytes()


def test_without_a_checkpoint_nothing_is_hashed_and_nothing_saved(monkeypatch):
    monkeypatch.setattr(checkpoints, "fingerprint", None)
    monkeypatch.setattr(safetensors, "write", None)
    assert digest(model().fit(X)) == digest(model().fit(X))


# ---- killed -------------------------------------------------------------------------------------------------------------

HARNESS = {"epochs": 6, "batch_size": 4, "early_stopping": EarlyStopping(9, 0.002), "noise": GaussianNoise(0.1)}
EVERY = 5
BATCHES = -(-len(X) // HARNESS["batch_size"])


def work(path, taken):
    """Train, as a child does, and count the steps that were taken, those of earlier children that were saved included."""
    original = training.take_step

    def counted(*arguments):
        figures = original(*arguments)
        time.sleep(2e-4)  # gives a kill something to hit beside the saves
        taken.value += 1
        return figures

    training.take_step = counted
    model(**HARNESS).fit(X, checkpoint=path, checkpoint_every=EVERY, resume=True)


def saved_steps(path):
    position = checkpoints._read(path).position
    return position.epoch * BATCHES + position.step


def killed(path, kills, seed=0):
    """Kill trainings at random instants until there were so many kills, each training being gone on with until it is finished;
    return in how many cases something was wrong: another digest, more than an interval lost, a child that fails."""
    expected, rng, taken, done, wrong = digest(model(**HARNESS).fit(X)), np.random.default_rng(seed), Shared(), 0, 0
    while done < kills:
        path.unlink(missing_ok=True)
        code = None
        while code != 0:
            taken.value = saved_steps(path) if path.exists() else 0
            code, _ = struck(lambda: work(path, taken), rng.uniform(0, 0.12) if done < kills else None)
            done += code == -signal.SIGKILL
            try:
                lost = taken.value - saved_steps(path) if path.exists() else 0
            except DataFormatError:
                lost = np.inf
            if code not in (0, -signal.SIGKILL) or not lost <= EVERY:
                return wrong + 1
        wrong += digest(model(**HARNESS).fit(X, checkpoint=path, resume=True)) != expected
    return wrong


@POSIX
@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_D4_killed_at_random_instants(path, kills):
    assert killed(path, kills, seed=kills) == 0
    assert {file.name for file in path.parent.iterdir()} <= {path.name, f".{path.name}.part"}


@POSIX
@pytest.mark.parametrize("fault", ["no position", "saved rarely", "written in place"])
def test_D4_the_harness_finds_faults(path, monkeypatch, fault):
    def slowly_in_place(path, kind, metadata, arrays, original=safetensors.write):
        original(path, kind, metadata, arrays)
        content = path.read_bytes()
        with open(path, "wb", buffering=0) as file:
            for start in range(0, len(content), 512):
                file.write(content[start:start + 512])
                time.sleep(1e-3)

    if fault == "no position":
        monkeypatch.setattr(checkpoints.Found, "position", property(
            lambda found: training.Position(found.state["epoch"], 0, ended=found.state["ended"])))
    elif fault == "saved rarely":
        monkeypatch.setattr(training.Saving, "due", lambda saving, steps: False)
    else:
        monkeypatch.setattr(safetensors, "write", slowly_in_place)
    assert killed(path, 20) > 0


# ---- Ctrl-C -------------------------------------------------------------------------------------------------------------


def interruptible(path, returned):
    """Train, as a child does that tells when Ctrl-C brought it back: 0 finished, 3 interrupted with a usable model that is in the
    file, 4 interrupted before training began, 5 anything else."""
    ae = model(**HARNESS)
    original = training.take_step

    def slower(*arguments):
        time.sleep(2e-4)
        return original(*arguments)

    training.take_step = slower
    try:
        ae.fit(X, checkpoint=path, checkpoint_every=10 ** 6, resume=True)
        return 0
    except KeyboardInterrupt:
        returned.value = time.monotonic()
    if not hasattr(ae, "network_"):
        return 4
    stands, loaded = ae.network_.params.vector, Autoencoder.load(path)
    same = stands.tobytes() == loaded.network_.params.vector.tobytes() and ae.history_ == loaded.history_
    return 3 if same and np.isfinite(ae.encode(X)).all() else 5


def interrupted(path, count, seed=0):
    """Interrupt trainings at random instants, each being gone on with until it is finished; return what went wrong, and how
    long each took to return."""
    expected, rng, returned, wrong, waits = digest(model(**HARNESS).fit(X)), np.random.default_rng(seed), Shared(), [], []
    while len(waits) < count:
        path.unlink(missing_ok=True)
        code = None
        while code != 0:
            before = saved_steps(path) if path.exists() else 0
            code, sent = struck(lambda: interruptible(path, returned), rng.uniform(0, 0.1) if len(waits) < count else None,
                                signal.SIGINT)
            if code == 3:
                waits.append(returned.value - sent)
            if code not in (0, 3, 4, 130) or (code == 3 and saved_steps(path) < before):
                return [code], waits
        if digest(model(**HARNESS).fit(X, checkpoint=path, resume=True)) != expected:
            wrong.append("digest")
    return wrong, waits


@POSIX
@pytest.mark.parametrize("count", [6, pytest.param(200, marks=pytest.mark.slow)])
def test_L3_ctrl_c_at_random_instants(path, count):
    wrong, waits = interrupted(path, count, seed=count)
    print(f"{len(waits)} interruptions, back after {1e3 * statistics.median(waits):.1f} ms, at most {1e3 * max(waits):.1f}")
    assert wrong == [] and statistics.median(waits) <= 0.1  # the median: the machine may be busy with other things


@POSIX
def test_L3_the_harness_finds_faults(path, monkeypatch):
    with monkeypatch.context() as patch:  # Ctrl-C stops the training, but what it has learned is not saved
        patch.setattr(training, "save_step", lambda saving, position, stop: (_ for _ in ()).throw(KeyboardInterrupt))
        assert interrupted(path, 6)[0]
    with monkeypatch.context() as patch:  # it stops late
        patch.setattr(training.threading, "Event", LateEvent)
        assert statistics.median(interrupted(path, 3)[1]) > 0.1


class LateEvent(threading.Event):
    def is_set(self):
        if super().is_set():
            time.sleep(0.2)
        return super().is_set()


def test_sums_of_another_shape_are_no_checkpoint(path):
    state = {"epoch": 0, "step": 2, "ended": False, "best": [], "data": {}}
    persistence.save(model().fit(X), path, {"checkpoint": json.dumps(state)}, {"checkpoint.sums": np.zeros((2, 2))})
    with pytest.raises(DataFormatError, match="expected checkpoint.sums with three columns"):
        model().fit(X, checkpoint=path, resume=True)


# ---- the command line ---------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The beginning of a command, in a folder with data."""
    monkeypatch.chdir(tmp_path)
    np.save("X.npy", X)
    return "train X.npy --engine numpy --seed 3 --hidden-sizes 5 --code-size 2 --batch-size 8".split()


@POSIX
def test_L3_an_interrupted_command_says_where_to_go_on(data, capsys, monkeypatch):
    def interrupting(*arguments, original=training.take_step, count=[0]):
        count[0] += 1
        if count[0] == 12:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    command = [*data, "--checkpoint", "run.ckpt", "--checkpoint-every", "5", "--resume", "-q", "-o"]
    with monkeypatch.context() as patch:
        patch.setattr(training, "take_step", interrupting)
        assert cli.main([*command, "m"]) == 130
    assert capsys.readouterr().err == ("run.ckpt: the training so far; the same command with --resume goes on from there\n"
                                       "interrupted\n")
    position = checkpoints._read("run.ckpt").position
    assert (position.epoch, position.step) == (1, 4) and not os.path.exists("m")
    assert cli.main([*command, "m"]) == 0 and cli.main([*data, "-q", "-o", "expected"]) == 0
    assert digest(Autoencoder.load("m")) == digest(Autoencoder.load("expected"))


def test_an_interruption_before_there_is_a_checkpoint_tells_of_none(data, capsys, monkeypatch):
    def interrupting(*arguments, **settings):
        raise KeyboardInterrupt
    monkeypatch.setattr(Autoencoder, "fit", interrupting)
    assert cli.main([*data, "--checkpoint", "run.ckpt", "-q", "-o", "m"]) == 130
    assert capsys.readouterr().err == "interrupted\n" and os.listdir() == ["X.npy"]


def test_the_command_refuses_what_fit_refuses(data, capsys):
    assert cli.main([*data, "-q", "--checkpoint", "run.ckpt", "-o", "m"]) == 0
    for more, message in (([], "a checkpoint with 10 epochs done; go on with --resume, or remove it"),
                          (["--resume", "--dtype", "float64"], "dtype: 'float32' there, 'float64' here")):
        assert cli.main([*data, "-q", "--checkpoint", "run.ckpt", "-o", "n", *more]) == 1
        assert message in capsys.readouterr().err
    assert cli.main([*data, "-q", "--resume", "-o", "n"]) == 1
    assert "need a checkpoint" in capsys.readouterr().err
    assert cli.main([*data, "-q", "--checkpoint", "n", "-o", "n"]) == 1
    assert "a file of its own" in capsys.readouterr().err
