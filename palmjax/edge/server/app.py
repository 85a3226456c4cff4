"""The server as an ASGI application."""

import contextlib
import time

import fastapi
import sqlalchemy as sa
from fastapi import exceptions, responses
from starlette import exceptions as http_errors

from palmjax.edge.server import (
  access,
  admin_routes,
  device_routes,
  inserts,
  limits,
  logs,
  pages,
  worker,
)

# Names of others would each be a row of the metrics.
_METHODS = ('DELETE', 'GET', 'HEAD', 'OPTIONS', 'PATCH', 'POST', 'PUT')
_HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cache-Control': 'no-store',
  'Content-Security-Policy': (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'"
  ),
}


def create(service):
  """The application of a `service.Service`.

  Args:
    service: as `service.start` gives it.

  Returns:
    `FastAPI`; the teacher works while it runs.
  """
  teacher = worker.Worker(service, logs.log)
  counts = logs.RequestCounts(teacher)

  @contextlib.asynccontextmanager
  async def lifespan(app):
    del app
    teacher.start()
    yield
    teacher.stop()

  app = fastapi.FastAPI(
    title='palmjax edge server',
    version='1',
    lifespan=lifespan,
    docs_url=None,
    redoc_url=None,
  )
  app.state.service, app.state.worker = service, teacher
  app.state.buckets = limits.Buckets(
    rate=service.limits.rate, burst=service.limits.burst
  )
  app.state.counts = counts
  app.state.inserts = inserts.Inserts(service.engine)
  app.include_router(device_routes.router)
  app.include_router(admin_routes.router)
  app.include_router(pages.router)

  @app.middleware('http')
  async def observe(request, call_next):
    start = time.perf_counter()
    try:
      # Before anybody reads the body, with or without a good token.
      access.require_bounded(request)
      response = await call_next(request)
    except http_errors.HTTPException as error:
      response = _problem(error.status_code, error.detail)
    except (sa.exc.OperationalError, sa.exc.TimeoutError) as error:
      logs.log('no database', error=type(error).__name__, route=_route(request))
      response = _problem(
        503, 'the database does not answer; wait', {'Retry-After': '10'}
      )
    except Exception as error:
      logs.log('failed', error=type(error).__name__, route=_route(request))
      response = _problem(500, 'the server failed; see its log')
    seconds = time.perf_counter() - start
    route = _route(request)
    method = request.method if request.method in _METHODS else 'other'
    counts.seconds.labels(method, route, str(response.status_code)).observe(
      seconds
    )
    logs.log(
      'request',
      method=method,
      route=route,
      status=response.status_code,
      ms=round(1e3 * seconds, 1),
      device=getattr(request.state, 'device', None),
    )
    for name, value in _HEADERS.items():
      response.headers.setdefault(name, value)
    return response

  @app.exception_handler(http_errors.HTTPException)
  async def refuse(request, error):
    headers = error.headers
    if error.status_code == 405:
      # Each route alone knows its own method only.
      methods = request.app.openapi()['paths'].get(_route(request))
      if methods:
        headers = {'Allow': ', '.join(name.upper() for name in methods)}
    return _problem(error.status_code, error.detail, headers)

  @app.exception_handler(exceptions.RequestValidationError)
  async def explain(request, error):
    del request
    first = error.errors()[0]
    where = '.'.join(str(part) for part in first['loc'])
    return _problem(422, f'{where}: {first["msg"]}')

  return app


def _route(request):
  """The route's pattern: a path may hold anything."""
  route = request.scope.get('route')
  return getattr(route, 'path', 'none')


def _problem(status, detail, headers=None):
  return responses.JSONResponse(
    {'detail': str(detail)}, status_code=status, headers=headers
  )
