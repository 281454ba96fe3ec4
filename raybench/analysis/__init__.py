"""From records to figures: one tidy table, statistics, tables; without torch and without Ray."""
