"""The sizes of large objects, from the environment."""

# Objects are made of blocks of 64 MiB.
BLOCKS_PER_GIB = 16


def sizes_of(text: str) -> tuple[float, float]:
    """Two sizes in GiB, the smaller one first.

    Raises:
        ValueError: it is something else.
    """
    try:
        smaller, larger = map(float, text.split(","))
        good = 0 < smaller < larger and all((size * BLOCKS_PER_GIB).is_integer() for size in (smaller, larger))
    except ValueError:
        good = False
    if not good:
        raise ValueError(
            "LARGE_GIB is two sizes in GiB in ascending order, each a multiple of 1/16, such as 1,5 or 0.25,0.5; "
            f"not {text!r}."
        )
    return smaller, larger
