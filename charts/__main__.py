"""`python -m charts FOLDER`."""

import shutil
import sys
from pathlib import Path

from charts.errors import ChartError
from charts.generate import chart_files, write_chart
from releases.version import ReleaseError
from tenancy.platform.errors import PlatformError


def main() -> int:
    """Writes the chart, and says where it is."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - program and folder
        sys.stderr.write(f"{__doc__}\n")
        return 2
    beside = Path(sys.executable).with_name("kubectl")
    kubectl = str(beside) if beside.exists() else shutil.which("kubectl") or "kubectl"
    try:
        written = write_chart(chart_files(Path(__file__).resolve().parents[1], kubectl), Path(sys.argv[1]))
    except (ChartError, PlatformError, ReleaseError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return 0


if __name__ == "__main__":
    sys.exit(main())
