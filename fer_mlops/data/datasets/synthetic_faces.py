"""Synthetic faces: an identity, the facial action units of an emotion, and random photo conditions.

Action units (AU) per emotion follow the EMFACS prototypes of Ekman and Friesen's Facial Action Coding
System: happiness 6+12, sadness 1+4+15, surprise 1+2+5+26, fear 1+2+4+5+20, anger 4+5+7+23,
disgust 9+10+15. Intensities vary and a unit may be absent, so the classes overlap.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

ACTION_UNITS: dict[str, tuple[int, ...]] = {
    "anger": (4, 5, 7, 23),
    "disgust": (9, 10, 15),
    "fear": (1, 2, 4, 5, 20),
    "happiness": (6, 12),
    "neutral": (),
    "sadness": (1, 4, 15),
    "surprise": (1, 2, 5, 26),
}
FEATURES: dict[str, frozenset[int]] = {
    "brow": frozenset({1, 2, 4, 9}),
    "eye": frozenset({5, 6, 7, 9}),
    "nose": frozenset({9}),
    "mouth": frozenset({10, 12, 15, 20, 23, 26}),
}
"""Action units that change each feature; the cheek fold below an eye belongs to the eye."""
_OVERSAMPLING = 3  # drawn larger and scaled down, as Pillow draws without antialiasing
_MARGIN = 0.04  # margin around a feature's strokes, in image shares: half the stroke width plus blur
Colour = tuple[int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Region:
    """Region in which one feature of a drawn face shows its emotion."""

    feature: str
    """Feature, such as ``mouth`` or ``left eye``, from the viewer's side."""
    corners: tuple[Point, ...]
    """Corners of a rectangle turned with the head, clockwise; x and y from 0 at the top left to 1."""


@dataclass(frozen=True)
class Drawing:
    """Drawn face with the regions of its emotion."""

    image: Image.Image
    """RGB, square."""
    regions: tuple[Region, ...]
    """Regions of the features that an action unit changed, covering them at rest and as drawn; none
    for a neutral face."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Constant appearance of one person; lengths are image shares."""

    width: float
    height: float
    skin: Colour
    hair: Colour
    hair_line: float
    eye_gap: float
    eye_size: float
    brow_thickness: float
    mouth_width: float
    nose_length: float
    has_glasses: bool
    has_beard: bool
    frown: float
    """Resting brow and mouth, -1 to 1: some people look sad or glad at rest."""

    @staticmethod
    def random(generator: Generator) -> Person:
        """Returns a person drawn from ``generator``."""
        tone = generator.uniform(0.25, 1.0)
        shade = generator.uniform(0.05, 0.8)
        return Person(
            width=generator.uniform(0.29, 0.38),
            height=generator.uniform(0.38, 0.46),
            skin=(int(60 + 190 * tone), int(40 + 165 * tone), int(30 + 140 * tone)),
            hair=(int(190 * shade), int(150 * shade), int(110 * shade)),
            hair_line=generator.uniform(0.16, 0.28),
            eye_gap=generator.uniform(0.13, 0.17),
            eye_size=generator.uniform(0.045, 0.065),
            brow_thickness=generator.uniform(0.012, 0.03),
            mouth_width=generator.uniform(0.11, 0.16),
            nose_length=generator.uniform(0.10, 0.15),
            has_glasses=bool(generator.random() < 0.25),
            has_beard=bool(generator.random() < 0.2),
            frown=generator.uniform(-1, 1),
        )


def draw_face(person: Person, emotion: str, generator: Generator, side: int) -> Drawing:
    """Returns ``person`` showing ``emotion``, ``side`` pixels square."""
    strength = {unit: _intensity(generator) for unit in ACTION_UNITS[emotion]}
    canvas = _Canvas(person, generator, side * _OVERSAMPLING)
    canvas.head()
    canvas.trace_rest()
    canvas.inner_features(strength)
    lens = _Lens(float(generator.normal(0, 5)), float(generator.uniform(0.0, 0.08)))
    shown = {unit for unit, intensity in strength.items() if intensity}
    regions = tuple(
        Region(feature, lens.place(_box(points)))
        for feature, points in canvas.strokes.items()
        if shown & FEATURES[feature.split()[-1]]
    )
    return Drawing(_photograph(canvas.image, lens, generator, side), regions)


def region_mask(regions: Iterable[Region], side: int) -> NDArray[np.bool_]:
    """Returns a mask [side, side] of the pixels with their centre in a region."""
    mask = np.zeros((side, side), dtype=bool)
    y, x = (np.indices((side, side)) + 0.5) / side
    for region in regions:
        inside = np.ones_like(mask)
        for (ax, ay), (bx, by) in pairwise((*region.corners, region.corners[0])):
            inside &= (bx - ax) * (y - ay) >= (by - ay) * (x - ax)  # right of an edge, going clockwise
        mask |= inside
    return mask


def _box(points: list[Point]) -> tuple[Point, ...]:
    """Returns the corners of the rectangle around the points, with a margin."""
    xs, ys = zip(*points, strict=True)
    left, right = min(xs) - _MARGIN, max(xs) + _MARGIN
    top, bottom = min(ys) - _MARGIN, max(ys) + _MARGIN
    return (left, top), (right, top), (right, bottom), (left, bottom)


def _intensity(generator: Generator) -> float:
    """Returns the intensity of one action unit, 0 to 1; one in eight is absent."""
    return 0.0 if generator.random() < 0.125 else float(generator.uniform(0.3, 1.0))


class _Canvas:
    """A face being drawn; x and y are image shares, and head pose shifts the inner features."""

    def __init__(self, person: Person, generator: Generator, side: int) -> None:
        self.person = person
        self.side = side
        background = tuple(int(v) for v in generator.integers(20, 235, 3))
        self.image = Image.new("RGB", (side, side), background)
        self.pen = ImageDraw.Draw(self.image)
        self.yaw, self.pitch = generator.normal(0, 0.02, 2)
        self.gaze = generator.normal(0, 0.008)
        self.line: Colour = tuple(max(0, c - 75) for c in person.skin)  # type: ignore[assignment]
        self.points: list[Point] = []
        self.strokes: dict[str, list[Point]] = {}
        """Points, in image shares, that each feature's strokes run through."""

    def inner_features(self, strength: Mapping[int, float]) -> None:
        units = defaultdict(float, strength)  # absent units have no effect
        self.eyes(units)
        self.brows(units)
        self.nose(units)
        self.mouth(units)

    def trace_rest(self) -> None:
        """Records the points of the features at rest, without drawing them."""
        pen, self.pen = self.pen, ImageDraw.Draw(Image.new("RGB", (1, 1)))
        self.inner_features({})
        self.pen = pen

    def begin(self, feature: str) -> None:
        """Names the feature that the next strokes belong to."""
        self.points = self.strokes.setdefault(feature, [])

    def note(self, *points: Point) -> None:
        self.points += [(x / self.side, y / self.side) for x, y in points]

    def at(self, x: float, y: float) -> Point:
        return ((0.5 + x + self.yaw) * self.side, (0.5 + y + self.pitch) * self.side)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        (left, top), (right, bottom) = self.at(x - rx, y - ry), self.at(x + rx, y + ry)
        self.note((left, top), (right, bottom))
        self.pen.ellipse((left, top, right, max(bottom, top + 1)), fill=fill)

    def curve(self, points: list[Point], width: float, fill: Colour) -> None:
        """Draws a quadratic Bezier curve through three control points."""
        (ax, ay), (bx, by), (cx, cy) = points
        path = []
        for t in np.linspace(0, 1, 16):
            u = 1 - t
            x = u * u * ax + 2 * u * t * bx + t * t * cx
            y = u * u * ay + 2 * u * t * by + t * t * cy
            path.append(self.at(x, y))
        self.note(*path)
        self.pen.line(path, fill=fill, width=max(1, round(width * self.side)), joint="curve")

    def head(self) -> None:
        p = self.person
        self.ellipse(0, -0.06, p.width + 0.04, p.height + 0.02, p.hair)
        self.ellipse(0, 0.02, p.width, p.height, p.skin)
        left, top = self.at(-p.width, -p.height)
        right, bottom = self.at(p.width, -p.hair_line - 0.08)
        self.pen.pieslice((left, top, right, bottom + (bottom - top)), 180, 360, fill=p.hair)
        if p.has_beard:
            self.pen.chord(
                (*self.at(-p.width * 0.8, 0.0), *self.at(p.width * 0.8, p.height)), 20, 160, p.hair
            )

    def eyes(self, units: Mapping[int, float]) -> None:
        p = self.person
        opening = 0.55 + 0.5 * units[5] - 0.35 * units[7]
        opening -= 0.3 * units[6] + 0.25 * units[9]
        for name, x in (("left eye", -p.eye_gap), ("right eye", p.eye_gap)):
            self.begin(name)
            height = p.eye_size * max(opening, 0.12)
            self.ellipse(x, -0.07, p.eye_size, height, (240, 240, 240))
            self.ellipse(x + self.gaze, -0.07, height * 0.75, height * 0.85, (30, 25, 25))
            self.curve(
                [(x - p.eye_size, -0.07), (x, -0.07 - 2 * height), (x + p.eye_size, -0.07)],
                0.01,
                self.line,
            )
            if units[6]:
                lift = 0.05 - 0.02 * units[6]
                self.curve([(x - 0.06, lift), (x, lift - 0.03), (x + 0.06, lift)], 0.008, self.line)
            if p.has_glasses:
                box = (*self.at(x - 0.09, -0.13), *self.at(x + 0.09, 0.0))
                self.pen.ellipse(box, outline=(20, 20, 20), width=max(1, self.side // 80))

    def brows(self, units: Mapping[int, float]) -> None:
        p = self.person
        inner = -0.05 * units[1] + 0.045 * units[4] + 0.02 * units[9]
        outer = -0.05 * units[2] + 0.01 * units[4]
        inner += 0.008 * p.frown
        squeeze = 0.02 * units[4]
        for name, sign in (("left brow", -1), ("right brow", 1)):
            self.begin(name)
            near = (sign * (p.eye_gap - 0.06 - squeeze), -0.15 + inner)
            far = (sign * (p.eye_gap + 0.07), -0.15 + outer)
            middle = (sign * p.eye_gap, -0.17 + (inner + outer) / 2)
            self.curve([near, middle, far], p.brow_thickness, p.hair)

    def nose(self, units: Mapping[int, float]) -> None:
        p = self.person
        self.begin("nose")
        tip = p.nose_length - 0.06 - 0.015 * units[9]
        self.curve([(-0.01, -0.05), (-0.035, tip), (0.02, tip + 0.01)], 0.01, self.line)
        if units[9]:
            for y in (-0.05, -0.03, -0.01):
                self.curve([(-0.035, y), (0, y + 0.012 * units[9]), (0.035, y)], 0.008, self.line)

    def mouth(self, units: Mapping[int, float]) -> None:
        p = self.person
        self.begin("mouth")
        width = p.mouth_width * (1 + 0.3 * units[12] + 0.3 * units[20])
        width *= 1 - 0.25 * units[23] - 0.2 * units[26]
        corner = 0.07 * units[15] - 0.07 * units[12] + 0.012 * p.frown
        top = -0.04 * units[10]
        opening = 0.10 * units[26] + 0.04 * units[20]
        opening += 0.035 * max(units[12] - 0.4, 0) + 0.03 * units[10]
        y = 0.2
        lip: Colour = (min(255, p.skin[0] + 5), int(p.skin[1] * 0.55), int(p.skin[2] * 0.55))
        if opening > 0.015:
            self.ellipse(0, y + opening / 3, width * 0.75, opening, (60, 20, 20))
            if units[12] or units[20]:
                self.ellipse(0, y, width * 0.6, opening * 0.4, (235, 235, 225))
        thickness = 0.022 * (1 - 0.5 * units[23])
        self.curve([(-width, y + corner), (0, y - corner + top), (width, y + corner)], thickness, lip)
        if opening > 0.015:
            self.curve([(-width, y + corner), (0, y + 2.4 * opening), (width, y + corner)], 0.018, lip)


@dataclass(frozen=True, slots=True)
class _Lens:
    """Rotation and crop of the camera."""

    degrees: float
    """Rotation of the picture, counterclockwise."""
    crop: float
    """Share of the picture's side that is cut off at each edge."""

    def place(self, points: Iterable[Point]) -> tuple[Point, ...]:
        """Returns the positions of points of the drawing in the photo, both in image shares."""
        cos, sin = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        width = 1 - 2 * self.crop
        around = [(x - 0.5, y - 0.5) for x, y in points]
        return tuple(
            (0.5 + (x * cos + y * sin) / width, 0.5 + (y * cos - x * sin) / width) for x, y in around
        )


def _photograph(image: Image.Image, lens: _Lens, generator: Generator, side: int) -> Image.Image:
    """Returns the drawing rotated, scaled down, lit from one side, blurred and with noise."""
    turned = image.rotate(lens.degrees, Image.Resampling.BILINEAR, fillcolor=image.getpixel((0, 0)))
    zoom = lens.crop * image.width
    small = turned.resize(
        (side, side),
        Image.Resampling.BOX,
        box=(zoom, zoom, image.width - zoom, image.height - zoom),
    )
    small = small.filter(ImageFilter.GaussianBlur(float(generator.uniform(0, 1.3))))
    pixels = np.asarray(small, dtype=np.float64)
    slope = np.linspace(-1, 1, side)[None, :, None] * generator.normal(0, 0.2)
    pixels = pixels * (generator.uniform(0.6, 1.15) + slope) + generator.uniform(-15, 15)
    pixels = pixels + generator.normal(0, generator.uniform(2, 14), pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
