"""`python -m tests.fuzz NAME [arguments of libFuzzer]`: Atheris looks for the input that breaks a property.

The properties are those of `tests/unit/gateway/test_parsers.py`. There Hypothesis makes the input at random; here the
branches that an input reaches decide from which one the next is made.
"""

import sys

import atheris

with atheris.instrument_imports(include=["gateway", "policies", "http_sfv"]):
    from tests.unit.gateway import test_parsers


def main() -> None:
    name, *arguments = sys.argv[1:]
    property_test = getattr(test_parsers, name)
    atheris.Setup([sys.argv[0], *arguments], property_test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
