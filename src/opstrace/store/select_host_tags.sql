-- All that was ever known of the tags of one tenant's hosts, or of some names, in the order of names and time; codes are
-- those of the host and, where the set holds its other names, of these.
SELECT
    host,
    sipHash64(host) AS code,
    toString(source) AS source,
    toUnixTimestamp64Milli(since) AS since_ms,
    tags,
    if(source = '', arrayMap(name -> sipHash64(name), tags), []) AS codes
FROM host_tags FINAL
WHERE tenant = {tenant:String} AND (empty({names:Array(String)}) OR host IN {names:Array(String)})
ORDER BY host, since, source
SETTINGS max_execution_time = 60
