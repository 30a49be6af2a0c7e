"""What stands in for Python in tests of sweeps: stages that take no time, by their contents.

It takes each stage's own artifacts.py: what is linked into a variant is checked as a
script would check it. What a stage makes depends on its script and on what it reads.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    """Do as the script that is named would."""
    sys.argv = sys.argv[1:]
    sys.path.insert(0, os.getcwd())
    import artifacts  # type: ignore[import-not-found]

    stage, slug = artifacts.STAGE, artifacts.FOLDER.name
    told = Path(os.environ["STAND_IN"])
    with told.open("a") as file:
        file.write(f"{slug} {stage}\n")
    if f"{slug} {stage}" == os.environ.get("FAILS"):
        sys.exit(f"{stage}.py: no luck")
    if f"{slug} {stage}" == os.environ.get("KILLS"):
        kill()
    last = len(told.read_text().splitlines()) == int(os.environ.get("KILLED_AT", "-1"))
    when = os.environ["KILLED"] if last else ""
    if when == "alone":
        os.kill(os.getppid(), signal.SIGKILL)
    if when == "before":
        kill()
    time.sleep(float(os.environ.get("SLEEPS", "0")))
    drawing = ["training.py"] if stage in ("train", "recover") else []
    code = [Path(name).read_bytes() for name in (f"{stage}.py", *drawing)]
    made = hashlib.sha256(b"".join(code))
    for name in read(artifacts, stage):
        made.update(artifacts.require(name).read_bytes())
    for name in written(artifacts, stage):
        with artifacts.writing(name) as place:
            write(place, made.hexdigest(), name)
    artifacts.finish(1000)
    if when == "after":
        kill()
    (artifacts.ARTIFACTS / f"{stage}.py.ended").touch()


def read(artifacts, stage: str) -> list[str]:  # type: ignore[no-untyped-def]
    """Name what a stage reads of what others have made."""
    made = [*artifacts.read_table("files.json")]
    model = "recovered" if any(n.startswith("recovered/") for n in made) else "dense"
    reads: dict[str, tuple[str, ...]] = {
        "data": (),
        "train": ("data/train.npy", "data/val.npy"),
        "prune": ("data/train.npy", "dense/"),
        "recover": ("data/train.npy", "data/val.npy", "sparse/"),
        "export": (f"{model}/",),
        "evaluate": ("data/test.npy", "dense/", "sparse/", "recovered/", "onnx/"),
    }
    return sorted(name for name in made if name.startswith(reads[stage]))


def written(artifacts, stage: str) -> list[str]:  # type: ignore[no-untyped-def]
    """Name what a stage writes."""
    return [name for name, maker in artifacts.MADE_BY.items() if maker == f"{stage}.py"]


def write(place: Path, content: str, name: str) -> None:
    """Write a file, or a folder with files."""
    if name == "report.json":
        perplexity = {"test": 10 + int(content[:4], 16) / 2**16}
        model = {"perplexity": perplexity, "bytes": 7, "peak_bytes": 9}
        report = {"models": {"dense": model, "exported": model}, "tokens": {"test": 3}}
        place.write_text(json.dumps(report))
    elif "." in name:
        place.write_text(content)
    else:
        place.mkdir()
        texts = ("train", "val", "test", "out_of_sample")
        names = [f"{text}.npy" for text in texts] if name == "data" else ["model"]
        for each in names:
            (place / each).write_text(content * 100)


def kill() -> None:
    """Take leangen along."""
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
