"""What people look at: the report, plots, tables and TensorBoard summaries."""
