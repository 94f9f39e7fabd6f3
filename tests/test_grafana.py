import json
import os
import stat
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from end_to_end.instance import free_ports
from opstrace import grafana, startup
from opstrace.cli import main
from opstrace.config import Config
from opstrace.errors import ConfigError, InstanceError
from opstrace.instance import Instance


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instance:
    """An instance with two tenants beside `system`, and their token files."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    # Somebody may have followed the README, and have a server on the ports that are the defaults.
    return startup.prepare("demo", Config(tenants=("alpha", "beta"), **free_ports()), tmp_path, rewrite_tokens=True)


def provisioned(instance: Instance, directory: Path) -> list[dict[str, object]]:
    grafana.provision(instance, directory)
    document = yaml.safe_load((directory / "datasources" / "opstrace.yaml").read_text())
    assert document["apiVersion"] == 1
    found: list[dict[str, object]] = document["datasources"]
    return found


def test_every_tenant_has_a_data_source_with_its_key_and_the_certificate(instance: Instance, tmp_path: Path) -> None:
    first, *others = provisioned(instance, tmp_path / "provisioning")
    assert (first["name"], first["isDefault"]) == ("metrics", True)
    assert [(other["name"], other["isDefault"]) for other in others] == [
        ("metrics-beta", False),
        ("metrics-system", False),
    ]
    assert instance.trust_anchor_file is not None
    for tenant, source in zip(("alpha", "beta", "system"), (first, *others), strict=True):
        assert source["url"] == f"https://localhost:{instance.config.https_port}/prometheus"
        assert source["secureJsonData"] == {
            "basicAuthPassword": (tmp_path / f"tenant-api-token-{tenant}").read_text(),
            "tlsCACert": instance.trust_anchor_file.read_text(),
        }


def test_tenants_with_long_names_have_data_sources_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    tenants = ("customer-production-cluster-eu-west-1-a", "customer-production-cluster-eu-west-1-b")
    made = startup.prepare("demo", Config(tenants=tenants, **free_ports()), tmp_path, rewrite_tokens=True)
    uids = [str(source["uid"]) for source in provisioned(made, tmp_path / "provisioning")]
    assert len({*uids}) == len(tenants) + 1
    assert max(map(len, uids)) <= 40


def test_an_address_may_have_the_path_that_a_data_source_has(instance: Instance, tmp_path: Path) -> None:
    url = f"https://localhost:{instance.config.https_port}"
    for given in (url, f"{url}/", f"{url}/prometheus", f"{url}/prometheus/"):
        grafana.provision(instance, tmp_path / "provisioning", url=given)
        document = yaml.safe_load((tmp_path / "provisioning" / "datasources" / "opstrace.yaml").read_text())
        assert {source["url"] for source in document["datasources"]} == {f"{url}/prometheus"}


def test_keys_are_no_business_of_others(instance: Instance, tmp_path: Path) -> None:
    """The command's umask keeps everything to its user; here the group may read: Grafana's, if its owner wants."""
    before = os.umask(0o077)
    try:
        provisioned(instance, tmp_path / "provisioning")
    finally:
        os.umask(before)
    for path in (tmp_path / "provisioning").rglob("*"):
        wanted = 0o750 if path.is_dir() else 0o640
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_dashboards_lie_where_grafana_is_told_and_ask_the_tenant_they_are_about(
    instance: Instance, tmp_path: Path
) -> None:
    directory = tmp_path / "provisioning"
    sources = {source["uid"]: source["name"] for source in provisioned(instance, directory)}
    (provider,) = yaml.safe_load((directory / "dashboards" / "opstrace.yaml").read_text())["providers"]
    found = [json.loads(path.read_text()) for path in sorted(Path(provider["options"]["path"]).iterdir())]
    assert len(found) == 7
    for document in found:
        (variable,) = [one for one in document["templating"]["list"] if one["type"] == "datasource"]
        chosen = variable["current"]
        assert sources[chosen["value"]] == chosen["text"]
        assert chosen["text"] == ("metrics-system" if "tenant:system" in document["tags"] else "metrics")


def test_grafana_may_see_the_directory_elsewhere(instance: Instance, tmp_path: Path) -> None:
    grafana.provision(instance, tmp_path / "here", Path("/etc/grafana/provisioning"), "https://demo.localhost:8443")
    (provider,) = yaml.safe_load((tmp_path / "here" / "dashboards" / "opstrace.yaml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/provisioning/dashboards/opstrace"
    sources = yaml.safe_load((tmp_path / "here" / "datasources" / "opstrace.yaml").read_text())["datasources"]
    assert {source["url"] for source in sources} == {"https://demo.localhost:8443/prometheus"}


@pytest.mark.parametrize("host", ["alpha.demo.localhost", "localhost", "127.0.0.1", "[::1]"])
def test_grafana_may_reach_the_server_by_any_name_of_its_certificate(
    instance: Instance, tmp_path: Path, host: str
) -> None:
    grafana.provision(instance, tmp_path / "here", url=f"https://{host}:8443/")
    sources = yaml.safe_load((tmp_path / "here" / "datasources" / "opstrace.yaml").read_text())["datasources"]
    assert {source["url"] for source in sources} == {f"https://{host}:8443/prometheus"}


@pytest.mark.parametrize("host", ["example.com", "other.localhost", "10.0.0.1"])
def test_a_name_that_the_certificate_lacks_is_refused(instance: Instance, tmp_path: Path, host: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"the certificate of demo is not valid for {host}; take a name that it has"
    ):
        grafana.provision(instance, tmp_path / "here", url=f"https://{host}")
    assert not (tmp_path / "here").exists()
    grafana.provision(instance, tmp_path / "here", url=f"http://{host}")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--url", "foo"], "'--url': foo is no address; write https://HOST:PORT"),
        (["--url", "ftp://foo"], "is no address"),
        (["--url", "https://"], "is no address"),
        (["--url", "https://foo:port"], "is no address"),
        (["--url", "https://[foo"], "is no address"),
        (["--url", "https://foo?a=b"], "https://foo?a=b has a query or a fragment; write https://HOST:PORT"),
        (["--url", "https://foo/#"], "has a query or a fragment"),
        (["--url", "https://me:secret@foo"], "'--url': it names a user; Grafana logs in with a tenant's key"),
        (["--url", "http://foo:8080"], "'--url': the keys would go to foo in the clear; write https://HOST:PORT"),
        (["--url", "http://10.0.0.1"], "the keys would go to 10.0.0.1 in the clear"),
        (["--seen-as", "provisioning"], "'--seen-as': provisioning is relative; give the whole path"),
    ],
)
def test_wrong_options_are_wrong_usage(tmp_path: Path, arguments: list[str], reason: str) -> None:
    done = CliRunner().invoke(main, ["grafana", "provision", str(tmp_path), *arguments])
    assert done.exit_code == 2
    assert reason in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]", "demo.localhost"])
def test_plain_http_is_for_this_machine_alone(instance: Instance, tmp_path: Path, host: str) -> None:
    arguments = ["grafana", "provision", str(tmp_path / "here"), "--url", f"http://{host}", "--instance", "demo"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    sources = yaml.safe_load((tmp_path / "here" / "datasources" / "opstrace.yaml").read_text())["datasources"]
    assert {source["url"] for source in sources} == {f"http://{host}/prometheus"}


def test_an_empty_directory_is_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["grafana", "provision", ""])
    assert done.exit_code == 2
    assert "it is empty; give Grafana's provisioning directory" in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_tenant_whose_key_is_lost_is_left_out_and_told(instance: Instance, tmp_path: Path) -> None:
    (tmp_path / "tenant-api-token-alpha").unlink()
    written = grafana.provision(instance, tmp_path / "provisioning")
    lack = f"cannot be read from {tmp_path}/tenant-api-token-alpha: No such file or directory"
    assert (written.tenants, written.keyless) == (["beta", "system"], {"alpha": lack})
    for name in ("beta", "system"):
        (tmp_path / f"tenant-api-token-{name}").unlink()
    with pytest.raises(InstanceError, match="no tenant's token file"):
        grafana.provision(instance, tmp_path / "provisioning")


def test_a_place_that_cannot_be_written_is_told(instance: Instance, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InstanceError, match="cannot write"):
        grafana.provision(instance, tmp_path / "file")
