-- What holds for every table on disk, whenever it was made.
ALTER TABLE {table} MODIFY SETTING
    -- A merge ends with the removal of what it merged, which was synced: what replaces it must be so, too.
    min_rows_to_fsync_after_merge = 1,
    -- Each row is written half as often as with 5.
    merge_selector_base = 10,
    -- Tables of so many columns beside their key, as that of logs, are merged column by column, in half the time.
    vertical_merge_algorithm_min_columns_to_activate = 7,
    -- No query asks for them, and to keep them is a quarter of what merges of samples cost.
    auto_statistics_types = '',
    -- Merged parts go every second, and not some hundred at once, for which commits would wait.
    cleanup_delay_period = 1,
    cleanup_delay_period_random_add = 0,
    cleanup_thread_preferred_points_per_iteration = 10,
    -- They go soon: what replaces them was synced, and every commit looks at what lies there.
    old_parts_lifetime = 60,
    -- Below this nothing is taken in: what is written would be cut short, merges included.
    min_free_disk_bytes_to_perform_insert = {min_free_bytes}
