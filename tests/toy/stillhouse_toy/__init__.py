"""A workload and a network of a user's own: how far a disease goes, from ten measurements of a patient."""
