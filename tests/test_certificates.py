import logging
from pathlib import Path

import msgspec
import pytest

from opstrace import certificates, homes, roster, tls
from opstrace import instance as instances
from opstrace.config import DEFAULT, Config
from opstrace.errors import ConfigError, InstanceError
from opstrace.instance import Instance


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))


def ensured(**changes: object) -> Instance:
    made = instances.make("demo", msgspec.structs.replace(DEFAULT, **changes))
    certificates.ensure(made)
    return made


def kept(instance: Instance) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (instance.home / "tls").iterdir()}


def test_only_the_certificates_may_be_read_by_others() -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in (ensured().home / "tls").iterdir()}
    assert modes == {"ca.pem": 0o644, "ca-key.pem": 0o600, "server.pem": 0o644, "server-key.pem": 0o600}


def test_what_serves_is_kept() -> None:
    assert kept(ensured()) == kept(ensured())


def test_a_new_tenant_renews_the_certificate_below_the_same_anchor() -> None:
    before, after = kept(ensured()), kept(ensured(tenants=("default", "new")))
    assert before["ca.pem"] == after["ca.pem"]
    assert before["server.pem"] != after["server.pem"]


def test_another_domain_needs_another_anchor_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    before, after = kept(ensured()), kept(ensured(domain="example.com"))
    assert before["ca.pem"] != after["ca.pem"]
    assert "the trust anchor of demo is replaced, clients must trust the new one: it may not vouch for" in caplog.text


@pytest.mark.parametrize("name", ["server.pem", "server-key.pem"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_lost_or_broken_certificate_is_made_anew(name: str, content: bytes | None) -> None:
    made = ensured()
    before = kept(made)
    path = made.home / "tls" / name
    path.unlink() if content is None else path.write_bytes(content)
    certificates.ensure(made)
    after = kept(made)
    assert after["ca.pem"] == before["ca.pem"]
    assert after.keys() == before.keys()
    assert after["server.pem"] != before["server.pem"]


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\n"])
def test_a_lost_or_broken_key_of_the_authority_leaves_the_anchor_that_clients_trust(
    content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    made = ensured(tenants=("default", "old"))
    key = made.home / "tls" / "ca-key.pem"
    key.unlink() if content is None else key.write_bytes(content)
    before = kept(made)
    assert kept(ensured()) == before
    (warning,) = caplog.messages
    assert warning.startswith(f"{key} is ")
    assert warning.endswith(": the certificate of demo cannot be renewed without it")


WITHOUT_KEY = (
    r"ca-key\.pem is not there, and demo needs a new certificate: {}; put that file back, or remove .*ca\.pem"
)


def test_a_certificate_that_must_be_issued_needs_the_key_of_the_authority(tmp_path: Path) -> None:
    made = ensured()
    away = (made.home / "tls" / "ca-key.pem").rename(tmp_path / "offline")
    before = kept(made)
    lacks = WITHOUT_KEY.format(r"it lacks \*\.new\.demo\.localhost")
    with pytest.raises(InstanceError, match=lacks):
        roster.add("demo", "new", tmp_path)
    assert instances.load("demo").config == made.config
    with pytest.raises(InstanceError, match=lacks):
        ensured(tenants=("default", "new"))
    with pytest.raises(InstanceError, match=lacks):
        certificates.renew("demo")
    assert kept(made) == before
    (made.home / "tls" / "ca-key.pem").write_bytes(b"")
    with pytest.raises(InstanceError, match=r"ca-key\.pem is damaged, .* it lacks \*\.another\.demo"):
        roster.add("demo", "another", tmp_path)
    away.rename(made.home / "tls" / "ca-key.pem")
    certificates.renew("demo")
    assert kept(made)["ca.pem"] == before["ca.pem"]
    assert kept(made)["server.pem"] != before["server.pem"]


def test_who_removes_the_anchor_without_a_key_gets_another_one() -> None:
    made = ensured()
    before = kept(made)
    for name in ("ca-key.pem", "server.pem"):
        (made.home / "tls" / name).unlink()
    with pytest.raises(InstanceError, match=WITHOUT_KEY.format("there is none")):
        certificates.ensure(made)
    (made.home / "tls" / "ca.pem").unlink()
    after = kept(ensured())
    assert after.keys() == before.keys()
    assert after["ca.pem"] != before["ca.pem"]


def test_a_broken_anchor_is_not_replaced_unasked() -> None:
    made = ensured()
    (made.home / "tls" / "ca.pem").write_bytes(b"")
    with pytest.raises(InstanceError, match=r"ca\.pem is damaged, and demo needs a new certificate"):
        certificates.ensure(made)


def test_the_anchor_is_told_with_its_fingerprint() -> None:
    made = ensured()
    path = made.home / "tls" / "ca.pem"
    assert certificates.trust_anchor(made) == (path, tls.fingerprint(path.read_bytes()))


def own_files(directory: Path) -> Config:
    """Return a config whose certificate is the user's: that of another instance with the same names."""
    made = ensured()
    for name in ("server.pem", "server-key.pem", "ca.pem"):
        (directory / name).write_bytes((made.home / "tls" / name).read_bytes())
    homes.remove(made)
    return msgspec.structs.replace(
        DEFAULT,
        cert_issuer="files",
        cert_file=str(directory / "server.pem"),
        cert_key_file=str(directory / "server-key.pem"),
    )


def test_ones_own_files_are_used_where_they_lie(tmp_path: Path) -> None:
    made = instances.make("demo", own_files(tmp_path))
    certificates.ensure(made)
    assert kept(made) == {}
    assert (made.certificate_file, made.key_file) == (tmp_path / "server.pem", tmp_path / "server-key.pem")
    assert certificates.trust_anchor(made) is None


def test_ones_own_anchor_is_told(tmp_path: Path) -> None:
    config = msgspec.structs.replace(own_files(tmp_path), cert_ca_file=str(tmp_path / "ca.pem"))
    made = instances.make("demo", config)
    anchor = certificates.trust_anchor(made)
    assert anchor
    assert anchor[0] == tmp_path / "ca.pem"
    (tmp_path / "ca.pem").write_text("text")
    with pytest.raises(ConfigError, match=r"cannot read the trust anchor .*ca\.pem"):
        certificates.trust_anchor(made)


def test_ones_own_files_must_fit_the_instance(tmp_path: Path) -> None:
    made = instances.make("other", own_files(tmp_path))
    with pytest.raises(
        ConfigError, match=r"cert_file: .*lacks these names, which the instance has: other\.localhost"
    ):
        certificates.ensure(made)


def test_what_a_running_server_serves_gets_the_names_of_new_tenants_below_the_same_anchor() -> None:
    made = ensured()
    before = kept(made)
    certificates.renew("demo")
    assert kept(made) == before
    instances.with_config(made, msgspec.structs.replace(DEFAULT, tenants=("default", "new")))
    certificates.renew("demo")
    after = kept(made)
    assert {name for name in after if after[name] != before[name]} == {"server.pem", "server-key.pem"}


def test_a_tenant_whose_names_ones_own_certificate_lacks_is_not_added(tmp_path: Path) -> None:
    made = instances.make("demo", own_files(tmp_path))
    with pytest.raises(ConfigError, match=r"cert_file: .*lacks these names.*: \*\.new\.demo\.localhost"):
        roster.add("demo", "new", tmp_path)
    assert instances.load("demo").config == made.config
    assert not (tmp_path / "tenant-api-token-new").exists()
    certificates.renew("demo")
    assert kept(made) == {}
