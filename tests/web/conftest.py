"""A client of the application in this process."""

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from pitboard.web import create_app


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    application = create_app(tmp_path_factory.mktemp("store"))

    @application.get("/test/broken", include_in_schema=False)
    def broken() -> None:
        raise RuntimeError("secret")

    return application


@pytest.fixture(scope="session")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as made:
        yield made
