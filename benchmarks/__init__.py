"""What the pipeline costs, measured beside other ways of doing the same: see run.sh."""
