"""What the answer to a refused request says beside its body, whichever door it came to."""

from starlette.requests import Request
from starlette.responses import Response

from opstrace.errors import IntakeError, Overloaded
from opstrace.intake.body import held_back


def with_retry_after(response: Response, error: IntakeError, request: Request) -> Response:
    """Say on an answer when to send again, and whether the connection can be used again."""
    if isinstance(error, Overloaded):
        response.headers.update(error.headers)
    elif held_back(request):
        # The rest of the body does not come. That of one that is too large is thrown away as it comes: most clients
        # read no answer before they have sent all.
        response.headers["connection"] = "close"
    return response
