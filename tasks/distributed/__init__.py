"""Train one model in several processes of one host or of several, by torchrun."""
