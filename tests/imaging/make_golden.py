# SPDX-License-Identifier: Apache-2.0
"""Writes data/: pictures to decode and what Pillow makes of them. Needs Pillow and numpy; tests only read the result.

usage: make_golden.py PHOTOS      PHOTOS: the folder with the pictures named below; CREDITS.md says where they come from
"""

import pathlib
import shutil
import sys

import numpy as np
import PIL
from PIL import Image, ImageOps

NAMES = """ss_420.jpg ss_422.jpg ss_444.jpg prog_420.jpg restart.jpg gray.jpg cmyk.jpg exif_6.jpg odd_255x257.jpg
           strip_640x40.jpg tiny_17x31.jpg one_px.jpg bit1.png pal8_trns.png""".split()
RESIZE, CROP = 256, 224


def sixteen_bit_grey(photos, path):
    """Levels between those of 8 bits, so that cutting and rounding differ."""
    grey = np.asarray(Image.open(photos / "gray8.png").convert("L").crop((150, 20, 350, 200))).astype(np.uint32)
    noise = np.random.default_rng(1).integers(0, 257, grey.shape)
    Image.fromarray(np.minimum(grey * 257 + noise, 65535).astype(np.uint16)).save(path, optimize=True)


def eight_bits(picture):
    """convert() would clip 16-bit grey instead of scaling it."""
    if picture.mode != "I;16":
        return picture
    values = np.asarray(picture).astype(np.uint32)
    return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def reference(path):
    picture = eight_bits(ImageOps.exif_transpose(Image.open(path))).convert("RGB")
    picture.info.clear()  # else a transparent colour would be written again
    short, long = sorted(picture.size)
    length = int(RESIZE * long / short)
    size = (RESIZE, length) if picture.width <= picture.height else (length, RESIZE)
    left, top = (int(round((side - CROP) / 2.0)) for side in size)
    return picture.resize(size, Image.BILINEAR).crop((left, top, left + CROP, top + CROP))


def main():
    photos = pathlib.Path(sys.argv[1])
    data = pathlib.Path(__file__).parent / "data"
    (data / "expected").mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        shutil.copyfile(photos / name, data / name)
    sixteen_bit_grey(photos, data / "gray16.png")
    for path in sorted([*data.glob("*.jpg"), *data.glob("*.png")]):
        reference(path).save(data / "expected" / (path.name + ".png"), optimize=True)
    (data / "expected" / "VERSION.txt").write_text(f"Made by make_golden.py with Pillow {PIL.__version__}.\n")


main()
