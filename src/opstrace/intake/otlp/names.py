"""What metrics and attributes of OpenTelemetry are called in Prometheus.

The rules are those that Prometheus follows unless it is told otherwise (prometheus/otlptranslator; OpenTelemetry's
specification: compatibility/prometheus_and_openmetrics.md): names lose what Prometheus's alphabet lacks, and gain the
unit and `total` or `ratio`.
"""

import re
from enum import Enum
from typing import Final


class Kind(Enum):
    """What a name says of its metric."""

    GAUGE = "gauge"
    COUNTER = "counter"  # a sum that only grows
    OTHER = "other"


# UCUM's codes, as far as Prometheus spells them out.
_UNITS: Final = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
_PER: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
_NOT_OF_METRICS: Final = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_OF_LABELS: Final = re.compile(r"[^a-zA-Z0-9_]")


def metric_name(name: str, unit: str, kind: Kind) -> str:
    """Return the name of a metric; nothing where no letter of it is left."""
    words = [word for word in _NOT_OF_METRICS.split(name) if word]
    main, per = _unit_words(unit)
    words += [word for word in (main, per) if word and word not in words]
    if kind is Kind.COUNTER:
        words = [word for word in words if word != "total"] + ["total"]
    if kind is Kind.GAUGE and unit == "1":
        words = [word for word in words if word != "ratio"] + ["ratio"]
    joined = "_".join(words) if _NOT_OF_METRICS.sub("", name) else ""
    return f"_{joined}" if joined[:1].isdigit() else joined


def _unit_words(unit: str) -> tuple[str, str]:
    """Return what a unit adds to a name, `bytes` and `per_second`; what stands in braces is no unit.

    What a last character that is none of the alphabet's leaves is gone only before `per`.
    """
    main, _, per = (part.strip() for part in unit.partition("/"))
    main = "" if {"{", "}"} & set(main) else _cleaned(_UNITS.get(main, main))
    per = "" if {"{", "}"} & set(per) else _cleaned(_PER.get(per, per))
    per = per.rstrip("_")
    return (main.rstrip("_"), f"per_{per}") if per else (main, "")


def unit_name(unit: str) -> str:
    """Return what Prometheus calls a unit: `bytes_per_second`; nothing for what counts things."""
    return "_".join(word for word in _unit_words(unit) if word).strip("_")


def _cleaned(unit: str) -> str:
    return _NOT_OF_METRICS.sub("_", unit).lstrip("_")


def label_name(key: str) -> str:
    """Return the name of an attribute; nothing where no letter of several is left."""
    name = _NOT_OF_LABELS.sub("_", key)
    if name == "_":
        return "key_"
    if not name.strip("_"):
        return ""
    if name[0].isdigit():
        return f"key_{name}"
    return f"key{name}" if name[0] == "_" and name[1] != "_" else name
