"""Promotion to production: candidates, approval, audit and champions."""
