"""Test the pictures of a report and the animation of an entry."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from wrong_gradients import entry_of

from nnscratch.gradcheck.animated import animate_entry
from nnscratch.gradcheck.pictures import draw_map, draw_report, draw_scatter
from nnscratch.gradcheck.report import GradientReport
from nnscratch.plotting import style

NAN = np.nan


def entry(given, true, verdict="right", **options):
    return entry_of(given, true, options.pop("name", "w"), verdict=verdict, **options)


# --- a report --------------------------------------------------------------------------------------------------------


def test_a_report_has_a_row_for_each_array():
    report = GradientReport("code", {"w": entry([1, 2], [1, 2]), "b": entry(3.0, 3.0, "wrong", name="b")})
    figure = draw_report(report)
    assert figure.get_suptitle() == "code: wrong" and figure.get_size_inches().tolist() == [8, 0.5 + 2 * 2.6]
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["w (2): right", "error 0.0e+00", "b (a number): wrong", "error 0.0e+00"]


def test_the_rows_of_a_report_do_not_overlap():
    report = GradientReport("code", {n: entry([[1, 2]] * 3, [[1, 2.5]] * 3, name=n) for n in ("w", "b", "c")})
    figure = draw_report(report)
    figure.canvas.draw()
    assert np.asarray(figure.canvas.buffer_rgba()).min() == 0  # the picture has black letters
    rows = list(zip(*[iter(figure.axes)] * 3, strict=True))  # a scatter, a map, and the colour bar of the map
    sides = [[axes.get_tightbbox() for axes in row] for row in rows]
    for scatter, image, bar in sides:
        assert scatter.x1 < image.x0 and image.x1 <= bar.x0 and bar.x1 > 0.95 * figure.bbox.x1
    for above, below in zip(sides, sides[1:], strict=False):
        assert min(box.y0 for box in above) > max(box.y1 for box in below)
    assert [row[0].get_title()[0] for row in rows] == ["w", "b", "c"]


def test_arrays_that_were_not_compared_have_no_picture():
    other = entry([1, 2], [1, 2])
    other.analytic = np.ones(3)
    figure = draw_report(GradientReport("code", {"w": other, "b": entry(np.zeros((0, 2)), np.zeros((0, 2)))}))
    assert figure.axes == [] and figure.get_size_inches().tolist() == [8, 0.5 + 2.6]


@pytest.mark.parametrize(
    "verdict, colour", [("right", style.GREEN), ("wrong", style.ORANGE), ("cannot tell", style.GREY)]
)
def test_the_points_of_the_scatter(verdict, colour):
    axes = Figure().add_subplot()
    draw_scatter(axes, entry([[1, 4, 9], [7, NAN, 3]], [[1, 2, NAN], [-3, 5, 3]], verdict))
    (points,) = axes.collections
    assert points.get_offsets().tolist() == [[1, 1], [2, 4], [-3, 7], [3, 3]]
    assert to_hex(points.get_facecolor()[0]) == colour.lower()
    assert axes.get_xlim() == axes.get_ylim() == pytest.approx((-3 - 0.5, 7 + 0.5))
    assert axes.get_title() == f"w (2x3): {verdict}" and (axes.get_xlabel(), axes.get_ylabel()) == (
        "numeric",
        "analytic",
    )
    assert axes.lines[0].get_slope() == 1 and axes.lines[0].get_xy1() == (0, 0)
    assert axes.lines[0].get_zorder() < points.get_zorder()  # the points hide the line


def test_each_verdict_has_a_marker():
    markers = []
    for verdict in ("right", "wrong", "cannot tell"):
        axes = Figure().add_subplot()
        draw_scatter(axes, entry([1, 2], [1, 2], verdict))
        markers.append(axes.collections[0].get_paths()[0].vertices.tolist())
    assert markers[0] != markers[1] != markers[2] != markers[0]


def test_a_scatter_of_equal_points_has_a_width():
    axes = Figure().add_subplot()
    draw_scatter(axes, entry([0.0], [0.0]))
    assert axes.get_xlim()[0] < 0 < axes.get_xlim()[1]
    axes = Figure().add_subplot()
    draw_scatter(axes, entry([5.0], [5.0]))  # the picture contains 0
    assert axes.get_xlim() == pytest.approx((-0.25, 5.25))


def test_small_gradients_fill_the_scatter():
    axes = Figure().add_subplot()
    draw_scatter(axes, entry([1e-9, 3e-9], [1e-9, 2e-9]))
    assert axes.get_xlim() == axes.get_ylim() == pytest.approx((-0.05 * 3e-9, 1.05 * 3e-9))


def drawn_map(*arrays, **options):
    figure = Figure()
    axes = figure.add_subplot()
    draw_map(figure, axes, entry(*arrays, **options))
    return axes, axes.images[0]


def test_the_map_shows_the_distance_to_the_interval():
    low, high = np.array([[1.0, 2, 3], [4, 5, 6]]), np.array([[1.0, 2, 3], [4, 5, 8]])
    axes, image = drawn_map([[1, 2.5, 0], [4, 5, 7]], low, low=low, high=high, error=0.125)
    assert image.get_array().tolist() == [[0, 0.5, 3], [0, 0, 0]] and image.get_clim() == (0, 3)
    assert axes.get_title() == "error 1.2e-01" and image.get_cmap().name == style.MAP
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("last axis", "the other axes") and len(axes.get_yticks())


def test_the_map_of_arrays_with_other_numbers_of_axes():
    axes, image = drawn_map([1.0, 2.0], [1.0, 4.0])
    assert image.get_array().tolist() == [[0, 2]] and axes.get_ylabel() == "" and len(axes.get_yticks()) == 0
    assert drawn_map(1.0, 3.0)[1].get_array().tolist() == [[2]]
    assert drawn_map(np.zeros((2, 3, 4)), np.zeros((2, 3, 4)))[1].get_array().shape == (6, 4)


def test_the_colours_of_a_map_without_errors_or_values():
    assert drawn_map([1.0, 2.0], [1.0, 2.0])[1].get_clim() == (0, 1)
    assert drawn_map([NAN, NAN], [1.0, 2.0])[1].get_clim() == (0, 1)
    assert drawn_map([NAN, 4.0], [1.0, 2.0])[1].get_clim() == (0, 2)


def test_each_element_of_a_map_is_a_rectangle_with_a_number():
    for columns in (2, 40):
        axes, image = drawn_map(np.ones((2, columns)), np.zeros((2, columns)))
        assert axes.get_aspect() == "auto" and image.get_interpolation() == "nearest"
        for ticks in (axes.get_xticks(), axes.get_yticks()):
            assert len(ticks) <= 9 and (ticks == np.round(ticks)).all()
        assert image.colorbar.ax.get_ylabel() == "|analytic - numeric|"


def test_a_map_of_directions():
    axes, _ = drawn_map([1.0, 2.0], [1.0, 2.0], shape=(30, 2))
    assert axes.get_xlabel() == "direction"


# --- an entry --------------------------------------------------------------------------------------------------------


def test_each_compared_element_has_a_picture():
    animation = animate_entry(entry([[1, 2], [3, 4]], [[1, NAN], [3, 5]], "wrong"))
    assert animation.labels == ["[0, 0]: right", "[1, 0]: right", "[1, 1]: wrong"]
    axes = animation.figure(1).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [1, 3]
    assert [bar.get_x() + bar.get_width() / 2 for bar in axes.patches] == [0, 1]
    assert axes.get_xlim() == (-0.7, 2.7) and axes.get_ylim() == pytest.approx((-1.15 * 5, 1.15 * 5))
    assert axes.get_title() == "w[1, 0]: backward 3, finite differences 3"
    assert not axes.spines["top"].get_visible() and axes.spines["left"].get_visible()


def marks(animation, k):
    """Return the marks of the equal and of the different elements: (x, y) of each."""
    axes = animation.figure(k).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    return [list(zip(*lines[f"backward, {name}"].get_data(), strict=True)) for name in ("equal", "differs")]


def test_the_marks_of_equal_and_different_elements():
    animation = animate_entry(entry([1, 7, -9], [1, 2, -9], "wrong"))
    assert marks(animation, 0) == [[(0, 1)], []] and marks(animation, 2) == [[(0, 1), (2, -9)], [(1, 7)]]
    assert animation.figure(2).axes[0].get_ylim() == pytest.approx((-1.15 * 9, 1.15 * 9))
    for verdict in ("right", "cannot tell"):  # a difference within the uncertainty
        assert marks(animate_entry(entry([1, 7], [1, 2], verdict)), 1) == [[(0, 1), (1, 7)], []]
    assert animate_entry(entry([1, 2 + 1e-7], [1, 2], "wrong")).labels == ["[0]: right", "[1]: right"]
    assert animate_entry(entry([1, 2 + 1e-5], [1, 2], "wrong")).labels == ["[0]: right", "[1]: wrong"]


def test_the_first_sixty_elements_have_a_picture():
    true = np.arange(70.0)
    true[3] = NAN
    animation = animate_entry(entry(np.arange(70.0), true))
    assert len(animation) == 60 and animation.labels[2:4] == ["[2]: right", "[4]: right"]


def test_values_that_are_not_finite_have_no_size():
    animation = animate_entry(entry([np.inf, 2], [3, 2], "wrong"))
    assert animation.figure(0).axes[0].get_ylim() == pytest.approx((-1.15 * 3, 1.15 * 3))
    assert animate_entry(entry([0.0], [0.0])).figure(0).axes[0].get_ylim()[1] > 0


def test_an_entry_without_compared_elements_is_refused():
    nothing = entry([NAN, NAN], [NAN, NAN], "wrong", reason="the gradient is not finite")
    other, text = entry([1.0], [1.0], "wrong"), entry([1.0], [1.0], "wrong", reason="a text")
    other.analytic, text.analytic = np.ones(2), np.array(["a"])
    for bad, words in ((nothing, "is not finite"), (other, ": wrong$"), (text, "a text")):
        with pytest.raises(ValueError, match=f"no element of w was compared.*{words}"):
            animate_entry(bad)
    assert animate_entry(entry([True, False], [1.0, 0.0])).labels == ["[0]: right", "[1]: right"]
