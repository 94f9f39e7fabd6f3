-- Which terms of a search the tags of an event's host match, as of the event's time.
ASOF LEFT JOIN
(
    SELECT
        assumeNotNull(host) AS host,
        assumeNotNull(from_ms) AS from_ms,
        arrayMap(term -> assumeNotNull(term), terms) AS host_terms
    FROM Python(rows)
) AS tagged ON found.host = tagged.host AND found.time_ms >= tagged.from_ms
