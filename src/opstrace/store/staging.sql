-- The rows of `series` that the commit under way adds. In memory only; emptied by every commit.
DROP TABLE IF EXISTS unseen;
CREATE TABLE unseen AS series ENGINE = Memory
