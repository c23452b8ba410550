"""What the other tests of nodes tell when a node fails them."""

from __future__ import annotations

import sys
import time

import pytest

DIES = """#!{python}
import time

print('loading the model', flush=True)
time.sleep(0.3)
raise ValueError('the file is full of holes')
"""
WAITS = """#!{python}
import time

print('waiting for a camera', flush=True)
time.sleep(60)
"""


@pytest.fixture
def start(graph, tmp_path):
    """Starts a program in place of a node."""
    started = []

    def start_program(content):
        program = tmp_path / f'program_{len(started)}'
        program.write_text(content.format(python=sys.executable))
        program.chmod(0o755)
        started.append(graph.start(str(program), program.name))
        return started[-1]

    yield start_program
    for node in started:
        node.end()


def test_a_wait_ends_when_a_node_dies_and_shows_its_traceback(graph, start):
    from nodes.graph import NodeDied

    start(DIES)
    begin = time.monotonic()
    with pytest.raises(NodeDied) as raised:
        graph.wait_for(lambda: False, 'something that never comes')
    assert time.monotonic() - begin < 15
    for text in ('exit status 1', 'loading the model', 'Traceback', 'full of holes'):
        assert text in str(raised.value)


@pytest.mark.parametrize('ask', ['state', 'stats', 'diagnostics'])
def test_a_call_that_is_tried_again_ends_too(start, ask):
    from nodes.graph import NodeDied

    node = start(DIES)
    with pytest.raises(NodeDied, match='full of holes'):
        getattr(node, ask)()


def test_a_wait_in_vain_shows_what_the_nodes_printed(graph, start):
    node = start(WAITS)
    graph.wait_for(node.output, 'its first line')
    with pytest.raises(AssertionError, match='in vain for a miracle') as raised:
        graph.wait_for(lambda: False, 'a miracle', 0.1)
    assert 'waiting for a camera' in str(raised.value)


def test_a_node_that_was_asked_to_end_has_not_died(graph, start):
    node = start(WAITS)
    graph.wait_for(node.output, 'its first line')
    node.send(9)
    assert node.process.wait(20) == -9
    assert graph.wait_for(lambda: 'served', 'nothing') == 'served'
    graph.executor.spin_once(timeout_sec=0)
    assert node.end() == node.end() == -9
