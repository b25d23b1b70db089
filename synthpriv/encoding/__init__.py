"""Floor 3, codes: value <-> cell code per column, the table as one integer matrix."""
