import pytest

from opstrace.config import Limits
from opstrace.errors import RateExceeded
from opstrace.intake.rates import BURST_S, Rates


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_tenant_may_send_its_rate_and_a_burst_and_no_more() -> None:
    clock = Clock()
    rates = Rates(lambda _tenant: Limits(max_payloads_per_s=2), clock)
    for _ in range(int(2 * BURST_S)):
        rates.admit("t")
    with pytest.raises(RateExceeded, match="2 payloads per second") as refusal:
        rates.admit("t")
    assert refusal.value.retry_after_s >= 1
    rates.admit("another")
    clock.now += 0.5
    rates.admit("t")
    with pytest.raises(RateExceeded):
        rates.admit("t")


def test_points_are_counted_after_they_came_and_are_owed() -> None:
    clock = Clock()
    rates = Rates(lambda _tenant: Limits(max_points_per_s=10), clock)
    rates.admit("t")
    rates.spend("t", 1000)
    with pytest.raises(RateExceeded, match="10 points per second") as refusal:
        rates.admit("t")
    assert refusal.value.retry_after_s == 60
    clock.now += (1000 - 10 * BURST_S + 1) / 10
    rates.admit("t")


def test_a_pause_does_not_save_up_more_than_a_burst() -> None:
    clock = Clock()
    rates = Rates(lambda _tenant: Limits(max_payloads_per_s=1), clock)
    rates.admit("t")
    clock.now += 3600
    for _ in range(int(BURST_S)):
        rates.admit("t")
    with pytest.raises(RateExceeded):
        rates.admit("t")


def test_a_rate_that_changes_holds_from_the_next_payload_on() -> None:
    clock, most = Clock(), {"t": 1, "u": 1}
    rates = Rates(lambda tenant: Limits(max_payloads_per_s=most[tenant]), clock)
    for tenant in most:
        for _ in range(int(BURST_S)):
            rates.admit(tenant)
    most["t"] = 3
    for _ in range(3 * int(BURST_S)):
        rates.admit("t")
    for tenant in most:
        with pytest.raises(RateExceeded, match=f"{most[tenant]} payloads per second"):
            rates.admit(tenant)


def test_a_tenant_that_is_forgotten_owes_nothing() -> None:
    rates = Rates(lambda _tenant: Limits(max_points_per_s=10), Clock())
    rates.admit("t")
    rates.spend("t", 1000)
    rates.forget("t")
    rates.admit("t")
