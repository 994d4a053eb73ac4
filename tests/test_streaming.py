"""Data that are larger than memory: mapped files, sequences of batches, results written to files."""

import errno
import mmap
import os
import signal
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from ae_scratch import Autoencoder, DivergedError, GaussianNoise, streaming
from ae_scratch.kernels.philox import permutation
from ae_scratch.scaling import extremes, learn, moments

RNG = np.random.default_rng(0)
X = RNG.random((101, 7))
ENGINES = pytest.mark.parametrize("engine", ["numpy", "numba"])


def model(**settings):
    return Autoencoder(**{"hidden_sizes": (5,), "code_size": 2, "epochs": 2, "random_state": 0, "engine": "numpy", **settings})


def vector(fitted):
    return fitted.network_.params.vector.tobytes()


@pytest.fixture
def mapped(tmp_path):
    def make(array, mode="r"):
        path = tmp_path / f"{array.dtype.name}.npy"
        np.save(path, array)
        return np.load(path, mmap_mode=mode)
    return make


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(streaming, "BLOCK_BYTES", 1000)


# ---- mapped files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine, dtype", [
    *(("numpy", dtype) for dtype in ("float32", "float64", "uint8", "int16", "float16")),
    ("numba", "float32"), pytest.param("numba", "uint8", marks=pytest.mark.slow)])  # each is compiled: seconds
def test_a_mapped_file_gives_the_bits_of_the_array(engine, dtype, mapped, small_blocks):
    data = (255 * X).astype(dtype)
    settings = dict(engine=engine, loss="mse", noise=GaussianNoise(0.1))
    expected, got = model(**settings).fit(data, data[::-1]), model(**settings).fit(mapped(data), data[::-1])
    assert vector(got) == vector(expected) and got.history_ == expected.history_
    file = mapped(data)
    assert np.array_equal(got.encode(file), expected.encode(data)) and got.evaluate(file) == expected.evaluate(data)
    assert np.array_equal(got.reconstruction_error(file), expected.reconstruction_error(data))


def test_pages_are_given_back_unless_they_are_private(mapped):
    file = mapped(X)
    assert isinstance(streaming.mapping(file), mmap.mmap) and isinstance(streaming.mapping(np.asarray(file)[3:]), mmap.mmap)
    assert streaming.mapping(X) is None and streaming.mapping(X[3:]) is None and streaming.mapping(None) is None
    private = mapped(X, "c")
    private[:] = 1
    assert streaming.mapping(private) is None and streaming.mapping(np.asarray(private)) is None
    streaming.release(private)
    assert (private == 1).all()


def test_changes_in_a_private_mapping_that_is_no_memmap_stay(tmp_path):
    """Pages of it given back would be read anew from the file, without the changes."""
    path = tmp_path / "bytes"
    path.write_bytes(bytes(1 << 16))
    with open(path, "rb") as file:
        array = np.ndarray((1 << 13, 8), np.uint8, buffer=mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    array[:] = 1
    streaming.release(array)
    assert streaming.mapping(array) is None and (array == 1).all()


@ENGINES
def test_a_mapped_file_without_a_name(engine):
    with tempfile.TemporaryFile() as file:
        file.write(X.astype(np.float32).tobytes())
        file.flush()
        nameless = np.memmap(file, np.float32, "r", shape=X.shape)
        assert streaming.mapping(nameless) is not None
        assert vector(model(engine=engine).fit(nameless)) == vector(model(engine=engine).fit(X.astype(np.float32)))


def test_what_was_written_to_a_file_stays_when_its_pages_go(mapped):
    file = mapped(X, "r+")
    file[:] = 2
    streaming.release(file)
    assert (file == 2).all()


@ENGINES
def test_results_are_written_to_a_file(engine, tmp_path, mapped, small_blocks):
    fitted = model(scaling="minmax").fit(X).set_params(engine=engine)
    for name, width, call in (("codes", 2, fitted.encode), ("X_hat", 7, fitted.reconstruct)):
        out = np.lib.format.open_memmap(tmp_path / name, "w+", np.float32, (101, width))
        assert call(mapped(X), out=out) is out
        out.flush()
        assert np.array_equal(np.load(tmp_path / name), call(X))
    codes = fitted.encode(X)
    out = np.empty((101, 7), np.float32)
    assert fitted.decode(codes, out=out) is out and np.array_equal(out, fitted.decode(codes))


@pytest.mark.parametrize("out", [np.empty((101, 3), np.float32), np.empty((101, 2)), np.empty((2, 101), np.float32).T, [],
                                 np.broadcast_to(np.float32(0), (101, 2))])
def test_results_that_do_not_fit_are_refused(out):
    with pytest.raises(ValueError, match="out as a writable array of float32 in C order, shape"):
        model(epochs=1).fit(X).encode(X, out=out)


@pytest.mark.parametrize("dtype", [pytest.param("float32", marks=pytest.mark.slow), "uint8"])
def test_a_file_that_was_cut_off_ends_the_training(dtype, tmp_path, mapped):
    data = np.tile((255 * X).astype(dtype), (100, 10))
    file, fitted = mapped(data), model(engine="numba", loss="mse")

    def cut(training):
        os.truncate(tmp_path / f"{dtype}.npy", file.nbytes // 2)
    with pytest.raises(DivergedError, match="in the inputs"):
        fitted.fit(file, callbacks=[cut])


def test_a_file_that_was_replaced_is_read_as_it_was_mapped(tmp_path, mapped):
    file, expected = mapped(X), model(engine="numba").fit(X)
    np.save(tmp_path / "other.npy", X[::-1])
    os.replace(tmp_path / "other.npy", tmp_path / "float64.npy")
    with streaming.file_of(file) as place:
        assert place is None
    assert vector(model(engine="numba").fit(file)) == vector(expected)


def test_where_in_the_file_a_part_begins(mapped):
    part = np.asarray(mapped(X))[5:][3:]
    with streaming.file_of(part) as (descriptor, offset):
        assert np.array_equal(np.frombuffer(os.pread(descriptor, part.nbytes, offset)).reshape(part.shape), X[8:])


MEMORY = """
import resource, sys
import numpy as np
from ae_scratch import Autoencoder
engine = sys.argv[2]
X = np.load(sys.argv[1], mmap_mode="r")
ae = Autoencoder((16,), 4, epochs=1, batch_size=256, engine=engine, threads=1 if engine == "numba" else None, random_state=0)
ae.fit(X[:512])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ae.fit(X)
ae.encode(X, out=np.lib.format.open_memmap(sys.argv[1] + ".codes", "w+", np.float32, (len(X), 4)))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured as Linux counts it")
@ENGINES
def test_a_file_does_not_come_to_lie_in_memory(engine, tmp_path):
    """A file of 160 MB adds less than that to the process's memory, by far: blocks of 16 MB, and some arrays of their size."""
    path, shape = tmp_path / "X.npy", (50_000, 800)
    file = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    file[:] = np.linspace(0, 1, 800, dtype=np.float32)
    del file
    run = subprocess.run([sys.executable, "-c", MEMORY, path, engine], check=True, capture_output=True, text=True)
    assert int(run.stdout) < 0.4 * 160e6


# ---- sequences of batches --------------------------------------------------------------------------------------------------


class Shards:
    """Batches of several sizes, which count how often each is read."""

    def __init__(self, cuts=(0, 30, 31, 64, 101), data=X):
        self.parts = [data[a:b] for a, b in zip(cuts, cuts[1:])]
        self.reads = [0] * len(self.parts)

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, i):
        self.reads[i] += 1
        return self.parts[i]


@pytest.mark.parametrize("engine, scaling", [("numpy", None), ("numpy", "minmax"), ("numba", None)])
def test_each_batch_is_a_step_and_is_read_once_per_epoch(engine, scaling):
    shards, settings = Shards(), dict(dtype="float64", scaling=scaling)
    fitted = model(engine=engine, epochs=3, **settings).fit(shards)
    assert shards.reads[1:] == [3 + bool(scaling)] * 3  # the scaling is learned in a pass of its own
    by_hand = model(batch_size=1000, dtype="float64")
    scaled = X if scaling is None else (X - X.min(axis=0)) / (X.max(axis=0) - X.min(axis=0))
    parts, objectives = Shards(data=scaled).parts, []
    for epoch in range(3):
        for i in permutation(0, epoch, 4):
            by_hand.partial_fit(parts[i])
            objectives.append(by_hand.history_["objective"][-1] * len(parts[i]) / 101)
    assert np.allclose(fitted.network_.params.vector, by_hand.network_.params.vector, rtol=1e-9, atol=1e-12)
    assert np.allclose(fitted.history_["objective"], np.sum(np.reshape(objectives, (3, 4)), axis=1), rtol=1e-12)


def test_another_order_of_batches_would_be_seen():
    assert vector(model().fit(Shards())) != vector(model().fit(Shards().parts[::-1]))


@ENGINES
@pytest.mark.parametrize("redraw", ["batch", "once"])
def test_noise_on_batches_is_new_in_each_epoch_or_not(engine, redraw):
    seen = []

    class Spy(GaussianNoise):
        def corrupt(self, X, seed, epoch=0, rows=None):
            noisy = super().corrupt(X, seed, epoch, rows)
            seen.append((len(X), (noisy - X).tobytes()))
            return noisy
    model(engine=engine, epochs=2, noise=Spy(0.4, redraw=redraw)).fit(Shards((0, 30, 64, 101)))
    first, second = dict(seen[:3]), dict(seen[3:])
    assert len(seen) == 6 and len({noise[:100] for _, noise in seen}) == (6 if redraw == "batch" else 3)
    assert (first == second) == (redraw == "once")


@ENGINES
def test_bad_batches_are_named_and_leave_the_earlier_fit(engine):
    fitted = model(engine=engine).fit(X)
    before = vector(fitted)
    for bad, message in ((np.full((3, 7), np.nan), "batch 2 contains NaN"), (X[:, :4], "batch 2 has 4 features.* expecting 7"),
                         (2 + X, r"batch 2 in \[0, 1\]"), (X[0], "2-D batch 2"), (X.astype(str), "batch 2 to hold real numbers")):
        with pytest.raises((ValueError, TypeError), match=message):
            fitted.fit([X, X[:10], bad])
    for data, message in ((dict(y=X), "its own target"), (dict(validation_fraction=0.1), "use validation_data")):
        with pytest.raises(ValueError, match=message):
            fitted.set_params(validation_fraction=data.pop("validation_fraction", 0.0)).fit([X, X], **data)
    assert vector(fitted) == before


@ENGINES
def test_batches_that_diverge_go_back_to_the_last_good_step(engine):
    wild = [X] * 3 + [X * 1e30] * 2
    fitted = model(engine=engine, loss="mse", epochs=1, batch_size=101)
    with pytest.raises(DivergedError) as caught, np.errstate(all="ignore"):
        fitted.fit(X).partial_fit(wild)
    good = [int(i) for i in permutation(0, 1, 5)][:caught.value.step]
    by_hand = model(engine=engine, loss="mse", epochs=1, batch_size=101).fit(X)
    assert all(i < 3 for i in good)
    if good:
        by_hand.partial_fit([X] * len(good))
    assert np.allclose(fitted.network_.params.vector, by_hand.network_.params.vector, rtol=1e-4, atol=1e-6)


@ENGINES
def test_a_batch_that_is_good_when_it_is_read_again_is_trained_on(engine):
    class Mending(Shards):
        def __getitem__(self, i):
            good, first = super().__getitem__(i), self.reads[i] == 1
            return good * 1e30 if i == 2 and first else good
    settings = dict(engine=engine, loss="mse", epochs=2)
    got, expected = model(**settings).fit(Mending()), model(**settings).fit(Shards())
    assert vector(got) == vector(expected) and got.history_ == expected.history_


@ENGINES
def test_progress_over_batches(engine, capsys):
    model(engine=engine, epochs=2, verbose=1).fit(Shards())
    assert "epoch 2/2  objective 0." in capsys.readouterr().err


@ENGINES
def test_ctrl_c_stops_between_batches(engine):
    class Interrupting(Shards):
        def __getitem__(self, i):
            if sum(self.reads) == 7:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__getitem__(i)
    fitted = model(engine=engine, epochs=50)
    with pytest.raises(KeyboardInterrupt):
        fitted.fit(Interrupting())
    assert len(fitted.history_["loss"]) == 1 and np.isfinite(fitted.network_.params.vector).all()


def test_a_list_of_rows_is_a_matrix():
    assert vector(model().fit(X.tolist())) == vector(model().fit(X))
    assert streaming.is_sequence_of_batches([X, X]) and not streaming.is_sequence_of_batches(X.tolist())
    assert not any(map(streaming.is_sequence_of_batches, (X, X[0], [], "text", None, {"a": 1}, [[1, 2], [3]])))


# ---- scaling ---------------------------------------------------------------------------------------------------------------

HARD = np.concatenate([1e9 + RNG.random((101, 2)), 1e-9 * RNG.random((101, 2)), np.full((101, 1), 0.1), X[:, :2]], axis=1)


@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
def test_what_is_learned_in_blocks_is_learned_of_all(dtype, small_blocks):
    data = (255 * X).astype(dtype) if dtype == "uint8" else HARD.astype(dtype)
    exact = data.astype(np.longdouble)
    mean, deviation = moments(data)
    assert np.allclose(mean, exact.mean(axis=0).astype(float), rtol=1e-15)
    spread = np.sqrt(((exact - exact.mean(axis=0)) ** 2).mean(axis=0)).astype(float)
    # each square is of a deviation that is rounded as the mean is: eps |mean|
    assert (np.abs(deviation - spread) <= 1e-14 * spread + 4 * np.finfo(float).eps * np.abs(mean)).all()
    low, high = extremes(data)
    assert np.array_equal(low, data.min(axis=0)) and np.array_equal(high, data.max(axis=0))


@pytest.mark.parametrize("kind", ["minmax", "standard"])
def test_features_become_alike_and_back_again(kind):
    scaling = learn(kind, HARD)
    scaled = scaling.apply(HARD, np.dtype("float64"))
    spread = np.ptp(scaled, axis=0) if kind == "minmax" else scaled.std(axis=0)
    rounding = 1e-5  # 4 eps |mean| / deviation, of the features around 1e9
    assert np.allclose(spread, [1, 1, 1, 1, 0, 1, 1], atol=rounding) and (scaled[:, 4] == 0).all()
    if kind == "minmax":
        assert scaled.min() == 0 and scaled.max() == 1
    else:
        assert np.allclose(scaled.mean(axis=0), 0, atol=rounding)
    assert np.allclose(scaling.undo(scaled), HARD, rtol=1e-12)


@pytest.mark.parametrize("kind", ["minmax", "standard"])
@pytest.mark.parametrize("engine, source", [("numpy", "float64"), ("numpy", "float32"), ("numpy", "uint8"), ("numba", "float64"),
                                            pytest.param("numba", "uint8", marks=pytest.mark.slow)])
def test_scaled_by_the_model_or_beforehand(engine, kind, source):
    data = (255 * X).astype(source) if source == "uint8" else HARD.astype(source)
    settings = dict(engine=engine, loss="mse", batch_size=16, dtype="float32")
    scaled = learn(kind, data).apply(data, np.dtype("float32"))
    fitted, expected = model(scaling=kind, **settings).fit(data), model(**settings).fit(scaled)
    assert vector(fitted) == vector(expected) and fitted.history_ == expected.history_
    assert np.array_equal(fitted.encode(data), expected.encode(scaled)) and fitted.score(data) == expected.score(scaled)
    Y = expected.reconstruct(scaled)
    assert np.allclose(fitted.reconstruct(data), fitted.scaling_.undo(Y.astype(float)), rtol=1e-6)
    assert np.array_equal(fitted.decode(fitted.encode(data)), fitted.reconstruct(data))
    assert fitted.evaluate(data) == expected.evaluate(scaled)


@pytest.mark.parametrize("kind", ["minmax", "standard"])
def test_large_whole_numbers_are_scaled_before_they_are_rounded(kind):
    """Seconds since 1970, as float32 128 apart."""
    seconds = 1_700_000_000 + np.arange(101)[:, None] * [1, 2, 3, 5, 7, 11, 13]
    settings = dict(loss="mse", scaling=kind)
    fitted, expected = model(**settings).fit(seconds), model(**settings).fit(seconds.astype(np.float64))
    assert vector(fitted) == vector(expected) and np.array_equal(fitted.encode(seconds), expected.encode(seconds.astype(float)))
    assert vector(fitted) != vector(model(**settings).fit(seconds.astype(np.float32)))


def test_cross_entropy_needs_scaled_data_inside_of_what_was_seen():
    fitted = model(scaling="minmax").fit(HARD)
    with pytest.raises(ValueError, match=r"got values from .* after scaling"):
        fitted.evaluate(HARD * 3)
    with pytest.raises(ValueError, match="set scaling='minmax'"):
        model(scaling="standard").fit(HARD)
    with pytest.raises(ValueError, match="to 1e.09: set scaling='minmax', or use loss='mse'"):
        model().fit(HARD)


def test_a_learned_scaling_cannot_come_from_weights():
    with pytest.raises(ValueError, match="learned from data: call fit"):
        model(scaling="standard").set_weights(model().fit(X).get_weights())


# ---- files as not all systems have them ------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_results_go_to_file_systems_that_reserve_nothing(number, mapped, monkeypatch):
    def refused(*arguments):
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(os, "posix_fallocate", refused, raising=False)
    fitted, codes = model().fit(X), mapped(np.zeros((101, 2), np.float32), "r+")
    fitted.encode(X, out=codes)
    assert (codes == fitted.encode(X)).all() and codes.any()


def test_the_file_of_an_address_is_known_where_the_system_tells(mapped, monkeypatch):
    file = mapped(X)
    address = file.__array_interface__["data"][0]
    assert streaming._inode(0) is None
    if os.path.exists("/proc/self/maps"):
        assert streaming._inode(address) == os.stat(file.filename).st_ino
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    assert streaming._inode(address) is None
    with streaming.file_of(file) as place:
        assert place is None


def test_the_row_of_a_value_that_is_not_finite_is_found_in_any_block(mapped, small_blocks):
    data = X.copy()
    data[77, 3] = np.inf
    with pytest.raises(ValueError, match="X contains infinity .*, first in row 77, column 3: remove"):
        model().fit(mapped(data))
