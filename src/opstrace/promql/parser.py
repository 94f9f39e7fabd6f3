"""A query's text to its tree, checked: names, argument types, matching clauses, selectors.

The grammar is Prometheus's, with its experimental parts (prometheus/prometheus: promql/parser/generated_parser.y).
Of a query that is none the first error that Prometheus would find is told, where it would. Written here because
positions are part of the language's contract: errors and annotations name them, and the parser library's tree does
not carry any. Time is linear in the length of the query, and depth is bounded.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

from opstrace.errors import BadQuery
from opstrace.promql import regex
from opstrace.promql.duration import parse_duration
from opstrace.promql.numbers import spelled_number
from opstrace.promql.signatures import AGGREGATIONS, EXTENSIONS, SIGNATURES, Signature
from opstrace.promql.tokens import Kind, Token, number_value, parse_error, quote, tokenize, unquote
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
from opstrace.promql.utf8 import is_text
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
_NOT_A_METRIC = frozenset(("atan2", "bool", "on", "ignoring", "group_left", "group_right"))
_MATCH_OPS = {op.value: op for op in MatchOp}
_SPAN = "number, duration, step(), or range()"
_DURATION_FUNCTIONS = {"step": 0, "range": 0, "min_of": 2, "max_of": 2}
# Words with a meaning that are functions' names, too.
_CALLED = frozenset((*_DURATION_FUNCTIONS, "start", "end"))
_BY_ZERO = {"/": "division", "%": "modulo"}


def parse(query: str) -> Node:
    """Return the tree of a query; raise BadQuery, with its position, for what is not PromQL."""
    return _Parser(query).query()


def parse_selector(query: str) -> tuple[Matcher, ...]:
    """Return the matchers of a lone selector, as `match[]` parameters hold; raise BadQuery for anything else."""
    node = _Parser(query, names_twice=True).query()
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


Fault = BadQuery | None


@dataclass(slots=True)
class _Parser:
    query_text: str
    names_twice: bool = False  # a selector may be named before its braces and within, as Prometheus lets `match[]` be
    tokens: Sequence[Token] = ()
    index: int = 0
    depth: int = 0
    # What is said of an unexpected token where nothing closer knows better, innermost last: where, what was expected.
    contexts: list[tuple[str, str]] = field(default_factory=lambda: [("", "")])
    # The first wrong type: told only if the whole text is well formed.
    fault: Fault = None

    def query(self) -> Node:
        self.tokens = tokenize(self.query_text)
        if self.finished():
            self.fail(0, "no expression found in input")
        node = self.expr(0)
        if not self.finished():
            self.unexpected()
        if self.fault:
            raise self.fault
        return node

    # -- tokens

    @property
    def here(self) -> Token:
        token = self.tokens[self.index]
        if token.kind is Kind.ERROR:
            self.fail(token.start, token.text)
        return token

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
        return self.here.kind is Kind.KEYWORD and self.here.text.lower() in words

    def expect(self, text: str, where: str = "", expected: str = "") -> Token:
        if not self.at_operator(text):
            self.unexpected(where, expected)
        return self.take()

    def unexpected(self, where: str = "", expected: str = "") -> NoReturn:
        where, expected = (where, expected) if where else self.contexts[-1]
        message = f"unexpected {self.here}" + (f" in {where}" if where else "")
        self.fail(self.here.start, message + (f", expected {expected}" if expected else ""))

    def fail(self, offset: int, message: str) -> NoReturn:
        raise parse_error(self.query_text, offset, message)

    def note(self, fault: Fault) -> None:
        self.fault = self.fault or fault

    def wrong(self, offset: int, message: str) -> None:
        if self.fault is None:
            self.fault = parse_error(self.query_text, offset, message)

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
        text = self.here.text.lower() if self.here.kind in (Kind.OPERATOR, Kind.KEYWORD) else ""
        return text if text in PRECEDENCE else ""

    def unary(self) -> Node:
        sign = self.take()
        operand = self.expr(_UNARY_BINDS)
        if isinstance(operand, Number):
            return replace(operand, start=sign.start, value=-operand.value if sign.text == "-" else operand.value)
        if type_of(operand) not in (Type.SCALAR, Type.VECTOR):
            self.wrong(
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
        matching = self.matching(operator)
        right = self.expr(PRECEDENCE[operator] + (operator != "^"))
        node = Binary(left.start, right.end, operator, left, right, returns_bool, matching)
        self.check_operands(node, at)
        if not type_of(left) is type_of(right) is Type.VECTOR:
            return self.unmatched(node)
        if operator in SET_OPERATORS:
            self.check_set_operation(node, matching)
        return node

    # -- matching clauses

    def matching(self, operator: str) -> Matching:
        matching = Matching(card="many-to-many" if operator in SET_OPERATORS else "one-to-one")
        if self.at_word("on", "ignoring"):
            on = self.take().text.lower() == "on"
            matching = replace(matching, on=on, labels=self.grouping())
            if self.at_word("group_left", "group_right"):
                side = self.take().text.lower()
                include = self.grouping() if self.at_operator("(") or not self.at_expression() else ()
                card = "many-to-one" if side == "group_left" else "one-to-many"
                matching = replace(matching, card=card, include=include)  # type: ignore[arg-type]  # one of two literals
        if self.at_word("fill"):
            number = self.filler()
            return replace(matching, fill_left=number, fill_right=number)
        for _ in range(2):
            if matching.fill_left is None and self.at_word("fill_left"):
                matching = replace(matching, fill_left=self.filler())
            elif matching.fill_right is None and self.at_word("fill_right"):
                matching = replace(matching, fill_right=self.filler())
        return matching

    def filler(self) -> float:
        self.take()
        self.expect("(")
        sign = self.take().text if self.at_operator("+", "-") else ""
        if self.here.kind not in (Kind.NUMBER, Kind.DURATION):
            self.unexpected()
        value = self.number().value
        self.expect(")")
        return -value if sign == "-" else value

    def grouping(self) -> tuple[str, ...]:
        self.expect("(", "grouping opts", '"("')
        labels: list[str] = []
        while not self.at_operator(")"):
            labels.append(self.label())
            if not self.at_operator(")"):
                self.expect(",", "grouping opts", '"," or ")"')
        self.take()
        return tuple(labels)

    def label(self) -> str:
        if self.here.kind not in (Kind.STRING, Kind.IDENTIFIER, Kind.METRIC, Kind.KEYWORD):
            self.unexpected("grouping opts", "label")
        token = self.take()
        label = unquote(token) if token.kind is Kind.STRING else token.text
        if not label or not is_text(label):
            self.fail(token.start, f"invalid label name for grouping: {quote(label)}")
        return label

    def check_operands(self, node: Binary, at: Token) -> None:
        left, right, matching = type_of(node.left), type_of(node.right), node.matching or Matching()
        if node.returns_bool and node.op not in COMPARISONS:
            self.wrong(at.start, "bool modifier can only be used on comparison operators")
        if left is right is Type.SCALAR and node.op in COMPARISONS and not node.returns_bool:
            self.wrong(at.start, "comparisons between scalars must use BOOL modifier")
        both = [label for label in matching.labels if matching.on and label in matching.include]
        if both:
            self.wrong(at.start, f"label {quote(both[0])} must not occur in ON and GROUP clause at once")
        for operand, kind in ((node.left, left), (node.right, right)):
            if kind not in (Type.SCALAR, Type.VECTOR):
                self.wrong(operand.start, "binary expression must contain only scalar and instant vector types")

    def unmatched(self, node: Binary) -> Binary:
        """Return an operation with a scalar, which pairs no series; a clause that asks for nothing is no fault."""
        matching = node.matching or Matching()
        between = "only allowed between instant vectors"
        if matching.labels:
            self.wrong(node.start, f"vector matching {between}")
        if matching.fill_left is not None or matching.fill_right is not None:
            self.wrong(node.start, f"filling in missing series {between}")
        if node.op in SET_OPERATORS:
            self.wrong(node.start, f'set operator "{node.op}" not allowed in binary scalar expression')
        return replace(node, matching=None)

    def check_set_operation(self, node: Binary, matching: Matching) -> None:
        if matching.card != "many-to-many":
            self.wrong(node.start, f'no grouping allowed for "{node.op}" operation')
        if matching.fill_left is not None or matching.fill_right is not None:
            self.wrong(node.start, "filling in missing series not allowed for set operators")

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
            return Text(token.start, token.end, unquote(token))
        if self.at_operator("("):
            return self.paren()
        if self.at_operator("{"):
            return self.selector(token, "")
        if self.at_name():
            return self.named()
        return self.unexpected()

    def at_name(self) -> bool:
        token = self.here
        plain = token.kind in (Kind.IDENTIFIER, Kind.METRIC)
        return plain or (token.kind is Kind.KEYWORD and token.text.lower() not in _NOT_A_METRIC)

    def at_expression(self) -> bool:
        literal = self.here.kind in (Kind.NUMBER, Kind.DURATION, Kind.STRING)
        return literal or self.at_name() or self.at_operator("(", "{", "+", "-")

    def number(self) -> Number:
        token = self.take()
        if token.kind is Kind.DURATION:
            return Number(token.start, token.end, self.span_ms(token) / 1000, duration=True)
        try:
            return Number(token.start, token.end, number_value(token.text))
        except ValueError as error:
            self.fail(token.start, f"error parsing number: {error}")

    def span_ms(self, token: Token) -> int:
        try:
            return parse_duration(token.text)
        except BadQuery as error:
            self.fail(token.start, str(error).replace("out of range: " + quote(token.text), "out of range"))

    def paren(self) -> Node:
        start = self.take().start
        inner = self.expr(0)
        return Paren(start, self.expect(")").end, inner)

    def named(self) -> Node:
        token, name = self.here, self.here.text.lower()
        follows = self.ahead.text.lower()
        if name in AGGREGATIONS and self.ahead.kind is not Kind.ERROR and follows in ("(", "by", "without"):
            return self.aggregate()
        if self.ahead.kind is Kind.OPERATOR and follows == "(" and (token.kind is Kind.IDENTIFIER or name in _CALLED):
            return self.call()
        self.take()
        return self.selector(token, token.text)

    def arguments(self) -> list[tuple[Node, Fault]]:
        """Return the arguments, each with what is wrong in it."""
        self.expect("(")
        args: list[tuple[Node, Fault]] = []
        while not self.at_operator(")"):
            before, self.fault = self.fault, None
            args.append((self.expr(0), self.fault))
            self.fault = before
            if not self.at_operator(","):
                break
            comma = self.take()
            if not self.at_expression():
                self.fail(comma.start, "trailing commas not allowed in function call args")
        self.expect(")")
        return args

    # -- aggregations and calls

    def aggregate(self) -> Node:
        token = self.take()
        self.contexts.append(("aggregation", ""))
        without, labels, grouped = self.by_or_without()
        args = self.arguments()
        end = self.tokens[self.index - 1].end
        if not grouped and self.at_word("by", "without"):
            without, labels, _ = self.by_or_without()
            end = self.tokens[self.index - 1].end
        self.contexts.pop()
        operation = token.text.lower()
        param_type = AGGREGATIONS[operation]
        self.check_count(token, len(args), 2 if param_type else 1)
        expr, fault = args[-1]
        self.note(fault)
        self.check_type(expr, Type.VECTOR, "in aggregation expression")
        param, fault = args[0] if param_type else (None, None)
        self.note(fault)
        if param is not None and param_type is not None:
            self.check_type(param, param_type, "in aggregation parameter")
        return Aggregate(token.start, end, operation, expr, param, labels, without)

    def by_or_without(self) -> tuple[bool, tuple[str, ...], bool]:
        if not self.at_word("by", "without"):
            return False, (), False
        return self.take().text.lower() == "without", self.grouping(), True

    def check_count(self, token: Token, count: int, wanted: int) -> None:
        if not count:
            self.fail(token.start, "no arguments for aggregate expression provided")
        if count != wanted:
            self.fail(
                token.start,
                f"wrong number of arguments for aggregate expression provided, expected {wanted}, got {count}",
            )

    def check_type(self, node: Node, wanted: Type, where: str) -> None:
        if type_of(node) is not wanted:
            self.wrong(node.start, f"expected type {wanted.value} {where}, got {type_of(node).value}")

    def call(self) -> Node:
        token = self.take()
        args = self.arguments()
        signature = SIGNATURES.get(token.text)
        if signature is None:
            self.fail(token.start, f"unknown function with name {quote(token.text)}")
        self.check_count_of(token, signature, len(args))
        if token.text == "info":
            args[1:] = [self.label_selector(token, *arg) for arg in args[1:]]
        called = f'in call to function "{token.text}"'
        for index, (arg, fault) in enumerate(args):
            self.note(fault)
            if signature.args:
                self.check_type(arg, signature.args[min(index, len(signature.args) - 1)], called)
        nodes = tuple(arg for arg, _ in args)
        self.check_extension(token, nodes)
        return Call(token.start, self.tokens[self.index - 1].end, token.text, nodes)

    def label_selector(self, token: Token, node: Node, fault: Fault) -> tuple[Node, Fault]:
        # The second argument of info() only chooses labels: it is braces, and may match everything.
        if type_of(node) is not Type.VECTOR:
            wanted = f'expected type instant vector in call to function "{token.text}"'
            self.wrong(token.start, f"{wanted}, got {type_of(node).value}")
        if not isinstance(node, Selector):
            self.wrong(node.start, "expected label selectors only")
        elif node.name:
            self.wrong(node.start, "expected label selectors only, got vector selector instead")
        return node, None if isinstance(node, Selector) else fault

    def check_count_of(self, token: Token, signature: Signature, count: int) -> None:
        most, least = signature.most or len(signature.args), len(signature.args) - signature.optional
        called = f'in call to "{token.text}", got {count}'
        if least == most != count and not signature.repeats:
            self.wrong(token.start, f"expected {most} argument(s) {called}")
        if count < least:
            self.wrong(token.start, f"expected at least {least} argument(s) {called}")
        if count > most and (signature.most or not signature.repeats):
            self.wrong(token.start, f"expected at most {most} argument(s) {called}")

    def check_extension(self, token: Token, args: tuple[Node, ...]) -> None:
        for arg in args:
            word = arg.selector.extension if isinstance(arg, Range) else ""
            if word and token.text not in EXTENSIONS[word]:
                kinds = ", ".join(EXTENSIONS[word])
                self.note(BadQuery(f"{word} modifier can only be used with: {kinds} - not with {token.text}"))

    # -- selectors

    def selector(self, first: Token, name: str) -> Selector:
        matchers: list[Matcher] = []
        end = first.end
        if self.at_operator("{"):
            self.take()
            while not self.at_operator("}"):
                matchers.append(self.matcher())
                if not self.at_operator("}"):
                    self.expect(",", "label matching", '"," or "}"')
            end = self.take().end
        second = next((matcher.value for matcher in matchers if matcher.name == "__name__"), None)
        if name and second is not None and not self.names_twice:
            self.wrong(first.start, f"metric name must not be set twice: {quote(name)} or {quote(second)}")
        if not name and all(_matches_empty(matcher) for matcher in matchers):
            self.wrong(first.start, "vector selector must contain at least one non-empty matcher")
        named = (Matcher("__name__", MatchOp.EQUAL, name),) if name else ()
        return Selector(first.start, end, name, (*named, *matchers))

    def matcher(self) -> Matcher:
        token = self.here
        if token.kind not in (Kind.IDENTIFIER, Kind.STRING):
            self.unexpected("label matching", 'identifier or "}"')
        self.take()
        label = unquote(token) if token.kind is Kind.STRING else token.text
        op = _MATCH_OPS.get(self.here.text) if self.here.kind is Kind.OPERATOR else None
        if op is None and token.kind is Kind.STRING:
            return Matcher("__name__", MatchOp.EQUAL, label)
        if op is None:
            self.unexpected("label matching", "label matching operator")
        self.take()
        if self.here.kind is not Kind.STRING:
            self.unexpected("label matching", "string")
        value = unquote(self.take())
        if op in (MatchOp.REGEX, MatchOp.NOT_REGEX) and (reason := regex.fault(value)):
            self.fail(token.start, reason)
        return Matcher(label, op, value)

    # -- what follows a selector or a subquery

    def bracket(self, node: Node) -> Node:
        start = self.take().start
        self.contexts.append(("subquery or range selector", _SPAN))
        span = self.duration()
        self.contexts.pop()
        if self.at_operator(":"):
            return self.subquery(node, span)
        end = self.expect("]", "subquery or range", '":" or "]"').end
        if not isinstance(node, Selector):
            self.fail(start, "ranges only allowed for vector selectors")
        if node.offset != 0:
            self.fail(start, "no offset modifiers allowed before range")
        if node.at is not None:
            self.fail(start, "no @ modifiers allowed before range")
        return Range(node.start, end, node, span)

    def subquery(self, node: Node, span: Duration) -> Node:
        self.take()
        self.contexts.append(("subquery selector", f'{_SPAN.replace("or ", "")}, or "]"'))
        step = None if self.at_operator("]") else self.duration()
        self.contexts.pop()
        end = self.expect("]", "subquery selector", '"]"').end
        if type_of(node) is not Type.VECTOR:
            kind = "matrix" if type_of(node) is Type.MATRIX else type_of(node).value
            self.wrong(node.start, f"subquery is only allowed on instant vector, got {kind} instead")
        return Subquery(node.start, end, node, span, step)

    def offset(self, node: Node) -> Node:
        self.take()
        self.contexts.append(("offset", _SPAN))
        span = self.offset_duration()
        self.contexts.pop()
        target = self.target(node, "offset")
        if target.offset != 0:
            self.fail(node.start, "offset may not be set multiple times")
        return self.modified(node, replace(target, offset=span))

    def at_modifier(self, node: Node) -> Node:
        self.take()
        self.contexts.append(("@", "timestamp"))
        moment = self.moment(node)
        self.contexts.pop()
        target = self.target(node, "@")
        if target.at is not None:
            self.fail(node.start, "@ <timestamp> may not be set multiple times")
        return self.modified(node, replace(target, at=moment))

    def extension(self, node: Node) -> Node:
        word = self.take().text.lower()
        target = node.selector if isinstance(node, Range) else node
        if isinstance(target, Subquery):
            self.fail(node.start, f"{word} modifier is not supported for subqueries")
        if not isinstance(target, Selector):
            self.fail(node.start, f"{word} modifier not implemented")
        if word == "anchored" and not isinstance(node, Range):
            self.wrong(node.start, "anchored modifier must be preceded by a range selector")
        if target.extension not in ("", word):
            self.fail(node.start, "anchored and smoothed modifiers cannot be used together")
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

    def moment(self, node: Node) -> At:
        if self.at_word("start", "end"):
            word = self.take().text.lower()
            self.expect("(")
            self.expect(")")
            return "start" if word == "start" else "end"
        sign = self.take().text if self.at_operator("+", "-") else ""
        if self.here.kind not in (Kind.NUMBER, Kind.DURATION):
            self.unexpected()
        value = self.number().value * (-1 if sign == "-" else 1)
        if not math.isfinite(value) or abs(value) * 1000 > 2**63 - 1:
            shown = f"{value:f}" if math.isfinite(value) else spelled_number(value)
            self.fail(node.start, f"timestamp out of bounds for @ modifier: {shown}")
        return _rounded(value * 1000)

    # -- durations

    def offset_duration(self) -> Duration:
        # Arithmetic after `offset` needs parentheses: `m offset 1m + 2` adds to the shifted series.
        return self.settled(self.duration_unary(self.duration_primary))

    def duration(self) -> Duration:
        node = self.duration_expr(0)
        value = fold_duration(node, None, None)
        if value is not None and value <= 0:
            message = "duration must be greater than 0"
            (self.fail if _plain(node) else self.wrong)(node.start, message)
        return self.settled(node)

    def settled(self, node: Node) -> Duration:
        """Return a plain duration in milliseconds, any other as it is written, to be printed and computed."""
        value = fold_duration(node, None, None)
        if value is not None and (not math.isfinite(value) or abs(value) * 1000 > _LONGEST_MS):
            self.wrong(node.start, "duration out of range")
        elif value is not None and _plain(node):
            return int(math.copysign(_rounded(abs(value) * 1e9) // 1_000_000, value))
        return node

    def duration_expr(self, tightest: int) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail(self.here.start, f"expression nests deeper than {MAX_DEPTH} levels")
        left = self.duration_unary(lambda: self.duration_expr(_UNARY_BINDS))
        while self.at_operator("+", "-", "*", "/", "%", "^") and PRECEDENCE[self.here.text] >= tightest:
            at = self.take()
            right = self.duration_expr(PRECEDENCE[at.text] + (at.text != "^"))
            if at.text in _BY_ZERO and isinstance(right, Number) and right.value == 0:
                self.fail(at.start, f"{_BY_ZERO[at.text]} by zero")
            left = Binary(left.start, right.end, at.text, left, right, False, None)
        self.depth -= 1
        return left

    def duration_unary(self, operand: Callable[[], Node]) -> Node:
        if not self.at_operator("+", "-"):
            return self.duration_primary()
        sign = self.take()
        node = self.duration_unary(operand) if self.at_operator("+", "-") else operand()
        return Unary(sign.start, node.end, sign.text, node) if sign.text == "-" else replace(node, start=sign.start)

    def duration_primary(self) -> Node:
        if self.here.kind in (Kind.NUMBER, Kind.DURATION):
            number = self.number()
            if abs(number.value) * 1000 > _LONGEST_MS:
                self.fail(number.start, "duration out of range")
            return number
        if self.at_operator("("):
            start = self.take().start
            inner = self.duration_expr(0)
            return Paren(start, self.expect(")").end, inner.expr if isinstance(inner, Paren) else inner)
        if self.at_word(*_DURATION_FUNCTIONS):
            return self.duration_call()
        return self.unexpected()

    def duration_call(self) -> Node:
        token = self.take()
        self.expect("(")
        args: list[Node] = []
        for index in range(_DURATION_FUNCTIONS[token.text.lower()]):
            if index:
                self.expect(",")
            args.append(self.duration_expr(0))
        return Call(token.start, self.expect(")").end, token.text.lower(), tuple(args))


def _plain(node: Node) -> bool:
    return isinstance(node.expr if isinstance(node, Unary) else node, Number)


def _rounded(number: float) -> int:
    """Return the nearest whole number, the larger one of two as Go has it."""
    return int(math.copysign(math.floor(abs(number) + 0.5), number))


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
