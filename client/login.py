"""A login: a token, the endpoints that it is valid for, and the file that caches it.

A script that is called for every file cannot ask Keystone each time. The login is cached in a file that only its owner
can read. Its name is derived from everything that the login depends on: all `OS_*` variables and the content of the
`clouds.yaml` files. A change of one of them leads to a new login.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

# After a computation, the gateway stats the object again with the same token.
MARGIN_SECONDS = 1_800.0
FORGOTTEN_AFTER_SECONDS = 86_400.0
# Longer than a login may take.
LOCK_SECONDS = 40.0
_LOCK_LOOK_SECONDS = 0.05
_OUR_NAMES = re.compile(r"[0-9a-f]{64}\.(?:json|lock)|\.[0-9a-f]{32}\.new")
_NAMES = ("clouds", "secure", "clouds-public")
_FILE_VARIABLES = ("OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE", "OS_CLIENT_VENDOR_FILE")


@dataclass(frozen=True)
class Login:
    """A token of Keystone, and the endpoints of the services.

    Attributes:
        token: project-scoped.
        issued_at: seconds since the epoch.
        expires_at: seconds since the epoch.
        gateway: base URL of the gateway, without `/v1` and without a trailing slash.
        swift: URL of the project's account, or None.
        s3: URL of the S3 service, or None.
        verify: a CA file, or whether certificates are verified at all.
        cached: whether it is from an earlier run.
    """

    token: str = field(repr=False)
    issued_at: float
    expires_at: float
    gateway: str
    swift: str | None
    s3: str | None
    verify: bool | str
    cached: bool = False

    def is_fresh(self, now: float) -> bool:
        """Whether it lasts for a long computation: half its lifetime is left, or half an hour."""
        return now < self.expires_at - min(MARGIN_SECONDS, (self.expires_at - self.issued_at) / 2)


def binding_of(environment: Mapping[str, str], cloud: str | None, folders: list[Path]) -> str:
    """A digest of everything that a login depends on, in hex.

    Args:
        environment: its `OS_*` variables are included.
        cloud: named on the command line, or None.
        folders: may contain `clouds.yaml` and its companions.
    """
    files = [
        folder / f"{name}{suffix}" for folder in folders for name in _NAMES for suffix in (".yaml", ".yml", ".json")
    ]
    files += [Path(environment[name]) for name in _FILE_VARIABLES if environment.get(name)]
    parts: list[object] = [cloud, sorted((k, v) for k, v in environment.items() if k.startswith("OS_"))]
    for path in files:
        with contextlib.suppress(OSError):
            parts.append([str(path), hashlib.sha256(path.read_bytes()).hexdigest()])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def cloud_folders(environment: Mapping[str, str]) -> list[Path]:
    """The folders in which openstacksdk looks for `clouds.yaml`, in its order."""
    home = Path(environment.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    return [Path.cwd(), home / "openstack", Path("/etc/openstack")]


def cache_folder(environment: Mapping[str, str]) -> Path:
    """The folder of cached logins."""
    return Path(environment.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "osfaas"


class LoginCache:
    """One login in a private file. Without a usable folder, nothing is cached.

    All names are resolved in the open folder whose owner was checked, so nobody can replace it meanwhile.
    """

    def __init__(self, folder: Path, binding: str, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._binding = binding
        self._name = f"{binding}.json"
        self._clock = clock

    def login(self, log_in: Callable[[], Login]) -> Login:
        """The cached login while it is fresh, otherwise a new one; one process at a time calls `log_in`.

        Raises:
            CommandError: `log_in` raised it, and the cached login has expired.
        """
        kept = self.read()
        if kept is not None and kept.is_fresh(self._clock()):
            return kept
        with self._locked() as alone:
            kept = self.read()  # another process may have been faster
            usable = kept is not None and self._clock() < kept.expires_at
            if kept is not None and (kept.is_fresh(self._clock()) or (usable and not alone)):
                return kept
            try:
                made = log_in()
            except Exception:
                if kept is not None and usable:
                    return kept
                raise
            with contextlib.suppress(OSError), self._opened() as folder:
                self._write(made, folder)
                self._forget_old(folder)
            return made

    def read(self) -> Login | None:
        """The cached login, fresh or not; None if others could have read or written the file."""
        try:
            with self._opened() as folder:
                descriptor = os.open(self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except OSError:
            return None
        with os.fdopen(descriptor, encoding="utf-8") as file:
            state = os.fstat(file.fileno())
            if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid() or state.st_mode & 0o077:
                return None
            try:
                kept = json.load(file)
                # A user who can write to the folder could rename one login to another.
                if kept.pop("binding") != self._binding:
                    return None
                return Login(**{**kept, "cached": True})
            except (ValueError, TypeError, AttributeError, KeyError):
                return None

    def forget(self) -> None:
        """Removes the cached login, whose token was rejected."""
        with contextlib.suppress(OSError), self._opened() as folder:
            os.unlink(self._name, dir_fd=folder)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor of the folder.

        Raises:
            OSError: it does not exist, is a link, or is writable by others.
        """
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            state = os.fstat(folder)
            if state.st_uid != os.geteuid() or state.st_mode & 0o022:
                raise PermissionError(errno.EPERM, "writable by others", str(self._folder))
            yield folder
        finally:
            os.close(folder)

    def _write(self, login: Login, folder: int) -> None:
        # After the rename, readers see the complete file or the old one.
        draft = f".{os.urandom(16).hex()}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(draft, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({**asdict(login), "binding": self._binding}, file)
            os.replace(draft, self._name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(draft, dir_fd=folder)
            raise

    def _forget_old(self, folder: int) -> None:
        for name in filter(_OUR_NAMES.fullmatch, os.listdir(folder)):
            with contextlib.suppress(OSError):
                changed = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
                if changed < self._clock() - FORGOTTEN_AFTER_SECONDS:
                    os.unlink(name, dir_fd=folder)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[bool]:
        """Yields whether this process has the lock; False if the holder hangs or the file system has no locks."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            with self._opened() as folder:
                descriptor = os.open(f"{self._binding}.lock", flags, 0o600, dir_fd=folder)
        except OSError:
            yield False
            return
        try:
            yield _lock(descriptor)
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> bool:
    for _ in range(int(LOCK_SECONDS / _LOCK_LOOK_SECONDS)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_LOOK_SECONDS)
        except OSError:
            return False
        else:
            return True
    return False
