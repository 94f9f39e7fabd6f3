-- Sets of tags that differ from what is known of their host and source; where they may not replace it, only if nothing is.
INSERT INTO host_tags
SELECT
    sent.tenant,
    sent.host,
    sent.source,
    -- Where the clock was ahead and was set back, what is said now holds after what was said then.
    fromUnixTimestamp64Milli(if(known.since_ms > toUnixTimestamp64Milli(now64(3)), known.since_ms + 1, sent.since_ms), 'UTC'),
    sent.tags,
    {commit:UInt64}
FROM
(
    SELECT
        assumeNotNull(tenant) AS tenant,
        assumeNotNull(host) AS host,
        assumeNotNull(source) AS source,
        assumeNotNull(since_ms) AS since_ms,
        arrayMap(tag -> assumeNotNull(tag), tags) AS tags,
        assumeNotNull(may_replace) AS may_replace
    FROM Python(rows)
) AS sent
LEFT JOIN
(
    SELECT tenant, host, source, argMax(tags, (since, commit)) AS tags, toUnixTimestamp64Milli(max(since)) AS since_ms
    FROM host_tags
    WHERE (tenant, host) IN (SELECT assumeNotNull(tenant), assumeNotNull(host) FROM Python(rows))
    GROUP BY tenant, host, source
) AS known ON sent.tenant = known.tenant AND sent.host = known.host AND sent.source = known.source
WHERE known.host = '' OR (sent.may_replace AND sent.tags != known.tags)
