"""The cases of speed.py that need torch and numpy alone, on a GPU: for a machine that has nothing else.

PYTHONPATH=. python benchmarks/gpu.py --json gpu.json
"""

import sys

from speed import main
from speed_cases import CASES

SIZES = ("48,64,48", "80,96,112", "160,192,224")

if __name__ == "__main__":
    main(["--only", *CASES, "--device", "cuda", "--sizes", *SIZES, "--repeat", "20", *sys.argv[1:]])
