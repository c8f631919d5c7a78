"""Promotion: candidates, approval, audit, champions."""
