"""Reads and writes safetensors repositories with numpy alone, byte for byte the same every time.

A tensor is (dtype name of the file format, array of its raw element bits): BF16 and F8_E4M3 have no numpy type.
Run with folders as arguments, it rewrites their SHA256SUMS.
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SHARD_BYTES = 8 << 20
STORAGE = {"BF16": np.uint16, "F16": np.float16, "F32": np.float32, "F8_E4M3": np.uint8, "U8": np.uint8, "I8": np.int8,
           "I32": np.int32, "I64": np.int64}


@dataclass
class Tensor:
    dtype: str
    data: np.ndarray  # of STORAGE[dtype]

    @property
    def nbytes(self) -> int:
        return self.data.nbytes


def bf16_from_float(values: np.ndarray) -> np.ndarray:
    """Rounds float32 to the nearest BF16 (ties to even) and returns its bits."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def float_from_bf16(bits: np.ndarray) -> np.ndarray:
    return (bits.astype(np.uint32) << 16).view(np.float32)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the repository, in the order of their names."""
    out: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        raw = path.read_bytes()
        (size,) = struct.unpack("<Q", raw[:8])
        for name, entry in json.loads(raw[8:8 + size]).items():
            if name == "__metadata__":
                continue
            begin, end = (8 + size + offset for offset in entry["data_offsets"])
            data = np.frombuffer(raw[begin:end], dtype=STORAGE[entry["dtype"]]).reshape(entry["shape"])
            out[name] = Tensor(entry["dtype"], data)
    return dict(sorted(out.items()))


def write_shard(path: Path, tensors: dict[str, Tensor]) -> None:
    # Widest elements first, so that every tensor is aligned to its element; names break ties.
    order = sorted(tensors, key=lambda name: (-tensors[name].data.itemsize, name))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in order:
        tensor = tensors[name]
        header[name] = {"dtype": tensor.dtype, "shape": list(tensor.data.shape),
                        "data_offsets": [offset, offset + tensor.nbytes]}
        offset += tensor.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(np.ascontiguousarray(tensors[name].data).tobytes())


def write_tensors(folder: Path, tensors: dict[str, Tensor]) -> None:
    """Writes numbered shards in name order, each file at most SHARD_BYTES, and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.safetensors*"):
        stale.unlink()
    shards: list[dict[str, Tensor]] = [{}]
    used = 0
    for name, tensor in sorted(tensors.items()):
        cost = tensor.nbytes + len(name) + 120  # its share of the header, generously
        if used and used + cost > SHARD_BYTES - 64:
            shards.append({})
            used = 0
        shards[-1][name] = tensor
        used += cost
    names = [f"model-{n:05d}-of-{len(shards):05d}.safetensors" for n in range(1, len(shards) + 1)]
    if len(shards) == 1:
        names = ["model.safetensors"]
    for name, shard in zip(names, shards):
        write_shard(folder / name, shard)
    if len(shards) > 1:
        index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
                 "weight_map": {tensor: name for name, shard in zip(names, shards) for tensor in sorted(shard)}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_sums(folder: Path) -> None:
    files = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    lines = [f"{sha256_of(folder / name)}  {name}\n" for name in files if name != "SHA256SUMS"]
    (folder / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        write_sums(Path(argument))
