"""Signature Version 4 of S3 requests, to hold those of our own code against, and to sign others."""

import hashlib
import hmac
import re

AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d+)/([^/]+)/s3/aws4_request, ?"
                           r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$")


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signature(request, names, secret, day, region):
    """Of a request (method, path with query, headers by small name) over the headers of those names."""
    path, _, query = request.path.partition("?")
    canonical = "\n".join([request.method, path, "&".join(sorted(query.split("&"))),
                           *(f"{name}:{request.headers[name].strip()}" for name in names), "", ";".join(names),
                           request.headers["x-amz-content-sha256"]])
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for step in (day, region, "s3", "aws4_request"):
        key = digest(key, step)
    return digest(key, text).hex()


def check(request, secret):
    """The names of the headers that are signed; fails where the signature is not the secret's."""
    _, day, region, names, given = AUTHORIZATION.match(request.headers["authorization"]).groups()
    names = names.split(";")
    assert given == signature(request, names, secret, day, region), request
    assert hashlib.sha256(request.body).hexdigest() == request.headers["x-amz-content-sha256"]
    return names


def drop_header(request, dropped, secret):
    """Takes a header out of the request and signs it anew."""
    access, day, region, names, _ = AUTHORIZATION.match(request.headers["authorization"]).groups()
    names = [name for name in names.split(";") if name != dropped]
    del request.headers[dropped]
    request.headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={access}/{day}/{region}/s3/aws4_request, SignedHeaders={';'.join(names)}, "
        f"Signature={signature(request, names, secret, day, region)}")
