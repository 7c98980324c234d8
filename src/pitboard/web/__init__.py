"""The web page and the JSON API: handlers parse, call one function, and show what it returned."""

from pitboard.web.app import create_app

__all__ = ["create_app"]
