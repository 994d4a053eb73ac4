"""Where compiled code is kept: damaged files, full disks, a cold start of two processes, and Numba's own settings."""

import errno
import os
import pathlib
import pickle
import shutil
import subprocess
import sys

import numba
import numpy as np
import pytest
from processes import in_a_new_process

import ae_scratch
from ae_scratch.kernels import cache


def add_one(x):
    return x + 1


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A cache of its own."""
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "ae_scratch" / "compiled"


def found(*values):
    """Call a function compiled as in a new process; return how often it was found in the cache."""
    function = cache.cached_jit()(add_one)
    assert [function(value) for value in values] == [value + 1 for value in values]
    return sum(function.stats.cache_hits.values())


def files(folder):
    return sorted(folder.rglob("*.nbc"))


def test_what_was_compiled_once_is_found_again(folder):
    assert (found(1), found(1), found(1, 1.5), found(1, 1.5)) == (0, 1, 1, 2)
    assert len(files(folder)) == 2 == len(list(folder.glob("*/*/*")))
    mode, = {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert mode == 0o700


DAMAGES = {
    "empty": lambda data: b"", "cut in the hash": lambda data: data[:20], "hash alone": lambda data: data[:32],
    "half": lambda data: data[:len(data) // 2], "last byte missing": lambda data: data[:-1],
    "first bit": lambda data: bytes([data[0] ^ 1]) + data[1:], "last bit": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "a bit within": lambda data: data[:999] + bytes([data[999] ^ 4]) + data[1000:], "zeros": lambda data: bytes(len(data)),
    "longer": lambda data: data + b"\0", "text": lambda data: b"not what it was\n" * 99}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_compiled_anew_and_mended(folder, damage):
    found(1)
    file, = files(folder)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    assert (found(1), found(1)) == (0, 1)


def damaged_files_that_are_run(load, data, count):
    """Of how many files with one of ``count`` bits flipped, or cut off in one of as many places, ``load`` returns something."""
    bits = np.random.default_rng(0).choice(8 * len(data), count, replace=False).tolist()
    flipped = (data[:bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1:] for bit in bits)
    cut = (data[:end] for end in range(0, len(data), 1 + len(data) // count))
    return sum(load(content) is not None for content in [*flipped, *cut])


def test_B3_no_flipped_bit_and_no_truncation_is_run(folder):
    found(1)
    file, = files(folder)

    def load(content):
        file.write_bytes(content)
        return kept.load("key")
    kept = cache.CheckedFiles(file.parent, "add_one")
    kept.path = lambda key: file
    data = file.read_bytes()
    assert load(data) is not None and damaged_files_that_are_run(load, data, 300) == 0


def test_B3_a_loader_that_does_not_check_would_be_noticed():
    assert damaged_files_that_are_run(lambda content: content[32:] or None, bytes(100), 300) == 300 + 100 - 33


UNUSABLE = {"no home": lambda patch: [patch.delenv("XDG_CACHE_HOME"), patch.setattr(os.path, "expanduser", lambda path: path)],
            "read-only": lambda patch: patch.setattr(pathlib.Path, "mkdir", refuse),
            "of another user": lambda patch: patch.setattr(os, "getuid", lambda: 10**6),
            "open to others": lambda patch: patch.setattr(cache.Path, "stat", lambda path: os.stat_result((0o40777, *9 * [0])))}


def refuse(*args, **kwargs):
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.skipif(os.name == "nt", reason="modes and owners of files differ on Windows")
@pytest.mark.parametrize("reason", UNUSABLE)
def test_B3_without_a_folder_that_can_be_trusted_code_is_compiled_anew(folder, monkeypatch, reason):
    found(1)
    before = {file: file.read_bytes() for file in files(folder)}
    with monkeypatch.context() as patch:
        UNUSABLE[reason](patch)
        assert (found(1), found(1)) == (0, 0)
    assert {file: file.read_bytes() for file in files(folder)} == before and found(1) == 1


@pytest.mark.parametrize("flag, value", [("OPT", 1), ("CPU_NAME", "haswell"), ("CPU_FEATURES", "+avx2,+fma"), ("BOUNDSCHECK", 1),
                                         ("DISABLE_INTEL_SVML", 7)])
def test_B3_other_flags_other_code(folder, monkeypatch, flag, value):
    assert (found(1), found(1)) == (0, 1)
    monkeypatch.setattr(numba.config, flag, value)
    assert found(1) == 0 and len(list(folder.iterdir())) == 2


def test_without_the_check_a_damaged_file_would_end_the_fit(folder):
    """What the tests above guard against."""
    found(1)
    data = files(folder)[0].read_bytes()[32:]
    pickle.loads(data)
    with pytest.raises((pickle.UnpicklingError, EOFError)):
        pickle.loads(data[:len(data) // 2])


def test_another_signature_never_gets_the_code(folder):
    """The name of a file is made of all that its code depends on."""
    found(1)
    kept, other = cache.CheckedFiles(folder, "f"), cache.CheckedFiles(folder, "g")
    kept.save("key", [1])
    assert [kept.load("key"), kept.load("other"), other.load("key")] == [[1], None, None]
    kept.sources = "changed"
    assert kept.load("key") is None


@pytest.mark.skipif(os.name == "nt", reason="modes of files differ on Windows")
@pytest.mark.parametrize("failure", ["a folder in its place", "disk full", "folder gone"])
def test_where_nothing_can_be_kept_the_code_runs(folder, monkeypatch, failure):
    function = cache.cached_jit()(add_one)
    if failure == "a folder in its place":
        monkeypatch.setattr(cache.CheckedFiles, "path", lambda self, key: folder)
    elif failure == "disk full":
        def full(path):
            raise OSError(28, "No space left on device")
        monkeypatch.setattr(cache, "replacing", full)
    else:
        shutil.rmtree(folder)
    assert function(1) == 2


def test_a_users_own_folder_wins(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "own"))
    assert (found(1), found(1)) == (0, 1)
    assert files(tmp_path / "own") and not folder.exists()
    assert numba.config.CACHE_DIR == str(tmp_path / "own")


def test_numbas_settings_stay_as_they_were(tmp_path):
    """All of them, through import, fit and encoding, in a process where nothing else sets them."""
    before = "import numba; settings = lambda: {k: v for k, v in vars(numba.config).items() if k.isupper()}; before = settings()"
    expression = "(t.fit(), settings() == before, numba.config.CACHE_DIR)"
    assert in_a_new_process("test_cache", expression, {"NUMBA_CACHE_DIR": ""}, before) == "(None, True, '')"


def fit():
    import numpy as np

    from ae_scratch import Autoencoder

    ae = Autoencoder((9,), 4, epochs=3, random_state=0, l1_activity=1e-3, engine="numba").fit(np.ones((64, 45)))
    ae.encode(np.ones((3, 45)))


def environment_of(folder):
    return {**{name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}, "XDG_CACHE_HOME": str(folder)}


ENGINE = """
import hashlib, numpy as np
from numba.core import event
from ae_scratch import Autoencoder
compiled = []
class Listener(event.Listener):
    def on_start(self, e): compiled.append(e)
    def on_end(self, e): pass
with event.install_listener("numba:compile", Listener()):
    ae = Autoencoder((4,), 2, epochs=1, random_state=0, engine="numba").fit(np.random.default_rng(0).random((64, 8)))
print(len(compiled) > 10, hashlib.sha256(b"".join(w.tobytes() for w in ae.get_weights().values())).hexdigest())
"""


def start(folder, source=None, **variables):
    """Start the program above with the package that is in this folder, or installed."""
    return subprocess.Popen([sys.executable, "-W", "error", "-c", ENGINE], env={**environment_of(folder), **variables},
                            cwd=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result(process):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output.split()


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="the cache lies elsewhere")
@pytest.mark.slow
def test_B3_eight_cold_starts_at_once_and_files_cut_off(tmp_path):
    """Eight processes compile at the same time; a ninth finds what they left; a tenth finds it damaged and compiles again."""
    first, *others = [result(process) for process in [start(tmp_path) for _ in range(8)]]
    assert others == 7 * [first] and first[0] == "True"
    assert result(start(tmp_path)) == ["False", first[1]]
    kept = files(tmp_path)
    for file in kept:
        file.write_bytes(file.read_bytes()[:len(file.read_bytes()) // 2])
    assert kept and result(start(tmp_path)) == ["True", first[1]]
    assert result(start(tmp_path)) == ["False", first[1]]


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="the cache lies elsewhere")
@pytest.mark.slow
@pytest.mark.parametrize("own", [False, True], ids=["private folder", "NUMBA_CACHE_DIR"])
def test_B3_an_edited_source_is_never_stale(tmp_path, own):
    """Of a callee in another file, which Numba's own cache would not notice; nor other flags."""
    package, folder = tmp_path / "source" / "ae_scratch", tmp_path / "cache"
    shutil.copytree(pathlib.Path(ae_scratch.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    variables = {"NUMBA_CACHE_DIR": str(folder)} if own else {}

    def run(**others):
        return result(start(folder, package.parent, **variables, **others))
    (compiled, before), again = run(), run()
    assert compiled == "True" and again == ["False", before] and run(NUMBA_OPT="1") == ["True", before]
    source = package / "kernels" / "compiled.py"
    source.write_text(source.read_text().replace("zero if X[i, j] < zero else X[i, j]", "zero - X[i, j]"))
    compiled, after = run()
    assert compiled == "True" and after != before and run() == ["False", after]


def test_a_folder_that_cannot_be_removed_is_left(folder, monkeypatch):
    def refused(path):
        tried.append(path.name)
        raise PermissionError
    tried = []
    for name in "mine", "old", "older":
        (folder / name).mkdir(parents=True)
        os.utime(folder / name, (0, 0))
    monkeypatch.setattr(shutil, "rmtree", refused)
    cache.sweep(folder / "mine")
    assert sorted(tried) == ["old", "older"] and len(list(folder.iterdir())) == 3


def test_code_that_can_be_missing_is_loaded_if_an_earlier_process_kept_it(tmp_path):
    """The first process looks, and finds nothing; it compiles; the second one looks, and finds it."""
    look = "linked.load('float32', linked.matrix_adam, if_kept=True)"
    loaded = "'ae_scratch.matrix_adam.float32' in linked.loaded"
    environment = {"NUMBA_CACHE_DIR": "", "XDG_CACHE_HOME": str(tmp_path)}
    expression = f"{look}, {loaded}, linked.load('float32', linked.matrix_adam), {loaded}"
    before = "from ae_scratch.kernels import compiled, linked"
    assert [in_a_new_process("test_cache", expression, environment, before) for _ in range(2)] == [
        "None False None True", "None True None True"]
