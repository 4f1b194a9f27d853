"""A tiny model folder and data set, as a user would have them, for the tests of the worker."""

import pytest
import torch

from tests.workers.tiny import save_tiny
from workers.data.load_split import SOURCES, load_samples
from workers.inference.prepare import prepare
from workers.models.load_model import load_model
from workers.sources import DataSource, ModelSource


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def tiny_data():
    SOURCES["tiny"] = "tests.workers.tiny:tiny_samples"
    yield DataSource(name="tiny")
    del SOURCES["tiny"]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_source(tiny_folder):
    return ModelSource(name=str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def loaded(tiny_source):
    return load_model(tiny_source)


@pytest.fixture(scope="session")
def prepared(loaded):
    return prepare(loaded, load_samples(DataSource(name="tiny"), "search"))
