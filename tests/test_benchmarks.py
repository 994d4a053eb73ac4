"""The benchmarks, at toy sizes: that they run, that nobody drops out in silence, and that the README says what was measured."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from ae_scratch import cli
from ae_scratch.cli import bench
from benchmarks import __main__ as command
from benchmarks import contestants, machine, race, report, roofline, training
from benchmarks.contestants import Contestant

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/results.json"
FAKES = '''
import os, sys

class Honest:
    def __init__(self, job): self.job = job
    def epoch(self, order): return 0.5
    def encode(self): return self.job.X

class Liar(Honest):
    def epoch(self, order): return 0.5 if order.sum() < 0 else 0.52

class Late(Honest):
    calls = 0
    def epoch(self, order):
        self.calls += 1
        return 0.5 if self.calls < 3 else float("nan")

class Crash(Honest):
    def epoch(self, order):
        print("out of luck", file=sys.stderr, flush=True)
        os._exit(3)

class Chatty(Honest):
    def epoch(self, order):
        print("Epoch 1/1: a progress bar")
        os.system("echo from a child")
        return 0.5

class Raises(Honest):
    def encode(self): raise ValueError("no codes here")

class Missing:
    def __init__(self, job): import no_such_framework
'''


@pytest.fixture
def fakes(monkeypatch, tmp_path):
    """Contestants that behave well or badly, in place of the real ones."""
    (tmp_path / "fakes.py").write_text(FAKES)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(race, "PAUSE", 0)
    forms = "Honest", "Liar", "Late", "Crash", "Chatty", "Raises", "Missing"
    table = {form.lower(): Contestant(form, f"fakes:{form}", ("fakes",)) for form in forms}
    table["ours"] = table["honest"]
    monkeypatch.setattr(contestants, "CONTESTANTS", table)
    for module in (race, report, training):
        monkeypatch.setattr(module, "CONTESTANTS", table)
    return race.Settings(names=tuple(table), rounds=2)


def refuse(features):
    raise contestants.Missing("this CPU is too old")


def test_nobody_drops_out_in_silence(fakes, monkeypatch):
    monkeypatch.setitem(race.CONTESTANTS, "raises", Contestant("raises", "fakes:Honest", (), environment=refuse))
    cell = training.epoch(np.ones((8, 784), np.float32), training.ARTICLE, 4, 1, fakes)
    results = cell["contestants"]
    assert set(results) == set(fakes.names)
    assert {name: report.reason(result) for name, result in results.items()} == {
        "ours": "", "honest": "", "chatty": "", "liar": "WRONG: loss 0.52 in round 0, others 0.5",
        "late": "WRONG: loss nan in round 2, others 0.5", "crash": "exited with code 3: out of luck",
        "missing": "not installed: no_such_framework", "raises": "this CPU is too old"}
    table = report.epoch(cell)
    for words in ("out of luck", "not installed: no_such_framework", "WRONG: loss 0.52", "this CPU is too old"):
        assert words in table
    assert len(table.splitlines()) == 2 + 2 + len(fakes.names)
    assert [len(results[name]["rounds"]) for name in ("honest", "crash")] == [2, 0]


def test_an_interpreter_that_is_not_there_is_shown(fakes):
    cell = training.epoch(np.ones((8, 784), np.float32), training.ARTICLE, 4, 1, fakes._replace(python="nowhere/python"))
    assert all("nowhere/python" in report.reason(result) for result in cell["contestants"].values())


def test_an_error_while_encoding_is_shown_and_the_others_go_on(fakes, monkeypatch):
    monkeypatch.setattr(training, "ENCODING", fakes.names)
    cell = training.encode(np.ones((8, 784), np.float32), training.ARTICLE, 1, fakes)
    assert report.reason(cell["contestants"]["raises"]) == "ValueError: no codes here"
    assert report.reason(cell["contestants"]["liar"]) == "" and "no codes here" in report.encode(cell)


def test_a_cold_start_shows_failures_too(fakes, monkeypatch):
    monkeypatch.setattr(training, "COLD", fakes.names)
    cell = training.cold(np.ones((8, 784), np.float32), training.ARTICLE, 1, fakes)
    assert report.reason(cell["contestants"]["crash"]) == "exited with code 3: out of luck"
    assert cell["contestants"]["honest"]["warm"]["bytes"] > 1e6 and "not installed" in report.cold(cell)


@pytest.mark.parametrize("value, own_order, wrong", [
    (1.019, False, False), (1.021, False, True), (0.979, False, True), (1.04, True, False), (1.06, True, True),
    (float("inf"), True, True)])
def test_how_close_losses_must_be(monkeypatch, value, own_order, wrong):
    table = {name: Contestant(name, "", (), own_order=own_order and name == "c") for name in "abc"}
    monkeypatch.setattr(race, "CONTESTANTS", table)
    results = {name: {"warm-up": {"loss": 1.0}, "rounds": [{"loss": value if name == "c" else 1.0}]} for name in "abc"}
    race.check(results, "loss")
    assert [name for name in results if "wrong" in results[name]] == ["c"] * wrong


def test_of_two_that_disagree_both_are_marked():
    results = {name: {"warm-up": {"loss": loss}, "rounds": []} for name, loss in (("ours", 1.0), ("numpy", 1.1))}
    race.check(results, "loss")
    assert all("wrong" in result for result in results.values())


def test_squared_error_is_not_compared():
    results = {name: {"warm-up": {"loss": loss}, "rounds": []} for name, loss in (("ours", 0.1), ("scikit-learn", 0.01))}
    race.check(results, "loss")
    assert not any("wrong" in result for result in results.values())


def test_ratios_are_taken_within_rounds():
    a, b = ({"rounds": [{"seconds": t} for t in times]} for times in ((2, 20, 6), (1, 10, 2)))
    assert race.ratio(a, b) == 2


def test_nothing_holds_blas_back_and_threads_are_set(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("OPENBLAS_L2_SIZE", "512")
    environment = machine.clean_environment(3)
    assert not {"OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"} & set(environment)
    assert {environment[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")} == {"3"}
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(ROOT)


def test_operations_of_an_epoch_counted_by_hand():
    """Forward and weight gradients: 2 x 3 x 2 + 2 x 2 x 3 each; input gradients: those of the second layer alone."""
    assert training.flops((3, 2, 3), 10) == 10 * (2 * (6 + 6) + 2 * (6 + 6) + 2 * 6)
    assert training.flops(training.ARTICLE, 32) == pytest.approx(33.69e6, rel=1e-3)  # 208,896 weights


def test_the_floor_adds_its_parts():
    limits = {"fma": [50, 100], "root and quotient": [2.0], "cross_entropy": [1.0], "bandwidth": {"L3": {"update": [28.0]}}}
    floor = roofline.floor(limits, flops=2e11, parameters=1000, steps=10**6, outputs=5e8)
    assert floor == {"products": 2.0, "adam": 1.0, "loss": 0.5, "total": 3.5}


@pytest.mark.slow
def test_every_benchmark_at_toy_size(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(race, "PAUSE", 0)
    monkeypatch.setattr(command.Run, "seconds", 0.001)
    monkeypatch.setattr(command, "load_images", lambda path: digits())
    arguments = ["--quick", "--images", "64", "--rounds", "1", "--threads", "1", "--batch", "32", "--peers", "numpy", "--out",
                 str(tmp_path / "out")]
    assert command.main(arguments) == 0
    out = capsys.readouterr().out
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert list(results["benchmarks"]) == list(command.BENCHMARKS)
    for name, cells in results["benchmarks"].items():
        for cell in cells.values():
            assert report.TABLES[name](cell) in out
            assert all(not report.reason(result) for result in cell.get("contestants", {}).values())
    for step in ("matmul_1_definition", "matmul_transposed", "numpy", "memory copy", "cross_entropy", "floor of an epoch"):
        assert step in out
    assert report.conditions(results) in out and "64 images of generated digits" in out
    assert summary_has_everybody(results)
    pytest.importorskip("matplotlib")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "results.json", "roofline.png", "ladder.png", "epochs.png", "growth.png"}


def digits():
    from ae_scratch.datasets import generate_digits

    return generate_digits(64, 1)


def summary_has_everybody(results):
    section = report.readme_section(results)
    return all(contestants.CONTESTANTS[name].label in section for name in ("ours", "numpy"))


def test_results_are_kept_beside_new_ones_of_the_same_machine_only(tmp_path, capsys):
    conditions = {"machine": {"cpu": "a"}, "data": "d"}
    (tmp_path / "results.json").write_text(json.dumps({**conditions, "benchmarks": {"epoch": {}}}))
    assert command.earlier(tmp_path, conditions)["benchmarks"] == {"epoch": {}}
    assert command.earlier(tmp_path, {**conditions, "data": "e"})["benchmarks"] == {}
    assert "will be replaced" in capsys.readouterr().err


def test_how_close_to_the_floor(fakes):
    epoch = {"contestants": {"ours": {"rounds": [{"seconds": t} for t in (3.0, 2.0, 9.0)]}}, "batch": 32, "threads": 2}
    benchmarks = {"epoch": {"a": epoch, "b": {**epoch, "threads": 1}, "c": {**epoch, "batch": 64}},
                  "roofline": {"2 threads": {"floor": {"total": 1.5}}}}
    assert report.over_floor(benchmarks).count("ae_scratch takes 2.0 times") == 1


@pytest.mark.parametrize("arguments", [["--threads", "0"], ["--rounds", "-1"], ["--peers", "tensorflow"]])
def test_wrong_usage_exits_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as exit:
        command.main(["epoch", *arguments])
    assert exit.value.code == 2


def test_unknown_benchmarks_are_named(capsys):
    assert command.main(["epoch", "epohc"]) == 1
    assert "got epohc" in capsys.readouterr().err


def test_a_kernel_that_computes_something_else_gets_no_figure(monkeypatch):
    from benchmarks import ladder

    def wrong(A, B, C, times):
        C[:] = A @ B
        C[0, 0] += 1
    monkeypatch.setattr(ladder, "repeat_of", lambda step: wrong)
    assert ladder.run("matmul_5_tile", 4, 3, 2, False, 0.001) == {"error": "wrong by 3.3e-01"}


def test_ae_scratch_bench_hands_everything_on(capfd, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert cli.main(["bench", "--help"]) == 0
    assert "python -m benchmarks" in capfd.readouterr().out
    assert cli.main(["bench", "nothing"]) == 1


def test_ae_scratch_bench_without_the_repository(tmp_path):
    shutil.copytree(ROOT / "ae_scratch", tmp_path / "ae_scratch", ignore=shutil.ignore_patterns("__pycache__"))
    run = {"cwd": tmp_path, "capture_output": True, "text": True, "env": {**os.environ, "PYTHONPATH": str(tmp_path)}}
    done = subprocess.run([sys.executable, "-m", "ae_scratch", "bench"], **run)
    assert done.returncode == 1 and "source repository" in done.stderr
    help = subprocess.run([sys.executable, "-m", "ae_scratch", "bench", "--help"], **run)
    assert help.returncode == 0 and "usage: ae-scratch bench" in help.stdout and "source repository" in help.stdout


def test_ae_scratch_bench_looks_beside_itself_then_in_the_current_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "__file__", str(tmp_path / "site-packages/ae_scratch/cli/bench.py"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "epoch"]) == 1 and "source repository" in capsys.readouterr().err
    assert cli.main(["bench", "--help"]) == 0 and "usage: ae-scratch bench" in capsys.readouterr().out
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/__init__.py").touch()
    (tmp_path / "benchmarks/__main__.py").write_text("def main(given):\n    return 7 * (given == ['epoch', '--quick'])")
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("benchmarks", "benchmarks.__main__"):
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["bench", "epoch", "--quick"]) == 7


def test_the_readme_says_what_was_measured():
    results, readme = json.loads(RESULTS.read_text(encoding="utf-8")), (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{report.BEGIN}\n\n{report.readme_section(results)}\n\n{report.END}" in readme


def test_the_readme_is_written_between_its_marks_alone(tmp_path):
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    path = tmp_path / "README.md"
    path.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_readme(results, path)
    assert path.read_text().startswith("before\n") and path.read_text().endswith("\nafter\n") and "old\n" not in path.read_text()
    path.write_text("no marks")
    with pytest.raises(ValueError, match="has no lines"):
        report.write_readme(results, path)
