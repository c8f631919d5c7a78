"""The login of MLflow: its accounts, their rights, and what an account that may only read may ask."""
