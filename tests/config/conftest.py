"""Configs as people write them, and another package's connectors to name in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from forwarder.config import Config, ConfigError, load
from forwarder.plugins import GROUP, connector_types

PIGEON = '''
from enum import Enum
from typing import Any, Literal
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretStr, model_validator
from forwarder.connector import Connector, ConnectorConfig

class PigeonConfig(ConnectorConfig):
    type: Literal["pigeon"]
    ring: SecretStr
    loft: str = Field(default="roof", min_length=3, description="Where it flies to.")
    speed: Literal["slow", "fast"] = "slow"
    size: int | float = Field(default=1, description="How large it is.")
    fields: dict[str, Any] = Field(default={})

    @model_validator(mode="after")
    def _no_gap(self):
        if self.loft == "nowhere":
            raise ValueError(f"the ring {self.ring.get_secret_value()} fits no loft")
        return self

class Keeper(BaseModel):
    model_config = ConfigDict(extra="forbid")
    keeper: str = Field(min_length=2, description="Who feeds it.")

class PigeonOwner(RootModel[str | Keeper]):
    """A name, or a keeper."""

class Pigeon(Connector[PigeonConfig]):
    Config = PigeonConfig
    Owner = PigeonOwner
    def render(self, delivery): return {}
    def deliver(self, delivery, payload): raise NotImplementedError
    def check(self): return []
    def preview(self, payload): return ""
'''


@pytest.fixture(scope="package", autouse=True)
def pigeon_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Another package that is installed: a connector that works, and some that do not."""
    site = tmp_path_factory.mktemp("site")
    (site / "pigeon_post.py").write_text(PIGEON)
    (site / "stuffed_pigeon.py").write_text("class Stuffed: ...\n")
    (site / "sick_pigeon.py").write_text("raise RuntimeError('no wings')")
    metadata = site / "pigeon_post-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: pigeon-post\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[{GROUP}]\npigeon = pigeon_post:Pigeon\nstuffed = stuffed_pigeon:Stuffed\nsick = sick_pigeon:Sick\n"
        "console = pigeon_post:Pigeon\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        connector_types.cache_clear()
        yield
    connector_types.cache_clear()


MINIMAL = """\
sentrytex:
  api_key: vk_not_a_real_key
connectors:
  post: {type: pigeon, ring: not-a-real-ring}
routes:
  - to: post
"""

Load = Callable[..., Config]
Problems = Callable[..., list[str]]


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Loads a text as the file config.yaml of an empty folder."""

    def load_text(text: str, env: Mapping[str, str] | None = None) -> Config:
        (tmp_path / "config.yaml").write_text(dedent(text), "utf-8")
        return load(tmp_path / "config.yaml", env or {})

    return load_text


@pytest.fixture
def problems(loaded: Load, tmp_path: Path) -> Problems:
    """What is wrong with a text, without the folder's name."""

    def problems_of(text: str, env: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(text, env)
        assert str(caught.value) == "\n".join(str(problem) for problem in caught.value.problems)
        return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]

    return problems_of
