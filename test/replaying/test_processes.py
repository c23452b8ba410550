from multiprocessing import active_children

import pytest

from replay_works import Counts, Ends, Fails, Works
from trt_perception.errors import InferenceError, OutputError
from trt_perception.replaying.processes import run_here, run_in_processes


@pytest.mark.parametrize('jobs', [None, 2])
def test_all_work_is_done_once_and_what_it_leads_to_as_well(jobs):
    works, told = Works(Counts(1), Counts(10), Counts(0)), []
    if jobs is None:
        run_here(works, told.append)
    else:
        run_in_processes(works, told.append, jobs)
    assert sum(told) == 1011
    assert sorted(work.images for work in works.finished) == [0, 1, 10, 1000]
    assert active_children() == []


def test_without_work_nothing_happens():
    run_here(Works(), pytest.fail)


def test_what_a_process_raises_is_raised_here():
    with pytest.raises(OutputError, match='the disk is full'):
        run_in_processes(Works(Fails()), print, 1)
    assert active_children() == []


def test_a_process_that_dies_is_an_error_that_says_how_to_go_on():
    with pytest.raises(InferenceError, match=r'without a word.*--jobs'):
        run_in_processes(Works(Ends()), print, 1)
