"""The house: what an import loads, and that imports point downward only."""

import ast
import pathlib
import subprocess
import sys

import ae_scratch

PACKAGE = pathlib.Path(ae_scratch.__file__).parent
FLOORS = [  # a module imports from its own floor and from those below
    {"kernels", "errors", "files", "safetensors", "machine"},
    {"layers", "losses", "penalties", "optimizers", "noise", "gradcheck", "progress", "inputs", "scaling", "streaming", "pca",
     "comparison", "bugs"},
    {"network", "architecture", "exercises"}, {"training", "trace"}, {"callbacks", "engine"}, {"settings"}, {"fitting"},
    {"autoencoder", "persistence", "checkpoints", "export"},
    {"datasets", "diagnostics", "explorer"}, {"plots"}, {"experiments"}, {"report"}, {"cli"}, {"__main__"}]


def imports_of(path):
    """The package's own top-level modules that a file imports, but for what only the checker of types reads."""
    depth, tree = len(path.relative_to(PACKAGE).parts), ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not isinstance(node, ast.If) or ast.unparse(node.test) != "TYPE_CHECKING"]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            yield from [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]


def test_imports_point_downward():
    floor = {name: i for i, names in enumerate(FLOORS) for name in names}
    files = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    assert {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in files} == set(floor)
    for path in files:
        own = floor[path.relative_to(PACKAGE).parts[0].removesuffix(".py")]
        for name in imports_of(path):
            assert name == "__version__" or floor[name] <= own, f"{path.name} imports {name}, which is above it"


def test_importing_loads_nothing_heavy():
    code = ("import sys, numpy; before = set(sys.modules); import ae_scratch, ae_scratch.datasets; ae_scratch.Autoencoder(); "
            "print(*sorted(set(sys.modules) - before))")
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    loaded = {name.split(".")[0] for name in names}
    assert "ae_scratch" in loaded and len([name for name in names if not name.startswith("ae_scratch")]) < 30
    assert not {"numba", "llvmlite", "scipy", "pandas", "matplotlib", "sklearn", "urllib", "ssl", "argparse", "inspect",
                "difflib"} & loaded


def test_modules_are_there_when_asked_for():
    code = """
import sys, ae_scratch
assert not {"ae_scratch.plots", "ae_scratch.diagnostics", "ae_scratch.datasets"} & set(sys.modules)
assert {"plots", "diagnostics", "datasets"} <= set(dir(ae_scratch))
assert ae_scratch.plots.filters and ae_scratch.diagnostics.check_data and ae_scratch.datasets.make_digits
assert ae_scratch.callbacks.EarlyStopping is ae_scratch.EarlyStopping and "matplotlib" not in sys.modules
ae_scratch.plot
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "AttributeError: module 'ae_scratch' has no attribute 'plot'" in done.stderr, done.stderr


def test_works_where_optional_packages_are_absent():
    """None in sys.modules: importing the name fails as if nothing were installed by it."""
    code = """
import sys
for name in ("sklearn", "pandas", "scipy", "matplotlib"):
    sys.modules[name] = None
import numpy as np
from ae_scratch import Autoencoder, NotFittedError, show_versions
X = np.random.default_rng(0).random((50, 5))
ae = Autoencoder((), 2, epochs=1, engine="numpy").fit(X, np.arange(50))
assert (ae.decode(ae.transform(X)) == ae.predict(X)).all() and ae.fit_transform(X).shape == (50, 2) and ae.score(X) < 0
assert ae.set_params(code_size=3).get_params()["code_size"] == 3 and list(ae.get_feature_names_out())[1] == "autoencoder1"
show_versions()
try:
    Autoencoder().encode(X)
except NotFittedError as error:
    print(type(error) is NotFittedError)
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert run.stdout.splitlines()[-1:] == ["True"], run.stderr
    blocked = subprocess.run([sys.executable, "-c", "import sys; sys.modules['sklearn'] = None; import sklearn.base"],
                             capture_output=True, text=True)
    assert "ModuleNotFoundError" in blocked.stderr


def test_training_never_imports_numba():
    code = ("import sys, numpy as np; from ae_scratch import Autoencoder; X = np.random.default_rng(0).random((50, 5)); "
            "Autoencoder((), 2, epochs=1, engine='numpy').fit(X).reconstruct(X); print('numba' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_public_names_exist_and_are_documented():
    for name in ae_scratch.__all__:
        assert getattr(ae_scratch, name).__doc__
    assert ae_scratch.__version__.count(".") == 2
