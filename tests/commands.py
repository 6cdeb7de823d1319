"""The command line, run in this process."""

from __future__ import annotations

import signal
import sys

import pytest

from fer_mlops.cli import main


def fer(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Returns exit status, output and errors of the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["fer-mlops", *words])
        patch.setattr(signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as ended:
            main.main()
    out, err = capfd.readouterr()
    return int(ended.value.code or 0), out, err
