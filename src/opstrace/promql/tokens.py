"""A query's text as tokens, and the parse error that points into it.

Text that is no token becomes an error only when the parser reaches it, so that an earlier error is reported. Messages
are those of prometheus/prometheus: promql/parser/lex.go.
"""

import re
from dataclasses import dataclass, field
from enum import Enum

from opstrace.errors import BadQuery
from opstrace.promql.signatures import AGGREGATIONS


class Kind(Enum):
    """What a token is, in the words of error messages."""

    NUMBER = "number"
    DURATION = "duration"
    STRING = "string"
    IDENTIFIER = "identifier"
    METRIC = "metric identifier"  # with a colon in it
    KEYWORD = "keyword"
    OPERATOR = "operator"
    END = "end of input"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Token:
    """One token; a string's `text` still has its quotes, an error's is its message."""

    kind: Kind
    text: str
    start: int

    @property
    def end(self) -> int:
        """The offset just behind the token."""
        return self.start + len(self.text)

    def __str__(self) -> str:
        """Return the token as Prometheus's messages name it."""
        match self.kind:
            case Kind.END:
                return str(self.kind.value)
            case Kind.KEYWORD | Kind.OPERATOR:
                role = _ROLES.get(self.text.lower())
                return f"<{role}{self.text}>" if role is not None else quote(self.text)
            case Kind.IDENTIFIER | Kind.METRIC:
                return f"{self.kind.value} {quote(self.text)}"
            case _:
                more = "..." if len(self.text) > _SHOWN else ""
                return f"{self.kind.value} {quote(self.text[:_SHOWN])}{more}"


_SHOWN = 10
# How messages mark the words and signs that mean something; what is in no mark is quoted.
_ROLES = {
    **dict.fromkeys(("and", "or", "unless", "atan2"), "op:"),
    **dict.fromkeys(AGGREGATIONS, "aggr:"),
    **dict.fromkeys(("offset", "smoothed", "anchored", "by", "without", "on", "ignoring", "bool"), ""),
    **dict.fromkeys(("group_left", "group_right", "fill", "fill_left", "fill_right"), ""),
    **dict.fromkeys((*"+-*/%^<>@", "==", "!=", "<=", ">=", "=~", "!~", "</", ">/"), "op:"),
}
_SPAN_WORDS = frozenset(("step", "range", "max_of", "min_of"))
_KEYWORDS = frozenset((*(word for word in _ROLES if word.isidentifier()), "start", "end", *_SPAN_WORDS))
_FILLS = frozenset(("fill", "fill_left", "fill_right"))
_NUMBERS = frozenset(("inf", "nan"))


def position(query: str, offset: int) -> str:
    """Return `line:column` of a character offset, both from 1, as Prometheus's messages count them: in bytes."""
    if not query:
        return "unknown position"
    before = query[:offset]
    column = len(before[before.rfind("\n") + 1 :].encode("utf-8", "surrogatepass")) + 1
    return f"{before.count(chr(10)) + 1}:{column}"


def parse_error(query: str, offset: int, message: str) -> BadQuery:
    """Return the error to raise for what stands at this offset."""
    return BadQuery(f"{position(query, offset)}: parse error: {message}")


# ---------------------------------------------------------------------------------------------------------------
# Tokens


def tokenize(query: str) -> list[Token]:
    """Return the tokens; the last is of kind END, or of kind ERROR where nothing fits."""
    lexer = _Lexer(query)
    while not lexer.tokens or lexer.tokens[-1].kind not in (Kind.END, Kind.ERROR):
        lexer.step()
    return lexer.tokens


_SPACE = r"(?P<SPACE>[ \t\r\n]+)"
_COMMENT = r"(?P<COMMENT>#[^\r\n]*)"
# Only what is plainly right: numbers, durations and strings that are not are read by hand.
_QUANTITY = (
    r"(?P<NUMBER>(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?![A-Za-z0-9_.]))"
    r"|(?P<DURATION>[0-9]+(?:ms|[smhdwy])(?:[0-9]+(?:ms|[smhdw]))*(?![A-Za-z0-9_]))|(?P<ODD_NUMBER>(?=\.?[0-9]))"
)
_NO_RUNE = "\ud800-\udfff\ufffd"
_STRING = (
    rf"""(?P<STRING>"(?:[^"\\\n{_NO_RUNE}]|\\[abfnrtv\\"])*"|'(?:[^'\\\n{_NO_RUNE}]|\\[abfnrtv\\'])*'|`[^`{_NO_RUNE}]*`)"""
    r"""|(?P<ODD_STRING>(?=["'`]))"""
)
_SIGN = r"==|!=|<=|</|>=|>/|=(?!~)|[-+*/%^<>(){\[\],@]"


@dataclass(frozen=True, slots=True)
class _Mode:
    """What may stand somewhere, and how messages say that this is where."""

    pattern: re.Pattern[str]
    where: str = ""

    @classmethod
    def of(cls, *parts: str, where: str = "") -> "_Mode":
        return cls(re.compile("|".join(parts)), where)


_WORD = r"(?P<WORD>[A-Za-z_:][A-Za-z0-9_:]*)"
_LABEL = r"(?P<IDENTIFIER>[A-Za-z_][A-Za-z0-9_]*)"
_SPAN_WORD = r"(?P<SPAN_WORD>[sSmMrR][A-Za-z_]*)"
_OUTSIDE = _Mode.of(_SPACE, _COMMENT, _QUANTITY, _STRING, _WORD, rf"(?P<OPERATOR>{_SIGN})")
_IN_BRACES = _Mode.of(_SPACE, _COMMENT, _STRING, _LABEL, r"(?P<OPERATOR>=~|!~|!=|[=,}])", where=" inside braces")
# Between brackets there are no names, and up to a number nothing but a duration's arithmetic.
_SPAN_SIGN = r"(?P<OPERATOR>[-+*/%^(),:\]])"
_IN_SPAN = _Mode.of(_SPACE, _QUANTITY, _SPAN_WORD, _SPAN_SIGN, where=" in duration expression")
_IN_BRACKETS = _Mode.of(_SPACE, _COMMENT, _QUANTITY, _STRING, _SPAN_WORD, rf"(?P<OPERATOR>{_SIGN}|:)")
_OPENED_BY_PAREN = re.compile(r"[ \t\r\n]*\(")


@dataclass(slots=True)
class _Lexer:
    query: str
    tokens: list[Token] = field(default_factory=list)
    offset: int = 0
    parens: int = 0
    mode: _Mode = _OUTSIDE
    in_brackets: bool = False
    colon: bool = False
    spanned: bool = False  # something stands between the brackets already

    def step(self) -> None:
        """Read on to the next token, or over white space."""
        match = self.mode.pattern.match(self.query, self.offset)
        if match is None:
            self.nothing()
            return
        match match.lastgroup:
            case "SPACE" | "COMMENT":
                self.offset = match.end()
            case "ODD_NUMBER":
                self.quantity(*_odd_number(self.query, self.offset))
            case "ODD_STRING":
                self.string()
            case "WORD":
                self.word(match[0])
            case "SPAN_WORD":
                self.span_word(match[0])
            case "OPERATOR":
                self.operator(match[0])
            case "NUMBER" | "DURATION" as kind:
                self.quantity(Kind[kind], match.end())
            case kind:
                self.emit(Kind[str(kind)], match.end())

    def emit(self, kind: Kind, end: int) -> None:
        self.tokens.append(Token(kind, self.query[self.offset : end], self.offset))
        self.offset = end

    def fail(self, message: str) -> None:
        self.tokens.append(Token(Kind.ERROR, message, self.offset))

    def nothing(self) -> None:
        """Nothing fits: the end, or an error."""
        rune, following = self.query[self.offset : self.offset + 1], self.query[self.offset + 1 : self.offset + 2]
        if not rune:
            self.ended()
        elif rune == "!" and self.mode is not _IN_SPAN:
            self.fail(f"unexpected character after '!'{self.mode.where}: {quote_rune(following)}")
        elif rune == "=" and not self.mode.where:
            self.fail(f"unexpected character after '=': {quote_rune(following)}")
        elif rune == "{" and self.mode is _IN_BRACES:
            self.fail("unexpected left brace '{'")
        elif self.mode is _IN_BRACKETS and (rune == "_" or (rune.isascii() and rune.isalpha())):
            self.fail(f"unexpected character: {quote_rune(rune)}, expected ':'")
        else:
            self.fail(f"unexpected character{self.mode.where}: {quote_rune(rune)}")

    def ended(self) -> None:
        if self.mode.where:
            self.fail(f"unexpected end of input{self.mode.where}")
        elif self.parens:
            self.fail("unclosed left parenthesis")
        elif self.in_brackets:
            self.fail("unclosed left bracket")
        else:
            self.emit(Kind.END, self.offset)

    def quantity(self, kind: Kind | None, end: int) -> None:
        if kind is None:
            self.fail(f"bad number or duration syntax: {quote(self.query[self.offset : end])}")
            return
        self.emit(kind, end)
        if self.in_brackets:
            self.mode, self.spanned = _IN_BRACKETS, True

    def string(self) -> None:
        fault, end = _odd_string(self.query, self.offset)
        if fault:
            self.fail(fault)
        else:
            self.emit(Kind.STRING, end)

    def word(self, text: str) -> None:
        end, lower = self.offset + len(text), text.lower()
        if lower in _NUMBERS:
            self.emit(Kind.NUMBER, end)
        elif lower in _KEYWORDS and (lower not in _FILLS or _OPENED_BY_PAREN.match(self.query, end)):
            self.emit(Kind.KEYWORD, end)
        else:
            self.emit(Kind.METRIC if ":" in text else Kind.IDENTIFIER, end)

    def span_word(self, text: str) -> None:
        if text.lower() in _SPAN_WORDS:
            self.emit(Kind.KEYWORD, self.offset + len(text))
            self.spanned = True
        elif self.mode is _IN_SPAN:
            self.fail(f"unexpected character in duration expression: {quote_rune(text[0])}")
        else:
            self.fail(f"unexpected character: {quote_rune(text[0])}, expected ':'")

    def operator(self, text: str) -> None:
        if text == "[" and self.in_brackets:
            self.fail("unexpected left bracket '['")
        elif text == "]" and not self.in_brackets:
            self.fail("unexpected right bracket ']'")
        elif text == ":" and self.colon and self.mode is _IN_BRACKETS:
            self.fail("unexpected colon ':'")
        else:
            self.emit(Kind.OPERATOR, self.offset + len(text))
            self.after(text)

    def after(self, text: str) -> None:
        """Go where this sign leads."""
        match text:
            case "(":
                self.parens += 1
            case ")":
                self.parens -= 1
                if self.parens < 0:
                    self.instead("unexpected right parenthesis ')'")
            case "{":
                self.mode = _IN_BRACES
            case "}":
                self.mode = _IN_BRACKETS if self.in_brackets else _OUTSIDE
            case "[":
                self.mode, self.in_brackets, self.colon, self.spanned = _IN_SPAN, True, False, False
            case "]":
                self.mode, self.in_brackets = _OUTSIDE, False
            case ":" if self.mode is _IN_SPAN and (self.colon or not self.spanned):
                what = "repeated colon" if self.spanned else "colon before duration"
                self.instead(f"unexpected {what} in duration expression")
            case ":":
                self.colon = True

    def instead(self, message: str) -> None:
        """Put an error in the place of the last token; it is told of where that ended."""
        self.tokens.pop()
        self.fail(message)


# ---------------------------------------------------------------------------------------------------------------
# Numbers

_HEXADECIMAL = re.compile(r"0[xX]_?\.?[0-9a-fA-F]?")
_DECIMAL = re.compile(r"0?\.?[0-9]?")
_PARTS = {
    _HEXADECIMAL: re.compile(r"(?P<DOT>\.)|(?P<EXPONENT>[eE][+-]?)|(?P<UNDERSCORE>_)|[0-9a-fA-F]+"),
    _DECIMAL: re.compile(r"(?P<DOT>\.)|(?P<EXPONENT>[eE][+-]?)|(?P<UNDERSCORE>_)|[0-9]+"),
}
# What must not follow these parts; the end of the text must not follow the latter two either.
_NOT_AFTER = {"DOT": "_.", "EXPONENT": "._eE", "UNDERSCORE": "._eE"}
_UNITS = re.compile(r"[smhdwy]s?(?:[0-9]+[smhdw]s?)*")
_DIGITS = re.compile(r"[0-9]+")
_ALPHANUMERIC = re.compile(r"[A-Za-z0-9_]")


def _odd_number(query: str, start: int) -> tuple[Kind | None, int]:
    """Return what begins with a digit here, None if nothing does, and how far one must read to tell.

    A number is read generously: whether it is one is seen when it is converted.
    """
    complete, end = _number_end(query, start)
    if complete and not _ALPHANUMERIC.match(query, end):
        return Kind.NUMBER, end
    units = _UNITS.match(query, end)
    if units is None:
        return None, end
    end = units.end()
    if digits := _DIGITS.match(query, end):
        return None, digits.end()
    return (None, end + 1) if _ALPHANUMERIC.match(query, end) else (Kind.DURATION, end)


def _number_end(query: str, start: int) -> tuple[bool, int]:
    form = _HEXADECIMAL if _HEXADECIMAL.match(query, start) else _DECIMAL
    first = form.match(query, start)
    end, seen = first.end() if first else start, set[str]()
    while part := _PARTS[form].match(query, end):
        group = part.lastgroup
        if group in ("DOT", "EXPONENT") and group in seen:
            return False, end + 1
        end = part.end()
        if group is None:
            continue
        seen.add(group)
        if query[end : end + 1] and query[end] in _NOT_AFTER[group]:
            return False, end + 1
        if (group == "DOT" and form is _HEXADECIMAL) or (group != "DOT" and end == len(query)):
            return False, end
    return True, end


# By their base, whole numbers that may fit into 64 bits; all others are read as floats.
_WHOLE = {
    8: re.compile(r"0(?:_?[0-7]){1,99}"),
    10: re.compile(r"0|[1-9](?:_?[0-9]){0,99}"),
    16: re.compile(r"0[xX](?:_?[0-9a-fA-F]){1,99}"),
}
_TOO_LARGE = 2**63


def number_value(text: str) -> float:
    """Return a number's value as Go reads it: `010` is 8; raise ValueError with Go's words for what is none."""
    form = next((base for base, digits in _WHOLE.items() if digits.fullmatch(text)), None)
    if form is not None and (whole := int(text, form)) < _TOO_LARGE:
        return float(whole)
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"strconv.ParseFloat: parsing {quote(text)}: invalid syntax") from None
    if abs(value) == float("inf") and text.lower() not in _NUMBERS:
        raise ValueError(f"strconv.ParseFloat: parsing {quote(text)}: value out of range")
    return value


# ---------------------------------------------------------------------------------------------------------------
# Strings


def quote(text: str) -> str:
    """Return a string literal as Go writes it (strconv.Quote)."""
    return f'"{"".join(_quoted_rune(rune, chr(34)) for rune in text)}"'


def quote_rune(rune: str) -> str:
    """Return one character as Go writes it; the end of the text is none that there is."""
    return f"'{_quoted_rune(rune or chr(0xFFFD), chr(39))}'"


_SHORT = {"\a": "a", "\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t", "\v": "v", "\\": "\\"}


def _quoted_rune(rune: str, mark: str) -> str:
    code = ord(rune)
    if rune in _SHORT or rune == mark:
        return f"\\{_SHORT.get(rune, rune)}"
    if rune.isprintable():
        return rune
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


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
# By the first character of an escape: its digits' number and base, and the largest value.
_CODES = {
    **dict.fromkeys("01234567", (3, 8, 0xFF)),
    "x": (2, 16, 0xFF),
    "u": (4, 16, 0x10FFFF),
    "U": (8, 16, 0x10FFFF),
}
_RUNE_ERROR = re.compile(f"[{_NO_RUNE}]")


def _odd_string(query: str, start: int) -> tuple[str, int]:
    """Return what is wrong with a string that begins here, or nothing, and its end."""
    mark, offset = query[start], start + 1
    while True:
        rune = query[offset : offset + 1]
        if rune == mark:
            return "", offset + 1
        if not rune or (rune == "\n" and mark != "`"):
            return f"unterminated {'raw' if mark == '`' else 'quoted'} string", offset
        if _RUNE_ERROR.match(rune):
            return "invalid UTF-8 rune", offset
        offset += 1
        if rune == "\\" and mark != "`":
            fault, offset = _escape_end(query, offset, mark)
            if fault:
                return fault, offset


def _escape_end(query: str, offset: int, mark: str) -> tuple[str, int]:
    first = query[offset : offset + 1]
    if first and first in "abfnrtv\\" + mark:
        return "", offset + 1
    if first not in _CODES:
        return (f"unknown escape sequence {_named(first)}" if first else _UNENDED), offset
    size, base, largest = _CODES[first]
    offset += base == 16
    code = 0
    for rune in query[offset : offset + size].ljust(size, "\0"):
        if offset >= len(query):
            return _UNENDED, offset
        if not (rune.isascii() and rune.isalnum()) or int(rune, 36) >= base:
            return f"illegal character {_named(rune)} in escape sequence", offset
        code, offset = code * base + int(rune, 36), offset + 1
    wrong = code > largest or 0xD800 <= code < 0xE000
    return ("escape sequence is an invalid Unicode code point" if wrong else ""), offset


_UNENDED = "escape sequence not terminated"


def _named(rune: str) -> str:
    """Return a character as Go names it, `U+0041 'A'`."""
    return f"U+{ord(rune):04X}" + (f" '{rune}'" if rune.isprintable() else "")


def unquote(token: Token) -> str:
    """Return what a string token stands for; escapes are Go's (prometheus/prometheus: util/strutil/quote.go)."""
    body = token.text[1:-1]
    if token.text[0] == "`" or "\\" not in body:
        return body
    # Bytes written as \x.. or \ooo join into UTF-8; what is no UTF-8 stays visible as surrogates.
    return b"".join(_unescaped(body)).decode("utf-8", "surrogateescape")


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
