from collections.abc import Callable
from pathlib import Path

import pytest
from formats.movies import RECIPES


@pytest.fixture(scope="session")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the path of a movie by its recipe's name, encoded once a run."""
    folder = tmp_path_factory.mktemp("movies")

    def movie(name: str) -> Path:
        path = folder / f"{name}{RECIPES[name].ending}"
        return path if path.exists() else RECIPES[name].write(path)

    return movie
