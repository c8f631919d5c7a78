"""Networks that recognise speech: samples in, logits of letters for each frame out."""
