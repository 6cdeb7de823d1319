"""Draws docs/images/page.png: the page of fer-mlops serve with its prediction for the drawn face.

Needs Chromium (``apt-get install chromium chromium-driver``) and a model of the drawn sample that can be
sure: ``fer-mlops cnn --preset fast --epochs 25 --set max_error=0.15`` (its 98 validation faces are too
few for the default of 0.05).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PICTURE = Path(__file__).parent / "images" / "page.png"
SIZE = (1164, 830)
PATIENCE = 120
"""Longest wait for the service and for a prediction, in seconds."""


def photograph(address: str, target: Path) -> None:
    """Writes a picture of the page at ``address`` after it has predicted the drawn face."""
    options = webdriver.ChromeOptions()
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    options.add_argument(f"--window-size={SIZE[0]},{SIZE[1]}")
    with tempfile.TemporaryDirectory() as profile:
        options.add_argument(f"--user-data-dir={profile}")
        page = webdriver.Chrome(options=options)
        try:
            page.set_window_size(*SIZE)
            page.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False},
            )
            page.get(address)
            wait = WebDriverWait(page, PATIENCE)
            wait.until(lambda _: "cnn" in page.find_element(By.ID, "served").text)
            page.find_element(By.ID, "drawn").click()
            wait.until(lambda _: page.find_elements(By.CSS_SELECTOR, "article.result .bars"))
            time.sleep(1)  # the bars grow
            page.execute_script("scrollTo(0, 0)")
            page.save_screenshot(str(target))
            print(page.find_element(By.CSS_SELECTOR, "article.result").text)
        finally:
            page.quit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default="8099")
    parser.add_argument("--model", default="models:/fer-classifier@champion")
    parser.add_argument("--out", type=Path, default=PICTURE)
    options = parser.parse_args()
    command = [sys.executable, "-m", "fer_mlops", "serve", "--port", options.port]
    command += ["--model", options.model, "--challenger", "none"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        try:
            assert service.stdout
            next(line for line in service.stdout if "http://" in line)
            photograph(f"http://127.0.0.1:{options.port}", options.out)
        finally:
            service.terminate()
            service.communicate()


if __name__ == "__main__":
    main()
