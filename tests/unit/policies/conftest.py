"""Property tests here build whole sets of objects, on machines that do other work beside."""

import hypothesis

# No deadline for one example: how long it takes says nothing of the builders.
hypothesis.settings.register_profile("whole-sets", deadline=None, max_examples=40)
hypothesis.settings.load_profile("whole-sets")
