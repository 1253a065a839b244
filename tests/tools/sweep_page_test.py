# tests/tools/sweep_page_test.py — the sweep's page in a real browser: it renders, on a desk and on a phone, light and dark.
"""Needs SPARSERT (the command) and CHROMIUM (the browser). Keeps the pictures in the folder named by the first argument."""

import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

SPARSERT = os.environ["SPARSERT"]
CHROMIUM = os.environ["CHROMIUM"]
OUT = pathlib.Path(sys.argv.pop(1) if len(sys.argv) > 1 else tempfile.mkdtemp())


def read_png(path):
    """(width, height, rows of RGB tuples) of an 8-bit RGB or RGBA picture."""
    raw = path.read_bytes()
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(raw):
        length, kind = struct.unpack_from(">I4s", raw, at)
        chunk = raw[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, color = struct.unpack_from(">IIBB", chunk)
            assert depth == 8 and color in (2, 6), (depth, color)
        elif kind == b"IDAT":
            packed += chunk
        at += length + 12
    step = 3 if color == 2 else 4
    stride, data, before, rows = width * step, zlib.decompress(packed), bytearray(width * step), []
    for y in range(height):
        kind, line = data[y * (stride + 1)], bytearray(data[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        for i in range(stride):
            left = line[i - step] if i >= step else 0
            corner = before[i - step] if i >= step else 0
            if kind == 1:
                line[i] = (line[i] + left) & 255
            elif kind == 2:
                line[i] = (line[i] + before[i]) & 255
            elif kind == 3:
                line[i] = (line[i] + (left + before[i]) // 2) & 255
            elif kind == 4:
                guess = left + before[i] - corner
                nearest = min((abs(guess - left), 0, left), (abs(guess - before[i]), 1, before[i]), (abs(guess - corner), 2, corner))
                line[i] = (line[i] + nearest[2]) & 255
        before = line
        rows.append([tuple(line[x * step : x * step + 3]) for x in range(width)])
    return width, height, rows


class Rendering(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.page = OUT / "sweep.html"
        subprocess.run([SPARSERT, "sweep", "--amounts", "0,0.5,0.8,0.95,0.99", "--html", cls.page], check=True, capture_output=True)

    def shoot(self, name, page, width, height, *flags):
        picture = OUT / f"{name}.png"
        with tempfile.TemporaryDirectory() as profile:
            result = subprocess.run(
                [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
                 f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--screenshot={picture}", *flags, page.as_uri()],
                capture_output=True, text=True, timeout=120)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(re.findall(r".*CONSOLE.*", result.stderr), [])
        return read_png(picture)

    def check(self, rows, page_color, line_color):
        """Most of the page is background; text, lines and cards stand on it."""
        pixels = [pixel for row in rows for pixel in row]
        self.assertGreater(pixels.count(page_color), 0.1 * len(pixels), "the background is missing")
        self.assertGreater(pixels.count(line_color), 0.0005 * len(pixels), "no line of a plot or meter was drawn")
        self.assertGreater(len(set(pixels)), 50, "nothing but flat color")

    def test_light(self):
        _, _, rows = self.shoot("light", self.page, 1200, 2200)
        self.check(rows, (0xF6, 0xF5, 0xF1), (0x1F, 0x5F, 0xD0))
        self.assertIn((0xB2, 0x50, 0x0A), {pixel for row in rows for pixel in row}, "the dense line is missing")

    def test_dark(self):
        _, _, rows = self.shoot("dark", self.page, 1200, 2200, "--blink-settings=preferredColorScheme=0")
        self.check(rows, (0x12, 0x15, 0x1A), (0x7D, 0xB1, 0xFF))

    def test_phone_needs_no_sideways_scrolling(self):
        # Headless windows have a smallest width: a frame of a phone's width has not.
        frame = OUT / "phone.html"
        frame.write_text('<body style="margin:0;background:#f0f"><iframe src="sweep.html" style="width:375px;height:3600px;border:0">')
        _, _, rows = self.shoot("phone", frame, 520, 3600, "--allow-file-access-from-files")
        self.check([row[:375] for row in rows], (0xF6, 0xF5, 0xF1), (0x1F, 0x5F, 0xD0))
        # The right margin stays clear: nothing but the page's own color where no card or text may reach.
        self.assertEqual({row[374] for row in rows}, {(0xF6, 0xF5, 0xF1)})


if __name__ == "__main__":
    unittest.main()
