"""The machine and the software on it: what a report of a bug must be read with."""

from __future__ import annotations

import os

PACKAGES = "numpy", "numba", "llvmlite", "scipy", "scikit-learn", "pandas", "matplotlib"
THREADS = "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"


def cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def show_versions() -> None:
    """Print what a report of a bug should contain: versions, the CPU, threads and the folder of compiled code.

    >>> from ae_scratch import show_versions
    >>> show_versions()  # doctest: +ELLIPSIS
    ae_scratch:   ...
    python:       ...
    ...
    """
    for name, value in facts().items():
        print(f"{name + ':':<13} {value}")


def facts() -> dict[str, str]:
    """Return what ``show_versions`` prints, by name."""
    import platform

    from . import __version__

    variables = [f"{name}={os.environ[name]}" for name in THREADS if name in os.environ]
    return {"ae_scratch": __version__, "python": f"{platform.python_version()} ({platform.python_implementation()})",
            **{name: _version(name) for name in PACKAGES},
            "BLAS": _blas(), "system": platform.platform(), "processors": f"{cores()} of {os.cpu_count()}",
            "threads": ", ".join(variables) or "no variable set", **_compiler()}


def _version(package: str) -> str:
    """The version that is installed, read without importing the package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _blas() -> str:
    """The BLAS that NumPy was built with, as far as it says."""
    from numpy import __config__

    built = getattr(__config__, "CONFIG", {}).get("Build Dependencies", {}).get("blas", {})  # since NumPy 1.26
    return f"{built.get('name', 'unknown')} {built.get('version', '')}".rstrip()


def _compiler() -> dict[str, str]:
    """The CPU as Numba sees it, and where compiled code is kept; or why there is neither."""
    try:
        from numba import config

        from .kernels.cache import private_folder
        from .kernels.simd import cpu_features

        simd = [feature[1:] for feature in cpu_features().split(",") if feature.startswith("+")]
        folder = config.CACHE_DIR or str(private_folder())
    except Exception as error:  # whatever is broken: it is what the report is about
        return {"engine": f"engine='numba' does not work: {error!r}"}
    return {"CPU features": " ".join(simd), "cache": folder}
