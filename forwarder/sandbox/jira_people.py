"""What people do in the sandbox's Jira, each in their own name."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from forwarder.sandbox.jira_project import Project
from forwarder.sandbox.jira_workflow import CATEGORIES, Status


class People:
    """The verbs of people. They go past permissions and screens, and raise LookupError for what is not there."""

    project: Project
    lock: threading.RLock

    def move(self, key: str, status: str, *, by: str = "alice", resolution: str | None = None) -> None:
        """Bring the issue to the status of that id, name or category, by whatever way the workflow has.

        ``resolution`` is the name of one, where another than the usual is wanted.
        """
        with self.lock:
            issue, wanted = self._one(key), self._status(status)
            fields: dict[str, Any] = {"resolution": {"name": resolution}} if resolution else {}
            if "resolution" in wanted.required and not resolution:
                fields = {"resolution": {"id": "10000"}}
            self.project.move(issue, wanted.transition, fields, by=self._account(by))

    def assign(self, key: str, user: str | None, *, by: str = "alice") -> None:
        """Make ``user`` (a name) the assignee, or nobody."""
        with self.lock:
            account = None if user is None else self.project.accounts.named(user)
            value = account and {
                "accountId": account.id, "name": account.name, "displayName": account.display_name,
            }  # fmt: skip
            self.project.edit(self._one(key), {"fields": {"assignee": value}}, rich=False, by=self._account(by))

    def edit(self, key: str, fields: Mapping[str, Any], *, by: str = "alice") -> None:
        """Set fields as the API names them; texts are texts."""
        with self.lock:
            self.project.edit(self._one(key), {"fields": fields}, rich=False, by=self._account(by))

    def comment(self, key: str, text: str, *, by: str = "alice") -> None:
        """Say something below the issue."""
        with self.lock:
            self.project.comment(self._one(key), text, rich=False, by=self._account(by))

    def clone(self, key: str, *, by: str = "alice") -> str:
        """Copy the issue with all that its fields hold, and tell the key of the copy."""
        with self.lock:
            return str(self.project.clone(self._one(key), by=self._account(by))["key"])

    def write(self, fields: Mapping[str, Any], *, by: str = "alice") -> str:
        """Make an issue of their own, with a text for a description, and tell its key."""
        with self.lock:
            made = {"project": {"key": self.project.key}, "issuetype": {"name": "Task"}, **fields}
            return str(self.project.create(made, rich=False, by=self._account(by))["key"])

    def add_account(self, name: str, display_name: str = "") -> str:
        """Make an account, and tell its id."""
        with self.lock:
            return self.project.accounts.add(name, display_name).id

    def _one(self, key: str) -> dict[str, Any]:
        issue = self.project.get(key)
        if issue is None:
            raise LookupError(f"no issue {key}")
        return issue

    def _status(self, wanted: str) -> Status:
        for status in self.project.workflow:
            names = (status.id, status.name, status.category, CATEGORIES[status.category][1])
            if wanted.lower() in (name.lower() for name in names):
                return status
        raise LookupError(f"no status {wanted}")

    def _account(self, name: str) -> str:
        return self.project.accounts.named(name).name
