"""Icons: one concept drawn in several weights and by several hands."""
