"""The part of a route that stands for anything: Starlette's own kind for paths leaves out line feeds."""

from typing import Final

from starlette.convertors import PathConvertor, register_url_convertor

# What a route says of such a part, as in `/label/{name:anything}/values`.
ANYTHING: Final = "anything"


class _AnythingConvertor(PathConvertor):
    regex = "(?s:.*)"


register_url_convertor(ANYTHING, _AnythingConvertor())
