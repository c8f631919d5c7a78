"""The code that MLflow runs to serve a bundle, instead of a pickle."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.base import runtime_of


class ServedBundle(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A pyfunc model of a bundle.

    The input is a table with a column such as `text`. The output is a table with one row of answers per input.
    """

    def load_context(self, context: Any) -> None:  # noqa: ANN401 - MLflow's type is private
        """Open the bundle."""
        bundle = open_bundle(Path(context.artifacts["bundle"]))
        self.answers = runtime_of(bundle.workload).serve(bundle, ())

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ANN401, ARG002
        """Answer every row, in the same way as the server.

        Raises:
            ModelError: the column does not exist, a value is missing, or an input cannot be read.
        """
        for kind, answer in self.answers.items():
            if kind in model_input and model_input[kind].notna().all():
                return pd.DataFrame(answer([_plain(value) for value in model_input[kind]]))
        msg = f"the request has no whole column {' or '.join(self.answers)}; give every row an input of one kind"
        raise ModelError(msg)


def _plain(value: Any) -> Any:  # noqa: ANN401 - a text, a file, or numbers
    """Return numbers as nested lists, as a request of JSON has them."""
    return value.tolist() if isinstance(value, np.ndarray) else value


mlflow.models.set_model(ServedBundle())
