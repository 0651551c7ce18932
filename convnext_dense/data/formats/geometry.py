"""Outlines: cut to the picture, turned with it, and made from other shapes."""

from __future__ import annotations

import numpy as np

Box = tuple[float, float, float, float]
# A circle as a polygon: with 64 points it lies within 0.0012 radii of the circle.
CIRCLE_POINTS = 64


def extent(polygons: tuple[np.ndarray, ...]) -> Box:
    """Return x1, y1, x2, y2 around all points of (N, 2) polygons."""
    points = polygons[0] if len(polygons) == 1 else np.concatenate(polygons)
    (x1, y1), (x2, y2) = points.min(0).tolist(), points.max(0).tolist()
    return x1, y1, x2, y2


def area(polygon: np.ndarray) -> float:
    """Return the area of an (N, 2) polygon in square pixels."""
    # Counted from its first corner, all digits are kept, and the last side adds nothing.
    x, y = (polygon - polygon[0]).T
    return abs(float(x[:-1] @ y[1:] - y[:-1] @ x[1:])) / 2


def box_polygon(box: Box) -> np.ndarray:
    """Return the (4, 2) corners of a box."""
    x1, y1, x2, y2 = box
    return np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], np.float64)


def ellipse_polygon(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """Return the (64, 2) points of an ellipse, first the rightmost one."""
    angles = np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], 1)


def rotated(points: np.ndarray, degrees: float, centre: tuple[float, float]) -> np.ndarray:
    """Rotate (N, 2) points clockwise, as seen in a picture whose y points down."""
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return (points - centre) @ np.array([[cos, sin], [-sin, cos]]) + centre


def cut(polygon: np.ndarray, width: float, height: float) -> np.ndarray:
    """Return the part of an (N, 2) polygon that lies in 0, 0, width, height.

    Source: Sutherland and Hodgman, Reentrant Polygon Clipping, 1974.

    Returns:
        (M, 2); M may be 0. Parts of a concave polygon stay connected along the edge.
    """
    for axis, sign, bound in ((0, 1, 0.0), (0, -1, -width), (1, 1, 0.0), (1, -1, -height)):
        if not len(polygon):
            break
        inside = sign * polygon[:, axis] - bound  # of each point, 0 or more if it is kept
        after, next_inside = np.roll(polygon, -1, 0), np.roll(inside, -1)
        kept = []
        for point, to, a, b in zip(polygon, after, inside, next_inside, strict=True):
            if a >= 0:
                kept.append(point)
            if (a >= 0) != (b >= 0):
                crossing = point + (to - point) * (a / (a - b))
                crossing[axis] = sign * bound
                kept.append(crossing)
        polygon = np.array(kept).reshape(-1, 2)
    return polygon


def turned(points: np.ndarray, orientation: int, stored: tuple[int, int]) -> np.ndarray:
    """Return (N, 2) points of a picture as stored, as they are in the picture as it is shown.

    Args:
        points: x, y in the stored picture.
        orientation: EXIF's, from 1 to 8.
        stored: (width, height) of the stored picture.
    """
    x, y = points.T
    width, height = stored
    right, low = width - x, height - y
    at = {  # the picture's upper left corner goes where EXIF says
        1: (x, y),
        2: (right, y),
        3: (right, low),
        4: (x, low),
        5: (y, x),
        6: (low, x),
        7: (low, right),
        8: (y, right),
    }
    return np.stack(at[orientation], 1)


def turned_mask(mask: np.ndarray, orientation: int) -> np.ndarray:
    """Return an (H, W) mask of a picture as stored, as it is in the picture as it is shown."""
    if orientation >= 5:
        mask = mask.T
    flips = {2: (1,), 3: (0, 1), 4: (0,), 6: (1,), 7: (0, 1), 8: (0,)}
    return np.flip(mask, flips.get(orientation, ()))
