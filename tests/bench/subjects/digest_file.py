"""`python digest_file.py FILE ALGORITHM...`: the function's pipeline over a file; prints the digests in a line."""

import sys
from pathlib import Path

from checksums_function.algorithms import select_algorithms
from checksums_function.pipeline import Pipeline, Stop


def main(path: Path, names: list[str]) -> None:
    size = path.stat().st_size
    with (
        path.open("rb", buffering=0) as file,
        Pipeline(select_algorithms(names), size=size, stop=Stop()) as pipeline,
    ):
        while True:
            buffer = pipeline.ring.acquire()
            count = file.readinto(buffer.view)
            pipeline.submit(buffer, count)
            if not count:
                break
        digests = pipeline.finish()
    print(*(digests[name] for name in names))


main(Path(sys.argv[1]), sys.argv[2:])
