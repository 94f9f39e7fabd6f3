-- The host that each body of this commit speaks of, most of the time.
SELECT body, toValidUTF8(anyHeavy(host)) AS of_host
FROM staged
WHERE host != ''
GROUP BY body
