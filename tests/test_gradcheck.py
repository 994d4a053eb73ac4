"""The checker itself: right on functions with known derivatives, of second order, and not fooled."""

import numpy as np
import pytest

from ae_scratch.gradcheck import check_gradients, numerical_gradient


def test_known_derivatives():
    x = np.array([[0.3, -1.2], [2.0, 0.7]])
    kept = x.copy()
    got = numerical_gradient(lambda x: float(np.sin(x).sum() + x[0, 0] * x[1, 1]), x)
    expected = np.cos(x) + [[x[1, 1], 0], [0, x[0, 0]]]
    assert np.abs(got - expected).max() < 1e-9 and np.array_equal(x, kept)


def test_the_error_falls_as_h_squared_and_rises_again():
    x = np.array([0.7])
    errors = [abs(numerical_gradient(lambda x: float(np.exp(x[0])), x, h)[0] - np.exp(0.7)) for h in (1e-1, 1e-2, 1e-3, 1e-11)]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.01) and errors[1] / errors[2] == pytest.approx(100, rel=0.01)
    assert errors[3] > errors[2]


def test_only_the_entries_asked_for():
    got = numerical_gradient(lambda x: float((x ** 2).sum()), np.arange(6.0).reshape(2, 3), entries=np.array([1, 5]))
    assert np.isnan(got).sum() == 4 and got[0, 1] == pytest.approx(2) and got[1, 2] == pytest.approx(10)


def test_x_is_restored_when_f_raises():
    x = np.ones(3)

    def f(x):
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        numerical_gradient(f, x)
    assert (x == 1).all()


def test_single_precision_is_refused():
    with pytest.raises(TypeError, match="float64"):
        numerical_gradient(lambda x: 0.0, np.ones(2, np.float32))


@pytest.mark.parametrize("wrong", [lambda g: g * (1 + 1e-5), lambda g: -g, lambda g: g + [0, 0, 1e-4],
                                   lambda g: np.full(3, np.nan), lambda g: g * [1, 1, 0]])
def test_wrong_gradients_are_seen(wrong):
    w, u = np.array([1.0, -2.0, 0.5]), np.array([3.0])
    f = lambda: float((w ** 3).sum() * u[0])  # noqa: E731
    grads = {"w": 3 * w ** 2 * u[0], "u": np.array([(w ** 3).sum()])}
    assert check_gradients(f, {"w": w, "u": u}, grads).ok
    report = check_gradients(f, {"w": w, "u": u}, {**grads, "w": wrong(grads["w"])})
    assert not report.ok and [check.ok for check in report.checks] == [False, True]
    assert "WRONG" in str(report) and str(report).count("  ok\n") == 1


def test_the_worst_entry_is_named():
    w = np.arange(1.0, 7.0).reshape(2, 3)
    gradient = 2 * w
    gradient[1, 2] += 0.1
    check = check_gradients(lambda: float((w ** 2).sum()), {"w": w}, {"w": gradient}).checks[0]
    assert check.worst == (1, 2) and check.analytic == pytest.approx(12.1) and check.numeric == pytest.approx(12)
    assert check.error == pytest.approx(0.1 / 12.1, rel=1e-6) and check.compared == 6


def test_the_allowance_for_rounding_is_four_ulps_of_the_objective_over_h():
    w = np.array([1.0])
    for slack, ok in ((0.5, True), (40, False)):
        off = slack * 4 * 2.0**-52 * 1.0 / 1e-5 + 1e-7 * 1.0
        assert check_gradients(lambda: float(w[0]), {"w": w}, {"w": np.array([1.0 + off])}).ok == ok


def test_a_constant_function_has_a_zero_gradient():
    assert check_gradients(lambda: 3.0, {"w": np.ones(2)}, {"w": np.zeros(2)}).ok


def test_names_and_shapes_must_match():
    with pytest.raises(ValueError, match="named and shaped like the parameters"):
        check_gradients(lambda: 0.0, {"w": np.ones(2)}, {"v": np.ones(2)})
    with pytest.raises(ValueError, match="named and shaped like the parameters"):
        check_gradients(lambda: 0.0, {"w": np.ones(2)}, {"w": np.ones(3)})


def test_the_module_imports_numpy_alone():
    import ast
    import inspect

    from ae_scratch import gradcheck
    imported = {(node.names[0].name if isinstance(node, ast.Import) else node.module).split(".")[0]
                for node in ast.walk(ast.parse(inspect.getsource(gradcheck))) if isinstance(node, (ast.Import, ast.ImportFrom))}
    assert imported == {"__future__", "collections", "typing", "numpy"}
