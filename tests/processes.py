"""Expressions evaluated in processes of their own, with other settings of the compiler or of the system."""

import os
import subprocess
import sys

AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+sse4.2"}
AVX512 = {"NUMBA_CPU_NAME": "skylake-avx512",
          "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw,+avx512cd"}

SECONDS = 300  # after which a process is taken for hung: far more than any of them needs, on a busy machine too


def unmeasured():
    """The environment for a process whose files are to be cut short: without coverage, whose file would be cut as well."""
    return {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}


def in_a_new_process(module, expression, environment=None, before=""):
    """What an expression prints in which ``t`` is one of these test modules, after some statements."""
    here = os.path.dirname(__file__)
    code = f"import sys; sys.path[:0] = {[here, os.path.dirname(here)]!r}\n{before}\nimport {module} as t; print({expression})"
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=SECONDS)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()
