"""What a report of a bug contains, and the logging channel."""

import logging
import re
import sys

import numpy as np
import pytest

from ae_scratch import Autoencoder, machine, show_versions

X = np.random.default_rng(0).uniform(size=(64, 6))


def test_show_versions_tells_what_is_installed(capsys):
    assert show_versions() is None
    lines = dict(re.split(r":\s+", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert lines["numpy"] == np.__version__ and lines["python"].startswith(sys.version.split()[0])
    assert lines["processors"].startswith(str(machine.cores())) and lines["cache"] and "not installed" not in lines["numba"]


def test_show_versions_where_something_is_absent_or_broken(monkeypatch, capsys):
    monkeypatch.setattr(machine, "PACKAGES", ("numpy", "no-such-package"))
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    show_versions()
    out = capsys.readouterr().out
    assert re.search(r"no-such-package: +not installed", out) and "OMP_NUM_THREADS=3" in out
    assert "engine='numba' does not work: ModuleNotFoundError" in out


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_each_epoch_is_logged(caplog, engine):
    caplog.set_level(logging.DEBUG, "ae_scratch")
    model = Autoencoder((), 2, loss="mse", epochs=2, batch_size=8, random_state=0, engine=engine).fit(X)
    epochs = [message for message in caplog.messages if message.startswith("epoch")]
    assert epochs == [f"epoch {i + 1}: objective {value:.6g}, loss {value:.6g}, penalty 0"
                      for i, value in enumerate(model.history_["loss"])]
    assert all(record.name.startswith("ae_scratch.") for record in caplog.records)


def test_silent_unless_asked(capfd):
    Autoencoder((), 2, epochs=1, engine="numpy").fit(X)
    assert capfd.readouterr() == ("", "")


def test_a_change_of_threads_is_logged_once(caplog, monkeypatch):
    from ae_scratch.engine import driver

    caplog.set_level(logging.DEBUG, "ae_scratch")
    monkeypatch.setattr(driver, "cores", lambda: 2)
    pace = driver.Pace(None)
    for seconds in (0.2, 0.1, 0.1, 0.1):
        pace.took(pace.next()[0], 1, seconds)
    pace.next()
    assert caplog.messages == ["threads: 2, at 100 ms a step"]


def test_compilation_is_logged_and_a_cache_that_is_not_to_be_had(caplog, monkeypatch, tmp_path):
    from ae_scratch.kernels import cache

    caplog.set_level(logging.INFO, "ae_scratch")
    monkeypatch.setattr(cache, "private_folder", lambda: tmp_path)
    for _ in range(2):  # the second one finds it
        assert cache.cached_jit()(_double)(2) == 4
    started, done = caplog.messages
    assert started == "compiling _double" and re.fullmatch(r"compiled _double in [\d.]+ s", done)
    cache.report_no_folder.cache_clear()
    monkeypatch.setattr(cache, "private_folder", _fail)
    for _ in range(2):
        assert cache.cached_jit()(_double)(2) == 4
    assert caplog.messages[2:] == ["compiled code cannot be kept, and is compiled anew by every process: read-only"]


def _double(x):
    return 2 * x


def _fail():
    raise OSError("read-only")
