"""OpenAPI as it is: errors are problems, of their own media type."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.api.problems import CONTENT_TYPE
from service.api.schemas.problem import Problem

JSON = "application/json"
NOT_OURS = {"HTTPValidationError", "ValidationError"}
"""What FastAPI describes refused requests with, and nobody is answered."""


def describe_problems(app: FastAPI) -> None:
    """Have every error of the app described as the problem that it is; call it last."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _with_problems(
                get_openapi(
                    title=app.title, version=app.version, description=app.description,
                    routes=app.routes,
                )
            )  # fmt: skip
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


def _with_problems(schema: dict[str, Any]) -> dict[str, Any]:
    schemas = schema["components"]["schemas"]
    for name in NOT_OURS:
        schemas.pop(name, None)
    schemas["Problem"] = Problem.model_json_schema()
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            responses = operation["responses"]
            for status, response in responses.items():
                if status >= "400" and path.startswith("/api/"):
                    response["content"] = content
            responses["default"] = {"description": "What is wrong, and where", "content": content}
    return schema
