"""The compiled engine against NumPy's, the complex step and itself on other numbers of threads."""

import hashlib
import os
import pathlib
import signal
import subprocess
import sys
import threading

import numpy as np
import oracle
import pytest
from cases import Case, agree
from test_kernel_lint import ROOTS, Source, texts

import ae_scratch
from ae_scratch import (SGD, Adam, Autoencoder, BinaryCrossEntropy, Dense, DivergedError, GaussianNoise, Identity, KLActivity,
                        L1Activity, MaskingNoise, MeanSquaredError, Network, ReLU, SaltAndPepperNoise, Sigmoid, Tanh, TiedDense)
from ae_scratch import training
from ae_scratch.engine import driver
from ae_scratch.kernels import linked
from ae_scratch.training import Job

PACKAGE = pathlib.Path(ae_scratch.__file__).parent
X = np.random.default_rng(0).uniform(size=(150, 45))


def everything(dtype, seed=0):
    """A network with every kind of layer and penalties of both reductions, widths that are no multiple of a vector."""
    rng = np.random.default_rng(seed)
    layers = [Dense(45, 33, rng, dtype), ReLU(), Dense(33, 17, rng, dtype), Sigmoid(), L1Activity(1e-3, "mean"),
              Dense(17, 5, rng, dtype), Tanh(), L1Activity(1e-4, "sum"), Dense(5, 19, rng, dtype), Identity(),
              Dense(19, 45, rng, dtype)]
    for layer in layers:
        if isinstance(layer, Dense):
            layer.b += rng.normal(scale=0.1, size=layer.b.shape).astype(dtype)
    return Network(layers)


def tied(dtype, seed=0):
    """A network whose decoder goes back through the encoder's weights, with weight decay and both kinds of sparsity."""
    rng = np.random.default_rng(seed)
    first, second = Dense(45, 33, rng, dtype, 1e-2), Dense(33, 17, rng, dtype, 3e-2)
    layers = [first, Tanh(), second, Sigmoid(), L1Activity(1e-3), KLActivity(0.1, 0.05),
              TiedDense(second), Tanh(), TiedDense(first)]
    for layer in (first, second, layers[-3], layers[-1]):
        layer.b += rng.normal(scale=0.1, size=layer.b.shape).astype(dtype)
    return Network(layers)


def job(dtype=np.float32, loss=None, optimizer=None, batch_size=32, noise=None, target=None, network=None):
    data = X.astype(dtype)
    T = data if target is None else target.astype(dtype)
    return Job(network or everything(dtype), loss or BinaryCrossEntropy(), optimizer or Adam(1e-2), data, T, batch_size, 3, noise)


def trained(task, epochs=2, threads=1):
    history = {}
    driver.train(task, epochs, history, threads=threads)
    return task.network.params.vector, history


@pytest.mark.parametrize("dtype, tolerance, loss, optimizer", [
    (np.float32, 2e-3, BinaryCrossEntropy, lambda: Adam(1e-3)), (np.float64, 1e-11, MeanSquaredError, lambda: SGD(0.05, 0.9)),
    pytest.param(np.float64, 1e-11, BinaryCrossEntropy, lambda: Adam(1e-3), marks=pytest.mark.slow),  # each is compiled: seconds
    pytest.param(np.float32, 2e-3, MeanSquaredError, lambda: SGD(0.05, 0.9), marks=pytest.mark.slow)])
@pytest.mark.parametrize("target", [None, X[::-1]])
def test_both_engines_agree(dtype, tolerance, loss, optimizer, target):
    """From the same start on the same batches, the last of which is short; rounding differs, and training amplifies it."""
    compiled, numpy = (job(dtype, loss(), optimizer(), target=target) for _ in range(2))
    vector, history = trained(compiled)
    expected = {}
    training.train(numpy, 2, expected)
    moved = np.abs(numpy.network.params.vector - everything(dtype).params.vector).max()
    assert np.abs(vector - numpy.network.params.vector).max() <= tolerance * moved and moved > 0
    for name in ("objective", "loss", "penalty"):
        assert history[name] == pytest.approx(expected[name], rel=100 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype, tolerance", [pytest.param(np.float64, 1e-11, marks=pytest.mark.slow), (np.float32, 2e-3)])
def test_both_engines_agree_on_ties_decay_and_sparsity(dtype, tolerance):
    compiled, numpy = (job(dtype, network=tied(dtype), optimizer=Adam(1e-3)) for _ in range(2))
    vector, history = trained(compiled, threads=2)
    expected = {}
    training.train(numpy, 2, expected)
    moved = np.abs(numpy.network.params.vector - tied(dtype).params.vector).max()
    assert np.abs(vector - numpy.network.params.vector).max() <= tolerance * moved and moved > 0
    assert list(compiled.network.params) == ["0.W", "0.b", "1.W", "1.b", "2.b", "3.b"]
    for name in ("objective", "loss", "penalty"):
        assert history[name] == pytest.approx(expected[name], rel=100 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_evaluate_counts_every_penalty_once(monkeypatch, threads):
    """Against NumPy's, and against the objective of one batch of all rows; in whatever chunks and on however many threads."""
    network, loss = tied(np.float64), MeanSquaredError()
    expected = training.evaluate(network, loss, X, X, len(X), chunk=37)
    batch = sum(training.objective_and_gradients(network, loss, X, X, network.params.zeros_like()))
    assert expected["objective"] == pytest.approx(batch, rel=1e-12)
    parts = [layer.penalty(A) for layer, A in zip(network.layers, network.forward(X)[1][1:])]
    assert sorted(i for i, part in enumerate(parts) if part > 0.02 * sum(parts)) == [0, 2, 5] and parts[4] > 0
    for rows in (driver.ROWS, 64):
        monkeypatch.setattr(driver, "ROWS", rows)
        assert driver.evaluate(network, loss, X, X, len(X), threads) == pytest.approx(expected, rel=1e-12)


def test_parts_of_a_tied_network_use_the_weights_of_the_whole():
    for dtype in (np.float32, np.float64):
        network = tied(dtype)
        codes = network[:6].predict(X)
        assert np.allclose(driver.predict(network[:6], X.astype(dtype), 2), codes, atol=1e-5)
        assert np.allclose(driver.predict(network[6:], codes, 2), network.predict(X), atol=1e-5)
        assert np.allclose(driver.predict(network[:-1][6:], codes, 2), network[6:8].predict(codes), atol=1e-5)
    with pytest.raises(ValueError, match="from outside of this part"):
        driver.train(Job(network[6:], MeanSquaredError(), SGD(0.1), codes, X, 32, 0), 1, {}, threads=1)


MORE = dict(weight_decay=0.03, kl=(0.3, 0.05), tied=True)


@pytest.mark.parametrize("cases", [
    [Case(0, (6, 7, 4, 5), "relu", "mse", 0.1, "mean", code=2), Case(0, (9, 7, 3, 7, 9), "sigmoid", "mse", code=2, **MORE)],
    pytest.param([Case(0, (6, 7, 4, 5), "relu", "binary_crossentropy", 1e-5, "sum", code=2),
                  Case(0, (9, 3, 4), "tanh", "mse", weight_decay=0.1)], marks=pytest.mark.slow)])
def test_the_gradient_of_one_step_against_the_complex_step(cases):
    """A step of plain gradient descent with rate 1 moves the parameters by their gradient."""
    for case in cases:
        exact, before = case.by_complex_step(), {name: array.copy() for name, array in case.network.params.items()}
        task = Job(case.network, case.loss, SGD(1.0), case.X, case.T, len(case.X), 0)
        driver.train(task, 1, {}, threads=2)
        for name, array in case.network.params.items():
            assert agree(before[name] - array, exact[name], 1e-9)  # the step itself rounds: 1e-16 of parameters near 1


def test_a_planted_bug_in_the_shared_source_would_be_seen():
    """The comparison above can fail: a gradient that is off by a millionth does."""
    case = Case(0, (6, 7, 4, 5), "relu", "mse", 0.1, "mean", code=2)
    exact = case.by_complex_step()
    assert not agree(exact["0.W"] * (1 + 1e-6), exact["0.W"], 1e-9)


def digest(threads, **settings):
    """On several threads with Adam beside products, on one after them."""
    linked.load(np.float32, linked.matrix_adam)
    task = job(**settings)
    vector, history = trained(task, threads=threads)
    state = [vector] + [array for array in vars(task.optimizer).values() if isinstance(array, np.ndarray)]
    return hashlib.sha256(b"".join(array.tobytes() for array in state)).hexdigest(), history


@pytest.mark.parametrize("lasting, threads, network, wanted", [
    (1e9, 2, everything, [True]), (0, 2, everything, [False]), (0, 1, everything, []), (0, 2, tied, [])])
def test_code_for_adam_along_products_is_wanted_when_it_pays(monkeypatch, lasting, threads, network, wanted):
    """For several threads, where nothing is added to a product before its step: if the cache has it, or, once, after a while."""
    asked, load = [], linked.load

    def asking(dtype, function=linked.matrix_product, if_kept=False):
        if function is linked.matrix_adam:
            asked.append(if_kept)
        else:
            load(dtype, function)
    monkeypatch.setattr(linked, "load", asking)
    monkeypatch.setattr(driver, "LASTING", lasting)
    trained(job(network=network(np.float32)), epochs=3, threads=threads)
    assert asked == wanted


def test_code_for_large_products_is_wanted_where_there_are_any():
    sizes = [((784, 128), 32), ((784, 128), 1023), ((784, 128), 1024), ((784, 512), 32), ((63, 512), 63), ((1024, 128), 64)]
    assert [driver.has_large_products(shape, rows, 4) for shape, rows in sizes] == [False, False, True, True, False, True]


@pytest.mark.parametrize("batch_size, repeats", [(32, 1), (7, 1), (1, 1), pytest.param(32, 20, marks=pytest.mark.slow)])
def test_D1_the_number_of_threads_changes_no_bit(monkeypatch, batch_size, repeats):
    ran, original = [], driver.steps

    def counting(share, counter, threads, data, first, last, *others):
        if first < last:
            ran.append(threading.get_ident())
        return original(share, counter, threads, data, first, last, *others)
    monkeypatch.setattr(driver, "steps", counting)
    expected = digest(1, batch_size=batch_size)
    for threads in repeats * list(range(1, 9)):
        ran.clear()
        assert digest(threads, batch_size=batch_size) == expected
        assert len(set(ran)) >= threads and len(ran) % threads == 0  # so many workers really ran, in every chunk
    assert digest(None, batch_size=batch_size) == expected


@pytest.mark.parametrize("batch_size", [32, 7])
def test_D1_the_number_of_threads_changes_no_bit_of_ties_decay_and_sparsity(batch_size):
    digests = [digest(threads, network=tied(np.float32), optimizer=SGD(1e-3, 0.9), batch_size=batch_size)
               for threads in (1, 2, 3, 4)]
    assert all(found == digests[0] for found in digests)


def test_D1_means_over_a_threads_own_rows_would_be_seen(monkeypatch):
    """The comparison above can fail: a share in which the whole batch is the rows of one thread."""
    share = driver.Plan._share

    def wrong(*arguments):
        begin, layers, weights, all_A, A, *rest = share(*arguments)
        return begin, layers, weights, A, A, *rest
    expected = digest(1, network=tied(np.float32), optimizer=SGD(1e-3, 0.9))
    monkeypatch.setattr(driver.Plan, "_share", wrong)
    assert digest(1, network=tied(np.float32), optimizer=SGD(1e-3, 0.9)) == expected
    assert digest(2, network=tied(np.float32), optimizer=SGD(1e-3, 0.9)) != expected


@pytest.mark.parametrize("cut", [1, 3])
def test_the_length_of_chunks_changes_no_bit(monkeypatch, cut):
    expected = digest(1)
    monkeypatch.setattr(driver, "CHUNK", 0.0)
    monkeypatch.setattr(driver, "TRIAL", cut)
    assert digest(2) == expected


@pytest.mark.parametrize("noise", [GaussianNoise(0.3, (0, 1)), GaussianNoise(0.3, (0, 1), "once"), MaskingNoise(0.3),
                                   SaltAndPepperNoise(0.3, redraw="once")])
@pytest.mark.parametrize("target", [None, X[::-1]])
def test_noise_is_the_same_noise_as_numpys(noise, target):
    compiled, numpy = (job(noise=noise, target=target) for _ in range(2))
    _, history = trained(compiled, threads=2)
    expected = {}
    training.train(numpy, 2, expected)
    assert history["loss"] == pytest.approx(expected["loss"], rel=1e-5)


@pytest.mark.parametrize("noise, batch_size", [(GaussianNoise(0.3, clip=(0, 1)), 32), (GaussianNoise(0.3, clip=(0, 1)), 7),
                                               (MaskingNoise(0.3), 32), (SaltAndPepperNoise(0.3), 7)])
def test_noise_made_by_numpy_beforehand_gives_the_same_bits(noise, batch_size):
    """An epoch with noise made inside the chunks against one on data that are noisy already, on any number of threads."""
    beforehand = job(batch_size=batch_size)._replace(X=noise.corrupt(X.astype(np.float32), 3, 0))
    expected = trained(beforehand, epochs=1)
    for threads in (1, 2, 5):
        vector, history = trained(job(batch_size=batch_size, noise=noise), epochs=1, threads=threads)
        assert (vector.tobytes(), history) == (expected[0].tobytes(), expected[1])


@pytest.mark.parametrize("rows", [1, 5, driver.BLOCK - 1, driver.BLOCK, driver.BLOCK + 1, 1000])
def test_rows_of_an_encoding_do_not_depend_on_the_others(rows):
    network = everything(np.float32)
    data = np.random.default_rng(1).uniform(size=(1000, 45)).astype(np.float32)
    whole = driver.predict(network, data, 1)
    assert np.abs(whole - network.predict(data)).max() < 1e-5
    for threads in (1, 2, 5):
        assert driver.predict(network, data[:rows], threads).tobytes() == whole[:rows].tobytes()
    assert driver.predict(network, data[rows // 2:rows], 2).tobytes() == whole[rows // 2:rows].tobytes()


def batches_that_differ(predict, network, data):
    """The batch sizes from 1 to 65, at several places, of which some row has other bits than in one batch of all."""
    whole, found = predict(network, data), []
    for size in range(1, 66):
        for start in (0, 1, 7, size % 5, len(data) - size):
            if predict(network, data[start:start + size]).tobytes() != whole[start:start + size].tobytes():
                found.append(size)
    return found


@pytest.mark.parametrize("layers, dtype", [(6, np.float32), (11, np.float32), (11, np.float64),
                                           pytest.param(6, np.float64, marks=pytest.mark.slow)])
def test_D2_a_row_has_the_same_bits_in_every_batch(layers, dtype):
    data = np.random.default_rng(1).uniform(size=(133, 45)).astype(dtype)
    network = everything(dtype)[:layers]
    for threads in (1, 2):
        assert batches_that_differ(lambda network, X: driver.predict(network, X, threads), network, data) == []


def test_D2_rows_that_depend_on_their_batch_would_be_seen():
    def centred(network, X):
        return network.predict(X) * np.float32(1 + 1e-7 * len(X))
    data = np.random.default_rng(1).uniform(size=(133, 45)).astype(np.float32)
    assert len(set(batches_that_differ(centred, everything(np.float32), data))) > 60


def test_the_estimator_with_this_engine():
    settings = dict(hidden_sizes=(9,), code_size=4, epochs=3, random_state=0, l1_activity=1e-3)
    numpy, compiled = (Autoencoder(engine=engine, **settings).fit(X) for engine in ("numpy", "numba"))
    assert compiled.history_["objective"] == pytest.approx(numpy.history_["objective"], rel=1e-5)
    assert np.allclose(compiled.encode(X), numpy.encode(X), atol=1e-4)
    assert compiled.evaluate(X) == pytest.approx(numpy.evaluate(X), rel=1e-4)
    again = Autoencoder(engine="numba", threads=3, **settings).fit(X)
    assert all(np.array_equal(a, b) for a, b in zip(again.get_weights().values(), compiled.get_weights().values()))


def test_several_fits_at_once_give_what_each_gives_alone():
    settings = dict(hidden_sizes=(9,), code_size=4, epochs=3, random_state=0, l1_activity=1e-3, engine="numba", threads=2)
    expected, results = Autoencoder(**settings).fit(X).history_, []
    workers = [threading.Thread(target=lambda: results.append(Autoencoder(**settings).fit(X).history_)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [expected] * 4


def test_divergence_says_when():
    with pytest.raises(DivergedError, match="epoch 1, step [1-9]") as error:
        trained(job(optimizer=SGD(1e30), loss=MeanSquaredError()))
    assert error.value.epoch == 0 and error.value.step >= 1


@pytest.mark.skipif(os.name == "nt", reason="signals differ on Windows")
def test_ctrl_c_stops_between_chunks(monkeypatch):
    chunks, original = [], driver.Engine.run

    def interrupting(*arguments):
        chunks.append(1)
        if len(chunks) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)
    monkeypatch.setattr(driver.Engine, "run", interrupting)
    monkeypatch.setattr(driver, "TRIAL", 1)
    monkeypatch.setattr(driver, "CHUNK", 0.0)
    task = job()
    with pytest.raises(KeyboardInterrupt):
        trained(task, epochs=50)
    assert len(chunks) == 2 and np.isfinite(task.network.params.vector).all()


def test_ctrl_c_in_the_last_moments_is_not_lost():
    class Late:
        def batch(self, *_):
            pass

        def epoch(self, epoch, figures):
            signal.raise_signal(signal.SIGINT)
    task, history = job(), {}
    with pytest.raises(KeyboardInterrupt):
        driver.train(task, 1, history, Late(), threads=1)
    expected, figures = trained(job(), epochs=1)
    assert task.network.params.vector.tobytes() == expected.tobytes() and history == figures


@pytest.mark.parametrize("failing", range(2))
def test_an_error_in_any_thread_is_raised_when_all_are_done(failing):
    done = []

    def function(number):
        if number == failing:
            raise MemoryError(number)
        done.append(number)
    with pytest.raises(MemoryError, match=str(failing)):
        driver.in_threads(function, lambda threads: [(number,) for number in range(threads)], 2)
    assert done == [1 - failing]


@pytest.mark.parametrize("total, threads, unit, expected", [
    (32, 2, 8, [(0, 16), (16, 32)]), (32, 3, 8, [(0, 16), (16, 24), (24, 32)]), (5, 2, 8, [(0, 5), (5, 5)]),
    (0, 2, 8, [(0, 0), (0, 0)]), (33, 4, 8, [(0, 16), (16, 24), (24, 32), (32, 33)])])
def test_shares(total, threads, unit, expected):
    assert driver.shares(total, threads, unit) == expected


def test_the_pace_tries_every_number_and_keeps_the_fastest(monkeypatch):
    monkeypatch.setattr(driver, "cores", lambda: 4)
    pace, used = driver.Pace(None), []
    for _ in range(40):
        threads, steps = pace.next()
        used.append(threads)
        pace.took(threads, steps, steps * {1: 3e-3, 2: 1e-3, 4: 2e-3}[threads])
    assert used[:3] == [1, 2, 4] and used.count(2) >= 34 and steps == 50
    assert driver.Pace(7).next() == (7, driver.TRIAL)


SECOND_PROCESS = """
import sys, numpy as np
from numba.core import bytecode, event
from ae_scratch import Autoencoder
compiled, files, original = [], set(), bytecode.FunctionIdentity.from_function
def from_function(function):
    files.add(function.__code__.co_filename + ":" + function.__name__)
    return original(function)
bytecode.FunctionIdentity.from_function = from_function
class Listener(event.Listener):
    def on_start(self, e): compiled.append(e)
    def on_end(self, e): pass
with event.install_listener("numba:compile", Listener()):
    Autoencoder((4,), 2, epochs=1, random_state=0, engine="numba").fit(np.random.default_rng(0).random((64, 8)))
print(len(compiled), *files, sep="\\n")
"""


def test_a_second_process_compiles_nothing(tmp_path):
    environment = {**{k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}, "XDG_CACHE_HOME": str(tmp_path)}
    (first, *files), (second, *_) = [subprocess.run([sys.executable, "-c", SECOND_PROCESS], env=environment, text=True,
                                                    capture_output=True, check=True).stdout.splitlines() for _ in range(2)]
    assert int(first) > 10 and int(second) == 0
    functions = {(pathlib.Path(file), name) for file, _, name in (line.rpartition(":") for line in files)}
    assert_hashed({file for file, _ in functions})
    with pytest.raises(AssertionError, match="callbacks"):  # the check can fail
        assert_hashed([*(file for file, _ in functions), PACKAGE / "callbacks.py"])
    assert_looked_at({(file.relative_to(PACKAGE).as_posix(), name) for file, name in functions if PACKAGE in file.parents})
    folder, = (tmp_path / "ae_scratch" / "compiled").iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700 and list(folder.rglob("*.nbc"))


def assert_looked_at(functions):
    """``test_kernel_lint`` has found whatever was compiled, but for what only says to Numba how to emit instructions."""
    found = {(file, getattr(node, "name", "<lambda>")) for file, node in Source(texts()).threads_run(ROOTS)}
    assert len(functions) > 40 and functions - found == set()


def assert_hashed(files):
    """The files of the package that were compiled are among those whose change makes a new cache."""
    from ae_scratch.kernels import cache

    hashed = {path for pattern in cache.SOURCES for path in PACKAGE.glob(pattern)}
    ours = {path for path in files if PACKAGE in path.parents}
    assert len(ours) > 5 and ours <= hashed, ours - hashed


def test_without_a_place_for_the_cache_it_still_works(tmp_path):
    (tmp_path / "file").write_text("")
    environment = {**{k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}, "XDG_CACHE_HOME": str(tmp_path / "file")}
    done = subprocess.run([sys.executable, "-c", SECOND_PROCESS], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and int(done.stdout.split()[0]) > 10, done.stderr


def test_the_fingerprint_changes_with_the_sources_and_numbas_settings_stay(monkeypatch, tmp_path):
    import numba

    from ae_scratch.kernels import cache

    before = numba.config.CACHE_DIR
    first = cache.fingerprint()
    monkeypatch.setattr(cache, "__file__", str(tmp_path / "kernels" / "cache.py"))
    (tmp_path / "layers.py").write_text("x = 1")
    second = cache.fingerprint()
    (tmp_path / "layers.py").write_text("x = 2")
    third = cache.fingerprint()
    (tmp_path / "report.py").write_text("x = 1")
    assert len({first, second, third}) == 3 and cache.fingerprint() == third
    cache.cached_jit(nogil=True)(lambda: 1)
    assert numba.config.CACHE_DIR == before


def test_old_folders_are_swept_and_foreign_ones_refused(monkeypatch, tmp_path):
    from ae_scratch.kernels import cache

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    old, recent = (tmp_path / "ae_scratch" / "compiled" / name for name in ("old", "recent"))
    for folder in (old, recent):
        folder.mkdir(parents=True)
    os.utime(old, (0, 0))
    mine = cache.private_folder()
    assert not old.exists() and recent.exists() and mine.exists()
    mine.chmod(0o777)
    with pytest.raises(OSError, match="written to by others"):
        cache.private_folder()


def test_without_the_compiler_the_engine_says_what_to_do():
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", SECOND_PROCESS], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "engine='numpy' runs the same" in done.stderr


def test_the_engine_needs_no_numba_until_it_is_asked_for():
    assert oracle  # the oracle shares no code with either engine
    code = "import sys, ae_scratch; ae_scratch.Autoencoder(engine='numba'); print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
