"""Networks that another library builds from a configuration, without code of the model's author."""
