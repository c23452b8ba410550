"""`python -m trt_perception.cli`, where the command is not installed."""

import sys

from trt_perception.cli.main import main

if __name__ == '__main__':
    sys.exit(main())
