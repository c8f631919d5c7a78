"""Where a version comes from: issued, signed, verified, built again."""
