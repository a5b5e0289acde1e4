"""The image store in a bucket: Amazon S3, Supabase Storage, or anything that speaks like them."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from core.errors import EpochwatchError, Fixable, Permanent, Retryable
from core.store.files import (
    FileKind,
    Kind,
    NotStored,
    StoredImage,
    checked,
    hashed_chunks,
    key_of,
    open_source,
)
from core.store.image_bytes import open_png, thumbnail

try:
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionError,  # noqa: A004 - boto's own, unrelated to the built-in one
        HTTPClientError,
        IncompleteReadError,
    )
except ImportError as error:
    raise Fixable(
        "A store at an s3:// address needs boto3. Run `pip install 'epochwatch[s3]'`, or use a "
        "folder as the store."
    ) from error

CONTENT_TYPES: dict[Kind, str] = {
    "images": "image/png",
    "thumbs": "image/webp",
    "checkpoints": "application/octet-stream",
    "files": "application/octet-stream",
}
PART_BYTES = 8 * 2**20
KEY_CODES = {
    "AccessDenied", "Forbidden", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch",
    "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "Unauthorized", "401",
}  # fmt: skip
SLOW_CODES = {
    "SlowDown", "Throttling", "ThrottlingException", "RequestTimeout", "TooManyRequests",
    "OperationAborted", "429",
}  # fmt: skip
MISSING_CODES = {"NoSuchKey", "NotFound", "404"}
ADVICE = {
    "NoSuchBucket": "has no such bucket. Create it, or correct the store address.",
    "RequestTimeTooSkewed": "says this machine's clock is wrong. Set the clock.",
    "EntityTooLarge": "takes no file of this size. Raise the bucket's upload limit.",
}


class S3Store:
    """A store in a bucket."""

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        """Use ``client``, a boto3 S3 client; everything is put below ``prefix``."""
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def put_image(self, png: bytes) -> StoredImage:
        """Check and keep a PNG and its thumbnail; the picture comes last, so it has one."""
        sha256 = hashlib.sha256(png).hexdigest()
        if not self.has("images", sha256):
            image = open_png(png)
            self._put("thumbs", sha256, thumbnail(image))
            self._put("images", sha256, png)
        return StoredImage(
            sha256=sha256, uri=self._uri("images", sha256), thumb_uri=self._uri("thumbs", sha256)
        )

    def put_file(self, kind: FileKind, sha256: str, path: Path) -> str:
        """Keep the file at ``path``, checked against ``sha256`` on the way; return its address.

        Files above 8 MB go in parts, which are taken back when the content does not match.
        """
        key = self._key(kind, sha256)
        if not self.has(kind, sha256):
            with open_source(path) as source, self._translated():
                self._client.upload_fileobj(
                    _Reader(hashed_chunks(source, sha256)),
                    self._bucket,
                    key,
                    ExtraArgs={"ContentType": CONTENT_TYPES[kind]},
                    # Parts are read by one thread in order, as the hash needs them.
                    Config=TransferConfig(
                        multipart_threshold=PART_BYTES,
                        multipart_chunksize=PART_BYTES,
                        max_concurrency=2,
                    ),
                )
        return self._uri(kind, sha256)

    def get(self, kind: Kind, sha256: str) -> bytes:
        """Return the content, checked against its name. Raises NotStored when it is not there."""
        with self._translated():
            answer = self._client.get_object(Bucket=self._bucket, Key=self._key(kind, sha256))
            content: bytes = answer["Body"].read()
        return checked(kind, sha256, content)

    def has(self, kind: Kind, sha256: str) -> bool:
        """Tell if there is something under this name."""
        try:
            with self._translated():
                self._client.head_object(Bucket=self._bucket, Key=self._key(kind, sha256))
        except NotStored:
            return False
        return True

    def presign(self, kind: Kind, sha256: str, *, seconds: int = 3600) -> str:
        """Return an address that opens without credentials for ``seconds``."""
        with self._translated():
            address: str = self._client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": self._key(kind, sha256)},
                ExpiresIn=seconds,
            )
        return address

    def _put(self, kind: Kind, sha256: str, content: bytes) -> None:
        with self._translated():
            self._client.put_object(
                Bucket=self._bucket,
                Key=self._key(kind, sha256),
                Body=content,
                ContentType=CONTENT_TYPES[kind],
            )

    def _key(self, kind: Kind, sha256: str) -> str:
        return self._prefix + key_of(kind, sha256)

    def _uri(self, kind: Kind, sha256: str) -> str:
        return f"s3://{self._bucket}/{self._key(kind, sha256)}"

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn boto's errors into ours; without a chain, as their texts may quote requests."""
        trouble: EpochwatchError
        try:
            yield
        except ClientError as error:
            trouble = self._refused(error)
        except BotoCoreError as error:
            trouble = self._failed(error)
        else:
            return
        raise trouble

    def _refused(self, error: ClientError) -> EpochwatchError:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        place = f"The image store s3://{self._bucket}/{self._prefix}"
        if code in MISSING_CODES:
            return NotStored(f"{place} has no such file: deleted, or the address is another one.")
        if code in SLOW_CODES or status >= 500:
            return Retryable(f"{place} cannot answer now ({code}). The work is tried again.")
        if code in KEY_CODES:
            return Fixable(
                f"{place} refused our credentials ({code}). Set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY to keys that may list, read and write this bucket."
            )
        if code in ADVICE:
            return Fixable(f"{place} {ADVICE[code]}")
        return Permanent(f"{place} refused a request ({code}, HTTP {status}).")

    def _failed(self, error: BotoCoreError) -> EpochwatchError:
        name = type(error).__name__
        place = f"The image store s3://{self._bucket}/{self._prefix}"
        if isinstance(error, HTTPClientError | ConnectionError | IncompleteReadError):
            return Retryable(
                f"{place} was not reached ({name}). The work is tried again; if it lasts, check "
                "the endpoint in the store address."
            )
        if "Credentials" in name or "Token" in name or "Profile" in name:
            return Fixable(
                f"{place} needs credentials, and none were found ({name}). Set AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY."
            )
        return Fixable(f"{place} cannot be used ({name}). Check bucket, endpoint and region.")


def open_s3(address: str, *, access_key: str | None, secret_key: str | None) -> S3Store:
    """Return the store of ``s3://bucket/prefix?endpoint=..&region=..``; nothing is asked yet.

    Raises Fixable when the address has other parts. Its text is never repeated: people put
    secrets there.
    """
    parts = urlsplit(address)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not parts.netloc or "@" in parts.netloc or ":" in parts.netloc or parts.fragment:
        raise Fixable(_bad_address("only the bucket belongs between s3:// and the next slash"))
    if set(options) - {"endpoint", "region"}:
        raise Fixable(_bad_address("only endpoint and region may follow the question mark"))
    prefix = parts.path.strip("/")
    try:
        client = boto3.client(
            "s3",
            endpoint_url=options.get("endpoint") or None,
            region_name=options.get("region") or "us-east-1",
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=_config(),
        )
    except (BotoCoreError, ValueError) as error:
        reason = f"endpoint, region or keys are not usable ({type(error).__name__})"
        raise Fixable(_bad_address(reason)) from None
    return S3Store(client, parts.netloc, f"{prefix}/" if prefix else "")


def _config() -> Config:
    """Return what Supabase Storage and its like need: signature 4, path addresses, no extras."""
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=5,
        read_timeout=30,
        retries={"max_attempts": 3, "mode": "standard"},
    )


def _bad_address(reason: str) -> str:
    return (
        f"The address of the image store is not understood: {reason}. Write "
        "s3://bucket/prefix?endpoint=https://...&region=... and set the keys as "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    )


class _Reader:
    """Chunks as the file that boto3 wants: readable once, in order, not seekable."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held = bytearray()

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._held) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._held += chunk
        end = len(self._held) if size < 0 else size
        piece = bytes(self._held[:end])
        del self._held[:end]
        return piece
