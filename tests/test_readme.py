"""The README is true: its Python runs, its commands are the ones that CI runs, its map names every file."""

import contextlib
import csv
import io
import pathlib
import re
import shlex

import ae_scratch
from ae_scratch.cli import main

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace, printed = {}, io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks("python"):
            exec(block, namespace)
    out = printed.getvalue()
    assert "209,968 parameters" in out and out.count(" ok\n") == 8 and "WRONG" not in out
    assert namespace["X_hat"].shape == (5000, 784) and (namespace["ae"].reconstruct(namespace["X"]) == namespace["X_hat"]).all()
    by_hand = [float(line.split()[1]) for line in out.splitlines()[-5:]]
    assert by_hand[-1] < 0.17 < by_hand[0]  # it learns


def test_the_loop_by_hand_is_about_ten_lines():
    assert len([line for line in blocks("python")[1].splitlines() if line and not line.startswith(("import", "from"))]) <= 12


def test_continuous_integration_runs_the_readmes_test_command():
    install, _, reproduce, test = blocks("sh")
    assert test in (ROOT / ".ci/run").read_text(encoding="utf-8") and "pytest" in test
    assert "venv" in install and "reproduce --quick" in reproduce


def test_three_commands_from_readings_to_the_causes_of_anomalies(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(ROOT / "data")
    train, *score = blocks("sh")[1].splitlines()
    assert len(score) == 2 and main(shlex.split(train)[1:] + ["--engine", "numpy", "--seed", "0"]) == 0
    for command in score:
        assert main(shlex.split(command)[1:]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()[-7:]))
    assert sorted(int(row["row"]) for row in rows) == [31, 84, 127, 190, 243, 276]
    causes = {row["row"]: [row[f"feature_{i}"] for i in (1, 2, 3)] for row in rows}
    assert "motor_current_a" in causes["190"] and "inlet_pressure_bar" in causes["243"]


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", README):
        assert (ROOT / target).exists(), target


def test_the_map_names_every_module():
    package = pathlib.Path(ae_scratch.__file__).parent
    for path in package.glob("*.py"):
        assert path.name in README or path.name.startswith("__")
    folders = [path.parent.name for path in package.glob("*/__init__.py")]
    assert len(folders) > 5 and all(f"{folder}/" in README for folder in folders)
