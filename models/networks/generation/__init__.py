"""Networks that make pictures, and networks that judge them."""
