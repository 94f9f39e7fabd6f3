"""Datadog's search syntax: words, phrases, `key:value`, `-`, AND, OR, NOT, () (datadog-api.md, section 7)."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from opstrace.errors import BadQuery
from opstrace.store.search import All, Either, Field, Node, Not, Text

MAX_SEARCH_BYTES: Final = 8192
MAX_SEARCH_TERMS: Final = 100
MAX_SEARCH_DEPTH: Final = 50
_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<open>\()|(?P<close>\))|
        (?P<minus>[-!](?=\S))|
        (?P<field>@?[\w./-]+):(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s()"]+)|(?P<group>\())|
        "(?P<phrase>(?:[^"\\]|\\.)*)"|
        (?P<word>[^\s()"]+)
    )""",
    re.VERBOSE,
)
_HALF: Final = re.compile("[\ud800-\udfff]")
_ESCAPED: Final = re.compile(r"\\(.)")


def parse_search(text: str) -> Node:
    """Return what a query searches for; raise BadQuery where it cannot be read."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SEARCH_BYTES:
        raise BadQuery(f"the query is longer than {MAX_SEARCH_BYTES} bytes")
    if _HALF.search(text):
        raise BadQuery("the query holds half a character")
    tokens = list(_tokens(text))
    if sum(token.kind in ("word", "phrase", "field") for token in tokens) > MAX_SEARCH_TERMS:
        raise BadQuery(f"the query has more than {MAX_SEARCH_TERMS} terms")
    parser = _Parser(tokens)
    node = parser.either("")
    if parser.place < len(tokens):
        raise BadQuery("the query closes a parenthesis that it did not open")
    return node


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # open, close, minus, field, phrase, word; AND, OR, NOT
    name: str = ""
    value: str = ""


def _tokens(text: str) -> Iterator[_Token]:
    place, end = 0, len(text.rstrip())
    while place < end:
        found = _TOKEN.match(text, place)
        if not found:
            raise BadQuery(f"the query cannot be read from character {place + 1} on: {text[place : place + 20]!r}")
        place = found.end()
        if name := found["field"]:
            quoted = found["quoted"]
            if found["group"]:
                yield _Token("group", name)
            else:
                yield _Token("field", name, _unescaped(quoted) if quoted is not None else found["bare"])
        elif found["phrase"] is not None:
            yield _Token("phrase", value=_unescaped(found["phrase"]))
        elif word := found["word"]:
            yield _Token(word if word in ("AND", "OR", "NOT") else "word", value=word)
        else:
            yield _Token(next(kind for kind in ("open", "close", "minus") if found[kind]))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


class _Parser:
    """Reads OR below AND below NOT; terms side by side are an AND."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self.place = 0
        self._tokens = tokens
        self._depth = 0

    def either(self, within: str) -> Node:
        """Read as far as the terms go; words within `key:( … )` are values of the key."""
        nodes = [self._all(within)]
        while self._peek() == "OR":
            self.place += 1
            nodes.append(self._all(within))
        return nodes[0] if len(nodes) == 1 else Either(nodes)

    def _all(self, within: str) -> Node:
        nodes: list[Node] = []
        while (kind := self._peek()) not in ("OR", "close", ""):
            if kind == "AND":
                self.place += 1
                continue
            nodes.append(self._term(within))
        return nodes[0] if len(nodes) == 1 else All(nodes)

    def _term(self, within: str) -> Node:
        token = self._tokens[self.place]
        self.place += 1
        match token.kind:
            case "minus" | "NOT":
                if self._peek() in ("", "close", "OR", "AND"):
                    raise BadQuery("the query negates nothing")
                return Not(self._deeper(lambda: self._term(within)))
            case "open" | "group":
                return self._deeper(lambda: self._closed(token.name or within))
            case "field":
                return Field(token.name, token.value)
        if within:
            return Field(within, token.value)
        return All([]) if token.value == "*" else Text(token.value.strip("*"))

    def _closed(self, within: str) -> Node:
        node = self.either(within)
        if self._peek() != "close":
            raise BadQuery("the query opens a parenthesis that it does not close")
        self.place += 1
        return node

    def _deeper(self, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_SEARCH_DEPTH:
            raise BadQuery(f"the query nests more than {MAX_SEARCH_DEPTH} levels deep")
        node = read()
        self._depth -= 1
        return node

    def _peek(self) -> str:
        return self._tokens[self.place].kind if self.place < len(self._tokens) else ""
