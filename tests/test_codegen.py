"""What the compiler makes of the kernels for AVX2 and for AVX-512: the same bits, and tiles that stay in registers."""

import ast
import hashlib
import platform
import re

import numpy as np
import pytest
from llvmlite import ir
from numba import njit, types
from processes import AVX2, AVX512, in_a_new_process

from ae_scratch.kernels import compiled, linked, matmul, simd  # noqa: F401  compiled teaches Numba what ops.matmul is
from ae_scratch.kernels import reference as ops
from ae_scratch.kernels.inner import OPTIONS

pytestmark = pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="other processors, other registers")

# ---- the same bits ---------------------------------------------------------------------------------------------------------


@njit(**OPTIONS)
def multiply(A, B, C):
    ops.matmul(A, B, C)


def products(multiply=multiply):
    """A hash of A B, of A^T B and of A B^T, for shapes on both sides of every edge of both tiles, small and large ones."""
    rng, digest = np.random.default_rng(0), hashlib.sha256()
    for m in (1, 3, 4, 5, 6, 7, 8, 9, 13, 15, 16, 17, 31, 33, 64, 193):
        for k in (1, 2, 33, 130):
            for n in (1, 15, 16, 17, 31, 32, 33, 48, 49, 65):
                A, B = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
                for left, right in ((A, B), (np.asfortranarray(A), B), (A, np.asfortranarray(B))):
                    C = np.full((m, n), np.nan, np.float32)
                    multiply(left, right, C)
                    digest.update(C.tobytes())
    return digest.hexdigest()


def digests(dtype):
    """What must not depend on how it was compiled: products, and a training's weights, moments and codes."""
    import test_golden_digest  # here, because the other tests in this file must not run what they compile for another CPU

    return [products(), test_golden_digest.golden(getattr(np, dtype))]


def registers():
    """Those that the compiled products multiply and add in."""
    linked.load(np.float32)
    code = "".join(product._library.get_asm_str() for product in linked.loaded.values())
    return sorted(set(re.findall(r"vfmadd\w+[ps][sd]\b.*%([xyz]mm)\d+$", code, re.MULTILINE)))


def test_the_digest_notices_another_rounding():
    """NumPy's products add up in another order."""
    assert products(lambda A, B, C: np.matmul(A, B, out=C)) != products()


AVX512_HERE = pytest.mark.skipif("+avx512f" not in simd.cpu_features(),
                                 reason="this CPU has no AVX-512 to run its code with: of that, only registers are looked at")


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@pytest.mark.parametrize("environment, register", [(AVX2, "ymm"), pytest.param(AVX512, "zmm", marks=AVX512_HERE)],
                         ids=["AVX2", "AVX-512"])
def test_D3_the_same_bits_when_compiled_for(environment, register, dtype, tmp_path):
    environment = {**environment, "NUMBA_CACHE_DIR": str(tmp_path)}  # where nothing is: the registers are those of what ran
    *found, used = ast.literal_eval(in_a_new_process("test_codegen", f"[*t.digests({dtype!r}), t.registers()]", environment))
    assert found == digests(dtype) and register in used and ("zmm" in used) == (register == "zmm")


def test_D3_the_products_use_whole_registers_of_AVX512(tmp_path):
    """Compiled for that CPU, whether or not it is this one; nothing runs."""
    found = in_a_new_process("test_codegen", "t.registers()", {**AVX512, "NUMBA_CACHE_DIR": str(tmp_path)})
    assert "zmm" in ast.literal_eval(found)


@pytest.mark.slow
def test_D3_the_same_bits_with_the_tile_of_avx512(tmp_path):
    """Its shape, 8 rows of 2 vectors, on whatever registers there are."""
    before = """
from numba import config
features, config.CPU_FEATURES = config.CPU_FEATURES, "+avx512f"
import ae_scratch.kernels.simd
config.CPU_FEATURES = features
"""
    expression = "[t.simd.ROWS, t.simd.VECTORS, *t.digests('float32')]"
    found = in_a_new_process("test_codegen", expression, {"NUMBA_CACHE_DIR": str(tmp_path)}, before)
    assert ast.literal_eval(found) == [8, 2, *digests("float32")]


@pytest.mark.parametrize("features, count", [("+avx,+avx2,+fma", 0), ("+avx,+fma4,-fma", 1)])
def test_without_fused_multiply_adds_a_warning_says_so(features, count):
    before = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import ae_scratch.engine, ae_scratch.engine.driver
"""
    expression = "[(warning.category.__name__, str(warning.message)) for warning in caught]"
    found = ast.literal_eval(in_a_new_process("processes", expression, {"NUMBA_CPU_FEATURES": features}, before))
    assert [name for name, _ in found] == count * ["RuntimeWarning"]
    assert all("no fused multiply-add" in text and "may differ" in text for _, text in found)


# ---- tiles stay in registers -----------------------------------------------------------------------------------------------


def tall_tile(C):
    """A tile of twice as many rows as the registers hold."""


@simd.compiled(tall_tile, types.Array, result=lambda C: simd.Block(C.dtype, 2 * simd.ROWS, simd.VECTORS, edge=False))
def _(code, C):
    return ir.Constant(code.context.get_value_type(code.signature.return_type), None)


def too_tall(A, B, C):
    """What matmul_5_tile would be with such tiles alone."""
    for j in range(0, C.shape[1], simd.VECTORS * simd.lanes(C)):
        for i in range(0, C.shape[0], 2 * simd.ROWS):
            matmul.one_tile(tall_tile(C), A, i, B, j, C, j, False, False)


def innermost_loops(kernel, layout="C"):
    """The loops without a loop in them that multiply and add: the registers of their sums, how often they do, and each
    instruction that touches the stack."""
    argument = types.Array(types.float32, 2, layout)
    lines = "".join(njit([types.void(argument, argument, argument)], **OPTIONS)(kernel).inspect_asm().values()).splitlines()
    labels, loops = {}, []
    for n, line in enumerate(lines):
        if label := re.match(r"(\.\w+):", line):
            labels[label[1]] = n
        elif (jump := re.match(r"\s+j\w+\s+(\.\w+)$", line)) and jump[1] in labels:
            loops.append((labels[jump[1]], n))
    inner = [(a, b) for a, b in loops if not any((a, b) != (c, d) and a <= c and d <= b for c, d in loops)]
    bodies = [lines[a:b] for a, b in inner]
    found = [([re.search(r"%(\w+)$", line)[1] for line in body if "vfmadd" in line], [line for line in body if "(%rsp" in line])
             for body in bodies]
    return [(sorted(set(sums)), len(sums), stack) for sums, stack in found if sums]


def compiled_tiles():
    return simd.ROWS * simd.VECTORS, [innermost_loops(matmul.matmul_5_tile, layout) for layout in "CA"], innermost_loops(too_tall)


@pytest.fixture(scope="module", params=[(AVX2, "ymm"), (AVX512, "zmm")], ids=["AVX2", "AVX-512"])
def tiles(request):
    """Compiled for that CPU, whether or not it is this one; nothing runs."""
    environment, register = request.param
    vectors, *loops = ast.literal_eval(in_a_new_process("test_codegen", "t.compiled_tiles()", environment))
    return register, vectors * {"ymm": 2, "zmm": 1}[register], *loops


def whole_tiles(loops, sums):
    """The loops that keep as many sums in registers as a whole tile has."""
    return [loop for loop in loops if len(loop[0]) == sums]


def test_a_tile_stays_in_registers(tiles):
    """The loop of a whole tile holds nothing but one multiply-add for each of its vectors, perhaps several times, loads and
    broadcasts: nothing of the stack. Tiles at the edges have fewer sums."""
    register, sums, for_layouts, _ = tiles
    for loops in for_layouts:
        found = whole_tiles(loops, sums)
        assert len(found) >= 1 + (register == "zmm")  # and the narrow tile
        for names, count, stack in found:
            assert count % sums == 0 and not stack
            assert all(name.startswith(register) for name in names)


def test_a_tile_too_large_is_noticed(tiles):
    _, sums, _, loops = tiles
    assert not whole_tiles(loops, 2 * sums) and any(stack for _, _, stack in loops)
