"""A bundle runs where it is put, with nothing of this machine but what every Debian and Ubuntu has.

It is made of the build under test, so its size says something of what a release will have only where that
is one: the script itself refuses a bundle that is too large.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import SOURCE, Glm, Hub, main

# glibc, the C++ runtime, OpenSSL, and what apt, dpkg and bash are made of.
OF_THE_SYSTEM = re.compile(
    r"lib(c|m|dl|rt|pthread|resolv|stdc\+\+|gcc_s|z|zstd|md|tinfo|crypto|ssl|gnutls|hogweed|nettle|gmp|p11-kit|tasn1|ffi)\.so\.\d+"
    r"|ld-linux-x86-64\.so\.2|ld-linux-aarch64\.so\.1"
)


def check_libraries(folder: Path) -> None:
    """Every library comes from the folder or belongs to the system; nothing is missing."""
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    listing = subprocess.run(
        ["ldd", folder / "bin" / "glm"], check=True, capture_output=True, text=True, env=environment
    ).stdout
    for line in listing.splitlines():
        if "=>" not in line:
            continue
        name, _, found = (part.strip() for part in line.partition("=>"))
        if OF_THE_SYSTEM.fullmatch(name):
            continue
        assert found.startswith(str(folder) + "/"), f"{name} is not of the bundle: {line.strip()}"


def test(glm: Glm, hub: Hub) -> None:
    del hub
    build, built = Path(sys.argv[3]), glm.program
    with tempfile.TemporaryDirectory() as scratch:
        first, moved = Path(scratch) / "bundle", Path(scratch) / "moved elsewhere"
        made = subprocess.run(
            [SOURCE / "scripts" / "bundle.sh", first, build], check=False, capture_output=True, text=True
        )
        assert made.returncode == 0, made.stdout + made.stderr
        first.rename(moved)
        check_libraries(moved)
        shipped = {file.name for file in (moved / "lib").iterdir()}
        assert not any(OF_THE_SYSTEM.fullmatch(name) for name in shipped), shipped
        assert (moved / "notices" / "libsqlite3-0").read_text(), "a notice is empty"
        glm.program = str(moved / "bin" / "glm")
        assert glm.ok("run", "tiny", "What is 17 + 25?") == "42\n"
        glm.ok("rm", "tiny")
        glm.ok("bench", "--synthetic", "tiny", "--device", "cpu", "--pp", "8", "--tg", "2", "--batch", "1")
        glm.ok("stop", "--all")
        glm.program = built


if __name__ == "__main__":
    main(test)
