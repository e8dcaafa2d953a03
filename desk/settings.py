"""Configuration: environment variables with the prefix `ATUM_`, and a `.env` file in the working directory."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from desk.errors import InvalidInput, SettingsError
from desk.notices.addresses import sender
from desk.notices.mail_server import MailServer
from desk.notices.reach import Reach


def _postgres_url(url: str) -> str:
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("must begin with postgresql://")
    return url


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError) as error:  # a name that no file system takes; the home of nobody
        raise ValueError(f"is no path that can be used ({error})") from None


def _smtp_url(url: SecretStr) -> SecretStr:
    try:
        MailServer.read(url.get_secret_value())
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    return url


def _sender(text: str) -> str:
    try:
        sender(text)
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    return text


def _listed(text: Any) -> Any:
    return [part.strip() for part in text.split(",") if part.strip()] if isinstance(text, str) else text


def _reach(entries: tuple[str, ...]) -> tuple[str, ...]:
    try:
        Reach.read(entries)
    except InvalidInput as error:
        raise ValueError(str(error)) from None
    return entries


def _endpoint(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValueError("must begin with http:// or https:// and name a host")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must hold no user, question or fragment; a key goes into ATUM_LLM_API_KEY")
    return url.rstrip("/").removesuffix("/chat/completions")


PostgresUrl = Annotated[str, AfterValidator(_postgres_url)]
Directory = Annotated[Path, AfterValidator(_absolute)]


class Settings(BaseSettings):
    """Every setting, its default and its meaning. Durations carry their unit in the name."""

    model_config = SettingsConfigDict(env_prefix="ATUM_", env_file=".env", env_ignore_empty=True, extra="ignore")

    database_url: PostgresUrl | None = Field(
        default=None, description="Postgres 14+; unset: an embedded Postgres in ATUM_HOME"
    )
    owner_url: PostgresUrl | None = Field(
        default=None, description="who migrates, where ATUM_DATABASE_URL's login may not"
    )
    broker_url: PostgresUrl | None = Field(
        default=None, description="where the messages live; unset: the same database"
    )
    home: Directory = Field(default=Path(".atum"), description="embedded Postgres, models, state of this installation")

    pool_size: int = Field(default=12, ge=1, le=500, description="desk connections of one process at the most")
    pool_timeout_seconds: float = Field(default=30.0, gt=0, description="how long to wait for a free connection")

    embed_model: str = Field(
        default="sentence-transformers/all-MiniLM-L6-v2", description="a model that fastembed knows"
    )
    embed_model_dir: Directory | None = Field(default=None, description="folder with model.onnx and tokenizer.json")
    embed_models_dir: Directory | None = Field(
        default=None, description="folders of further models, each named like its model with -- for /"
    )
    embed_threads: int = Field(default=1, ge=1, le=64, description="threads of one pass through the model")

    web_host: str = Field(default="127.0.0.1", description="address the API listens on")
    web_port: int = Field(default=8000, ge=1, le=65535, description="port the API listens on")
    api_token: SecretStr | None = Field(
        default=None, description="when set, the API wants it as `Authorization: Bearer …`"
    )

    smtp_url: Annotated[SecretStr, AfterValidator(_smtp_url)] | None = Field(
        default=None, description="the mail server: smtp://user:password@host:587?starttls=yes, or smtps://…"
    )
    mail_from: Annotated[str, AfterValidator(_sender)] | None = Field(
        default=None, description="who mails are from, where the organization names nobody"
    )
    webhooks_may_reach: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed), AfterValidator(_reach)] = Field(
        default=(), description="hosts and networks off the public internet that webhooks may be sent to"
    )

    llm_url: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        default=None, description="an OpenAI-compatible endpoint (http://localhost:11434/v1); unset: no language model"
    )
    llm_model: str | None = Field(default=None, description="the model's name at that endpoint")
    llm_api_key: SecretStr | None = Field(default=None, description="the endpoint's key, if it wants one")
    llm_timeout_seconds: float = Field(
        default=20.0, gt=0, le=120, description="how long an answer of the language model may take"
    )

    log_format: Literal["console", "json"] = Field(
        default="console", description="log lines for people or for machines"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="the least that is logged"
    )


@cache
def settings() -> Settings:
    """The settings of this process, read once.

    Raises:
        SettingsError: a value cannot be used, and the message names the variable and what is wrong with it; or .env
            cannot be read.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "ATUM_" + "_".join(str(part) for part in first["loc"]).upper()
        reason = first["msg"].removeprefix("Value error, ")
        # The value itself stays out of the message: a URL may hold a password.
        raise SettingsError(f"{name} cannot be used: {reason}. Correct it in the environment or in .env.") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"The file .env in {Path.cwd()} is not UTF-8 at byte {error.start}.") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(f"The file .env cannot be looked for in this folder: {reason}. Start in another.") from None
