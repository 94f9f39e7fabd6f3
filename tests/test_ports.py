import gc
import os
import socket
from collections.abc import Iterator

import pytest

from on_disk import config
from opstrace import ports
from opstrace.errors import InstanceError


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free(taken: int) -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_plain_http_is_for_this_machine_only_and_can_be_off() -> None:
    assert [(one.key, one.address) for one in ports.listeners(config(listen="0.0.0.0"))] == [
        ("https_port", "0.0.0.0"),
        ("http_port", "127.0.0.1"),
    ]
    assert [one.key for one in ports.listeners(config(http_port=0))] == ["https_port"]


@pytest.mark.parametrize(("listen", "asked"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.1", "10.0.0.1")])
def test_a_listener_on_every_address_is_asked_on_loopback(listen: str, asked: str) -> None:
    assert ports.listeners(config(listen=listen))[0].reachable_address == asked


def test_free_ports_are_no_trouble(free: int) -> None:
    ports.check_free(config(https_port=free, http_port=0))


@pytest.mark.parametrize("key", ["https_port", "http_port"])
def test_a_taken_port_is_told_with_its_owner_and_its_key(taken: int, free: int, key: str) -> None:
    with pytest.raises(InstanceError) as caught:
        ports.check_free(config(**{"https_port": free, "http_port": 0, key: taken}))
    assert str(caught.value).startswith(f"port {taken} on 127.0.0.1 is taken by ")
    assert f"(pid {os.getpid()})" in str(caught.value)
    assert str(caught.value).endswith(f"set {key} in the config to a free port")


def test_a_port_one_connected_from_is_not_taken(taken: int) -> None:
    with socket.create_connection(("127.0.0.1", taken)) as client:
        assert ports.owner(client.getsockname()[1]) is None


def test_an_address_of_another_machine_is_told(free: int) -> None:
    with pytest.raises(InstanceError, match=r"192\.0\.2\.1 is not an address of this machine; set listen"):
        ports.check_free(config(listen="192.0.2.1", https_port=free))


def test_version_six_works() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        port = server.getsockname()[1]
        with pytest.raises(InstanceError, match=rf"port {port} on ::1 is taken by .*\(pid {os.getpid()}\)"):
            ports.check_free(config(listen="::1", https_port=port, http_port=0))


def test_a_socket_that_cannot_listen_is_closed(taken: int, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(InstanceError, match=f"port {taken} on 127.0.0.1 is taken by"):
        ports.bound_tcp(ports.Listener("https_port", "127.0.0.1", taken))
    gc.collect()
    assert not [warning for warning in recwarn if issubclass(warning.category, ResourceWarning)]
