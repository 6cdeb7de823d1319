"""The page in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import needs_browser, open_browser
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from services import face, listening, save_bundle, settings

from fer_mlops.emotions import EMOTIONS
from fer_mlops.serving.http.service import Service

pytestmark = [pytest.mark.slow, needs_browser]
Page = webdriver.Chrome


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("page")
    champion, challenger = (save_bundle(folder / str(seed), seed) for seed in range(2))
    service = Service(settings(champion, challenger=str(challenger)))
    service.slots.load()
    with listening(service) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("chromium")) as driver:
        yield driver


@pytest.fixture
def page(browser: Page, address: str) -> Page:
    browser.get(address)
    wait(browser, lambda: "cnn" in of(browser, "served").text)
    browser.get_log("browser")
    return browser


def wait(page: Page, is_so: Callable[[], Any]) -> Any:
    return WebDriverWait(page, 20).until(lambda _: is_so())


def of(page: Page, name: str) -> Any:
    return page.find_element(By.ID, name)


def results(page: Page) -> list[Any]:
    return page.find_elements(By.CSS_SELECTOR, "article.result")


def settled(page: Page, num: int = 1) -> list[Any]:
    """Returns the answers once there are ``num`` and none is under way."""
    wait(
        page,
        lambda: len(results(page)) == num and of(page, "results").get_attribute("aria-busy") == "false",
    )
    return results(page)


def upload(page: Page, folder: Path, content: bytes, name: str = "face.jpg") -> None:
    (folder / name).write_bytes(content)
    of(page, "file").send_keys(str(folder / name))


def faults(page: Page) -> list[str]:
    return [entry["message"] for entry in page.get_log("browser") if entry["level"] != "INFO"]


def bars(result: Any) -> dict[str, str]:
    rows = [row.text.split("\n") for row in result.find_elements(By.CSS_SELECTOR, ".bars li")]
    return dict(rows)


def test_an_uploaded_face_gets_seven_bars_and_is_said_aloud(page: Page, tmp_path: Path) -> None:
    upload(page, tmp_path, face())
    (result,) = settled(page)
    assert tuple(bars(result)) == EMOTIONS
    verdict = result.find_element(By.CSS_SELECTOR, ".verdict").text
    top = result.find_element(By.CSS_SELECTOR, ".top-one").text.split("\n")
    assert verdict.lower() == top[0]
    said = of(page, "said")
    assert said.get_attribute("aria-live") == "polite"
    assert said.get_attribute("textContent").startswith(f"{top[0]}, {top[1]}; at least 20 %")
    widths = page.execute_script(
        "return [...document.querySelectorAll('.bars b')].map(b => parseFloat(b.style.width))"
    )
    assert sum(widths) == pytest.approx(100, abs=0.1)
    marks = page.execute_script(
        "return [...document.querySelectorAll('.bars u')].map(u => u.style.left)"
    )
    assert marks == ["20%"] * 7
    assert faults(page) == []


def test_an_answer_below_the_threshold_is_not_sure(page: Page, tmp_path: Path) -> None:
    page.execute_script("document.querySelector('label[for=p-natural]').click()")
    upload(page, tmp_path, face())
    (result,) = settled(page)
    assert result.find_element(By.CSS_SELECTOR, ".verdict").text == "Not sure"
    assert "below 90 %, the threshold for a sure prediction" in result.text
    assert of(page, "said").get_attribute("textContent").startswith("not sure, most likely ")


def test_a_photo_is_taken_by_the_camera_which_is_let_go(page: Page) -> None:
    of(page, "open-camera").click()
    wait(page, lambda: page.execute_script("return document.getElementById('video').videoWidth"))
    page.execute_script("window.track = document.getElementById('video').srcObject.getVideoTracks()[0]")
    of(page, "shoot").click()
    settled(page)
    assert not of(page, "camera").is_displayed()
    assert page.execute_script("return window.track.readyState") == "ended"
    assert page.switch_to.active_element.get_attribute("id") == "open-camera"


def test_champion_and_challenger_stand_side_by_side(page: Page, tmp_path: Path) -> None:
    upload(page, tmp_path, face())
    settled(page)
    of(page, "compare-row").click()
    first, second = settled(page, 2)
    assert [one.find_element(By.CSS_SELECTOR, ".over").text for one in (first, second)] == [
        "Champion", "Challenger",
    ]  # fmt: skip
    assert bars(first) != bars(second)
    assert first.location["y"] == second.location["y"]
    assert [one.text for one in page.find_elements(By.CSS_SELECTOR, "#cards h3")] == [
        "Champion", "Challenger",
    ]  # fmt: skip


def test_a_file_that_is_no_picture_is_one_sentence_and_the_next_one_works(
    page: Page, tmp_path: Path
) -> None:
    upload(page, tmp_path, b"not a picture", "notes.jpg")
    alert = of(page, "alert")
    wait(page, alert.is_displayed)
    assert alert.text.startswith("The prediction failed: image 0 of 1 cannot be read as an image")
    assert alert.get_attribute("role") == "alert"
    upload(page, tmp_path, face())
    settled(page)
    assert not alert.is_displayed()


def test_everything_is_done_by_keyboard_alone(page: Page) -> None:
    def press(*keys: str) -> None:
        ActionChains(page).send_keys(*keys).perform()

    def tab_to(name: str) -> None:
        for _ in range(30):
            press(Keys.TAB)
            if page.switch_to.active_element.get_attribute("id") == name:
                return
        raise AssertionError(f"{name} cannot be reached")

    tab_to("drawn")
    press(Keys.ENTER)
    settled(page)
    tab_to("zoom")
    press(Keys.ARROW_RIGHT * 30)
    assert of(page, "zoom").get_attribute("aria-valuetext") == "a frame 2.5 times smaller"
    tab_to("p-default")
    press(Keys.ARROW_RIGHT)
    wait(page, lambda: "this model is never sure" in of(page, "results").text)
    assert "Favours rare emotions" in of(page, "point-help").text
    tab_to("explain")
    press(Keys.SPACE)
    wait(page, lambda: page.find_elements(By.CSS_SELECTOR, "figure img"))
    heat = page.find_element(By.CSS_SELECTOR, "figure img")
    assert heat.get_attribute("alt").startswith("Heat map over the face: parts that support ")
    tab_to("compare")
    press(Keys.SPACE)
    settled(page, 2)
    assert faults(page) == []


def test_the_frame_can_be_moved_and_what_is_sent_moves_with_it(page: Page) -> None:
    of(page, "drawn").click()
    settled(page)
    page.execute_script("zoom.value = 4; zoom.dispatchEvent(new Event('input'))")
    said = of(page, "said")
    wait(page, lambda: of(page, "zoom").get_attribute("aria-valuetext") == "a frame 4 times smaller")
    page.execute_async_script("setTimeout(arguments[0], 600)")
    settled(page)
    before = said.get_attribute("textContent"), bars(results(page)[0])
    of(page, "canvas").send_keys(Keys.ARROW_LEFT * 6)
    wait(page, lambda: (said.get_attribute("textContent"), bars(settled(page)[0])) != before)


def test_nothing_is_kept_and_nothing_comes_from_elsewhere(
    page: Page, address: str, tmp_path: Path
) -> None:
    upload(page, tmp_path, face())
    settled(page)
    names = page.execute_script("return performance.getEntries().map(e => e.name)")
    downloaded_model = [name for name in names if re.match(r"[a-z]+:", name)]
    assert [name for name in downloaded_model if not name.startswith(address)] == []
    assert (
        page.execute_script("return document.cookie + localStorage.length + sessionStorage.length")
        == "00"
    )


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_no_width_needs_scrolling_sideways(width: int, page: Page) -> None:
    command = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 700}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", command)
    of(page, "drawn").click()
    settled(page)
    wide = page.execute_script("return document.documentElement.scrollWidth")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= width


def test_every_control_has_a_name(page: Page) -> None:
    tree = page.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    roles = ("button", "checkbox", "switch", "radio", "slider", "image", "link")
    controls = [n for n in tree if n.get("role", {}).get("value") in roles and not n["ignored"]]
    assert len(controls) > 8
    assert [n for n in controls if not n.get("name", {}).get("value")] == []


def test_the_docs_list_every_address(browser: Page, address: str) -> None:
    browser.get(f"{address}/docs")
    wait(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, ".endpoint")) == 8)
    shown = browser.find_element(By.TAG_NAME, "main").text
    assert f"curl {address}/predict -H 'Content-Type: image/jpeg'" in shown
    assert "?point=" in shown
    assert faults(browser) == []
