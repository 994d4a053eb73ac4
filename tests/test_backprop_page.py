"""docs/backprop.md: every formula stands in the source where the page says, every number of its example is right."""

import importlib
import inspect
import math
import re
from pathlib import Path

import numpy as np
import pytest

from ae_scratch import layers, losses, optimizers, penalties
from ae_scratch.kernels import reference

PAGE = (Path(__file__).parents[1] / "docs" / "backprop.md").read_text(encoding="utf-8")
LINE = re.compile(r"^- `([^`]+)` is `([^`]+)` in `([\w.]+)`$", re.MULTILINE)
ARITHMETIC = {name: getattr(math, name) for name in ("exp", "log", "sqrt")} | {"__builtins__": {}}


def words(text):
    return " ".join(text.split())


def function(name):
    """The object that a dotted name inside the package stands for."""
    parts = name.split(".")
    for i in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(["ae_scratch", *parts[:i]]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            found = getattr(found, part)
        return found
    raise AssertionError(f"{name} is nowhere")


def wrong_lines(page):
    """The lines whose formula is not in the docstring, or whose code is not in the source, of the function they name."""
    wrong = []
    for formula, code, name in LINE.findall(page):
        where = function(name)
        source = inspect.getsource(where)
        said = re.search(re.escape(words(formula)) + r"(?![\w^])", words(where.__doc__))
        if not said or code not in source.replace(where.__doc__, ""):
            wrong.append((formula, code, name))
    return wrong


def test_every_formula_stands_where_the_page_says():
    assert len(LINE.findall(PAGE)) == len(re.findall("^- `", PAGE, re.MULTILINE)) > 50
    assert wrong_lines(PAGE) == []


@pytest.mark.parametrize("old, new", [
    ("`dX = dY W^T`", "`dX = dY W`"), ("in `layers.Dense.forward`", "in `layers.ReLU.forward`"),
    ("`return ops.matmul(dY, self.W.T, out)`", "`return ops.matmul(dY, self.W, out)`")])
def test_a_formula_that_moved_is_seen(old, new):
    assert old in PAGE and wrong_lines(PAGE.replace(old, new))


def test_source_that_moved_is_seen(monkeypatch):
    def relu_backward(dY, Y, out=None):
        """dX = dY where Y > 0, else 0"""
        return np.multiply(dY, Y >= 0, out=out)
    monkeypatch.setattr(reference, "relu_backward", relu_backward)
    assert len(wrong_lines(PAGE)) == 1


def test_nothing_is_left_out():
    told = {name for *_, name in LINE.findall(PAGE)}
    expected = {f"kernels.reference.{name}" for name, f in vars(reference).items() if inspect.isfunction(f)}
    for module in (layers, penalties, losses):
        for cls in (c for c in vars(module).values() if inspect.isclass(c) and c.__module__ == module.__name__):
            if cls.__name__ not in ("Layer", "Uniform"):
                expected |= {f"{module.__name__.split('.')[1]}.{cls.__name__}.{name}" for name in vars(cls)
                             if name in ("input_gradient", "parameter_gradients", "penalty_of", "rows", "backward")}
    assert optimizers.OPTIMIZERS.keys() == {"adam", "sgd"}
    # the first is made of two halves that are told, the second is left to subclasses
    assert expected - told == {"layers.TiedDense.backward", "losses.Loss.rows"}


# ---- the example ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trace():
    namespace = {"print": str}
    exec(re.search("```python\n(.*?)```", PAGE, re.DOTALL)[1], namespace)
    return namespace["trace"]


def claims(page):
    """Name, index, what it is worked out from, and the number or numbers, of each line of the example."""
    blocks = re.findall("```text\n(.*?)```", page, re.DOTALL)[1:]
    for line in "".join(blocks).splitlines():
        left, *middle, right = line.split(" = ")
        name, _, index = left.partition("[")
        yield name, tuple(map(int, index.rstrip("]").split(","))) if index else (), middle, right


def wrong_claims(page, trace):
    wrong = []
    for name, index, middle, right in claims(page):
        digits = max(4, *(len(number.partition(".")[2]) for number in re.findall(r"[-\d.]+", right)))
        value, printed = trace[name].value[index], np.array(eval(right, {"__builtins__": {}}), float)
        if value.shape != printed.shape or not np.all(np.abs(value - printed) <= 0.51 * 10.0**-digits):
            wrong.append((name, index))
        for expression in middle:  # of rounded numbers: off by some units of their last digit
            if abs(eval(expression, ARITHMETIC) - printed) > 2 * 10.0**-digits:
                wrong.append((name, expression))
    return wrong


def test_every_number_of_the_example(trace):
    assert wrong_claims(PAGE, trace) == [] and trace.rows == [1, 0]
    assert len(list(claims(PAGE))) == sum("```" not in line for block in re.findall("```text\n.*?```", PAGE, re.DOTALL)[1:]
                                          for line in block.splitlines()) > 40
    shown = {name for name, index, *_ in claims(PAGE) if not index}
    assert {"x", "z1", "code", "logits", "y", "loss", "objective", "dlogits", "dcode", "dz1", "dx", "dencoder.0.W"} <= shown


def test_any_other_number_is_seen(trace):
    """Each number that a line of the example ends with in turn, larger by 2e-4."""
    seen = 0
    for line in PAGE[PAGE.index("x = [["):PAGE.index("## Dense")].splitlines():
        left, equals, right = line.rpartition(" = ")
        if line and not line[0].isupper() and re.fullmatch(r"[\[\]\d., -]+", right):
            for number in re.finditer(r"-?[\d.]+", right):
                changed = f"{right[:number.start()]}{float(number[0]) + 2e-4:.8f}{right[number.end():]}"
                assert wrong_claims(PAGE.replace(line, left + equals + changed), trace), line
                seen += 1
    assert seen > 100
