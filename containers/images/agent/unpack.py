"""python3 unpack.py WHEELS TARGET: wheels are archives of what belongs into site-packages. Compiles them, too."""

import compileall
import sys
from pathlib import Path
from zipfile import ZipFile

wheels, target = map(Path, sys.argv[1:])
for wheel in sorted(wheels.glob("*.whl")):
    with ZipFile(wheel) as archive:
        if strange := [name for name in archive.namelist() if ".data/" in name.partition("/")[0] + "/"]:
            sys.exit(f"{wheel.name} has files for elsewhere: {strange[0]}")
        archive.extractall(target)
# Some packages bring files for newer Pythons, which do not compile: nobody imports them here.
compileall.compile_dir(target, quiet=2, workers=0)
