"""Children that do something and are killed, or interrupted, at random instants."""

import mmap
import os
import signal
import struct
import time
import traceback
import warnings

HUNG = 120  # seconds after which a child is taken for hung


class Shared:
    """A number that a parent and the child it forks both see."""

    def __init__(self):
        self.memory = mmap.mmap(-1, 8)

    @property
    def value(self):
        return struct.unpack("d", self.memory[:])[0]

    @value.setter
    def value(self, number):
        self.memory[:] = struct.pack("d", number)


def forked(work):
    """The process id of a child that does this work; its exit code is 0 or what ``work`` returns, 130 if Ctrl-C ended it, or 1
    for another error."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until the child is where it ends by itself
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12 where the parent has threads: none is used here
            pid = os.fork()
        if pid == 0:
            code = 130
            try:
                code = code_of(work)
            finally:  # also where Ctrl-C comes when the work is done already
                os._exit(code)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def code_of(work):
    """Do the work, and return its exit code."""
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        return work() or 0
    except KeyboardInterrupt:
        return 130
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def ended(pid, within=HUNG):
    """How a child ended: its exit code, or minus the signal that killed it."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.0005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("a child hangs")


def struck(work, delay, how=signal.SIGKILL):
    """How a child that does this work ended, if a signal reached it after so many seconds (None: never), and when that was
    sent."""
    pid = forked(work)
    time.sleep(delay or 0)
    sent = time.monotonic()
    if delay is not None:
        os.kill(pid, how)  # one that has ended is still there, to be waited for
    return ended(pid), sent
