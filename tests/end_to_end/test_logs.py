"""Logs as `/admin/logs` answers them: page after page, in the order in which they came."""

from urllib.parse import urlencode

from end_to_end.instance import Answer, Instance


def asked(instance: Instance, **parameters: str) -> Answer:
    return instance.send("GET", f"/admin/logs?{urlencode(parameters)}", headers={"DD-API-KEY": instance.key()})


def test_lines_of_one_moment_are_read_page_by_page(instance: Instance) -> None:
    lines = [f"page-by-page {n}" for n in range(25)]
    headers = {"DD-API-KEY": instance.key(), "Content-Type": "text/plain"}
    assert instance.send("POST", "/api/v2/logs", "\n".join(lines).encode(), headers).status == 202
    found: list[str] = []
    page = asked(instance, query="page-by-page", limit="10").json()
    while page["more"]:
        found += (log["message"] for log in page["logs"])
        page = asked(instance, query="page-by-page", limit="10", cursor=page["cursor"]).json()
    assert "cursor" not in page
    assert [*found, *(log["message"] for log in page["logs"])] == lines[::-1]


def test_a_cursor_that_is_none_is_refused(instance: Instance) -> None:
    answer = asked(instance, cursor="tomorrow")
    assert (answer.status, answer.json()) == (400, {"errors": ["cursor: 'tomorrow' is none that an answer had"]})
