"""A login: a token, where it is good for, and the file in which it waits for the next run.

A script that is called for every file cannot ask Keystone each time. Its answer is kept in a file that
only its owner can read, under a name that is made from everything the login depends on: all `OS_*` variables
and the content of the `clouds.yaml` files. A change of one of them leads to another login.
"""

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

# The gateway looks at the object once more after a computation, with the same token.
MARGIN_SECONDS = 1_800.0
FORGOTTEN_AFTER_SECONDS = 86_400.0
# Longer than a log-in may take.
LOCK_SECONDS = 40.0
_LOCK_LOOK_SECONDS = 0.05
_OUR_NAMES = re.compile(r"[0-9a-f]{64}\.(?:json|lock)|\.[0-9a-f]{32}\.new")
_NAMES = ("clouds", "secure", "clouds-public")
_FILE_VARIABLES = ("OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE", "OS_CLIENT_VENDOR_FILE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """What Keystone gave, and where it can be used.

    Attributes:
        token: project-scoped.
        issued_at: seconds since the epoch.
        expires_at: seconds since the epoch.
        gateway: base URL of the gateway, without `/v1` and without a trailing slash.
        swift: URL of the project's account, or None.
        s3: URL of the S3 service, or None.
        verify: a CA file, or whether certificates are verified at all.
        cached: whether it comes from an earlier run.
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
        """Whether it will do for a long computation: half its life is left, or half an hour."""
        return now < self.expires_at - min(MARGIN_SECONDS, (self.expires_at - self.issued_at) / 2)


def binding_of(environment: Mapping[str, str], cloud: str | None, folders: list[Path]) -> str:
    """A name for everything that a login depends on, in hex.

    Args:
        environment: whose `OS_*` variables count.
        cloud: the cloud that was named on the command line.
        folders: where `clouds.yaml` and its companions may lie.
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
    """Where openstacksdk looks for `clouds.yaml`, in its order."""
    home = Path(environment.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    return [Path.cwd(), home / "openstack", Path("/etc/openstack")]


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where logins are kept."""
    return Path(environment.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "osfaas"


class LoginCache:
    """One login in a private file. A folder that cannot be used makes the cache empty, and nothing worse.

    All names are looked up in the folder that was seen to be ours, so nobody can put another one in its place.
    """

    def __init__(self, folder: Path, binding: str, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._binding = binding
        self._name = f"{binding}.json"
        self._clock = clock

    def login(self, log_in: Callable[[], Login]) -> Login:
        """The kept login while it is fresh, otherwise a new one; `log_in` is called by one process at a time.

        Raises:
            CommandError: what `log_in` raises, unless the kept login still has some life left.
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
        """The kept login, fresh or not; None if there is none that nobody else could have written or read."""
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
        """Drops the login, whose token was refused."""
        with contextlib.suppress(OSError), self._opened() as folder:
            os.unlink(self._name, dir_fd=folder)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor of the folder.

        Raises:
            OSError: there is none, it is a link, or somebody else could put files there.
        """
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            state = os.fstat(folder)
            if state.st_uid != os.geteuid() or state.st_mode & 0o022:
                raise PermissionError(errno.EPERM, "others may write to it", str(self._folder))
            yield folder
        finally:
            os.close(folder)

    def _write(self, login: Login, folder: int) -> None:
        # The rename shows the file whole or not at all.
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
        """Whether no other process logs in meanwhile: who does may hang, and not every file system has locks."""
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
