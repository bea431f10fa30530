"""Writes the tiny family, one repository per format, into a folder and checks every file against its committed hash.

What is there already and right stays. The tests that read the family need this one first. Needs numpy.
"""

import json
import sys
from pathlib import Path

try:
    import numpy  # noqa: F401
except ImportError:
    print("skipped: numpy is not installed")
    sys.exit(77)

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts/train_tiny"))

import quantize  # noqa: E402
from repository import sha256_of  # noqa: E402


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in folder.iterdir()} if folder.is_dir() else {}


def wanted() -> dict[str, dict[str, str]]:
    """ct-int4 is committed as a repository of its own, the others as hashes alone."""
    committed = json.loads((ROOT / "tests/golden/tiny/format_hashes.json").read_text())
    int4 = hashes(ROOT / "models/glm-tiny-int4")
    return committed | {"ct-int4": {name: digest for name, digest in int4.items() if name not in ("README.md", "SHA256SUMS")}}


def main() -> int:
    folder = Path(sys.argv[1])
    expected = wanted()
    wrong = sorted(set(expected) ^ set(quantize.FORMATS))
    for form in sorted(set(expected) & set(quantize.FORMATS)):
        if not expected[form].items() <= hashes(folder / form).items():
            quantize.write_quantized(ROOT / "models/glm-tiny", folder / form, form)
        got = hashes(folder / form)
        wrong += [f"{form}/{name}" for name in expected[form] if got.get(name) != expected[form][name]]
    for name in wrong:
        print(f"{name}: differs from what is committed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
