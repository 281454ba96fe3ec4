"""From records to figures: one tidy table, statistics, tables. Neither torch nor Ray is needed here."""
