"""Processes that work beside the one that asked."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
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


@pytest.mark.parametrize(("given", "expected"), [(None, "1000"), ("7", "7")])
def test_idle_threads_of_a_command_do_not_spin_and_torch_is_not_loaded_before(
    given: str | None, expected: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"}
    if given:
        environment["GOMP_SPINCOUNT"] = given
    code = (
        "import os, sys, fer_mlops.cli.main as main; main.set_up_libraries(); "
        "print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == [expected, "False"], done.stderr
