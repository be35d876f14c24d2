"""Which topics are read, by name and by pattern."""

import re

from hypothesis import given
from hypothesis import strategies as st

from service.subscription import Subscription

names = st.text("abx.", min_size=1, max_size=4)
patterns = st.text(r"abx.|()?*+\1<P>=:$^{}", max_size=8).map("^{}".format)


@given(st.lists(names | patterns, max_size=4), st.sets(names, max_size=2), st.sets(names))
def test_the_client_is_told_of_the_same_topics_as_are_ours(
    told: list[str], written: set[str], topics: set[str]
) -> None:
    """Where the settings are taken at all."""
    subscription = Subscription.of([one for one in told if one not in written], written)
    try:
        subscription.check()
    except ValueError:
        return
    found = subscription.expression
    if found is not None:
        fitting = {topic for topic in topics if re.match(found, topic)}
        assert fitting == {topic for topic in topics if topic in subscription}
