"""Arrays that come and go keep their memory: asked of a process of its own, whose allocator nothing else has set."""

import subprocess
import sys

from opstrace import allocator

CODE = """
import resource, sys
import numpy as np
from opstrace import allocator
if sys.argv[1] == "kept":
    assert allocator.keep_freed() in (True, False)
array = np.ones(110_000)


def compute():
    return sum(one[0] for one in [array + array for _ in range(8)])


for _ in range(3):
    compute()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    compute()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, text=True, timeout=60, check=True)
    return int(done.stdout)


def test_memory_of_arrays_is_kept() -> None:
    """Where the C library can be told so: 100 times eight arrays of 215 pages fault no page anew."""
    if allocator.keep_freed():
        assert faults("kept") < 1_000 < faults("as it is")
