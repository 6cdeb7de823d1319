# Serves the champion of the registry that MLFLOW_TRACKING_URI names, and follows it when it moves.
#   docker build -f docker/serve.Dockerfile -t fer-mlops-serve .
FROM python:3.11-slim-bookworm

# As in train.Dockerfile.
ARG TORCH_INDEX=""

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# Dependencies first: a changed line of our code must not fetch torch again. timm is for champions with
# a backbone of its own.
WORKDIR /app
COPY pyproject.toml docker/constraints.txt ./
RUN pip install -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} hatchling torch torchvision \
 && python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['timm'], sep='\n')" \
    > requirements.txt \
 && pip install -c constraints.txt -r requirements.txt \
 && rm requirements.txt

COPY . .
RUN pip install --no-deps --no-build-isolation .

RUN useradd --no-log-init --create-home --uid 10001 fer
USER 10001
WORKDIR /home/fer

# serve itself runs no code that a version brings. This forbids pickles to MLflow's own flavours, should somebody
# load one by hand here; it does not stop mlflow.pyfunc from running the source stored with a version.
ENV MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR=false \
    GIT_PYTHON_REFRESH=quiet \
    PYTHONUNBUFFERED=1

EXPOSE 8080
# Ready, not just alive: `docker compose up --wait` then returns when a model answers.
HEALTHCHECK --interval=15s --timeout=5s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/ready', timeout=4)"]

# Exec form: SIGTERM reaches Python, which answers what was asked and ends.
ENTRYPOINT ["fer-mlops", "serve", "--host", "0.0.0.0", "--port", "8080", "--wait"]
