"""`python -m tests.fuzz NAME [arguments of libFuzzer]`: Atheris looks for the input that breaks a property.

The properties are those of `test_parsers.py` and `test_upstream_replies.py` in `tests/unit/gateway`. There Hypothesis
makes the input at random; here the branches that an input reaches decide from which one the next is made.
"""

import sys

import atheris

with atheris.instrument_imports(include=["gateway", "policies", "http_sfv"]):
    from tests.unit.gateway import test_parsers, test_upstream_replies


def main() -> None:
    name, *arguments = sys.argv[1:]
    module = test_parsers if hasattr(test_parsers, name) else test_upstream_replies
    property_test = getattr(module, name)
    atheris.Setup([sys.argv[0], *arguments], property_test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
