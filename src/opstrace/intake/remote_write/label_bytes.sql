-- What the labels of bodies take once they are written out for each series, and for each day on which it has points; each
-- label counts a little more than its text.
SELECT
    body,
    sum(
        arraySum(label -> length(label.1) + length(label.2) + {label_bytes:UInt64}, sent_labels)
        * greatest(
            length(arrayDistinct(arrayMap(time -> intDiv(time, 86400000), samples.timestamp)))
                + length(arrayDistinct(arrayMap(time -> intDiv(time, 86400000), sent_histograms.timestamp))),
            1
        )
    ) AS bytes
FROM staged_writes
WHERE body IN {bodies:Array(UInt32)}
GROUP BY body
ORDER BY bytes
