"""The program finds its catalog and the tiny model in an installation and where that is moved to."""

import subprocess
import sys
import tempfile
from pathlib import Path

from harness import Glm, Hub, main


def test(glm: Glm, hub: Hub) -> None:
    del hub
    build, built = Path(sys.argv[3]), glm.program
    with tempfile.TemporaryDirectory() as folder:
        first, moved = Path(folder) / "installed", Path(folder) / "moved elsewhere"
        subprocess.run(["cmake", "--install", build, "--prefix", first], check=True, stdout=subprocess.DEVNULL)
        for place in (first, moved):
            if place == moved:
                glm.ok("stop", "--all")
                first.rename(moved)
            glm.program = str(place / "bin" / "glm")
            assert glm.ok("run", "tiny", "What is 17 + 25?") == "42\n", place
            assert glm.ok("run", "tiny:int4", "What is 12 + 30?") == "42\n", place
            glm.ok("rm", "tiny", "tiny:int4")
            layouts = glm.run("bench", "--synthetic", "org/unknown").stderr
            assert "cyankiwi/GLM-4.7-Flash-AWQ-4bit" in layouts, (place, layouts)
            glm.ok("bench", "--synthetic", "tiny", "--device", "cpu", "--pp", "8", "--tg", "2", "--batch", "1")
        glm.ok("stop", "--all")
        glm.program = built


if __name__ == "__main__":
    main(test)
