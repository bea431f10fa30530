"""The official client takes a model from the stand-in hub: every byte must arrive.

    python3 hf_download.py FAKE_HUB FOLDER

FOLDER holds what a model repository would. The stand-in is the hub that our own client is tested
against, so it has to be one that the official client accepts. Exit status 77 without that client.
"""

import argparse
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

REPOSITORY = "org/Model"
NOT_INSTALLED = 77


def files_below(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    by_name = {path.relative_to(folder).as_posix(): path for path in paths}
    return {
        name: path
        for name, path in by_name.items()
        if not any(part.startswith(".") for part in name.split("/"))
    }


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check(what: str, got: object, want: object) -> None:
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def compare_download(served: dict[str, pathlib.Path], revision: str, **where: str) -> None:
    from huggingface_hub import snapshot_download

    taken = pathlib.Path(snapshot_download(REPOSITORY, revision=revision, **where))
    received = files_below(taken)
    check(f"files of {revision} in {taken}", sorted(received), sorted(served))
    for name, path in served.items():
        check(f"sha256 of {name}", digest(received[name]), digest(path))


def compare_listings(served: dict[str, pathlib.Path]) -> str:
    """The commit that main stands for."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        EntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.hf_api import RepoFile

    sizes = {name: path.stat().st_size for name, path in served.items()}
    api = HfApi()
    info = api.model_info(REPOSITORY.lower(), files_metadata=True)
    check("id", info.id, REPOSITORY)
    check("sizes in model_info", {s.rfilename: s.size for s in info.siblings}, sizes)

    tree = [e for e in api.list_repo_tree(REPOSITORY, recursive=True) if isinstance(e, RepoFile)]
    check("sizes in the tree", {entry.path: entry.size for entry in tree}, sizes)
    for entry in tree:
        if entry.lfs is not None:
            check(f"sha256 of {entry.path} in the tree", entry.lfs.sha256, digest(served[entry.path]))

    some = sorted(served)[0]
    check("paths-info", [e.path for e in api.get_paths_info(REPOSITORY, [some, "none"])], [some])
    check("branches", [b.name for b in api.list_repo_refs(REPOSITORY).branches], ["main"])

    # With a token, since the client tells a missing repository by a bare 401 on https only.
    for error, ask in (
        (RepositoryNotFoundError, lambda: api.model_info("org/none", token="hf_any")),
        (RevisionNotFoundError, lambda: api.model_info(REPOSITORY, revision="none")),
        (EntryNotFoundError, lambda: api.hf_hub_download(REPOSITORY, "none.txt")),
    ):
        try:
            ask()
        except error:
            continue
        sys.exit(f"{error.__name__} was not raised")
    return info.sha


def lay_out(folder: pathlib.Path, root: pathlib.Path) -> pathlib.Path:
    """The folder as a repository below root, with names and sizes that are easy to get wrong."""
    model = root / REPOSITORY
    shutil.copytree(folder, model)
    (model / "odd").mkdir(exist_ok=True)
    (model / "odd" / "a b#c?d%e+f-é.txt").write_text("odd name\n", encoding="utf-8")
    (model / "odd" / "empty.txt").write_bytes(b"")
    (model / "odd" / "empty.safetensors").write_bytes(b"")
    (model / "odd" / "large.bin").write_bytes(bytes(i * i % 251 for i in range(3_000_001)))
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fake_hub", help="the program that serves")
    parser.add_argument("folder", type=pathlib.Path, help="the files of a model")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="glm-hf-") as scratch:
        root = pathlib.Path(scratch)
        served = files_below(lay_out(args.folder, root / "hub"))
        hub = subprocess.Popen(
            [args.fake_hub, "--root", str(root / "hub")], stdout=subprocess.PIPE, text=True
        )
        try:
            # The client reads its environment when it is imported.
            for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
                os.environ.pop(name, None)
            os.environ.update(
                HF_ENDPOINT=hub.stdout.readline().strip(),
                HF_HOME=str(root / "home"),
                HF_HUB_DISABLE_XET="1",
                HF_HUB_DISABLE_TELEMETRY="1",
                HF_HUB_DISABLE_PROGRESS_BARS="1",
                NO_PROXY="127.0.0.1,127.0.0.2",
                no_proxy="127.0.0.1,127.0.0.2",
            )
            try:
                import huggingface_hub
            except ImportError:
                print("huggingface_hub is not installed: skipped")
                sys.exit(NOT_INSTALLED)
            commit = compare_listings(served)
            compare_download(served, "main")
            compare_download(served, commit, local_dir=str(root / "local"))
            print(f"huggingface_hub {huggingface_hub.__version__}: {len(served)} files, all equal")
        finally:
            hub.kill()
            hub.wait()


if __name__ == "__main__":
    main()
