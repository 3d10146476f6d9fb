"""How roles spread: evenly, over those that can have them, and moving as few as that takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from hypothesis import given
from hypothesis import strategies as st

from forwarder.replicas.roles import accounts_in, connectors_in, in_words, is_feed, of_feed, roles_of, spread

REPLICAS = ("a", "b", "c", "d")
ROLES = tuple(roles_of(["oncall", "secops", "tickets"]))


def test_the_roles_of_a_config() -> None:
    """The feed, the scheduler, the upkeep, and each connector."""
    assert roles_of(["secops"]) == ["feed", "scheduler", "upkeep", "connector:secops"]
    assert connectors_in(roles_of(["secops", "feed"])) == ["secops", "feed"]


def test_each_account_s_feed_is_a_role() -> None:
    """That of a single key has no name."""
    roles = roles_of(["secops"], ["acme", "beta"])
    assert roles == ["feed:acme", "feed:beta", "scheduler", "upkeep", "connector:secops"]
    assert accounts_in([*roles, "feed"]) == ["acme", "beta", "default"]
    assert [of_feed(account) for account in accounts_in([*roles, "feed"])] == ["feed:acme", "feed:beta", "feed"]


def test_a_thousand_feeds_spread_and_take_no_share_of_the_rest() -> None:
    """One that joins gets half of them, and half of what costs more, whatever the order of their names."""
    roles = roles_of(["oncall", "secops", "tickets"], [f"account-{number}" for number in range(1000)])
    before = spread({"a": roles}, dict.fromkeys(roles))
    after = spread({"a": roles, "b": roles}, dict(before))
    assert Counter(holder for role, holder in after.items() if is_feed(role)) == {"a": 500, "b": 500}
    rest = Counter(holder for role, holder in after.items() if not is_feed(role))
    assert max(rest.values()) - min(rest.values()) <= 1


def test_many_feeds_are_told_as_few() -> None:
    """A line names the first of them, and counts the others."""
    roles = roles_of(["secops"], [f"a{number:02d}" for number in range(13)])
    told = in_words(roles)
    assert told[:3] == ["connector:secops", "scheduler", "upkeep"]
    assert told[-2:] == ["feed:a09", "3 more feeds"]
    assert in_words(roles_of(["secops"])) == ["connector:secops", "feed", "scheduler", "upkeep"]


@given(
    st.sets(st.sampled_from(REPLICAS), min_size=1), st.dictionaries(st.sampled_from(ROLES), st.sampled_from(REPLICAS))
)
def test_where_all_can_have_all_it_is_even(replicas: Collection[str], held: Mapping[str, str]) -> None:
    """Nobody has more than one more than anybody else, everything has a holder, and the plan, once it is so, stays."""
    offers = dict.fromkeys(replicas, ROLES)
    plan = spread(offers, {role: held.get(role) for role in ROLES})
    assert plan.keys() == set(ROLES)
    share = Counter(dict.fromkeys(replicas, 0))
    share.update(plan.values())
    assert max(share.values()) - min(share.values()) <= 1
    assert spread(offers, plan) == plan


@given(
    st.dictionaries(st.sampled_from(REPLICAS), st.frozensets(st.sampled_from(ROLES)), min_size=1),
    st.dictionaries(st.sampled_from(ROLES), st.sampled_from(REPLICAS)),
)
def test_only_who_can_have_it_gets_it(offers: Mapping[str, frozenset[str]], held: Mapping[str, str]) -> None:
    """What several configs differ in: a role goes to who offers it, stays where nobody does, and else is nobody's."""
    plan = spread(offers, {role: held.get(role) for role in ROLES})
    for role in ROLES:
        able = [replica for replica in offers if role in offers[replica]]
        if able:
            assert plan[role] in able
        else:
            assert plan.get(role) == (held.get(role) if held.get(role) in offers else None)
    assert spread(offers, {role: plan.get(role) for role in ROLES}) == plan


def test_no_more_move_than_must() -> None:
    """One that joins three others gets what is more than the share of each, and nothing else moves."""
    before = spread(dict.fromkeys("abc", ROLES), dict.fromkeys(ROLES))
    after = spread(dict.fromkeys("abcd", ROLES), dict(before))
    moved = {role for role in ROLES if after[role] != before[role]}
    assert Counter(after.values())["d"] == len(moved) == 1


def test_what_only_one_can_have_counts_in_its_share() -> None:
    """A connector that only the new config names goes there, and something else does not, instead."""
    offers = {"old": ROLES, "new": (*ROLES, "connector:new")}
    plan = spread(offers, dict.fromkeys((*ROLES, "connector:new")))
    assert plan["connector:new"] == "new"
    assert sorted(Counter(plan.values()).values()) == [3, 4]
