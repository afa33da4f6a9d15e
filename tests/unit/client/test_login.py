"""The kept login: private, bound to the credential, and renewed before its end."""

import errno
import fcntl
import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from client.errors import CommandError
from client.login import Login, LoginCache, binding_of

NOW = 1_000_000.0
LOGIN = Login(
    token="token",
    issued_at=NOW,
    expires_at=NOW + 3600,
    gateway="http://faas.test",
    swift="http://swift.test/v1/AUTH_p",
    s3=None,
    verify=True,
)


class Keystone:
    def __init__(self, login: Login | None = LOGIN) -> None:
        self.made = login
        self.calls = 0

    def __call__(self) -> Login:
        self.calls += 1
        if self.made is None:
            raise CommandError("Keystone is down")
        return self.made


def cache_at(folder: Path, now: float = NOW, binding: str = "b") -> LoginCache:
    return LoginCache(folder, binding, clock=lambda: now)


def kept_file(folder: Path) -> Path:
    return next(folder.glob("*.json"))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o604, 0o660])
def test_file_that_others_can_read_or_write_is_not_trusted_and_is_replaced(tmp_path: Path, mode: int) -> None:
    cache_at(tmp_path).login(Keystone())
    kept_file(tmp_path).chmod(mode)
    keystone = Keystone()
    cache_at(tmp_path).login(keystone)
    assert keystone.calls == 1
    assert kept_file(tmp_path).stat().st_mode & 0o777 == 0o600


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes a file somebody else's. Only root can; a user's process is told that it is."""
    if os.geteuid() == 0:
        os.chown(path, 12345, -1)
        return
    inode, fstat = path.stat().st_ino, os.fstat

    def seen(descriptor: int) -> os.stat_result:
        state = fstat(descriptor)
        return os.stat_result((*state[:4], 12345, *state[5:])) if state.st_ino == inode else state

    monkeypatch.setattr(os, "fstat", seen)


def test_file_of_another_owner_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache_at(tmp_path).login(Keystone())
    assert cache_at(tmp_path).read() is not None
    give_away(kept_file(tmp_path), monkeypatch)
    assert cache_at(tmp_path).read() is None


def test_login_under_the_name_of_another_is_not_taken_for_it(tmp_path: Path) -> None:
    cache_at(tmp_path, binding="a").login(Keystone())
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    assert cache_at(tmp_path, binding="b").read() is None
    (tmp_path / "b.json").rename(tmp_path / "a.json")
    assert cache_at(tmp_path, binding="a").read() is not None


def test_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    cache_at(tmp_path / "own").login(Keystone())
    (tmp_path / "planted").mkdir()
    (tmp_path / "planted" / "b.json").symlink_to(kept_file(tmp_path / "own"))
    assert cache_at(tmp_path / "planted").read() is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"token": "t"}', '{"unknown": 1}', "\xff"])
def test_file_that_is_not_a_login_is_no_login(tmp_path: Path, content: str) -> None:
    cache_at(tmp_path).login(Keystone())
    kept_file(tmp_path).write_text(content, encoding="latin-1")
    assert cache_at(tmp_path).read() is None


def test_file_and_folder_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        cache_at(tmp_path / "new" / "osfaas").login(Keystone())
    finally:
        os.umask(before)
    folder = tmp_path / "new" / "osfaas"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600] * 2


def test_kept_login_serves_the_next_run(tmp_path: Path) -> None:
    keystone = Keystone()
    cache_at(tmp_path).login(keystone)
    again = cache_at(tmp_path).login(keystone)
    assert keystone.calls == 1
    assert again == replace(LOGIN, cached=True)


@pytest.mark.parametrize(
    ("lifetime", "fresh_until"), [(3_600, 1_800), (86_400, 84_600), (900, 450)], ids=["hour", "day", "quarter"]
)
def test_login_is_renewed_before_a_long_computation_could_outlive_it(
    tmp_path: Path, lifetime: int, fresh_until: int
) -> None:
    keystone = Keystone(replace(LOGIN, expires_at=NOW + lifetime))
    cache_at(tmp_path).login(keystone)
    cache_at(tmp_path, NOW + fresh_until - 1).login(keystone)
    assert keystone.calls == 1
    cache_at(tmp_path, NOW + fresh_until + 1).login(keystone)
    assert keystone.calls == 2


def test_login_that_could_be_renewed_still_serves_while_keystone_is_down(tmp_path: Path) -> None:
    cache_at(tmp_path).login(Keystone())
    assert cache_at(tmp_path, NOW + 3_000).login(Keystone(None)).token == "token"
    with pytest.raises(CommandError):
        cache_at(tmp_path, NOW + 3_601).login(Keystone(None))


def test_folder_that_cannot_be_used_costs_a_login_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    keystone = Keystone()
    for _ in range(2):
        assert cache_at(tmp_path / "file" / "osfaas").login(keystone) == LOGIN
    assert keystone.calls == 2


def test_file_system_without_locks_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert cache_at(tmp_path).login(Keystone()) == LOGIN


def test_who_hangs_while_logging_in_does_not_hang_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kept login is used as long as it lives; afterwards they log in side by side."""
    monkeypatch.setattr("client.login.LOCK_SECONDS", 0.2)
    cache_at(tmp_path).login(Keystone())
    with (tmp_path / "b.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keystone = Keystone()
        assert cache_at(tmp_path, NOW + 3_000).login(keystone).token == "token"
        assert keystone.calls == 0
        assert cache_at(tmp_path, NOW + 3_601).login(keystone) == LOGIN
        assert keystone.calls == 1


def test_logins_of_yesterday_are_removed(tmp_path: Path) -> None:
    old, new = "0" * 64, "a" * 64
    cache_at(tmp_path, binding=old).login(Keystone())
    (tmp_path / f".{'0' * 32}.new").touch()
    age(tmp_path)
    cache_at(tmp_path, binding=new).login(Keystone())
    assert {path.stem for path in tmp_path.iterdir()} == {new}


def age(folder: Path) -> None:
    for path in folder.iterdir():
        os.utime(path, (NOW - 90_000, NOW - 90_000), follow_symlinks=False)


def test_nothing_is_removed_but_what_has_a_name_of_ours(tmp_path: Path) -> None:
    """The folder may turn out to be one that somebody else uses too."""
    kept = {"notes.json", "a.lock", ".draft.new", "0" * 64, f"{'0' * 64}.json.bak", f"{'G' * 64}.json"}
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / f"{'1' * 64}.json").mkdir()
    (tmp_path / f"{'2' * 64}.json").symlink_to(tmp_path / "notes.json")
    age(tmp_path)
    cache_at(tmp_path, binding="a" * 64).login(Keystone())
    left = {path.name for path in tmp_path.iterdir()}
    assert kept | {f"{'1' * 64}.json"} <= left
    assert not [name for name in left if name.endswith(".new") and name not in kept]


def old_login(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{'0' * 64}.json"
    path.touch()
    age(folder)
    return path


def test_link_in_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    """Whoever may write to a shared XDG_CACHE_HOME could lead us to a folder of ours with other files in it."""
    victim = old_login(tmp_path / "elsewhere")
    (tmp_path / "osfaas").symlink_to(tmp_path / "elsewhere")
    keystone = Keystone()
    for _ in range(2):
        assert cache_at(tmp_path / "osfaas").login(keystone) == LOGIN
    cache_at(tmp_path / "osfaas").forget()
    assert keystone.calls == 2
    assert list((tmp_path / "elsewhere").iterdir()) == [victim]


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777, 0o1777])
def test_folder_that_others_may_write_to_is_not_used(tmp_path: Path, mode: int) -> None:
    victim = old_login(tmp_path / "osfaas")
    (tmp_path / "osfaas").chmod(mode)
    assert cache_at(tmp_path / "osfaas").login(Keystone()) == LOGIN
    assert list((tmp_path / "osfaas").iterdir()) == [victim]


def test_folder_of_another_owner_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = old_login(tmp_path / "osfaas")
    give_away(tmp_path / "osfaas", monkeypatch)
    assert cache_at(tmp_path / "osfaas").login(Keystone()) == LOGIN
    assert list((tmp_path / "osfaas").iterdir()) == [victim]


def _log_in_slowly(folder: Path, counted: Path) -> None:
    def slow() -> Login:
        time.sleep(0.3)
        with counted.open("a", encoding="ascii") as file:
            file.write("1")
        return LOGIN

    cache_at(folder).login(slow)


def test_processes_that_start_together_log_in_once(tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_log_in_slowly, args=(tmp_path / "c", counted)) for _ in range(5)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert counted.read_text(encoding="ascii") == "1"


def test_binding_changes_with_every_part_of_the_credential_and_with_nothing_else(tmp_path: Path) -> None:
    other_folder = tmp_path / "etc"
    other_folder.mkdir()
    folders = [tmp_path, other_folder]
    (tmp_path / "clouds.yaml").write_text("a: 1", encoding="utf-8")
    base = {"OS_USERNAME": "alice", "OS_PASSWORD": "x", "HOME": "/root"}
    first = binding_of(base, None, folders)
    assert binding_of({**base, "HOME": "/other", "LANG": "C"}, None, folders) == first
    changed = [
        binding_of({**base, "OS_PASSWORD": "y"}, None, folders),
        binding_of({**base, "OS_PROJECT_ID": "p"}, None, folders),
        binding_of({"OS_USERNAME": "alice"}, None, folders),
        binding_of(base, "cloud", folders),
    ]
    (tmp_path / "clouds.yaml").write_text("a: 2", encoding="utf-8")
    changed.append(binding_of(base, None, folders))
    (other_folder / "secure.yaml").write_text("b: 1", encoding="utf-8")
    changed.append(binding_of(base, None, folders))
    assert len({first, *changed}) == 7


def test_binding_reads_the_file_that_a_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere.yaml"
    file.write_text("a", encoding="utf-8")
    environment = {"OS_CLIENT_CONFIG_FILE": str(file)}
    first = binding_of(environment, None, [])
    file.write_text("b", encoding="utf-8")
    assert binding_of(environment, None, []) != first


def test_token_is_not_in_the_repr() -> None:
    assert json.dumps(LOGIN.token) not in repr(LOGIN)
    assert "token=" not in repr(LOGIN)
