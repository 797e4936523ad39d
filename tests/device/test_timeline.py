"""The timeline: one command a line, with where, what, how much, how long, and by what evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from oracle import calls, numbers

import factory
from factory import ConvolutionProblem, timeline

STATIONS = {"HIP", "rocBLAS", "MIOpen", "kernels"}


def last(device):
    return device.timeline[-1]


def test_every_copy_allocation_and_command_is_on_it_in_order(device):
    device.timeline.clear()
    x = device.array(numbers((4, 8)))
    y = device.gemm(x, x, transpose_b=True)
    z = device.softmax(y)
    device.copy(z.T, out=y)
    y.numpy()
    z.free()
    device.memory.trim()
    assert [command.call for command in device.timeline] == [
        "hipMalloc", "hipMemcpyAsync", "hipMalloc", "rocblas_gemm_ex", "hipMalloc", "miopenSoftmaxForward_V2",
        "hipModuleLaunchKernel(copy)", "hipMemcpy", "hipFree",
    ]  # fmt: skip
    assert len(device.timeline) == len(list(device.timeline)) == 9


def test_the_four_stations(device):
    x = device.array(numbers((4, 4)))
    for call, station in (
        (lambda: device.gemm(x, x), "rocBLAS"), (lambda: device.activate(x, "relu"), "MIOpen"),
        (lambda: device.add(x, x), "MIOpen"), (lambda: device.copy(x), "kernels"), (x.numpy, "HIP"),
    ):  # fmt: skip
        call()
        assert last(device).station == station
    assert set(device.timeline.by_station()) == STATIONS


def test_calls_are_named_as_the_real_wing_makes_them(device):
    x3, image = device.array(numbers((2, 4, 4))), device.array(numbers((1, 2, 6, 6)))
    filters, two = device.array(numbers((3, 2, 3, 3))), device.array(np.ones(2, np.float32))
    for call, name in (
        (lambda: device.gemm(x3, x3), "rocblas_gemm_strided_batched_ex"),
        (lambda: device.gemm(x3[0], x3[1]), "rocblas_gemm_ex"),
        (lambda: device.convolve(image, filters), "miopenConvolutionForwardImmediate"),
        (lambda: device.activate(image, "tanh"), "miopenActivationForward"),
        (lambda: device.pool(image, "max", (2, 2)), "miopenPoolingForward"),
        (lambda: device.batch_norm(image, two, two, two, two, 1e-5), "miopenBatchNormalizationForwardInference"),
        (lambda: device.add(x3, x3), "miopenOpTensor"), (lambda: device.multiply(x3, x3), "miopenOpTensor"),
        (lambda: device.softmax(x3), "miopenSoftmaxForward_V2"),
        (lambda: device.pad(image, (1, 1, 1, 1)), "hipModuleLaunchKernel(pad)"),
    ):  # fmt: skip
        call()
        assert last(device).call == name


def test_operations_and_bytes_of_a_gemm_are_the_formulas(device):
    a, b = device.array(numbers((3, 5))), device.array(numbers((5, 7)))
    device.gemm(a, b)
    assert last(device).operations == 2 * 3 * 5 * 7
    assert last(device).bytes == 4 * (3 * 5 + 5 * 7 + 3 * 7)
    assert "k=5" in last(device).sizes and "float32" in last(device).sizes
    batch = device.array(numbers((6, 3, 5)))
    device.gemm(batch, b)  # b serves for all, and is read once
    assert last(device).operations == 6 * 2 * 3 * 5 * 7
    assert last(device).bytes == 4 * (6 * 3 * 5 + 5 * 7 + 6 * 3 * 7)
    whole = device.array(np.ones((4, 4), np.int8))
    device.gemm(whole, whole)
    assert last(device).bytes == 2 * 16 + 4 * 16


def test_operations_of_a_convolution_are_those_of_the_definition_whichever_solver_runs(device):
    problem = ConvolutionProblem(2, 8, 9, 9, 4, 3, 3, pad=(1, 1), groups=2)
    x, w = device.array(numbers(problem.x_shape)), device.array(numbers(problem.w_shape))
    for solution in device.find(problem):
        device.convolve(x, w, problem, solution)
        command = last(device)
        assert command.operations == 2 * 2 * 4 * 9 * 9 * 4 * 3 * 3 == problem.operations
        assert command.bytes == 4 * (2 * 8 * 81 + 4 * 4 * 9 + 2 * 4 * 81)
        assert solution.solver in command.sizes and "8x9x9" in command.sizes


def test_bytes_of_an_elementwise_operation_are_what_it_reads_and_writes(device):
    x, row = device.array(numbers((10, 20))), device.array(numbers((1, 20)))
    device.activate(x, "relu")
    assert last(device).bytes == 2 * 800 and last(device).operations >= 200
    device.add(x, row)
    assert (last(device).bytes, last(device).operations) == (800 + 800 + 80, 200)
    device.copy(x)
    assert (last(device).bytes, last(device).operations) == (1600, 0)
    assert last(device).sizes == "10x20 float32"


def test_a_commands_time_is_measured_and_resolves_once_read(device):
    x = device.array(numbers((300, 300)))
    for _ in range(3):
        x = device.gemm(x, device.softmax(x))
    for command in device.timeline:
        assert math.isfinite(command.milliseconds) and 0 <= command.milliseconds < 1e5
        assert command.evidence == "measured"
        assert command.milliseconds == command.milliseconds
    assert any(command.milliseconds > 0 for command in device.timeline)


def test_reading_a_time_waits_for_no_more_than_its_command(delayed):
    x = delayed.array(numbers((20, 20)))
    delayed.gemm(x, x)
    command = last(delayed)
    delayed.softmax(x)
    assert command.milliseconds >= 0 and not delayed.hip.stream_query()
    assert last(delayed).milliseconds >= 0 and delayed.hip.stream_query()


def test_the_sum_of_a_streams_times_is_no_more_than_the_time_that_passed(device):
    start, stop = device.hip.event_create(), device.hip.event_create()
    x = device.array(numbers((100, 100)))
    device.timeline.clear()
    device.hip.event_record(start)
    for _ in range(20):
        device.gemm(x, x)
    device.hip.event_record(stop)
    device.hip.event_synchronize(stop)
    spent = sum(command.milliseconds for command in calls(device, "rocblas_gemm_ex"))
    assert spent <= 1.01 * device.hip.event_elapsed_time(start, stop) + 0.1  # a GPU rounds each one


def test_step_and_layer_are_those_in_force(device):
    x = device.array(numbers((4, 4)))
    device.timeline.clear()
    device.copy(x)
    with device.timeline.at(step=1):
        device.copy(x)
    with device.timeline.at(layer=7):
        device.gemm(x, x)
        device.softmax(x)
        device.copy(x)
        with device.timeline.at(step=5):
            device.gemm(x, x)
        device.gemm(x, x)
    with device.timeline.at(step=2, layer=0):
        device.copy(x)
    device.copy(x)
    places = [(command.step, command.layer) for command in device.timeline if command.station != "HIP"]
    assert places == [
        (None, None), (1, None), (2, 7), (3, 7), (3, 7), (5, 7), (2, 7), (2, 0), (None, None),
    ]  # fmt: skip


def test_at_nests_and_is_undone_by_an_exception(device):
    x = device.array(numbers((4, 4)))
    with pytest.raises(RuntimeError), device.timeline.at(step=3, layer=1), device.timeline.at(layer=2):
        device.copy(x)
        assert (last(device).step, last(device).layer) == (3, 2)
        raise RuntimeError
    device.copy(x)
    assert (last(device).step, last(device).layer) == (None, None)


def test_a_command_names_its_place_when_printed_layer_0_too(device):
    x = device.array(numbers((4, 4)))
    with device.timeline.at(step=2, layer=0):
        device.gemm(x, x)
    text = repr(last(device))
    assert "step 2" in text and "layer 0" in text and "rocblas_gemm_ex" in text and "ms" in text


def test_nothing_is_recorded_while_it_is_off(device):
    x = device.array(numbers((4, 4)))
    count = len(device.timeline)
    device.timeline.enabled = False
    y = device.softmax(device.gemm(x, x))
    assert y.numpy().shape == (4, 4)
    device.memory.trim()
    assert len(device.timeline) == count
    device.timeline.enabled = True
    device.gemm(x, x, out=y)
    assert len(device.timeline) == count + 1


def test_clear_forgets_commands_and_totals(device):
    x = device.array(numbers((4, 4)))
    device.gemm(x, x)
    device.timeline.clear()
    assert len(device.timeline) == 0 and list(device.timeline) == []
    totals = device.timeline.by_station()
    assert set(totals) == STATIONS and all(total.count == total.operations == 0 for total in totals.values())


def test_totals_by_station_add_up_its_commands(device):
    x = device.array(numbers((8, 8)))
    for _ in range(5):
        device.gemm(x, x)
        device.softmax(x)
    totals = device.timeline.by_station()
    for station in STATIONS:
        own = [command for command in device.timeline if command.station == station]
        assert totals[station].count == len(own)
        assert totals[station].operations == sum(command.operations for command in own)
        assert totals[station].bytes == sum(command.bytes for command in own)
        assert totals[station].milliseconds == pytest.approx(sum(command.milliseconds for command in own))
    assert (totals["rocBLAS"].count, totals["rocBLAS"].operations) == (5, 5 * 2 * 8**3)


def test_it_keeps_the_last_commands_and_totals_of_all(device, monkeypatch):
    assert timeline.KEPT == 100_000
    monkeypatch.setattr(timeline, "KEPT", 10)
    x = device.array(numbers((4, 4)))
    device.timeline.clear()
    out = device.empty((4, 4))
    for step in range(1, 26):
        with device.timeline.at(step=step):
            device.gemm(x, x, out=out)
        device.softmax(x, out=out)
    assert len(device.timeline) == 10
    assert [command.step for command in calls(device, "rocblas_gemm_ex")] == [21, 22, 23, 24, 25]
    totals = device.timeline.by_station()
    assert (totals["rocBLAS"].count, totals["MIOpen"].count) == (25, 25)
    assert totals["rocBLAS"].operations == 25 * 2 * 4**3
    assert totals["rocBLAS"].milliseconds >= sum(c.milliseconds for c in calls(device, "rocblas_gemm_ex"))
    assert device.timeline.by_station() == totals  # looking changes nothing
    device.timeline.clear()
    assert all(total.count == 0 for total in device.timeline.by_station().values())


def test_it_can_be_indexed_and_sliced(device):
    x = device.array(numbers((4, 4)))
    device.timeline.clear()
    device.softmax(x)
    device.copy(x)
    assert device.timeline[-1].station == "kernels" and [c.station for c in device.timeline[-1:]] == ["kernels"]
    with pytest.raises(IndexError):
        device.timeline[1000]


def test_a_command_that_breaks_off_is_not_on_it(simulator):
    table, ids = simulator.array(numbers((3, 4))), simulator.array(np.array([5], np.int32))
    with pytest.raises(factory.ShapeError):
        simulator.gather(table, ids)
    assert not any("gather" in command.call for command in simulator.timeline)


def test_looking_at_it_while_it_grows_is_fine(device):
    x = device.array(numbers((4, 4)))
    for command in device.timeline:
        device.copy(x)
        assert command.milliseconds >= 0
