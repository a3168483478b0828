"""The report of a study: one page that works offline, pictures, a table of trials and the best configuration."""
