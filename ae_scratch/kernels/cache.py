"""Where compiled code is kept from one process to the next.

In a folder of the user's cache, whose name is a hash of the sources it is made from, of the versions of Python, Numba and
NumPy, and of the CPU it is compiled for: code of other sources or for another machine has another folder, and nothing stale is
ever found.
Numba's cache runs what it reads, so the folder is used only if nobody else can write there; where none can be had, code is
compiled anew each time. A user's own ``NUMBA_CACHE_DIR`` comes first.

Numba's index of signatures is not used: of two processes that start at once, one would overwrite what the other has entered.
Each signature has a file of its own instead, whose name says all that its code depends on. It begins with a hash of the rest:
what a full disk or a crash has cut off is compiled anew, and never run.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import pickle
import platform
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.ccallback import CFunc
from numba.core.runtime import rtsys
from numba.core.serialize import dumps
from numba.core.sigutils import normalize_signature

from ..files import cache_folder, replacing
from .simd import cpu_features

log = logging.getLogger(__name__)

UNUSED = 30 * 24 * 3600  # seconds after which a folder of other sources or versions is swept
SOURCES = ("kernels/*.py", "engine/*.py", "network.py", "layers.py", "losses.py", "penalties.py", "optimizers.py",
           "noise.py")  # of compiled code and of the constants in it
FLAGS = ("CPU_NAME", "CPU_FEATURES", "OPT", "BOUNDSCHECK", "LOOP_VECTORIZE", "SLP_VECTORIZE", "DEBUGINFO_DEFAULT",
         "DISABLE_INTEL_SVML")


def cached_jit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator like ``numba.njit`` that keeps the compiled code, if it may."""
    return lambda function: keeping(numba.njit(**options)(function), function)


def cached_cfunc(signature: Any, if_kept: bool = False, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator like ``numba.cfunc`` that keeps the compiled code, if it may. if_kept: to give None where no code was
    kept, rather than to compile any."""
    def decorate(function: Callable[..., Any]) -> Any:
        code = keeping(CFunc(function, normalize_signature(signature), locals={}, options=options), function)
        kept = isinstance(code._cache, CheckedCache) and code._cache.has(code._sig, code._targetdescr.target_context)
        if if_kept and not kept:
            return None
        code.compile()
        return code
    return decorate


def keeping(compiler: Any, function: Callable[..., Any]) -> Any:
    """Give Numba's compiler of a function a place for what it makes, if there may be one; Numba's own configuration stays as it
    is."""
    before = numba.config.CACHE_DIR
    try:
        numba.config.CACHE_DIR = before or str(private_folder())
        compiler._cache = CheckedCache(function)
    except (OSError, RuntimeError) as error:  # not writable, not ours, or no home at all: Numba says "no locator available"
        report_no_folder(str(error))
    finally:
        numba.config.CACHE_DIR = before
    return compiler


@functools.cache  # once, not for every function
def report_no_folder(reason: str) -> None:
    log.warning("compiled code cannot be kept, and is compiled anew by every process: %s", reason)


class CheckedCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of a function, with files that are checked; where they cannot be written, the code is used all the same."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        self.function, self.started = function.__qualname__, time.perf_counter()
        self._cache_file = CheckedFiles(Path(self.cache_path), function.__qualname__)

    def has(self, signature: Any, target_context: Any) -> bool:
        """Whether there is a file for a function of this signature, if maybe a broken one."""
        return self._cache_file.path(self._index_key(signature, target_context.codegen())).exists()

    def load_overload(self, signature: Any, target_context: Any) -> Any:
        """Numba's own would first load all that compiling takes, which code from the cache can do without: compiling does it."""
        rtsys.initialize(target_context)  # memory management: all that code needs to run
        with self._guard_against_spurious_io_errors():
            code = self._load_overload(signature, target_context)
        if code is None:
            log.info("compiling %s", self.function)
            self.started = time.perf_counter()
        return code

    def save_overload(self, signature: Any, code: Any) -> None:
        log.info("compiled %s in %.1f s", self.function, time.perf_counter() - self.started)
        with suppress(OSError):
            super().save_overload(signature, code)


class CheckedFiles:
    """A folder with one file for each key of a function: the hash of the rest, then what Numba wants to be kept."""

    def __init__(self, folder: Path, function: str):
        self.folder, self.function, self.sources = folder, function, fingerprint()

    def path(self, key: Any) -> Path:
        name = hashlib.sha256(repr((self.sources, key)).encode()).hexdigest()[:32]
        return self.folder / f"{self.function}.{name}.nbc"

    def load(self, key: Any) -> Any:
        try:
            content = self.path(key).read_bytes()
        except OSError:
            return None
        digest, data = content[:32], content[32:]
        return pickle.loads(data) if hashlib.sha256(data).digest() == digest else None

    def save(self, key: Any, code: Any) -> None:
        data = dumps(code)
        with replacing(self.path(key)) as part:
            part.write_bytes(hashlib.sha256(data).digest() + data)


def private_folder() -> Path:
    """Return the folder for code of these sources, made if need be and closed to others; OSError if there can be none."""
    folder = cache_folder() / "compiled" / fingerprint()
    if not folder.is_absolute():
        raise OSError(f"expected an absolute path for the cache, got {folder}")
    new = not folder.exists()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = folder.stat()
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
        raise OSError(f"{folder} can be written to by others")
    os.utime(folder)
    if new:
        sweep(folder)
    return folder


def fingerprint() -> str:
    """Return a hash of everything that compiled code depends on."""
    versions = numba.__version__, np.__version__, sys.implementation.cache_tag, platform.machine(), sys.platform, cpu_features()
    digest = hashlib.sha256(repr((versions, [getattr(numba.config, flag, None) for flag in FLAGS])).encode())
    package = Path(__file__).parent.parent
    for source in sorted(path for pattern in SOURCES for path in package.glob(pattern)):
        digest.update(str(source.relative_to(package)).encode() + source.read_bytes())
    return digest.hexdigest()[:24]


def sweep(keep: Path) -> None:
    """Remove sibling folders that no process has used for long."""
    for folder in keep.parent.iterdir():
        try:
            if folder != keep and time.time() - folder.stat().st_mtime > UNUSED:
                shutil.rmtree(folder)
        except OSError:  # another process was quicker, or it is not ours to remove
            continue
