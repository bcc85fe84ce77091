"""Where, and in which precision, an actor computes."""

import torch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(wants_gpu: bool) -> str:
    """Either "cuda" or "cpu". Raises RuntimeError where a GPU was asked for and torch has none: rows would lie."""
    if wants_gpu and not torch.cuda.is_available():
        raise RuntimeError("a GPU was asked for (cluster=gpu), but torch finds none on this node")
    return "cuda" if wants_gpu else "cpu"
