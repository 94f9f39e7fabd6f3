import pytest

from opstrace.intake.senders import host_of, version_of


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"dd-agent-version": "7.75.3", "user-agent": "datadog-agent/7.1"}, "7.75.3"),
        ({"user-agent": "datadog-agent/7.75.3"}, "7.75.3"),
        ({"user-agent": "Datadog Trace Agent/7.75.3/abcdef"}, "7.75.3"),
        ({"user-agent": "Datadog Agent/5.32.9"}, "5.32.9"),
        ({"dd-evp-origin-version": "7.70.0", "user-agent": "Go-http-client/1.1"}, "7.70.0"),
        ({"x-dd-processagentversion": "7.60.1"}, "7.60.1"),
        ({"user-agent": "datadogpy/0.53.0 (python 3.11)"}, "datadogpy/0.53.0"),
        ({"user-agent": ""}, ""),
        ({}, ""),
        ({"dd-agent-version": "\x00" + "7" * 500}, "?" + "7" * 63),
    ],
)
def test_the_version_is_found_wherever_an_agent_puts_it(headers: dict[str, str], version: str) -> None:
    assert version_of(headers) == version


def test_the_host_is_what_the_header_names() -> None:
    assert host_of({"x-dd-hostname": " web-1 "}) == "web-1"
    assert host_of({}) == ""


def test_a_host_that_is_cut_or_cannot_be_printed_shows_it() -> None:
    """It is none that a series could be of."""
    assert host_of({"x-dd-hostname": "h" * 255}) == "h" * 255
    assert host_of({"x-dd-hostname": "h" * 256}) == "h" * 254 + "…"
    assert host_of({"x-dd-hostname": "h\x00x"}) == "h?x"
