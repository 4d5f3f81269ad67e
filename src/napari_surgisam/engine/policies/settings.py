"""Checks of what a person sets, in the words of the setting's name."""

from __future__ import annotations

from napari_surgisam.errors import ModelError


def check_range(
    policy: str, setting: str, value: float, least: float, most: float = float("inf")
) -> None:
    """Check that a setting of a policy lies in a range; both ends belong to it.

    Raises
    ------
    ModelError
        If it does not, or is no number.
    """
    if not least <= value <= most:
        limits = f"{least:g} or more" if most == float("inf") else f"from {least:g} to {most:g}"
        raise ModelError(
            f"The memory policy {policy} cannot use {setting}={value:g}: it must be {limits}."
        )


def check_choice(policy: str, setting: str, value: object, choices: tuple[object, ...]) -> None:
    """Check that a setting of a policy is one of its choices.

    Raises
    ------
    ModelError
        If it is not.
    """
    if value not in choices:
        raise ModelError(
            f"The memory policy {policy} knows no {setting}={value}: choose "
            f"{' or '.join(map(str, choices))}."
        )
