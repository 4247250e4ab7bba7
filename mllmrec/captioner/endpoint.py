"""Captions by a model at a server."""

from mllmrec.captioner.base import Asked
from mllmrec.endpoint.server import Server


class Endpoint(Asked):
    """``endpoint`` serves a model that takes pictures."""

    endpoint: Server

    @property
    def asker(self) -> Server:
        return self.endpoint.at("captioner.endpoint")
