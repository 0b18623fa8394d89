"""Profiles of Hypothesis: `suite` repeats the same few examples; `long` draws many new ones.

`HYPOTHESIS_PROFILE=long pytest parity_tests/properties` chooses the long one, as does `--hypothesis-profile long`.
"""

from __future__ import annotations

import os

from hypothesis import Phase, settings

LONG = "long"
SUITE = "suite"
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)  # explanations of failures take minutes

settings.register_profile(SUITE, derandomize=True, deadline=None, database=None, max_examples=10, phases=PHASES)
settings.register_profile(LONG, deadline=None, database=None, max_examples=1000, print_blob=True, phases=PHASES)
if settings.get_current_profile_name() != LONG:
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", SUITE))


def few() -> settings:
    """Settings of a test whose examples are whole renders."""
    return settings(max_examples=max(3, settings().max_examples // 4))
