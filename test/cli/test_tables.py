from trt_perception.cli.tables import aligned, counted, stage_table
from trt_perception.pipeline.statistics import StageLatency


def test_no_stages_leave_the_heading():
    assert stage_table([]) == 'stage  p50 ms  p99 ms'


def test_figures_stand_under_their_headings():
    table = stage_table([StageLatency('preprocess', 5, 1.25, 123.456)])
    assert table.splitlines()[1] == 'preprocess    1.25  123.46'


def test_cells_are_aligned_and_lines_not_padded():
    assert aligned([('a', 'bb'), ('ccc', 'd')], '<<') == 'a    bb\nccc  d'


def test_causes_are_counted():
    assert counted({}) == '0'
    assert counted({'empty': 1, 'corrupt': 2}) == '3 (corrupt 2, empty 1)'
