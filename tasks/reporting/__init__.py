"""The report of a nightly run for people and tools: report.html and summary.json."""
