import numpy as np
import pytest

from ae_scratch.kernels.memory import Arrays, aligned_zeros

SHAPES = {"0.W": (3, 5), "0.b": (5,), "1.W": (5, 17), "1.b": (17,)}


@pytest.mark.parametrize("size", [1, 7, 16, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_aligned_zeros(size, dtype):
    array = aligned_zeros(size, dtype)
    assert array.shape == (size,) and array.dtype == dtype and not array.any() and array.ctypes.data % 64 == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_arrays_are_aligned_views_that_do_not_overlap(dtype):
    arrays = Arrays(SHAPES, dtype)
    for i, array in enumerate(arrays.values(), start=1):
        assert array.ctypes.data % 64 == 0 and array.dtype == dtype
        array += i
    assert {name: array.shape for name, array in arrays.items()} == SHAPES
    assert [array.min() == array.max() == i for i, array in enumerate(arrays.values(), start=1)] == [True] * 4
    assert arrays.count == 15 + 5 + 85 + 17 == np.count_nonzero(arrays.vector)


def test_a_part_shares_the_buffer():
    arrays = Arrays(SHAPES, "float32")
    part = arrays.part(2, 4)
    part.vector[:] = 1
    assert list(part) == ["1.W", "1.b"] and (arrays["1.W"] == 1).all() and not arrays["0.W"].any()
    assert len(arrays.part(1, 1)) == 0 and arrays.part(1, 1).vector.size == 0


def test_zeros_like_has_a_buffer_of_its_own():
    arrays = Arrays(SHAPES, "float64")
    other = arrays.zeros_like()
    other.vector[:] = 1
    assert other.shapes == arrays.shapes and not arrays.vector.any()
