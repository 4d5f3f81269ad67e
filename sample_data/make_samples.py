"""Make the sample clip and the sample volume, with their truth and their prompts.

Run ``python sample_data/make_samples.py`` in the repository's root, in an environment that
has ``napari-surgisam[all]``; README.md beside this file tells what comes out and from where.
"""

from pathlib import Path

from phantom import write_volume
from puppets import write_clip

if __name__ == "__main__":
    folder = Path(__file__).parent
    write_clip(folder)
    write_volume(folder)
