"""A short part of the fault campaign (`make faults`): a run on S3 whose workers and store fail it on the way, the store
at last for good; when it is back, the same command finishes the run."""

import pytest

from tests import campaign, saboteur
from tests.faults import Run, reference, site
from tests.proxy import Proxy

INPUTS = 40
FAULTS = ["SlowDown", "killed in a put", "lost_answer", "outage"]


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("ray_session")
def test_faults_lose_double_and_change_nothing(s3: str, proxy: Proxy) -> None:
    with site(proxy) as built:
        whole = reference(built, INPUTS)
        built.ready()
        run = Run(built, f"{s3}/faults", seed=5, inputs=INPUTS)
        run.poison(["raise"])
        run.session(FAULTS)  # the last of which ends it, with one line that says what to do
        run.session([], "actors.samplers=1")
        verdict = campaign.judge(run, whole, 0)
    assert verdict.good, verdict
    assert verdict.planned == INPUTS
    assert [e.kind for e in verdict.events] == ["a row: raise", *FAULTS]
    assert saboteur.POISONS["raise"] in run.poisoned.values()
