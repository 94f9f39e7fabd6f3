"""What the answer to a refused request says beside its body, whichever door it came to."""

from starlette.responses import Response

from opstrace.errors import IntakeError, Overloaded, PayloadTooLarge


def hinted(response: Response, error: IntakeError) -> Response:
    """Say on an answer when to send again, and whether the connection can be used again."""
    if isinstance(error, Overloaded):
        response.headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, PayloadTooLarge | Overloaded):
        # The rest of the body is not read.
        response.headers["connection"] = "close"
    return response
