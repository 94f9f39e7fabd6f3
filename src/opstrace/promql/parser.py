"""A query's text to its tree, checked: names, argument types, matching clauses, selectors.

The grammar is Prometheus's, with its experimental parts (prometheus/prometheus: promql/parser/generated_parser.y).
Written here because positions are part of the language's contract: errors and annotations name them, and the parser
library's tree does not carry any. Time is linear in the length of the query, and depth is bounded.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from opstrace.errors import BadQuery
from opstrace.promql import regex
from opstrace.promql.signatures import AGGREGATIONS, EXTENSIONS, SIGNATURES, Signature
from opstrace.promql.tokens import Kind, Token, parse_error, tokenize, unquote
from opstrace.promql.tree import (
    Aggregate,
    At,
    Binary,
    Call,
    Duration,
    Matching,
    Node,
    Number,
    Paren,
    Range,
    Selector,
    Subquery,
    Text,
    Type,
    Unary,
)
from opstrace.store.backend import Matcher, MatchOp

# How tightly operators bind; `^` alone groups to the right. `</` and `>/` trim native histograms.
PRECEDENCE = {
    **dict.fromkeys(("or",), 1),
    **dict.fromkeys(("and", "unless"), 2),
    **dict.fromkeys(("==", "!=", "<=", "<", ">=", ">"), 3),
    **dict.fromkeys(("+", "-"), 4),
    **dict.fromkeys(("*", "/", "%", "atan2"), 5),
    **dict.fromkeys(("</", ">/"), 5),
    "^": 6,
}
_UNARY_BINDS = PRECEDENCE["^"]
SET_OPERATORS = frozenset(("and", "or", "unless"))
COMPARISONS = frozenset(("==", "!=", "<=", "<", ">=", ">"))

# Deeper queries are refused: evaluation recurses over the tree.
MAX_DEPTH = 100
_LONGEST_MS = (2**63 - 1) // 1_000_000
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "y": 31_536_000_000}
_NOT_A_METRIC = frozenset(("bool", "on", "ignoring", "group_left", "group_right"))
_MATCH_OPS = {op.value: op for op in MatchOp}
_FILLS = frozenset(("fill", "fill_left", "fill_right"))
_UNCLOSED = {
    "(": "unclosed left parenthesis",
    "[": "unexpected end of input in duration expression",
    "{": "unexpected end of input inside braces",
}
_DURATION_FUNCTIONS = {"step": 0, "range": 0, "min_of": 2, "max_of": 2}


def parse(query: str) -> Node:
    """Return the tree of a query; raise BadQuery, with its position, for what is not PromQL."""
    return _Parser(query).query()


def parse_selector(query: str) -> tuple[Matcher, ...]:
    """Return the matchers of a lone selector, as `match[]` parameters hold; raise BadQuery for anything else."""
    node = parse(query)
    if not isinstance(node, Selector) or node.offset or node.at is not None or node.extension:
        raise BadQuery(f'{query!r} is not a series selector such as up{{job="prometheus"}}')
    return node.matchers


def type_of(node: Node) -> Type:
    """Return what a node yields."""
    match node:
        case Number():
            return Type.SCALAR
        case Text():
            return Type.STRING
        case Range() | Subquery():
            return Type.MATRIX
        case Paren(expr=expr) | Unary(expr=expr):
            return type_of(expr)
        case Call(function=function):
            return SIGNATURES[function].returns
        case Binary(left=left, right=right):
            both_scalar = type_of(left) is type_of(right) is Type.SCALAR
            return Type.SCALAR if both_scalar else Type.VECTOR
        case _:
            return Type.VECTOR


def duration_ms(text: str) -> int:
    """Return the milliseconds of a duration token such as `1h30m`."""
    total, digits = 0, ""
    units = iter(_units(text))
    for digits, unit in units:
        total += int(digits) * _UNIT_MS[unit]
    return total


def _units(text: str) -> list[tuple[str, str]]:
    parts: list[tuple[str, str]] = []
    offset = 0
    while offset < len(text):
        middle = offset
        while text[middle].isdigit():
            middle += 1
        end = middle
        while end < len(text) and not text[end].isdigit():
            end += 1
        parts.append((text[offset:middle], text[middle:end]))
        offset = end
    return parts


@dataclass(slots=True)
class _Parser:
    query_text: str
    tokens: Sequence[Token] = ()
    index: int = 0
    depth: int = 0

    def query(self) -> Node:
        self.tokens = tokenize(self.query_text)
        if self.finished():
            raise BadQuery("unknown position: parse error: no expression found in input")
        node = self.expr(0)
        if not self.finished():
            self.unexpected()
        return node

    # -- tokens

    @property
    def here(self) -> Token:
        return self.tokens[self.index]

    def finished(self) -> bool:
        return self.here.kind is Kind.END

    @property
    def ahead(self) -> Token:
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    def take(self) -> Token:
        token = self.here
        self.index += token.kind is not Kind.END
        return token

    def at_operator(self, *texts: str) -> bool:
        return self.here.kind is Kind.OPERATOR and self.here.text in texts

    def at_word(self, *words: str) -> bool:
        return self.here.kind is Kind.IDENTIFIER and self.here.text.lower() in words

    def expect(self, text: str, where: str) -> Token:
        if not self.at_operator(text):
            self.unexpected(where, f'"{text}"')
        return self.take()

    def unexpected(self, where: str = "", expected: str = "") -> NoReturn:
        if self.finished() and (unclosed := self.unclosed()):
            self.fail(self.here.start, _UNCLOSED[unclosed])
        if self.at_operator(")"):
            self.fail(self.here.start, "unexpected right parenthesis ')'")
        message = f"unexpected {self.here}" + (f" in {where}" if where else "")
        self.fail(self.here.start, message + (f", expected {expected}" if expected else ""))

    def unclosed(self) -> str:
        """Return the innermost bracket that is still open at the end."""
        opened: list[str] = []
        for token in self.tokens:
            if token.kind is Kind.OPERATOR and token.text in _UNCLOSED:
                opened.append(token.text)
            elif token.kind is Kind.OPERATOR and token.text in ")]}" and opened:
                opened.pop()
        return opened[-1] if opened else ""

    def fail(self, offset: int, message: str) -> NoReturn:
        raise parse_error(self.query_text, offset, message)

    # -- expressions

    def expr(self, tightest: int) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(self.here.start, f"expression nests deeper than {MAX_DEPTH} levels")
        left = self.unary() if self.at_operator("+", "-") else self.postfix()
        chain = 0
        while (operator := self.operator()) and PRECEDENCE[operator] >= tightest:
            chain += 1
            if self.depth + chain > MAX_DEPTH:
                self.fail(self.here.start, f"expression nests deeper than {MAX_DEPTH} levels")
            left = self.binary(left, operator)
        self.depth -= 1
        return left

    def operator(self) -> str:
        text = self.here.text.lower() if self.here.kind in (Kind.OPERATOR, Kind.IDENTIFIER) else ""
        return text if text in PRECEDENCE else ""

    def unary(self) -> Node:
        sign = self.take()
        operand = self.expr(_UNARY_BINDS)
        if isinstance(operand, Number):
            return replace(operand, start=sign.start, value=-operand.value if sign.text == "-" else operand.value)
        if type_of(operand) not in (Type.SCALAR, Type.VECTOR):
            self.fail(
                sign.start,
                "unary expression only allowed on expressions of type scalar or instant vector,"
                f' got "{type_of(operand).value}"',
            )
        return Unary(sign.start, operand.end, sign.text, operand)

    def binary(self, left: Node, operator: str) -> Node:
        at = self.take()
        returns_bool = self.at_word("bool")
        if returns_bool:
            self.take()
        matching, clause = self.matching(operator)
        right = self.expr(PRECEDENCE[operator] + (operator != "^"))
        node = Binary(left.start, right.end, operator, left, right, returns_bool, matching)
        return self.checked_binary(node, at, clause)

    # -- matching clauses

    def matching(self, operator: str) -> tuple[Matching, Token | None]:
        first = None
        matching = Matching(card="many-to-many" if operator in SET_OPERATORS else "one-to-one")
        if self.at_word("on", "ignoring"):
            first = self.take()
            matching = replace(matching, on=first.text.lower() == "on", labels=self.grouping())
            if self.at_word("group_left", "group_right"):
                side = self.take().text.lower()
                include = self.grouping() if self.at_operator("(") else ()
                card = "many-to-one" if side == "group_left" else "one-to-many"
                matching = replace(matching, card=card, include=include)  # type: ignore[arg-type]  # one of two literals
        while self.at_word(*_FILLS) and self.ahead.text == "(":
            first = first or self.here
            matching = self.filled(matching, operator)
        return matching, first

    def filled(self, matching: Matching, operator: str) -> Matching:
        token = self.take()
        self.expect("(", "fill modifier")
        value = self.expr(0)
        self.expect(")", "fill modifier")
        if operator in SET_OPERATORS:
            self.fail(token.start, f'filling in missing series not allowed for "{operator}" operation')
        if not isinstance(value, Number):
            self.fail(token.start, "fill modifiers take a number")
        name = token.text.lower()
        if name != "fill_right":
            matching = replace(matching, fill_left=value.value)
        return matching if name == "fill_left" else replace(matching, fill_right=value.value)

    def grouping(self) -> tuple[str, ...]:
        self.expect("(", "grouping opts")
        labels: list[str] = []
        while not self.at_operator(")"):
            labels.append(self.label("grouping opts"))
            if not self.at_operator(")"):
                self.comma("grouping opts")
        self.take()
        return tuple(labels)

    def comma(self, where: str) -> None:
        if not self.at_operator(","):
            self.unexpected(where, '"," or ")"')
        self.take()

    def label(self, where: str) -> str:
        token = self.here
        if token.kind is Kind.STRING:
            self.take()
            return unquote(self.query_text, token)
        if token.kind is not Kind.IDENTIFIER or ":" in token.text:
            self.unexpected(where, "label")
        return self.take().text

    def checked_binary(self, node: Binary, at: Token, clause: Token | None) -> Binary:
        left, right = type_of(node.left), type_of(node.right)
        if {left, right} - {Type.SCALAR, Type.VECTOR}:
            culprit = node.left if left not in (Type.SCALAR, Type.VECTOR) else node.right
            self.fail(culprit.start, "binary expression must contain only scalar and instant vector types")
        if node.returns_bool and node.op not in COMPARISONS:
            self.fail(at.start, "bool modifier can only be used on comparison operators")
        if left is right is Type.SCALAR and node.op in COMPARISONS and not node.returns_bool:
            self.fail(at.start, "comparisons between scalars must use BOOL modifier")
        if node.op in SET_OPERATORS and Type.SCALAR in (left, right):
            self.fail(at.start, f'set operator "{node.op}" not allowed in binary scalar expression')
        if Type.SCALAR in (left, right):
            if clause:
                self.fail(clause.start, "vector matching only allowed between instant vectors")
            return replace(node, matching=None)
        self.check_matching(node, clause)
        return node

    def check_matching(self, node: Binary, clause: Token | None) -> None:
        matching, start = node.matching, clause.start if clause else node.start
        assert matching is not None  # it is there between vectors
        if node.op in SET_OPERATORS and matching.card != "many-to-many":
            self.fail(start, f'no grouping allowed for "{node.op}" operation')
        both = set(matching.labels) & set(matching.include)
        if matching.on and both:
            self.fail(start, f'label "{min(both)}" must not occur in ON and GROUP clause at once')

    # -- what binds tighter than any operator

    def postfix(self) -> Node:
        node = self.primary()
        while True:
            if self.at_operator("["):
                node = self.bracket(node)
            elif self.at_word("offset"):
                node = self.offset(node)
            elif self.at_operator("@"):
                node = self.at_modifier(node)
            elif self.at_word("anchored", "smoothed"):
                node = self.extension(node)
            else:
                return node

    def primary(self) -> Node:
        token = self.here
        if token.kind in (Kind.NUMBER, Kind.DURATION):
            return self.number()
        if token.kind is Kind.STRING:
            self.take()
            return Text(token.start, token.end, unquote(self.query_text, token))
        if self.at_operator("("):
            return self.paren()
        if self.at_operator("{"):
            return self.selector(token, "")
        if token.kind is Kind.IDENTIFIER and token.text.lower() not in _NOT_A_METRIC:
            return self.named()
        return self.unexpected()

    def number(self) -> Number:
        token = self.take()
        return Number(token.start, token.end, self.number_value(token))

    def number_value(self, token: Token) -> float:
        if token.kind is Kind.DURATION:
            return self.checked_duration(token) / 1000
        digits = token.text.replace("_", "")
        return float(int(digits, 16)) if digits[:2].lower() == "0x" else float(digits)

    def checked_duration(self, token: Token) -> int:
        units = [unit for _, unit in _units(token.text)]
        order = [list(_UNIT_MS).index(unit) for unit in units]
        if order != sorted(set(order), reverse=True):
            self.fail(token.start, f'not a valid duration string: "{token.text}"')
        if (total := duration_ms(token.text)) > _LONGEST_MS:
            self.fail(token.start, "duration out of range")
        return total

    def paren(self) -> Node:
        start = self.take().start
        inner = self.expr(0)
        end = self.expect(")", "paren expression").end
        return Paren(start, end, inner)

    def named(self) -> Node:
        token, name = self.here, self.here.text.lower()
        follows = self.ahead.text.lower()
        if name in AGGREGATIONS and follows in ("(", "by", "without"):
            return self.aggregate()
        if self.ahead.kind is Kind.OPERATOR and follows == "(":
            return self.call()
        if name in ("inf", "nan"):
            self.take()
            return Number(token.start, token.end, math.inf if name == "inf" else math.nan)
        self.take()
        return self.selector(token, token.text)

    def arguments(self, where: str) -> tuple[list[Node], int]:
        self.expect("(", where)
        args: list[Node] = []
        while not self.at_operator(")"):
            args.append(self.expr(0))
            if self.at_operator(","):
                self.take()
                if self.at_operator(")"):
                    self.fail(self.here.start, "trailing commas not allowed in function call args")
            elif not self.at_operator(")"):
                self.unexpected(where)
        return args, self.take().end

    # -- aggregations and calls

    def aggregate(self) -> Node:
        token = self.take()
        without, labels, grouped = self.by_or_without()
        args, end = self.arguments("aggregation")
        if not grouped and self.at_word("by", "without"):
            without, labels, _ = self.by_or_without()
            end = self.tokens[self.index - 1].end
        operation = token.text.lower()
        param_type = AGGREGATIONS[operation]
        self.check_count(token, args, 2 if param_type else 1)
        expr, param = args[-1], args[0] if param_type else None
        self.check_type(expr, Type.VECTOR, "in aggregation expression")
        if param is not None and param_type is not None:
            self.check_type(param, param_type, "in aggregation parameter")
        return Aggregate(token.start, end, operation, expr, param, labels, without)

    def by_or_without(self) -> tuple[bool, tuple[str, ...], bool]:
        if not self.at_word("by", "without"):
            return False, (), False
        return self.take().text.lower() == "without", self.grouping(), True

    def check_count(self, token: Token, args: list[Node], wanted: int) -> None:
        if not args:
            self.fail(token.start, "no arguments for aggregate expression provided")
        if len(args) != wanted:
            self.fail(
                token.start,
                f"wrong number of arguments for aggregate expression provided, expected {wanted}, got {len(args)}",
            )

    def check_type(self, node: Node, wanted: Type, where: str) -> None:
        if type_of(node) is not wanted:
            self.fail(node.start, f"expected type {wanted.value} {where}, got {type_of(node).value}")

    def call(self) -> Node:
        token = self.take()
        signature = SIGNATURES.get(token.text)
        if signature is None:
            self.fail(token.start, f'unknown function with name "{token.text}"')
        args, end = self.info_arguments() if token.text == "info" else self.arguments("function call")
        self.check_arguments(token, signature, args)
        return Call(token.start, end, token.text, tuple(args))

    def info_arguments(self) -> tuple[list[Node], int]:
        # The second argument of info() only chooses labels: it is braces, and may match everything.
        self.expect("(", "function call")
        args = [self.expr(0)] if not self.at_operator(")") else []
        if self.at_operator(","):
            self.take()
            if not self.at_operator("{"):
                self.fail(self.here.start, "expected label selectors only, got something else")
            args.append(self.selector(self.here, "", any_matcher=True))
        return args, self.expect(")", "function call").end

    def check_arguments(self, token: Token, signature: Signature, args: list[Node]) -> None:
        most, least = len(signature.args), len(signature.args) - signature.optional
        called = f'in call to "{token.text}", got {len(args)}'
        if least == most != len(args) and not signature.repeats:
            self.fail(token.start, f"expected {most} argument(s) {called}")
        if len(args) < least:
            self.fail(token.start, f"expected at least {least} argument(s) {called}")
        if len(args) > most and not signature.repeats:
            self.fail(token.start, f"expected at most {most} argument(s) {called}")
        self.check_extension(token, args)
        for index, arg in enumerate(args):
            self.check_type(arg, signature.args[min(index, most - 1)], f'in call to function "{token.text}"')

    def check_extension(self, token: Token, args: list[Node]) -> None:
        for arg in args:
            word = arg.selector.extension if isinstance(arg, Range) else ""
            if word and token.text not in EXTENSIONS[word]:
                kinds = ", ".join(EXTENSIONS[word])
                raise BadQuery(f"{word} modifier can only be used with: {kinds} - not with {token.text}")

    # -- selectors

    def selector(self, first: Token, name: str, *, any_matcher: bool = False) -> Selector:
        matchers = [Matcher("__name__", MatchOp.EQUAL, name)] if name else []
        end = first.end
        if self.at_operator("{"):
            self.take()
            while not self.at_operator("}"):
                matchers.append(self.matcher(name))
                name = name or (matchers[-1].value if self.names_metric(matchers[-1]) else "")
                if not self.at_operator("}"):
                    self.comma_in_braces()
            end = self.take().end
        if not any_matcher and all(_matches_empty(matcher) for matcher in matchers):
            self.fail(first.start, "vector selector must contain at least one non-empty matcher")
        return Selector(first.start, end, name, tuple(matchers))

    def names_metric(self, matcher: Matcher) -> bool:
        return matcher.name == "__name__" and matcher.op is MatchOp.EQUAL

    def comma_in_braces(self) -> None:
        if not self.at_operator(","):
            self.unexpected("label matching", '"," or "}"')
        self.take()

    def matcher(self, name: str) -> Matcher:
        token = self.here
        label = self.label("label matching")
        if token.kind is Kind.STRING and self.at_operator(",", "}"):
            self.check_one_name(token, name, label)
            return Matcher("__name__", MatchOp.EQUAL, label)
        op = _MATCH_OPS.get(self.here.text) if self.here.kind is Kind.OPERATOR else None
        if op is None:
            self.unexpected("label matching", "label matching operator")
        self.take()
        if self.here.kind is not Kind.STRING:
            self.unexpected("label matching", "string")
        value = unquote(self.query_text, self.take())
        matcher = Matcher(label, op, value)
        if self.names_metric(matcher):
            self.check_one_name(token, name, value)
        if op in (MatchOp.REGEX, MatchOp.NOT_REGEX) and (reason := regex.fault(value)):
            self.fail(token.start, f"invalid regular expression {value!r}: {reason}")
        return matcher

    def check_one_name(self, token: Token, name: str, second: str) -> None:
        if name:
            self.fail(token.start, f'metric name must not be set twice: "{name}" or "{second}"')

    # -- what follows a selector or a subquery

    def bracket(self, node: Node) -> Node:
        self.take()
        span = self.duration()
        if self.at_operator(":"):
            return self.subquery(node, span)
        end = self.expect("]", "subquery or range").end
        if not isinstance(node, Selector):
            self.fail(node.start, "ranges only allowed for vector selectors")
        if node.offset != 0:
            self.fail(node.start, "no offset modifiers allowed before range")
        if node.at is not None:
            self.fail(node.start, "no @ modifiers allowed before range")
        return Range(node.start, end, node, self.positive(span, node.end))

    def subquery(self, node: Node, span: Duration) -> Node:
        self.take()
        step = None if self.at_operator("]") else self.duration()
        end = self.expect("]", "subquery selector").end
        if type_of(node) is not Type.VECTOR:
            self.fail(node.start, f"subquery is only allowed on instant vector, got {type_of(node).value} instead")
        if step is not None:
            step = self.positive(step, node.end)
        return Subquery(node.start, end, node, self.positive(span, node.end), step)

    def positive(self, span: Duration, offset: int) -> Duration:
        if isinstance(span, int) and span <= 0:
            self.fail(offset + 1, "duration must be greater than 0")
        return span

    def offset(self, node: Node) -> Node:
        self.take()
        target = self.target(node, "offset")
        span = self.offset_duration()
        if target.offset != 0:
            self.fail(node.start, "offset may not be set multiple times")
        return self.modified(node, replace(target, offset=span))

    def at_modifier(self, node: Node) -> Node:
        self.take()
        target = self.target(node, "@")
        moment = self.moment()
        if target.at is not None:
            self.fail(node.start, "@ <timestamp> may not be set multiple times")
        return self.modified(node, replace(target, at=moment))

    def extension(self, node: Node) -> Node:
        word = self.take().text.lower()
        target = self.target(node, word)
        if isinstance(target, Subquery) or (word == "anchored" and not isinstance(node, Range)):
            kinds = "a range selector" if word == "anchored" else "an instant or range selector"
            self.fail(node.start, f"{word} modifier must be preceded by {kinds}")
        if target.extension:
            self.fail(node.start, "anchored and smoothed modifiers cannot be repeated or combined")
        return self.modified(node, replace(target, extension=word))

    def target(self, node: Node, word: str) -> Selector | Subquery:
        target = node.selector if isinstance(node, Range) else node
        if not isinstance(target, Selector | Subquery):
            kinds = "an instant vector selector or range vector selector or a subquery"
            self.fail(node.start, f"{word} modifier must be preceded by {kinds}")
        return target

    def modified(self, node: Node, changed: Selector | Subquery) -> Node:
        end = self.tokens[self.index - 1].end
        if isinstance(node, Range) and isinstance(changed, Selector):
            return replace(node, selector=changed, end=end)
        return replace(changed, end=end)

    def moment(self) -> At:
        if self.at_word("start", "end") and self.ahead.text == "(":
            word = self.take().text.lower()
            self.take()
            self.expect(")", "@")
            return "start" if word == "start" else "end"
        sign = self.take().text if self.at_operator("+", "-") else ""
        token = self.here
        value = self.signed_number(sign, "@")
        if not math.isfinite(value) or abs(value) * 1000 > 2**63 - 1:
            self.fail(token.start, f"timestamp out of bounds for @ modifier: {value}")
        return round(value * 1000)

    def signed_number(self, sign: str, where: str) -> float:
        if self.here.kind not in (Kind.NUMBER, Kind.DURATION) and not self.at_word("inf", "nan"):
            self.unexpected(where, "timestamp")
        value = float(self.here.text) if self.at_word("inf", "nan") else self.number_value(self.here)
        self.take()
        return -value if sign == "-" else value

    # -- durations

    def offset_duration(self) -> Duration:
        # Arithmetic after `offset` needs parentheses: `m offset 1m + 2` adds to the shifted series.
        return self.folded(self.duration_unary())

    def duration(self) -> Duration:
        return self.folded(self.duration_expr(0))

    def folded(self, node: Node) -> Duration:
        value = fold_duration(node, None, None)
        if value is None:
            return node
        if not math.isfinite(value) or abs(value) * 1000 > _LONGEST_MS:
            self.fail(node.start, "duration out of range")
        return round(value * 1000)

    def duration_expr(self, tightest: int) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(self.here.start, f"expression nests deeper than {MAX_DEPTH} levels")
        left = self.duration_unary()
        while self.at_operator("+", "-", "*", "/", "%", "^") and PRECEDENCE[self.here.text] >= tightest:
            op = self.take().text
            right = self.duration_expr(PRECEDENCE[op] + (op != "^"))
            left = Binary(left.start, right.end, op, left, right, False, None)
        self.depth -= 1
        return left

    def duration_unary(self) -> Node:
        if self.at_operator("+", "-"):
            sign = self.take()
            operand = self.duration_primary() if not self.at_operator("+", "-") else self.duration_unary()
            return Unary(sign.start, operand.end, sign.text, operand)
        return self.duration_primary()

    def duration_primary(self) -> Node:
        if self.here.kind in (Kind.NUMBER, Kind.DURATION):
            return self.number()
        if self.at_operator("("):
            start = self.take().start
            inner = self.duration_expr(0)
            return Paren(start, self.expect(")", "duration expression").end, inner)
        if self.at_word(*_DURATION_FUNCTIONS) and self.ahead.text == "(":
            return self.duration_call()
        return self.unexpected("duration expression", "number, duration, step(), or range()")

    def duration_call(self) -> Node:
        token = self.take()
        self.take()
        args: list[Node] = []
        for index in range(_DURATION_FUNCTIONS[token.text.lower()]):
            if index:
                self.expect(",", "duration expression")
            args.append(self.duration_expr(0))
        end = self.expect(")", "duration expression").end
        return Call(token.start, end, token.text.lower(), tuple(args))


def _matches_empty(matcher: Matcher) -> bool:
    match matcher.op:
        case MatchOp.EQUAL:
            return not matcher.value
        case MatchOp.NOT_EQUAL:
            return bool(matcher.value)
        case MatchOp.REGEX:
            return regex.matches(matcher.value, "")
        case MatchOp.NOT_REGEX:
            return not regex.matches(matcher.value, "")


def _modulo(left: float, right: float) -> float:
    return math.fmod(left, right) if right else math.nan


_DURATION_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right if right else math.nan,
    "%": _modulo,
    "^": lambda left, right: float(left**right),
    "min_of": min,
    "max_of": max,
}


def fold_duration(node: Node, step_s: float | None, range_s: float | None) -> float | None:
    """Return a duration expression in seconds; None when it needs a step or range that is not known yet."""
    match node:
        case Number(value=value):
            return value
        case Paren(expr=expr):
            return fold_duration(expr, step_s, range_s)
        case Unary(op=op, expr=expr):
            value_of = fold_duration(expr, step_s, range_s)
            return value_of if value_of is None or op == "+" else -value_of
        case Call(function="step"):
            return step_s
        case Call(function="range"):
            return range_s
        case Call(function=op, args=(left, right)) | Binary(op=op, left=left, right=right):
            first, second = fold_duration(left, step_s, range_s), fold_duration(right, step_s, range_s)
            if first is None or second is None:
                return None
            try:
                return _DURATION_OPERATORS[op](first, second)
            except (OverflowError, ZeroDivisionError, TypeError):
                return math.nan
        case _:
            raise AssertionError(f"no duration: {node}")
