"""Log lines as people and scripts read them: `2026-11-23T14:32:53.889Z info: what happened`, on standard error."""

import logging
import os
import time
from datetime import UTC, datetime
from typing import Final, TextIO

logger = logging.getLogger(__name__)

# A message that would come many times a second is told so often.
SPARING_S: Final = 10.0
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


def printable(text: str) -> str:
    """Return text without what breaks a line, moves a terminal's cursor or colours it: anybody may have sent it."""
    return text if text.isprintable() else "".join(one if one.isprintable() else "?" for one in text)


def takes_colour(stream: TextIO) -> bool:
    """Say whether what is written to a stream may be coloured (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def write_to(stream: TextIO, level: int = logging.INFO) -> None:
    """Send the process's log to a stream, in place of where it went before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(coloured=takes_colour(stream)))
    logging.basicConfig(level=level, handlers=[handler], force=True)


class Sparing(logging.Filter):
    """Lets a message through now and then, whatever is filled into it, and says how many there were meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, tuple[float, int]] = {}  # when, and how many were left out since

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is written."""
        told_s, left_out = self._told.get(record.msg, (-SPARING_S, 0))
        now_s = time.monotonic()
        if now_s - told_s < SPARING_S:
            self._told[record.msg] = (told_s, left_out + 1)
            return False
        self._told[record.msg] = (now_s, 0)
        if left_out and isinstance(record.args, tuple):
            record.msg, record.args = f"{record.msg} (and %d times before)", (*record.args, left_out)
        return True


class Outage:
    """The times at which something fails, from the first until it works again: then a line tells of it."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._failures = 0
        self._since_s = 0.0

    def failed(self) -> bool:
        """Count a failure, and say whether it is the first."""
        if not self._failures:
            self._since_s = time.monotonic()
        self._failures += 1
        return self._failures == 1

    def worked(self) -> None:
        """Tell that it works again, if it did not."""
        if self._failures:
            lasted_s = time.monotonic() - self._since_s
            logger.info("%s works again; it failed %d times in %.0f s", self._what, self._failures, lasted_s)
        self._failures = 0
