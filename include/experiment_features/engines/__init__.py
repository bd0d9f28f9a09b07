"""On what rules and features are computed: pandas, DuckDB or Spark."""
