"""The keys of a project, and tokens as its auth server signs them."""

import base64
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

AUDIENCE = "authenticated"
HOUR = 3600


@dataclass
class Keys:
    """The API keys, the old shared secret and the new signing key of one project."""

    service_key: str = field(default_factory=lambda: f"sb_secret_{secrets.token_urlsafe(24)}")
    anon_key: str = field(default_factory=lambda: f"sb_publishable_{secrets.token_urlsafe(24)}")
    jwt_secret: str = field(default_factory=lambda: secrets.token_urlsafe(40))
    kid: str = field(default_factory=lambda: secrets.token_hex(8))
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def public(self) -> dict[str, Any]:
        """The key set that everybody may read (`/auth/v1/.well-known/jwks.json`)."""
        text = jwt.algorithms.ECAlgorithm.to_jwk(self.private.public_key())
        more = {"kid": self.kid, "alg": "ES256", "use": "sig", "key_ops": ["verify"]}
        return {"keys": [{**json.loads(text), **more}]}

    def of_the_api(self) -> dict[str, Any]:
        """The key set that PostgREST checks tokens with: the public one and the shared secret."""
        secret = base64.urlsafe_b64encode(self.jwt_secret.encode()).rstrip(b"=").decode()
        shared = {"kty": "oct", "k": secret, "alg": "HS256"}
        return {"keys": [*self.public()["keys"], shared]}

    def hs256(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.jwt_secret, algorithm="HS256")

    def es256(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.private, algorithm="ES256", headers={"kid": self.kid})

    def read(self, token: str) -> dict[str, Any]:
        """The claims of a token that this project signed; raises `jwt.InvalidTokenError`."""
        own = jwt.get_unverified_header(token).get("kid") == self.kid
        key: Any = self.private.public_key() if own else self.jwt_secret
        algorithms = ["ES256" if own else "HS256"]
        return jwt.decode(token, key, algorithms=algorithms, audience=AUDIENCE)

    def role_token(self, role: str) -> str:
        """What the gateway makes of an API key: a short-lived token of its role."""
        now = int(time.time())
        return self.hs256({"iss": "supabase", "role": role, "iat": now, "exp": now + HOUR})


def user_claims(issuer: str, sub: str, role: str) -> dict[str, Any]:
    """What stands in every token of a person."""
    now = int(time.time())
    return {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": sub,
        "role": role,
        "iat": now,
        "exp": now + HOUR,
        "aal": "aal1",
        "is_anonymous": False,
        "app_metadata": {"provider": "email"},
    }
