-- What data of format 1 lacks of this one; tables that it lacks are made by schema.sql.
ALTER TABLE series MODIFY COLUMN aspect
    Enum8('samples' = 0, 'histograms' = 1, 'sketch' = 2, 'count' = 3, 'sum' = 4, 'min' = 5, 'max' = 6, 'avg' = 7, 'started' = 8);

ALTER TABLE books ADD COLUMN IF NOT EXISTS latest SimpleAggregateFunction(max, DateTime('UTC'));

ALTER TABLE histograms ADD COLUMN IF NOT EXISTS start Int64 DEFAULT 0 CODEC(Delta(8), ZSTD(1));
