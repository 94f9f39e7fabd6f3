"""What the C library does with memory that was freed.

Queries compute on arrays of a megabyte or two, which come and go by the dozen. The GNU C library gives them back to
the system as soon as a few of them are free, and has their pages made anew for the next ones, which costs more than
the arithmetic: a panel of 500 series takes 3.1 ms so, and 2.2 ms where the memory is kept.
"""

import ctypes
from typing import Final

# Blocks from this size on are mapped by themselves and given back at once.
MAPPED_FROM_BYTES: Final = 4 << 20
# Freed memory beyond this at the end of an arena (each thread that computes has one) is given back.
KEPT_BYTES: Final = 8 << 20
# malloc.h of the GNU C library.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed() -> bool:
    """Keep freed blocks of a few megabytes in this process; say whether the C library has such a setting."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {_M_MMAP_THRESHOLD: MAPPED_FROM_BYTES, _M_TRIM_THRESHOLD: KEPT_BYTES}
    return all(mallopt(name, value) == 1 for name, value in settings.items())
