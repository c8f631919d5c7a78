"""What a model is for: one file per workload.

`WORKLOADS` names those whose model is one network. A model of several towers is compressed tower by tower, and each
tower is a workload of its own: `retrieval.Tower`.
"""

from models.workloads.image_classification import ImageClassification

WORKLOADS = {"image_classification": ImageClassification()}
