"""What a nightly run leaves for people and tools to read: report.html and summary.json."""
