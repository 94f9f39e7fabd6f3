-- POST /intake/ of an Agent version 5: metrics in a list of their own, and what it measures of the system as keys of
-- the document, devices' numbers as strings. They become the series that later Agents send under the same names
-- (datadog-intake.md, section 19).
INSERT INTO staged (body, tenant, sent_name, host, type, interval, unit, source_type, sent_tags, points)
SELECT
    body,
    tenant,
    s.name,
    if(s.host = '', document.internalHostname, s.host),
    multiIf(s.type IN ('rate', 'count'), s.type, s.type = 'counter', 'count', 'gauge'),
    0,
    '',
    '',
    arrayConcat(s.tags, if(s.device = '', [], [concat('device:', s.device)])),
    [(s.time, s.value)]
FROM
(
    SELECT
        assumeNotNull(body) AS body,
        assumeNotNull(tenant) AS tenant,
        JSONExtract(assumeNotNull(content), 'Tuple(
            internalHostname     String,
            collection_timestamp Nullable(Float64),
            metrics              Array(Tuple(
                String,
                Nullable(Float64),
                Nullable(Float64),
                Tuple(hostname String, type String, tags Array(String), device_name String)
            )),
            dogstream            Array(Tuple(
                String,
                Nullable(Float64),
                Nullable(Float64),
                Tuple(host_name String, metric_type String, tags Array(String), device_name String)
            )),
            ioStats              Map(String, Map(String, Nullable(Float64))),
            diskUsage            Array(Array(String)),
            inodes               Array(Array(String))
        )') AS document,
        -- Every key whose value reads as a number.
        JSONExtract(assumeNotNull(content), 'Map(String, Nullable(Float64))') AS numbers,
        coalesce(document.collection_timestamp, toFloat64({now_ms:Int64}) / 1000) AS collected,
        arrayMap(
            number -> (
                transform(
                    number.1,
                    [
                        'cpuUser', 'cpuSystem', 'cpuWait', 'cpuIdle', 'cpuStolen', 'cpuGuest',
                        'memPhysTotal', 'memPhysFree', 'memPhysUsed', 'memPhysUsable', 'memPhysPctUsable',
                        'memCached', 'memBuffers', 'memShared', 'memSlab', 'memPageTables',
                        'memSwapTotal', 'memSwapFree', 'memSwapUsed', 'memSwapPctFree', 'memSwapCached'
                    ],
                    [
                        'system.cpu.user', 'system.cpu.system', 'system.cpu.iowait', 'system.cpu.idle', 'system.cpu.stolen', 'system.cpu.guest',
                        'system.mem.total', 'system.mem.free', 'system.mem.used', 'system.mem.usable', 'system.mem.pct_usable',
                        'system.mem.cached', 'system.mem.buffered', 'system.mem.shared', 'system.mem.slab', 'system.mem.page_tables',
                        'system.swap.total', 'system.swap.free', 'system.swap.used', 'system.swap.pct_free', 'system.swap.cached'
                    ],
                    if(startsWith(number.1, 'system.'), number.1, '')
                ),
                number.2,
                ''
            ),
            CAST(numbers, 'Array(Tuple(String, Nullable(Float64)))')
        ) AS system,
        arrayFlatten(arrayMap(
            device -> arrayMap(
                number -> (
                    transform(
                        number.1,
                        [
                            'r/s', 'w/s', 'rkB/s', 'wkB/s', 'rrqm/s', 'wrqm/s', 'avgrq-sz', 'avgqu-sz',
                            'await', 'r_await', 'w_await', 'svctm', '%util'
                        ],
                        [
                            'system.io.r_s', 'system.io.w_s', 'system.io.rkb_s', 'system.io.wkb_s', 'system.io.rrqm_s', 'system.io.wrqm_s', 'system.io.avg_rq_sz', 'system.io.avg_q_sz',
                            'system.io.await', 'system.io.r_await', 'system.io.w_await', 'system.io.svctm', 'system.io.util'
                        ],
                        -- macOS has one number a device, under its own name.
                        if(startsWith(number.1, 'system.'), number.1, '')
                    ),
                    number.2,
                    device.1
                ),
                CAST(device.2, 'Array(Tuple(String, Nullable(Float64)))')
            ),
            CAST(document.ioStats, 'Array(Tuple(String, Map(String, Nullable(Float64))))')
        )) AS io,
        -- Early ones sent what df prints: device, KiB or inodes in all, used, free, 40%, where it is mounted.
        arrayFlatten(arrayMap(
            (prefix, line) -> [
                (concat(prefix, 'total'), toFloat64OrNull(line[2]), line[1]),
                (concat(prefix, 'used'), toFloat64OrNull(line[3]), line[1]),
                (concat(prefix, 'free'), toFloat64OrNull(line[4]), line[1]),
                (concat(prefix, 'in_use'), toFloat64OrNull(trimRight(line[5], '%')) / 100, line[1])
            ],
            arrayConcat(
                arrayMap(line -> 'system.disk.', document.diskUsage),
                arrayMap(line -> 'system.fs.inodes.', document.inodes)
            ),
            arrayConcat(document.diskUsage, document.inodes)
        )) AS disks
    FROM Python(rows)
)
ARRAY JOIN arrayConcat(
    -- The attributes of both are the host, the type, tags and the device, under other names; dogstream is what it read in logs.
    arrayMap(
        sent -> CAST(
            (sent.1, sent.4.1, sent.4.2, sent.4.3, sent.4.4, sent.2, sent.3),
            'Tuple(name String, host String, type String, tags Array(String), device String, time Nullable(Float64), value Nullable(Float64))'
        ),
        arrayConcat(document.metrics, document.dogstream)
    ),
    arrayMap(
        number -> CAST(
            (number.1, '', 'gauge', [], number.3, collected, number.2),
            'Tuple(name String, host String, type String, tags Array(String), device String, time Nullable(Float64), value Nullable(Float64))'
        ),
        arrayFilter(number -> number.1 != '' AND number.2 IS NOT NULL, arrayConcat(system, io, disks))
    )
) AS s
