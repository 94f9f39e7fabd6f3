-- The labels of one metric's series, by either of its names, with how many values each has; `series` says how many series have the label.
SELECT
    label,
    uniqExact(content) AS label_values,
    uniqExact(label_set) AS series,
    arraySort(groupUniqArray(5)(content)) AS examples
FROM
(
    SELECT label_set, arrayJoin(labels) AS pair, pair.1 AS label, pair.2 AS content
    FROM series
    WHERE tenant = {tenant:String} AND (name = {name:String} OR metric_name = {name:String})
        AND day BETWEEN toDate32(intDiv({start_s:Int64}, 86400)) AND toDate32(intDiv({end_s:Int64}, 86400))
)
GROUP BY label
ORDER BY label_values DESC, label
LIMIT 1000
SETTINGS max_threads = 2, max_execution_time = 60
