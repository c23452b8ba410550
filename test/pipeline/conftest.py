"""What the tests of pipelines share."""

import pytest

from networks import write_car_and_dog


@pytest.fixture
def model(tmp_path):
    """The YAML file of `write_car_and_dog`."""
    return write_car_and_dog(tmp_path)
