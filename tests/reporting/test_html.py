import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from run_folders import pair_rows, write_result

from autoreg.errors import InputError
from autoreg.networks import Architecture, Genotype
from autoreg.reporting.figures import dice_boxes, png_bytes
from autoreg.reporting.html import run_report, write_report
from autoreg.reporting.page import Picture, Section
from autoreg.reporting.slices import take_slices


class Page(HTMLParser):
    """Tags with their attributes, headings, and whether every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.headings, self.open, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)

    @property
    def sliders(self):
        return [attributes for tag, attributes in self.tags if tag == "input"]


def page(path):
    text = path.read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.open == []
    assert not re.search(r"""(src|href)=["'](?!data:)""", text)  # nothing is fetched
    assert not any(tag in ("link", "iframe") for tag, _ in parsed.tags)
    assert [tag for tag, _ in parsed.tags].count("script") == bool(parsed.sliders)
    assert all(attributes.get("alt") for tag, attributes in parsed.tags if tag == "img")
    return parsed


def images(parsed):
    return [attributes["alt"] for tag, attributes in parsed.tags if tag == "img"]


def test_what_a_user_wrote_stays_text(tmp_path):
    evil = "<script>alert(1)</script>"
    frame = pd.DataFrame({evil: [evil, None]})
    section = Section(evil, text=evil, facts={evil: evil}, table=frame, pictures=[Picture(b"x", '"' + evil)], code=evil)
    parsed = page(write_report(tmp_path / "a.html", title=evil, sections=[section]))
    assert parsed.text.count(evil) == 9  # title twice, heading, text, fact twice, head and cell, code
    assert images(parsed) == ['"' + evil]


def test_numbers_are_short_and_missing_ones_a_dash(tmp_path):
    frame = pd.DataFrame({"a": [0.123456, float("nan")]})
    parsed = page(write_report(tmp_path / "a.html", title="t", sections=[Section("s", table=frame)]))
    assert "0.1235-" in parsed.text.replace("\n", "")


def test_page_fits_narrow_and_wide(tmp_path):
    text = write_report(tmp_path / "a.html", title="t", sections=[]).read_text()
    assert "width=device-width" in text
    assert "@media (max-width" in text


@pytest.fixture
def search(tmp_path, history):
    folder = tmp_path / "search"
    write_result(
        folder, command="search", metrics={"val_dice": 0.55, "folds_percent": None}, wall_seconds=12.3,
        device_seconds={"search": 20.0}, wasted_seconds={"search": 2.0}, genotype={"level1.cell.0": "a"},
        loss_weights={"lncc": 1.0, "smoothness": 32.0}, mlflow_tracking_uri="https://me:secret@store/x",
    )  # fmt: skip
    history.to_parquet(folder / "history.parquet")
    (folder / "config.yaml").write_text("search:\n  rounds: 6\n")
    (folder / "genotype.yaml").write_text("edges: {}\n")
    figures = folder / "figures"
    figures.mkdir()
    frame = pd.DataFrame({"system": ["a"], "dice": [0.5]})
    for name in ("alpha", "warped_overlay"):
        (figures / f"{name}.png").write_bytes(png_bytes(dice_boxes(frame)))
    return folder


def test_report_of_a_search(search):
    parsed = page(run_report(search))
    assert parsed.headings == [
        "Result", "Loss weights", "Architecture", "Course", "Pictures", "Cost", "Commands to repeat and go on",
        "Configuration",
    ]  # fmt: skip
    assert len(images(parsed)) == 5  # objectives, alpha twice, lambda once, and the overlay
    assert "Loss weights over rounds, in the end lncc 1, smoothness 32; Dice below" in images(parsed)
    assert "warped overlay of this run" in images(parsed)
    assert f"autoreg train --search {search}" in parsed.text
    assert "rounds: 6" in parsed.text
    assert "https://store/x" in parsed.text
    assert "secret" not in parsed.text


@pytest.mark.parametrize(
    ("decided", "words"),
    [
        ([], "evidence for no change of the stated architecture"),
        (["feature.1.0"], "evidence against the stated architecture at feature.1.0"),
    ],
)
def test_report_of_a_search_says_what_alpha_had_evidence_for(search, decided, words):
    path = search / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decided": decided}))
    assert words in page(run_report(search)).text


def test_report_of_a_training_names_its_network(tmp_path, history):
    folder = tmp_path / "plain"
    write_result(folder, command="train", metrics={"val_dice": 0.6}, network="all-conv3", device_seconds={"train": 5.0})
    history[["round", "train_objective", "val_dice"]].to_parquet(folder / "history.parquet")
    parsed = page(run_report(folder))
    assert len(images(parsed)) == 1
    assert "--network all-conv3" in parsed.text


def test_report_of_a_study_has_the_best_trial_first(tuned):
    parsed = page(run_report(tuned))
    assert "Trials" in parsed.headings
    table = parsed.text[parsed.text.index("Best score first.") :]
    assert table.index("0.9") < table.index("0.7") < table.index("0.65")


def test_report_of_an_evaluation(tmp_path):
    folder = tmp_path / "my model" / "test"
    write_result(folder, command="evaluate", split="val", metrics={"test_dice": 0.7}, labels={"1": "thalamus"},
                 dataset_path="d/dataset.json")  # fmt: skip
    pair_rows([0.7] * 6).to_parquet(folder / "pairs.parquet")
    parsed = page(run_report(folder))
    said = "Dice by label, medians: 1 thalamus: before 0.5, registered 0.8; 2: before 0.5, registered 0.6"
    assert images(parsed) == ["Dice of 6 pairs, mean Dice 0.7", said]
    assert f"autoreg evaluate '{folder.parent}' --dataset d/dataset.json --split val" in parsed.text
    assert "background (0) is not counted" in parsed.text
    assert "6 of val" in parsed.text


def test_report_of_pairs_without_labels(tmp_path):
    write_result(tmp_path, command="evaluate", metrics={})
    pair_rows([float("nan")] * 6).to_parquet(tmp_path / "pairs.parquet")
    assert "6 pairs without labels." in page(run_report(tmp_path)).text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "result.json: expected the result of an autoreg command"),
        ("{", "expected JSON"),
        ("[]", "expected an object with fields, got list"),
    ],
)
def test_a_folder_that_is_no_run(tmp_path, content, words):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(InputError, match=words):
        run_report(tmp_path)


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    write_result(tmp_path, command="search", status="running", metrics={}, device_seconds={}, genotype=None)
    assert "Result" in page(run_report(tmp_path)).headings


def test_an_evaluation_with_slices_has_one_slider_and_one_allowed_script(tmp_path):
    write_result(tmp_path, command="evaluate", metrics={})
    pair_rows([0.7] * 6).to_parquet(tmp_path / "pairs.parquet")
    volume = np.random.default_rng(0).random((12, 14, 10), dtype=np.float32)
    slices = take_slices(volume, volume, volume, np.zeros((3, 12, 14, 10)), title="<b>s1", spacing=(1, 1, 1))
    slices.save(tmp_path / "slices.npz")
    path = run_report(tmp_path)
    parsed = page(path)
    assert [slider["max"] for slider in parsed.sliders] == ["9"]
    assert "fixed - warped: <b>s1" in images(parsed)
    text = path.read_text()
    script = text.partition("<script>")[2].partition("</script>")[0]
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{allowed}'" in text


def test_torn_slices_are_named(tmp_path):
    write_result(tmp_path, command="evaluate", metrics={})
    pair_rows([0.7] * 6).to_parquet(tmp_path / "pairs.parquet")
    (tmp_path / "slices.npz").write_bytes(b"PK torn")
    with pytest.raises(InputError, match=r"slices\.npz: expected slices of a pair"):
        run_report(tmp_path)


def test_report_of_a_search_draws_its_architecture(search):
    genotype = Genotype.uniform(Architecture(feature_channels=(4, 8), deformation_channels=(8,)), "conv3")
    (search / "genotype.yaml").write_text(yaml.safe_dump(genotype.to_dict()))
    said = next(alt for alt in images(page(run_report(search))) if alt.startswith("Graph"))
    assert "levels: feature.1.0 conv3, feature.1.1 conv3" in said
