"""What runners of tests ask before they send: which of Datadog's features are on, and which commits it knows.

No feature is on. All commits are known, as what is not known would be sent, and of a repository nothing is wanted
(DataDog/dd-trace-js: packages/dd-trace/src/ci-visibility; DataDog/dd-trace-py: ddtrace/testing/internal/).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from opstrace.errors import Undecodable

_FEATURES: Final = (
    *("code_coverage", "coverage_report_upload_enabled", "di_enabled", "flaky_test_retries_enabled"),
    *("impacted_tests_enabled", "itr_enabled", "known_tests_enabled", "require_git", "tests_skipping"),
)
_FEATURES_WITH_SETTINGS: Final = ("early_flake_detection", "test_management")


class _Commit(msgspec.Struct):
    id: str
    type: str = "commit"


class _Commits(msgspec.Struct):
    data: list[_Commit]


def _settings(_question: bytes) -> Mapping[str, Any]:
    features = dict.fromkeys(_FEATURES, False) | {name: {"enabled": False} for name in _FEATURES_WITH_SETTINGS}
    return {"data": {"id": "1", "type": "ci_app_tracers_test_service_settings", "attributes": features}}


def _known_commits(question: bytes) -> _Commits:
    try:
        return msgspec.json.decode(question, type=_Commits)
    except msgspec.MsgspecError as error:
        raise Undecodable(f"the body holds no commits: {error}") from error


_TOLD: Final[Mapping[str, Callable[[bytes], Any]]] = {
    "/api/v2/libraries/tests/services/setting": _settings,
    "/api/v2/git/repository/search_commits": _known_commits,
}
CI_QUESTIONS: Final = tuple(_TOLD)


def told(path: str, question: bytes) -> bytes:
    """Return the answer to a question, a body that was posted to one of CI_QUESTIONS; raise Undecodable."""
    return msgspec.json.encode(_TOLD[path](question))
