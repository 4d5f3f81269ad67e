"""The napari side: the only package that imports napari or Qt."""
