import numpy as np
import pandas as pd
import pytest

from autoreg.networks import Architecture, Genotype
from autoreg.reporting import figures
from autoreg.reporting.statistics import best_of_n


def texts(figure):
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_title(loc="left")]


def is_png(figure):
    return figures.png_bytes(figure).startswith(b"\x89PNG")


def test_edges_may_have_dots_and_keep_their_order(history):
    assert figures.alpha_axes(history) == (["level1.cell.0", "level1.cell.1"], ["a", "b", "c"])


def test_alpha_heatmap_marks_the_choice_of_the_last_round(history):
    figure = figures.alpha_heatmap(history, *figures.alpha_axes(history))
    values = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(values[0], [5 / 6, 1 / 12, 1 / 12])
    assert texts(figure) == ["0.83", "0.83"]
    assert titles(figure) == ["Architecture after round 5", "Entropy of the architecture"]
    assert is_png(figure)


def test_a_primitive_that_an_edge_lacks_stays_blank(history):
    history = history.drop(columns="alpha.level1.cell.1.c")
    values = figures.alpha_heatmap(history, *figures.alpha_axes(history)).axes[0].images[0].get_array()
    assert np.ma.getmaskarray(np.ma.asarray(values)).tolist() == [[False] * 3, [False, False, True]]


def test_alpha_over_time_has_a_panel_an_edge_and_a_line_a_primitive(history):
    figure = figures.alpha_over_time(history, *figures.alpha_axes(history))
    assert titles(figure) == ["level1.cell.0", "level1.cell.1"]
    first = figure.axes[0].lines[0]
    np.testing.assert_allclose(np.asarray(first.get_ydata()), 1 / 3 + 0.1 * np.arange(6))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(names) == ["a", "b", "c", "warm-up"]
    assert is_png(figure)


def graph(**change):
    architecture = Architecture(feature_channels=(4, 8, 8), feature_edges=2, deformation_channels=(8, 4), **change)
    edges = {edge.name: "conv3" for edge in architecture.edges()} | {"deformation.2.1": "sep3"}
    return Genotype(architecture, edges)


def test_the_graph_shows_every_edge_with_its_channels():
    figure = figures.architecture_graph(graph())
    words = texts(figure)
    assert words.count("sep3 \N{RIGHTWARDS ARROW} 4") == 1
    assert words.count("conv3 \N{RIGHTWARDS ARROW} 4") == 4  # features of the half grid, two deformation cells
    assert sum(word.startswith("features") for word in words) == 3
    assert is_png(figure)


def test_no_words_of_the_graph_overlap_or_leave_it():
    figure = figures.architecture_graph(graph(match="concat+cost"))
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text()]
    page = figure.bbox
    assert all(page.x0 <= b.x0 and b.x1 <= page.x1 and page.y0 <= b.y0 and b.y1 <= page.y1 for b in boxes)
    overlaps = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :] if a.overlaps(b)]
    assert overlaps == []


def test_the_graph_in_words():
    assert "deformation.2.1 sep3" in figures.describe_architecture(graph())


def test_boxes_by_label_are_drawn_from_the_first_label_down():
    rows = pd.DataFrame({"system": ["a", "b"] * 4, "label": [1, 1, 2, 2] * 2, "dice": [0.1, 0.2, 0.5, 0.6] * 2})
    axes = figures.label_boxes(rows, {1: "thalamus"}).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["thalamus", "2"]
    assert axes.get_yticks().tolist() == [2, 1]
    medians = [float(line.get_xdata()[0]) for line in axes.lines if line.get_color() == "black"]
    assert medians == [0.1, 0.5, 0.2, 0.6]


def test_candidates_of_one_place_share_a_number():
    table = pd.DataFrame(
        {"candidate": ["a", "b", "c"], "dice": [0.7, 0.7, 0.6], "folds_percent": [0.0, 0.0, 0.1],
         "seconds_a_pair": [1.0, 1.0, 2.0], "on_front": [True, True, False]}
    )  # fmt: skip
    figure = figures.front_figure(table)
    assert sorted(texts(figure)) == ["1", "2"]
    assert "1: a, b" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(
    ("drop", "panels"), [([], ["Loss weights", "Validation Dice"]), (["val_dice"], ["Loss weights"])]
)
def test_lambda_paths(history, drop, panels):
    figure = figures.lambda_paths(history.drop(columns=drop))
    assert titles(figure) == panels
    assert figure.axes[0].get_yscale() == "log"
    np.testing.assert_allclose(np.asarray(figure.axes[0].lines[1].get_ydata()), 2.0 ** np.arange(6))
    assert is_png(figure)


def test_a_loss_weight_of_zero_is_drawn_on_a_linear_scale(history):
    assert figures.lambda_paths(history.assign(**{"lambda.lncc": 0.0})).axes[0].get_yscale() == "linear"


def test_training_curve_of_a_search_has_every_level(history):
    figure = figures.training_curve(history)
    assert len(titles(figure)) == 4
    dice = figure.axes[-1].lines[0]
    assert dice.get_xdata().tolist() == [1, 3, 5]  # unmeasured rounds are left out
    assert is_png(figure)


def test_training_curve_of_a_plain_training_has_what_it_has(history):
    figure = figures.training_curve(history[["round", "train_objective"]])
    assert titles(figure) == ["Objective: weights (training pairs)"]
    assert is_png(figure)


@pytest.mark.parametrize(("seconds", "unit"), [(60, "device-seconds"), (600, "device-minutes"), (7200, "device-hours")])
def test_cost_unit_follows_the_size(seconds, unit):
    factor, name = figures.cost_unit(seconds)
    assert name == unit
    assert seconds * factor == pytest.approx({60: 60, 600: 10, 7200: 2}[seconds])


def test_quality_against_cost_has_curves_and_points():
    points = pd.DataFrame([{"system": "ours", "device_seconds": 7200.0, "value": 0.75}])
    figure = figures.quality_against_cost({"optuna": best_of_n([0.6, 0.8], [3600.0, 3600.0])}, points)
    curve, point = figure.axes[0].lines
    assert curve.get_xdata().tolist() == [1.0, 2.0]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (2.0, 0.75)
    assert "device-hours" in figure.axes[0].get_xlabel()
    assert is_png(figure)


@pytest.mark.parametrize("curves", [{}, {"optuna": best_of_n([np.nan], [1.0])}])
def test_quality_against_cost_with_nothing_to_draw(curves):
    points = pd.DataFrame(columns=["system", "device_seconds", "value"], dtype=float)
    assert is_png(figures.quality_against_cost(curves, points))


def test_dice_boxes_are_drawn_in_the_order_given():
    frame = pd.DataFrame({"system": ["b", "b", "a", "a"], "dice": [0.1, 0.3, 0.5, np.nan]})
    figure = figures.dice_boxes(frame)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["b", "a"]
    assert axes.get_yticks().tolist() == [2, 1]
    assert is_png(figure)


def image(shape):
    return np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize(("shape", "panels"), [((12, 14), 8), ((12, 14, 10), 24)])
def test_overlay_in_2d_and_3d(shape, panels):
    labels = (image(shape) > 0.5).astype(np.int16)
    field = np.zeros((len(shape), *shape), dtype=np.float32)
    figure = figures.overlay(
        image(shape), image(shape), image(shape), field, labels={"fixed": labels, "warped": labels}
    )
    assert len(figure.axes) == panels
    assert is_png(figure)


@pytest.mark.parametrize("shape", [(12, 14), (12, 14, 10)])
def test_overlay_counts_folds(shape):
    field = np.zeros((len(shape), *shape), dtype=np.float32)
    field[0] = -2.0 * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))  # x - 2 x: everything is mirrored
    figure = figures.overlay(image(shape), image(shape), image(shape), field)
    words = " ".join([axes.get_title() + axes.get_ylabel() for axes in figure.axes])
    assert "folds, 1e+02 %" in words


def test_overlay_shows_first_axis_to_the_right():
    picture = image((12, 14))
    figure = figures.overlay(picture, picture, picture, np.zeros((2, 12, 14)))
    shown = figure.axes[0].images[0]
    np.testing.assert_array_equal(shown.get_array(), picture.T)
    assert shown.origin == "lower"


def test_overlay_of_a_blank_image():
    blank = np.zeros((12, 14), dtype=np.float32)
    assert is_png(figures.overlay(blank, blank, blank, np.zeros((2, 12, 14))))


@pytest.mark.parametrize(("shape", "planes"), [((12, 14), 1), ((12, 14, 10), 3)])
def test_deformation_grid_moves_by_the_displacement(shape, planes):
    field = np.zeros((len(shape), *shape))
    field[1] = 3.0
    figure = figures.deformation_grid(field)
    assert len(figure.axes) == planes
    line = figure.axes[-1].lines[0]  # first column of the last plane: axis 0 across, axis 1 up
    np.testing.assert_allclose(np.asarray(line.get_ydata()), 3.0)
    np.testing.assert_allclose(np.asarray(line.get_xdata()), np.arange(12))


def test_figures_leave_pyplot_alone(history):
    from matplotlib._pylab_helpers import Gcf

    figures.training_curve(history)
    assert Gcf.get_all_fig_managers() == []
