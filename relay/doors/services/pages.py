"""The pages that show the OpenAPI document: Swagger UI and ReDoc from a wheel, or a plain list."""

import html
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from relay.calls.http import Route

WHEEL: Final = "drf_spectacular_sidecar"
"""Ships the files that npm's `swagger-ui-dist` and `redoc` do; nothing of it is imported."""
FILES: Final = "/docs/files"

_POLICY: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; worker-src 'self' blob:; object-src 'none'; base-uri 'none'"
)
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">{head}</head>
<body>{body}</body></html>
"""
_SWAGGER_HEAD: Final = f'<link rel="stylesheet" href="{FILES}/swagger-ui-dist/swagger-ui.css">'
_SWAGGER: Final = (
    f'<div id="ui"></div><script src="{FILES}/swagger-ui-dist/swagger-ui-bundle.js"></script>'
    '<script>SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", validatorUrl: null})</script>'
)
_REDOC: Final = (
    '<redoc spec-url="/openapi.json"></redoc>'
    f'<script src="{FILES}/redoc/bundles/redoc.standalone.js"></script>'
)


def installed_files() -> Path | None:
    """Return the folder of the wheel's files, None where it is not installed."""
    spec = importlib.util.find_spec(WHEEL)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        files = Path(folder, "static", WHEEL)
        if files.is_dir():
            return files
    return None


def page_routes(document: Mapping[str, Any], files: Path | None) -> list[Route]:
    """Return the routes of `/docs` and `/redoc`; `files` is the folder of the wheel's files."""
    title = str(document["info"]["title"])
    docs = redoc = _page(title, "", _plain(document))
    if files is not None:
        docs, redoc = _page(title, _SWAGGER_HEAD, _SWAGGER), _page(title, "", _REDOC)
    return [("GET", "/docs", docs), ("GET", "/redoc", redoc)]


def _page(title: str, head: str, body: str) -> Handler:
    text = _PAGE.format(title=html.escape(title), head=head, body=body)

    async def handle(_request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    return handle


def _plain(document: Mapping[str, Any]) -> str:
    """Return a list of the operations, for where the wheel is not installed."""
    rows = [
        f"<li><code>{method.upper()} {html.escape(path)}</code> {html.escape(told['summary'])}</li>"
        for path, methods in document["paths"].items()
        for method, told in methods.items()
    ]
    about = '<p>The whole description is in <a href="/openapi.json">/openapi.json</a>.</p>'
    title = html.escape(str(document["info"]["title"]))
    return f"<h1>{title}</h1>{about}<ul>{''.join(rows)}</ul>"
