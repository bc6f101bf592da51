"""`python -m oc_trio` is the `oc-trio` command."""

from oc_trio.cli.main import main

if __name__ == "__main__":
    main()
