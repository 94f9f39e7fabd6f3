"""Flares on a disk that takes nothing more."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from opstrace.config import Limits
from opstrace.errors import Overloaded
from opstrace.intake.flares import Flares
from opstrace.intake.ledger import Ledger
from opstrace.telemetry import Telemetry

FORM = b'--edge\r\nContent-Disposition: form-data; name="flare_file"\r\n\r\narchive\r\n--edge--\r\n'


def full(*_: Any, **__: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def stored(directory: Path, ledger: Ledger) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": FORM, "more_body": False}

    headers = [(b"content-type", b"multipart/form-data; boundary=edge")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    asyncio.run(Flares(directory, Limits(), ledger, Telemetry()).store("one", request))


@pytest.mark.parametrize("call", ["pathlib.Path.mkdir", "pathlib.Path.open", "os.sendfile", "os.fsync"])
def test_a_full_disk_asks_to_come_again_and_leaves_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, call: str
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(call, full)
        with pytest.raises(Overloaded, match="try again"):
            stored(tmp_path, Ledger())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("told to come again: [Errno 28] No space left on device")
    stored(tmp_path, ledger := Ledger())
    assert len(list(tmp_path.rglob("*.zip"))) == 1
    assert ledger.take()
