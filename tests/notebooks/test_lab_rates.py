"""Rates are measured here, of the product that was asked for, and their pictures say so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import factory
from factory import Device, lab
from factory.lab import rates
from factory.lab.rates import GemmRate


@pytest.fixture
def device() -> Iterator[Device]:
    with factory.open("simulator") as opened:
        yield opened


def test_rate_is_of_the_product_asked_for(device: Device) -> None:
    rate = rates.gemm_rate(device, 3, 5, 7)
    assert (rate.operations, rate.bytes) == (2 * 3 * 5 * 7, 4 * (3 * 7 + 7 * 5 + 3 * 5))
    assert rate.milliseconds > 0 and rate.gflops > 0
    ran = [command for command in device.timeline if command.station == "rocBLAS"]
    assert {(command.problem.m, command.problem.n, command.problem.k) for command in ran} == {(5, 3, 7)}
    assert rate.milliseconds == min(command.milliseconds for command in ran)


def test_gflops_and_intensity_by_hand() -> None:
    rate = GemmRate(1, 1, 1, milliseconds=2.0, operations=4_000_000, bytes=8_000_000)
    assert (rate.gflops, rate.intensity) == (2.0, 0.5)


def test_measuring_leaves_no_memory_behind_and_the_timeline_as_it_was(device: Device) -> None:
    device.timeline.enabled = False
    rates.gemm_rates(device, (2, 4), rows=1)
    assert device.memory.in_use == 0 and device.timeline.enabled is False


def test_plot_says_every_number_and_that_it_is_no_gpus(device: Device) -> None:
    square, one_row = rates.gemm_rates(device, (16, 32)), rates.gemm_rates(device, (16, 32), rows=1)
    assert [rate.m for rate in one_row] == [1, 1] and [rate.m for rate in square] == [16, 32]
    picture = lab.rate_plot(square, one_row)
    for rate in (*square, *one_row):
        assert f"n={rate.k}: {rate.gflops:.3g} GFLOP/s" in picture.description.en
    assert picture.evidence == ("measured",) and "not of a GPU" in str(picture.html())


def test_slider_of_tokens_measures_each_place_once(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def pretend(device: Device, m: int, n: int, k: int) -> GemmRate:
        asked.append(m)
        return GemmRate(m, n, k, milliseconds=0.25 * m, operations=2 * m * n * k, bytes=4 * n * k)

    monkeypatch.setattr(rates, "gemm_rate", pretend)
    box = lab.tokens_box(device, 6, 4)
    for m in (32, 64, 32, 1):
        box.children[0].value = m
    assert sorted(asked) == [1, 32, 64]
    assert box.view.value.count(">250 µs</text>") == 4  # three bars, and the whole of one token
    assert box.view.value.count("?</text>") == len(rates.TOKENS) - 3


def test_tokens_picture_takes_other_numbers_of_tokens() -> None:
    seen = [GemmRate(m, 4, 6, 1.0, 48 * m, 96) for m in (3, 1000)]
    picture = rates.tokens_picture(seen, 1000)
    assert "1.0 ms" in picture.description.en and ">1000</text>" in picture.drawing
