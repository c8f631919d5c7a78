"""The data package: built from its real sources, kept in a DVC remote, described as tables and expectations."""
