import json

import pandas as pd
import pytest
from run_folders import PAIRS, pair_rows, write_evaluated, write_tuned

from autoreg.errors import InputError
from autoreg.reporting.compare import compare_runs

OURS = [0.80, 0.81, 0.82, 0.83, 0.84, 0.85]
PLAIN = [0.79, 0.79, 0.79, 0.79, 0.79, 0.79]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    home = tmp_path_factory.mktemp("runs")
    rest = {"metrics": {"val_dice": 0.75}, "wasted_seconds": {"train": 5.0}}
    ours = write_evaluated(home, "ours", OURS, {"search": 150.0, "train": 50.0}, **rest)
    plain = write_evaluated(home, "plain", PLAIN, {"train": 50.0})
    return compare_runs([ours, plain, write_tuned(home)], output=home / "out")


def row(comparison, system):
    return comparison.table.set_index("system").loc[system]


def test_table_has_a_row_a_system_and_the_start(compared):
    assert compared.table["system"].tolist() == ["initial", "ours", "plain", "optuna"]


def test_figures_of_a_system_by_hand(compared):
    ours = row(compared, "ours")
    assert ours["dice"] == pytest.approx(0.825)
    assert ours["dice_sd"] == pytest.approx(pd.Series(OURS).std())
    assert ours["dice_low"] < 0.825 < ours["dice_high"]
    assert ours["seconds_a_pair"] == 3.5  # median of 1 to 6
    names = ["hd95_mm", "folds_percent", "sdlogj", "pairs"]
    assert ours[names].tolist() == pytest.approx([2.0, 0.25, 0.1, 6])


def test_costs_by_hand(compared):
    names = ["search_device_seconds", "train_device_seconds", "trials_device_seconds", "total_device_seconds"]
    assert row(compared, "ours")[names].tolist() == [150.0, 50.0, 0.0, 200.0]
    assert row(compared, "optuna")[names].tolist() == [0.0, 0.0, 320.0, 320.0]
    assert row(compared, "ours")["wasted_device_seconds"] == 5.0
    assert compared.table["cost_ratio"].tolist()[1:] == [1.0, 0.25, 1.6]


def test_the_start_comes_from_the_pairs(compared):
    assert row(compared, "initial")["dice"] == pytest.approx(0.5)
    assert pd.isna(row(compared, "initial")["total_device_seconds"])


def test_tests_are_against_the_first_and_adjusted(compared):
    tests = compared.tests.set_index("system")
    assert tests.index.tolist() == ["plain", "optuna"]
    # Ours is better in all six pairs: p = 2 / 2^6 for both, doubled by Holm.
    assert tests["p_value"].tolist() == pytest.approx([1 / 32, 1 / 32])
    assert tests["p_holm"].tolist() == pytest.approx([1 / 16, 1 / 16])
    assert tests.loc["plain", "mean_difference"] == pytest.approx(-0.035)
    assert tests.loc["plain", "low"] < -0.035 < tests.loc["plain", "high"] < 0


def test_the_curve_is_of_finished_trials_by_score(compared):
    curve = compared.curves["optuna"]
    assert curve["n"].tolist() == [1, 2, 3, 4]
    assert curve["mean"].iloc[-1] == pytest.approx(0.72)
    assert curve["device_seconds"].iloc[-1] == pytest.approx(320.0)


def test_points_are_the_trained_systems(compared):
    assert compared.points.to_dict("records") == [
        {"system": "ours", "device_seconds": 200.0, "value": 0.75},
        {"system": "plain", "device_seconds": 50.0, "value": 0.7},
    ]


def test_break_even_by_hand(compared):
    trials = compared.break_even.set_index("system")["trials"]
    assert trials["ours"] == pytest.approx(200 / 80)  # four trials cost 320
    assert trials["plain"] == pytest.approx(50 / 80)


def test_pairs_are_matched_whatever_the_order_of_rows(evaluated, tmp_path):
    lower = [value - 0.01 for value in OURS]
    ours = evaluated("ours", OURS, {"train": 1.0})
    plain = evaluated("plain", lower, {"train": 1.0}, rows=pair_rows(lower).sample(frac=1, random_state=0))
    test = compare_runs([ours, plain], output=tmp_path / "out").tests.iloc[0]
    # The same difference in every pair: only a wrong match could widen the interval.
    assert [test["low"], test["mean_difference"], test["high"]] == pytest.approx([-0.01] * 3)


def test_files_are_written(compared):
    names = {path.name for path in compared.output.iterdir()}
    assert names == {"compare.csv", "compare.md", "compare.png", "compare.html", "comparison.json"}
    pd.testing.assert_frame_equal(pd.read_csv(compared.output / "compare.csv"), compared.table)
    assert (compared.output / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_strict_and_says_where_from(compared):
    def refuse(constant):
        raise AssertionError(constant)

    text = (compared.output / "comparison.json").read_text()
    values = json.loads(text, parse_constant=refuse)
    assert values["runs"][0]["system"] == "ours"
    assert values["runs"][0]["dataset_hash"] == "abc"
    assert values["table"][0]["cost_ratio"] is None
    assert len(values["curves"]["optuna"]) == 4


def test_markdown_and_text_tell_the_same(compared):
    markdown = (compared.output / "compare.md").read_text()
    for text in (markdown, compared.text()):
        assert "0.825 ± 0.019" in text
        assert "search and training cost as much as 2.50 trials of optuna" in text
        assert "plain - ours: -0.0350 Dice" in text
    header, rule, *_ = markdown.splitlines()
    assert header.count("|") == rule.count("|")


def test_page_has_table_and_pictures(compared):
    page = (compared.output / "compare.html").read_text()
    assert page.count("<img ") == 3
    assert "autoreg compare" in page
    assert "the highest mean is ours with 0.825" in page


def test_one_system_alone(evaluated, tmp_path):
    comparison = compare_runs([evaluated("ours", OURS, {"train": 1.0})], output=tmp_path / "out")
    assert comparison.tests.empty
    assert comparison.break_even.empty
    assert "ours" in comparison.text()


def test_systems_of_one_name_are_told_apart(evaluated, tmp_path):
    runs = [evaluated("a/train", OURS, {"train": 1.0}), evaluated("b/train", PLAIN, {"train": 1.0})]
    names = compare_runs(runs, output=tmp_path / "out").table["system"].tolist()
    assert names == ["initial", f"train ({runs[0]})", f"train ({runs[1]})"]


def test_without_labels_there_is_still_a_comparison(evaluated, tmp_path):
    nothing = [float("nan")] * 6
    runs = [evaluated(name, nothing, {"train": 1.0}, rows=pair_rows(nothing).assign(initial_dice=float("nan")))
            for name in ("a", "b")]  # fmt: skip
    comparison = compare_runs(runs, output=tmp_path / "out")
    assert comparison.table["dice"].isna().all()
    assert comparison.tests["p_value"].tolist() == [1.0]


def other(evaluated, **change):
    rows = pair_rows(PLAIN, **{k: v for k, v in change.items() if k in ("pairs", "labels")})
    return evaluated("plain", PLAIN, {"train": 1.0}, rows=rows)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pairs": [*PAIRS[:5], ("s3", "s4")]}, "2 that only one of the two has, such as fixed s3, moving s2"),
        ({"labels": (1,)}, r"label: expected \[1, 2\] as .*ours, got \[1\]"),
    ],
)
def test_systems_on_other_pairs_or_labels_are_refused(evaluated, tmp_path, change, words):
    ours = evaluated("ours", OURS, {"train": 1.0})
    with pytest.raises(InputError, match=words):
        compare_runs([ours, other(evaluated, **change)], output=tmp_path / "out")


def test_systems_on_other_data_are_refused(evaluated, tmp_path):
    ours, plain = evaluated("ours", OURS, {"train": 1.0}), evaluated("plain", PLAIN, {"train": 1.0})
    result = plain / "test" / "result.json"
    result.write_text(result.read_text().replace("abc", "xyz"))
    with pytest.raises(InputError, match=r"data set: expected hash abc .*got xyz"):
        compare_runs([ours, plain], output=tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("test/pairs.parquet", "pairs.parquet: expected this file, got none; run: autoreg evaluate .*optuna"),
        ("trials.parquet", "trials.parquet: expected this file, got none; run: autoreg tune"),
        ("result.json", "result.json: expected the result of an autoreg command"),
        ("test/result.json", "test/result.json: expected the result"),
    ],
)
def test_a_missing_file_says_what_to_run(tuned, tmp_path, file, words):
    (tuned / file).unlink()
    with pytest.raises(InputError, match=words):
        compare_runs([tuned], output=tmp_path / "out")


def test_a_broken_table_names_the_file(tuned, tmp_path):
    (tuned / "trials.parquet").write_bytes(b"not a table")
    with pytest.raises(InputError, match=r"trials\.parquet: expected a Parquet table"):
        compare_runs([tuned], output=tmp_path / "out")


def test_a_missing_column_is_named(evaluated, tmp_path):
    run = evaluated("ours", OURS, {"train": 1.0}, rows=pair_rows(OURS).drop(columns="sdlogj"))
    with pytest.raises(InputError, match="expected a column 'sdlogj', got fixed, moving"):
        compare_runs([run], output=tmp_path / "out")


def test_no_runs_at_all(tmp_path):
    with pytest.raises(InputError, match="at least one"):
        compare_runs([], output=tmp_path / "out")


def test_landmarks_have_a_column_where_there_are_some(tmp_path):
    rows = pair_rows([0.7] * 6).assign(tre_mm=1.5, initial_tre_mm=4.0)
    one = write_evaluated(tmp_path, "one", None, {"train": 10.0}, rows=rows)
    other = write_evaluated(tmp_path, "other", [0.8] * 6, {"train": 10.0})
    comparison = compare_runs([one, other], output=tmp_path / "out")
    assert comparison.shown()["TRE mm"].tolist() == ["4", "1.5", "-"]
    assert "TRE mm" not in compare_runs([other], output=tmp_path / "out").shown()
