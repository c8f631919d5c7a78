"""What a model is for: one folder per workload, with a face for training and one for what ships."""
