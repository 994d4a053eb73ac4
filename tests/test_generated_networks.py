"""Gradients of networks that nobody thought of: drawn by Hypothesis, and every combination of what a network can be made of.

Each on both engines, against three derivatives that share nothing: the complex step on the oracle, central differences and
Richardson's on the code itself. Then the order of the remainder that a gradient leaves behind.
"""

import itertools

import compiled_case
import numpy as np
import pytest
from cases import ACTIVATIONS, H, WIDE_H, Case, close, exact, passes
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ae_scratch import ReLU
from ae_scratch.kernels import reference as ops

WIDTHS = 1, 2, 3, 5, 7, 8, 9, 11, 13, 15, 16, 17  # one, primes, and beside what vectors and tiles of float64 hold: 8 and 16
ROWS = 11, 13, 16, 17
FEW_ROWS = 1, 2, 3, 7, 8, 9  # not with ReLU, which shall be on for some and off for others, nor with KL of their mean
STRENGTHS = 0.0, 1e-5, 0.1


@st.composite
def networks(draw):
    """A chain of one to four layers: any widths and activations, with or without ties, on any loss and with any penalties."""
    depth = draw(st.integers(1, 4))
    tied = depth % 2 == 0 and draw(st.booleans())
    sizes = draw(st.lists(st.sampled_from(WIDTHS), min_size=depth + 1, max_size=depth + 1))
    kinds = draw(st.lists(st.sampled_from(list(ACTIVATIONS)), min_size=depth - 1, max_size=depth - 1))
    loss = draw(st.sampled_from(["binary_crossentropy", "mse"]))
    output = draw(st.sampled_from([None, *ACTIVATIONS])) if loss == "mse" else None
    code, kl = (depth + 1) // 2, draw(st.sampled_from([None, None, (0.3, 0.05), (1e-3, 0.6)]))
    if kl:
        kinds[code - 1:code] = ["sigmoid"] * (depth > 1)
        output = output if depth > 1 else "sigmoid"
    if tied:
        sizes[code + 1:] = sizes[:code][::-1]
    rows = draw(st.sampled_from(ROWS if kl or "relu" in [*kinds, output] else FEW_ROWS + ROWS))
    return Case(draw(st.integers(0, 2**32)), sizes, kinds, loss, draw(st.sampled_from(STRENGTHS)),
                draw(st.sampled_from(["sum", "mean"])), code, output, rows, draw(st.sampled_from([0.0, 0.03])), kl, tied)


def generated(count):
    """A test of so many networks, the same ones every time."""
    how = settings(max_examples=count, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
                   suppress_health_check=list(HealthCheck))
    return lambda test: how(given(networks())(test))


def check(case):
    """All that must hold of a network's gradients, and of the network for it to show."""
    assert passes(case)
    assert case.network.kink_distance(case.X).min() > 30 * WIDE_H and not_vacuous(case)
    assert abs(slope(case, {**case.analytic(), "X": case.by_hand()[0]}) - 2) <= 0.05


def not_vacuous(case):
    """Every ReLU is on for some row and off for another, and the gradient of L1 would be missed if it were missing."""
    A = case.network.forward(case.X)[1]
    on = [a > 0 for layer, a in zip(case.network.layers, A[1:]) if isinstance(layer, ReLU)]
    penalised = any(step[0] == "l1" for step in case.model)
    return (all((units.any(axis=0) & ~units.all(axis=0)).all() for units in on)
            and not (penalised and without_l1(case)))


def without_l1(case):
    """Whether the gradients still pass if L1 has none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops, "l1_backward", lambda dY, A, strength, out=None: np.add(dY, 0, out=out))
        return exact(case)


def slope(case, grads):
    """p in |f(x + h d) - f(x) - h g d| ~ h^p: 2 if g is the gradient, else 1.

    Of both signs of four directions d of length 1 together: what they leave at h^3 cancels, and hardly all bend by nothing.
    """
    rng, remainders = np.random.default_rng(0), []
    arrays = [*case.network.params.values(), case.X]
    directions = [[rng.normal(size=array.shape) for array in arrays] for _ in range(4)]
    for h in 2e-3, 1e-3:
        remainders.append(sum(abs(remainder(case, arrays, grads.values(), d, sign * h)) for d in directions for sign in (1, -1)))
    return np.log2(remainders[0] / remainders[1])


def remainder(case, arrays, grads, direction, h):
    """f(x + h d) - f(x) - h g d"""
    kept, before = [array.copy() for array in arrays], case.objective()
    h /= np.sqrt(sum((d * d).sum() for d in direction))
    for array, d in zip(arrays, direction):
        array += h * d
    moved = case.objective()
    for array, old in zip(arrays, kept):
        array[...] = old
    return moved - before - h * sum((g * d).sum() for g, d in zip(grads, direction))


@generated(15)
def test_G1_G2_G4_generated_networks(case):
    check(case)


@pytest.mark.slow
@generated(200)
def test_G1_G2_G4_200_generated_networks(case):
    check(case)


@pytest.mark.slow
@generated(200)
def test_G1_G2_200_generated_networks_compiled(case):
    """The gradient that a step of training leaves behind, and the objective as it is evaluated."""
    with pytest.MonkeyPatch.context() as patch:
        compiled_case.compile_every_kind(patch)
        grads, f = compiled_case.gradients_with_inputs(case), lambda: compiled_case.objective(case)
        assert close(grads, case.exact, 1e-11, case.rounding_errors())
        assert close(grads, case.by_differences(f=f), 1e-7, case.rounding(H))
        assert close(grads, case.by_richardson(f=f), 1e-8, 2 * case.rounding(WIDE_H))


def combinations():
    """Settings of a network for every layer, activation, output and loss, penalty and depth there is; widths in turn."""
    outputs = [("binary_crossentropy", None)] + [("mse", output) for output in (None, *ACTIVATIONS)]
    l1 = [{"lam": lam, "reduction": reduction} for lam in STRENGTHS[1:] for reduction in ("sum", "mean")]
    penalties = [{}, *l1, {"weight_decay": 0.03}, {"kl": (0.3, 0.05)}, {"kl": (0.1, 0.2), **l1[0], "weight_decay": 0.1}]
    for tied, depth in [(False, 1), (False, 2), (False, 3), (False, 4), (True, 2), (True, 4)]:
        for kind, (loss, output), penalty in itertools.product(ACTIVATIONS, outputs, penalties):
            last = output if depth == 1 else kind
            if (depth == 1 and kind != "relu") or ("kl" in penalty and last != "sigmoid"):
                continue  # without a hidden layer its activation is none; KL wants means in (0, 1)
            yield dict(activation=kind, loss=loss, code=(depth + 1) // 2, output=output, tied=tied, **penalty), depth


def network(number, choice, depth):
    rng = np.random.default_rng(number)
    sizes = [int(n) for n in rng.choice(WIDTHS, depth + 1)]
    if choice["tied"]:
        sizes[depth // 2 + 1:] = sizes[:depth // 2][::-1]
    return Case(number, sizes, **choice)


ALL = list(enumerate(combinations()))


@pytest.mark.parametrize("some", [pytest.param(ALL[::31], id="some"), pytest.param(ALL, id="all", marks=pytest.mark.slow)])
def test_G1_G2_every_combination(some):
    for number, (choice, depth) in some:
        case = network(number, choice, depth)
        assert passes(case) and not_vacuous(case), (number, choice, depth)
    for name, values in dict(activation=ACTIVATIONS, output=(None, *ACTIVATIONS), lam=STRENGTHS[1:], tied=(False, True),
                             code=(1, 2), weight_decay=(0.03, 0.1), kl=((0.3, 0.05), (0.1, 0.2))).items():
        assert {choice.get(name) for _, (choice, _) in some} >= set(values)


def test_G4_a_gradient_that_is_off_by_a_hundredth_leaves_another_slope():
    case = Case(0, (5, 7, 3, 5), "tanh", "mse", 0.1, "mean", code=2)
    grads = {**case.analytic(), "X": case.by_hand()[0]}
    assert slope(case, grads) == pytest.approx(2, abs=0.01)
    for name in grads:
        assert slope(case, {**grads, name: grads[name] * 1.01}) < 1.95
