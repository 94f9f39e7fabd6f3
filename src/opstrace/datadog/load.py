"""How busy hosts are now, by the metrics that every Agent sends."""

from opstrace.store.backend import Matcher, MatchOp, Querier

_RECENT_MS = 10 * 60_000


def loads(querier: Querier, now_ms: int) -> dict[str, dict[str, float]]:
    """Return the latest `cpu` and `iowait`, in percent, and `load` a core, by host, where they are known."""
    matcher = Matcher("__name__", MatchOp.REGEX, "system_cpu_idle|system_cpu_iowait|system_load_norm_15")
    block = querier.select([matcher], now_ms - _RECENT_MS, now_ms)
    found: dict[str, dict[str, float]] = {}
    for labels, end in zip(block.labels, block.offsets[1:].tolist(), strict=True):
        host = found.setdefault(labels.get("instance", ""), {})
        value = float(block.values[end - 1])
        match labels["__name__"]:
            case "system_cpu_idle":
                host["cpu"] = 100.0 - value
            case "system_cpu_iowait":
                host["iowait"] = value
            case _:
                host["load"] = value
    return found
