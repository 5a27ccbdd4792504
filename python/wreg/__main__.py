"""The command wreg: the binary of this package takes the place of Python."""
import os
import sys

from . import BINARY


def main() -> None:
    argv = [BINARY, *sys.argv[1:]]
    if os.name != "nt":
        os.execv(BINARY, argv)
    import subprocess
    process = subprocess.Popen(argv)
    while True:
        try:
            sys.exit(process.wait())
        except KeyboardInterrupt:  # wreg got it, too, and says what becomes of it
            pass


if __name__ == "__main__":
    main()
