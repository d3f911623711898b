"""Convolutions by other ways than torch's own give torch's values, in every direction of differentiation."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from autoreg.networks import convolution
from autoreg.networks.convolution import Conv3d, convolve

SHAPES = st.tuples(st.integers(2, 13), st.integers(2, 14), st.integers(2, 12))


def tensors(shape, c_in, c_out, kernel, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, c_in, *shape, generator=generator, dtype=dtype)
    weight = torch.randn(c_out, c_in, kernel, kernel, kernel, generator=generator, dtype=dtype)
    return x, weight, torch.randn(c_out, generator=generator, dtype=dtype)


@given(SHAPES, st.sampled_from([(1, 1), (3, 1), (3, 2), (3, 4)]), st.sampled_from([1, 2]), st.booleans())
@settings(max_examples=100, deadline=None)
def test_halves_are_the_whole(shape, taps, stride, channels_last):
    kernel, dilation = taps
    x, weight, bias = tensors(shape, 2, 3, kernel)
    if channels_last:
        x = x.to(memory_format=torch.channels_last_3d)
    padding = dilation * (kernel // 2)
    options = ((stride,) * 3, (padding,) * 3, (dilation,) * 3)
    torch.testing.assert_close(
        convolution._in_halves(x, weight, bias, *options), F.conv3d(x, weight, bias, *options), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1)])
def test_first_and_second_derivatives(kernel, padding, monkeypatch):
    monkeypatch.setattr(convolution, "_left_to_slow", lambda *_: True)
    inputs = tuple(t.requires_grad_() for t in tensors((5, 3, 4), 2, 2, kernel))
    ones = (1, 1, 1)

    def convolved(x, weight, bias):
        return convolve(x, weight, bias, ones, (padding,) * 3, ones)

    assert torch.autograd.gradcheck(convolved, inputs)
    assert torch.autograd.gradgradcheck(convolved, inputs)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1)])
def test_the_module_is_torchs(batch, channels_last, kernel, stride):
    ours = Conv3d(8, 6, kernel, stride=stride, padding=kernel // 2)
    x = torch.rand(batch, 8, 13, 16, 12)
    if channels_last:
        x = x.to(memory_format=torch.channels_last_3d)
        ours = ours.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    expected = F.conv3d(x, ours.weight, ours.bias, (stride,) * 3, (kernel // 2,) * 3)
    torch.testing.assert_close(ours(x), expected, rtol=1e-4, atol=1e-5)


def test_a_single_small_volume_does_not_take_the_slow_routine():
    layer, x = Conv3d(16, 16, 3, padding=1), torch.rand(1, 16, 12, 16, 12)
    plain = torch.nn.Conv3d(16, 16, 3, padding=1)

    def routines(module):
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
            module(x)
        return {event.key for event in found.key_averages()}

    assert "aten::slow_conv3d_forward" in routines(plain), "torch's rule has changed: is the other way still needed?"
    assert "aten::slow_conv3d_forward" not in routines(layer)
