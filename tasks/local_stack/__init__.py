"""The local Airflow and MLflow."""
