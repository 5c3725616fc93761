"""The catalogue: one file per PDE, named like the problem that it registers, imported when that problem is loaded."""
