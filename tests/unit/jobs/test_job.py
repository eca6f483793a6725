"""Jobs by their ids, whatever was typed for one."""

from collections.abc import Iterator

import pytest

from distrain.errors import ConfigError
from distrain.jobs.dashboard import connect
from distrain.jobs.job import known_job
from tests.fake_dashboard import FakeDashboard


@pytest.fixture
def cluster() -> Iterator[FakeDashboard]:
    with FakeDashboard("host") as fake:
        yield fake


@pytest.mark.parametrize("job_id", ["", ".", "..", "../version", "a b", "a/b?c#d", "a%2Fb", "ä\n"])
def test_what_is_no_id_names_no_job(cluster: FakeDashboard, job_id: str) -> None:
    with pytest.raises(ConfigError, match="the cluster knows no job"):
        known_job(connect(cluster.url), job_id)

    assert all(path.startswith("GET /api/jobs/") for path in cluster.asked[1:])
