"""Names in archives: which are refused, and which would be the same file on another machine."""

import stat
import unicodedata

from builds.archive.limits import ArchiveLimits
from builds.errors import ArchiveError

_MOST_SHOWN = 80
_PART_BYTES = 255
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


def shown(name: str | bytes) -> str:
    """A name for a sentence: quoted, without control characters, not endless."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    return ascii(text) if len(text) <= _MOST_SHOWN else ascii(text[:_MOST_SHOWN]) + "…"


def clean_name(raw: bytes, limits: ArchiveLimits) -> str:
    """The name of an entry relative to the folder, without the `./` that tar writes; "" for the folder itself.

    Raises:
        ArchiveError: the name leads out of the folder, or is none that every system has.
    """
    if len(raw) > limits.name_bytes:
        raise ArchiveError(f"The name {shown(raw)} is longer than {limits.name_bytes} bytes.")
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ArchiveError(f"The name {shown(raw)} is not UTF-8. Rename the file.") from error
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise ArchiveError(f"The name {shown(raw)} has a control character. Rename the file.")
    if "\\" in name:
        raise ArchiveError(f"The name {shown(raw)} has a backslash. Use an archiver that writes '/' between folders.")
    if name.startswith("/") or name[1:2] == ":":
        raise ArchiveError(f"The name {shown(raw)} is absolute. Archive the folder's content with relative names.")
    return "/".join(_checked_parts(name, raw, limits))


def _checked_parts(name: str, raw: bytes, limits: ArchiveLimits) -> list[str]:
    parts = name.removesuffix("/").split("/")
    if parts[0] == ".":
        parts = parts[1:]
    if ".." in parts:
        raise ArchiveError(f"The name {shown(raw)} leads out of the folder.")
    if "" in parts[:-1] or "." in parts or (parts and not parts[-1]):
        raise ArchiveError(f"The name {shown(raw)} has an empty part or '.'.")
    if len(parts) > limits.depth:
        raise ArchiveError(f"The name {shown(raw)} has more than {limits.depth} folders.")
    if any(len(part.encode()) > _PART_BYTES for part in parts):
        raise ArchiveError(f"The name {shown(raw)} has a part of more than {_PART_BYTES} bytes.")
    return parts


def check_mode(name: str, mode: int) -> None:
    """Refuses what is neither a file nor a folder, and bits that change rights.

    Args:
        name: of the entry.
        mode: as `st_mode`; without a type it is a file or folder.

    Raises:
        ArchiveError: says what it is.
    """
    kind = stat.S_IFMT(mode)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        what = _KINDS.get(kind, "no file")
        raise ArchiveError(f"{shown(name)} is {what}. An archive may have files and folders only.")
    if mode & _SPECIAL_BITS:
        raise ArchiveError(f"{shown(name)} has the setuid, setgid or sticky bit. Remove it (chmod a-st).")


class NameSet:
    """The names of an archive so far. Two that some file system takes for one are refused."""

    def __init__(self, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._exact: dict[str, str] = {}

    def add(self, name: str, *, folder: bool) -> None:
        """Adds a clean name.

        Raises:
            ArchiveError: the file is there already, differs in case or Unicode form only, or is a folder elsewhere.
        """
        parts = name.split("/")
        folded = [unicodedata.normalize("NFC", part).casefold() for part in parts]
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            known = self._exact.setdefault("/".join(folded[:depth]), path)
            if known != path:
                raise ArchiveError(
                    f"{shown(known)} and {shown(path)} differ in case or Unicode form only. Rename one of them."
                )
            if len(self._exact) > self._limits.entries:
                # Folders that only the names of files mention cost as much.
                raise ArchiveError(f"The archive has more than {self._limits.entries:,} files and folders.")
            if depth < len(parts) or folder:
                self._add_folder(path)
        if not folder:
            self._add_file(name)

    def _add_folder(self, path: str) -> None:
        if path in self._files:
            raise ArchiveError(f"{shown(path)} is a file and a folder in the archive.")
        self._folders.add(path)

    def _add_file(self, path: str) -> None:
        if path in self._files:
            raise ArchiveError(f"The archive has {shown(path)} twice.")
        if path in self._folders:
            raise ArchiveError(f"{shown(path)} is a folder and a file in the archive.")
        self._files.add(path)
