"""Processes that work beside the one that asked."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool

from fer_mlops.processes import silence_third_party_logs

NAMES = ("alembic", "urllib3", "mlflow.system_metrics", "mlflow.store.db.utils", "sqlalchemy.pool")


@pytest.fixture
def loud() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in NAMES}
    for name in NAMES:
        logging.getLogger(name).setLevel(logging.NOTSET)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_question_that_ctrl_c_cut_short_is_not_told_as_a_traceback(
    loud: None, caplog: pytest.LogCaptureFixture
) -> None:
    pool = create_engine("sqlite://", poolclass=QueuePool).pool
    pool.logger.error("Error closing cursor")  # what SQLAlchemy says of it
    assert caplog.messages == ["Error closing cursor"]
    silence_third_party_logs()
    pool.logger.error("Error closing cursor")
    assert len(caplog.messages) == 1
