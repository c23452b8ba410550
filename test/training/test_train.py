"""Batches agree with their labels; a training can stop, go on and be repeated."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='needs PyTorch: training/README.md')

from training.train import Scenes, mirrored, tinted  # noqa: E402

CPU = torch.device('cpu')


def train(from_root, data, out, *arguments, task='detect', check=0):
    done = from_root(
        'training.train', task, '--data', data, '--out', out, '--batch', 1, '--device', 'cpu',
        *arguments,
    )  # fmt: skip
    assert done.returncode == check, done.stderr
    return done


def checkpoint(folder):
    return torch.load(folder / 'checkpoint.pt', weights_only=True)


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_mirrored_labels_without_objects():
    labels = {'boxes': torch.zeros(1, 0, 4), 'classes': torch.zeros(1, 0)}
    assert mirrored(labels, 640)['boxes'].shape == (1, 0, 4)


def test_mirrored_labels_are_those_of_the_mirrored_image():
    """Boxes are found again as the bounds of the mirrored pixels."""
    width, height = 96, 64
    boxes = torch.tensor([[[4.0, 8.0, 20.0, 24.0], [50.0, 0.0, 96.0, 40.0]]])
    ids = torch.zeros(1, height, width, dtype=torch.uint8)
    for index, (x1, y1, x2, y2) in enumerate(boxes[0].int().tolist()):
        ids[0, y1:y2, x1:x2] = index + 1
    labels = {'boxes': boxes, 'semantic': ids, 'instances': ids[:, 2::4, 2::4]}
    before = {name: value.clone() for name, value in labels.items()}
    turned = mirrored(labels, width)
    for index, box in enumerate(turned['boxes'][0].int().tolist()):
        rows, columns = torch.nonzero(ids[0].flip(1) == index + 1, as_tuple=True)
        bounds = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert box == [int(bound) for bound in bounds]
    assert torch.equal(turned['semantic'], ids.flip(2))
    assert torch.equal(turned['instances'], labels['instances'].flip(2))
    again = mirrored(turned, width)
    for name, value in before.items():
        assert torch.equal(labels[name], value), 'the labels given are left alone'
        assert torch.equal(again[name], value)


def test_tint_keeps_the_range():
    images = torch.rand(3, 3, 8, 8)
    changed = tinted(images, torch.Generator().manual_seed(1))
    assert changed.shape == images.shape
    assert not torch.equal(changed, images)
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_batches_hold_images_with_their_own_labels(data):
    """The picture of a batch, brightness apart, is one of the folder, mirrored or not."""
    scenes = Scenes(data, 'instance', CPU, seed=3)
    images = np.load(data / 'images.npy')
    boxes = torch.from_numpy(np.load(data / 'boxes.npy'))
    instances = torch.from_numpy(np.load(data / 'instances.npy'))
    flips = set()
    for _ in range(6):
        batch = scenes.batch(2)
        for image, box, ids in zip(
            batch['images'], batch['boxes'], batch['instances'], strict=True
        ):
            grey = image.mean(0).numpy().ravel()
            likeness = {
                (index, turned): np.corrcoef(
                    (candidate[:, ::-1] if turned else candidate).mean(2).ravel(), grey
                )[0, 1]
                for index, candidate in enumerate(images)
                for turned in (False, True)
            }
            (index, turned), value = max(likeness.items(), key=lambda item: item[1])
            assert value > 0.95
            flips.add(turned)
            wanted = {'boxes': boxes[index][None], 'instances': instances[index][None]}
            wanted = mirrored(wanted, 640) if turned else wanted
            assert torch.equal(box, wanted['boxes'][0])
            assert torch.equal(ids, wanted['instances'][0])
    assert flips == {False, True}


def test_images_are_rgb(data, monkeypatch):
    monkeypatch.setattr('training.train.tinted', lambda images, random: images)
    scenes = Scenes(data, 'semantic', CPU, seed=1)
    stored = np.load(data / 'images.npy').astype(np.float32) / 255
    image = scenes.batch(1)['images'][0].permute(1, 2, 0).numpy()
    rivals = [rgb for bgr in stored for rgb in (bgr[..., ::-1], bgr[:, ::-1, ::-1])]
    assert any(np.allclose(image, rival, atol=1e-6) for rival in rivals)


@pytest.fixture(scope='module')
def two_steps(data, tmp_path_factory, from_root):
    folder = tmp_path_factory.mktemp('two')
    train(from_root, data, folder, '--steps', 2)
    return folder


def test_a_training_goes_on_where_it_stopped(two_steps, data, tmp_path, from_root):
    before = checkpoint(two_steps)
    assert before['step'] == 2
    assert before['seconds'] > 0
    assert before['seed'] == 1
    (tmp_path / 'checkpoint.pt').write_bytes((two_steps / 'checkpoint.pt').read_bytes())
    train(from_root, data, tmp_path, '--steps', 3, '--resume')
    after = checkpoint(tmp_path)
    assert after['step'] == 3
    assert after['seconds'] > before['seconds']
    moments = [state['optimiser']['state'][0]['step'].item() for state in (before, after)]
    assert moments == [2, 3]
    assert not same(before['model'], after['model'])


def test_a_training_that_is_over_stays_as_it_is(two_steps, data, tmp_path, from_root):
    (tmp_path / 'checkpoint.pt').write_bytes((two_steps / 'checkpoint.pt').read_bytes())
    train(from_root, data, tmp_path, '--steps', 2, '--resume')
    assert checkpoint(tmp_path)['step'] == 2
    assert same(checkpoint(tmp_path)['model'], checkpoint(two_steps)['model'])


def test_steps_and_seed_repeat_a_training_on_one_machine(two_steps, data, tmp_path, from_root):
    train(from_root, data, tmp_path, '--steps', 2)
    assert same(checkpoint(tmp_path)['average'], checkpoint(two_steps)['average'])


def test_a_finished_training_is_not_overwritten(two_steps, data, from_root):
    done = train(from_root, data, two_steps, '--steps', 1, check=1)
    assert '--resume' in done.stderr
    assert checkpoint(two_steps)['step'] == 2


def test_the_checkpoint_of_another_task_is_refused(two_steps, data, from_root):
    done = train(from_root, data, two_steps, '--resume', task='semantic', check=1)
    assert 'trains detect, not semantic' in done.stderr


def test_a_run_stops_early_and_the_training_goes_on(data, tmp_path, from_root):
    train(from_root, data, tmp_path, '--steps', 50, '--stop-after', 0.001)
    first = checkpoint(tmp_path)
    assert 1 <= first['step'] < 50
    train(from_root, data, tmp_path, '--steps', 50, '--stop-after', 0.001, '--resume')
    assert first['step'] < checkpoint(tmp_path)['step'] < 50


def test_minutes_end_a_training_and_it_logs(data, tmp_path, from_root):
    done = train(from_root, data, tmp_path, '--minutes', 0.01, task='semantic')
    state = checkpoint(tmp_path)
    assert state['seconds'] >= 0.6
    assert state['task'] == 'semantic'
    assert f'{state["step"]} steps' in done.stdout
    rows = (tmp_path / 'log.jsonl').read_text().splitlines()
    assert [json.loads(row)['step'] for row in rows] == list(range(100, state['step'] + 1, 100))
