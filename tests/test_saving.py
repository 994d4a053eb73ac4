"""Saving is all or nothing: whatever fails, or whoever is killed, the old file or the new one stands there alone."""

import errno
import io
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from ae_scratch import files, safetensors as layout
from interruptions import ended, forked

LINUX = pytest.mark.skipif(not files.NAMELESS, reason="files without a name are Linux's")
FALLBACK = pytest.mark.parametrize("nameless", [pytest.param(True, marks=LINUX), False], ids=["nameless", "named"])
CONTENTS = [{"a": np.full((40, 50), i, np.float32), "b": np.arange(9.0)} for i in range(2)]


def save(path, i):
    layout.write(path, "network", {"note": "x" * 100}, CONTENTS[i])


@pytest.fixture
def both(path):
    """The bytes of the old file, which stands at ``path``, and of the new one."""
    contents = []
    for i in (1, 0):
        save(path, i)
        contents.insert(0, path.read_bytes())
    return contents


def names(path):
    return sorted(os.listdir(path.parent))


@contextmanager
def in_place(path):
    with open(path, "wb") as file:
        yield file


# ---- a fault at every system call ---------------------------------------------------------------------------------------

CALLS = ("open", "fsync", "link", "replace", "close", "fchmod")  # of os; opening, writing and closing by name besides


class Faults:
    """Lets the n-th system call of saving fail with an error, and notes all of them."""

    def __init__(self, fails, error):
        self.fails, self.error, self.calls = fails, error, []

    def call(self, name, function, *arguments, **keywords):
        self.calls.append(name)
        if len(self.calls) == self.fails:
            raise OSError(self.error, os.strerror(self.error))
        return function(*arguments, **keywords)

    def file(self, which, mode, name="open", **keywords):
        """A file whose writing and closing can fail as well, with a small buffer."""
        faults = self

        class Raw(io.FileIO):
            def write(self, data):
                return faults.call("write", super().write, data)

            def close(self):
                if not self.closed:
                    try:
                        faults.call("close", lambda: None)
                    finally:
                        super().close()

        raw = Raw(which, mode.replace("b", "")) if isinstance(which, int) else self.call(name, Raw, which, mode.replace("b", ""))
        return io.BufferedRandom(raw, 256) if "+" in mode else io.BufferedWriter(raw, 4096)

    def plant(self, patch):
        patch.setattr(files.os, "fdopen", self.file)
        for module in (files, layout, sys.modules[__name__]):
            patch.setattr(module, "open", self.file, raising=False)
        for name in CALLS:
            if hasattr(os, name):
                patch.setattr(files.os, name, lambda *a, name=name, original=getattr(os, name), **k: self.call(
                    name, original, *a, **k))


def faulty_saves(path, both, monkeypatch, error):
    """The faults after which anything but the old or the new file stands there alone, and what calls a save makes."""
    broken, fails = [], 1
    while True:
        path.write_bytes(both[0])
        faults, failed = Faults(fails, error), False
        with monkeypatch.context() as patch:
            faults.plant(patch)
            try:
                save(path, 1)
            except OSError as raised:
                failed = raised.errno == error
        if len(faults.calls) < fails:
            assert path.read_bytes() == both[1]
            return broken, faults.calls
        if not failed or names(path) != [path.name] or path.read_bytes() not in both:
            broken.append((fails, faults.calls[fails - 1]))
        fails += 1


@FALLBACK
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EDQUOT], ids=errno.errorcode.get)
def test_F3_a_fault_at_every_system_call(path, both, monkeypatch, error, nameless):
    monkeypatch.setattr(files, "NAMELESS", files.NAMELESS if nameless else 0)
    broken, calls = faulty_saves(path, both, monkeypatch, error)
    assert broken == [] and {"open", "write", "fsync", "replace", "close"} <= set(calls) and len(calls) > 10
    order = [calls.index("write"), calls.index("fsync"), *map(calls.index, ["link"] * nameless), calls.index("replace"),
             len(calls) - 1 - calls[::-1].index("fsync")]
    assert order == sorted(order) and order[1] < order[-1] and "write" not in calls[calls.index("fsync"):]


def test_F3_a_writer_in_place_is_found_out(path, both, monkeypatch):
    monkeypatch.setattr(layout, "replacement", in_place)
    broken, _ = faulty_saves(path, both, monkeypatch, errno.ENOSPC)
    assert {name for _, name in broken} >= {"write"}


@pytest.mark.slow
@LINUX
def test_F3_the_order_of_the_system_calls(tmp_path):
    if not shutil.which("strace"):
        pytest.skip("no strace here")
    code = ("import sys, numpy as np; from ae_scratch import safetensors as s; s.write(sys.argv[1], 'network', {}, "
            "{'a': np.zeros(9)})")
    command = ["strace", "-f", "-e", "trace=openat,write,fsync,linkat,rename,renameat,renameat2", sys.executable, "-c", code,
               str(tmp_path / "model")]
    run = subprocess.run(command, capture_output=True, text=True)
    calls = run.stderr[run.stderr.index("O_TMPFILE"):]
    pattern = r"O_TMPFILE.*write\(.*fsync\(.*linkat\(.*rename.*model.part.*model\".*openat\(.*O_RDONLY.*fsync\("
    assert run.returncode == 0 and re.search(pattern, calls, re.DOTALL), calls
    assert "write(" not in calls[calls.index("fsync("):calls.index("linkat(")]


# ---- killed -------------------------------------------------------------------------------------------------------------


def kills(path, count, seed=0):
    """Kill children that save the two contents by turns, at random instants; return after how many the file was neither, how many
    left something behind, and how many still did after the next save."""
    rng, broken, left, unswept = np.random.default_rng(seed), 0, 0, 0
    contents = []
    for i in (0, 1):
        save(path, i)
        contents.append(path.read_bytes())

    def child():
        while True:
            for i in (0, 1):
                save(path, i)

    for _ in range(count):
        pid = forked(child)
        time.sleep(rng.uniform(0.002, 0.03))
        os.kill(pid, signal.SIGKILL)
        assert ended(pid) == -signal.SIGKILL
        broken += path.read_bytes() not in contents
        left += names(path) != [path.name]
        save(path, 0)
        unswept += names(path) != [path.name]
    return broken, left, unswept


@LINUX
@pytest.mark.parametrize("count", [20, pytest.param(500, marks=pytest.mark.slow)])
def test_F3_killed_at_random_instants(path, count):
    broken, left, unswept = kills(path, count)
    print(f"{count} kills: {broken} broken, {left} left something behind, {unswept} still after the next save")
    assert (broken, unswept) == (0, 0)


@LINUX
@pytest.mark.parametrize("fault", ["written in place", "never swept"])
def test_F3_the_harness_finds_faults(path, monkeypatch, fault):
    @contextmanager
    def slowly_in_place(path):
        with open(path, "wb", buffering=0) as file:
            yield file
            time.sleep(2e-3)

    def slowly_named(path):
        with files.replacing(path) as part, open(part, "xb") as file:
            yield file
            time.sleep(2e-3)

    monkeypatch.setattr(layout, "replacement", slowly_in_place if fault == "written in place" else contextmanager(slowly_named))
    broken, _, unswept = kills(path, 20)
    assert (broken if fault == "written in place" else unswept) > 0


@LINUX
def test_F3_a_kill_between_the_two_names_is_swept(path, both, monkeypatch):
    pid = forked(lambda: [setattr(os, "replace", lambda *a: os.kill(os.getpid(), signal.SIGKILL)), save(path, 1)])
    assert ended(pid) == -signal.SIGKILL
    assert names(path) == [f".{path.name}.part", path.name] and path.read_bytes() == both[0]
    save(path, 1)
    assert names(path) == [path.name] and path.read_bytes() == both[1]


# ---- the file that is replaced ------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="permissions and links differ there")
@FALLBACK
def test_F3_permissions_and_links_stay(path, both, tmp_path, monkeypatch, nameless):
    monkeypatch.setattr(files, "NAMELESS", files.NAMELESS if nameless else 0)
    before = os.umask(0o027)
    try:
        save(tmp_path / "new", 0)
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640
    path.chmod(0o600)
    (tmp_path / "folder").mkdir()
    link, dangling = tmp_path / "folder" / "link", tmp_path / "folder" / "dangling"
    link.symlink_to(path)
    dangling.symlink_to(tmp_path / "later")
    for target, real in ((link, path), (dangling, tmp_path / "later")):
        save(target, 1)
        assert target.is_symlink() and real.read_bytes() == both[1]
    assert path.stat().st_mode & 0o777 == 0o600 and sorted(os.listdir(tmp_path / "folder")) == ["dangling", "link"]


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_F3_a_folder_that_may_not_be_written(path, both):
    path.parent.chmod(0o500)
    try:
        with pytest.raises(PermissionError):
            save(path, 1)
    finally:
        path.parent.chmod(0o700)
    assert path.read_bytes() == both[0]


@LINUX
def test_F3_another_file_system(both):
    """One in memory, if there is one."""
    folder = pathlib.Path("/dev/shm", f"ae_scratch.{os.getpid()}")
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no /dev/shm here")
    folder.mkdir()
    try:
        for i in (0, 1):
            save(folder / "model", i)
            assert os.listdir(folder) == ["model"] and (folder / "model").read_bytes() == both[i]
    finally:
        shutil.rmtree(folder)


def test_F3_several_save_at_once(path, both):
    """The file of one of them stands there, complete, at any time; nobody fails."""
    failed, seen, stop = [], set(), threading.Event()

    def work(i):
        try:
            for _ in range(40):
                save(path, i)
        except OSError as error:
            failed.append(error)

    def watch():
        while not stop.is_set():
            seen.add(path.read_bytes())

    workers, watcher = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)], threading.Thread(target=watch)
    for thread in (watcher, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    watcher.join()
    assert not failed and seen <= set(both) and names(path) == [path.name]
