# Serves the champion of the registry that MLFLOW_TRACKING_URI names.
#   docker build -f docker/serve.Dockerfile -t fer-mlops-serve .
FROM python:3.11-slim-bookworm

# As in train.Dockerfile.
ARG TORCH_INDEX=""

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# What registered models import: _REQUIREMENTS of fer_mlops/tracking.py. fer_mlops itself
# is left out: each model brings the source that it was trained with.
COPY docker/constraints.txt /tmp/constraints.txt
RUN ${TORCH_INDEX:+env PIP_INDEX_URL="$TORCH_INDEX"} pip install -c /tmp/constraints.txt torch \
 && pip install -c /tmp/constraints.txt \
    "mlflow>=3.17,<4" numpy scipy pandas pillow scikit-image scikit-learn uvicorn \
 && rm /tmp/constraints.txt

RUN useradd --no-log-init --create-home --uid 10001 fer
USER 10001
WORKDIR /home/fer

# No pickles: loading a model then runs no code but the source stored with it, which can be read.
ENV MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false \
    PYTHONUNBUFFERED=1

EXPOSE 8080
# Downloading and loading the model comes before the first answer.
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/ping', timeout=4)"]

# As process 1, `mlflow models serve` ignores SIGTERM; SIGINT ends it.
STOPSIGNAL SIGINT
CMD ["mlflow", "models", "serve", "-m", "models:/fer-classifier@champion", "--env-manager", "local", "--host", "0.0.0.0", "--port", "8080"]
