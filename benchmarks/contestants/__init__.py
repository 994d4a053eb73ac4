"""Who takes part: every contestant trains the same model on the same data, in its best honest form, in a process of its own.

Each form imports its own framework, in its own process.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from typing import NamedTuple


class Missing(Exception):
    """A contestant cannot take part on this machine; says why."""


def nothing(features: str) -> dict[str, str]:
    """No environment variables beside those that everybody gets."""
    return {}


def mkl_on_avx512(features: str) -> dict[str, str]:
    """Make MKL take the CPU for Intel's and so use AVX-512 on AMD's too: a bound on what it could do, not a user's set-up."""
    if "+avx512f" not in features:
        raise Missing("this CPU has no AVX-512")
    from ae_scratch.files import cache_folder

    library = cache_folder() / "mkl_on_avx512.so"
    source = "int mkl_serv_intel_cpu_true(void) { return 1; }"
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=source, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Missing(f"no C compiler: {error}") from error
    return {"LD_PRELOAD": str(library)}


def wide_vectors(features: str) -> dict[str, str]:
    """Let XLA use the widest vectors that it can."""
    return {"XLA_FLAGS": "--xla_cpu_prefer_vector_width=512"}


def keras_on(backend: str) -> Callable[[str], dict[str, str]]:
    """Choose the library that Keras computes with."""
    return lambda features: {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}


class Contestant(NamedTuple):
    """label: for tables; form: module in this folder, and class; packages: what it runs on, for versions and import times."""

    label: str
    form: str
    packages: tuple[str, ...]
    environment: Callable[[str], dict[str, str]] = nothing
    peer: bool = True  # runs with the interpreter that has the frameworks
    same_loss: bool = True  # minimises cross-entropy, so its loss can be compared
    pinned: bool = False  # a pool of threads whose size only the processors it may use decide
    own_order: bool = False  # shuffles by itself, so its loss is less close to the others'
    from_bytes: bool = False  # its first epoch and peak memory are those of uint8 images, scaled as they are read: the same bits


CONTESTANTS = {
    "ours": Contestant("ae_scratch, compiled", ".ours:Compiled", ("numba", "numpy"), peer=False, from_bytes=True),
    "ours-numpy": Contestant("ae_scratch, NumPy engine", ".ours:Interpreted", ("numpy",), peer=False),
    "numpy": Contestant("NumPy by hand, preallocated", ".with_numpy:ByHand", ("numpy",), peer=False),
    "torch": Contestant("PyTorch eager, default Adam", ".with_torch:Eager", ("torch",)),
    "torch-fused": Contestant("PyTorch eager, fused Adam", ".with_torch:EagerFused", ("torch",)),
    "torch-compiled": Contestant("PyTorch, whole step compiled", ".with_torch:Compiled", ("torch",)),
    "torch-by-hand": Contestant("PyTorch by hand, preallocated", ".with_torch:ByHand", ("torch",)),
    "torch-by-hand-avx512": Contestant("PyTorch by hand, MKL tricked into AVX-512", ".with_torch:ByHand", ("torch",),
                                       mkl_on_avx512),
    "jax-scan": Contestant("JAX, epoch as one scan", ".with_jax:Scan", ("jax",), pinned=True),
    "jax-scan-tuned": Contestant("JAX, epoch as one scan, tuned", ".with_jax:ScanTuned", ("jax",), wide_vectors, pinned=True),
    "jax-step": Contestant("JAX, one jitted step per call", ".with_jax:Step", ("jax",), pinned=True),
    "keras-jax": Contestant("Keras on JAX, model.fit", ".with_keras:Fit", ("keras", "jax"), keras_on("jax"), pinned=True,
                            own_order=True),
    "keras-jax-tuned": Contestant("Keras on JAX, 25 steps per execution", ".with_keras:FitTuned", ("keras", "jax"),
                                  keras_on("jax"), pinned=True, own_order=True),
    "keras-tensorflow": Contestant("Keras on TensorFlow, model.fit", ".with_keras:Fit", ("keras", "tensorflow"),
                                   keras_on("tensorflow"), pinned=True, own_order=True),
    "scikit-learn": Contestant("scikit-learn MLPRegressor", ".with_sklearn:Regressor", ("sklearn",), same_loss=False),
}
# Of each library the fastest forms, where all would take long.
FASTEST = ("ours", "numpy", "torch-fused", "torch-by-hand", "jax-scan", "jax-scan-tuned", "keras-jax")
