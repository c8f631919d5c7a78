# The model server: ONNX Runtime, numpy and the runtime faces of the workloads; neither torch nor Airflow.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
COPY requirements.lock docker/requirements-serving.lock /tmp/
RUN python3 -m venv /opt/tools \
    && awk '/^[^ ]/ {wanted = /^setuptools==/} wanted' /tmp/requirements.lock > /tmp/setuptools.txt \
    && /opt/tools/bin/pip install --no-cache-dir --require-hashes --no-deps -r /tmp/setuptools.txt \
    && python3 -m venv --without-pip /opt/venv
# Only modules that the server imports are compiled. All of them are: the image is read-only, so each start would compile
# the others again. Nothing runs the packages' own tests.
RUN /opt/tools/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --require-hashes --no-deps \
        -r /tmp/requirements-serving.lock \
    && cd /opt/venv/lib/python3.11/site-packages/onnxruntime && rm -rf datasets quantization tools transformers \
    && find /opt/venv -type d \( -name test -o -name tests \) -prune -exec rm -rf {} + \
    && /opt/venv/bin/python -c "import mlflow.artifacts, mlflow.models, mlflow.tracking.request_header.registry, \
        numpy.random, onnx, onnxruntime, PIL.Image, PIL.ImageOps, PIL.TiffImagePlugin, prometheus_client.multiprocess, \
        safetensors.numpy, soundfile, starlette.applications, tokenizers, uvicorn.lifespan.on, uvicorn.loops.asyncio, \
        uvicorn.loops.auto, uvicorn.protocols.http.auto, uvicorn.protocols.websockets.auto; PIL.Image.preinit()"
WORKDIR /tmp/source
COPY pyproject.toml README.md LICENSE ./
COPY src src
COPY models models
COPY tasks tasks
COPY dags/__init__.py dags/
RUN /opt/tools/bin/pip install --no-cache-dir --no-deps --no-build-isolation \
        --target /opt/stillhouse . \
    && /opt/venv/bin/python -m compileall -q /opt/stillhouse

FROM ${BASE}
RUN useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin stillhouse
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/stillhouse /opt/stillhouse
WORKDIR /opt/stillhouse
USER 10001:10001
ENV PATH=/opt/venv/bin:/usr/bin:/bin PYTHONPATH=/opt/stillhouse PYTHONSAFEPATH=1 PYTHONUNBUFFERED=1 HOME=/tmp \
    STILLHOUSE_STATE=/tmp/state STILLHOUSE_RUNS=/tmp/runs MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["python", "-m", "stillhouse.tasks.cli.serve_alone", "--host", "0.0.0.0", "--port", "8000"]
