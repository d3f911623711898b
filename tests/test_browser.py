"""What people see: our pages and MLflow's, in a real browser. Pictures of them are left in the folder of the test."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[1] / "launchers" / "configs" / "smoke.yaml"
WIDTHS = (1280, 420)
FILES = (
    "search/report.html",
    "train/report.html",
    "train/test/report.html",
    "tune/report.html",
    "compare/compare.html",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    installed = next(
        (p for name in ("chromium", "google-chrome", "chromium-browser") if (p := shutil.which(name))), None
    )
    with playwright.sync_playwright() as driver:
        try:
            opened = driver.chromium.launch(executable_path=installed, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def runs(phantoms, tmp_path_factory) -> Path:
    """Folder of a small search with its training, a study, and their comparison, in one store."""
    folder = tmp_path_factory.mktemp("seen")
    home = ["--quiet", "--dataset", phantoms, "--set", f"tracking.home={folder / 'home'}"]
    local = ["--set", "workers.local=true", "--workers", 1]
    _autoreg("search", CONFIG, *home, *local, "--set", "search.finalists=1", "--output", folder / "search")
    _autoreg("train", "--search", folder / "search", *home, *local, "--output", folder / "train")
    _autoreg("tune", CONFIG, *home, "--trials", 2, "--output", folder / "tune")
    for name in ("train", "tune"):
        _autoreg("evaluate", folder / name, "--dataset", phantoms, "--quiet")
    _autoreg("compare", folder / "train", folder / "tune", "--output", folder / "compare")
    _autoreg("publish", folder / "train", "--name", "phantoms")
    return folder


def _autoreg(*arguments: object) -> None:
    command = [sys.executable, "-m", "autoreg", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.ray
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("file", FILES)
def test_pages_open_alone_and_fit(browser, runs, file, width, tmp_path):
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto((runs / file).as_uri())
    page.screenshot(path=tmp_path / f"{Path(file).stem}-{width}.png", full_page=True)
    assert [url for url in asked if not url.startswith("data:")] == [(runs / file).as_uri()]
    assert said == []  # a script or picture that the page's policy refuses is reported here
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = "[...document.images].filter(image => !(image.complete && image.naturalWidth && image.alt)).length"
    assert page.evaluate(broken) == 0
    page.close()


@pytest.mark.ray
def test_the_slider_moves_every_view_to_its_slice(browser, runs):
    page = browser.new_page()
    page.goto((runs / "train/test/report.html").as_uri())
    shift = "view => new DOMMatrix(getComputedStyle(view).transform).m42 / view.parentElement.clientHeight"
    before = page.eval_on_selector_all(".view img", f"views => views.map({shift})")
    page.locator(".viewer input").focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    after = page.eval_on_selector_all(".view img", f"views => views.map({shift})")
    assert len(after) == 9
    assert before == pytest.approx([-12] * 9, abs=0.1)
    assert after == pytest.approx([-1] * 9, abs=0.05)
    assert page.locator(".viewer output").inner_text() == "slice 1"
    page.close()


@pytest.fixture(scope="module")
def mlflow_pages(runs) -> Iterator[str]:
    """Address of `autoreg ui` on the store."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "autoreg", "ui", "--home", str(runs / "home"), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/health", server)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # MLflow's workers too: the group is ours
        server.wait()


def _wait_for(address: str, server: subprocess.Popen) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        assert server.poll() is None
        try:
            urllib.request.urlopen(address, timeout=2)
        except OSError:
            time.sleep(0.5)
        else:
            return
    pytest.fail("MLflow's pages did not come up")


def run_id(folder: Path) -> str:
    return json.loads((folder / "result.json").read_text())["mlflow_run_id"]


EXPECTED = {
    "list": ("experiments/1/runs", ["compare", "tune", "search"]),
    "search": ("experiments/1/runs/{search}", ["Soft Dice", "Chosen among the finalists", "Child runs", "train"]),
    "charts": ("experiments/1/runs/{search}/model-metrics", ["cost", re.compile("^device_seconds$")]),
    "study": ("experiments/1/runs/{tune}", ["Best of 2 trials", "best_trial"]),
    "image": ("experiments/1/runs/{train}/artifacts/test/overlay.png", ["test/overlay.png", "mlflow_model"]),
    "side by side": (
        'compare-runs?runs=["{train}","{tune}"]&experiments=["1"]',
        ["Comparing 2 Runs", "result/val_dice"],
    ),
    "registry": ("models/phantoms", ["Version 1", "dataset"]),
}


@pytest.mark.ray
@pytest.mark.parametrize("name", EXPECTED)
def test_mlflow_answers(browser, mlflow_pages, runs, name, tmp_path):
    place, words = EXPECTED[name]
    for run in ("search", "train", "tune"):
        place = place.replace(f"{{{run}}}", run_id(runs / run))
    page = browser.new_page(viewport={"width": 1400, "height": 1100})
    page.goto(f"{mlflow_pages}/#/{place}")
    try:
        for word in words:
            page.get_by_text(word).first.wait_for(timeout=60_000, state="attached")
        if name == "image":
            page.wait_for_function("[...document.images].some(image => image.naturalWidth > 500)", timeout=60_000)
    finally:
        page.screenshot(path=tmp_path / f"{name}.png")
        page.close()


@pytest.mark.ray
def test_a_comparison_leads_to_mlflows_own(browser, mlflow_pages, runs):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{runs / 'home' / 'mlflow.db'}")
    found = client.search_runs(["1"], filter_string="tags.command = 'compare'")[0]
    page = browser.new_page(viewport={"width": 1400, "height": 1100})
    page.goto(f"{mlflow_pages}/#/experiments/1/runs/{found.info.run_id}")
    page.get_by_text("These runs side by side").first.wait_for(timeout=60_000)
    link = page.get_by_role("link", name="These runs side by side").first.get_attribute("href")
    page.goto(f"{mlflow_pages}/{link[link.index('#') :]}")
    page.get_by_text("Comparing 2 Runs").first.wait_for(timeout=60_000)
    page.close()
