"""What a commit costs in requests on the real S3 server, whatever the length of the log."""

import pytest

from log_bench import FILE_REQUESTS, HEAD_REQUESTS, TAIL_REQUESTS, make_log
from servers.s3 import S3Server


@pytest.mark.parametrize("commits", [1, 10, 250])
def test_a_run_that_knows_its_seq_stays_within_the_bounds(commits: int, s3_server: S3Server):
    log = make_log(s3_server, commits)

    first, second = (log.measure(is_seq_known=True) for _ in range(2))

    for cost in (first, second):
        assert cost.head_requests <= HEAD_REQUESTS
        assert cost.file_requests <= FILE_REQUESTS
        assert cost.tail_requests <= TAIL_REQUESTS


def test_a_run_that_does_not_know_its_seq_asks_once_more(s3_server: S3Server):
    log = make_log(s3_server, 250)

    assert log.measure(is_seq_known=False).head_requests <= HEAD_REQUESTS + 1
