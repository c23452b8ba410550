#!/bin/sh
# Runs the kernels' tests on the GPU under all four tools of compute-sanitizer.
#
#     benchmarks/sanitize_kernels.sh [FOLDER [SECONDS]]
#
# FOLDER gets one log per tool; a tool that takes longer than SECONDS is ended. The last lines
# printed say what each tool found. The status is 0 if all are clean.
set -u
cd "$(dirname "$0")/.." || exit 2
logs=${1:-out/sanitizer}
limit=${2:-900}
mkdir -p "$logs"
status=0
for tool in memcheck racecheck initcheck synccheck; do
  options='--error-exitcode 1 --print-limit 50'
  # Host code is not looked at: pycuda asks CUDA for what may fail.
  [ "$tool" = memcheck ] && options="$options --leak-check full --report-api-errors no"
  # shellcheck disable=SC2086
  timeout -k 10 "$limit" compute-sanitizer --tool "$tool" $options \
    python -m pytest -q -x -m gpu -p no:cacheprovider -p no:randomly --timeout 0 \
    --deselect test/kernels/test_dense_head.py::test_thirty_thousand_candidates_and_more \
    test/kernels > "$logs/$tool.log" 2>&1
  code=$?
  [ "$code" -ne 0 ] && status=1
  summary=$(grep -E '(ERROR|RACECHECK) SUMMARY|LEAK SUMMARY' "$logs/$tool.log" | tr '\n' ' ')
  tests=$(grep -E '(passed|failed)' "$logs/$tool.log" | tail -1)
  echo "$tool: status $code; ${summary:-no summary}; ${tests:-no tests}"
done
exit $status
