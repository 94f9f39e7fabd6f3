-- Sets of tags that differ from what is known of their host and source; where they may not replace it, only if nothing is.
INSERT INTO host_tags (tenant, host, source, since, tags, commit)
SELECT
    sent.tenant,
    sent.host,
    sent.source,
    fromUnixTimestamp64Milli(since_ms, 'UTC'),
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
    SELECT
        tenant,
        host,
        source,
        argMax(host_tags.tags, (since, commit)) AS tags,
        argMaxIf(host_tags.tags, (since, commit), since <= now64(3)) AS tags_now,
        groupUniqArrayIf(toUnixTimestamp64Milli(since), since > now64(3)) AS to_come
    FROM host_tags
    WHERE (tenant, host) IN (SELECT assumeNotNull(tenant), assumeNotNull(host) FROM Python(rows))
    GROUP BY tenant, host, source
) AS known ON sent.tenant = known.tenant AND sent.host = known.host AND sent.source = known.source
-- Rows with a later time, from before the clock was set back, are superseded.
ARRAY JOIN arrayConcat([sent.since_ms], known.to_come) AS since_ms
WHERE known.host = '' OR (sent.may_replace AND (sent.tags != known.tags OR sent.tags != known.tags_now))
