"""The page in a real browser."""

from __future__ import annotations

import re
import sys
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
from services import encoded, face, listening, people, save_bundle, settings

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


def title_of(page: Page) -> str:
    """Returns the heading of the prediction, at once: cards are replaced meanwhile."""
    return str(page.execute_script("return document.querySelector('.result .over').textContent"))


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
    assert said.get_attribute("textContent").startswith(f"{top[0]}, {top[1]}; at least 20%")
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
    verdict = result.find_element(By.CSS_SELECTOR, ".verdict").text.lower()
    emotion, _, doubt = verdict.partition(", ")
    assert (emotion in EMOTIONS, doubt) == (True, "not sure")
    assert "below 90%, the threshold for a sure prediction" in result.text
    assert of(page, "said").get_attribute("textContent").startswith(f"{verdict}, ")


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
    def cards() -> list[str]:
        return [one.text for one in page.find_elements(By.CSS_SELECTOR, "#cards h3")]

    upload(page, tmp_path, face())
    settled(page)
    assert cards() == ["Champion"]
    of(page, "compare-row").click()
    first, second = settled(page, 2)
    assert [one.find_element(By.CSS_SELECTOR, ".over").text for one in (first, second)] == [
        "Champion", "Challenger",
    ]  # fmt: skip
    assert bars(first) != bars(second)
    assert first.location["y"] == second.location["y"]
    assert cards() == ["Champion", "Challenger"]


def test_each_face_of_a_photo_can_be_chosen(page: Page, tmp_path: Path) -> None:
    upload(page, tmp_path, encoded(people(3)), "photo.png")
    settled(page)
    chips = page.find_elements(By.CSS_SELECTOR, ".chip")
    assert [one.text for one in chips] == ["Face 1", "Face 2", "Face 3", "Whole picture"]
    assert (title_of(page), of(page, "note").text) == ("Face 3 of 3", "")  # the largest
    chips[0].click()
    wait(page, lambda: title_of(page) == "Face 1 of 3")
    assert of(page, "said").get_attribute("textContent").startswith("Face 1 of 3: ")
    place = page.execute_script(
        "return [canvas.leftOfPicture, canvas.topOfPicture, canvas.scaleOfPicture]"
    )
    left, top, scale = place
    box = of(page, "canvas").rect
    across = round(left + (300 + 90) * scale - box["width"] / 2)
    down = round(top + 130 * scale - box["height"] / 2)
    ActionChains(page).move_to_element_with_offset(of(page, "canvas"), across, down).click().perform()
    wait(page, lambda: title_of(page) == "Face 2 of 3")
    chips[3].click()
    wait(page, lambda: title_of(page) == "Prediction")
    assert faults(page) == []


def test_a_picture_that_is_one_face_is_predicted_whole(page: Page, tmp_path: Path) -> None:
    upload(page, tmp_path, encoded(people(1).crop((14, 61, 119, 166))), "one.png")
    settled(page)
    assert not of(page, "faces").is_displayed()
    assert (title_of(page), of(page, "note").text) == ("Prediction", "")


def test_a_picture_without_a_face_says_so(page: Page, tmp_path: Path) -> None:
    upload(page, tmp_path, face())
    settled(page)
    assert of(page, "note").text == "No face was found; the whole picture is predicted."


def test_without_a_detector_the_page_says_so(
    browser: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    service = Service(settings(save_bundle(tmp_path / "bundle")))
    service.slots.load()
    with listening(service) as port:
        browser.get(f"http://127.0.0.1:{port}")
        upload(browser, tmp_path, encoded(people(2)), "photo.png")
        settled(browser)
    note = "This service has no face detector; the whole picture is predicted."
    assert of(browser, "note").text == note


CARD = """# fer-classifier/1

cnn, gray faces of 48 × 48 px. Run `abc`.

**Too <b>good</b>**

## Scores

| point | accuracy |
| --- | --- |
| default | 0.5 |

<img src=x onerror=alert(1)> [link](javascript:alert(1))
- one
- two
"""


def test_the_card_is_rendered_folded_and_its_html_stays_text(page: Page) -> None:
    page.execute_async_script(
        """
        const [text, done] = arguments;
        import("/page/markdown.js").then(({ rendered }) => {
          document.getElementById("cards").replaceChildren(...rendered(text));
          done();
        });
        """,
        CARD,
    )
    card = of(page, "cards")
    tags = [one.tag_name for one in card.find_elements(By.CSS_SELECTOR, "*")]
    assert " ".join(tags) == "p code p b h4 div table thead tr th th tbody tr td td p ul li li"
    assert card.find_element(By.TAG_NAME, "b").text == "Too <b>good</b>"
    assert [one.text for one in card.find_elements(By.TAG_NAME, "td")] == ["default", "0.5"]
    assert "<img src=x onerror=alert(1)> [link](javascript:alert(1))" in card.text


def test_a_file_that_is_no_picture_is_one_sentence_and_the_next_one_works(
    page: Page, tmp_path: Path
) -> None:
    upload(page, tmp_path, b"not a picture", "notes.jpg")
    alert = of(page, "alert")
    wait(page, alert.is_displayed)
    assert alert.text.startswith("The prediction failed: image 1 of 1 cannot be read as an image")
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
