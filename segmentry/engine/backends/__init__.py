"""The engines that run a plan; DuckDB is the one there is."""
