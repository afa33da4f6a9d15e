"""A group of settings: frozen, with one source for name, default and description of each."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_settings import NoDecode


class Group(BaseModel):
    """A group is handed on as it is to the components that it concerns."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _words(value: Any) -> Any:
    return tuple(word.strip() for word in value.split(",") if word.strip()) if isinstance(value, str) else value


def _no_trailing_slash(value: str) -> str:
    return value.rstrip("/")


# A comma-separated list in the environment.
COMMA_LIST = NoDecode, BeforeValidator(_words)
Words = Annotated[tuple[str, ...], *COMMA_LIST]
Url = Annotated[str, AfterValidator(_no_trailing_slash)]
