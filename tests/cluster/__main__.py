"""`python -m tests.cluster build|up|shell|check`; the Makefile's targets call it."""

from __future__ import annotations

import sys

from tests.cluster.recipes.everything import make_everything


def main() -> int:
    verb = sys.argv[1] if len(sys.argv) > 1 else ""
    if verb == "build":
        make_everything()
        return 0
    sys.stderr.write(f"{__doc__}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
