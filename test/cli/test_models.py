def test_an_empty_folder_has_no_models(command, tmp_path):
    (tmp_path / 'none').mkdir()
    done = command('models', TRT_PERCEPTION_MODELS=str(tmp_path / 'none'))
    assert (done.returncode, done.stdout) == (0, f'0 models in {tmp_path / "none"}\n')


def test_models_are_listed_with_task_size_and_classes(command, detector, semantic, tmp_path):
    (tmp_path / 'broken.yaml').write_text('onnx: gone.onnx\n')
    done = command('models', TRT_PERCEPTION_MODELS=str(tmp_path))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f'2 models in {tmp_path}'
    assert lines[2].split() == ['detector', 'detect', '64x48', '2:', 'car,', 'dog']
    assert lines[3].split() == ['semantic', 'semantic', '64x48', '2:', 'road,', 'sky']
    assert lines[4].startswith('cannot be used: broken:')
    assert 'gone.onnx: no such ONNX file' in lines[4]
