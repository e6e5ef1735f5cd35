"""``python -m fastbench``."""

from fastbench.cli import main

if __name__ == "__main__":
    main()
