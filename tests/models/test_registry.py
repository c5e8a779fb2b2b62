from __future__ import annotations

import pytest

from seqgen import models
from seqgen.errors import ConfigError
from seqgen.models.config import EmbeddingConfig, GruConfig, LstmConfig
from seqgen.models.registry import CELLS, FAMILIES, MixtureConfig, cells_for, model_settings, name_members

from ..small_runs import NEURAL

EMBEDDED = [cell for cell in CELLS if issubclass(FAMILIES[cell].config, EmbeddingConfig)]
TRANSLATORS = [cell for cell, family in FAMILIES.items() if family.task == "translate"]

CONSTANTS = {"position_base", "norm_epsilon", "members", "labels"}
"""What config.json records, but the command line does not offer."""


@pytest.mark.parametrize("cell", [*NEURAL, *TRANSLATORS])
def test_build_makes_every_neural_family(cell):
    config = FAMILIES[cell].config.of(hidden_size=16)

    assert models.build(config, 5).config.cell == cell


@pytest.mark.parametrize(
    ("cell", "hidden_size", "layers", "width"),
    [("rnn", 384, 1, 128), ("lstm", 256, 1, 128), ("gru", 256, 1, 128), ("transformer", 128, 4, 352)],
)
def test_default_sizes(cell, hidden_size, layers, width):
    config = FAMILIES[cell].config()

    assert (config.hidden_size, config.layers) == (hidden_size, layers)
    assert (config.inner_size if cell == "transformer" else config.input_size) == width


def test_model_settings_name_cells_of_partial_settings():
    settings = model_settings()

    assert settings["cell"].types[0].__args__ == CELLS
    assert settings["cell"].shown.startswith("lstm+ngram; lstm with --task")
    assert settings["hidden_size"].description == "Hidden size."
    assert settings["embedding_size"].description == f"{', '.join(EMBEDDED)}: embedding size."
    assert settings["heads"].description.startswith("transformer: number")
    assert settings["input_feeding"].description.startswith("--task translate: give")
    assert settings.keys() == {name for family in FAMILIES.values() for name in family.config.model_fields} - CONSTANTS


def test_user_names_an_encoder_decoder_by_its_cell_and_task():
    assert cells_for("translate") == {cell.removesuffix("-translate"): cell for cell in TRANSLATORS}
    assert [FAMILIES[cell].config().name for cell in TRANSLATORS] == list(cells_for("translate"))
    assert set(cells_for("generate")) == set(CELLS)


def test_members_are_named_by_cell_and_number():
    assert name_members(["lstm", "gru", "lstm", "lstm"]) == ["lstm", "gru", "lstm-2", "lstm-3"]


def test_mixture_is_named_by_the_cells_of_its_members():
    config = MixtureConfig(members={"lstm": LstmConfig(hidden_size=8), "lstm-2": LstmConfig(), "gru": GruConfig()})

    assert (config.name, config.shape) == ("lstm+lstm+gru", "1x8, 1x256, 1x256")
    assert MixtureConfig.from_json(config.model_dump_json(), "here") == config


def test_mixture_has_two_members_or_more_and_no_mixture():
    two = {"lstm": LstmConfig(), "gru": GruConfig()}
    with pytest.raises(ConfigError, match="members"):
        MixtureConfig.of(members={"lstm": LstmConfig()})
    with pytest.raises(ConfigError, match="inner is a mixture"):
        MixtureConfig.of(members={"lstm": LstmConfig(), "inner": MixtureConfig(members=two)})
