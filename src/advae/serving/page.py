"""Pages for people: one to score a file with, and one that lists the addresses."""

import json
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from advae.report.page import asset, environment_of, policy_of

METHODS = ("get", "post")


def routes(app: FastAPI) -> APIRouter:
    """Return the addresses of the pages of an application."""
    router = APIRouter(include_in_schema=False)

    @router.get("/", response_class=HTMLResponse)
    async def score_a_file() -> HTMLResponse:
        """Return the page that scores a file."""
        return _page("score.html.j2", asset("advae.serving", "score.js"))

    @router.get("/docs", response_class=HTMLResponse)
    async def list_addresses() -> HTMLResponse:
        """Return the page that lists the addresses."""
        return _page("docs.html.j2", "", addresses=_addresses(app))

    return router


def _page(template: str, script: str, **values: Any) -> HTMLResponse:
    """Return a page that runs and shows nothing but what is its own, and asks only this service."""
    style = asset("advae.report", "report.css") + asset("advae.serving", "serving.css")
    policy = (
        f"{policy_of(script, style)}; connect-src 'self'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    page = environment_of("advae.serving").get_template(template)
    return HTMLResponse(
        page.render(style=Markup(style), script=Markup(script), **values),  # ours, from the package
        headers={
            "content-security-policy": policy,
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
        },
    )


def _addresses(app: FastAPI) -> list[dict[str, Any]]:
    """Return what OpenAPI says of each address: method, path, meaning, and what it takes."""
    found = []
    for path, methods in app.openapi()["paths"].items():
        for method in METHODS:
            if method in methods:
                said = methods[method]
                content = said.get("requestBody", {}).get("content", {})
                found.append(
                    {
                        "method": method.upper(),
                        "path": path,
                        "text": said.get("description", ""),
                        "parameters": [p["name"] for p in said.get("parameters", [])],
                        "takes": list(content),
                        "schemas": {
                            kind: json.dumps(body["schema"], indent=1)
                            for kind, body in content.items()
                            if kind == "application/json"
                        },
                    }
                )
    return found
