-- What hosts say of themselves, and what people note of them, subject by subject.
INSERT INTO hosts (tenant, host, subject, seen, document, commit)
SELECT
    assumeNotNull(tenant),
    assumeNotNull(host),
    assumeNotNull(subject),
    fromUnixTimestamp64Milli({now_ms:Int64}, 'UTC'),
    assumeNotNull(document),
    {commit:UInt64}
FROM Python(rows)
