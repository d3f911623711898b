"""A network of wide kernels learns at the learning rate of the others."""

import numpy as np

from autoreg.setting import training_spec
from autoreg.workers.messages import RoundTask
from autoreg.workers.pool import LocalPool

LAMBDA = np.array([1.0, 10.0, 1.0, 1.0])


def test_kernels_of_seven_do_not_explode(smoke_setting) -> None:
    """The objective falls from 1.32; with the whole learning rate for every tap the first eight steps have 2.8."""
    config, setting, space = smoke_setting
    pool = LocalPool(training_spec(config, setting, space, setting.roles(0), space.named_network("all-conv7")))
    rounds = [pool.run_round(RoundTask(i, 8 * i, (2e-3,) * 8, LAMBDA))[0].terms @ LAMBDA for i in range(3)]
    assert max(rounds) < 1.5
    assert rounds[-1] < 0.99 * rounds[0]
