"""Python reads this when it starts with this folder on its path: launches then go to the emulator."""

import os

if "EMULATED_GFX" in os.environ:
    import emulator

    emulator.attach()
