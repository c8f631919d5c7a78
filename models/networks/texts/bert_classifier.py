"""A BERT-like text classifier: the body of `bert`, and a head that reads the first token.

The heads of the families differ in one function only. BERT calls the first layer a pooler, RoBERTa calls it `dense`,
and DistilBERT calls it `pre_classifier` and has ReLU where the others have tanh.
"""

from typing import Literal

from torch import Tensor, nn

from stillhouse.models.networks.texts.bert import BertBody

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU}


class BertClassifier(BertBody):
    """Token numbers to one logit for each class."""

    def __init__(  # noqa: PLR0913 - the arguments a recipe gives by name
        self,
        *,
        vocabulary: int,
        positions: int,
        width: int,
        heads: int,
        hidden: int,
        depth: int,
        classes: int,
        activation: Literal["tanh", "relu"] = "tanh",
        epsilon: float = 1e-12,
    ) -> None:
        """Build. The sizes are those of `BertBody`. The activation is between the two linear layers of the head.

        Raises:
            ModelError: the heads do not divide the width.
        """
        super().__init__(
            vocabulary=vocabulary,
            positions=positions,
            width=width,
            heads=heads,
            hidden=hidden,
            depth=depth,
            epsilon=epsilon,
        )
        # Not in a Sequential: the first layer keeps the shape, and `drop_layers` would take it out.
        self.dense, self.activation = nn.Linear(width, width), ACTIVATIONS[activation]()
        self.classifier = nn.Linear(width, classes)

    def forward(self, ids_NT: Tensor) -> Tensor:
        """Map token numbers (N, T), int64, padded with 0, to logits (N, classes)."""
        tokens_NTC, _ = self.read(ids_NT)
        return self.classifier(self.activation(self.dense(tokens_NTC[:, 0])))
