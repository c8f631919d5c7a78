"""Delete what no live version, no recent night and no row of the audit needs."""
