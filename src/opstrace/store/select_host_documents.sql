-- What hosts last said of themselves about some subjects; of the checks that they are configured for the names, and unless
-- all of it is wanted, of what their machines measured of themselves the processors, the memory and the system.
SELECT
    host,
    toString(subject) AS subject,
    multiIf(subject = 'check_metadata', checks, subject = 'gohai' AND NOT {whole:Bool}, machine, document) AS document
FROM
(
    SELECT
        host,
        subject,
        document,
        arrayMap(name -> concat(toJSONString(name), ':null'), JSONExtractKeys(document)) AS names,
        concat('{', arrayStringConcat(names, ','), '}') AS checks,
        arrayFilter(part -> part.1 IN ('cpu', 'memory', 'platform'), JSONExtractKeysAndValuesRaw(document)) AS parts,
        concat('{', arrayStringConcat(arrayMap(part -> concat(toJSONString(part.1), ':', part.2), parts), ','), '}') AS machine
    FROM hosts FINAL
    WHERE tenant = {tenant:String}
        AND subject IN {subjects:Array(String)}
        AND (empty({hosts:Array(String)}) OR host IN {hosts:Array(String)})
)
ORDER BY host, subject
SETTINGS max_execution_time = 60
