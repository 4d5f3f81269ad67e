"""A box that moves: a Kalman filter with constant velocity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_surgisam.data.prompts import Box

_POSITION, _VELOCITY = 1 / 20, 1 / 160  # standard deviations, in heights of the box
_ASPECT, _ASPECT_VELOCITY, _ASPECT_MEASURED = 1e-2, 1e-5, 1e-1
_MOTION = np.eye(8) + np.eye(8, k=4)


@dataclass(frozen=True, slots=True, eq=False)
class BoxMotion:
    """What is believed of a box: centre (y, x), aspect w / h and height, and their velocities.

    Parameters
    ----------
    mean : (8,) float array
        The four, then their change per frame.
    covariance : (8, 8) float array

    References
    ----------
    The filter of Wojke et al., Simple Online and Realtime Tracking with a Deep Association
    Metric, arXiv:1703.07402, with its weights, which SAMURAI uses.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def starting_at(cls, box: Box) -> BoxMotion:
        """Return a box that was seen once, and may move anywhere."""
        mean = np.concatenate([_measured(box), np.zeros(4)])
        position, velocity = 2 * _POSITION * mean[3], 10 * _VELOCITY * mean[3]
        return cls(mean, _diagonal(position, _ASPECT, velocity, _ASPECT_VELOCITY))

    def predicted(self) -> BoxMotion:
        """Return what is expected one frame later."""
        position, velocity = _POSITION * self.mean[3], _VELOCITY * self.mean[3]
        noise = _diagonal(position, _ASPECT, velocity, _ASPECT_VELOCITY)
        return BoxMotion(_MOTION @ self.mean, _MOTION @ self.covariance @ _MOTION.T + noise)

    def updated(self, box: Box) -> BoxMotion:
        """Return what is believed once the box was seen on the frame that was predicted."""
        spread = _POSITION * self.mean[3]
        noise = np.diag(np.square([spread, spread, _ASPECT_MEASURED, spread]))
        innovation = self.covariance[:4, :4] + noise
        gain = np.linalg.solve(innovation, self.covariance[:4]).T
        mean = self.mean + gain @ (_measured(box) - self.mean[:4])
        return BoxMotion(mean, self.covariance - gain @ innovation @ gain.T)

    @property
    def box(self) -> Box:
        """The box that is believed in."""
        y, x, aspect, height = (float(value) for value in self.mean[:4])
        down, across = height / 2, aspect * height / 2
        return Box(y - down, x - across, y + down, x + across)


def _measured(box: Box) -> NDArray[np.float64]:
    height, width = box.y1 - box.y0, box.x1 - box.x0
    return np.array([(box.y0 + box.y1) / 2, (box.x0 + box.x1) / 2, width / height, height])


def _diagonal(
    position: float, aspect: float, velocity: float, aspect_velocity: float
) -> NDArray[np.float64]:
    deviations = (position, position, aspect, position, velocity, velocity, aspect_velocity)
    return np.diag(np.square([*deviations, velocity]))
