"""What other programs read of the site: `robots.txt`, the map of its pages, and the feed of rounds."""

import uuid
from urllib.parse import quote
from xml.etree import ElementTree

from fastapi import APIRouter, Request, Response

from pitboard import __version__
from pitboard.results.find import rounds_of
from pitboard.results.store import Store
from pitboard.suite.rounds import ROUNDS
from pitboard.web.addresses import absolute
from pitboard.web.links import result_address, system_address
from pitboard.web.rendering import IN_FILES, NAVIGATION
from pitboard.web.routes import store_of

router = APIRouter(include_in_schema=False)

ATOM = "http://www.w3.org/2005/Atom"
SITEMAP = "http://www.sitemaps.org/schemas/sitemap/0.9"
_BENCHMARKS = (
    "select benchmark, count(distinct round) as rounds from results where not own group by all order by all"
)
_SYSTEMS = "select distinct round, submitter, system from results where not own order by all"
_RESULTS = "select distinct round, submitter, system, benchmark from results where not own order by all"


@router.get("/robots.txt")
def robots(request: Request) -> Response:
    """All may be read; what is computed anew for each asker is no place to wander about in."""
    lines = ["User-agent: *", "Disallow: /api/", "Disallow: /questions/", "Disallow: /embed/"]
    lines += [f"Sitemap: {absolute(request, '/sitemap.xml')}"] if absolute(request, "/") else []
    return Response("\n".join(lines) + "\n", media_type="text/plain")


@router.get("/sitemap.xml")
def sitemap(request: Request) -> Response:
    """Every page that has an address without a query."""
    return Response(map_of(request, pages(request, store_of(request))), media_type="application/xml")


def map_of(request: Request, addresses: list[str]) -> bytes:
    """Return the map of pages as XML."""
    root = ElementTree.Element("urlset", xmlns=SITEMAP)
    for address in addresses:
        place = ElementTree.SubElement(ElementTree.SubElement(root, "url"), "loc")
        place.text = absolute(request, address) or address
    return _xml(root)


def pages(request: Request, store: Store) -> list[str]:
    """Return the addresses of all pages, those that are about a single system or result last."""
    benchmarks = store.rows(_BENCHMARKS)
    return [
        *(place for place, _ in (IN_FILES if request.app.state.frozen else NAVIGATION)),
        "/rules",
        *(f"/{page}/{version}" for page in ("round", "precision") for version in rounds_of(store)),
        *(f"/benchmarks/{quote(str(row['benchmark']), safe='')}" for row in benchmarks),
        *(f"/rounds/{quote(str(row['benchmark']), safe='')}" for row in benchmarks if row["rounds"] > 1),
        *(system_address(*row.values()) for row in store.rows(_SYSTEMS)),
        *(result_address("/".join(map(str, row.values()))) for row in store.rows(_RESULTS)),
    ]


@router.get("/rounds.atom")
def rounds(request: Request) -> Response:
    """The published rounds that the store has, the newest first."""
    shown = set(rounds_of(store_of(request)))
    known = [each for each in reversed(ROUNDS) if each.version in shown and each.published and each.source]
    root = ElementTree.Element("feed", xmlns=ATOM)
    _text(root, "id", _name("https://mlcommons.org/benchmarks/training/"))
    _text(root, "title", "Rounds of MLPerf Training")
    _text(root, "subtitle", "Each round of published results, when its pages can be read here.")
    _text(root, "updated", _moment(known[0].published if known else None))
    _text(ElementTree.SubElement(root, "author"), "name", "Pitboard")
    _text(root, "generator", "Pitboard").set("version", __version__)
    for relation, address in (("self", "/rounds.atom"), ("alternate", "/rounds")):
        ElementTree.SubElement(root, "link", rel=relation, href=absolute(request, address) or address)
    for each in known:
        page = f"/round/{each.version}"
        entry = ElementTree.SubElement(root, "entry")
        _text(entry, "id", _name(str(each.source)))
        _text(entry, "title", f"MLPerf Training v{each.version}")
        _text(entry, "updated", _moment(each.published))
        _text(entry, "published", _moment(each.published))
        ElementTree.SubElement(entry, "link", rel="alternate", href=absolute(request, page) or page)
        ElementTree.SubElement(entry, "link", rel="via", href=str(each.source))
        _text(
            entry, "summary", f"The results of MLPerf Training v{each.version}, published {each.published}."
        )
    return Response(_xml(root), media_type="application/atom+xml")


def _text(parent: ElementTree.Element, name: str, text: str) -> ElementTree.Element:
    made = ElementTree.SubElement(parent, name)
    made.text = text
    return made


def _name(source: str) -> str:
    """Return an identifier that stays the same wherever the site is."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, source)}"


def _moment(date: str | None) -> str:
    """Return a date as a feed writes it; of a month alone, its first day."""
    year, month, day = [*(date or "1970-01-01").split("-"), "01"][:3]
    return f"{year}-{month}-{day}T00:00:00Z"


def _xml(root: ElementTree.Element) -> bytes:
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
