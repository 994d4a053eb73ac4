"""The autoencoder on one page gives the library's numbers, and is not longer than a page."""

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ae_scratch import Autoencoder
from ae_scratch.kernels.philox import permutation

PAGE = Path(__file__).parents[1] / "examples" / "minimal_autoencoder.py"


@pytest.fixture
def page():
    spec = importlib.util.spec_from_file_location("minimal_autoencoder", PAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def histories(page, lam):
    """The objective of each epoch, of the page and of the library, from the same weights and on the same batches; and the weights
    afterwards."""
    X = np.random.default_rng(0).random((37, 9))
    X[X < 0.3] = 0
    settings = dict(hidden_sizes=(7,), code_size=3, l1_activity=lam, learning_rate=0.01, batch_size=10, dtype="float64",
                    engine="numpy", random_state=5)
    start = Autoencoder(**settings, epochs=1).fit(X)
    names = list(start.get_weights())
    params = page.initialize([9, 7, 3, 7, 9], np.random.default_rng(1))
    weights = dict(zip(names, (array.copy() for layer in params for array in layer)))
    ae = Autoencoder(**settings, epochs=3).set_weights(weights)
    ae.seed_ = 5
    optimizer, got = page.Adam(0.01), []
    for epoch in range(3):
        batches = np.split(permutation(5, epoch, 37), range(10, 37, 10))
        history = page.train(params, X, batches, optimizer, code=2, lam=lam)
        got.append(np.average(history, weights=list(map(len, batches))))
        ae.partial_fit(X)
    return got, ae.history_["objective"], [array for layer in params for array in layer], list(ae.get_weights().values())


@pytest.mark.parametrize("lam", [0.0, 0.05])
def test_the_page_gives_the_library_s_numbers(page, lam):
    got, expected, params, weights = histories(page, lam)
    assert got == pytest.approx(expected, rel=1e-12) and len(expected) == 3
    assert all(np.allclose(mine, theirs, rtol=1e-9, atol=1e-12) for mine, theirs in zip(params, weights))


@pytest.mark.parametrize("line, wrong", [("dZ = dA * (A[i] > 0)", "dZ = dA"), ("lam / len(dA) * np.sign", "lam * np.sign"),
                                         ("(1 - self.beta2**self.t)", "1"), ("/ A[0].size", "/ len(A[0])")])
def test_another_number_is_seen(page, line, wrong):
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(line) == 1
    exec(compile(text.replace(line, wrong), "page", "exec"), vars(page))
    got, expected, *_ = histories(page, 0.05)
    assert got != pytest.approx(expected, rel=1e-6)


def test_it_is_one_page_and_needs_numpy_alone():
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120 and max(map(len, text.splitlines())) <= 130
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert [alias.name for node in imports for alias in node.names] == ["numpy"]


def test_it_runs_and_learns(page, capsys):
    page.main()
    *epochs, check, last = capsys.readouterr().out.splitlines()
    assert float(check.split()[-1]) < 1e-9
    objectives = [float(line.split()[-1]) for line in epochs]
    assert objectives == sorted(objectives, reverse=True) and len(objectives) == 6
    error, baseline = (float(part.split()[-1]) for part in last.split(", "))
    assert error < baseline / 4
