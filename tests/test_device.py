import pytest
import torch

from pipeline.stages.device import choose_device


def test_a_gpu_that_is_not_there_is_no_cpu() -> None:
    assert choose_device(False) == "cpu"
    if torch.cuda.is_available():
        assert choose_device(True) == "cuda"
    else:
        with pytest.raises(RuntimeError, match="torch finds none"):
            choose_device(True)
