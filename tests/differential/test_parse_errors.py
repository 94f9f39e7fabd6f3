"""Random rows of tokens: Debian's Prometheus and our parser say the same of them, word for word and to the column.

What Prometheus said differently in 2.42 is left out: durations and what stands between brackets or after `offset`
(arithmetic since 3.x), names in quotes between braces, `@`, `<` and `>` (other signs begin with them now), faults of
regular expressions (told without the anchors now), numbers with `_` or two dots or printed with an exponent, and new
keywords.
"""

import http.client
import json
from random import Random
from urllib.parse import urlencode

import pytest
from bench.products import prometheus

from opstrace.errors import BadQuery
from opstrace.promql.parser import parse
from opstrace.promql.printer import printed

WORDS = (
    *("+", "-", "*", "/", "%", "^", "==", "!=", "<=", ">=", "=~", "!~", "=", "!", "(", ")", "}", "]", ",", ";", "#"),
    *("and", "or", "unless", "atan2", "by", "without", "on", "ignoring", "group_left", "group_right", "bool"),
    *("sum", "topk", "count_values", "rate", "clamp", "label_replace", "vector", "time", "nosuch", "c", "a:b", "é"),
    *("1", "010", "08", "0x1f", "1e3", "1.5", ".5", "0.00012345678901", "1e400", "inf", "NaN"),
    *(
        '"x"',
        "'y'",
        "`z`",
        '"\\q"',
        '"\\400"',
        '"\\u12"',
        '"abcdefghijklmno"',
        '"',
        "'\\",
        "`",
        '"é"',
        '"\\u200b\\x01"',
    ),
    *('{i="a"}', '{i!="a",j=~"b|c"}', '{__name__="c"}', '{j="b",i="a"}', '{i=""}', "{i", "{i=", '{i="a"', "{1", "{,"),
    *("(i)", "(i, j)", "(i,, j)", "()", "(i j)", "c[5m]", "c[5m:1m]", "c offset 5m", "c[5m][5m]", "sum by (i) (c)"),
    *(
        "rate(c[5m])",
        "rate(c, 1)",
        "rate(c)",
        "clamp(c, 1, 2)",
        "clamp(c,)",
        "topk(1, c)",
        "topk(c)",
        "1 == 2",
        "1 or 2",
    ),
    *(
        "c + on (i) group_left (j) c",
        "c and on (i) group_left c",
        "c + on (i) 1",
        "c + on () 1",
        '{__name__="c",i="a"}',
    ),
)
ALWAYS = range(1000)


def test_what_is_said_of_tokens(tmp_path_factory: pytest.TempPathFactory, fresh: int) -> None:
    differing = []
    with prometheus(tmp_path_factory.mktemp("parse_errors")) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for seed in (*ALWAYS, *range(1_000_000, 1_000_000 + fresh)):
            random = Random(seed)
            query = random.choice((" ", " ", "\n")).join(random.choices(WORDS, k=random.randrange(1, 9)))
            theirs, ours = _theirs(connection, query), _ours(query)
            if theirs != ours:
                differing.append(f"{query!r}\n    theirs {theirs}\n    ours   {ours}")
        connection.close()
    assert differing == [], "\n".join(differing)


def _theirs(connection: http.client.HTTPConnection, query: str) -> str:
    connection.request("GET", f"/api/v1/format_query?{urlencode({'query': query})}")
    answer = json.loads(connection.getresponse().read())
    return str(answer.get("data") or answer["error"].removeprefix('invalid parameter "query": '))


def _ours(query: str) -> str:
    try:
        return printed(parse(query))
    except BadQuery as error:
        return str(error)
