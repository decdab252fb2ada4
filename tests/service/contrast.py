#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether the text of a page can be read, from the colours of its style sheet.

    contrast.py PAGE.css

WCAG 2.2 (1.4.3, AA): 4.5 to 1 for text, by relative luminance, light and dark.
Prints each pair that has less, and exits 1 then. Text stands on the page's
paper and on its cards, and on what its own rule says; nothing with text in it
is made fainter.
"""
import re
import sys

LEAST = 4.5
EVERYWHERE = ["ink", "soft", "line"]
GROUNDS = ["paper", "card"]


def colours(block):
    found = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]+)", block))
    return {name: value if len(value) == 7 else "#" + "".join(2 * one for one in value[1:])
            for name, value in found.items()}


def luminance(colour):
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


sheet = open(sys.argv[1], encoding="utf-8").read()
blocks = re.findall(r":root \{(.*?)\}", sheet, re.S)
assert len(blocks) == 2, "light and dark"
pairs = {(text, ground) for text in EVERYWHERE for ground in GROUNDS}
for rule in re.findall(r"\{([^{}]*)\}", sheet):
    ground = re.search(r"background: var\(--([a-z-]+)\)", rule)
    text = re.search(r"(?:^|[ ;])color: var\(--([a-z-]+)\)", rule)
    if ground:
        pairs.add((text[1] if text else "ink", ground[1]))
    elif text:
        pairs.update((text[1], one) for one in GROUNDS)
bad = 0
for selector in re.findall(r"([^{}]*)\{[^{}]*opacity:", sheet):
    if selector.strip() != ".area":
        print(f"{selector.strip()}: fainter than its colours say")
        bad += 1
for mode, block in zip(("light", "dark"), blocks):
    known = colours(block)
    for text, ground in sorted(pairs):
        have = contrast(known[text], known[ground])
        if have < LEAST:
            print(f"{mode}: {text} on {ground} has {have:.2f}, {LEAST} is the least")
            bad += 1
print(f"{2 * len(pairs)} pairs")
sys.exit(1 if bad or len(pairs) < 10 else 0)
