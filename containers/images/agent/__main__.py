"""`python3 -u <this folder>`: one run of the agent over stdin and stdout."""

import sys
from importlib import import_module
from pathlib import Path

sys.dont_write_bytecode = True  # the root file system of the container is read-only
FOLDER = Path(__file__).resolve().parent
sys.path[0] = str(FOLDER.parent)  # Python put this folder there, but this folder is a package

if __name__ == "__main__":
    import_module(f"{FOLDER.name}.session").main()
