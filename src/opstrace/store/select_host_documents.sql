-- What hosts last said of themselves about some subjects; of what their machines measured of themselves the memory only.
SELECT host, toString(subject) AS subject, if(subject = 'gohai' AND NOT {whole:Bool}, memory, document) AS document
FROM
(
    SELECT host, subject, document, concat('{"memory":', if(JSONHas(document, 'memory'), JSONExtractRaw(document, 'memory'), 'null'), '}') AS memory
    FROM hosts FINAL
    WHERE tenant = {tenant:String}
        AND subject IN {subjects:Array(String)}
        AND (empty({hosts:Array(String)}) OR host IN {hosts:Array(String)})
)
ORDER BY host, subject
