"""Our exceptions as a tree, and the two tables that turn them into a verdict for the caller.

OpstraceError
├── ConfigError              the config document, or a command's arguments
├── InstanceError            an instance on disk: absent, half made, already running, not startable
├── StoreError               the engine could not do what it was asked
├── IntakeError              a payload's fate, answered in Datadog's shape
│   ├── Forbidden            no key, or not one of ours
│   ├── PayloadTooLarge      over the cap, compressed or inflated
│   ├── Undecodable          broken for ever: sending it again cannot help
│   ├── NotServed            no payload, but a question of an API that is not here, or sent to the wrong address
│   └── Overloaded           not now: the queue is full, the disk is, or we are stopping
│       └── RateExceeded     not now: the tenant sends faster than it may
└── QueryError               a query's fate, answered in Prometheus's shape
    ├── BadQuery             does not parse, does not type-check, bad parameter
    ├── ExecutionError       parsed, but the data does not allow it (many-to-many matching …)
    ├── BudgetExceeded       more samples, series, steps or memory than the query may touch
    ├── QueryTimeout         past its deadline
    │   └── TooManyQueries   not now: too many wait already
    ├── QueryCanceled        the client went away
    ├── QueryUnauthorized    no key, or not one of ours
    └── NotFound             no such endpoint
"""


class OpstraceError(Exception):
    """Anything this package raises on purpose; its text is a sentence for the user."""


class ConfigError(OpstraceError):
    """The config document or a command's arguments are wrong."""


class InstanceError(OpstraceError):
    """An instance on disk is absent, half made, already running, or cannot be started."""


class StoreError(OpstraceError):
    """The storage engine could not do what it was asked; `input_fault` when it could not read what it was given."""

    def __init__(self, message: str, *, input_fault: bool = False) -> None:
        super().__init__(message)
        self.input_fault = input_fault


class IntakeError(OpstraceError):
    """A payload's fate, answered in Datadog's shape; `reason` is what it is counted under."""

    reason = "error"


class Forbidden(IntakeError):
    """No key, or not one of ours."""

    reason = "forbidden"


class PayloadTooLarge(IntakeError):
    """Over the cap, compressed or inflated."""

    reason = "too_large"


class Undecodable(IntakeError):
    """Broken for ever: sending it again cannot help."""

    reason = "undecodable"


class NotServed(IntakeError):
    """No payload, but a question of an API that is not here, or sent to the wrong address."""

    reason = "not_served"


class Overloaded(IntakeError):
    """Not now: ask again after `retry_after_s` seconds."""

    reason = "overloaded"

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str]:
        """What an answer says beside its body: when to send again, and that the rest of this body is not read.

        Datadog's own client reads the second of these names.
        """
        after_s = str(self.retry_after_s)
        return {"retry-after": after_s, "x-ratelimit-reset": after_s, "connection": "close"}


class RateExceeded(Overloaded):
    """Not now: the tenant sends faster than it may."""

    reason = "rate_exceeded"


class QueryError(OpstraceError):
    """A query's fate, answered in Prometheus's shape."""


class BadQuery(QueryError):
    """Does not parse, does not type-check, or has a bad parameter."""


class ExecutionError(QueryError):
    """Parsed, but the data does not allow it."""


class BudgetExceeded(QueryError):
    """More samples, series, steps or memory than the query may touch; `budget` is what it is counted under.

    `excess` is the query's need as a multiple of its budget, as far as known. `is_final` says that evaluating it in
    smaller parts cannot help.
    """

    def __init__(self, message: str, budget: str = "memory", excess: float = 1.0, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.budget = budget
        self.excess = excess
        self.is_final = is_final


class QueryTimeout(QueryError):
    """Past its deadline."""


class TooManyQueries(QueryTimeout):
    """Not now: too many wait already."""


class QueryCanceled(QueryError):
    """The client went away."""


class QueryUnauthorized(QueryError):
    """No key, or not one of ours."""


class NotFound(QueryError):
    """No such endpoint."""


# What the sender should do with the payload. The Agent drops it on 400, 403 and 413 and sends it again on every
# other status above 400 (DataDog/datadog-agent: comp/forwarder/defaultforwarder/transaction/transaction.go).
INTAKE_STATUS: dict[type[IntakeError], int] = {
    Forbidden: 403,
    PayloadTooLarge: 413,
    Undecodable: 400,
    NotServed: 404,
    Overloaded: 503,
    RateExceeded: 429,
}

# Status and `errorType` as Prometheus answers them (prometheus/prometheus: web/api/v1/api.go). A client that is
# refused for its key gets 403, as on the Datadog routes.
QUERY_STATUS: dict[type[QueryError], tuple[int, str]] = {
    BadQuery: (400, "bad_data"),
    ExecutionError: (422, "execution"),
    BudgetExceeded: (422, "execution"),
    QueryTimeout: (503, "timeout"),
    QueryCanceled: (499, "canceled"),
    QueryUnauthorized: (403, "unauthorized"),
    NotFound: (404, "not_found"),
}


def query_verdict(error: QueryError) -> tuple[int, str]:
    """Return status and `errorType` of an error by the table: those of the nearest kind that it has."""
    return next(QUERY_STATUS[kind] for kind in type(error).__mro__ if kind in QUERY_STATUS)
