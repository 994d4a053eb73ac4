"""Memory and disks that run out at any point (goal L4): the error says so, models and files stay, later calls work."""

import contextlib
import ctypes
import mmap
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from processes import unmeasured

from ae_scratch import Autoencoder, GaussianNoise, Network, cli

try:
    from numpy._core import _multiarray_umath
except ImportError:  # before NumPy 2
    from numpy.core import _multiarray_umath

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits and accounts of memory as Linux has them")
X = np.random.default_rng(0).random((20, 5))


# ---- an allocator of NumPy's that fails at the n-th call ----------------------------------------------------------------


class Handler(ctypes.Structure):
    """NumPy's PyDataMem_Handler: who gives out the memory of arrays."""

    _fields_ = [("name", ctypes.c_char * 127), ("version", ctypes.c_uint8), ("context", ctypes.c_void_p),
                *((name, ctypes.c_void_p) for name in ("malloc", "calloc", "realloc", "free"))]


def function_of(number, *signature):
    """A function of NumPy's C interface."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    table = ctypes.cast(pointer(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    return ctypes.PYFUNCTYPE(*signature)(table[number])


class Allocator:
    """The n-th array, n from 1, that anything asks NumPy for finds no memory; the calls are counted."""

    def __init__(self):
        get, self.set = function_of(305, ctypes.py_object), function_of(304, ctypes.py_object, ctypes.py_object)
        address = ctypes.pythonapi.PyCapsule_GetPointer(get(), b"mem_handler")
        self.handler = Handler.from_buffer_copy((ctypes.c_char * ctypes.sizeof(Handler)).from_address(address))
        self.fails, self.calls, size, place = 0, 0, ctypes.c_size_t, ctypes.c_void_p
        self.kept = []  # what C calls must not be collected
        for name, arguments in (("malloc", [size]), ("calloc", [size, size]), ("realloc", [place, size])):
            kind = ctypes.PYFUNCTYPE(place, place, *arguments)
            self.kept.append(kind(self.counted(kind(getattr(self.handler, name)))))
            setattr(self.handler, name, ctypes.cast(self.kept[-1], place))
        new = ctypes.pythonapi.PyCapsule_New
        new.restype, new.argtypes = ctypes.py_object, [place, ctypes.c_char_p, place]
        self.capsule = new(ctypes.addressof(self.handler), b"mem_handler", None)

    def counted(self, original):
        def allocate(*arguments):
            self.calls += 1
            return None if self.calls == self.fails else original(*arguments)
        return allocate

    @contextlib.contextmanager
    def failing(self, n):
        self.fails, self.calls, before = n, 0, self.set(self.capsule)
        try:
            yield
        finally:
            self.set(before)


@pytest.fixture(scope="module")
def allocator():
    return Allocator()


def model_of(**settings):
    return Autoencoder(**{"hidden_sizes": (4,), "code_size": 2, "epochs": 1, "batch_size": 16, "engine": "numpy",
                          "random_state": 1, **settings})


def state(model):
    """All that a fitted model knows, to the byte."""
    arrays = {name: value.tobytes() if isinstance(value, np.ndarray) else value for name, value in vars(model.optimizer_).items()}
    return (model.network_.params.vector.tobytes(), arrays, {name: list(values) for name, values in model.history_.items()},
            model.seed_, repr(model))


JOBS = {
    "fit": lambda model, folder: model.fit(X[::-1] * 0.5),
    "fit with noise": lambda model, folder: model.set_params(noise=GaussianNoise(0.1)).fit(X[:10]),
    "partial_fit": lambda model, folder: model.partial_fit(X),
    "encode": lambda model, folder: model.encode(X),
    "decode": lambda model, folder: model.decode([[1, 2]]),
    "reconstruct": lambda model, folder: model.reconstruct(X.tolist()),
    "evaluate": lambda model, folder: model.evaluate(X),
    "score": lambda model, folder: model.score(X),
    "reconstruction_error": lambda model, folder: model.reconstruction_error(X, per_feature=True),
    "set_weights": lambda model, folder: model.set_weights({name: 2 * W for name, W in model.get_weights().items()}),
    "gradcheck": lambda model, folder: model.gradcheck(X, entries=1),
    "save": lambda model, folder: model.save(folder / "model"),
    "load": lambda model, folder: Autoencoder.load(folder / "old"),
    "load of an encoder": lambda model, folder: Network.load(folder / "encoder"),
    "export": lambda model, folder: model.export(folder / "predictor.py"),
}

LONG = "fit with noise", "gradcheck"  # thousands of arrays


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def prepared(folder, scaling):
    model = model_of(scaling=scaling).fit(X)
    model.save(folder / "old")
    model.encoder.save(folder / "encoder")
    return model


def failures(job, model, folder, allocator):
    """How often the job fails until it is done, having been denied its first array, its second ...; the model stays as it is."""
    before, files, settings, n = state(model), contents(folder), model.get_params(), 0
    while True:
        n += 1
        try:
            with allocator.failing(n):
                job(model, folder)
        except MemoryError:
            assert allocator.calls >= n
            model.set_params(**settings)
            assert (state(model), contents(folder)) == (before, files), n
        else:
            assert allocator.calls < n, "an error was swallowed"
            return n - 1


@pytest.mark.parametrize("scaling", ["minmax", pytest.param(None, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in JOBS])
def test_L4_every_array_may_find_no_memory(tmp_path, allocator, name, scaling):
    model, other = prepared(tmp_path, scaling), prepared(tmp_path, scaling)
    assert failures(JOBS[name], model, tmp_path, allocator) > 0 or name == "export"  # which makes none
    JOBS[name](other, tmp_path)
    assert state(model) == state(other)  # after all these failures, what is made is what is made without any


def test_L4_a_job_that_changes_the_model_before_it_is_done_is_found_out(tmp_path, allocator):
    def careless(model, folder):
        model.network_.params.vector[:] = 0
        np.zeros(100)

    def swallowing(model, folder):
        with contextlib.suppress(MemoryError):
            np.zeros(100)

    for job in careless, swallowing:
        with pytest.raises(AssertionError):
            failures(job, prepared(tmp_path, None), tmp_path, allocator)


def test_L4_partial_fit_on_batches_of_which_one_is_bad_changes_nothing():
    model = model_of().fit(X)
    before = state(model)
    with pytest.raises(ValueError, match="batch 2 contains NaN"):
        model.partial_fit([X, X, np.full((2, 5), np.nan)])
    assert state(model) == before


def test_L4_the_command_says_that_there_is_no_memory(capsys, monkeypatch):
    def without(*arguments):
        raise MemoryError

    monkeypatch.setattr(Autoencoder, "load", without)
    assert cli.main(["info", "model.safetensors"]) == 1
    assert capsys.readouterr().err == "ae-scratch: there is not enough memory\n"


LITTLE_MEMORY = """
import resource
import numpy as np
from ae_scratch import Autoencoder
X = np.random.default_rng(0).random((50, 5))
model = Autoencoder((4,), 2, epochs=1, engine="numpy", random_state=0).fit(X)
codes, weights = model.encode(X), model.get_weights()
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, -1))
large = np.broadcast_to(X[:1], (2**22, 5))
for job in (model.fit, model.partial_fit, model.encode, model.reconstruct, model.evaluate, model.score,
            lambda X: Autoencoder((20000,), 20000, engine="numpy").fit(X[:5])):
    try:
        job(large)
        print("done")
    except MemoryError:
        print("none")
    assert (model.encode(X) == codes).all() and all((model.get_weights()[name] == W).all() for name, W in weights.items())
"""


def test_L4_a_process_that_may_have_little_memory():
    run = subprocess.run([sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True)
    assert run.returncode == 0 and run.stdout.split() == ["none"] * 7, run.stdout + run.stderr


# ---- disks --------------------------------------------------------------------------------------------------------------

FULL = """
import os, pathlib, resource, signal, sys
import numpy as np
from ae_scratch import Autoencoder, cli
from ae_scratch.callbacks import CSVLogger, ModelCheckpoint
from ae_scratch.datasets import write_table

folder, job = pathlib.Path(sys.argv[1]), sys.argv[2]
X = np.random.default_rng(0).random((20, 5))
model = Autoencoder((4,), 2, epochs=3, batch_size=8, engine="numpy", random_state=1)

def in_place(path):
    with open(path, "w") as file:
        file.write("x" * 500)

def command():
    if cli.main(["encode", str(folder / "model"), str(folder / "X.npy"), "-o", str(folder / "codes.csv"), "--force", "--quiet"]):
        raise OSError

jobs = {"csv": lambda: write_table(folder / "x.csv", X), "npy": lambda: write_table(folder / "x.npy", X),
        "npz": lambda: write_table(folder / "x.npz", X), "export": lambda: model.export(folder / "predictor.py"),
        "encoder": lambda: model.encoder.save(folder / "encoder"), "command": command,
        "checkpoint": lambda: model.fit(X, callbacks=[ModelCheckpoint(folder / "best")]),
        "log": lambda: model.fit(X, callbacks=[CSVLogger(folder / "log.csv")]),
        "planted": lambda: in_place(folder / "x.csv")}
contents = lambda: {path.name: path.read_bytes() for path in folder.iterdir()}

model.fit(X)
model.save(folder / "model")
np.save(folder / "X.npy", X)
if len(sys.argv) > 3:
    jobs[job]()  # so that an older file is there
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
before, weights, failed = contents(), model.get_weights(), 0
for limit in range(0, 10**6, 37):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        jobs[job]()
        break
    except OSError:
        failed += 1
    now = contents()
    if job == "log" and "log.csv" in now:  # whole lines, as far as the disk had room
        log = now.pop("log.csv")
        assert log == before.get("log.csv") or (log.endswith(b"\\n") and {line.count(b",") for line in log.split()} == {3}), log
        assert now == {name: content for name, content in before.items() if name != "log.csv"}
    elif job == "checkpoint" and "best" in now:  # that of the epochs for which there was room
        assert Autoencoder.load(folder / "best").n_features_in_ == 5
        assert {**now, "best": 0} == {**before, "best": 0}
    else:
        assert now == before, limit
    assert all((model.get_weights()[name] == W).all() for name, W in weights.items())
print(failed)
"""


def kept_whole(folder, job, *older):
    """After how many limits for the size of files a job failed and left everything as it was, until it had room enough."""
    run = subprocess.run([sys.executable, "-c", FULL, folder, job, *older], env=unmeasured(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


@pytest.mark.parametrize("older", [["older"], pytest.param([], marks=pytest.mark.slow)], ids=["older", "new"])
@pytest.mark.parametrize("job", ["csv", "npy", "npz", "export", "encoder", "command", "checkpoint", "log"])
def test_L4_a_disk_that_is_full_at_any_byte(tmp_path, job, older):
    assert kept_whole(tmp_path, job, *older) >= 3


def test_L4_a_writer_in_place_is_found_out(tmp_path):
    with pytest.raises(AssertionError):
        kept_whole(tmp_path, "planted")


def test_L4_room_for_results_in_a_file_is_reserved_before_anything_is_written(tmp_path, monkeypatch):
    def full(descriptor, offset, length):
        assert offset + length == os.fstat(descriptor).st_size
        raise OSError(28, "No space left on device")

    model = model_of().fit(X)
    codes = np.lib.format.open_memmap(tmp_path / "codes.npy", "w+", np.float32, (20, 2))
    model.encode(X, out=codes)
    assert (codes == model.encode(X)).all()
    codes[:] = 0
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        model.encode(X, out=codes)
    assert not codes.any()


SMALL_DISK = """
import sys
import numpy as np
from ae_scratch import Autoencoder
X = np.random.default_rng(0).random((200000, 5), np.float32)
model = Autoencoder((4,), 2, epochs=1, engine="numpy").fit(X[:20])
codes = np.lib.format.open_memmap(sys.argv[1] + "/codes.npy", "w+", np.float32, (200000, 2))
try:
    model.encode(X, out=codes)
except OSError as error:
    print(error.strerror)
"""


def test_L4_results_for_a_disk_that_is_too_small(tmp_path):
    """A sparse file in a file system of 64 KiB: writing into its pages would end the process by a signal."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], capture_output=True).returncode:
        pytest.skip("needs the right to mount a file system")
    try:
        run = subprocess.run([sys.executable, "-c", SMALL_DISK, tmp_path], capture_output=True, text=True)
        assert run.stdout.strip() == "No space left on device", run.stderr
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# ---- nothing grows ------------------------------------------------------------------------------------------------------


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def growth(job, count):
    """By how many bytes the process has grown after so many calls, after as many as it takes to warm up."""
    for _ in range(200):
        job()
    before = resident()
    for _ in range(count):
        job()
    return resident() - before


@pytest.mark.parametrize("count", [300, pytest.param(10**4, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["calls", "errors"])
def test_L4_memory_does_not_grow(tmp_path, kind, count):
    model = model_of().fit(X)
    model.save(tmp_path / "model")
    (tmp_path / "bad").write_bytes((tmp_path / "model").read_bytes()[:-1])

    def calls():
        model.partial_fit(X[:8])
        model.history_.clear()
        model.score(model.reconstruct(X))
        Autoencoder.load(tmp_path / "model")

    def errors():
        for wrong in (lambda: model.encode(X[:, :2]), lambda: model.fit(X * np.nan), lambda: Autoencoder.load(tmp_path / "bad"),
                      lambda: model.partial_fit(X + 5)):
            with contextlib.suppress(ValueError):
                wrong()

    assert growth({"calls": calls, "errors": errors}[kind], count) < 2**20


def test_L4_a_leak_is_found_out():
    leaked = []

    def leak():
        leaked.append(mmap.mmap(-1, 20000))  # pages of its own: what this process has given back is not used again
        leaked[-1].write(bytes(20000))

    assert growth(leak, 1000) > 2**20
