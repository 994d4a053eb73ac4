"""The house: what an import loads, and that imports point downward only."""

import ast
import pathlib
import subprocess
import sys

import ae_scratch

PACKAGE = pathlib.Path(ae_scratch.__file__).parent
FLOORS = [  # a module imports from its own floor and from those below
    {"kernels", "errors", "files"},
    {"layers", "losses", "penalties", "optimizers", "noise", "gradcheck", "progress", "inputs", "pca"},
    {"network"}, {"training"}, {"engine"}, {"autoencoder"}, {"datasets", "diagnostics"}, {"plots"}, {"experiments"}, {"report"},
    {"cli"}, {"__main__"}]


def imports_of(path):
    """The package's own top-level modules that a file imports."""
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
            "print(*sorted({name.split('.')[0] for name in set(sys.modules) - before}))")
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "ae_scratch" in loaded
    assert not {"numba", "llvmlite", "matplotlib", "sklearn", "urllib", "ssl", "argparse", "inspect", "difflib"} & set(loaded)


def test_training_never_imports_numba():
    code = ("import sys, numpy as np; from ae_scratch import Autoencoder; X = np.random.default_rng(0).random((50, 5)); "
            "Autoencoder((), 2, epochs=1, engine='numpy').fit(X).reconstruct(X); print('numba' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_public_names_exist_and_are_documented():
    for name in ae_scratch.__all__:
        assert getattr(ae_scratch, name).__doc__
    assert ae_scratch.__version__.count(".") == 2
