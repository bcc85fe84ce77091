"""Starting Ray where a machine is busy."""

import pytest

from pipeline import cluster

SLOW = "The current node timed out during startup. This could happen because some of the raylet failed to startup"


class Node:
    """Comes up at the `ready`-th start."""

    def __init__(self, ready: int, fault: str = SLOW) -> None:
        self.ready, self.fault, self.starts = ready, fault, 0

    def __call__(self) -> None:
        self.starts += 1
        if self.starts < self.ready:
            raise Exception(self.fault)  # noqa: TRY002 - as Ray does


def test_a_node_that_is_too_slow_is_started_again() -> None:
    node = Node(ready=3)
    cluster.start(node)
    assert node.starts == 3


def test_a_node_that_never_comes_up_is_given_up() -> None:
    node = Node(ready=9)
    with pytest.raises(Exception, match="timed out"):
        cluster.start(node)
    assert node.starts == cluster.STARTS


def test_another_fault_is_not_repeated() -> None:
    node = Node(ready=3, fault="no such address")
    with pytest.raises(Exception, match="no such address"):
        cluster.start(node)
    assert node.starts == 1


def test_what_this_package_raised_is_said_not_what_it_stands_on() -> None:
    """As Ray gives the error of a worker whose store is away."""
    own = "cannot write s3://b/o: the store does not answer (Could not connect); look at it"
    chain = "\n\nThe above exception was the direct cause of the following exception:\n\n"
    parts = ["ConnectionRefusedError: [Errno 111]", "botocore.exceptions.EndpointConnectionError: Could not connect"]
    told = chain.join([*parts, f"pipeline.patience.StorageError: {own}", "ray.exceptions.UserCodeException: failed"])
    assert cluster.cause(RuntimeError(told)) == own
    assert cluster.cause(RuntimeError(chain.join(parts))) == parts[0]
