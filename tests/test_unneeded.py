import subprocess
import sys

CODE = """
import sys
from opstrace import unneeded
unneeded.hide()
import opstrace.app
import pyarrow as pa
from opstrace.store.embedded import temporary_store
with temporary_store() as store:
    assert pa.array([1, 2.5]).to_pylist() == [1, 2.5]
print(sorted(name for name in unneeded.LIBRARIES if name in sys.modules))
try:
    import pandas
except ImportError:
    print("hidden")
"""


def test_what_a_server_needs_works_without_them() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["[]", "hidden"]
