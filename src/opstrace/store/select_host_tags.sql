-- All that was ever known of the tags of one tenant's hosts, in the order of hosts and time.
SELECT host, sipHash64(host) AS code, toString(source) AS source, toUnixTimestamp64Milli(since) AS since_ms, tags
FROM host_tags FINAL
WHERE tenant = {tenant:String}
ORDER BY host, since, source
