"""What happens to a version that passed its gate: promoted, audited, rolled back."""
