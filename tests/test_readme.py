"""The README is true: its Python runs, its commands are the ones that CI runs, its map names every file."""

import contextlib
import io
import pathlib
import re

import ae_scratch

ROOT = pathlib.Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_runs_from_top_to_bottom():
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
    run, test = blocks("sh")
    assert test in (ROOT / ".ci/run").read_text(encoding="utf-8") and "pytest" in test
    assert "reproduce --quick" in run


def test_the_map_names_every_module():
    package = pathlib.Path(ae_scratch.__file__).parent
    for path in package.glob("*.py"):
        assert path.name in README or path.name.startswith("__")
    for folder in ("kernels", "datasets"):
        assert f"{folder}/" in README
