"""Pictures of matrices say what NumPy computes, and refuse what they cannot draw."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import factory
from factory import ShapeError, lab

A, B = [[2, 3, 1], [0, 1, 4]], [[120, 130], [50, 40], [80, 70]]
SVG = "{http://www.w3.org/2000/svg}"


def words(picture: lab.Picture) -> list[str]:
    root = ElementTree.fromstring(picture.drawing)
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_each_step_says_the_sum_that_numpy_has(step: int) -> None:
    answer = (np.array(A) @ np.array(B)).ravel()
    drawn = words(lab.product_picture(A, B, step))
    assert any(text.endswith(f"= {answer[step - 1]}") for text in drawn)
    assert [text for text in drawn if text in map(str, answer)] == [str(value) for value in answer[:step]]
    assert str(answer[step - 1]) in lab.product_picture(A, B, step).description.ja


def test_row_and_column_are_named_by_number_from_one() -> None:
    said = lab.product_picture(A, B, 3).description
    assert "2 行目" in said.ja and "1 列目" in said.ja and "Row 2" in said.en and "column 1" in said.en


def test_slider_reaches_every_answer() -> None:
    box = lab.product_box(A, B)
    slider = box.children[0]
    assert (slider.min, slider.max) == (1, 4)
    slider.value = 4
    assert "0×130 + 1×40 + 4×70 = 320" in box.view.value


@pytest.mark.parametrize("size", [(1, 1, 1), (8, 8, 8), (1, 8, 1), (8, 1, 8)])
def test_pictures_of_all_sizes_hold_their_text(size: tuple[int, int, int]) -> None:
    m, k, n = size
    picture = lab.product_picture(np.full((m, k), -1.25), np.full((k, n), 1234.5), m * n)
    root = ElementTree.fromstring(picture.drawing)
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    for text in root.iter(f"{SVG}text"):
        assert 0 <= float(text.attrib["x"]) <= width and 0 <= float(text.attrib["y"]) <= height
    for rect in root.iter(f"{SVG}rect"):
        assert float(rect.attrib["x"]) + float(rect.attrib["width"]) <= width + 0.5


def test_order_is_what_a_column_major_reader_sees() -> None:
    said = lab.order_picture([[1, 2, 3], [4, 5, 6]]).description
    memory = np.array([[1, 2, 3], [4, 5, 6]]).ravel()
    assert np.array_equal(memory.reshape((2, 3), order="F"), [[1, 3, 5], [2, 4, 6]])
    assert np.array_equal(memory.reshape((3, 2), order="F"), [[1, 4], [2, 5], [3, 6]])
    for sentence in said:
        assert "1, 2, 3, 4, 5, 6" in sentence and "(1, 3, 5; 2, 4, 6)" in sentence and "(1, 4; 2, 5; 3, 6)" in sentence


def test_swapped_order_form_gives_the_row_major_product_and_the_plain_one_does_not() -> None:
    """What the notebook shows with the raw call is true."""
    with factory.open("simulator") as device:
        a, b = (device.array(np.array(given, np.float32)) for given in (A, B))
        c = device.empty((2, 2))
        order = factory.GemmProblem(m=2, n=2, k=3, transpose_a=False, transpose_b=False, lda=2, ldb=3, ldc=2)
        device.rocblas.gemm(order, b.pointer, a.pointer, c.pointer)
        assert np.array_equal(c.numpy(), np.array(A) @ np.array(B))
        device.rocblas.gemm(order, a.pointer, b.pointer, c.pointer)
        columns = [np.array(given, float).ravel().reshape(np.shape(given), order="F") for given in (A, B)]
        assert np.array_equal(c.numpy().ravel().reshape((2, 2), order="F"), columns[0] @ columns[1])
        assert not np.array_equal(c.numpy(), np.array(A) @ np.array(B))


def test_what_does_not_fit_is_refused_in_words() -> None:
    with pytest.raises(ShapeError, match="gemm"):
        lab.product_picture(A, A)
    with pytest.raises(ShapeError, match="step"):
        lab.product_picture(A, B, 5)
    for wrong in ([1, 2, 3], np.ones((9, 2)), np.ones((0, 2))):
        with pytest.raises(ShapeError, match="matrix"):
            lab.order_picture(wrong)
