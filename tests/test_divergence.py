"""What a run that diverges leaves behind: the state before the first bad step, to the byte, and an error that names the step."""

import pickle

import numpy as np
import pytest

from ae_scratch import SGD, Adam, Autoencoder, Dense, DivergedError, L1Activity, MeanSquaredError, Network, ReLU, training
from ae_scratch.engine import driver
from ae_scratch.kernels import philox
from ae_scratch.training import Job

ROWS, WIDTH, BATCH = 150, 21, 4
STEPS = 38  # of an epoch: the last one has 2 rows
PLACE = 90  # in the order of the first epoch, of the row that is too large: in the middle of its 23rd step


def job(kind, optimizer=None):
    """A job that diverges in the objective, in a moment, or in a parameter that no objective depends on."""
    rng = np.random.default_rng(0)
    network = Network([Dense(WIDTH, 7, rng), ReLU(), L1Activity(1e-4), Dense(7, WIDTH, rng)])
    X = rng.uniform(size=(ROWS, WIDTH)).astype(np.float32)
    X[:, 0] = 0  # nothing depends on the first row of the first W, and its gradient is zero
    optimizer = optimizer or Adam(1e-3)
    if kind == "a parameter":  # velocity alone moves that row of W, until it overflows after some 40 steps
        optimizer = SGD(1.0, momentum=0.99)
        optimizer.velocity = np.zeros_like(network.params.vector)
        optimizer.velocity[:7] = 1e37
    else:  # squares: of the residual in the objective, 1e50; of the gradient in v, 1e60 or so
        X[philox.permutation(5, 0, ROWS)[PLACE], 1:] *= {"the objective": 1e25, "a moment": 1e16}.get(kind, 1)
    return Job(network, MeanSquaredError(), optimizer, X, X, BATCH, 5)


def run(engine, task, epochs=3, threads=1):
    history = {}
    try:
        if engine == "numpy":
            training.train(task, epochs, history)
        else:
            driver.train(task, epochs, history, threads=threads)
    except DivergedError as error:
        return error, history
    return None, history


def by_hand(engine, task, epoch, step):
    """The state after the steps before that one and no other, taken in one go without a look."""
    compiled = driver.Engine(task) if engine == "numba" else None
    sizes = [BATCH] * (STEPS - 1) + [ROWS % BATCH]
    for e in range(epoch + 1):
        order = philox.permutation(task.seed, e, ROWS)
        for s in range(STEPS if e < epoch else step):
            if engine == "numpy":
                batch = training.batch_of(task, e, order[BATCH * s:BATCH * s + BATCH])
                training.take_step(task, *batch, task.network.params.zeros_like())
            else:
                compiled.run(driver.data_of(task, order, e), s, s + 1, sizes[s], np.zeros((STEPS, 2)), 1)
    return state(task)


def state(task):
    return task.network.params.vector.tobytes(), {name: value.tobytes() if isinstance(value, np.ndarray) else value
                                                  for name, value in vars(task.optimizer).items()}


KINDS = ("the objective", "a moment", "a parameter")
BAD = {"the objective": (0, 22), "a moment": (0, 22), "a parameter": (1, 3)}
WAYS = [("numpy", 1, 16, 16)] + [("numba", threads, trial, keep)
                                 for threads, trial, keep in ((1, 1, 1), (1, 1000, 16), (2, 1, 16), (3, 7, 16), (2, 30, 16))]


@pytest.mark.parametrize("engine, threads, trial, keep", WAYS)
@pytest.mark.parametrize("kind", KINDS)
def test_N4_the_state_is_that_before_the_first_bad_step(monkeypatch, kind, engine, threads, trial, keep):
    """For chunks of 1 step to whole epochs, and copies of the state after each or after many."""
    monkeypatch.setattr(driver, "CHUNK", 0.0 if trial == 1 else 1e9)
    monkeypatch.setattr(driver, "TRIAL", trial)
    monkeypatch.setattr(driver, "KEEP", keep)
    monkeypatch.setattr(driver, "COPY", 0.0 if trial < 1000 else 1e9)
    task, (epoch, step) = job(kind), BAD[kind]
    error, history = run(engine, task, threads=threads)
    assert (error.epoch, error.step, error.layer) == (epoch, step, "loss" if kind == "the objective" else "0")
    assert ("in the loss," if kind == "the objective" else "in layer 0,") in str(error)
    assert f"{kind}" in str(error) and f"epoch {epoch + 1}, step {step + 1};" in str(error)
    assert state(task) == by_hand(engine, job(kind), epoch, step) != by_hand(engine, job(kind), epoch, step - 1)
    assert len(history.get("objective", [])) == epoch and np.isfinite(history.get("objective", [])).all()


def test_N4_a_copy_of_the_parameters_alone_is_not_enough(monkeypatch):
    def renew(good, step):
        good.step, good.theta[:] = step, good.job.network.params.vector
    monkeypatch.setattr(training.Checkpoint, "renew", renew)
    for name, value in (("CHUNK", 0.0), ("TRIAL", 1), ("KEEP", 1), ("COPY", 0.0)):
        monkeypatch.setattr(driver, name, value)
    task, (epoch, step) = job("a parameter"), BAD["a parameter"]
    run("numba", task, threads=1)
    assert state(task) != by_hand("numba", job("a parameter"), epoch, step)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_the_very_last_step_counts_too(engine):
    """A parameter that overflows where no later objective could show it."""
    task = job("a parameter")
    task.optimizer.velocity[:7] = 1.094e37  # 30.7 times that after 37 steps, 31.4 times after 38: 3.44e38
    error, history = run(engine, task, epochs=1)
    assert error.step == STEPS - 1 and "a parameter" in str(error) and not history
    assert np.isfinite(task.network.params.vector).all()


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_a_learning_rate_far_too_large(engine):
    task = job("none", SGD(1e30))
    error, _ = run(engine, task)
    assert error.epoch == 0 and state(task) == by_hand(engine, job("none", SGD(1e30)), 0, error.step)


OVERFLOWS = {"0": {"0.W": 1e38}, "1": {"0.b": 10, "1.W": 1e38}, "loss": {"1.b": 1e25}}


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("layer", OVERFLOWS)
def test_N4_the_layer_is_named(engine, layer):
    """The first one whose output overflows, or the loss of finite outputs."""
    task = job("none")
    for name, value in OVERFLOWS[layer].items():
        task.network.params[name][...] = value
    before = task.network.params.vector.tobytes()
    error, _ = run(engine, task, epochs=1)
    assert (error.step, error.layer) == (0, layer) and "the objective is no longer finite in " in str(error)
    assert task.network.params.vector.tobytes() == before
    again = pickle.loads(pickle.dumps(error))
    assert (again.epoch, again.step, again.layer, str(again)) == (error.epoch, error.step, layer, str(error))


def test_N4_a_penalty_that_is_not_finite_is_named():
    assert training.bad_output(job("none"), 0, 0, np.array([1.0, np.inf])) == "penalty"


@pytest.mark.parametrize("kind, blind, wrong", [("a moment", "bad_parameter", "penalty"), ("the objective", "bad_output", "0")])
def test_N4_a_look_that_is_left_out_is_found_out(monkeypatch, kind, blind, wrong):
    monkeypatch.setattr(training, blind, lambda *arguments: wrong if blind == "bad_output" else None)
    error, _ = run("numpy", job(kind))
    assert error.layer == wrong


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_N4_a_fit_that_diverges_leaves_its_last_checkpoint_good(engine, tmp_path):
    X = np.random.default_rng(0).random((60, 6))
    good = Autoencoder((5,), 2, engine=engine, random_state=0, loss="mse", batch_size=8, epochs=2)
    before = good.fit(X).get_weights()
    bad = Autoencoder(**{**good.get_params(), "epochs": 200, "optimizer": SGD(3e3, momentum=0.99)})
    with pytest.raises(DivergedError, match="in (layer (en|de)coder|the loss)"):
        bad.fit(X, checkpoint=tmp_path / "run.ckpt", checkpoint_every=1)
    loaded = Autoencoder.load(tmp_path / "run.ckpt")
    assert all(np.isfinite(array).all() for array in (*loaded.get_weights().values(), loaded.optimizer_.velocity))
    good.set_params(optimizer=SGD(3e3, momentum=0.99), epochs=200)
    with pytest.raises(DivergedError):
        good.fit(X)
    assert all(np.array_equal(array, before[name]) for name, array in good.get_weights().items())


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_without_going_back_the_state_would_differ(monkeypatch, engine):
    monkeypatch.setattr(training.Checkpoint, "restore", lambda self: None)
    task = job("a moment")
    error, _ = run(engine, task)
    assert state(task) != by_hand(engine, job("a moment"), *BAD["a moment"])


@pytest.mark.parametrize("optimizer", [lambda: Adam(1e-2), lambda: SGD(1e-2, momentum=0.9)])
def test_a_second_run_goes_on_with_the_moments_of_the_first(optimizer):
    tasks = {engine: job("none", optimizer()) for engine in ("numpy", "numba")}
    for engine, task in tasks.items():
        assert run(engine, task, 1)[0] is None and run(engine, task, 1)[0] is None
    vectors = [task.network.params.vector for task in tasks.values()]
    fresh = job("none", optimizer())
    run("numba", fresh, 1)
    fresh = fresh._replace(optimizer=optimizer())
    run("numba", fresh, 1)
    assert np.abs(vectors[0] - vectors[1]).max() < 1e-4 < 1e-3 < np.abs(fresh.network.params.vector - vectors[1]).max()
