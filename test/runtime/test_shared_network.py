"""Several contexts of one network: loaded once, freed with the last."""

from types import SimpleNamespace

import pytest

from on_stand_in import stand_in_owner
from stand_in_driver import StandInDriver
from trt_perception.errors import BackendUnavailableError, InferenceError, ModelFileError
from trt_perception.gpu.owner import GpuOwner
from trt_perception.runtime.device_network import DeviceNetwork
from trt_perception.runtime.shared_network import SharedNetwork


class Weights:
    """Counts what is made of it."""

    def __init__(self):
        self.loads = self.closes = 0
        self.numbers = []
        self.streams = []
        self.refuse = {}

    def load(self, gpu, stream):
        if 'load' in self.refuse:
            raise self.refuse['load']
        self.loads += 1
        return self

    def context(self, weights, stream, number, closed):
        assert weights is self
        if number in self.refuse:
            raise self.refuse[number]
        self.numbers.append(number)
        self.streams.append(stream)
        plain = {'backend': '', 'precision': '', 'fingerprint': '', 'inputs': (), 'outputs': ()}
        return SimpleNamespace(**plain, max_batch=1, close=closed)

    def close(self):
        self.closes += 1


@pytest.fixture
def driver():
    return StandInDriver()


@pytest.fixture
def owner(driver):
    with stand_in_owner(driver) as owner:
        yield owner


@pytest.fixture
def weights():
    yield (weights := Weights())
    weights.streams.clear()  # a GPU's objects go in its thread, or with the stand-in


def first_of(weights, owner, **options):
    shared = SharedNetwork(weights.load, weights.context, **options)
    owner.users = 0

    def acquire() -> GpuOwner:
        owner.users += 1
        return owner

    return DeviceNetwork(shared.open, acquire, shared.stream)


def test_nothing_is_loaded_before_the_first_and_freed_after_the_last(weights, owner):
    shared = SharedNetwork(weights.load, weights.context)
    assert weights.loads == 0
    first = owner.call(lambda gpu: shared.open(gpu, shared.stream(gpu)))
    others = [owner.call(lambda gpu: shared.open(gpu, shared.stream(gpu))) for _ in range(2)]
    assert (weights.loads, weights.numbers) == (1, [0, 1, 2])
    for context in (first, *others):
        assert weights.closes == 0
        owner.call(lambda gpu, c=context: c.close())
    assert weights.closes == 1
    owner.call(lambda gpu: shared.open(gpu, shared.stream(gpu)))
    assert weights.loads == 2, 'it can be opened again'


@pytest.mark.parametrize(('concurrent', 'streams'), [(False, 1), (True, 3)])
def test_contexts_take_turns_in_one_stream_or_have_one_each(weights, owner, concurrent, streams):
    first = first_of(weights, owner, concurrent=concurrent)
    others = [first.another() for _ in range(2)]
    assert len({stream.handle for stream in weights.streams}) == streams
    for network in (*others, first):
        network.close()
    assert weights.closes == 1


def test_the_number_of_a_closed_context_is_free_again(weights, owner):
    first = first_of(weights, owner)
    second, third = first.another(), first.another()
    second.close()
    fourth = first.another()
    assert weights.numbers == [0, 1, 2, 1]
    for network in (first, third, fourth):
        network.close()
    assert weights.closes == 1


def test_weights_that_cannot_be_loaded_can_be_tried_again(weights, owner):
    shared = SharedNetwork(weights.load, weights.context)
    weights.refuse['load'] = ModelFileError('no')
    with pytest.raises(ModelFileError):
        owner.call(lambda gpu: shared.open(gpu, shared.stream(gpu)))
    assert weights.closes == 0
    weights.refuse.clear()
    owner.call(lambda gpu: shared.open(gpu, shared.stream(gpu))).close()
    assert (weights.loads, weights.closes) == (1, 1)


def test_a_context_that_cannot_be_made_leaves_the_others(weights, owner):
    weights.refuse[1] = BackendUnavailableError('no room')
    first = first_of(weights, owner)
    with pytest.raises(BackendUnavailableError):
        first.another()
    assert weights.closes == 0
    first.close()
    assert weights.closes == 1


def test_the_only_context_that_cannot_be_made_frees_the_weights(weights, owner):
    weights.refuse[0] = BackendUnavailableError('no room')
    with pytest.raises(BackendUnavailableError):
        first_of(weights, owner)
    assert weights.closes == 1


def test_on_a_new_gpu_it_is_loaded_again_and_what_was_lost_is_left_alone(weights, driver):
    shared = SharedNetwork(weights.load, weights.context)
    with stand_in_owner(driver) as lost:
        old = lost.call(lambda gpu: shared.open(gpu, shared.stream(gpu)))
    with stand_in_owner(driver) as owner:
        new = owner.call(lambda gpu: shared.open(gpu, shared.stream(gpu)))
        assert weights.loads == 2
        owner.call(lambda gpu: old.close())
        assert weights.closes == 0, 'the new context still works'
        owner.call(lambda gpu: new.close())
        assert weights.closes == 1


def test_a_closed_network_says_so(weights, owner):
    network = first_of(weights, owner)
    network.close()
    network.close()
    with pytest.raises(InferenceError, match='closed'):
        network.infer({})
