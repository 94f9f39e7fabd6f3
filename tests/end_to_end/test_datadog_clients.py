"""Datadog's own libraries beyond metrics: hosts, their tags, events, logs, distributions."""

# mypy: allow-untyped-calls

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import datadog
import pytest
from datadog.api.exceptions import ApiError
from datadog.api.http_client import RequestClient
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.exceptions import NotFoundException
from datadog_api_client.v1.api.events_api import EventsApi as EventsApiV1
from datadog_api_client.v1.api.hosts_api import HostsApi
from datadog_api_client.v1.api.metrics_api import MetricsApi
from datadog_api_client.v1.api.tags_api import TagsApi
from datadog_api_client.v1.model.distribution_point import DistributionPoint
from datadog_api_client.v1.model.distribution_points_payload import DistributionPointsPayload
from datadog_api_client.v1.model.distribution_points_series import DistributionPointsSeries
from datadog_api_client.v1.model.event_create_request import EventCreateRequest
from datadog_api_client.v1.model.host_mute_settings import HostMuteSettings
from datadog_api_client.v1.model.host_tags import HostTags
from datadog_api_client.v2.api.events_api import EventsApi as EventsApiV2
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.model.events_list_request import EventsListRequest
from datadog_api_client.v2.model.events_query_filter import EventsQueryFilter
from datadog_api_client.v2.model.http_log import HTTPLog
from datadog_api_client.v2.model.http_log_item import HTTPLogItem

from end_to_end.instance import Instance, label_set, running


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running(tmp_path_factory.mktemp("clients"), "clients", {"tenants": ["default"]}) as one:
        yield one


@pytest.fixture(scope="module")
def api(instance: Instance) -> Iterator[Any]:
    """The API of the `datadog` package, which keeps its settings and its session in globals."""
    url = f"http://127.0.0.1:{instance.http_port}"
    datadog.initialize(
        api_key=instance.key(),
        app_key="unused",
        api_host=url,
        host_name="lib-1",
        mute=False,
        hostname_from_config=False,
    )
    yield datadog.api
    if RequestClient._session is not None:
        RequestClient._session.close()
    RequestClient._session = None


@pytest.fixture(scope="module")
def client(instance: Instance) -> Iterator[ApiClient]:
    configuration = Configuration(
        host=f"http://127.0.0.1:{instance.http_port}", api_key={"apiKeyAuth": instance.key(), "appKeyAuth": "unused"}
    )
    with ApiClient(configuration) as client:
        yield client
        client.rest_client.pool_manager.clear()


def test_the_datadog_library_and_events(api: Any) -> None:
    now = int(time.time())
    created = api.Event.create(
        title="Deploy",
        text="of the library",
        date_happened=now - 60,
        tags=["lib:py"],
        alert_type="success",
        host="lib-1",
    )
    assert created["status"] == "ok"
    found = api.Event.query(start=now - 120, end=now, tags="lib:py")["events"]
    assert [event["id"] for event in found] == [created["event"]["id"]]
    assert api.Event.get(created["event"]["id"])["event"]["text"] == "of the library"
    assert api.Event.query(start=now - 120, end=now, tags="lib:other")["events"] == []
    with pytest.raises(ApiError):
        api.Event.get(1)


def test_what_the_datadog_library_sends_and_other_clients_refuse(
    api: Any, client: ApiClient, instance: Instance
) -> None:
    """An event with more text than clients read, or a type that they do not know, costs no answer its neighbours."""
    now = int(time.time())
    long = api.Event.create(
        title="Long", text="x" * 5000, tags=["lib:odd"], source_type_name="lib-a", device_name=["eth0"]
    )
    odd = {"title": "Odd", "text": "t", "tags": ["lib:odd"], "source_type_name": "lib-b", "alert_type": "Critical"}
    key = {"DD-API-KEY": instance.key(), "Content-Type": "application/json"}
    assert instance.send("POST", "/api/v1/events", json.dumps(odd).encode(), key).status == 202
    listed = EventsApiV1(client).list_events(start=now - 60, end=now + 60, tags="lib:odd").events
    assert sorted((one.title, len(one.text), str(one.alert_type)) for one in listed) == [
        ("Long", 4000, "info"),
        ("Odd", 1, "info"),
    ]
    assert {one.source_type_name for one in listed} == {"lib-a", "lib-b"}
    assert EventsApiV1(client).get_event(event_id=long["event"]["id"]).event.device_name == "eth0"
    found = api.Event.query(start=now - 60, end=now + 60, tags="lib:odd", sources=["lib-a", "lib-b"])["events"]
    assert len(found) == 2


def test_the_datadog_library_and_hosts(api: Any, instance: Instance) -> None:
    now = int(time.time())
    api.Metric.send(metric="lib.hosts", points=[(now, 1)], host="lib-host")
    listed = api.Hosts.search(filter="lib-host")
    assert [(host["name"], host["up"]) for host in listed["host_list"]] == [("lib-host", True)]
    assert api.Hosts.totals()["total_active"] >= 1
    assert api.Tag.create("lib-host", tags=["env:lib"])["tags"] == ["env:lib"]
    assert api.Tag.get("lib-host") == {"tags": ["env:lib"]}
    assert api.Tag.get_all()["tags"]["env:lib"] == ["lib-host"]
    labels = {"__name__": "lib_hosts", "env": "lib", "instance": "lib-host", "job": "ddagent", "type": "gauge"}
    assert instance.vector("lib_hosts", now + 1) == {label_set(labels): "1"}
    assert api.Tag.update("lib-host", tags=["env:other"])["tags"] == ["env:other"]
    api.Tag.delete("lib-host")
    assert api.Tag.get("lib-host") == {"tags": []}
    assert api.Host.mute("lib-host", end=now + 600, message="deploy")["action"] == "Muted"
    assert api.Hosts.search(filter="lib-host")["host_list"][0]["is_muted"] is True
    assert api.Host.unmute("lib-host")["action"] == "Unmuted"
    for end in (str(now + 600), now + 600.5):
        assert api.Host.mute("lib-host", end=end, override=True)["end"] == now + 600
    assert api.Host.unmute("lib-host")["action"] == "Unmuted"
    with pytest.raises(ApiError):
        api.Host.mute("lib-host", end=True)
    api.Tag.create("lib-host", tags=["env:lib", "role:web"])
    assert api.Tag.get("lib-host", source="user") == {"tags": ["env:lib", "role:web"]}
    assert len(api.Hosts.get_all(filter=["env:lib", "role:web"])["host_list"]) == 1
    # That it is read: a time of the same second would tell it by chance.
    with pytest.raises(ApiError):
        api.Hosts.get_all(filter="lib-host", from_="soon")
    assert api.Tag.get("lib-host", by_source=True) == {"tags": {"users": ["env:lib", "role:web"]}}


def test_the_datadog_library_and_distributions(api: Any, instance: Instance) -> None:
    now = int(time.time()) // 10 * 10
    assert api.Distribution.send(distributions=[{"metric": "lib.spread", "points": [(now, [1.0, 2.0, 3.0])]}]) == {
        "status": "ok"
    }
    labels = {"__name__": "lib_spread_sum", "instance": "lib-1", "job": "ddagent", "type": "distribution"}
    assert instance.vector("lib_spread_sum", now + 1) == {label_set(labels): "6"}


def test_the_api_client_and_events(client: ApiClient) -> None:
    now = int(time.time())
    event = EventCreateRequest(title="Client", text="of the client", tags=["client:v1"], host="client-1")
    created = EventsApiV1(client).create_event(body=event)
    found = EventsApiV1(client).list_events(start=now - 60, end=now + 60, tags="client:v1")
    assert [one.id for one in found.events] == [created.event.id]
    assert EventsApiV1(client).get_event(event_id=created.event.id).event.title == "Client"
    with pytest.raises(NotFoundException):
        EventsApiV1(client).get_event(event_id=1)
    wanted = EventsListRequest(filter=EventsQueryFilter(query="client:v1 client", _from="now-5m", to="now"))
    searched = EventsApiV2(client).search_events(body=wanted)
    assert [one.attributes.message for one in searched.data] == ["of the client"]
    told = EventsApiV2(client).get_event(event_id=str(created.event.id)).data
    assert (told.id, told.attributes.message) == (str(created.event.id), "of the client")
    moment = datetime.now(UTC)
    listed = EventsApiV2(client).list_events_with_pagination(
        filter_query="client:v1",
        filter_from=(moment - timedelta(minutes=5)).isoformat(),
        filter_to=(moment + timedelta(minutes=1)).isoformat(),
    )
    assert [one.attributes.message for one in listed] == ["of the client"]


def test_the_api_client_and_hosts(client: ApiClient) -> None:
    hosts, tags = HostsApi(client), TagsApi(client)
    added = tags.create_host_tags(host_name="client-host", body=HostTags(host="client-host", tags=["env:client"]))
    assert added.tags == ["env:client"]
    assert tags.get_host_tags(host_name="client-host").tags == ["env:client"]
    assert tags.list_host_tags().tags["env:client"] == ["client-host"]
    MetricsApi(client).submit_distribution_points(
        body=DistributionPointsPayload(
            series=[
                DistributionPointsSeries(
                    metric="client.spread",
                    host="client-host",
                    points=[DistributionPoint([float(int(time.time())), [1.0, 2.0]])],
                )
            ]
        )
    )
    listed = hosts.list_hosts(filter="env:client", include_hosts_metadata=True)
    assert [(host.name, host.up) for host in listed.host_list] == [("client-host", True)]
    assert hosts.get_host_totals().total_up >= 1
    assert hosts.mute_host(host_name="client-host", body=HostMuteSettings(message="m")).action == "Muted"
    assert hosts.unmute_host(host_name="client-host").hostname == "client-host"
    tags.update_host_tags(host_name="client-host", body=HostTags(host="client-host", tags=[]))
    assert tags.get_host_tags(host_name="client-host").tags == []
    tags.delete_host_tags(host_name="client-host")


def test_the_api_client_and_logs(client: ApiClient, instance: Instance) -> None:
    log = HTTPLogItem(ddsource="nginx", ddtags="env:client", hostname="client-1", message="GET / 200", service="shop")
    LogsApi(client).submit_log(body=HTTPLog([log]))
    answer = instance.send("GET", "/admin/logs?query=env:client%20GET", headers={"DD-API-KEY": instance.key()}).json()
    assert [(one["message"], one["service"], one["host"]) for one in answer["logs"]] == [
        ("GET / 200", "shop", "client-1")
    ]
