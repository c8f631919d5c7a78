"""Train one model in several processes of one host, by torchrun."""
