"""Arrays that end, or begin, where memory ends: one step further and the process dies. And functions in processes that may."""

import ctypes
import faulthandler
import mmap
import os
import traceback
import warnings

import numpy as np

PAGE = mmap.PAGESIZE


class Pages(mmap.mmap):
    """Pages for so many bytes between two that nobody may touch; ``start`` is where they begin."""

    def __new__(cls, size):
        whole = max(1, -(-size // PAGE)) * PAGE
        pages = super().__new__(cls, -1, whole + 2 * PAGE)
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        pages.start = ctypes.addressof(ctypes.c_char.from_buffer(pages)) + PAGE
        for wall in (pages.start - PAGE, pages.start + whole):
            if protect(ctypes.c_void_p(wall), ctypes.c_size_t(PAGE), 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        pages.size = size
        return pages

    def place(self, front):
        """Where the bytes begin, counted from the wall in front: right behind it, or so that they end at the other one."""
        return PAGE if front else len(self) - PAGE - self.size


def guarded(array, front=False):
    """A copy of an array, with its dtype and its order of axes, flush against the wall behind it or the one in front."""
    array = np.asarray(array)
    if array.ndim == 2 and array.flags.f_contiguous and not array.flags.c_contiguous:
        return guarded(array.T, front).T
    pages = Pages(array.nbytes)
    copy = np.frombuffer(pages, np.uint8, array.nbytes, pages.place(front)).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


class GuardedNumPy:
    """NumPy, but for new arrays: those are guarded. Stands in for ``np`` in a module."""

    def __init__(self, front):
        self.front = front

    def __getattr__(self, name):
        original = getattr(np, name)
        if name not in ("zeros", "empty", "array"):
            return original
        return lambda *args, **kwargs: guarded(original(*args, **kwargs), self.front)


ALLOCATOR = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
kept = []  # what compiled code has the address of


def allocate_by(make):
    """Have ``make(original, size)`` make every array that compiled code allocates: an address as Numba's own ``original`` gives
    one, or None. Only code that is compiled, or read from the cache, afterwards knows it."""
    from llvmlite import binding
    from numba.core.registry import cpu_target
    from numba.core.runtime import _nrt_python, rtsys

    rtsys.initialize(cpu_target.target_context)
    original = ALLOCATOR(_nrt_python.c_helpers["MemInfo_alloc_aligned"])
    allocator = ALLOCATOR(lambda size, alignment: make(lambda size: original(size, alignment), size))
    kept.append(allocator)
    binding.add_symbol("NRT_MemInfo_alloc_aligned", ctypes.cast(allocator, ctypes.c_void_p).value)


def allocate_guarded(front, part=1.0):
    """Have every array that compiled code allocates guarded; front: a function that says on which side. part: of its size."""
    from numba.core.runtime import _nrt_python

    def make(_, size):
        pages = Pages(int(size * part))
        return _nrt_python.meminfo_new(pages.start - PAGE + pages.place(front()), pages)
    allocate_by(make)


def ended(function, *arguments):
    """How a forked process ends that calls a function: 0, 1 after an exception, or minus the signal that killed it."""
    from resource import RLIMIT_CORE, setrlimit

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside other threads: the child runs none of them
        child = os.fork()
    if child == 0:
        status = 1
        try:
            faulthandler.disable()  # a planted fault is no news
            setrlimit(RLIMIT_CORE, (0, 0))
            function(*arguments)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
