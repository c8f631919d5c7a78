"""The code that MLflow runs to serve a model of several components, instead of a pickle."""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from stillhouse.models.errors import ModelError
from stillhouse.models.runtime.bundle import open_bundle
from stillhouse.models.workloads.base import runtime_of


class ServedBundle(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """A pyfunc model of a bundle.

    The input is a table with one column, such as `text`. The output is a table with one row of answers per input.
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
                return pd.DataFrame(answer(model_input[kind].tolist()))
        msg = f"the request has no whole column {' or '.join(self.answers)}; give every row an input of one kind"
        raise ModelError(msg)


mlflow.models.set_model(ServedBundle())
