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
    """Return a number as an OpenMetrics label value: whole numbers keep one decimal."""
    text = spelled_number(number)
    return f"{text}.0" if text.lstrip("-").isdigit() else text
