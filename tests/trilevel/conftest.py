"""The problems of this room are smooth, so their differences may be short."""

import pytest

from autoreg.trilevel import response


@pytest.fixture(autouse=True)
def short_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response, "MOVE", 1e-4)
