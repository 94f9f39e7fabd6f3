-- How many series a selector has, a little more where a day's rows are not merged yet.
SELECT count() AS series
FROM series
WHERE {condition}
