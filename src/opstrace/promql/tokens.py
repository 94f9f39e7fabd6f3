"""A query's text as tokens, and the parse error that points into it."""

import json
import re
from dataclasses import dataclass
from enum import Enum

from opstrace.errors import BadQuery
from opstrace.promql.signatures import AGGREGATIONS


class Kind(Enum):
    """What a token is, in the words of error messages."""

    NUMBER = "number"
    DURATION = "duration"
    STRING = "string"
    IDENTIFIER = "identifier"
    OPERATOR = "operator"
    END = "end of input"


@dataclass(frozen=True, slots=True)
class Token:
    """One token; a string's `text` still has its quotes."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset just behind the token."""
        return self.start + len(self.text)

    def __str__(self) -> str:
        """Return the token as Prometheus's messages name it (promql/parser/lex.go)."""
        word = self.text.lower()
        if self.kind is Kind.END:
            return str(self.kind.value)
        if word in _OPERATORS:
            return f"<op:{word}>"
        if self.kind is Kind.IDENTIFIER and word in AGGREGATIONS:
            return f"<aggr:{self.text}>"
        if self.kind is Kind.IDENTIFIER and word in _KEYWORDS:
            return f"<{self.text}>"
        quoted = json.dumps(self.text, ensure_ascii=False)
        return quoted if self.kind is Kind.OPERATOR else f"{self.kind.value} {quoted}"


def position(query: str, offset: int) -> str:
    """Return `line:column` of a character offset, both from 1, as Prometheus's messages count them."""
    line = query.count("\n", 0, offset) + 1
    return f"{line}:{offset - query.rfind(chr(10), 0, offset)}"


def parse_error(query: str, offset: int, message: str) -> BadQuery:
    """Return the error to raise for what stands at this offset."""
    return BadQuery(f"{position(query, offset)}: parse error: {message}")


_OPERATORS = frozenset((*"+-*/%^<>", "==", "!=", "<=", ">=", "=~", "!~", "</", ">/", "and", "or", "unless", "atan2"))
_KEYWORDS = frozenset(["offset", "by", "without", "on", "ignoring", "group_left", "group_right", "bool"])
_DIGITS = r"[0-9](?:_?[0-9])*"
_NUMBER = rf"0[xX][0-9a-fA-F](?:_?[0-9a-fA-F])*|(?:{_DIGITS}\.?(?:{_DIGITS})?|\.{_DIGITS})(?:[eE][+-]?[0-9]+)?"
_DURATION = r"(?:[0-9]+(?:ms|[smhdwy]))+"
_STRING = r'"(?:[^"\\\n]|\\[^\n])*"' + r"|'(?:[^'\\\n]|\\[^\n])*'" + r"|`[^`]*`"
_OPERATOR = r"=~|!~|==|!=|>=|<=|</|>/|[-+*/%^=<>(){}\[\],@:]"


def _lexer(identifier: str) -> re.Pattern[str]:
    return re.compile(
        rf"(?P<SPACE>[ \t\r\n]+|#[^\n]*)|(?P<DURATION>{_DURATION})(?![A-Za-z0-9_.:])"
        rf"|(?P<NUMBER>{_NUMBER})(?![A-Za-z0-9_.])"
        rf"|(?P<STRING>{_STRING})|(?P<IDENTIFIER>{identifier})|(?P<OPERATOR>{_OPERATOR})"
    )


_OUTSIDE = _lexer(r"[A-Za-z_:][A-Za-z0-9_:]*")
# Between brackets a colon parts a subquery's range from its step; between braces it belongs to no label.
_INSIDE = _lexer(r"[A-Za-z_][A-Za-z0-9_]*")
_INSIDE_DURATION = re.compile(rf"(?P<DURATION>{_DURATION})(?![A-Za-z0-9_.])")


def tokenize(query: str) -> list[Token]:
    """Return the tokens, the last of kind END; raise BadQuery where none fits."""
    tokens, offset, inside = [], 0, 0
    while offset < len(query):
        match = _next(query, offset, inside > 0)
        kind = match.lastgroup or ""
        if kind != "SPACE":
            tokens.append(Token(Kind[kind], match[0], offset))
            inside += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        offset = match.end()
    return [*tokens, Token(Kind.END, "", len(query))]


def _next(query: str, offset: int, inside: bool) -> re.Match[str]:
    match = (inside and _INSIDE_DURATION.match(query, offset)) or (_INSIDE if inside else _OUTSIDE).match(
        query, offset
    )
    if match:
        return match
    rest = re.split(r"\s", query[offset : offset + 20])[0]
    if query[offset] in "\"'`":
        raise parse_error(query, offset, "unterminated quoted string")
    if query[offset] in "0123456789.":
        raise parse_error(query, offset, f"bad number or duration syntax: {rest!r}")
    raise parse_error(query, offset, f"unexpected character: {query[offset]!r}")


_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)


def unquote(query: str, token: Token) -> str:
    """Return what a string token stands for; escapes are Go's (prometheus/prometheus: util/strutil/quote.go)."""
    body = token.text[1:-1]
    if token.text[0] == "`" or "\\" not in body:
        return body
    try:
        # Bytes written as \x.. or \ooo join into UTF-8; what is no UTF-8 stays visible as surrogates.
        return b"".join(_unescaped(body)).decode("utf-8", "surrogateescape")
    except (KeyError, ValueError, OverflowError):
        raise parse_error(query, token.start, f"invalid escape sequence in string {token.text}") from None


def _unescaped(body: str) -> list[bytes]:
    parts, offset = [], 0
    for match in _ESCAPE.finditer(body):
        parts += [body[offset : match.start()].encode("utf-8", "surrogateescape"), _unescape(match)]
        offset = match.end()
    return [*parts, body[offset:].encode("utf-8", "surrogateescape")]


def _unescape(match: re.Match[str]) -> bytes:
    hexadecimal, octal, short, long, single = match.groups()
    if hexadecimal or octal:
        return bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8)])
    return (chr(int(short or long, 16)) if short or long else _ESCAPES[single]).encode()
