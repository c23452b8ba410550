"""A node that is measured, and the probes around it: processes on a ROS domain of their own."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent))

from trt_perception.closing import Closing  # noqa: E402
from trt_perception.nodes.transport import choose_transport  # noqa: E402

_PATIENCE_S = 15.0
"""For a process to end after it was asked to."""


class CaseFailed(Exception):  # noqa: N818  (a finding about a node, which the figures then lack)
    """A case gave no figures."""


def exit_status(measure: Callable[[], int]) -> int:
    """What a script ends with: its own status, or 1 and the sentence of the case that failed."""
    try:
        return measure()
    except CaseFailed as error:
        print(f'NOT MEASURED: {error}', file=sys.stderr)
        return 1


def as_json(report: Any) -> str:
    """JSON text of a report; figures that there are not become null, which JSON knows, not NaN."""

    def known(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: known(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [known(one) for one in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(known(report), indent=1, allow_nan=False) + '\n'


def environment_on(domain: int, *, processes: int = 3, transport: bool = True) -> dict[str, str]:
    """The variables of a domain on this machine alone; `processes` share the transport."""
    environment = {
        **os.environ,
        'ROS_DOMAIN_ID': str(domain),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    if transport:
        environment.update(choose_transport(environment, processes).variables)
    return environment


def sourced(variable: str, environment: dict[str, str]) -> dict[str, str]:
    """The environment that a shell script leaves, for nodes of another workspace.

    Args:
        variable: an environment variable that holds the path of the script.
        environment: in which it is run.

    Raises:
        CaseFailed: the variable is not set, or the script fails.
    """
    script = environment.get(variable)
    if not script:
        raise CaseFailed(f'the variable {variable} is not set; it holds the path of a setup script')
    command = ['bash', '-c', '. "$0" >&2 && env -0', script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise CaseFailed(f'{script}, which {variable} names, fails: {done.stderr.strip()[-300:]}')
    pairs = (entry.partition('=') for entry in done.stdout.split('\0') if entry)
    return {name: value for name, _, value in pairs}


class MeasuredNode(Closing):
    """Starts a node and, on demand, probes; all of them end with the `with` block.

    Attributes:
        process: the node's.
    """

    def __init__(self, command: str, environment: dict[str, str]) -> None:
        """Raises CaseFailed: the command cannot be started."""
        self._command = command
        self._environment = environment
        self._probes: list[subprocess.Popen[str]] = []
        quiet = subprocess.DEVNULL
        program, *arguments = shlex.split(command)
        found = shutil.which(program, path=environment.get('PATH'))
        try:
            self.process = subprocess.Popen(
                [found or program, *arguments], env=environment, stdout=quiet, stderr=quiet
            )
        except OSError as error:
            raise CaseFailed(f'{command}: cannot be started: {error}') from error

    def close(self) -> None:
        """End the probes, and then the node."""
        for probe in self._probes:
            if probe.poll() is None:
                probe.kill()
            probe.communicate()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def probe(self, *arguments: str, script: str = 'ros_probe.py') -> subprocess.Popen[str]:
        """Start a script of this folder on the node's domain; `told` gives what it finds."""
        command = [sys.executable, str(HERE / script), *arguments]
        probe = subprocess.Popen(command, env=self._environment, stdout=subprocess.PIPE, text=True)
        self._probes.append(probe)
        return probe

    def check_alive(self) -> None:
        """Raises CaseFailed: the node has ended."""
        status = self.process.poll()
        if status is not None:
            raise CaseFailed(
                f'the node ended with exit status {status}; run it alone to see why: '
                f'{self._command}'
            )

    def told(self, probe: subprocess.Popen[str], timeout_s: float = float('inf')) -> dict:
        """The object on the last line that a probe prints.

        Raises:
            CaseFailed: the probe or the node gave up, or it took longer than `timeout_s`.
        """
        name = probe.args[2]
        begin = time.monotonic()
        while True:
            try:
                output, _ = probe.communicate(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                self.check_alive()
                if time.monotonic() - begin > timeout_s:
                    raise CaseFailed(f'{name} did not end within {timeout_s:g} s') from None
        if not output.strip():
            raise CaseFailed(f'{name} gave up with exit status {probe.returncode}')
        return json.loads(output.strip().splitlines()[-1])
