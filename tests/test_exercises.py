"""The exercises: solutions are judged right, every common mistake gets its hint, and ``compare`` tells right from wrong."""

import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest

from ae_scratch import compare, exercises
from ae_scratch.exercises import solutions as module
from ae_scratch.exercises.problems import problems


@pytest.fixture(scope="module")
def solutions():
    return vars(module)


def verdicts(solutions, name, answer):
    """What is said of one function's answers if it is written like this."""
    problem = next(problem for problem in problems() if problem.function == name)
    found = exercises.check({**solutions, name: answer})
    mine = [v for v in found if v.name.startswith(name.removesuffix("backward").rstrip("_") + ": ")]
    assert len(mine) == len(problem.answers) and all(v.ok for v in found if v not in mine)
    return mine


def test_the_solutions_are_right(solutions):
    found = exercises.check(solutions)
    assert all(verdict.ok for verdict in found) and len(found) == 20
    assert exercises.report(found).endswith("20 of 20 answers are right")


def test_the_exercises_are_the_solutions_without_answers():
    empty, full = exercises.text(), exercises.text(solutions=True)
    assert full == pathlib.Path(module.__file__).read_text(encoding="utf-8")
    assert empty.count("raise NotImplementedError  # your answer") == len(problems()) == 10
    assert {line for line in empty.splitlines()} - {line for line in full.splitlines()} == {
        "    raise NotImplementedError  # your answer"}
    assert "W.T" not in empty.replace("code @ W.T + b2", "") and "relu_forward" in empty


def test_an_empty_file_is_judged_by_running_it(tmp_path):
    path = tmp_path / "exercises.py"
    path.write_text(exercises.text(), encoding="utf-8")
    done = subprocess.run([sys.executable, path], capture_output=True, text=True)
    assert done.returncode == 3 and done.stderr == ""
    assert done.stdout.count("not answered yet") == 20 and done.stdout.endswith("0 of 20 answers are right\n")


def test_the_answers_do_not_depend_on_the_library_alone(solutions):
    """The solutions, which share no code with the layers, against differences of the forward passes beside them."""
    rng = np.random.default_rng(0)
    X, W1, W2 = rng.uniform(size=(5, 4)), rng.normal(size=(4, 3)), rng.normal(size=(3, 4))
    b1, b2, lam = rng.normal(size=3), rng.normal(size=4), 0.1
    f = lambda: solutions["autoencoder_forward"](X, W1, b1, W2, b2, lam)[-1]  # noqa: E731
    *cache, _ = solutions["autoencoder_forward"](X, W1, b1, W2, b2, lam)
    _, dW2, db2, _, _, dW1, db1 = solutions["autoencoder_backward"](X, W1, W2, lam, *cache)
    for array, gradient in ((W1, dW1), (b1, db1), (W2, dW2), (b2, db2)):
        assert gradient == pytest.approx(differences(f, array), abs=1e-8)


def differences(f, array):
    """The derivatives of f() with respect to the numbers of an array that it reads, to 1e-8: central differences."""
    slopes = np.empty_like(array)
    for i in np.ndindex(array.shape):
        value, ends = array[i], []
        for array[i] in (value + 1e-6, value - 1e-6):
            ends.append(f())
        array[i] = value
        slopes[i] = (ends[0] - ends[1]) / 2e-6
    return slopes


PENALTIES = {"l1": (0.3,), "kl": (0.5, 0.2)}


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "squared_error", "cross_entropy", *PENALTIES, "tied"])
def test_each_solution_is_the_derivative_of_what_stands_above_it(solutions, name):
    """Of sum(dY * Y), plus the penalty, which has the gradient dY at Y; a loss is one number."""
    rng = np.random.default_rng(1)
    A, other = rng.uniform(0.1, 0.9, (5, 4)), rng.uniform(size=(5, 4))  # targets, or gradients that come in
    forward, backward = solutions[f"{name}_forward"], solutions[f"{name}_backward"]
    if name == "tied":
        W, b1, b2 = rng.normal(size=(4, 3)), rng.normal(size=3), rng.normal(size=4)
        f, code = lambda: np.sum(other * forward(A, W, b1, b2)[1]), forward(A, W, b1, b2)[0]
        pairs = zip((W, b1, b2), backward(other, A, W, code))
    elif name in PENALTIES:
        f = lambda: np.sum(other * forward(A, *PENALTIES[name])[0]) + forward(A, *PENALTIES[name])[1]  # noqa: E731
        pairs = [(A, backward(other, A, *PENALTIES[name]))]
    elif name in ("squared_error", "cross_entropy"):
        f, pairs = lambda: forward(A, other), [(A, backward(A, other))]
    else:
        f, pairs = lambda: np.sum(other * forward(A)), [(A, backward(other, forward(A)))]
    for array, gradient in pairs:
        assert gradient == pytest.approx(differences(f, array), abs=1e-8)


def test_the_solutions_judge_themselves(capsys):
    with pytest.raises(SystemExit) as done:
        runpy.run_path(module.__file__, run_name="__main__")
    assert done.value.code == 0 and capsys.readouterr().out.endswith("20 of 20 answers are right\n")


MISTAKES = {
    "mask": ("relu_backward", lambda dY, Y: dY, 0, "a mask is missing"),
    "the output for its slope": ("relu_backward", lambda dY, Y: dY * Y, 0, "not Y itself"),
    "half a slope": ("sigmoid_backward", lambda dY, Y: dY * Y, 0, "1 - Y is missing"),
    "logits for probabilities": ("cross_entropy_backward", lambda Z, T: (Z - T) / Z.size, 0, "before the sigmoid"),
    "no chain": ("relu_backward", lambda dY, Y: (Y > 0) * 1.0, 0, "multiplies it with dY"),
    "transpose that fits": ("affine_backward", lambda dY, X, W: (dY @ W, X.T @ dY, dY.sum(axis=0)), 0, "a transpose is missing"),
    "transpose that does not fit": ("affine_backward", lambda dY, X, W: (dY @ W.T, X @ dY, dY.sum(axis=0)), 1, "which factor"),
    "dW transposed": ("affine_backward", lambda dY, X, W: (dY @ W.T, dY.T @ X, dY.sum(axis=0)), 1, "transpose of the answer"),
    "broadcast sum": ("affine_backward", lambda dY, X, W: (dY @ W.T, X.T @ dY, dY), 2, "the sum over the rows is missing"),
    "kept dimension": ("affine_backward", lambda dY, X, W: (dY @ W.T, X.T @ dY, dY.sum(axis=0, keepdims=True)), 2, "sum"),
    "all summed": ("affine_backward", lambda dY, X, W: (dY @ W.T, X.T @ dY, dY.sum()), 2, "too much was summed"),
    "mean for sum": ("affine_backward", lambda dY, X, W: (dY @ W.T, X.T @ dY, dY.mean(axis=0)), 2, "5 times too small"),
    "sigmoid of its output": ("sigmoid_backward", lambda dY, Y: dY / (1 + np.exp(-Y)) * (1 - 1 / (1 + np.exp(-Y))), 0, "already"),
    "sign": ("tanh_backward", lambda dY, Y: dY * (Y**2 - 1), 0, "the sign is wrong"),
    "no factor 2": ("squared_error_backward", lambda Y, T: (Y - T) / Y.size, 0, "factor 2"),
    "no 1/N": ("squared_error_backward", lambda Y, T: 2 * (Y - T) / Y.shape[1], 0, "1/N is missing"),
    "no 1/n": ("cross_entropy_backward", lambda Z, T: (1 / (1 + np.exp(-Z)) - T) / len(Z), 0, "1/n is missing"),
    "no mean at all": ("cross_entropy_backward", lambda Z, T: 1 / (1 + np.exp(-Z)) - T, 0, "1 / (N n) is missing"),
    "no square": ("tanh_backward", lambda dY, Y: dY * (1 - Y), 0, "square is missing"),
    "a factor": ("tanh_backward", lambda dY, Y: 20 * dY * (1 - Y**2), 0, "20 times too large"),
    "no cancellation": ("cross_entropy_backward",
                        lambda Z, T: (1 / (1 + np.exp(-Z)) - T) * np.exp(-Z) / (1 + np.exp(-Z))**2 / Z.size, 0, "cancels"),
    "penalty alone": ("l1_backward", lambda dY, A, lam: lam / len(A) * np.sign(A), 0, "is to be passed on"),
    "penalty missing": ("l1_backward", lambda dY, A, lam: dY, 0, "share is missing"),
    "penalty without 1/N": ("l1_backward", lambda dY, A, lam: dY + lam * np.sign(A), 0, "1/N is missing"),
    "sign of zero": ("l1_backward", lambda dY, A, lam: dY + lam / len(A), 0, "at 0"),
    "kl of each row": ("kl_backward", lambda dY, A, beta, rho: dY + beta / len(A) * ((1 - rho) / (1 - A) - rho / A), 0,
                       "mean"),
    "kl with the wrong sign": ("kl_backward", lambda dY, A, beta, rho: dY - beta / len(A) * (
        (1 - rho) / (1 - A.mean(axis=0)) - rho / A.mean(axis=0)), 0, "sign"),
    "one path": ("tied_backward", lambda dY, X, W, code: (X.T @ (dY @ W), (dY @ W).sum(axis=0), dY.sum(axis=0)), 0, "decoder's"),
    "other path": ("tied_backward", lambda dY, X, W, code: (dY.T @ code, (dY @ W).sum(axis=0), dY.sum(axis=0)), 0, "encoder's"),
    "nothing": ("relu_backward", lambda dY, Y: None, 0, ""),
    "zeros": ("relu_backward", lambda dY, Y: 0 * dY, 0, "was not passed on"),
    "nan": ("relu_backward", lambda dY, Y: dY * np.nan, 0, "NaN"),
    "results missing": ("affine_backward", lambda dY, X, W: (dY @ W.T, X.T @ dY), 2, "return dX, dW, db"),
    "another order": ("affine_backward", lambda dY, X, W: (X.T @ dY, dY @ W.T, dY.sum(axis=0)), 0, "this is dW: return"),
    "too many results": ("tied_backward", lambda dY, X, W, code: (dY, dY, dY, dY), 0, ""),
    "an error": ("affine_backward", lambda dY, X: 1, 0, ""),
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_a_common_mistake_gets_its_hint(solutions, mistake):
    name, answer, which, hint = MISTAKES[mistake]
    verdict = verdicts(solutions, name, answer)[which]
    assert verdict.verdict == "wrong" and hint in verdict.hint and verdict.detail and (verdict.hint or not hint)


def test_of_a_truncated_answer_each_result_is_judged_and_the_missing_ones_are_named(solutions):
    found = verdicts(solutions, "affine_backward", lambda dY, X, W: (dY @ W.T, X.T @ dY))
    assert [v.ok for v in found] == [True, True, False] and found[2].detail == "missing: 2 of 3 results were returned"
    found = verdicts(solutions, "affine_backward", lambda dY, X, W: dY @ W.T)
    assert [v.ok for v in found] == [True, False, False]


def whole(solutions, change):
    """The verdicts on the whole autoencoder, in a word each and as they are, if its answers are changed before."""
    def answer(X, W1, W2, lam, z1, code, logits):
        dlogits, dW2, db2, dcode, dz1, dW1, db1 = solutions["autoencoder_backward"](X, W1, W2, lam, z1, code, logits)
        mine = dict(dlogits=dlogits, dW2=dW2, db2=db2, dcode=dcode, dz1=dz1, dW1=dW1, db1=db1)
        change(mine, X, W2, lam, code)
        return tuple(mine.values())
    found = verdicts(solutions, "autoencoder_backward", answer)
    return [v.verdict if not v.ok else "ok" for v in found], found


def backward_from(mine, X, W2, lam, code):
    """Everything behind dlogits, as it has to be."""
    mine.update(dW2=code.T @ mine["dlogits"], db2=mine["dlogits"].sum(axis=0))
    mine["dcode"] = mine["dlogits"] @ W2.T + lam / len(X) * np.sign(code)
    backward_from_code(mine, X, code)


def backward_from_code(mine, X, code):
    mine["dz1"] = mine["dcode"] * (code > 0)
    mine.update(dW1=X.T @ mine["dz1"], db1=mine["dz1"].sum(axis=0))


def test_what_follows_from_an_error_is_told_from_the_error(solutions):
    def factor(mine, X, W2, lam, code):
        mine["dlogits"] = 20 * mine["dlogits"]
        backward_from(mine, X, W2, lam, code)
    kinds, found = whole(solutions, factor)
    assert kinds == ["wrong", *6 * ["follows"]] and "20 times too large" in found[0].hint
    assert all(verdict.detail.startswith("right for your d") and not verdict.hint for verdict in found[1:])
    assert exercises.report(found).endswith("0 of 7 answers are right, 6 more follow from a wrong one")
    assert "dW2" in str(found[1]) and "wrong, by an error before it: right for your dlogits" in str(found[1])


def test_a_second_error_is_found_behind_the_first(solutions):
    def change(mine, X, W2, lam, code):
        mine["dcode"] = mine["dlogits"] @ W2.T  # the penalty is missing
        mine["dz1"] = mine["dcode"].copy()  # and the mask
        mine.update(dW1=mine["dz1"].T @ X, db1=mine["dz1"].sum(axis=0))  # and W1 is transposed
    kinds, found = whole(solutions, change)
    assert kinds == [*3 * ["ok"], "wrong", "wrong", "wrong", "follows"] and "share is missing" in found[3].hint
    assert found[4].detail.startswith("with your dcode: ") and "mask" in found[4].hint and "transpose" in found[5].hint


def test_what_stands_in_for_a_right_intermediate_is_named(solutions):
    kinds, found = whole(solutions, lambda mine, X, W2, lam, code: mine.update(dW1=X.T @ mine["dcode"]))
    assert kinds == [*5 * ["ok"], "wrong", "ok"] and "dz1 belongs here" in found[5].hint


@pytest.mark.parametrize("nonsense", [None, "text", np.ones(3)])
def test_behind_what_is_no_such_array_everything_is_held_against_the_right_one(solutions, nonsense):
    kinds, _ = whole(solutions, lambda mine, X, W2, lam, code: mine.update(dcode=nonsense))
    assert kinds == [*3 * ["ok"], "wrong", *3 * ["ok"]]
    kinds, found = whole(solutions, lambda mine, X, W2, lam, code: mine.update(dcode=nonsense, dz1=-mine["dz1"]))
    assert kinds == [*3 * ["ok"], "wrong", "wrong", *2 * ["ok"]] and "the sign is wrong" in found[4].hint


def test_arguments_are_copies(solutions):
    def spoil(dY, Y):
        dY *= 0
        return dY
    assert not verdicts(solutions, "relu_backward", spoil)[0].ok


# ---- compare --------------------------------------------------------------------------------------------------------


def test_exact_rounding_wrong():
    reference = np.linspace(-1, 3, 12).reshape(3, 4)
    assert compare("a", reference.tolist(), reference).verdict == "exact"
    assert compare("a", reference * (1 + 1e-15), reference).verdict == "rounding"
    wrong = reference.copy()
    wrong[1, 2] += 1e-6
    wrong[2, 0] += 1
    verdict = compare("a", wrong, reference)
    numbers = "expected 1.181818, got 1.181819"  # as many digits as tell them apart
    assert not verdict.ok and verdict.detail == f"2 of 12 numbers, first at [1, 2]: {numbers}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_tolerance_is_a_thousand_units_in_the_last_place_of_the_largest(dtype):
    reference = np.array([4.0, 0.5], dtype)
    for units, ok in ((990, True), (1010, False)):
        mine = reference + np.array([0, units * np.finfo(dtype).eps * 4], dtype)
        assert compare("a", mine, reference).ok == ok


def test_what_is_no_array_is_wrong():
    for mine in (None, "text", [[1], [1, 2]]):
        assert compare("a", mine, np.ones(2)).verdict == "wrong"


def test_a_number_and_nothing():
    assert compare("loss", 0.5, np.array(0.5)).verdict == "exact" and not compare("loss", 0.6, 0.5).ok
    assert compare("empty", np.empty((0, 2)), np.empty((0, 2))).verdict == "exact"


def test_float32_is_told_from_a_missing_factor():
    reference = np.random.default_rng(0).normal(size=(3, 4))
    verdict = compare("a", reference.astype(np.float32), reference)
    assert not verdict.ok and verdict.hint == "right to five digits: computed in float32?"
    assert "too large" in compare("a", 1.0001 * reference, reference).hint


def test_a_forgotten_return_and_an_error_are_told_as_such(solutions):
    def forgets(dY, Y):
        dY * (Y > 0)

    def fails(dY, X, W):
        return dY + X[:, :3]

    (verdict,) = verdicts(solutions, "relu_backward", forgets)
    assert (verdict.detail, verdict.hint) == ("nothing was returned", "a return is missing")
    for verdict in verdicts(solutions, "affine_backward", fails):
        line = fails.__code__.co_firstlineno + 1
        assert verdict.detail.startswith(f"line {line}: ValueError: operands could not be broadcast") and "shapes" in verdict.hint


def test_zero_has_no_sign():
    assert "expected 0, got 1" in compare("a", [1.0], np.array([-0.0])).detail
