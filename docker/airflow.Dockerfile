# Airflow, MLflow and the tasks: one image for every service of compose.yaml that runs Python, except the model server.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin stillhouse \
    && install -d -o stillhouse -g stillhouse -m 0700 /state /state/host
# torch for the CPU first: PyPI's wheel of the same version is for CUDA, and its other packages are not in the lock.
ARG TORCH_WHEELS=https://download.pytorch.org/whl/cpu/torch/
COPY docker/requirements-stack.lock /opt/
RUN python3 -m venv /opt/venv \
    && awk '/^[^ ]/ {wanted = /^torch==/} wanted' /opt/requirements-stack.lock > /opt/torch.txt \
    && /opt/venv/bin/pip install --no-cache-dir --no-index --find-links "$TORCH_WHEELS" --require-hashes --no-deps \
        -r /opt/torch.txt \
    && /opt/venv/bin/pip install --no-cache-dir --require-hashes --no-deps -r /opt/requirements-stack.lock
WORKDIR /opt/stillhouse
COPY pyproject.toml README.md LICENSE data.dvc ./
COPY .dvc .dvc
COPY src src
COPY models models
COPY tasks tasks
COPY dags dags
# An ingestion commits a data version to a git repository, and hosts share none: data is renewed where the checkout is.
RUN echo ingest.py > dags/.airflowignore \
    && /opt/venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation -e . \
    && /opt/venv/bin/python -m compileall -q dags tasks models
COPY --chmod=0755 docker/entry/airflow.sh docker/entry/check.py docker/entry/prepare.py /entry/
VOLUME /state
USER 10001:10001
ENV PATH=/opt/venv/bin:/usr/bin:/bin PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 PYTHONUTF8=1 HOME=/tmp
ENTRYPOINT ["/entry/airflow.sh"]
