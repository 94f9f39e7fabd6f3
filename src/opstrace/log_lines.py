"""Log lines as people and scripts read them: `2026-11-23T14:32:53.889Z info: what happened`, on standard error."""

import logging
import os
from datetime import UTC, datetime
from typing import Final, TextIO

_COLOURS: Final = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31"}


class LineFormatter(logging.Formatter):
    """UTC with milliseconds, the level in lower case, the message; the level coloured if asked for."""

    def __init__(self, *, coloured: bool) -> None:
        super().__init__()
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by the traceback if the record carries one."""
        line = f"{self.formatTime(record)} {self._level(record)}: {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """Return the record's time as RFC 3339 in UTC."""
        return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"

    def _level(self, record: logging.LogRecord) -> str:
        name = record.levelname.lower()
        colour = _COLOURS.get(record.levelno)
        return f"\033[{colour}m{name}\033[0m" if self._coloured and colour else name


def write_to(stream: TextIO, level: int = logging.INFO) -> None:
    """Send the process's log to a stream, in place of where it went before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(coloured=stream.isatty() and "NO_COLOR" not in os.environ))
    logging.basicConfig(level=level, handlers=[handler], force=True)
