"""Files that a user owns are replaced as a whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a file to write beside ``path``; what was written there replaces ``path`` at the end, if nothing failed.

    The name is unlike that of any other process or thread; after an error, KeyboardInterrupt included, no such file is left.
    """
    part = path.with_name(f"{path.name}.{os.urandom(8).hex()}.part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())  # or a power failure could leave the new name on old or missing content
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
