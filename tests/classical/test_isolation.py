"""Work in a process of its own: its answers, its errors and its death."""

import operator
import signal

import pytest

from autoreg.classical.isolation import in_own_process
from autoreg.errors import AutoRegError


def test_answers_come_back():
    assert in_own_process("sum", operator.add, 2, 3) == 5


def test_errors_come_back():
    with pytest.raises(ZeroDivisionError):
        in_own_process("quotient", operator.truediv, 1, 0)


def test_a_crash_is_an_error_here():
    with pytest.raises(AutoRegError, match="peer: its process died"):
        in_own_process("peer", signal.raise_signal, signal.SIGSEGV)
