-- The sums over some hours, of one tenant, or of all where none is named.
SELECT tenant, host, version, unit, outcome, reason, sum(total) AS total
FROM books
WHERE ({tenant:String} = '' OR tenant = {tenant:String})
    AND hour BETWEEN toStartOfHour(toDateTime({start_s:Int64}, 'UTC')) AND toDateTime({end_s:Int64}, 'UTC')
GROUP BY tenant, host, version, unit, outcome, reason
ORDER BY tenant, host, version, unit, outcome, reason
SETTINGS max_execution_time = 60
