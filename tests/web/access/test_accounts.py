from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from msflow_stream.events.store import EventStore
from msflow_stream.types import UserError
from msflow_stream.web.access.accounts import Accounts, TooManyAttempts, WrongPassword, check_open
from msflow_stream.web.access.passwords import Cost, hashed, is_right
from msflow_stream.web.access.roles import Role, User
from tests.web.access.people import BROWSER, PASSWORD, Clock, accounts_of

HERE, THERE = "192.0.2.7", "198.51.100.9"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(store_url: str, clock: Clock) -> Iterator[Accounts]:
    with EventStore(store_url) as store:
        found = accounts_of(store, clock)
        found.add("root", PASSWORD, Role.ADMIN, None, "command line")
        yield found


def sign_in(accounts: Accounts, name: str = "root", password: str = PASSWORD, address: str = HERE) -> str:
    return accounts.sign_in(name, password, address, BROWSER)


def fail(accounts: Accounts, times: int, name: str = "root", address: str = HERE) -> None:
    for _ in range(times):
        with pytest.raises(WrongPassword):
            sign_in(accounts, name, "wrong wrong", address)


def test_a_user_signs_in_and_is_known_by_the_token(accounts: Accounts) -> None:
    accounts.add("Ann", PASSWORD, Role.OPERATOR, ["yard", "gate", "gate"], "root")
    token = sign_in(accounts, "ANN ")
    assert accounts.user(token) == User("ann", Role.OPERATOR, frozenset({"gate", "yard"}))
    assert sign_in(accounts, "ann") != token
    accounts.sessions.end(token)
    assert accounts.user(token) is None


def test_neither_passwords_nor_tokens_are_in_the_database(accounts: Accounts) -> None:
    token = sign_in(accounts)
    fail(accounts, 1)
    with accounts.store.session() as session:
        for table in ("console_users", "console_sessions", "console_audit"):
            content = str(session.execute(text(f"SELECT * FROM {table}")).all())
            assert content != "[]"
            assert PASSWORD not in content
            assert "wrong wrong" not in content
            assert token not in content


def test_a_hash_is_salted_and_knows_its_parameters() -> None:
    first, second = hashed(PASSWORD, Cost(64, 2, 1)), hashed(PASSWORD, Cost(16, 1, 2))
    assert first.startswith("scrypt$64$2$1$")
    assert first != hashed(PASSWORD, Cost(64, 2, 1))
    assert is_right(PASSWORD, first)
    assert is_right(PASSWORD, second)
    assert not is_right(PASSWORD + " ", first)
    assert is_right("päßwort-ﬁne", hashed("pa\u0308ßwort-fine", Cost(16, 1, 1))), "however the keyboard writes it"


@pytest.mark.parametrize(
    ("name", "password", "said"),
    [
        ("", PASSWORD, "cannot be a name"),
        ("a b", PASSWORD, "cannot be a name"),
        ("<b>", PASSWORD, "cannot be a name"),
        ("x" * 65, PASSWORD, "cannot be a name"),
        ("Local", PASSWORD, "whoever sits at the machine"),
        ("ROOT", PASSWORD, "there is a user 'root' already"),
        ("ann", "short", "at least 10"),
        ("ann", "x" * 1001, "1000 at most"),
        ("annannannann", "AnnAnnAnnAnn", "the name is no password"),
        ("ann", "aaaaaaaaaaaa", "too few different"),
    ],
)
def test_what_cannot_be_a_user_is_refused_and_no_error_shows_a_password(
    name: str, password: str, said: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with EventStore(f"sqlite:///{tmp_path_factory.mktemp('people')}/events.db") as store:
        accounts = accounts_of(store)
        accounts.add("root", PASSWORD, Role.ADMIN, None, "command line")
        with pytest.raises(UserError, match=said) as error:
            accounts.add(name, password, Role.VIEWER, None, "root")
        assert password not in str(error.value)
        assert [one.name for one in accounts.all()] == ["root"]


def test_a_session_ends_when_it_is_not_used_and_in_the_end_anyway(accounts: Accounts, clock: Clock) -> None:
    token = sign_in(accounts)
    for _ in range(5):
        clock.move(days=5.9)
        assert accounts.user(token) is not None
    clock.move(days=0.6)
    assert accounts.user(token) is None, "30 days"
    token = sign_in(accounts)
    clock.move(days=7.01)
    assert accounts.user(token) is None, "7 days without use"
    assert accounts.sessions.all() == []


def test_a_change_of_role_or_password_and_removal_end_a_users_sessions(accounts: Accounts) -> None:
    accounts.add("ann", PASSWORD, Role.VIEWER, None, "root")
    mine = sign_in(accounts)
    for change in (
        lambda: accounts.set_role("ann", Role.OPERATOR, "root"),
        lambda: accounts.set_password("ann", PASSWORD, "root"),
        lambda: accounts.sign_out("ann", "root"),
        lambda: accounts.end_session(next(one.id for one in accounts.sessions.all() if one.user == "ann"), "root"),
        lambda: accounts.remove("ann", "root"),
    ):
        token = sign_in(accounts, "ann")
        assert accounts.user(token) is not None
        change()
        assert accounts.user(token) is None
    assert accounts.user(mine) is not None
    with pytest.raises(WrongPassword):
        sign_in(accounts, "ann")


def test_cameras_are_changed_for_sessions_that_live(accounts: Accounts) -> None:
    accounts.add("ann", PASSWORD, Role.VIEWER, None, "root")
    token = sign_in(accounts, "ann")
    accounts.set_cameras("ann", ["gate"], "root")
    user = accounts.user(token)
    assert user is not None
    assert user.sees("gate")
    assert not user.sees("yard")
    accounts.set_cameras("ann", [], "root")
    assert (user := accounts.user(token)) is not None
    assert not user.sees("gate")


def test_one_admin_stays(accounts: Accounts) -> None:
    accounts.add("ann", PASSWORD, Role.OPERATOR, None, "root")
    for change in (
        lambda: accounts.remove("root", "root"),
        lambda: accounts.remove("root", "command line", even_last=True),
        lambda: accounts.set_role("root", Role.VIEWER, "root"),
    ):
        with pytest.raises(UserError, match="root is the only admin"):
            change()
    accounts.set_role("ann", Role.ADMIN, "root")
    accounts.remove("root", "ann")
    with pytest.raises(UserError, match="ann is the only admin"):
        accounts.remove("ann", "ann")
    accounts.remove("ann", "command line", even_last=True)
    assert not accounts.any()


def test_two_admins_who_remove_each_other_at_once_leave_one(accounts: Accounts) -> None:
    def remove(name: str) -> bool:
        try:
            accounts.remove(name, "another")
        except UserError:
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        for turn in "abcd":
            names = [one.name for one in accounts.all()]
            others = [accounts.add(f"{turn}{number}", PASSWORD, Role.ADMIN, None, "root") for number in range(3)]
            assert sum(threads.map(remove, [*names, *others])) == 3
            assert len(accounts.all()) == 1


def test_failures_make_the_next_attempt_wait_longer_and_longer_but_not_for_ever(
    accounts: Accounts, clock: Clock
) -> None:
    fail(accounts, 5)
    waits = []
    for _ in range(13):
        with pytest.raises(TooManyAttempts) as refused:
            sign_in(accounts)
        waits.append(refused.value.wait)
        clock.move(seconds=refused.value.wait)
        fail(accounts, 1)
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) == 900
    clock.move(seconds=900)
    assert accounts.user(sign_in(accounts))
    clock.move(hours=1)
    fail(accounts, 5)


def test_many_attempts_at_once_gain_nothing(accounts: Accounts) -> None:
    def attempt(_: int) -> type[Exception]:
        try:
            sign_in(accounts, password="wrong wrong")
        except (WrongPassword, TooManyAttempts) as error:
            return type(error)
        raise AssertionError

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(attempt, range(16))).count(WrongPassword) == 5


def test_whoever_fails_elsewhere_locks_nobody_out(accounts: Accounts, clock: Clock) -> None:
    sign_in(accounts)
    fail(accounts, 5, address=THERE)
    with pytest.raises(TooManyAttempts):
        sign_in(accounts, address="203.0.113.5")
    sign_in(accounts)


def test_an_address_has_a_limit_of_its_own_whatever_names_are_tried(accounts: Accounts) -> None:
    for number in range(20):
        fail(accounts, 1, f"name{number}", THERE)
    with pytest.raises(TooManyAttempts):
        sign_in(accounts, "root", address=THERE)
    for number in range(20):
        fail(accounts, 1, f"other{number}", f"2001:db8:1:2::{number}")
    with pytest.raises(TooManyAttempts):
        sign_in(accounts, "root", address="2001:db8:1:2::ffff")
    sign_in(accounts, "root", address="2001:db8:1:3::1")


def test_an_unknown_name_is_checked_as_any_other(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[Cost] = []
    compare = "msflow_stream.web.access.passwords._digest"
    monkeypatch.setattr(compare, lambda password, salt, cost: costs.append(cost) or b"no")
    fail(accounts, 1, "root")
    fail(accounts, 1, "nobody")
    assert accounts._nobody
    fail(accounts, 1, "nobody2")
    assert len(set(costs)) == 1


def test_the_log_says_who_did_what_newest_first(accounts: Accounts, clock: Clock) -> None:
    accounts.add("ann", PASSWORD, Role.VIEWER, ["gate"], "root")
    clock.move(minutes=1)
    accounts.audit("ann", "label", "gate-5", {"label": "normal"})
    fail(accounts, 1, "ann")
    fail(accounts, 1, PASSWORD)  # somebody typed it into the wrong field
    lines = accounts.audit_lines(10)
    assert [(one.by, one.action, one.target) for one in lines] == [
        ("ann", "sign-in refused", "ann"),
        ("ann", "label", "gate-5"),
        ("root", "user added", "ann"),
        ("command line", "user added", "root"),
    ]
    assert (lines[1].at, lines[1].address, lines[1].details) == (clock.now, "this machine", {"label": "normal"})
    assert accounts.audit_lines(1, before=lines[1].number) == [lines[2]]
    assert accounts.audit_lines(9, by="root") == [lines[2]]


def test_elsewhere_than_on_this_machine_a_console_needs_a_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    with EventStore(f"sqlite:///{tmp_path_factory.mktemp('open')}/events.db") as store:
        accounts = accounts_of(store)
        for host in ("127.0.0.1", "localhost", "::1", "[::1]", "127.1.2.3"):
            check_open(host, accounts)
        for host in ("0.0.0.0", "::", "192.0.2.1", "cameras.example", "127.0.0.1.example", ""):
            with pytest.raises(UserError, match="first add a user"):
                check_open(host, accounts)
        accounts.add("ann", PASSWORD, Role.ADMIN, None, "command line")
        check_open("0.0.0.0", accounts)
