-- What was booked since the last time.
INSERT INTO books (hour, tenant, host, version, unit, outcome, reason, total, latest)
SELECT
    toStartOfHour(toDateTime({now_s:Int64}, 'UTC')),
    assumeNotNull(tenant),
    assumeNotNull(host),
    assumeNotNull(version),
    assumeNotNull(unit),
    assumeNotNull(outcome),
    assumeNotNull(reason),
    assumeNotNull(total),
    toDateTime({now_s:Int64}, 'UTC')
FROM Python(rows)
