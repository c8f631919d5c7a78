"""What MLflow runs to serve towers, as code and not as a pickle: sentences or pictures in, unit vectors out."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import ModelError
from models.inputs.pictures import picture_of
from models.towers import open_towers


class ServedTowers(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A table with a column `text`, or `image` with the bytes of picture files, becomes vectors (N, D)."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 - MLflow's type is private
        """Open the towers."""
        self.towers = open_towers(Path(context.artifacts["towers"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> NDArray[np.float32]:  # noqa: ANN401, ARG002
        """Embed every row.

        Raises:
            ModelError: there is neither column or a value is missing, a sentence is empty, or a picture cannot be read.
        """
        for column, embed in (("text", self._texts), ("image", self._images)):
            if column in model_input and model_input[column].notna().all():
                return embed(model_input[column].tolist())
        msg = "the request has no whole column text or image; give every row a sentence, or every row a picture"
        raise ModelError(msg)

    def _texts(self, sentences: list[str]) -> NDArray[np.float32]:
        return self.towers.of_texts(sentences)

    def _images(self, files: list[bytes]) -> NDArray[np.float32]:
        return self.towers.of_images(np.stack([picture_of(file) for file in files]))


mlflow.models.set_model(ServedTowers())
