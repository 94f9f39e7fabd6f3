-- What each table takes on disk.
SELECT table AS name, sum(rows) AS total_rows, sum(bytes_on_disk) AS size_bytes, count() AS parts
FROM system.parts
WHERE database = currentDatabase() AND active
GROUP BY table
ORDER BY table
