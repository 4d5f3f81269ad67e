"""Run the command line with ``python -m napari_surgisam``."""

from napari_surgisam.cli import main

if __name__ == "__main__":
    main()
