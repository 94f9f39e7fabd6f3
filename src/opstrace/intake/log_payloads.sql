-- The hashes of bodies of logs, as they are of those that the engine reads, where the address says nothing of them.
SELECT assumeNotNull(body) AS body, cityHash64(assumeNotNull(content), '', '', '', '') AS payload FROM Python(rows)
