# MLflow's server with the drivers for PostgreSQL and S3.
#   docker build -f docker/tracking.Dockerfile -t fer-mlops-tracking .
FROM python:3.11-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# psycopg 3: what SQLAlchemy 2.1 means by postgresql://
COPY docker/constraints.txt /tmp/constraints.txt
RUN pip install -c /tmp/constraints.txt "mlflow>=3.17,<4" "psycopg[binary]" boto3 \
 && rm /tmp/constraints.txt

RUN useradd --no-log-init --create-home --uid 10001 mlflow
USER 10001
WORKDIR /home/mlflow

# Jobs serve LLM scorers, which nothing here uses.
ENV MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    PYTHONUNBUFFERED=1

EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=5 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:5000/health', timeout=4)"]

ENTRYPOINT ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000"]
