"""Write a package of a user's own, with a network, two recipes and a test."""
