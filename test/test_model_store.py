import pytest

from trt_perception import model_store
from trt_perception.errors import ModelSpecError


@pytest.fixture
def store(tmp_path, monkeypatch):
    (tmp_path / 'street.yaml').write_text('onnx: street.onnx\n')
    monkeypatch.setenv(model_store.OVERRIDE, str(tmp_path))
    return tmp_path


def test_an_empty_folder_has_no_models(tmp_path, monkeypatch):
    monkeypatch.setenv(model_store.OVERRIDE, str(tmp_path))
    assert model_store.list_models() == []
    with pytest.raises(ModelSpecError, match='There are: none'):
        model_store.find_model('street')


def test_finds_a_model_by_name_and_by_path(store):
    assert model_store.find_model('street') == store / 'street.yaml'
    assert model_store.find_model(str(store / 'street.yaml')) == store / 'street.yaml'


def test_an_unknown_name_lists_the_known_ones(store):
    with pytest.raises(ModelSpecError, match=r"did you mean 'street'.*There are: street"):
        model_store.find_model('streat')


def test_no_name_at_all_asks_for_one(store):
    with pytest.raises(ModelSpecError, match=r'no model is named: set .*yaml'):
        model_store.find_model('')


def test_a_missing_path_is_named(store):
    with pytest.raises(ModelSpecError, match=r'gone\.yaml: no such model file'):
        model_store.find_model(store / 'gone.yaml')


@pytest.mark.parametrize('name', ['notes.txt', 'folder'])
def test_what_is_no_model_file_is_told_so(store, tmp_path, name):
    (tmp_path / 'notes.txt').touch()
    (tmp_path / 'folder').mkdir()
    with pytest.raises(ModelSpecError, match=rf'{name}: is not a model file.*\.yaml.*\.onnx'):
        model_store.find_model(tmp_path / name)


def test_an_onnx_file_may_stand_for_itself(store, tmp_path):
    (tmp_path / 'yolo.onnx').touch()
    assert model_store.find_model(tmp_path / 'yolo.onnx') == tmp_path / 'yolo.onnx'
    with pytest.raises(ModelSpecError, match=r'gone\.onnx: no such model file'):
        model_store.find_model(tmp_path / 'gone.onnx')


def test_an_installed_package_is_found_on_the_ament_path(tmp_path, monkeypatch):
    folder = tmp_path / 'share' / 'trt_perception' / 'config' / 'models'
    folder.mkdir(parents=True)
    monkeypatch.delenv(model_store.OVERRIDE, raising=False)
    monkeypatch.setattr(model_store, '__file__', str(tmp_path / 'x' / 'y' / 'model_store.py'))
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'/nowhere:{tmp_path}')
    assert model_store.models_dir() == folder


def test_no_folder_at_all_lists_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.delenv(model_store.OVERRIDE, raising=False)
    monkeypatch.setattr(model_store, '__file__', str(tmp_path / 'x' / 'y' / 'model_store.py'))
    monkeypatch.setattr(model_store.sysconfig, 'get_path', lambda name: str(tmp_path))
    monkeypatch.setenv('AMENT_PREFIX_PATH', '')
    with pytest.raises(ModelSpecError, match=r'looked in .*TRT_PERCEPTION_MODELS'):
        model_store.models_dir()


def test_a_folder_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv(model_store.OVERRIDE, str(tmp_path / 'gone'))
    with pytest.raises(ModelSpecError, match=f'{model_store.OVERRIDE} is .*gone.*is no folder'):
        model_store.list_models()
