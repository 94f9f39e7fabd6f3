"""Numbers as the Prometheus world spells them."""

import math
from decimal import Decimal


def spelled_number(number: float) -> str:
    """Return a number with the fewest digits that mean it, without an exponent, as Go's 'f' format has it."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    text = f"{Decimal(repr(float(number))):f}"
    return text.removesuffix(".0")


def spelled_label(number: float) -> str:
    """Return a number as an OpenMetrics label value: as Go's %g has it, and whole numbers keep one decimal."""
    text = short(number) if number else "0"
    return f"{text}.0" if text.lstrip("-").isdigit() else text


def short(number: float) -> str:
    """Return a number as Go's %g has it: the fewest digits, with an exponent below 0.0001 and from a million on."""
    if math.isnan(number) or math.isinf(number):
        return spelled_number(number)
    exponent = Decimal(repr(float(number))).adjusted() if number else 0
    if -4 <= exponent < 6:
        return spelled_number(number)
    digits = Decimal(repr(float(number))).normalize().as_tuple().digits
    mantissa = "".join(map(str, digits[:1])) + ("." + "".join(map(str, digits[1:])) if digits[1:] else "")
    return f"{'-' if number < 0 else ''}{mantissa}e{exponent:+03d}"
