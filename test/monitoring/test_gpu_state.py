from __future__ import annotations

import pytest

from trt_perception.monitoring.gpu_state import (
    GpuState,
    JetsonSource,
    NvmlSource,
    find_gpu_source,
)


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


ORIN = {
    'proc/device-tree/model': 'NVIDIA Jetson AGX Orin Developer Kit\0',
    'proc/meminfo': 'MemTotal:       32000000 kB\nMemFree: 1 kB\nMemAvailable:   24000000 kB\n',
    'sys/devices/platform/17000000.gpu/load': '437\n',
    'sys/class/thermal/thermal_zone0/type': 'cpu-thermal\n',
    'sys/class/thermal/thermal_zone0/temp': '61000\n',
    'sys/class/thermal/thermal_zone1/type': 'gpu-thermal\n',
    'sys/class/thermal/thermal_zone1/temp': '54500\n',
    'sys/class/hwmon/hwmon3/name': 'ina3221\n',
    'sys/class/hwmon/hwmon3/in1_label': 'VDD_GPU_SOC\n',
    'sys/class/hwmon/hwmon3/in1_input': '5000\n',
    'sys/class/hwmon/hwmon3/curr1_input': '1200\n',
    'sys/class/hwmon/hwmon3/in2_label': 'VDD_CPU_CV\n',
    'sys/class/hwmon/hwmon3/in2_input': '5000\n',
    'sys/class/hwmon/hwmon3/curr2_input': '9000\n',
}


def test_a_machine_without_files_is_no_jetson(tmp_path):
    with pytest.raises(OSError, match='no Jetson'):
        JetsonSource(tmp_path)


def test_a_jetson_that_says_nothing_else(tmp_path):
    write(tmp_path, {'proc/device-tree/model': 'NVIDIA Jetson Nano'})
    assert JetsonSource(tmp_path).read() == GpuState('NVIDIA Jetson Nano')


def test_an_orin(tmp_path):
    write(tmp_path, ORIN)
    source = JetsonSource(tmp_path)
    state = source.read()
    source.close()
    assert state == GpuState(
        'NVIDIA Jetson AGX Orin Developer Kit',
        utilisation=0.437,
        memory_used_bytes=8_000_000 * 1024,
        memory_total_bytes=32_000_000 * 1024,
        temperature_c=54.5,
        power_w=6.0,
    )
    assert state.power_share is None


def test_a_reading_that_fails_is_left_out(tmp_path):
    write(tmp_path, ORIN)
    source = JetsonSource(tmp_path)
    write(
        tmp_path,
        {
            'sys/devices/platform/17000000.gpu/load': 'busy\n',
            'sys/class/hwmon/hwmon3/curr1_input': '',
        },
    )
    (tmp_path / 'sys/class/thermal/thermal_zone1/temp').unlink()
    state = source.read()
    assert (state.utilisation, state.temperature_c, state.power_w) == (None, None, None)
    assert state.memory_total_bytes is not None


def test_power_as_a_share_of_its_limit():
    assert GpuState('gpu', power_w=150.0, power_limit_w=300.0).power_share == 0.5
    assert GpuState('gpu', power_w=150.0, power_limit_w=0.0).power_share is None


def test_a_source_is_found_where_there_is_one():
    """Also where nvidia-ml-py is installed without a driver: then there is none."""
    found = find_gpu_source()
    try:
        other = NvmlSource()
    except OSError:
        assert found is None or isinstance(found, JetsonSource)
    else:
        other.close()
        assert found is not None
        found.close()


def test_no_such_gpu(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '4096')
    with pytest.raises(OSError, match=r"nvidia-ml-py|driver|no GPU '4096'"):
        NvmlSource()


@pytest.mark.gpu
def test_a_gpu_of_this_machine():
    try:
        source = NvmlSource()
    except OSError as error:
        pytest.skip(str(error))
    state = source.read()
    source.close()
    assert state is not None
    assert state.memory_total_bytes > state.memory_used_bytes >= 0
    assert 0 <= state.utilisation <= 1
    assert 0 < state.temperature_c < 120
