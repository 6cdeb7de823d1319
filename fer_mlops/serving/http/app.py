"""FastAPI application: routes, page files and error handlers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fer_mlops import __version__
from fer_mlops.models.calibration import OperatingPoint
from fer_mlops.serving.http.allowed_hosts import HostCheck
from fer_mlops.serving.http.errors import RequestError, error_response
from fer_mlops.serving.http.middleware import Observer
from fer_mlops.serving.http.schemas import INVOKE_BODY, PREDICT_BODY, InPhoto, Many, One, Refused
from fer_mlops.serving.http.service import PredictResponse, Service
from fer_mlops.tracking.model_names import CHALLENGER, CHAMPION

Slot = Literal["champion", "challenger"]

_SCRIPTS = ("page.js", "answers.js", "photo.js", "model_card.js", "markdown.js", "dom.js", "docs.js")
PAGES = {
    "/": ("index.html", "text/html"),
    "/docs": ("docs.html", "text/html"),
    "/page/style.css": ("style.css", "text/css"),
    **{f"/page/{name}": (name, "text/javascript") for name in _SCRIPTS},
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
    "/page/drawn.webp": ("drawn.webp", "image/webp"),
}
"""Files of the page: path, name in the package, and content type."""
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refused, "description": meaning}
    for status, meaning in {
        400: "The request or an image cannot be read",
        403: "The Host or Origin is not allowed; see --allowed-hosts",
        413: "Too many bytes or images",
        415: "The content type is not supported",
        429: "Too many requests from one address; see Retry-After",
        501: "No face detector is installed, for ?faces=true",
        503: "The service is too busy, or has no model yet; see Retry-After",
    }.items()
}


def create_app(service: Service) -> FastAPI:
    """Returns the application; while it runs, it checks the registry for new versions."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(service.watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait({watching})  # asyncio.wait does not raise what the task raised
            service.close()

    app = FastAPI(
        title="fer_mlops",
        version=__version__,
        description="Predicts which of seven emotions a face shows, with the registered champion.",
        docs_url=None,  # FastAPI's own page loads scripts from other servers
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    _add_predictions(app, service)
    _add_states(app, service)
    _add_pages(app)
    _add_errors(app)
    app.add_middleware(HostCheck, settings=service.settings)
    routes = frozenset(str(getattr(route, "path", "")) for route in app.routes)
    app.add_middleware(
        Observer, counts=service.counts, routes=routes, logs_requests=service.settings.logs_requests
    )
    return app


def _add_predictions(app: FastAPI, service: Service) -> None:
    @app.post(
        "/predict",
        summary="Emotions of one image or several",
        responses={200: {"model": One | Many | InPhoto}, **_ERRORS},
        openapi_extra=PREDICT_BODY,
    )
    async def predict(
        request: Request,
        point: Annotated[
            OperatingPoint,
            Query(
                description="natural has the highest accuracy, balanced favours rare emotions, default "
                "lies between."
            ),
        ] = "default",
        explain: Annotated[bool, Query(description="Adds a heat map over the face.")] = False,
        faces: Annotated[
            bool, Query(description="Detects the faces in a whole photo, and predicts each of them.")
        ] = False,
        model: Annotated[Slot, Query(description="Model slot that predicts.")] = "champion",
    ) -> Response:
        answered = await service.predict(request, model, point, explain, faces)
        return JSONResponse(_answer(answered, model, point))

    @app.post(
        "/invocations",
        summary="The same in the request and response format of mlflow models serve",
        responses={200: {"description": "predictions, one object per image"}, **_ERRORS},
        openapi_extra=INVOKE_BODY,
    )
    async def invocations(request: Request) -> Response:
        return JSONResponse({"predictions": await service.invoke(request)})


def _answer(answered: PredictResponse, slot: str, point: OperatingPoint) -> dict[str, Any]:
    card = answered.served.card
    about = {
        "point": point,
        "threshold": answered.served.threshold(point),
        "model": {"slot": slot, "name": card.name, "version": card.version},
    }
    if answered.num_found is not None:
        return {"faces": answered.answers, "num_found": answered.num_found, **about}
    if answered.is_batch:
        return {"predictions": answered.answers, **about}
    return {**answered.answers[0], **about}


def _add_states(app: FastAPI, service: Service) -> None:
    both = ["GET", "HEAD"]

    @app.get("/model", summary="Served models: version, aliases, scores, preprocessing")
    async def model() -> Response:
        service.served(CHAMPION)
        settings = service.settings
        limits = {
            name: getattr(settings, name) for name in ("max_bytes", "max_pixels", "max_images", "rate")
        }
        # a copy, as another thread may fill a slot meanwhile
        filled = {slot: served.described() for slot, served in dict(service.slots.filled).items()}
        about = {"limits": limits, "finds_faces": service.photos.is_installed}
        return JSONResponse({CHAMPION: None, CHALLENGER: None, **filled, **about})

    @app.api_route("/health", methods=both, summary="Whether the process is alive")
    @app.api_route("/ping", methods=both, summary="The same, under MLflow's name")
    async def health() -> Response:
        return JSONResponse({"status": "alive"})

    @app.api_route("/ready", methods=both, summary="Whether a model is loaded; 503 while none is")
    async def ready() -> Response:
        return JSONResponse({"status": "ready", "model": service.served(CHAMPION).card.name})

    @app.get("/version", summary="The version of fer_mlops")
    async def version() -> Response:
        return Response(__version__, media_type="text/plain")

    @app.get("/metrics", summary="Counts and times for Prometheus")
    async def metrics() -> Response:
        return Response(service.counts.text(), media_type="text/plain; version=0.0.4")


def _add_pages(app: FastAPI) -> None:
    folder = resources.files("fer_mlops.serving.http") / "page"
    for address, (name, kind) in PAGES.items():
        _add_page(app, address, (folder / name).read_bytes(), kind)


def _add_page(app: FastAPI, address: str, content: bytes, kind: str) -> None:
    # a function of its own: a closure made in the loop would see the loop's last file
    @app.api_route(address, methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> Response:
        return error_response(error.status, str(error), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = first["loc"][-1]
        return error_response(400, f"{place}: {first['msg']}, got {str(first['input'])[:60]!r}")

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        sentences = {
            404: "this path does not exist; GET /docs lists the paths",
            405: f"this path does not accept {request.method[:20]}; GET /docs lists its methods",
        }
        sentence = sentences.get(error.status_code, str(error.detail))
        return error_response(error.status_code, sentence, error.headers)
