"""What each kind of model is to the ladder."""
