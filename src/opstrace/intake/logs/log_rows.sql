-- The logs of this commit that are stored. One without a time is of when it came, and like no other. Logs of one payload
-- and time are numbered as they came.
INSERT INTO logs (tenant, timestamp, id, host, service, source, status, tags, message, attributes, commit)
SELECT
    tenant,
    fromUnixTimestamp64Milli(coalesce(said_ms, came_ms), 'UTC'),
    bitOr(
        bitShiftLeft(if(said_ms IS NULL, sipHash64(payload, body, {commit:UInt64}), payload), 26),
        bitAnd(toUInt64(place), 0x3FFFFFF)
    ),
    host,
    service,
    source,
    -- What a status begins with says which it is (docs.datadoghq.com: Status Remapper); one that says nothing stays.
    multiIf(
        state = '' OR substring(state, 1, 1) IN ('{', '['), 'info',
        match(state, '^[0-7]$'), ['emergency', 'alert', 'critical', 'error', 'warn', 'notice', 'info', 'debug'][toUInt8(state) + 1],
        startsWith(state, 'f') OR startsWith(state, 'emerg') OR state = 'panic', 'emergency',
        startsWith(state, 'a'), 'alert',
        startsWith(state, 'c'), 'critical',
        startsWith(state, 'err'), 'error',
        startsWith(state, 'w'), 'warn',
        startsWith(state, 'n'), 'notice',
        startsWith(state, 'i'), 'info',
        startsWith(state, 'd') OR startsWith(state, 't') OR startsWith(state, 'v'), 'debug',
        startsWith(state, 'o') OR startsWith(state, 's'), 'ok',
        state
    ),
    tags,
    if(is_long, concat(toValidUTF8(substring(message, 1, {max_message_bytes:UInt64})), {cut_here:String}), message),
    attributes,
    {commit:UInt64}
FROM
(
    SELECT *, length(message) > {max_message_bytes:UInt64} AS is_long, lower(trim(BOTH ' ' FROM toLowCardinality(sent_state))) AS state
    FROM staged_logs
)
WHERE legible AND coalesce(said_ms, came_ms) BETWEEN {oldest:Float64} * 1000 AND {newest:Float64} * 1000
SETTINGS max_partitions_per_insert_block = 0, optimize_on_insert = 0
