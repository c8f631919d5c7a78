"""The compression methods, as the stage `compress` calls them."""
