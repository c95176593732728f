"""The report, plots, tables and TensorBoard summaries."""
