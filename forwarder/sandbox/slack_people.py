"""The people of the sandbox's Slack and their groups.

https://docs.slack.dev/reference/objects/user-object and .../usergroup-object
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from forwarder.sandbox.slack_message import BOT_USER, TEAM_ID, SlackError

Params = Mapping[str, Any]


class People:
    """All users and user groups of the workspace, by id."""

    def __init__(self) -> None:
        self._users: dict[str, dict[str, Any]] = {}
        self._groups: dict[str, dict[str, Any]] = {}
        self.add("forwarder", user_id=BOT_USER, bot=True)
        self.add("alice")
        self.add("bob")
        self.add_group("dev-tools", ["U0ALICE", "U0BOB"])

    def add(self, name: str, *, user_id: str = "", email: str = "", deleted: bool = False, bot: bool = False) -> str:
        """Make the user ``name`` (or remake it), and tell its id."""
        user_id = user_id or _id("U0", name)
        real = name.replace(".", " ").replace("-", " ").title()
        profile = {"real_name": real, "display_name": name, "email": email or f"{name}@example.com"}
        self._users[user_id] = {
            "id": user_id,
            "team_id": TEAM_ID,
            "name": name,
            "real_name": real,
            "deleted": deleted,
            "is_bot": bot,
            "is_app_user": False,
            "tz": "Europe/Berlin",
            "tz_offset": 3600,
            "profile": {**profile, "team": TEAM_ID},
        }
        return user_id

    def add_group(self, handle: str, users: Iterable[str] = (), *, name: str = "", disabled: bool = False) -> str:
        """Make the user group ``@handle`` (or remake it), and tell its id."""
        group_id = _id("S0", handle)
        self._groups[group_id] = {
            "id": group_id,
            "team_id": TEAM_ID,
            "is_usergroup": True,
            "name": name or handle.replace("-", " ").title(),
            "handle": handle,
            "description": "",
            "is_external": False,
            "date_delete": 1 if disabled else 0,
            "users": list(users),
        }
        return group_id

    def remove(self, wanted: str) -> None:
        """Take away the user or the group of that id."""
        self._users.pop(wanted, None)
        self._groups.pop(wanted, None)

    def get(self, user_id: Any) -> dict[str, Any]:
        """The user of that id; raises SlackError."""
        user = self._users.get(str(user_id))
        if user is None:
            raise SlackError("user_not_found")
        return user

    def actor(self, user_id: str) -> dict[str, Any]:
        """The user of that id as an interaction names it; a name is as good."""
        user = self._users.get(user_id) or self.get(_id("U0", user_id))
        return {"id": user["id"], "username": user["name"], "name": user["name"], "team_id": TEAM_ID}

    def listed(self, *, emails: bool) -> list[dict[str, Any]]:
        """Every user, deleted ones included, as Slack lists them."""
        return [_shown(user, emails=emails) for user in self._users.values()]

    def info(self, params: Params, *, emails: bool) -> dict[str, Any]:
        """The answer of users.info."""
        return {"user": _shown(self.get(params.get("user")), emails=emails)}

    def by_email(self, params: Params) -> dict[str, Any]:
        """The answer of users.lookupByEmail."""
        wanted = str(params.get("email") or "").lower()
        for user in self._users.values():
            if user["profile"]["email"].lower() == wanted and not user["deleted"] and not user["is_bot"]:
                return {"user": user}
        raise SlackError("users_not_found")

    def groups(self, *, disabled: bool, users: bool, count: bool) -> dict[str, Any]:
        """The answer of usergroups.list."""
        found = []
        for group in self._groups.values():
            if disabled or not group["date_delete"]:
                shown = group if users else {key: value for key, value in group.items() if key != "users"}
                found.append({**shown, "user_count": len(group["users"])} if count else shown)
        return {"usergroups": found}


def _shown(user: Mapping[str, Any], *, emails: bool) -> dict[str, Any]:
    profile = {key: value for key, value in user["profile"].items() if emails or key != "email"}
    return {**user, "profile": profile}


def _id(prefix: str, name: str) -> str:
    return prefix + "".join(char for char in name.upper() if char.isalnum())
