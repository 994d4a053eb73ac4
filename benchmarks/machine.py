"""The machine and its software: what a figure must be read with, and an environment in which nothing is held back."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
HOLD_BACK = "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"  # make OpenBLAS use other kernels than it would choose
THREADS = "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"
CACHES = {"L1": 32 << 10, "L2": 512 << 10, "L3": 8 << 20}  # bytes, where the system does not say


def clean_environment(threads: int) -> dict[str, str]:
    """The environment for a process that is to be measured on so many threads."""
    kept = {name: value for name, value in os.environ.items() if name not in HOLD_BACK}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**kept, **dict.fromkeys(THREADS, str(threads)), "PYTHONPATH": path}


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def features() -> str:
    """The features of the CPU that Numba compiles for."""
    from ae_scratch.kernels.simd import cpu_features

    return cpu_features()


def cache_sizes() -> dict[str, int]:
    """Bytes of each data cache that a core can reach."""
    sizes = dict(CACHES)
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction" and f"L{level}" in sizes:
            sizes[f"L{level}"] = int(size.rstrip("K")) << 10
    return sizes


def cpu_name() -> str:
    """The processor as the system calls it."""
    info = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines()
             if line.startswith("model name")] if info.exists() else []
    return names[0] if names else platform.processor() or platform.machine()


def describe() -> dict[str, Any]:
    """What is written down with every result."""
    simd = [name for name in ("avx512f", "avx2", "fma", "neon") if f"+{name}" in features()]
    versions = {name: importlib.metadata.version(name) for name in ("numpy", "numba", "llvmlite")}
    return {"cpu": cpu_name(), "features": simd, "cores": cores(), "caches": cache_sizes(),
            "system": f"{platform.system()} {platform.machine()}",
            "versions": {"ae_scratch": _own_version(), "python": sys.version.split()[0], **versions}}


def _own_version() -> str:
    from ae_scratch import __version__

    return __version__
