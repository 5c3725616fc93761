"""What users run: programs are compiled as they are for them."""

import os

# XLA reads the flags with the first program, and none has been compiled yet.
os.environ.pop("XLA_FLAGS", None)
