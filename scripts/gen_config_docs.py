"""Write docs/configuration.md from the declarations in oc_trio/config. `--check` only says whether it is up to date."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from oc_trio.config.reference import reference  # noqa: E402

PAGE = ROOT / "docs" / "configuration.md"


def main() -> int:
    text = reference()
    if "--check" in sys.argv[1:]:
        fresh = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text
        print(
            "docs/configuration.md is up to date" if fresh else "docs/configuration.md is stale; run me without --check"
        )
        return 0 if fresh else 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
