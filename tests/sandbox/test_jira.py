"""The sandbox's Jira, Cloud and Data Center, asked by the real SDK and over plain HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from jira import JIRA, JIRAError

from forwarder.sandbox import Sandbox, adf, jql

DOCUMENT = adf.from_text("One\nTwo")
BASE: dict[str, Any] = {"project": {"key": "SEC"}, "issuetype": {"name": "Bug"}, "summary": "Something"}
Rest = Callable[..., httpx2.Response]


@pytest.fixture(params=["cloud", "dc"])
def client(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[JIRA]:
    """The SDK, as it talks to Cloud and to Data Center."""
    jira = sandbox.jira
    auth: dict[str, Any] = {"token_auth": jira.token}
    if request.param == "cloud":
        auth = {"basic_auth": (jira.email, jira.token)}
    client = JIRA(jira.url, max_retries=0, timeout=(3, 10), **auth)
    yield client
    client._session.close()


@pytest.fixture
def cloud(sandbox: Sandbox) -> Iterator[Rest]:
    """Cloud's REST API v3: ``cloud("GET", "myself")``."""
    with httpx2.Client(auth=(sandbox.jira.email, sandbox.jira.token)) as http:
        yield lambda method, path, **more: http.request(method, f"{sandbox.jira.url}/rest/api/3/{path}", **more)


def keys(cloud: Rest, query: str, **more: Any) -> list[str]:
    answer = cloud("GET", "search/jql", params={"jql": query, "fields": "labels", **more})
    return [issue["key"] for issue in answer.json()["issues"]]


def create(cloud: Rest, **fields: Any) -> httpx2.Response:
    return cloud("POST", "issue", json={"fields": {**BASE, **fields}})


def test_an_issue_from_birth_to_deletion(sandbox: Sandbox, client: JIRA) -> None:
    """The SDK creates, finds, comments, moves and deletes an issue on Cloud and on Data Center."""
    issue = client.create_issue(fields={**BASE, "description": "Text", "labels": ["sentrytex-a"]}, prefetch=False)
    found = client.search_issues('project = SEC AND labels = "sentrytex-a" ORDER BY created DESC', fields="summary")
    assert [one.key for one in found] == [issue.key]
    client.add_comment(issue.key, "Hello")
    ways = {way["to"]["statusCategory"]["key"]: way["id"] for way in client.transitions(issue.key)}
    client.transition_issue(issue.key, ways["done"])
    read = client.issue(issue.key)
    assert (read.fields.description, read.fields.status.statusCategory.key) == ("Text", "done")
    assert [one.body for one in client.comments(issue.key)] == ["Hello"]
    assert sandbox.jira.issues[issue.key]["transitions"] == [ways["done"]]
    client._session.delete(read.self)
    assert sandbox.jira.issues == {}
    assert list(client.search_issues("labels = sentrytex-a")) == []
    with pytest.raises(JIRAError) as gone:
        client.issue(issue.key)
    assert gone.value.status_code == 404


def test_who_one_is_and_what_one_may(sandbox: Sandbox, client: JIRA) -> None:
    """The account, its rights, the project and its issue types can be asked."""
    assert client.myself()["emailAddress"] == sandbox.jira.email
    sandbox.jira.permissions.discard("CREATE_ISSUES")
    told: Any = client.my_permissions(projectKey="SEC", permissions="CREATE_ISSUES,BROWSE_PROJECTS")["permissions"]
    assert (told["CREATE_ISSUES"]["havePermission"], told["BROWSE_PROJECTS"]["havePermission"]) == (False, True)
    assert client.project("SEC").name == "Security"
    with pytest.raises(JIRAError, match="No project could be found"):
        client.project("NOPE")
    with pytest.raises(JIRAError, match="permission"):
        client.create_issue(fields=BASE, prefetch=False)


def test_the_create_screen_is_told_in_each_deployments_shape(sandbox: Sandbox, cloud: Rest) -> None:
    """Cloud lists `issueTypes` and `fields`, Data Center `values`; required custom fields are marked."""
    sandbox.jira.required_fields["customfield_10050"] = "Team"
    types = cloud("GET", "issue/createmeta/SEC/issuetypes").json()["issueTypes"]
    bug = next(kind["id"] for kind in types if kind["name"] == "Bug")
    fields = cloud("GET", f"issue/createmeta/SEC/issuetypes/{bug}").json()["fields"]
    by_id = {one["fieldId"]: one for one in fields}
    assert by_id["customfield_10050"]["required"] is True
    assert [one["name"] for one in by_id["priority"]["allowedValues"]] == ["Highest", "High", "Medium", "Low", "Lowest"]
    headers = {"Authorization": f"Bearer {sandbox.jira.token}"}
    base = f"{sandbox.jira.url}/rest/api/2/issue/createmeta/SEC/issuetypes"
    assert httpx2.get(base, headers=headers).json()["values"] == types
    assert httpx2.get(f"{base}/{bug}", headers=headers).json()["values"] == fields


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("summary", "x" * 255, "x" * 256),
        ("summary", "x", "x\ny"),
        ("summary", "x", ""),
        ("description", DOCUMENT, "text"),
        ("description", adf.from_text("x" * 32_767), adf.from_text("x" * 32_768)),
        ("labels", ["a-b"], ["a b"]),
        ("labels", ["x" * 255], ["x" * 256]),
        ("duedate", "2026-05-01", "01.05.2026"),
        ("priority", {"name": "Highest"}, {"name": "Urgent"}),
        ("issuetype", {"id": "10002"}, {"name": "Incident"}),
        ("project", {"id": "10000"}, {"key": "NOPE"}),
        ("components", [{"name": "Platform"}], [{"name": "Nothing"}]),
        ("customfield_10051", "x", None),
    ],
)
def test_fields_are_held_to_their_limits(sandbox: Sandbox, cloud: Rest, name: str, good: Any, bad: Any) -> None:
    """A field at its limit passes; past it Jira names the field."""
    if name == "customfield_10051":
        sandbox.jira.required_fields[name] = "Team"
    assert create(cloud, **{name: good}).status_code == 201
    answer = create(cloud, **{name: bad})
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [name])
    assert len(sandbox.jira.issues) == 1


def test_unknown_and_hidden_fields_cannot_be_set(sandbox: Sandbox, cloud: Rest) -> None:
    """What is not on the screen is refused by name."""
    sandbox.jira.project.hidden_fields.add("priority")
    answer = create(cloud, priority={"name": "High"}, customfield_1="x")
    assert set(answer.json()["errors"]) == {"priority", "customfield_1"}


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "paragraph", "content": [{"type": "text", "text": ""}]}],
        [{"type": "text", "text": "bare"}],
        [{"type": "nonsense"}],
        [{"type": "bulletList", "content": []}],
        [{"type": "heading", "attrs": {"level": 7}, "content": []}],
        [{"type": "paragraph", "content": [{"type": "text", "text": "x", "marks": [{"type": "link"}]}]}],
    ],
)
def test_broken_documents_are_refused(cloud: Rest, content: list[dict[str, Any]]) -> None:
    """A document with an unknown node, an empty text or a node in the wrong place is none."""
    answer = create(cloud, description={"type": "doc", "version": 1, "content": content})
    assert "Atlassian Document" in answer.json()["errors"]["description"]


def test_texts_follow_the_version_of_the_api(sandbox: Sandbox, cloud: Rest) -> None:
    """What was written as a document through v3 reads as text through v2, and the other way round."""
    key = create(cloud, description=DOCUMENT).json()["key"]
    auth = (sandbox.jira.email, sandbox.jira.token)
    old = f"{sandbox.jira.url}/rest/api/2/issue/{key}"
    assert httpx2.get(old, auth=auth).json()["fields"]["description"] == "One\nTwo"
    assert httpx2.post(f"{old}/comment", auth=auth, json={"body": DOCUMENT}).status_code == 400
    assert httpx2.post(f"{old}/comment", auth=auth, json={"body": "One\nTwo"}).status_code == 201
    assert cloud("GET", f"issue/{key}/comment").json()["comments"][0]["body"] == DOCUMENT


def test_edits_set_fields_and_apply_verbs(sandbox: Sandbox, cloud: Rest) -> None:
    """PUT changes what it names, label by label if asked, and search follows."""
    key = create(cloud, labels=["one", "two"]).json()["key"]
    verbs = [{"add": "three"}, {"remove": "one"}]
    body = {"fields": {"summary": "Else"}, "update": {"labels": verbs, "comment": [{"add": {"body": DOCUMENT}}]}}
    assert cloud("PUT", f"issue/{key}", json=body).status_code == 204
    issue = sandbox.jira.issues[key]
    assert (issue["fields"]["summary"], issue["fields"]["labels"]) == ("Else", ["two", "three"])
    assert len(issue["comments"]) == 1
    assert (keys(cloud, "labels = one"), keys(cloud, "labels = three")) == ([], [key])
    assert cloud("PUT", f"issue/{key}", json={"fields": {"labels": ["a b"]}}).status_code == 400


def test_the_index_lags(sandbox: Sandbox, cloud: Rest) -> None:
    """A new issue is found once the index has caught up, or at once by way of `reconcileIssues`."""
    sandbox.jira.index_lag = 30
    issue = create(cloud, labels=["a"]).json()
    assert keys(cloud, "labels = a") == []
    assert keys(cloud, "labels = a", reconcileIssues=issue["id"]) == [issue["key"]]
    assert cloud("GET", f"issue/{issue['key']}").status_code == 200
    sandbox.clock.advance(31)
    assert keys(cloud, "labels = a") == [issue["key"]]


def test_searches_of_cloud(sandbox: Sandbox, cloud: Rest) -> None:
    """Cloud wants a bounded query at the new address, pages by token, and has taken the old address away."""
    made = [create(cloud, labels=["a"]).json()["key"] for _ in range(3)]
    page = cloud("POST", "search/jql", json={"jql": "labels in (a, b) ORDER BY created ASC", "maxResults": 2}).json()
    assert (len(page["issues"]), page["isLast"]) == (2, False)
    assert keys(cloud, "labels = a ORDER BY key ASC", nextPageToken=page["nextPageToken"]) == made[2:]
    assert cloud("GET", "search/jql", params={"jql": "ORDER BY created"}).status_code == 400
    assert cloud("GET", "search/jql", params={"jql": "labels = "}).status_code == 400
    assert "does not exist" in cloud("GET", "search/jql", params={"jql": "project = NOPE"}).text
    for version in ("2", "3"):
        url = f"{sandbox.jira.url}/rest/api/{version}/search"
        assert httpx2.get(url, auth=(sandbox.jira.email, sandbox.jira.token)).status_code == 410


def test_bad_credentials(sandbox: Sandbox, cloud: Rest) -> None:
    """Bad credentials are 401; in Cloud's lenient way they find nothing, and a header alone says why."""
    create(cloud, labels=["a"])
    sandbox.jira.revoke()
    refused = cloud("GET", "search/jql", params={"jql": "labels = a"})
    assert (refused.status_code, refused.headers["X-Seraph-LoginReason"]) == (401, "AUTHENTICATED_FAILED")
    sandbox.jira.seraph = True
    lenient = cloud("GET", "search/jql", params={"jql": "labels = a"})
    assert (lenient.status_code, lenient.json()["issues"]) == (200, [])
    assert lenient.headers["X-Seraph-LoginReason"] == "AUTHENTICATED_FAILED"
    assert (cloud("GET", "myself").status_code, cloud("GET", "issue/SEC-1").status_code) == (401, 404)
    assert create(cloud).status_code == 400
    sandbox.jira.restore()
    assert keys(cloud, "labels = a") == ["SEC-1"]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('project = SEC AND labels = "a b"', {"a b"}),
        (r'labels = "say \"hi\""', {'say "hi"'}),
        ("LABELS IN ('x', y) order by created desc", {"x", "y"}),
        ("labels = a and labels in (a, b)", {"a"}),
    ],
)
def test_queries_are_understood(text: str, labels: set[str]) -> None:
    """Quoted and bare values, lists, and any case of the key words."""
    assert jql.parse(text).values("labels") == frozenset(labels)


@pytest.mark.parametrize(
    "text",
    ["labels", "labels = a b", "labels ~ a", 'labels = "a', "labels = a AND", "(labels = a", 'description = "a"'],
)
def test_queries_that_are_none(text: str) -> None:
    """What is not understood is refused, never guessed."""
    with pytest.raises(jql.JqlError):
        jql.parse(text)


def test_conditions_are_joined(cloud: Rest) -> None:
    """OR binds less than AND, and parentheses more than both."""
    one, two, both = (create(cloud, labels=labels).json()["key"] for labels in (["a"], ["b"], ["a", "b"]))
    assert keys(cloud, "labels = a OR labels = b AND labels = a ORDER BY key ASC") == [one, both]
    assert keys(cloud, "(labels = a OR labels = b) AND labels = b ORDER BY key ASC") == [two, both]
    assert keys(cloud, "labels = c OR creator = currentUser() ORDER BY key ASC") == [one, two, both]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (r'description ~ "\"Sentrytex42\""', True),
        (r'description ~ "\"sentrytex4\""', False),
        ('description ~ "sentrytex4*"', True),
        ('description ~ "the walks"', True),
        (r'description ~ "\"quick walker\""', False),
        (r'description ~ "\"quickly walking\""', True),
        (r'description ~ "\"walking quickly\""', False),
        ('description ~ "nothing OR quickly"', True),
        ('description ~ "quickly -walked"', False),
        ('description ~ "un-known-name"', True),
        ('summary ~ "walks"', False),
        ('text ~ "something walks"', True),
    ],
)
def test_texts_are_searched_by_their_words(cloud: Rest, query: str, found: bool) -> None:
    """Words are found in any case and in related forms, phrases in their order, marks not at all."""
    create(cloud, description=adf.from_text("The quickly walked way.\nsentrytex42, un_known (name)"))
    assert bool(keys(cloud, query)) is found


@pytest.mark.parametrize("query", ['description ~ "*start"', 'description ~ ""', 'description ~ "a (b"'])
def test_text_queries_that_are_none(cloud: Rest, query: str) -> None:
    """Each is refused with the name of its field."""
    answer = cloud("GET", "search/jql", params={"jql": query})
    assert answer.status_code == 400
    assert "'description'" in answer.json()["errorMessages"][0]


def test_a_search_of_texts_lags_and_may_be_careless(sandbox: Sandbox, cloud: Rest) -> None:
    """It knows what stood there before for as long as the index lags, and may take like words for the same."""
    key = create(cloud, description=adf.from_text("sentrytex0001")).json()["key"]
    sandbox.jira.index_lag = 30
    sandbox.jira.edit(key, {"description": "sentrytex0002"})
    assert (keys(cloud, 'description ~ "sentrytex0001"'), keys(cloud, 'description ~ "sentrytex0002"')) == ([key], [])
    sandbox.clock.advance(31)
    assert (keys(cloud, 'description ~ "sentrytex0001"'), keys(cloud, 'description ~ "sentrytex0002"')) == ([], [key])
    sandbox.jira.fuzzy = True
    assert keys(cloud, 'description ~ "sentrytex0009"') == [key]


def test_a_field_that_is_nowhere_on_the_site(sandbox: Sandbox, cloud: Rest) -> None:
    """It cannot be asked for, and is not shown."""
    create(cloud)
    sandbox.jira.project.absent_fields.add("labels")
    answer = cloud("GET", "search/jql", params={"jql": "labels = a OR project = SEC"})
    assert "Field 'labels' does not exist" in answer.json()["errorMessages"][0]
    found = cloud("GET", "search/jql", params={"jql": "project = SEC", "fields": "labels,summary"}).json()["issues"]
    assert list(found[0]["fields"]) == ["summary"]


def test_a_sub_task_needs_its_parent(sandbox: Sandbox, cloud: Rest) -> None:
    """Its type is told as one, and what is wrong with the parent in Jira's words."""
    sandbox.jira.project.issue_types["10009"] = "Sub-task"
    sandbox.jira.project.subtask_types.add("10009")
    kinds = cloud("GET", "issue/createmeta/SEC/issuetypes").json()["issueTypes"]
    assert [kind["name"] for kind in kinds if kind["subtask"]] == ["Sub-task"]
    kind, parent = {"name": "Sub-task"}, create(cloud).json()["key"]
    assert "parent issue key or id not specified" in create(cloud, issuetype=kind).json()["errors"]["issuetype"]
    for wrong, words in (("SEC-99", "not an object"), ({"key": "SEC-99"}, "Could not find issue by id or key.")):
        assert words in create(cloud, issuetype=kind, parent=wrong).json()["errors"]["parent"]
    child = create(cloud, issuetype=kind, parent={"key": parent}).json()["key"]
    assert "hierarchy" in create(cloud, issuetype=kind, parent={"key": child}).json()["errors"]["parent"]


def test_what_kind_of_project_it_is(sandbox: Sandbox, cloud: Rest) -> None:
    """A service project has a request type; a team's own project says that a type is none in other words."""
    sandbox.jira.project.kind, sandbox.jira.project.team_managed = "service_desk", True
    told = cloud("GET", "project/SEC").json()
    assert (told["projectTypeKey"], told["style"]) == ("service_desk", "next-gen")
    fields = cloud("GET", "issue/createmeta/SEC/issuetypes/10001").json()["fields"]
    assert "com.atlassian.servicedesk:vp-origin" in [field["schema"].get("custom") for field in fields]
    answer = create(cloud, issuetype={"name": "Epic"})
    assert answer.json()["errors"] == {"issuetype": "The issue type selected is invalid."}
