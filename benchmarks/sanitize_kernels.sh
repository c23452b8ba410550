#!/bin/sh
# Runs the kernels' tests on the GPU under all four tools of compute-sanitizer.
#
#     benchmarks/sanitize_kernels.sh [FOLDER [SECONDS [TOOLS [PYTEST ARGUMENT...]]]]
#
# FOLDER gets one log per tool; a tool that takes longer than SECONDS is ended. The last lines
# printed say what each tool found. The status is 0 if all are clean. TOOLS names those to run,
# in one word with spaces. Arguments for pytest choose among the tests, such as -k 'not 8k'.
set -u
cd "$(dirname "$0")/.." || exit 2
logs=${1:-out/sanitizer}
limit=${2:-900}
tools=${3:-memcheck racecheck initcheck synccheck}
[ $# -gt 3 ] && shift 3 || shift $#
mkdir -p "$logs"
status=0
for tool in $tools; do
  options='--error-exitcode 1 --print-limit 50'
  case $tool in
    # Asking CUDA for what may fail is no fault.
    memcheck) options="$options --report-api-errors no" ;;
    # A result is copied back whole, rows that were not written included.
    initcheck) options="$options --check-api-memory-access no" ;;
  esac
  # shellcheck disable=SC2086
  timeout -k 10 "$limit" compute-sanitizer --tool "$tool" $options \
    python -m pytest -q -x -m gpu -p no:cacheprovider -p no:randomly --timeout 0 \
    --deselect test/kernels/test_dense_head.py::test_thirty_thousand_candidates_and_more \
    test/kernels "$@" > "$logs/$tool.log" 2>&1
  code=$?
  # A run that skipped every test says nothing.
  grep -q '[0-9] passed' "$logs/$tool.log" || code=${code#0}
  [ "$code" = 0 ] || status=1
  summary=$(grep -E '(ERROR|RACECHECK) SUMMARY|LEAK SUMMARY' "$logs/$tool.log" | tr '\n' ' ')
  tests=$(grep -E '(passed|failed)' "$logs/$tool.log" | tail -1)
  echo "$tool: status ${code:-no test ran}; ${summary:-no summary}; ${tests:-no tests}"
done
exit $status
