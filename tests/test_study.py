"""Gradient checks as a lesson, bugs to plant, and the commands trace, exercises and gradcheck --break."""

import argparse
import json
import re

import numpy as np
import pytest
from cases import passes, zoo

from ae_scratch import Autoencoder
from ae_scratch.bugs import BUGS, planted
from ae_scratch.cli import main
from ae_scratch.cli.gradcheck import _picture
from ae_scratch.gradcheck import Sweep, check_gradients, numerical_gradient, sweep
from ae_scratch.kernels import reference as ops


@pytest.fixture(scope="module")
def cases():
    return zoo(0)


@pytest.mark.parametrize("name", list(BUGS))
def test_every_named_bug_is_seen_and_gone_afterwards(name, cases):
    bug = BUGS[name]
    before = getattr(bug.owner, bug.attribute)
    with planted(name) as found:
        assert found is bug and not all(map(passes, cases))
    assert getattr(bug.owner, bug.attribute) is before


def test_a_bug_is_gone_after_an_error_too():
    before = ops.relu_backward
    with pytest.raises(ZeroDivisionError), planted("relu-mask"):
        1 / 0
    assert ops.relu_backward is before
    with pytest.raises(ValueError, match="did you mean 'relu-mask'"), planted("relu-msk"):
        pass


@pytest.mark.parametrize("name", list(BUGS))
def test_a_model_with_the_bug_s_settings_shows_it_to_the_gradient_check(name):
    X = np.random.default_rng(0).uniform(size=(60, 6))
    settings = dict(hidden_sizes=(5,), code_size=4, l1_activity=0.01) | BUGS[name].settings
    ae = Autoencoder(**settings, epochs=20, engine="numpy", random_state=1).fit(X)
    assert ae.gradcheck(X, entries=None).ok
    with planted(name):
        report = ae.gradcheck(X, entries=None)
    assert not report.ok
    worst = max((check for check in report.checks if not check.ok), key=lambda check: check.error)
    assert (report.sweep.name, report.sweep.entry) == (worst.name, worst.worst)
    errors = np.array(report.sweep.error)[7:15]  # h from 3e-4, which crosses no kink, to 1e-7: a wrong one stays
    assert errors.max() < 2 * errors.min()


def test_the_sweep_falls_as_h_squared_and_rises_again():
    x = np.array([0.3, 0.7])
    found = sweep(lambda: float(np.exp(x).sum()), "x", x, (1,), float(np.exp(0.7)))
    error = dict(zip(np.round(np.log10(found.h), 1).tolist(), found.error))
    assert error[-1.0] == pytest.approx(np.exp(0.7) / 6 * 1e-2, rel=0.01)
    assert error[-1.0] / error[-2.0] == pytest.approx(100, rel=0.01) and error[-2.0] / error[-3.0] == pytest.approx(100, rel=0.1)
    assert max(error[-11.0], error[-11.5], error[-12.0]) > 1e3 * min(found.error) and np.array_equal(x, [0.3, 0.7])


def test_the_sweep_of_a_right_check_is_of_the_entry_that_bends_most():
    w, flat = np.array([0.5, 3.0]), np.array([2.0])
    report = check_gradients(lambda: float(np.sin(w[0]) + w[1] ** 3 + 5 * flat[0] ** 2), {"w": w, "flat": flat},
                             {"w": np.array([np.cos(0.5), 27.0]), "flat": np.array([20.0])})
    assert report.ok and (report.sweep.name, report.sweep.entry, report.sweep.analytic) == ("w", (1,), 27.0)


def test_the_plot_of_the_sweep():
    x = np.array([0.7])
    lines = str(sweep(lambda: float(np.exp(x[0])), "x", x, (0,), float(np.exp(0.7)))).splitlines()
    assert lines[0].startswith("error of x[0], where backprop says 2.013753e+00")
    columns = [max((row.rindex("*", 0, 9 + 2 * k) for row in lines[1:-2] if row[8 + 2 * k:9 + 2 * k] == "*"), default=0)
               for k in range(25)]
    assert columns == [8 + 2 * k for k in range(25)] and sum(row.count("*") for row in lines[1:-2]) == 25
    height = [next(i for i, row in enumerate(lines[1:-2]) if row[8 + 2 * k:9 + 2 * k] == "*") for k in (2, 4, 6, 8)]
    assert np.diff(height).tolist() == [2, 2, 2]  # two decades of error for one of h


def test_at_a_kink_a_difference_is_the_mean_of_both_sides():
    assert numerical_gradient(lambda x: float(ops.relu(x)[0]), np.zeros(1))[0] == 0.5


# ---- commands -------------------------------------------------------------------------------------------------------

SMALL = ["--hidden-sizes", "6", "--code-size", "3", "--entries", "8"]


def run(capsys, *arguments):
    code = main(list(map(str, arguments)))
    return code, *capsys.readouterr()


def test_gradcheck_shows_the_lesson(capsys, tmp_path):
    code, out, err = run(capsys, "gradcheck", *SMALL, "-o", tmp_path / "sweep.png")
    assert code == 0 and re.fullmatch(r".*sweep\.png: the error of \S+\[\d.*\] by the step\n", err)
    assert "all gradients are right" in out and "by the step h:" in out
    assert re.search(r"kinks: \d+ of 640 rows .*\nat 0 a difference says relu' = 0.5, .* and backprop 0,", out)
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_of_a_wrong_gradient_is_a_flat_line(tmp_path):
    pytest.importorskip("matplotlib")
    from ae_scratch.plots import style

    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "save", lambda figure, path: seen.append(figure.axes[0].get_ylim()))
        stays = Sweep("W", (0,), 1.0, [1e-3, 1e-2, 1e-1], [2.9e-4, 2.9e-4, 3.2e-4])
        _picture(stays, argparse.Namespace(output=tmp_path / "s.png"))
    (low, high), = seen
    assert high / low > 1e6


def test_gradcheck_with_a_bug(capsys):
    code, out, _ = run(capsys, "gradcheck", *SMALL, "--break", "relu-mask")
    assert code == 3 and "broken: ReLU passes everything back" in out and "WRONG gradients: encoder.0.W" in out
    code, out, _ = run(capsys, "gradcheck", *SMALL, "--break", "tanh-slope", "--json")
    found = json.loads(out)
    assert code == 3 and not found["ok"] and len(found["sweep"]["error"]) == 25
    code, out, _ = run(capsys, "gradcheck", "--break", "list")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == list(BUGS)


def test_an_unknown_bug_is_a_mistake_of_usage(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["gradcheck", "--break", "relu-msk"])
    assert ended.value.code == 2 and "did you mean 'relu-mask'" in capsys.readouterr().err


@pytest.fixture
def model(tmp_path):
    X = np.random.default_rng(0).random((9, 5)).astype(np.float32)
    ae = Autoencoder((4,), 2, engine="numpy", epochs=1, random_state=0).fit(X)
    ae.save(tmp_path / "model.safetensors")
    np.save(tmp_path / "X.npy", X)
    return ae, X, tmp_path / "model.safetensors", tmp_path / "X.npy"


def test_trace_prints_and_writes(capsys, tmp_path, model):
    ae, X, file, data = model
    code, out, err = run(capsys, "trace", file, data)
    assert code == 0 and err == "" and out.split("\n", 1)[1] == f"{ae.trace(X)}\n".split("\n", 1)[1]
    code, out, _ = run(capsys, "trace", file, data, "--json", "--rows", 4)
    assert code == 0 and sorted(json.loads(out)["rows"]) == [0, 1, 2, 3]
    code, out, err = run(capsys, "trace", file, data, "-o", tmp_path / "step.json")
    expected = ae.trace(X)["dencoder.0.W"]
    entry = next(e for e in json.loads((tmp_path / "step.json").read_text())["entries"] if e["name"] == "dencoder.0.W")
    assert code == 0 and out == "" and "step.json: a step with" in err and np.array_equal(
        np.array(entry["values"], np.float32), expected.value)
    assert run(capsys, "trace", file, data, "-o", tmp_path / "step.html", "-q") == (0, "", "")
    assert (tmp_path / "step.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_trace_replaces_nothing_and_knows_its_formats(capsys, tmp_path, model):
    *_, file, data = model
    (tmp_path / "step.html").write_text("mine")
    code, _, err = run(capsys, "trace", file, data, "-o", tmp_path / "step.html")
    assert code == 1 and "--force" in err and (tmp_path / "step.html").read_text() == "mine"
    code, _, err = run(capsys, "trace", file, data, "-o", tmp_path / "step.txt")
    assert code == 1 and "ends in .html or .json" in err


def test_exercises_are_written_and_judged(capsys, tmp_path):
    assert run(capsys, "exercises", "-o", tmp_path / "e.py")[0] == 0
    code, out, _ = run(capsys, "exercises", "--check", tmp_path / "e.py")
    assert code == 3 and out.endswith("0 of 20 answers are right\n")
    code, out, _ = run(capsys, "exercises", "--solutions")
    (tmp_path / "s.py").write_text(out, encoding="utf-8")
    code, out, _ = run(capsys, "exercises", "--check", tmp_path / "s.py")
    assert code == 0 and out.endswith("20 of 20 answers are right\n")
    (tmp_path / "broken.py").write_text("def relu_backward(dY, Y)\n    return dY\n", encoding="utf-8")
    code, _, err = run(capsys, "exercises", "--check", tmp_path / "broken.py")
    assert code == 1 and err == f"ae-scratch: {tmp_path / 'broken.py'}, line 1: expected ':'\n"
    code, _, err = run(capsys, "exercises", "-o", tmp_path / "e.py")
    assert code == 1 and "--force" in err
