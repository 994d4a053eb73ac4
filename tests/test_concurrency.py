"""Fits after a fork, several at once, on busy processors and on one alone: none hangs, and each gives what it gives by itself.

Each runs in a process of its own, so that one that hangs or aborts fails a test and not the tests.
"""

import ast
import hashlib
import os
import subprocess
import sys
import threading
from multiprocessing import get_context

import numpy as np
import pytest
import test_engine
from guarded import allocate_by
from processes import SECONDS, in_a_new_process

from ae_scratch import Autoencoder
from ae_scratch.engine import driver

X = np.random.default_rng(0).uniform(size=(150, 45))
AFFINITY = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system does not say which processors to use")
FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def digest(threads, seed=0, epochs=3):
    """Fit, and return a hash of the weights, the figures of all epochs and of the data, and their encoding."""
    ae = Autoencoder((9,), 4, epochs=epochs, random_state=seed, l1_activity=1e-3, engine="numba", threads=threads).fit(X)
    parts = [*ae.get_weights().values(), np.array([*ae.history_["objective"], *ae.evaluate(X).values()]), ae.encode(X)]
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


@pytest.fixture(scope="module")
def expected():
    return digest(1)


def in_a_fork():
    """The digests of parent and child, which inherits what the parent has compiled, but none of its threads."""
    parent = [digest(2), digest(None)]
    with get_context("fork").Pool(1) as pool:
        child = pool.apply_async(digest, (2,)), pool.apply_async(digest, (None,))
        return parent + [result.get(SECONDS / 2) for result in child]


@FORK
def test_B4_after_a_fork(expected):
    assert ast.literal_eval(in_a_new_process("test_concurrency", "t.in_a_fork()")) == 4 * [expected]


def in_a_fork_during_a_fit():
    """The digest of a child that was forked while another thread of its parent was in the middle of a fit."""
    digest(2)
    running, original = threading.Event(), driver.Engine.run

    def run(*arguments):
        running.set()
        return original(*arguments)
    driver.Engine.run = run
    worker = threading.Thread(target=digest, args=(2, 0, 10**6), daemon=True)
    worker.start()
    running.wait()
    with get_context("fork").Pool(1) as pool:
        child = pool.apply_async(digest, (2,)).get(SECONDS / 2)
    return worker.is_alive(), child


@FORK
def test_B4_a_fork_during_a_fit(expected):
    assert ast.literal_eval(in_a_new_process("test_concurrency", "t.in_a_fork_during_a_fit()")) == (True, expected)


def in_new_processes(method):
    """The digests of fits in two processes that start anew, after one in this."""
    before = digest(2)
    if method == "loky":
        from joblib import Parallel, delayed

        return [before, *Parallel(n_jobs=2, backend="loky", timeout=SECONDS / 2)(delayed(digest)(2) for _ in range(2))]
    with get_context(method).Pool(2) as pool:
        return [before, *(result.get(SECONDS / 2) for result in [pool.apply_async(digest, (2,)) for _ in range(2)])]


@pytest.mark.parametrize("method", ["loky", pytest.param("spawn", marks=pytest.mark.slow)])
def test_B4_in_new_processes(method, expected):
    if method == "loky":
        pytest.importorskip("joblib")
    before = f"__name__ = 'not main'; import os; os.environ['PYTHONPATH'] = {os.pathsep.join(sys.path)!r}"
    found = in_a_new_process("test_concurrency", f"t.in_new_processes({method!r})", before=before)
    assert ast.literal_eval(found) == 3 * [expected]


def at_the_same_time(threads, times=1, count=8):
    """The digests of fits with different seeds, each several times over, in threads that start together."""
    found, start = {}, threading.Barrier(count)

    def fit(seed):
        start.wait()
        found[seed], = {digest(threads, seed) for _ in range(times)}
    workers = [threading.Thread(target=fit, args=(seed,)) for seed in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [found[seed] for seed in range(count)]


@pytest.mark.parametrize("threads, times", [(None, 1), (3, 1), pytest.param(None, 50, marks=pytest.mark.slow),
                                            pytest.param(3, 50, marks=pytest.mark.slow)])
def test_B4_eight_threads_fit_and_encode_at_once(threads, times):
    alone = [digest(1, seed) for seed in range(8)]
    assert ast.literal_eval(in_a_new_process("test_concurrency", f"t.at_the_same_time({threads}, {times})")) == alone
    assert len(set(alone)) == 8


def with_buffers_in_common():
    """The same of an engine whose jobs share their plans."""
    plans, original = {}, driver.Engine.__init__

    def init(engine, *arguments):
        original(engine, *arguments)
        engine.plans = plans
    driver.Engine.__init__ = init
    return at_the_same_time(1, count=2)


def test_B4_fits_that_share_buffers_would_be_seen():
    alone = [digest(1, seed) for seed in range(2)]
    assert ast.literal_eval(in_a_new_process("test_concurrency", "t.with_buffers_in_common()")) != alone


SPIN = """
import os, sys, time
os.sched_setaffinity(0, [int(sys.argv[1])])
print(flush=True)
end = time.time() + float(sys.argv[2])
while time.time() < end:
    pass
"""


def on_busy_processors():
    """The digests of fits on two processors, each of which another process keeps busy."""
    processors = sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, processors)
    busy = [subprocess.Popen([sys.executable, "-c", SPIN, str(processor), str(SECONDS)], stdout=subprocess.PIPE)
            for processor in processors]
    try:
        for process in busy:
            process.stdout.readline()
        return [digest(threads) for threads in (2, 4, None)]
    finally:
        for process in busy:
            process.kill()
            process.communicate()


@AFFINITY
def test_on_busy_processors(expected):
    assert ast.literal_eval(in_a_new_process("test_concurrency", "t.on_busy_processors()")) == 3 * [expected]


def workers_on_one_processor(threads):
    """How many threads each chunk, encoding and evaluation used, where one processor may be used, and the digest."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    used, original = set(), driver.in_threads

    def counting(function, calls_of, threads, *counter):
        used.add(threads)
        return original(function, calls_of, threads, *counter)
    driver.in_threads = counting
    return digest(threads), sorted(used)


@AFFINITY
@pytest.mark.parametrize("threads, used", [(None, [1]), (4, [1, 4])])  # the first, empty, chunk compiles: on one thread
def test_on_one_processor(threads, used, expected):
    found = ast.literal_eval(in_a_new_process("test_concurrency", f"t.workers_on_one_processor({threads})"))
    assert found == (expected, used)


@pytest.mark.parametrize("cores", [1, 2, 3, 6, 64])
def test_no_more_threads_than_processors_unless_asked_for(monkeypatch, cores):
    monkeypatch.setattr(driver, "cores", lambda: cores)
    assert driver.Pace(None).candidates[0] == 1 and max(driver.Pace(None).candidates) <= cores
    assert driver.Pace(2 * cores).candidates == [2 * cores]


def where_threads_are_refused(allowed):
    """The digest of a fit that wants four threads, where the system starts so many at a time and no more."""
    original, started = threading.Thread.start, []

    def start(thread):
        if sum(other.is_alive() for other in started) >= allowed:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        original(thread)
    threading.Thread.start = start
    return digest(4), len(started) > 0


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_fewer_threads_where_the_system_refuses_them(allowed, expected):
    assert ast.literal_eval(in_a_new_process("test_concurrency", f"t.where_threads_are_refused({allowed})")) == (
        expected, allowed > 0)


def where_memory_ends(threads, count=9):
    """For each of some allocations in compiled code, what becomes of an epoch in which it fails: whether there is an error, and
    everything is as before; and whether all is well again afterwards."""
    made, bad = [0], [0]

    def make(original, size):
        made[0] += 1
        return None if made[0] == bad[0] else original(size)
    allocate_by(make)
    expected, found = test_engine.digest(threads), []
    for bad[0] in np.linspace(1, made[0] // 3, count).astype(int).tolist():  # of the first of two epochs
        made[0], task = 0, test_engine.job()
        before = task.network.params.vector.tobytes()
        try:
            driver.train(task, 1, {}, threads=threads)
        except MemoryError:
            found.append(task.network.params.vector.tobytes() == before and not (task.optimizer.m.any() or task.optimizer.v.any())
                         and task.optimizer.beta1_t == 1)
    return found, test_engine.digest(threads) == expected


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_L4_want_of_memory_on_any_thread_is_an_error_and_changes_nothing(threads):
    found = ast.literal_eval(in_a_new_process("test_concurrency", f"t.where_memory_ends({threads})"))
    assert found == (9 * [True], True)
