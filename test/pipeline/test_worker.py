import threading

import pytest

from trt_perception.pipeline.worker import NewestFrameWorker


class Log:
    """What a worker did, and a gate at which its work waits."""

    def __init__(self):
        self.done, self.failures, self.drops = [], [], []
        self.gate = threading.Event()
        self.busy = threading.Event()
        self.finished = threading.Semaphore(0)

    def work(self, item):
        self.busy.set()
        assert self.gate.wait(10)
        try:
            if item == 'bad':
                raise ValueError('bad item')
            self.done.append(item)
        finally:
            self.finished.release()

    def worker(self):
        return NewestFrameWorker(
            self.work,
            failed=lambda item, error: self.failures.append((item, str(error))),
            dropped=self.drops.append,
        )


@pytest.fixture
def log():
    return Log()


def test_stops_without_ever_having_had_an_item(log):
    worker = log.worker()
    worker.start()
    assert worker.stop()
    assert (log.done, log.drops) == ([], [])


def test_stops_without_having_been_started(log):
    worker = log.worker()
    worker.offer(1)
    assert worker.stop()
    assert log.drops == [1]


def test_while_it_works_only_the_newest_waits(log):
    worker = log.worker()
    worker.start()
    worker.offer(1)
    assert log.busy.wait(10)
    for item in (2, 3, 4):
        worker.offer(item)
    log.gate.set()
    assert log.finished.acquire(timeout=10)
    assert log.finished.acquire(timeout=10)
    assert worker.stop()
    assert log.done == [1, 4]
    assert log.drops == [2, 3]


def test_a_failure_is_told_and_the_next_item_served(log):
    worker = log.worker()
    log.gate.set()
    worker.start()
    for item in ('bad', 'good'):
        worker.offer(item)
        assert log.finished.acquire(timeout=10)
    assert worker.stop()
    assert log.failures == [('bad', 'bad item')]
    assert log.done == ['good']


def test_stop_waits_for_the_work_and_drops_the_rest(log):
    worker = log.worker()
    worker.start()
    worker.offer(1)
    assert log.busy.wait(10)
    worker.offer(2)
    assert not worker.stop(timeout_s=0.05)
    log.gate.set()
    assert worker.stop()
    assert log.done == [1]
    assert log.drops == [2]
    worker.offer(3)
    assert log.drops == [2, 3]


def test_the_work_may_stop_its_own_worker():
    stopped = threading.Event()

    def work(item):
        worker.stop()
        stopped.set()

    worker = NewestFrameWorker(work, failed=lambda *_: None, dropped=lambda _: None)
    worker.start()
    worker.offer(1)
    assert stopped.wait(10)
    assert worker.stop()
