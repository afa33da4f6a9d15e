"""Diagrams are what their script draws, and can be read without seeing them."""

import importlib.util
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"


def drawing():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("draw", PICTURES / "draw.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


DRAW = drawing()


def test_no_file_is_there_that_the_script_does_not_draw() -> None:
    """A picture that nobody draws grows old."""
    assert {path.stem for path in PICTURES.glob("*.svg")} == DRAW.DIAGRAMS.keys()


@pytest.mark.parametrize("name", DRAW.DIAGRAMS)
def test_picture_is_what_the_script_draws(name: str) -> None:
    """`python docs/pictures/draw.py` was run after the last change."""
    assert (PICTURES / f"{name}.svg").read_text(encoding="utf-8") == DRAW.svg(DRAW.DIAGRAMS[name])


@pytest.mark.parametrize("name", DRAW.DIAGRAMS)
def test_picture_has_a_title_and_a_description(name: str) -> None:
    """A screen reader says what is drawn."""
    root = ET.fromstring(DRAW.svg(DRAW.DIAGRAMS[name]))
    texts = [root.findtext(f"{{http://www.w3.org/2000/svg}}{tag}") for tag in ("title", "desc")]
    assert all(text and len(text) > 5 for text in texts)


@pytest.mark.parametrize("name", DRAW.DIAGRAMS)
def test_no_two_boxes_overlap(name: str) -> None:
    """Each component can be seen whole."""
    boxes = DRAW.DIAGRAMS[name].boxes
    for one in boxes:
        for other in boxes:
            apart = (
                one.right <= other.left or other.right <= one.left or one.bottom <= other.top or other.bottom <= one.top
            )
            assert one is other or apart, (one.name, other.name)
