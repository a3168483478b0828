"""``python hyper_main.py …`` is ``trialist sweep …``: one config file, many runs."""

import sys

from trialist.cli import main

if __name__ == "__main__":
    main(["sweep", *sys.argv[1:]])
