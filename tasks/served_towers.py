"""What MLflow runs to serve towers, as code and not as a pickle: sentences, pictures, recordings in, vectors out."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.bundle import open_bundle
from models.errors import ModelError
from models.inputs.pictures import picture_of
from models.towers import open_towers


class ServedTowers(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A table with a column `text`, or `image` or `speech` with the bytes of files, becomes vectors (N, D)."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401 - MLflow's type is private
        """Open the towers."""
        self.towers = open_towers(open_bundle(Path(context.artifacts["towers"])))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> NDArray[np.float32]:  # noqa: ANN401, ARG002
        """Embed every row.

        Raises:
            ModelError: there is no such column or a value is missing, a sentence is empty, a file cannot be read, or
                the model has no tower for it.
        """
        for column, embed in (("text", self._texts), ("image", self._images), ("speech", self._recordings)):
            if column in model_input and model_input[column].notna().all():
                return embed(model_input[column].tolist())
        msg = "the request has no whole column text, image or speech; give every row a sentence, or every row a file"
        raise ModelError(msg)

    def _texts(self, sentences: list[str]) -> NDArray[np.float32]:
        return self.towers.of_texts(sentences)

    def _images(self, files: list[bytes]) -> NDArray[np.float32]:
        return self.towers.of_images(np.stack([picture_of(file) for file in files]))

    def _recordings(self, files: list[bytes]) -> NDArray[np.float32]:
        return self.towers.of_recordings(files)


mlflow.models.set_model(ServedTowers())
