"""What the answer to a refused request says beside its body, whichever door it came to."""

from starlette.requests import Request
from starlette.responses import Response

from opstrace.errors import IntakeError, Overloaded, PayloadTooLarge
from opstrace.intake.body import held_back


def hinted(response: Response, error: IntakeError, request: Request) -> Response:
    """Say on an answer when to send again, and whether the connection can be used again."""
    if isinstance(error, Overloaded):
        response.headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, PayloadTooLarge | Overloaded) or held_back(request):
        # The rest of the body is not read, or never comes.
        response.headers["connection"] = "close"
    return response
