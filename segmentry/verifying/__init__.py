"""A second reading of rules: grounded conditions over one contact's rows at a time, in plain Python.

It shares with the engine what a rule means (`segmentry/rules/`: parsed, checked, grounded nodes) and nothing of how the
engine computes it: no SQL, no DuckDB, no plan. Files are read through pyarrow, exact numbers are fractions, instants are
whole microseconds, days whole numbers. It is slow, and that is its use: `segmentry verify` holds the engine against it.

What it has no reading of, it says (`reach.unread`); it never guesses.
"""
