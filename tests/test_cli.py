"""The command as a user runs it: output, files, messages, exit codes."""

import json
import subprocess
import sys

import pytest

from ae_scratch import cli, datasets, experiments


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Few images, an empty current folder, and nowhere to find MNIST."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AE_SCRATCH_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "generate_digits", lambda: GENERATED)
    return tmp_path


GENERATED = datasets.generate_digits(320, 40)


def test_reproduce_prints_tables_and_writes_results_and_pictures(small, capsys):
    pytest.importorskip("matplotlib")
    assert cli.main(["reproduce", "shallow", "denoising", "--epochs", "1", "--out", "run", "--engine", "numpy"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("generated digits: 320 training and 40 test images")
    assert "The published figures are MNIST's" in out and "(MNIST's)" in out and "difference" not in out
    assert "shallow: 784-32-784" in out and "run/results.json" in out.replace("\\", "/")
    assert "epoch 1/1  objective 0." in err and "\r" not in err
    assert {file.name for file in (small / "run").iterdir()} == {
        "results.json", "shallow-reconstructions.png", "shallow-weights.png", "denoising-inputs.png", "denoising-results.png"}
    assert all(file.read_bytes()[:4] in (b"\x89PNG", b"{\n \"") for file in (small / "run").iterdir())


def test_a_run_that_fails_leaves_the_results_of_an_earlier_one(small, capsys):
    assert cli.main(["reproduce", "deep", "--epochs", "1", "--engine", "numpy"]) == 0
    before = (small / "reproduction/results.json").read_bytes()
    assert cli.main(["reproduce", "deep", "--data", "nowhere"]) == 1
    assert "of an earlier run in reproduction will be replaced" in capsys.readouterr().err
    assert (small / "reproduction/results.json").read_bytes() == before
    assert {file.suffix for file in (small / "reproduction").iterdir()} == {".json", ".png"}


def test_json_on_standard_output_is_results_json(small, capsys):
    assert cli.main(["reproduce", "deep", "--epochs", "1", "--seed", "5", "6", "--json", "--quick"]) == 0
    out, err = capsys.readouterr()
    printed, written = json.loads(out), json.loads((small / "reproduction-quick/results.json").read_text())
    assert printed == written and set(printed["experiments"]["deep"]["measured"]) == {"5", "6"}
    assert "deep: 784-128-32-128-784" in err


def test_the_compiled_engine_measures_the_same(small, capsys):
    objectives = []
    for engine, option in (("numpy", ["--engine", "numpy"]), ("numba", [])):
        assert cli.main(["reproduce", "deep", "--epochs", "2", "--json", *option]) == 0
        run = json.loads(capsys.readouterr().out)["experiments"]["deep"]["measured"]["0"]["deep"]
        objectives.append(run["history"]["objective"])
        assert run["settings"]["engine"] == engine
    assert objectives[0] == pytest.approx(objectives[1], rel=1e-5)


def test_without_matplotlib_the_figures_are_there_and_the_pictures_are_missed(small, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert cli.main(["reproduce", "deep", "--epochs", "1", "--engine", "numpy"]) == 0
    out, err = capsys.readouterr()
    assert "epoch 1" in out and "no deep-reconstructions.png" in err and "pip install 'ae_scratch[plot]'" in err


def test_mnist_by_folder_is_compared_with_the_published_figures(small, capsys, monkeypatch):
    monkeypatch.setattr(datasets, "load_mnist", lambda path, download: GENERATED._replace(name="MNIST", source=path))
    assert cli.main(["reproduce", "deep", "--epochs", "2", "--data", "somewhere", "--engine", "numpy"]) == 0
    assert "difference" in capsys.readouterr().out
    assert cli.main(["reproduce", "deep", "--data", "somewhere", "--quick", "--epochs", "1"]) == 0
    out = capsys.readouterr().out
    assert "difference" not in out and "no quick run reaches them" in out


@pytest.mark.parametrize("arguments, message", [
    (["reproduce", "deep", "--data", "nowhere"], "nowhere"), (["reproduce", "deep", "--out", "file/inside"], "file"),
    (["gradcheck", "--output-activation", "tanh"], "needs --output-activation sigmoid")])
def test_failures_say_what_went_wrong_in_one_line(small, capsys, arguments, message):
    (small / "file").write_text("")
    assert cli.main(arguments) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("ae-scratch: ") and message in last


@pytest.mark.parametrize("arguments", [[], ["reproduce", "deeper"], ["reproduce", "--epochs", "0"],
                                       ["gradcheck", "--entries", "x"], ["gradcheck", "--activation", "relo"],
                                       ["reproduce", "--seed", "4294967296"], ["gradcheck", "--code-size", "0"],
                                       ["reproduce", "--data", "x", "--download"]])
def test_wrong_usage_exits_with_2(capsys, arguments):
    with pytest.raises(SystemExit) as exit:
        cli.main(arguments)
    assert exit.value.code == 2 and "usage: ae-scratch" in capsys.readouterr().err


def test_interrupted_exits_with_130(small, capsys, monkeypatch):
    def interrupt(data, seed, options):
        raise KeyboardInterrupt
    monkeypatch.setitem(experiments.EXPERIMENTS, "deep", interrupt)
    assert cli.main(["reproduce", "deep"]) == 130
    assert capsys.readouterr().err.endswith("interrupted\n")


def test_gradcheck_prints_the_table(capsys):
    assert cli.main(["gradcheck", "--hidden-sizes", "8", "--code-size", "3", "--entries", "10"]) == 0
    out = capsys.readouterr().out
    assert out.count(" ok\n") == 8 and "decoder.1.b" in out and out.endswith("all gradients are right\n")


def test_gradcheck_of_wrong_gradients_exits_with_3(capsys, monkeypatch):
    from ae_scratch.kernels import reference

    monkeypatch.setattr(reference, "scale", lambda D, factor, out=None: 1.001 * factor * D)
    assert cli.main(["gradcheck", "--hidden-sizes", "--code-size", "3", "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False and len(report["checks"]) == 4 and report["checks"][0]["name"] == "encoder.0.W"


@pytest.mark.parametrize("arguments", [["--help"], ["reproduce", "--help"], ["gradcheck", "--help"], ["--version"]])
def test_help_and_version_load_no_numba_and_no_matplotlib(arguments):
    code = ("import sys; from ae_scratch.cli import main\ntry: main(sys.argv[1:])\nfinally: "
            "print('loaded', *{'numba', 'matplotlib'} & set(sys.modules), file=sys.stderr)")
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.strip() == "loaded" and "ae-scratch" in done.stdout


def test_names_on_the_command_line_are_the_experiments():
    assert cli.reproduce.NAMES == tuple(experiments.EXPERIMENTS)


def test_python_m_is_the_same_command():
    done = subprocess.run([sys.executable, "-m", "ae_scratch", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == f"ae-scratch {cli.__version__}\n"
