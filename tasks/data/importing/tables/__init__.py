"""Read rows of pictures or texts from tables: CSV, JSONL, Parquet, and datasets of Hugging Face."""
