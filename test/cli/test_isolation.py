"""A domain for oneself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from trt_perception.cli import isolation
from trt_perception.cli.isolation import DOMAINS, free_domain, isolated
from trt_perception.errors import PerceptionError


def test_an_empty_environment_stays_on_this_machine():
    environment = isolated({})
    assert int(environment['ROS_DOMAIN_ID']) in DOMAINS
    assert environment['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'


def test_what_leads_elsewhere_is_left_out_and_the_rest_kept():
    environment = isolated(
        {'ROS_DISCOVERY_SERVER': '10.0.0.1', 'ROS_STATIC_PEERS': 'robot', 'HOME': '/home/a'}
    )
    assert set(environment) == {'ROS_DOMAIN_ID', 'ROS_AUTOMATIC_DISCOVERY_RANGE', 'HOME'}


def test_a_domain_in_use_is_not_taken(monkeypatch):
    monkeypatch.setattr(isolation, 'DOMAINS', range(99, 101))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        try:
            participant.bind(('', 7400 + 250 * 99 + 10))
        except OSError:
            pytest.skip('domain 99 is in use on this machine')
        assert {free_domain() for _ in range(10)} == {100}
        monkeypatch.setattr(isolation, 'DOMAINS', range(99, 100))
        with pytest.raises(PerceptionError, match='all ROS domains from 99 to 99'):
            free_domain()


def test_a_real_node_makes_its_domain_used(monkeypatch):
    pytest.importorskip('rclpy', reason='needs ROS 2')
    domain = free_domain()
    monkeypatch.setattr(isolation, 'DOMAINS', range(domain, domain + 1))
    code = (
        'import rclpy; rclpy.init(); node = rclpy.create_node("present")\n'
        'print("up", flush=True); input()'
    )
    node = subprocess.Popen(
        [sys.executable, '-c', code],
        env=os.environ | isolated(os.environ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert node.stdout.readline() == 'up\n'
        with pytest.raises(PerceptionError):
            free_domain()
    finally:
        node.kill()
        node.communicate()
