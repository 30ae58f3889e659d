"""A small fake of Supabase's Auth server on a real socket, and keys that sign its tokens."""

import asyncio
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NOW = 1_800_000_000.0
SECRET = "an-HS256-secret-of-this-test-with-many-characters"
ISSUER = "https://project.supabase.example/auth/v1"
SUB = "5f0f3a52-6f2d-4a55-9f1e-0d7c1f6f1b11"
SERVICE_KEY = "sb_secret_of_this_test_only"

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def ec_key(name: str) -> ec.EllipticCurvePrivateKey:
    """The same key for the same name, throughout a run."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def public_row(key: PrivateKey, kid: str | None, **more: Any) -> dict[str, Any]:
    """The key as a row of a JWKS document."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        text = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())
    else:
        text = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())
    named = {"kid": kid} if kid is not None else {}
    return {**json.loads(text), **named, **more}


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a Supabase token; a change to `...` leaves the claim out."""
    usual = {
        "iss": ISSUER,
        "aud": "authenticated",
        "exp": NOW + 3600,
        "iat": NOW - 5,
        "sub": SUB,
        "role": "authenticated",
        "app_metadata": {"provider": "email"},
    }
    return {name: value for name, value in (usual | changes).items() if value is not ...}


def hs256(secret: str = SECRET, headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), secret, algorithm="HS256", headers=headers)


def signed(key: PrivateKey, kid: str | None = None, **changes: Any) -> str:
    algorithm = "ES256" if isinstance(key, ec.EllipticCurvePrivateKey) else "RS256"
    headers = {"kid": kid} if kid is not None else None
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


@dataclass
class FakeAuth:
    """Configures what the server answers and records what it was asked; fields may change."""

    keys: list[dict[str, Any]] = field(default_factory=list)
    jwks_answer: web.Response | None = None
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    user_answer: web.Response | None = None
    gate: asyncio.Event | None = None
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    jwks_asked: int = 0
    user_asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    @property
    def jwks_url(self) -> str:
        return f"{self.url}/auth/v1/.well-known/jwks.json"

    async def jwks(self, request: web.Request) -> web.Response:
        self.jwks_asked += 1
        self.asked.set()
        if self.gate is not None:
            await self.gate.wait()
        return self.jwks_answer or web.json_response({"keys": self.keys})

    async def user(self, request: web.Request) -> web.Response:
        self.user_asked.append(dict(request.headers))
        if self.gate is not None:
            await self.gate.wait()
        if self.user_answer is not None:
            return self.user_answer
        if request.headers.get("apikey") != SERVICE_KEY:
            return web.json_response({"message": "Invalid API key"}, status=401)
        token = request.headers["Authorization"].removeprefix("Bearer ")
        if token not in self.users:
            body = {"code": 403, "error_code": "bad_jwt", "msg": "invalid JWT"}
            return web.json_response(body, status=403)
        return web.json_response(self.users[token])


async def serve(auth: FakeAuth) -> TestServer:
    """Start the server on a free loopback port; the caller closes it."""
    app = web.Application()
    app.router.add_get("/auth/v1/.well-known/jwks.json", auth.jwks)
    app.router.add_get("/auth/v1/user", auth.user)
    server = TestServer(app, host="127.0.0.1")
    await server.start_server()
    auth.url = str(server.make_url("")).rstrip("/")
    return server
