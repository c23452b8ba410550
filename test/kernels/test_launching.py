import numpy as np

from stand_in_driver import StandInDriver
from trt_perception.kernels.launching import DeviceKernels


def test_what_is_kept_is_there_when_its_address_is():
    driver = StandInDriver()
    driver.push()
    kernels = DeviceKernels(driver, (9, 0))
    data = np.arange(768, dtype=np.uint8)
    address = kernels.keep(data)
    np.testing.assert_array_equal(driver.bytes_at(address, data.nbytes), data)
    assert driver.calls['Context.synchronize'] == 1
    kernels.close()
    assert not driver.live
    driver.pop()
