"""What the stages share of a drop: the rows that are in force."""
