# Trains: the image's arguments are those of fer-mlops.
#   docker build -f docker/train.Dockerfile -t fer-mlops-train .
FROM python:3.11-slim-bookworm

# Empty means pip's own torch, which brings CUDA along: several GB. The address of PyTorch's own
# index of CPU wheels, as its install page gives it, makes a small image. That index is searched beside
# pip's, which has everything else, and wins for torch: 2.14.1+cpu counts as later than 2.14.1.
ARG TORCH_INDEX=""

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# Dependencies first: a changed line of our code must not fetch torch again. psycopg is for Optuna
# studies on PostgreSQL.
WORKDIR /app
COPY pyproject.toml docker/constraints.txt ./
RUN pip install -c constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} hatchling torch torchvision \
 && python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['face'], *p['optional-dependencies']['timm'], sep='\n')" \
    > requirements.txt \
 && pip install -c constraints.txt -r requirements.txt "psycopg[binary]" \
 && rm requirements.txt

# Editable: the package then finds MLproject, the recipes and the commit of this checkout.
COPY . .
RUN pip install --no-deps --no-build-isolation -e .

# /runs belongs to the user before it is a volume: a new named volume takes over the owner.
RUN useradd --no-log-init --create-home --uid 10001 fer \
 && mkdir -p /runs/cache /data \
 && chown -R fer:fer /runs
USER 10001
WORKDIR /runs
VOLUME /runs

# Decoded faces, checkpoints and downloaded weights outlive the container; --resume needs them.
ENV FER_MLOPS_CACHE=/runs/cache \
    TORCH_HOME=/runs/cache/torch \
    MLFLOW_DISABLE_TELEMETRY=true \
    GIT_PYTHON_REFRESH=quiet \
    PYTHONUNBUFFERED=1

# Exec form: SIGTERM reaches Python, which ends the run as KILLED.
ENTRYPOINT ["fer-mlops"]
CMD ["--help"]
