"""What a model is for: one file per workload, one dict that names them."""

from models.workloads.image_classification import ImageClassification

WORKLOADS = {"image_classification": ImageClassification()}
